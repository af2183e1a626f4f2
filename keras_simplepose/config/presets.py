"""The list of weights by name."""

from dataclasses import dataclass

from keras_simplepose.config.options import option


@dataclass(frozen=True)
class PresetsConfig:
    """What to list."""

    names: tuple[str, ...] = option((), "only those that match one of these; * stands for anything")
    details: bool = option(False, "a paragraph for each: address, hash, source, protocol, and where its file belongs")
