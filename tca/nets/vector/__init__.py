"""Networks of vector units, gated for global error-vector broadcasting."""
