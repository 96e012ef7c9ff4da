import contextlib
import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf
from sklearn.datasets import load_digits

import aezoo
from aezoo.evaluation import likelihood, log_likelihood, log_partition
from aezoo.training import inference

EASY = {"particles": 200, "temperatures": 300}


def machine(visible_units, hidden_units, scale=1.0, shape=None, **kwargs):
    """An RBM with random weights, and these in double precision."""
    rbm = aezoo.RBM(hidden_units, seed=3, **kwargs)
    rbm.build((None, *(shape or (visible_units,))))
    rng = np.random.default_rng(visible_units * 31 + hidden_units)
    weights = [rng.normal(0, scale, s).astype("float32") for s in ((visible_units, hidden_units), hidden_units)]
    weights.append(rng.normal(0, 1, visible_units).astype("float32"))
    rbm.encoder.layers[-1].kernel.assign(weights[0])
    rbm.encoder.layers[-1].bias.assign(weights[1])
    rbm.decoder.layers[0].bias.assign(weights[2])
    return rbm, [w.astype("float64") for w in weights]


def binary(n):
    return np.array(list(itertools.product((0.0, 1.0), repeat=n)))


def joint(w, c, b):
    """-E of all states, (2^visible, 2^hidden)."""
    v, h = binary(len(b)), binary(len(c))
    return v @ b[:, None] + (h @ c)[None] + v @ w @ h.T


def log_sum(x, axis=None):
    return np.logaddexp.reduce(x.ravel() if axis is None else x, axis=axis or 0)


@pytest.mark.parametrize("sizes", [(7, 4), (4, 7), (1, 1), (8, 8)])
def test_exact_log_partition_is_that_of_the_enumerated_joint(sizes):
    rbm, weights = machine(*sizes)
    value, error = log_partition(rbm)
    assert value == pytest.approx(log_sum(joint(*weights)), abs=1e-6)
    assert error == 0.0
    assert isinstance(value, float) and isinstance(error, float)


@pytest.mark.parametrize("sizes", [(13, 15), (15, 13)])
def test_enumeration_in_pieces(sizes, monkeypatch):
    rbm, _ = machine(*sizes, scale=0.5)
    whole = log_partition(rbm)[0]
    monkeypatch.setattr(likelihood, "_IN_HAND", 500)
    assert log_partition(rbm)[0] == pytest.approx(whole, abs=1e-9)


@pytest.mark.parametrize("shape", [(8,), (2, 4, 1)])
def test_probabilities_of_all_states_sum_to_one(shape):
    rbm, _ = machine(8, 5, shape=shape)
    p = np.exp(log_likelihood(rbm, binary(8).reshape(-1, *shape).astype("float32")))
    assert p.shape == (256,)
    assert p.sum() == pytest.approx(1, abs=1e-5)


def test_log_likelihood_takes_a_known_log_partition_and_many_samples(monkeypatch):
    rbm, weights = machine(6, 4)
    x = binary(6).astype("float32")
    expected = log_sum(joint(*weights), axis=1) - log_sum(joint(*weights))
    assert log_likelihood(rbm, x) == pytest.approx(expected, abs=1e-5)
    monkeypatch.setattr(inference, "_LARGEST_BATCH", 8)
    rbm.compile("sgd")  # which forgets the size of a batch
    assert rbm._verbs.batch_size((6,)) == 8
    assert log_likelihood(rbm, x, log_z=0.0) == pytest.approx(log_sum(joint(*weights), axis=1), abs=1e-5)
    assert log_likelihood(rbm, x[:0], log_z=0.0).shape == (0,)
    with pytest.raises(ValueError, match="was built for"):
        log_likelihood(rbm, x[:, :-1])


@pytest.mark.slow_cases("sizes1-True-None", "sizes0-True-None", "sizes1-False-None", "sizes1-True-data")
@pytest.mark.parametrize("base", [None, "data"])
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("sizes", [(8, 5), (5, 8)])
def test_annealing_agrees_with_the_exact_value(sizes, reverse, base):
    rbm, weights = machine(*sizes)
    if base:
        base = np.linspace(0, 1, sizes[0])
    value, error = log_partition(rbm, method="ais", reverse=reverse, base=base, seed=1, **EASY)
    assert 0 < error < 0.1
    assert abs(value - log_sum(joint(*weights))) < 3 * error


