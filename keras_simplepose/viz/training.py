"""Pictures of a training run: crops with target and predicted keypoints and heatmaps, and the curves.

Drawn with Matplotlib on its own canvas: no window, no global state.
"""

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from keras_simplepose.core import codecs
from keras_simplepose.core.codecs import simcc
from keras_simplepose.core.spec import PoseSpec

DRAWN_SCORE = 0.2  # Predicted keypoints below this are not drawn, as they do not count in a pose's score.


def draw_examples(
    crops: np.ndarray, targets: np.ndarray, weights: np.ndarray, heatmaps: np.ndarray, spec: PoseSpec
) -> np.ndarray:
    """Draws a column per crop: target keypoints, predicted keypoints, target heatmaps, predicted heatmaps.

    Args:
        crops: [B, H, W, 3] float RGB of 0–255.
        targets: [B, h, w, K] float32.
        weights: [B, K] float32.
        heatmaps: [B, h, w, K] float32, predicted.
        spec: of the network.

    Returns:
        [height, width, 3] uint8 RGB.
    """
    height, width = spec.input_size
    figure = Figure(figsize=(1.6 * len(crops) + 0.4, 4 * 1.6 * height / width), layout="constrained")
    canvas = FigureCanvasAgg(figure)
    axes = figure.subplots(4, len(crops), squeeze=False)
    pairs = ((targets, weights > 0), (heatmaps, None))
    for row, (maps, labelled) in enumerate(pairs):
        points, maxima = (np.asarray(value) for value in codecs.decode(maps, spec))
        drawn = maxima > DRAWN_SCORE if labelled is None else labelled & (maxima > 0)
        for column, crop in enumerate(crops):
            pixels = np.clip(crop, 0, 255).astype(np.uint8)
            _draw_skeleton(axes[row, column], pixels, points[column], drawn[column], spec)
            axes[row + 2, column].imshow(pixels.mean(-1), cmap="gray", extent=(0, width, height, 0), alpha=0.4)
            seen = simcc.as_maps(maps[column][None], spec)[0] if spec.distributions else maps[column]
            brightness = np.clip(np.asarray(seen).max(-1), 0, 1)
            axes[row + 2, column].imshow(
                brightness, cmap="inferno", extent=(0, width, height, 0), alpha=0.8, vmin=0, vmax=1
            )
    for row, title in enumerate(("target", "prediction", "target heatmaps", "predicted heatmaps")):
        axes[row, 0].set_ylabel(title, fontsize=8)
    for axis in axes.flat:
        axis.set(xticks=[], yticks=[])
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def _draw_skeleton(axis: Any, pixels: np.ndarray, points: np.ndarray, drawn: np.ndarray, spec: PoseSpec) -> None:
    height, width = spec.input_size
    axis.imshow(pixels)
    for first, second in spec.skeleton.edges:
        if drawn[first] and drawn[second]:
            axis.plot(*points[[first, second]].T, color="white", linewidth=1)
    for index, name in enumerate(spec.skeleton.keypoints):
        if drawn[index]:
            color = "deepskyblue" if name.startswith("left") else "orangered" if name.startswith("right") else "gold"
            axis.plot(*points[index], "o", color=color, markersize=3)
    axis.set(xlim=(0, width), ylim=(height, 0))


def draw_boxes(
    images: np.ndarray, boxes: np.ndarray, persons: np.ndarray, found: np.ndarray, scores: np.ndarray
) -> np.ndarray:
    """Draws a detector's images in a row: the boxes of persons white, those found orange.

    Args:
        images: [B, H, W, 3] float RGB of 0–255.
        boxes: [B, M, 4] float32 (x, y, width, height).
        persons: [B, M] float32, 1 for a person.
        found: [B, N, 4] float32.
        scores: [B, N] float32 of them.

    Returns:
        [height, width, 3] uint8 RGB.
    """
    figure = Figure(figsize=(3.2 * len(images), 3.2), layout="constrained")
    canvas = FigureCanvasAgg(figure)
    for number, axis in enumerate(figure.subplots(1, len(images), squeeze=False)[0]):
        axis.imshow(np.clip(images[number], 0, 255).astype(np.uint8))
        kinds = ((boxes, persons > 0, "white"), (found, scores > DRAWN_SCORE, "orangered"))
        for table, chosen, color in kinds:
            for x, y, width, height in table[number][chosen[number]]:
                axis.add_patch(Rectangle((x, y), width, height, fill=False, color=color, linewidth=1))
        axis.set(xticks=[], yticks=[])
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def draw_curves(rows: list[dict[str, float]], path: Path) -> None:
    """Draws loss, PCK (a detector's recall), AP and, where there is a head, its loss over the epochs to an image file.

    Args:
        rows: as in curves.csv: epoch, loss, pck and, where measured, validation_loss, validation_pck, AP, AP50.
        path: of the picture; its suffix says the format.
    """
    figure = Figure(figsize=(10, 3.2), layout="constrained")
    FigureCanvasAgg(figure)
    panels = [("loss", "validation_loss"), ("pck", "validation_pck", "recall"), ("AP", "AP50", "AP75")]
    if any("visibility_loss" in row for row in rows):
        panels.append(("visibility_loss", "validation_visibility_loss"))
    for axis, names in zip(figure.subplots(1, len(panels)), panels, strict=True):
        for name in names:
            measured = [(row["epoch"] + 1, row[name]) for row in rows if name in row]
            if measured:
                axis.plot(*zip(*measured, strict=True), marker=".", label=name.replace("_", " "))
        if names[0] == "loss":
            axis.set_yscale("log")
        else:
            axis.set_ylim(0, 1)
        axis.set_xlabel("epoch")
        if axis.lines:
            axis.legend()
        axis.grid(alpha=0.3)
    figure.savefig(path, dpi=100)
