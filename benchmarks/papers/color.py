"""Convolutional networks on color images: transposed convolutions or resizing, plain or with residual blocks.

    python benchmarks/papers/color.py

Autoencoders with a code of 64 units learn the 381 training emoji that ship with aezoo (Adam 0.002 with cosine decay,
batches of 32, layer normalization) and reconstruct the 94 test emoji, which show other expressions and jobs.
"Checkerboard" is the power of the reconstruction error at the shortest period, two pixels, in any of the two axes, over
the power that the error of the same model has at the neighboring periods: 1 without a pattern of two pixels.
"""

import argparse
import math
from pathlib import Path

import keras
import numpy as np
from reporting import Clock, Row, arguments, report

import aezoo
from aezoo import plots

FIGURES = Path(__file__).parent / "results"
#: The networks by the name of their row, from plain to good.
NETWORKS = {
    "transpose, plain": {"upsampling": "transpose"},
    "transpose, kernels of 4": {"upsampling": "transpose", "kernel_size": 4},
    "resize, plain": {"upsampling": "resize"},
    "resize, residual": {"upsampling": "resize", "residual": 1},
}
#: Test emoji of the picture, chosen by eye to differ.
SHOWN = (2, 9, 16, 24, 32, 55, 57, 68)


def checkerboard(errors: np.ndarray) -> float:
    """Power of errors, (n, size, size, channels), with a period of two pixels, over the power at the next periods."""
    power = np.mean(np.abs(np.fft.fft2(errors, axes=(1, 2))) ** 2, axis=(0, 3))
    half = len(power) // 2
    near = [half - 3, half - 2]
    return float((power[half].mean() + power[:, half].mean()) / (power[near].mean() + power[:, near].mean()))


def emoji(options: argparse.Namespace) -> list[Row]:
    (x, _), (x_test, _) = aezoo.datasets.load("emoji")
    if options.quick:
        x, x_test = x[:32], x_test[:80]
    rows, pictures = [], {"input": x_test[list(SHOWN)]}
    for name, arguments_of in NETWORKS.items():
        clock = Clock()
        keras.utils.set_random_seed(options.seed)
        filters = (4, 4) if options.quick else (16, 32, 64, 64)
        model = aezoo.Autoencoder(
            64, filters=filters, normalization="layer", code_activation="linear", seed=options.seed, **arguments_of
        )
        steps = options.epochs * math.ceil(len(x) / 32)
        model.compile(keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(2e-3, steps)))
        model.fit(x, epochs=options.epochs, batch_size=32, verbose=2)
        minutes = clock.minutes
        y = model.predict(x_test, batch_size=100, verbose=0)
        pictures[name] = y[list(SHOWN)]
        rows += [
            Row(f"{name}: test error per value, × 1000", "–", "–", 1000 * float(np.mean((y - x_test) ** 2)), minutes),
            Row(f"{name}: checkerboard", "–", "–", checkerboard(y - x_test), 0.0),
        ]
    if not options.quick:
        plots.rows(pictures, n=len(SHOWN)).savefig(FIGURES / "color_networks.png")
    return rows


def main() -> None:
    options = arguments(__doc__, epochs=12)
    if options.quick:
        options.epochs = 1
    report("color", options, emoji(options))


if __name__ == "__main__":
    main()
