"""Loading and streaming of data sets."""

import glob
import math
import os

import numpy as np
import tensorflow as tf

from aezoo.datasets import bundled
from aezoo.datasets.source import Source

Arrays = tuple[np.ndarray, np.ndarray | None]

# Limits of the shuffle buffer: enough images to mix well, but at most this many bytes of raw pixels.
_SHUFFLE_IMAGES = 10_000
_SHUFFLE_BYTES = 2**26


def _source(name: str, data_dir: str | os.PathLike[str] | None, manual_dir: str | os.PathLike[str] | None) -> Source:
    if name in bundled.NAMES:
        source = bundled.source(name)
    else:
        from aezoo.datasets import tfds

        source = tfds.tensorflow_datasets(name, data_dir, manual_dir)
    if None in source.shape:
        raise ValueError(
            f"The images of {name!r} are of several sizes, {source.shape}, and do not fit one array or batch: load "
            "them with tensorflow_datasets and resize them."
        )
    return source


def is_here(name: str, data_dir: str | os.PathLike[str] | None = None) -> bool:
    """Return whether a data set can be loaded without a network, because it is bundled or prepared.

    Args:
        name: As in `load`.
        data_dir: As in `load`.

    Raises:
        ValueError: If there is no such data set.

    Example:
        >>> is_here("digits")
        True
    """
    if name in bundled.NAMES:
        return True
    from aezoo.datasets import tfds

    return tfds.is_prepared(name, data_dir)


def _on_this_machine(
    name: str, fallback: str, data_dir: str | os.PathLike[str] | None, manual_dir: str | os.PathLike[str] | None
) -> bool:
    if fallback not in bundled.NAMES:
        raise ValueError(f"fallback={fallback!r} is not bundled: choose {' or '.join(map(repr, bundled.NAMES))}.")
    return is_here(name, data_dir) or bool(manual_dir and glob.glob(os.path.join(manual_dir, "*")))


