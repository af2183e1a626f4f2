"""The page of a small evaluation: what it says, and that it stands alone."""

import dataclasses
import html.parser
import json

import pytest
from pose_data import write_data_set

from keras_simplepose import evaluate, report
from keras_simplepose.config import CodecConfig, EvaluationConfig, EvaluationDataConfig, ReportConfig
from keras_simplepose.utils.errors import UserError
from keras_simplepose.utils.files import file_hash

VOID = {"meta", "link", "img", "br", "hr", "input"}


class Page(html.parser.HTMLParser):
    """Collects what a page consists of, and complains of elements that are not closed."""

    def __init__(self, text):
        super().__init__()
        self.ids, self.addresses, self.cards, self.open, self.unnamed = [], [], [], [], 0
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attributes):
        values = dict(attributes)
        self.ids += [values["id"]] if "id" in values else []
        self.addresses += [values[name] for name in ("src", "href", "xlink:href") if name in values]
        self.cards += [values] if "data-error" in values else []
        self.unnamed += tag == "img" and not values.get("alt")
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_the_page_stands_alone_and_is_whole(report_config, report_page):
    text = report_page.read_text("utf-8")
    page = Page(text)
    assert all(address.startswith(("data:image/jpeg;base64,", "#")) for address in page.addresses)
    assert {address[1:] for address in page.addresses if address.startswith("#")} <= set(page.ids)
    assert len(page.ids) == len(set(page.ids))
    assert not page.unnamed
    assert "http" not in text.replace("http-equiv", "").replace("http://www.w3.org/", "")


def test_the_page_shows_what_was_planted(report_config, report_page):
    page = Page(report_page.read_text("utf-8"))
    errors = {card["data-error"] for card in page.cards}
    assert {"missed persons", "background"} <= errors and any("miss" in each.split("|") for each in errors)
    assert any("nose" in card["data-keypoint"].split("|") for card in page.cards)
    figures = json.loads(report_page.with_name("analysis.json").read_text())
    causes = {row["cause"]: row for row in figures["gains"]}
    assert causes["missed persons"]["count"] == causes["background"]["count"] == 1
    assert figures["counts"]["persons"] == 6 and figures["AP"]["low"] <= figures["AP"]["value"]
    assert len(figures["provenance"]["files"]["results"]["sha256"]) == 64


def test_a_report_without_images_has_no_drawings(report_config, tmp_path):
    config = report_config
    report.main(ReportConfig(results=config.results, annotations=config.annotations, output=str(tmp_path), resamples=0))
    text = (tmp_path / "index.html").read_text("utf-8")
    assert not Page(text).cards and "data:image" not in text


def test_an_evaluation_writes_the_page_of_its_own_results(tmp_path, capsys):
    write_data_set(tmp_path)
    files = {"annotations": str(tmp_path / "annotations.json"), "images": str(tmp_path / "images")}
    config = EvaluationDataConfig(**files, output=str(tmp_path / "out"), codec_only=True, report=True)
    evaluate.main(config, EvaluationConfig(), CodecConfig())
    page, figures = tmp_path / "out" / "report" / "index.html", tmp_path / "out" / "report" / "analysis.json"
    assert f"page      {page}" in capsys.readouterr().out
    assert Page(page.read_text("utf-8")).cards
    analysis = json.loads(figures.read_text())
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert analysis["AP"]["value"] == pytest.approx(metrics["metrics"]["AP"]) and metrics["metrics"]["AP"] > 0.8
    assert analysis["provenance"]["files"]["results"]["sha256"] == file_hash(tmp_path / "out" / "results.json")
    with pytest.raises(UserError, match="--report needs --output"):
        evaluate.main(dataclasses.replace(config, output=""), EvaluationConfig(), CodecConfig())


def test_faulty_results_are_named(report_config, tmp_path):
    config = report_config
    for values, message in (
        ({"a": 1}, "not COCO keypoint results"),
        ([{"image_id": 1, "category_id": 1, "score": 1}], "result 0 lacks 'keypoints'"),
        ([{"image_id": 1, "category_id": 1, "score": 1, "keypoints": [1, 2, 3]}], "has 1 keypoints"),
        ([{"image_id": 99, "category_id": 1, "score": 1, "keypoints": [1] * 51}], "does not list"),
    ):
        (tmp_path / "wrong.json").write_text(json.dumps(values))
        with pytest.raises(UserError, match=message):
            report.main(
                ReportConfig(
                    results=str(tmp_path / "wrong.json"), annotations=config.annotations, output=str(tmp_path / "o")
                )
            )
        assert not (tmp_path / "o" / "index.html").exists()
