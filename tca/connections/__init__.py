"""Connections: weights into a population, and the products with them."""
