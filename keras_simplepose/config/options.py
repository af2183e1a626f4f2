"""How an option is declared, described and checked: its default, the values that make sense, what it depends on.

The other files here declare with it; the commands check with it, once and before anything starts, and show it in
the help of their flags.
"""

import dataclasses
import math
import numbers
import os
import re
import typing
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

from keras_simplepose.utils.errors import UserError

# Option → True: given, or on; False: not given, or off; else the value it must have, a pattern such as *.onnx, or a
# tuple of such. Options that a command does not have are left out of account.
Condition = Mapping[str, Any]
SHOWN = 100  # Characters of a wrong value.


@dataclass(frozen=True)
class Rules:
    """What an option's value must satisfy; of a tuple's, each element.

    Attributes:
        minimum: least value.
        above: what it must be greater than.
        maximum: greatest value.
        below: what it must be less than.
        multiple_of: a number, or the name of the option that holds it.
        choices: the values there are; those of a `Literal` need none.
        lengths: how many elements a tuple may have.
        distinct: no element twice.
        required: it must be given: always, or where the condition holds.
        only_with: where it has an effect: one of these conditions holds.
        form: a regular expression that a text must match, and what that is in words.
        positional: a tuple that takes a command line's arguments without a flag.
    """

    minimum: float | None = None
    above: float | None = None
    maximum: float | None = None
    below: float | None = None
    multiple_of: int | str = 0
    choices: tuple = ()
    lengths: Collection[int] = ()
    distinct: bool = False
    required: bool | Condition = False
    only_with: Condition | tuple[Condition, ...] = ()
    form: tuple[str, str] = ("", "")
    positional: bool = False

    def conditions(self) -> tuple[Condition, ...]:
        """Those of `only_with`."""
        return (self.only_with,) if isinstance(self.only_with, Mapping) else self.only_with


def option(default: Any, help: str, **rules: Any) -> Any:
    """A dataclass field with its default, the help text its flag shows, and the `Rules` its value must satisfy."""
    return field(default=default, metadata={"help": help, "rules": Rules(**rules)})


def same(config: Any, name: str, **rules: Any) -> Any:
    """The field of another configuration, default, help text and rules, the given ones replaced."""
    there = config.__dataclass_fields__[name]
    metadata = dict(there.metadata) | {"rules": dataclasses.replace(there.metadata["rules"], **rules)}
    return field(default=there.default, metadata=metadata)


def limits(option: dataclasses.Field, name: Callable[[str], str] = str) -> str:
    """The values an option takes, in words; "" where its type says all."""
    rules: Rules = option.metadata["rules"]
    choices = ", ".join(map(str, rules.choices))
    words = [f"one of {choices}"] if choices else [rules.form[1]] if rules.form[1] else []
    if isinstance(rules.multiple_of, str):
        words.append(f"a multiple of {name(rules.multiple_of)}")
    elif rules.multiple_of:
        words.append(f"a multiple of {rules.multiple_of}")
    if rules.minimum is not None and rules.maximum is not None:
        words.append(f"from {rules.minimum} to {rules.maximum}")
    elif not rules.multiple_of or rules.minimum != rules.multiple_of:
        words += [f"at least {rules.minimum}"] if rules.minimum is not None else []
        words += [f"greater than {rules.above}"] if rules.above is not None else []
        words += [f"at most {rules.maximum}"] if rules.maximum is not None else []
        words += [f"less than {rules.below}"] if rules.below is not None else []
    text = " and ".join(words)
    if typing.get_origin(option.type) is not tuple:
        return text
    if rules.distinct and choices:
        return f"any of {choices}, each at most once"
    count = _count(rules.lengths)
    return ", ".join(filter(None, (count, text and f"each {text}", "each at most once" if rules.distinct else "")))


def _count(lengths: Collection[int]) -> str:
    if not lengths:
        return ""
    if isinstance(lengths, range):
        return f"{lengths[0]} to {lengths[-1]} values"
    return " or ".join(str(length) if length else "none" for length in lengths) + " values"


def condition_text(
    condition: Condition, options: Mapping[str, dataclasses.Field], name: Callable[[str], str] = str
) -> str:
    """A condition on those of the options that there are, in words; "" where it is on none of them."""
    without = " or ".join(name(other) for other, wanted in condition.items() if other in options and wanted is False)
    present = []
    for other, wanted in condition.items():
        if other in options and wanted is not False:
            values = wanted if isinstance(wanted, tuple) else (wanted,)
            is_set = options[other].type in (int, float) and options[other].default != 0
            value = (" other than 0" if is_set else "") if wanted is True else "=" + "|".join(map(str, values))
            present.append(name(other) + value)
    parts = ("with " + " and ".join(present) if present else "", f"without {without}" if without else "")
    return ", ".join(filter(None, parts))


def dependence(
    option: dataclasses.Field, options: Mapping[str, dataclasses.Field], name: Callable[[str], str] = str
) -> str:
    """Beside which of the other options this one has an effect, in words; "" if beside any."""
    conditions = [
        {other: wanted for other, wanted in condition.items() if other in options}
        for condition in option.metadata["rules"].conditions()
    ]
    if not (conditions and all(conditions)):
        return ""
    shared = {
        key: wanted for key, wanted in conditions[0].items() if all(each.get(key) == wanted for each in conditions)
    }
    rests = [{key: wanted for key, wanted in each.items() if key not in shared} for each in conditions]
    texts = [condition_text(shared, options, name)]
    if all(rests):
        texts.append(", or ".join(dict.fromkeys(condition_text(each, options, name) for each in rests)))
    return ", and ".join(filter(None, texts))


