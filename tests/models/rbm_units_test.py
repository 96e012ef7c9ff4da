"""Softmax visible units, learned deviations and parallel tempering against sums over all states of small machines."""

import itertools
import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy import stats
from scipy.special import expit, logsumexp

from aezoo import RBM
from aezoo.evaluation import log_likelihood, log_partition
from aezoo.models import _tempering
from aezoo.training.batch import Batch


def machine(x_shape, hidden_units, scale=0.7, **kwargs):
    """An RBM with random weights, and W, c, b in double precision."""
    rbm = RBM(hidden_units, seed=3, **kwargs)
    rbm.build((None, *x_shape))
    rng = np.random.default_rng(hidden_units)
    for weight in rbm.trainable_variables:
        weight.assign(rng.normal(0, scale, weight.shape))
    return rbm, [np.asarray(p, "float64") for p in rbm.parameters()]


def binary(n):
    return np.array(list(itertools.product((0.0, 1.0), repeat=n)))


def one_hot(groups, categories):
    """All states of groups of categories, (categories^groups, groups, categories)."""
    return np.eye(categories)[list(itertools.product(range(categories), repeat=groups))]


def minus_energy(v, w, c, b):
    h = binary(len(c))
    return v @ b[:, None] + (h @ c)[None] + v @ w @ h.T


def gradient_of_the_terms(rbm, x, fantasies):
    """The gradient of the contrastive divergence, for given samples of the machine."""
    rbm.negative = lambda v, shared=False, parameters=None: tf.constant(fantasies, "float32")
    with tf.GradientTape() as tape:
        loss = rbm.objective(Batch.of(tf.constant(x, "float32")), training=False)[0]["contrastive_divergence"]
    return [g.numpy() for g in tape.gradient(loss, rbm.trainable_variables)]


# === Softmax visible units ===


def test_softmax_units_are_the_enumerated_distribution():
    rbm, weights = machine((2, 3), 4, visible="softmax")
    x = one_hot(2, 3)
    energies = minus_energy(x.reshape(-1, 6), *weights)
    assert np.asarray(rbm.free_energy(x.astype("float32"))) == pytest.approx(-logsumexp(energies, axis=1), abs=1e-5)
    assert log_partition(rbm)[0] == pytest.approx(logsumexp(energies), abs=1e-5)
    p = np.exp(energies - logsumexp(energies))
    h = binary(4)
    means = np.einsum("sh,sgk->hgk", p, x) / p.sum(axis=0)[:, None, None]
    assert np.asarray(rbm.decode(h.astype("float32"))) == pytest.approx(means, abs=1e-5)
    assert np.asarray(rbm.encode(x.astype("float32"))) == pytest.approx(p @ h / p.sum(axis=1)[:, None], abs=1e-5)
    log_conditional = energies - logsumexp(energies, axis=0)
    pairs = [np.repeat(x.reshape(9, 6), 16, axis=0), np.tile(h @ weights[0].T + weights[2], (9, 1))]
    found = rbm.log_visible(*(tf.constant(part, "float32") for part in pairs))
    assert np.asarray(found) == pytest.approx(log_conditional.ravel(), abs=1e-5)
    # Gibbs sampling has this distribution: its means, and that one category of each group is on.
    v = rbm.draw_visible(tf.constant(np.repeat(means[5].reshape(1, 6), 20_000, axis=0), "float32")).numpy()
    assert (v.reshape(-1, 2, 3).sum(axis=2) == 1).all()
    assert np.abs(v.mean(axis=0) - means[5].ravel()).max() < 4.5 * 0.5 / np.sqrt(20_000)
    assert np.asarray(rbm.sample(5, gibbs_steps=2)).sum(axis=-1) == pytest.approx(1, abs=1e-5)


def test_the_gradient_of_softmax_units_is_that_of_the_exact_likelihood():
    rbm, _ = machine((2, 3), 3, visible="softmax", persistent=True)
    states = tf.constant(one_hot(2, 3), "float32")
    data = tf.gather(states, [0, 0, 4, 8, 1])
    with tf.GradientTape() as tape:
        energies = -rbm.free_energy(states)
        loss = tf.reduce_logsumexp(energies) - tf.reduce_mean(tf.gather(energies, [0, 0, 4, 8, 1]))
    expected = tape.gradient(loss, rbm.trainable_variables)
    counts = np.rint(20_000 * np.asarray(tf.nn.softmax(energies))).astype(int)
    found = gradient_of_the_terms(rbm, data, np.repeat(states.numpy().reshape(-1, 6), counts, axis=0))
    for a, b in zip(found, expected, strict=True):
        assert a == pytest.approx(b.numpy(), abs=5e-4)