@pytest.mark.slow
@pytest.mark.parametrize("reverse", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_the_standard_error_is_the_scatter_of_estimates(reverse):
    rbm, weights = machine(8, 5)
    results = np.array(
        [log_partition(rbm, method="ais", reverse=reverse, particles=50, temperatures=60, seed=s) for s in range(40)]
    )
    assert results[:, 0].std() == pytest.approx(results[:, 1].mean(), rel=0.4)
    assert abs(results[:, 0].mean() - log_sum(joint(*weights))) < 4 * results[:, 0].std() / np.sqrt(40) + 0.02


def test_too_few_temperatures_err_downwards_forward_and_upwards_in_reverse():
    rbm, weights = machine(8, 8, scale=3.0)
    exact = log_sum(joint(*weights))
    states = binary(8).astype("float32")
    p = np.exp(log_likelihood(rbm, states))
    start = states[np.random.default_rng(0).choice(256, 100, p=p / p.sum())]
    path, betas = likelihood._Path(rbm, weights[2]), likelihood.inverse_temperatures(2)
    down = [path.forward(betas, 100, seed=s, stage=0).log_z for s in range(5)]
    up = [path.reverse(tf.constant(start), betas, seed=s).log_z for s in range(5)]
    assert np.mean(down) < exact < np.mean(up)


def test_reverse_annealing_from_given_samples_of_the_model():
    rbm, weights = machine(6, 4, shape=(2, 3, 1))
    states = binary(6).astype("float32")
    p = np.exp(log_likelihood(rbm, states.reshape(-1, 2, 3, 1)))
    start = states[np.random.default_rng(0).choice(64, 200, p=p / p.sum())].reshape(-1, 2, 3, 1)
    value, error = log_partition(rbm, method="ais", reverse=True, start=start, **EASY)
    assert abs(value - log_sum(joint(*weights))) < 3 * error


# === An error bar that covers the error ===


@pytest.fixture(scope="module")
def two_modes():
    """A machine of which almost all mass is near v = 1, where particles that start near v = 0 do not get."""
    rbm = aezoo.RBM(10, seed=3)
    rbm.build((None, 80))
    rbm.encoder.layers[-1].kernel.assign(np.full((80, 10), 0.6))
    rbm.encoder.layers[-1].bias.assign(np.full(10, -14.4))
    rbm.decoder.layers[0].bias.assign(np.full(80, -4.0))
    return rbm, log_partition(rbm)[0]


def test_no_single_base_is_safe_and_the_better_one_counts(two_modes):
    rbm, exact = two_modes
    runs = [
        likelihood._Path(rbm, bias).forward(likelihood.inverse_temperatures(200), 100, seed=0, stage=0)
        for bias in (np.full(80, -4.0), likelihood._base_bias(rbm, np.full(80, 0.99)))
    ]
    assert runs[0].log_z - exact < -10 and runs[0].error < 0.5, "the visible biases as a base fail silently"
    assert abs(runs[1].log_z - exact) < 0.5
    for options in ({"base": np.full(80, 0.99)}, {"data": np.ones((7, 80), "float32")}, {}):
        with contextlib.nullcontext() if "data" in options else pytest.warns(UserWarning, match="the two bases give"):
            value, error = log_partition(rbm, method="ais", temperatures=200, **options)
        assert abs(value - exact) < min(0.7, 4 * error), options


@pytest.mark.parametrize("reverse", [False, True])
def test_data_uncover_a_mode_that_both_bases_miss(two_modes, reverse):
    rbm, exact = two_modes
    options = {"method": "ais", "temperatures": 200, "base": np.zeros(80), "reverse": reverse}
    with pytest.warns(UserWarning, match=r"forward and reverse annealing give .*; use more temperatures\.$"):
        value, error = log_partition(rbm, data=np.ones((7, 80), "float32"), **options)
    assert abs(value - exact) < 1.5 * error
    assert error > 5


@pytest.mark.parametrize("sizes", [(30, 12), (12, 30)])
@pytest.mark.parametrize("reverse", [False, True])
def test_very_large_weights(sizes, reverse):
    rbm, _ = machine(*sizes, scale=3000.0)
    exact = log_partition(rbm)[0]
    with pytest.warns(UserWarning, match="uncertain by"):
        value, error = log_partition(rbm, method="ais", temperatures=50, reverse=reverse)
    assert abs(value - exact) < 3 * error and error > 10


@pytest.fixture(scope="module")
def digits():
    x = load_digits(return_X_y=True)[0] / 16
    return (np.random.default_rng(0).random(x.shape) < x).astype("float32")


@pytest.mark.slow
@pytest.mark.parametrize("persistent", [False, True])
def test_annealing_of_a_machine_that_learned_digits(digits, persistent):
    rbm = aezoo.RBM(12, persistent=persistent, seed=0)
    keras.utils.set_random_seed(0)
    rbm.compile(rbm.default_optimizer())
    rbm.fit(digits, epochs=10, verbose=0)
    exact = log_partition(rbm)[0]
    for options in ({}, {"data": digits}, {"data": digits, "reverse": True}, {"base": digits.mean(0)}):
        value, error = log_partition(rbm, method="ais", temperatures=300, **options)
        assert abs(value - exact) < 4 * error < 0.5, options


def test_log_likelihood_gives_its_samples_to_the_annealing(digits, monkeypatch):
    given = []
    monkeypatch.setattr(likelihood, "log_partition", lambda rbm, data: given.append(data) or (1.0, 0.0))
    rbm, _ = machine(64, 3)
    assert log_likelihood(rbm, digits[:5]) == pytest.approx(-np.asarray(rbm.free_energy(digits[:5])) - 1.0)
    assert given[0].shape == (5, 64)


def test_temperatures_may_be_given_one_by_one():
    temperatures = np.append(np.linspace(0, 0.5, 30, endpoint=False), np.linspace(0.5, 1, 70))
    rbm, weights = machine(6, 4)
    value, error = log_partition(rbm, method="ais", particles=300, temperatures=temperatures)
    assert abs(value - log_sum(joint(*weights))) < 3 * error


def test_the_same_seed_gives_the_same_value_and_leaves_the_model_alone():
    rbm, _ = machine(6, 4)
    before = [v.numpy() for v in rbm.variables]
    first, second, other = (log_partition(rbm, method="ais", seed=s, particles=20, temperatures=20) for s in (1, 1, 2))
    assert first == second != other
    for a, b in zip(before, rbm.variables, strict=True):
        assert np.array_equal(a, b.numpy())


def test_large_machines_are_annealed_without_being_asked():
    rbm, _ = machine(25, 24, scale=0.1)
    value, error = log_partition(rbm, particles=50, temperatures=50)
    up, up_error = log_partition(rbm, particles=50, temperatures=50, reverse=True)
    assert error > 0
    assert abs(value - up) < 4 * np.hypot(error, up_error)


# === Gaussian units ===


def test_gaussian_visibles_integrate_to_one():
    rbm, _ = machine(2, 4, visible="gaussian")
    side = np.linspace(-12, 12, 481)
    grid = np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, 2).astype("float32")
    density = np.exp(log_likelihood(rbm, grid))
    assert density.sum() * (side[1] - side[0]) ** 2 == pytest.approx(1, abs=1e-4)
    for reverse in (False, True):
        value, error = log_partition(rbm, method="ais", reverse=reverse, base=np.array([0.5, -0.5]), **EASY)
        assert abs(value - log_partition(rbm)[0]) < 3 * error


