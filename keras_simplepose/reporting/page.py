"""HTML pages that stand alone: the templates beside this file, filled."""

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jinja2

from keras_simplepose.reporting.bootstrap import Interval
from keras_simplepose.version import VERSION

TEMPLATES = Path(__file__).parent / "templates"
ABSENT = "–"


def render(template: str, title: str, **values: Any) -> str:
    """A page of a template, with all it needs inside."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
    )
    inlined = {name: (TEMPLATES / file).read_text("utf-8") for name, file in INLINED.items()}
    text = environment.get_template(template).render(title=title, version=VERSION, **inlined, **values)
    return text.encode("utf-8", "backslashreplace").decode("utf-8")  # A file's name need not be UTF-8.


INLINED = {"style": "style.css", "script": "page.js"}


def share(value: float | None, decimals: int = 3) -> str:
    """A share as the field writes it: .743; a dash for what cannot be told."""
    if value is None or not math.isfinite(value):
        return ABSENT
    text = f"{value:.{decimals}f}"
    return text.replace("0.", ".", 1) if text.startswith(("0.", "-0.")) else text


def signed(value: float | None) -> str:
    """A difference of shares, with its sign."""
    if value is None or not math.isfinite(value):
        return ABSENT
    return ("+" if value >= 0 else "−") + share(abs(value))


def between(interval: Interval, show: Any = share) -> str:
    """An interval's ends."""
    return f"{show(interval.low)} to {show(interval.high)}"


def flattened(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Nested values as (name, text) pairs in their order, names joined by dots."""
    for name, value in values.items():
        where = f"{prefix}{name}"
        if isinstance(value, Mapping):
            yield from flattened(value, where + ".")
        else:
            yield where, ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
