import pytest

from keras_simplepose.config import CodecConfig, EvaluationConfig
from keras_simplepose.core.codecs import CODECS
from keras_simplepose.core.skeletons import COCO17
from keras_simplepose.data.coco import load_persons
from keras_simplepose.data.synthetic.scenes import make_synthetic_dataset
from keras_simplepose.evaluation.codec_ceiling import ceiling_table, codec_ceiling, codec_spec


def test_the_table_has_every_codec_and_no_codec_is_further_off_than_it_may(tmp_path):
    annotations, _ = make_synthetic_dataset(tmp_path / "set", 2, 1, workers=1)
    header, *lines = ceiling_table(load_persons(annotations, COCO17), CodecConfig(), EvaluationConfig())
    assert header.split()[:4] == ["codec", "input", "AP", "AP75"] and len(lines) == 3 * len(CODECS)
    for line in lines:
        codec, size, *values = line.split()
        # Half a heatmap pixel or bin at most along each axis; the Newton step comes nearer but at borders.
        largest = {"quarter_offset": 2, "simcc": 0.25}.get(codec)
        assert float(values[-1]) <= 1.4143 * largest if largest else float(values[-2]) < 0.2, line
        assert 0.9 < float(values[0]) <= 1, line


@pytest.mark.parametrize(("input_size", "gain"), [((128, 96), 0.001), ((256, 192), 0.0)])
def test_real_persons_lose_less_to_dark(shared_data, input_size, gain):
    persons = load_persons(shared_data / "annotations" / "person_keypoints_val.json", COCO17)
    precision = {}
    for codec in ("quarter_offset", "dark"):
        spec = codec_spec(CodecConfig(input_size=input_size, codec=codec))
        precision[codec] = codec_ceiling(persons, spec).metrics["AP"]
    assert precision["dark"] >= precision["quarter_offset"] + gain
