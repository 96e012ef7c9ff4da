"""Fine-tuning of a deep belief network as a generative model: the up-down algorithm."""

from __future__ import annotations

import math
from typing import Any

import keras
import numpy as np
import tensorflow as tf
import tqdm

from aezoo import _validation
from aezoo._numerics import log_bernoulli
from aezoo._typing import ArrayLike, Tensor
from aezoo.models.autoencoder import Autoencoder
from aezoo.models.rbm import RBM
from aezoo.pretraining.dbn import DBN
from aezoo.training import gate

States = list[Any]  # h₀ = v, h₁, … up to the visible units of the top machine, each (batch, units) float32


def wake_sleep(
    dbn: DBN,
    x: ArrayLike,
    *,
    epochs: int = 10,
    batch_size: int = 100,
    learning_rate: float = 0.01,
    seed: int = 0,
    verbose: int = 1,
) -> DBN:
    """Fine-tune a pretrained deep belief network by the up-down algorithm, a contrastive wake-sleep.

    The layers below the top machine get recognition weights, which draw h upward from the data, and generative weights,
    which draw downward, both from the RBM's weights at first. A step of gradient descent minimizes

        -Σₗ log p(hₗ₋₁ | hₗ) + F(h_top) - F(s_top) - Σₗ log q(sₗ | sₗ₋₁),

    where the wake states h are drawn upward from a batch, s_top is h_top after the `gibbs_steps` of the top machine,
    and the sleep states s are drawn downward from there. The generative weights learn from h, the recognition weights
    from s. The lowest sleep state is the mean of the visible units, as in the paper.

    Args:
        dbn: A pretrained network with Bernoulli units below the hidden units of its top machine. It is not changed.
            Pass a network that `wake_sleep` returned to continue.
        x: Samples in [0, 1], (n, *input_shape).
        epochs: Number of epochs.
        batch_size: Samples per step.
        learning_rate: Rate of gradient descent.
        seed: Seed of the order of the samples and of the draws, at least 0; the top machine draws from its own saved
            state.
        verbose: 1 for a progress bar, 0 for none.

    Returns:
        A new network. Its layers below the top are sigmoid `Autoencoder`s that are not tied; `encode`, `decode`,
        `sample`, `unroll`, `to_classifier` and `aezoo.evaluation.log_likelihood_bound` work as for any DBN, `pretrain`
        does not.

    Raises:
        ValueError: If an argument is out of range, the network is not trained or has other units, or the data do not
            fit it.

    Example:
        >>> import numpy as np
        >>> from aezoo import DBN, RBM
        >>> dbn = DBN([RBM(4, seed=0), RBM(3, seed=1)])
        >>> x = np.eye(6, dtype="float32")
        >>> _ = dbn.pretrain(x, epochs=1, verbose=0)
        >>> fine = wake_sleep(dbn, x, epochs=1, verbose=0)
        >>> fine.sample(2, gibbs_steps=5).shape
        TensorShape([2, 6])

    Reference:
        Hinton, Osindero & Teh, "A fast learning algorithm for deep belief nets", Neural Computation 18 (2006).
    """
    _validation.check_int("epochs", epochs, 0)
    _validation.check_int("batch_size", batch_size, 1)
    _validation.check_open_interval("learning_rate", learning_rate, 0, math.inf)
    _validation.check_int("seed", seed, 0)
    for i, stage in enumerate(dbn.stages):
        _validation.check_built(stage)
        last = i == len(dbn.stages) - 1
        for kind, name in (("visible", getattr(stage, "visible", None)), ("hidden", getattr(stage, "hidden", None))):
            if name not in (None, "bernoulli") and not (last and kind == "hidden"):
                raise ValueError(
                    f"wake_sleep draws binary units below the top of a DBN, but layer {i + 1} has {kind}={name!r}: use "
                    "'bernoulli'."
                )
    samples = np.asarray(gate.samples(dbn.stages[0], x, compared=True), "float32")
    samples = samples.reshape(-1, int(np.prod(dbn.stages[0].x_shape)))
    fine = DBN([*(_untied(dbn, i) for i in range(len(dbn.stages) - 1)), _copy(dbn.rbms[-1])])
    variables = [v for stage in fine.stages for v in stage.trainable_variables]
    optimizer = keras.optimizers.SGD(learning_rate)
    optimizer.build(variables)

    @tf.function(reduce_retracing=True)
    def step(v: Tensor, seed: Tensor) -> None:
        wake, sleep = draw_states(fine, v, seed)
        with tf.GradientTape() as tape:
            loss = objective(fine, wake, sleep)
        optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))

    rng = np.random.default_rng(seed)
    for epoch in tqdm.tqdm(range(epochs), unit="epoch", desc="up-down", disable=not verbose):
        order = rng.permutation(len(samples))
        for start in range(0, len(samples), batch_size):
            drawn = tf.constant([seed, epoch * len(samples) + start], "int64")
            step(tf.constant(samples[order[start : start + batch_size]]), drawn)
    return fine


