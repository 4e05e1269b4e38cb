"""The tape: the record of a forward pass, population by population."""
