"""Networks made of a user's modules: whole models, and cells with a dense Jacobian."""
