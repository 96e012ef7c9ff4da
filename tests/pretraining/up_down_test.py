"""The up-down algorithm against its delta rules in NumPy and the enumerated likelihood."""

import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy.special import expit, logsumexp

import aezoo
from aezoo.evaluation import log_likelihood_bound
from aezoo.pretraining import wake_sleep
from aezoo.pretraining.up_down import draw_states, objective


def network(sizes=(6, 4, 3), scale=0.5, **top):
    rng = np.random.default_rng(0)
    rbms = [aezoo.RBM(n, seed=i) for i, n in enumerate(sizes[1:-1])] + [aezoo.RBM(sizes[-1], seed=9, **top)]
    for rbm, visible in zip(rbms, sizes[:-1], strict=True):
        rbm.build((None, visible))
        for weight in rbm.trainable_variables:
            weight.assign(rng.normal(0, scale, weight.shape))
    return aezoo.DBN(rbms)


def data():
    """Binary samples of four patterns, with one unit in ten flipped."""
    rng = np.random.default_rng(1)
    patterns = np.array([[1, 1, 1, 0, 0, 0], [0, 0, 0, 1, 1, 1], [1, 0, 1, 0, 1, 0], [0, 0, 0, 0, 0, 0]])
    x = patterns[rng.integers(0, 4, 120)] ^ (rng.random((120, 6)) < 0.1)
    return x.astype("float32")


def log_likelihood(dbn, x):
    """log p(x) of a network of two machines, by the sum over the states of h."""
    _, _, generation, visible_bias = (np.asarray(p, "float64") for p in dbn.layer_weights(0))
    w, c, b = (np.asarray(p, "float64") for p in dbn.rbms[-1].parameters())
    h = np.array(list(itertools.product((0.0, 1.0), repeat=len(b))))
    log_prior = h @ b + np.logaddexp(0, h @ w + c).sum(axis=1)
    field = h @ generation + visible_bias
    log_p = x @ field.T - np.logaddexp(0, field).sum(axis=1) + log_prior - logsumexp(log_prior)
    return logsumexp(log_p, axis=1)


@pytest.fixture(scope="module")
def trained():
    dbn = network()
    x = data()
    return dbn, x, wake_sleep(dbn, x, epochs=60, batch_size=20, learning_rate=0.1, verbose=0)


def test_the_gradients_are_the_delta_rules_of_the_paper():
    dbn = wake_sleep(network((6, 5, 4, 3)), data(), epochs=0, verbose=0)
    for stage in dbn.stages:  # recognition and generative weights differ
        for weight in stage.trainable_variables:
            weight.assign(weight + np.random.default_rng(weight.shape[0]).normal(0, 0.3, weight.shape))
    v = data()[:30]
    wake, sleep = draw_states(dbn, tf.constant(v), tf.constant([3, 4], "int64"))
    assert [part.shape for part in wake] == [part.shape for part in sleep] == [(30, 6), (30, 5), (30, 4)]
    assert all(np.isin(part, (0, 1)).all() for part in [*wake, *sleep[1:]])
    variables = [v for stage in dbn.stages for v in stage.trainable_variables]
    with tf.GradientTape() as tape:
        loss = objective(dbn, wake, sleep)
    gradients = {id(v): g.numpy() for v, g in zip(variables, tape.gradient(loss, variables), strict=True)}
    wake, sleep = ([np.asarray(part, "float64") for part in states] for states in (wake, sleep))
    for i, stage in enumerate(dbn.stages[:-1]):
        encode, decode = stage.encoder.layers[-1], stage.decoder.layers[0]
        error = wake[i] - expit(wake[i + 1] @ decode.kernel.numpy() + decode.bias.numpy())
        assert gradients[id(decode.kernel)] == pytest.approx(-wake[i + 1].T @ error / 30, abs=1e-5)
        assert gradients[id(decode.bias)] == pytest.approx(-error.mean(axis=0), abs=1e-5)
        error = sleep[i + 1] - expit(sleep[i] @ encode.kernel.numpy() + encode.bias.numpy())
        assert gradients[id(encode.kernel)] == pytest.approx(-sleep[i].T @ error / 30, abs=1e-5)
        assert gradients[id(encode.bias)] == pytest.approx(-error.mean(axis=0), abs=1e-5)
    # The lowest sleep state is the mean of the visible units given the state above.
    decode = dbn.stages[0].decoder.layers[0]
    assert sleep[0] == pytest.approx(expit(sleep[1] @ decode.kernel.numpy() + decode.bias.numpy()), abs=1e-5)
    top = dbn.rbms[-1]
    w, c, _ = (np.asarray(p, "float64") for p in top.parameters())
    up, down = (expit(states[-1] @ w + c) for states in (wake, sleep))
    kernel, visible_bias = top.encoder.layers[-1].kernel, top.decoder.layers[0].bias
    assert gradients[id(kernel)] == pytest.approx((sleep[-1].T @ down - wake[-1].T @ up) / 30, abs=1e-5)
    assert gradients[id(visible_bias)] == pytest.approx((sleep[-1] - wake[-1]).mean(axis=0), abs=1e-5)


