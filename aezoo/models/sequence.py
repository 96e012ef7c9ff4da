"""The autoencoder of sequences: series of numbers, or tokens of a text."""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from aezoo import _keras, _validation, likelihoods, losses, schedules
from aezoo._numerics import as_float32
from aezoo._typing import ArrayLike, Data, Loss, Shape, Tensor
from aezoo.layers import RandomState, _sequence_networks
from aezoo.metrics import ActiveUnits, BitsPerToken
from aezoo.models.autoencoder import Autoencoder
from aezoo.models.variational import kl_term, reparameterized
from aezoo.saving import export
from aezoo.training.batch import Batch

if TYPE_CHECKING:
    import matplotlib.figure

    from aezoo.cli.defaults import Training


@keras.saving.register_keras_serializable("aezoo")
class SequenceAE(Autoencoder):
    """Autoencoder of sequences of different lengths: series of numbers, or tokens such as the characters of a text.

    An LSTM, a GRU or dilated convolutions read the sequence, in both directions unless you say otherwise, and their
    last states determine the code. The decoder either computes all steps from the code at once ("parallel") or one
    after the other, each given the code and the steps before it ("autoregressive").

    - Series are (n, steps, features) float32. Pad short ones with NaN at their end and give `missing="mask"`: padding
      then changes neither code nor error. NaN inside a series is a missing value, which does not count, either. Keras'
      mask of a tensor does the same.
    - Tokens, `tokens=V`, are (n, steps) integers in [0, V): 0 is padding at the end, 1 an unknown token. The model adds
      start and end itself. It predicts the distribution of each token and of the end, and `reconstruction` is
      -log p(x given z) in nats per sequence. A sequence that fills all steps has no end.

    In training an autoregressive decoder sees the true steps before the predicted step (teacher forcing), in
    `decode` its own. `score_samples` and `evaluate` measure x given z and the true steps before.

    `variational=True` makes it a variational autoencoder, q(z given x) = N(μ, diag σ²), trained by
    -ELBO = -E_q log p(x given z) + β KL(q‖p(z)). Series then are Gaussian with one learned variance. Strong decoders of
    text tend to ignore the code ("posterior collapse"): a schedule of β, `word_dropout` and `free_bits` counteract.

    Training also reports `active_units` of a variational model and, for tokens, `bits_per_token`: bits of the tokens
    and of the end, divided by their number, without the bits of the code.

    Args:
        latent_dim: Number of code units.
        units: Units of the layers of the encoder, from the input to the code. The decoder has the same, in this order.
        cell: "lstm", "gru" or "convolution". Convolutions have 3 taps, and dilations that double from layer to layer:
            with n layers an output sees 2ⁿ⁺¹ - 1 steps.
        bidirectional: Whether the encoder, and a parallel decoder, read both directions. Without it, convolutions are
            causal.
        decoder: "parallel" or "autoregressive"; None takes "parallel" for series and "autoregressive" for tokens.
        variational: Whether the code is a random variable with prior N(0, I).
        tokens: V, the size of the vocabulary with padding and unknown token, at least 3; None for series.
        embedding_dim: Size of the vectors that represent tokens.
        word_dropout: Probability that a training step hides a step from an autoregressive decoder, in [0, 1]: tokens
            become unknown, values 0.
        beta: β >= 0, a number or a schedule by the epoch, for a variational model.
        free_bits: λ >= 0, in nats: the minimum that each code unit's mean KL over the batch contributes to the loss.
        **kwargs: `seed`, `missing`, `on_divergence`, `name` and `dtype` of `Autoencoder`.

    Raises:
        ValueError: If an argument is out of range, arguments contradict each other, or samples are not sequences.

    Example:
        >>> x = np.sin(np.linspace(0, 6, 20) + np.arange(32)[:, None])[..., None].astype("float32")
        >>> model = SequenceAE(latent_dim=3, units=(8,), seed=0)
        >>> model.compile(optimizer="adam")
        >>> history = model.fit(x, verbose=0)
        >>> model.encode(x).shape, model.score_steps(x).shape
        (TensorShape([32, 3]), TensorShape([32, 20]))

        Words of the letters a, b and c, as 2, 3 and 4; the second is shorter:

        >>> words = np.array([[2, 3, 4, 4], [3, 2, 0, 0]], "int32")
        >>> model = SequenceAE(latent_dim=2, units=(8,), tokens=5, variational=True, seed=0)
        >>> model.compile(optimizer="adam")
        >>> history = model.fit(words, verbose=0)
        >>> sorted(history.history)
        ['active_units', 'bits_per_token', 'kl', 'loss', 'reconstruction']
        >>> model.sample(3, temperature=0.5).shape
        TensorShape([3, 4])

    Reference:
        Srivastava, Mansimov & Salakhutdinov, "Unsupervised learning of video representations using LSTMs", ICML 2015;
        Malhotra et al., "LSTM-based encoder-decoder for multi-sensor anomaly detection", 2016, arXiv:1607.00148;
        Bowman et al., "Generating sentences from a continuous space", CoNLL 2016, arXiv:1511.06349, for text.
    """

    data = "series"
    fixed_arguments = tuple(name for name in _validation.NETWORK_ARGUMENTS if name != "missing")
    metric_modes = types.MappingProxyType({"bits_per_token": "min"})
    default_steps = 1  # a step is long, and progress shows by steps

    def __init__(
        self,
        latent_dim: int,
        *,
        units: Sequence[int] = (64,),
        cell: _sequence_networks.Cell = "lstm",
        bidirectional: bool = True,
        decoder: Literal["parallel", "autoregressive"] | None = None,
        variational: bool = False,
        tokens: int | None = None,
        embedding_dim: int = 32,
        word_dropout: float = 0.0,
        beta: schedules.Schedulable = 1.0,
        free_bits: float = 0.0,
        **kwargs: Any,
    ):
        _validation.check_no_networks(self, {name: value for name, value in kwargs.items() if name != "missing"})
        _validation.check_choice("cell", cell, _sequence_networks.CELLS)
        _validation.check_choice("decoder", decoder, (None, "parallel", "autoregressive"))
        _validation.check_fraction("word_dropout", word_dropout)
        _validation.check_at_least("free_bits", free_bits, 0)
        if tokens is not None and kwargs.get("missing", "error") != "error":
            raise ValueError(
                "Tokens have no missing values, since 0 is padding and 1 an unknown token: leave out missing."
            )
        if free_bits and not variational:
            raise ValueError("free_bits are a minimum of the KL divergence, which needs variational=True.")
        super().__init__(latent_dim, output_activation="linear", **kwargs)
        self.units = _validation.check_ints("units", units)
        if not self.units:
            raise ValueError("units must have one number per layer, such as (64,), but there are none.")
        self.cell, self.bidirectional, self.variational = cell, bool(bidirectional), bool(variational)
        self.tokens = None if tokens is None else _validation.check_int("tokens", tokens, 3)
        self.embedding_dim = _validation.check_int("embedding_dim", embedding_dim, 1)
        self.decoding = decoder
        self.word_dropout, self.free_bits = float(word_dropout), float(free_bits)
        if word_dropout and not self.autoregressive:
            raise ValueError(
                "word_dropout hides steps from an autoregressive decoder: leave it out, or give "
                "decoder='autoregressive'."
            )
        self.data = "series" if tokens is None else "tokens"
        self.reconstructs = tokens is None
        self.beta = schedules.Scheduled(beta)
        _validation.check_at_least("beta", self.beta.schedule.minimum, 0)
        self.random = RandomState(self.seed)
        self.data_likelihood = likelihoods.Gaussian(None) if variational and tokens is None else None

    @property
    def autoregressive(self) -> bool:
        """True if the decoder generates one step after the other."""
        return (self.decoding or ("parallel" if self.tokens is None else "autoregressive")) == "autoregressive"

    @property
    def term_names(self) -> tuple[str, ...]:
        return ("reconstruction", "kl") if self.variational else ("reconstruction",)

    @property
    def metric_names(self) -> tuple[str, ...]:
        return (("active_units",) if self.variational else ()) + (("bits_per_token",) if self.tokens else ())

    @property
    def input_dtype(self) -> str:
        return "int32" if self.tokens else self.variable_dtype

    @property
    def default_loss(self) -> keras.losses.Loss:
        """The squared error of series, or -log p(x given z) of tokens and of a variational model."""
        if self.tokens:
            return _TOKEN_LOSS
        return losses.SquaredError() if self.data_likelihood is None else self.data_likelihood.loss

    @property
    def reconstruction_loss(self) -> Loss | Any:
        loss, default = super().reconstruction_loss, self.default_loss
        if type(loss) is not type(default) and (self.tokens or self.data_likelihood is not None):
            what = "the distribution of tokens" if self.tokens else "the variance of its own likelihood"
            raise ValueError(f"The model learns {what}, which another loss ignores: give compile no loss.")
        return loss

    # === Networks ===

    def build(self, input_shape: Shape | Any) -> None:
        _sequence_networks.sequence_shape(tuple(input_shape[1:]), self.tokens)
        super().build(input_shape)
        if self.data_likelihood is not None:
            self.data_likelihood.build(self.add_weight, self.y_shape)

    def _network_options(self, x_shape: Shape) -> dict[str, Any]:
        features = _sequence_networks.sequence_shape(x_shape, self.tokens)[1]
        names = ("latent_dim", "tokens", "embedding_dim", "cell", "units", "seed")
        return {**{name: getattr(self, name) for name in names}, "features": features, "dtype": self.dtype_policy}

    def build_encoder(self, x_shape: Shape) -> keras.Model:
        return _sequence_networks.SequenceEncoder(
            **self._network_options(x_shape),
            bidirectional=self.bidirectional,
            variational=self.variational,
            name="encoder",
        )

    def build_decoder(self, x_shape: Shape) -> keras.Model:
        return _sequence_networks.SequenceDecoder(
            **self._network_options(x_shape),
            steps=x_shape[0],
            autoregressive=self.autoregressive,
            both_ways=self.bidirectional,
            name="decoder",
        )

    def tracker(self, name: str) -> keras.metrics.Metric:
        own: dict[str, Callable[[], keras.metrics.Metric]] = {
            "active_units": lambda: ActiveUnits(self.code_shape),
            "bits_per_token": BitsPerToken,
        }
        return own[name]() if name in own else super().tracker(name)

    def initialize_from(self, x: np.ndarray) -> None:
        """Set a learned variance to the variance of the data around their mean, the optimum without a code."""
        if self.data_likelihood is not None:
            self.data_likelihood.initialize_from(x)

    # === The objective ===

    def complete(self, x: Tensor) -> tuple[Any, Any]:
        """Replace missing values; steps without any observed value are masked for the encoder."""
        given = _keras.mask_of(x)
        x, observed = super().complete(x[:])  # a tensor without Keras' mask, about which the layer would warn
        observed = observed if given is None else observed & given[..., None]
        mask = ops.any(observed, axis=-1)
        x = ops.where(_sequence_networks.ends(x, mask)[..., None], x, ops.zeros_like(x))
        _keras.set_mask(x, mask)
        return x, observed

    def moments(self, x: Tensor) -> tuple[Any, Any]:
        """Return μ and log σ² of q(z given x), (batch, latent_dim) float32; without `variational`, the code and None.

        Args:
            x: Samples, (batch, *input_shape).
        """
        return self.encoder.moments(x)

    def noise(self, shape: Shape | Tensor) -> Tensor:
        """Draw the standard normal ε of z = μ + σε."""
        return self.random.normal(shape)

    def objective(self, batch: Batch, training: bool) -> tuple[dict[str, Any], Any]:
        z, log_variance = self.moments(batch.x)
        reported = {}
        if self.variational:
            reported["active_units"] = z
            reported["kl"] = self.beta.value * kl_term(batch, z, log_variance, self.free_bits)
            z = reparameterized(z, log_variance, self.noise(ops.shape(z)))
        hides = training and self.word_dropout
        keep = self.random.uniform(ops.shape(batch.y)[:2]) >= self.word_dropout if hides else None
        y_pred = self.decoder.parameters(z, batch.y, keep)
        batch = dataclasses.replace(batch, mask=self._counted(batch.y, batch.mask))
        reported["reconstruction"] = self.reconstruction(batch, y_pred)
        if not self.tokens:
            return reported, y_pred
        counts = ops.cast(batch.mask, "float32")
        nats = _TOKEN_LOSS.elementwise(batch.y, y_pred) * counts
        reported["bits_per_token"] = ops.sum(nats, axis=1), ops.sum(counts, axis=1)
        y_pred = ops.softmax(y_pred)
        _keras.set_mask(y_pred, batch.mask)
        return reported, y_pred

    # === Verbs ===

    def scores(self, x: Tensor, *, observed: Tensor | None = None, **conditions: Tensor) -> Tensor:
        """Return the error of each sample at z = μ, of a variational model plus β KL(q‖p(z)), (batch,) float32."""
        z, log_variance = self.moments(x)
        observed = _keras.mask_of(x) if observed is None else observed
        error = self.errors(x, self.decoder.parameters(z, x), self._counted(x, observed))
        if not self.variational:
            return error
        return error + self.beta.value * ops.sum(losses.gaussian_kl(z, log_variance), axis=-1)

    def feature_scores(self, x: Tensor, *, observed: Tensor | None = None, **conditions: Tensor) -> Tensor:
        """Return the error of each value or token at z = μ; the KL divergence belongs to no step."""
        y_pred = self.decoder.parameters(self.moments(x)[0], x)
        observed = _keras.mask_of(x) if observed is None else observed
        return self.feature_errors(x, y_pred, self._counted(x, observed))

    def _counted(self, x: Tensor, observed: Tensor | None) -> Tensor | None:
        """Return the mask of the values, or steps, that count in the error; None if all do."""
        if not self.tokens:
            return observed
        counts = _sequence_networks.until_end(x)
        return counts if observed is None else counts & observed

    def score_steps(self, x: Data, *, batch_size: int | None = None) -> Tensor:
        """Return the reconstruction error of each step: higher is more anomalous.

        Steps that do not count, because they are padding or missing, have error 0. The sum over the steps is
        `score_samples`, without the KL divergence of a variational model. `contributions` splits the error of a step
        into its features.

        Args:
            x: As in `encode`.
            batch_size: As in `encode`.

        Returns:
            (n, steps) float32.

        Raises:
            ValueError: As in `contributions`.

        Example:
            >>> model = SequenceAE(latent_dim=2, units=(4,), seed=0)
            >>> x = np.random.default_rng(0).normal(size=(3, 5, 2)).astype("float32")
            >>> bool(np.allclose(np.sum(model.score_steps(x), axis=1), model.score_samples(x), rtol=1e-5))
            True
        """
        return self._verbs.run("score_steps", self._score_steps, x, {}, batch_size)

    def _score_steps(self, x: Tensor, conditions: Mapping[str, Any]) -> Tensor:
        parts = self._contributions(x, conditions)
        return parts if self.tokens else ops.sum(parts, axis=-1)

    def sample(
        self, n: int | None = None, temperature: float = 1.0, z: ArrayLike | None = None, seed: int | None = None
    ) -> Tensor:
        """Generate sequences. The exported signature `sample` accepts n of at most 10,000 and a temperature >= 0.

        Args:
            n: Number of sequences; not needed if `z` is given.
            temperature: τ >= 0, by which logits of tokens are divided: 0 takes the likeliest token each time, 1 draws
                from the model's distribution. Series are means and ignore it.
            z: Codes, (n, latent_dim); None draws them from N(0, I), for a variational model.
            seed: An integer that makes the result reproducible; None continues the model's own random state.

        Returns:
            Tokens, (n, steps) int32, 0 after the end; or series, (n, steps, features) float32.

        Raises:
            ValueError: If neither n nor z is given, n is not the number of codes, or codes are not given and the model
                has no prior.

        Example:
            >>> model = SequenceAE(latent_dim=2, units=(4,), tokens=6, seed=0)
            >>> model.build((None, 5))
            >>> model.sample(z=np.zeros((3, 2)), seed=0).shape
            TensorShape([3, 5])
        """
        _validation.check_built(self)
        _validation.check_at_least("temperature", temperature, 0)
        codes = None
        if z is not None:
            codes = ops.convert_to_tensor(z, "float32")
            _validation.check_code_shape(self, codes.shape)
            if n not in (None, codes.shape[0]):
                raise ValueError(f"n={n} sequences were asked for, but there are {codes.shape[0]} codes.")
        elif not self.variational:
            raise ValueError("Codes have no prior to draw from: give z, or make the model with variational=True.")
        elif n is None:
            raise ValueError("Give n, the number of sequences, or z, their codes.")
        else:
            n = tf.constant(_validation.check_int("n", n, 1))  # a Python number would make a graph of its own
        seed = None if seed is None else _validation.check_int("seed", seed)
        return self._draw(n, tf.constant(temperature, "float32"), codes, self.random.seed_of(seed))

    @tf.function(autograph=False, reduce_retracing=True)
    def _draw(self, n: Tensor, temperature: Tensor, z: Tensor, seed: Tensor) -> Tensor:
        if z is None:
            of_codes = tf.random.experimental.stateless_fold_in(seed, self.x_shape[0], alg="philox")
            z = tf.random.stateless_normal((n, *self.code_shape), of_codes, alg="philox")
        return self.decoder.draw(z, temperature, seed)

    # === Self-description ===

    @classmethod
    def cli_defaults(cls, training: Training) -> dict[str, Any]:
        """Return defaults with 16 code units."""
        return {"latent_dim": 16}

    def report_measures(self, x: Tensor, code: Tensor) -> dict[str, Any]:
        measures: dict[str, Any] = {"active_units": code} if self.variational else {}
        if self.tokens:
            x = self._input(x)
            measures["negative_log_likelihood"] = self.errors(
                x, self.decoder.parameters(code, x), self._counted(x, None)
            )
        return measures

    def report_pictures(self, x: np.ndarray) -> dict[str, Callable[[], matplotlib.figure.Figure]]:
        """Return pictures of series and their reconstructions; tokens have none."""
        from aezoo import plots

        if self.tokens:
            return {}
        few = np.asarray(x[:4])
        return {"reconstructions.png": lambda: plots.series(few, self.reconstruct(few), self.score_steps(few))}

    # === Saving ===

    def signatures(self) -> dict[str, tuple[Any, dict[str, tf.TensorSpec], str]]:
        signatures = super().signatures()
        if "score" in signatures:
            signatures["score_steps"] = (self.score_steps, signatures["score"][1], "scores")
        if not self.variational:
            return signatures

        def draw(n: Tensor, temperature: Tensor, seed: Tensor) -> Tensor:
            return self._draw(n, temperature, None, self.random.seed_of(seed))

        return {**signatures, "sample": (*export.sample_signature(self.x_shape, draw), "sample")}

    def get_config(self) -> dict[str, Any]:
        names = "units cell bidirectional variational tokens embedding_dim word_dropout free_bits"
        config = {name: value for name, value in super().get_config().items() if name not in self.fixed_arguments}
        own = {name: getattr(self, name) for name in names.split()}
        return {**config, **own, "decoder": self.decoding, "beta": schedules.serialize(self.beta.schedule)}


@keras.saving.register_keras_serializable("aezoo")
class _TokenCrossEntropy(losses.SummedLoss):
    """Loss -log p of tokens, from the logits of the decoder, summed over the steps of a sequence."""

    def __init__(self, name: str = "token_cross_entropy", **kwargs: Any):
        super().__init__(name=name, **kwargs)

    def elementwise(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """Return -log p of tokens (batch, steps) for logits (batch, steps, tokens), (batch, steps) float32."""
        return tf.nn.sparse_softmax_cross_entropy_with_logits(tf.cast(y_true, "int32"), as_float32(y_pred))


_TOKEN_LOSS = _TokenCrossEntropy()
