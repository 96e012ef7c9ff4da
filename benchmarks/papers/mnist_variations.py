"""Variations of MNIST, made anew after Larochelle et al. 2007: *basic*, *rot* and *bg-rand*.

The 70,000 images of MNIST are put in an order that depends on the seed; the first 10,000 are for training, the next
2,000 for validation and the next 50,000 for testing, as in the original sets. Larochelle et al. drew other images,
angles and backgrounds, so that errors on these sets can be near the published ones, but not compared digit by digit.

    TFDS_DATA_DIR=... python benchmarks/papers/mnist_variations.py FILE.png

draws twenty images of each.
"""

from __future__ import annotations

import sys

import numpy as np
import scipy.ndimage

NAMES = ("basic", "rot", "bg-rand")
SIZES = (10_000, 2_000, 50_000)

Part = tuple[np.ndarray, np.ndarray]


def variation(name: str, x: np.ndarray, y: np.ndarray, sizes: tuple[int, ...] = SIZES, seed: int = 0) -> list[Part]:
    """Return the images and labels of training, validation and test.

    Args:
        name: "basic" has the digits as they are; "rot" turns each by an angle that is uniform in [0°, 360°); "bg-rand"
            puts each before a background of pixels that are uniform in [0, 1], which shows through where the digit is
            gray.
        x: All digits, (n, 28, 28, 1) in [0, 1].
        y: Their classes, (n,).
        sizes: Numbers of images of the parts.
        seed: Seed of the order, the angles and the backgrounds.
    """
    rng = np.random.default_rng(seed)
    chosen = rng.permutation(len(x))[: sum(sizes)]
    x, y = x[chosen], y[chosen]
    if name == "rot":
        angles = rng.uniform(0, 360, len(x))
        turned = [scipy.ndimage.rotate(d[..., 0], a, reshape=False, order=1) for d, a in zip(x, angles, strict=True)]
        x = np.clip(np.stack(turned), 0, 1)[..., None].astype("float32")
    elif name == "bg-rand":
        x = x + (1 - x) * rng.random(x.shape, "float32")
    elif name != "basic":
        raise ValueError(f"Unknown variation {name!r}: choose one of {', '.join(NAMES)}.")
    ends = np.cumsum(sizes)
    return [(x[end - size : end], y[end - size : end]) for size, end in zip(sizes, ends, strict=True)]


if __name__ == "__main__":
    import aezoo

    (x, y), _ = aezoo.datasets.load("mnist")
    shown = np.concatenate([variation(name, x, y, (20,))[0][0] for name in NAMES])
    aezoo.plots.samples(shown, columns=20).savefig(sys.argv[1])
