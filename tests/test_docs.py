"""Commands and code in the documentation: each is run on tiny data, or marked as needing what no test has.

A comment before a fenced block says which, since GitHub and the site do not show it:

    <!-- runs -->                                 here, as it stands
    <!-- runs slowly; with: A | B; status: 0 1 -->  in the slow tests; A and B are flags added to its commands for speed
    <!-- run by: FILE, FILE -->                   those run the same
    <!-- needs: COCO -->                          nobody does; the flags are checked all the same
    <!-- file: mine.toml -->                      what the commands of the page find under that name
"""

import importlib.util
import json
import re
import shlex
import shutil
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from media_files import write_video
from small_runs import tiny_network

from keras_simplepose import save_model
from keras_simplepose.data.synthetic.scenes import make_synthetic_dataset

ROOT = Path(__file__).parents[1]
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "export" / "README.md",
    *sorted((ROOT / "docs").glob("*.md")),
]
PAGES = [path for path in PAGES if "{include}" not in path.read_text()]
NAMES = [str(path.relative_to(ROOT)) for path in PAGES]
# What a block may need that no test has.
NEEDS = {
    "COCO", "MPII", "PoseTrack", "several machines", "a cluster", "Docker", "network", "Android", "a browser",
    "minutes", "a fresh environment", "an annotated film", "the extra docs", "the extra openvino",
}  # fmt: skip
CODE = {"sh", "bash", "python", "kotlin", "html", "js"}  # Languages whose blocks do something.
MARKS = {"runs", "runs slowly", "with", "status", "run by", "needs", "file"}
# Flags of the clients, Docker, Slurm and the converter of TensorFlow.js; and of every command.
OTHER_FLAGS = {"box", "everybody", "profile", "signal", "signature_name", "help", "flagfile"}
COMMAND = re.compile(r"python -m keras_simplepose\.(\w+)((?:\\\n|[^\n`])*)")


class Block(NamedTuple):
    """A fenced block: where, its language and text, and the parts of its mark, such as {"runs": "", "with": "…"}."""

    where: str
    language: str
    text: str
    mark: dict

    def commands(self):
        """The package's commands in it: name and arguments."""
        for name, rest in COMMAND.findall(self.text):
            text = rest.replace("\\\n", " ").split(" && ")[0].rstrip().rstrip("'")
            yield name, [word for word in shlex.split(text, comments=True) if word != "…"]


def blocks_of(path):
    lines = path.read_text().splitlines()
    starts = [number for number, line in enumerate(lines) if line.startswith("```")]
    for start, end in zip(starts[::2], starts[1::2], strict=True):
        comment = re.fullmatch(r"<!-- (.*) -->", lines[start - 1])
        parts = [part.partition(": ") for part in comment[1].split("; ")] if comment else []
        where, text = f"{path.relative_to(ROOT)} line {start + 1}", "\n".join(lines[start + 1 : end]) + "\n"
        yield Block(where, lines[start][3:].strip(), text, {name: value for name, _, value in parts})


BLOCKS = {name: list(blocks_of(path)) for name, path in zip(NAMES, PAGES, strict=True)}
EVERY = [block for blocks in BLOCKS.values() for block in blocks]


@pytest.fixture(scope="module")
def command_lines():
    """All commands, as the site finds them."""
    spec = importlib.util.spec_from_file_location("command_help", ROOT / "docs" / "command_help.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.commands()


def test_every_command_is_run_or_marked():
    for block in EVERY:
        assert block.language, f"{block.where}: the block has no language"
        assert set(block.mark) <= MARKS, f"{block.where}: what is {block.mark}?"
        if block.language in CODE or list(block.commands()):
            assert block.mark, f"{block.where}: neither run nor marked"
        assert block.mark.get("needs", "COCO") in NEEDS, f"{block.where}: needs what?"
        for name in filter(None, block.mark.get("run by", "").split(", ")):
            assert (ROOT / name).exists(), f"{block.where}: there is no {name}"
        if {"runs", "runs slowly"} & set(block.mark) and block.language != "python":
            rest = COMMAND.sub("", block.text).splitlines()
            assert not [line for line in rest if line and line[0] != "#"], f"{block.where}: other programs are not run"
    assert sum("runs" in block.mark for block in EVERY) > 2 and sum("runs slowly" in block.mark for block in EVERY) > 15


def test_flags_of_commands_are_taken(command_lines, monkeypatch):
    monkeypatch.chdir(ROOT)
    for block in EVERY:
        for name, arguments in block.commands():
            assert name in command_lines, f"{block.where}: no command {name}"
            absent = [each for each in arguments if each.startswith("--flagfile=") and not Path(each[11:]).exists()]
            line, given = command_lines[name].line(), [each for each in arguments if each not in absent]
            assert not [each for each in absent if "experiments/" in each], f"{block.where}: {absent}"
            try:
                (line.parse if absent else line.read)(given)
            except Exception as error:
                raise AssertionError(f"{block.where}: {name} {given}: {error}") from error


@pytest.mark.parametrize("name", NAMES)
def test_flags_and_files_in_the_text_exist(name, command_lines):
    fields = {flag for command in command_lines.values() for flag in command.line().help().split() if flag[:2] == "--"}
    known = {re.match(r"--(\[no\])?(\w+)", flag)[2] for flag in fields} | OTHER_FLAGS
    known |= {f"no{re.match(r'--.no.(.*)', flag)[1]}" for flag in fields if flag.startswith("--[no]")}
    text = re.sub(r"^```.*?^```", "", (ROOT / name).read_text(), flags=re.M | re.S)
    for span in re.findall(r"`([^`\n]+)`", text):
        if not span.startswith(("sphinx-build", "docker", "pytest")):
            assert set(re.findall(r"(?<![\w-])--([a-z]\w*)", span)) <= known, f"{name}: `{span}`"
        if re.fullmatch(r"(experiments|export|tests|keras_simplepose|docs)/[a-z\d_/.]+", span):
            assert (ROOT / span).exists(), f"{name}: there is no {span}"
    for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text):
        assert ((ROOT / name).parent / link).exists(), f"{name}: a link leads to {link}, which is not there"


