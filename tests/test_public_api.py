"""What `keras_simplepose` promises: each public name has an example in its docstring, and the examples run."""

import doctest

import pytest

import keras_simplepose

NAMES = [name for name in keras_simplepose.__all__ if not name.startswith("__")]


@pytest.mark.parametrize("name", NAMES)
def test_the_example_of_a_public_name_runs(name):
    value = getattr(keras_simplepose, name)
    (example, *more) = doctest.DocTestFinder(recurse=False).find(value, name, globs={})
    assert not more and example.examples, f"{name} has no example in its docstring"
    report: list[str] = []
    failures, tried = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(example, out=report.append)
    assert tried and not failures, "".join(report)


def test_every_public_name_is_listed_and_found():
    assert set(NAMES) <= set(dir(keras_simplepose))
    with pytest.raises(AttributeError, match="no attribute 'absent'"):
        keras_simplepose.absent  # noqa: B018
