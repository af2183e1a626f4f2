"""Photographs and videos, read and written."""
