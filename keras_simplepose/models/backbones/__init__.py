"""The feature extractors."""
