"""Diagrams of networks."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import keras
import matplotlib.figure
from matplotlib.collections import LineCollection
from matplotlib.patches import Circle, Polygon, Rectangle

from aezoo import _keras, _validation
from aezoo._typing import Shape
from aezoo.layers.code_layer import CodeLayer
from aezoo.plots import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

RADIUS, PITCH = 8, 22  # pixels: radius of a unit, and distance from one unit to the next
LINE = 15  # pixels: height of a line of text
ALL = 6  # units: layers up to this width are drawn in full
_COLORS = {
    "input": style.GRAY,
    "hidden": style.BLUE,
    "code": style.ORANGE,
    "moment": style.PURPLE,
    "output": style.GRAY,
    "corrupted": style.GRAY,
    "condition": style.GREEN,
}
_NORMALIZATIONS = tuple(
    getattr(keras.layers, name)
    for name in "BatchNormalization LayerNormalization GroupNormalization UnitNormalization PReLU".split()
)


@dataclasses.dataclass(eq=False)
class _Group:
    """Symbol of a layer: circles for units, with `shape` (width,), or a block for feature maps."""

    name: str
    shape: tuple[int | None, ...]
    role: str
    notes: list[str]
    active: float | None = None  # the share of active units; None stands for all

    @property
    def is_block(self) -> bool:
        return len(self.shape) > 1

    @property
    def units(self) -> int:
        return math.prod(size or 1 for size in self.shape)

    @property
    def slots(self) -> int:
        """Number of circles to draw. If there are fewer than units, one of them is an ellipsis."""
        if self.units <= ALL:
            return self.units
        return min(self.units, ALL + round(0.8 * math.log2(self.units / ALL)))

    @property
    def height(self) -> float:
        if self.is_block:
            return 26 + 12 * math.log2(max(1, *(size or 16 for size in self.shape[:-1])))
        return PITCH * (self.slots - 1) + 2 * RADIUS

    @property
    def half_width(self) -> float:
        return 7 + 2 * math.log2(self.shape[-1] or 1) if self.is_block else RADIUS

    @property
    def texts(self) -> list[str]:
        size = "×".join("any" if size is None else f"{size:,}" for size in self.shape)
        return [size, *self.notes]


@dataclasses.dataclass
class _Edge:
    start: _Group
    end: _Group
    label: str = ""
    bias: bool = False


@dataclasses.dataclass
class _Diagram:
    columns: list[list[_Group]]
    edges: list[_Edge]
    spans: list[tuple[str, int, int]]  # name, first column and last column of a bracket


def network(model: Any, *, bias: bool = False, title: str = "") -> matplotlib.figure.Figure:
    """Draw the diagram of a network: a column of circles per layer, the code highlighted.

    A wide layer is drawn as a few units and an ellipsis, feature maps as a block. Each layer has its width and
    activation below it. Each set of weights is labeled with its matrix: $W_1^T$ is the transposed kernel that a tied
    decoder shares with the encoder. A VAE has μ, σ and the sample z, a model with conditions has one more input for
    each, and an RBM is two layers joined both ways. A stack is drawn unrolled. In a k-sparse code about the share of
    active units is filled. A denoising model has a second column for the corrupted input, with crosses on corrupted
    units. Normalization, dropout and reshaping are left out. A part that is not a chain of layers, such as a
    transformer, is one block, labeled with the attribute `part_name` of its class, or else with its name.

    Args:
        model: A built model of aezoo, a stack, a Keras model such as a classifier, or the widths of the layers, such as
            (784, 256, 32, 256, 784); the narrowest layer after the input is then the code.
        bias: Whether to draw the bias units, +1, of layers that have biases.
        title: Title above the diagram.

    Returns:
        The figure, with one axes.

    Raises:
        ValueError: If the model is not built or has no layer with weights, or there are fewer than two widths.
        TypeError: If `model` is neither a model nor a list or tuple of widths.

    Example:
        >>> figure = network((784, 256, 32, 256, 784))
        >>> import aezoo
        >>> model = aezoo.KSparseAE(latent_dim=100, k=10, tied=True)
        >>> model.build((None, 8, 8, 1))
        >>> figure = network(model, bias=True)
        >>> [text.get_text() for text in figure.axes[0].texts if "k =" in text.get_text()]
        ['k = 10']
    """
    if isinstance(model, (list, tuple)):
        return _draw(_of_widths(model), bias, title)
    if hasattr(model, "stages"):
        stages = list(model.stages)
        for stage in stages:
            _validation.check_built(stage)
        return _draw(_of_model(model, stages), bias, title)
    if not isinstance(model, keras.Model):
        raise TypeError(f"plots.network got {type(model).__name__}: pass a model, or a list or tuple of widths.")
    if not model.built:
        raise ValueError(f"{model.name!r} has no layers yet: fit it, or call it on a batch, before drawing it.")
    if hasattr(model, "gibbs"):
        return _draw_bipartite(model, bias, title)
    if hasattr(model, "encoder"):
        return _draw(_of_model(model, [model]), bias, title)
    return _draw(_of_network(model), bias, title)


# === Layers and edges ===


def _of_widths(widths: Sequence[int]) -> _Diagram:
    widths = _validation.check_ints("widths", widths)
    if len(widths) < 2:
        raise ValueError(f"A network has two layers or more, but the widths are {widths}: pass at least two.")
    middle = (len(widths) - 1) / 2
    code = min(range(1, len(widths)), key=lambda i: (widths[i], abs(i - middle)))
    columns = [[_Group("", (width,), "hidden", [])] for width in widths]
    columns[0][0].role = "input"
    columns[-1][0].role = "output"
    columns[code][0].role = "code"
    edges = [
        _Edge(below[0], above[0], f"$W_{{{i}}}$", bias=True)
        for i, (below, above) in enumerate(itertools.pairwise(columns), 1)
    ]
    return _named(_Diagram(columns, edges, _spans(code, code, len(columns))))


def _spans(last_of_encoder: int, code: int, columns: int, first: int = 0) -> list[tuple[str, int, int]]:
    spans = [("encoder", first, last_of_encoder), ("decoder", code, columns - 1)]
    return [span for span in spans if span[2] > span[1]]


def _named(diagram: _Diagram) -> _Diagram:
    """Name the groups that have no name yet: x, h₁, ..., z, ..., x′."""
    hidden = 0
    for column in diagram.columns:
        for group in column:
            if group.name:
                continue
            if group.role == "hidden":
                hidden += 1
            names = {"input": "input $x$", "hidden": f"$h_{{{hidden}}}$", "code": "code $z$", "output": "$x'$"}
            group.name = names[group.role]
    return diagram


def _of_network(network: keras.Model) -> _Diagram:
    x_shape = tuple(network.input_shape[1:])
    columns, edges, numbers = [[_Group("input $x$", x_shape, "input", [])]], list[_Edge](), dict[int, int]()
    for group, layer in _layers([network], x_shape):
        columns.append([group])
        edges.append(_Edge(columns[-2][0], group, _part(layer) or _weights(layer, numbers), _has_bias(layer)))
    if not edges:
        raise ValueError(f"{network.name!r} has no layer with weights: there is nothing to draw.")
    group = columns[-1][0]
    group.name, group.role = "output $y$", "output"
    _flatten_first(columns[0][0], columns[1][0])
    return _named(_Diagram(columns, edges, []))


def _of_model(model: Any, stages: Sequence[Any]) -> _Diagram:
    """Return the diagram of an autoencoder, or of a stack, whose stages are unrolled."""
    x_shape, top = tuple(stages[0].x_shape), stages[-1]
    for stage in stages:
        if not stage.is_chain:
            raise ValueError(f"{type(stage).__name__} has two levels of codes, but plots.network draws one chain.")
    down = _layers([stage.encoder for stage in stages], x_shape)
    up = _layers([stage.decoder for stage in reversed(stages)], tuple(top.code_shape))
    columns, edges = [[_Group("", x_shape, "input", [])]], list[_Edge]()
    corrupted = hasattr(model, "corruption")  # stages of a stack corrupt their inputs in pretraining only
    if corrupted:
        columns.append([_Group(r"$\tilde x$", x_shape, "corrupted", ["corrupted"])])
        edges.append(_Edge(columns[0][0], columns[1][0]))
    conditions = _conditions(model)
    columns[-1] += conditions
    numbers: dict[int, int] = {}
    for group, layer in down:
        edges.append(_Edge(columns[-1][0], group, _part(layer) or _weights(layer, numbers), _has_bias(layer)))
        columns.append([group])
    if not down:
        raise ValueError(f"{top.name!r} has an encoder without weights: there is nothing to draw.")
    edges += [_Edge(condition, down[0][0]) for condition in conditions]
    code = columns[-1][0]
    code.role, code.shape = "code", tuple(top.code_shape)
    last_of_encoder = len(columns) - 1
    if hasattr(top, "posterior") or hasattr(top.encoder, "distribution"):
        deviation = _Group(r"$\sigma$", code.shape, "moment", [])
        code.name, code.role = r"$\mu$", "moment"
        columns[-1].append(deviation)
        edges += [_Edge(edge.start, deviation, "", edge.bias) for edge in edges if edge.end is code]
        sample = _Group("code $z$", code.shape, "code", [r"$z = \mu + \sigma\epsilon$"])
        edges += [_Edge(code, sample), _Edge(deviation, sample)]
        columns.append([sample])
    middle = len(columns) - 1
    of_code = _conditions(model)
    columns[-1] += of_code
    for i, (group, layer) in enumerate(up):
        tied = numbers.get(id(getattr(layer, "tied_to", None)))
        label = _part(layer) or (_weights(layer, numbers) if tied is None else rf"$W_{{{tied}}}^{{\,\mathrm{{T}}}}$")
        edges.append(_Edge(columns[-1][0], group, label, _has_bias(layer)))
        if not i:
            edges += [_Edge(condition, group) for condition in of_code]
        columns.append([group])
    if up:
        output = columns[-1][0]
        output.role = "output"
        if output.is_block or isinstance(up[-1][1], keras.Model):
            output.shape = tuple(stages[0].y_shape)
        else:
            _note_shape(output, tuple(stages[0].y_shape))
        if corrupted:
            output.notes.append("compared with $x$")
    if not isinstance(down[0][1], keras.Model):
        for column in columns[: 1 + corrupted]:
            _flatten_first(column[0], down[0][0])
    return _named(_Diagram(columns, edges, _spans(last_of_encoder, middle, len(columns), int(corrupted))))


def _weights(layer: Any, numbers: dict[int, int]) -> str:
    """Number a layer, and return the name of its weights."""
    numbers[id(layer)] = len(numbers) + 1
    return f"$W_{{{len(numbers)}}}$"


def _part(layer: Any) -> str:
    """Return the name of a part whose weights are no single kernel W, and "" for a layer with a kernel."""
    if hasattr(layer, "kernel"):
        return ""
    attention = [one for one in getattr(layer, "layers", ()) if isinstance(one, keras.layers.MultiHeadAttention)]
    if attention:
        return "transformer\nblock" if len(attention) == 1 else f"transformer\nblocks ({len(attention)})"
    name = layer.name if isinstance(layer, keras.Model) else type(layer).__name__
    return getattr(layer, "part_name", name).replace(" ", "\n")


def _conditions(model: Any) -> list[_Group]:
    groups = []
    for name in getattr(model, "condition_names", ()):
        shape = model.condition_specs[name].shape
        bounds = model.condition_bounds(name)
        classes = 1 if bounds is None else int(bounds[1] - bounds[0]) + 1
        groups.append(_Group(name, (math.prod(shape) if shape else classes,), "condition", []))
    return groups


def _flatten_first(x: _Group, first: _Group) -> None:
    """Draw an input of several axes as units if the first layer flattens it."""
    if x.is_block and not first.is_block and None not in x.shape:
        shape, x.shape = x.shape, (x.units,)
        _note_shape(x, shape)


def _note_shape(group: _Group, shape: Shape) -> None:
    """Add the shape of samples to the notes of units that represent their values."""
    shape = shape[:-1] if len(shape) > 2 and shape[-1] == 1 else shape
    if len(shape) > 1:
        group.notes.insert(0, f"({'×'.join(map(str, shape))})")


def _layers(networks: Sequence[Any], shape: Shape) -> list[tuple[_Group, Any]]:
    """Return the layers with weights of consecutive networks, each with the group that describes its output."""
    found: list[tuple[_Group, Any]] = []
    for layer, made in (step for network in networks for step in _chain(network)):
        shape = _output_shape(layer, shape) if made is None or None in made else made
        activation = _activation(layer)
        if getattr(layer, "weights", ()) and not isinstance(layer, (*_NORMALIZATIONS, CodeLayer)):
            found.append((_Group("", shape, "hidden", [activation] if activation else []), layer))
        elif found:
            notes = found[-1][0].notes
            if activation:
                notes[:] = [note for note in notes if note != "linear"] + [activation]
            elif getattr(layer, "selects", False):
                notes.append(f"k = {layer.k}" if hasattr(layer, "k") else type(layer).__name__)
                if hasattr(layer, "k"):
                    found[-1][0].active = layer.k / math.prod(size or 1 for size in shape)
            elif isinstance(layer, CodeLayer) and not layer.differentiable:
                notes.append("rounded")
    return found


def _chain(network: Any) -> list[tuple[Any, Shape | None]]:
    """Return the layers of a network from input to output, with the shapes of their outputs if a graph has them.

    A part that is not a chain counts as one layer.
    """
    return [*_backwards(network, inner=False)][::-1]


def _backwards(
    network: Any, index: int = 0, shape: Shape | None = None, inner: bool = True
) -> Iterator[tuple[Any, Shape | None]]:
    if isinstance(network, keras.Sequential):
        for layer in reversed(network.layers):
            yield from _backwards(layer)
    elif not isinstance(network, keras.Model) or not getattr(network, "inputs", None):
        yield network, shape
    elif inner and not _is_chain(network, index):
        yield network, shape
    else:
        tensor = network.outputs[index]
        while True:
            operation, tensors = _keras.producer(tensor)
            if isinstance(operation, keras.layers.InputLayer):
                return
            yield from _backwards(operation, _keras.output_index(tensor), tuple(tensor.shape[1:]))
            tensor = tensors[0]  # if there are several, the first: the others are conditions


def _is_chain(network: keras.Model, index: int) -> bool:
    tensors = [network.outputs[index]]
    while len(tensors) == 1:
        operation, tensors = _keras.producer(tensors[0])
        if isinstance(operation, keras.layers.InputLayer):
            return True
    return False


def _output_shape(layer: Any, shape: Shape) -> Shape:
    try:
        made = layer.compute_output_shape((None, *shape))
    except Exception:  # an operation of several inputs, or a layer that cannot compute it
        return shape
    return tuple(made[1:]) if isinstance(made, (tuple, list)) and not isinstance(made[0], (tuple, list)) else shape


def _activation(layer: Any) -> str:
    if isinstance(layer, keras.layers.Layer) and type(layer).__name__ in ("ReLU", "LeakyReLU", "ELU", "Softmax"):
        return type(layer).__name__
    function = getattr(layer, "activation", None)
    return getattr(function, "__name__", "") if function is not None else ""


def _has_bias(layer: Any) -> bool:
    return getattr(layer, "bias", None) is not None


# === Drawing ===


def _draw(diagram: _Diagram, bias: bool, title: str) -> matplotlib.figure.Figure:
    columns = diagram.columns
    side = max(44, 8 + max(style.text_width(text, 9) for column in columns for group in column for text in group.texts))
    side = max(side, *(8 + style.text_width(group.name, 10) for column in columns for group in column)) / 2 + 12
    apart = min(150.0, (style.WIDTH - 2 * side) / (len(columns) - 1))
    width = max(320.0, 2 * side + apart * (len(columns) - 1))
    left = (width - apart * (len(columns) - 1)) / 2
    small = 9 if apart > 80 else 8
    biased = [edge.start for edge in diagram.edges if edge.bias] if bias else []
    extra = PITCH if biased else 0

    def below(group: _Group) -> float:
        return LINE * len(group.texts) + extra

    def height(column: Sequence[_Group]) -> float:
        """Return the distance from the first unit of a column to the last, in pixels."""
        return sum(group.height + below(group) + 2 * LINE for group in column) - below(column[-1]) - 2 * LINE

    top = style.MARGIN + (2 * LINE if title else 0) + (2 * LINE if diagram.spans else 0)
    middle = top + 2 * LINE + max(map(height, columns)) / 2
    total = max(middle + height(column) / 2 + below(column[-1]) for column in columns) + style.MARGIN
    figure, ax = _canvas(width, total)
    places: dict[int, tuple[float, float]] = {}  # id of a group → its middle
    for i, column in enumerate(columns):
        x, y = left + i * apart, middle - height(column) / 2 - 2 * LINE
        for group in column:
            y += 2 * LINE
            places[id(group)] = x, y + group.height / 2
            _write(ax, x, y - LINE * 0.8, group.name, 10 if apart > 60 else 9)
            y += group.height + (PITCH if any(group is one for one in biased) else 0)
            for text in group.texts:
                y += LINE
                _write(ax, x, y - 2, text, small, weight="bold" if text == group.texts[0] else "normal")
            y += extra if not any(group is one for one in biased) else 0
    for edge in diagram.edges:
        _join(ax, edge, places, bias)
    for column in columns:
        for group in column:
            _draw_group(ax, group, *places[id(group)])
            if any(group is one for one in biased):
                x, y = places[id(group)]
                _one(ax, x, y + group.height / 2 - RADIUS + PITCH)
    for name, first, last in diagram.spans:
        y = style.MARGIN + (2 * LINE if title else 0) + LINE
        start, end = left + first * apart - 4 * (first == 0) + 6, left + last * apart - 6
        ax.plot([start, start, end, end], [y + 6, y, y, y + 6], color="#aaaaaa", linewidth=1)
        _write(ax, (start + end) / 2, y - 8, name, 10)
    if title:
        _write(ax, width / 2, style.MARGIN + LINE / 2, title, 11)
    return figure


def _draw_bipartite(rbm: Any, bias: bool, title: str) -> matplotlib.figure.Figure:
    """Draw an RBM: hidden units above visible units, each connected with each."""
    kinds = {"hidden": rbm.hidden, "visible": rbm.visible}
    hidden = _Group("hidden $h$", (math.prod(rbm.code_shape),), "code", [kinds["hidden"]])
    visible = _Group("visible $v$", (math.prod(rbm.x_shape),), "input", [kinds["visible"]])
    _note_shape(visible, tuple(rbm.x_shape))
    apart = 130
    top = style.MARGIN + (2 * LINE if title else 0) + 2 * RADIUS
    left, spread = 150.0, 1.5 * PITCH
    longest = max(group.slots for group in (hidden, visible))
    width = max(320.0, left + spread * (longest + bias) + 40)
    figure, ax = _canvas(width, top + apart + LINE * len(visible.texts) + style.MARGIN)
    rows = {}
    for group, y in ((hidden, float(top)), (visible, float(top + apart))):
        start = left + spread * (longest - group.slots) / 2
        rows[group.role] = [(start + spread * i, y) for i in range(group.slots)]
        _write(ax, 14, y - LINE, group.name, 10, align="left")
        for i, text in enumerate(group.texts):
            _write(ax, 14, y + LINE * i, text, 9, align="left", weight="normal" if i else "bold")
    seen = {group.role: _seen(group, rows[group.role]) for group in (hidden, visible)}
    _lines(ax, [(a, b) for a in seen["code"] for b in seen["input"]])
    _write(ax, left - 22, top + apart / 2, "$W$", 11)
    for group in (hidden, visible):
        other = "input" if group is hidden else "code"
        if bias:
            place = (left + spread * longest, rows[group.role][0][1])
            _lines(ax, [(place, end) for end in seen[other]], style.AMBER)
            _one(ax, *place)
            _write(ax, place[0] + 22, place[1], "$b$" if group is hidden else "$c$", 10)
        _circles(ax, group, rows[group.role], upright=False)
    if title:
        _write(ax, width / 2, style.MARGIN + LINE / 2, title, 11)
    return figure


def _canvas(width: float, height: float) -> tuple[style.Figure, Axes]:
    figure = style.figure(width, height)
    ax = figure.add_axes((0, 0, 1, 1))
    ax.set(xlim=(0, width), ylim=(height, 0))
    style.without_axes(ax)
    return figure, ax


def _write(ax: Axes, x: float, y: float, text: str, size: float, align: str = "center", weight: str = "normal") -> None:
    ax.text(x, y, text, fontsize=size, color=style.TEXT, ha=align, va="center", weight=weight)


def _places(group: _Group, x: float, y: float) -> list[tuple[float, float]]:
    start = y - group.height / 2 + RADIUS
    return [(x, start + PITCH * i) for i in range(group.slots)]


def _seen(group: _Group, places: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return the places of the circles, without the place of the ellipsis."""
    if group.slots == group.units:
        return places
    gap = len(places) // 2
    return places[:gap] + places[gap + 1 :]


