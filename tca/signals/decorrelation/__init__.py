"""Decorrelation: score and error broadcast through their correlation with activity (SBD, EBD)."""
