"""Sparse autoencoders of Stanford's UFLDL tutorial: a stack on MNIST, and edges in natural images.

    TFDS_DATA_DIR=... python benchmarks/papers/ufldl.py [--trials] [--photographs IMAGES.npz]

784-200-200-10: two sparse autoencoders with a mean activation of 0.1, then the whole network with labels; the tutorial
reports 97.6 %. With `--photographs`, gray images (n, h, w) under "images", it trains 25 units with a mean activation of
0.01 on patches of 8 x 8 pixels of whitened images, and draws the input that each unit prefers. The tutorial shows
oriented edges there.
"""

from pathlib import Path
from typing import Any

import configurations
import numpy as np
from one_layer import adam, classifier_from, codes, data, fine_tuned
from reporting import HERE, Clock, Row
from runner import Configuration, Runs, Setting, Table, packed, parser, run_table, run_trials

import aezoo


def fitted(configuration: Configuration, x: np.ndarray, seed: int, **arguments: Any) -> aezoo.SparseAE:
    """Train a sparse autoencoder with squared errors, as in the tutorial."""
    model = aezoo.SparseAE(
        configuration["units"], target=configuration["target"], weight=configuration["weight"], seed=seed, **arguments
    )
    model.compile(adam(configuration, len(x)))
    model.fit(x, epochs=configuration["epochs"], batch_size=configuration["batch_size"], verbose=0)
    return model


def run(configuration: Configuration, setting: Setting) -> dict[str, Any]:
    """Train two layers without labels and all with labels."""
    (x, y), (x_test, y_test) = data(setting)
    stack, z = [], x
    for i in range(configuration["layers"]):
        stack.append(fitted(configuration, z, 10 * setting.seed + i))
        z = codes(stack[-1], z)
    tuning = {
        "learning_rate": configuration["fine_tuning_rate"],
        "epochs": configuration["fine_tuning_epochs"],
        "batch_size": configuration["batch_size"],
    }
    wrong = fine_tuned(classifier_from(stack), tuning, x, y, x_test) != y_test
    error = 100 * float(wrong.mean())
    return {"error": error, "right": 100 - error, "wrong": packed(wrong), "mean_activation": float(z.mean())}


def rows(runs: Runs) -> list[Row]:
    """Summarize the runs."""
    return runs.row("stack", "right", "stacked sparse AE, right after fine-tuning, %", "97.6", ">= 97.6")


TABLE = Table(
    name="ufldl",
    configurations={"stack": configurations.UFLDL},
    run=run,
    rows=rows,
    trials={"stack": configurations.UFLDL_TRIALS},
)


def whitened(images: np.ndarray) -> np.ndarray:
    """Return images (n, h, w) with a flat spectrum below 0.4 cycles per pixel, as in Olshausen & Field 1996."""
    height, width = images.shape[1:]
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width))
    gain = frequency * np.exp(-((frequency / 0.4) ** 4))
    return np.fft.irfft2(gain * np.fft.rfft2(images.astype("float32")), s=(height, width)).astype("float32")


def patches(images: np.ndarray, count: int = 20_000, size: int = 8, seed: int = 0) -> np.ndarray:
    """Return patches as the tutorial prepares them: without their mean, cut at 3 deviations, scaled to [0.1, 0.9]."""
    rng = np.random.default_rng(seed)
    n, height, width = images.shape[:3]
    limits = (n, height - size, width - size)
    places = zip(*(rng.integers(limit, size=count) for limit in limits), strict=True)
    cut = np.stack([images[i, top : top + size, left : left + size] for i, top, left in places])
    cut = cut - cut.mean(axis=(1, 2), keepdims=True)
    limit = 3 * cut.std()
    return (0.4 * np.clip(cut, -limit, limit) / limit + 0.5)[..., None].astype("float32")


def draw(photographs: Path, quick: bool) -> None:
    """Draw the input that each of 25 units prefers."""
    configuration = configurations.PATCHES | ({"epochs": 1} if quick else {})
    model = fitted(configuration, patches(whitened(np.load(photographs)["images"]), 200 if quick else 20_000), 0)
    if not quick:
        aezoo.plots.filters(model).savefig(HERE / "results" / "ufldl_patches.png")


if __name__ == "__main__":
    options = parser(__doc__)
    options.add_argument("--photographs", type=Path, help="draw the filters of patches of these images instead")
    options = options.parse_args()
    if options.photographs:
        draw(options.photographs, options.quick)
    else:
        (run_trials if options.trials else run_table)(TABLE, options, Clock())
