"""A table of figures as a picture."""

from collections.abc import Sequence

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

CELL = 0.8  # Inches.


def draw_grid(
    values: np.ndarray, rows: tuple[str, Sequence[float]], columns: tuple[str, Sequence[float]], title: str
) -> np.ndarray:
    """Draws a table, each cell coloured by its figure, which stands in it.

    Args:
        values: [R, C].
        rows: what they are, and the value each stands for [R].
        columns: the same of the columns [C].
        title: what the figures are.

    Returns:
        [height, width, 3] uint8 RGB.
    """
    size = (CELL * values.shape[1] + 1.6, CELL * values.shape[0] + 1.2)
    figure = Figure(figsize=size, dpi=120, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    axis = figure.subplots()
    axis.imshow(values, cmap="viridis", aspect="auto")
    middle = (values.min() + values.max()) / 2
    for place, value in np.ndenumerate(values):
        color = "black" if value > middle else "white"  # The greater the brighter.
        axis.text(place[1], place[0], f"{value:.1f}", ha="center", va="center", color=color)
    axis.set(xticks=range(values.shape[1]), xticklabels=columns[1], xlabel=columns[0], title=title)
    axis.set(yticks=range(values.shape[0]), yticklabels=rows[1], ylabel=rows[0])
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()
