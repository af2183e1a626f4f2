"""Command: reads and decodes training data for trainings on other machines."""

import threading

from keras_simplepose.config import ServeDataConfig
from keras_simplepose.flags import run_command

DESCRIPTION = """Reads and decodes prepared training data for trainings on other machines (tf.data service).

Start it on each machine that has cores to spare and the prepared set at the same path, then give train all their
addresses: --data_service=grpc://HOST:PORT,grpc://OTHER:PORT. The batches are those of a training alone, bit by bit.
Whoever reaches the ports can have this process read files and compute: open them to your own machines only. It runs
until it is stopped."""


def main(config: ServeDataConfig) -> None:
    """Serves until it is stopped."""
    from keras_simplepose.data.service import DataServer

    server = DataServer(config.host, config.port, config.worker_port or config.port + 1)
    print(f"serving training data: --data_service={server.address}", flush=True)
    threading.Event().wait()


if __name__ == "__main__":
    run_command(main, "serve_data", DESCRIPTION, ServeDataConfig)
