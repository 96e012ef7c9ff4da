"""Pictures of what an autoencoder learned: its features, its reconstructions, its training.

Every function returns a `matplotlib.figure.Figure` of its own: `figure.savefig("filters.png")` writes it, a
notebook shows it, and matplotlib's global state (pyplot, the backend, open windows) is left alone.
"""

import io
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

import matplotlib.figure
import numpy as np
import scipy.stats
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator

from aezoo import checks

__all__ = [
    "filters",
    "history",
    "interpolation",
    "manifold",
    "rate_distortion",
    "reconstructions",
    "samples",
    "sketches",
]

_DPI = 100
_WIDTH = 800  # pixels: what a README page shows without shrinking
_MARGIN = 12  # pixels
_LARGEST_TILE = 96  # pixels: an 8 x 8 filter blown up further only takes space
_TEXT = "#333333"
_COLORS = {"input": "#9a9a9a", "corrupted": "#e0a030", "reconstruction": "#1f6fb4"}
_CURVES = ("#1f6fb4", "#d1602b", "#3a9a5b", "#8a5fb0", "#9a9a9a", "#e0a030")
_TRAIN, _VALIDATION = "#1f6fb4", "#d1602b"


def filters(
    model: Any,
    n: int = 100,
    *,
    order: Literal["norm", "index"] = "norm",
    part: Literal["encoder", "decoder"] = "encoder",
) -> matplotlib.figure.Figure:
    """Shows learned features as pictures, one tile a unit.

    A tile is divided by its own largest absolute weight: mid-gray is 0, white the largest weight when it is
    positive and black when it is negative. The size of a unit is therefore not seen in its tile, only in its
    place.

    Args:
        model: a model with `encoder` and `decoder`, or the pictures themselves, an array of shape (units,
            height, width), (units, height, width, channels) or (units, height * width) with height = width.
            Of an encoder the first dense or 2-D convolution kernel is shown, of a decoder the last one. One
            or three channels are shown as they are, any other number as its mean.
        n: the largest number of tiles.
        order: "norm" puts the unit with the largest Euclidean norm first and dead ones last, "index" keeps
            the model's order.
        part: whose weights, "encoder" or "decoder". Of no effect when `model` is an array.

    Returns:
        The figure, with one axes that holds one image: the tiles, row by row.

    Raises:
        ValueError: the network is not built, has no such kernel, its kernel is not connected to whole images
            (its length is not that of the image, nor a square), or has values that are not finite.

    Example:
        ```python
        figure = aezoo.plots.filters(model, n=64)
        figure.savefig("filters.png")
        ```
    """
    _check_choice("order", order, ("norm", "index"))
    _check_choice("part", part, ("encoder", "decoder"))
    _check_count(n)
    if hasattr(model, "encoder"):
        weights, name = _kernel_pictures(model, part), f"{part} filters"
    else:
        weights, name = np.asarray(model), "filters"
    if weights.ndim not in (2, 3, 4) or weights.size == 0:
        raise ValueError(
            f"plots.filters got an array of shape {weights.shape}: pass a model with an `encoder`, or "
            "pictures of shape (units, height, width) or (units, height, width, channels)."
        )
    weights = weights.astype("float32")
    if not np.isfinite(weights).all():
        raise ValueError(f"The {name} have values that are not finite (NaN or inf): the training diverged.")
    total = len(weights)
    if order == "norm":
        norms = np.linalg.norm(weights.reshape(total, -1), axis=1)
        weights = weights[np.argsort(-norms, kind="stable")]
    tiles = _as_pictures(weights[:n])
    if tiles is None:
        raise ValueError(
            f"Each of the {name} has {weights.shape[1]} weights, which is not a square picture: pass them as "
            "pictures, plots.filters(weights.reshape(units, height, width))."
        )
    largest = np.abs(tiles).reshape(len(tiles), -1).max(axis=1)
    largest[largest == 0] = 1  # a dead unit stays mid-gray
    tiles = 0.5 + 0.5 * tiles / largest.reshape(-1, *[1] * (tiles.ndim - 1))
    shown = f"{total:,}" if len(tiles) == total else f"{len(tiles):,} of {total:,}"
    title = f"{name} ({shown}{', by norm' if order == 'norm' else ''})"
    return _tile_figure(tiles, columns=math.ceil(math.sqrt(len(tiles))), title=title)