def _draw_group(ax: Axes, group: _Group, x: float, y: float) -> None:
    if not group.is_block:
        _circles(ax, group, _places(group, x, y))
        return
    color = _COLORS[group.role]
    for shift in (6, 3, 0):
        left, top = x - group.half_width + shift - 3, y - group.height / 2 + shift - 3
        size = 2 * group.half_width, group.height
        ax.add_patch(Rectangle((left, top), *size, facecolor="white", edgecolor=color, linewidth=1.4, zorder=3))
        ax.add_patch(Rectangle((left, top), *size, facecolor=color, alpha=0.35, linewidth=0, zorder=3))


def _circles(ax: Axes, group: _Group, places: list[tuple[float, float]], upright: bool = True) -> None:
    color, seen = _COLORS[group.role], _seen(group, places)
    active = _spread(len(seen), 1 if group.active is None else group.active)
    for i, place in enumerate(seen):
        face = color if group.role in ("code", "moment", "condition") and i in active else "white"
        ax.add_patch(Circle(place, RADIUS, facecolor=face, edgecolor=color, linewidth=1.6, zorder=3))
    if group.role == "corrupted":
        crossed = [seen[i] for i in _spread(len(seen), 0.3)]
        arm = 0.6 * RADIUS
        ends = [[(x - arm, y - arm * sign), (x + arm, y + arm * sign)] for x, y in crossed for sign in (1, -1)]
        ax.add_collection(LineCollection(ends, colors=style.TEXT, linewidths=1.8, zorder=3.5))
    for x, y in (place for place in places if place not in seen):
        for shift in (-5, 0, 5):
            dot = (x, y + shift) if upright else (x + shift, y)
            ax.add_patch(Circle(dot, 1.3, color=color, zorder=3))


