"""Prediction: photograph and boxes in, poses out."""
