"""Conversions between SVG paths and strokes."""

from __future__ import annotations

import math
import os
import re
from pathlib import Path
from xml.parsers import expat

import numpy as np

from aezoo import _files
from aezoo._typing import ArrayLike
from aezoo._untrusted import printable
from aezoo.sketches import formats

_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
_TOKEN = re.compile(rf"\s*(?:,\s*)?(?:([A-Za-z])|({_NUMBER}))")
#: Maximum size of a file in bytes, and maximum number of points.
_LONGEST, _POINTS = 2**23, 10**6
_GREATEST = float(np.finfo("float32").max)
#: Numbers per command.
_ARGUMENTS = {"M": 2, "L": 2, "H": 1, "V": 1, "C": 6, "Q": 4, "Z": 0}


def from_svg(source: str | os.PathLike[str], curve_points: int = 8) -> np.ndarray:
    """Read the paths of an SVG as one sketch.

    Args:
        source: A file, the text of an SVG, or the attribute `d` of a path with commands M, L, H, V, C, Q and Z,
            absolute or (in lower case) relative.
        curve_points: Number of points per curve (C, Q).

    Returns:
        A sketch in stroke-3, (points, 3) float32.

    Raises:
        ValueError: If there is no path, or the message names a path that cannot be read; if the file declares entities,
            or has numbers too large for float32, more than 8 MiB or more than a million points.

    Example:
        >>> from_svg("M 1 1 h 2 v 2").tolist()
        [[1.0, 1.0, 0.0], [2.0, 0.0, 0.0], [0.0, 2.0, 1.0]]
    """
    if not isinstance(source, str) or source.lower().endswith(".svg"):
        with Path(source).open("rb") as file:
            name, data = os.fspath(source), file.read(_LONGEST + 1)
    else:
        name, data = "the SVG", source.encode("utf-8", "replace")
    if len(data) > _LONGEST:
        raise ValueError(f"{name} has more than {_LONGEST:,} bytes: simplify it in your editor.")
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise ValueError(f"{name} is damaged, or not an SVG in UTF-8: {error}.") from None
    if "<" not in text:
        return formats.from_lines(_lines_of_path("the path", text, curve_points))
    lines = [
        line for i, d in enumerate(_paths(name, text)) for line in _lines_of_path(f"{name}, path {i}", d, curve_points)
    ]
    if not lines:
        raise ValueError(f"{name} has no <path> with points.")
    try:
        return formats.from_lines(lines)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None


def _paths(name: str, text: str) -> list[str]:
    """Return the attribute `d` of each path, without a tree, entities or default attributes in the parser."""
    found: list[str] = []

    def doctype(root: str, system: str | None, public: str | None, internal: int) -> None:
        if internal:
            raise ValueError(f"{name} declares entities, which are not supported: save it as plain SVG.")

    def start(tag: str, attributes: dict[str, str]) -> None:
        tag = tag.rpartition(" ")[2]
        if "transform" in attributes:
            raise ValueError(
                f"{name}: <{printable(tag)}> has a transform, which is not supported: let your editor apply it."
            )
        if tag == "path":
            found.append(attributes.get("d", ""))

    parser = expat.ParserCreate("utf-8", " ")
    parser.StartDoctypeDeclHandler = doctype
    parser.StartElementHandler = start
    try:
        parser.Parse(text, True)
    except expat.ExpatError as error:
        raise ValueError(f"{name} is not XML: {error}.") from None
    return found


def _tokens(where: str, d: str) -> list[str | float]:
    tokens: list[str | float] = []
    at = 0
    end = len(d.rstrip())
    while at < end:
        match = _TOKEN.match(d, at)
        if not match:
            raise ValueError(
                f"{where}: {d[at : at + 10].strip()!r} at character {at} is neither a command nor a number."
            )
        command, number = match.groups()
        tokens.append(command if command else float(number))
        if number and not abs(float(number)) <= _GREATEST:
            raise ValueError(f"{where}: the number {printable(number, 20)} at character {at} is too large for float32.")
        at = match.end()
    return tokens


