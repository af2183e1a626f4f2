"""Flags generated from the configuration dataclasses, and back; the frame every command runs in."""

import dataclasses
import gc
import sys
import textwrap
import typing
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NoReturn

from absl import flags

from keras_simplepose.config.options import SHOWN, check, condition_text, dependence, limits
from keras_simplepose.utils.errors import UserError
from keras_simplepose.utils.files import atomic_path, read_text, refuse_pipe
from keras_simplepose.utils.signals import Interrupted

LONGEST_FAULT = 250  # Characters of what absl says, which repeats the value.


class _TupleParser(flags.ArgumentParser):
    """Comma-separated values of one type, as a tuple; an empty text is the empty tuple."""

    syntactic_help = "comma-separated"

    def __init__(self, element: type):
        self.element = element

    def parse(self, argument: Any) -> tuple:
        if isinstance(argument, tuple):
            return argument
        return tuple(self.element(part) for part in argument.split(",") if part.strip())

    def flag_type(self) -> str:
        return f"comma-separated {self.element.__name__}s"


class _TupleSerializer(flags.ArgumentSerializer):
    def serialize(self, value: tuple) -> str:
        return ",".join(str(part) for part in value)


def _define(values: flags.FlagValues, field: dataclasses.Field, default: Any) -> None:
    """Defines the flag of one dataclass field."""
    kind, text = field.type, field.metadata["help"]
    origin = typing.get_origin(kind)
    if origin is typing.Literal:
        flags.DEFINE_enum(field.name, default, list(typing.get_args(kind)), text, flag_values=values)
    elif origin is tuple:
        element = typing.get_args(kind)[0]
        flags.DEFINE(_TupleParser(element), field.name, default, text, values, _TupleSerializer())
    else:
        define: dict[Any, Any] = {
            bool: flags.DEFINE_bool,
            int: flags.DEFINE_integer,
            float: flags.DEFINE_float,
            str: flags.DEFINE_string,
        }
        define[kind](field.name, default, text, flag_values=values)


class CommandLine:
    """The flags of one command: parsing, help grouped by purpose, and the flags as a flagfile."""

    def __init__(self, program: str, description: str, *configs: Any):
        """Defines a flag for every field of the given dataclasses or dataclass instances (whose values are defaults).

        Args:
            program: module name, as in `python -m keras_simplepose.train`.
            description: what the command does; the first thing `--help` prints.
            *configs: dataclasses of config.py, or instances where a command wants other defaults.
        """
        self.program, self.description = program, description
        self._configs = [config() if isinstance(config, type) else config for config in configs]
        self._fields = {field.name: field for config in reversed(self._configs) for field in dataclasses.fields(config)}
        # The option that takes arguments without a flag; "" for none.
        self._positional = next(
            (name for name, field in self._fields.items() if field.metadata["rules"].positional), ""
        )
        self._values = flags.FlagValues()
        self._values.set_gnu_getopt(bool(self._positional))
        # Read by absl itself before the rest; defined so that a flagfile may name another.
        flags.DEFINE_string("flagfile", "", "file of flags, one a line, # before a comment", flag_values=self._values)
        for config in self._configs:
            for field in dataclasses.fields(config):
                if field.name not in self._values:
                    _define(self._values, field, getattr(config, field.name))

    def help(self) -> str:
        """The flags with defaults, grouped by purpose."""
        positional = f" {self._positional.upper()} …" if self._positional else ""
        lines = [
            self.description.strip(),
            "",
            f"usage: python -m keras_simplepose.{self.program} [--flag=value …]{positional}",
            "",
        ]
        lines += ["General:", "  --flagfile=FILE", "      read flags from a file, one a line; later flags win", ""]
        shown: set[str] = set()
        for config in self._configs:
            lines.append((type(config).__doc__ or "").strip().splitlines()[0].rstrip(".") + ":")
            for field in dataclasses.fields(config):
                if field.name not in shown:
                    shown.add(field.name)
                    lines += self._help_of(field.name)
            lines.append("")
        return "\n".join(lines)

    def _help_of(self, name: str) -> list[str]:
        flag = self._values[name]
        if isinstance(flag, flags.EnumFlag):
            shape = "=" + "|".join(flag.parser.enum_values)
        elif isinstance(flag.default, bool):
            shape = ""
        else:
            shape = "=" + flag.flag_type().upper().replace(" ", "-")
        prefix = "--[no]" if isinstance(flag.default, bool) else "--"
        remarks = "; ".join(filter(None, self._remarks(name)))
        text = textwrap.wrap(self._fields[name].metadata["help"] + (f" ({remarks})" if remarks else ""), 100)
        return [f"  {prefix}{name}{shape}", *(f"      {line}" for line in text)]

    def _remarks(self, name: str) -> Iterator[str]:
        """The range of an option, where it is needed or has an effect, its default."""
        field, default = self._fields[name], self._values[name].default
        yield limits(field, flag_name)
        where, required = dependence(field, self._fields, flag_name), field.metadata["rules"].required
        needed = "" if isinstance(required, bool) else condition_text(required, self._fields, flag_name)
        if where and where != needed:
            yield f"only {where}"
        if required is not False:
            yield f"required {needed}".strip()
        elif "default:" not in field.metadata["help"]:
            yield f"default: {str(default).lower() if isinstance(default, bool) else _text(default) or 'none'}"

    def parse(self, arguments: Sequence[str]) -> list[Any]:
        """The configurations for a command line's arguments, in the order given to the constructor.

        Raises:
            UserError: an unknown flag, a stray argument, a value of the wrong type, or a flagfile that is none; the
                message names it.
        """
        for argument in arguments:
            if argument.lstrip("-").startswith("flagfile="):
                _check_flagfile(argument.partition("=")[2])
        try:
            rest = self._values([self.program, *arguments])[1:]
        except (flags.Error, ValueError) as error:
            raise UserError(f"{' '.join(str(error).split())[:LONGEST_FAULT]}; --help lists the flags") from error
        if rest and self._positional:
            self._values[self._positional].value = tuple(rest)
        elif rest:
            raise UserError(
                f"stray argument {repr(rest[0])[:SHOWN]}: flags are written --name=value; --help lists them"
            )
        return [
            type(config)(**{field.name: self._values[field.name].value for field in dataclasses.fields(config)})
            for config in self._configs
        ]

    def read(self, arguments: Sequence[str]) -> list[Any]:
        """The configurations for a command line's arguments, checked.

        Flags without effect beside the others are refused, but those out of a flagfile are only reported: a recipe may
        be used with another schedule, or to go on from a model.

        Raises:
            UserError: as `parse`; or a value is out of range, missing, without effect, or a pipe's path.
        """
        configs = self.parse(arguments)
        for value in (getattr(config, field.name) for config in configs for field in dataclasses.fields(config)):
            for path in value if isinstance(value, tuple) else (value,):
                if isinstance(path, str) and path:
                    refuse_pipe(path)
        typed = {argument.lstrip("-").partition("=")[0] for argument in arguments}
        from_file = {name for name in self._fields if name not in typed and f"no{name}" not in typed}
        for note in check(*configs, defaults=self._configs, name=flag_name, excused=from_file):
            print(f"note: {note}", file=sys.stderr)
        return configs


