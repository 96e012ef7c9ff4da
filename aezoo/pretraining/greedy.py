"""Greedy training of a stack of models, each on the codes of the models below it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from typing import Any, Literal

import keras
import numpy as np
import tensorflow as tf
import tqdm

from aezoo import _keras, _validation
from aezoo._typing import ArrayLike, Logs, Optimizer, Shape, Tensor
from aezoo.models.autoencoder import Autoencoder
from aezoo.pretraining.checkpoint import Checkpoint
from aezoo.saving import resume
from aezoo.training import distribution, resident
from aezoo.training.data import FitRequest


class GreedyStack:
    """Stack of autoencoders that is trained from the input up, one layer at a time.

    Args:
        stages: The models, from the input up; each takes the codes of the model below it.

    Raises:
        ValueError: If the list is empty, contains the same model twice, or a model that is not an `aezoo.Autoencoder`
            or has conditions.
    """

    def __init__(self, stages: Sequence[Autoencoder]):
        if not isinstance(stages, (list, tuple)):
            raise ValueError(f"Give the models of a stack as one list, not {stages!r}.")
        stages = list(stages)
        if not stages:
            raise ValueError("A stack needs at least one model.")
        for stage in stages:
            if not isinstance(stage, Autoencoder):
                raise ValueError(f"A stack consists of aezoo models, but {stage!r} is not one.")
            if stage.condition_names:
                raise ValueError(
                    f"{stage.name!r} has conditions, which a stack does not support: use a model without them."
                )
        if len({id(stage) for stage in stages}) < len(stages):
            raise ValueError("The same model is in the stack twice: create one model per layer.")
        self.stages = stages

    # === Pretraining ===

    def pretrain(
        self,
        x: ArrayLike | tf.data.Dataset,
        *,
        epochs: int | Sequence[int] = 10,
        batch_size: int | Sequence[int] = 100,
        optimizer: Optimizer | Sequence[Optimizer | None] | None = None,
        callbacks: keras.callbacks.Callback
        | Sequence[keras.callbacks.Callback | Sequence[keras.callbacks.Callback]]
        | None = None,
        cache: bool = False,
        checkpoint_dir: str | os.PathLike[str] | None = None,
        seed: int = 0,
        verbose: int = 1,
    ) -> list[dict[str, list[float]]]:
        """Train the first stage on x, the second on its codes, and so on.

        Codes are computed batch by batch, so that memory does not grow with the data.

        Args:
            x: Floating-point samples, (n, *input_shape), or a `tf.data.Dataset` of such batches without labels.
            epochs: Epochs of each stage; one number for all stages or one per stage.
            batch_size: Samples per step, for arrays; one number for all stages or one per stage. Data sets keep their
                own batches.
            optimizer: A Keras optimizer or its name, one for all stages, which each receive a new copy, or one per
                stage. None takes the optimizer that the stage was compiled with, or its `default_optimizer()`.
            callbacks: A list of callbacks for all stages, or one such list per stage.
            cache: Whether to compute the codes that a stage learns from once and keep them in memory.
            checkpoint_dir: A folder to save training in after each epoch. Call `pretrain` with the same folder to
                resume an interrupted run after its last finished epoch. It ends with the same weights as an
                uninterrupted run, bit for bit (for a data set, if the order of its batches is fixed). With more epochs
                than in a finished run, each layer continues its training, the upper ones from their current weights.
                All other arguments must be the same.
            seed: Seed of the order in which the samples of an array are visited.
            verbose: 1 for one progress bar over all stages, 0 for none.

        Returns:
            The `history` of each stage, for the epochs that this call trained.

        Raises:
            ValueError: If the arguments or the data do not fit the stack, or the folder contains another stack or a run
                with other data or another seed, batch size, optimizer or loss; the message names the difference.
                Nothing is changed then.
            OSError: If the folder cannot be written, or another process trains in it.
        """
        count = len(self.stages)
        all_epochs, batch_sizes = _for_each("epochs", epochs, count), _for_each("batch_size", batch_size, count)
        optimizers = _for_each("optimizer", optimizer, count)
        given: Any = [callbacks] if isinstance(callbacks, keras.callbacks.Callback) else callbacks
        if not given or not isinstance(given[0], (list, tuple)):
            given = [list(given or [])] * count
        all_callbacks = _for_each("callbacks", given, count)
        all_epochs = [_validation.check_int("epochs", number, 0) for number in all_epochs]
        batch_sizes = [_validation.check_int("batch_size", number, 1) for number in batch_sizes]
        seed = _validation.check_int("seed", seed)
        optimizers = [None if given is None else keras.optimizers.get(given) for given in optimizers]
        if isinstance(x, tf.data.Dataset) and isinstance(x.element_spec, tuple) and len(x.element_spec) > 1:
            raise ValueError(
                "Pretraining takes no labels and no targets: remove them with aezoo.datasets.without_labels(data)."
            )
        if not isinstance(x, tf.data.Dataset) and not hasattr(x, "shape"):
            raise ValueError(f"Expected samples as one array or a tf.data.Dataset, but got {type(x).__name__}.")
        request = FitRequest.of(self.stages[0], "fit", x)
        x = request.data.x
        self.stages[0].check_scale(x)
        self._build(request.data.x_spec.shape)
        for stage, own in zip(self.stages, optimizers, strict=True):
            with stage.distribute_strategy.scope():  # an optimizer must share the strategy of its model
                _compile(stage, own)
        checkpoint = None
        if checkpoint_dir is not None:
            run: dict[str, Any] = {"seed": seed, "data": resume.data(x)}
            if not isinstance(x, tf.data.Dataset):
                run["batch_size"] = batch_sizes
            elif distribution.several(self.stages[0].distribute_strategy):
                del run["data"]["batches"]  # each process may have its own part of the data
            run |= {f"layer {i + 1}": resume.compilation(stage) for i, stage in enumerate(self.stages)}
            checkpoint = Checkpoint(checkpoint_dir, self.stages, run)
        starts = checkpoint.starts if checkpoint else [int(stage.epoch.numpy()) for stage in self.stages]
        progress = _Progress(self.stages, all_epochs, disable=not verbose)
        histories = []
        below: list[Autoencoder] = []
        with contextlib.closing(progress), contextlib.closing(checkpoint) if checkpoint else contextlib.nullcontext():
            for i, stage in enumerate(self.stages):
                finished = checkpoint is not None and checkpoint.restore(i) >= all_epochs[i]
                epoch = tf.Variable(int(stage.epoch.numpy()), dtype="int64")
                if cache and below:
                    x, below = _codes(x, below), []
                data, ordered = _batches(x, batch_sizes[i], (seed, i), epoch, tuple(below))
                for stage_below in below:
                    data = data.map(_unconverted(stage_below.encode), num_parallel_calls=tf.data.AUTOTUNE)
                progress.start_stage(i, starts[i])
                history = stage.fit(
                    data.prefetch(2),
                    resident=ordered,
                    initial_epoch=int(stage.epoch.numpy()),
                    epochs=int(stage.epoch.numpy()) if finished else starts[i] + all_epochs[i],
                    verbose=0,
                    callbacks=[
                        _Order(epoch),
                        progress,
                        *all_callbacks[i],
                        *([checkpoint.callback(i)] if checkpoint else []),  # last, to save changes by the others
                    ],
                )
                if checkpoint and not finished:
                    checkpoint.save(i, finished=all_epochs[i])
                histories.append(history.history)
                below.append(stage)
        return histories

    def _build(self, shape: Shape) -> None:
        for i, stage in enumerate(self.stages):
            if stage.built and stage.x_shape != shape:
                raise ValueError(
                    f"Layer {i + 1} ({stage.name!r}) was built for inputs of shape {stage.x_shape}, but its inputs "
                    f"in this stack have shape {shape}: use a new model."
                )
            if not stage.built:
                with stage.distribute_strategy.scope():
                    stage.build((None, *shape))
            if i:
                _validation.check_codes_in_range(self.stages[i - 1], stage)
            shape = stage.code_shape

    # === Results ===

    def encode(self, x: ArrayLike) -> Tensor:
        """Return the code of the top stage, (batch, latent_dim)."""
        self._x_shape()
        for stage in self.stages:
            x = stage.encode(x)
        return x

    def decode(self, z: ArrayLike) -> Tensor:
        """Return the reconstruction of a code of the top stage, (batch, *input_shape)."""
        self._x_shape()
        for stage in reversed(self.stages):
            z = stage.decode(z)
        return z

    def reconstruct(self, x: ArrayLike) -> Tensor:
        """Return the reconstruction through all stages, with the shape of x."""
        return self.decode(self.encode(x))

    def unroll(self, **kwargs: Any) -> Autoencoder:
        """Create one deep autoencoder e1-e2-…-d2-d1 with copies of the weights, ready to compile and fine-tune.

        Args:
            **kwargs: `name`, `seed` and `dtype` of `Autoencoder`; `dtype` defaults to the dtype of the first stage.

        Returns:
            The autoencoder, in which no weights are tied.

        Raises:
            ValueError: If a stage has no weights yet.
        """
        encoder = keras.Sequential([keras.Input(self._x_shape()), *self._copies("encoder")], name="encoder")
        decoder = keras.Sequential(
            [keras.Input(self.stages[-1].code_shape), *reversed(self._copies("decoder"))], name="decoder"
        )
        kwargs.setdefault("dtype", self.stages[0].dtype_policy)
        model = Autoencoder(encoder=encoder, decoder=decoder, **kwargs)
        model.build((None, *self._x_shape()))
        return model

    def to_classifier(self, num_classes: int, activation: str | None = "softmax") -> keras.Sequential:
        """Create a classifier from copies of the encoders and a new output layer, ready to compile and fine-tune.

        Args:
            num_classes: Number of classes.
            activation: "softmax" for probabilities, None for logits.

        Returns:
            A Keras model, (batch, *input_shape) → (batch, num_classes).

        Raises:
            ValueError: If a stage has no weights yet.
        """
        _validation.check_int("num_classes", num_classes, 1)
        x_shape = self._x_shape()
        flat = [] if len(self.stages[-1].code_shape) == 1 else [keras.layers.Flatten()]  # Dense needs flat codes
        return keras.Sequential(
            [
                keras.Input(x_shape),
                *self._copies("encoder"),
                *flat,
                keras.layers.Dense(num_classes, activation=activation, name="classes"),
            ],
            name="classifier",
        )

    def _x_shape(self) -> Shape:
        for stage in self.stages:
            if not stage.built:
                raise ValueError(f"{stage.name!r} has no weights yet: call pretrain first.")
        return self.stages[0].x_shape

    def _copies(self, part: str) -> list[keras.Model]:
        copies = []
        for i, stage in enumerate(self.stages):
            network = getattr(stage, part)
            copy = keras.models.clone_model(network)
            copy.set_weights(network.get_weights())
            copy.name = f"{part}_{i + 1}"
            copies.append(copy)
        return copies


def _for_each(name: str, value: object, count: int) -> list[Any]:
    if not isinstance(value, (list, tuple)):
        return [value] * count
    if len(value) != count:
        raise ValueError(
            f"{name} has {len(value)} entries, but the stack has {count} layers: give one for all, or one per layer."
        )
    return list(value)


def _compile(stage: Autoencoder, optimizer: keras.Optimizer | None) -> None:
    """Compile a stage with its own optimizer, since a Keras optimizer supports the variables of one model only."""
    if optimizer is None:
        if not stage.compiled:
            stage.compile(optimizer=stage.default_optimizer())
    else:
        config = {**_keras.compile_arguments(stage), "optimizer": type(optimizer).from_config(optimizer.get_config())}
        stage.compile(**config)
    stage.optimizer.build(stage.trainable_variables)


def _batches(
    x: np.ndarray | tf.data.Dataset,
    batch_size: int,
    seed: tuple[int, int],
    epoch: tf.Variable,
    below: tuple[Autoencoder, ...],
) -> tuple[tf.data.Dataset, resident.Ordered | Literal[False]]:
    """Batch an array in an order that depends only on the seed and the epoch, so that a resumed run repeats it.

    Returns:
        A data set of the batches, and the same for `fit` to loop over on the device; False for a data set.
    """
    if isinstance(x, tf.data.Dataset):
        return x, False
    x = tf.cast(tf.convert_to_tensor(x), keras.config.floatx())
    n = int(x.shape[0])
    steps = -(-n // batch_size)
    stage_seed = tf.random.experimental.stateless_fold_in(tf.constant([seed[0], 0], "int64"), seed[1], alg="philox")

    def new_order() -> Tensor:
        order_seed = tf.random.experimental.stateless_fold_in(stage_seed, epoch, alg="philox")
        return tf.random.experimental.stateless_shuffle(tf.range(n), order_seed, alg="philox")

    def one_epoch(_: Tensor) -> tf.data.Dataset:
        order = new_order()
        batches = tf.data.Dataset.range(steps)
        return batches.map(lambda i: tf.gather(x, order[i * batch_size : (i + 1) * batch_size]))

    data = tf.data.Dataset.range(1).flat_map(one_epoch).apply(tf.data.experimental.assert_cardinality(steps))
    return data, resident.Ordered(x, batch_size, new_order, below)


# There is nothing in a verb that AutoGraph would convert, as in a step of Keras, and to look for it takes long.
_unconverted = tf.autograph.experimental.do_not_convert


def _codes(x: np.ndarray | tf.data.Dataset, below: list[Autoencoder]) -> np.ndarray | tf.data.Dataset:
    if isinstance(x, tf.data.Dataset):
        for stage in below:
            x = x.map(_unconverted(stage.encode), num_parallel_calls=tf.data.AUTOTUNE)
        return x.cache()
    for stage in below:
        x = stage.encoder.predict(x, batch_size=1024, verbose=0)
    return x


class _Order(keras.callbacks.Callback):
    """Callback that passes the current epoch to the data pipeline."""

    def __init__(self, epoch: tf.Variable):
        super().__init__()
        self.epoch = epoch

    def on_epoch_begin(self, epoch: int, logs: Logs = None) -> None:
        self.epoch.assign(epoch)


class _Progress(keras.callbacks.Callback):
    """Progress bar for a whole stack: layer 2/4 · RBM 500 · epoch 3/10."""

    def __init__(self, stages: list[Autoencoder], epochs: list[int], disable: bool):
        super().__init__()
        self.stages = stages
        self.epochs = epochs
        self.bar = tqdm.tqdm(total=sum(epochs), unit="epoch", disable=disable)

    def start_stage(self, i: int, start: int) -> None:
        """Show the name of the stage that starts training, and count its earlier epochs."""
        self.i, self.start = i, start
        stage = self.stages[i]
        self.label = f"layer {i + 1}/{len(self.stages)} · {type(stage).__name__} {int(np.prod(stage.code_shape))}"
        self.bar.update(int(stage.epoch.numpy()) - start)
        self.bar.set_description(self.label)

    def on_epoch_begin(self, epoch: int, logs: Logs = None) -> None:
        self.bar.set_description(f"{self.label} · epoch {epoch - self.start + 1}/{self.epochs[self.i]}")

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        logs = logs or {}
        shown = "reconstruction" if "reconstruction" in logs else "loss"
        self.bar.set_postfix({shown: f"{float(logs[shown]):.4g}"} if shown in logs else {})
        self.bar.update(1)

    def close(self) -> None:
        """Close the bar."""
        self.bar.close()
