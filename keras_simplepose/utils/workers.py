"""Processes of TensorFlow's that share a piece of work out among themselves, and hear what each has found."""

import pickle
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, TypeVar

import numpy as np

from keras_simplepose.utils.errors import UserError
from keras_simplepose.utils.signals import Interrupted

Result = TypeVar("Result")
Item = TypeVar("Item")


@contextmanager
def lost_worker_named() -> Iterator[None]:
    """Raises the UserError behind TensorFlow's where another worker has ended: what waits for it is broken off."""
    import tensorflow as tf

    lost = (
        tf.errors.UnavailableError,
        tf.errors.AbortedError,
        tf.errors.CancelledError,
        tf.errors.DeadlineExceededError,
    )
    try:
        yield
    except lost as error:
        raise UserError(
            "another worker has ended, or is out of reach: its own message says why; start all of them again (a "
            "training goes on from its last checkpoint)"
        ) from error


class Workers:
    """The processes of a run as one of them sees them; without a strategy of several, this one alone.

    Attributes:
        index: of this one; 0 is the chief.
        count: of all.
    """

    def __init__(
        self, strategy: Any = None, breakable: Callable[[], AbstractContextManager[None]] = nullcontext
    ) -> None:
        """Takes the strategy that connects them.

        Args:
            strategy: a `tf.distribute.MultiWorkerMirroredStrategy`; any other is one process.
            breakable: what surrounds a worker's own work, for a signal to break off; waiting for the others cannot be.
        """
        self._strategy, self._breakable = strategy, breakable
        resolver = getattr(strategy, "cluster_resolver", None)
        jobs = resolver.cluster_spec().as_dict() if resolver else {}
        chiefs, others = len(jobs.get("chief", ())), len(jobs.get("worker", ()))
        self.index, self.count = 0, max(chiefs + others, 1)
        if resolver is not None and self.count > 1:
            self.index = (resolver.task_id or 0) + (0 if resolver.task_type == "chief" else chiefs)

    @property
    def is_chief(self) -> bool:
        """Whether this one merges and writes."""
        return self.index == 0

    def share(self, items: Sequence[Item]) -> Sequence[Item]:
        """Those of some items that are this one's to do; each is one worker's."""
        return items[self.index :: self.count]

    def everywhere(self, work: Callable[[], Result]) -> list[Result]:
        """What each worker's part of some work gives, at all of them, in order. All must call it.

        Where one's part ends in a `UserError`, or is interrupted, that is raised at all of them.
        """
        if self.count == 1:
            return [work()]
        failed = False
        try:
            with self._breakable():
                found: Any = work()
        except (UserError, Interrupted) as error:
            failed, found = True, error
        # Pickle is as good as its sender: another process of this run, which TensorFlow lets do anything here.
        parts = [pickle.loads(part) for part in self.exchange(pickle.dumps((failed, found)))]
        for kind in (Interrupted, UserError):
            for part_failed, part in parts:
                if part_failed and isinstance(part, kind):
                    raise part
        return [part for _, part in parts]

    def exchange(self, content: bytes) -> list[bytes]:
        """What each worker gives, at all of them, in order. All must call it."""
        # Collectives know numbers of 4 bytes, not bytes.
        words = np.frombuffer(content + bytes(-len(content) % 4), np.int32)
        lengths = self._gathered(np.array([len(content)], np.int32))
        words = self._gathered(words)
        parts, start = [], 0
        for length in lengths.tolist():
            end = start + -(-length // 4)
            parts.append(words[start:end].tobytes()[:length])
            start = end
        return parts

    def _gathered(self, values: np.ndarray) -> np.ndarray:
        """The workers' values [N] one after the other; of a worker's replicas the first one speaks."""
        import tensorflow as tf

        replicas = self._strategy.num_replicas_in_sync // self.count

        def of_replica(context: Any) -> Any:
            speaks = context.replica_id_in_sync_group % replicas == 0
            return tf.constant(values if speaks else values[:0])

        with lost_worker_named():
            return self._strategy.gather(
                self._strategy.experimental_distribute_values_from_function(of_replica), axis=0
            ).numpy()
