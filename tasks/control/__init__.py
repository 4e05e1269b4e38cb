"""Environments of gymnasium that give rewards only."""
