"""Convolutional networks that denoise images: what normalization, resize convolutions and residual blocks change.

    python benchmarks/denoising_networks.py [--cifar10 FOLDER] [--photographs FILE.npz] [--picture FILE.png]

FOLDER has `cifar10_train10k_test1k.npz`, the first 10,000 training and 1,000 test images of CIFAR-10 (Krizhevsky 2009),
color, 32 x 32 pixels. FILE.npz has `images`, photographs of BSDS500 (Arbeláez et al. 2011) in gray; 10,000 patches of
32 x 32 pixels are cut from all but the last 50 for training, and 1,000 from these for testing. The bundled emoji are
always among the data, 64 x 64 pixels in color.

Each `DenoisingAE` has two convolutions of stride 2 with 32 channels, and a decoder that mirrors them: its code has two
numbers per pixel. Gaussian noise of deviation 0.1 is added to images in [0, 1]. All networks are trained for the same
number of steps, in batches of 64, with Adam and a rate that falls to 0 along a cosine; the rates, 0.001 and with
normalization 0.004, were fixed before the first run. On the test images with noise that no network saw:

- *PSNR* between output and image without noise, in dB, from the mean squared error over all test images.
- *period of two*: power of the error at a period of two pixels, horizontally or vertically, over that at the
  frequencies next to it; 1 is no checkerboard.
- *Gaussian filter*: the best of ten widths on the training images.
- *CPU seconds*: of the training, all threads together.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import io
import os
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np
import scipy.ndimage
from mae_probe import cifar10
from PIL import Image
from saved_runs import SavedRuns

import aezoo

HERE = Path(__file__).parent
BATCH_SIZE, NOISE, SIDE, CHANNELS = 64, 0.1, 32, 32
NORMALIZED: dict[str, Any] = {"normalization": "batch", "upsampling": "resize"}
#: By row: the arguments of `aezoo.layers.spatial` beside the sizes.
NETWORKS: dict[str, dict[str, Any]] = {
    "transposed convolutions": {},
    "resize convolutions": {"upsampling": "resize"},
    "resize, batch normalization": NORMALIZED,
    "resize, batch normalization, residual blocks": {**NORMALIZED, "residual": 1},
}


def photographs(path: Path, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return patches in [0, 1] of the first photographs for training, and of the last 50 for testing."""
    rng = np.random.default_rng(seed)
    with np.load(path) as file:
        images = file["images"]

    def patches(of: np.ndarray, n: int) -> np.ndarray:
        i = rng.integers(len(of), size=n)
        row, column = (rng.integers(size - SIDE + 1, size=n) for size in of.shape[1:3])
        cut = [of[k, r : r + SIDE, c : c + SIDE] for k, r, c in zip(i, row, column, strict=True)]
        return np.stack(cut)[..., None].astype("float32") / 255

    return patches(images[:-50], 10_000), patches(images[-50:], 1_000)


def psnr(x: np.ndarray, y: np.ndarray) -> float:
    """Return the peak signal-to-noise ratio of images in [0, 1], in dB."""
    return float(-10 * np.log10(np.mean(np.square(x - y))))


