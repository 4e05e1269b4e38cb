"""Tasks of neurogym: environments as trials with right answers, or with rewards."""