def _batches(
    source: Source, split: str, batch_size: int, shuffle: bool, seed: int | None, labels: bool
) -> tf.data.Dataset:
    dataset = source.read(split, shuffle, seed)
    if shuffle:
        # The buffer holds raw pixels instead of floats, which takes a quarter of the memory.
        images = max(batch_size, min(_SHUFFLE_IMAGES, _SHUFFLE_BYTES // math.prod(source.shape)))
        dataset = dataset.shuffle(images, seed=seed)

    def scale(images: tf.Tensor, classes: tf.Tensor | None = None) -> tf.Tensor | tuple[tf.Tensor, tf.Tensor]:
        images = tf.cast(images, tf.float32) / source.limit
        return (images, tf.cast(classes, tf.int64)) if labels else images

    # Prefetch a fixed number: with AUTOTUNE, the memory would depend on the speed of the model.
    return dataset.batch(batch_size).map(scale).prefetch(2)


def _collect(source: Source, split: str) -> Arrays:
    size = source.splits[split]
    images = np.empty((size, *source.shape), "float32")
    labels = np.empty(size, "int64") if source.has_labels else None
    start = 0
    for batch in _batches(source, split, 1024, False, None, source.has_labels).as_numpy_iterator():
        x, y = batch if source.has_labels else (batch, None)
        images[start : start + len(x)] = x
        if labels is not None:
            labels[start : start + len(x)] = y
        start += len(x)
    return images, labels


def load(
    name: str,
    *,
    fallback: str | None = None,
    data_dir: str | os.PathLike[str] | None = None,
    manual_dir: str | os.PathLike[str] | None = None,
) -> tuple[Arrays, Arrays]:
    """Load a data set of images into memory.

    Args:
        name: `"digits"`, `"emoji"`, `"sprites"`, or an image data set of TensorFlow Datasets (`"mnist"`,
            `"fashion_mnist"`, `"emnist/letters"`, `"cifar10"`, ...). `"digits"` has the 1797 handwritten digits that
            ship with scikit-learn; every fifth image of each class, in the order of the file, is for testing.
            `"emoji"` has 475 Noto emoji by Google (Apache License 2.0), 64 x 64 pixels in color on white, that ship
            with aezoo: faces, cats and people, labels 0, 1 and 2. Every fifth name of each kind, with all its skin
            tones, is for testing; see `emoji_factors`. `"sprites"` are 12,000 shapes of 32 x 32 pixels, drawn by aezoo
            with the factors of dSprites, labels 0 (square), 1 (ellipse) and 2 (heart); see `sprite_factors`.
        fallback: Bundled data set, such as `"digits"`, to load instead if this machine has neither prepared data nor
            original files of `name`. Nothing is downloaded then, and a line is printed. None downloads `name`.
        data_dir: Folder from which TensorFlow Datasets reads prepared data and in which it prepares data. None takes
            the environment variable `TFDS_DATA_DIR`, or else `~/tensorflow_datasets`.
        manual_dir: Folder with the original files of the data set, under their names on the web, from which it is
            prepared without a network. Not needed once the data are prepared.

    Returns:
        `((x_train, y_train), (x_test, y_test))`. The images are float32 in [0, 1] of shape (n, h, w, c). The labels are
        int64 of shape (n,), or None for a data set without labels. The second pair is the split "test", or the split
        "validation" of a data set without "test".

    Raises:
        ValueError: If `name` is unknown, the data set has no images, images of several sizes or not these splits, or
            `fallback` is not bundled.
        FileNotFoundError: If the data are not prepared and cannot be downloaded.

    Example:
        >>> from aezoo import datasets
        >>> (x_train, y_train), (x_test, y_test) = datasets.load("digits")
        >>> x_train.shape, y_train.shape, x_test.shape
        ((1442, 8, 8, 1), (1442,), (355, 8, 8, 1))
    """
    if fallback is not None and not _on_this_machine(name, fallback, data_dir, manual_dir):
        print(
            f"{name!r} is not on this machine: the bundled {fallback!r} are used instead. To get it, run "
            f"aezoo.datasets.load({name!r}) once with a network, or set TFDS_DATA_DIR to a folder that has it."
        )
        name = fallback
    source = _source(name, data_dir, manual_dir)
    test = "test" if "test" in source.splits else "validation"
    if not {"train", test} <= set(source.splits):
        raise ValueError(
            f"load needs a split 'train' and a split 'test' or 'validation'; the data set {name!r} has only: "
            f"{', '.join(source.splits)}. Use stream(..., split=...)."
        )
    return _collect(source, "train"), _collect(source, test)


def stream(
    name: str,
    split: str = "train",
    batch_size: int = 128,
    *,
    shuffle: bool = True,
    seed: int | None = None,
    labels: bool = False,
    data_dir: str | os.PathLike[str] | None = None,
    manual_dir: str | os.PathLike[str] | None = None,
) -> tf.data.Dataset:
    """Read a data set of images batch by batch, in memory that does not depend on its size.

    Args:
        name: As in `load`.
        split: `"train"`, `"test"`, ..., or a part of one, `"train[:90%]"`, except for bundled data.
        batch_size: Number of images per batch; the last batch may be smaller.
        shuffle: Whether each pass has a new order. The files are shuffled, and so are the images within a buffer of at
            most 10,000 images or 64 MiB.
        seed: Seed that makes the orders of all passes reproducible. None follows `keras.utils.set_random_seed`.
        labels: Whether to return the labels too.
        data_dir: As in `load`.
        manual_dir: As in `load`.

    Returns:
        A `tf.data.Dataset` of images, float32 in [0, 1] of shape (batch, h, w, c); or with `labels`, of pairs of images
        and labels, int64 of shape (batch,). Its cardinality, the number of batches, is known.

    Raises:
        ValueError: If `name` or `split` is unknown, the data set has no images or images of several sizes, or `labels`
            is True for a data set without labels.
        FileNotFoundError: If the data are not prepared and cannot be downloaded.

    Example:
        >>> from aezoo import datasets
        >>> batches = datasets.stream("digits", batch_size=100, seed=0)
        >>> len(batches), next(iter(batches)).shape
        (15, TensorShape([100, 8, 8, 1]))
    """
    source = _source(name, data_dir, manual_dir)
    if labels and not source.has_labels:
        raise ValueError(f"The data set {name!r} has no labels: use labels=False.")
    return _batches(source, split, batch_size, shuffle, seed, labels)
