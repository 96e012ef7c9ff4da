"""Conditions that are labels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras

from aezoo._typing import Shape
from aezoo.models.autoencoder import Autoencoder
from aezoo.training.gate import Spec


class TakesLabels(Autoencoder):
    """Base class of autoencoders whose conditions are labels, integers from 0 to the number of classes - 1.

    A subclass calls `set_classes` in its constructor.
    """

    classes: dict[str, int]
    """Number of classes of each label, by name."""

    def set_classes(self, classes: Mapping[str, int]) -> None:
        """Declare the labels.

        Args:
            classes: Number of classes of each label, by name.
        """
        self.classes = dict(classes)
        self.condition_specs.update(dict.fromkeys(self.classes, Spec((), "int32")))

    @property
    def condition_names(self) -> tuple[str, ...]:
        return tuple(self.classes)

    def condition_bounds(self, name: str) -> tuple[float, float]:
        return 0, self.classes[name] - 1

    def join_labels(self, name: str, shape: Shape) -> tuple[dict[str, Any], Any]:
        """Return the inputs of a network, and its values with the one-hot labels appended to the last axis.

        Args:
            name: Name of the values: "x" or "z".
            shape: Their shape without the batch. Unless the model is convolutional, they are flattened first.

        Returns:
            The symbolic inputs by name, values and labels; and the joined values, (batch, ..., channels + classes).
        """
        values = keras.Input(shape, name=name)
        labels = {condition: keras.Input((), dtype="int32", name=condition) for condition in self.classes}
        flat = values if self.filters else keras.layers.Flatten(dtype=self.dtype_policy)(values)
        parts = [flat]
        for condition, label in labels.items():
            classes = keras.ops.one_hot(label, self.classes[condition], dtype=self.compute_dtype)
            classes = keras.ops.reshape(classes, (-1, *(1 for _ in flat.shape[2:]), self.classes[condition]))
            parts.append(classes * keras.ops.ones_like(flat[..., :1]))
        joined = keras.layers.Concatenate(dtype=self.dtype_policy)(parts)
        return {name: values, **labels}, joined
