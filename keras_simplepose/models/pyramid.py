"""A backbone's features at several resolutions, whichever backbone it is."""

from keras import Model, layers, tree

from keras_simplepose.core.arrays import Tensor
from keras_simplepose.utils.errors import UserError


def finer_features(inputs: Tensor, features: Tensor, count: int, option: str) -> list[Tensor]:
    """The backbone's features at each of `count` doublings of the resolution of its output, coarsest first.

    Those are the last of each size that all later ones are made of: of a ResNet its stages' outputs, of a MobileNetV2
    what the first block of the next stage expands before its stride.

    Args:
        inputs: of the network.
        features: the backbone's output.
        count: of doublings.
        option: that asks for them, for the message.

    Raises:
        UserError: the backbone has none at one of them.
    """
    height, width = features.shape[1:3]
    candidates = joints(Model(inputs, features).layers)
    found = []
    for doubling in range(1, count + 1):
        size = (height * 2**doubling, width * 2**doubling)
        fitting = [layer.output for layer in candidates if tuple(layer.output.shape[1:3]) == size]
        if not fitting or size == tuple(inputs.shape[1:3]):
            raise UserError(f"{option}: the backbone has no features of {size[0]}×{size[1]}")
        found.append(fitting[-1])
    return found


def joints(in_order: list[layers.Layer]) -> list[layers.Layer]:
    """The layers past which no later one reaches back, of layers in an order that can be run.

    All that a network computes goes through each of them.
    """
    place = {id(layer.output): number for number, layer in enumerate(in_order)}
    found, reached = [], len(in_order)
    for number in range(len(in_order) - 1, -1, -1):
        if reached >= number:
            found.append(in_order[number])
        sources = [place.get(id(source), 0) for source in tree.flatten(in_order[number].input)]
        reached = min([reached, *sources]) if number else reached
    return found[::-1]