def period_of_two(error: np.ndarray) -> float:
    """Return the power of an error (n, h, w, channels) at a period of two pixels, over that at the next frequencies."""
    power = np.mean(np.abs(np.fft.fft2(error, axes=(1, 2))) ** 2, axis=(0, 3))
    h, w = (size // 2 for size in power.shape)
    here = power[h, 1:w].mean() + power[1:h, w].mean()
    near = power[h - 1, 1 : w - 1].mean() + power[1 : h - 1, w - 1].mean()
    return float(here / near)


def blurred(x: np.ndarray, width: float) -> np.ndarray:
    """Return images after a Gaussian filter."""
    return scipy.ndimage.gaussian_filter(x, (0, width, width, 0))


def noisy(x: np.ndarray, seed: int) -> np.ndarray:
    """Return images with Gaussian noise, which is not clipped."""
    return x + np.random.default_rng(seed).normal(0, NOISE, x.shape).astype("float32")


def trained(network: str, x: np.ndarray, seed: int, epochs: int) -> aezoo.DenoisingAE:
    """Train a network on images."""
    options = NETWORKS[network]
    sizes = {"filters": (CHANNELS,), "kernel_size": 3, "code_activation": "linear"}
    encoder, decoder = aezoo.layers.spatial(x.shape[-1], CHANNELS, seed=seed, **sizes, **options)
    model = aezoo.DenoisingAE(encoder=encoder, decoder=decoder, noise="gaussian", corruption=NOISE, seed=seed)
    steps = epochs * -(-len(x) // BATCH_SIZE)
    rate = keras.optimizers.schedules.CosineDecay(0.004 if "normalization" in options else 0.001, steps)
    model.compile(keras.optimizers.Adam(rate))
    keras.utils.set_random_seed(seed)
    model.fit(x, epochs=epochs, batch_size=BATCH_SIZE, verbose=0)
    return model


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cifar10", type=Path, help="the folder of the excerpt of CIFAR-10, default: leave it out")
    parser.add_argument("--photographs", type=Path, help="the file of photographs, default: leave them out")
    parser.add_argument("--steps", type=int, default=800, help="steps of each training, in whole epochs")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--picture", type=Path, help="write a picture of the first test images")
    parser.add_argument("--quick", action="store_true", help="few images, one epoch: the numbers mean nothing")
    parser.add_argument("--output", type=Path, help="default: benchmarks/denoising_networks.json, none of a quick run")
    options = parser.parse_args()
    output = options.output or (None if options.quick else HERE / "denoising_networks.json")
    (emoji, _), (emoji_test, _) = aezoo.datasets.load("emoji")
    sets = {"emoji": (emoji, emoji_test)}
    if options.cifar10 is not None:
        (x, _), (x_test, _) = cifar10(options.cifar10)
        sets["CIFAR-10 excerpt"] = x, x_test
    if options.photographs is not None:
        sets["photographs, gray"] = photographs(options.photographs)
    versions = {name: importlib.metadata.version(name) for name in ("keras", "tensorflow")}
    settings = {"steps": options.steps, "seed": options.seed}
    saved = SavedRuns("benchmarks/denoising_networks.py", output, ("data", "method"), settings, versions)
    shown = []
    for data, (x, x_test) in sets.items():
        x, x_test = (x[:100], x_test[:20]) if options.quick else (x, x_test)
        given = noisy(x_test, options.seed + 1)
        epochs = 1 if options.quick else max(1, round(options.steps / -(-len(x) // BATCH_SIZE)))
        pictures = {"without noise": x_test, "with noise": given}
        for method in ("with noise", "Gaussian filter", *NETWORKS):
            if (data, method) in saved and options.picture is None:
                continue
            start = time.process_time()
            if method == "Gaussian filter":
                some, noise = x[:1000], noisy(x[:1000], options.seed)
                width = max(np.linspace(0.3, 1.2, 10), key=lambda width: psnr(some, blurred(noise, width)))
                pictures[method] = blurred(given, width)
            elif method in NETWORKS:
                model = trained(method, x, options.seed, epochs)
                pictures[method] = np.asarray(model.reconstruct(given, batch_size=250))
            seconds = time.process_time() - start
            found = {"psnr": psnr(x_test, pictures[method]), "period_of_two": period_of_two(x_test - pictures[method])}
            found["cpu_seconds"] = seconds if method in NETWORKS else None
            if (data, method) not in saved:
                saved.add((data, method), **found)
            print(f"{data:18s} {method:46s} {found['psnr']:.2f} dB {found['period_of_two']:.2f}", flush=True)
        shown.append((data, pictures))
    if options.picture is not None:
        draw(shown, options.picture)


def draw(shown: list[tuple[str, dict[str, np.ndarray]]], path: Path, n: int = 2) -> None:
    """Write a picture: a column per method, the first test images of each data set below each other."""
    import matplotlib.pyplot as plt

    columns = [name for name in shown[0][1] if name not in ("resize convolutions", "resize, batch normalization")]
    figure, axes = plt.subplots(1, len(columns), figsize=(1.6 * len(columns), 1.5 * n * len(shown)), squeeze=False)
    for axis, name in zip(axes[0], columns, strict=True):
        rows = []
        for _, pictures in shown:
            x = np.clip(pictures[name][:n], 0, 1)
            x = np.repeat(x, 3, axis=-1) if x.shape[-1] == 1 else x
            factor = 64 // x.shape[1]
            rows.append(np.concatenate(np.repeat(np.repeat(x, factor, axis=1), factor, axis=2)))
        axis.imshow(np.concatenate(rows), interpolation="nearest")
        axis.set_title(name.replace(", ", ",\n").replace("convolutions", "\nconvolutions"), fontsize=8)
        axis.axis("off")
    figure.tight_layout()
    buffer = io.BytesIO()
    figure.savefig(buffer, dpi=100)
    Image.open(buffer).convert("RGB").quantize(128, dither=Image.Dither.NONE).save(path, optimize=True)


if __name__ == "__main__":
    main()
