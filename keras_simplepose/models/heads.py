"""The last layer of a pose network, exchanged for one of another skeleton."""

from dataclasses import replace

import keras
import numpy as np

from keras_simplepose.core.skeletons import Skeleton
from keras_simplepose.models.layers import Heatmaps
from keras_simplepose.utils.errors import UserError


def with_skeleton(network: keras.Model, skeleton: Skeleton) -> keras.Model:
    """The same network with heatmaps of another skeleton's joints.

    Joints that both have, by name, keep their filters; the others begin anew, as in a new network. All other layers are
    shared with the network given.

    Args:
        network: of one stage, whose heatmaps come straight out of a convolution.
        skeleton: the joints wanted.

    Raises:
        UserError: the network is of another make.
    """
    ends = [layer for layer in network.layers if isinstance(layer, Heatmaps)]
    heads = [layer for layer in network.layers if len(ends) == 1 and layer.output is ends[0].input]
    if not heads or not isinstance(heads[0], keras.layers.Conv2D):
        raise UserError(
            f"{network.name} cannot take another skeleton: that needs heatmaps of one stage, straight out of a "
            "convolution"
        )
    head, spec = heads[0], ends[0].spec
    config = head.get_config() | {"filters": len(skeleton.keypoints)}
    new_head, new_end = (
        head.__class__.from_config(config),
        Heatmaps(replace(spec, skeleton=skeleton), name=ends[0].name),
    )
    changed = keras.Model(network.input, new_end(new_head(head.input)), name=network.name)
    before = {name: place for place, name in enumerate(spec.skeleton.keypoints)}
    kept = [(place, before[name]) for place, name in enumerate(skeleton.keypoints) if name in before]
    new, old = (list(column) for column in zip(*kept, strict=True)) if kept else ([], [])
    values = [np.array(value) for value in new_head.get_weights()]
    for value, there in zip(values, head.get_weights(), strict=True):
        value[..., new] = there[..., old]
    new_head.set_weights(values)
    return changed