def reconstructions(model: Any, x: Any, n: int = 10, *, corrupted: Any = None) -> matplotlib.figure.Figure:
    """Shows inputs above what the model makes of them.

    Images are drawn as rows of tiles: the inputs, then their reconstructions. All rows share one gray scale,
    [0, 1] or the range of the inputs when they leave it, and reconstructions are clipped to it. Signals are
    drawn as lines, input and reconstruction in one panel a sample.

    Args:
        model: a model with `reconstruct`.
        x: the inputs. Images (batch, height, width), (batch, height, width, 1 or 3) or (batch, height *
            width) with height = width; signals (batch, length) of any other length, or (batch, length, 1).
        n: the first `n` samples are shown.
        corrupted: a damaged version of `x`, of its shape. Given it, the rows are the input, the corrupted
            input, and the reconstruction of the corrupted input: what a denoising autoencoder is for.

    Returns:
        The figure: one axes with one image for images, one axes a sample for signals.

    Raises:
        ValueError: there is no sample, `corrupted` or the reconstruction is not of the shape of `x`, or `x`
            is neither images of 1 or 3 channels nor signals.

    Example:
        ```python
        figure = aezoo.plots.reconstructions(model, x_test, n=8)
        figure.savefig("reconstructions.png")
        ```
    """
    _check_count(n)
    x = np.asarray(x)
    if x.ndim < 2 or len(x) == 0:
        raise ValueError(
            f"plots.reconstructions got x of shape {x.shape}: pass a batch of samples, (batch, *input_shape)."
        )
    rows = {"input": x[:n]}
    if corrupted is not None:
        corrupted = np.asarray(corrupted)
        if corrupted.shape != x.shape:
            raise ValueError(f"corrupted has shape {corrupted.shape}, x has {x.shape}: they must be the same.")
        rows["corrupted"] = corrupted[:n]
    rows["reconstruction"] = np.asarray(model.reconstruct(x[:n] if corrupted is None else corrupted[:n]))
    if rows["reconstruction"].shape != rows["input"].shape:
        raise ValueError(
            f"model.reconstruct gave shape {rows['reconstruction'].shape} for inputs of shape "
            f"{rows['input'].shape}: a reconstruction has the shape of its input."
        )
    if x.ndim == 4 and x.shape[-1] not in (1, 3):
        raise ValueError(f"x has shape {x.shape}, images of {x.shape[-1]} channels: only 1 or 3 channels can be drawn.")
    if x.ndim > 4:
        raise ValueError(f"x has shape {x.shape}: only images and 1-D signals can be drawn.")
    is_signal = x.ndim == 3 and x.shape[-1] == 1
    pictures = {name: None if is_signal else _as_pictures(row) for name, row in rows.items()}
    if pictures["input"] is None:
        return _signal_figure({name: row.reshape(len(row), -1) for name, row in rows.items()})
    low, high = float(np.min(rows["input"])), float(np.max(rows["input"]))
    if 0 <= low and high <= 1:  # the scale of images, whether or not these few use all of it
        low, high = 0.0, 1.0
    scale = high - low if high > low else 1.0
    tiles = np.concatenate([np.clip((row - low) / scale, 0, 1) for row in pictures.values()])
    return _tile_figure(tiles, columns=len(rows["input"]), row_labels=list(rows))


def samples(x: Any, columns: int = 10) -> matplotlib.figure.Figure:
    """Draws samples as tiles.

    Args:
        x: (n, h, w, 1 or 3) in [0, 1], or (n, d) with d a perfect square.
        columns: Number of tiles in a row.

    Returns:
        The figure.

    Raises:
        ValueError: If the samples are no pictures.

    Example:
        >>> figure = samples(np.random.default_rng(0).random((20, 8, 8, 1)))
    """
    pictures = _as_pictures(np.asarray(x))
    if pictures is None or pictures.ndim < 3:
        raise ValueError(f"Samples of shape {np.shape(x)[1:]} are no pictures: give (n, h, w, 1 or 3).")
    return _tile_figure(np.clip(pictures, 0.0, 1.0), columns=columns, title="samples")


