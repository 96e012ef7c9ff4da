"""Figures of a model's features, codes, reconstructions and training.

Every function returns a new `matplotlib.figure.Figure`, at most 800 pixels wide, which a README page shows
unscaled. Write it to a file with `figure.savefig("filters.png")`, or let a notebook display it. The functions do not
touch the global state of matplotlib: pyplot, the backend and open windows.
"""

from aezoo.plots.attribution import contributions
from aezoo.plots.codes import scatter
from aezoo.plots.curves import history, lines, rate_distortion, roc, scores
from aezoo.plots.diagram import network
from aezoo.plots.features import filters
from aezoo.plots.pictures import chains, interpolation, manifold, reconstructions, rows, samples, traversal
from aezoo.plots.sequences import series
from aezoo.plots.strokes import sketches
from aezoo.plots.units import preferred_inputs

__all__ = [
    "chains",
    "contributions",
    "filters",
    "history",
    "interpolation",
    "lines",
    "manifold",
    "network",
    "preferred_inputs",
    "rate_distortion",
    "reconstructions",
    "roc",
    "rows",
    "samples",
    "scatter",
    "scores",
    "series",
    "sketches",
    "traversal",
]
