"""Data sets that come with a dependency: nothing to download."""

import functools

import numpy as np
import tensorflow as tf

from aezoo.datasets.source import Source

NAMES = ("digits",)


@functools.cache
def _digits() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    from sklearn.datasets import load_digits

    data = load_digits()
    images, labels = data.images.astype("uint8")[..., None], data.target.astype("int64")
    # Every fifth image of each class, by its place in the file: stratified, and the same split whatever the
    # version of scikit-learn or NumPy, which a random generator does not promise.
    test = np.zeros(len(labels), bool)
    for label in np.unique(labels):
        test[np.flatnonzero(labels == label)[4::5]] = True
    return {"train": (images[~test], labels[~test]), "test": (images[test], labels[test])}


def digits() -> Source:
    """Returns scikit-learn's 1797 handwritten digits, 8x8 pixels of 17 grey levels, split 80/20."""
    arrays = _digits()

    def read(split: str, shuffle_files: bool, seed: int | None) -> tf.data.Dataset:
        if split not in arrays:
            raise ValueError(f"The data set 'digits' has no split {split!r}; it has {', '.join(arrays)}.")
        return tf.data.Dataset.from_tensor_slices(arrays[split])

    return Source(
        name="digits",
        shape=(8, 8, 1),
        limit=16,
        has_labels=True,
        splits={split: len(labels) for split, (_, labels) in arrays.items()},
        read=read,
    )
