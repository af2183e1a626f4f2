"""The charts of a page: Matplotlib's SVG, its text left as text, to stand inside HTML."""

import io
import re
from collections.abc import Sequence

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from keras_simplepose.reporting.analysis import GroupRow
from keras_simplepose.reporting.bootstrap import Interval
from keras_simplepose.reporting.breakdowns import Calibration, CalibrationBin, KeypointRow
from keras_simplepose.reporting.drawings import KIND_COLORS
from keras_simplepose.reporting.error_kinds import KINDS
from keras_simplepose.reporting.gains import Gain
from keras_simplepose.reporting.matches import OKS_THRESHOLDS, RECALL_STEPS

WIDTH = 5.2  # Inches of 72 units; wide enough for a column, and its text can be read on a telephone.
BLUE, ORANGE, GREY = "#0072b2", "#d55e00", "#8a8a8a"  # Okabe & Ito's, apart for the colour-blind.
GOOD_COLOR = "#56b4e9"


def kind_color(kind: str) -> str:
    """The colour of a kind of keypoint, as `drawings` rings it."""
    color = KIND_COLORS.get(KINDS.index(kind))
    return "#{:02x}{:02x}{:02x}".format(*color) if color else GOOD_COLOR


def gains_chart(rows: Sequence[Gain]) -> str:
    """AP gained by correcting each cause, alone and in turn."""
    figure, axis = _figure(0.42 * len(rows) + 0.9)
    places = np.arange(len(rows))
    axis.barh(places - 0.2, [row.alone for row in rows], 0.38, color=BLUE, label="alone")
    axis.barh(places + 0.2, [row.in_turn for row in rows], 0.38, color=ORANGE, label="after those above")
    axis.set_yticks(places, [row.cause for row in rows])
    axis.invert_yaxis()
    axis.set_xlabel("AP gained if corrected")
    axis.axvline(0, color="black", linewidth=0.8)
    axis.legend(loc="best", frameon=False)
    return _svg(figure, "gains")


def keypoints_chart(rows: Sequence[KeypointRow]) -> str:
    """Shares of good and erroneous keypoints."""
    figure, axis = _figure(0.24 * len(rows) + 1.1)
    left = np.zeros(len(rows))
    for place, kind in enumerate(KINDS):
        shares = np.nan_to_num([row.shares[place] for row in rows])
        axis.barh(range(len(rows)), shares, left=left, color=kind_color(kind), label=kind, edgecolor="white")
        left += shares
    axis.set_yticks(range(len(rows)), [row.name.replace("_", " ") for row in rows])
    axis.invert_yaxis()
    axis.set(xlim=(0, 1), xlabel="share of the labelled keypoints of persons that have a pose")
    figure.legend(loc="outside upper center", ncols=len(KINDS), frameon=False, columnspacing=1, handlelength=1)
    return _svg(figure, "keypoints")


def groups_chart(rows: Sequence[GroupRow], overall: Interval) -> str:
    """AP of groups of persons with its intervals, and of all."""
    figure, axis = _figure(0.27 * len(rows) + 1)
    axis.axvspan(overall.low, overall.high, color=GREY, alpha=0.2, linewidth=0)
    axis.axvline(overall.value, color=GREY, linewidth=1, label="all persons")
    for place, row in enumerate(rows):
        axis.plot([row.ap.low, row.ap.high], [place, place], color=BLUE, linewidth=2)
        axis.plot(row.ap.value, place, "o", color=BLUE, markersize=5)
    axis.set_yticks(range(len(rows)), [f"{row.kind}: {row.name} ({row.count:,})" for row in rows])
    axis.invert_yaxis()
    axis.set(xlim=(0, 1), xlabel="AP, with 95 % confidence interval; (persons)")
    return _svg(figure, "groups")


def curves_chart(precision: np.ndarray) -> str:
    """Precision over recall [T, 101] at each threshold."""
    figure, axis = _figure(3.4)
    colors = matplotlib.colormaps["viridis"](np.linspace(0, 0.9, len(precision)))
    for threshold, row, color in zip(OKS_THRESHOLDS, precision, colors, strict=True):
        axis.plot(RECALL_STEPS, row, color=color, linewidth=1.3, label=f"{threshold:.2f}")
    axis.set(xlim=(0, 1), ylim=(0, 1.02), xlabel="recall", ylabel="precision")
    axis.grid(alpha=0.3)
    axis.legend(title="OKS", loc="center left", bbox_to_anchor=(1, 0.5), frameon=False, fontsize=8)
    return _svg(figure, "curves")


def calibration_chart(calibration: Calibration) -> str:
    """Mean quality over mean score, of poses and of keypoints."""
    figure, axis = _figure(3.2)
    _calibration(axis, calibration.poses, BLUE, "poses: mean OKS")
    _calibration(axis, calibration.keypoints, ORANGE, "keypoints: share within similarity .5")
    axis.plot([0, 1], [0, 1], color=GREY, linewidth=0.8, linestyle="--")
    axis.set(xlim=(0, None), ylim=(0, 1.02), xlabel="score", ylabel="quality")
    axis.grid(alpha=0.3)
    axis.legend(loc="lower right", frameon=False)
    return _svg(figure, "calibration")


def _calibration(axis: Axes, bins: Sequence[CalibrationBin], color: str, label: str) -> None:
    axis.plot([each.score for each in bins], [each.quality for each in bins], "o-", color=color, label=label, ms=4)


def _figure(height: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    FigureCanvasSVG(figure)
    axis = figure.subplots()
    axis.spines[["top", "right"]].set_visible(False)
    axis.tick_params(labelsize=9)
    axis.xaxis.label.set_fontsize(9)
    axis.yaxis.label.set_fontsize(9)
    return figure, axis


def _svg(figure: Figure, name: str) -> str:
    """The figure as an SVG element without ids that another chart has as well."""
    stream = io.StringIO()
    # The text in the page's own font; the same figure gives the same bytes.
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": name}):
        figure.savefig(stream, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    text = stream.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{name}-", text)
    # Its size is the page's affair. What it shows is told by the figure's caption and by the table beside it.
    return re.sub(r'<svg [^>]*?viewBox="([^"]*)"[^>]*>', r'<svg viewBox="\1" aria-hidden="true">', text, count=1)