def _spread(count: int, share: float) -> set[int]:
    """Return about a share of `count` places, at least one, spread over all of them."""
    few = max(1, min(count, round(count * share)))
    return {int((i + 0.5) * count / few) for i in range(few)}


def _one(ax: Axes, x: float, y: float) -> None:
    """Draw a bias unit."""
    ax.add_patch(Circle((x, y), RADIUS, facecolor="white", edgecolor=style.AMBER, linewidth=1.6, zorder=3))
    _write(ax, x, y, "+1", 7)


def _join(ax: Axes, edge: _Edge, places: dict[int, tuple[float, float]], bias: bool) -> None:
    (x, y), (end_x, end_y) = places[id(edge.start)], places[id(edge.end)]
    ends = [] if edge.end.is_block else _seen(edge.end, _places(edge.end, end_x, end_y))
    if edge.start.is_block or edge.end.is_block:
        a, b = (group.height / 2 for group in (edge.start, edge.end))
        left, right = x + edge.start.half_width + 6, end_x - edge.end.half_width - 6
        corners = [(left, y - a), (right, end_y - b), (right, end_y + b), (left, y + a)]
        ax.add_patch(Polygon(corners, facecolor="#ececec", edgecolor="none", zorder=1))
    else:
        starts = _seen(edge.start, _places(edge.start, x, y))
        # Each unit of a sample depends only on the same unit of μ and σ, each corrupted feature on the same feature.
        by_unit = (edge.start.role, edge.end.role) in (("moment", "code"), ("input", "corrupted"))
        by_unit = by_unit and len(starts) == len(ends)
        _lines(ax, [*zip(starts, ends, strict=True)] if by_unit else [(a, b) for a in starts for b in ends])
    if bias and edge.bias:
        one = (x, y + edge.start.height / 2 - RADIUS + PITCH)
        _lines(ax, [(one, end) for end in ends or [(end_x - edge.end.half_width, end_y)]], style.AMBER)
    if edge.label:
        ax.text(
            (x + end_x) / 2,
            (y + end_y) / 2,
            edge.label,
            fontsize=9 if edge.label.startswith("$") else 8,
            color=style.TEXT,
            ha="center",
            va="center",
            zorder=2.5,
            bbox={"boxstyle": "round,pad=0.15", "facecolor": "white", "edgecolor": "none", "alpha": 0.85},
        )


def _lines(ax: Axes, lines: Sequence[Any], color: str = "#888888") -> None:
    alpha = 0.8 if color != "#888888" else max(0.25, min(0.7, 12 / len(lines)))
    ax.add_collection(LineCollection(lines, colors=color, linewidths=0.7, alpha=alpha, zorder=1))
