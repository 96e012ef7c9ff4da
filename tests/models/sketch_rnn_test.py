"""SketchRNN against SciPy, and against itself one step at a time."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import ops
from scipy.special import log_softmax, logsumexp, softmax
from scipy.stats import multivariate_normal

import aezoo
from aezoo import sketches
from aezoo.layers import LSTM, BivariateMixture, StrokeAugmentation
from aezoo.saving import export
from aezoo.training.batch import Batch

X = sketches.stroke5(
    [sketch / [20, 20, 1] for sketch in sketches.shapes(40) if len(sketch) < 14], steps=15
)  # circles of 13 points, squares and triangles
QUIET = {"recurrent_dropout": 0.0, "random_scale": 0.0, "drop_points": 0.0}


def make(steps=15, optimizer=None, weights=0.3, **kwargs):
    compiled = {name: kwargs.pop(name) for name in ("jit_compile", "run_eagerly") if name in kwargs}
    model = aezoo.SketchRNN(
        **{"latent_dim": 4, "encoder_units": 6, "decoder_units": 8, "components": 3, **kwargs}, seed=0
    )
    model.build((None, steps, 5))
    model.compile(optimizer or keras.optimizers.SGD(0.0), **compiled)
    rng = np.random.default_rng(1)
    for variable in model.trainable_variables:
        variable.assign(rng.normal(0, weights, variable.shape))
    return model


def quiet(model):
    """Takes z = μ in training too."""
    model.random.normal = lambda shape: tf.zeros(shape)
    return model


def padded(x, steps):
    end = np.zeros((len(x), steps - x.shape[1], 5), "float32")
    end[..., 4] = 1
    return np.concatenate([x, end], axis=1)


# === The mixture ===


def mixture(seed=0, shape=(7,), components=4):
    parameters = np.random.default_rng(seed).normal(size=(*shape, 6 * components)).astype("float32")
    return parameters, BivariateMixture.of(parameters)


def scipy_parts(parameters):
    """Of each component: weight, mean and covariance."""
    logits, mean_1, mean_2, scale_1, scale_2, correlation = np.split(parameters.astype("float64"), 6)
    for w, m1, m2, s1, s2, r in zip(
        softmax(logits), mean_1, mean_2, np.exp(scale_1), np.exp(scale_2), np.tanh(correlation), strict=True
    ):
        yield w, [m1, m2], [[s1**2, r * s1 * s2], [r * s1 * s2, s2**2]]


def test_log_density_is_scipys():
    parameters, mixed = mixture()
    x = np.random.default_rng(1).normal(size=(7, 2)).astype("float32")
    expected = [
        np.log(sum(w * multivariate_normal(mean, covariance).pdf(point) for w, mean, covariance in scipy_parts(row)))
        for row, point in zip(parameters, x, strict=True)
    ]
    np.testing.assert_allclose(mixed.log_density(x), expected, rtol=1e-4)
    mean = [sum(w * np.array(mean) for w, mean, _ in scipy_parts(row)) for row in parameters]
    np.testing.assert_allclose(mixed.expectation(), mean, rtol=1e-4, atol=1e-5)


def test_log_density_is_finite_with_a_correlation_that_rounds_to_1_and_far_away():
    parameters = np.array([[0.0, 0.0, 0.0, 0.0, 0.0, 12.0]], "float32")
    with tf.GradientTape() as tape:
        variable = tf.Variable(parameters)
        value = BivariateMixture.of(variable).log_density([[1.0, 1.0]])
    # ρ = 1 - 7.6e-11, which is 1 in single precision: on the diagonal it is the density of one number.
    assert value.numpy()[0] == pytest.approx(-0.5 - np.log(2 * np.pi) + 12 - np.log(2), abs=1e-3)
    assert np.isfinite(tape.gradient(value, variable)).all()
    assert np.isfinite(mixture()[1].log_density(np.full((7, 2), 1e3, "float32"))).all()


@pytest.mark.parametrize("temperature", [0.25, 1.0])
def test_temperature_scales_the_variance_and_divides_the_logits(temperature):
    parameters, _ = mixture(3, shape=(), components=2)
    parameters *= 0.5
    n = 200_000
    rng = np.random.default_rng(0)
    mixed = BivariateMixture.of(np.broadcast_to(parameters, (n, 12)))
    gumbel, normal = rng.gumbel(size=(n, 2)).astype("float32"), rng.normal(size=(n, 2)).astype("float32")
    x = np.asarray(mixed.draw(temperature, gumbel, normal), "float64")
    parts = list(scipy_parts(parameters))
    weights = softmax(parameters[:2].astype("float64") / temperature)
    mean = sum(w * np.array(m) for w, (_, m, _) in zip(weights, parts, strict=True))
    # σ² → σ²τ. A port that scales σ by τ, so the variance by τ², is far from this.
    covariance = sum(
        w * (temperature * np.array(c) + np.outer(m - mean, m - mean))
        for w, (_, m, c) in zip(weights, parts, strict=True)
    )
    np.testing.assert_allclose(x.mean(axis=0), mean, atol=0.02)
    np.testing.assert_allclose(np.cov(x.T), covariance, atol=0.02, rtol=0.02)


def test_one_component_at_temperature_a_quarter_has_half_the_deviation():
    mixed = BivariateMixture.of(np.zeros((1, 6), "float32"))
    ones = np.ones((1, 2), "float32")
    np.testing.assert_allclose(mixed.draw(0.25, 0.0, ones), 0.5 * ones)


def test_temperature_0_takes_the_mean_of_the_heaviest_component():
    parameters, mixed = mixture(5)
    heaviest = parameters[:, :4].argmax(axis=1)
    expected = np.stack([parameters[range(7), 4 + heaviest], parameters[range(7), 8 + heaviest]], axis=1)
    np.testing.assert_array_equal(mixed.draw(0.0, np.ones((7, 4)), np.ones((7, 2), "float32")), expected)


# === The LSTM ===


@pytest.mark.parametrize("reverse", [False, True])
def test_lstm_is_keras_own(reverse):
    ours, theirs = LSTM(6, input_dim=3, seed=0), keras.layers.LSTM(6, return_sequences=True, return_state=True)
    x = np.random.default_rng(0).normal(size=(5, 7, 3)).astype("float32")
    theirs.build(x.shape)
    theirs.set_weights(ours.get_weights()[:3])
    points = np.arange(7) < np.array([[7], [3], [5], [1], [7]])
    outputs, (h, c) = ours(x, active=points, reverse=reverse)
    for i, length in enumerate(points.sum(axis=1)):
        one = x[i : i + 1, :length]
        expected, last_h, last_c = theirs(one[:, ::-1] if reverse else one)
        expected = expected[:, ::-1] if reverse else expected
        np.testing.assert_allclose(outputs[i, :length], expected[0], atol=1e-5)
        np.testing.assert_allclose(h[i], last_h[0], atol=1e-5)
        np.testing.assert_allclose(c[i], last_c[0], atol=1e-5)


def test_recurrent_dropout_drops_what_is_written_to_the_memory():
    layer = LSTM(200, input_dim=1, recurrent_dropout=0.25, seed=0)
    x = np.ones((3, 1, 1), "float32")
    _, (_, dry) = layer(x)
    _, (_, wet) = layer(x, training=True)
    factor = np.asarray(wet / dry)
    assert 0.2 < np.mean(factor == 0) < 0.3
    np.testing.assert_allclose(factor[factor != 0], 1 / 0.75, rtol=1e-5)


# === The likelihood ===


def reference_nats(model, sketch, z):
    """-log p(sketch given z) step by step, in NumPy: each conditional from a decoder that is asked for one step."""
    decoder = model.decoder
    h, c = decoder.first_state(z[None])
    before = np.array([[0, 0, 1, 0, 0]], "float32")
    nats = 0.0
    for step in sketch:
        gates = decoder.lstm.gates(np.concatenate([before, z[None]], axis=1))
        h, c = decoder.lstm.step(gates, (h, c))
        parameters = np.asarray(decoder.output_parameters(h))[0].astype("float64")
        nats -= log_softmax(parameters[:3])[step[2:].argmax()]
        if step[4]:
            return nats
        nats -= logsumexp(
            [np.log(w) + multivariate_normal(m, v).logpdf(step[:2]) for w, m, v in scipy_parts(parameters[3:])]
        )
        before = step[None]
    return nats


@pytest.mark.slow_cases("False")
@pytest.mark.parametrize("conditional", [True, False])
def test_teacher_forced_likelihood_is_the_product_of_one_step_conditionals(conditional):
    model = make(conditional=conditional, run_eagerly=True)
    x = X[:4]
    z = np.asarray(model.encode(x))
    assert z.shape == (4, 4 if conditional else 0)
    expected = [reference_nats(model, *pair) for pair in zip(x, z, strict=True)]
    np.testing.assert_allclose(model.score_samples(x), expected, rtol=1e-4)
    evaluated = model.evaluate(x, return_dict=True, verbose=0)
    assert evaluated["negative_log_likelihood"] == pytest.approx(np.mean(expected), rel=1e-4)
    assert evaluated["reconstruction"] == pytest.approx(np.mean(expected) / 15, rel=1e-4)


@pytest.mark.slow
def test_more_padding_changes_nothing_but_one_over_nmax():
    short, long = make(steps=15, run_eagerly=True), make(steps=40, run_eagerly=True)
    x = padded(X, 40)
    np.testing.assert_allclose(short.encode(X), long.encode(x), rtol=1e-5)
    np.testing.assert_allclose(short.score_samples(X), long.score_samples(x), rtol=1e-5)
    a, b = (model.evaluate(data, return_dict=True, verbose=0) for model, data in ((short, X), (long, x)))
    assert a["reconstruction"] * 15 == pytest.approx(b["reconstruction"] * 40, rel=1e-5)
    for name in ("kl", "kl_divergence", "negative_log_likelihood"):
        assert a[name] == pytest.approx(b[name], rel=1e-5)


def test_what_comes_after_the_end_is_not_looked_at():
    model = make()
    x, changed = X.copy(), X.copy()
    ended = np.cumsum(X[..., 4], axis=1) > 1
    changed[ended] = [9.0, -9.0, 0.0, 0.0, 1.0]
    for function in (model.encode, model.score_samples):
        np.testing.assert_allclose(function(x), function(changed), rtol=1e-5)


def test_in_training_the_pen_counts_over_all_steps_as_in_the_paper():
    model = quiet(make(**QUIET, run_eagerly=True))
    terms, _ = model.objective(Batch.of(X), training=True)
    pen, mixed = model.decoder.teacher_forced(model.encode(X), X)
    points = np.cumsum(X[..., 4], axis=1) == 0
    l_s = -np.sum(np.where(points, mixed.log_density(X[..., :2]), 0), axis=1) / 15
    l_p = -np.sum(X[..., 2:] * log_softmax(pen, axis=-1), axis=(1, 2)) / 15
    assert float(terms["reconstruction"]) == pytest.approx(np.mean(l_s + l_p), rel=1e-4)
    assert float(terms["reconstruction"]) > model.evaluate(X, return_dict=True, verbose=0)["reconstruction"]


# === The KL ===


@pytest.mark.slow
def test_kl_is_annealed_and_has_a_floor():
    model = make(kl_weight=0.7, kl_start=0.1, kl_rate=0.9, kl_floor=0.0, run_eagerly=True)
    mean, log_variance = (np.asarray(part, "float64") for part in model.encoder.distribution(X))
    l_kl = np.mean(0.5 * (mean**2 + np.exp(log_variance) - log_variance - 1))
    quiet(model)
    model.augmentation.scale = model.augmentation.drop = 0.0
    model.encoder.forward.recurrent_dropout = model.encoder.backward.recurrent_dropout = 0.0
    for step in range(3):
        history = model.fit(X, batch_size=len(X), verbose=0).history
        assert history["kl_divergence"][0] == pytest.approx(l_kl, rel=1e-4)
        assert history["kl"][0] == pytest.approx(0.7 * (1 - 0.9 * 0.9**step) * l_kl, rel=1e-4)
    assert int(model.steps.numpy()) == 3
    floored = make(kl_floor=10 * l_kl, kl_start=1.0, run_eagerly=True)
    assert floored.evaluate(X, return_dict=True, verbose=0)["kl"] == pytest.approx(0.5 * 10 * l_kl, rel=1e-4)
    with tf.GradientTape() as tape:
        kl = floored.objective(Batch.of(X), training=False)[0]["kl"]
    gradients = tape.gradient(kl, [v.value for v in floored.encoder.trainable_variables])
    assert all(g is None or not np.any(g) for g in gradients)


# === Augmentation ===


def test_scaling_stretches_each_axis_of_a_sketch_by_its_own_factor():
    changed = np.asarray(StrokeAugmentation(scale=0.15, seed=0)(X, training=True))
    points = X[..., 4] == 0
    factors = []
    for old, new, here in zip(X, changed, points, strict=True):
        ratio = new[here, :2] / old[here, :2]
        np.testing.assert_allclose(ratio, np.broadcast_to(ratio[:1], ratio.shape), rtol=1e-4)
        factors.append(ratio[0])
    factors = np.array(factors)
    assert 0.85 <= factors.min() < 0.9 and 1.1 < factors.max() <= 1.15
    assert abs(np.corrcoef(factors.T)[0, 1]) < 0.6
    np.testing.assert_array_equal(changed[..., 2:], X[..., 2:])


def test_dropped_points_leave_the_others_where_they_are():
    original = sketches.shapes(8, seed=2)  # circles and faces have inner points, squares of 5 points too
    x = sketches.stroke5(original)
    changed = sketches.stroke3(StrokeAugmentation(drop=0.5, seed=0)(x, training=True))
    fewer = 0
    for before, after in zip(original, changed, strict=True):
        lines_before, lines_after = sketches.to_lines(before), sketches.to_lines(after)
        assert len(lines_before) == len(lines_after)
        for a, b in zip(lines_before, lines_after, strict=True):
            assert all(np.abs(a - point).max(axis=1).min() < 1e-3 for point in b)
            ends = [0, min(1, len(a) - 1), -1]
            np.testing.assert_allclose(b[ends if len(b) > 1 else 0], a[ends if len(b) > 1 else 0], atol=1e-3)
            fewer += len(a) - len(b)
    assert fewer > 20
    np.testing.assert_array_equal(StrokeAugmentation(drop=0.5)(x), x)


@pytest.mark.slow
def test_fit_x_x_augments_the_target_as_the_input():
    results = []
    x = X[:10]
    for data in ((x,), (x, x)):
        noise = {"recurrent_dropout": 0.0, "random_scale": 0.3, "drop_points": 0.3}
        model = quiet(make(**noise, optimizer=keras.optimizers.SGD(0.01), run_eagerly=True))
        model.fit(*data, batch_size=5, shuffle=False, verbose=0)
        results.append(model.get_weights())
    for a, b in zip(*results, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


# === Drawing ===


@pytest.mark.slow
def test_samples_are_sketches_and_follow_from_the_seed():
    model = make()
    drawn = np.asarray(model.sample(50, temperature=0.8, seed=3))
    assert drawn.shape == (50, 15, 5)
    assert np.all(drawn[..., 2:].sum(axis=-1) == 1)
    ended = np.cumsum(drawn[..., 4], axis=1) > 0
    assert 0 < ended.mean() < 1
    np.testing.assert_array_equal(drawn[ended], np.broadcast_to([0, 0, 0, 0, 1], drawn[ended].shape))
    np.testing.assert_array_equal(drawn, model.sample(50, temperature=0.8, seed=3))
    assert not np.array_equal(drawn, model.sample(50, temperature=0.8, seed=4))
    assert not np.array_equal(model.sample(5), model.sample(5))


def test_first_steps_of_samples_have_the_distribution_of_the_decoder():
    model = make(steps=2)
    z = np.zeros((20_000, 4), "float32")
    drawn = np.asarray(model.sample(z=z, temperature=0.5, seed=0))
    x = np.array([[[0, 0, 1, 0, 0], [0, 0, 0, 0, 1]]], "float32")
    pen, mixed = model.decoder.teacher_forced(z[:1], x)
    np.testing.assert_allclose(drawn[:, 0, 2:].mean(axis=0), softmax(np.asarray(pen)[0, 0] / 0.5), atol=0.01)
    weights = softmax(np.asarray(mixed.logits)[0, 0] / 0.5)
    mean = weights @ np.asarray(mixed.mean)[0, 0]
    points = drawn[:, 0, 4] == 0
    np.testing.assert_allclose(drawn[points, 0, :2].mean(axis=0), mean, atol=0.05)


def step_by_step(model, begun, z):
    """The distributions of the step after some strokes, one step of the decoder at a time."""
    h, c = model.decoder.first_state(z)
    before = np.array([[0, 0, 1, 0, 0]], "float32")
    for step in [*begun[:, None], None]:
        h, c = model.decoder.next_state(z, before, (h, c))
        before = step
    return model.decoder.distributions(h)


@pytest.mark.slow_cases("False")
@pytest.mark.parametrize("conditional", [True, False])
def test_a_completion_keeps_the_strokes_and_continues_as_the_decoder_does(conditional):
    model = make(conditional=conditional)
    begun = X[0][:5]
    z = model.encode(padded(begun[None], 15))
    pen, mixed = step_by_step(model, begun, z)
    most_likely = np.asarray(model.complete_sketch(begun, temperature=0.0))
    assert most_likely.shape == (1, 15, 5)
    np.testing.assert_array_equal(most_likely[0, :5], begun)
    assert most_likely[0, 5, 2:].argmax() == np.argmax(pen)
    if most_likely[0, 5, 4] == 0:
        assert most_likely[0, 5, :2] == pytest.approx(np.asarray(mixed.mean)[0, np.argmax(mixed.logits)], abs=1e-5)
    drawn = np.asarray(model.complete_sketch(begun, n=20_000, seed=1))
    np.testing.assert_array_equal(drawn[:, :5], np.tile(begun, (20_000, 1, 1)))
    p = softmax(np.asarray(pen)[0].astype("float64"))
    assert np.abs(drawn[:, 5, 2:].mean(axis=0) - p).max() < 4.5 * 0.5 / np.sqrt(20_000)
    offsets = drawn[drawn[:, 5, 4] == 0, 5, :2]
    error = offsets.std(axis=0) / np.sqrt(len(offsets))
    assert np.all(np.abs(offsets.mean(axis=0) - np.asarray(mixed.expectation())[0]) < 4.5 * error)


def test_completions_follow_from_the_seed_and_the_code():
    model = make()
    begun = X[0][:4]
    first, again = (np.asarray(model.complete_sketch(begun, n=8, seed=7)) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert (np.asarray(model.complete_sketch(begun, n=8, seed=8))[:, 4:] != first[:, 4:]).any()
    assert len({each.tobytes() for each in first}) > 2, "completions of one sketch differ"
    ended = padded(begun[None], 15)[0]  # the end of a padded sketch is no part of what is given
    np.testing.assert_array_equal(model.complete_sketch(ended, n=8, seed=7), first)
    with_code = np.asarray(model.complete_sketch(begun, n=2, z=np.ones((2, 4)), temperature=0.0))
    np.testing.assert_array_equal(with_code[:, :4], first[:2, :4])
    pen, mixed = step_by_step(model, begun, np.ones((1, 4), "float32"))
    if with_code[0, 4, 4] == 0:
        assert with_code[0, 4, :2] == pytest.approx(np.asarray(mixed.mean)[0, np.argmax(mixed.logits)], abs=1e-5)
    assert with_code[0, 4, 2:].argmax() == np.argmax(pen)


# === Classes ===


@pytest.fixture(scope="module")
def labeled():
    model = aezoo.SketchRNN(
        4, encoder_units=6, decoder_units=8, components=3, conditions={"shape": 3, "size": 2}, seed=0, **QUIET
    )
    model.build({"x": (None, 15, 5), "shape": (None,), "size": (None,)})
    model.compile(keras.optimizers.SGD(0.0), run_eagerly=True)
    rng = np.random.default_rng(1)
    for variable in model.trainable_variables:
        variable.assign(rng.normal(0, 0.3, variable.shape))
    return model


def test_labels_join_the_code_as_one_hot_vectors(labeled):
    shape, size = np.arange(len(X)) % 3, np.arange(len(X)) % 2
    z = labeled.encode(X, shape=shape, size=size)
    assert z.shape == (len(X), 4)
    np.testing.assert_array_equal(z, labeled.encode(X, shape=0, size=1))  # the encoder reads x alone
    plain = make(latent_dim=9)  # a decoder without labels whose code has the units of code and labels
    plain.decoder.set_weights(labeled.drawer.get_weights())
    joined = np.concatenate([z, np.eye(3)[shape], np.eye(2)[size]], axis=1).astype("float32")
    nats = np.asarray(labeled.negative_log_likelihood(X, z, shape=shape, size=size))
    assert nats == pytest.approx(np.asarray(plain.negative_log_likelihood(X, joined)), abs=1e-4)
    assert np.asarray(labeled.score_samples(X, shape=shape, size=size)) == pytest.approx(nats, abs=1e-4)
    other = np.asarray(labeled.negative_log_likelihood(X, z, shape=(shape + 1) % 3, size=size))
    assert np.abs(other - nats).max() > 1e-3
    found = labeled.evaluate({"x": X, "shape": shape, "size": size}, verbose=0, return_dict=True, batch_size=len(X))
    assert found["negative_log_likelihood"] == pytest.approx(nats.mean(), rel=1e-5)
    few = joined[:2]
    drawn = labeled.sample(z=z[:2], seed=3, shape=shape[:2], size=size[:2])
    np.testing.assert_allclose(drawn, plain.sample(z=few, seed=3), atol=1e-5)
    begun = X[0][:4]
    completed = labeled.complete_sketch(begun, n=2, z=z[:2], seed=3, shape=shape[:2], size=size[:2])
    np.testing.assert_allclose(completed, plain.complete_sketch(begun, n=2, z=few, seed=3), atol=1e-5)


@pytest.mark.slow
def test_paths_and_reconstructions_keep_their_labels(labeled):
    z = labeled.encode(X[:1], shape=2, size=0)
    plain = make(latent_dim=9)
    plain.decoder.set_weights(labeled.drawer.get_weights())
    joined = np.concatenate([z, [[0, 0, 1, 1, 0]]], axis=1).astype("float32")
    np.testing.assert_allclose(labeled.decode(z, shape=2, size=0), plain.decode(joined), atol=1e-5)
    path = labeled.interpolate(X[:1], X[1:2], steps=3, shape=2, size=0)
    assert path.shape == (1, 3, 15, 5)
    np.testing.assert_allclose(path[0, 0], labeled.decode(z, shape=2, size=0)[0], atol=1e-5)


def test_labels_that_are_missing_or_unknown_are_refused(labeled):
    with pytest.raises(ValueError, match=r"needs shape=\.\.\., size=\.\.\."):
        labeled.sample(2, shape=1)
    with pytest.raises(ValueError, match="shape"):
        labeled.sample(2, shape=3, size=0)
    with pytest.raises(ValueError, match="has no condition 'shape'"):
        make().complete_sketch(X[0][:4], shape=1)
    for name in ("strokes", "temperature", "z"):
        with pytest.raises(ValueError, match="condition must be an unused identifier"):
            aezoo.SketchRNN(conditions={name: 2})
    with pytest.raises(ValueError, match=r"explorer draws sketches without conditions, but .* has shape, size"):
        labeled.step_signatures()
    with pytest.raises(ValueError, match="conditions must be a dict"):
        aezoo.SketchRNN(conditions={})


def test_the_exported_sample_limits_the_number_of_labels(labeled, monkeypatch):
    monkeypatch.setattr(export, "_MOST_SAMPLES", 3)
    draw, specs, _ = labeled.signatures()["sample"]
    assert list(specs) == ["shape", "size", "temperature", "seed"]

    def sample(n):
        labels = tf.zeros(n, specs["shape"].dtype)
        return draw(labels, labels, tf.constant(0.5), tf.constant(0, "int64"))

    assert sample(3).shape == (3, 15, 5)
    for n in (0, 4):
        with pytest.raises(tf.errors.InvalidArgumentError, match=r"number of labels must be in \[1, 3\]"):
            sample(n)


@pytest.mark.slow
def test_one_model_draws_several_classes():
    lines = np.zeros((60, 5, 5), "float32")
    lines[:, :3, 2] = lines[:, 3:, 4] = 1
    label = np.arange(60) % 2
    lines[:, :3, 0] = np.where(label, 1.0, 0.0)[:, None]  # to the right, or down
    lines[:, :3, 1] = np.where(label, 0.0, 1.0)[:, None]
    model = aezoo.SketchRNN(
        2, encoder_units=8, decoder_units=16, components=2, conditional=False, conditions={"way": 2}, seed=0, **QUIET
    )
    model.compile(keras.optimizers.Adam(0.02, clipvalue=1.0))
    keras.utils.set_random_seed(0)
    model.fit({"x": lines, "way": label}, epochs=40, batch_size=20, verbose=0)
    drawn = np.asarray(model.sample(2, temperature=0.0, way=[0, 1]))
    assert drawn[0, 0, :2] == pytest.approx([0, 1], abs=0.2)
    assert drawn[1, 0, :2] == pytest.approx([1, 0], abs=0.2)


@pytest.mark.parametrize(
    ("strokes", "options", "message"),
    [
        (X[:2], {}, r"one has shape \(2, 15, 5\): convert it with .*, and give one sketch at a time"),
        (X[0][:4, :3], {}, r"one has shape \(4, 3\)"),
        (X[0][:0], {}, "at least 1 and fewer than 15 points, .* but this one has 0"),
        (np.tile(X[0][:1], (15, 1)), {}, "but this one has 15"),
        (X[0][:4] * [1, 1, 2, 2, 2], {}, "Of the three pen states"),
        (X[0][:4] * np.nan, {}, "NaN or infinite"),
        (X[0][:4], {"n": 0}, "n must be"),
        (X[0][:4], {"n": 2, "z": np.zeros((3, 4))}, "n=2 completions were asked for, but there are 3 codes"),
        (X[0][:4], {"temperature": -1}, "temperature must be"),
    ],
)
def test_what_cannot_be_completed_is_refused(strokes, options, message):
    with pytest.raises(ValueError, match=message):
        make().complete_sketch(strokes, **options)


def test_reconstruct_is_a_sample_at_temperature_0():
    model = make()
    z = model.encode(X[:5])
    np.testing.assert_allclose(model.reconstruct(X[:5]), model.sample(z=z, temperature=0.0, seed=1), atol=1e-5)


@pytest.mark.slow
def test_xla_draws_and_scores_as_the_default_does():
    model = make()
    z, seed = model.encode(X[:5]), tf.constant([7, 0], "int64")
    draw = tf.function(lambda z, t: model.decoder.draw(z, t, seed), jit_compile=True)
    np.testing.assert_allclose(draw(z, 0.5), model.sample(z=z, temperature=0.5, seed=7), atol=1e-4)
    score = tf.function(model.score_samples, jit_compile=True)
    np.testing.assert_allclose(score(X[:5]), model.score_samples(X[:5]), rtol=1e-4)


@pytest.mark.slow
def test_xla_trains_with_dropout_and_augmentation():
    # XLA draws other numbers; without noise the conformance harness compares the two.
    default, xla = (
        make(**{how: True}).fit(X, batch_size=10, epochs=2, verbose=0).history["loss"]
        for how in ("run_eagerly", "jit_compile")
    )
    np.testing.assert_allclose(default, xla, rtol=0.1)


def test_interpolation_goes_along_the_arc():
    model = make()
    a, b = np.array([[3.0, 0, 0, 0]], "float32"), np.array([[0, 2.0, 0, 0]], "float32")
    codes, ends = [], iter([a, b])
    model.encode = lambda x: ops.convert_to_tensor(next(ends))
    model.decode = lambda z: codes.append(np.asarray(z)) or ops.zeros((len(z), 15, 5))
    assert model.interpolate(X[:1], X[1:2], steps=3).shape == (1, 3, 15, 5)
    expected = [[3, 0, 0, 0], [3 * np.sqrt(0.5), 2 * np.sqrt(0.5), 0, 0], [0, 2, 0, 0]]
    np.testing.assert_allclose(codes[0], expected, atol=1e-5)


@pytest.mark.parametrize("other", [0.0, 1.0, -1.0])
def test_where_there_is_no_arc_it_is_a_line(other):
    from aezoo.models.sketch_rnn import _arc

    a = np.array([[1.0, 2.0]], "float32")
    path = np.asarray(_arc(ops.convert_to_tensor(a), ops.convert_to_tensor(other * a), 5))
    np.testing.assert_allclose(path[0], np.linspace(a[0], other * a[0], 5), atol=1e-5)


@pytest.mark.slow  # export_test.py draws from a smaller one
def test_export_draws_as_the_model_does(tmp_path):
    model = make(steps=6)
    model.export(tmp_path / "1")
    sample = tf.saved_model.load(tmp_path / "1").signatures["sample"]
    for n, temperature, seed in ((1, 0.3, 1), (4, 1.0, 2)):
        inputs = {"n": tf.constant(n), "temperature": tf.constant(temperature), "seed": tf.constant(seed, "int64")}
        drawn = sample(**inputs)["sketch"]
        np.testing.assert_allclose(drawn, model.sample(n, temperature, seed=seed), atol=1e-4)


# === Learning ===


@pytest.mark.slow
def test_it_learns_to_draw_shapes():
    (x, _), (x_test, _) = sketches.load("shapes", max_points=14)
    model = aezoo.SketchRNN(latent_dim=4, encoder_units=16, decoder_units=32, components=5, seed=0, kl_floor=0.5)
    keras.utils.set_random_seed(0)
    model.compile(keras.optimizers.Adam(1e-2, clipvalue=1.0))
    history = model.fit(x, validation_data=(x_test,), epochs=8, batch_size=64, verbose=0).history
    assert history["val_reconstruction"][-1] < history["val_reconstruction"][0] - 0.5


# === Errors ===


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"recurrent_dropout": 1.0}, "recurrent_dropout must be less than 1"),
        ({"random_scale": -0.1}, "random_scale must be at least 0"),
        ({"kl_start": 1.1}, "kl_start must be at most 1"),
        ({"kl_rate": 1.0}, "kl_rate must be inside"),
        ({"components": 0}, "components must be at least 1"),
        ({"kl_floor": -1}, "kl_floor must be at least 0"),
    ],
)
def test_arguments_out_of_range(arguments, message):
    with pytest.raises(ValueError, match=message):
        aezoo.SketchRNN(**arguments)


def test_unknown_arguments():
    with pytest.raises(TypeError, match="hidden_dims"):
        aezoo.SketchRNN(hidden_dims=(3,))


def test_data_that_are_no_stroke5():
    model = aezoo.SketchRNN(2, encoder_units=2, decoder_units=2, components=1)
    model.compile("adam")
    with pytest.raises(ValueError, match=r"aezoo\.sketches\.stroke5"):
        model.fit(X[..., :3])
    with pytest.raises(ValueError, match="one must be 1 and the others 0"):
        model.fit(np.zeros_like(X))
    model = make(run_eagerly=True)
    with pytest.warns(UserWarning, match="offset_scale"):
        model.fit(X * [100, 100, 1, 1, 1], verbose=0)


def test_sample_says_what_is_missing():
    model = make()
    for arguments, message in (
        ({}, "Give n"),
        ({"n": 0}, "at least 1"),
        ({"n": 2, "z": np.zeros((3, 4))}, "3 codes"),
        ({"z": np.zeros((3, 5))}, "codes have shape"),
        ({"n": 2, "temperature": -1.0}, "temperature must be at least 0"),
    ):
        with pytest.raises(ValueError, match=message):
            model.sample(**arguments)


def test_default_optimizer_is_the_authors():
    optimizer = aezoo.SketchRNN().default_optimizer()
    assert optimizer.clipvalue == 1.0
    assert float(optimizer.learning_rate) == pytest.approx(1e-3)
    for step in (0, 10_000, 100_000):
        optimizer.iterations.assign(step)
        expected = (1e-3 - 1e-5) * 0.9999**step + 1e-5  # as the authors' train() has it
        assert float(optimizer.learning_rate) == pytest.approx(expected, rel=1e-3)
    assert expected == pytest.approx(1e-5, rel=0.01)
    again = keras.optimizers.deserialize(keras.optimizers.serialize(optimizer))
    assert float(again._learning_rate(100_000)) == float(optimizer.learning_rate)
    assert float(aezoo.SketchRNN().default_optimizer(1e-6)._learning_rate(10_000)) == pytest.approx(1e-6)
