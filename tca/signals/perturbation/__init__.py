"""Learning signals of perturbation rules: scalar rewards of whole trials."""
