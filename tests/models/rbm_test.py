import contextlib
import itertools
import time
import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy import integrate, ndimage, stats
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import minmax_scale
from threadpoolctl import threadpool_limits

from aezoo import RBM, schedules
from aezoo.optimizers import ScheduledSGD
from aezoo.testing import two_replicas
from aezoo.training import samples
from aezoo.training.batch import Batch

KINDS = {"visible": ("bernoulli", "gaussian"), "hidden": ("bernoulli", "gaussian", "relu")}


def machine(visible_units, hidden_units, scale=1.0, **kwargs):
    """An RBM with random weights, and W, c, b in double precision."""
    rbm = RBM(hidden_units, **{"seed": 3, **kwargs})
    rbm.build((None, visible_units))
    rng = np.random.default_rng(visible_units * 31 + hidden_units)
    w, c, b = (rng.normal(0, scale, s) for s in ((visible_units, hidden_units), hidden_units, visible_units))
    rbm.encoder.layers[-1].kernel.assign(w)
    rbm.encoder.layers[-1].bias.assign(c)
    rbm.decoder.layers[0].bias.assign(b)
    return rbm, [np.asarray(p, "float64") for p in rbm.parameters()]


def binary(n):
    return np.array(list(itertools.product((0.0, 1.0), repeat=n)))