def interpolation(model: Any, x_a: Any, x_b: Any, steps: int = 10) -> matplotlib.figure.Figure:
    """Draws the pictures on the straight lines between the codes of samples, one line a row.

    Args:
        model: A built model with `interpolate`.
        x_a: Where the lines start, (n, h, w, 1 or 3).
        x_b: Where they end, (n, h, w, 1 or 3).
        steps: Number of pictures on a line, at least 2.

    Returns:
        The figure.

    Raises:
        ValueError: If the samples are no pictures.
    """
    paths = np.asarray(model.interpolate(x_a, x_b, steps))
    pictures = _as_pictures(paths.reshape(-1, *paths.shape[2:]))
    if pictures is None or pictures.ndim < 3:
        raise ValueError(f"Samples of shape {paths.shape[2:]} are no pictures: give (n, h, w, 1 or 3).")
    return _tile_figure(np.clip(pictures, 0.0, 1.0), columns=steps, title="from one code to another")


def manifold(model: Any, n: int = 20) -> matplotlib.figure.Figure:
    """Draws what a code of two units decodes to, on a grid of the quantiles of N(0, I).

    Args:
        model: A built model with a code of two units and `decode`.
        n: Number of pictures on a side, at least 2.

    Returns:
        The figure: the first unit grows to the right, the second one upwards.

    Raises:
        ValueError: If the code has not two units, or decodes to no pictures.
    """
    checks.whole("n", n, 2)
    if tuple(model.code_shape) != (2,):
        raise ValueError(f"A manifold is drawn of a code of 2 units, and this one has shape {tuple(model.code_shape)}.")
    quantiles = scipy.stats.norm.ppf((np.arange(n) + 0.5) / n)
    codes = np.stack(np.meshgrid(quantiles, -quantiles), axis=-1).reshape(-1, 2)
    pictures = _as_pictures(np.asarray(model.decode(codes.astype("float32"))))
    if pictures is None or pictures.ndim < 3:
        raise ValueError("The code decodes to no pictures of shape (h, w, 1 or 3).")
    return _tile_figure(np.clip(pictures, 0.0, 1.0), columns=n, title="what codes decode to")


