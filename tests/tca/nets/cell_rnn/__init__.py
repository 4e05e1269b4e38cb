"""Tests of networks of general cells."""
