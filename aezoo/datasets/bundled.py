"""Data sets that need no download: they ship with aezoo or with a dependency."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import tensorflow as tf

from aezoo.datasets import drawn
from aezoo.datasets.source import Source

#: Kinds of emoji, in the order of their labels.
KINDS = ("face", "cat", "person")
_FACTORS = ("name", "kind", "person", "job", "skin_tone", "expression", "animal")


@functools.cache
def _digits() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    from sklearn.datasets import load_digits

    data = load_digits()
    images, labels = data.images.astype("uint8")[..., None], data.target.astype("int64")
    # Every fifth image of each class, by position in the file, is for testing: the split is stratified, and the same
    # with every version of scikit-learn and NumPy, which a random generator would not guarantee.
    test = np.zeros(len(labels), bool)
    for label in np.unique(labels):
        test[np.flatnonzero(labels == label)[4::5]] = True
    return {"train": (images[~test], labels[~test]), "test": (images[test], labels[test])}


@functools.cache
def _emoji_file() -> dict[str, np.ndarray]:
    with np.load(Path(__file__).parent / "files" / "emoji.npz", allow_pickle=False) as file:
        return dict(file)


@functools.cache
def _emoji_places() -> dict[str, np.ndarray]:
    """Return the positions in the file of the emoji of each split."""
    file = _emoji_file()
    test = np.zeros(len(file["name"]), bool)
    for kind in KINDS:  # every fifth name, so that all skin tones of a person are in the same split
        names = np.unique(file["name"][file["kind"] == kind])
        test |= np.isin(file["name"], names[4::5])
    return {"train": np.flatnonzero(~test), "test": np.flatnonzero(test)}


def _emoji() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    file = _emoji_file()
    labels = np.array([KINDS.index(kind) for kind in file["kind"]], "int64")
    return {split: (file["images"][places], labels[places]) for split, places in _emoji_places().items()}


def emoji_factors(split: str | None = None) -> dict[str, np.ndarray]:
    """Return the factors, such as job and skin tone, of each emoji of `aezoo.datasets.load("emoji")`.

    Hold out a combination of factors to measure whether a model can compose it. The emoji are 475 pictures of 64 x 64
    pixels in color on white: 360 people (20 jobs × woman, man or person × 6 skin tones), 106 faces with one expression
    each, and 9 cats. The expression of a cat is named after the face with the same expression. Do not hold out women,
    men or persons among astronauts, firefighters and guards: they hardly differ in these jobs.

    The pictures are an excerpt of Noto Emoji by Google (https://github.com/googlefonts/noto-emoji), Apache License 2.0;
    the NOTICE beside the file lists the changes.

    Args:
        split: "train" or "test", in the order of the images that `load` returns; None for both, the training emoji
            before the test emoji.

    Returns:
        {factor: array of text, (n,)}; "" marks a factor that an emoji does not have. The factors are `name` (the short
        name, the same for all skin tones of a person), `kind` ("face", "cat", "person": labels 0, 1, 2), `person`
        ("woman", "man", "person"), `job`, `skin_tone` ("yellow", "light", "medium-light", "medium", "medium-dark",
        "dark"), `expression` (the name of the face) and `animal` ("cat").

    Raises:
        ValueError: If there is no such split.

    Example:
        >>> from aezoo import datasets
        >>> (x_train, _), (x_test, _) = datasets.load("emoji")
        >>> x, factors = np.concatenate([x_train, x_test]), datasets.emoji_factors()
        >>> held_out = (factors["job"] == "doctor") & (factors["person"] == "woman")
        >>> x[held_out].shape, x[~held_out].shape
        ((6, 64, 64, 3), (469, 64, 64, 3))
    """
    places = _emoji_places()
    if split is not None and split not in places:
        raise ValueError(f"The data set 'emoji' has no split {split!r}; it has {', '.join(places)}: choose one.")
    chosen = np.concatenate([places["train"], places["test"]]) if split is None else places[split]
    return {factor: _emoji_file()[factor][chosen] for factor in _FACTORS}


def source(name: str) -> Source:
    """Return the source of a bundled data set.

    `"digits"` has scikit-learn's 1797 handwritten digits, 8 x 8 pixels of 17 gray levels; `"emoji"` has 475 emoji,
    64 x 64 pixels in color. Both are split 80/20 into "train" and "test". `"sprites"` has 12,000 shapes that
    `aezoo.datasets.draw_sprites` draws, 10,000 of them in "train".

    Args:
        name: Name of the data set, one of `NAMES`.
    """
    read_all, limit = _SETS[name]
    arrays = read_all()

    def read(split: str, shuffle_files: bool, seed: int | None) -> tf.data.Dataset:
        if split not in arrays:
            raise ValueError(f"The data set {name!r} has no split {split!r}; it has {', '.join(arrays)}: choose one.")
        return tf.data.Dataset.from_tensor_slices(arrays[split])

    return Source(
        name=name,
        shape=tuple(arrays["train"][0].shape[1:]),
        limit=limit,
        has_labels=True,
        splits={split: len(labels) for split, (_, labels) in arrays.items()},
        read=read,
    )


_SETS: dict[str, tuple[Callable[[], dict[str, tuple[np.ndarray, np.ndarray]]], int]] = {
    "digits": (_digits, 16),
    "emoji": (_emoji, 255),
    "sprites": (drawn.sprites, 1),
}
NAMES = tuple(_SETS)
