"""The restricted Boltzmann machine."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Literal

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from aezoo import _validation, losses, schedules
from aezoo._numerics import as_float32, log_bernoulli
from aezoo._typing import ArrayLike, Data, Shape, Tensor
from aezoo.layers import RandomState, networks
from aezoo.layers.stddev import Stddev
from aezoo.models import _tempering
from aezoo.models.autoencoder import Autoencoder
from aezoo.optimizers import ScheduledSGD
from aezoo.training.batch import Batch

if TYPE_CHECKING:
    import matplotlib.figure

    from aezoo.cli.defaults import Training

Parameters = tuple[Any, Any, Any]  # W (visible, hidden), the hidden bias c and the visible bias b, float32

# For each kind of hidden unit, as functions of its input a: the mean-field activation, and the unit's contribution
# to -F, whose derivative is that activation.
_HIDDEN = {
    "bernoulli": (keras.activations.sigmoid, ops.softplus),
    "gaussian": (keras.activations.linear, lambda a: 0.5 * ops.square(a)),
    "relu": (keras.activations.relu, lambda a: 0.5 * ops.square(ops.relu(a))),
}

_OUTPUT = {"bernoulli": "sigmoid", "gaussian": "linear", "softmax": "softmax"}  # the mean of visible units, of b + Wh


@keras.saving.register_keras_serializable("aezoo")
class RBM(Autoencoder):
    """Restricted Boltzmann machine: p(v, h) ∝ exp(-E), E = -bᵀv - cᵀh - vᵀWh, trained by contrastive divergence.

    As an autoencoder, it has one layer and tied weights: `encode` returns the mean of h given v, σ(c + Wᵀv), and
    `decode` the mean of v given h, σ(b + Wh). Training minimizes the mean free energy F of the data minus the mean free
    energy of samples v⁻. Its gradient is CD-k, or PCD if the samples come from chains that persist between steps.

    - Gaussian visible units have unit variance, with ½‖v - b‖² in place of -bᵀv: standardize the data. With
      `learn_stddev`, this machine models v/σ, for a trained σ per unit: p(v) = p'(v/σ) / Πσ (Cho, Ilin & Raiko).
    - Softmax visible units are groups of categories: one unit is on in each vector of the samples' last axis.
    - Gaussian hidden units are linear with unit variance.
    - ReLU hidden units are sampled as max(0, a + N(0, σ(a))) (Nair & Hinton); their mean field is max(0, a), and they
      contribute -½ max(0, a)² to F.

    With several `temperatures`, each persistent chain becomes a ladder of chains, whose first chain provides v⁻. The
    chain of inverse temperature β, evenly spaced from 1 to 0, draws from the machine with βW, βc and βb + (1 - β)b₀,
    and neighbors swap their states by Metropolis (parallel tempering), so that the first visits modes that Gibbs steps
    alone do not connect. b₀ are the biases of independent units with the means of the data.

    Training reports, in addition to the terms, `reconstruction` (of the mean field), `free_energy`, `free_energy_gap`,
    for Bernoulli visible units `pseudo_log_likelihood`, estimated by one flipped bit per sample, and for several
    temperatures `swap_rate`, the fraction of proposed swaps that were accepted. The gap is the mean free energy of the
    validation data minus the mean of up to 5,000 training samples, the same in every epoch, both with the weights at
    the end of the epoch: a growing gap indicates overfitting.

    `fit` initializes the visible biases of an untrained machine to the means of the data; see `initialize_from`.

    Args:
        hidden_units: Number of hidden units.
        visible: "bernoulli" (data in [0, 1]), "gaussian" or "softmax" (data one-hot along the last axis).
        hidden: "bernoulli", "gaussian" or "relu".
        gibbs_steps: k of CD-k and PCD-k.
        persistent: Whether chains persist from step to step (PCD).
        chains: Number of persistent chains.
        temperatures: Number of temperatures of parallel tempering, for persistent chains; 1 for none.
        sample_visible: Whether v⁻ are samples of v. If not, they are its means, as in Hinton's code for pixels in
            [0, 1].
        learn_stddev: Whether to learn the standard deviation of each Gaussian visible unit. Center the data, since no
            mean is subtracted.
        weight_decay: λ of ½λ‖W‖².
        sparsity_target: ρ in (0, 1), the target mean of each Bernoulli hidden unit, or None.
        sparsity_weight: Weight of Σⱼ KL(ρ‖mean of unit j).
        centering: Whether to follow the centered gradient of Melchior et al.
        centering_rate: Fraction of the way that the offsets of centering move to the means of v and h per step, in
            [0, 1].
        kernel_stddev: Standard deviation of the initial W.
        **kwargs: `seed`, `name` and `dtype` of `Autoencoder`.

    Raises:
        ValueError: If an argument is unknown or out of range.

    Example:
        >>> rbm = RBM(500, gibbs_steps=1, persistent=True)
        >>> rbm.compile(optimizer=rbm.default_optimizer())

    Reference:
        Hinton, "Training products of experts by minimizing contrastive divergence", 2002, and "A practical guide to
        training restricted Boltzmann machines", UTML TR 2010-003; Tieleman, "Training
        restricted Boltzmann machines using approximations to the likelihood gradient", ICML 2008, for PCD; Nair &
        Hinton, "Rectified linear units improve restricted Boltzmann machines", ICML 2010; Melchior et al., "How to
        center deep Boltzmann machines", JMLR 17 (2016); Desjardins et al., "Tempered Markov chain Monte Carlo for
        training of restricted Boltzmann machines", AISTATS 2010, and Cho et al., "Parallel tempering is efficient for
        learning restricted Boltzmann machines", IJCNN 2010, for `temperatures`; Cho, Ilin & Raiko, "Improved learning
        of Gaussian-Bernoulli restricted Boltzmann machines", ICANN 2011, for `learn_stddev`; Salakhutdinov et al.,
        "Restricted Boltzmann machines for collaborative filtering", ICML 2007, for softmax units.
    """

    unbounded = "visible='gaussian'"
    keeps_training_samples = True
    fixed_arguments = ("latent_dim", *_validation.NETWORK_ARGUMENTS)
    weighs_features = False

    def __init__(
        self,
        hidden_units: int,
        *,
        visible: Literal["bernoulli", "gaussian", "softmax"] = "bernoulli",
        hidden: Literal["bernoulli", "gaussian", "relu"] = "bernoulli",
        gibbs_steps: int = 1,
        persistent: bool = False,
        chains: int = 100,
        temperatures: int = 1,
        sample_visible: bool = True,
        learn_stddev: bool = False,
        weight_decay: float = 0.0,
        sparsity_target: float | None = None,
        sparsity_weight: float = 1.0,
        centering: bool = False,
        centering_rate: float = 0.01,
        kernel_stddev: float = 0.01,
        **kwargs: Any,
    ):
        _validation.check_no_networks(self, kwargs)
        _validation.check_choice("visible", visible, tuple(_OUTPUT))
        _validation.check_choice("hidden", hidden, tuple(_HIDDEN))
        _validation.check_int("hidden_units", hidden_units, 1)
        _validation.check_int("gibbs_steps", gibbs_steps, 1)
        _validation.check_int("chains", chains, 1)
        _validation.check_int("temperatures", temperatures, 1)
        _validation.check_at_least("weight_decay", weight_decay, 0)
        _validation.check_at_least("sparsity_weight", sparsity_weight, 0)
        _validation.check_at_least("kernel_stddev", kernel_stddev, 0)
        _validation.check_fraction("centering_rate", centering_rate)
        if sparsity_target is not None:
            _validation.check_open_interval("sparsity_target", sparsity_target, 0, 1)
            if hidden != "bernoulli":
                raise ValueError(
                    f"sparsity_target is a probability, which hidden={hidden!r} units do not have: leave it out."
                )
        if learn_stddev and visible != "gaussian":
            raise ValueError(f"learn_stddev belongs to visible='gaussian', but visible={visible!r}: leave it out.")
        if temperatures > 1 and not (persistent and sample_visible and hidden != "relu"):
            raise ValueError(
                f"temperatures={temperatures} needs persistent=True, sample_visible=True and hidden units 'bernoulli' "
                f"or 'gaussian', but persistent={persistent}, sample_visible={sample_visible} and hidden={hidden!r}."
            )
        super().__init__(
            hidden_units, activation=_HIDDEN[hidden][0], output_activation=_OUTPUT[visible], tied=True, **kwargs
        )
        self.visible = visible
        self.hidden = hidden
        self.gibbs_steps = gibbs_steps
        self.persistent = persistent
        self.chains = chains
        self.temperatures = temperatures
        self.sample_visible = sample_visible
        self.learn_stddev = learn_stddev
        self.weight_decay = weight_decay
        self.sparsity_target = sparsity_target
        self.sparsity_weight = sparsity_weight
        self.centering = centering
        self.centering_rate = centering_rate
        self.kernel_stddev = kernel_stddev
        self.random = RandomState(self.seed)

    @property
    def hidden_units(self) -> int:
        """The number of hidden units."""
        return self.latent_dim

    @property
    def term_names(self) -> tuple[str, ...]:
        decay = ("weight_decay",) if self.weight_decay else ()
        sparsity = ("sparsity",) if self.sparsity_target is not None else ()
        return ("contrastive_divergence", *decay, *sparsity)

    @property
    def metric_modes(self) -> dict[str, str]:
        return {
            **dict.fromkeys(("reconstruction", "free_energy_gap"), "min"),
            **dict.fromkeys(("pseudo_log_likelihood", "swap_rate"), "max"),
        }

    @property
    def metric_names(self) -> tuple[str, ...]:
        pseudo = ("pseudo_log_likelihood",) if self.visible == "bernoulli" else ()
        swaps = ("swap_rate",) if self.temperatures > 1 else ()
        return ("reconstruction", "free_energy", *pseudo, *swaps)

    @property
    def output_bounds(self) -> tuple[float, float] | None:
        return (0.0, 1.0) if self.visible == "softmax" else super().output_bounds

    def default_optimizer(self, learning_rate: float | None = None) -> keras.optimizers.Optimizer:
        """Return plain gradient descent for PCD, with Hinton's momentum for CD.

        - PCD: no momentum, and a rate that falls linearly to a tenth over 20 epochs. Persistent chains must keep up
          with the weights; with momentum they do not, and most hidden units die.
        - CD: momentum 0.5, and 0.9 from epoch 5 on. For Bernoulli units the rate drops to a fifth then, which keeps the
          effective rate, rate / (1 - momentum), constant.

        Args:
            learning_rate: The rate in the first epoch. If hidden units are Bernoulli and visible ones Bernoulli or
                softmax, it defaults to 0.1 for CD and 0.05 for PCD. Otherwise it defaults to 0.001, and to 0.01 for PCD
                with Gaussian visible and Bernoulli hidden units.
        """
        bounded = self.visible != "gaussian" and self.hidden == "bernoulli"
        if self.persistent:
            usual = 0.05 if bounded else 0.01 if self.hidden == "bernoulli" else 0.001
        else:
            usual = 0.1 if bounded else 0.001
        rate = learning_rate or usual
        if self.persistent:
            return ScheduledSGD(schedules.Linear(rate, rate / 10, epochs=20))
        momentum = schedules.Step([5], [0.5, 0.9])
        return ScheduledSGD(schedules.Step([5], [rate, rate / 5]) if bounded else rate, momentum=momentum)

    # === Weights ===

    def build(self, input_shape: Shape | Any) -> None:
        super().build(input_shape)
        units = math.prod(self.x_shape)
        state = {"trainable": False, "aggregation": "only_first_replica"}
        if self.persistent:
            ladder = (self.temperatures,) if self.temperatures > 1 else ()
            self.chain = self.add_weight(
                shape=(*ladder, self.chains, units), initializer="zeros", name="chain", **state
            )
        if self.temperatures > 1:
            self.base_bias = self.add_weight(shape=(units,), initializer="zeros", name="base_bias", **state)
        if self.centering:
            self.visible_offset = self.add_weight(
                shape=(units,), initializer=keras.initializers.Constant(0.5), name="visible_offset", **state
            )
            self.hidden_offset = self.add_weight(
                shape=(self.hidden_units,), initializer=keras.initializers.Constant(0.5), name="hidden_offset", **state
            )

    def build_encoder(self, x_shape: Shape) -> keras.Model:
        if self.learn_stddev:
            encoder = super().build_encoder(x_shape, first=Stddev())
        else:
            encoder = super().build_encoder(x_shape)
        kernel = encoder.layers[-1].kernel
        kernel.assign(keras.initializers.RandomNormal(stddev=self.kernel_stddev, seed=self.seed)(kernel.shape))
        return encoder

    def build_decoder(self, x_shape: Shape) -> keras.Model:
        decoder = super().build_decoder(x_shape)
        if self.learn_stddev:
            stddev = Stddev(inverse=True, tied_to=self.encoder.layers[0])
            decoder = keras.Sequential([keras.Input((self.hidden_units,)), *decoder.layers, stddev], name="decoder")
        return decoder

    @property
    def log_stddev(self) -> Tensor:
        """The log of σ of the visible units, (visible,) float32; 0 unless σ is learned."""
        if self.learn_stddev:
            return as_float32(self.encoder.layers[0].log_stddev)
        return ops.zeros((math.prod(self.x_shape),))

    def initialize_from(self, x: np.ndarray) -> None:
        """Set the visible biases, and the offsets of centering, so that the units have the means of the data.

        The bias of a Bernoulli unit is log p/(1-p) with p = (Σx + 1) / (n + 2), which is finite for pixels that are
        always off, too; the bias of a softmax unit is log (Σx + 1) / (n + K) for K categories; the bias of a Gaussian
        unit is the mean, divided by σ if it is learned; σ starts at the standard deviation of the data, at least 0.001.
        b₀ of parallel tempering are these biases. If any visible bias is nonzero, only b₀ is set, unless it was before:
        chains stay chains of the same machines when training continues.

        Args:
            x: Training samples, (n, *input_shape).
        """
        visible_bias = self.decoder.layers[0].bias
        biased = bool(np.any(visible_bias.numpy()))
        if biased and (self.temperatures == 1 or np.any(self.base_bias.numpy())):
            return
        x = np.reshape(x, (len(x), -1)).astype("float64")
        if self.learn_stddev and not biased:
            self.encoder.layers[0].log_stddev.assign(np.log(np.maximum(x.std(axis=0), 1e-3)))
        mean = x.mean(axis=0) / np.exp(np.asarray(self.log_stddev, "float64"))
        if self.visible == "bernoulli":
            rate = (x.sum(axis=0) + 1) / (len(x) + 2)
            bias = np.log(rate) - np.log1p(-rate)
        elif self.visible == "softmax":
            bias = np.log((x.sum(axis=0) + 1) / (len(x) + self.x_shape[-1]))
        else:
            bias = mean
        if self.temperatures > 1:
            self.base_bias.assign(bias)
        if biased:
            return
        visible_bias.assign(bias)
        if self.centering:
            self.visible_offset.assign(mean)
            hidden = self.run_encoder(x.reshape(-1, *self.x_shape).astype("float32"))
            self.hidden_offset.assign(np.mean(hidden, axis=0))

    def parameters(self) -> Parameters:
        """Return W (visible, hidden), the hidden bias c (hidden,) and the visible bias b (visible,), float32.

        If σ is learned, they belong to the machine of v/σ: the mean of v given h is σ(b + Wh).
        """
        _validation.check_built(self)
        encode, decode = (networks.chain(self.encoder) or [])[-1], self.decoder.layers[0]
        return tuple(as_float32(p) for p in (encode.kernel, encode.bias, decode.bias))

    # === Self-description ===

    @classmethod
    def cli_defaults(cls, training: Training) -> dict[str, Any]:
        return {"hidden_units": training.latent_dim}

    def report_pictures(self, x: np.ndarray) -> dict[str, Callable[[], matplotlib.figure.Figure]]:
        from aezoo import plots

        return {**super().report_pictures(x), "samples.png": lambda: plots.samples(self.sample(50))}

    # === The distribution ===

    def free_energy(self, x: Data, *, batch_size: int | None = None) -> Tensor:
        """Return F(v) = -log Σ_h exp(-E(v, h)), (n,) in nats, up to log Z and a constant of Gaussian units.

        Args:
            x: Samples, (n, *input_shape), or batched data as in `encode`.
            batch_size: As in `encode`.
        """
        return self._verbs.run("free_energy", self._free_energies, x, {}, batch_size)

    def _free_energies(self, x: Tensor, conditions: Mapping[str, Tensor] | None = None) -> Tensor:
        return self._free_energy(self._flat(x), *self.parameters()) + ops.sum(self.log_stddev)

    def _free_energy(self, v: Tensor, kernel: Tensor, hidden_bias: Tensor, visible_bias: Tensor) -> Tensor:
        gain = ops.sum(_HIDDEN[self.hidden][1](ops.matmul(v, kernel) + hidden_bias), axis=1)
        if self.visible == "gaussian":
            return 0.5 * ops.sum(ops.square(v - visible_bias), axis=1) - gain
        return -ops.matmul(v, visible_bias[:, None])[:, 0] - gain

    def sample_hidden(self, v: Tensor, shared: bool = False, parameters: Parameters | None = None) -> Tensor:
        """Draw h given v, (batch, hidden) float32; `shared` draws the same on every replica."""
        kernel, hidden_bias, _ = parameters or self.parameters()
        return self.draw_hidden(ops.matmul(v, kernel) + hidden_bias, shared)

    def draw_hidden(self, a: Tensor, shared: bool = False) -> Tensor:
        """Draw hidden units given their inputs a, (..., hidden) float32."""
        if self.hidden == "bernoulli":
            return self.bernoulli(ops.sigmoid(a), shared)
        noise = self.random.normal(ops.shape(a), shared)
        return a + noise if self.hidden == "gaussian" else ops.relu(a + ops.sqrt(ops.sigmoid(a)) * noise)

    def hidden_gain(self, a: Tensor) -> Tensor:
        """Return the contribution to -F of hidden units with the inputs a, with the shape of a."""
        return _HIDDEN[self.hidden][1](a)

    def mean_visible(self, h: Tensor, parameters: Parameters | None = None) -> Tensor:
        """Return the mean of v given h, (batch, visible) float32; of v/σ, if σ is learned."""
        kernel, _, visible_bias = parameters or self.parameters()
        return self.visible_mean(tf.matmul(h, kernel, transpose_b=True) + visible_bias)

    def visible_mean(self, a: Tensor) -> Tensor:
        """Return the means of visible units given their inputs a, (..., visible) float32."""
        if self.visible == "softmax":
            return ops.reshape(ops.softmax(self._groups(a), axis=-1), ops.shape(a))
        return ops.sigmoid(a) if self.visible == "bernoulli" else a

    def draw_visible(self, mean: Tensor, shared: bool = False) -> Tensor:
        """Draw visible units with these means, (..., visible) float32."""
        if self.visible == "bernoulli":
            return self.bernoulli(mean, shared)
        if self.visible == "gaussian":
            return mean + self.random.normal(ops.shape(mean), shared)
        cumulative = ops.cumsum(self._groups(mean), axis=-1)[..., :-1]  # the last one is 1 up to rounding
        below = cumulative <= self.random.uniform(ops.shape(cumulative[..., :1]), shared)
        category = ops.sum(ops.cast(below, "int32"), axis=-1)
        return ops.reshape(ops.one_hot(category, self.x_shape[-1], dtype="float32"), ops.shape(mean))

    def log_visible(self, v: Tensor, a: Tensor) -> Tensor:
        """Return log p(v given h), (batch,) in nats, of flat samples given the inputs a = b + Wh of their units."""
        if self.visible == "gaussian":
            return ops.sum(losses.gaussian_log_density(v, a), axis=1) - ops.sum(self.log_stddev)
        if self.visible == "softmax":
            return ops.sum(v * a, axis=1) - ops.sum(ops.logsumexp(self._groups(a), axis=-1), axis=1)
        return log_bernoulli(v, a)

    def _groups(self, a: Tensor) -> Tensor:
        """Reshape flat visible units to groups of categories, (..., groups, categories)."""
        return ops.reshape(a, (*ops.shape(a)[:-1], -1, self.x_shape[-1]))

    def bernoulli(self, p: Tensor, shared: bool = False) -> Tensor:
        """Draw units that are 1 with probability p and 0 otherwise, float32."""
        return ops.cast(self.random.uniform(ops.shape(p), shared) < p, "float32")

    def gibbs(self, v: Tensor, shared: bool = False, parameters: Parameters | None = None) -> tuple[Any, Any]:
        """Take one Gibbs step, from v to h to v, and return the new v (batch, visible) and its mean."""
        mean = self.mean_visible(self.sample_hidden(v, shared, parameters), parameters)
        return self.draw_visible(mean, shared), mean

    def negative(self, v: Tensor, shared: bool = False, parameters: Parameters | None = None) -> Tensor:
        """Return v⁻, (batch, visible), after `gibbs_steps` steps from v."""
        for _ in range(self.gibbs_steps):
            sample, mean = self.gibbs(v, shared, parameters)
            v = sample if self.sample_visible else mean
        return v

    # === The objective ===

    def objective(self, batch: Batch, training: bool) -> tuple[dict[str, Any], Any]:
        # The parameters are read once, so that TensorFlow computes the product of data and W once for all uses below.
        v = self._flat(batch.x)
        parameters = tuple(tf.identity(p) for p in self.parameters())
        kernel, hidden_bias, _ = parameters
        a = ops.matmul(v, kernel) + hidden_bias
        hidden_mean = _HIDDEN[self.hidden][0](a)
        slope = parameters
        if self.centering:
            # As tensors: in eager mode, the gradient would otherwise read the variables after they are updated below.
            offsets = [tf.convert_to_tensor(offset.value) for offset in (self.visible_offset, self.hidden_offset)]
            slope = _centred(*parameters, *offsets)
        positive = self._free_energy(v, *slope)
        if self.learn_stddev:
            # log p(v) = -F(v/σ) - Σ log σ - log Z with a Z that does not depend on σ, nor do samples of v/σ.
            positive += ops.sum(self.log_stddev)
        reported = {}
        if not self.persistent:
            fantasy = ops.stop_gradient(self.negative(v, parameters=parameters))
            difference = batch.mean(positive - self._free_energy(fantasy, *slope))
        else:
            # Every replica runs the same chains, so that their number does not depend on the number of replicas.
            if self.temperatures > 1:
                chain, swaps = _tempering.step(self, self.chain.value, parameters)
                chain, fantasy = ops.stop_gradient(chain), ops.stop_gradient(chain[0])
                reported["swap_rate"] = batch.per_replica(ops.stop_gradient(swaps), weighted=False)
            else:
                chain = self.negative(self.chain.value, shared=True, parameters=parameters)
                chain = fantasy = ops.stop_gradient(chain)
            negative = ops.mean(self._free_energy(fantasy, *slope))
            difference = batch.mean(positive - negative)  # sample weights apply to both
            if training:
                self.chain.assign(batch.unless_empty(chain, self.chain))
        reported["contrastive_divergence"] = difference
        if self.weight_decay:
            reported["weight_decay"] = batch.per_replica(0.5 * self.weight_decay * ops.sum(ops.square(kernel)))
        if self.sparsity_target is not None:
            on, off = batch.global_mean(hidden_mean), batch.global_mean(ops.sigmoid(-a))
            divergence = losses.bernoulli_kl(self.sparsity_target, on, off)
            reported["sparsity"] = self.sparsity_weight * batch.per_replica(ops.sum(divergence))
        if self.centering and training:
            for offset, mean in ((self.visible_offset, v), (self.hidden_offset, hidden_mean)):
                moved = offset + self.centering_rate * (batch.global_mean(mean) - offset)
                offset.assign(batch.unless_empty(moved, offset))
        y_pred = ops.reshape(self._unscaled(self.mean_visible(hidden_mean, parameters)), ops.shape(batch.x))
        reported["reconstruction"] = self.reconstruction(batch, y_pred)
        reported["free_energy"] = batch.mean(positive)
        if self.visible == "bernoulli":
            reported["pseudo_log_likelihood"] = batch.mean(self._estimate_pseudo_log_likelihood(v, *parameters))
        return reported, y_pred

    def _estimate_pseudo_log_likelihood(
        self, v: Tensor, kernel: Tensor, hidden_bias: Tensor, visible_bias: Tensor
    ) -> Tensor:
        # log p(v_i given the others) at one random i per sample estimates the mean over all i.
        units = v.shape[1]
        gain = _HIDDEN[self.hidden][1]
        a = ops.matmul(v, kernel) + hidden_bias
        i = ops.cast(self.random.uniform((ops.shape(v)[0],)) * units, "int32")
        flip = 1.0 - 2.0 * tf.gather(v, i, axis=1, batch_dims=1)
        flipped = a + flip[:, None] * tf.gather(kernel, i)
        difference = -flip * tf.gather(visible_bias, i) - ops.sum(gain(flipped) - gain(a), axis=1)
        return -units * ops.softplus(-difference)

    def _flat(self, x: Tensor) -> Tensor:
        """Return samples as vectors, (batch, visible) float32; divided by σ, if it is learned."""
        v = ops.reshape(as_float32(x), (ops.shape(x)[0], math.prod(self.x_shape)))
        return v / ops.exp(self.log_stddev) if self.learn_stddev else v

    def _unscaled(self, v: Tensor) -> Tensor:
        """Return v from v/σ, if σ is learned."""
        return v * ops.exp(self.log_stddev) if self.learn_stddev else v

    # === Verbs ===

    def check_scale(self, x: np.ndarray) -> None:
        if not (isinstance(x, np.ndarray) and x.dtype.kind == "f" and x.size and np.isfinite(x).all()):
            return  # other values raise an error elsewhere
        if self.visible == "softmax" and np.any(np.abs(x.sum(axis=-1) - 1) > 1e-3):
            raise ValueError(
                f"Softmax visible units expect data that are one-hot along their last axis, but in samples of shape "
                f"{x.shape[1:]} the sums along it go from {x.sum(axis=-1).min():.3g} to {x.sum(axis=-1).max():.3g}: "
                "encode them with keras.utils.to_categorical."
            )
        if self.learn_stddev:
            distance = float((np.abs(np.mean(x, axis=0)) / np.maximum(np.std(x, axis=0), 1e-3)).max())
            if distance > 5:
                warnings.warn(
                    "Gaussian visible units with learn_stddev expect data of mean 0, but these have means of up to "
                    f"{distance:.3g} standard deviations: subtract the mean: x - x.mean(0).",
                    stacklevel=3,
                )
        elif self.visible == "gaussian":
            mean, deviation = float(np.abs(np.mean(x, axis=0)).max()), float(np.std(x))
            if mean > 0.5 or not 0.5 < deviation < 2.0:
                warnings.warn(
                    "Gaussian visible units expect data of mean 0 and variance 1, but these have means of up to "
                    f"{mean:.3g} and standard deviation {deviation:.3g}: use (x - x.mean(0)) / (x.std(0) + 1e-6).",
                    stacklevel=3,
                )

    def default_callbacks(self) -> list[keras.callbacks.Callback]:
        return [*super().default_callbacks(), _FreeEnergyGap()]

    @property
    def scores_probabilities(self) -> bool:
        return self.visible != "gaussian"

    def scores(self, x: Tensor, **unused: Tensor) -> Tensor:
        """Return the free energy of each sample, (batch,) in nats: higher is less likely and more anomalous."""
        return self.free_energy(x)

    def pseudo_log_likelihood(self, x: Data, *, batch_size: int | None = None) -> Tensor:
        """Return the exact pseudo-log-likelihood of each sample, Σᵢ log p(vᵢ given all other v), (n,) in nats.

        Args:
            x: Samples in [0, 1], (n, *input_shape), or batched data as in `encode`.
            batch_size: As in `encode`.

        Raises:
            ValueError: If the visible units are not Bernoulli.
        """
        if self.visible != "bernoulli":
            raise ValueError(f"The pseudo-likelihood requires visible='bernoulli', but visible={self.visible!r}.")
        return self._verbs.run("pseudo_log_likelihood", self._pseudo_log_likelihoods, x, {}, batch_size, compared=True)

    def _pseudo_log_likelihoods(self, x: Tensor, conditions: Mapping[str, Tensor] | None) -> Tensor:
        v = self._flat(x)
        energy = self._free_energy(v, *self.parameters())

        def one(i: Tensor) -> Tensor:
            flipped = tf.where(tf.range(v.shape[1]) == i, 1.0 - v, v)
            return -ops.softplus(energy - self._free_energy(flipped, *self.parameters()))

        return ops.sum(tf.map_fn(one, tf.range(v.shape[1]), fn_output_signature="float32"), axis=0)

    def sample(self, n: int, gibbs_steps: int = 1000, start: ArrayLike | None = None) -> Tensor:
        """Draw samples by block Gibbs sampling.

        Args:
            n: Number of samples.
            gibbs_steps: Number of steps from `start`, at least 1.
            start: Initial states of the chains, (n, *input_shape); random by default.

        Returns:
            Means of the visible units in the last step, (n, *input_shape) float32, which look less noisy than samples.
        """
        _validation.check_built(self)
        _validation.check_int("n", n, 1)
        _validation.check_int("gibbs_steps", gibbs_steps, 1)
        if start is not None:
            v = self._flat(self._input(start))
        else:
            v = self.draw_visible(self.visible_mean(ops.zeros((n, math.prod(self.x_shape)))))
        if v.shape[0] != n:
            raise ValueError(f"n={n} samples were asked for, but start has {v.shape[0]}.")
        return ops.reshape(self._unscaled(self._run_chain(v, tf.constant(gibbs_steps))), (n, *self.x_shape))

    @tf.function(reduce_retracing=True)
    def _run_chain(self, v: Tensor, steps: Tensor) -> Tensor:
        gibbs = tf.autograph.experimental.do_not_convert(self.gibbs)  # AutoGraph is for the loop alone
        mean = v
        for _ in tf.range(steps):
            v, mean = gibbs(v)
        return mean

    def get_config(self) -> dict[str, Any]:
        config = {
            name: value for name, value in super().get_config().items() if name not in _validation.NETWORK_ARGUMENTS
        }
        del config["latent_dim"]
        names = (
            "hidden_units visible hidden gibbs_steps persistent chains temperatures sample_visible learn_stddev "
            "weight_decay sparsity_target sparsity_weight centering centering_rate kernel_stddev"
        )
        return {**config, **{name: getattr(self, name) for name in names.split()}}


class _FreeEnergyGap(keras.callbacks.Callback):
    """Callback that reports the mean free energy of validation data minus that on training samples per epoch."""

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        training = self.model._training_samples
        if logs and "val_free_energy" in logs and training is not None:
            logs["free_energy_gap"] = logs["val_free_energy"] - float(np.mean(self.model._free_energies(training)))


@tf.custom_gradient
def _centred(
    kernel: Tensor, hidden_bias: Tensor, visible_bias: Tensor, visible_offset: Tensor, hidden_offset: Tensor
) -> Tensor:
    """Return the parameters unchanged, with the centered gradient of Melchior et al."""

    def gradient(kernel_g: Tensor, hidden_g: Tensor, visible_g: Tensor) -> Tensor:
        kernel_g = kernel_g - visible_offset[:, None] * hidden_g - visible_g[:, None] * hidden_offset
        hidden_g = hidden_g - tf.linalg.matvec(kernel_g, visible_offset, transpose_a=True)
        visible_g = visible_g - tf.linalg.matvec(kernel_g, hidden_offset)
        return kernel_g, hidden_g, visible_g, None, None

    return (tf.identity(kernel), tf.identity(hidden_bias), tf.identity(visible_bias)), gradient
