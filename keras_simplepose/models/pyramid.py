"""A backbone's features at several resolutions, whichever backbone it is."""

from keras import Model, layers, tree

from keras_simplepose.core.arrays import Tensor
from keras_simplepose.utils.errors import UserError


def finer_features(inputs: Tensor, features: Tensor, count: int, option: str, of_stages: bool = False) -> list[Tensor]:
    """The backbone's last features at each of `count` doublings of the resolution of its output, coarsest first.

    Args:
        inputs: of the network.
        features: the backbone's output.
        count: of doublings.
        option: that asks for them, for the message.
        of_stages: only such features as all later ones are made of, which of a ResNet are its stages' outputs.

    Raises:
        UserError: the backbone has none at one of them.
    """
    height, width = features.shape[1:3]
    in_order = Model(inputs, features).layers
    candidates = _joints(in_order) if of_stages else in_order
    found = []
    for doubling in range(1, count + 1):
        size = (height * 2**doubling, width * 2**doubling)
        fitting = [layer.output for layer in candidates if tuple(layer.output.shape[1:3]) == size]
        if not fitting or size == tuple(inputs.shape[1:3]):
            raise UserError(f"{option}: the backbone has no features of {size[0]}×{size[1]}")
        found.append(fitting[-1])
    return found


def _joints(in_order: list[layers.Layer]) -> list[layers.Layer]:
    """The layers past which no later one reaches back, of layers in an order that can be run."""
    place = {id(layer.output): number for number, layer in enumerate(in_order)}
    joints, reached = [], len(in_order)
    for number in range(len(in_order) - 1, -1, -1):
        if reached >= number:
            joints.append(in_order[number])
        sources = [place.get(id(source), 0) for source in tree.flatten(in_order[number].input)]
        reached = min([reached, *sources]) if number else reached
    return joints[::-1]
