"""Persons through time: joints moved by optical flow, similarity of poses, ids that stay."""
