"""Coordination of several processes under `tf.distribute.MultiWorkerMirroredStrategy`."""

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
    """Return whether a strategy has several processes."""
    return isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy) and _keras.in_multi_worker_mode(strategy)


def is_chief(strategy: tf.distribute.Strategy) -> bool:
    """Return whether this process writes for all: the chief of the cluster, or worker 0 of a cluster without chief."""
    if not several(strategy):
        return True
    cluster = strategy.cluster_resolver
    return cluster.task_type == "chief" or (cluster.task_id == 0 and "chief" not in cluster.cluster_spec().jobs)


def broadcast_from_chief(strategy: tf.distribute.Strategy, value: int) -> int:
    """Broadcast an integer from the chief. Collective: every process must call it."""
    if not several(strategy):
        return value
    with strategy.scope():  # a new variable gets the chief's value in every process
        return int(tf.Variable(value, dtype="int64", trainable=False).numpy())


def wait_for_chief(strategy: tf.distribute.Strategy) -> None:
    """Wait until the chief reaches this call. Collective: every process must call it."""
    broadcast_from_chief(strategy, 0)


def agree_on_order(strategy: tf.distribute.Strategy) -> None:
    """Seed TensorFlow equally in all processes, since each shuffles the data before it takes its share of them."""
    if several(strategy):
        tf.random.set_seed(broadcast_from_chief(strategy, random.randrange(2**31)))


def take_weights_of_chief(model: keras.Model) -> None:
    """Set the variables of a model to the chief's in every process. Collective: every process must call it."""
    if several(model.distribute_strategy):
        with model.distribute_strategy.scope():  # a new variable gets the chief's value in every process
            for variable in model.variables:
                variable.assign(tf.Variable(variable.numpy(), trainable=False).numpy())


@contextmanager
def chief_writes(strategy: tf.distribute.Strategy, path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a path to write to in every process, since saving may need all of them; only the chief's file is kept.

    Args:
        strategy: The strategy.
        path: Final name of a file or folder, which appears once the write is complete.
    """
    if is_chief(strategy):
        with atomic_write(path) as unfinished:
            yield unfinished
    else:
        with tempfile.TemporaryDirectory() as folder:
            yield Path(folder) / Path(path).name


def keep_default_optimizations(strategy: tf.distribute.Strategy) -> None:
    """Keep `fit` on arrays from crashing under a strategy.

    Keras turns off tf.data's default optimizations in the pipeline that it makes from arrays. On such a pipeline the
    iterator that feeds replicas may use freed memory and crash the process with a segmentation fault, also for Keras'
    own models (seen with TensorFlow 2.21 and Keras 3.15). With the optimizations on, no crash was seen.
    """
    if isinstance(strategy, (tf.distribute.MirroredStrategy, tf.distribute.MultiWorkerMirroredStrategy)):
        options = tf.data.Options()
        options.experimental_optimization.apply_default_optimizations = True
        _keras.distribute_with(strategy, options)


def logs_of_a_replica(logs: dict[str, Any]) -> dict[str, Any]:
    """Return the logs of a step in a shape that Keras can average over replicas.

    With several processes, Keras 3 averages logs along their first axis, which scalars do not have (keras issue 20585).
    """
    if not several(tf.distribute.get_strategy()):
        return logs
    return {name: ops.reshape(value, (1,)) for name, value in logs.items()}
