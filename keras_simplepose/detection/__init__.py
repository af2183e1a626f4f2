"""Detection: where the persons are."""
