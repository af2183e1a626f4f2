"""Model files that earlier versions wrote go on loading."""

from pathlib import Path

import numpy as np
import pytest

from keras_simplepose import load_model, pose_spec

# Written when the package had one folder, `engine`: [8, 6] heatmaps of 17 keypoints behind one convolution.
BEFORE_THE_ROOMS = Path(__file__).parents[1] / "files" / "before_the_rooms.keras"


def test_a_file_from_before_the_rooms_loads_and_gives_its_numbers():
    model = load_model(BEFORE_THE_ROOMS)
    assert pose_spec(model).skeleton.name == "coco17"
    crops = (np.arange(32 * 24 * 3).reshape(1, 32, 24, 3) % 251).astype(np.float32)
    heatmaps = np.asarray(model(crops))
    assert heatmaps.sum() == pytest.approx(33.4277, abs=1e-3)
    assert heatmaps[0, 3, 1, :3] == pytest.approx([-0.125033, -0.190618, 0.203616], abs=1e-5)
