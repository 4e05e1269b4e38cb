"""Runs that are trained together: an ensemble of networks through each pass, records and outcomes of their own."""