def sketches(x: Any, columns: int = 10, row_labels: Sequence[str] | None = None) -> matplotlib.figure.Figure:
    """Draws sketches, each as large as its tile allows.

    Args:
        x: Stroke-5, (n, steps, 5), or a list of sketches in stroke-3, (points, 3).
        columns: Number of sketches in a row.
        row_labels: What is written beside each row.

    Returns:
        The figure, with one axes; each line of a sketch is drawn in it.

    Raises:
        ValueError: If there is no sketch, or not one label a row.

    Example:
        >>> import aezoo
        >>> figure = sketches(aezoo.sketches.shapes(8), columns=4)
    """
    from aezoo.sketches import to_lines

    rows = math.ceil(len(x) / columns)
    if not rows:
        raise ValueError("There are no sketches to draw.")
    if row_labels is not None and len(row_labels) != rows:
        raise ValueError(f"There are {rows} rows of sketches and {len(row_labels)} labels: give one a row.")
    lines = []
    for i, sketch in enumerate(x):
        drawn = to_lines(sketch)
        points = np.concatenate(drawn) if drawn else np.zeros((1, 2))
        middle, span = (points.min(axis=0) + points.max(axis=0)) / 2, np.ptp(points, axis=0).max()
        tile = np.array([i % columns + 0.5, i // columns + 0.5])
        lines += [(line - middle) * (0.86 / (span or 1)) + tile for line in drawn]
    left = 80 if row_labels else _MARGIN
    side = min(_LARGEST_TILE, (_WIDTH - left - _MARGIN) / columns)
    width, height = left + side * columns + _MARGIN, side * rows + 2 * _MARGIN
    figure = _Figure(figsize=(width / _DPI, height / _DPI), dpi=_DPI)
    ax = figure.add_axes((left / width, _MARGIN / height, side * columns / width, side * rows / height))
    for line in lines:
        ax.plot(*line.T, color=_TEXT, linewidth=1.1, solid_capstyle="round", marker="." if len(line) == 1 else None)
    ax.set(xlim=(0, columns), ylim=(rows, 0), xticks=[], yticks=[])
    if row_labels:
        ax.set_yticks(np.arange(rows) + 0.5, row_labels, fontsize=9, color=_TEXT)
        ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    return figure


def history(history: Any) -> matplotlib.figure.Figure:
    """Shows how a training went, one panel a term.

    `loss`, each of its terms and each metric gets a panel, with the training and the validation (`val_`)
    line. A panel whose values are positive and span more than two decades has a logarithmic axis.

    Args:
        history: what `model.fit` returned (a `keras.callbacks.History`), or its `history` dictionary: name ->
            list with one number an epoch. A validation line with fewer numbers than the training
            (`validation_freq`) is taken to be evenly spaced.

    Returns:
        The figure, one axes a term.

    Raises:
        ValueError: there is nothing to show (no epoch was run), or a line has more than one number an epoch.

    Example:
        ```python
        training = model.fit(x_train, validation_data=(x_test,), epochs=10)
        aezoo.plots.history(training).savefig("history.png")
        ```
    """
    lines = getattr(history, "history", history)
    if not isinstance(lines, Mapping):
        raise ValueError(
            f"plots.history got {type(history).__name__}: pass what `model.fit` returned, or its `history` dictionary."
        )
    lines = {name: np.asarray(values, dtype="float64") for name, values in lines.items() if len(values)}
    if not lines:
        raise ValueError("The history is empty: no epoch was run.")
    terms = list(dict.fromkeys(name.removeprefix("val_") for name in lines))
    if "loss" in terms:
        terms = ["loss", *(term for term in terms if term != "loss")]
    epochs = _epochs(history, lines)
    columns = min(3, len(terms))
    rows = math.ceil(len(terms) / columns)
    width = (420, 640, _WIDTH)[columns - 1]
    figure = _Figure(figsize=(width / _DPI, 0.4 + 2.5 * rows), dpi=_DPI, layout="constrained")
    figure.get_layout_engine().set(h_pad=0.08)
    panels = figure.subplots(rows, columns, squeeze=False).flat
    for term, ax in zip(terms, panels, strict=False):  # in this order zip takes no panel too many
        values = []
        for name, label, color in ((term, "train", _TRAIN), (f"val_{term}", "validation", _VALIDATION)):
            if name not in lines:
                continue
            y = lines[name]
            every = len(epochs) // len(y) if name.startswith("val_") else 1
            # Dots where a line could not be seen (one epoch) or would hide how few points it has.
            marker = "o" if len(y) <= 20 else None
            at = epochs[every - 1 :: every][: len(y)]
            ax.plot(at, y, color=color, label=label, marker=marker, markersize=3.5, linewidth=1.5)
            values.append(y[np.isfinite(y)])
        values = np.concatenate(values)
        if values.size and values.min() > 0 and values.max() > 100 * values.min():
            ax.set_yscale("log")
        pad = min(0.5, 0.05 * (epochs[-1] - epochs[0])) or 0.5  # less than 1: no tick for an epoch 0
        ax.set_xlim(epochs[0] - pad, epochs[-1] + pad)
        ax.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True, min_n_ticks=1))
        _style(ax, term)
        ax.set_xlabel("epoch", fontsize=9, color=_TEXT)
    for ax in panels:  # what is left of the last row
        ax.remove()
    if any(f"val_{term}" in lines for term in terms):
        first = next(ax for ax, term in zip(figure.axes, terms, strict=True) if f"val_{term}" in lines)
        first.legend(fontsize=8, frameon=False, labelcolor=_TEXT)
    return figure


def rate_distortion(
    curves: Mapping[str, Any], *, rate: str = "bits per pixel", quality: str = "PSNR (dB)"
) -> matplotlib.figure.Figure:
    """Shows what compressors make of the same images: their quality against the bits that they take.

    Args:
        curves: By the name of the compressor, its points (rate, quality), (n, 2), in any order. The first curve is
            drawn in front of the others.
        rate: What the first column is, for the axis.
        quality: What the second column is.

    Returns:
        The figure, with one axes and a line a curve.

    Raises:
        ValueError: If there is no curve, or one is not (n, 2) finite numbers with rates above 0.

    Example:
        >>> figure = rate_distortion({"ours": [(0.1, 20.0), (0.2, 24.0)], "JPEG": [(0.3, 20.0), (0.5, 24.0)]})
    """
    if not curves:
        raise ValueError("plots.rate_distortion got no curve: pass {name: [(rate, quality), ...]}.")
    figure = _Figure(figsize=(640 / _DPI, 420 / _DPI), dpi=_DPI, layout="constrained")
    ax = figure.subplots()
    rates = []
    for i, (name, points) in enumerate(curves.items()):
        points = np.asarray(points, dtype="float64")
        if points.ndim != 2 or points.shape[1] != 2 or not np.isfinite(points).all() or not (points[:, :1] > 0).all():
            raise ValueError(f"The curve {name!r} is not (n, 2) finite numbers (rate > 0, quality).")
        points = points[np.argsort(points[:, 0])]
        rates.append(points[:, 0])
        color = _CURVES[i % len(_CURVES)]
        ax.plot(*points.T, label=name, color=color, marker="o", markersize=3.5, linewidth=1.5, zorder=3 - 0.01 * i)
    rates = np.concatenate(rates)
    if rates.max() > 5 * rates.min():
        ax.set_xscale("log")
        ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        ax.xaxis.set_major_formatter("{x:g}")
        ax.xaxis.set_minor_locator(NullLocator())
    _style(ax)
    ax.set_xlabel(rate, fontsize=9, color=_TEXT)
    ax.set_ylabel(quality, fontsize=9, color=_TEXT)
    ax.legend(fontsize=8, frameon=False, labelcolor=_TEXT)
    return figure


