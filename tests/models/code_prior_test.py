"""The prior of codes: its masks, its likelihood by enumeration, its draws, and the contract of a train step."""

import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf

import aezoo
from aezoo import testing

INDICES = np.random.default_rng(0).integers(0, 3, (21, 2, 2, 2)).astype("int32")


def made(x=INDICES, **arguments):
    prior = aezoo.CodePrior(**{"codebook_size": 3, "width": 8, "heads": 2, "seed": 0, **arguments})
    prior.build(x.shape)
    rng = np.random.default_rng(1)
    for variable in prior.network.trainable_variables:  # biases and scales too
        variable.assign(variable + 0.3 * rng.normal(size=variable.shape))
    return prior


def test_no_output_depends_on_its_own_or_a_later_index():
    prior = made()
    x = INDICES[:4].reshape(4, 8)
    logits = prior.network(x).numpy()
    for t in range(8):
        other = x.copy()
        other[:, t] = (other[:, t] + 1) % 3
        changed = np.any(prior.network(other).numpy() != logits, axis=(0, 2))
        assert not changed[: t + 1].any() and changed[t + 1 :].all()


def test_gradients_reach_only_earlier_positions():
    prior = made(dropout=0.3)
    embedding, *rest = prior.network.layers
    h = embedding(INDICES[:3].reshape(3, 8))  # position t has token t - 1
    with tf.GradientTape() as tape:
        tape.watch(h)
        y = h
        for layer in rest:
            y = layer(y, training=True) if "training" in layer.call.__code__.co_varnames else layer(y)
    jacobian = tape.batch_jacobian(y, h).numpy()  # (batch, t, token, s, width)
    reached = np.any(jacobian != 0, axis=(0, 2, 4))
    np.testing.assert_array_equal(reached, np.tril(np.ones((8, 8), bool)))
    assert np.all(embedding(INDICES[:3].reshape(3, 8))[:, 0] == embedding.positions[0]), "nothing precedes the first"


@pytest.mark.slow_cases("shape1")
@pytest.mark.parametrize("shape", [(2, 2, 1), (1, 2, 2)])
def test_probabilities_of_all_codes_sum_to_one(shape):
    prior = made(np.zeros((1, *shape), "int32"))
    every = np.array(list(itertools.product(range(3), repeat=4)), "int32").reshape(-1, *shape)
    p = np.exp(prior.log_likelihood(every, batch_size=50))
    assert len(p) == 81 and p.sum() == pytest.approx(1, rel=1e-5) and p.max() > 2 * p.min()


@pytest.mark.slow
def test_draws_have_the_probabilities():
    prior = made(np.zeros((1, 1, 2, 1), "int32"))
    every = np.array(list(itertools.product(range(3), repeat=2)), "int32").reshape(9, 1, 2, 1)
    p = np.exp(prior.log_likelihood(every))
    drawn = np.asarray(prior.sample(4000, seed=0)).reshape(-1, 2)
    counts = np.bincount(drawn[:, 0] * 3 + drawn[:, 1], minlength=9) / 4000
    np.testing.assert_allclose(counts, p, atol=0.03)
    likeliest = np.asarray(prior.sample(3, temperature=0, seed=0)).reshape(3, 2)
    first = np.argmax(p.reshape(3, 3).sum(axis=1))
    assert np.all(likeliest == [first, np.argmax(p.reshape(3, 3)[first])])
    np.testing.assert_array_equal(prior.sample(5, seed=1), prior.sample(5, seed=1))
    assert not np.array_equal(prior.sample(9), prior.sample(9))


def test_the_term_is_the_mean_negative_log_likelihood():
    prior = made()
    prior.compile(run_eagerly=True)
    expected = -np.mean(prior.log_likelihood(INDICES))
    assert prior.evaluate(INDICES, verbose=0, return_dict=True)["loss"] == pytest.approx(expected, rel=1e-5)
    assert prior(INDICES).shape == (*INDICES.shape, 3)
    p = np.asarray(keras.ops.softmax(prior(INDICES)))
    chosen = np.take_along_axis(p, INDICES[..., None], axis=-1)[..., 0]
    assert -np.mean(np.sum(np.log(chosen), axis=(1, 2, 3))) == pytest.approx(expected, rel=1e-5)


@pytest.mark.slow
def test_it_learns_a_rule():
    """The second index repeats the first."""
    first = np.random.default_rng(0).integers(0, 3, (256, 1))
    x = np.concatenate([first, first], axis=1).astype("int32")
    prior = aezoo.CodePrior(3, width=16, depth=1, heads=2, seed=0)
    prior.compile(keras.optimizers.Adam(0.02))
    prior.fit(x, epochs=8, batch_size=32, verbose=0)
    assert float(prior.evaluate(x, verbose=0, return_dict=True)["loss"]) < np.log(3) + 0.1
    drawn = np.asarray(prior.sample(100, seed=0))
    assert np.mean(drawn[:, 0] == drawn[:, 1]) > 0.95 and len(np.unique(drawn)) == 3


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (INDICES + 3, r"in \[0, 2\]"),
        (INDICES - 1, r"in \[0, 2\]"),
        (INDICES.astype("float32"), "not tokens"),
        (INDICES[:, 0], "was built for"),
    ],
)
def test_other_indices_are_refused(x, message):
    prior = made()
    prior.compile("sgd", run_eagerly=True)
    for verb in (prior.fit, prior.evaluate, prior.log_likelihood):
        with pytest.raises(ValueError, match=message):
            verb(x)


def test_wrong_arguments_are_errors():
    for arguments, message in (
        ({"codebook_size": 1}, "codebook_size"),
        ({"width": 10, "heads": 4}, "cannot be divided among heads=4"),
        ({"depth": 0}, "depth"),
        ({"dropout": 1.0}, "dropout"),
        ({"activation": "nonsense"}, "nonsense"),
    ):
        with pytest.raises(ValueError, match=message):
            aezoo.CodePrior(**{"codebook_size": 4, **arguments})
    with pytest.raises(ValueError, match="fixed shape"):
        aezoo.CodePrior(3).build((None, None, 2))
    prior = made()
    prior.compile("sgd", loss="mse", run_eagerly=True)
    with pytest.raises(ValueError, match="give compile no loss"):
        prior.fit(INDICES, verbose=0)
    with pytest.raises(ValueError, match="temperature"):
        prior.sample(3, temperature=-1)
    with pytest.raises(ValueError, match="no weights yet"):
        aezoo.CodePrior(3).sample(2)


CASE = testing.Case(
    lambda **kw: aezoo.CodePrior(3, width=8, depth=1, heads=2, dropout=0.2, **kw),
    INDICES,
    quiet=lambda **kw: aezoo.CodePrior(3, width=8, depth=1, heads=2, **kw),
    learning_rate=1e-2,
)
QUICK = ("configuration", "declared", "weight_zero")
SLOW = ("replicas", "execution", "tracing", "determinism", "divergence", "epoch_means", "sample_weights")
SLOW += ("mixed_precision", "saving", "accumulation")


@pytest.mark.parametrize("name", [*QUICK, *(pytest.param(name, marks=pytest.mark.slow) for name in SLOW)])
def test_the_contract_of_a_train_step(name):
    getattr(testing, name)(CASE)
