"""The study "Broadcast": the same rules in feedforward and in recurrent networks, at the end and at equal loss."""
