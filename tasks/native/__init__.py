"""Native tasks: drawn from equations, seeded, each a class of its own."""
