"""Films of two people in ten frames, as annotations and as results to spoil."""

import copy

import numpy as np

from keras_simplepose.data.posetrack import Film, FramePersons

HEAD = (0.0, 0.0, 30.0, 40.0)  # Diagonal 50: the head's size is 30 pixels.
SIZE = 30.0


def persons(ids, places, score=0.9):
    """Persons whose 15 joints lie in a row from each place (x, y) on, 10 pixels apart."""
    row = np.stack([np.arange(15) * 10.0, np.zeros(15)], -1)
    rows = [
        (row + place, np.ones(15), np.full(15, score), person, HEAD) for person, place in zip(ids, places, strict=True)
    ]
    return FramePersons.gathered(rows, [], True)


def film(count=10, ids=(1, 2), name="film"):
    """Two people, 1000 pixels apart, who walk a pixel a frame."""
    frames = {f"{k:06}.jpg": persons(ids, [(100 + k, 100), (100 + k, 1100)]) for k in range(count)}
    return Film(name, frames)


def spoilt(change, ids=(1, 2)):
    """The film as perfect results, changed by `change(frames)`, a list that it may alter in place."""
    result = copy.deepcopy(film(ids=ids))
    frames = list(result.frames.values())
    change(frames)
    return Film(result.name, dict(zip(result.frames, frames, strict=True)))


def drop(frame, row):
    """The frame without one of its persons."""
    keep = np.arange(len(frame)) != row
    for name in ("points", "visible", "scores", "ids", "heads"):
        setattr(frame, name, getattr(frame, name)[keep])
