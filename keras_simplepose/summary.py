"""Command: what networks cost, as one table."""

import sys

from keras_simplepose.config import SummaryConfig
from keras_simplepose.flags import CommandLine, run_command
from keras_simplepose.utils.errors import UserError

DESCRIPTION = """Prints layers, parameters, multiply-adds, latency here and the memory of a training step.

Networks: --model (.keras files, or small), and --flagfile (what train takes: its network, new, with random weights).
Of one network its layers are listed as well. GMAC are 10^9 multiply-adds of one crop; ms/crop is the time of a forward
pass of one crop in a graph, all stages; GB is what a process grows by in its first training step of so many crops, on
this machine's processor: activations, gradients and the optimiser's state, but neither the weights nor TensorFlow."""


def main(config: SummaryConfig) -> None:
    """Measures one network after the other and prints the table."""
    from keras_simplepose import train
    from keras_simplepose.benchmarks.costs import layer_lines, measure_costs, network_of, table
    from keras_simplepose.config import ModelConfig

    sources: list[tuple[str, str | ModelConfig]] = [(name, name) for name in config.model]
    for path in config.experiments:
        parsed = CommandLine("train", "", *train.CONFIGS).parse([f"--flagfile={path}"])
        sources.append((path, next(each for each in parsed if isinstance(each, ModelConfig))))
    if not sources:
        raise UserError("nothing to sum up: give --model=FILE,… or --flagfile=FILE,…")
    if len(sources) == 1:
        print("\n".join(layer_lines(network_of(sources[0][1]))) + "\n")
    rows = (measure_costs(name, source, config.rounds, config.training_batch) for name, source in sources)
    for line in table([name for name, _ in sources], rows, config.training_batch):
        print(line, flush=True)  # As they come: a large network takes a minute.


def own_arguments(arguments: list[str]) -> list[str]:
    """`--flagfile`, once or several times, is that of a training here, not one of this command's own flags."""
    prefix = "--flagfile="
    paths = [each.removeprefix(prefix) for each in arguments if each.startswith(prefix)]
    others = [each for each in arguments if not each.startswith(prefix)]
    return [*others, f"--experiments={','.join(paths)}"] if paths else others


if __name__ == "__main__":
    sys.argv[1:] = own_arguments(sys.argv[1:])
    run_command(main, "summary", DESCRIPTION, SummaryConfig)
