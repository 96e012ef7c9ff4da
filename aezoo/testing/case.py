"""A model to be checked, and the devices to check it on."""

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
    """A model to be checked, and what to check it with.

    Attributes:
        make: Makes a new, uncompiled model, always of the same configuration; takes `dtype`.
        x: Samples that it takes, (n, ...) float32, n odd and at least 19.
        quiet: Makes the same model with its noise switched off, where it draws noise; `make` otherwise.
        mean_over_samples: False if a penalty is not a mean over samples, or a state moves at each step (a codebook
            that follows a running mean), so that two half batches are not one whole.
        empty_replica: False if the model fails on a replica that has no sample in the last batch, as TensorFlow's fused
            convolution does.
        learns_target: False if the model learns the distribution of x, which has no target.
        takes_loss: False if a loss given to `compile` cannot stand in for the model's own.
        score: The reports of `evaluate` that sum up to the mean of `score_samples`.
        conditions: Values of the conditions that the model takes, by name, (n, ...) each.
        inputs: Values of the inputs of signatures other than x, z and conditions, by name.
        learning_rate: Of plain gradient descent; adaptive optimisers would hide a gradient of the wrong size.
    """

    make: Callable[..., keras.Model]
    x: np.ndarray
    quiet: Callable[..., keras.Model] | None = None
    mean_over_samples: bool = True
    empty_replica: bool = True
    learns_target: bool = True
    takes_loss: bool = True
    score: tuple[str, ...] = ("reconstruction",)
    conditions: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)
    inputs: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)
    learning_rate: float = 1e-3

    def data(self, rows: slice | np.ndarray | list[int] = slice(None), x: np.ndarray | None = None) -> Data:
        """Return what `fit` is given: some rows of the samples, and of a model with conditions a dict of both.

        Args:
            rows: The rows, as NumPy takes them.
            x: Samples in place of those of the case.
        """
        x = self.x[rows] if x is None else x
        return {"x": x, **self.conditions_of(rows)} if self.conditions else x

    def conditions_of(self, rows: slice | np.ndarray | list[int] = slice(None)) -> dict[str, np.ndarray]:
        """Return some rows of the conditions by name, as verbs take them."""
        return {name: values[rows] for name, values in self.conditions.items()}

    def model(
        self, *, quiet: bool = False, dtype: str | keras.DTypePolicy | None = None, seed: int = 0, **compile: Any
    ) -> keras.Model:
        """Makes a compiled model with weights that follow from the seed; a quiet one makes single steps."""
        keras.utils.set_random_seed(seed)
        make = self.quiet if quiet and self.quiet else self.make
        model = make() if dtype is None else make(dtype=dtype)
        if quiet:
            model.default_steps = 1  # the graph is smaller; `execution` compares
        model.build_for(self.data())
        model.compile(**{"optimizer": keras.optimizers.SGD(self.learning_rate), **compile})
        model.initialize_from(self.x)  # which `fit` would do with the samples it is given, others in each comparison
        return model


def two_cpu_devices() -> None:
    """Splits the CPU in two logical devices, so that two replicas can be tried on one machine, and hides GPUs.

    The checks compare numbers that are equal on a CPU. A GPU rounds the factors of products to TF32 unless it is told
    not to, and adds up in the order in which its threads arrive.

    Raises:
        RuntimeError: If TensorFlow has been used already.
    """
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_visible_devices([], "GPU")
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)


@functools.cache
def two_replicas() -> tf.distribute.Strategy:
    """Two replicas on the devices of `two_cpu_devices`, always the same strategy.

    TensorFlow numbers the collectives of each strategy from the same start: a second strategy on the same devices, with
    weights of other shapes, fails.
    """
    devices = [device.name for device in tf.config.list_logical_devices("CPU")]
    assert len(devices) >= 2, "call aezoo.testing.two_cpu_devices() before TensorFlow is first used"
    return tf.distribute.MirroredStrategy(devices[:2])
