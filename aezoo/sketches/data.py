"""Data sets of sketches."""

from __future__ import annotations

import os

import numpy as np

from aezoo.sketches import files, formats, synthetic

Arrays = tuple[np.ndarray, None]
#: Above 2²⁶ numbers (256 MiB), padded sketches may have at most 50 times as many steps as unpadded ones.
_LEAST, _PADDING = 2**26, 50


def load(name: str | os.PathLike[str], max_points: int | None = None) -> tuple[Arrays, Arrays]:
    """Load sketches as stroke-5, with offsets divided by the standard deviation of the training set's offsets.

    Args:
        name: "shapes" for 900 + 100 synthetic sketches; a Sketch-RNN file (.npz) with splits "train" and "test"; or a
            QuickDraw file (.ndjson), where every tenth drawing becomes a test sample.
        max_points: Maximum number of points per sketch, longer ones are skipped; None keeps all.

    Returns:
        `((x_train, None), (x_test, None))`, each x (n, Nmax, 5) float32, where Nmax is the number of points of the
        longest sketch.

    Raises:
        ValueError: If the name is unknown, the file cannot be read, no sketch remains, or one sketch is so much longer
            than the others that padding them to its length would take more than 256 MiB and 50 times their size.
        FileNotFoundError: If the file does not exist.

    Example:
        >>> (x_train, _), (x_test, _) = load("shapes")
        >>> x_train.shape, x_test.shape
        ((900, 33, 5), (100, 33, 5))
    """
    text = os.fspath(name)
    if text == "shapes":
        splits = {"train": synthetic.shapes(900, seed=0), "test": synthetic.shapes(100, seed=1)}
    elif text.endswith(".npz"):
        splits = files.read_npz(text)
    elif text.endswith(".ndjson"):
        sketches = files.read_ndjson(text)
        test = np.arange(len(sketches)) % 10 == 9
        splits = {
            split: [sketch for sketch, here in zip(sketches, test == (split == "test"), strict=True) if here]
            for split in ("train", "test")
        }
    else:
        raise ValueError(f"{text!r} is not a set of sketches: give 'shapes', or a file that ends in .npz or .ndjson.")
    if not {"train", "test"} <= set(splits):
        raise ValueError(f"{text} needs the splits 'train' and 'test', but it has {', '.join(splits) or 'none'}.")
    train, test = (
        [sketch for sketch in splits[split] if max_points is None or len(sketch) <= max_points]
        for split in ("train", "test")
    )
    if not train or not test:
        raise ValueError(
            f"{text} has {len(train)} training and {len(test)} test sketches"
            f"{'' if max_points is None else f' of at most {max_points} points'}: at least one of each is needed."
        )
    scale = formats.offset_scale(train)
    if not scale:
        raise ValueError(f"{text}: all offsets are the same, so that there is nothing to draw.")
    lengths = [len(sketch) for sketch in (*train, *test)]
    steps = max(lengths)
    if 5 * steps * len(lengths) > max(_LEAST, _PADDING * 5 * sum(lengths)):
        raise ValueError(
            f"{text} has a sketch of {steps:,} points, to which all {len(lengths):,} sketches, of "
            f"{sum(lengths) / len(lengths):.0f} points on average, would be padded: skip the longest with max_points."
        )
    x_train, x_test = (
        formats.stroke5([sketch / [scale, scale, 1] for sketch in split], steps) for split in (train, test)
    )
    return (x_train, None), (x_test, None)