def coco_of(joints, source, target, skeleton_names):
    """A COCO file with some of the keypoints of another."""
    values = json.loads(source.read_text())
    for entry in values["annotations"]:
        points = np.reshape(entry["keypoints"], (-1, 3))[joints]
        entry |= {"keypoints": points.reshape(-1).tolist(), "num_keypoints": int((points[:, 2] > 0).sum())}
    for category in values["categories"]:
        category |= {"keypoints": skeleton_names, "skeleton": []}
    target.write_text(json.dumps(values))


@pytest.fixture(scope="module")
def stand_ins(tmp_path_factory):
    """Files under the names that the pages use: rendered people, networks of one convolution."""
    folder = tmp_path_factory.mktemp("stand_ins")
    (folder / "annotations").mkdir()
    for part, seed in (("train", 1), ("val", 2)):
        persons, images = make_synthetic_dataset(folder / part, 4, seed, (120, 160), workers=1)
        annotations = shutil.move(persons, folder / "annotations" / f"person_keypoints_{part}2017.json")
        shutil.move(images, folder / f"{part}2017")
        shutil.rmtree(folder / part)
        mine, photographs = ("mine.json", "photographs") if part == "train" else ("mine_val.json", "photographs_val")
        shutil.copytree(folder / f"{part}2017", folder / photographs)
        names = ["left_shoulder", "right_shoulder", "left_wrist", "right_wrist"]
        coco_of([5, 6, 9, 10], annotations, folder / mine, names)
    persons = json.loads((folder / "annotations" / "person_keypoints_val2017.json").read_text())["annotations"]
    boxes = [{name: each[name] for name in ("image_id", "category_id", "bbox")} | {"score": 0.9} for each in persons]
    (folder / "boxes.json").write_text(json.dumps(boxes))
    poses = [box | {"image_id": 0, "keypoints": each["keypoints"]} for box, each in zip(boxes, persons, strict=True)]
    (folder / "video-poses").mkdir()
    (folder / "video-poses" / "poses.json").write_text(json.dumps(poses[:2]))
    shutil.copy(sorted((folder / "val2017").iterdir())[0], folder / "photo.jpg")
    for film in ("walk.mp4", "street.mp4"):
        write_video(folder / film, 3, size=(120, 160))
    (folder / "runs" / "r50").mkdir(parents=True)
    save_model(tiny_network(), folder / "pose.keras")
    shutil.copy(folder / "pose.keras", folder / "runs" / "r50" / "best.keras")
    return folder


def run_block(block, command_lines):
    if block.language == "python":
        exec(compile(block.text, block.where, "exec"), {"__name__": "documentation"})
        return
    more = [shlex.split(part) for part in block.mark.get("with", "").split("|")]
    expected = [int(status) for status in block.mark.get("status", "0").split()]
    for number, (name, arguments) in enumerate(block.commands()):
        arguments = arguments + (more[number] if number < len(more) else [])
        if any(each.startswith("--detector=yolox") for each in arguments):
            arguments.append("--detector=none")  # Its file is not here.
        command = command_lines[name]
        status = command.main(*command.line().read(arguments)) or 0
        assert status in expected, f"{block.where}: {name} ended with status {status}"


def run_page(name, how, stand_ins, folder, command_lines):
    shutil.copytree(stand_ins, folder, dirs_exist_ok=True)
    for place in ("experiments", "export"):
        (folder / place).symlink_to(ROOT / place)
    for block in BLOCKS[name]:
        if "file" in block.mark:
            (folder / block.mark["file"]).write_text(block.text)
    running = [block for block in BLOCKS[name] if how in block.mark]
    for path in re.findall(r"--(?:workdir|output)=(\S+)", "".join(block.text for block in running)):
        if (folder / path).is_dir():  # The page makes it itself.
            shutil.rmtree(folder / path)
        (folder / path).unlink(missing_ok=True)
    for block in running:
        run_block(block, command_lines)


def pages(how):
    return [name for name in NAMES if any(how in block.mark for block in BLOCKS[name])]


@pytest.mark.parametrize("name", pages("runs"))
def test_quick_commands_run(name, stand_ins, command_lines, tmp_path, monkeypatch):
    (tmp_path / "page").mkdir()
    monkeypatch.chdir(tmp_path / "page")
    run_page(name, "runs", stand_ins, tmp_path / "page", command_lines)


@pytest.mark.slow
@pytest.mark.parametrize("name", pages("runs slowly"))
def test_commands_run(name, stand_ins, command_lines, tmp_path, monkeypatch):
    (tmp_path / "page").mkdir()
    monkeypatch.chdir(tmp_path / "page")
    run_page(name, "runs slowly", stand_ins, tmp_path / "page", command_lines)
