"""Training: from patches to a trained network."""
