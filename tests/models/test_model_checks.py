"""Model files from strangers: what contradicts itself, holds no numbers, or unpacks to more than it may."""

import dataclasses
import io
import json
import zipfile
from functools import partial

import h5py
import keras
import numpy as np
import pytest
from small_runs import tiny_network

from keras_simplepose.models.files import load_model, save_model
from keras_simplepose.models.folded_weights import read_folded_weights
from keras_simplepose.models.simple_baselines import build_pose_model
from keras_simplepose.models.stages import pose_spec
from keras_simplepose.utils.errors import UserError


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "tiny.keras"
    save_model(tiny_network(), path)
    return path


def with_config(path, target, change):
    """A copy of a model file whose configuration has been changed as a dictionary."""
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(target, "w") as copy:
        for name in source.namelist():
            content = source.read(name)
            if name == "config.json":
                config = json.loads(content)
                change(config["config"]["layers"])
                content = json.dumps(config).encode()
            copy.writestr(name, content)
    return target


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"input_size": [64, 64]}, r"crops of shape \(32, 32, 3\), its specification says \(64, 64, 3\)"),
        ({"heatmap_size": [4, 4]}, r"heatmaps of shape \(8, 8, 17\), its specification says \(4, 4, 17\)"),
        ({"sigma": float("nan")}, "sigma is nan; it must be greater than 0"),
        ({"sigma": -1}, "sigma is -1.0; it must be greater than 0"),
    ],
)
def test_a_specification_that_contradicts_its_network_is_refused(path, tmp_path, changes, message):
    def change(layers):
        layers[-1]["config"]["spec"].update(changes)

    with pytest.raises(UserError, match=message):
        load_model(with_config(path, tmp_path / "other.keras", change))


def test_another_number_of_keypoints_is_refused(tmp_path):
    from keras_simplepose.core.skeletons import MPII16
    from keras_simplepose.models.layers import Heatmaps

    network = tiny_network()
    spec = dataclasses.replace(pose_spec(network), skeleton=MPII16)
    end = Heatmaps(spec, name="heatmaps")(network.get_layer("final_layer").output)
    save_model(keras.Model(network.inputs, end), tmp_path / "other.keras")
    with pytest.raises(UserError, match=r"heatmaps of shape \(8, 8, 17\), its specification says \(8, 8, 16\)"):
        load_model(tmp_path / "other.keras")


def test_weights_that_are_no_numbers_are_refused(tmp_path):
    network = tiny_network()
    bias = network.get_layer("final_layer").bias
    bias.assign(bias + np.nan)
    save_model(network, tmp_path / "nan.keras")
    with pytest.raises(UserError, match=r"weight .*final_layer.* holds NaN or infinity"):
        load_model(tmp_path / "nan.keras")


def test_a_file_that_unpacks_to_far_more_than_it_is_is_not_unpacked(path, tmp_path):
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(tmp_path / "b.keras", "w", zipfile.ZIP_DEFLATED) as bomb:
        for name in source.namelist():
            bomb.writestr(name, source.read(name))
        bomb.writestr("assets/zeros", bytes(100 << 20))
    assert (tmp_path / "b.keras").stat().st_size < 1 << 20
    with pytest.raises(UserError, match=r"b\.keras: would unpack to more than \d+ MiB"):
        load_model(tmp_path / "b.keras")


def test_layers_that_ask_for_more_weights_than_the_file_holds_are_not_built(path, tmp_path):
    def change(layers):
        for layer in layers:
            if layer["config"]["name"] == "body":
                layer["config"]["filters"] = 10**9

    with pytest.raises(UserError, match=r"its layers ask for 75,0\d\d,\d\d\d,\d\d\d weights, the file holds [\d,]+"):
        load_model(with_config(path, tmp_path / "huge.keras", change))


def write_h5(path, shape=(1 << 40,), link=False):
    """A file of a few kilobytes: a data set of which nothing is written, or what lies in another file."""
    with h5py.File(path, "w") as file:
        if link:
            file["layer"] = h5py.ExternalLink("/etc/hostname", "/weights")
        else:
            file.create_dataset("layer/weights", shape, "f4", chunks=(1 << 20,))


def test_weights_files_that_ask_for_more_than_they_are_long_are_refused(tmp_path):
    build = partial(build_pose_model, "mobilenetv2", deconv_filters=(), deconv_kernels=(), input_size=(32, 32))
    for fault, link in ((r"its weights would unpack to more than 16 MiB", False), ("'layer' is a link", True)):
        write_h5(tmp_path / "w.h5", link=link)
        with pytest.raises(UserError, match=fault):
            build(backbone_weights=str(tmp_path / "w.h5"))
    (tmp_path / "w.h5").write_bytes(b"none of these")
    with pytest.raises(UserError, match=r"w\.h5: cannot be fetched or read, or do not fit"):
        build(backbone_weights=str(tmp_path / "w.h5"))


def test_archives_of_arrays_that_ask_for_more_than_they_are_long_are_refused(tmp_path):
    path = tmp_path / "w.npz"
    np.savez_compressed(path, **{"00_conv_kernel": np.zeros(1 << 25, np.float32)})
    with pytest.raises(UserError, match=r"w\.npz: would unpack to more than \d+ MiB"):
        read_folded_weights(path)
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f4", "fortran_order": False, "shape": (1 << 44,)})
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("00_conv_kernel.npy", header.getvalue())
    with pytest.raises(UserError, match=r"w\.npz: not a whole \.npz file of weights"):
        read_folded_weights(path)