@pytest.mark.slow
def test_gaussian_hidden_units_with_bernoulli_visibles():
    rbm, (w, c, b) = machine(6, 25, scale=0.3, hidden="gaussian")
    v = binary(6)
    exact = log_sum(v @ b + 0.5 * np.sum((v @ w + c) ** 2, axis=1))
    assert log_partition(rbm)[0] == pytest.approx(exact, abs=1e-5)
    assert np.exp(log_likelihood(rbm, v.astype("float32"))).sum() == pytest.approx(1, abs=1e-4)
    value, error = log_partition(rbm, method="ais", particles=300, temperatures=500)
    assert abs(value - exact) < 3 * error


@pytest.mark.slow
def test_gaussian_units_in_both_layers():
    rbm, _ = machine(2, 3, scale=0.3, visible="gaussian", hidden="gaussian")
    side = np.linspace(-15, 15, 601)
    grid = np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, 2).astype("float32")
    assert np.exp(log_likelihood(rbm, grid)).sum() * (side[1] - side[0]) ** 2 == pytest.approx(1, abs=1e-4)
    value, error = log_partition(rbm, method="ais", **EASY)
    assert abs(value - log_partition(rbm)[0]) < 3 * error
    rbm, _ = machine(2, 3, scale=3.0, visible="gaussian", hidden="gaussian")
    for method in ("auto", "ais"):
        with pytest.raises(ValueError, match="singular value of W"):
            log_partition(rbm, method=method)