def _lines_of_path(where: str, d: str, curve_points: int) -> list[np.ndarray]:
    tokens = _tokens(where, d)
    lines: list[list[np.ndarray]] = []
    here = start = np.zeros(2)
    count = 0
    command = ""
    i = 0
    while i < len(tokens):
        if isinstance(tokens[i], str):
            command = str(tokens[i])
            i += 1
        elif command in ("", "Z", "z"):
            raise ValueError(f"{where}: the number {tokens[i]:g} follows no command.")
        kind, relative = command.upper(), command.islower()
        if kind not in _ARGUMENTS:
            raise ValueError(f"{where}: the command {command!r} is not supported, only M, L, H, V, C, Q and Z are.")
        numbers = tokens[i : i + _ARGUMENTS[kind]]
        if len(numbers) < _ARGUMENTS[kind] or any(isinstance(number, str) for number in numbers):
            raise ValueError(f"{where}: {command!r} needs {_ARGUMENTS[kind]} numbers per use, but there are fewer.")
        i += len(numbers)
        if kind == "M":
            here = start = np.array(numbers) + relative * here
            lines.append([here])
            count += 1
            command = "l" if relative else "L"  # further pairs are lines
            continue
        if not lines:
            raise ValueError(f"{where}: it starts with {command!r}, not with M.")
        if kind == "Z":
            points = [start]
        elif kind in "HV":
            point = here.copy()
            axis = int(kind == "V")
            point[axis] = numbers[0] + relative * here[axis]
            points = [point]
        else:
            controls = [here, *(np.array(numbers).reshape(-1, 2) + relative * here)]
            points = controls[1:] if kind == "L" else _bezier(controls, curve_points)
        if not lines[-1]:  # after Z, a line may continue from the start of the last one
            lines[-1].append(here)
        lines[-1] += points
        here = points[-1]
        if (count := count + len(points)) > _POINTS:
            raise ValueError(f"{where}: it has more than {_POINTS:,} points: simplify it in your editor.")
        if kind == "Z":
            lines.append([])
    return [np.stack(line) for line in lines if line]


def _bezier(controls: list[np.ndarray], points: int) -> list[np.ndarray]:
    """Return points of a Bézier curve, without the first."""
    degree = len(controls) - 1
    t = np.linspace(0, 1, points + 1)[1:, None]
    curve = sum(math.comb(degree, k) * (1 - t) ** (degree - k) * t**k * c for k, c in enumerate(controls))
    return list(curve)


def to_svg(sketch: ArrayLike, path: str | os.PathLike[str] | None = None, width: float = 2.0, size: int = 256) -> str:
    """Draw a sketch as an SVG with one path.

    Args:
        sketch: Stroke-3, (points, 3), or stroke-5, (steps, 5).
        path: File to write, or None.
        width: Width of the pen, in pixels.
        size: Length of the longer side of the picture, in pixels. The path keeps the sketch's numbers, to six digits.

    Returns:
        The text of the SVG.

    Raises:
        ValueError: If the sketch has another shape, or values that are not finite.
        OSError: If the file cannot be written; an existing file is then unchanged.

    Example:
        >>> from_svg(to_svg([[1, 1, 0], [2, 0, 1]])).tolist()
        [[1.0, 1.0, 0.0], [2.0, 0.0, 1.0]]
    """
    lines = formats.to_lines(sketch)
    points = np.concatenate(lines) if lines else np.zeros((1, 2))
    if not np.isfinite(points).all():
        raise ValueError("The sketch has values that are NaN or infinite.")
    low, span = points.min(axis=0), np.ptp(points, axis=0)
    unit = max(span.max(), 1e-9) / size
    box = [*(low - width * unit), *(span + 2 * width * unit)]
    d = " ".join("M" + " L".join(f"{x:.6g},{y:.6g}" for x, y in line) for line in lines)
    text = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{" ".join(f"{v:.6g}" for v in box)}" '
        f'width="{box[2] / unit:.0f}" height="{box[3] / unit:.0f}">'
        f'<path d="{d}" fill="none" stroke="black" stroke-width="{width * unit:.6g}" stroke-linecap="round" '
        'stroke-linejoin="round"/></svg>\n'
    )
    if path is not None:
        with _files.atomic_write(path) as unfinished:
            unfinished.write_text(text, encoding="utf-8")
    return text
