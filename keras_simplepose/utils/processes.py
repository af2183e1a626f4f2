"""Processes that do NumPy and OpenCV work, started without TensorFlow."""

import contextlib
import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any

from keras_simplepose.utils.errors import UserError

COMMAND_VARIABLE = "KERAS_SIMPLEPOSE_COMMAND"  # Set for processes that a command starts.
WORKER_VARIABLE = "KERAS_SIMPLEPOSE_WORKER"  # Set for our own workers: the package then loads no Keras on import.


@contextlib.contextmanager
def worker_pool(workers: int = 0) -> Iterator[ProcessPoolExecutor]:
    """A pool of spawned processes (never forked: TensorFlow's threads do not survive that).

    Args:
        workers: how many; 0 means one per core.

    Raises:
        UserError: a process was killed from outside.
    """
    before = os.environ.get(WORKER_VARIABLE)
    os.environ[WORKER_VARIABLE] = "1"
    pool = ProcessPoolExecutor(workers or os.cpu_count(), multiprocessing.get_context("spawn"), _begin_worker)
    try:
        yield pool
    except BrokenProcessPool as error:
        raise UserError(
            "a worker process ended early: killed for want of memory (use fewer workers), or started by a script "
            "that does not guard what it runs with if __name__ == '__main__'"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)
        if before is None:
            del os.environ[WORKER_VARIABLE]
        else:
            os.environ[WORKER_VARIABLE] = before


def bounded_map(executor: Executor, function: Callable, tasks: Iterable, limit: int) -> Iterator[Any]:
    """Results of `function` in the order of `tasks`, of which at most `limit` are under way or waiting to be taken."""
    pending: deque[Future] = deque()
    for task in tasks:
        pending.append(executor.submit(function, task))
        if len(pending) >= limit:
            yield pending.popleft().result()
    while pending:
        yield pending.popleft().result()


def _begin_worker() -> None:
    """One thread a process; an interrupt is the parent's to handle, and the parent's death the worker's end."""
    import cv2

    cv2.setNumThreads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()

    def follow() -> None:
        if parent is not None:
            parent.join()
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()
