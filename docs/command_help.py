"""What pages of the site take from the package itself: `--help` of a command, and the table of protocol costs.

The tests that check the docs read the command lines of all commands from here as well.
"""

import ast
import importlib
from pathlib import Path
from typing import Any, NamedTuple

import keras_simplepose
from keras_simplepose.flags import CommandLine

PACKAGE = Path(keras_simplepose.__file__).parent


class Command(NamedTuple):
    """A command: its function, and a way to make its command line."""

    main: Any
    arguments: tuple[Any, ...]

    def line(self) -> CommandLine:
        """A command line that nothing has been read into."""
        return CommandLine(*self.arguments)


def commands() -> dict[str, Command]:
    """Every command by its name, from what stands under its main guard."""
    found = {}
    for path in sorted(PACKAGE.glob("*.py")):
        guard = ast.parse(path.read_text(encoding="utf-8")).body[-1]
        if not (isinstance(guard, ast.If) and ast.unparse(guard.test) == "__name__ == '__main__'"):
            continue
        module = importlib.import_module(f"keras_simplepose.{path.stem}")
        recorded: list[Command] = []
        names = {**vars(module), "run_command": lambda main, *rest: recorded.append(Command(main, rest))}  # noqa: B023
        exec(compile(ast.Module(guard.body, []), str(path), "exec"), names)
        found[path.stem] = recorded[0]
    return found


def setup(app: Any) -> dict[str, bool]:
    """Adds the directives `command-help NAME` and `protocol-costs`."""
    from docutils import nodes
    from sphinx.util.docutils import SphinxDirective

    from keras_simplepose.reporting.protocol_costs import COSTS

    lines = commands()

    class CommandHelp(SphinxDirective):
        required_arguments = 1

        def run(self) -> list[nodes.Node]:
            text = lines[self.arguments[0]].line().help()
            block = nodes.literal_block(text, text)
            block["language"] = "text"
            return [block]

    class ProtocolCosts(SphinxDirective):
        def run(self) -> list[nodes.Node]:
            rows = ["| difference | what it is known to cost | source |", "|---|---|---|"]
            rows += [
                f"| {cost.title} | {cost.known} | {cost.source.replace('[', '').replace(']', '')} |"
                for cost in COSTS.values()
            ]
            return self.parse_text_to_nodes("\n".join(rows))

    app.add_directive("command-help", CommandHelp)
    app.add_directive("protocol-costs", ProtocolCosts)
    return {"parallel_read_safe": True}
