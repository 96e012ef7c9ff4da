"""The base class of all preprocessing: from a user's raw data to the samples of a model, and back."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Iterable, Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from aezoo._errors import listed
from aezoo._typing import ArrayLike, Self, Shape, Tensor


def is_lost_in_single_precision(largest: ArrayLike, deviation: ArrayLike) -> np.ndarray:
    """Return where float32 rounds away the differences between numbers: their deviation is below ten spacings.

    Args:
        largest: The largest absolute value of each column.
        deviation: Standard deviation of each column.
    """
    return np.spacing(np.abs(np.asarray(largest, "float32"))) > 0.1 * np.asarray(deviation)


def warn_of_new_columns(what: str, names: Iterable[str], known: Collection[str | None]) -> None:
    """Warn about columns of a table that `fit` has not seen.

    Args:
        what: Name of the table in the message.
        names: Names of its columns.
        known: Names of the columns that `fit` has seen, used or not.
    """
    if new := [name for name in names if name not in known]:
        warnings.warn(
            f"{what} has columns that the preprocessing was not fitted on, which are ignored: {listed(new)}.",
            stacklevel=3,
        )


class Preprocessing(keras.layers.Layer):
    """Turn raw data into the samples of a model, in Python and in an exported graph.

    Give it to a model, `Autoencoder(..., preprocessing=preprocessing)`. The model then accepts raw data wherever it
    accepts samples, is saved with its preprocessing, and is exported with signatures that take and return raw values.

    A subclass defines all methods and properties that raise `NotImplementedError` here. Register it with
    `keras.saving.register_keras_serializable`; its constructor takes the user's arguments, which `get_config` returns,
    and `state` and `set_state` carry what `fit` found.

    Args:
        **kwargs: `name` of `keras.layers.Layer`.

    Example:
        >>> @keras.saving.register_keras_serializable("doctest")
        ... class Scaling(Preprocessing):
        ...     def fit(self, raw):
        ...         self.largest = float(np.max(raw))
        ...         return self
        ...     def state(self):
        ...         return {"largest": self.largest}
        ...     def set_state(self, state):
        ...         self.largest = state["largest"]
        ...     raw_specs = {"x": tf.TensorSpec((None, 3), "int32", name="x")}
        ...     sample_shape = (3,)
        ...     def is_raw(self, data):
        ...         return getattr(data, "dtype", None) == np.int32
        ...     def to_arrays(self, raw):
        ...         return {"x": np.asarray(raw, "int32")}
        ...     def call(self, inputs):
        ...         return tf.cast(inputs["x"], "float32") / self.largest
        ...     def invert(self, x):
        ...         return {"x": tf.cast(tf.round(x * self.largest), "int32")}
        >>> scaling = Scaling().fit(np.int32([[0, 5, 10]]))
        >>> scaling.transform(np.int32([[10, 0, 5]]))
        array([[1. , 0. , 0.5]], dtype=float32)
        >>> scaling.restore(np.float32([[1, 0, 0.5]]))
        array([[10,  0,  5]], dtype=int32)
    """

    def __init__(self, **kwargs: Any):
        # Raw values stay in single precision if the model computes in half precision.
        super().__init__(**{"dtype": "float32", "autocast": False, "trainable": False, **kwargs})
        self.built = True

    # === Fitting ===

    def fit(self, raw: Any) -> Self:
        """Compute statistics and vocabularies in one pass over raw data, in constant memory; return self.

        Args:
            raw: Raw data: arrays, tables, or a stream of them.

        Raises:
            ValueError: If the data cannot be used; the message names the file, row or column.
        """
        raise NotImplementedError

    @property
    def is_fitted(self) -> bool:
        """True once `fit` has run, or if there is nothing to fit."""
        return True

    def state(self) -> dict[str, Any]:
        """Return the result of `fit`: statistics and vocabularies, in types of JSON."""
        return {}

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Restore the result of `fit`.

        Args:
            state: The result of `state`.
        """

    @property
    def summary(self) -> str:
        """Description for people of what the preprocessing does to each part of the data; "" if there is none."""
        return ""

    # === Shapes and names ===

    @property
    def raw_specs(self) -> dict[str, tf.TensorSpec]:
        """Inputs of a served request by name, each of shape (None, ...): images, numbers or strings."""
        raise NotImplementedError

    @property
    def sample_shape(self) -> Shape:
        """Shape of a sample, without the batch axis."""
        raise NotImplementedError

    @property
    def feature_names(self) -> list[str]:
        """Name of each feature of a sample; [] if features have no names."""
        return []

    @property
    def groups(self) -> dict[str, slice]:
        """Range of features per raw column, by the name of the column; {} if the data have no columns."""
        return {}

    # === From raw data to samples, and back ===

    def is_raw(self, data: Any) -> bool:
        """Return whether data are raw: in a form that samples, float arrays of `sample_shape`, never have.

        Args:
            data: Any object that a user passes as samples.
        """
        raise NotImplementedError

    def to_arrays(self, raw: Any) -> dict[str, np.ndarray]:
        """Return raw data as arrays that are named and typed as in `raw_specs`, (n, ...) each.

        Args:
            raw: Raw data.

        Raises:
            ValueError: If the data do not have the form that the preprocessing was fitted on.
        """
        raise NotImplementedError

    def call(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """Return samples, (n, *sample_shape) float32, or int32 tokens; runs in a graph.

        Args:
            inputs: Tensors named as in `raw_specs`.
        """
        raise NotImplementedError

    def invert(self, x: Tensor) -> dict[str, Tensor]:
        """Return samples, or reconstructions, in raw units, named as in `raw_specs`; runs in a graph.

        Args:
            x: (n, *sample_shape).
        """
        raise NotImplementedError

    def can_invert(self, shape: Shape) -> bool:
        """Return whether `invert` accepts a model's reconstructions.

        Args:
            shape: Shape of one reconstruction, with None for any size.
        """
        own = self.sample_shape
        return len(shape) == len(own) and all(None in (a, b) or a == b for a, b in zip(shape, own, strict=True))

    def transform(self, raw: Any) -> np.ndarray | tf.data.Dataset:
        """Return raw data as samples: an array (n, *sample_shape), or for a stream a `tf.data.Dataset` of batches.

        Args:
            raw: Raw data.

        Raises:
            ValueError: As `to_arrays`.
        """
        return np.asarray(self.call({name: tf.convert_to_tensor(v) for name, v in self.to_arrays(raw).items()}))

    def restore(self, x: Any) -> Any:
        """Return samples, or reconstructions, in the raw form of the user: a table, images, strings.

        Args:
            x: (n, *sample_shape).
        """
        arrays = {name: np.asarray(values) for name, values in self.invert(tf.convert_to_tensor(x)).items()}
        return next(iter(arrays.values())) if len(arrays) == 1 else arrays

    def dummy(self, n: int) -> dict[str, np.ndarray]:
        """Return n raw samples for a warm-up, named as in `raw_specs`: zeros and empty strings.

        Args:
            n: Number of samples.
        """
        made = {}
        for name, spec in self.raw_specs.items():
            shape = (n, *(size or 64 for size in spec.shape[1:]))
            made[name] = np.full(shape, "", object) if spec.dtype == tf.string else np.zeros(shape, spec.dtype.name)
        return made

    # === Saving ===

    def compute_output_shape(self, input_shape: Any) -> Shape:
        """Return the shape of a batch of samples."""
        return (None, *self.sample_shape)

    def get_config(self) -> dict[str, Any]:
        """Return every constructor argument, and under "state" what `fit` found."""
        config = {"name": self.name}
        return {**config, "state": self.state()} if self.is_fitted else config

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """Create preprocessing from the result of `get_config`."""
        config = dict(config)
        state = config.pop("state", None)
        made = cls(**config)
        if state is not None:
            made.set_state(state)
        return made