@pytest.mark.slow
def test_annealing_of_softmax_units():
    rbm, weights = machine((3, 3), 4, visible="softmax")
    exact = logsumexp(minus_energy(one_hot(3, 3).reshape(-1, 9), *weights))
    for reverse in (False, True):
        value, error = log_partition(rbm, method="ais", particles=200, temperatures=300, reverse=reverse)
        assert abs(value - exact) < 4 * error < 0.4
    assert np.exp(log_likelihood(rbm, one_hot(3, 3).astype("float32"))).sum() == pytest.approx(1, abs=1e-5)


def test_softmax_units_learn_the_frequencies_of_categories():
    x = one_hot(1, 4)[[0, 0, 0, 1, 1, 2]].astype("float32")
    rbm = RBM(2, visible="softmax", seed=0, kernel_stddev=0.0)
    rbm.build(x.shape)
    rbm.initialize_from(x)
    assert np.asarray(rbm.decode(np.zeros((1, 2), "float32")))[0, 0] == pytest.approx(np.array([4, 3, 2, 1]) / 10)
    rbm.decoder.layers[0].bias.assign([-1.0, 1.0, 0.0, 0.5])
    rbm.compile(keras.optimizers.SGD(1.0))
    rbm.fit(np.tile(x, (6000, 1, 1)), batch_size=600, verbose=0)
    p = np.exp(log_likelihood(rbm, one_hot(1, 4).astype("float32")))
    assert p == pytest.approx(np.array([3, 2, 1, 0]) / 6, abs=0.07)
    with pytest.raises(ValueError, match=r"one-hot along their last axis, but .* from 0.5 to 2: encode them"):
        rbm.fit(np.array([[[0.5, 0, 0, 0]], [[1, 1, 0, 0]]], "float32"), verbose=0)


# === Learned deviations ===


def gaussian_log_p(x, w, c, b, log_stddev):
    """log p(x) of the mixture Σ_h p(h) N(σ(b + Wh), σ²), in TensorFlow and double precision."""
    h = tf.constant(binary(c.shape[0]))
    means = b + tf.matmul(h, w, transpose_b=True)
    log_prior = tf.nn.log_softmax(tf.linalg.matvec(h, c) + 0.5 * tf.reduce_sum(means**2, axis=1))
    stddev = tf.exp(log_stddev)
    squares = ((x[:, None] - stddev * means) / stddev) ** 2 + np.log(2 * np.pi)
    return tf.reduce_logsumexp(log_prior - 0.5 * tf.reduce_sum(squares, axis=2) - tf.reduce_sum(log_stddev), axis=1)


def of_deviations(hidden_units=3, **kwargs):
    rbm, weights = machine((2,), hidden_units, visible="gaussian", learn_stddev=True, **kwargs)
    return rbm, [*weights, np.asarray(rbm.log_stddev, "float64")]


def test_learned_deviations_are_the_density_of_the_mixture():
    rbm, weights = of_deviations()
    x = np.random.default_rng(0).normal(0, 1.5, (50, 2))
    expected = gaussian_log_p(x, *map(tf.constant, weights)).numpy()
    assert log_likelihood(rbm, x.astype("float32")) == pytest.approx(expected, abs=1e-4)
    w, c, b, log_stddev = weights
    h = binary(3).astype("float32")
    assert np.asarray(rbm.decode(h)) == pytest.approx(np.exp(log_stddev) * (b + h @ w.T), abs=1e-5)
    assert np.asarray(rbm.encode(x.astype("float32"))) == pytest.approx(expit(x / np.exp(log_stddev) @ w + c), abs=1e-5)
    given = rbm.log_visible(rbm._flat(x.astype("float32")), tf.constant(np.tile(b + h[5] @ w.T, (50, 1)), "float32"))
    normal = stats.norm.logpdf(x, np.exp(log_stddev) * (b + h[5] @ w.T), np.exp(log_stddev)).sum(axis=1)
    assert np.asarray(given) == pytest.approx(normal, abs=1e-4)
    # A mean of long chains, which are means given h in the last step.
    draws = np.asarray(rbm.sample(4000, gibbs_steps=30))
    log_prior = h @ c + 0.5 * ((b + h @ w.T) ** 2).sum(axis=1)
    mean = np.exp(log_prior - logsumexp(log_prior)) @ (np.exp(log_stddev) * (b + h @ w.T))
    assert np.all(np.abs(draws.mean(axis=0) - mean) < 5 * draws.std(axis=0) / np.sqrt(4000))


