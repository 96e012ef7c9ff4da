"""Removal of labels from labeled data."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from typing import Any

import keras
import tensorflow as tf

from aezoo._typing import ArrayLike, Data, Tensor
from aezoo.datasets import mapped


def without_labels(data: Data | tuple[ArrayLike, ...], key: str | None = None) -> Any:
    """Return only the samples of labeled data; an autoencoder needs no labels.

    Args:
        data: A `tf.data.Dataset`, a `keras.utils.PyDataset` or a generator whose elements are (x, label), (x, label,
            weight) or dicts; or a tuple or dict of arrays in one of these forms.
        key: Key of the samples in a dict. None takes "x", else "image", else the only entry.

    Returns:
        Data of the same kind with x only: sample weights are removed too.

    Raises:
        ValueError: If a dict has no entry `key`, or `key` is None and it is not clear which entry has the samples.

    Example:
        >>> import numpy as np
        >>> x, y = np.zeros((6, 4), "float32"), np.arange(6)
        >>> data = tf.data.Dataset.from_tensor_slices((x, y)).batch(3)
        >>> without_labels(data).element_spec.shape
        TensorShape([None, 4])
        >>> without_labels({"image": x, "label": y}).shape
        (6, 4)
    """
    if isinstance(data, tf.data.Dataset):
        return data.map(lambda *element: _samples(element if len(element) > 1 else element[0], key))
    if isinstance(data, keras.utils.PyDataset):
        return mapped.PyDataset(data, functools.partial(_samples, key=key))
    if hasattr(data, "__next__"):
        return _each(data, key)
    return _samples(data, key)


def _samples(element: Tensor, key: str | None) -> Tensor:
    if isinstance(element, Mapping) and not hasattr(element, "shape"):
        names = [key] if key is not None else [name for name in ("x", "image") if name in element] or [*element][:2]
        if (len(names) > 1 and names != ["x", "image"]) or names[0] not in element:
            raise ValueError(f"Which of {', '.join(map(repr, element))} holds the samples is unclear: pass its key.")
        return element[names[0]]
    return element[0] if isinstance(element, (tuple, list)) else element


def _each(data: Any, key: str | None) -> Iterator[Any]:
    for element in data:
        yield _samples(element, key)
