"""The penalties of the contractive autoencoder against `tf.GradientTape.batch_jacobian`."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import aezoo
from aezoo.evaluation import jacobian_norm
from aezoo.training.batch import Batch

RNG = np.random.default_rng(0)
X = RNG.normal(size=(6, 9)).astype("float32")
ACTIVATIONS = ["sigmoid", "tanh", "relu", "softplus", "linear"]


def make(activation="tanh", hidden_dims=(), shape=(9,), latent_dim=5, **kwargs):
    model = aezoo.ContractiveAE(
        latent_dim, hidden_dims=hidden_dims, activation=activation, output_activation="linear", **kwargs
    )
    model.compile(keras.optimizers.SGD(0.0))
    model.build((None, *shape))
    for variable in model.trainable_variables:
        variable.assign(RNG.normal(0, 0.6, variable.shape))
    return model


def oracle(encoder, x):
    """J of each sample, (batch, p, features)."""
    x = tf.constant(x)
    with tf.GradientTape() as tape:
        tape.watch(x)
        code = encoder(x)
    return tf.reshape(tape.batch_jacobian(code, x), (len(x), code.shape[-1], -1))


def squared(j):
    return tf.reduce_sum(j**2, axis=(1, 2))


def objective(model, x, name="contraction"):
    return float(model.objective(Batch.of(x), training=True)[0][name])


@pytest.mark.slow_cases("sigmoid-0", "tanh-2", "relu-0", "softplus-2", "linear-0", "linear-2")
@pytest.mark.parametrize("hidden_dims", [(), pytest.param((7,), marks=pytest.mark.slow), (11, 6)], ids=len)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_the_penalty_is_the_squared_norm_of_the_jacobian(activation, hidden_dims):
    model = make(activation, hidden_dims, weight=0.3)
    expected = squared(oracle(model.encoder, X))
    code, norms, _ = model.jacobian_norms(X)
    np.testing.assert_allclose(code, model.encoder(X), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(norms, expected, rtol=1e-4)
    assert objective(model, X) == pytest.approx(0.3 * np.mean(expected), rel=1e-4)
    weight = np.array([0, 1, 2, 3, 4, 5], "float32")
    weighted = model.objective(Batch.of(X, weight=weight), training=True)[0]["contraction"]
    assert float(weighted) == pytest.approx(0.3 * np.mean(weight * expected), rel=1e-4)


@pytest.mark.slow_cases("sigmoid-0", "tanh-2", "relu-0", "softplus-2", "linear-0", "linear-2")
@pytest.mark.parametrize("hidden_dims", [(), pytest.param((7,), marks=pytest.mark.slow), (11, 6)], ids=len)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_the_gradient_of_the_penalty(activation, hidden_dims):
    model = make(activation, hidden_dims)
    variables = [v.value for v in model.encoder.trainable_variables]
    with tf.GradientTape() as tape:
        expected = tf.reduce_mean(squared(oracle(model.encoder, X)))
    expected = tape.gradient(expected, variables, unconnected_gradients="zero")
    with tf.GradientTape() as tape:
        value = tf.reduce_mean(model.jacobian_norms(X)[1])
    got = tape.gradient(value, variables, unconnected_gradients="zero")
    for a, b in zip(expected, got, strict=True):
        np.testing.assert_allclose(b, a, rtol=1e-3, atol=1e-3 * np.abs(a).max() + 1e-6)


def test_layers_may_have_different_activations():
    model = make("softplus", (7, 6), code_activation="sigmoid")
    np.testing.assert_allclose(model.jacobian_norms(X)[1], squared(oracle(model.encoder, X)), rtol=1e-4)


def test_one_layer_is_the_formula_of_the_paper():
    model = make("sigmoid")
    w, h = model.encoder.trainable_variables[0].numpy(), np.asarray(model.encode(X))
    expected = ((h * (1 - h)) ** 2 * (w**2).sum(axis=0)).sum(axis=1)
    np.testing.assert_allclose(model.jacobian_norms(X)[1], expected, rtol=1e-5)


@pytest.mark.parametrize("hidden_dims", [(), (7,)], ids=len)
def test_images(hidden_dims):
    x = RNG.random((4, 3, 5, 2)).astype("float32")
    model = make("tanh", hidden_dims, shape=(3, 5, 2))
    np.testing.assert_allclose(model.jacobian_norms(x)[1], squared(oracle(model.encoder, x)), rtol=1e-4)


# === Encoders without a closed form ===


def conv(**kwargs):
    return make("tanh", shape=(6, 6, 1), filters=(3,), latent_dim=4, **kwargs)


def gelu(**kwargs):
    return make("gelu", (7,), **kwargs)  # dense, with a slope that is not in the table


@pytest.mark.parametrize(
    ("make_model", "shape"), [(conv, (5, 6, 6, 1)), pytest.param(gelu, (5, 9), marks=pytest.mark.slow)]
)
def test_exact_for_any_encoder(make_model, shape):
    x = RNG.random(shape).astype("float32")
    model = make_model(method="exact", weight=0.3)
    expected = squared(oracle(model.encoder, x))
    code, norms, _ = model.jacobian_norms(x)
    np.testing.assert_allclose(code, model.encoder(x), rtol=1e-5)
    np.testing.assert_allclose(norms, expected, rtol=1e-4)
    assert objective(model, x) == pytest.approx(0.3 * np.mean(expected), rel=1e-4)
    history = model.fit(x, verbose=0).history  # in a graph too
    assert history["contraction"][0] == pytest.approx(0.3 * np.mean(expected), rel=1e-4)


@pytest.mark.parametrize(
    ("make_model", "shape"),
    [
        pytest.param(conv, (5, 6, 6, 1), marks=pytest.mark.slow),
        pytest.param(gelu, (5, 9), marks=pytest.mark.slow),
        (lambda **kw: make("sigmoid", method="hutchinson", **kw), (5, 9)),
    ],
    ids=["conv", "gelu", "asked for"],
)
def test_the_estimate_is_unbiased_within_its_standard_error(make_model, shape):
    x = RNG.random(shape).astype("float32")
    model = make_model(seed=0)
    draw = tf.function(lambda: model.jacobian_norms(x)[1], autograph=False)
    draws = np.stack([draw().numpy() for _ in range(2000)])
    expected = squared(oracle(model.encoder, x)).numpy()
    error = draws.std(axis=0) / np.sqrt(len(draws))
    assert np.all(error > 0)  # an estimate, drawn anew
    assert np.all(error < 0.05 * expected)
    assert np.all(np.abs(draws.mean(axis=0) - expected) < 4 * error)


@pytest.mark.slow
def test_the_variance_of_the_estimate_is_that_of_random_signs():
    # Var vᵀAv = 2 Σ_{i≠j} A_ij² for signs, A = JJᵀ; normal v would give 2 ‖A‖².
    model = make("tanh", method="hutchinson", seed=0)
    j = oracle(model.encoder, X).numpy()
    a = j @ j.transpose(0, 2, 1)
    off_diagonal = a - np.stack([np.diag(np.diag(m)) for m in a])
    draw = tf.function(lambda: model.jacobian_norms(X)[1], autograph=False)
    draws = np.stack([draw().numpy() for _ in range(4000)])
    np.testing.assert_allclose(draws.var(axis=0), 2 * (off_diagonal**2).sum(axis=(1, 2)), rtol=0.2)


@pytest.mark.slow
def test_probes_average():
    spread = {}
    for probes in (1, 16):
        model = make("tanh", method="hutchinson", seed=0, probes=probes)
        for variable, value in zip(model.trainable_variables, np.random.default_rng(1).normal(size=3), strict=True):
            variable.assign(np.random.default_rng(int(abs(value) * 1e6)).normal(0, 0.6, variable.shape))
        draw = tf.function(lambda model=model: model.jacobian_norms(X)[1], autograph=False)
        spread[probes] = np.stack([draw().numpy() for _ in range(500)]).std(axis=0).mean()
    assert spread[16] == pytest.approx(spread[1] / 4, rel=0.2)


ON_LAST_AXIS = {
    "first": lambda: [keras.layers.Dense(2, "sigmoid"), keras.layers.Flatten()],
    "second": lambda: [
        keras.layers.Flatten(),
        keras.layers.Dense(6, "tanh"),
        keras.layers.Reshape((3, 2)),
        keras.layers.Dense(2, "sigmoid"),
        keras.layers.Flatten(),
    ],
}


def from_encoder(*layers, **kwargs):
    """With a code of 8 for samples (4, 3)."""
    encoder = keras.Sequential([keras.Input((4, 3)), *layers])
    units = encoder.output_shape[1]
    decoder = keras.Sequential([keras.Input((units,)), keras.layers.Dense(12), keras.layers.Reshape((4, 3))])
    model = aezoo.ContractiveAE(encoder=encoder, decoder=decoder, seed=0, **kwargs)
    model.build((None, 4, 3))
    for variable in model.trainable_variables:
        variable.assign(RNG.normal(0, 0.6, variable.shape))
    return model


@pytest.mark.parametrize("name", ["first", pytest.param("second", marks=pytest.mark.slow)])
def test_a_dense_layer_along_the_last_axis_has_no_closed_form(name):
    x = RNG.random((5, 4, 3)).astype("float32")
    model = from_encoder(*ON_LAST_AXIS[name](), method="exact", hessian_weight=1.0)
    expected = oracle(model.encoder, x)
    _, norms, (difference,) = model.jacobian_norms(x, [0.2 * x])
    np.testing.assert_allclose(norms, squared(expected), rtol=1e-4)
    np.testing.assert_allclose(difference, squared(expected - oracle(model.encoder, 1.2 * x)), rtol=1e-3)
    np.testing.assert_allclose(jacobian_norm(model, x) ** 2, squared(expected), rtol=1e-4)
    estimate = from_encoder(*ON_LAST_AXIS[name]())
    estimate.set_weights(model.get_weights())
    draw = tf.function(lambda: estimate.jacobian_norms(x)[1], autograph=False)
    np.testing.assert_allclose(np.mean([draw() for _ in range(1000)], axis=0), squared(expected), rtol=0.1)


@keras.saving.register_keras_serializable("contractive_test")
class Doubled(keras.layers.Dense):
    def call(self, x, training=None):
        return 2 * super().call(x)


def test_a_layer_that_extends_dense_has_no_closed_form():
    x = RNG.random((5, 4, 3)).astype("float32")
    model = from_encoder(keras.layers.Flatten(), Doubled(8, "tanh"), method="exact")
    expected = squared(oracle(model.encoder, x))
    np.testing.assert_allclose(model.jacobian_norms(x)[1], expected, rtol=1e-4)
    np.testing.assert_allclose(jacobian_norm(model, x) ** 2, expected, rtol=1e-4)


# === Encoders that act otherwise in training ===


@pytest.mark.parametrize("method", ["exact", "hutchinson"])
def test_jacobians_are_those_of_inference_and_statistics_move_once_a_step(method):
    x = RNG.random((5, 4, 3)).astype("float32")
    layers = [
        keras.layers.Flatten(),
        keras.layers.Dense(8, activity_regularizer=keras.regularizers.L2(0.1)),
        keras.layers.BatchNormalization(),
        keras.layers.Dropout(0.5, seed=0),
    ]
    model = from_encoder(*layers, method=method, probes=2, hessian_weight=1.0, hessian_samples=2)
    normalization = layers[2]
    code, norms, differences = model.jacobian_norms(x, [0.0 * x, 0.1 * x], training=True)
    (penalty,) = model.encoder.losses
    h = layers[1](x.reshape(5, 12)).numpy()
    (expected,) = layers[1].losses
    assert float(penalty) == pytest.approx(float(expected), rel=1e-4)  # of x, not of x + ε
    np.testing.assert_allclose(normalization.moving_mean, 0.01 * h.mean(axis=0), rtol=1e-3, atol=1e-6)
    assert 0 < np.mean(code.numpy() == 0) < 1  # dropped out
    np.testing.assert_allclose(differences, np.zeros((2, 5)), atol=1e-6)  # linear, and the same units at both ends
    normalization.moving_mean.assign(tf.zeros(8))
    normalization.moving_variance.assign(tf.ones(8))
    if method == "exact":
        np.testing.assert_allclose(norms, squared(oracle(model.encoder, x)), rtol=1e-4)


# === CAE+H ===


@pytest.mark.slow_cases("deep")
@pytest.mark.parametrize("kind", ["one layer", "deep", "exact"])
def test_the_second_order_term_with_known_noise(kind, monkeypatch):
    options = {"one layer": {}, "deep": {"hidden_dims": (7,)}, "exact": {"activation": "gelu", "method": "exact"}}[kind]
    model = make(**options, hessian_weight=0.7, hessian_sigma=0.2, hessian_samples=2)
    normal = [RNG.normal(size=X.shape).astype("float32") for _ in range(2)]
    j = oracle(model.encoder, X)
    expected = [squared(j - oracle(model.encoder, X + 0.2 * n)).numpy() for n in normal]
    _, norms, differences = model.jacobian_norms(X, [0.2 * n for n in normal])
    np.testing.assert_allclose(norms, squared(j), rtol=1e-4)
    np.testing.assert_allclose(differences, expected, rtol=1e-3)
    draws = iter(normal)
    monkeypatch.setattr(model.random, "normal", lambda shape: tf.constant(next(draws)))
    assert objective(model, X, "hessian") == pytest.approx(0.7 * np.mean(expected), rel=1e-3)


@pytest.mark.slow
def test_the_second_order_term_of_the_estimate_uses_one_probe_for_both():
    model = make("sigmoid", method="hutchinson", seed=0, hessian_weight=1.0)
    noise = RNG.normal(0, 0.5, X.shape).astype("float32")
    expected = squared(oracle(model.encoder, X) - oracle(model.encoder, X + noise)).numpy()
    draw = tf.function(lambda: model.jacobian_norms(X, [tf.constant(noise)])[2][0], autograph=False)
    draws = np.stack([draw().numpy() for _ in range(2000)])
    error = draws.std(axis=0) / np.sqrt(len(draws))
    assert np.all(np.abs(draws.mean(axis=0) - expected) < 4 * error + 1e-6)


# === What it does ===


@pytest.mark.slow
def test_training_contracts(x):
    norms = {}
    for weight in (0.0, 1.0):
        model = aezoo.ContractiveAE(latent_dim=8, weight=weight, seed=0)
        model.compile(keras.optimizers.Adam(0.01), steps_per_execution=50)
        model.fit(tf.data.Dataset.from_tensors(x).repeat(), steps_per_epoch=150, verbose=0)
        norms[weight] = np.mean(squared(oracle(model.encoder, x)))
    assert norms[1.0] < 0.5 * norms[0.0]


def test_the_reconstruction_error_follows_the_output(x):
    for output, expected in (("sigmoid", aezoo.losses.CrossEntropy), ("linear", aezoo.losses.SquaredError)):
        model = aezoo.ContractiveAE(latent_dim=4, output_activation=output)
        model(x)
        assert isinstance(model.reconstruction_loss, expected)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"weight": -1}, "weight must be at least 0, but it is -1"),
        ({"method": "fast"}, "method='fast' is unknown: choose one of 'auto', 'exact', 'hutchinson'"),
        ({"probes": 0}, "probes must be at least 1"),
        ({"hessian_weight": -1}, "hessian_weight must be at least 0"),
        ({"hessian_sigma": 0}, "hessian_sigma must be inside"),
        ({"hessian_samples": 0}, "hessian_samples must be at least 1"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        aezoo.ContractiveAE(latent_dim=4, **arguments)


def test_ties_where_it_can_as_in_the_paper():
    encoder = keras.Sequential([keras.Input((9,)), keras.layers.Dense(4, "sigmoid")])
    decoder = keras.Sequential([keras.Input((4,)), keras.layers.Dense(9, "sigmoid")])
    for model, tied in (
        (aezoo.ContractiveAE(4), True),
        (aezoo.ContractiveAE(4, hidden_dims=(5,)), False),
        (aezoo.ContractiveAE(4, hidden_dims=(5,), tied=True), True),
        (aezoo.ContractiveAE(encoder=encoder), True),
        (aezoo.ContractiveAE(4, tied=False), False),
        (aezoo.ContractiveAE(4, filters=(3,)), False),
        (aezoo.ContractiveAE(encoder=encoder, decoder=decoder), False),
    ):
        assert model.tied is tied
        assert type(model).from_config(model.get_config()).tied is tied
