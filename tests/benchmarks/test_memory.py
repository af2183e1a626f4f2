"""What the memory benchmark makes of what it saw; the commands themselves take minutes."""

import numpy as np

from keras_simplepose.benchmarks.memory import Watched


def test_what_begins_and_ends_a_command_is_left_out():
    """A training gives its buffers back within the look at which its last step is done."""
    watched = Watched(list(range(7)), [10, 200, 210, 205, 90, 80, 70], [0, 1, 50, 99, 100, 100, 100])
    done, sizes = watched.curve()
    np.testing.assert_array_equal(done, [1, 50, 99])
    np.testing.assert_array_equal(sizes, [200, 210, 205])


def test_work_done_between_two_looks_is_one_look():
    done, sizes = Watched([0, 1, 2], [10, 200, 100], [0, 8, 8]).curve()
    assert done.tolist() == [8] and sizes.tolist() == [200]