def joint(w, c, b):
    """p(v, h) of all states, (2^visible, 2^hidden)."""
    v, h = binary(len(b)), binary(len(c))
    p = np.exp(v @ b[:, None] + (h @ c)[None] + v @ w @ h.T)
    return p / p.sum()


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def data(n=60, units=6, seed=0):
    """Binary samples with structure: each unit of the second half follows one of the first."""
    x = np.random.default_rng(seed).random((n, units)) < 0.3
    x[:, units // 2 :] = x[:, : units - units // 2]
    return x.astype("float32")


def within(values, expected, errors=4.5):
    """Whether the mean over the first axis is the expected one, by the scatter of the values."""
    values = np.asarray(values, "float64")
    error = values.std(axis=0, ddof=1) / np.sqrt(len(values))
    return np.all(np.abs(values.mean(axis=0) - expected) <= errors * error + 1e-6)


# === A machine small enough to enumerate ===


@pytest.mark.parametrize("sizes", [(8, 5), (3, 8), (1, 1)])
def test_free_energy_is_that_of_the_enumerated_joint(sizes):
    rbm, (w, c, b) = machine(*sizes)
    v, h = binary(sizes[0]), binary(sizes[1])
    expected = -np.log(np.exp(v @ b[:, None] + (h @ c)[None] + v @ w @ h.T).sum(axis=1))
    assert np.asarray(rbm.free_energy(v.astype("float32"))) == pytest.approx(expected, abs=1e-5)
    assert np.asarray(rbm.score_samples(v.astype("float32"))) == pytest.approx(expected, abs=1e-5)


def test_encode_and_decode_are_the_conditional_means_of_the_joint():
    rbm, weights = machine(6, 5)
    p, v, h = joint(*weights), binary(6), binary(5)
    assert np.allclose(rbm.encode(v.astype("float32")), p @ h / p.sum(axis=1, keepdims=True), atol=1e-5)
    assert np.allclose(rbm.decode(h.astype("float32")), p.T @ v / p.sum(axis=0)[:, None], atol=1e-5)
    assert np.allclose(rbm.mean_visible(h.astype("float32")), rbm.decode(h.astype("float32")), atol=1e-6)


@pytest.mark.slow
def test_gradient_of_long_chains_is_that_of_the_likelihood():
    rbm, weights = machine(4, 3, scale=0.7, gibbs_steps=25)
    w, c, _ = weights
    p, v, h = joint(*weights), binary(4), binary(3)
    x = np.array([[1, 0, 1, 1], [0, 0, 1, 0]], "float32")
    hidden = sigmoid(x @ w + c)
    exact = (
        v.T @ p @ h - x.T @ hidden / len(x),
        (p @ h).sum(axis=0) - hidden.mean(axis=0),
        p.sum(axis=1) @ v - x.mean(axis=0),
    )
    batch = Batch.of(tf.constant(np.tile(x, (1000, 1))))
    gradients = []
    for _ in range(12):
        with tf.GradientTape() as tape:
            term = rbm.objective(batch, training=True)[0]["contrastive_divergence"]
        gradients.append([g.numpy() for g in tape.gradient(term, rbm.trainable_variables)])
    for values, expected in zip(zip(*gradients, strict=True), exact, strict=True):
        assert within(values, expected)
        assert np.std(values, axis=0).max() < 0.03 < 0.07 < np.abs(expected).max()


def test_gibbs_sampling_reaches_the_distribution_of_the_joint():
    rbm, weights = machine(4, 3)
    mean = np.asarray(rbm.sample(20_000, gibbs_steps=60))
    v = np.random.default_rng(0).random(mean.shape) < mean
    frequency = np.bincount(v @ [8, 4, 2, 1], minlength=16) / len(v)
    assert 0.5 * np.abs(frequency - joint(*weights).sum(axis=1)).sum() < 0.02


def test_pseudo_log_likelihood_is_the_sum_of_the_conditionals():
    rbm, weights = machine(5, 3)
    p, v = joint(*weights).sum(axis=1), binary(5)
    index = np.arange(32)
    expected = sum(np.log(p / (p + p[index ^ bit])) for bit in (1, 2, 4, 8, 16))
    values = rbm.pseudo_log_likelihood(v.astype("float32"))
    assert np.asarray(values) == pytest.approx(expected, abs=1e-5)
    x = tf.constant(np.tile(v, (100, 1)), "float32")
    batch = Batch.of(x)
    estimates = [rbm.objective(batch, False)[0]["pseudo_log_likelihood"].numpy() for _ in range(20)]
    assert within(estimates, expected.mean(), errors=4)
    assert 0 < np.std(estimates) < 0.1


@pytest.mark.slow_cases("relu")
@pytest.mark.parametrize("hidden", ["gaussian", "relu"])
def test_pseudo_log_likelihood_of_other_hidden_units_follows_their_free_energy(hidden):
    rbm, _ = machine(4, 3, scale=0.5, hidden=hidden)
    v = binary(4).astype("float32")
    energy = np.asarray(rbm.free_energy(v), "float64")
    expected = sum(-np.logaddexp(0, energy - energy[np.arange(16) ^ bit]) for bit in (1, 2, 4, 8))
    assert np.asarray(rbm.pseudo_log_likelihood(v)) == pytest.approx(expected, abs=1e-5)
    batch = Batch.of(tf.constant(np.tile(v, (100, 1))))
    estimates = [rbm.objective(batch, False)[0]["pseudo_log_likelihood"].numpy() for _ in range(20)]
    assert within(estimates, expected.mean(), errors=4)


# === Gaussian and relu units ===


def test_gaussian_visibles_have_mean_b_plus_wh_and_variance_one():
    rbm, (w, c, b) = machine(3, 2, scale=0.6, visible="gaussian")
    x = np.array([0.5, -1.0, 2.0], "float32")
    p, h = sigmoid(x @ w + c), binary(2)
    weight = np.prod(np.where(h == 1, p, 1 - p), axis=1)
    mean = weight @ (b + h @ w.T)
    second = weight @ ((b + h @ w.T) ** 2 + 1)
    v, means = (np.asarray(t) for t in rbm.gibbs(tf.constant(np.tile(x, (20_000, 1)))))
    assert within(v, mean)
    assert within(v**2, second)
    assert within((v - means) ** 2, 1.0)
    assert np.allclose(rbm.decode(h.astype("float32")), b + h @ w.T, atol=1e-5)


def test_gaussian_hidden_units_are_linear_with_variance_one():
    rbm, (w, c, _) = machine(3, 2, hidden="gaussian")
    x = np.array([1.0, 0.0, 1.0], "float32")
    h = np.asarray(rbm.sample_hidden(tf.constant(np.tile(x, (20_000, 1)))))
    assert within(h, x @ w + c)
    assert within((h - (x @ w + c)) ** 2, 1.0)
    assert np.allclose(rbm.encode(x[None]), x @ w + c, atol=1e-5)


def test_relu_units_have_the_moments_of_a_noisy_rectifier():
    rbm, (w, c, _) = machine(3, 4, hidden="relu")
    x = np.array([1.0, 0.0, 1.0], "float32")
    a = x @ w + c
    assert a.min() < 0 < a.max()
    h = np.asarray(rbm.sample_hidden(tf.constant(np.tile(x, (20_000, 1)))))

    def density(t, power, mean):
        return t**power * stats.norm.pdf(t, mean, np.sqrt(sigmoid(mean)))

    for power in (1, 2):
        assert within(h**power, [integrate.quad(density, 0, mean + 12, args=(power, mean))[0] for mean in a])
    assert np.allclose(rbm.encode(x[None]), np.maximum(a, 0), atol=1e-5)


@pytest.mark.parametrize("hidden", ["bernoulli", "gaussian"])
def test_free_energy_of_gaussian_visibles_integrates_the_hidden_units_out(hidden):
    rbm, (w, c, b) = machine(1, 1, scale=0.8, visible="gaussian", hidden=hidden)
    v = np.linspace(-3, 3, 13)
    square = 0.5 * (v - b[0]) ** 2
    if hidden == "bernoulli":
        marginal = np.exp(-square) * (1 + np.exp(c[0] + w[0, 0] * v))
    else:
        h = np.linspace(-14, 14, 4001)
        integrand = np.exp(-0.5 * h**2 + (c[0] + w[0, 0] * v[:, None]) * h)
        marginal = np.exp(-square) * integrand.sum(axis=1) * (h[1] - h[0]) / np.sqrt(2 * np.pi)
    assert np.asarray(rbm.free_energy(v[:, None].astype("float32"))) == pytest.approx(-np.log(marginal), abs=1e-5)


@pytest.mark.parametrize("visible", KINDS["visible"])
@pytest.mark.parametrize("hidden", KINDS["hidden"])
def test_the_slope_of_the_free_energy_is_the_mean_of_hidden_units(visible, hidden):
    rbm, (w, _, b) = machine(4, 3, visible=visible, hidden=hidden)
    v = tf.constant(np.random.default_rng(0).normal(size=(5, 4)), "float32")
    with tf.GradientTape() as tape:
        tape.watch(v)
        energy = rbm.free_energy(v)
    mean = np.asarray(rbm.encode(v))
    expected = -mean @ w.T - (b if visible == "bernoulli" else b - v)
    assert np.allclose(tape.gradient(energy, v), expected, atol=1e-5)


# === Contrastive divergence, step by step ===


class Given:
    """Uniform numbers from a list that is gone through once."""

    def __init__(self, seed=0):
        self.rng = np.random.default_rng(seed)

    def __call__(self, shape, shared=False):
        return self.rng.random([int(n) for n in shape]).astype("float32")


def contrastive_divergence(x, w, c, b, *, epochs, batch_size, k, decay, momentum, rate, centering=None, chain=None):
    """CD-k or PCD-k as the papers have it, with the centred gradient of Melchior et al. where asked for."""
    uniform = Given()
    steps = [np.zeros_like(p) for p in (w, c, b)]
    mu, lam = np.full(len(b), 0.5), np.full(len(c), 0.5)
    for epoch in range(epochs):
        for start in range(0, len(x), batch_size):
            v = x[start : start + batch_size]
            h = sigmoid(v @ w + c)
            negative = v if chain is None else chain
            for _ in range(k):
                sampled = uniform((len(negative), len(c))) < sigmoid(negative @ w + c)
                negative = uniform((len(negative), len(b))) < sigmoid(sampled @ w.T + b)
            if chain is not None:
                chain = negative
            h_negative = sigmoid(negative @ w + c)
            n, m = len(v), len(negative)
            if centering is None:
                g_w = v.T @ h / n - negative.T @ h_negative / m
                g_c, g_b = h.mean(axis=0) - h_negative.mean(axis=0), v.mean(axis=0) - negative.mean(axis=0)
            else:
                g_w = (v - mu).T @ (h - lam) / n - (negative - mu).T @ (h_negative - lam) / m
                g_c = h.mean(axis=0) - h_negative.mean(axis=0) - g_w.T @ mu
                g_b = v.mean(axis=0) - negative.mean(axis=0) - g_w @ lam
                mu, lam = ((1 - centering) * old + centering * new.mean(axis=0) for old, new in ((mu, v), (lam, h)))
            gradients = (g_w - decay * w, g_c, g_b)
            steps = [momentum(epoch) * s + rate * g for s, g in zip(steps, gradients, strict=True)]
            w, c, b = (p + s for p, s in zip((w, c, b), steps, strict=True))
            uniform((len(v),))  # of the pseudo-likelihood, which is reported
    return w, c, b


CENTRED = {"centering": True, "centering_rate": 0.1}


@pytest.mark.slow_cases("cd", "centred", "pcd", "cd-3")
@pytest.mark.parametrize(
    ("options", "eager"),
    [
        pytest.param({}, True, marks=pytest.mark.slow),
        ({}, False),
        ({"gibbs_steps": 3}, False),
        ({"persistent": True, "chains": 7}, False),
        pytest.param(CENTRED, True, marks=pytest.mark.slow),
        (CENTRED, False),
        ({**CENTRED, "persistent": True, "chains": 7}, False),
    ],
    ids=["cd-eager", "cd", "cd-3", "pcd", "centred-eager", "centred", "centred-pcd"],
)
def test_fifty_steps_are_those_of_plain_numpy(options, eager):
    x = data(100)
    momentum = schedules.Step([2], [0.5, 0.9])
    rbm, weights = machine(6, 4, scale=0.3, weight_decay=0.01, **options)
    given = Given()
    # In a graph the numbers come from Python too, one call a step.
    rbm.random.uniform = lambda shape, shared=False: (
        given(shape) if eager else tf.ensure_shape(tf.numpy_function(given, [shape], "float32"), [None] * len(shape))
    )
    rbm.compile(optimizer=ScheduledSGD(0.05, momentum=momentum), run_eagerly=eager)
    rbm.fit(x, batch_size=10, epochs=5, shuffle=False, verbose=0)
    expected = contrastive_divergence(
        x.astype("float64"),
        *weights,
        epochs=5,
        batch_size=10,
        k=options.get("gibbs_steps", 1),
        decay=0.01,
        momentum=momentum,
        rate=0.05,
        centering=options.get("centering_rate"),
        chain=np.zeros((7, 6)) if "persistent" in options else None,
    )
    for before, ours, theirs in zip(weights, rbm.parameters(), expected, strict=True):
        assert np.allclose(ours, theirs, atol=1e-4)
        assert np.abs(theirs - before).max() > 0.02


@pytest.mark.slow
def test_a_sample_weight_scales_the_step():
    for options in ({}, {"persistent": True}, {"centering": True}):
        moved = []
        for rate, weight in ((0.2, None), (0.1, np.full(20, 2.0, "float32"))):
            rbm, weights = machine(6, 4, scale=0.3, **options)
            rbm.compile(optimizer=keras.optimizers.SGD(rate), run_eagerly=True)
            rbm.fit(data(20), batch_size=20, epochs=1, shuffle=False, sample_weight=weight, verbose=0)
            moved.append([np.asarray(p) - before for p, before in zip(rbm.parameters(), weights, strict=True)])
        for a, b in zip(*moved, strict=True):
            assert np.allclose(a, b, atol=1e-5), options


@pytest.mark.slow  # the conformance check `saving` of persistent chains is in the gate
def test_chains_are_state_that_goes_on_after_loading(tmp_path):
    x = data()

    def fit(rbm, epochs):
        rbm.fit(x, batch_size=20, epochs=epochs, shuffle=False, verbose=0)
        return [v.numpy() for v in rbm.variables]

    def new():
        rbm = RBM(4, persistent=True, chains=9, gibbs_steps=2, centering=True, seed=5)
        rbm.compile(optimizer=rbm.default_optimizer(), run_eagerly=True)
        return rbm

    whole, first = new(), new()
    expected = fit(whole, 2), fit(whole, 1)
    fit(first, 2)
    chain = first.chain.numpy()
    assert chain.shape == (9, 6) and set(np.unique(chain)) == {0.0, 1.0}
    assert np.array_equal(chain, whole.chain.numpy()) is False
    first.save(tmp_path / "rbm.keras")
    loaded = keras.saving.load_model(tmp_path / "rbm.keras")
    assert np.array_equal(loaded.chain.numpy(), chain)
    for a, b in zip(fit(loaded, 1), expected[1], strict=True):
        assert np.array_equal(a, b)
    loaded.evaluate(x, verbose=0)
    assert np.array_equal(loaded.chain.numpy(), whole.chain.numpy()), "evaluation moved the chains"


# === The options ===


@pytest.mark.slow
def test_a_sparsity_target_draws_the_mean_activation_to_it():
    activation = {}
    for target in (None, 0.1, 0.8):
        rbm = RBM(8, sparsity_target=target, sparsity_weight=2.0, seed=0)
        rbm.compile(optimizer=keras.optimizers.SGD(0.1))
        history = rbm.fit(np.tile(data(), (30, 1)), batch_size=20, verbose=0).history
        assert ("sparsity" in history) == (target is not None)
        activation[target] = float(np.mean(rbm.encode(data())))
    assert activation[0.1] == pytest.approx(0.1, abs=0.05)
    assert activation[0.8] == pytest.approx(0.8, abs=0.05)
    assert 0.2 < activation[None] < 0.7


@pytest.mark.slow
def test_schedules_move_without_a_new_graph_and_go_on_after_loading(tmp_path):
    x = data()
    seen, traces = [], []

    def new():
        rbm = RBM(4, seed=5)
        momentum = schedules.Step([2, 4], [0.5, 0.7, 0.9])
        rbm.compile(optimizer=ScheduledSGD(schedules.Linear(0.5, 0.1, epochs=4), momentum=momentum))
        return rbm

    def fit(rbm, epochs):
        def note(epoch, logs):
            seen.append((float(rbm.optimizer.learning_rate), float(rbm.optimizer.momentum_value)))

        note = keras.callbacks.LambdaCallback(on_epoch_end=note)
        rbm.fit(x, batch_size=20, epochs=epochs, shuffle=False, verbose=0, callbacks=[note])

    whole, first = new(), new()
    objective = whole.objective
    whole.objective = lambda batch, training: traces.append(1) or objective(batch, training)
    fit(whole, 1)
    count = len(traces)
    fit(whole, 5)
    assert len(traces) == count
    assert np.allclose(seen, [(0.5, 0.5), (0.4, 0.5), (0.3, 0.7), (0.2, 0.7), (0.1, 0.9), (0.1, 0.9)])
    seen.clear()
    fit(first, 3)
    first.save(tmp_path / "rbm.keras")
    loaded = keras.saving.load_model(tmp_path / "rbm.keras")
    fit(loaded, 3)
    assert np.allclose(seen[-1], (0.1, 0.9))
    for a, b in zip(loaded.variables, whole.variables, strict=True):
        assert np.array_equal(a.numpy(), b.numpy())
    for a, b in zip(loaded.optimizer.variables, whole.optimizer.variables, strict=True):
        assert np.array_equal(a.numpy(), b.numpy())


def gaps(rbm, x, val_x, **options):
    """The reported gaps of free energy, and those of the weights at the end of each epoch."""
    by_hand = []

    def note(epoch, logs):
        by_hand.append(float(np.mean(rbm.free_energy(val_x)) - np.mean(rbm.free_energy(data()))))

    note = keras.callbacks.LambdaCallback(on_epoch_end=note)
    history = rbm.fit(x, epochs=2, verbose=0, callbacks=[note], **options).history
    return history["free_energy_gap"], by_hand


# The conformance test has two replicas; `.ci/slow` has the gap on them.
@pytest.mark.slow_cases("Dataset", "split", "generator")
@pytest.mark.parametrize(
    "kind", ["array", "split", "Dataset", "generator", pytest.param("replicas", marks=pytest.mark.slow)]
)
def test_the_free_energy_gap_is_that_of_the_weights_at_the_epochs_end(kind, monkeypatch):
    monkeypatch.setattr(samples, "_MOST_SAMPLES", 60)
    val_x = data(20, seed=1)
    with two_replicas().scope() if kind == "replicas" else contextlib.nullcontext():
        rbm = RBM(4, seed=0, centering=True)
        rbm.compile(optimizer=keras.optimizers.SGD(0.5), run_eagerly=kind != "array")
    x, options = data(), {"validation_data": (val_x,), "batch_size": 20}
    if kind == "split":
        x, options = np.concatenate([x, val_x]), {"validation_split": 0.25, "batch_size": 20}
    elif kind == "Dataset":
        x, options = tf.data.Dataset.from_tensor_slices(x).batch(20), {"validation_data": (val_x,)}
    elif kind == "generator":
        x = ((data()[20 * (i % 3) : 20 * (i % 3) + 20],) for i in itertools.count())
        options = {"validation_data": (val_x,), "steps_per_epoch": 3}
    gap, by_hand = gaps(rbm, x, val_x, **options)
    assert len(gap) == 2 and np.std(gap) > 1e-3
    assert np.allclose(gap, by_hand, atol=1e-5)


@pytest.mark.slow
def test_the_free_energy_gap_is_there_where_validation_data_are_and_changes_no_training():
    variables = []
    for keeps in (False, True):
        rbm = RBM(4, seed=0, persistent=True)
        own = rbm.default_callbacks()
        rbm.default_callbacks = lambda own=own, keeps=keeps: own if keeps else own[:1]
        rbm.compile(optimizer=rbm.default_optimizer(), run_eagerly=True)
        keras.utils.set_random_seed(0)
        history = rbm.fit(data(), epochs=2, validation_data=(data(20, seed=1),), verbose=0).history
        assert ("free_energy_gap" in history) == keeps
        variables.append([v.numpy() for v in rbm.variables])
        assert rbm._training_samples is None
    for a, b in zip(*variables, strict=True):
        assert np.array_equal(a, b)
    assert "free_energy_gap" not in rbm.fit(data(), epochs=3, initial_epoch=2, verbose=0).history
    value = rbm.evaluate(data(20, seed=1), return_dict=True, verbose=0)["free_energy"]
    assert value == pytest.approx(float(np.mean(rbm.free_energy(data(20, seed=1)))), rel=1e-4)


# === Where training starts ===


@pytest.mark.slow
def test_visible_biases_and_offsets_start_at_the_means_of_the_data():
    x = np.concatenate([data(40), np.zeros((40, 1), "float32")], axis=1)
    for visible, hidden in itertools.product(*KINDS.values()):
        rbm = RBM(3, visible=visible, hidden=hidden, centering=True, centering_rate=0, kernel_stddev=0.5, seed=0)
        rbm.compile(optimizer=keras.optimizers.SGD(0.0), run_eagerly=True)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # data that are not standardised
            rbm.fit(x, verbose=0)
        rate = (x.sum(axis=0) + 1) / 42
        bias = np.log(rate / (1 - rate)) if visible == "bernoulli" else x.mean(axis=0)
        assert np.allclose(rbm.parameters()[2], bias, atol=1e-5)
        assert np.allclose(rbm.visible_offset, x.mean(axis=0), atol=1e-5)
        assert np.allclose(rbm.hidden_offset, np.mean(rbm.encode(x), axis=0), atol=1e-5)


def test_a_machine_with_weights_of_its_own_does_not_start_again(tmp_path):
    rbm, weights = machine(6, 4)
    rbm.compile(optimizer=keras.optimizers.SGD(0.0), run_eagerly=True)
    rbm.fit(data(), verbose=0)
    assert np.allclose(rbm.parameters()[2], weights[2], atol=1e-6)
    rbm = RBM(4, seed=0)
    rbm.compile(optimizer=keras.optimizers.SGD(0.1), run_eagerly=True)
    rbm.train_on_batch(data())
    rbm.save(tmp_path / "rbm.keras")
    loaded = keras.saving.load_model(tmp_path / "rbm.keras")
    before = np.asarray(loaded.parameters()[2])
    loaded.compile(optimizer=keras.optimizers.SGD(0.0), run_eagerly=True)
    loaded.fit(1 - data(), verbose=0)
    assert np.array_equal(loaded.parameters()[2], before)


@pytest.mark.slow
def test_the_default_optimizer_of_pcd_keeps_units_alive():
    images = load_digits(return_X_y=True)[0] / 16
    x = (np.random.default_rng(0).random(images.shape) < images).astype("float32")
    dead, pseudo = {}, {}
    hinton = ScheduledSGD(0.1, momentum=schedules.Step([5], [0.5, 0.9]))  # that of CD, and once of PCD as well
    for name in ("default", "momentum"):
        rbm = RBM(60, persistent=True, seed=0)
        rbm.compile(optimizer=rbm.default_optimizer() if name == "default" else hinton)
        keras.utils.set_random_seed(0)
        rbm.fit(x, epochs=9, batch_size=20, verbose=0)
        dead[name] = int(np.sum(np.std(rbm.encode(x), axis=0) < 0.01))
        pseudo[name] = float(np.mean(rbm.pseudo_log_likelihood(x)))
    print(dead, pseudo)
    assert dead["default"] == 0
    assert pseudo["default"] > pseudo["momentum"]


def test_default_optimizers():
    def rates(optimizer):
        seen = []
        for epoch in (0, 4, 5, 10, 40):
            optimizer.move_to(epoch)
            seen.append((round(float(optimizer.learning_rate), 6), optimizer.momentum_schedule(epoch)))
        return seen

    cd = [(0.1, 0.5), (0.1, 0.5), (0.02, 0.9), (0.02, 0.9), (0.02, 0.9)]
    assert rates(RBM(3).default_optimizer()) == cd
    pcd = [(0.05, 0.0), (0.041, 0.0), (0.03875, 0.0), (0.0275, 0.0), (0.005, 0.0)]
    assert rates(RBM(3, persistent=True).default_optimizer()) == pcd
    assert rates(RBM(3, hidden="gaussian").default_optimizer())[-1] == (0.001, 0.9)
    assert rates(RBM(3, persistent=True).default_optimizer(0.2))[0] == (0.2, 0.0)
    for hidden, rate in (("bernoulli", 0.01), ("gaussian", 0.001), ("relu", 0.001)):
        machine = RBM(3, visible="gaussian", hidden=hidden, persistent=True)
        assert rates(machine.default_optimizer())[0] == (rate, 0.0)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("persistent", "hidden"),
    [
        pytest.param(*each, marks=() if each == (False, "bernoulli") else pytest.mark.slow)
        for each in itertools.product([False, True], KINDS["hidden"])
    ],
)
def test_default_optimizers_of_gaussian_visibles_learn_standardised_data(hidden, persistent):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(600, 1)) + 0.3 * rng.normal(size=(600, 20))
    x = ((x - x.mean(0)) / x.std(0)).astype("float32")
    rbm = RBM(10, visible="gaussian", hidden=hidden, persistent=persistent, seed=0)
    rbm.compile(rbm.default_optimizer())
    keras.utils.set_random_seed(0)
    errors = rbm.fit(x, epochs=12, batch_size=10, verbose=0).history["reconstruction"]
    assert errors[-1] < 0.7 * errors[0]


