"""Pictures of what an autoencoder learned: its features, its codes, its reconstructions, its training.

Every function returns a `matplotlib.figure.Figure` of its own, at most 800 pixels wide, as a README page shows it:
`figure.savefig("filters.png")` writes it, a notebook shows it, and matplotlib's global state (pyplot, the backend, open
windows) is left alone.
"""

from aezoo.plots.codes import scatter
from aezoo.plots.curves import history, lines, rate_distortion, roc, scores
from aezoo.plots.diagram import network
from aezoo.plots.features import filters
from aezoo.plots.pictures import chains, interpolation, manifold, reconstructions, rows, samples, traversal
from aezoo.plots.strokes import sketches
from aezoo.plots.units import preferred_inputs

__all__ = [
    "chains",
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
    "sketches",
    "traversal",
]
