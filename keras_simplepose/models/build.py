"""The network families by name. A new one is a module with `OPTIONS` and `from_config`, and a line in `FAMILIES`."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras

from keras_simplepose.config import ModelConfig
from keras_simplepose.models import cpn, hourglass, simple_baselines
from keras_simplepose.utils.errors import UserError
from keras_simplepose.utils.names import look_up


@dataclass(frozen=True)
class Family:
    """One kind of pose network.

    Attributes:
        build: makes the network of a configuration, under a Keras dtype policy.
        options: the fields of `ModelConfig` that only this family has, or only some families have.
        description: what it is, and whose.
    """

    build: Callable[[ModelConfig, str], keras.Model]
    options: tuple[str, ...]
    description: str


def _of(module: Any) -> Family:
    return Family(module.from_config, module.OPTIONS, module.__doc__)


FAMILIES: dict[str, Family] = {
    "simple": _of(simple_baselines),
    "hourglass": _of(hourglass),
    "cpn": _of(cpn),
}


def build_from_config(config: ModelConfig, precision: str = "float32") -> keras.Model:
    """A new network as a configuration describes it.

    Args:
        config: its architecture is a name in `FAMILIES`.
        precision: a Keras dtype policy; the heatmaps are float32 under any.

    Raises:
        UserError: an unknown architecture, an option that this one does not have, or a value that does not serve.
    """
    check_options(config)
    return FAMILIES[config.architecture].build(config, precision)


def check_options(config: ModelConfig) -> None:
    """Checks that a configuration sets only options that its architecture has.

    Raises:
        UserError: an unknown architecture, or naming the option.
    """
    family = look_up("architecture", config.architecture, FAMILIES)
    others = {name for other in FAMILIES.values() for name in other.options} - set(family.options)
    for name in sorted(others):
        value = getattr(config, name)
        if value not in (getattr(ModelConfig, name), "none"):
            raise UserError(f"{name} is {value!r}, but architecture {config.architecture} has no such option")
