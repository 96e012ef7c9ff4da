"""The bound of a deep belief network against the sum over all of its states."""

import itertools

import numpy as np
import pytest
from scipy.special import expit, logsumexp

import aezoo
from aezoo.evaluation import belief_network, log_likelihood, log_likelihood_bound, log_partition


def network(sizes, seed=0, scale=0.7, **first):
    """A DBN with random weights, and W, c, b of each machine in double precision."""
    rng = np.random.default_rng(seed)
    rbms = [aezoo.RBM(n, seed=i, **(first if not i else {})) for i, n in enumerate(sizes[1:])]
    for rbm, visible in zip(rbms, sizes[:-1], strict=True):
        rbm.build((None, visible))
        for weight in rbm.trainable_variables:
            weight.assign(rng.normal(0, scale, weight.shape))
    return aezoo.DBN(rbms), [[np.asarray(p, "float64") for p in rbm.parameters()] for rbm in rbms]


def binary(n):
    return np.array(list(itertools.product((0.0, 1.0), repeat=n)))


def log_bernoulli(states, p):
    return np.log(np.where(states[:, None], p, 1 - p)).sum(axis=2)


def exact(x, weights):
    """log p(x) and the bound, by the sum over all states of two machines."""
    (w, c, b), (w2, c2, b2) = weights
    h, tops = binary(len(c)), binary(len(c2))
    log_prior = logsumexp(h @ b2[:, None] + (tops @ c2)[None] + h @ w2 @ tops.T, axis=1)
    log_prior -= logsumexp(log_prior)
    joint = log_bernoulli(x, expit(h @ w.T + b)) + log_prior
    log_q = log_bernoulli(h, expit(x @ w + c)).T
    return logsumexp(joint, axis=1), np.sum(np.exp(log_q) * (joint - log_q), axis=1)


def test_the_bound_is_the_enumerated_one_below_log_p():
    dbn, weights = network((5, 4, 3))
    x = binary(5)
    likelihood, bound = exact(x, weights)
    assert np.exp(likelihood).sum() == pytest.approx(1)
    assert np.all(bound < likelihood - 1e-3)
    draws = 400
    estimate = log_likelihood_bound(dbn, x.astype("float32"), samples=draws)
    repeated = np.stack([log_likelihood_bound(dbn, x.astype("float32"), samples=25, seed=s) for s in range(1, 9)])
    error = repeated.std(axis=0, ddof=1) * np.sqrt(25 / draws)
    assert np.all(np.abs(estimate - bound) < 5 * error + 1e-3)
    assert abs(np.mean(estimate - bound)) < 0.02
    # More samples of the importance-weighted bound are between the bound and log p.
    tight = log_likelihood_bound(dbn, x.astype("float32"), samples=draws, importance=True)
    assert tight == pytest.approx(likelihood, abs=0.2)
    assert abs(np.mean(tight - likelihood)) < 0.02 < np.mean(likelihood - bound)


def test_a_top_machine_of_transposed_weights_makes_every_draw_the_likelihood():
    dbn, ((w, c, b), _) = network((6, 4, 6))
    top = dbn.rbms[1]
    top.encoder.layers[-1].kernel.assign(w.T)
    top.encoder.layers[-1].bias.assign(b)
    top.decoder.layers[0].bias.assign(c)
    x = binary(6).astype("float32")
    expected = log_likelihood(dbn.rbms[0], x)
    assert log_likelihood_bound(dbn, x, samples=1) == pytest.approx(expected, abs=1e-4)
    assert log_likelihood_bound(dbn, x, samples=2, importance=True) == pytest.approx(expected, abs=1e-4)
    assert log_likelihood_bound(aezoo.DBN(dbn.rbms[:1]), x) == pytest.approx(expected, abs=1e-4)
    single, _ = network((6, 4), visible="gaussian", learn_stddev=True)
    expected = log_likelihood(single.rbms[0], x)
    assert log_likelihood_bound(single, x) == pytest.approx(expected, abs=1e-4)
    assert log_likelihood_bound(single, x, 2.0) == pytest.approx(log_likelihood(single.rbms[0], x, 2.0), abs=1e-4)


def test_three_machines_are_a_distribution():
    dbn, _ = network((4, 3, 5, 4), scale=0.5)
    x = binary(4).astype("float32")
    assert np.exp(log_likelihood_bound(dbn, x, samples=3000, importance=True)).sum() == pytest.approx(1, abs=0.05)


@pytest.mark.slow
def test_an_annealed_partition_function_of_the_top_machine():
    dbn, _ = network((4, 3, 5, 4), scale=0.5)
    x = binary(4).astype("float32")
    value, error = log_partition(dbn.rbms[-1], method="ais", particles=100, temperatures=200)
    assert abs(value - log_partition(dbn.rbms[-1])[0]) < 4 * error < 0.4
    known = log_likelihood_bound(dbn, x, samples=5)
    assert log_likelihood_bound(dbn, x, (value, error), samples=5) == pytest.approx(
        known + log_partition(dbn.rbms[-1])[0] - value, abs=1e-5
    )


def test_gaussian_visibles_of_the_first_machine_have_a_density():
    dbn, _ = network((2, 3, 2), scale=0.5, visible="gaussian")
    grid = np.linspace(-7, 7, 57)
    x = np.stack(np.meshgrid(grid, grid), axis=-1).reshape(-1, 2).astype("float32")
    p = np.exp(log_likelihood_bound(dbn, x, samples=30, importance=True))
    assert p.sum() * (grid[1] - grid[0]) ** 2 == pytest.approx(1, abs=0.03)


def test_what_has_no_bound_is_refused():
    with pytest.raises(ValueError, match="has no weights yet"):
        log_likelihood_bound(aezoo.DBN([aezoo.RBM(2), aezoo.RBM(2)]), np.zeros((1, 3), "float32"))
    dbn = aezoo.DBN([aezoo.RBM(2, hidden="gaussian"), aezoo.RBM(2, visible="gaussian")])
    for rbm, units in zip(dbn.rbms, (3, 2), strict=True):
        rbm.build((None, units))
    with pytest.raises(ValueError, match="layer 1 has hidden='gaussian' and layer 2 visible='gaussian'"):
        log_likelihood_bound(dbn, np.zeros((1, 3), "float32"))
    dbn, _ = network((3, 2, 2))
    with pytest.raises(ValueError, match="samples must be"):
        log_likelihood_bound(dbn, np.zeros((1, 3), "float32"), samples=0)
    with pytest.raises(ValueError, match="was built for"):
        log_likelihood_bound(dbn, np.zeros((1, 4), "float32"))


def test_no_samples_have_no_bounds(monkeypatch):
    monkeypatch.setattr(belief_network, "log_partition", None)  # nothing is annealed
    for sizes in ((3, 2, 2), (3, 2)):
        assert log_likelihood_bound(network(sizes)[0], np.zeros((0, 3), "float32")).shape == (0,)
