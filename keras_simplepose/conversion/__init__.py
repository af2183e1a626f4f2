"""Conversion: networks from and to PyTorch."""
