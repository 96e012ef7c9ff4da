"""The autoencoder that every variant extends: the one train step, the verbs, saving and export."""

from __future__ import annotations

import importlib.util
import inspect
import threading
import types
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf
from keras import ops

from aezoo import _files, _validation, callbacks, losses, optimizers
from aezoo._numerics import as_float32
from aezoo.layers import batch_normalization, dense_transpose, mirroring, networks
from aezoo.saving import export, presets
from aezoo.schedules import Scheduled
from aezoo.training import distribution, divergence, execution, gate, samples
from aezoo.training.batch import Batch

_FIT = inspect.signature(keras.Model.fit)
_EVALUATE = inspect.signature(keras.Model.evaluate)
_BUILDING = threading.RLock()  # of all models: one at a time is enough


class _EpochClock(keras.callbacks.Callback):
    """Moves the schedules of a model on, and counts its epochs."""

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self.model.update_schedules()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.model.epoch.assign_add(1)


@keras.saving.register_keras_serializable("aezoo")
class Autoencoder(keras.Model):
    """z = σ(Wx + b), x' = σ'(W'z + b'), trained so that x' is close to x; deep, tied or convolutional where asked for.

    Without an encoder and a decoder of your own it builds them on the first batch: an MLP with `hidden_dims`, mirrored
    in the decoder, after convolutions where `filters` are given. A training step minimises named terms; here it is one,
    `reconstruction`. Variants add theirs.

    Args:
        latent_dim: Number of code units.
        hidden_dims: Units of the hidden layers, from the input to the code; the decoder mirrors them.
        filters: Channels of convolutions of stride 2, from the input on; the decoder mirrors them. Samples are
            (..., channels): of images (28, 28), whose axes are equally long, it warns that `x[..., None]` is meant.
        activation: σ of hidden layers, and of the code unless `code_activation` is given.
        code_activation: σ of the code.
        output_activation: σ' of the reconstruction.
        dropout: Share of the units of each hidden layer that a training step sets to 0, in [0, 1).
        normalization: "batch" or "layer" normalizes each hidden layer before its activation; None does not.
        kernel_size: Size of the kernels of convolutions.
        upsampling: How the decoder doubles an image: "transpose" by a transposed convolution, "resize" by repeating
            its pixels before a convolution, which leaves no checkerboard.
        residual: Number of residual blocks, of two convolutions each, behind every convolution of `filters`.
        tied: Whether the decoder uses the transposed kernels of the encoder, W' = Wᵀ.
        encoder: A Keras model from x to z, in place of `latent_dim`, `hidden_dims` and `filters`.
        decoder: A Keras model from z to x'; None mirrors an encoder of your own, layer by layer.
        seed: Seed of initial weights and of noise. Shuffling in `fit` follows `keras.utils.set_random_seed`.
        on_divergence: What a training step does whose loss or gradient is not finite. It is never applied; "raise" then
            ends `fit` with a ValueError that names the term, "warn" warns once and trains on with the next batch.
        **kwargs: `name` and `dtype` of `keras.Model`; not float64.

    Raises:
        ValueError: If neither `latent_dim` nor an encoder is given, the arguments contradict each other, or the dtype
            is float64.

    Example:
        >>> import numpy as np
        >>> model = Autoencoder(latent_dim=2)
        >>> model.compile(optimizer="adam")
        >>> history = model.fit(np.random.rand(32, 8, 8, 1).astype("float32"), verbose=0)
        >>> sorted(history.history)
        ['loss', 'reconstruction']
        >>> model.encode(np.zeros((5, 8, 8, 1), "float32")).shape
        TensorShape([5, 2])
    """

    term_names: tuple[str, ...] = ("reconstruction",)
    """The names of the terms that a training step minimises. A variant adds its own."""
    metric_names: tuple[str, ...] = ()
    """The names of what it reports beside them."""
    metric_modes: Mapping[str, str] = types.MappingProxyType({})
    """Of measures that callbacks may monitor, whether a better one is less, "min", or more, "max"."""
    unbounded: str = "output_activation='linear' and a squared error"
    """What to choose for data without bounds, as an error says it."""
    keeps_training_samples: bool = False
    """Whether the callbacks of a variant compare training samples with validation data: `fit` then keeps some."""
    default_steps: int = 8
    """How many steps `fit` gives TensorFlow at a time where `compile` was given no `steps_per_execution`."""

    def __init__(
        self,
        latent_dim: int | None = None,
        *,
        hidden_dims: Sequence[int] = (),
        filters: Sequence[int] = (),
        activation: Any = "relu",
        code_activation: Any = None,
        output_activation: Any = "sigmoid",
        dropout: float = 0.0,
        normalization: networks.Normalization | None = None,
        kernel_size: int = 3,
        upsampling: networks.Upsampling = "transpose",
        residual: int = 0,
        tied: bool = False,
        encoder: keras.Model | None = None,
        decoder: keras.Model | None = None,
        seed: int | None = None,
        on_divergence: str = "raise",
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        _validation.check_choice("on_divergence", on_divergence, divergence.CHOICES)
        distribution.keep_default_optimizations(self.distribute_strategy)
        _validation.check_precision(self)
        _validation.check_network_arguments(latent_dim, hidden_dims, filters, encoder, decoder, tied)
        _validation.check_hidden_layers(
            hidden_dims, filters, encoder, tied, dropout, normalization, kernel_size, upsampling, residual
        )
        for function in (activation, code_activation, output_activation):
            keras.activations.get(function)  # raises a ValueError if there is no such activation
        self.latent_dim = None if latent_dim is None else _validation.check_int("latent_dim", latent_dim, 1)
        self.hidden_dims = _validation.check_ints("hidden_dims", hidden_dims)
        self.filters = _validation.check_ints("filters", filters)
        self.activation = activation
        self.code_activation = code_activation
        self.output_activation = output_activation
        self.dropout = dropout
        self.normalization = normalization
        self.kernel_size = kernel_size
        self.upsampling = upsampling
        self.residual = residual
        self.tied = tied
        self.seed = None if seed is None else _validation.check_int("seed", seed)
        self.on_divergence = on_divergence
        self.encoder = self._given_encoder = encoder
        self.decoder = self._given_decoder = decoder
        self._steps_of_graphs = None
        self._watch: divergence.Watch | None = None
        self._training_samples = None
        self.epoch = self.add_weight(
            shape=(),
            dtype="int64",
            initializer="zeros",
            trainable=False,
            name="epoch",
            aggregation="only_first_replica",
        )

    # === Networks ===

    def build(self, input_shape: Any) -> None:
        """Makes encoder and decoder for inputs of shape `input_shape`, (batch, ...)."""
        x_shape = tuple(input_shape[1:])
        if self.encoder is None:
            _validation.check_known_shape(x_shape)
            self.encoder = self.build_encoder(x_shape)
        if layers := self.code_layers():
            _validation.call_network("encoder", self.encoder, keras.Input(x_shape, dtype=self.compute_dtype))
            self.encoder = keras.Sequential([keras.Input(x_shape), self.encoder, *layers], name="encoder")
        code = _validation.call_network("encoder", self.encoder, keras.Input(x_shape, dtype=self.compute_dtype))
        if self.decoder is None:
            self.decoder = self.build_decoder(x_shape)
        networks.carry_logits(self.decoder)
        reconstruction = _validation.call_network("decoder", self.decoder, code)
        _validation.check_reconstruction_shape(x_shape, tuple(reconstruction.shape[1:]))
        self.code_shape = tuple(code.shape[1:])
        self.x_shape = x_shape
        regularized = any(
            getattr(part, kind, None) is not None
            for parts, kind in (
                (self.trainable_variables, "regularizer"),
                (self._flatten_layers(), "activity_regularizer"),
            )
            for part in parts
        )
        names = (*self.term_names, *self.metric_names, *(["regularization"] if regularized else []))
        self._trackers = [self.tracker(name) for name in names]

    def tracker(self, name: str) -> keras.metrics.Metric:
        """Make what follows a term or a measure through an epoch: its mean over samples.

        Args:
            name: One of `term_names` or `metric_names`, or "regularization".

        Returns:
            `keras.metrics.Mean`; or for a measure that is no mean another metric, whose `update_state` is given what
            `objective` returns by this name, and the sample weights.
        """
        return keras.metrics.Mean(name=name)

    def code_layers(self) -> list[keras.layers.Layer]:
        """Returns the layers that a variant puts behind the encoder; they become its end."""
        return []

    def build_encoder(self, x_shape: tuple[int, ...], **kwargs: Any) -> keras.Model:
        """Makes the encoder where none was given.

        Args:
            x_shape: The shape of a sample.
            **kwargs: More arguments for `aezoo.layers.encoder`.

        Returns:
            A built Keras model, (batch, *x_shape) → (batch, latent_dim).
        """
        return networks.encoder(
            x_shape,
            self.latent_dim,
            hidden_dims=self.hidden_dims,
            filters=self.filters,
            activation=self.activation,
            code_activation=self.activation if self.code_activation is None else self.code_activation,
            dropout=self.dropout,
            normalization=self.normalization,
            kernel_size=self.kernel_size,
            residual=self.residual,
            seed=self.seed,
            dtype=self.dtype_policy,
            **kwargs,
        )

    def build_decoder(self, x_shape: tuple[int, ...], **kwargs: Any) -> keras.Model:
        """Makes the decoder where none was given; the encoder is there already.

        Args:
            x_shape: The shape of a sample.
            **kwargs: More arguments for `aezoo.layers.decoder`.

        Returns:
            A built Keras model, (batch, latent_dim) → (batch, *x_shape).
        """
        if self.tied:
            return networks.transpose(self.encoder, self.output_activation, dtype=self.dtype_policy)
        if self._given_encoder is not None:
            return mirroring.mirror(self.encoder, x_shape, self.output_activation, self.seed, self.dtype_policy)
        return networks.decoder(
            x_shape,
            self.latent_dim,
            hidden_dims=self.hidden_dims,
            filters=self.filters,
            activation=self.activation,
            output_activation=self.output_activation,
            dropout=self.dropout,
            normalization=self.normalization,
            kernel_size=self.kernel_size,
            upsampling=self.upsampling,
            residual=self.residual,
            seed=self.seed,
            dtype=self.dtype_policy,
            **kwargs,
        )

    def build_from_config(self, config: dict[str, Any]) -> None:
        """Makes the weights of a model that is being loaded.

        Keras' own method passes over an error here and then loads no weights.
        """
        if config:
            self.build(config["input_shape"])

    def _ensure_built(self, x_shape: Sequence[int | None]) -> None:
        if self.built:
            return
        with _BUILDING:  # threads that come meanwhile find the networks of the first
            if not self.built:
                with self.distribute_strategy.scope():
                    self.build((None, *x_shape[1:]))

    def _ensure_optimizer(self) -> None:
        if self.compiled and not self.optimizer.built:
            with self.distribute_strategy.scope():  # a step that makes variables is traced twice
                self.optimizer.build(self.trainable_variables)

    def __call__(self, x: Any, *args: Any, **kwargs: Any) -> Any:
        """Return the reconstruction of x; see `keras.layers.Layer.__call__`."""
        if not self.built and hasattr(x, "shape"):
            self._ensure_built(x.shape)
        return super().__call__(x, *args, **kwargs)

    # === The objective ===

    @property
    def default_loss(self) -> losses.SquaredError | losses.CrossEntropy:
        """The reconstruction error of the variant's paper, used where `compile` is given no loss."""
        return losses.SquaredError()

    @property
    def reconstruction_loss(self) -> Any:
        """The reconstruction error in use: the loss that `compile` was given, or the paper's."""
        # A second compile(loss=None) leaves the first one's `self.loss` behind, so the configuration is asked.
        config = self._compile_config.config if self.compiled else {}
        if config.get("loss_weights") is not None:
            raise ValueError("loss_weights is not supported: scale the loss, or the weight of the model's penalty.")
        given = config.get("loss")
        return self.default_loss if given is None else given

    def reconstruction(self, batch: Batch, y_pred: Any, feature_weight: Any = None) -> Any:
        """This replica's share of the reconstruction error of a batch.

        Args:
            batch: The batch, of which the targets are compared.
            y_pred: x', (batch, *input_shape).
            feature_weight: Weights of the errors of single features, (batch, *input_shape), or None.

        Returns:
            A float32 scalar, in the units of `reconstruction_loss`.
        """
        return batch.mean(losses.per_sample(self.reconstruction_loss, batch.y, y_pred, feature_weight, batch)[0])

    def penalties(self, batch: Batch, code: Any, training: bool) -> dict[str, Any]:
        """The terms that a variant adds to the reconstruction error, by name; each is this replica's share.

        Args:
            batch: The batch, with the means that a term is to be taken with.
            code: Its code, (batch, latent_dim).
            training: Whether this is a training step.

        Returns:
            Float32 scalars, one for each name of `term_names` but "reconstruction".
        """
        return {}

    def objective(self, batch: Batch, training: bool) -> tuple[dict[str, Any], Any]:
        """What a step minimises and reports, and the reconstruction that goes with it.

        Args:
            batch: The batch.
            training: Whether this is a training step.

        Returns:
            By name, the terms of `term_names`, of which the sum is minimised, and what is reported beside them, of
            `metric_names`; each is a float32 scalar and this replica's share, unless `tracker` makes another metric of
            a measure than its mean. And x', (batch, *input_shape).
        """
        code = self.encoder(batch.x, training=training)
        y_pred = self.decoder(code, training=training)
        terms = {
            "reconstruction": self.reconstruction(batch, y_pred),
            **self.penalties(batch, code, training),
        }
        return terms, y_pred

    def _evaluate_objective(self, batch: Batch, training: bool) -> tuple[dict[str, Any], Any, Any]:
        with batch_normalization.weighted(batch.weight):
            reported, y_pred = self.objective(batch, training)
        _validation.check_declared(self, reported)
        loss = sum(reported[name] for name in self.term_names)
        if self.losses:  # regularisers of the layers of a user's own network
            penalties = [ops.sum(as_float32(penalty)) for penalty in self.losses]
            reported["regularization"] = batch.per_replica(sum(penalties), weighted=False)  # as in any Keras model
            loss += reported["regularization"]
        return reported, loss, y_pred

    def initialize_from(self, x: Any) -> None:
        """Set initial weights from training data, for a variant that starts better from them; by default do nothing.

        `fit` calls this once, before the first step of a model that has not been trained: its `epoch` is 0 and its
        optimizer has taken no step. Its weights may still be a trained model's, loaded or set by hand, so change only
        those that still have their initial values. Use no random state: a run that is killed before its first
        checkpoint starts here again.

        Args:
            x: A sample of the training inputs, (n, *input_shape) float32 with n of up to 5,000: evenly spaced ones of
                an array, those of the first batches of a data set.

        Example:
            >>> import numpy as np
            >>> class Centered(Autoencoder):
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

    def check_scale(self, x: Any) -> None:
        """Warns where samples are on a scale that the model does not expect."""
        if hasattr(x, "shape") and not isinstance(x, tf.SparseTensor) and _validation.target_range(self) is None:
            _validation.check_scale(self, samples.take(x)[1])

    def check_loss(self) -> None:
        """Warns where the loss that `compile` was given is on a scale that a variant's penalties do not go with."""

    def default_optimizer(self, learning_rate: float | None = None) -> keras.optimizers.Optimizer:
        """Returns the optimizer of layer-wise pretraining where none is given: Adam, by default at a rate of 0.001."""
        return keras.optimizers.Adam(learning_rate or 1e-3)

    # === Steps ===

    def train_step(self, data: Any) -> dict[str, Any]:
        """Takes one step down the gradient of the sum of the terms of `objective`; returns what Keras reports."""
        batch = self._batch(data)
        watch = self._divergence_watch()
        state = watch.state(self)
        with tf.GradientTape() as tape:
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

    def test_step(self, data: Any) -> dict[str, Any]:
        """Evaluates the terms as `objective` does outside training; returns what Keras reports."""
        batch = self._batch(data)
        return self._report(batch, *self._evaluate_objective(batch, training=False))

    def _divergence_watch(self) -> divergence.Watch:
        if self._watch is None:
            self._watch = divergence.Watch(self)
        return self._watch

    def make_train_function(self, force: bool = False) -> Any:
        """Make the function that takes the steps; see `keras.Model.make_train_function`."""
        if self.train_function is None or force:
            super().make_train_function(force)
            self.train_function = self._divergence_watch().watched(self, self.train_function)
        return self.train_function

    def _batch(self, elements: Any) -> Batch:
        x, y, weight = (gate.single(gate.dense(part)) for part in keras.utils.unpack_x_y_sample_weight(elements))
        gate.Rules.of(self).check_form(x, y, weight)
        self._ensure_built(x.shape)
        return Batch.of(x, y, weight, losses.reduction(self.reconstruction_loss))

    def predict_step(self, elements: Any) -> Any:
        """Return the reconstruction of a batch; see `keras.Model.predict_step`."""
        return super().predict_step(keras.tree.map_structure(lambda part: gate.single(gate.dense(part)), elements))

    def _report(self, batch: Batch, reported: dict[str, Any], loss: Any, y_pred: Any) -> dict[str, Any]:
        # total / count, summed over replicas, is then the mean over the samples of an epoch, whichever replica had
        # how many of a short last batch.
        values = [loss, *(reported[tracker.name] for tracker in self._trackers)]
        for tracker, value in zip([self._loss_tracker, *self._trackers], values, strict=True):
            if isinstance(tracker, keras.metrics.Mean):
                tracker.total.assign_add(ops.cast(value * ops.cast(batch.size, value.dtype), tracker.dtype))
                tracker.count.assign_add(ops.cast(batch.local_size, tracker.dtype))
            else:
                tracker.update_state(value, batch.weight)
        return distribution.logs_of_a_replica(self.compute_metrics(batch.x, batch.y, y_pred, batch.weight))

    def compute_metrics(self, x: Any, y: Any, y_pred: Any, sample_weight: Any = None) -> dict[str, Any]:
        """Updates the metrics given to `compile`; without a target the target is the input."""
        return super().compute_metrics(x, x if y is None else y, y_pred, sample_weight)

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> Any:
        """Returns the objective of a batch, a scalar; `y_pred` is computed anew and not used."""
        batch = Batch.of(x, y, sample_weight, losses.reduction(self.reconstruction_loss))
        return self._evaluate_objective(batch, training)[1]

    # === Keras' verbs ===

    def call(self, x: Any, training: bool = False) -> Any:
        """Returns the reconstruction x' of x, with the shape of x."""
        return self.decoder(self.encoder(x, training=training), training=training)

    def fit(self, x: Any = None, y: Any = None, *args: Any, **kwargs: Any) -> keras.callbacks.History:
        """Trains x → x, or x → y where a (clean) target y is given; see `keras.Model.fit` for all arguments.

        The data are checked before the first step. Schedules are moved at each epoch and go on where the last `fit`,
        also that of a loaded model, stopped; `initial_epoch` sets them to another epoch. Where `compile` was not given
        `steps_per_execution` and no callback looks at single steps, `default_steps` of them are one call.

        Returns:
            What happened: its `history` has, by name and for each epoch, the mean of the loss, of each term and of each
            metric, and with `val_` before the name that of the validation data.

        Raises:
            ValueError: If the data cannot be trained on, or the training diverges; the message says why and what to do.
        """
        call = _FIT.bind(self, x, y, *args, **kwargs).arguments
        call.pop("self")
        gate.check_class_weight(call.get("class_weight"))
        if self.compiled and self.optimizer is None:
            raise ValueError("The model was compiled without an optimizer: give compile one, for example 'adam'.")
        _validation.check_replicas(self)
        found = gate.validated(self, call.get("x"), call.get("y"), call.get("sample_weight"))
        call |= {"x": found.x, "y": found.y, "sample_weight": found.weight}
        if isinstance(found.x, (tf.data.Dataset, types.GeneratorType)):
            call.setdefault("shuffle", False)  # Keras' default, True, makes it warn that it cannot shuffle these
        self._ensure_built(found.shape)
        self._ensure_optimizer()
        self.check_scale(call["x"])
        self.check_loss()
        validation = call.get("validation_data")
        if validation is not None:
            call["validation_data"] = gate.validation(self, validation)
        starts = self._starts_from_data()
        if starts or (self.keeps_training_samples and (validation is not None or call.get("validation_split"))):
            with gate.readable_errors():
                call["x"], self._training_samples = samples.take(
                    call["x"],
                    self.distribute_strategy,
                    call.get("validation_split") or 0.0,
                    call.get("sample_weight"),
                )
        if starts:
            self.initialize_from(self._training_samples)
            distribution.take_weights_of_chief(self)
        if call.get("initial_epoch") is not None:
            self.epoch.assign(call["initial_epoch"])
        call["callbacks"] = _prepend(self.default_callbacks(), call.get("callbacks"))
        callbacks.say_data(call["callbacks"], found.x)
        self._set_modes(call["callbacks"])
        distribution.agree_on_order(self.distribute_strategy)
        self._divergence_watch().reset()
        try:
            with gate.readable_errors(), execution.default_steps_per_execution(self, call):
                return super().fit(**call)
        finally:
            self._training_samples = None

    def _starts_from_data(self) -> bool:
        if type(self).initialize_from is Autoencoder.initialize_from or not self.compiled:
            return False
        return not int(self.epoch.numpy()) and not int(self.optimizer.iterations.numpy())

    def evaluate(self, x: Any = None, y: Any = None, *args: Any, **kwargs: Any) -> Any:
        """Returns the terms and metrics of data; see `keras.Model.evaluate` for all arguments.

        Raises:
            ValueError: If the data cannot be evaluated; the message says why and what to do.
        """
        if kwargs.get("_use_cached_eval_dataset"):  # validation in `fit`, which has seen to all that follows
            return super().evaluate(x, y, *args, **kwargs)
        extra = {name: kwargs.pop(name) for name in [*kwargs] if name not in _EVALUATE.parameters}
        call = _EVALUATE.bind(self, x, y, *args, **kwargs).arguments
        call.pop("self")
        _validation.check_replicas(self)
        found = gate.validated(self, x, y, call.get("sample_weight"), labels="evaluate(x)")
        call |= {"x": found.x, "y": found.y, "sample_weight": found.weight}
        self._ensure_built(found.shape)
        with gate.readable_errors(), execution.default_steps_per_execution(self, call):
            return super().evaluate(**call, **extra)

    def train_on_batch(self, x: Any, y: Any = None, sample_weight: Any = None, *args: Any, **kwargs: Any) -> Any:
        """Takes one step on an array; see `keras.Model.train_on_batch` for all arguments.

        Raises:
            ValueError: As `fit`.
        """
        gate.check_class_weight(args[0] if args else kwargs.get("class_weight"))
        found = gate.validated(self, x, y, sample_weight, labels="train_on_batch(x)")
        self._ensure_built(found.shape)
        self._ensure_optimizer()
        self._divergence_watch().reset()
        return super().train_on_batch(gate.dense(found.x), found.y, found.weight, *args, **kwargs)

    def test_on_batch(self, x: Any, y: Any = None, sample_weight: Any = None, *args: Any, **kwargs: Any) -> Any:
        """Evaluates one array; see `keras.Model.test_on_batch` for all arguments.

        Raises:
            ValueError: As `evaluate`.
        """
        found = gate.validated(self, x, y, sample_weight, labels="test_on_batch(x)")
        self._ensure_built(found.shape)
        return super().test_on_batch(gate.dense(found.x), found.y, found.weight, *args, **kwargs)

    def predict_on_batch(self, x: Any) -> Any:
        """Returns x' of one array; see `keras.Model.predict_on_batch`.

        Raises:
            ValueError: As `predict`.
        """
        return super().predict_on_batch(gate.samples(self, x))

    def predict(self, x: Any, *args: Any, **kwargs: Any) -> Any:
        """Returns x' of large data, batch by batch; see `keras.Model.predict` for all arguments.

        x is an array, (n, *input_shape), or a data set of batches of samples; x' a NumPy array, (n, *input_shape).

        Raises:
            ValueError: If there are no samples, they are not floating-point, not finite, or of another shape than the
                model takes.
        """
        found = gate.validated(self, x, labels="predict(x)", compared=False)
        self._ensure_built(found.shape)  # in a replica it would be too late
        with gate.readable_errors():
            return super().predict(found.x, *args, **kwargs)

    def default_callbacks(self) -> list[keras.callbacks.Callback]:
        """Returns the callbacks that `fit` puts before all others.

        They come first because a checkpoint at an epoch's end must find that epoch counted.
        """
        return [_EpochClock()]

    def _set_modes(self, callbacks: Any) -> None:
        """Tells Keras' callbacks whether a term or a measure is to fall or to rise, which they know of metrics only."""
        modes = {**dict.fromkeys(("loss", "regularization", *self.term_names), "min"), **self.metric_modes}
        for callback in getattr(callbacks, "callbacks", callbacks):
            mode = modes.get(str(getattr(callback, "monitor", None)).removeprefix("val_"))
            if mode and getattr(callback, "mode", None) == "auto":
                callback.mode = mode

    def update_schedules(self) -> None:
        """Sets every scheduled value to that of the epoch in hand; `fit` calls it at the start of each."""
        epoch = int(self.epoch.value.numpy())
        for layer in self._flatten_layers():
            if isinstance(layer, Scheduled):
                layer.move_to(epoch)
        optimizer = getattr(self.optimizer, "inner_optimizer", self.optimizer)
        if isinstance(optimizer, optimizers.ScheduledSGD):
            optimizer.move_to(epoch)

    # === Verbs of an autoencoder ===

    def encode(self, x: Any) -> Any:
        """Returns the code z of x. For a large array: `model.encoder.predict(x)`.

        Args:
            x: (batch, *input_shape), floating-point.

        Returns:
            (batch, latent_dim).

        Raises:
            ValueError: If x is no array of floating-point numbers, or of another shape than the model was built for.
        """
        x = self._input(x)  # which makes the encoder of a model that has none yet
        return self.encoder(x, training=False)

    def decode(self, z: Any) -> Any:
        """Returns the reconstruction x' of a code.

        Args:
            z: (batch, latent_dim).

        Returns:
            (batch, *input_shape).

        Raises:
            ValueError: If the model has not been built, or z is of another shape than its codes.
        """
        _validation.check_built(self)
        return self.decoder(ops.convert_to_tensor(gate.codes(self, z)), training=False)

    def reconstruct(self, x: Any) -> Any:
        """Returns x', `decode(encode(x))`, with the shape of x. For a large array: `model.predict(x)`."""
        return self.decode(self.encode(x))

    def score_samples(self, x: Any) -> Any:
        """Returns how anomalous each sample is, by default its reconstruction error: higher is more anomalous.

        The estimator `aezoo.evaluation.AnomalyDetector` follows scikit-learn: its `score_samples` is minus this one,
        lower for anomalies.

        A model of values in [0, 1] has no error for others (the cross-entropy, a free energy fall without bound there).
        It scores the nearest sample inside, and adds twice the squared distance to it, by which the cross-entropy grows
        at least inside (Pinsker's inequality).

        Args:
            x: (batch, *input_shape), floating-point.

        Returns:
            (batch,) float32, in the units of the loss that the model was trained with.

        Raises:
            ValueError: As `encode`.
        """
        x = self._input(x)
        if not self.scores_probabilities:
            return self.scores(x)
        inside = ops.clip(x, 0.0, 1.0)
        outside = losses.SquaredError().call(x, inside)
        return self.scores(inside) + 2.0 * outside

    @property
    def scores_probabilities(self) -> bool:
        """Whether scores are defined for samples in [0, 1] alone."""
        return losses.needs_probabilities(self.reconstruction_loss)

    def scores(self, x: Any) -> Any:
        """Returns the score of each sample; a variant with another one than its reconstruction error overrides this.

        Args:
            x: (batch, *input_shape), a tensor that `score_samples` has checked.

        Returns:
            (batch,) float32.
        """
        return losses.per_sample(self.reconstruction_loss, x, self.reconstruct(x))[0]

    def interpolate(self, x_a: Any, x_b: Any, steps: int = 10) -> Any:
        """Decodes the straight line between the codes of two samples.

        Args:
            x_a: (batch, *input_shape), where the paths start.
            x_b: (batch, *input_shape), where they end.
            steps: Number of points on each path, both ends included, at least 2.

        Returns:
            (batch, steps, *input_shape).

        Raises:
            ValueError: As `encode`, and if there are not as many ends as starts.
        """
        _validation.check_int("steps", steps, 2)
        a, b = self.encode(x_a), self.encode(x_b)
        if a.shape != b.shape:
            raise ValueError(f"A path needs as many ends as starts, but there are {len(b)} and {len(a)}.")
        return ops.stack([self.decode(a + (b - a) * (i / (steps - 1))) for i in range(steps)], axis=1)

    def _input(self, x: Any, compared: bool = False) -> Any:
        x = ops.convert_to_tensor(gate.samples(self, x, compared=compared), dtype=self.variable_dtype)
        self._ensure_built(x.shape)
        return x

    # === Saving ===

    def save(self, filepath: Any, *args: Any, **kwargs: Any) -> None:
        """Writes the model, its optimizer and its state to a `.keras` file; see `keras.Model.save` for all arguments.

        Raises:
            ValueError: If the file is to be HDF5, of which Keras makes no model of a class of one's own again.
        """
        if str(filepath).endswith((".h5", ".hdf5")):
            raise ValueError(
                f"A model in {str(filepath)!r} could not be loaded again, since Keras makes only its own classes from "
                "HDF5: save it as .keras, or its weights alone with save_weights('model.weights.h5')."
            )
        super().save(filepath, *args, **kwargs)

    @classmethod
    def from_preset(cls, preset: Any) -> Autoencoder:
        """Loads a trained model, ready for its verbs; `compile` it to train on.

        Args:
            preset: A name of `aezoo.list_presets()`, a folder that `save_to_preset` wrote, or what
                `keras.saving.load_model` takes, a `.keras` file or "hf://USER/REPOSITORY".

        Returns:
            The model, of this class or of one that extends it: `aezoo.Autoencoder.from_preset` loads any.

        Raises:
            FileNotFoundError: If it is found nowhere; the message says where it was looked for.
            ValueError: If its file is damaged, has weights that are not finite or far fewer than the model needs, or it
                is of another class.
        """
        return presets.load(cls, preset)

    def save_to_preset(self, preset_dir: Any, half: bool = False) -> None:
        """Writes a folder that `from_preset` loads: `model.keras`, without optimizer and loss, and `card.json`.

        Args:
            preset_dir: The folder; that of another preset is replaced, if it has no other files in it.
            half: Whether kernels are stored in half precision, half the size. They are float32 again when loaded.

        Raises:
            ValueError: If the model has not been built: fit it, or call it on a batch. Or if a weight is not finite.
            FileExistsError: If the folder has other things in it.
        """
        _validation.check_built(self)
        with _files.atomic_write(preset_dir, presets.foreign) as folder:
            folder.mkdir()
            presets.save(self, folder, half)
            presets.write_card(folder, presets.card(self))

    def export(self, filepath: Any, format: str = "tf_saved_model", *, warmup: Any = True, **kwargs: Any) -> None:
        """Writes the model for inference elsewhere.

        Args:
            filepath: Where to. A SavedModel is a folder; TensorFlow Serving wants a number as its name. One that this
                method wrote, as `assets.extra/aezoo.json` in it says, is replaced if it has no other files in it.
            format: "tf_saved_model" writes the signatures of `signatures` (`serving_default`, `encode`, `decode`,
                `score`), for any batch size; they refuse inputs of another shape, NaN and infinity. Other formats
                ("onnx", "litert", ...) are Keras' own, with `reconstruct`.
            warmup: Whether a SavedModel carries requests that TensorFlow Serving runs when it loads it, so that the
                first call is as fast as the others; or the samples to make them of, (n, *input_shape), where those of
                users have other sizes than the made-up ones.
            **kwargs: Passed to `keras.Model.export` for other formats. A SavedModel takes `half=True`, which stores its
                kernels in half precision.

        Raises:
            ValueError: If the model has not been built: fit it, or call it on a batch.
            FileExistsError: If the folder of a SavedModel has other things in it.
            ImportError: If a package is missing that another format takes.
        """
        _validation.check_built(self)
        if format == "tf_saved_model":
            export.saved_model(self, filepath, warmup=warmup, **kwargs)
        else:
            if format == "onnx" and not all(map(importlib.util.find_spec, ("onnx", "tf2onnx"))):
                raise ImportError("The export to ONNX needs onnx and tf2onnx: pip install 'aezoo[onnx]'")
            self(ops.zeros((1, *self.x_shape), dtype=self.variable_dtype))  # Keras wants it called once since loading
            super().export(filepath, format=format, **kwargs)

    def signatures(self) -> dict[str, tuple[Any, dict[str, tf.TensorSpec], str]]:
        """Returns what a SavedModel offers: by name, a function, its named inputs and the name of its output."""
        x = {"x": tf.TensorSpec((None, *self.x_shape), self.variable_dtype, name="x")}
        z = {"z": tf.TensorSpec((None, *self.code_shape), self.variable_dtype, name="z")}
        signatures = {
            "serving_default": (self.reconstruct, x, "reconstruction"),
            "encode": (self.encode, x, "code"),
            "decode": (self.decode, z, "reconstruction"),
            "score": (self.score_samples, x, "score"),
        }
        if self.compiled and self._compile_config.config.get("loss") is not None:
            try:
                self.score_samples(self.dummy_inputs(2))
            except losses.NoScores as error:
                warnings.warn(f"The model is exported without the signature 'score'. {error}", stacklevel=2)
                del signatures["score"]
            except Exception:  # it does not take made-up samples
                pass
        return signatures

    def dummy_inputs(self, n: int) -> Any:
        """Returns n made-up samples that the model takes, (n, *input_shape), with 64 for a size that may be any."""
        return ops.ones((n, *(size or 64 for size in self.x_shape)), dtype=self.variable_dtype)

    def write_extra_assets(self, folder: Path) -> None:
        """Writes what a variant has to add to `assets.extra` in the folder of a SavedModel."""

    def get_config(self) -> dict[str, Any]:
        """Returns every constructor argument."""
        config = super().get_config()
        of_layers = ("dropout", "normalization", "kernel_size", "upsampling", "residual")
        for name in ("latent_dim", "hidden_dims", "filters", *of_layers, "tied", "seed", "on_divergence"):
            config[name] = getattr(self, name)
        for name in ("activation", "code_activation", "output_activation"):
            value = getattr(self, name)
            config[name] = keras.activations.serialize(value) if callable(value) else value
        for name, network in (("encoder", self._given_encoder), ("decoder", self._given_decoder)):
            config[name] = None if network is None else keras.saving.serialize_keras_object(network)
        if ties := dense_transpose.ties(self._given_encoder, self._given_decoder):
            config["ties"] = ties
        return config

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Autoencoder:
        """Makes a model from what `get_config` returned."""
        config = dict(config)
        for name in ("encoder", "decoder"):
            if isinstance(config.get(name), dict):
                config[name] = keras.saving.deserialize_keras_object(config[name])
        dense_transpose.tie_again(config.pop("ties", []), config.get("encoder"), config.get("decoder"))
        return cls(**config)


def _prepend(own: list[keras.callbacks.Callback], callbacks: Any) -> Any:
    if isinstance(callbacks, keras.callbacks.CallbackList):
        kinds = {type(callback) for callback in own}
        there = [callback for callback in callbacks.callbacks if type(callback) not in kinds]
        callbacks.callbacks[:] = own + there  # of an earlier fit, the list may hold ours already
        callbacks.set_model(callbacks.model)
        return callbacks
    return own + (keras.tree.flatten(callbacks) if callbacks else [])
