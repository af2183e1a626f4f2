"""Evaluation: how good predictions are."""