@pytest.mark.slow
def test_every_kind_of_unit_learns_and_reports():
    binary_data = data(200)
    standardised = (binary_data - binary_data.mean(axis=0)) / binary_data.std(axis=0)
    for visible, hidden in itertools.product(*KINDS.values()):
        rbm = RBM(6, visible=visible, hidden=hidden, seed=0)
        rate = (0.3 if visible == "bernoulli" else 0.05) if hidden == "bernoulli" else 0.05
        rbm.compile(optimizer=keras.optimizers.SGD(rate, momentum=0.5))
        x = binary_data if visible == "bernoulli" else standardised
        # 25 epochs, the most of them as one.
        first, _, last = (rbm.fit(np.tile(x, (n, 1)), batch_size=10, verbose=0).history for n in (1, 23, 1))
        assert ("pseudo_log_likelihood" in first) == (visible == "bernoulli")
        names = {"contrastive_divergence", "reconstruction", "free_energy", "loss"}
        assert set(first) - {"pseudo_log_likelihood"} == names
        assert last["reconstruction"][0] < 0.8 * first["reconstruction"][0], (visible, hidden)


def test_sample_has_the_shape_of_the_data_and_follows_its_seed():
    x = data(12, 8).reshape(12, 2, 4, 1)
    first, second, other = (RBM(4, seed=seed) for seed in (1, 1, 2))
    for rbm in (first, second, other):
        rbm.build(x.shape)
    a, b = np.asarray(first.sample(5, gibbs_steps=3)), np.asarray(second.sample(5, gibbs_steps=3))
    assert a.shape == (5, 2, 4, 1) and a.dtype == np.float32
    assert a.min() >= 0 and a.max() <= 1
    assert np.array_equal(a, b)
    assert not np.array_equal(a, first.sample(5, gibbs_steps=3))
    assert not np.array_equal(a, other.sample(5, gibbs_steps=3))
    assert first.sample(12, gibbs_steps=1, start=x).shape == (12, 2, 4, 1)


