"""Command: measures speed and memory, as JSON lines."""

from keras_simplepose.config import BenchmarkConfig
from keras_simplepose.flags import run_command
from keras_simplepose.utils.files import check_outputs, result_path

DESCRIPTION = """Measures speed and prints JSON lines: name, value, unit, ratio_to, ratio (above 1: faster), spread.

Contestants run in turns and medians count, but a busy machine is still a noisy one: compare ratios, not values. Where
rounds differ by more than half of their median (spread), no ratio is given: measure again with nothing else running.
The suite memory trains and predicts for a while and says whether memory stays flat."""


def main(config: BenchmarkConfig) -> None:
    """Prints rows as they come; keeps them in --output."""
    from keras_simplepose.benchmarks.suites import run_benchmark

    inputs = [config.annotations, config.model, config.detector, config.reference_loader]
    inputs += [config.tracking_video, config.tracking_annotations]
    outputs = (config.output, config.tracking_picture, config.memory_picture)
    check_outputs([path for path in outputs if path], inputs)
    lines = []
    for row in run_benchmark(config):
        lines.append(row.to_json())
        print(lines[-1], flush=True)
    if config.output:
        with result_path(config.output) as temporary:
            temporary.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    run_command(main, "benchmark", DESCRIPTION, BenchmarkConfig)
