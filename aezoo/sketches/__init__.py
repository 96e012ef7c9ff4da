"""Drawings as sequences of pen strokes: formats, files, SVG and synthetic sketches."""

from aezoo.sketches.data import load
from aezoo.sketches.files import read_ndjson, read_npz
from aezoo.sketches.formats import from_lines, offset_scale, simplify, stroke3, stroke5, to_lines
from aezoo.sketches.svg import from_svg, to_svg
from aezoo.sketches.synthetic import shapes

__all__ = [
    "from_lines",
    "from_svg",
    "load",
    "offset_scale",
    "read_ndjson",
    "read_npz",
    "shapes",
    "simplify",
    "stroke3",
    "stroke5",
    "to_lines",
    "to_svg",
]