def test_sample_starts_where_it_is_told():
    rbm, _ = machine(4, 3)
    rbm.encoder.layers[-1].kernel.assign(np.array([[30.0, 0, 0], [0, 30, 0], [0, 0, 30], [0, 0, 0]]))
    rbm.encoder.layers[-1].bias.assign(np.full(3, -15.0))
    rbm.decoder.layers[0].bias.assign(np.array([-15.0, -15, -15, 0]))
    start = np.array([[1, 0, 1, 0], [0, 1, 0, 0]], "float32")
    assert np.allclose(rbm.sample(2, gibbs_steps=20, start=start)[:, :3], start[:, :3], atol=1e-3)


def test_sample_of_gaussian_visibles_and_its_errors():
    rbm, _ = machine(4, 3, scale=0.3, visible="gaussian")
    assert rbm.sample(5, gibbs_steps=2).shape == (5, 4)
    with pytest.raises(ValueError, match="n=5 samples were asked for, but start has 2"):
        rbm.sample(5, start=np.zeros((2, 4), "float32"))
    with pytest.raises(ValueError, match="was built for"):
        rbm.sample(5, start=np.zeros((5, 3), "float32"))
    with pytest.raises(ValueError, match="gibbs_steps must be at least 1"):
        rbm.sample(5, gibbs_steps=0)
    with pytest.raises(ValueError, match="has no weights yet"):
        RBM(3).sample(5)
    with pytest.raises(ValueError, match="requires visible='bernoulli', but visible='gaussian'"):
        rbm.pseudo_log_likelihood(np.zeros((5, 4), "float32"))