def test_the_gradient_of_learned_deviations_is_that_of_the_exact_likelihood():
    rbm, weights = of_deviations(persistent=True)
    x = np.random.default_rng(1).normal(0.5, 2, (40, 2))
    variables = [tf.Variable(part) for part in weights]
    with tf.GradientTape() as tape:
        loss = -tf.reduce_mean(gaussian_log_p(x, *variables))
    expected = tape.gradient(loss, variables)
    w, c, b, _ = weights
    h = binary(3)
    log_prior = h @ c + 0.5 * ((b + h @ w.T) ** 2).sum(axis=1)
    counts = np.rint(100 * np.exp(log_prior - logsumexp(log_prior))).astype(int)
    normal = stats.norm.ppf((np.arange(60) + 0.5) / 60)
    normal /= normal.std()
    noise = np.stack(np.meshgrid(normal, normal), axis=-1).reshape(-1, 2)
    fantasies = (np.repeat(b + h @ w.T, counts, axis=0)[:, None] + noise).reshape(-1, 2)
    encode, decode = rbm.encoder.layers[-1], rbm.decoder.layers[0]
    paths = [v.path for v in (encode.kernel, encode.bias, decode.bias, rbm.encoder.layers[0].log_stddev)]
    gradients = gradient_of_the_terms(rbm, x, fantasies)
    found = {v.path: g for v, g in zip(rbm.trainable_variables, gradients, strict=True)}
    assert len(found) == 4
    for path, gradient in zip(paths, expected, strict=True):
        assert found[path] == pytest.approx(gradient.numpy(), abs=0.01), path


def test_learned_deviations_follow_the_data_and_are_saved(tmp_path):
    x = (np.random.default_rng(0).normal(0, 1, (400, 3)) * [0.05, 1, 20] + [0, 4, -60]).astype("float32")
    rbm = RBM(2, visible="gaussian", learn_stddev=True, seed=0)
    rbm.compile(rbm.default_optimizer(), run_eagerly=True)
    rbm.fit(x, epochs=1, batch_size=100, verbose=0)  # unstandardized data, and no warning
    assert np.exp(rbm.log_stddev) == pytest.approx(x.std(axis=0), rel=0.02)
    assert np.asarray(rbm.decode(np.zeros((1, 2), "float32")))[0] == pytest.approx(x.mean(axis=0), rel=0.05, abs=0.01)
    rbm.save(tmp_path / "rbm.keras")
    loaded = keras.models.load_model(tmp_path / "rbm.keras")
    loaded.encoder.layers[0].log_stddev.assign([1.0, 2.0, 3.0])  # one variable of both networks
    assert np.asarray(loaded.decode(np.zeros((1, 2), "float32"))) != pytest.approx(
        np.asarray(rbm.decode(np.zeros((1, 2), "float32")))
    )
    loaded.encoder.layers[0].log_stddev.assign(rbm.log_stddev)
    np.testing.assert_array_equal(loaded.free_energy(x), rbm.free_energy(x))
    np.testing.assert_array_equal(loaded.reconstruct(x), rbm.reconstruct(x))


@pytest.mark.filterwarnings("ignore:Gaussian visible units")
def test_means_of_many_deviations_cause_a_warning():
    x = np.random.default_rng(0).normal([0, 60], [1, 10], (50, 2)).astype("float32")
    rbm = RBM(2, visible="gaussian", learn_stddev=True, seed=0)
    with pytest.warns(UserWarning, match=r"means of up to [67]\S* standard deviations: subtract the mean: x - x.mean"):
        rbm.check_scale(x)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        rbm.check_scale(x - x.mean(0))


