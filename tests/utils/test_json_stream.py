import json

import pytest

from keras_simplepose.utils.json_stream import DEEPEST, NotStreamable, json_entries


def entries(path, text, key="annotations"):
    path.write_text(text)
    return list(json_entries(path, key))


def test_entries_are_those_of_the_whole_file(tmp_path):
    rows = [{"id": place, "box": [0.5, 1, -2e3], "name": "[{" * (place % 7), "none": None} for place in range(5000)]
    text = json.dumps({"info": {"annotations": [1]}, "annotations": rows, "images": [{"id": 1}]})
    assert entries(tmp_path / "a.json", text) == rows  # The brackets in names are no lists.
    assert entries(tmp_path / "a.json", text, "images") == [{"id": 1}]
    assert entries(tmp_path / "a.json", text, "categories") == []


CLOSED = '{"a": "' + "]" * 200_000 + '", "annotations": '


@pytest.mark.parametrize("begin", ["", '{"annotations": ', '{"images": [], "annotations": [{"a": ', CLOSED])
@pytest.mark.parametrize("opened", ["[", '{"a":'])
def test_deep_nesting_is_not_followed(tmp_path, begin, opened):
    """ijson would take gigabytes for a file of a hundred kilobytes."""
    with pytest.raises(NotStreamable, match="deep"):
        entries(tmp_path / "a.json", begin + opened * 100_000)


def test_what_no_annotations_reach_is_still_followed(tmp_path):
    depth = DEEPEST - 2
    value = entries(tmp_path / "a.json", '{"annotations": [' + "[" * depth + "]" * depth + "]}")
    assert str(value).count("[") == depth + 1