# === What does not fit ===


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"visible": "poisson"}, "visible='poisson' is unknown"),
        ({"visible": "relu"}, "choose one of 'bernoulli', 'gaussian'"),
        ({"hidden": "tanh"}, "hidden='tanh' is unknown"),
        ({"hidden": "gaussian", "sparsity_target": 0.1}, "hidden='gaussian' units do not have: leave it out"),
        ({"sparsity_target": 1.0}, r"sparsity_target must be inside \(0, 1\)"),
        ({"gibbs_steps": 0}, "gibbs_steps must be at least 1"),
        ({"chains": 0}, "chains must be at least 1"),
        ({"weight_decay": -1.0}, "weight_decay must be at least 0"),
        ({"hidden_units": 0}, "hidden_units must be at least 1"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        RBM(**{"hidden_units": 3, **arguments})


@pytest.mark.parametrize("as_dataset", [False, True])
def test_bernoulli_data_outside_their_range_stop_before_a_step(as_dataset):
    rbm, weights = machine(6, 3)
    rbm.compile(optimizer=rbm.default_optimizer())
    x = data() * 255
    with pytest.raises(ValueError, match=r"outside \[0, 1\]"):
        rbm.fit(tf.data.Dataset.from_tensor_slices(x).batch(10) if as_dataset else x, verbose=0)
    for before, now in zip(weights, rbm.parameters(), strict=True):
        assert np.array_equal(before.astype("float32"), now)


def test_gaussian_visibles_warn_of_data_that_are_not_standardised():
    x = np.random.default_rng(0).normal(5, 3, (40, 6)).astype("float32")
    rbm = RBM(3, visible="gaussian", seed=0)
    rbm.compile(optimizer=keras.optimizers.SGD(1e-4))
    with pytest.warns(UserWarning, match=r"mean 0 and variance 1.*: use .*x\.mean\(0\)"):
        rbm.fit(x, verbose=0)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        rbm.fit((x - x.mean(0)) / x.std(0), verbose=0)


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (np.full((4, 3), 7, "uint8"), "not floating-point"),
        (np.full((4, 3), np.nan, "float32"), "NaN or infinite"),
        (np.zeros((0, 3), "float32"), "empty"),
    ],
)
def test_gaussian_data_that_cannot_be_trained_on_raise_and_do_not_warn(x, message):
    rbm = RBM(3, visible="gaussian")
    rbm.compile(optimizer=keras.optimizers.SGD(1e-4))
    with pytest.raises(ValueError, match=message):
        rbm.fit(x, verbose=0)