class _Figure(matplotlib.figure.Figure):
    """A figure that a notebook shows without pyplot, which otherwise teaches it to."""

    def _repr_png_(self) -> bytes:
        buffer = io.BytesIO()
        self.savefig(buffer, format="png")
        return buffer.getvalue()


def _epochs(history: Any, lines: Mapping[str, np.ndarray]) -> np.ndarray:
    """The numbers of the epochs, from 1 (Keras counts from 0, or from `initial_epoch`)."""
    count = max(len(values) for values in lines.values())
    numbers = np.asarray(getattr(history, "epoch", ()), dtype=int)
    epochs = numbers + 1 if len(numbers) == count else np.arange(1, count + 1)
    for name, values in lines.items():
        if values.ndim != 1:
            raise ValueError(f"history[{name!r}] has shape {values.shape}: expected one number an epoch.")
        if len(values) != count and not name.startswith("val_"):
            raise ValueError(f"history[{name!r}] has {len(values)} numbers for {count} epochs.")
    return epochs


def _kernel_pictures(model: Any, part: str) -> np.ndarray:
    """The weights of `part` next to the image, (units, *picture shape)."""
    network = getattr(model, part)
    layers = list(_layers_with_kernel(network))
    if not layers:
        raise ValueError(
            f"model.{part} has no built Dense or Conv2D layer to show: call the model on a batch first, or "
            "pass the pictures as an array, plots.filters(weights.reshape(units, height, width))."
        )
    layer = layers[0] if part == "encoder" else layers[-1]
    classes = {cls.__name__ for cls in type(layer).__mro__}
    kernel = np.asarray(layer.kernel)
    if kernel.ndim == 4:
        # Keras: (height, width, in, out) for Conv2D, (height, width, out, in) for Conv2DTranspose. The units
        # are on the side of the code: `out` of an encoder, `in` of a decoder.
        unit_axis = 3 if (part == "encoder") != ("Conv2DTranspose" in classes) else 2
        return np.moveaxis(kernel, unit_axis, 0)
    # A tied decoder holds the encoder's kernel, (features, units), and multiplies by its transpose.
    if (part == "encoder" or "DenseTranspose" in classes) and "RowEncoder" not in classes:
        kernel = kernel.T
    shape = network.input_shape if part == "encoder" else network.output_shape
    shape = tuple(shape[1:]) if isinstance(shape, tuple) else ()
    if None in shape or math.prod(shape) != kernel.shape[1]:
        raise ValueError(
            f"Layer {layer.name!r} of model.{part} has {kernel.shape[1]} weights a unit, which is not the "
            f"number of values in an image of shape {shape}: they are no pictures of that shape."
        )
    return kernel.reshape(len(kernel), *shape)


def _layers_with_kernel(layer: Any) -> Iterator[Any]:
    """The dense and 2-D convolution layers of a network, in order, those of nested models included."""
    inner = getattr(layer, "layers", None)
    if inner is not None:
        for child in inner:
            yield from _layers_with_kernel(child)
    elif getattr(layer, "built", False) and hasattr(layer, "kernel") and len(layer.kernel.shape) in (2, 4):
        yield layer


def _as_pictures(x: np.ndarray) -> np.ndarray | None:
    """Images as (n, height, width) or (n, height, width, 3); None for vectors that are no squares."""
    x = x.astype("float32")
    if x.ndim == 3 and x.shape[-1] == 1:
        x = x[..., 0]
    if x.ndim == 2:
        side = math.isqrt(x.shape[1])
        return x.reshape(len(x), side, side) if side * side == x.shape[1] else None
    if x.ndim == 4 and x.shape[-1] != 3:
        return x.mean(axis=-1)
    return x