def check(
    *configs: Any, defaults: Sequence[Any] = (), name: Callable[[str], str] = str, excused: Collection[str] = ()
) -> list[str]:
    """Checks every option of configurations: its type and range, what is missing, and what would have no effect.

    A value that is the default is never without effect, so that a file that lists every option can be read back.

    Args:
        *configs: instances of config.py's dataclasses, all of one purpose: conditions are read across them.
        defaults: instances to compare with, where they are not those of the dataclasses.
        name: how an option is to be called in messages.
        excused: options that may be without effect.

    Returns:
        a line for each of those that is.

    Raises:
        UserError: naming the first fault found.
    """
    options = list(_options(configs))
    values: dict[str, Any] = {}
    fields: dict[str, dataclasses.Field] = {}
    for _, each, value in options:
        values.setdefault(each.name, value)
        fields.setdefault(each.name, each)
    for _, each, value in options:
        if not _is_right(each, value, values):
            shown = ",".join(map(str, value)) if isinstance(value, tuple | list) else str(value)
            wanted = limits(each, name) or _kind(each.type)
            raise UserError(f"{name(each.name)} is {shown[:SHOWN] or 'empty'}; it must be {wanted}")
    for _, each, value in options:
        required = each.metadata["rules"].required
        if required is not False and not value and (required is True or _holds(required, values)):
            text = "" if required is True else condition_text(required, fields, name)
            needed = f" (needed {text})" if text else ""
            raise UserError(f"{name(each.name)} is missing: {each.metadata['help']}{needed}")
    notes = []
    for config, each, value in options:
        start = next((start for start in defaults if type(start) is type(config)), None)
        conditions = each.metadata["rules"].conditions()
        is_default = value == (each.default if start is None else getattr(start, each.name))
        if is_default or not conditions or any(_holds(condition, values) for condition in conditions):
            continue
        note = f"{name(each.name)} has no effect here; it counts only {dependence(each, fields, name)}"
        if each.name not in excused:
            raise UserError(note)
        notes.append(note)
    return notes


def _options(configs: Sequence[Any]) -> Iterator[tuple[Any, dataclasses.Field, Any]]:
    """Every option with its configuration and value; a configuration of configurations gives those of its parts."""
    for config in configs:
        for each in dataclasses.fields(config):
            value = getattr(config, each.name)
            if dataclasses.is_dataclass(value):
                yield from _options([value])
            else:
                yield config, each, value


def _holds(condition: Condition, values: Mapping[str, Any]) -> bool:
    for name, wanted in condition.items():
        if name not in values:
            continue
        value = values[name]
        if isinstance(wanted, bool):
            if bool(value) is not wanted:
                return False
        else:
            there = value if isinstance(value, tuple | list) else (value,)
            patterns = wanted if isinstance(wanted, tuple) else (wanted,)
            if not any(fnmatchcase(str(one), str(pattern)) for one in there for pattern in patterns):
                return False
    return True


def _is_right(option: dataclasses.Field, value: Any, values: Mapping[str, Any]) -> bool:
    rules: Rules = option.metadata["rules"]
    if typing.get_origin(option.type) is not tuple:
        return _is_one(option.type, rules, value, values)
    if not isinstance(value, tuple | list) or (rules.lengths and len(value) not in rules.lengths):
        return False
    if rules.distinct and len(set(value)) < len(value):
        return False
    return all(_is_one(typing.get_args(option.type)[0], rules, one, values) for one in value)


def _is_one(kind: Any, rules: Rules, value: Any, values: Mapping[str, Any]) -> bool:
    """Whether a value, or a tuple's element, is of its type and within its range."""
    if typing.get_origin(kind) is typing.Literal:
        return value in typing.get_args(kind)
    if kind is str:
        if not isinstance(value, str | os.PathLike) or (rules.choices and value not in rules.choices):
            return False
        return not rules.form[0] or re.fullmatch(rules.form[0], str(value)) is not None
    if kind is bool or isinstance(value, bool):
        return kind is bool and isinstance(value, bool)
    number: Any = value
    if not isinstance(value, numbers.Integral):
        if kind is int or not isinstance(value, numbers.Real) or not math.isfinite(value):
            return False
    step = values.get(rules.multiple_of, 0) if isinstance(rules.multiple_of, str) else rules.multiple_of
    return (
        (rules.minimum is None or number >= rules.minimum)
        and (rules.above is None or number > rules.above)
        and (rules.maximum is None or number <= rules.maximum)
        and (rules.below is None or number < rules.below)
        and (not step or number % step == 0)
        and (not rules.choices or number in rules.choices)
    )


def _kind(kind: Any) -> str:
    """A type in words."""
    if typing.get_origin(kind) is typing.Literal:
        return "one of " + ", ".join(map(str, typing.get_args(kind)))
    if typing.get_origin(kind) is tuple:
        return f"values that are each {_kind(typing.get_args(kind)[0])}"
    return {bool: "true or false", int: "a whole number", float: "a finite number", str: "a text"}[kind]
