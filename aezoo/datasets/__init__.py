"""Data sets to train on: known ones as arrays (`load`) or streams (`stream`), and your own (`from_folder`, ...)."""

from aezoo.datasets.bundled import emoji_factors
from aezoo.datasets.drawn import SPRITE_FACTORS, draw_sprites, sprite_factors
from aezoo.datasets.folder import PreparedImages, from_folder
from aezoo.datasets.labels import without_labels
from aezoo.datasets.layer_outputs import activations
from aezoo.datasets.loading import load, stream
from aezoo.datasets.prepared import Prepared
from aezoo.datasets.series import PreparedSeries, from_series
from aezoo.datasets.tables import from_table
from aezoo.datasets.text import from_text

__all__ = [
    "SPRITE_FACTORS",
    "Prepared",
    "PreparedImages",
    "PreparedSeries",
    "activations",
    "draw_sprites",
    "emoji_factors",
    "from_folder",
    "from_series",
    "from_table",
    "from_text",
    "load",
    "sprite_factors",
    "stream",
    "without_labels",
]
