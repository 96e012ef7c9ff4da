"""The sketch-rnn model."""

from __future__ import annotations

import dataclasses
import math
import warnings
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from aezoo import _validation, losses
from aezoo._numerics import as_float32
from aezoo._typing import ArrayLike, Shape, Tensor
from aezoo.layers import RandomState, StrokeAugmentation, _sketch_networks
from aezoo.models._labels import TakesLabels
from aezoo.optimizers import DecayToFloor
from aezoo.saving import export
from aezoo.training import gate, inference
from aezoo.training.batch import Batch

if TYPE_CHECKING:
    import matplotlib.figure

    from aezoo.cli.defaults import Training

#: The step that ends a sketch.
_END = np.array([0, 0, 0, 0, 1], "float32")


@keras.saving.register_keras_serializable("aezoo")
class SketchRNN(TakesLabels):
    """Sketch-RNN, a sequence VAE over pen strokes: minimizes L_R + w·η·max(L_KL, KL_min), L_R = L_s + L_p.

    Sketches are in stroke-5 format, (batch, Nmax, 5); `aezoo.sketches.stroke5` converts to it. A bidirectional LSTM
    computes z ~ N(μ, σ²), and another LSTM draws step by step: the offset from a mixture of bivariate normals, and the
    pen state from three probabilities.

    - L_s = -1/Nmax Σ log p(Δx, Δy) over the points of a sketch, in nats.
    - L_p = -1/Nmax Σ log q(pen state) over all Nmax steps in training; in evaluation up to the step that ends the
      sketch, so that padding only changes the factor 1/Nmax.
    - L_KL = KL(N(μ, σ²)‖N(0, I)) / latent_dim; its mean over the batch counts as at least KL_min.
    - η = 1 - (1 - η_min) Rˢ after s training steps.

    Training also reports `kl_divergence`, which is L_KL, and `negative_log_likelihood` of x given z in nats per sketch,
    which is L_R·Nmax as in evaluation. Evaluation uses z = μ; the authors draw z. A loss passed to `compile` replaces
    L_R; it compares x with the means of the distributions of the steps.

    The decoder is an LSTM, as in the authors' code; the results in the paper come from a HyperLSTM.

    With `conditions`, such as the class of a sketch, the decoder receives their one-hot labels with the code, so that
    one model draws several classes and the code need not tell them apart. The encoder does not receive them.

    Args:
        latent_dim: Number of code units.
        encoder_units: LSTM units per direction of the encoder.
        decoder_units: LSTM units of the decoder.
        components: M, the number of normal distributions in the mixture.
        conditional: Whether there is an encoder. Without one, the decoder alone learns the distribution of sketches,
            and codes have no units.
        kl_weight: w >= 0.
        kl_start: η_min in [0, 1].
        kl_rate: R in (0, 1).
        kl_floor: KL_min >= 0.
        recurrent_dropout: Fraction of LSTM units that write nothing to the memory in a training step, in [0, 1).
        random_scale: Maximum relative change of the scale of each axis in training, in [0, 1).
        drop_points: Probability of dropping a point inside a line in training, in [0, 1).
        conditions: Labels, {name: number of classes}, which are integers from 0; None for none.
        **kwargs: `seed`, `name` and `dtype` of `Autoencoder`.

    Raises:
        ValueError: If an argument is out of range, or sketches are not stroke-5.

    Example:
        >>> from aezoo import sketches
        >>> (x_train, _), (x_test, _) = sketches.load("shapes")
        >>> model = SketchRNN(latent_dim=8, encoder_units=16, decoder_units=32)
        >>> model.compile(optimizer=model.default_optimizer())
        >>> model.build(x_train.shape)  # the first `fit` does this, too
        >>> model.encode(x_test[:3]).shape
        TensorShape([3, 8])
        >>> model.sample(3, temperature=0.5).shape == (3, *x_train.shape[1:])
        True

        One model of three classes:

        >>> model = SketchRNN(latent_dim=4, encoder_units=8, decoder_units=16, conditions={"shape": 3})
        >>> model.build({"x": x_train.shape, "shape": (None,)})
        >>> model.sample(2, shape=[0, 2]).shape == (2, *x_train.shape[1:])
        True

    Reference:
        Ha & Eck, "A neural representation of sketch drawings", 2017, arXiv:1704.03477.
    """

    data = "sketches"
    reconstructs = False
    interpolation = "arc"
    fixed_arguments = _validation.NETWORK_ARGUMENTS
    default_steps = 1  # a step is long, and progress shows by steps

    def __init__(
        self,
        latent_dim: int = 128,
        *,
        encoder_units: int = 256,
        decoder_units: int = 512,
        components: int = 20,
        conditional: bool = True,
        kl_weight: float = 0.5,
        kl_start: float = 0.01,
        kl_rate: float = 0.99995,
        kl_floor: float = 0.2,
        recurrent_dropout: float = 0.1,
        random_scale: float = 0.15,
        drop_points: float = 0.1,
        conditions: Mapping[str, int] | None = None,
        **kwargs: Any,
    ):
        _validation.check_no_networks(self, kwargs)
        for name, value in (
            ("encoder_units", encoder_units),
            ("decoder_units", decoder_units),
            ("components", components),
        ):
            _validation.check_int(name, value, 1)
        _validation.check_at_least("kl_weight", kl_weight, 0)
        _validation.check_at_least("kl_floor", kl_floor, 0)
        for name, fraction in (
            ("recurrent_dropout", recurrent_dropout),
            ("random_scale", random_scale),
            ("drop_points", drop_points),
        ):
            _validation.check_fraction(name, fraction, below_1=True)
        _validation.check_fraction("kl_start", kl_start)
        _validation.check_open_interval("kl_rate", kl_rate, 0, 1)
        classes = _validation.check_conditions(conditions, {*_validation.TAKEN_NAMES, "strokes", "temperature"})
        super().__init__(latent_dim, output_activation="linear", **kwargs)
        self.set_classes(classes)
        self.encoder_units = encoder_units
        self.decoder_units = decoder_units
        self.components = components
        self.conditional = conditional
        self.kl_weight = float(kl_weight)
        self.kl_start = float(kl_start)
        self.kl_rate = float(kl_rate)
        self.kl_floor = float(kl_floor)
        self.recurrent_dropout = recurrent_dropout
        self.random_scale = random_scale
        self.drop_points = drop_points
        self.random = RandomState(self.seed)
        self.augmentation = StrokeAugmentation(
            random_scale, drop_points, None if self.seed is None else self.seed + 1, dtype=self.dtype_policy
        )
        self.steps = self.add_weight(
            shape=(),
            dtype="int64",
            initializer="zeros",
            trainable=False,
            name="steps",
            aggregation="only_first_replica",
        )

    @property
    def term_names(self) -> tuple[str, ...]:
        return ("reconstruction", "kl") if self.conditional else ("reconstruction",)

    @property
    def metric_modes(self) -> dict[str, str]:
        return dict.fromkeys(self.metric_names, "min")

    @property
    def metric_names(self) -> tuple[str, ...]:
        return ("kl_divergence", "negative_log_likelihood") if self.conditional else ("negative_log_likelihood",)

    def default_optimizer(self, learning_rate: float | None = None) -> keras.optimizers.Optimizer:
        """Return the authors' Adam: gradients clipped at 1, a learning rate that decays by 0.9999 per step to 1e-5.

        Args:
            learning_rate: The rate at the first step, 0.001 by default; a rate below 1e-5 stays constant.
        """
        rate = learning_rate or 1e-3
        return keras.optimizers.Adam(DecayToFloor(rate, floor=min(1e-5, rate), decay=0.9999), clipvalue=1.0)

    # === Networks ===

    def build(self, input_shape: Shape | Any) -> None:
        given, input_shape = input_shape, input_shape["x"] if isinstance(input_shape, Mapping) else input_shape
        if len(input_shape) != 3 or input_shape[-1] != 5 or input_shape[1] is None:
            raise ValueError(
                f"Sketches are stroke-5, (batch, Nmax, 5), but these have shape {tuple(input_shape)}: convert them "
                "with aezoo.sketches.stroke5."
            )
        super().build(given)

    def build_encoder(self, x_shape: Shape) -> keras.Model:
        return _sketch_networks.SketchEncoder(
            self.latent_dim if self.conditional else 0,
            self.encoder_units,
            self.recurrent_dropout,
            self.seed,
            name="encoder",
            dtype=self.dtype_policy,
        )

    def build_decoder(self, x_shape: Shape) -> keras.Model:
        units = self.latent_dim if self.conditional else 0
        decoder = _sketch_networks.SketchDecoder(
            units + sum(self.classes.values()),
            self.decoder_units,
            self.components,
            x_shape[0],
            self.recurrent_dropout,
            self.seed,
            name="steps" if self.classes else "decoder",
            dtype=self.dtype_policy,
        )
        if not self.classes:
            return decoder
        inputs = {name: keras.Input((), dtype="int32", name=name) for name in self.classes}
        z = keras.Input((units,), name="z")
        return keras.Model({"z": z, **inputs}, decoder(self._joined(z, inputs)), name="decoder")

    @property
    def drawer(self) -> _sketch_networks.SketchDecoder:
        """The decoder, which draws step by step from codes and labels joined to one vector."""
        return self.decoder.get_layer("steps") if self.classes else self.decoder

    def _joined(self, z: Tensor, conditions: Mapping[str, Any]) -> Tensor:
        """Return codes with one-hot labels appended, (batch, units + classes) float32."""
        labels = [ops.one_hot(conditions[name], count, dtype="float32") for name, count in self.classes.items()]
        return ops.concatenate([ops.cast(z, "float32"), *labels], axis=-1) if labels else z

    # === The objective ===

    @property
    def annealed_kl_weight(self) -> Tensor:
        """The current weight of the KL divergence, w·η after the training steps so far, a float32 scalar."""
        eta = 1.0 - (1.0 - self.kl_start) * ops.power(self.kl_rate, ops.cast(self.steps, "float32"))
        return self.kl_weight * eta

    @property
    def default_loss(self) -> None:
        """None: L_R does not compare x with x', it is a negative log-likelihood of x."""
        return None

    def objective(self, batch: Batch, training: bool) -> tuple[dict[str, Any], Any]:
        x, y = batch.x, batch.y
        if training:
            noise = self.augmentation.noise(x)
            x = self.augmentation.augment(x, noise)
            y = x if batch.y is batch.x else self.augmentation.augment(y, noise)
        mean, log_variance = self.encoder.distribution(x, training)
        z = mean + ops.exp(0.5 * log_variance) * self.random.normal(ops.shape(mean)) if training else mean
        pen, mixture = self.drawer.teacher_forced(self._joined(z, batch.conditions), y, training)
        of_offsets, of_pens = _negative_log_likelihood(y, pen, mixture)
        until_end = ops.sum(of_offsets + of_pens * _until_end(y), axis=1)
        y_pred = ops.concatenate([mixture.expectation(), ops.softmax(pen)], axis=-1)
        if self.reconstruction_loss is not None:
            reconstruction = self.reconstruction(dataclasses.replace(batch, x=x, y=y), y_pred)
        else:
            nats = ops.sum(of_offsets + of_pens, axis=1) if training else until_end
            reconstruction = batch.mean(nats) / self.x_shape[0]
        reported = {"reconstruction": reconstruction, "negative_log_likelihood": batch.mean(until_end)}
        if self.conditional:
            kl = batch.global_mean(ops.mean(losses.gaussian_kl(mean, log_variance), axis=-1))
            reported["kl"] = self.annealed_kl_weight * batch.per_replica(ops.maximum(kl, self.kl_floor))
            reported["kl_divergence"] = batch.per_replica(kl)
        if training:
            self.steps.assign_add(1)
        return reported, y_pred

    # === Verbs ===

    def check_scale(self, x: np.ndarray) -> None:
        """Raise a ValueError if sketches are not stroke-5; warn if the scale of their offsets is not about 1."""
        if not isinstance(x, np.ndarray) or x.ndim != 3 or x.shape[-1] != 5 or x.dtype.kind != "f" or not x.size:
            return  # `build` and the checks of the data report these
        if np.isfinite(x[..., 2:]).all():
            _check_pens(x)
        deviation = float(np.std(x[np.asarray(_sketch_networks.not_ended(x))][:, :2]))
        if np.isfinite(deviation) and not 0.2 < deviation < 5:
            warnings.warn(
                f"Offsets should have a standard deviation of about 1, but theirs is {deviation:.3g}: divide them by "
                "aezoo.sketches.offset_scale of the training sketches.",
                stacklevel=3,
            )

    def scores(self, x: Tensor, **conditions: Tensor) -> Tensor:
        """Return -log p(x given z = μ) of each sketch, (batch,) in nats: higher is more anomalous."""
        conditions = {name: conditions[name] for name in self.classes}
        return self.negative_log_likelihood(x, self.encode(x, **conditions), **conditions)

    def negative_log_likelihood(self, x: Tensor, z: Tensor, **conditions: ArrayLike) -> Tensor:
        """Return -log p(x given z) of each sketch up to the step that ends it, (batch,) in nats.

        Args:
            x: Sketches, (batch, Nmax, 5).
            z: Codes, (batch, latent_dim).
            **conditions: Conditions by name, one entry per sketch, or one for all.
        """
        parts = inference.whole(self, x, conditions)
        x, z = parts.x, ops.convert_to_tensor(z)
        _validation.check_code_shape(self, z.shape)
        of_offsets, of_pens = _negative_log_likelihood(
            x, *self.drawer.teacher_forced(self._joined(z, parts.conditions), x)
        )
        return ops.sum(of_offsets + of_pens * _until_end(x), axis=1)

    def sample(
        self,
        n: int | None = None,
        temperature: float = 1.0,
        z: ArrayLike | None = None,
        seed: int | None = None,
        **conditions: ArrayLike,
    ) -> Tensor:
        """Draw sketches. The exported signature `sample` accepts an n of at most 10,000 and a temperature >= 0.

        With conditions the signature has no input n: the number of labels, at most 10,000, is the number of sketches.

        Args:
            n: Number of sketches; not needed if `z` is given.
            temperature: τ >= 0: logits are divided by τ and variances multiplied by τ. 0 draws the most likely step
                each time.
            z: Codes, (n, latent_dim); None draws them from N(0, I).
            seed: An integer that makes the result reproducible; None continues the model's own random state.
            **conditions: Conditions by name, one entry per sketch, or one for all.

        Returns:
            Sketches, (n, Nmax, 5) float32.

        Raises:
            ValueError: If neither n nor z is given, n is not the number of codes, or a condition is missing.
        """
        _validation.check_built(self)
        _validation.check_at_least("temperature", temperature, 0)
        if z is None:
            if n is None:
                raise ValueError("Give n, the number of sketches, or z, their codes.")
            n = _validation.check_int("n", n, 1)
        else:
            codes = ops.convert_to_tensor(z, "float32")
            _validation.check_code_shape(self, codes.shape)
            if n not in (None, codes.shape[0]):
                raise ValueError(f"n={n} sketches were asked for, but there are {codes.shape[0]} codes.")
        seed = None if seed is None else _validation.check_int("seed", seed)
        given = gate.conditions_of(self, conditions, n if z is None else codes.shape[0])
        return self._draw(n, tf.constant(temperature, "float32"), None if z is None else codes, seed, given)

    def _draw(self, n: Tensor, temperature: Tensor, z: Tensor, seed: Tensor, conditions: Mapping[str, Any]) -> Tensor:
        seed = self.random.seed_of(seed)
        if z is None:
            of_codes = tf.random.experimental.stateless_fold_in(seed, self.x_shape[0], alg="philox")
            z = tf.random.stateless_normal((n, *self.code_shape), of_codes, alg="philox")
        return self.drawer.draw(self._joined(z, conditions), temperature, seed)

    def complete_sketch(
        self,
        strokes: ArrayLike,
        n: int = 1,
        temperature: float = 1.0,
        z: ArrayLike | None = None,
        seed: int | None = None,
        **conditions: ArrayLike,
    ) -> Tensor:
        """Complete a begun sketch: keep its strokes and draw the following steps, each given all steps before it.

        Args:
            strokes: First points of a sketch in stroke-5 format and in the scale of the training sketches, (k, 5) with
                k < Nmax; the steps from its end on, if it has one, are ignored. The last pen state says whether the
                drawing continues with a line, p₁ = 1, or after a lift of the pen, p₂ = 1.
            n: Number of completions.
            temperature: As in `sample`.
            z: Codes, (n, latent_dim), such as codes of finished sketches; None uses the code of the strokes, which the
                encoder reads as if they were a finished sketch.
            seed: As in `sample`.
            **conditions: Conditions by name, one entry per completion, or one for all.

        Returns:
            Sketches, (n, Nmax, 5) float32, which begin with the k strokes.

        Raises:
            ValueError: If the strokes are not stroke-5, have no points or fill the sketch, or n is not the number of
                codes.

        Example:
            >>> from aezoo import sketches
            >>> (x_train, _), (x_test, _) = sketches.load("shapes")
            >>> model = SketchRNN(latent_dim=4, encoder_units=8, decoder_units=16)
            >>> model.build(x_train.shape)
            >>> model.complete_sketch(x_test[0, :5], n=3, temperature=0.5, seed=0).shape == (3, *x_train.shape[1:])
            True
        """
        _validation.check_built(self)
        _validation.check_int("n", n, 1)
        _validation.check_at_least("temperature", temperature, 0)
        seed = None if seed is None else _validation.check_int("seed", seed)
        begun = self._begun(strokes)
        if z is None:
            whole = np.concatenate([begun, np.tile(_END, (self.x_shape[0] - len(begun), 1))])[None]
            z = ops.tile(self.run_encoder(tf.constant(whole)), (n, 1))
        codes = ops.convert_to_tensor(z, "float32")
        _validation.check_code_shape(self, codes.shape)
        if codes.shape[0] != n:
            raise ValueError(f"n={n} completions were asked for, but there are {codes.shape[0]} codes.")
        temperature = tf.constant(temperature, "float32")
        codes = self._joined(codes, gate.conditions_of(self, conditions, n))
        return self.drawer.draw(codes, temperature, self.random.seed_of(seed), tf.constant(begun))

    def _begun(self, strokes: ArrayLike) -> np.ndarray:
        """Return the points of a begun sketch, (k, 5) float32."""
        begun = np.asarray(strokes)
        if begun.ndim != 2 or begun.shape[-1] != 5:
            raise ValueError(
                f"A begun sketch is stroke-5, (points, 5), but this one has shape {begun.shape}: convert it with "
                "aezoo.sketches.stroke5, and give one sketch at a time."
            )
        begun = begun.astype("float32")
        if not np.isfinite(begun).all():
            raise ValueError("The begun sketch has NaN or infinite values.")
        _check_pens(begun)
        points = begun[np.cumsum(begun[:, 4]) == 0]
        if not 0 < len(points) < self.x_shape[0]:
            raise ValueError(
                f"A begun sketch has at least 1 and fewer than {self.x_shape[0]} points, so that there is something to "
                f"complete, but this one has {len(points)}."
            )
        return points

    def interpolate(  # type: ignore[override]  # no condition can have the name `temperature`
        self,
        x_a: ArrayLike,
        x_b: ArrayLike,
        steps: int = 10,
        temperature: float = 0.0,
        seed: int | None = None,
        **conditions: ArrayLike,
    ) -> Tensor:
        """Interpolate between two sketches, with spherical interpolation of their codes as in the paper.

        Args:
            x_a: Starts of the paths, (batch, Nmax, 5).
            x_b: Ends of the paths, (batch, Nmax, 5).
            steps: Number of points on each path, both ends included, at least 2.
            temperature: As in `sample`.
            seed: As in `sample`.
            **conditions: Conditions by name, one entry per path, or one for all.

        Returns:
            Sketches, (batch, steps, Nmax, 5) float32.
        """
        _validation.check_int("steps", steps, 2)
        given: dict[str, Any] = conditions
        a, b = self.encode(x_a, **given), self.encode(x_b, **given)
        if a.shape != b.shape:
            raise ValueError(f"Each path needs a start and an end, but there are {len(a)} starts and {len(b)} ends.")
        codes = ops.reshape(_arc(a, b, steps), (-1, *self.code_shape))
        given = gate.conditions_of(self, given, a.shape[0])
        given = {name: ops.repeat(values, steps, axis=0) for name, values in given.items()}
        if temperature:
            drawn = self.sample(temperature=temperature, z=codes, seed=seed, **given)
        else:
            drawn = self.decode(codes, **given)
        return ops.reshape(drawn, (a.shape[0], steps, *self.x_shape))

    # === Self-description ===

    @classmethod
    def cli_defaults(cls, training: Training) -> dict[str, Any]:
        """Return half the authors' LSTM units, for a CPU, and a KL weight that is 99 % of w after half of the steps."""
        steps = training.epochs * math.ceil(training.samples / training.batch_size)
        rate = min(0.01 ** (2 / max(steps, 2)), 0.99995)
        return {"latent_dim": 32, "encoder_units": 128, "decoder_units": 256, "kl_rate": rate}

    def report_measures(self, x: Tensor, code: Tensor) -> dict[str, Any]:
        """Return -log p(x given z) in nats; L_R, which is the same per step; and L_KL, the divergence per code unit."""
        metrics = {}
        if not self.classes:  # a report has no labels here; its `score` is the same in nats
            x = self._input(x)
            nats = self.negative_log_likelihood(x, code)
            metrics = {"reconstruction": nats / self.x_shape[0], "negative_log_likelihood": nats}
        if self.conditional:
            metrics["kl_divergence"] = ops.mean(losses.gaussian_kl(*self.encoder.distribution(x)), axis=-1)
        return metrics

    def report_pictures(self, x: np.ndarray) -> dict[str, Callable[[], matplotlib.figure.Figure]]:
        from aezoo import plots

        temperatures = (0.2, 0.5, 0.8)
        labels = {name: x[name] for name in self.condition_names}
        x = x["x"] if self.condition_names else x
        pairs = min(4, len(x) // 2)

        def first(n: int) -> dict[str, Any]:
            return {name: values[:n] for name, values in labels.items()}

        def reconstructions() -> matplotlib.figure.Figure:
            few = x[:10]
            pair = np.concatenate([few, self.reconstruct(few, **first(10))])
            return plots.sketches(pair, columns=len(few), row_labels=["input", "reconstruction"])

        def samples() -> matplotlib.figure.Figure:
            count = min(10, len(x)) if labels else 10
            rows = [np.asarray(self.sample(count, temperature, **first(10))) for temperature in temperatures]
            return plots.sketches(
                np.concatenate(rows), row_labels=[f"τ = {temperature:g}" for temperature in temperatures]
            )

        def interpolation() -> matplotlib.figure.Figure:
            path = np.asarray(self.interpolate(x[:pairs], x[pairs : 2 * pairs], steps=10, **first(pairs)))
            return plots.sketches(path.reshape(-1, *x.shape[1:]))

        return {"reconstructions.png": reconstructions, "samples.png": samples, "interpolation.png": interpolation}

    # === Saving ===

    def signatures(self) -> dict[str, tuple[Any, dict[str, tf.TensorSpec], str]]:
        signatures = super().signatures()
        if self.classes:  # the number of sketches is the number of labels
            labels = {name: signatures["encode"][1][name] for name in self.classes}

            def draw_labeled(*inputs: Tensor) -> Tensor:
                *values, temperature, seed = inputs
                given = gate.conditions_of(self, dict(zip(labels, values, strict=True)), None)
                temperature = export.inside("temperature", temperature, 0.0, math.inf)
                n = tf.shape(next(iter(given.values())))[0]
                n = export.inside("the number of labels", n, 1, export.most_samples(self.x_shape))
                return self._draw(n, temperature, None, seed, given)

            rest = {
                "temperature": tf.TensorSpec((), "float32", name="temperature"),
                "seed": tf.TensorSpec((), "int64", name="seed"),
            }
            return {**signatures, "sample": (draw_labeled, {**labels, **rest}, "sketch")}

        def draw(n: Tensor, temperature: Tensor, seed: Tensor) -> Tensor:
            return self._draw(n, temperature, None, seed, {})

        return {**signatures, "sample": (*export.sample_signature(self.x_shape, draw), "sketch")}

    def step_signatures(self) -> dict[str, tuple[Any, list[tf.TensorSpec]]]:
        """Return the decoder's first state and its step: from the step before, the distribution of the next.

        Outputs of "step" are the states `new_h` and `new_c`, `pen` (logits, 3), and of each component of the mixture
        `weights` (logits, M), `mean` (M, 2), `scale` (the standard deviations, M, 2) and `correlation` (M).

        Raises:
            ValueError: If the model has conditions, which the explorer does not offer for sketches.
        """
        if self.classes:
            raise ValueError(
                f"The explorer draws sketches without conditions, but {self.name!r} has {', '.join(self.classes)}: use "
                "sample and complete_sketch in Python."
            )

        def spec(name: str, size: int) -> tf.TensorSpec:
            return tf.TensorSpec((None, size), "float32", name=name)

        units = self.decoder_units
        z, h, c, before = (
            spec(name, size) for name, size in (("z", self.code_shape[0]), ("h", units), ("c", units), ("before", 5))
        )

        def start(z: Tensor) -> dict[str, Any]:
            return dict(zip("hc", self.drawer.first_state(z), strict=True))

        def step(z: Tensor, h: Tensor, c: Tensor, before: Tensor) -> dict[str, Any]:
            h, c = self.drawer.next_state(z, before, (h, c))
            pen, mixture = self.drawer.distributions(h)
            return {
                "new_h": h,
                "new_c": c,
                "pen": pen,
                "weights": mixture.logits,
                "mean": mixture.mean,
                "scale": ops.exp(mixture.log_scale),
                "correlation": ops.tanh(mixture.raw_correlation),
            }

        return {"start": (start, [z]), "step": (step, [z, h, c, before])}

    def dummy_inputs(self, n: int) -> Tensor:
        """Return n dummy sketches that end at the first step, (n, Nmax, 5)."""
        return ops.tile([[[0.0, 0.0, 0.0, 0.0, 1.0]]], (n, self.x_shape[0], 1))

    def get_config(self) -> dict[str, Any]:
        config = {
            name: value for name, value in super().get_config().items() if name not in _validation.NETWORK_ARGUMENTS
        }
        names = (
            "encoder_units decoder_units components conditional kl_weight kl_start kl_rate kl_floor recurrent_dropout "
            "random_scale drop_points"
        )
        config |= {name: getattr(self, name) for name in names.split()}
        return {**config, "conditions": dict(self.classes) or None}


def _check_pens(x: np.ndarray) -> None:
    pen = x[..., 2:]
    if not (np.isin(pen, (0, 1)).all() and (pen.sum(axis=-1) == 1).all()):
        raise ValueError(
            "Of the three pen states of each step (the last three numbers) one must be 1 and the others 0: convert "
            "sketches with aezoo.sketches.stroke5."
        )


def _until_end(x: Tensor) -> Tensor:
    """Return 1 for every step until the end of the sketch, the ending step included, else 0, (batch, steps) float32."""
    points = ops.cast(_sketch_networks.not_ended(x), "float32")
    return ops.concatenate([ops.ones_like(points[:, :1]), points[:, :-1]], axis=1)


def _negative_log_likelihood(x: Tensor, pen: Tensor, mixture: Tensor) -> tuple[Any, Any]:
    """Return -log p of the offset, 0 after the end, and -log p of the pen state of each step, (batch, steps) each."""
    x = as_float32(x)
    points = _sketch_networks.not_ended(x)
    # After the end, the offset is 0: an infinite density there must not reach the gradient.
    of_offsets = ops.where(points, -mixture.log_density(x[..., :2]), 0.0)
    of_pens = -ops.sum(x[..., 2:] * ops.log_softmax(as_float32(pen)), axis=-1)
    return of_offsets, of_pens


def _arc(a: Tensor, b: Tensor, steps: int) -> Tensor:
    """Return points on the arcs from a to b, (batch, steps, units), for a and b of shape (batch, units)."""
    t = ops.reshape(ops.linspace(0.0, 1.0, steps), (1, steps, 1))
    a, b = a[:, None], b[:, None]
    lengths = ops.norm(a, axis=-1, keepdims=True) * ops.norm(b, axis=-1, keepdims=True)
    cosine = ops.sum(a * b, axis=-1, keepdims=True) / ops.maximum(lengths, keras.config.epsilon())
    angle = ops.arccos(ops.clip(cosine, -1.0, 1.0))
    straight = (ops.sin(angle) < 1e-3) | (lengths == 0.0)  # there is no arc
    sine = ops.where(straight, 1.0, ops.sin(angle))
    of_a = ops.where(straight, 1.0 - t, ops.sin((1.0 - t) * angle) / sine)
    of_b = ops.where(straight, t, ops.sin(t * angle) / sine)
    return of_a * a + of_b * b
