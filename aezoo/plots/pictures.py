"""Figures of samples, their reconstructions, and pictures that a model generates."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import keras
import matplotlib.figure
import numpy as np
import scipy.stats

from aezoo import _validation
from aezoo._typing import ArrayLike, Data
from aezoo.plots import style, tiles
from aezoo.training import gate

if TYPE_CHECKING:
    from aezoo.models.autoencoder import Autoencoder
    from aezoo.models.rbm import RBM

_COLORS = {"input": style.GRAY, "corrupted": style.AMBER, "reconstruction": style.BLUE}


def rows(rows: Mapping[str, Any], n: int = 10) -> matplotlib.figure.Figure:
    """Show several versions of the same samples, one below the other.

    Images are drawn as rows of tiles. All rows share one gray scale: [0, 1], or the range of the first row if it has
    values outside [0, 1]. Values outside the scale are clipped. Signals are drawn as lines, all versions of a sample in
    one panel.

    Args:
        rows: Versions of the samples, {name: array}, all of the same shape. Images are (batch, height, width), (batch,
            height, width, 1 or 3) or (batch, height * width) with height = width; signals are (batch, length) of any
            other length, or (batch, length, columns) with a length of more than four times the columns, which are drawn
            one after another.
        n: Number of samples to show, at least 1: the first `n`.

    Returns:
        The figure, with one axes and one image for images, or one axes per sample for signals.

    Raises:
        ValueError: If there is no sample, the shapes differ, or the samples are neither images of 1 or 3 channels nor
            signals.

    Example:
        ```python
        aezoo.plots.rows({"input": x, "PCA": by_pca, "autoencoder": model.reconstruct(x)})
        ```
    """
    _validation.check_int("n", n, 1)
    arrays = {name: np.asarray(row) for name, row in rows.items()}
    if not arrays:
        raise ValueError("plots.rows got no row: pass {name: samples}.")
    (first, x), *others = arrays.items()
    if x.ndim < 2 or len(x) == 0:
        raise ValueError(f"The row {first!r} has shape {x.shape}: pass a batch of samples, (batch, *input_shape).")
    for name, row in others:
        if row.shape != x.shape:
            raise ValueError(f"The row {name!r} has shape {row.shape}, {first!r} has {x.shape}: they must be the same.")
    if x.ndim == 4 and x.shape[-1] not in (1, 3):
        raise ValueError(f"Images of shape {x.shape[1:]} have {x.shape[-1]} channels: only 1 or 3 can be drawn.")
    if x.ndim > 4:
        raise ValueError(f"Samples of shape {x.shape[1:]} cannot be drawn: only images and 1-D signals can.")
    arrays = {name: row[:n] for name, row in arrays.items()}
    x = arrays[first]
    is_signal = x.ndim == 3 and (x.shape[2] == 1 or x.shape[1] > 4 * x.shape[2])
    if is_signal:
        arrays = {name: row.swapaxes(1, 2) for name, row in arrays.items()}
    if is_signal or tiles.as_pictures(x) is None:
        return _signal_figure({name: row.reshape(len(row), -1) for name, row in arrays.items()})
    low, high = float(np.min(x)), float(np.max(x))
    if 0 <= low and high <= 1:  # the scale of images, even if these few do not use all of it
        low, high = 0.0, 1.0
    scale = high - low if high > low else 1.0
    pictures: list[Any] = [tiles.as_pictures(row) for row in arrays.values()]
    shown = np.concatenate([np.clip((row - low) / scale, 0, 1) for row in pictures])
    return tiles.tile_figure({"": shown}, columns=len(x), row_labels=list(arrays))


def reconstructions(
    model: Autoencoder, x: Data, n: int = 10, *, corrupted: ArrayLike | None = None, **conditions: Any
) -> matplotlib.figure.Figure:
    """Show inputs above their reconstructions, as `rows` draws them.

    Args:
        model: A model with `reconstruct`.
        x: Inputs, images or signals as `rows` accepts them; or a dict of "x" and the conditions; or data that come
            batch by batch, such as a data set: only as many batches as needed are read.
        n: Number of samples to show, at least 1: the first `n`.
        corrupted: A corrupted version of `x`, of the same shape. The rows are then the input, the corrupted input and
            the reconstruction of the corrupted input, as for a denoising autoencoder.
        **conditions: Conditions by name, one entry per sample, or one for all.

    Returns:
        The figure, with one axes and one image for images, or one axes per sample for signals.

    Raises:
        ValueError: If there is no sample, `corrupted` or the reconstruction does not have the shape of `x`, or `x` is
            neither images of 1 or 3 channels nor signals.

    Example:
        ```python
        aezoo.plots.reconstructions(model, x_test, n=8).savefig("reconstructions.png")
        corrupted = denoising.corruption(x_test, training=True)
        aezoo.plots.reconstructions(denoising, x_test, corrupted=corrupted)
        ```
    """
    _validation.check_int("n", n, 1)
    x, conditions = _first(model, x, n, conditions)
    shown = {"input": x}
    if corrupted is not None:
        shown["corrupted"] = np.asarray(corrupted)[:n]
    given = shown["input" if corrupted is None else "corrupted"]
    return rows({**shown, "reconstruction": model.reconstruct(given, **conditions)}, n)


def _first(model: Autoencoder, x: Any, n: int, conditions: Mapping[str, Any]) -> tuple[np.ndarray, dict[str, Any]]:
    """Return the first samples of data of any kind, and their conditions."""
    if gate.is_stream(x):
        rules = gate.Rules.of(model, compared=False)
        elements = (x[i] for i in itertools.count()) if isinstance(x, keras.utils.PyDataset) else iter(x)
        read: list[dict[str, np.ndarray]] = []
        while sum(len(batch["x"]) for batch in read) < n and (element := next(elements, None)) is not None:
            samples, y, _ = keras.utils.unpack_x_y_sample_weight(element)
            parts = gate.Parts(samples, {}, y, None) if conditions else rules.parts(samples, y)
            read.append({name: np.asarray(part) for name, part in {"x": parts.x, **parts.conditions}.items()})
        if not read:
            raise ValueError("The data set is empty: pass at least one sample.")
        x = {name: np.concatenate([batch[name] for batch in read]) for name in read[0]}
    if gate.is_dict(x):
        x, conditions = x["x"], {**{name: values for name, values in x.items() if name != "x"}, **conditions}
    x = np.asarray(x)
    of_samples = {name for name, values in conditions.items() if np.ndim(values) and len(values) == len(x)}
    return x[:n], {name: values[:n] if name in of_samples else values for name, values in conditions.items()}


def samples(x: ArrayLike, columns: int = 10) -> matplotlib.figure.Figure:
    """Draw samples as tiles.

    Args:
        x: Samples in [0, 1], (n, h, w, 1 or 3), or (n, d) with d a perfect square. Other values are clipped.
        columns: Maximum number of tiles per row, at least 1.

    Returns:
        The figure, with one axes.

    Raises:
        ValueError: If there are no samples, they are not pictures, or `columns` is below 1.

    Example:
        >>> figure = samples(np.random.default_rng(0).random((20, 8, 8, 1)))
    """
    return tiles.tile_figure({"samples": tiles.pictures(x)}, columns=columns)


def chains(
    model: RBM,
    n: int = 10,
    steps: Sequence[int] = (1, 10, 100, 1000),
    *,
    start: ArrayLike | None = None,
    seed: int | None = None,
) -> matplotlib.figure.Figure:
    """Draw the states of an RBM's Gibbs chains after several numbers of steps, one chain per column.

    Args:
        model: A built RBM. Sampling advances its random state.
        n: Number of chains.
        steps: Rising numbers of steps, one row for each. A row shows the means of the visible units, as `sample`
            returns them; the chain continues from a sample with these means.
        start: Starts of the chains, (n, *input_shape), shown as the first row. None starts at random.
        seed: Seed of the samples from which a chain continues. None draws a new one for each call.

    Returns:
        The figure, with one axes.

    Raises:
        ValueError: If the numbers of steps do not rise, or the samples are not pictures.

    Example:
        ```python
        aezoo.plots.chains(rbm, start=x_test[:10], seed=0)
        ```
    """
    steps = _validation.check_ints("steps", steps)
    if not steps or any(after <= before for before, after in itertools.pairwise(steps)):
        raise ValueError(f"The numbers of steps must rise, such as (1, 10, 100), but they are {steps}.")
    rng = np.random.default_rng(seed)
    shown = [] if start is None else [np.asarray(start)]
    labels = [] if start is None else ["start"]
    for before, after in itertools.pairwise((0, *steps)):
        mean = np.asarray(model.sample(n, after - before, start))
        noisy = rng.normal(mean) if model.visible == "gaussian" else rng.random(mean.shape) < mean
        start = noisy.astype("float32")
        shown.append(mean)
        labels.append(f"{after:,} step{'s' * (after > 1)}")
    return tiles.tile_figure({"": tiles.pictures(np.concatenate(shown))}, columns=n, row_labels=labels)


def interpolation(
    model: Autoencoder, x_a: ArrayLike, x_b: ArrayLike, steps: int = 10, **conditions: ArrayLike
) -> matplotlib.figure.Figure:
    """Draw the pictures decoded along the straight lines between codes of samples, one line per row.

    Args:
        model: A built model with `interpolate`.
        x_a: Samples at the starts, (n, h, w, 1 or 3).
        x_b: Samples at the ends, (n, h, w, 1 or 3).
        steps: Number of pictures per line, both ends included, at least 2.
        **conditions: Conditions by name, one entry per line, or one for all.

    Returns:
        The figure, with one axes.

    Raises:
        ValueError: If the numbers of starts and ends differ, or the samples are not pictures.

    Example:
        ```python
        aezoo.plots.interpolation(vae, x_test[:5], x_test[5:10])
        ```
    """
    given: dict[str, Any] = conditions
    paths = np.asarray(model.interpolate(x_a, x_b, steps, **given))
    shown = tiles.pictures(paths.reshape(-1, *paths.shape[2:]))
    return tiles.tile_figure({"from one code to another": shown}, columns=steps)


def traversal(
    x: Any,
    directions: Mapping[str, Any] | Any,
    amounts: Sequence[float] = (-3.0, -1.5, 0.0, 1.5, 3.0),
    *,
    decode: Callable[[Any], Any] | None = None,
) -> matplotlib.figure.Figure:
    """Show a sample moved along directions: x + a·d, one row per direction d and one column per amount a.

    With `decode`, the sample and the directions are codes, and the figure shows what the moved codes decode to.

    Args:
        x: One sample in [0, 1], (h, w, 1 or 3), or one code.
        directions: Directions d with the shape of `x`: {name: direction}, or an array (rows, *shape). They are not
            normalized.
        amounts: Amounts a, from left to right.
        decode: Function from codes, (n, *shape), to pictures, such as `model.decode`. None draws the samples directly.

    Returns:
        The figure, with one axes. Values outside [0, 1] are clipped.

    Raises:
        ValueError: If there is no direction or no amount, a direction has another shape, or the result is not a
            picture.

    Example:
        >>> x = np.full((8, 8, 1), 0.5)
        >>> figure = traversal(x, {"brighter": np.ones((8, 8, 1))}, amounts=(-0.5, 0.0, 0.5))
    """
    x = np.asarray(x, "float32")
    if not isinstance(directions, Mapping):
        directions = {f"direction {i + 1}": direction for i, direction in enumerate(directions)}
    if not directions or not len(amounts):
        raise ValueError("plots.traversal got no direction or no amount: pass at least one direction and one amount.")
    moved = []
    for name, direction in directions.items():
        direction = np.asarray(direction, "float32")
        if direction.shape != x.shape:
            raise ValueError(f"{name!r} has shape {direction.shape}, the sample has {x.shape}: they must be the same.")
        moved += [x + np.float32(amount) * direction for amount in amounts]
    shown = tiles.pictures(np.stack(moved) if decode is None else decode(np.stack(moved)))
    title = "moved by " + ", ".join(f"{amount:+g}" if amount else "0" for amount in amounts)
    return tiles.tile_figure({title: shown}, columns=len(amounts), row_labels=list(directions))


def manifold(model: Autoencoder, n: int = 13, x: Data | None = None, **conditions: Any) -> matplotlib.figure.Figure:
    """Draw what a code of two units decodes to, on a grid of quantiles of N(0, I) or of codes.

    Args:
        model: A built model with a code of two units and `decode`.
        n: Number of pictures per side, at least 2.
        x: Samples whose codes give the quantiles, (m, *input_shape), for a model without a prior; or a dict of "x" and
            the conditions; or data that come batch by batch, as `model.encode` accepts them. None takes the quantiles
            of N(0, I).
        **conditions: Conditions by name, one for all pictures.

    Returns:
        The figure, with one axes. The first unit increases to the right, the second upward.

    Raises:
        ValueError: If the code does not have two units, or does not decode to pictures.

    Example:
        ```python
        aezoo.plots.manifold(vae)  # of a ConditionalVAE aezoo.plots.manifold(cvae, label=7)
        aezoo.plots.manifold(two_units, x=x_test)  # no prior: quantiles of the codes of x_test
        ```
    """
    _validation.check_int("n", n, 2)
    if tuple(model.code_shape) != (2,):
        raise ValueError(f"plots.manifold needs a code of 2 units, but this one has shape {tuple(model.code_shape)}.")
    at = (np.arange(n) + 0.5) / n
    if x is None:
        right = up = scipy.stats.norm.ppf(at)
    else:
        have_conditions = gate.is_dict(x) or gate.is_stream(x)
        codes = model.encode(x) if have_conditions else model.encode(x, **conditions)
        right, up = np.quantile(np.asarray(codes, "float32"), at, axis=0).T
    codes = np.stack(np.meshgrid(right, up[::-1]), axis=-1).reshape(-1, 2)
    shown = tiles.pictures(model.decode(codes.astype("float32"), **conditions))
    return tiles.tile_figure({"decoded grid of codes": shown}, columns=n)


def _signal_figure(rows: Mapping[str, np.ndarray]) -> matplotlib.figure.Figure:
    """Draw one panel per sample, with a line for each of `rows`, (n, length)."""
    count = len(next(iter(rows.values())))
    columns = min(5, count)
    height = math.ceil(count / columns)
    figure = style.figure(style.WIDTH, 40 + 150 * height, layout="constrained")
    panels = figure.subplots(height, columns, squeeze=False, sharex=True, sharey=True).flat
    colors = {name: _COLORS.get(name, style.CURVES[i % len(style.CURVES)]) for i, name in enumerate(rows)}
    for sample, ax in enumerate(panels):
        if sample >= count:
            ax.remove()
            continue
        for name, row in rows.items():
            noise = name == "corrupted"  # thin and at the back, so that it does not cover the input
            width, layer = (0.8, 1.9) if noise else (1.5, 2)
            ax.plot(row[sample], label=name, color=colors[name], linewidth=width, zorder=layer)
        style.with_axes(ax)
        ax.set_xticks([])
    figure.supxlabel("position in the sample", fontsize=9)
    handles, labels = figure.axes[0].get_legend_handles_labels()
    style.legend(figure, handles=handles, labels=labels, loc="outside upper center", ncols=len(rows), fontsize=9)
    return figure
