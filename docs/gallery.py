"""Draws the picture that opens the README from the models of the shelf.

TFDS_DATA_DIR=... python docs/gallery.py        # writes docs/gallery.png
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.image import imread

import aezoo
from aezoo import plots
from aezoo.plots import style
from aezoo.saving import presets

SEED = 0
COLUMNS = 12  # tiles in half of the width
TITLE = 26  # pixels

Panel = tuple[str, np.ndarray]


def tiles(figure) -> list[Panel]:
    """The panels of a figure of tiles, with their titles, a pixel of a tile a pixel."""
    return [(ax.get_title(), np.asarray(ax.images[0].get_array())) for ax in figure.axes]


def tile(title: str, figure) -> Panel:
    """The only panel of a figure of tiles, with another title."""
    ((_, picture),) = tiles(figure)
    return title, picture


def halved(picture: np.ndarray) -> np.ndarray:
    """A picture of half the size."""
    height, width = (size // 2 for size in picture.shape[:2])
    return picture[: 2 * height, : 2 * width].reshape(height, 2, width, 2, -1).mean(axis=(1, 3))


def panels() -> list[list[list[Panel]]]:
    """The rows of the gallery, each some columns of panels below each other."""
    _, (x, _) = aezoo.datasets.load("mnist")
    shown = x[:COLUMNS]
    k_sparse = {f"k-sparse, k = {k}": aezoo.KSparseAE.from_preset(f"k_sparse_mnist_k{k}") for k in (70, 40, 25, 10)}
    denoising = aezoo.DenoisingAE.from_preset("denoising_mnist")
    one_layer = {
        "denoising": denoising,
        "sparse, KL": aezoo.SparseAE.from_preset("sparse_kl_mnist"),
        "contractive": aezoo.ContractiveAE.from_preset("contractive_mnist"),
        "RBM": aezoo.RBM.from_preset("rbm_mnist"),
    }
    corrupted = np.asarray(denoising.corruption(shown, training=True))
    repaired = plots.reconstructions(denoising, shown, COLUMNS, corrupted=corrupted)
    compressive = aezoo.CompressiveAE.from_preset("compressive_mnist")
    data = compressive.compress(x)
    versions = {"input": shown, "bytes": np.asarray(compressive.reconstruct(shown))}
    versions["32 numbers"] = np.asarray(aezoo.Autoencoder.from_preset("autoencoder_mnist").reconstruct(shown))
    vae = aezoo.VAE.from_preset("vae_mnist_20d")
    cats = imread(presets.find("sketch_rnn_cats") / "picture.png")[
        ..., :3
    ]  # that of the card, whose data are not fetched
    return [
        [[panel] for panel in tiles(plots.filters(k_sparse, n=36, order="index"))],
        [[panel] for panel in tiles(plots.filters(one_layer, n=36, order="index"))],
        [
            [tile("denoising: input, damaged, repaired", repaired)],
            [tile(f"input, from {len(data) / len(x):.0f} bytes, from 32 numbers", plots.rows(versions, COLUMNS))],
        ],
        [
            [tile("VAE, two code units", plots.manifold(aezoo.VAE.from_preset("vae_mnist_2d"), COLUMNS))],
            [
                tile("VAE, drawn from 20 code units", plots.samples(vae.sample(6 * COLUMNS, seed=SEED), COLUMNS)),
                ("SketchRNN: cats, and drawn from their codes", halved(cats)),
            ],
        ],
    ]


def gallery(rows: Sequence[Sequence[Sequence[Panel]]]):
    """Lays panels out on a figure."""
    width = style.WIDTH
    heights = [
        max(sum(TITLE + picture.shape[0] for _, picture in column) for column in row) + style.MARGIN for row in rows
    ]
    height = sum(heights) + style.MARGIN
    figure = style.figure(width, height)
    top = style.MARGIN // 2
    for row, row_height in zip(rows, heights, strict=True):
        widths = [max(picture.shape[1] for _, picture in column) for column in row]
        gap = (width - 2 * style.MARGIN - sum(widths)) / max(1, len(row) - 1)
        left = style.MARGIN
        for column, column_width in zip(row, widths, strict=True):
            y = top
            for title, picture in column:
                h = len(picture)
                figure.text(
                    (left + column_width / 2) / width,
                    1 - (y + TITLE / 2) / height,
                    title,
                    ha="center",
                    va="center",
                    fontsize=9,
                    color=style.TEXT,
                )
                y += TITLE
                figure.figimage(picture, round(left), height - y - h, cmap="gray", vmin=0, vmax=1, origin="upper")
                y += h
            left += column_width + gap
        top += row_height
    return figure


if __name__ == "__main__":
    gallery(panels()).savefig(Path(__file__).with_name("gallery.png"))
