"""Training of any model with named terms: `fit`, `evaluate`, `predict` and the steps, without encoder and decoder."""

from __future__ import annotations

import contextlib
import functools
import inspect
import math
import os
import threading
import types
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from aezoo import _keras, _validation, losses, optimizers
from aezoo._numerics import as_float32
from aezoo._typing import Data, Logs, Loss, Shape, Tensor
from aezoo.layers import batch_normalization
from aezoo.layers.imputation import Imputation
from aezoo.preprocessing.base import Preprocessing
from aezoo.schedules import Scheduled
from aezoo.training import distribution, divergence, execution, gate, resident, samples
from aezoo.training.batch import Batch
from aezoo.training.data import FitRequest
from aezoo.training.gate import Spec, Validated

if TYPE_CHECKING:
    from aezoo.training.forward import Forward

_BUILDING = threading.RLock()  # shared by all models, which are built one at a time

# Attributes that a variant may still override under their old names.
_RENAMED = {
    "measure_names": "metric_names",
    "measure_modes": "metric_modes",
    "paper_loss": "default_loss",
    "own_callbacks": "default_callbacks",
    "move_schedules": "update_schedules",
    "examples": "dummy_inputs",
    "steps_together": "default_steps",
}


class _EpochClock(keras.callbacks.Callback):
    """Callback that updates the schedules of a model and counts its epochs."""

    def on_epoch_begin(self, epoch: int, logs: Logs = None) -> None:
        self.model.update_schedules()

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        self.model.epoch.assign_add(1)