def test_the_states_have_the_distributions_of_their_weights():
    dbn = wake_sleep(network((4, 3, 2)), data()[:, :4], epochs=0, verbose=0)
    v = np.tile(data()[:1, :4], (20_000, 1))
    wake, sleep = draw_states(dbn, tf.constant(v), tf.constant([0, 1], "int64"))
    recognition, hidden_bias, _, _ = dbn.layer_weights(0)
    p = expit(v[0] @ recognition.numpy() + hidden_bias.numpy())
    assert np.abs(wake[1].numpy().mean(axis=0) - p).max() < 4.5 * 0.5 / np.sqrt(20_000)
    w, c, b = (np.asarray(part, "float64") for part in dbn.rbms[-1].parameters())
    h = np.array(list(itertools.product((0.0, 1.0), repeat=2)))
    a = (wake[1].numpy() @ w + c)[:, None]
    given = np.prod(np.where(h[None], expit(a), expit(-a)), axis=2)
    expected = given.mean(axis=0) @ expit(h @ w.T + b)
    assert np.abs(sleep[1].numpy().mean(axis=0) - expected).max() < 4.5 * 0.5 / np.sqrt(20_000)


@pytest.mark.slow
def test_the_enumerated_likelihood_and_the_bound_rise(trained):
    dbn, x, fine = trained
    before, after = log_likelihood(dbn, x).mean(), log_likelihood(fine, x).mean()
    assert after > before + 0.5
    bounds = [log_likelihood_bound(each, x, samples=200).mean() for each in (dbn, fine)]
    assert before > bounds[0] - 0.02 and after > bounds[1] - 0.02
    assert bounds[1] > bounds[0] + 0.5
    estimate = log_likelihood_bound(fine, x, samples=1000, importance=True)
    assert estimate == pytest.approx(log_likelihood(fine, x), abs=0.1)


@pytest.mark.slow
def test_the_result_is_a_network_and_the_original_is_unchanged(trained, tmp_path):
    dbn, x, fine = trained
    recognition, _, generation, _ = (np.asarray(p) for p in fine.layer_weights(0))
    assert np.abs(recognition.T - generation).max() > 0.05
    for a, b in zip(dbn.rbms[0].trainable_variables, network().rbms[0].trainable_variables, strict=True):
        np.testing.assert_array_equal(a, b)
    assert fine.sample(3, gibbs_steps=2).shape == (3, 6)
    assert np.asarray(fine.unroll().encode(x[:3])) == pytest.approx(np.asarray(fine.encode(x[:3])), abs=1e-6)
    copies = []
    for i, stage in enumerate(fine.stages):
        stage.save(tmp_path / f"{i}.keras")
        copies.append(keras.models.load_model(tmp_path / f"{i}.keras"))
    np.testing.assert_array_equal(aezoo.DBN(copies).decode(fine.encode(x)), fine.reconstruct(x))
    again = wake_sleep(fine, x, epochs=0, verbose=0)
    np.testing.assert_array_equal(again.reconstruct(x), fine.reconstruct(x))
    with pytest.raises(ValueError, match="layer 1 has recognition and generative weights of its own"):
        fine.pretrain(x, verbose=0)


def test_a_classifier_starts_from_the_recognition_weights():
    dbn, x, rng = wake_sleep(network(), data(), epochs=0, verbose=0), data()[:10], np.random.default_rng(2)
    recognition, hidden_bias = rng.normal(size=(6, 4)), rng.normal(size=4)  # the generative weights are others
    dbn.stages[0].encoder.layers[-1].set_weights([recognition, hidden_bias])
    w, c, _ = (np.asarray(p, "float64") for p in dbn.rbms[-1].parameters())
    classifier = dbn.to_classifier(2, activation=None)
    kernel, bias = classifier.layers[-1].get_weights()
    h = expit(expit(x @ recognition + hidden_bias) @ w + c)
    assert np.asarray(classifier(x)) == pytest.approx(h @ kernel + bias, abs=1e-5) and np.abs(kernel).min() > 0
    classifier.layers[0].set_weights([0 * weight for weight in classifier.layers[0].get_weights()])
    assert np.asarray(dbn.encode(x)) == pytest.approx(h, abs=1e-5), "the classifier has copies"


def test_what_cannot_be_fine_tuned_is_refused():
    x = data()
    with pytest.raises(ValueError, match="has no weights"):
        wake_sleep(aezoo.DBN([aezoo.RBM(3), aezoo.RBM(2)]), x)
    rbms = [aezoo.RBM(3, visible="gaussian"), aezoo.RBM(2)]
    for rbm, units in zip(rbms, (6, 3), strict=True):
        rbm.build((None, units))
    with pytest.raises(ValueError, match="layer 1 has visible='gaussian'"):
        wake_sleep(aezoo.DBN(rbms), x)
    with pytest.raises(ValueError, match="was built for"):
        wake_sleep(network(), x[:, :5])
    with pytest.raises(ValueError, match="is not an RBM"):
        aezoo.DBN([aezoo.RBM(3), aezoo.Autoencoder(2, activation="sigmoid")])
    with pytest.raises(ValueError, match="seed must be at least 0, but it is -1"):
        wake_sleep(network(), x, seed=-1)
    for rate in (0.0, -0.1, float("nan")):
        with pytest.raises(ValueError, match="learning_rate must be"):
            wake_sleep(network(), x, learning_rate=rate)