def test_half_precision_divides_by_deviations_in_float32():
    x = (np.random.default_rng(0).normal(0, 1, (20, 3)) * [0.01, 1, 1e4]).astype("float32")
    single, half = (
        RBM(4, visible="gaussian", learn_stddev=True, seed=0, kernel_stddev=0.5, dtype=dtype)
        for dtype in ("float32", "mixed_float16")
    )
    for rbm in (single, half):
        rbm.build(x.shape)
        rbm.initialize_from(x)
    v = keras.Model(half.encoder.inputs[0], half.encoder.layers[0].output)(x)  # as within the encoder
    np.testing.assert_array_equal(v, half._flat(x))
    np.testing.assert_allclose(half.encode(x), single.encode(x), atol=5e-3)
    np.testing.assert_allclose(half.reconstruct(x) / x.std(0), single.reconstruct(x) / x.std(0), atol=5e-3)
    np.testing.assert_array_equal(half.free_energy(x), single.free_energy(x))


# === Parallel tempering ===


def tempered(v, w, c, b, beta):
    """p_β(v) of states, for base biases of 0.5."""
    log_p = v @ (beta * b + (1 - beta) * 0.5) + np.logaddexp(0, beta * (v @ w + c)).sum(axis=1)
    return np.exp(log_p - logsumexp(log_p))


def test_the_transition_matrix_of_a_swap_leaves_the_joint_distribution_invariant():
    rbm, weights = machine((2,), 2, scale=1.5, persistent=True, temperatures=2)
    v = binary(2)
    cold, hot = (tempered(v, *weights, beta) for beta in (1, 0))
    joint = np.outer(cold, hot).ravel()
    steps = 500  # equally spaced uniform numbers: the fraction that accepts is the probability
    pairs = np.array(list(itertools.product(range(4), range(4))))
    states = np.repeat(v[pairs].transpose(1, 0, 2), steps, axis=1).astype("float32")
    uniform = np.tile((np.arange(steps) + 0.5) / steps, len(pairs)).astype("float32")
    rbm.base_bias.assign([0.5, 0.5])
    rbm.random.uniform = lambda shape, shared=False: tf.constant(np.stack([uniform, uniform]))
    after, accepted = _tempering.swap(rbm, tf.constant(states), rbm.parameters(), 0)
    number = np.asarray(after) @ [2, 1]
    ends = (number[0] * 4 + number[1]).astype(int).reshape(len(pairs), steps)
    transitions = np.array([np.bincount(row, minlength=16) for row in ends]) / steps
    assert transitions.sum(axis=1) == pytest.approx(1)
    assert joint @ transitions == pytest.approx(joint, abs=2 / steps)
    flow = joint[:, None] * transitions
    assert flow == pytest.approx(flow.T, abs=2 / steps)  # detailed balance
    swapped = np.array([transitions[i, 4 * b + a] for i, (a, b) in enumerate(pairs)])  # equal states always do
    assert swapped.min() < 0.9
    assert float(accepted) == pytest.approx(swapped.sum() * steps)


def test_a_step_at_three_temperatures_leaves_the_joint_distribution_invariant():
    rbm, weights = machine((2,), 2, scale=1.5, persistent=True, temperatures=3)
    v = binary(2)
    rbm.base_bias.assign([0.5, 0.5])
    distributions = [tempered(v, *weights, beta) for beta in (1, 0.5, 0)]
    chains = 40_000
    rng = np.random.default_rng(0)
    states = np.stack([v[rng.choice(4, chains, p=p)] for p in distributions]).astype("float32")
    after, rate = _tempering.step(rbm, tf.constant(states), rbm.parameters())
    number = np.asarray(after) @ [2, 1]
    joint = np.einsum("i,j,k->ijk", *distributions).ravel()
    found = np.bincount((np.array([16, 4, 1]) @ number).astype(int), minlength=64)
    error = np.sqrt(joint * (1 - joint) / chains)
    assert np.all(np.abs(found / chains - joint) < 4.5 * error + 1e-5)
    assert 0.3 < float(rate) < 1


def test_the_hottest_chain_has_the_means_of_the_data_for_preset_biases_too():
    x = np.random.default_rng(0).normal([1.0, -4.0], [1, 2], (50, 2)).astype("float32")
    arguments = {"visible": "gaussian", "learn_stddev": True, "persistent": True, "temperatures": 2}
    rbm, _ = machine((2,), 2, **arguments)
    before = [variable.numpy() for variable in rbm.trainable_variables]
    rbm.initialize_from(x)
    assert rbm.base_bias.numpy() == pytest.approx(x.mean(axis=0) / np.exp(rbm.log_stddev), rel=1e-5)
    for variable, value in zip(rbm.trainable_variables, before, strict=True):
        np.testing.assert_array_equal(variable, value)
    rbm = RBM(2, persistent=True, temperatures=2)
    rbm.build((None, 2))
    rbm.decoder.layers[0].bias.assign([1.0, 2.0])
    rbm.initialize_from(np.array([[0, 1], [0, 1], [1, 1]], "float32"))
    assert expit(rbm.base_bias.numpy()) == pytest.approx([2 / 5, 4 / 5])


