"""Detector files from strangers: what would end the process, or reads outside the file's folder."""

import signal
import subprocess

import numpy as np
import pytest

from keras_simplepose.config import DetectorConfig
from keras_simplepose.detection.detectors import load_detector
from keras_simplepose.detection.onnx_checks import check_external_data
from keras_simplepose.utils.errors import UserError


def test_a_file_that_ends_its_reader_is_an_error_in_one_line(tmp_path, monkeypatch):
    path = tmp_path / "a.onnx"
    path.write_bytes(b"damaged")

    def crash(command, **_):
        assert str(path) in command
        return subprocess.CompletedProcess(command, -signal.SIGFPE)

    monkeypatch.setattr(subprocess, "run", crash)
    with pytest.raises(UserError, match=r"a\.onnx: is damaged \(OpenCV ends with SIGFPE over it\)"):
        load_detector(DetectorConfig(detector=str(path)))


@pytest.mark.parametrize("place", ["../weights.bin", "/etc/hostname", "link.bin", "x" * 200 + "/../../weights.bin"])
def test_weights_outside_the_folder_are_refused(tmp_path, place):
    onnx = pytest.importorskip("onnx")
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "link.bin").symlink_to(tmp_path / "weights.bin")

    def write(location):
        tensor = onnx.numpy_helper.from_array(np.zeros(4, np.float32), "w")
        onnx.external_data_helper.set_external_data(tensor, location)
        tensor.ClearField("raw_data")
        tensor.data_location = onnx.TensorProto.EXTERNAL
        graph = onnx.helper.make_graph([], "g", [], [], [tensor])
        path = folder / "a.onnx"
        path.write_bytes(onnx.helper.make_model(graph).SerializeToString())
        return str(path)

    check_external_data(write("weights.bin"))
    path = write(place)
    with pytest.raises(UserError, match="keeps weights outside its folder"):
        check_external_data(path)


@pytest.mark.slow
def test_no_damage_to_a_detector_ends_the_process(shared_data, tmp_path):
    """Each is refused in a line, or read after all."""
    whole = (shared_data / "weights" / "yolox_nano_416.onnx").read_bytes()
    random, path, refused = np.random.default_rng(0), tmp_path / "a.onnx", []
    for _ in range(40):
        damaged = bytearray(whole)
        for place in random.integers(len(whole), size=20):
            damaged[place] = random.integers(256)
        path.write_bytes(damaged)
        try:
            load_detector(DetectorConfig(detector=str(path)))
        except UserError as error:
            assert "\n" not in str(error) and len(str(error)) < 300 + len(str(path))
            refused.append(str(error))
    print(f"{len(refused)} of 40 refused, {sum('OpenCV ends' in text for text in refused)} for ending their reader")
    assert refused