# === scikit-learn's example ===


@pytest.mark.slow
def test_features_of_shifted_digits_classify_as_scikit_learn_documents():
    """https://scikit-learn.org/stable/auto_examples/neural_networks/plot_rbm_logistic_classification.html."""
    images, labels = load_digits(return_X_y=True)
    kernels = np.zeros((5, 3, 3))
    kernels[range(5), [0, 1, 1, 2, 1], [1, 0, 2, 1, 1]] = 1  # up, left, right, down, and as it is
    shifted = [ndimage.convolve(images.reshape(-1, 8, 8), k[None], mode="constant").reshape(-1, 64) for k in kernels]
    x = minmax_scale(np.concatenate(shifted), feature_range=(0, 1)).astype("float32")
    x_train, x_test, y_train, y_test = train_test_split(x, np.tile(labels, 5), test_size=0.2, random_state=0)
    keras.utils.set_random_seed(0)
    rbm = RBM(100, persistent=True, chains=10, seed=0)
    rbm.compile(optimizer=keras.optimizers.SGD(0.06), steps_per_execution=64)
    start = time.perf_counter()
    rbm.fit(x_train, batch_size=10, epochs=10, verbose=0)
    seconds = time.perf_counter() - start
    # The example's tol=1 is of the sum of the losses, whose mean newer versions of scikit-learn minimise.
    classifier = LogisticRegression(C=6000, solver="newton-cg", tol=1 / len(x_train))
    with threadpool_limits(1):  # more threads wait for each other most of the time
        classifier.fit(np.asarray(rbm.encode(x_train)), y_train)
    accuracy = classifier.score(np.asarray(rbm.encode(x_test)), y_test)
    print(f"test accuracy {accuracy:.4f}, {seconds:.1f} s of training")
    assert accuracy >= 0.94  # 0.942 with the features of scikit-learn's BernoulliRBM


def test_it_stays_importable_from_the_module_of_pretraining():
    from aezoo import pretraining

    assert pretraining.RBM is RBM and pretraining.DBN.__name__ == "DBN"
