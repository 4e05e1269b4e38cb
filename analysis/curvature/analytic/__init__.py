"""Analytic derivatives of recurrent networks, to second order."""
