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
    # Before anything else: listing devices would start the runtime, and collectives are set up as it starts.
    strategy = multi_worker_strategy() if name == "multi_worker" else None
    gpus = tf.config.list_logical_devices("GPU")
    if name == "auto":
        name = "mirrored" if gpus else "one_device"
    if strategy is not None:
        pass
    elif name == "one_device":
        strategy = tf.distribute.get_strategy()
    elif name == "mirrored":
        devices = gpus or tf.config.list_logical_devices("CPU")
        strategy = tf.distribute.MirroredStrategy([device.name for device in devices])
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


def multi_worker_strategy() -> tf.distribute.Strategy:
    """The strategy of the processes that TF_CONFIG lists; make it before TensorFlow does anything else.

    Raises:
        UserError: TF_CONFIG is damaged, or the others do not answer.
    """
    try:
        return tf.distribute.MultiWorkerMirroredStrategy()
    except (RuntimeError, ValueError, KeyError, tf.errors.OpError) as error:
        raise UserError(f"strategy multi_worker: {str(error).splitlines()[0][:200]}; see TF_CONFIG") from error


def check_agreement(strategy: tf.distribute.Strategy, step: int) -> None:
    """Checks that all workers go on from the same step, which they read from a folder that they must share.

    Raises:
        UserError: they do not.
    """

    def distance() -> tf.Tensor:
        here = tf.constant(step, tf.float32)
        context = tf.distribute.get_replica_context()
        return tf.abs(here - context.all_reduce(tf.distribute.ReduceOp.MEAN, here))

    distances = strategy.run(tf.function(distance))
    if float(strategy.reduce(tf.distribute.ReduceOp.SUM, distances, axis=None)) > 1e-3 * step + 1e-6:
        raise UserError(f"the workers go on from other steps (here {step}); workdir must be a folder that all share")


def is_chief(name: str) -> bool:
    """Whether this process writes: the only one, or of several workers the chief, or the first where there is none.

    Args:
        name: of the strategy; TF_CONFIG, in the environment, says which of the workers of "multi_worker" this is.

    Raises:
        UserError: TF_CONFIG is damaged.
    """
    if name != "multi_worker":
        return True
    try:
        resolver = tf.distribute.cluster_resolver.TFConfigClusterResolver()
        jobs, task = resolver.cluster_spec().as_dict(), (resolver.task_type, resolver.task_id or 0)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise UserError(f"TF_CONFIG is damaged: {str(error).splitlines()[0][:200]}") from error
    return not jobs or task[0] == "chief" or ("chief" not in jobs and task == ("worker", 0))
