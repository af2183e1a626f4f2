"""Curves beside one another, as a picture."""

from collections.abc import Sequence

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure


def draw_lines(panels: Sequence[tuple[str, np.ndarray, np.ndarray]], title: str) -> np.ndarray:
    """Draws a curve in each panel; all have the same height, from 0.

    Args:
        panels: what the places are, the places [N], the values [N].
        title: what the values are.

    Returns:
        [height, width, 3] uint8 RGB.
    """
    figure = Figure(figsize=(4.5 * len(panels), 3), dpi=120, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    axes = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    for axis, (label, places, values) in zip(axes, panels, strict=True):
        axis.plot(places, values, linewidth=1)
        axis.set(xlabel=label)
        axis.grid(alpha=0.3)
    axes[0].set(ylabel=title, ylim=(0, None))
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()
