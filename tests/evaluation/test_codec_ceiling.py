import pytest

from keras_simplepose.config import CodecConfig
from keras_simplepose.core.skeletons import COCO17
from keras_simplepose.data.coco import load_persons
from keras_simplepose.evaluation.codec_ceiling import codec_ceiling, codec_spec


@pytest.mark.parametrize(("input_size", "gain"), [((128, 96), 0.001), ((256, 192), 0.0)])
def test_real_persons_lose_less_to_dark(shared_data, input_size, gain):
    persons = load_persons(shared_data / "annotations" / "person_keypoints_val.json", COCO17)
    precision = {}
    for codec in ("quarter_offset", "dark"):
        spec = codec_spec(CodecConfig(input_size=input_size, codec=codec))
        precision[codec] = codec_ceiling(persons, spec).metrics["AP"]
    assert precision["dark"] >= precision["quarter_offset"] + gain
