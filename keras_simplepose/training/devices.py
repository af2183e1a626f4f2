"""Where training runs: the tf.distribute strategy."""

import tensorflow as tf

from keras_simplepose.utils.errors import UserError


def make_strategy(name: str, batch_size: int, parts: int = 1) -> tf.distribute.Strategy:
    """The strategy of that name.

    Args:
        name: "auto" (all GPUs, or one device without any), "one_device", "mirrored" (all GPUs, or all logical CPU
            devices without any), "multi_worker" (set up by TF_CONFIG), or "tpu".
        batch_size: the global one, which must divide by the number of replicas.
        parts: by which each replica's share must divide as well.

    Raises:
        UserError: the hardware is not there, or the batch does not divide.
    """
    gpus = tf.config.list_logical_devices("GPU")
    if name == "auto":
        name = "mirrored" if gpus else "one_device"
    if name == "one_device":
        strategy = tf.distribute.get_strategy()
    elif name == "mirrored":
        devices = gpus or tf.config.list_logical_devices("CPU")
        strategy = tf.distribute.MirroredStrategy([device.name for device in devices])
    elif name == "multi_worker":
        strategy = tf.distribute.MultiWorkerMirroredStrategy()
    else:
        try:
            resolver = tf.distribute.cluster_resolver.TPUClusterResolver.connect()
        except (ValueError, tf.errors.OpError) as error:
            raise UserError(f"strategy tpu: no TPU found ({str(error).splitlines()[0]})") from error
        strategy = tf.distribute.TPUStrategy(resolver)
    replicas = strategy.num_replicas_in_sync
    if batch_size % replicas:
        raise UserError(f"batch_size {batch_size} does not divide by the {replicas} devices")
    if batch_size // replicas % parts:
        share = batch_size // replicas
        raise UserError(f"a device's {share} of batch_size {batch_size} do not divide by accumulation_steps {parts}")
    return strategy