class Trainer(keras.Model):
    """A Keras model that minimizes the sum of named terms and reports each of them.

    `aezoo.Autoencoder` adds encoder and decoder: extend it for a variant of an autoencoder. A subclass of `Trainer` has
    `objective`, `call`, and a `build` that sets `x_shape` and `y_shape`, the shapes of a sample and of a target, and
    ends with `make_trackers()`. `objective` gets batches whose missing values are already replaced; `call` replaces
    them with `complete`.

    Args:
        seed: Seed of initial weights and noise. Shuffling in `fit` follows `keras.utils.set_random_seed`.
        on_divergence: Reaction to a training step whose loss or gradient is not finite; such a step is never applied.
            "raise" ends `fit` with a ValueError that names the term; "warn" warns once and continues with the next
            batch.
        missing: Treatment of missing values, which are NaN in the samples. "error" refuses them. "mask" replaces them
            by the mean of the feature over the training data and leaves them out of the error; "learn" replaces them by
            a trained value that starts at this mean.
        preprocessing: Fitted `aezoo.preprocessing` that turns raw data into samples; see `aezoo.Autoencoder`.
        **kwargs: `name` and `dtype` of `keras.Model`; float64 is not supported.

    Raises:
        ValueError: If an argument is out of range, or the dtype is float64.

    Example:
        >>> import numpy as np
        >>> class Smoother(Trainer):
        ...     term_names = ("reconstruction", "weights")
        ...     def build(self, input_shape):
        ...         self.x_shape = self.y_shape = tuple(input_shape[1:])
        ...         self.dense = keras.layers.Dense(self.x_shape[-1])
        ...         self.dense.build(input_shape)
        ...         self.make_trackers()
        ...     def call(self, x, training=False):
        ...         return self.dense(x)
        ...     def objective(self, batch, training):
        ...         y_pred = self.dense(batch.x)
        ...         weights = batch.per_replica(ops.sum(ops.square(self.dense.kernel)))
        ...         return {"reconstruction": self.reconstruction(batch, y_pred), "weights": 0.1 * weights}, y_pred
        >>> model = Smoother()
        >>> model.compile(optimizer="adam")
        >>> history = model.fit(np.random.default_rng(0).random((32, 5), "float32"), verbose=0)
        >>> sorted(history.history)
        ['loss', 'reconstruction', 'weights']
    """

    if TYPE_CHECKING:  # read-only, so that a variant may have an attribute or a property of the name

        @property
        def term_names(self) -> tuple[str, ...]: ...
        @property
        def metric_names(self) -> tuple[str, ...]: ...
        @property
        def metric_modes(self) -> Mapping[str, str]: ...
        @property
        def condition_names(self) -> tuple[str, ...]: ...
    else:
        term_names = ("reconstruction",)
        """Names of the terms that a training step minimizes. A variant adds its own."""
        metric_names = ()
        """Names of the metrics that a step reports beside the terms."""
        metric_modes = types.MappingProxyType({})
        """Modes of metrics that callbacks may monitor: "min" if lower is better, "max" if higher is better."""
        condition_names = ()
        """Names of conditions such as labels: `fit({"x": x, "label": y})`, or `fit(x, y)` for a single condition."""
    x_shape: Shape
    """Shape of a sample, once the model is built; None for a size that may vary."""
    y_shape: Shape
    """Shape of a reconstruction, once the model is built."""
    unbounded: str = "output_activation='linear' and a squared error"
    """Advice for data without bounds, for messages."""
    keeps_training_samples: bool = False
    """True if callbacks of a variant compare training samples with validation data: `fit` then keeps some."""
    weighs_features: bool = True
    """True if the error can have weights per step or per feature."""
    takes_loss: bool = True
    """False if the model has an error of its own, so that a loss given to `compile` is refused."""
    is_chain: bool = True
    """True if the layers from x to the code and back are one chain, which `aezoo.plots.network` draws."""
    _preprocessing: Preprocessing | None = None
    tokens: int | None = None
    """Size of the vocabulary if samples are tokens; None if they are numbers."""
    default_steps: int = 8
    """Number of steps per execution if `compile` was given no `steps_per_execution`."""

    def __init__(
        self,
        *,
        seed: int | None = None,
        on_divergence: Literal["raise", "warn"] = "raise",
        missing: Literal["error", "mask", "learn"] = "error",
        preprocessing: Preprocessing | None = None,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        _validation.check_choice("on_divergence", on_divergence, divergence.CHOICES)
        _validation.check_choice("missing", missing, ("error", "mask", "learn"))
        distribution.keep_default_optimizations(self.distribute_strategy)
        _validation.check_precision(self)
        self.seed = None if seed is None else _validation.check_int("seed", seed)
        self.on_divergence = on_divergence
        self.missing = missing
        self.preprocessing = preprocessing
        if missing != "error":
            self.imputation = Imputation(trainable=missing == "learn", dtype="float32")
        self.condition_specs: dict[str, Spec] = {}
        self._target_shape: Shape | None = None
        self._functions = execution.Functions()
        self._resident: resident.Resident | None = None
        self._evaluated: resident.Resident | None = None
        self._predicts: resident.PredictionLoop | None = None
        self._watch: divergence.Watch | None = None
        self._training_samples: np.ndarray | None = None
        self.epoch = self.add_weight(
            shape=(),
            dtype="int64",
            initializer="zeros",
            trainable=False,
            name="epoch",
            aggregation="only_first_replica",
        )

    def __init_subclass__(cls, **kwargs: Any):
        super().__init_subclass__(**kwargs)
        for old, new in _RENAMED.items():
            if old in vars(cls):
                warnings.warn(f"{cls.__name__}.{old} is now {new}.", DeprecationWarning, stacklevel=2)
                setattr(cls, new, vars(cls)[old])
        if "penalties" in vars(cls) and len(inspect.signature(cls.penalties).parameters) == 4:
            message = f"{cls.__name__}.penalties now takes (batch, forward): use forward.code and forward.training."
            warnings.warn(message, DeprecationWarning, stacklevel=2)
            cls.penalties = _of_code(vars(cls)["penalties"])

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "preprocessing":  # no layer of the networks, which Keras would refuse in a model that is built
            object.__setattr__(self, name, value)
        else:
            super().__setattr__(name, value)

    def __getattr__(self, name: str) -> Any:
        if name in _RENAMED:
            warnings.warn(f"{name} is now {_RENAMED[name]}.", DeprecationWarning, stacklevel=2)
            return getattr(self, _RENAMED[name])
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    # === Inputs and outputs ===

    @property
    def preprocessing(self) -> Preprocessing | None:
        """Preprocessing of raw data, which is saved and exported with the model; None without. May be set later."""
        return self._preprocessing

    @preprocessing.setter
    def preprocessing(self, preprocessing: Preprocessing | None) -> None:
        if isinstance(preprocessing, Mapping):  # the configuration in a file
            preprocessing = keras.saving.deserialize_keras_object(preprocessing)
        if preprocessing is not None:
            _validation.check_preprocessing(self, preprocessing)
        object.__setattr__(self, "_preprocessing", preprocessing)

    @property
    def input_dtype(self) -> str:
        """Dtype of samples: `variable_dtype`, or "int32" for tokens."""
        return self.variable_dtype

    @property
    def decodes_to_any_shape(self) -> bool:
        """True if targets may have another number of axes than samples before the model is built."""
        return False

    @property
    def output_bounds(self) -> tuple[float, float] | None:
        """The least and the largest value of a reconstruction; None without bounds."""
        return losses.domain(self.reconstruction_loss)

    def condition_bounds(self, name: str) -> tuple[float, float] | None:
        """Return the least and the largest value of a condition; None if any finite value is allowed.

        Args:
            name: One of `condition_names`.
        """
        return None

    def get_build_config(self) -> dict[str, Any] | None:
        """Return the configuration for `build_from_config`: input shape, conditions and target shape."""
        config = super().get_build_config()
        if config is None or not self.built:
            return config
        if self.condition_specs:
            config["conditions"] = {name: [list(s.shape), s.dtype] for name, s in self.condition_specs.items()}
        if self._target_shape is not None:
            config["target_shape"] = self._target_shape
        return config

    def build_from_config(self, config: dict[str, Any]) -> None:
        """Create the weights of a model that is being loaded.

        Keras' own method ignores an error here and then loads no weights.
        """
        if not config:
            return
        if "target_shape" in config:
            self._target_shape = tuple(config["target_shape"])
        for name, (shape, dtype) in config.get("conditions", {}).items():
            self.condition_specs[name] = Spec(tuple(shape), dtype)
        self.build(config["input_shape"])

    def _ensure_built(self, shape: Shape, data: Validated | None = None) -> None:
        """Build the model for samples of a shape (batch, ...); `data` has the shapes of targets and conditions."""
        if self.built:
            return
        with _BUILDING:  # other threads wait for the networks of the first
            if self.built:
                return
            if data is not None:
                for name, spec in data.condition_specs.items():
                    whole = "int" in spec.dtype or "bool" in spec.dtype
                    self.condition_specs[name] = Spec(spec.shape, "int32" if whole else self.variable_dtype)
                if data.y_spec is not None and data.y_spec.shape != tuple(shape[1:]):
                    if not losses.takes_classes(self.reconstruction_loss):
                        self._target_shape = data.y_spec.shape
            with self.distribute_strategy.scope():
                self.build((None, *shape[1:]))

    def build_for(self, x: Data, y: Data | None = None) -> None:
        """Build the model for data, as its first `fit` does.

        Args:
            x: As in `fit`.
            y: As in `fit`.

        Raises:
            ValueError: If the model cannot be trained on the data.
        """
        data = gate.validated(self, x, y, compared=False)
        self._ensure_built((None, *data.x_spec.shape), data)

    def _ensure_optimizer(self) -> None:
        if self.compiled and not self.optimizer.built:
            with self.distribute_strategy.scope():  # built here, since a step that creates variables is traced twice
                self.optimizer.build(self.trainable_variables)

    def __call__(self, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """Return the reconstruction of x; see `keras.layers.Layer.__call__`."""
        if not self.built:
            samples = x["x"] if gate.is_dict(x) and "x" in x else x
            if hasattr(samples, "shape"):
                data = Validated.of(x, None, None, gate.Rules.of(self).parts(x)) if gate.is_dict(x) else None
                self._ensure_built(samples.shape, data)
        return super().__call__(x, *args, **kwargs)

    # === The objective ===

    @property
    def default_loss(self) -> Loss | None:
        """Reconstruction error of the variant's paper, used if `compile` is given no loss."""
        return losses.SquaredError()

    @property
    def reconstruction_loss(self) -> Loss | Any:
        """Reconstruction error in use: the loss given to `compile`, or `default_loss`."""
        # Read the configuration, since a second compile(loss=None) keeps the first one's `self.loss`.
        config = _keras.compile_arguments(self)
        if config.get("loss_weights") is not None:
            raise ValueError("loss_weights is not supported: scale the loss, or the weight of the model's penalty.")
        given = config.get("loss")
        if given is not None and not self.takes_loss:
            raise ValueError(f"{type(self).__name__} has an error of its own: give compile no loss.")
        return self.default_loss if given is None else given

    def reconstruction(self, batch: Batch, y_pred: Tensor, feature_weight: Tensor | None = None) -> Tensor:
        """Return this replica's share of the reconstruction error of a batch.

        Args:
            batch: The batch, with the targets.
            y_pred: Reconstructions x', (batch, *output_shape).
            feature_weight: Weights of the errors of single features, (batch, *output_shape), or None. They multiply the
                weights of the batch.

        Returns:
            A float32 scalar, in the units of `reconstruction_loss`.
        """
        return batch.mean(self.reconstruction_errors(batch, y_pred, feature_weight))

    def reconstruction_errors(self, batch: Batch, y_pred: Tensor, feature_weight: Tensor | None = None) -> Tensor:
        """Return the reconstruction error of each sample of a batch, (batch,) float32; see `reconstruction`."""
        weight = losses.product(batch.feature_weight, feature_weight)
        return losses.per_sample(self.reconstruction_loss, batch.y, y_pred, weight, batch, batch.mask)[0]

    def objective(self, batch: Batch, training: bool) -> tuple[dict[str, Any], Any]:
        """Return the terms and metrics of a step by name, and the reconstructions.

        Args:
            batch: The batch.
            training: Whether this is a training step.

        Returns:
            A dict of the terms in `term_names`, whose sum is minimized, and the metrics in `metric_names`: each is a
            float32 scalar and this replica's share, unless `tracker` returns another metric than a mean for it. And the
            reconstructions x', (batch, *output_shape).
        """
        raise NotImplementedError(f"{type(self).__name__} has no objective: define objective(batch, training).")

    def _evaluate_objective(self, batch: Batch, training: bool) -> tuple[dict[str, Any], Any, Any]:
        with batch_normalization.weighted(batch.weight):
            reported, y_pred = self.objective(batch, training)
        _validation.check_declared(self, reported)
        loss = sum(reported[name] for name in self.term_names)
        if self.losses:  # regularizers of the layers of a user's own network
            penalties = [ops.sum(as_float32(penalty)) for penalty in self.losses]
            reported["regularization"] = batch.per_replica(sum(penalties), weighted=False)  # as in any Keras model
            loss += reported["regularization"]
        return reported, loss, y_pred

    def tracker(self, name: str) -> keras.metrics.Metric:
        """Return a new Keras metric that accumulates a term or a metric over an epoch, by default its mean.

        Args:
            name: One of `term_names` or `metric_names`, or "regularization".

        Returns:
            A `keras.metrics.Mean`; or for a metric that is not a mean another one, whose `update_state` gets the value
            that `objective` returns under this name, and the sample weights.
        """
        return keras.metrics.Mean(name=name)

    def make_trackers(self) -> None:
        """Create the trackers of all terms and metrics, and the weights for missing values. Call it last in `build`."""
        if self.missing != "error":
            self.imputation.build((None, *self.x_shape))
        regularized = any(
            getattr(part, kind, None) is not None
            for parts, kind in (
                (self.trainable_variables, "regularizer"),
                (_keras.all_layers(self), "activity_regularizer"),
            )
            for part in parts
        )
        names = (*self.term_names, *self.metric_names, *(["regularization"] if regularized else []))
        self._trackers = [self.tracker(name) for name in names]

    # === Before the first step ===

    def initialize_from(self, x: np.ndarray) -> None:
        """Set initial weights from training data; by default do nothing.

        An override may take a second argument, `y=None`. It then also gets the targets of the samples, (n,
        *output_shape) float32, where NaN marks missing values; None if the samples are the targets.

        `fit` calls this once, before the first step of a model that has not been trained: its `epoch` is 0 and its
        optimizer has taken no step. The weights may still come from a trained model, loaded or set by hand, so change
        only weights that have their initial values. Use no random state: a run that is killed before its first
        checkpoint starts here again.

        Args:
            x: A sample of the training inputs, (n, *input_shape) float32, n <= 5,000: evenly spaced rows of an array,
                or the first batches of a data set. Missing values are filled in.

        Example:
            >>> import numpy as np, aezoo
            >>> class Centered(aezoo.Autoencoder):
            ...     def initialize_from(self, x):
            ...         bias = self.trainable_variables[-1]
            ...         if not np.any(bias):
            ...             bias.assign(x.mean(axis=0))
            >>> x = np.random.default_rng(0).random((32, 4), "float32")
            >>> model = Centered(2, output_activation="linear")
            >>> model.compile(keras.optimizers.SGD(0.0))
            >>> history = model.fit(x, verbose=0)
            >>> bool(np.allclose(model.trainable_variables[-1], x.mean(axis=0)))
            True
        """

    def fill_from(self, x: np.ndarray) -> np.ndarray:
        """Set the replacements of missing values from training data, and return the data with missing values replaced.

        Args:
            x: A sample of the training inputs, (n, *input_shape) float32; NaN marks missing values.
        """
        if self.missing == "error":
            return x
        x = np.asarray(x, "float32")
        if not np.any(self.imputation.values.numpy()):
            self.imputation.start_at(x)
        return np.asarray(self.imputation(x))

    def check_scale(self, x: np.ndarray) -> None:
        """Warn if samples are on a scale that the model does not expect."""
        tokens = "int" in self.input_dtype
        if hasattr(x, "shape") and not isinstance(x, tf.SparseTensor) and self.output_bounds is None and not tokens:
            _validation.check_scale(self, samples.take(x)[1])

    def check_loss(self) -> None:
        """Warn if the scale of the loss given to `compile` does not fit a variant's penalties."""

    def default_optimizer(self, learning_rate: float | None = None) -> keras.optimizers.Optimizer:
        """Return the default optimizer of layer-wise pretraining: Adam.

        Args:
            learning_rate: Learning rate; None uses 0.001.
        """
        return keras.optimizers.Adam(learning_rate or 1e-3)

    def default_callbacks(self) -> list[keras.callbacks.Callback]:
        """Return the callbacks that `fit` runs before all others.

        They run first so that a checkpoint at the end of an epoch finds that epoch counted.
        """
        return [_EpochClock()]

    def update_schedules(self) -> None:
        """Set every scheduled value to its value in the current epoch; `fit` calls this at the start of each epoch."""
        epoch = int(self.epoch.value.numpy())
        for layer in _keras.all_layers(self):
            if isinstance(layer, Scheduled):
                layer.move_to(epoch)
        optimizer = getattr(self.optimizer, "inner_optimizer", self.optimizer)
        if isinstance(optimizer, optimizers.ScheduledSGD):
            optimizer.move_to(epoch)

    # === Steps ===

    def train_step(self, data: Tensor) -> dict[str, Any]:
        """Minimize the sum of the terms of `objective` by one step; return the logs for Keras."""
        parts = self._parts(data)
        watch = self._divergence_watch()
        state = watch.state(self)
        with tf.GradientTape() as tape:
            batch = self.batch(parts)
            reported, loss, y_pred = self._evaluate_objective(batch, training=True)
            scaled = self.optimizer.scale_loss(loss)
        variables = self.trainable_variables
        watch.guarded(
            self,
            lambda gradients: optimizers.apply(self.optimizer, gradients, variables),
            {name: reported[name] for name in (*self.term_names, "regularization") if name in reported},
            loss,
            tape.gradient(scaled, variables),
            state,
            None if batch.weight is None else batch.total_weight,
        )
        return self._report(batch, reported, loss, y_pred)

    def test_step(self, data: Tensor) -> dict[str, Any]:
        """Evaluate the terms of `objective` outside training; return the logs for Keras."""
        batch = self.batch(self._parts(data))
        return self._report(batch, *self._evaluate_objective(batch, training=False))

    def predict_step(self, data: Tensor) -> Tensor:
        """Return the reconstruction of a batch; see `keras.Model.predict_step`."""
        parts = gate.Rules.of(self, compared=False).parts_of(data)
        return super().predict_step((gate.dense_single(parts).inputs,))

    def _parts(self, data: Tensor) -> gate.Parts:
        rules = gate.Rules.of(self)
        parts = gate.dense_single(rules.parts_of(data))
        rules.check_form(parts)
        self._ensure_built(parts.x.shape, Validated.of(None, None, None, parts))
        return parts

    def batch(self, parts: gate.Parts) -> Batch:
        """Return the batch of a step.

        Args:
            parts: Samples, conditions, targets and weights, as tensors.
        """
        conditions = {name: ops.cast(v, self.condition_specs[name].dtype) for name, v in parts.conditions.items()}
        reduction = losses.reduction(self.reconstruction_loss)
        if self.missing == "error":
            return Batch.of(parts.x, parts.y, parts.weight, reduction, conditions)
        x, observed = self.complete(parts.x)
        if parts.y is None or parts.y is parts.x:
            y = x
        else:
            observed = ~ops.isnan(parts.y)
            y = ops.where(observed, parts.y, ops.zeros_like(parts.y))
        return Batch.of(x, y, parts.weight, reduction, conditions, observed)

    def complete(self, x: Tensor) -> tuple[Any, Any]:
        """Replace missing values, for a model whose `missing` is "mask" or "learn".

        Args:
            x: A tensor, (batch, *input_shape); NaN marks missing values.

        Returns:
            x without NaN, and a boolean tensor that is True for observed values.
        """
        return self.imputation(x), ~ops.isnan(x)

    def _divergence_watch(self) -> divergence.Watch:
        if self._watch is None:
            self._watch = divergence.Watch(self)
        return self._watch

    def make_train_function(self, force: bool = False) -> Callable[..., Tensor]:
        """Return the function that runs training steps; see `keras.Model.make_train_function`."""
        if self.train_function is None or force:
            super().make_train_function(force)
            function: Any = self.train_function
            if self._resident is not None:
                loop = resident.TrainingLoop(self, self._resident, self._divergence_watch())
                function = resident.function(loop, lambda: self._resident, function)
            self.train_function = self._divergence_watch().watched(self, function)
        return self.train_function

    def make_test_function(self, force: bool = False) -> Callable[..., Tensor]:
        """Return the function that runs evaluation steps; see `keras.Model.make_test_function`."""
        if self.test_function is None or force:
            super().make_test_function(force)
            function: Any = self.test_function
            if self._evaluated is not None:
                loop = resident.Loop(self, self._evaluated, "test_step")
                function = resident.function(loop, lambda: self._evaluated, function)
            self.test_function = function
        return self.test_function

    @contextlib.contextmanager
    def _evaluating(self, data: resident.Resident | None) -> Iterator[None]:
        """Make `evaluate` loop over arrays; a callback of it, or of `fit`, may call `evaluate` again."""
        outer, self._evaluated = self._evaluated, data
        try:
            yield
        finally:
            self._evaluated = outer

    def _report(self, batch: Batch, reported: dict[str, Any], loss: Tensor, y_pred: Tensor) -> dict[str, Any]:
        # total / count, summed over replicas, is then the mean over the samples of an epoch, however a short last batch
        # was divided among the replicas.
        values = [loss, *(reported[tracker.name] for tracker in self._trackers)]
        for tracker, value in zip([_keras.loss_tracker(self), *self._trackers], values, strict=True):
            if isinstance(tracker, keras.metrics.Mean):
                _keras.add_to_mean(tracker, value * ops.cast(batch.size, value.dtype), batch.local_size)
            else:
                tracker.update_state(value, batch.weight)
        weight = batch.weight if batch.feature_weight is None else batch.given_weight
        if (batch.mask is not None or batch.feature_weight is not None) and self._has_metrics():
            self._check_metrics(batch)
        return distribution.logs_of_a_replica(self.compute_metrics(batch.x, batch.y, y_pred, weight))

    def _has_metrics(self) -> bool:
        config = _keras.compile_arguments(self)
        return any(config.get(name) is not None for name in ("metrics", "weighted_metrics"))

    def _check_metrics(self, batch: Batch) -> None:
        if batch.mask is not None and self.missing != "error":
            raise ValueError(
                "Keras' metrics cannot leave out missing values: compile without metrics, and read 'reconstruction'."
            )
        if batch.feature_weight is not None and len(batch.feature_weight.shape) >= len(batch.y.shape):
            raise ValueError(
                "Keras' metrics accept no weights per feature: compile without metrics, and read 'reconstruction'."
            )

    def compute_metrics(
        self, x: Tensor, y: Tensor | None, y_pred: Tensor, sample_weight: Tensor | None = None
    ) -> dict[str, Any]:
        """Update the metrics given to `compile`; without a target, the input is the target."""
        target = x["x"] if gate.is_dict(x) else x
        return super().compute_metrics(x, target if y is None else y, y_pred, sample_weight)

    def compute_loss(
        self,
        x: Tensor = None,
        y: Tensor | None = None,
        y_pred: Tensor | None = None,
        sample_weight: Tensor | None = None,
        training: bool = True,
    ) -> Tensor:
        """Return the objective of a batch, a scalar; `y_pred` is ignored and computed anew."""
        parts = gate.Rules.of(self).parts(x, y, sample_weight)
        return self._evaluate_objective(self.batch(parts), training)[1]

    # === Keras' verbs ===

    def fit(self, x: Data | None = None, y: Data | None = None, *args: Any, **kwargs: Any) -> keras.callbacks.History:
        """Train x → x, or x → y if a target y is given; see `keras.Model.fit` for all arguments.

        The data are checked before the first step. Schedules are set at each epoch and continue where the last `fit`
        stopped, also for a loaded model; `initial_epoch` sets them to another epoch. If `compile` was not given
        `steps_per_execution` and no callback has per-batch hooks, `default_steps` steps run per call.

        Arrays stay on the device: steps gather their batches there, up to 64 steps per call, with the same weights as
        otherwise. On a CPU, XLA compiles these steps of a dense network in a training of more than about ten seconds,
        which changes the rounding. Choose with `resident`: "auto", the default, does so for dense arrays that need at
        most a quarter of a GPU's memory; True raises a ValueError if it is impossible; False never does.

        Args:
            x: Samples, (n, *input_shape); a table, a `tf.data.Dataset`, a `PyDataset` or a generator of batches. A
                model with conditions takes a dict of "x" and of the conditions by name. A model with `preprocessing`
                takes raw data, too.
            y: Targets, whose shape may differ from x if the decoder returns that shape; for a model with one condition,
                the condition. Leave out labels with `aezoo.datasets.without_labels(data)`.
            *args: Further arguments of `keras.Model.fit`.
            **kwargs: Further arguments of `keras.Model.fit`, and `resident`. `sample_weight` is per sample, (n,), or
                has the leading axes of the targets.

        Returns:
            A `History`: the loss, each term and each metric per epoch; names of validation results begin with `val_`.

        Raises:
            ValueError: If the model cannot be trained on the data, or the training diverges; the message says why and
                what to do.
        """
        if self.compiled and self.optimizer is None:
            raise ValueError("The model was compiled without an optimizer: pass one to compile, for example 'adam'.")
        _validation.check_replicas(self)
        choice = kwargs.pop("resident", "auto")
        request = self._request("fit", x, y, *args, **kwargs)
        self._ensure_optimizer()
        if request.options.get("initial_epoch") is not None:
            self.epoch.assign(request.options["initial_epoch"])
        self.check_scale(request.samples)
        self.check_loss()
        request = self._with_checked_validation(request)
        request = self._start_from_data(request)
        request = self._with_callbacks(request)
        request = self._with_resident_data(request, choice)
        distribution.agree_on_order(self.distribute_strategy)
        self._divergence_watch().reset()
        arguments = request.arguments()
        try:
            with gate.readable_errors(), execution.default_steps_per_execution(self, arguments, self._resident):
                return super().fit(**arguments)
        finally:
            self._training_samples = self._resident = None

    def _request(self, verb: str, x: Data | None, *args: Any, **kwargs: Any) -> FitRequest:
        """Check the data of a call, and build the model for them."""
        before = self.output_bounds
        request = FitRequest.of(self, verb, x, *args, **kwargs)
        self._ensure_built((None, *request.data.x_spec.shape), request.data)
        if self.output_bounds == before:
            return request
        # A subclass made networks with another range than its arguments imply. A generator has lost its first batch.
        return FitRequest.of(self, verb, request.data.x if hasattr(x, "__next__") else x, *args, **kwargs)

    def _with_checked_validation(self, request: FitRequest) -> FitRequest:
        validation = request.options.get("validation_data")
        return request if validation is None else request.replace(validation_data=gate.validation(self, validation))

    def _start_from_data(self, request: FitRequest) -> FitRequest:
        """Set initial weights from the data if the variant does so; keep samples if its callbacks need some."""
        starts = self._starts_from_data()
        if not starts and not (self.keeps_training_samples and request.has_validation):
            return request
        with gate.readable_errors():
            x, taken, targets = samples.take_pairs(
                request.data.x,
                request.data.y,
                self.distribute_strategy,
                request.options.get("validation_split") or 0.0,
                request.data.weight,
                targets=starts and request.data.y_spec is not None and self._starts_from_targets(),
            )
        self._training_samples = taken
        if starts:
            self._training_samples = filled = self.fill_from(taken)
            self.initialize_from(filled, *([] if targets is None else [targets]))
            distribution.take_weights_of_chief(self)
        return request.with_x(x)

    def _starts_from_data(self) -> bool:
        if not self.compiled or int(self.epoch.numpy()) or int(self.optimizer.iterations.numpy()):
            return False
        return self.missing != "error" or type(self).initialize_from is not Trainer.initialize_from

    def _starts_from_targets(self) -> bool:
        return len(inspect.signature(self.initialize_from).parameters) > 1

    def _with_callbacks(self, request: FitRequest) -> FitRequest:
        given = _prepend(self.default_callbacks(), request.options.get("callbacks"))
        for callback in getattr(given, "callbacks", given):
            if hasattr(callback, "take_data"):  # such as `aezoo.callbacks.BackupAndRestore`
                callback.take_data(request.data.x)
        self._set_modes(given)
        return request.replace(callbacks=given)

    def hindrance_of_resident_data(
        self, call: Mapping[str, Any], steps: Sequence[str] = ("train_step", "test_step", "compute_metrics")
    ) -> str | None:
        """Return why steps cannot loop over arrays on the device, as the end of a sentence; None if they can.

        Args:
            call: Arguments of `fit`, `evaluate` or `predict` by name.
            steps: Names of the methods that the loop stands in for.
        """
        for name in steps:  # the loop reports the metrics of the model, not a step's logs
            if getattr(type(self), name) is not getattr(Trainer, name):
                return f"{type(self).__name__} has a {name} of its own"
        if tf.distribute.has_strategy() or self.distribute_strategy is not tf.distribute.get_strategy():
            return "the model trains under a distribution strategy"
        return execution.hindrance(self, call)

    def _with_resident_data(self, request: FitRequest, choice: resident.Choice | resident.Ordered) -> FitRequest:
        self._resident = resident.choose(self, request, choice)
        if self._resident is None:
            return request
        return resident.counted(request, self._resident).replace(shuffle=False)  # the loop shuffles

    def _set_modes(self, callbacks: Any) -> None:
        """Set the mode of Keras' callbacks for terms and metrics; Keras infers it for its own metrics only."""
        modes = {**dict.fromkeys(("loss", "regularization", *self.term_names), "min"), **self.metric_modes}
        for callback in getattr(callbacks, "callbacks", callbacks):
            mode = modes.get(str(getattr(callback, "monitor", None)).removeprefix("val_"))
            if mode and getattr(callback, "mode", None) == "auto":
                callback.mode = mode

    def evaluate(self, x: Data | None = None, y: Data | None = None, *args: Any, **kwargs: Any) -> Any:
        """Return the terms and metrics on data; see `fit` for x and y, and `keras.Model.evaluate` for all arguments.

        Arrays are evaluated in few calls of many batches, with the same results. `resident=False` turns this off;
        `resident=True` raises a ValueError if it is impossible, such as with callbacks that have per-batch hooks.

        Raises:
            ValueError: If the model cannot be evaluated on the data; the message says why and what to do.
        """
        if _keras.is_validation_of_fit(kwargs):  # `fit` has already done everything below
            with self._evaluating(None if self._resident is None else self._resident.validation):
                return super().evaluate(x, y, *args, **kwargs)
        _validation.check_replicas(self)
        choice = kwargs.pop("resident", "auto")
        request = self._request("evaluate", x, y, *args, **kwargs)
        data = resident.sweep(self, request, choice, ("test_step", "compute_metrics"))
        arguments = (request if data is None else resident.counted(request, data)).arguments()
        with (
            gate.readable_errors(),
            execution.default_steps_per_execution(self, arguments, data),
            self._evaluating(data),
        ):
            return super().evaluate(**arguments)

    def predict(self, x: Data, *args: Any, **kwargs: Any) -> np.ndarray:
        """Return reconstructions x' of large data, batch by batch; see `keras.Model.predict` for all arguments.

        Arrays are passed in few calls of many batches, with the same results; see `evaluate` for `resident`.

        Args:
            x: Samples, (n, *input_shape), a data set of batches of samples, or a dict of "x" and of conditions.
            *args: Further arguments of `keras.Model.predict`.
            **kwargs: Further arguments of `keras.Model.predict`.

        Returns:
            x', a NumPy array, (n, *output_shape).

        Raises:
            ValueError: If there are no samples, or they are not floating-point, not finite, or have the wrong shape.
        """
        choice = kwargs.pop("resident", "auto")
        request = self._request("predict", x, *args, **kwargs)
        data = resident.sweep(self, request, choice, ("predict_step", "make_predict_function"))
        if data is None:
            with gate.readable_errors():
                return super().predict(**request.arguments())
        verbose = request.options.get("verbose", "auto")
        shown = {
            "add_progbar": verbose != 0,
            "verbose": verbose,
            "epochs": 1,
            "steps": math.ceil(data.size / data.batch_size),
        }
        events = keras.callbacks.CallbackList(None, model=self, **shown)
        events.on_predict_begin()
        result = self._prediction_loop()(data, events.on_predict_batch_end)
        events.on_predict_end()
        return result

    def _prediction_loop(self) -> resident.PredictionLoop:
        """Return the loop of `predict`, which is made anew after `compile`."""
        if self._predicts is None or self._predicts.made_for is not _keras.compilation(self):
            self._predicts = resident.PredictionLoop(self)
        return self._predicts

    def train_on_batch(self, x: Data, y: Data | None = None, *args: Any, **kwargs: Any) -> Any:
        """Take one step on an array; see `fit` for x and y, and `keras.Model.train_on_batch` for all arguments.

        Raises:
            ValueError: As `fit`.
        """
        request = self._request("train_on_batch", x, y, *args, **kwargs)
        self._ensure_optimizer()
        self._divergence_watch().reset()
        return super().train_on_batch(**request.arguments())

    def test_on_batch(self, x: Data, y: Data | None = None, *args: Any, **kwargs: Any) -> Any:
        """Evaluate one array; see `fit` for x and y, and `keras.Model.test_on_batch` for all arguments.

        Raises:
            ValueError: As `evaluate`.
        """
        request = self._request("test_on_batch", x, y, *args, **kwargs)
        return super().test_on_batch(**request.arguments())

    def predict_on_batch(self, x: Data) -> np.ndarray:
        """Return reconstructions x' of one array; see `keras.Model.predict_on_batch`.

        Raises:
            ValueError: As `predict`.
        """
        x, conditions = gate.inputs(self, x)
        return super().predict_on_batch({"x": x, **conditions} if conditions else x)

    # === Saving ===

    def save(self, filepath: str | os.PathLike[str], *args: Any, **kwargs: Any) -> None:
        """Write the model, its optimizer and its state to a `.keras` file; see `keras.Model.save` for all arguments.

        Raises:
            ValueError: If the file is HDF5, which Keras cannot load for classes that are not its own.
        """
        if str(filepath).endswith((".h5", ".hdf5")):
            raise ValueError(
                f"A model in {str(filepath)!r} could not be loaded again, since Keras loads only its own classes from "
                "HDF5: save it as .keras, or only its weights with save_weights('model.weights.h5')."
            )
        super().save(filepath, *args, **kwargs)

    def get_config(self) -> dict[str, Any]:
        """Return every constructor argument."""
        names = ("seed", "on_divergence", "missing")
        config = {**super().get_config(), **{name: getattr(self, name) for name in names}}
        if self.preprocessing is not None:
            config["preprocessing"] = keras.saving.serialize_keras_object(self.preprocessing)
        return config


def _of_code(penalties: Callable[..., dict[str, Any]]) -> Callable[..., dict[str, Any]]:
    """Adapt an old `penalties(batch, code, training)` to take a `Forward`."""

    @functools.wraps(penalties)
    def of_forward(self: Trainer, batch: Batch, forward: Forward, training: bool | None = None) -> dict[str, Any]:
        if training is not None:  # called by another class with the old signature
            return penalties(self, batch, forward, training)
        return penalties(self, batch, forward.code, forward.training)

    return of_forward


def _prepend(own: list[keras.callbacks.Callback], callbacks: Any) -> Any:
    if isinstance(callbacks, keras.callbacks.CallbackList):
        kinds = {type(callback) for callback in own}
        there = [callback for callback in callbacks.callbacks if type(callback) not in kinds]
        _keras.replace_callbacks(callbacks, own + there)  # the list may have own callbacks of an earlier fit
        return callbacks
    return own + (keras.tree.flatten(callbacks) if callbacks else [])
