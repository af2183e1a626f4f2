import threading
import time

import pytest

from keras_simplepose.utils.stages import Clock, prefetch


def test_prefetch_keeps_the_order():
    assert list(prefetch(range(50))) == list(range(50))
    assert list(prefetch([])) == []


def test_prefetch_runs_in_another_thread_and_ends_with_it():
    before = threading.active_count()
    threads = list(prefetch(threading.get_ident() for _ in range(3)))
    assert threading.get_ident() not in threads and len(set(threads)) == 1
    assert threading.active_count() == before


def test_prefetch_is_never_more_than_its_size_ahead():
    begun = []

    def source():
        for index in range(20):
            begun.append(index)
            yield index

    for item in prefetch(source(), size=2):
        time.sleep(0.01)
        assert len(begun) <= item + 1 + 2 + 1  # Read, two waiting, one in the thread's hand.
    assert len(begun) == 20


def test_prefetch_raises_what_its_source_raised():
    def source():
        yield 1
        raise ValueError("broken")

    items = prefetch(source())
    assert next(items) == 1
    with pytest.raises(ValueError, match="broken"):
        next(items)


def test_closing_early_closes_every_stage_and_ends_the_threads():
    closed, before = [], threading.active_count()

    def source():
        try:
            yield from range(10**9)
        finally:
            closed.append(True)

    items = prefetch(Clock().stage("double", lambda values: (2 * value for value in values), prefetch(source())))
    assert next(items) == 0
    items.close()
    assert closed == [True] and threading.active_count() == before


def test_stages_overlap_and_the_clock_leaves_waiting_out():
    clock = Clock()

    def slow(items):
        for item in items:
            time.sleep(0.02)
            yield item

    start = time.perf_counter()
    stages = prefetch(clock.stage("first", slow, range(10)))
    assert list(clock.stage("second", slow, stages)) == list(range(10))
    elapsed = time.perf_counter() - start
    assert clock.seconds["first"] == pytest.approx(0.2, abs=0.1)
    assert clock.seconds["second"] == pytest.approx(0.2, abs=0.1)
    assert elapsed < 0.9 * sum(clock.seconds.values())
