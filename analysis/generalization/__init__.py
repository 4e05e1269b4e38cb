"""Generalization: the gap between training and test, clean and under other conditions."""
