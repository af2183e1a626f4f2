"""Suppression of overlapping boxes in graphs: greedy, as `cv2.dnn.NMSBoxes`, without a loop over boxes."""

from keras import ops

from keras_simplepose.core.arrays import Tensor


def overlaps(boxes: Tensor) -> Tensor:
    """IoU [N, N] of boxes [N, 4] (x, y, width, height); 0 for boxes without area."""
    first, last = boxes[:, :2], boxes[:, :2] + boxes[:, 2:]
    extent = ops.minimum(last[:, None], last[None]) - ops.maximum(first[:, None], first[None])
    shared = ops.prod(ops.maximum(extent, 0.0), axis=-1)
    area = ops.prod(boxes[:, 2:], axis=-1)
    return shared / ops.maximum(area[:, None] + area[None] - shared, 1e-9)


def suppressed(boxes: Tensor, scores: Tensor, overlap: float) -> Tensor:
    """The scores, with 0 for boxes that overlap a better one that is kept.

    A box is kept if no kept box before it overlaps it. Repeating that for all boxes at once, from all kept, settles
    from the best box down; at the latest after N rounds, mostly after two or three (Cluster-NMS, Zheng et al. 2020).

    Args:
        boxes: [N, 4] float32 (x, y, width, height), N static, best first.
        scores: [N] float32, falling.
        overlap: greatest IoU with a better box.
    """
    count = boxes.shape[0]
    better = ops.arange(count)[:, None] < ops.arange(count)[None]
    collides = ops.cast(ops.logical_and(overlaps(boxes) > overlap, better), "float32")

    def again(kept: Tensor) -> Tensor:
        return ops.cast(ops.max(collides * kept[:, None], axis=0) <= 0, "float32")

    def settle(kept: Tensor, changed: Tensor) -> tuple[Tensor, Tensor]:
        following = again(kept)
        return following, ops.any(following != kept)

    kept, _ = ops.while_loop(
        lambda kept, changed: changed, settle, (ops.ones_like(scores), ops.convert_to_tensor(True))
    )
    return scores * kept
