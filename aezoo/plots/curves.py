"""Figures of training histories, curves, ROC curves and scores."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

import matplotlib.figure
import numpy as np
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator
from sklearn.metrics import auc, roc_curve

from aezoo._typing import ArrayLike
from aezoo.plots import style

if TYPE_CHECKING:
    from keras.callbacks import History
    from matplotlib.axes import Axes

#: The colors repeat with the next dash pattern.
_DASHES = ("-", "--", ":", "-.")


def history(history: History | Mapping[str, Any]) -> matplotlib.figure.Figure:
    """Show the history of a training, one panel per term.

    `loss`, each of its terms and each metric gets a panel with a training line and, if there are `val_` values, a
    validation line. The vertical axis is logarithmic if the values are positive and span more than two decades.

    Args:
        history: Return value of `model.fit` (a `keras.callbacks.History`), or its `history` dictionary: {name: list
            with one number per epoch}. A validation line with fewer numbers than epochs, as with `validation_freq`, is
            drawn at even spacing. To compare several trainings, pass {name: history}: each has its own color, and its
            validation line is dashed.

    Returns:
        The figure, with one axes per term.

    Raises:
        ValueError: If no epoch was run, or a training line does not have one number per epoch.

    Example:
        ```python
        training = model.fit(x_train, validation_data=(x_test,), epochs=10)
        aezoo.plots.history(training).savefig("history.png")
        aezoo.plots.history({"tied": training, "untied": untied.fit(x_train, epochs=10)})
        ```
    """
    several = isinstance(history, Mapping) and all(isinstance(_lines(run), Mapping) for run in history.values())
    given = dict(history) if isinstance(history, Mapping) and several and history else {"": history}
    runs = {name: _read(run) for name, run in given.items()}
    terms = list(dict.fromkeys(name.removeprefix("val_") for _, lines in runs.values() for name in lines))
    if "loss" in terms:
        terms = ["loss", *(term for term in terms if term != "loss")]
    figure, panels = style.panels(len(terms), (420, 640, style.WIDTH), 250)
    for term, ax in zip(terms, panels, strict=True):
        _draw_term(ax, term, runs)
    validated = [any(f"val_{term}" in lines for _, lines in runs.values()) for term in terms]
    if "" in runs and any(validated):
        style.legend(figure.axes[validated.index(True)])
    elif "" not in runs:
        handles = [Line2D([], [], color=_color(i), label=name) for i, name in enumerate(runs)]
        if any(validated):
            handles.append(Line2D([], [], color=style.GRAY, linestyle="--", label="validation"))
        style.legend(figure, handles=handles, loc="outside upper center", ncols=min(len(handles), 2 * len(panels), 6))
    return figure


def _draw_term(ax: Axes, term: str, runs: Mapping[str, tuple[np.ndarray, dict[str, np.ndarray]]]) -> None:
    """Draw the lines of one term, of several runs or of a single one named ""."""
    finite, drawn = [], []
    for i, (name, (epochs, lines)) in enumerate(runs.items()):
        alone = name == ""
        for key, label, color, dash in (
            (term, name or "train", _color(i), "-"),
            (f"val_{term}", f"{name} validation".strip(), style.ORANGE if alone else _color(i), "-" if alone else "--"),
        ):
            if key not in lines:
                continue
            y = lines[key]
            every = len(epochs) // len(y) if key != term else 1
            at = epochs[every - 1 :: every][: len(y)]
            # Dots show the points of a short line: a line of one epoch would be invisible without them.
            marker = "o" if len(y) <= 20 else None
            ax.plot(at, y, color=color, label=label, marker=marker, markersize=3.5, linewidth=1.5, linestyle=dash)
            finite.append(y[np.isfinite(y)])
            drawn.append(epochs)
    values = np.concatenate(finite)
    if values.size and values.min() > 0 and values.max() > 100 * values.min():
        ax.set_yscale("log")
    first, last = min(epochs[0] for epochs in drawn), max(epochs[-1] for epochs in drawn)
    pad = min(0.5, 0.05 * (last - first)) or 0.5  # less than 1, so that there is no tick for an epoch 0
    ax.set_xlim(first - pad, last + pad)
    ax.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True, min_n_ticks=1))
    style.with_axes(ax, term, x="epoch")


def _color(i: int) -> str:
    return style.CURVES[i % len(style.CURVES)]


def _lines(history: object) -> object:
    """Return the dictionary of a `keras.callbacks.History`, or any other argument unchanged."""
    return getattr(history, "history", history)


def _read(history: object) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Return the numbers of the epochs, counted from 1 where Keras counts from 0, and the lines."""
    lines = _lines(history)
    if not isinstance(lines, Mapping):
        raise ValueError(
            f"plots.history got {type(history).__name__}: pass the result of `model.fit`, or its `history` dictionary."
        )
    lines = {name: np.asarray(values, dtype="float64") for name, values in lines.items() if len(values)}
    if not lines:
        raise ValueError("The history is empty, because no epoch was run: pass the history of a training.")
    count = max(len(values) for values in lines.values())
    for name, values in lines.items():
        if values.ndim != 1:
            raise ValueError(f"history[{name!r}] has shape {values.shape}: expected one number per epoch.")
        if len(values) != count and not name.startswith("val_"):
            raise ValueError(
                f"history[{name!r}] has {len(values)} numbers for {count} epochs: expected one number per epoch."
            )
    numbers = np.asarray(getattr(history, "epoch", ()), dtype=int)
    return numbers + 1 if len(numbers) == count else np.arange(1, count + 1), lines


