"""Leaky networks: recurrent populations of rate cells, in form A and form B."""
