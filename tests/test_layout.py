"""The layers of the package: imports point down, and only commands know flags."""

import ast
import re
from pathlib import Path

import pytest

import keras_simplepose

PACKAGE = Path(keras_simplepose.__file__).parent
MODULES = sorted(PACKAGE.rglob("*.py"))
# A folder imports only what stands to its left; commands, at the end, are the modules beside the folders.
ORDER = """utils core media viz data models conversion detection prediction tracking evaluation training exporting
benchmarks reporting""".split()
# No layer: constants and defaults that any of them may read.
EVERYWHERE = {"config", "version"}
NO_VERBS = {"__init__", "config", "flags", "version"}
VERBS = [path for path in PACKAGE.glob("*.py") if path.stem not in NO_VERBS]


def imports_of(path):
    """The dotted names of all modules a file imports, also inside functions."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} line {node.lineno}: a relative import"
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


def parts_of(path):
    """The folders and top-level modules of the package that a file imports."""
    dotted = [name.split(".") for name in imports_of(path)]
    return {parts[1] for parts in dotted if parts[0] == "keras_simplepose" and len(parts) > 1}


def name_of(path):
    return str(path.relative_to(PACKAGE))


@pytest.mark.parametrize(
    "path", [path for path in MODULES if path.parent.name not in (PACKAGE.name, "config")], ids=name_of
)
def test_imports_point_down(path):
    folder = path.relative_to(PACKAGE).parts[0]
    assert folder in ORDER, f"{folder} has no place in the order"
    wrong = parts_of(path) - set(ORDER[: ORDER.index(folder) + 1]) - EVERYWHERE
    assert not wrong, f"{name_of(path)} imports {', '.join(sorted(wrong))}"


def test_the_configuration_imports_nothing_else_of_the_package():
    assert set().union(*map(parts_of, (PACKAGE / "config").glob("*.py"))) <= {"config", "utils"}
    assert not parts_of(PACKAGE / "version.py")


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_only_commands_know_absl(path):
    if path.parent == PACKAGE and (path.stem == "flags" or path in VERBS):
        return
    assert not any(name.split(".")[0] == "absl" for name in imports_of(path))


def is_main_guard(node):
    return isinstance(node, ast.If) and ast.unparse(node.test) == "__name__ == '__main__'"


def test_there_are_commands():
    assert {"train", "prepare", "convert"} <= {path.stem for path in VERBS}


@pytest.mark.parametrize("path", VERBS, ids=name_of)
def test_every_command_has_a_main_guard(path):
    assert is_main_guard(ast.parse(path.read_text()).body[-1])


def test_no_folder_has_a_commands_name():
    folders = {path.name for path in PACKAGE.iterdir() if path.is_dir()}
    assert not folders & {path.stem for path in VERBS}, "`python -m` would run the folder instead of the command"


def test_tests_mirror_the_package():
    folders = {path.parent.name for path in Path(__file__).parent.glob("*/test_*.py")}
    assert folders <= {*ORDER, "commands"}


FLAG = re.compile(r"(?<![\w-])--(no)?[a-z_]{3,}")
# It starts another program, and a help text says with which arguments.
OTHER_PROGRAM = {"benchmarks/input.py", "config/benchmark.py"}


@pytest.mark.parametrize("path", [path for path in MODULES if path.parent != PACKAGE], ids=name_of)
def test_only_commands_speak_of_flags(path):
    """Who calls the library from Python has options, not flags."""
    tree = ast.parse(path.read_text())
    documented = ast.Module, ast.ClassDef, ast.FunctionDef
    docstrings = {ast.get_docstring(node, clean=False) for node in ast.walk(tree) if isinstance(node, documented)}
    texts = {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    found = [text for text in texts - docstrings if FLAG.search(text)]
    assert not found or name_of(path) in OTHER_PROGRAM, found
