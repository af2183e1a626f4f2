"""Which options a run may change when it goes on, and which it did."""

import dataclasses
import json
import math
from collections.abc import Callable, Mapping
from typing import Any

from keras_simplepose.utils.errors import UserError

# How often to write, where to, and what is only looked at: none of them changes what is learnt.
FREE = {"workdir", "resume", "checkpoint_every", "keep_checkpoints", "picture_count", "data_service"}
MOST_SHOWN = 3


@dataclasses.dataclass(frozen=True)
class Interval:
    """After how many steps, or seconds, something is due; the other one is infinite."""

    steps: float = math.inf
    seconds: float = math.inf

    @classmethod
    def of(cls, text: str) -> "Interval":
        """Of an option such as "1000" (steps) or "10min"."""
        number = str(text).removesuffix("min")
        return cls(seconds=60.0 * int(number)) if number != str(text) else cls(steps=int(number))


def options_of(*configs: Any) -> dict[str, Any]:
    """The options of configurations by name, as JSON gives them back."""
    values: dict[str, Any] = {}
    for config in configs:
        for field in dataclasses.fields(config):
            value = getattr(config, field.name)
            values |= options_of(value) if dataclasses.is_dataclass(value) else {field.name: value}
    return json.loads(json.dumps(values, default=str))


def check_options(
    place: str, before: Mapping[str, Any], now: Mapping[str, Any], resume: str, name: Callable[[str], str] = str
) -> list[str]:
    """Checks that a run goes on as it began.

    More epochs are no change, unless the schedule runs over all of them.

    Args:
        place: of the run, for the message.
        before: its options.
        now: those it is to go on with; what `before` does not have is not compared.
        resume: "force" takes whatever has changed.
        name: how an option is called in the message.

    Returns:
        a text for each option that has changed.

    Raises:
        UserError: listing them, unless forced.
    """
    free = FREE | ({"epochs"} if now.get("schedule") != "cosine" else set())
    changes = [
        f"{name(option)} was {_shown(before[option])}, is {_shown(value)}"
        for option, value in now.items()
        if option in before and option not in free and before[option] != value
    ]
    if changes and resume != "force":
        more = f" and {len(changes) - MOST_SHOWN} more" if len(changes) > MOST_SHOWN else ""
        raise UserError(
            f"{place} holds a run with other options: {'; '.join(changes[:MOST_SHOWN])}{more}; choose a new folder, "
            f"or go on all the same with {name('resume')}=force"
        )
    return changes


def _shown(value: Any) -> str:
    text = ",".join(map(str, value)) if isinstance(value, list) else str(value)
    return text[-40:] or "empty"
