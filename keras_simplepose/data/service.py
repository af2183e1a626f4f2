"""Training patches read and decoded on other machines, by TensorFlow's tf.data service.

Each address is a dispatcher with one worker, which makes the batches of every n-th step for n addresses; the training
puts them in order. Several workers behind one dispatcher would each make all batches, or share them out as they come.
"""

import socket
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import urlsplit

import tensorflow as tf

from keras_simplepose.utils.errors import UserError, shown

service = tf.data.experimental.service
SCHEME = "grpc://"
SECONDS_TO_ANSWER = 10.0
DISORDER = "the data service gives batches of other steps than asked for"


class DataServer:
    """A dispatcher and its one worker in this process; they end with this object.

    Attributes:
        address: for trainings to name.
    """

    def __init__(self, host: str, port: int = 0, worker_port: int = 0):
        """Begins to serve.

        Args:
            host: this machine's name or address, as the trainings know it.
            port: of the dispatcher; 0: any.
            worker_port: of the worker; 0: any.

        Raises:
            UserError: a port is taken.
        """
        try:
            self._dispatcher = service.DispatchServer(service.DispatcherConfig(port=port, protocol="grpc"))
            here = self._dispatcher.target.rpartition(":")[2]
            self._worker = service.WorkerServer(
                service.WorkerConfig(
                    dispatcher_address=f"localhost:{here}",
                    worker_address=f"{host}:%port%",
                    port=worker_port,
                )
            )
        except (tf.errors.OpError, RuntimeError) as error:
            raise UserError(f"ports {port} and {worker_port}: {str(error).splitlines()[0][:150]}") from error
        self.address = f"{SCHEME}{host}:{here}"


def check_services(addresses: Sequence[str]) -> None:
    """Checks that something answers at every address: TensorFlow would wait for it for an hour.

    Raises:
        UserError: naming the first that does not, or that is no address.
    """
    for address in addresses:
        try:
            parts = urlsplit(address)
            host, port = parts.hostname, parts.port
        except ValueError:
            host, port = None, None
        if not address.startswith(SCHEME) or not host or not port:
            raise UserError(f"data_service {shown(address)}: an address is {SCHEME}HOST:PORT")
        if addresses.count(address) > 1:
            raise UserError(f"data_service {shown(address)}: is named twice")
        try:
            socket.create_connection((host, port), SECONDS_TO_ANSWER).close()
        except OSError as error:
            raise UserError(
                f"data_service {shown(address)}: does not answer ({error.strerror or error}); start "
                "keras_simplepose.serve_data there"
            ) from error


def served(
    batches_of: Callable[[int, int], tf.data.Dataset], addresses: Sequence[str], first_step: int
) -> tf.data.Dataset:
    """Batches in the order of their steps, made by the servers in turns.

    Args:
        batches_of: (k, n) → endless batches of the steps first_step + k, + n, + 2 n, …, each with its "step".
        addresses: of the servers.
        first_step: of the first batch.
    """
    count = len(addresses)
    parts = [
        batches_of(number, count).apply(service.distribute(processing_mode="parallel_epochs", service=address))
        for number, address in enumerate(addresses)
    ]
    batches = parts[0]
    if count > 1:
        batches = tf.data.Dataset.choose_from_datasets(parts, tf.data.Dataset.range(count).repeat())
    steps = tf.data.Dataset.range(first_step, tf.int64.max)

    def checked(batch: dict[str, Any], step: Any) -> dict[str, Any]:
        with tf.control_dependencies([tf.debugging.assert_equal(batch["step"], step, DISORDER)]):
            return {name: tf.identity(value) for name, value in batch.items() if name != "step"}

    return tf.data.Dataset.zip(batches, steps).map(checked)


def service_fault(error: tf.errors.OpError) -> str:
    """What went wrong with the data service, in one line."""
    if DISORDER in error.message:
        return f"data_service: {DISORDER}; each address must be a keras_simplepose.serve_data of its own"
    lines = [line.strip() for line in error.message.splitlines() if line.strip()]
    return f"data_service: {(lines or [type(error).__name__])[0][:200]}; start it again, and the same command goes on"
