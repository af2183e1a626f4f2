"""Processes that do NumPy and OpenCV work, started without TensorFlow."""

import contextlib
import multiprocessing
import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor

WORKER_VARIABLE = "KERAS_SIMPLEPOSE_WORKER"  # Set for our own workers: the package then loads no Keras on import.


@contextlib.contextmanager
def worker_pool(workers: int = 0) -> Iterator[ProcessPoolExecutor]:
    """A pool of spawned processes (never forked: TensorFlow's threads do not survive that).

    Args:
        workers: how many; 0 means one per core.
    """
    before = os.environ.get(WORKER_VARIABLE)
    os.environ[WORKER_VARIABLE] = "1"
    pool = ProcessPoolExecutor(workers or os.cpu_count(), multiprocessing.get_context("spawn"))
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)
        if before is None:
            del os.environ[WORKER_VARIABLE]
        else:
            os.environ[WORKER_VARIABLE] = before
