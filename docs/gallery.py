"""Draw the pictures of README.md and of the five-minute start.

    TFDS_DATA_DIR=... python docs/gallery.py --sketches FILE

writes docs/strip.png from three presets, docs/quick_start.png by the code of the README's quick start, and
docs/start_*.png by the code of docs/start.md. FILE has the cats that `sketch_rnn_cats` was trained on (Quick, Draw! by
Google, CC BY 4.0, in sketch-rnn's format). Everything is seeded.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from PIL import Image

import aezoo
from aezoo import plots, sketches
from aezoo.layers import Corruption
from aezoo.plots import style

DOCS = Path(__file__).parent
SEED = 0
TILES = 6  # in a row of digits
SCALE = 2  # pixels per pixel of a digit
TITLE = 34  # pixels
#: Test cats that are drawn again: chosen by eye. The model card shows the first ten, failures included.
CATS = (0, 4, 7, 20, 24, 33, 35, 38)

Panel = tuple[str, np.ndarray]


# === The strip ===


def panels(cats: str) -> list[Panel]:
    """Return the titles and pictures of the strip."""
    _, (x, _) = aezoo.datasets.load("mnist")
    x = x[: 2 * TILES]
    denoising = aezoo.DenoisingAE.from_preset("denoising_mnist")
    damaged = np.asarray(Corruption(0.4, "masking", seed=SEED)(x, training=True))
    repaired = np.asarray(denoising.reconstruct(damaged))
    rows = [part[i : i + TILES] for i in (0, TILES) for part in (x, damaged, repaired)]
    digits = plots.rows({str(i): row for i, row in enumerate(rows)}, TILES)
    plane = plots.manifold(aezoo.VAE.from_preset("vae_mnist_2d"), TILES)
    return [
        ("Repair: original, damaged, repaired", enlarged(digits)),
        ("Map: a plane of digits", enlarged(plane)),
        ("Draw: a person's cat above, sketch-rnn's below", drawn(cats)),
    ]


def enlarged(figure) -> np.ndarray:
    """Return the only picture of a figure of tiles, enlarged."""
    return np.kron(figure.axes[0].images[0].get_array(), np.ones((SCALE, SCALE)))


def drawn(path: str) -> np.ndarray:
    """Return cats that people drew, each row above the model's drawings from their codes."""
    model = aezoo.SketchRNN.from_preset("sketch_rnn_cats")
    _, (x, _) = sketches.load(path, max_points=100)
    x = x[list(CATS)]
    again = np.asarray(model.sample(len(x), z=model.encode(x), temperature=0.1, seed=SEED))
    half = len(x) // 2
    rows = [sketch for part in (slice(0, half), slice(half, None)) for of in (x, again) for sketch in of[part]]
    canvas = FigureCanvasAgg(plots.sketches(rows, columns=half))
    canvas.draw()
    picture = Image.fromarray(np.asarray(canvas.buffer_rgba())[..., 0])
    side = SCALE * (TILES * 28 + (TILES - 1) * 2)
    return np.asarray(picture.resize((side, side), Image.Resampling.LANCZOS)) / 255


def strip(row: Sequence[Panel]):
    """Lay panels out side by side, each pixel of a panel on a pixel of the figure."""
    width = sum(picture.shape[1] for _, picture in row) + 2 * style.MARGIN * len(row)
    height = TITLE + max(picture.shape[0] for _, picture in row) + style.MARGIN
    figure = style.figure(width, height)
    left = style.MARGIN
    for title, picture in row:
        h, w = picture.shape
        middle = (left + w / 2) / width, 1 - TITLE / 2 / height
        figure.text(*middle, title, ha="center", va="center", fontsize=10.5, color=style.TEXT)
        figure.figimage(picture, left, height - TITLE - h, cmap="gray", vmin=0, vmax=1, origin="upper")
        left += w + 2 * style.MARGIN
    return figure


# === The pictures that code of the documents writes ===


def blocks(path: Path) -> list[str]:
    """Return the Python blocks of a document."""
    return re.findall(r"^```python\n(.*?)^```", path.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


@contextlib.contextmanager
def ran(*code: str) -> Iterator[Path]:
    """Run code in a folder of its own, and yield the folder."""
    before = os.getcwd()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        try:
            keras.utils.set_random_seed(SEED)
            exec("\n".join(code), {})
            yield Path(folder)
        finally:
            os.chdir(before)


def main() -> None:
    """Draw all pictures."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--sketches", required=True, metavar="FILE", help="the cats, in sketch-rnn's format (.npz)")
    cats = os.path.abspath(parser.parse_args().sketches)
    strip(panels(cats)).savefig(DOCS / "strip.png")
    with ran(blocks(DOCS.parent / "README.md")[0]) as folder:
        shutil.copy(folder / "repaired.png", DOCS / "quick_start.png")
    code = [block for block in blocks(DOCS / "start.md") if "import keras" not in block]  # which saves and exports
    with ran(*code) as folder:
        for name in ("reconstructions", "filters"):
            shutil.copy(folder / f"{name}.png", DOCS / f"start_{name}.png")


if __name__ == "__main__":
    main()