@pytest.mark.slow
def test_tempered_chains_visit_both_modes_where_plain_ones_stay():
    def two_modes(**kwargs):
        """All 8 units are on together or off together; the two hidden units hold them."""
        rbm = RBM(2, persistent=True, chains=100, seed=1, **kwargs)
        rbm.build((None, 8))
        rbm.encoder.layers[-1].kernel.assign(np.full((8, 2), 4.0))
        rbm.encoder.layers[-1].bias.assign([-16.0, -16.0])
        rbm.decoder.layers[0].bias.assign(np.full(8, -3.9))
        return rbm

    plain, ladder = two_modes(), two_modes(temperatures=8)
    w, c, b = (np.asarray(p, "float64") for p in plain.parameters())
    v = binary(8)
    p = tempered(v, w, c, b, beta=1)  # the base biases of this machine are 0
    on = v.mean(axis=1) > 0.5
    assert p[v.mean(axis=1) == 0].sum() + p[v.mean(axis=1) == 1].sum() > 0.75
    probability = p[on].sum()
    assert 0.2 < probability < 0.8

    @tf.function
    def run(rbm_step, v, steps):
        seen = tf.TensorArray("float32", steps)
        for i in tf.range(steps):
            v = rbm_step(v)
            seen = seen.write(i, tf.reduce_mean(v if len(v.shape) == 2 else v[0], axis=1))
        return seen.stack()

    steps = tf.constant(400)
    unconverted = tf.autograph.experimental.do_not_convert
    climb = unconverted(lambda v: _tempering.step(ladder, v, ladder.parameters())[0])
    stays = run(unconverted(plain.negative), tf.zeros((100, 8)), steps).numpy() > 0.5
    visits = run(climb, tf.zeros((8, 100, 8)), steps).numpy() > 0.5
    assert stays[100:].mean() < 0.05
    per_chain = visits[100:].mean(axis=0)
    assert abs(per_chain.mean() - probability) < 4.5 * per_chain.std(ddof=1) / 10
    assert per_chain.std() / 10 < 0.03
    assert (per_chain > 0).all() and (per_chain < 1).all()


@pytest.mark.slow
def test_tempering_trains_reports_its_swaps_and_goes_on_after_loading(tmp_path):
    x = (np.random.default_rng(0).random((40, 6)) < 0.3).astype("float32")

    def new():
        rbm = RBM(3, persistent=True, temperatures=4, chains=5, seed=0, kernel_stddev=0.3)
        rbm.compile(rbm.default_optimizer(), run_eagerly=True)
        return rbm

    def fit(rbm, epochs):
        return rbm.fit(x, epochs=epochs, initial_epoch=int(rbm.epoch), batch_size=20, shuffle=False, verbose=0).history

    whole, begun = new(), new()
    history = fit(whole, 2)
    assert np.all(0 < np.array(history["swap_rate"])) and np.all(np.array(history["swap_rate"]) <= 1)
    fit(begun, 1)
    assert begun.chain.shape == (4, 5, 6)
    begun.save(tmp_path / "rbm.keras")
    loaded = keras.models.load_model(tmp_path / "rbm.keras")
    np.testing.assert_array_equal(loaded.chain, begun.chain)
    loaded.run_eagerly = True
    fit(loaded, 2)
    for a, b in zip(whole.variables, loaded.variables, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"temperatures": 3}, "temperatures=3 needs persistent=True"),
        ({"temperatures": 3, "persistent": True, "sample_visible": False}, "sample_visible=False"),
        ({"temperatures": 3, "persistent": True, "hidden": "relu"}, "hidden='relu'"),
        ({"temperatures": 0}, "temperatures must be"),
        ({"learn_stddev": True}, "learn_stddev belongs to visible='gaussian', but visible='bernoulli'"),
    ],
)
def test_arguments_that_contradict_each_other_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        RBM(3, **arguments)