def _mosaic(tiles: np.ndarray, columns: int) -> tuple[np.ndarray, int]:
    """Lays tiles, (n, height, width) or (n, height, width, 3), out on white; also gives the gap."""
    height, width = tiles.shape[1:3]
    gap = max(1, round(max(height, width) / 14))
    rows = math.ceil(len(tiles) / columns)
    shape = (rows * (height + gap) - gap, columns * (width + gap) - gap, *tiles.shape[3:])
    mosaic = np.ones(shape, dtype="float32")
    for i, tile in enumerate(tiles):
        top, left = i // columns * (height + gap), i % columns * (width + gap)
        mosaic[top : top + height, left : left + width] = tile
    return mosaic, gap


def _tile_figure(
    tiles: np.ndarray, *, columns: int, title: str = "", row_labels: list[str] | None = None
) -> matplotlib.figure.Figure:
    """A figure of tiles with values in [0, 1], in which a pixel of a tile is a whole number of pixels."""
    mosaic, gap = _mosaic(tiles, columns)
    left = 100 if row_labels else _MARGIN
    top = 34 if title else _MARGIN
    room = _WIDTH - left - _MARGIN
    scale = min(room / mosaic.shape[1], max(1, _LARGEST_TILE // max(tiles.shape[1:3])))
    if scale > 1:
        scale = math.floor(scale)  # else some pixels are wider than others, and so are the gaps
    height, width = mosaic.shape[0] * scale, mosaic.shape[1] * scale
    figure_width = max(left + width + _MARGIN, 7 * len(title) + 2 * _MARGIN)
    figure_height = top + height + _MARGIN
    figure = _Figure(figsize=(figure_width / _DPI, figure_height / _DPI), dpi=_DPI)
    if not row_labels:
        left = (figure_width - width) // 2
    ax = figure.add_axes((left / figure_width, _MARGIN / figure_height, width / figure_width, height / figure_height))
    interpolation = "nearest" if scale >= 1 else "antialiased"
    ax.imshow(mosaic, cmap="gray", vmin=0, vmax=1, interpolation=interpolation, aspect="auto")
    ax.set_xticks([])
    ax.set_yticks([])
    if row_labels:
        step = tiles.shape[1] + gap
        centres = [row * step + (tiles.shape[1] - 1) / 2 for row in range(len(row_labels))]
        ax.set_yticks(centres, row_labels, fontsize=9, color=_TEXT)
        ax.tick_params(length=0)
    for spine in ax.spines.values():
        spine.set_visible(False)
    if title:
        figure.suptitle(title, fontsize=11, color=_TEXT, y=1 - top / 2 / figure_height, va="center")
    return figure


def _signal_figure(rows: Mapping[str, np.ndarray]) -> matplotlib.figure.Figure:
    """One panel a sample, with a line for each of `rows`, (n, length)."""
    count = len(rows["input"])
    columns = min(5, count)
    height = math.ceil(count / columns)
    figure = _Figure(figsize=(_WIDTH / _DPI, 0.4 + 1.5 * height), dpi=_DPI, layout="constrained")
    panels = figure.subplots(height, columns, squeeze=False, sharex=True, sharey=True).flat
    for sample, ax in enumerate(panels):
        if sample >= count:
            ax.remove()
            continue
        for name, row in rows.items():
            noise = name == "corrupted"  # thin and behind, or it covers the input
            width, layer = (0.8, 1.9) if noise else (1.5, 2)
            ax.plot(row[sample], label=name, color=_COLORS[name], linewidth=width, zorder=layer)
        _style(ax)
        ax.set_xticks([])
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=3, fontsize=9, frameon=False, labelcolor=_TEXT)
    return figure


def _style(ax: Any, title: str = "") -> None:
    """The look of a panel with axes."""
    ax.set_title(title, fontsize=11, color=_TEXT)
    ax.spines[["top", "right"]].set_visible(False)
    ax.spines[["left", "bottom"]].set_color("#aaaaaa")
    ax.tick_params(which="both", labelsize=8, colors=_TEXT, color="#aaaaaa")
    ax.grid(axis="y", color="#e6e6e6", linewidth=0.8)
    ax.set_axisbelow(True)


def _check_choice(name: str, value: Any, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ValueError(f"{name}={value!r}: expected one of {', '.join(map(repr, choices))}.")


def _check_count(n: int) -> None:
    if n < 1:
        raise ValueError(f"n={n}: expected at least 1.")