def lines(
    points: Mapping[str, Any], *, x: str = "", y: str = "", log: Literal["", "x", "y", "xy"] = ""
) -> matplotlib.figure.Figure:
    """Draw lines through points, in the style of the other figures.

    Args:
        points: Lines, {name: points}: points (x, y) of shape (n, 2) in any order, or heights at x = 1, 2, 3, ... of
            shape (n,). A line named "" is left out of the legend. The first line is drawn in front of the others. For
            several panels, pass {title: {name: points}}: they are drawn side by side, at most two per row.
        x: Label of the horizontal axis.
        y: Label of the vertical axis.
        log: Logarithmic axes: `"x"`, `"y"`, `"xy"`, or `""` for none.

    Returns:
        The figure, with one axes per panel.

    Raises:
        ValueError: If there is nothing to draw, points are not (n, 2) or (n,) finite numbers, or points are not
            positive along a logarithmic axis.

    Example:
        >>> t = np.linspace(-6, 6, 100)
        >>> figure = lines({f"w = {w}": np.stack([t, 1 / (1 + np.exp(-w * t))], axis=1) for w in (1, 3)}, x="wx")
    """
    if log not in ("", "x", "y", "xy"):
        raise ValueError(f'log must be "x", "y", "xy" or "", not {log!r}.')
    several = isinstance(points, Mapping) and any(isinstance(panel, Mapping) for panel in points.values())
    panels = points if several else {"": points}
    figure, axes = style.panels(len(panels), (640, style.WIDTH), 300)
    for (title, panel), ax in zip(panels.items(), axes, strict=True):
        if not isinstance(panel, Mapping) or not panel:
            raise ValueError("There is nothing to draw: pass {name: [(x, y), ...]}, or {title: {name: ...}}.")
        drawn = {name: _points(name, some, log) for name, some in panel.items()}
        for i, (name, some) in enumerate(drawn.items()):
            look = {"color": _color(i), "linestyle": _DASHES[i // len(style.CURVES) % len(_DASHES)], "linewidth": 1.5}
            marker = "o" if len(some) <= 60 else None
            ax.plot(*some.T, label=name, marker=marker, markersize=3.5, zorder=3 - 0.01 * i, **look)
        values = np.concatenate(list(drawn.values()))
        if "x" not in log and (values[:, 0] % 1 == 0).all():
            ax.xaxis.set_major_locator(MaxNLocator(nbins=8, integer=True, min_n_ticks=1))
        for along in log:
            _logarithmic(ax, along, values[:, "xy".index(along)])
        style.with_axes(ax, title, x=x, y=y)
        if len(drawn) > len(style.CURVES):  # too many names to fit between the lines
            style.legend(ax, loc="upper left", bbox_to_anchor=(1, 1))
        elif any(drawn):
            style.legend(ax)
    return figure


def _points(name: str, points: ArrayLike, log: str) -> np.ndarray:
    """Return the points of a line from left to right, (n, 2)."""
    given = np.asarray(points, dtype="float64")
    points = np.stack([np.arange(1, len(given) + 1), given], axis=1) if given.ndim == 1 else given
    if points.ndim != 2 or points.shape[1] != 2 or not points.size or not np.isfinite(points).all():
        raise ValueError(
            f"{name!r}, of shape {given.shape}, is not (n, 2) or (n,) finite numbers: pass points (x, y), or heights."
        )
    for along in log:
        if points[:, "xy".index(along)].min() <= 0:
            raise ValueError(
                f"{name!r} is not positive along {along}, which is logarithmic: remove {along!r} from log."
            )
    return points[np.argsort(points[:, 0], kind="stable")]


def _logarithmic(ax: Axes, along: str, values: np.ndarray) -> None:
    ax.set(**{f"{along}scale": "log"})
    if 5 < values.max() / values.min() < 5000:  # few decades: room for more than powers of 10
        axis = getattr(ax, f"{along}axis")
        axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.set_major_formatter("{x:g}")
        axis.set_minor_locator(NullLocator())


def rate_distortion(
    curves: Mapping[str, Any], *, rate: str = "bits per pixel", quality: str = "PSNR (dB)"
) -> matplotlib.figure.Figure:
    """Draw the quality of compressed images against their size, one curve per compressor.

    Args:
        curves: Points (rate, quality) of each compressor, {name: (n, 2)}, in any order. The first curve is drawn in
            front of the others.
        rate: Label of the horizontal axis, the first column.
        quality: Label of the vertical axis, the second column.

    Returns:
        The figure, with one axes and one line per curve. The horizontal axis is logarithmic if the largest rate is more
        than 5 times the smallest.

    Raises:
        ValueError: If there is no curve, or one is not (n, 2) finite numbers with rates above 0.

    Example:
        >>> figure = rate_distortion({"ours": [(0.1, 20.0), (0.2, 24.0)], "JPEG": [(0.3, 20.0), (0.5, 24.0)]})
    """
    curves = {name: np.asarray(points, dtype="float64") for name, points in curves.items()}
    if not curves:
        raise ValueError("plots.rate_distortion got no curve: pass {name: [(rate, quality), ...]}.")
    for name, points in curves.items():
        if points.ndim != 2 or points.shape[1] != 2 or not (points[:, 0] > 0).all():
            raise ValueError(f"The curve {name!r} is not (n, 2) finite numbers (rate > 0, quality).")
    rates = np.concatenate([points[:, 0] for points in curves.values()])
    return lines(curves, x=rate, y=quality, log="x" if rates.max() > 5 * rates.min() else "")


def roc(labels: ArrayLike, scores: Mapping[str, ArrayLike] | ArrayLike) -> matplotlib.figure.Figure:
    """Draw ROC curves: the share of anomalies found against the share of false alarms.

    Args:
        labels: Labels, (n,), 1 for an anomaly and 0 for a normal sample; both must occur.
        scores: Scores, (n,) finite numbers that are higher for samples that look more anomalous, such as
            `model.score_samples` returns. To compare several models, pass {name: scores}.

    Returns:
        The figure, with one axes. The legend has the area under each curve.

    Raises:
        ValueError: If the labels are not 0 and 1, or scores are not one finite number per sample.

    Example:
        >>> figure = roc([0, 0, 1, 1], {"autoencoder": [0.1, 0.4, 0.35, 0.8]})
        >>> figure.axes[0].lines[0].get_label()
        'autoencoder, area 0.750'
    """
    labels = np.asarray(labels)
    if labels.ndim != 1 or set(np.unique(labels).tolist()) != {0, 1}:
        raise ValueError(f"labels of shape {labels.shape}: expected 0 and 1, (n,), with both of them present.")
    named: Mapping[str, Any] = scores if isinstance(scores, Mapping) else {"": scores}
    figure = style.figure(460, 420, layout="constrained")
    ax = figure.subplots()
    for i, (name, some) in enumerate(named.items()):
        values = np.asarray(some, dtype="float64")
        if values.shape != labels.shape or not np.isfinite(values).all():
            raise ValueError(
                f"The scores {name!r} of shape {values.shape} are not {len(labels)} finite numbers: pass one per label."
            )
        alarms, found, _ = roc_curve(labels, values)
        label = f"{name}, area {auc(alarms, found):.3f}".removeprefix(", ")
        dash = _DASHES[i // len(style.CURVES) % len(_DASHES)]
        ax.plot(alarms, found, color=_color(i), linestyle=dash, linewidth=1.5, label=label)
    ax.plot([0, 1], [0, 1], color=style.GRAY, linestyle=":", linewidth=1, label="chance")
    ax.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01))
    style.with_axes(ax, x="share of normal samples flagged", y="share of anomalies flagged")
    style.legend(ax, loc="lower right")
    return figure


def scores(
    scores: Mapping[str, Any], *, threshold: float | None = None, name: str = "score"
) -> matplotlib.figure.Figure:
    """Show the distribution of scores for each kind of samples, as histograms of shares.

    Args:
        scores: Scores of each kind, {name: (n,) finite numbers}. The shares of a kind add up to 1.
        threshold: Score above which samples are labeled anomalies, drawn as a line; None draws no line.
        name: Label of the horizontal axis.

    Returns:
        The figure, with one axes.

    Raises:
        ValueError: If there are no scores, a kind has none, or scores are not finite.

    Example:
        >>> figure = scores({"normal": [1.0, 2.0, 1.5], "anomalous": [4.0, 3.0]}, threshold=2.5)
    """
    values = {kind: np.asarray(some, dtype="float64") for kind, some in scores.items()}
    for kind, some in values.items():
        if some.ndim != 1 or not some.size or not np.isfinite(some).all():
            raise ValueError(f"The scores of {kind!r} are not (n,) finite numbers: pass at least one score.")
    if not values:
        raise ValueError("plots.scores got no scores: pass {kind: scores}.")
    edges = np.histogram_bin_edges(np.concatenate(list(values.values())), bins=50)
    figure = style.figure(640, 320, layout="constrained")
    ax = figure.subplots()
    for i, (kind, some) in enumerate(values.items()):
        color = _color(i)
        share = np.full(len(some), 1 / len(some))
        ax.hist(
            some,
            edges.tolist(),
            weights=share,
            label=kind,
            color=color,
            alpha=0.55,
            edgecolor=color,
            histtype="stepfilled",
        )
    if threshold is not None:
        ax.axvline(threshold, color=style.TEXT, linestyle="--", linewidth=1.2, label=f"threshold {threshold:.3g}")
    style.with_axes(ax, x=name, y="share of samples")
    style.legend(ax)
    return figure
