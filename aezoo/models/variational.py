"""The variational autoencoder."""

from __future__ import annotations

import functools
import math
import types
import warnings
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Literal

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from aezoo import _validation, likelihoods, losses, priors, schedules
from aezoo._numerics import as_float32
from aezoo._typing import Activation, ArrayLike, Data, Loss, Shape, Tensor
from aezoo.layers import RandomState
from aezoo.layers.bounded import LOG_VARIANCE, bounded
from aezoo.metrics import ActiveUnits
from aezoo.models.autoencoder import Autoencoder
from aezoo.saving import export
from aezoo.training import gate, inference, samples
from aezoo.training.batch import Batch
from aezoo.training.forward import Forward

if TYPE_CHECKING:
    import matplotlib.figure

    from aezoo.cli.defaults import Training

_CHUNK = 2**22  # values of x' that an estimate of log p(x) holds in memory at once
# Above this weight, relative to a reconstruction error that is summed over features, the KL has switched codes off.
_HEAVY = 10


@keras.saving.register_keras_serializable("aezoo")
class VAE(Autoencoder):
    """Variational autoencoder: p(z) p(x given z), z ~ N(0, I), trained by -ELBO = -E_q log p(x given z) + β KL(q‖p(z)).

    A `prior` takes the place of N(0, I) and is learned, too: KL(q‖p(z)) is then estimated at the drawn z.

    The encoder computes q(z given x) = N(μ(x), diag σ²(x)) and `encode` returns μ; the decoder returns the mean of x.
    With `importance_samples` k > 1, the loss is the bound of the importance-weighted autoencoder, -E log ⅟ₖ Σᵢ wᵢ,
    log w = log p(x given z) + β (log p(z) - log q(z given x)).

    Evaluation draws z, too, so that its loss is the bound. Training also reports `active_units`, the number of code
    units whose μ has a variance of more than 0.01 over the data of an epoch, and for k > 1 `reconstruction` and `kl`.

    Args:
        latent_dim: Number of code units.
        beta: β >= 0, a number or a schedule by the epoch.
        likelihood: p(x given z): "bernoulli" (data in [0, 1]; binarize them for a true likelihood), "gaussian",
            "poisson", "negative_binomial" or "zero_inflated_negative_binomial" (counts), or an
            `aezoo.likelihoods.Likelihood`.
        variance: Variance of likelihood="gaussian", > 0; None learns one variance for all features.
        free_bits: λ >= 0, in nats: the minimum that each code unit's mean KL over the batch contributes to the loss.
        importance_samples: k >= 1, the number of codes drawn per sample.
        gradient_estimator: Gradient of the bound for k > 1. "standard" is the gradient of the loss. "stl" (sticking the
            landing) leaves out the derivative of log q(z given x) by its parameters, whose expectation is zero for
            k = 1 but not for k > 1. "dreg" (doubly reparameterized) weighs the paths through z by squared importance
            weights: unbiased, and less noisy the larger k is.
        prior: p(z): "vamp", a mixture of posteriors; "flow", an invertible map of N(0, I); an `aezoo.priors.Prior`; or
            None for N(0, I).
        code_activation: σ of the code μ.
        output_activation: σ' of the reconstruction; None takes the default of the likelihood, such as "sigmoid" for
            "bernoulli".
        encoder: A Keras model from x to μ and log σ², two outputs of the same shape: (batch, units) or, for a spatial
            code, (batch, height, width, channels).
        **kwargs: Arguments of `Autoencoder`.

    Raises:
        ValueError: If an argument is out of range, free bits are combined with an importance-weighted bound or a prior,
            or a gradient estimator is chosen for k = 1.

    Example:
        >>> from aezoo.schedules import Linear
        >>> model = VAE(latent_dim=20, hidden_dims=(400,), beta=Linear(0.0, 1.0, epochs=10))

    Reference:
        Kingma & Welling, "Auto-encoding variational Bayes", ICLR 2014; Higgins et al., "β-VAE", ICLR 2017, for β;
        Kingma et al., "Improved variational inference with inverse autoregressive flow", NeurIPS 2016, for free bits;
        Burda, Grosse & Salakhutdinov, "Importance weighted autoencoders", ICLR 2016; Roeder, Wu & Duvenaud, "Sticking
        the landing", NeurIPS 2017, arXiv:1703.09194; Tucker et al., "Doubly reparameterized gradient estimators", ICLR
        2019, arXiv:1810.04152.
    """

    metric_modes = types.MappingProxyType({"reconstruction": "min", "kl": "min"})
    unbounded = "likelihood='gaussian'"

    def __init__(
        self,
        latent_dim: int | None = None,
        *,
        beta: schedules.Schedulable = 1.0,
        likelihood: likelihoods.Name | likelihoods.Likelihood = "bernoulli",
        variance: float | None = None,
        free_bits: float = 0.0,
        importance_samples: int = 1,
        gradient_estimator: Literal["standard", "stl", "dreg"] = "standard",
        prior: priors.Name | priors.Prior | None = None,
        code_activation: Activation | None = "linear",
        output_activation: Activation | None = None,
        encoder: keras.Model | None = None,
        **kwargs: Any,
    ):
        data_likelihood = likelihoods.get(likelihood)
        if likelihood == "gaussian":
            data_likelihood = likelihoods.Gaussian(variance)
        elif variance is not None:
            raise ValueError("Only likelihood='gaussian' has a variance: leave it out.")
        _validation.check_at_least("free_bits", free_bits, 0)
        _validation.check_int("importance_samples", importance_samples, 1)
        _validation.check_choice("gradient_estimator", gradient_estimator, ("standard", "stl", "dreg"))
        if gradient_estimator != "standard" and importance_samples == 1:
            raise ValueError(
                f"gradient_estimator={gradient_estimator!r} is of an importance-weighted bound: set importance_samples."
            )
        if free_bits and prior is not None:
            raise ValueError(
                "free_bits change the KL of a code unit, which a learned prior does not have: choose one of the two."
            )
        if free_bits and importance_samples > 1:
            raise ValueError(
                "free_bits change the KL of a code unit, which an importance-weighted bound does not have: choose one."
            )
        if kwargs.get("missing", "error") != "error" and getattr(data_likelihood, "library_size", None):
            raise ValueError(
                "The library size of a sample with missing values is unknown: choose missing='error', or a likelihood "
                "without library_size."
            )
        if output_activation is None:
            output_activation = data_likelihood.output_activation
        super().__init__(
            latent_dim,
            code_activation=code_activation,
            output_activation=output_activation,
            encoder=encoder,
            **kwargs,
        )
        self.likelihood = likelihood if isinstance(likelihood, str) else data_likelihood
        self.data_likelihood = data_likelihood
        self.variance = variance
        self.free_bits = free_bits
        self.importance_samples = importance_samples
        self.gradient_estimator = gradient_estimator
        self.prior = priors.get(prior)
        self.beta = schedules.Scheduled(beta)
        _validation.check_at_least("beta", self.beta.schedule.minimum, 0)
        self.random = RandomState(self.seed)
        self.observation: keras.Model | None = None

    @property
    def term_names(self) -> tuple[str, ...]:
        return ("reconstruction", "kl") if self.importance_samples == 1 else ("importance_weighted_bound",)

    @property
    def metric_names(self) -> tuple[str, ...]:
        return ("active_units",) if self.importance_samples == 1 else ("reconstruction", "kl", "active_units")

    @property
    def default_loss(self) -> keras.losses.Loss:
        """-log p(x given z)."""
        return self.data_likelihood.loss

    @property
    def reconstruction_loss(self) -> Loss | Any:
        loss, default_loss = super().reconstruction_loss, self.default_loss
        if type(loss) is not type(default_loss) and self.data_likelihood.learns:
            raise ValueError(
                "The model learns the variance of its own likelihood, or another parameter besides the mean, which "
                "another loss ignores: give compile no loss, or the model a likelihood such as Gaussian(1.0)."
            )
        return loss

    # === Networks ===

    def build(self, input_shape: Shape | Any) -> None:
        if self._given_encoder is not None:
            x = self._symbolic_inputs(self._with_condition_specs(input_shape))
            taken = self._taken(self._given_encoder, x)
            moments = _validation.call_network("encoder", self._given_encoder, taken, outputs=2)
            if not isinstance(moments, (list, tuple)) or len(moments) != 2 or moments[0].shape != moments[1].shape:
                raise ValueError(
                    "The encoder of a VAE returns two tensors of the same shape: μ and log σ² of the code."
                )
            self.posterior = keras.Model(taken, moments, name="posterior")
            self.encoder = keras.Model(taken, moments[0], name="encoder")
        if self._given_decoder is not None:
            self.decoder = self._mean_of(self._given_decoder, moments[0].shape[1:])
        super().build(input_shape)
        self.data_likelihood.build(self.add_weight, self.y_shape)
        if self.prior is not None:
            self.prior.build_for(self)
            self.prior.built = True

    def tracker(self, name: str) -> keras.metrics.Metric:
        return ActiveUnits(self.code_shape) if name == "active_units" else super().tracker(name)

    def build_encoder(self, x_shape: Shape, **kwargs: Any) -> keras.Model:
        encoder = super().build_encoder(x_shape, **{"first": self.data_likelihood.encoder_layer(), **kwargs})
        code = encoder.layers[-1]
        log_variance = keras.layers.Dense(
            self.latent_dim,
            kernel_initializer=keras.initializers.GlorotUniform(self.seed),
            dtype=self.dtype_policy,
            name="log_variance",
        )
        moments = [encoder.outputs[0], log_variance(code.input)]
        self.posterior = keras.Model(encoder.inputs[0], moments, name="posterior")
        return encoder

    def build_decoder(self, x_shape: Shape, **kwargs: Any) -> keras.Model:
        shape = self.data_likelihood.decoder_shape(x_shape)
        if shape != x_shape and (self.tied or self._given_encoder is not None):
            raise ValueError(
                f"The likelihood needs a decoder's output of shape {shape} for samples of {x_shape}, which the mirror "
                "image of an encoder does not return: set tied=False, or give a decoder of your own."
            )
        decoder = super().build_decoder(shape, **kwargs)
        return self._mean_of(decoder, decoder.input_shape[1:])

    def _mean_of(self, decoder: keras.Model, z_shape: Shape) -> keras.Model:
        """Return the network of the mean of x; keep a network of more parameters of p(x given z) as `observation`."""
        inputs: Any = keras.Input(z_shape, dtype=self.compute_dtype)
        if self.condition_names and decoder is self._given_decoder:
            specs = {name: self.condition_specs[name] for name in self.condition_names}
            inputs = {"z": inputs, **{name: keras.Input(spec.shape, dtype=spec.dtype) for name, spec in specs.items()}}
        taken = self._taken(decoder, inputs)
        y_pred = _validation.call_network("decoder", decoder, taken)
        probe = ops.zeros([size or 1 for size in y_pred.shape], y_pred.dtype)
        if self.data_likelihood.mean(probe) is probe:
            return decoder
        self.observation = decoder
        return keras.Model(taken, _Mean(self.data_likelihood, name="mean")(y_pred), name="decoder")

    @property
    def log_variance(self) -> Tensor | None:
        """The variable of the learned log σ²; None before the model is built or if the variance is fixed."""
        return getattr(self.data_likelihood, "variable", None)

    def initialize_from(self, x: np.ndarray) -> None:
        """Set the learned variance to the variance of the data around their mean, the optimum without a code."""
        self.data_likelihood.initialize_from(x)
        if self.prior is not None:
            self.prior.initialize_from(x)

    # === The objective ===

    def decode_parameters(
        self, z: Tensor, conditions: Mapping[str, Any] | None = None, training: bool = False
    ) -> Tensor:
        """Return the parameters of p(x given z) that the decoder computes, without checks; this also runs in a graph.

        Args:
            z: Codes, (batch, *code_shape).
            conditions: Conditions by name, one entry per code.
            training: Whether this is a training step.

        Returns:
            (batch, *shape) with the shape that `aezoo.likelihoods.Likelihood.decoder_shape` returns: the means of x,
            unless the likelihood has further parameters.
        """
        if self.observation is None:
            return self.run_decoder(z, conditions, training)
        return self._run(self.observation, "z", z, conditions, training)

    def moments(self, x: Tensor, training: bool = False, **conditions: Tensor) -> tuple[Any, Any]:
        """Return μ and log σ² of q(z given x), (batch, *code_shape) float32; log σ² is clipped to [-30, 15].

        Args:
            x: Samples, (batch, *input_shape).
            training: Whether this is a training step.
            **conditions: Conditions by name, one entry per sample.
        """
        mean, log_variance = (as_float32(t) for t in self._run(self.posterior, "x", x, conditions, training))
        return mean, bounded(log_variance, *LOG_VARIANCE)

    def drawn(self, moments: tuple[Tensor, Tensor], noise: Tensor | None) -> tuple[Any, Any, Any]:
        """Return codes of q(z given x), and μ and log σ² of the Gaussian that each comes from.

        Args:
            moments: Result of `moments`, (batch, *code_shape) each.
            noise: ε ~ N(0, I), (k, batch, *code_shape), for k codes per sample; None for the mean code, which `encode`
                returns.

        Returns:
            z, (k, batch, *code_shape) or (batch, *code_shape) float32; μ and log σ², of shapes that broadcast with it.
            The divergence needs z = μ + σ ε with these.
        """
        return moments[0] if noise is None else reparameterized(*moments, noise), *moments

    def objective(self, batch: Batch, training: bool) -> tuple[dict[str, Any], Any]:
        k = self.importance_samples
        moments = self.moments(batch.x, training, **batch.conditions)
        noise = self.noise((k, *ops.shape(moments[0])))
        conditions = _repeated(batch.conditions, k)
        weights: list[Any] = []
        z, mean, log_variance = self.drawn(moments, noise)
        if self.gradient_estimator == "dreg":
            z = _weighing_gradients(z, weights)
        y_pred = self.decode_parameters(_rows(z), conditions, training)
        reported = {"active_units": self.drawn(moments, None)[0]}
        if k == 1:
            reported["reconstruction"] = self.reconstruction(batch, y_pred)
            reported |= self.penalties(batch, Forward((mean, log_variance), _rows(z), y_pred, training))
            return reported, self._mean_like(batch.y, y_pred)
        targets, weight, mask = (
            None if part is None else _rows(ops.broadcast_to(part, (k, *ops.shape(part))))
            for part in (batch.y, batch.feature_weight, batch.mask)
        )
        errors = losses.per_sample(self.reconstruction_loss, targets, y_pred, weight, observed=mask)[0]
        errors = ops.reshape(errors, (k, -1))
        log_ratio = self._log_prior_ratio((mean, log_variance), noise, z, self.gradient_estimator != "standard")
        log_weights = self.beta.value * log_ratio - errors
        weights.append(ops.stop_gradient(ops.softmax(log_weights, axis=0)))
        bound = math.log(k) - ops.logsumexp(log_weights, axis=0)
        reported["importance_weighted_bound"] = batch.mean(bound)
        reported["reconstruction"] = batch.mean(ops.mean(errors, axis=0))
        reported["kl"] = self.beta.value * self._divergence(batch, mean, log_variance, z)
        return reported, self._mean_like(batch.y, y_pred[: ops.shape(moments[0])[0]])

    def penalties(self, batch: Batch, forward: Forward) -> dict[str, Any]:
        """Return β KL(q‖p(z)) by its name; `forward.features` are μ and log σ², and `forward.code` is the drawn z.

        Args:
            batch: The batch.
            forward: Outputs of encoder and decoder. With `importance_samples`, there is no such term.
        """
        mean, log_variance = forward.features
        return {"kl": self.beta.value * self._divergence(batch, mean, log_variance, forward.code[None])}

    def _divergence(self, batch: Batch, mean: Tensor, log_variance: Tensor, z: Tensor) -> Tensor:
        """Return this replica's share of KL(q‖p(z)), with a learned prior at codes z, (k, batch, *code_shape)."""
        if self.prior is None:
            return kl_term(batch, mean, log_variance, self.free_bits)
        return batch.mean(ops.mean(self._divergence_at(z, mean, log_variance), axis=0))

    def _divergence_at(self, z: Tensor, mean: Tensor, log_variance: Tensor) -> Tensor:
        """Return -H(q) - log p(z), (..., batch), whose expectation over z ~ q is KL(q‖p(z))."""
        entropy = 0.5 * _sum(math.log(2 * math.pi) + 1 + log_variance)
        assert self.prior is not None
        return -entropy - self.prior.log_density(z, self)

    def _log_prior_ratio(
        self, moments: tuple[Tensor, Tensor], noise: Tensor, z: Tensor, stopped: bool = False
    ) -> Tensor:
        """Return log p(z) - log q(z given x) of z = μ + σε, (k, batch), without gradients of μ and σ if `stopped`."""
        mean, log_variance = moments
        if self.prior is None and not stopped:
            return 0.5 * _sum(log_variance + ops.square(noise) - ops.square(z), batch_axes=2)
        if stopped:
            mean, log_variance = ops.stop_gradient(mean), ops.stop_gradient(log_variance)
        log_q = _sum(losses.gaussian_log_density(z, mean, log_variance), batch_axes=2)
        if self.prior is None:
            return _sum(losses.gaussian_log_density(z), batch_axes=2) - log_q
        return self.prior.log_density(z, self) - log_q

    def _mean_like(self, x: Tensor, y_pred: Tensor) -> Tensor:
        """Return the means that the decoder's output has for samples of the size of x."""
        return self.data_likelihood.rescaled(self.data_likelihood.mean(y_pred), x)

    def call(self, x: Tensor, training: bool = False) -> Tensor:
        mean = super().call(x, training)
        return self.data_likelihood.rescaled(mean, x["x"] if gate.is_dict(x) else x)

    def _reconstruct(self, x: Tensor, conditions: Mapping[str, Any]) -> Tensor:
        return self.data_likelihood.rescaled(super()._reconstruct(x, conditions), x)

    def check_scale(self, x: np.ndarray) -> None:
        """Warn if samples are on a scale that the model does not expect.

        Raises:
            ValueError: If samples are outside the domain of the likelihood.
        """
        if hasattr(x, "shape") and not isinstance(x, tf.SparseTensor):
            taken = samples.take(x)[1]
            self.data_likelihood.check_data(taken)
            if self.output_bounds is None and "int" not in self.input_dtype:
                _validation.check_scale(self, self.data_likelihood.standardized(taken))

    def check_loss(self) -> None:
        """Warn if the loss averages over features: the divergence, which is a sum, then outweighs the data."""
        loss = keras.losses.get(self.reconstruction_loss)
        weight = self.beta.schedule.maximum * math.prod(size or 1 for size in self.x_shape)
        # Keras' own losses average; for a user's function this is unknown.
        if getattr(loss, "__module__", type(loss).__module__).startswith("keras.") and weight > _HEAVY:
            warnings.warn(
                f"The loss {getattr(loss, 'name', None) or loss.__name__!r} averages over features while the KL "
                f"divergence is a sum, which makes beta count as {weight:.4g} and may leave the code unused: give "
                "compile no loss, or aezoo.losses.SquaredError(), or divide beta by the number of features.",
                stacklevel=3,
            )

    def noise(self, shape: Shape | Tensor) -> Tensor:
        """Draw the standard normal ε of z = μ + σε."""
        return self.random.normal(shape)

    # === Self-description ===

    @classmethod
    def cli_defaults(cls, training: Training) -> dict[str, Any]:
        """Return defaults with 20 code units and a hidden layer, which a code of few units needs."""
        hidden = {} if training.given.get("filters") else {"hidden_dims": (400 if training.latent_dim > 100 else 64,)}
        return {"latent_dim": 20, **hidden}

    def report_measures(self, x: Tensor, code: Tensor) -> dict[str, Any]:
        return {"active_units": code}

    def report_pictures(self, x: np.ndarray) -> dict[str, Callable[[], matplotlib.figure.Figure]]:
        from aezoo import plots

        samples = x["x"] if self.condition_names else x

        def first(n: int) -> dict[str, Any]:
            return {name: x[name][:n] for name in self.condition_names}

        count = min(50, len(samples)) if self.condition_names else 50
        paths = min(5, len(samples) // 2)
        pictures = {
            **super().report_pictures(x),
            "samples.png": lambda: plots.samples(self.sample(count, **first(50))),
            "interpolation.png": lambda: plots.interpolation(
                self, samples[:paths], samples[paths : 2 * paths], **first(paths)
            ),
        }
        if self.code_shape == (2,) and not self.condition_names and self.prior is None:
            pictures["manifold.png"] = lambda: plots.manifold(self)
        return pictures

    # === Verbs ===

    def sample(self, n: int, seed: int | None = None, **conditions: ArrayLike) -> Tensor:
        """Draw n codes from the prior and return the means of x given the codes, (n, *input_shape) float32.

        The exported signature `sample` accepts n of up to 10,000, and at most as many samples as have 2²⁵ values.

        Args:
            n: Number of samples, limited only by memory.
            seed: An integer that makes the result reproducible; None continues the model's own random state.
            **conditions: Conditions by name, one entry per sample, or one for all.

        Raises:
            ValueError: If n is less than 1, codes have no fixed size, or a condition is missing.
        """
        _validation.check_built(self)
        _validation.check_int("n", n, 1)
        if None in self.code_shape:
            raise ValueError(
                f"Codes of shape {self.code_shape} have no fixed size to draw: draw z from N(0, I) yourself and pass "
                "it to decode."
            )
        seed = None if seed is None else _validation.check_int("seed", seed)
        return self.decode(self._codes(n, seed), **gate.conditions_of(self, conditions, n))

    def _codes(self, n: Tensor, seed: Tensor) -> Tensor:
        seed = self.random.seed_of(seed)
        if self.prior is not None:
            return self.prior.draw(n, seed, self)
        return tf.random.stateless_normal((n, *self.code_shape), seed, alg="philox")

    def _draw(self, n: Tensor, seed: Tensor, conditions: Mapping[str, Tensor]) -> Tensor:
        return self.run_decoder(self._codes(n, seed), conditions)

    def scores(self, x: Tensor, *, observed: Tensor | None = None, **conditions: Tensor) -> Tensor:
        """Return -log p(x given z) + β KL(q‖p(z)) of each sample at z = μ, (batch,): higher is more anomalous.

        With a learned prior, -log p(μ) takes the place of the expectation of -log p(z) in the divergence.
        """
        z, mean, log_variance = self.drawn(self.moments(x, **conditions), None)
        error = self.errors(x, self.decode_parameters(z, conditions), observed)
        if self.prior is None:
            return error + self.kl_weight * _sum(losses.gaussian_kl(mean, log_variance))
        return error + self.kl_weight * self._divergence_at(z, mean, log_variance)

    @property
    def kl_weight(self) -> Tensor | float:
        """Weight of the KL divergence in `score_samples`: β."""
        return self.beta.value

    def feature_scores(self, x: Tensor, *, observed: Tensor | None = None, **conditions: Tensor) -> Tensor:
        """Return -log p(xᵢ given z) of each feature at z = μ; the KL divergence belongs to no feature."""
        z, *_ = self.drawn(self.moments(x, **conditions), None)
        return self.feature_errors(x, self.decode_parameters(z, conditions), observed)

    def impute(  # type: ignore[override]  # no condition can have the name `samples`
        self,
        x: Data,
        *,
        steps: int = 1,
        samples: int | None = None,
        batch_size: int | None = None,
        **conditions: ArrayLike,
    ) -> Any:
        """Replace missing values of x by the model's expectation of them; observed values are unchanged.

        Without `samples`, the expectation is the mean of x at the mean code, and further steps repeat it with the
        result of the step before: a Gibbs chain [1] of means instead of draws. With `samples`, it is the mean over
        codes that are drawn from q(z given x) and weighted by p(observed x given z) p(z) / q(z given x), which
        approaches the model's conditional expectation of the missing values as their number grows [2]. Draws
        continue the model's random state.

        Args:
            x: As in `encode`.
            steps: Number of steps; with `samples`, the last one is the weighted mean.
            samples: Number of codes per sample, for example 100; None takes the mean code.
            batch_size: As in `encode`.
            **conditions: Conditions by name, one entry per sample, or one for all.

        Returns:
            As `Autoencoder.impute`. Missing classes of an `aezoo.likelihoods.MixedTable` become probabilities.

        Raises:
            ValueError: As `Autoencoder.impute`.

        Reference:
            [1] Rezende, Mohamed & Wierstra, "Stochastic backpropagation and approximate inference in deep generative
            models", ICML 2014; [2] Mattei & Frellsen, "MIWAE", ICML 2019, arXiv:1812.02633.
        """
        if samples is None:
            given: dict[str, Any] = conditions
            return super().impute(x, steps=steps, batch_size=batch_size, **given)
        self._check_imputes()
        _validation.check_int("steps", steps, 1)
        _validation.check_int("samples", samples, 1)
        function = functools.partial(self._impute_by_samples, steps=steps, samples=samples)
        return self._in_form_of(x, self._verbs.run(f"impute {steps} {samples}", function, x, conditions, batch_size))

    def _impute_by_samples(self, x: Tensor, conditions: Mapping[str, Any], steps: int, samples: int) -> Tensor:
        filled, observed = self.complete(x)
        if steps > 1:
            filled = self._impute(x, conditions, steps - 1)
        moments = self.moments(filled, **conditions)
        # The codes come in chunks, so that memory holds about 4 million values of x' at once.
        most = tf.clip_by_value(_CHUNK // tf.maximum(tf.size(x), 1), 1, samples)

        def add(done: Tensor, total: Tensor, expected: Tensor) -> tuple[Tensor, Tensor, Tensor]:
            chunk = tf.minimum(most, samples - done)
            log_weights, y_pred, targets = self._weighted(chunk, moments, filled, conditions, observed)
            means = tf.reshape(self._mean_like(targets, y_pred), tf.concat([[chunk], tf.shape(x)], 0))
            new = tf.reduce_logsumexp(tf.concat([total[None], log_weights], 0), axis=0)
            weights = tf.exp(tf.concat([total[None], log_weights], 0) - new)
            weights = tf.reshape(weights, tf.concat([tf.shape(weights), tf.ones(len(x.shape) - 1, "int32")], 0))
            return done + chunk, new, tf.reduce_sum(weights * tf.concat([expected[None], means], 0), axis=0)

        start = tf.constant(0), tf.fill(tf.shape(x)[:1], -math.inf), tf.zeros_like(as_float32(filled))
        *_, expected = tf.while_loop(lambda done, *_: done < samples, add, start)
        return tf.where(observed, filled, tf.cast(expected, filled.dtype))

    def _weighted(
        self,
        k: Tensor,
        moments: tuple[Tensor, Tensor],
        x: Tensor,
        conditions: Mapping[str, Any],
        observed: Tensor | None = None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Draw k codes per sample from q(z given x), and weight them.

        Args:
            k: Number of codes.
            moments: μ and log σ² of q(z given x), (batch, *code_shape) each.
            x: Samples, (batch, *input_shape).
            conditions: Conditions by name, one entry per sample.
            observed: Boolean mask of the values of x that count, of the shape of x; None if all count.

        Returns:
            log p(x given z) p(z) / q(z given x), (k, batch); the parameters of p(x given z), (k · batch, ...); and x
            for each code, (k · batch, *input_shape).
        """
        noise = self.random.normal((k, *ops.shape(moments[0])))
        z, mean, log_variance = self.drawn(moments, noise)
        y_pred = self.decode_parameters(_rows(z), _repeated(conditions, k))
        repeated = _repeated({"x": x} if observed is None else {"x": x, "observed": observed}, k)
        errors = losses.per_sample(self.default_loss, repeated["x"], y_pred, observed=repeated.get("observed"))[0]
        log_ratio = self._log_prior_ratio((mean, log_variance), noise, z)
        return log_ratio - tf.reshape(errors, (k, -1)), y_pred, repeated["x"]

    def log_likelihood(self, x: Data, samples: int = 5000, batch_size: int = 100, **conditions: ArrayLike) -> Tensor:
        """Estimate log p(x) by importance sampling from q(z given x): log ⅟ₛ Σ p(x given z) p(z) / q(z given x).

        The expectation of the estimate is a lower bound of log p(x), which becomes tighter with more samples. Codes are
        drawn in chunks, so that memory holds about 4 million values of x' at once.

        Args:
            x: Samples in the domain of `likelihood`, (n, *input_shape), or batched data as in `encode`.
            samples: s, the number of codes drawn per sample.
            batch_size: Maximum number of samples processed at once.
            **conditions: Conditions by name, one entry per sample, or one for all.

        Returns:
            (n,) float32, in nats.
        """
        _validation.check_int("samples", samples, 1)
        if self.missing != "error":
            raise ValueError(
                f"log p(x) cannot be estimated with missing={self.missing!r}: use a model with missing='error'."
            )
        estimates = []
        for piece in inference.pieces(self, x, conditions, batch_size=batch_size, compared=True)[1]:
            piece = inference.tensors(self, piece)
            if not piece.x.shape[0]:
                return ops.zeros((0,))
            chunk = max(1, _CHUNK // (batch_size * math.prod(piece.x.shape[1:])))
            sizes = tf.constant(samples), tf.constant(min(chunk, samples))
            estimates.append(self._log_likelihood(piece.x, dict(piece.conditions), *sizes))
        return ops.concatenate(estimates)

    @tf.function(reduce_retracing=True)
    def _log_likelihood(self, x: Tensor, conditions: Mapping[str, Tensor], samples: Tensor, most: Tensor) -> Tensor:
        # AutoGraph is for the loop alone: to look through the networks too takes longer than to trace them.
        unconverted = tf.autograph.experimental.do_not_convert
        moments, weighted = unconverted(self.moments)(x, **conditions), unconverted(self._weighted)

        total = tf.fill(tf.shape(x)[:1], -math.inf)
        done = 0
        while done < samples:
            chunk = tf.minimum(most, samples - done)
            log_weights = weighted(chunk, moments, x, conditions)[0]
            total = tf.reduce_logsumexp(tf.concat([total[None], log_weights], 0), axis=0)
            done += chunk
        return total - tf.math.log(tf.cast(samples, "float32"))

    def signatures(self) -> dict[str, tuple[Any, dict[str, tf.TensorSpec], str]]:
        if None in self.code_shape:
            return super().signatures()
        specs = super().signatures()
        seed = {"seed": tf.TensorSpec((), "int64", name="seed")}
        if self.condition_names:  # the number of samples is the number of conditions
            conditions = {name: specs["encode"][1][name] for name in self.condition_names}

            def sample_of(*inputs: Tensor) -> Tensor:
                *values, seed = inputs
                given = gate.conditions_of(self, dict(zip(self.condition_names, values, strict=True)), None)
                return self._draw(tf.shape(next(iter(given.values())))[0], seed, given)

            return {**specs, "sample": (sample_of, {**conditions, **seed}, "sample")}

        def sample(n: Tensor, seed: Tensor) -> Tensor:
            return self._draw(export.inside("n", n, 1, export.most_samples(self.x_shape)), seed, {})

        inputs = {"n": tf.TensorSpec((), "int32", name="n"), **seed}
        return {**specs, "sample": (sample, inputs, "sample")}

    def get_config(self) -> dict[str, Any]:
        names = ("likelihood", "variance", "free_bits", "importance_samples", "gradient_estimator")
        config = {**super().get_config(), **{name: getattr(self, name) for name in names}}
        config["prior"] = None if self.prior is None else keras.saving.serialize_keras_object(self.prior)
        if not isinstance(self.likelihood, str):
            config["likelihood"] = keras.saving.serialize_keras_object(self.likelihood)
        return {**config, "beta": schedules.serialize(self.beta.schedule)}


class _Mean(keras.layers.Layer):
    """The last layer of a decoder, which makes means of the parameters that the decoder computes."""

    def __init__(self, likelihood: likelihoods.Likelihood, **kwargs: Any):
        super().__init__(dtype="float32", **kwargs)
        self.likelihood = likelihood

    def call(self, y_pred: Tensor) -> Tensor:
        return self.likelihood.mean(y_pred)


def kl_term(batch: Batch, mean: Tensor, log_variance: Tensor, free_bits: float = 0.0) -> Tensor:
    """Return this replica's share of KL(q‖p(z)), the mean over the batch in nats, a float32 scalar.

    Args:
        batch: The batch.
        mean: μ of q(z given x), (batch, *code_shape).
        log_variance: log σ² of q(z given x), (batch, *code_shape).
        free_bits: λ >= 0, the minimum that the mean over the batch of each code unit counts.
    """
    dimensions = losses.gaussian_kl(mean, log_variance)
    if free_bits:
        return batch.per_replica(ops.sum(ops.maximum(batch.global_mean(dimensions), free_bits)))
    return batch.mean(_sum(dimensions))


def _sum(values: Tensor, batch_axes: int = 1) -> Tensor:
    """Sum over the axes of a code, which follow the batch axes."""
    return ops.sum(values, axis=tuple(range(batch_axes, len(values.shape))))


def reparameterized(mean: Tensor, log_variance: Tensor, noise: Tensor) -> Tensor:
    """Return z = μ + σε."""
    return mean + ops.exp(0.5 * log_variance) * noise


def _rows(x: Tensor) -> Tensor:
    """Merge k batches into one, (k, batch, ...) → (k · batch, ...)."""
    return ops.reshape(x, (-1, *x.shape[2:]))


def _repeated(conditions: Mapping[str, Tensor], k: Tensor) -> dict[str, Any]:
    """Repeat conditions k times in the order of `_rows`: k copies of the batch, one after the other."""
    return {
        name: _rows(tf.broadcast_to(values, tf.concat([[k], tf.shape(values)], 0)))
        for name, values in conditions.items()
    }


def _weighing_gradients(z: Tensor, weights: list[Any]) -> Tensor:
    """Return z, whose gradient is multiplied by the importance weights that `weights` will hold by then.

    Args:
        z: Codes, (k, batch, *code_shape).
        weights: An empty list, to which the forward pass appends w, (k, batch), which sum to 1 over k.
    """

    @tf.custom_gradient
    def identity(z: Tensor) -> tuple[Any, Callable[[Tensor], Tensor]]:
        def backward(gradient: Tensor) -> Tensor:
            (w,) = weights
            return gradient * tf.reshape(w, tf.concat([tf.shape(w), tf.ones(len(z.shape) - 2, "int32")], 0))

        return tf.identity(z), backward

    return identity(z)
