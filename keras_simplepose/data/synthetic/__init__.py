"""Rendered people with known keypoints."""
