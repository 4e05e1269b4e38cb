"""Decorrelation: broadcast through correlations of score and activity (SBD, EBD)."""