def draw_states(dbn: DBN, v: Tensor, seed: Tensor) -> tuple[States, States]:
    """Draw the wake states upward from samples v, and the sleep states downward from the top machine."""
    layers = [dbn.layer_weights(i) for i in range(len(dbn.stages) - 1)]
    top = dbn.rbms[-1]
    seeds = iter(tf.unstack(tf.random.experimental.stateless_split(seed, 2 * len(layers) + 1, alg="philox")))

    def draw(p: Tensor) -> Tensor:
        return tf.cast(tf.random.stateless_uniform(tf.shape(p), next(seeds), alg="philox") < p, "float32")

    wake = [v]
    for recognition, hidden_bias, _, _ in layers:
        wake.append(draw(tf.sigmoid(tf.matmul(wake[-1], recognition) + hidden_bias)))
    state = wake[-1]
    for _ in range(top.gibbs_steps):
        state, _ = top.gibbs(state)
    sleep = [state]
    for i, (_, _, generation, visible_bias) in reversed(list(enumerate(layers))):
        p = tf.sigmoid(tf.matmul(sleep[0], generation) + visible_bias)
        sleep.insert(0, draw(p) if i else p)
    return wake, sleep


def objective(dbn: DBN, wake: States, sleep: States) -> Tensor:
    """Return the objective of a step given the states, the mean over the batch."""
    top = dbn.rbms[-1]
    loss = top._free_energies(wake[-1]) - top._free_energies(sleep[-1])
    for i in range(len(dbn.stages) - 1):
        recognition, hidden_bias, generation, visible_bias = dbn.layer_weights(i)
        loss -= log_bernoulli(wake[i], tf.matmul(wake[i + 1], generation) + visible_bias)
        loss -= log_bernoulli(sleep[i + 1], tf.matmul(sleep[i], recognition) + hidden_bias)
    return tf.reduce_mean(loss)


def _untied(dbn: DBN, i: int) -> Autoencoder:
    """Return layer i with recognition weights and generative weights of its own."""
    stage = dbn.stages[i]
    layer = Autoencoder(stage.latent_dim, activation="sigmoid", name=stage.name, dtype=stage.dtype_policy)
    layer.build((None, *stage.x_shape))
    recognition, hidden_bias, generation, visible_bias = dbn.layer_weights(i)
    layer.encoder.layers[-1].set_weights([np.asarray(recognition), np.asarray(hidden_bias)])
    layer.decoder.layers[0].set_weights([np.asarray(generation), np.asarray(visible_bias)])
    return layer


def _copy(rbm: RBM) -> RBM:
    copy = type(rbm).from_config(rbm.get_config())
    copy.build((None, *rbm.x_shape))
    copy.set_weights(rbm.get_weights())
    return copy
