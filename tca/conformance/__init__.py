"""Properties that every rule has, measured on networks and trials; the tests of the library use the same functions."""
