"""Models to check, and the devices to check them on."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from aezoo._typing import Data


@dataclasses.dataclass(frozen=True, eq=False)
class Case:
    """A model to check, with the data to check it on.

    Attributes:
        make: Function that returns a new, uncompiled model, always of the same configuration; accepts `dtype`.
        x: Samples for the model, (n, ...) float32, n odd and at least 19.
        quiet: Function that returns the same model with its noise switched off; None uses `make`.
        mean_over_samples: False if a penalty is not a mean over samples, or a state moves at each step (a codebook
            that follows a running mean), so that two half batches are not one whole.
        empty_replica: False if the model fails on a replica that has no sample in the last batch, as TensorFlow's fused
            convolution does.
        learns_target: False if the model learns the distribution of x and ignores targets.
        takes_loss: False if a loss given to `compile` cannot replace the model's own.
        decodes: False if `reconstruct` uses more of a sample than its code, such as its library size.
        score: Names of the terms of `evaluate` whose sum is the mean of `score_samples`.
        conditions: Values of the model's conditions by name, (n, ...) each.
        inputs: Values of the inputs of signatures other than x, z and conditions, by name.
        learning_rate: Learning rate of plain gradient descent; adaptive optimizers would hide a gradient of the wrong
            size.
    """

    make: Callable[..., keras.Model]
    x: np.ndarray
    quiet: Callable[..., keras.Model] | None = None
    mean_over_samples: bool = True
    empty_replica: bool = True
    learns_target: bool = True
    takes_loss: bool = True
    decodes: bool = True
    score: tuple[str, ...] = ("reconstruction",)
    conditions: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)
    inputs: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)
    learning_rate: float = 1e-3

    def data(self, rows: slice | np.ndarray | list[int] = slice(None), x: np.ndarray | None = None) -> Data:
        """Return the data for `fit`: rows of the samples, or a dict of rows of samples and conditions.

        Args:
            rows: The rows, as an index of NumPy; all by default.
            x: Samples to use instead of `self.x[rows]`.
        """
        x = self.x[rows] if x is None else x
        return {"x": x, **self.conditions_of(rows)} if self.conditions else x

    def conditions_of(self, rows: slice | np.ndarray | list[int] = slice(None)) -> dict[str, np.ndarray]:
        """Return rows of the conditions by name, as arguments of verbs."""
        return {name: values[rows] for name, values in self.conditions.items()}

    def model(
        self, *, quiet: bool = False, dtype: str | keras.DTypePolicy | None = None, seed: int = 0, **compile: Any
    ) -> keras.Model:
        """Return a compiled model whose weights depend only on the seed; a quiet model runs single steps."""
        keras.utils.set_random_seed(seed)
        make = self.quiet if quiet and self.quiet else self.make
        model = make() if dtype is None else make(dtype=dtype)
        if quiet:
            model.default_steps = 1  # the graph is smaller; `execution` compares
        model.build_for(self.data())
        model.compile(**{"optimizer": keras.optimizers.SGD(self.learning_rate), **compile})
        model.initialize_from(self.x)  # `fit` would use its own samples, which differ between compared models
        return model


def two_cpu_devices() -> None:
    """Split the CPU into two logical devices, to test two replicas on one machine, and hide GPUs.

    The checks compare numbers that are equal on a CPU. A GPU by default rounds the factors of products to TF32, and
    adds in the order in which its threads arrive.

    Raises:
        RuntimeError: If TensorFlow has already been used.
    """
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_visible_devices([], "GPU")
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)


@functools.cache
def two_replicas() -> tf.distribute.Strategy:
    """Return a strategy of two replicas on the devices of `two_cpu_devices`, the same one in every call.

    TensorFlow numbers the collectives of each strategy from the same start, so a second strategy on the same devices
    fails with weights of other shapes.
    """
    devices = [device.name for device in tf.config.list_logical_devices("CPU")]
    assert len(devices) >= 2, "call aezoo.testing.two_cpu_devices() before TensorFlow is first used"
    return tf.distribute.MirroredStrategy(devices[:2])
