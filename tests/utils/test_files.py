import json
import math
import os

import pytest

from keras_simplepose.utils.errors import UserError
from keras_simplepose.utils.files import atomic_path, file_hash, read_json, write_json


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_file_appears_when_it_is_whole(tmp_path):
    with atomic_path(tmp_path / "deep" / "file.txt") as temporary:
        assert temporary.suffix == ".txt" and temporary.parent.parent == tmp_path / "deep"
        temporary.write_text("all")
        assert not (tmp_path / "deep" / "file.txt").exists()
    assert (tmp_path / "deep" / "file.txt").read_text() == "all"
    assert names(tmp_path / "deep") == ["file.txt"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_failure_leaves_what_was_there(tmp_path, error):
    (tmp_path / "file.txt").write_text("before")
    with pytest.raises(error), atomic_path(tmp_path / "file.txt") as temporary:
        temporary.write_text("half")
        raise error
    assert names(tmp_path) == ["file.txt"] and (tmp_path / "file.txt").read_text() == "before"


def test_a_failure_leaves_nothing_where_nothing_was(tmp_path):
    with pytest.raises(ValueError), atomic_path(tmp_path / "set") as temporary:
        temporary.mkdir()
        (temporary / "part").write_text("half")
        raise ValueError
    assert names(tmp_path) == []


def test_a_folder_is_replaced_whole(tmp_path):
    for content in ("one", "two"):
        with atomic_path(tmp_path / "set") as temporary:
            temporary.mkdir()
            (temporary / content).write_text(content)
    assert names(tmp_path) == ["set"] and names(tmp_path / "set") == ["two"]


def test_a_place_that_cannot_be_is_a_user_error(tmp_path):
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(UserError, match="cannot write .*inside.json.*; choose another place"),
        atomic_path(tmp_path / "file" / "inside.json"),
    ):
        pytest.fail("reached the writing")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_write_protected_folder_is_a_user_error(tmp_path):
    folder = tmp_path / "protected"
    folder.mkdir(mode=0o500)
    with pytest.raises(UserError, match="cannot write .*protected"), atomic_path(folder / "file"):
        pytest.fail("reached the writing")


def test_a_full_disk_is_a_user_error(tmp_path):
    with pytest.raises(UserError, match="No space left on device; free space"), atomic_path(tmp_path / "file"):
        raise OSError(28, os.strerror(28))
    assert names(tmp_path) == []


def test_json_round_trip(tmp_path):
    write_json(tmp_path / "a.json", {"ä": [1, 2.5, None]})
    assert read_json(tmp_path / "a.json") == {"ä": [1, 2.5, None]}


@pytest.mark.parametrize("value", [math.nan, math.inf, object()])
def test_what_is_no_json_is_not_written(tmp_path, value):
    with pytest.raises((ValueError, TypeError)):
        write_json(tmp_path / "a.json", value)
    assert names(tmp_path) == []


def test_faults_of_a_json_file(tmp_path):
    with pytest.raises(UserError, match="a.json: no such file"):
        read_json(tmp_path / "a.json")
    with pytest.raises(UserError, match="cannot be read"):
        read_json(tmp_path)
    (tmp_path / "a.json").write_bytes(b"\xff\xd8\xff\xe0")
    with pytest.raises(UserError, match="a.json: not a text file"):
        read_json(tmp_path / "a.json")
    (tmp_path / "a.json").write_text('{"a": 1,\n "b": }')
    with pytest.raises(UserError, match="a.json: not valid JSON at line 2 column 7"):
        read_json(tmp_path / "a.json")


def test_the_hash_of_a_file_is_sha256(tmp_path):
    (tmp_path / "abc").write_text("abc")
    # FIPS 180-2, appendix B.1.
    assert file_hash(tmp_path / "abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_the_hash_of_a_folder_knows_names_and_contents(tmp_path):
    def hash_of(**files):
        folder = tmp_path / f"{len(names(tmp_path))}"
        folder.mkdir()
        for name, text in files.items():
            (folder / name).write_text(text)
        return file_hash(folder)

    assert hash_of(a="1", b="2") == hash_of(b="2", a="1")
    assert len({hash_of(a="1", b="2"), hash_of(a="2", b="1"), hash_of(a="1", c="2"), hash_of(a="1")}) == 4


def test_written_json_ends_in_a_line_feed(tmp_path):
    write_json(tmp_path / "a.json", [1])
    assert (tmp_path / "a.json").read_text() == json.dumps([1], indent=2) + "\n"


def test_a_byte_order_mark_is_no_fault(tmp_path):
    (tmp_path / "file.json").write_bytes(b'\xef\xbb\xbf{"name": "\xc3\xa9"}')
    assert read_json(tmp_path / "file.json") == {"name": "é"}


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("[" * 100_000 + "]" * 100_000, "nested too deeply"),
        ("[" + "9" * 5_000 + "]", "an integer of thousands of digits"),
        ("{" * 2, "line 1 column 2"),
    ],
)
def test_json_that_python_cannot_hold_is_one_line(tmp_path, text, named):
    (tmp_path / "file.json").write_text(text)
    with pytest.raises(UserError, match=named) as caught:
        read_json(tmp_path / "file.json")
    assert "file.json" in str(caught.value) and len(str(caught.value)) < 300
