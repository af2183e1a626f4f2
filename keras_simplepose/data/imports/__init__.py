"""Exports of annotation tools, made COCO keypoints and a skeleton."""
