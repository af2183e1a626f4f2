"""What the fuzzing tests share: how many cases, and pictures that lie."""

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

FEW, MANY = 60, 2500
COUNTS = [FEW, pytest.param(MANY, marks=pytest.mark.slow)]


def fuzz(strategy, check, count):
    """Checks so many values, the same ones each time."""

    @settings(
        max_examples=count, deadline=None, database=None, derandomize=True, suppress_health_check=list(HealthCheck)
    )
    @given(strategy)
    def run(value):
        check(value)

    run()


def jpeg(height, width):
    return cv2.imencode(".jpg", np.zeros((height, width, 3), np.uint8))[1].tobytes()


def huge_jpeg():
    """A small picture whose header asks for 65,500 × 65,500 pixels."""
    content = bytearray(jpeg(40, 40))
    place = content.index(b"\xff\xc0")
    content[place + 5 : place + 9] = b"\xff\xdc\xff\xdc"
    return bytes(content)
