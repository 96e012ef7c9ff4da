"""Drawings as sequences of pen strokes: formats, files, SVG, and sketches to try things on."""

from aezoo.sketches.data import load as load
from aezoo.sketches.files import read_ndjson as read_ndjson
from aezoo.sketches.files import read_npz as read_npz
from aezoo.sketches.formats import from_lines as from_lines
from aezoo.sketches.formats import offset_scale as offset_scale
from aezoo.sketches.formats import simplify as simplify
from aezoo.sketches.formats import stroke3 as stroke3
from aezoo.sketches.formats import stroke5 as stroke5
from aezoo.sketches.formats import to_lines as to_lines
from aezoo.sketches.svg import from_svg as from_svg
from aezoo.sketches.svg import to_svg as to_svg
from aezoo.sketches.synthetic import shapes as shapes
