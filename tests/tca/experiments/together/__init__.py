"""Tests of runs that are trained together."""
