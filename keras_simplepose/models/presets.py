"""Weights by name: what is published where, as `presets.toml` beside this file lists it."""

import functools
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from keras_simplepose.utils.errors import UserError
from keras_simplepose.utils.names import unknown

LIST = Path(__file__).with_suffix(".toml")
POSE_NETWORK, PERSON_DETECTOR, BACKBONE = KINDS = ("pose network", "person detector", "backbone")


@dataclass(frozen=True)
class Preset:
    """One published file.

    Attributes:
        name: what options take.
        kind: one of `KINDS`.
        address: where it is to be had; "" of those that ship with the package.
        file: what it is called, there and on disk.
        sha256: the first hexadecimal digits of its hash; "" where its publisher states none.
        licence: of the weights.
        source: the page that publishes it.
        figure: what its publisher measured, such as "AP .718", or "".
        protocol: how.
        skeleton: of a pose network; a name in `core.skeletons.SKELETONS`.
        codec: of a pose network; a name in `core.codecs.CODECS`.
        input_side: of a detector's square input, in pixels.
        obstacle: why it cannot be used yet, or "".
    """

    name: str
    kind: str
    address: str
    file: str
    sha256: str
    licence: str
    source: str
    figure: str
    protocol: str
    skeleton: str = ""
    codec: str = ""
    input_side: int = 0
    obstacle: str = ""


@functools.cache
def presets() -> Mapping[str, Preset]:
    """All of them by name, in the list's order."""
    found: dict[str, Preset] = {}
    for group in tomllib.loads(LIST.read_text(encoding="utf-8")).values():
        files, base = group.pop("files"), group.pop("base")
        for name, entry in files.items():
            address = base and base + entry["file"]
            values = (
                {"sha256": "", "figure": ""} | group | entry | {"file": (address or entry["file"]).rpartition("/")[2]}
            )
            found[name] = Preset(name=name, address=address, **values)
    return found


def find_preset(text: str, kind: str, others: Mapping[str, object] = MappingProxyType({})) -> Preset | None:
    """The preset of a name.

    Args:
        text: what was given for a file.
        kind: what is wanted.
        others: further names that may be given there, for the error alone.

    Returns:
        None where the text is no name but a path.

    Raises:
        UserError: it is a name that is not in the list, or one of another kind, or of a file that cannot be used yet.
    """
    preset = presets().get(text)
    if preset is None:
        if not re.fullmatch(r"[A-Za-z0-9_-]+", text):
            return None
        known = {name: preset for name, preset in presets().items() if preset.kind == kind}
        raise unknown(kind, text, {**others, **known})
    if preset.kind != kind:
        raise UserError(f"{text} names a {preset.kind}, and a {kind} is wanted here")
    if preset.obstacle:
        raise UserError(f"{text}: {preset.obstacle}; it is published at {preset.address}")
    return preset
