"""The list of weights by name, for people."""

from collections.abc import Sequence
from fnmatch import fnmatchcase

from keras_simplepose.conversion.named_models import converted_path
from keras_simplepose.models.fetching import cached_path
from keras_simplepose.models.presets import Preset, presets
from keras_simplepose.utils.errors import UserError

HEADINGS = ("name", "what", "published", "licence", "here")


def matching(patterns: Sequence[str]) -> list[Preset]:
    """The presets whose names match one of the patterns; all without any.

    Raises:
        UserError: a pattern matches none.
    """
    names = list(presets())
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in names):
            raise UserError(f"names: {pattern!r} matches none of {', '.join(names)}")
    chosen = patterns or ["*"]
    return [each for name, each in presets().items() if any(fnmatchcase(name, pattern) for pattern in chosen)]


def state(preset: Preset) -> str:
    """Whether a preset's file is at hand."""
    if not preset.address:
        return "shipped"
    if converted_path(preset).is_file():
        return "converted"
    if cached_path(preset).is_file():
        return "fetched"
    return "not usable yet" if preset.obstacle else "to be fetched"


def table(chosen: Sequence[Preset]) -> str:
    """A line for each."""
    rows = [HEADINGS]
    for each in chosen:
        what = f"{each.kind}, {each.skeleton}" if each.skeleton else each.kind
        rows.append((each.name, what, each.figure or "see details", each.licence, state(each)))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def details(preset: Preset) -> str:
    """All that is known of one."""
    lines = {
        "kind": preset.kind,
        "address": preset.address or "in the package",
        "sha256": f"begins with {preset.sha256}" if preset.sha256 else "not stated by its publisher",
        "licence": preset.licence,
        "source": preset.source,
        "published": f"{preset.figure} ({preset.protocol})" if preset.figure else preset.protocol,
        "skeleton": preset.skeleton,
        "codec": preset.codec,
        "input": f"{preset.input_side}×{preset.input_side}" if preset.input_side else "",
        "file": str(cached_path(preset)) if preset.address else "",
        "here": f"{state(preset)}: {preset.obstacle}" if preset.obstacle else state(preset),
    }
    return "\n".join([preset.name, *(f"  {name:<10}{value}" for name, value in lines.items() if value)])
