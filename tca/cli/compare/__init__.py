"""Comparisons: entries and their runs, measurements, statistics, tables and the report."""
