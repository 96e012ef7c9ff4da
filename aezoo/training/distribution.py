"""Several processes that train together under `tf.distribute.MultiWorkerMirroredStrategy`."""

from __future__ import annotations

import os
import random
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf
from keras import ops

from aezoo import _keras
from aezoo._files import atomic_write


def several(strategy: tf.distribute.Strategy) -> bool:
    """Whether a strategy has more processes than this one."""
    return isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy) and _keras.in_multi_worker_mode(strategy)


def is_chief(strategy: tf.distribute.Strategy) -> bool:
    """Whether this is the process that writes for all: the chief of the cluster, or where it has none, worker 0."""
    if not several(strategy):
        return True
    cluster = strategy.cluster_resolver
    return cluster.task_type == "chief" or (cluster.task_id == 0 and "chief" not in cluster.cluster_spec().jobs)


def broadcast_from_chief(strategy: tf.distribute.Strategy, value: int) -> int:
    """Returns the integer that the chief calls this with, once it has; every process must call it."""
    if not several(strategy):
        return value
    with strategy.scope():  # which gives a new variable the chief's value everywhere
        return int(tf.Variable(value, dtype="int64", trainable=False).numpy())


def wait_for_chief(strategy: tf.distribute.Strategy) -> None:
    """Waits until the chief calls this too, and so has done all that it does before; every process must call it."""
    broadcast_from_chief(strategy, 0)


def agree_on_order(strategy: tf.distribute.Strategy) -> None:
    """Seeds TensorFlow alike in all processes, each of which takes its share of data that it has shuffled itself."""
    if several(strategy):
        tf.random.set_seed(broadcast_from_chief(strategy, random.randrange(2**31)))


def take_weights_of_chief(model: keras.Model) -> None:
    """Set every process's variables of a model to the chief's; every process must call it."""
    if several(model.distribute_strategy):
        with model.distribute_strategy.scope():  # which gives a new variable the chief's value everywhere
            for variable in model.variables:
                variable.assign(tf.Variable(variable.numpy(), trainable=False).numpy())


@contextmanager
def chief_writes(strategy: tf.distribute.Strategy, path: str | os.PathLike[str]) -> Iterator[Path]:
    """Gives every process a path to write to, since saving may need them all; only what the chief writes stays.

    Args:
        strategy: The strategy.
        path: The final name of a file or folder, which it takes once all of it is written.
    """
    if is_chief(strategy):
        with atomic_write(path) as unfinished:
            yield unfinished
    else:
        with tempfile.TemporaryDirectory() as folder:
            yield Path(folder) / Path(path).name


def keep_default_optimizations(strategy: tf.distribute.Strategy) -> None:
    """Keeps `fit` on arrays from crashing under a strategy.

    Keras switches tf.data's default optimisations off in the pipeline that it makes of arrays. On such a pipeline the
    iterator that feeds replicas may use what was freed, and end the process with a segmentation fault, also that of
    Keras' own models (seen with TensorFlow 2.21 and Keras 3.15); with the optimisations on it was not seen.
    """
    if isinstance(strategy, (tf.distribute.MirroredStrategy, tf.distribute.MultiWorkerMirroredStrategy)):
        options = tf.data.Options()
        options.experimental_optimization.apply_default_optimizations = True
        _keras.distribute_with(strategy, options)


def logs_of_a_replica(logs: dict[str, Any]) -> dict[str, Any]:
    """What a step returns, in the shape in which Keras can average it over replicas.

    With several processes Keras 3 averages logs along their first axis, which scalars do not have (keras issue 20585).
    """
    if not several(tf.distribute.get_strategy()):
        return logs
    return {name: ops.reshape(value, (1,)) for name, value in logs.items()}
