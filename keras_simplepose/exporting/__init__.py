"""Exporting: files that other runtimes serve, proven against the model."""
