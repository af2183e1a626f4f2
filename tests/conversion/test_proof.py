import io

import numpy as np
import pytest
from PIL import Image

from keras_simplepose.conversion.proof import image_crops
from keras_simplepose.utils.errors import UserError

ORIENTATION = 0x0112


def jpeg(orientation=1):
    """A photograph that is dark above and bright below, as JPEG with an EXIF orientation."""
    pixels = np.repeat(np.linspace(0, 255, 64).astype(np.uint8)[:, None], 48, axis=1)
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    content = io.BytesIO()
    Image.fromarray(np.stack([pixels] * 3, axis=-1)).save(content, "JPEG", exif=exif, quality=95)
    return content.getvalue()


def test_images_are_read_in_the_frame_of_their_stored_pixels(tmp_path):
    for orientation in (1, 3, 6):
        (tmp_path / f"{orientation}.jpg").write_bytes(jpeg(orientation))
    plain, *turned = (image_crops(tmp_path / f"{orientation}.jpg", (64, 48))[0] for orientation in (1, 3, 6))
    assert plain[50, 24, 0] > plain[14, 24, 0] + 50
    for crop in turned:
        np.testing.assert_array_equal(crop, plain)


def test_a_truncated_image_is_refused(tmp_path):
    (tmp_path / "a.jpg").write_bytes(jpeg()[:-300])
    with pytest.raises(UserError, match=r"a\.jpg"):
        image_crops(tmp_path / "a.jpg", (64, 48))
