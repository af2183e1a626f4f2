import pytest
import tensorflow as tf

from keras_simplepose.training.devices import make_strategy
from keras_simplepose.utils.errors import UserError


def test_a_batch_must_divide_by_the_devices(monkeypatch):
    assert make_strategy("auto", 3).num_replicas_in_sync == 1

    class Three:
        num_replicas_in_sync = 3

    monkeypatch.setattr(tf.distribute, "get_strategy", lambda: Three())
    with pytest.raises(UserError, match="batch_size 4 does not divide by the 3 devices"):
        make_strategy("one_device", 4)


def test_a_batch_that_does_not_divide_into_parts_is_refused():
    with pytest.raises(UserError, match="a device's 10 of batch_size 10 do not divide by accumulation_steps 4"):
        make_strategy("one_device", 10, 4)
