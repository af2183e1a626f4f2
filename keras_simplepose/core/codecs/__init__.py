"""Keypoints ↔ heatmaps, as the specification of a network says."""

from keras_simplepose.core.codecs.registry import CODECS, decision_margins, decode, encode

__all__ = ["CODECS", "decision_margins", "decode", "encode"]