# === What does not fit ===


def test_what_has_no_log_partition_is_refused():
    rbm, _ = machine(4, 3, hidden="relu")
    with pytest.raises(ValueError, match=r"hidden='relu' units have no log Z.*: use 'bernoulli' or 'gaussian'"):
        log_partition(rbm)
    with pytest.raises(ValueError, match="has no weights yet"):
        log_partition(aezoo.RBM(3))
    rbm, _ = machine(22, 21)
    with pytest.raises(ValueError, match=r"at most 20 .*\(hidden\) has 21: use method='ais'"):
        log_partition(rbm, method="exact")
    rbm, _ = machine(3, 21, visible="gaussian")
    with pytest.raises(ValueError, match=r"\(hidden\) has 21"):
        log_partition(rbm, method="exact")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"method": "guess"}, "method='guess' is unknown"),
        ({"particles": 1}, "particles must be at least 2"),
        ({"temperatures": 1}, "temperatures must be at least 2"),
        ({"temperatures": [0.0, 0.7, 0.3, 1.0]}, "increase from 0 to 1"),
        ({"temperatures": [0.5, 1.0]}, "increase from 0 to 1"),
        ({"base": np.zeros(3)}, r"shape \(4,\), but it has shape \(3,\)"),
        ({"base": np.full(4, 2.0)}, r"outside \[0, 1\]"),
        ({"base": np.full(4, np.nan)}, r"outside \[0, 1\]"),
        ({"data": np.zeros((5, 3), "float32")}, "was built for"),
        ({"data": np.full((5, 4), 2.0, "float32")}, r"outside \[0, 1\]"),
        ({"start": np.zeros((100, 4))}, "reverse=True"),
        ({"start": np.zeros((7, 4)), "reverse": True}, r"\(100, 4\).* but it has shape \(7, 4\)"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(arguments, message):
    rbm, _ = machine(4, 3)
    with pytest.raises(ValueError, match=message):
        log_partition(rbm, **{"method": "ais", **arguments})


def test_one_graph_serves_all_runs_of_a_machine():
    rbm, _ = machine(4, 3)
    log_partition(rbm, method="ais", particles=9, temperatures=3)
    count = likelihood._anneal.experimental_get_tracing_count()
    for temperatures in (4, 5):
        log_partition(rbm, method="ais", particles=9, temperatures=temperatures, reverse=True)
    rbm.encoder.layers[-1].bias.assign(tf.ones(3))
    log_partition(rbm, method="ais", particles=9, temperatures=5)
    assert likelihood._anneal.experimental_get_tracing_count() <= count + 1


def test_what_has_no_likelihood_is_refused():
    rbm = aezoo.RBM(3)
    with pytest.raises(ValueError, match="has no weights yet"):
        rbm.parameters()
    rbm.build((None, 4))
    x = np.ones((2, 4), "float32")
    for wrong, message in ((3 * x, "outside"), (np.nan * x, "NaN")):
        with pytest.raises(ValueError, match=message):
            log_likelihood(rbm, wrong)
        with pytest.raises(ValueError, match=message):
            rbm.pseudo_log_likelihood(wrong)
    with pytest.raises(ValueError, match=r"DBN has no partition function.*rbms\[-1\]"):
        log_partition(aezoo.DBN([rbm]))
    with pytest.raises(ValueError, match="Autoencoder has no partition function"):
        log_likelihood(aezoo.Autoencoder(3), x)
    rbm.set_weights([np.nan * w if w.dtype == "float32" else w for w in rbm.get_weights()])
    with pytest.raises(ValueError, match="diverged"):
        log_partition(rbm)
