"""The base class of all variants: encoder and decoder, objective, verbs, saving and export."""

from __future__ import annotations

import functools
import inspect
import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from aezoo import _docstrings, _files, _keras, _validation, losses
from aezoo._numerics import as_float32
from aezoo._typing import Activation, ArrayLike, Data, Self, Shape, Tensor
from aezoo.layers import dense_transpose, mirroring, networks
from aezoo.preprocessing.base import Preprocessing
from aezoo.saving import conversion, export, presets
from aezoo.training import arguments, gate, inference
from aezoo.training.batch import Batch
from aezoo.training.forward import Forward
from aezoo.training.gate import Spec
from aezoo.training.trainer import Trainer

if TYPE_CHECKING:
    import matplotlib.figure

    from aezoo.cli.defaults import Training


@keras.saving.register_keras_serializable("aezoo")
class Autoencoder(Trainer):
    """Autoencoder: z = σ(Wx + b), x' = σ'(W'z + b'), trained to reconstruct x; optionally deep, tied or convolutional.

    Unless you pass an `encoder` and a `decoder`, the model builds them on the first batch: an MLP with `hidden_dims`,
    preceded by convolutions if `filters` are given, and a decoder that mirrors it. Training minimizes a sum of named
    terms. This class has one, `reconstruction`; variants add their own.

    Args:
        latent_dim: Number of code units.
        hidden_dims: Units of the hidden layers, from the input to the code; the decoder mirrors them.
        filters: Channels of convolutions of stride 2, from the input to the code; the decoder mirrors them. Samples are
            (..., channels); for images without channels, such as (28, 28), a warning recommends `x[..., None]`.
        activation: σ of hidden layers, and of the code unless `code_activation` is given.
        code_activation: σ of the code.
        output_activation: σ' of the reconstruction.
        dropout: Fraction of the units of each hidden layer that a training step sets to 0, in [0, 1).
        normalization: "batch" or "layer" to normalize each hidden layer before its activation, or None.
        kernel_size: Size of the kernels of convolutions.
        upsampling: How the decoder doubles the size of an image: "transpose" uses a transposed convolution, "resize"
            repeats pixels before a convolution, which avoids checkerboard artifacts.
        residual: Number of residual blocks, of two convolutions each, after every convolution of `filters`.
        tied: Whether the decoder uses the transposed kernels of the encoder, W' = Wᵀ.
        encoder: A Keras model from x to z that replaces `latent_dim`, `hidden_dims` and `filters`.
        decoder: A Keras model from z to x'. None mirrors the encoder, layer by layer.
        seed: Seed of initial weights and of noise. Shuffling in `fit` follows `keras.utils.set_random_seed`.
        on_divergence: What to do when the loss or a gradient of a training step is not finite. The step is never
            applied. "raise" ends `fit` with a ValueError that names the term; "warn" warns once and continues with the
            next batch.
        missing: How to treat missing values, which are NaN in the samples. "error" rejects them. "mask" replaces each
            by the mean of its feature over the training data and excludes it from the error. "learn" replaces each by
            a trained value per feature that starts at this mean.
        preprocessing: Fitted `aezoo.preprocessing`, such as `aezoo.datasets.from_table(path).preprocessing`. The model
            then also accepts raw data, is saved with it, and its exports take and return raw values.
        **kwargs: `name` and `dtype` of `keras.Model`; float64 is not supported.

    Raises:
        ValueError: If neither `latent_dim` nor `encoder` is given, arguments contradict each other, or the dtype is
            float64.

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

    fixed_arguments: tuple[str, ...] = ()
    """Names of inherited constructor arguments that a variant fixes and does not accept."""

    __signature__ = _docstrings.FullSignature()
    _given_arguments: frozenset[str] = frozenset()

    encoder: keras.Model | Any
    """The network from x to z. None before the model is built, unless you passed one."""
    decoder: keras.Model | Any
    """The network from z to x'. None before the model is built, unless you passed one."""
    latent_dim: int | Any
    """The number of code units; None if you passed an encoder."""
    code_shape: Shape
    """The shape of a code; available after the model is built."""

    def __init_subclass__(cls, **kwargs: Any):
        super().__init_subclass__(**kwargs)
        _docstrings.describe_inherited_arguments(cls)

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        model = super().__new__(cls, *args, **kwargs)
        # Keras would track an attribute, and refuses one before `Layer.__init__`.
        object.__setattr__(model, "_given_arguments", arguments.given(cls, args, kwargs))
        return model

    def __reduce__(self) -> tuple[Any, ...]:
        # Keras pickles and copies a model by its configuration, where arguments that were left out have derived values.
        return (*super().__reduce__(), {"_given_arguments": self._given_arguments})

    def __init__(
        self,
        latent_dim: int | None = None,
        *,
        hidden_dims: Sequence[int] = (),
        filters: Sequence[int] = (),
        activation: Activation = "relu",
        code_activation: Activation | None = None,
        output_activation: Activation = "sigmoid",
        dropout: float = 0.0,
        normalization: networks.Normalization | None = None,
        kernel_size: int = 3,
        upsampling: networks.Upsampling = "transpose",
        residual: int = 0,
        tied: bool = False,
        encoder: keras.Model | None = None,
        decoder: keras.Model | None = None,
        seed: int | None = None,
        on_divergence: Literal["raise", "warn"] = "raise",
        missing: Literal["error", "mask", "learn"] = "error",
        preprocessing: Preprocessing | None = None,
        **kwargs: Any,
    ):
        super().__init__(seed=seed, on_divergence=on_divergence, missing=missing, preprocessing=preprocessing, **kwargs)
        _validation.check_network_arguments(latent_dim, hidden_dims, filters, encoder, decoder, tied)
        _validation.check_hidden_layers(
            hidden_dims, filters, encoder, tied, dropout, normalization, kernel_size, upsampling, residual
        )
        for function in (activation, code_activation, output_activation):
            keras.activations.get(function)  # raises a ValueError for an unknown activation
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
        self.encoder = self._given_encoder = encoder
        self.decoder = self._given_decoder = decoder
        self._count_of_code_layers = 0
        self._verbs = inference.Verbs(self)

    def __repr__(self) -> str:
        """Return the call that makes the model, with the arguments that differ from their defaults."""
        try:
            return arguments.shown(self)
        except Exception:  # such as a function that cannot be saved, or a model that is not initialized yet
            return super().__repr__()

    # === Networks ===

    @property
    def input_dtype(self) -> str:
        """The dtype of samples: an integer dtype if you passed an encoder of tokens, otherwise `variable_dtype`."""
        if self._given_encoder is None:
            return self.variable_dtype
        named = networks.named_inputs(self._given_encoder)
        inputs = [named.get("x")] if named else getattr(self._given_encoder, "inputs", None)
        dtype = getattr(inputs[0], "dtype", "") if inputs else ""
        return dtype if "int" in dtype else self.variable_dtype

    @property
    def output_bounds(self) -> tuple[float, float] | None:
        """The smallest and largest value that a reconstruction can have, or None if it is unbounded."""
        activation = self.output_activation if self.decoder is None else networks.output_activation(self.decoder)
        activation = keras.activations.get(activation)
        if activation is keras.activations.sigmoid:
            return 0.0, 1.0
        return super().output_bounds or ((-1.0, 1.0) if activation is keras.activations.tanh else None)

    @property
    def decodes_to_any_shape(self) -> bool:
        """True if targets may have any shape, because you passed the decoder."""
        return self._given_decoder is not None

    def build(self, input_shape: Shape | Any) -> None:
        """Build encoder and decoder.

        Args:
            input_shape: Shape of a batch, (batch, ...); or a dict with the shape of "x" and of each condition.
        """
        x_shape = self._with_condition_specs(input_shape)
        code_layers = self.code_layers()
        if self.encoder is None:
            _validation.check_known_shape(x_shape)
            self.encoder = self.build_encoder(x_shape)
        self._check_conditions("encoder", self.encoder)
        inputs = self._symbolic_inputs(x_shape)
        if code_layers:
            self._count_of_code_layers = len(code_layers)
            features = _validation.call_network("encoder", self.encoder, self._taken(self.encoder, inputs))
            if self.condition_names:
                code = features
                for layer in code_layers:
                    code = layer(code)
                self.encoder = keras.Model(self._taken(self.encoder, inputs), code, name="encoder")
            else:
                x = keras.Input(x_shape, dtype=inputs.dtype if "int" in inputs.dtype else None)
                self.encoder = keras.Sequential([x, self.encoder, *code_layers], name="encoder")
        code = _validation.call_network("encoder", self.encoder, self._taken(self.encoder, inputs))
        y_shape = x_shape if self._target_shape is None else self._target_shape
        if self.decoder is None:
            self.decoder = self.build_decoder(y_shape)
        networks.carry_logits(self.decoder)
        self._check_conditions("decoder", self.decoder)
        codes = {"z": code, **{name: inputs[name] for name in self.condition_names}} if self.condition_names else code
        reconstruction = _validation.call_network("decoder", self.decoder, self._taken(self.decoder, codes))
        self.code_shape = tuple(code.shape[1:])
        self.x_shape = x_shape
        self.y_shape = tuple(reconstruction.shape[1:])
        if self._given_decoder is None or self._target_shape is not None:
            _validation.check_reconstruction_shape(y_shape, self.y_shape)
        self.make_trackers()

    def _with_condition_specs(self, input_shape: Shape | Any) -> Shape:
        """Record the shapes of the conditions and return the shape of a sample."""
        shapes = input_shape if isinstance(input_shape, Mapping) else {"x": input_shape}
        for name in self.condition_names:
            if name not in self.condition_specs:
                shape = tuple(shapes.get(name, (None,))[1:])
                self.condition_specs[name] = Spec(shape, self.variable_dtype if shape else "int32")
        return tuple(shapes["x"][1:])

    def _check_conditions(self, role: str, network: keras.layers.Layer) -> None:
        """Check that a network takes conditions of the shapes and dtypes that the data have."""
        taken = networks.named_inputs(network) or {}
        unknown = sorted(taken.keys() - {"x", "z", *self.condition_names})
        if unknown and self.condition_names:
            raise ValueError(
                f"The {role} takes {', '.join(map(repr, unknown))}: name its inputs 'x' (samples), 'z' (codes) or as "
                f"in condition_names, {', '.join(map(repr, self.condition_names))}."
            )
        for name in taken.keys() & set(self.condition_names):
            _validation.check_condition(name, self.condition_specs[name], Spec.of(taken[name]))

    def _symbolic_inputs(self, x_shape: Shape) -> Tensor:
        """Return a symbolic sample; for a model with conditions, a dict of the sample and the conditions."""
        dtype = self.input_dtype if "int" in self.input_dtype else self.compute_dtype
        if not self.condition_names:
            return keras.Input(x_shape, dtype=dtype)
        specs = {"x": Spec(x_shape, dtype), **{name: self.condition_specs[name] for name in self.condition_names}}
        return {name: keras.Input(spec.shape, dtype=spec.dtype, name=name) for name, spec in specs.items()}

    @staticmethod
    def _taken(network: keras.Model, inputs: Tensor) -> Tensor:
        """Return the entries of a dict of inputs that a network names; if it names none, the first entry alone."""
        if not isinstance(inputs, Mapping):
            return inputs
        names = networks.named_inputs(network)
        return next(iter(inputs.values())) if names is None else {name: inputs[name] for name in names}

    def _run(
        self, network: Any, name: str, values: Tensor, conditions: Mapping[str, Any] | None, training: bool
    ) -> Tensor:
        """Return the output of a network for samples "x" or codes "z", and conditions."""
        inputs = {name: values, **conditions} if conditions else values
        return network(self._taken(network, inputs), training=training)

    def run_encoder(self, x: Tensor, conditions: Mapping[str, Any] | None = None, training: bool = False) -> Tensor:
        """Return the encoder's output for samples and conditions, without checks, so that it also runs in a graph.

        Args:
            x: Samples, (batch, *input_shape).
            conditions: Conditions by name, one entry per sample.
            training: Whether this is a training step.
        """
        return self._run(self.encoder, "x", x, conditions, training)

    def run_decoder(self, z: Tensor, conditions: Mapping[str, Any] | None = None, training: bool = False) -> Tensor:
        """Return the decoder's output for codes and conditions, without checks, so that it also runs in a graph.

        Args:
            z: Codes, (batch, *code_shape).
            conditions: Conditions by name, one entry per code.
            training: Whether this is a training step.
        """
        return self._run(self.decoder, "z", z, conditions, training)

    def features(self, x: Tensor, training: bool = False, **conditions: Tensor) -> Tensor:
        """Return the input of the variant's code layers; without code layers, return the code.

        Args:
            x: Samples, (batch, *input_shape).
            training: Whether this is a training step.
            **conditions: Conditions by name, one entry per sample.
        """
        if not self._count_of_code_layers:
            return self.run_encoder(x, conditions, training)
        return self._run(self.encoder.layers[-1 - self._count_of_code_layers], "x", x, conditions, training)

    def code_layers(self) -> list[keras.layers.Layer]:
        """Return the layers that a variant appends to the encoder."""
        return []

    def build_encoder(self, x_shape: Shape, *args: Any, **kwargs: Any) -> keras.Model:
        """Build the encoder if you passed none.

        Args:
            x_shape: Shape of a sample.
            *args: Unused; an override may take the shape alone.
            **kwargs: Further arguments for `aezoo.layers.encoder`.

        Returns:
            A built Keras model, (batch, *x_shape) → (batch, latent_dim).
        """
        return networks.encoder(
            x_shape,
            self.latent_dim,
            *args,
            hidden_dims=self.hidden_dims,
            code_activation=self.activation if self.code_activation is None else self.code_activation,
            **self._network_arguments(),
            **kwargs,
        )

    def build_decoder(self, x_shape: Shape, *args: Any, **kwargs: Any) -> keras.Model:
        """Build the decoder if you passed none. The encoder already exists.

        Args:
            x_shape: Shape of a sample.
            *args: Unused; an override may take the shape alone.
            **kwargs: Further arguments for `aezoo.layers.decoder`.

        Returns:
            A built Keras model, (batch, latent_dim) → (batch, *x_shape).
        """
        if self.tied:
            return networks.transpose(self.encoder, self.output_activation, dtype=self.dtype_policy)
        if self._given_encoder is not None:
            shape = getattr(self.encoder, "input_shape", (None, *x_shape))[1:]
            return mirroring.mirror(self.encoder, shape, self.output_activation, self.seed, self.dtype_policy)
        return networks.decoder(
            x_shape,
            kwargs.pop("latent_dim", self.latent_dim),
            *args,
            hidden_dims=self.hidden_dims,
            output_activation=self.output_activation,
            upsampling=self.upsampling,
            **self._network_arguments(),
            **kwargs,
        )

    def _network_arguments(self) -> dict[str, Any]:
        """Return the arguments that `aezoo.layers.encoder` and `aezoo.layers.decoder` share."""
        names = ("filters", "activation", "dropout", "normalization", "kernel_size", "residual", "seed")
        return {**{name: getattr(self, name) for name in names}, "dtype": self.dtype_policy}

    # === The objective ===

    def penalties(self, batch: Batch, forward: Forward) -> dict[str, Any]:
        """Return the terms that a variant adds to the reconstruction error, by name.

        Args:
            batch: The batch, with the means to reduce a term by. Each term is this replica's part of the global mean.
            forward: Outputs of encoder and decoder: `features`, `code`, `y_pred`; and `training`, whether this is a
                training step.

        Returns:
            Float32 scalars, one for each name in `term_names` except "reconstruction", and in `metric_names`.
        """
        return {}

    def forward(self, batch: Batch, training: bool) -> Forward:
        """Run encoder and decoder once.

        Args:
            batch: The batch.
            training: Whether this is a training step.
        """
        if not self._count_of_code_layers:
            code = features = self.run_encoder(batch.x, batch.conditions, training)
        else:
            code = features = self.features(batch.x, training, **batch.conditions)
            for layer in self.encoder.layers[-self._count_of_code_layers :]:
                takes_training = "training" in inspect.signature(layer.call).parameters
                code = layer(code, training=training) if takes_training else layer(code)
        return Forward(features, code, self.run_decoder(code, batch.conditions, training), training)

    def objective(self, batch: Batch, training: bool) -> tuple[dict[str, Any], Any]:
        forward = self.forward(batch, training)
        terms = {"reconstruction": self.reconstruction(batch, forward.y_pred), **self.penalties(batch, forward)}
        return terms, forward.y_pred

    def call(self, x: Tensor, training: bool = False) -> Tensor:
        """Return the reconstruction x' of x, with the shape of x or, if the model has other targets, their shape.

        Args:
            x: Samples, (batch, *input_shape), or a dict of "x" and the conditions by name.
            training: Whether this is a training step.
        """
        parts = gate.Rules.of(self, compared=False).parts(x)
        samples = parts.x if self.missing == "error" else self.complete(parts.x)[0]
        code = self.run_encoder(samples, parts.conditions, training)
        return self.run_decoder(code, parts.conditions, training)

    # === Verbs of an autoencoder ===

    def encode(self, x: Data, *, batch_size: int | None = None, **conditions: ArrayLike) -> Tensor:
        """Return the code z of x.

        Data of any length are encoded batch by batch, in a graph that is traced once and accepts any batch size.

        Args:
            x: Floating-point samples, (n, *input_shape), or a dict of "x" and the conditions; or batched data in any
                form that `fit` accepts: a `tf.data.Dataset`, a `PyDataset` or a generator. Targets are ignored.
            batch_size: Maximum number of samples processed at once; None derives it from the size of a sample.
            **conditions: Conditions by name, one entry per sample, or one for all.

        Returns:
            A tensor, (n, *code_shape).

        Raises:
            ValueError: If x is not a floating-point array of the shape that the model was built for, a condition is
                missing, or a data set is empty or infinite.
        """
        return self._verbs.run("encode", self._encode, x, conditions, batch_size)

    def decode(self, z: Data, *, batch_size: int | None = None, **conditions: ArrayLike) -> Tensor:
        """Return the reconstruction x' of a code.

        Args:
            z: Codes, (n, *code_shape); or a data set whose batches are codes, pairs (codes, condition), or dicts of "z"
                and the conditions.
            batch_size: As in `encode`.
            **conditions: Conditions by name, one entry per code, or one for all.

        Returns:
            A tensor, (n, *output_shape).

        Raises:
            ValueError: If the model has not been built, z does not have the shape of its codes, or a condition is
                missing.
        """
        return self._verbs.run("decode", self.run_decoder, z, conditions, batch_size, codes=True)

    def reconstruct(self, x: Data, *, batch_size: int | None = None, **conditions: ArrayLike) -> Tensor:
        """Return the reconstruction x' = `decode(encode(x))`, (n, *output_shape); see `encode` for the arguments."""
        return self._verbs.run("reconstruct", self._reconstruct, x, conditions, batch_size)

    def score_samples(self, x: Data, *, batch_size: int | None = None, **conditions: ArrayLike) -> Tensor:
        """Return an anomaly score per sample, by default the reconstruction error: higher is more anomalous.

        `aezoo.sklearn.AnomalyDetector` follows scikit-learn and has the opposite sign: its `score_samples` is lower for
        anomalies.

        Models of values in [0, 1] have no meaningful error for other values: the cross-entropy and the free energy fall
        without bound there. They score the nearest valid sample and add twice the squared distance to it, since inside
        [0, 1] the cross-entropy grows at least as fast (Pinsker's inequality). Models of counts treat negative values
        in the same way. Missing values do not contribute if the model accepts them.

        Args:
            x: As in `encode`.
            batch_size: As in `encode`.
            **conditions: Conditions by name, one entry per sample, or one for all.

        Returns:
            (n,) float32, in the units of the loss that the model was trained with.

        Raises:
            ValueError: As in `encode`, or if reconstructions and samples differ in shape and cannot be compared.
        """
        return self._verbs.run("score_samples", self._score, x, conditions, batch_size)

    def contributions(self, x: Data, *, batch_size: int | None = None, **conditions: ArrayLike) -> Tensor:
        """Return the contribution of each feature to the score of its sample, which shows why a sample is anomalous.

        The contributions of a sample sum to its `score_samples` if the score is the error of a loss that sums or
        averages over features, as all default losses do. Parts of the score that belong to no feature are left out: the
        contributions of a `VAE` sum to the score without the KL divergence. Missing values contribute 0.

        Args:
            x: As in `encode`.
            batch_size: As in `encode`.
            **conditions: Conditions by name, one entry per sample, or one for all samples.

        Returns:
            (n, *input_shape) float32, in the units of the loss.

        Raises:
            ValueError: As in `score_samples`, or if the score is no sum over features: the free energy of an `RBM`, or
                a loss that combines features.

        Example:
            >>> import numpy as np
            >>> model = Autoencoder(latent_dim=2)
            >>> x = np.random.default_rng(0).random((3, 5), "float32")
            >>> model.build(x.shape)
            >>> bool(np.allclose(np.sum(model.contributions(x), axis=1), model.score_samples(x)))
            True
        """
        for whole, part in (
            ("score_samples", "contributions"),
            ("scores", "feature_scores"),
            ("errors", "feature_errors"),
        ):
            of_whole, of_part = (next(cls for cls in type(self).__mro__ if name in vars(cls)) for name in (whole, part))
            if not issubclass(of_part, of_whole):
                raise ValueError(
                    f"{of_whole.__name__}.{whole} is no sum over features, so that features have no contributions: "
                    f"define {part} beside it if it is one."
                )
        return self._verbs.run("contributions", self._contributions, x, conditions, batch_size)

    def impute(self, x: Data, *, steps: int = 1, batch_size: int | None = None, **conditions: ArrayLike) -> Any:
        """Replace missing values of x by the model's expectation of them; observed values are unchanged.

        Missing values are NaN. The first step reconstructs x with missing values filled in as in training; each further
        step reconstructs the result of the step before, so that the code depends less and less on the filling.

        Args:
            x: As in `encode`.
            steps: Number of steps.
            batch_size: As in `encode`.
            **conditions: Conditions by name, one entry per sample, or one for all.

        Returns:
            x without missing values, a tensor, (n, *input_shape); raw data, such as a table, if x are raw data of the
            model's preprocessing.

        Raises:
            ValueError: As in `encode`, or if the model does not accept missing values, or its reconstructions differ in
                shape or units from the samples.

        Example:
            >>> import numpy as np
            >>> x = np.random.default_rng(0).random((32, 4), "float32")
            >>> x[::2, 0] = np.nan
            >>> model = Autoencoder(latent_dim=2, missing="mask")
            >>> model.compile(optimizer="adam")
            >>> history = model.fit(x, verbose=0)
            >>> complete = model.impute(x).numpy()
            >>> bool(np.isfinite(complete).all()), bool((complete[1::2] == x[1::2]).all())
            (True, True)
        """
        self._check_imputes()
        _validation.check_int("steps", steps, 1)
        function = functools.partial(self._impute, steps=steps)
        return self._in_form_of(x, self._verbs.run(f"impute {steps}", function, x, conditions, batch_size))

    def _in_form_of(self, x: Data, samples: Tensor) -> Any:
        """Return samples as raw data if x are raw data of the preprocessing, otherwise unchanged."""
        preprocessing = None if gate.is_symbolic(x) else self.preprocessing
        return samples if preprocessing is None or not preprocessing.is_raw(x) else preprocessing.restore(samples)

    @property
    def imputes(self) -> bool:
        """True if `impute` is defined: the model accepts NaN, and reconstructs samples in their own shape and units."""
        return self.missing != "error" and (not self.built or _validation.are_comparable(self))

    def _check_imputes(self) -> None:
        if not self.imputes:
            raise ValueError(
                f"{self.name!r} cannot impute: a model must be created with missing='mask' or missing='learn', and "
                "reconstruct samples in their own shape and units."
            )

    # The verbs on tensors that have been checked; these also run in a graph.

    def _encode(self, x: Tensor, conditions: Mapping[str, Any]) -> Tensor:
        return self.run_encoder(x if self.missing == "error" else self.complete(x)[0], conditions)

    def _reconstruct(self, x: Tensor, conditions: Mapping[str, Any]) -> Tensor:
        return self.run_decoder(self._encode(x, conditions), conditions)

    def _impute(self, x: Tensor, conditions: Mapping[str, Any], steps: int) -> Tensor:
        filled, observed = self.complete(x)
        mask = _keras.mask_of(filled)

        def step(_: Tensor, filled: Tensor) -> Tensor:
            if mask is not None:  # the padding of a sequence, which is no part of it when it is filled in either
                _keras.set_mask(filled, mask)
            return ops.where(observed, filled, ops.cast(self._reconstruct(filled, conditions), filled.dtype))

        return step(filled, filled) if steps == 1 else ops.fori_loop(0, steps, step, filled)

    def _score(self, x: Tensor, conditions: Mapping[str, Any]) -> Tensor:
        inside, outside, conditions = self._into_domain(x, conditions)
        scores = self.scores(inside, **conditions)
        if outside is None:
            return scores
        return scores + 2.0 * as_float32(ops.sum(outside, axis=tuple(range(1, len(x.shape)))))

    def _contributions(self, x: Tensor, conditions: Mapping[str, Any]) -> Tensor:
        inside, outside, conditions = self._into_domain(x, conditions)
        parts = self.feature_scores(inside, **conditions)
        return parts if outside is None else parts + 2.0 * as_float32(outside)

    def _into_domain(self, x: Tensor, conditions: Mapping[str, Any]) -> tuple[Any, Any, Mapping[str, Any]]:
        """Return the nearest samples that the score is defined for, squared distances to them and the conditions.

        The distances are per feature, or None if the score is defined for all samples; missing values are filled in,
        and the conditions then include the mask `observed`.
        """
        observed = None
        if self.missing != "error":
            x, observed = self.complete(x)
            conditions = {**conditions, "observed": observed}
        bounds = (0.0, 1.0) if self.scores_probabilities else losses.domain(self.reconstruction_loss)
        if bounds is None:
            return x, None, conditions
        inside = ops.clip(x, *bounds)
        distance = ops.square(x - inside)
        return inside, distance if observed is None else ops.where(observed, distance, 0.0), conditions

    @property
    def scores_probabilities(self) -> bool:
        """True if scores are defined only for samples in [0, 1]."""
        return losses.needs_probabilities(self.reconstruction_loss)

    def scores(self, x: Tensor, *, observed: Tensor | None = None, **conditions: Tensor) -> Tensor:
        """Return the score of each sample. Variants whose score is not the reconstruction error override this.

        Args:
            x: Samples that `score_samples` has checked, (batch, *input_shape), with missing values filled in.
            observed: Boolean mask of the values that count, (batch, *input_shape); None if all do.
            **conditions: Conditions by name, one entry per sample.

        Returns:
            (batch,) float32.
        """
        y_pred = self.run_decoder(self.run_encoder(x, conditions), conditions)
        return self.errors(x, y_pred, observed)

    def errors(self, x: Tensor, y_pred: Tensor, observed: Tensor | None = None) -> Tensor:
        """Return the reconstruction error of each sample, (batch,) float32.

        Args:
            x: Targets, (batch, *output_shape).
            y_pred: Reconstructions, (batch, *output_shape).
            observed: Boolean mask of the targets that count, with the shape of x; None if all do.

        Raises:
            ValueError: If samples cannot serve as targets because reconstructions have another shape, or if the loss
                has no error per sample.
        """
        _validation.check_comparable(self, x)
        return losses.per_sample(self.reconstruction_loss, x, y_pred, observed=observed)[0]

    def feature_scores(self, x: Tensor, *, observed: Tensor | None = None, **conditions: Tensor) -> Tensor:
        """Return the contribution of each feature to `scores`. Variants that override `scores` override this, too.

        Args:
            x: As in `scores`.
            observed: As in `scores`.
            **conditions: Conditions by name, one entry per sample.

        Returns:
            (batch, *input_shape) float32.
        """
        y_pred = self.run_decoder(self.run_encoder(x, conditions), conditions)
        return self.feature_errors(x, y_pred, observed)

    def feature_errors(self, x: Tensor, y_pred: Tensor, observed: Tensor | None = None) -> Tensor:
        """Return the contribution of each feature to `errors`, (batch, *output_shape) float32.

        Args:
            x: As in `errors`.
            y_pred: As in `errors`.
            observed: As in `errors`.

        Raises:
            ValueError: As in `errors`, or if the loss is not a sum or a mean over features.
        """
        _validation.check_comparable(self, x)
        return losses.per_feature(self.reconstruction_loss, x, y_pred, observed)

    def interpolate(
        self,
        x_a: ArrayLike,
        x_b: ArrayLike,
        steps: int = 10,
        *,
        batch_size: int | None = None,
        **conditions: ArrayLike,
    ) -> Tensor:
        """Decode the straight line between the codes of two samples.

        Args:
            x_a: Starts of the paths, (batch, *input_shape).
            x_b: Ends of the paths, (batch, *input_shape).
            steps: Number of points on each path, both ends included, at least 2.
            batch_size: As in `encode`.
            **conditions: Conditions by name, one entry per path, or one for all.

        Returns:
            (batch, steps, *output_shape).

        Raises:
            ValueError: As in `encode`, or if the numbers of starts and ends differ.
        """
        _validation.check_int("steps", steps, 2)
        given: dict[str, Any] = {**conditions, "batch_size": batch_size}
        a, b = self.encode(x_a, **given), self.encode(x_b, **given)
        if a.shape != b.shape:
            raise ValueError(f"Each path needs a start and an end, but there are {len(a)} starts and {len(b)} ends.")
        points = [self.decode(a + (b - a) * (i / (steps - 1)), **given) for i in range(steps)]
        return ops.stack(points, axis=1)

    def _input(self, x: Data) -> Tensor:
        """Check samples of a model without conditions and return them as one tensor; build the model if necessary."""
        return inference.whole(self, x).x

    # === Self-description ===

    data: str = "images"
    """Kind of samples: "images", or "sketches" as `aezoo.sketches.load` returns them."""
    reconstructs: bool = True
    """True if training compares x with x'; False if it maximizes a likelihood of x alone."""
    compresses: bool = False
    """True if the model writes codes as bytes: it has `compress`, `decompress` and `codec`."""
    interpolation: Literal["line", "arc"] = "line"
    """The path between two codes that `interpolate` decodes: "line", or "arc" around the origin."""

    @classmethod
    def cli_defaults(cls, training: Training) -> dict[str, Any]:
        """Return the default constructor arguments of `aezoo train`, which the user's arguments override.

        Arguments that the constructor does not accept are ignored. Weights are tied if possible: in so short a
        training, untied filters keep the noise of their initialization.

        Args:
            training: Describes the training to come: `given` has the arguments that the user gave, `samples` the number
                of training samples.

        Example:
            >>> from aezoo.cli.defaults import Training
            >>> Autoencoder.cli_defaults(Training(samples=1442))
            {'latent_dim': 32, 'tied': True}
        """
        own = any(
            getattr(cls, name) is not getattr(Autoencoder, name)
            for name in ("build_encoder", "build_decoder", "code_layers")
        )
        return {"latent_dim": 32, "tied": not own and not any(map(training.given.get, ("filters", "normalization")))}

    def report_measures(self, x: Tensor, code: Tensor) -> dict[str, Any]:
        """Return the metrics that `aezoo.evaluation.report` adds for this variant.

        Args:
            x: Samples, (batch, *input_shape).
            code: Codes of x, (batch, *code_shape).

        Returns:
            A dict from the metric's name to one value per sample, (batch,), whose mean is reported; or to the update of
            the metric that `tracker` creates for this name.
        """
        return {}

    def report_pictures(self, x: np.ndarray) -> dict[str, Callable[[], matplotlib.figure.Figure]]:
        """Return the pictures that `aezoo train` draws of a trained model.

        Args:
            x: Test samples, (n, *input_shape).

        Returns:
            A dict from a file name, NAME.png, to a function that draws the figure. If the function raises `ValueError`,
            the picture is skipped.

        Example:
            >>> import numpy as np
            >>> model = Autoencoder(latent_dim=2)
            >>> model.build((None, 4, 4, 1))
            >>> sorted(model.report_pictures(np.zeros((3, 4, 4, 1), "float32")))
            ['filters.png', 'reconstructions.png']
        """
        from aezoo import plots

        pictures: dict[str, Callable[[], matplotlib.figure.Figure]] = {
            "reconstructions.png": lambda: plots.reconstructions(self, x)
        }
        if self.preprocessing is None or len(self.preprocessing.sample_shape) == 3:  # not of a table or a series
            pictures["filters.png"] = lambda: plots.filters(self)
        return pictures

    def quantize(self, *args: Any, **kwargs: Any) -> None:
        """Quantize the kernels to fewer bits; see `keras.Model.quantize`."""
        super().quantize(*args, **kwargs)
        self._verbs.forget()
        self._predicts = None

    # === Saving ===

    @classmethod
    def from_preset(cls, preset: str | os.PathLike[str]) -> Self:
        """Load a trained model, ready to use; call `compile` to continue training.

        Args:
            preset: A name from `aezoo.list_presets()`, a folder written by `save_to_preset`, or anything that
                `keras.saving.load_model` accepts: a `.keras` file or "hf://USER/REPOSITORY".

        Returns:
            The model, an instance of this class or of a subclass. `aezoo.Autoencoder.from_preset` loads any model.

        Raises:
            FileNotFoundError: If the preset is not found; the message lists the places that were searched.
            ValueError: If the file is damaged, its weights are not finite or far fewer than the model needs, or the
                model belongs to another class.
        """
        return presets.load(cls, preset)

    def save_to_preset(self, preset_dir: str | os.PathLike[str], half: bool = False) -> None:
        """Write a folder for `from_preset`: `model.keras`, without optimizer and loss, and `card.json`.

        Args:
            preset_dir: The folder. An existing preset is overwritten, unless its folder contains other files.
            half: Whether to store kernels in half precision, which halves the size. They are loaded as float32.

        Raises:
            ValueError: If the model has not been built (fit it, or call it on a batch), or a weight is not finite.
            FileExistsError: If the folder contains other files.
        """
        _validation.check_built(self)
        with _files.atomic_write(preset_dir, presets.foreign) as folder:
            folder.mkdir()
            presets.save(self, folder, half)
            presets.write_card(folder, presets.card(self))

    def export(  # type: ignore[override]
        self,
        filepath: str | os.PathLike[str],
        format: str = "tf_saved_model",
        *,
        signatures: str | Sequence[str] | None = None,
        warmup: bool | Data = True,
        preprocessing: bool = True,
        **kwargs: Any,
    ) -> None:
        """Export the model for inference, for any batch size, with one signature per verb.

        Inputs are named `x` or `z`, and each condition by its name; outputs are `reconstruction`, `code`, `score` and
        `imputed`.

        - "tf_saved_model" writes a folder with `serving_default` (`reconstruct`), `encode`, `decode` and `score`, which
          reject inputs of the wrong shape, NaN and infinity. A model that accepts missing values also has `impute`,
          and takes NaN. TensorFlow Serving requires the folder's name to be a number.
        - "onnx" writes `NAME.onnx` with `reconstruct` or the requested signature. If the path is a folder, it writes
          `reconstruct.onnx`, `encode.onnx`, `decode.onnx` and `score.onnx`. It requires `aezoo[onnx]`.
        - "litert" writes `NAME.tflite` with all signatures by name, except `sample`. `quantize=x[:200]` computes in
          8-bit integers; `aezoo.evaluation.litert_error` measures the difference.
        - Other formats are Keras' own and contain `reconstruct`.

        A model with `preprocessing` takes the raw values by name in place of `x`, such as one input per column of a
        table, and returns reconstructions in raw units under the same names. ONNX and LiteRT refuse strings.

        Earlier exports are overwritten, but not a folder that contains other files.

        Args:
            filepath: Path of the file or folder to write.
            format: Name of the format.
            signatures: Names of the signatures for ONNX and LiteRT; None exports those listed above.
            warmup: Whether a SavedModel contains requests that TensorFlow Serving runs when it loads the model, so that
                the first call is as fast as later ones. Or samples to build these requests from, (n, *input_shape) or a
                dict of samples and conditions, if users' samples differ in size from the dummy ones.
            preprocessing: Whether the model's preprocessing is part of the export.
            **kwargs: Options of the format: for a SavedModel `half=True`, which stores kernels in half precision; for
                ONNX `opset_version`; for LiteRT `quantize`, typical samples, and attributes of
                `tf.lite.TFLiteConverter`; `verbose`; and arguments of `keras.Model.export`. With `input_signature`,
                Keras exports `reconstruct` alone.

        Raises:
            ValueError: If the model has not been built (fit it, or call it on a batch), or a signature cannot be
                converted.
            FileExistsError: If the folder of a SavedModel or of ONNX files contains other files.
            ImportError: If a package that the format requires is not installed.

        Example:
            ```python
            model.export("served/sparse/1")  # TensorFlow Serving
            model.export("sparse.onnx", format="onnx", signatures="encode")
            model.export("sparse", format="onnx")  # sparse/encode.onnx, sparse/decode.onnx, ...
            model.export("sparse.tflite", format="litert")
            model.export("small.tflite", format="litert", quantize=x[:200])
            ```
        """
        _validation.check_built(self)
        converters: dict[str, Callable[..., None]] = {"onnx": conversion.onnx, "litert": conversion.litert}
        if format in converters and "input_signature" not in kwargs:
            converters[format](self, filepath, signatures, preprocessing=preprocessing, **kwargs)
        elif signatures is not None:
            raise ValueError(f"Signatures can be chosen for 'onnx' and 'litert', not for {format!r}: leave them out.")
        elif format == "tf_saved_model":
            export.saved_model(self, filepath, warmup=warmup, preprocessing=preprocessing, **kwargs)
        else:
            x, conditions = self.dummy_inputs(1), self.dummy_conditions(1)
            self({"x": x, **conditions} if conditions else x)  # Keras requires one call after loading
            super().export(filepath, format=format, **kwargs)

    def signatures(self) -> dict[str, tuple[Any, dict[str, tf.TensorSpec], str]]:
        """Return the signatures of a SavedModel, by name: a function, its named inputs and the name of its output."""
        conditions = {
            name: tf.TensorSpec((None, *spec.shape), spec.dtype, name=name)
            for name, spec in self.condition_specs.items()
        }
        x = {"x": tf.TensorSpec((None, *self.x_shape), self.input_dtype, name="x"), **conditions}
        z = {"z": tf.TensorSpec((None, *self.code_shape), self.variable_dtype, name="z"), **conditions}

        def named(verb: Tensor) -> Tensor:
            return lambda first, *values: verb(first, **dict(zip(conditions, values, strict=True)))

        signatures = {
            "serving_default": (named(self.reconstruct), x, "reconstruction"),
            "encode": (named(self.encode), x, "code"),
            "decode": (named(self.decode), z, "reconstruction"),
            "score": (named(self.score_samples), x, "score"),
        }
        if not _validation.are_comparable(self):
            del signatures["score"]
        elif _keras.compile_arguments(self).get("loss") is not None:
            try:
                self.score_samples(self.dummy_inputs(2), **self.dummy_conditions(2))
            except losses.NoScores as error:
                warnings.warn(f"The model is exported without the signature 'score'. {error}", stacklevel=2)
                del signatures["score"]
            except Exception:  # the model does not accept dummy samples
                pass
        if self.imputes:
            signatures["impute"] = (named(self.impute), x, "imputed")
        return signatures

    @property
    def controls_note(self) -> str:
        """A sentence for the page of `aezoo explore` about the values that `to_controls` returns; "" for codes."""
        return ""

    def to_controls(self, z: Tensor) -> Tensor:
        """Return what the sliders of `aezoo explore` set in place of codes; by default the codes.

        Args:
            z: Codes, (n, *code_shape).

        Returns:
            (n, *code_shape).
        """
        return z

    def from_controls(self, controls: Tensor) -> Tensor:
        """Return the codes for values that `to_controls` returns, (n, *code_shape).

        Args:
            controls: (n, *code_shape).
        """
        return controls

    def step_signatures(self) -> dict[str, tuple[Any, list[tf.TensorSpec]]]:
        """Return what draws a sample step by step, of a model that decodes in this way; {} of any other.

        Returns:
            "start", from a code z to the states h and c, and "step", from z, h, c and the step before to the next
            states and the distribution of the step: each a function that returns its outputs by name, and its inputs.
        """
        return {}

    def dummy_inputs(self, n: int) -> Tensor:
        """Return n dummy samples that the model accepts, (n, *input_shape); a size that is not fixed becomes 64."""
        return ops.ones((n, *(size or 64 for size in self.x_shape)), dtype=self.input_dtype)

    def dummy_conditions(self, n: int) -> dict[str, Any]:
        """Return n dummy values of each condition, by name: the smallest valid value, or 0."""
        made = {}
        for name, spec in self.condition_specs.items():
            low = (self.condition_bounds(name) or (0.0,))[0]
            made[name] = ops.full((n, *(size or 64 for size in spec.shape)), low, dtype=spec.dtype)
        return made

    def write_extra_assets(self, folder: Path) -> None:
        """Write a variant's additional files to `assets.extra` in the folder of a SavedModel."""

    def get_config(self) -> dict[str, Any]:
        """Return every constructor argument."""
        config = super().get_config()
        of_layers = ("dropout", "normalization", "kernel_size", "upsampling", "residual")
        for name in ("latent_dim", "hidden_dims", "filters", *of_layers, "tied"):
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
    def from_config(cls, config: dict[str, Any]) -> Self:  # type: ignore[override]
        """Create a model from the result of `get_config`."""
        config = dict(config)
        for name in ("encoder", "decoder"):
            if isinstance(config.get(name), dict):
                config[name] = keras.saving.deserialize_keras_object(config[name])
        dense_transpose.tie_again(config.pop("ties", []), config.get("encoder"), config.get("decoder"))
        return cls(**config)