def _check_flagfile(path: str) -> None:
    """Refuses a file that holds anything but flags and comments; absl would not say which file it is."""
    for number, line in enumerate(read_text(path).splitlines(), start=1):
        if line.strip() and not line.lstrip().startswith(("-", "#", "//")):
            raise UserError(f"{path}: line {number} is no flag, which is written --name=value: {repr(line)[:SHOWN]}")


def flagfile_title(program: str) -> str:
    """How the flagfiles of a command begin."""
    return f"# python -m keras_simplepose.{program}"


def write_flagfile(path: str | Path, program: str, *configs: Any) -> None:
    """Writes configurations as a flagfile that repeats the run, one flag a line, grouped as `--help` is."""
    lines = [f"{flagfile_title(program)} --flagfile={path}"]
    seen: set[str] = set()
    for config in configs:
        lines.append(f"\n# {(type(config).__doc__ or '').strip().splitlines()[0]}")
        for field in dataclasses.fields(config):
            if field.name not in seen:
                seen.add(field.name)
                value = getattr(config, field.name)
                lines.append(f"--{field.name}={_text(value)}")
    with atomic_path(path) as temporary:
        temporary.write_text("\n".join(lines) + "\n", encoding="utf-8", errors="surrogateescape")


def _text(value: Any) -> str:
    """A value as a flag takes it."""
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


def flag_name(option: str) -> str:
    """An option as it is written on a command line."""
    return f"--{option}"


def warn(message: str) -> None:
    """Prints a line that begins with "warning" to standard error; nothing for an empty message."""
    if message:
        print(f"warning: {message}", file=sys.stderr)


def run_command(main: Callable[..., int | None], program: str, description: str, *configs: Any) -> NoReturn:
    """Reads and checks the command line, calls `main` with the configurations and leaves with its exit status.

    A `UserError` becomes one line on standard error and status 1; an interrupt status 130, SIGTERM to a training 143.
    """
    command_line = CommandLine(program, description, *configs)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # A file's name need not be printable.
    arguments = sys.argv[1:]
    if any(argument in ("--help", "-help", "-h", "--helpfull") for argument in arguments):
        print(command_line.help())
        sys.exit(0)
    try:
        status = main(*command_line.read(arguments)) or 0
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        status = 1
    except Interrupted as stop:
        print(stop, file=sys.stderr)
        status = 128 + stop.signal
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        status = 130
    # The error is gone by now, and with it the frames that held datasets: TensorFlow's threads that still ran at the
    # interpreter's end would abort the process.
    gc.collect()
    sys.exit(status)
