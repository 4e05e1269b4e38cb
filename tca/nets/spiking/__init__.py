"""Spiking networks: recurrent populations of LIF and ALIF cells."""
