import json

import pytest

from keras_simplepose.core.skeletons import COCO17, MPII16
from keras_simplepose.core.spec import PoseSpec
from keras_simplepose.utils.errors import UserError

SPEC = PoseSpec(MPII16, (256, 192), (64, 48), 2.0)


def test_it_goes_through_json():
    assert PoseSpec.from_dict(json.loads(json.dumps(SPEC.to_dict()))) == SPEC


@pytest.mark.parametrize(("heatmap", "stride"), [((64, 48), 4), ((32, 24), 8), ((256, 192), 1)])
def test_the_stride_follows_from_the_sizes(heatmap, stride):
    assert PoseSpec(COCO17, (256, 192), heatmap, 2.0).stride == stride


def test_sizes_must_fit():
    with pytest.raises(UserError, match=r"\(64, 64\) has not the aspect ratio of the input \(256, 192\)"):
        PoseSpec(COCO17, (256, 192), (64, 64), 2.0)


def test_the_codec_must_be_known():
    with pytest.raises(UserError, match="codec 'drak' is unknown; the nearest are dark"):
        PoseSpec(COCO17, (256, 192), (64, 48), 2.0, codec="drak")


@pytest.mark.parametrize("key", ["skeleton", "input_size", "heatmap_size", "sigma", "codec", "box_padding"])
def test_a_missing_value_is_named(key):
    values = {name: value for name, value in SPEC.to_dict().items() if name != key}
    with pytest.raises(UserError, match=f"damaged.*{key}"):
        PoseSpec.from_dict(values)


@pytest.mark.parametrize(("key", "value"), [("sigma", "wide"), ("input_size", 256), ("input_size", ["a", "b"])])
def test_a_wrong_value_is_refused(key, value):
    with pytest.raises(UserError, match="damaged"):
        PoseSpec.from_dict(SPEC.to_dict() | {key: value})


def test_another_codec_of_the_same_frame_may_read_the_maps():
    assert SPEC.decoded_by("dark").codec == "dark" and SPEC.decoded_by("model") is SPEC
    assert SPEC.decoded_by("dark").decoded_by("quarter_offset") == SPEC
    for codec in ("udp", "simcc"):
        with pytest.raises(UserError, match=f"decoding is {codec}, but the model's codec is quarter_offset"):
            SPEC.decoded_by(codec)
