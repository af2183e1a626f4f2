import json
import math
import os

import pytest

from keras_simplepose.utils.errors import UserError
from keras_simplepose.utils.files import (
    MADE_HERE,
    atomic_path,
    check_outputs,
    file_hash,
    read_json,
    record_results,
    result_path,
    write_json,
)


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


def made(path, text="result", source=""):
    with result_path(path, source) as temporary:
        temporary.write_text(text)
    return path


def test_only_what_was_made_here_is_replaced(tmp_path):
    mine, foreign = made(tmp_path / "mine.csv"), tmp_path / "foreign.csv"
    foreign.write_text("a user's")
    check_outputs([mine, tmp_path / "new.csv"])
    with pytest.raises(UserError, match=r"foreign\.csv: is there already and was not made"):
        check_outputs([mine, foreign])
    mine.write_text("edited by hand")
    with pytest.raises(UserError, match="changed since"):
        check_outputs([mine])
    made(mine)
    check_outputs([mine])
    mine.unlink()
    mine.symlink_to(foreign)
    with pytest.raises(UserError, match="not made"):
        check_outputs([mine])


def test_folders_are_known_by_what_they_hold(tmp_path):
    (tmp_path / "1").mkdir()
    (tmp_path / "1" / "model").write_text("weights")
    with pytest.raises(UserError, match="not made"):
        check_outputs([tmp_path / "1"])
    record_results(tmp_path / "1")
    check_outputs([tmp_path / "1"])
    (tmp_path / "1" / "notes").write_text("a user's")
    with pytest.raises(UserError, match="changed since"):
        check_outputs([tmp_path / "1"])


def test_inputs_are_seen_through_links_and_spellings(tmp_path):
    clip = made(tmp_path / "walk.mp4")
    (tmp_path / "other").mkdir()
    (tmp_path / "link.mp4").symlink_to(clip)
    (tmp_path / "folder").symlink_to(tmp_path, target_is_directory=True)
    for given in (
        clip,
        tmp_path / "link.mp4",
        tmp_path / "folder" / "walk.mp4",
        tmp_path / "other" / ".." / "walk.mp4",
    ):
        with pytest.raises(UserError, match=r"walk\.mp4: is an input"):
            check_outputs([clip], [given])
        with pytest.raises(UserError, match="is an input"):
            check_outputs([given], [clip])
    (tmp_path / "hard.mp4").hardlink_to(clip)
    with pytest.raises(UserError, match="is an input"):
        check_outputs([tmp_path / "hard.mp4"], [clip])
    with pytest.raises(UserError, match="is an input"):  # A folder that holds it would be replaced whole.
        check_outputs([tmp_path], [clip], is_own=True)
    check_outputs([tmp_path / "new.mp4"], [clip, tmp_path / "absent.mp4", ""])


def test_results_of_another_source_are_kept(tmp_path):
    poses = made(tmp_path / "poses.json", source="/photographs")
    check_outputs([poses], source="/photographs")
    with pytest.raises(UserError, match=r"poses\.json: holds the results of /photographs"):
        check_outputs([poses], source="/walk.mp4")


def test_a_damaged_record_vouches_for_nothing(tmp_path):
    path = made(tmp_path / "a.csv")
    record = tmp_path / MADE_HERE
    record.write_bytes(b'{"name": "a.cs\n[1]\n\xff\n' + record.read_bytes() + b'{"name": "b')
    check_outputs([path])
    record.write_text("")
    with pytest.raises(UserError, match="not made"):
        check_outputs([path])


def test_names_that_are_no_utf8_keep_their_bytes(tmp_path):
    path = tmp_path / os.fsdecode(b"caf\xe9.json")
    write_json(path, {"name": path.name})
    record_results(path)
    check_outputs([path])
    assert read_json(path) == {"name": path.name}
