"""The page that several files of tests look at."""

import json

import pytest
from planted import results_with_errors
from pose_data import write_data_set


@pytest.fixture(scope="session")
def report_config(tmp_path_factory):
    """A configuration whose report has been written, twice: a report made here may be replaced."""
    from keras_simplepose import report
    from keras_simplepose.config import ReportConfig

    folder = tmp_path_factory.mktemp("report")
    (folder / "results.json").write_text(json.dumps(results_with_errors(write_data_set(folder))))
    config = ReportConfig(
        results=str(folder / "results.json"),
        annotations=str(folder / "annotations.json"),
        images=str(folder / "images"),
        output=str(folder / "report"),
        resamples=20,
    )
    report.main(config)
    report.main(config)
    return config


@pytest.fixture(scope="session")
def report_page(report_config, tmp_path_factory):
    """The path of its index.html."""
    from pathlib import Path

    return Path(report_config.output) / "index.html"
