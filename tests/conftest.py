"""What several tests share."""

import os
from pathlib import Path

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tells pytest-xdist which tests share something expensive: those of a file, and those of the exported model."""
    for item in items:
        group = "exported" if "exported" in getattr(item, "fixturenames", ()) else str(item.path)
        item.add_marker(pytest.mark.xdist_group(group))


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """A folder of real images and annotations to check against, where there is one."""
    default = Path(__file__).parents[2] / "shared" / "data"
    folder = Path(os.environ.get("KERAS_SIMPLEPOSE_SHARED_DATA", default))
    if not folder.is_dir():
        pytest.skip("no folder of real data; KERAS_SIMPLEPOSE_SHARED_DATA names one")
    return folder


@pytest.fixture(scope="session")
def exported(tmp_path_factory) -> Path:
    """A folder with a small model, pose.keras, and exported/: its SavedModel, TFLite and ONNX files."""
    pytest.importorskip("ai_edge_litert")
    pytest.importorskip("tf2onnx")
    from export_models import small_model

    from keras_simplepose import save_model
    from keras_simplepose.config import ExportConfig, ProofConfig
    from keras_simplepose.exporting.exporter import export

    folder = tmp_path_factory.mktemp("export")
    save_model(small_model(), folder / "pose.keras")
    export(
        ExportConfig(
            model=str(folder / "pose.keras"),
            output=str(folder / "exported"),
            format=("savedmodel", "tflite", "onnx"),
        ),
        ProofConfig(proof_count=3),
    )
    return folder
