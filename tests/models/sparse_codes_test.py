"""TopK, BatchTopK, Matryoshka, JumpReLU and gated autoencoders against NumPy and closed forms."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import aezoo
from aezoo import evaluation, testing
from aezoo.layers import JumpReLU
from aezoo.layers.batch_top_k import batch_threshold
from aezoo.training.batch import Batch

RNG = np.random.default_rng(0)
X = RNG.normal(3, 2, size=(12, 9)).astype("float32")
Y = RNG.normal(-50, 7, size=(12, 4)).astype("float32")

MODELS = {
    "top-k": (aezoo.TopKAE, {"k": 3}),
    "batch-top-k": (aezoo.BatchTopKAE, {"k": 3}),
    "matryoshka": (aezoo.MatryoshkaAE, {"k": 3, "levels": (2, 5, 10)}),
    "jump-relu": (aezoo.JumpReLUAE, {"weight": 0.05, "bandwidth": 0.2, "threshold": 0.2}),
    "gated": (aezoo.GatedAE, {"weight": 0.05}),
}
EACH = pytest.mark.parametrize("name", MODELS)


def make(name, x=X, y=None, optimizer=None, run_eagerly=True, random=True, **arguments):
    """A model whose weights are random numbers, unless told otherwise."""
    cls, own = MODELS[name]
    model = cls(10, seed=0, **{**own, **arguments})
    model.build_for(x, y)
    model.compile(optimizer or keras.optimizers.SGD(0.0), run_eagerly=run_eagerly)
    model.initialize_from(x, y)
    rng = np.random.default_rng(1)
    for variable in model.trainable_variables if random else ():
        variable.assign(variable + rng.normal(0, 0.3, variable.shape))
    return model


class Reference:
    """Compute the papers' codes and terms with NumPy."""

    def __init__(self, model, x, y=None):
        y = x if y is None else y
        encoder, decoder = model.encoder.layers[0], model.decoder
        w, b = (v.numpy().astype("float64") for v in encoder.layers[-1].weights)
        rows, self.bias = (v.numpy().astype("float64") for v in decoder.layers[0].weights)
        self.rows = rows / np.linalg.norm(rows, axis=1, keepdims=True)
        self.scale = np.sqrt(np.sum(np.var(y.astype("float64"), axis=0)))
        x = x.astype("float64")
        self.h = (x - x.mean(axis=0)) / np.sqrt(np.sum(np.var(x, axis=0))) @ w.T + b
        self.y = y

    def decode(self, z):
        return self.scale * (z @ self.rows + self.bias)

    def error(self, z, y=None):
        return np.mean(np.sum((self.y - self.decode(z)) ** 2, axis=1)) / self.scale**2


def largest(z, count):
    """z with its `count` largest entries."""
    return np.where(z >= np.sort(z, axis=None)[-count], z, 0) * (z > 0)


def terms(model, x=X, y=None, training=True, weight=None):
    batch = Batch.of(tf.constant(x), None if y is None else tf.constant(y), weight)
    return {name: float(value) for name, value in model.objective(batch, training)[0].items()}


# === What all share ===


@EACH
def test_a_model_starts_at_the_means_and_with_unit_rows(name):
    model = make(name, X, Y, random=False)
    encoder = model.encoder.layers[0].layers
    standardized = encoder[1](encoder[0](X)).numpy()
    np.testing.assert_allclose(standardized.mean(axis=0), 0, atol=1e-6)
    assert np.sum(standardized**2, axis=1).mean() == pytest.approx(1, rel=1e-5)
    np.testing.assert_allclose(model.decode(np.zeros((1, 10), "float32"))[0], Y.mean(axis=0), rtol=1e-5)
    error = np.mean(np.sum((Y - Y.mean(axis=0)) ** 2, axis=1))
    assert float(model.target_variance) == pytest.approx(error, rel=1e-5)
    np.testing.assert_allclose(np.linalg.norm(model.dictionary, axis=1), 1, rtol=1e-5)
    same = make(name, random=False)
    np.testing.assert_array_equal(same.encoder.layers[0].layers[-1].kernel, same.decoder.layers[0].kernel)


@pytest.mark.slow_cases("batch-top-k", "gated", "jump-relu", "matryoshka")
@EACH
def test_fit_starts_from_the_targets_of_every_form_of_data(name):
    cls, arguments = MODELS[name]
    weight = np.arange(12) % 3
    expected = np.average(Y.astype("float64"), axis=0, weights=weight)
    pairs = tf.data.Dataset.from_tensor_slices((X, Y, weight.astype("float32"))).batch(5)
    for data in ({"x": X, "y": Y, "sample_weight": weight.astype("float32")}, {"x": pairs}):
        model = cls(10, seed=0, **arguments)
        model.compile(keras.optimizers.SGD(0.0), run_eagerly=True)
        model.fit(**data, verbose=0)
        np.testing.assert_allclose(model.decode(np.zeros((1, 10), "float32"))[0], expected, rtol=1e-5)
        assert model.reconstruct(X).shape == (12, 4)


def test_a_k_sparse_model_starts_from_the_targets():
    model = aezoo.KSparseAE(10, k=3, tied=False, seed=0)
    model.compile(keras.optimizers.SGD(0.0), run_eagerly=True)
    model.fit(X, Y, verbose=0)
    np.testing.assert_allclose(model.decode(np.zeros((1, 10), "float32"))[0], Y.mean(axis=0), rtol=1e-5)


@pytest.mark.slow_cases("batch-top-k", "top-k", "jump-relu", "gated")
@EACH
def test_training_is_the_same_on_any_scale(name):
    histories = []
    for x in (X, 1000 * X - 77):
        model = make(name, x, optimizer=keras.optimizers.SGD(0.1), random=False)
        histories.append(model.fit(x, epochs=2, batch_size=12, shuffle=False, verbose=0).history)
    assert histories[0]["loss"][-1] != histories[0]["loss"][0]
    for key, values in histories[0].items():
        np.testing.assert_allclose(values, histories[1][key], rtol=1e-3, err_msg=key)


@EACH
def test_the_gradient_of_the_dictionary_is_orthogonal_to_its_rows(name):
    model = make(name)
    kernel = model.decoder.layers[0].kernel
    with tf.GradientTape() as tape:
        reported = model.objective(Batch.of(tf.constant(X)), training=True)[0]
        loss = sum(reported[term] for term in model.term_names)
    gradient = tf.convert_to_tensor(tape.gradient(loss, kernel.value)).numpy()
    along = np.sum(gradient * kernel.numpy(), axis=1)
    assert np.linalg.norm(gradient) > 0.01
    np.testing.assert_allclose(along, 0, atol=1e-5 * np.linalg.norm(gradient))


@EACH
def test_the_dictionary_keeps_norm_1_in_training(name):
    """Gradients orthogonal to the rows would make them longer with every step, and slower to turn."""
    model = make(name, optimizer=keras.optimizers.Adam(0.1), random=False)
    before = model.dictionary
    model.fit(X, epochs=5, batch_size=4, verbose=0)
    kernel = model.decoder.layers[0].kernel.numpy()
    np.testing.assert_allclose(np.linalg.norm(kernel, axis=1), 1, rtol=1e-5)
    assert np.abs(model.dictionary - before).max() > 0.1


@EACH
def test_the_gradient_is_the_projection(name):
    """For rows of norm 1, it is (I - ŵŵᵀ) times the gradient of a plain decoder."""
    model = make(name)
    layer = model.decoder.layers[0]
    layer.kernel.assign(layer.rows(layer.kernel.value))
    z = np.abs(RNG.normal(size=(12, 10))).astype("float32")
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(tf.square(layer(z) - X))
    gradient = tape.gradient(loss, layer.kernel.value).numpy()
    w = layer.kernel.numpy().astype("float64")
    plain = 2 * z.T @ (z @ w + layer.bias.numpy() - X)
    np.testing.assert_allclose(gradient, plain - np.sum(plain * w, axis=1, keepdims=True) * w, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("arguments", [{"hidden_dims": (3,)}, {"tied": True}, {"code_activation": "relu"}])
def test_arguments_of_networks_are_refused(arguments):
    with pytest.raises(ValueError, match="BatchTopKAE has one dense layer per network: leave out"):
        aezoo.BatchTopKAE(10, k=3, **arguments)


@pytest.mark.parametrize(
    ("cls", "arguments", "message"),
    [
        (aezoo.TopKAE, {"k": 11}, "would keep 11 units of a code that has 10"),
        (aezoo.TopKAE, {"k": 3, "multi_weight": -1}, "multi_weight must be at least 0"),
        (aezoo.BatchTopKAE, {"k": 11}, "k=11 activations .* of a code that has 10 units"),
        (aezoo.BatchTopKAE, {"k": 0}, "k must be positive"),
        (aezoo.MatryoshkaAE, {"k": 2, "levels": (3, 2, 10)}, "levels must increase up to latent_dim=10"),
        (aezoo.MatryoshkaAE, {"k": 2, "levels": (3, 9)}, "levels must increase up to latent_dim=10"),
        (aezoo.JumpReLUAE, {"threshold": 0}, "threshold must be positive"),
        (aezoo.JumpReLUAE, {"bandwidth": -1}, "bandwidth must be positive"),
        (aezoo.JumpReLUAE, {"weight": -1}, "weight must be at least 0"),
        (aezoo.JumpReLUAE, {"target_l0": 0}, "target_l0 must be inside"),
        (aezoo.GatedAE, {"weight": -1}, "weight must be at least 0"),
    ],
    ids=str,
)
def test_bad_arguments(cls, arguments, message):
    with pytest.raises(ValueError, match=message):
        cls(10, **arguments)


# === TopK ===


def test_top_k_is_that_of_gao():
    model = make("top-k", multi_weight=0.125, k=2, dead_after=5, aux_k=2)
    reference = Reference(model, X)
    h = np.maximum(reference.h, 0)
    rank = np.argsort(np.argsort(-h, axis=1), axis=1)
    z, wide = h * (rank < 2), h * (rank < 8)
    np.testing.assert_allclose(model.encode(X), z, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(model.reconstruct(X), reference.decode(z), rtol=1e-4, atol=1e-4)
    dead = np.arange(10) < 4
    model.samples_since_active.assign(np.where(dead, 7.0, 0.0))
    of_dead = np.where(dead, h, -1)
    z_aux = np.maximum(np.where(np.argsort(np.argsort(-of_dead, axis=1), axis=1) < 2, of_dead, 0), 0)
    residual = X - reference.decode(z) - reference.scale * z_aux @ reference.rows
    got = terms(model)
    assert got["reconstruction"] == pytest.approx(reference.error(z), rel=1e-4)
    assert got["multi"] == pytest.approx(reference.error(wide) / 8, rel=1e-4)
    auxiliary = np.sum(residual**2) / np.sum((X - reference.decode(z)) ** 2) / 32
    assert got["auxiliary"] == pytest.approx(auxiliary, rel=1e-4)
    used = z.any(axis=0)
    np.testing.assert_array_equal(model.samples_since_active, np.where(used, 0, 12 + 7 * dead))


def test_top_k_by_rows_is_the_same():
    dense, rows = (make("top-k", by_rows=by_rows, multi_weight=0.125, dead_after=1) for by_rows in (False, True))
    gradients = []
    for model in (dense, rows):
        model.samples_since_active.assign(np.arange(10) % 3)
        with tf.GradientTape() as tape:
            reported = model.objective(Batch.of(tf.constant(X)), training=True)[0]
            loss = sum(reported[term] for term in model.term_names)
        gradients.append(tape.gradient(loss, [v.value for v in model.trainable_variables]))
    assert any(isinstance(gradient, tf.IndexedSlices) for gradient in gradients[1])
    for a, b in zip(*gradients, strict=True):
        np.testing.assert_allclose(tf.convert_to_tensor(a), tf.convert_to_tensor(b), rtol=1e-3, atol=1e-5)
    assert aezoo.TopKAE(4096, k=16).by_rows and not aezoo.TopKAE(4096, k=17).by_rows


# === BatchTopK ===


@pytest.mark.parametrize("k", [0.5, 1, 2.25, 7])
def test_the_threshold_of_a_batch_is_an_order_statistic(k):
    rng = np.random.default_rng(2)
    z = np.maximum(rng.normal(size=(8, 16)), 0).astype("float32") * 10.0 ** rng.integers(-9, 9, (8, 16))
    z = z.astype("float32")
    expected = np.sort(z, axis=None)[-int(8 * k)]
    assert float(batch_threshold(z, k)) == expected
    # A weight of 2 repeats a sample, a weight of 0 leaves it out.
    repeated = np.repeat(z, [0, 2, 1, 1, 1, 1, 1, 1], axis=0)
    weight = np.array([0, 2, 1, 1, 1, 1, 1, 1], "float32")
    assert float(batch_threshold(z, k, weight)) == np.sort(repeated, axis=None)[-int(8 * k)]
    assert float(batch_threshold(z, k, 3 * weight)) == float(batch_threshold(z, k, weight))
    assert float(batch_threshold(z, k, 0 * weight)) == 0


@pytest.mark.slow
def test_the_threshold_of_a_batch_compiles():
    compiled = tf.function(batch_threshold, jit_compile=True)
    z = np.random.default_rng(2).random((4, 8)).astype("float32")
    for weight in (None, np.ones(4, "float32")):
        assert float(compiled(tf.constant(z), 2.0, weight)) == np.sort(z, axis=None)[-8]


def test_batch_top_k_keeps_the_largest_of_a_batch():
    model = make("batch-top-k")
    reference = Reference(model, X)
    z = largest(np.maximum(reference.h, 0), 36)
    per_sample = np.count_nonzero(z, axis=1)
    assert np.sum(per_sample) == 36 and np.ptp(per_sample) > 0
    got = terms(model)
    assert got["reconstruction"] == pytest.approx(reference.error(z), rel=1e-4)
    assert got["l0"] == 3
    # After one step the threshold is the smallest activation that was kept.
    assert model.threshold == pytest.approx(z[z > 0].min(), rel=1e-5)
    np.testing.assert_allclose(model.encode(X), z, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(model.reconstruct(X), reference.decode(z), rtol=1e-4, atol=1e-4)
    other = np.concatenate([model.encode(X[:1]), model.encode(X[1:])])
    np.testing.assert_allclose(other, z, rtol=1e-4, atol=1e-5)


def test_the_threshold_is_a_running_mean_of_the_smallest_kept_activation():
    model = make("batch-top-k")
    h = np.maximum(Reference(model, X).h, 0)
    expected = 0.0
    batches = [np.random.default_rng(i).permutation(12)[:5] for i in range(120)]
    for step, rows in enumerate(batches, start=1):
        model.batch_top_k.select(h[rows].astype("float32"))
        smallest = np.sort(h[rows], axis=None)[-15]
        expected += (smallest - expected) / min(step, 100)
    assert model.threshold == pytest.approx(expected, rel=1e-4)
    terms(model, training=False)
    assert model.threshold == pytest.approx(expected, rel=1e-4)


def test_the_threshold_is_saved(tmp_path):
    model = make("batch-top-k")
    terms(model)
    assert model.threshold > 0
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert loaded.threshold == model.threshold
    np.testing.assert_array_equal(loaded.encode(X), model.encode(X))


def test_fewer_positive_activations_than_k_are_all_kept():
    model = make("batch-top-k", k=9)
    h = Reference(model, X).h
    assert np.sum(h > 0) < 9 * 12
    assert terms(model)["l0"] == pytest.approx(np.sum(h > 0) / 12)
    assert model.threshold == 0
    np.testing.assert_allclose(model.encode(X), np.maximum(h, 0), rtol=1e-4, atol=1e-5)


def test_batch_top_k_of_a_batch_of_one_is_top_k():
    results = []
    for name in ("top-k", "batch-top-k"):
        model = make(name, dead_after=1)
        model.samples_since_active.assign(np.arange(10.0))
        with tf.GradientTape() as tape:
            reported = model.objective(Batch.of(tf.constant(X[:1])), training=True)[0]
            loss = sum(reported[term] for term in model.term_names)
        gradients = tape.gradient(loss, [v.value for v in model.trainable_variables])
        results.append(([float(reported[term]) for term in model.term_names], [g.numpy() for g in gradients]))
    assert results[0][0] == pytest.approx(results[1][0], rel=1e-6)
    for a, b in zip(results[0][1], results[1][1], strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7)


def test_two_replicas_select_from_the_whole_batch():
    options = {"optimizer": keras.optimizers.SGD(0.05), "dead_after": 8}
    one = make("batch-top-k", **options)
    with testing.two_replicas().scope():
        two = make("batch-top-k", **{**options, "optimizer": keras.optimizers.SGD(0.05)})
    fit = {"batch_size": 6, "epochs": 1, "shuffle": False, "verbose": 0}
    expected, got = one.fit(X, **fit).history, two.fit(X, **fit).history
    for name in expected:
        np.testing.assert_allclose(got[name], expected[name], rtol=1e-4, err_msg=name)
    for a, b in zip(one.variables, two.variables, strict=True):
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-4, atol=1e-5, err_msg=a.path)


# === Matryoshka ===


def test_matryoshka_reconstructs_from_prefixes():
    model = make("matryoshka")
    reference = Reference(model, X)
    z = largest(np.maximum(reference.h, 0), 36)
    expected = [reference.error(z * (np.arange(10) < level)) for level in (2, 5, 10)]
    got = terms(model)
    assert got["reconstruction"] == pytest.approx(expected[2], rel=1e-4)
    assert got["prefixes"] == pytest.approx(expected[0] + expected[1], rel=1e-4)


@pytest.mark.slow
def test_matryoshka_with_one_level_is_batch_top_k():
    histories, weights = [], []
    for name, arguments in (("matryoshka", {"levels": (10,)}), ("batch-top-k", {})):
        model = make(name, optimizer=keras.optimizers.SGD(0.1), **arguments)
        histories.append(model.fit(X, batch_size=4, epochs=2, shuffle=False, verbose=0).history)
        weights.append([variable.numpy() for variable in model.variables])
    assert histories[0] == histories[1]
    for a, b in zip(*weights, strict=True):
        np.testing.assert_array_equal(a, b)


def test_levels_by_default_are_those_of_the_paper():
    assert aezoo.MatryoshkaAE(65536, k=4).levels == (2048, 6144, 14336, 30720, 65536)
    assert aezoo.MatryoshkaAE(8, k=4).levels == (1, 2, 4, 8)


# === JumpReLU ===


@pytest.mark.parametrize("target", [None, 2.5])
def test_jump_relu_is_the_papers(target):
    model = make("jump-relu", target_l0=target)
    reference = Reference(model, X)
    theta = np.exp(model.jump_relu.log_threshold.numpy())
    assert np.ptp(theta) > 0.01
    active = reference.h > theta
    z = reference.h * active
    np.testing.assert_allclose(model.encode(X), z, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(model.reconstruct(X), reference.decode(z), rtol=1e-4, atol=1e-4)
    l0 = active.sum(axis=1).mean()
    got = terms(model)
    assert got["l0"] == pytest.approx(l0, rel=1e-5)
    assert got["reconstruction"] == pytest.approx(reference.error(z), rel=1e-4)
    expected = l0 if target is None else (l0 / target - 1) ** 2
    assert got["sparsity"] == pytest.approx(0.05 * expected, rel=1e-4)


@pytest.mark.parametrize(("theta", "c", "penalty"), [(0.4, 0.7, 0.1), (0.3, 0.2, 0.0), (0.5, -1.0, 0.3)])
def test_pseudo_derivatives_are_the_derivative_of_the_expected_loss(theta, c, penalty):
    """For z uniform in [0, 1], E (c - JumpReLU(z))² + λ E H(z - θ) has the derivative c² - (c - θ)² - λ."""
    layer = JumpReLU(theta, bandwidth=0.002)
    layer.build((None, 1))
    z = ((np.arange(200_000) + 0.5) / 200_000)[:, None].astype("float32")
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(tf.square(c - layer(z)) + penalty * layer.active(z))
    got = tape.gradient(loss, layer.log_threshold.value).numpy()[0]
    assert got == pytest.approx(theta * (c**2 - (c - theta) ** 2 - penalty), rel=2e-3, abs=1e-4)


def test_pseudo_derivatives_are_those_of_a_smoothed_step():
    """K / ε is the derivative of a ramp of width ε: finite differences of the smoothed objective."""
    width = 0.5
    layer = JumpReLU(1.0, bandwidth=width)
    layer.build((None, 3))
    layer.log_threshold.assign(np.log([0.9, 1.0, 1.2]))
    z = np.random.default_rng(3).normal(1, 0.4, (50, 3)).astype("float32")
    a, b = RNG.normal(size=(2, 50, 3)).astype("float32")
    with tf.GradientTape() as tape:
        tape.watch(z := tf.constant(z))
        loss = tf.reduce_sum(a * layer(z) + b * layer.active(z))
    by_z, by_theta = tape.gradient(loss, [z, layer.log_threshold.value])
    z, theta = z.numpy().astype("float64"), np.exp(layer.log_threshold.numpy().astype("float64"))

    def smoothed(moved):
        # The height of the jump is θ, wherever in the ramp z is.
        ramp = np.clip((z - moved) / width + 0.5, 0, 1)
        return np.sum(a * theta * ramp + b * ramp, axis=0)

    differences = (smoothed(theta * (1 + 1e-6)) - smoothed(theta * (1 - 1e-6))) / 2e-6
    np.testing.assert_allclose(by_theta, differences, rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(by_z, a * (z > theta))  # no straight-through estimator with respect to z


def test_only_the_penalty_and_the_error_near_a_threshold_move_it():
    model = make("jump-relu", optimizer=keras.optimizers.SGD(0.05), bandwidth=1e-9)
    before = model.jump_relu.log_threshold.numpy()
    model.fit(X, verbose=0)
    np.testing.assert_array_equal(model.jump_relu.log_threshold, before)


# === Gated ===


def test_gated_is_the_papers():
    model = make("gated")
    reference = Reference(model, X)
    gate_bias, log_scale, bias = (v.numpy().astype("float64") for v in model.gate.trainable_variables)
    assert not np.any(model.encoder.layers[0].layers[-1].bias)
    pi = reference.h + gate_bias
    z = (pi > 0) * np.maximum(np.exp(log_scale) * reference.h + bias, 0)
    np.testing.assert_allclose(model.encode(X), z, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(model.reconstruct(X), reference.decode(z), rtol=1e-4, atol=1e-4)
    got = terms(model)
    gate = np.maximum(pi, 0)
    assert got["reconstruction"] == pytest.approx(reference.error(z), rel=1e-4)
    assert got["sparsity"] == pytest.approx(0.05 * gate.sum(axis=1).mean(), rel=1e-4)
    assert got["auxiliary"] == pytest.approx(reference.error(gate), rel=1e-4)
    assert got["l0"] == pytest.approx(np.count_nonzero(z, axis=1).mean())


def test_the_auxiliary_error_of_the_gate_trains_no_decoder():
    model = make("gated")
    names = ("reconstruction", "sparsity", "auxiliary")
    with tf.GradientTape(persistent=True) as tape:
        reported = model.objective(Batch.of(tf.constant(X)), training=True)[0]
    decoder = [v.value for v in model.decoder.trainable_variables]
    gradients = {name: tape.gradient(reported[name], decoder) for name in names}
    assert all(g is None or not np.any(g) for g in gradients["auxiliary"])
    assert all(np.any(g) for g in gradients["reconstruction"])
    gate_bias = model.gate.gate_bias.value
    assert tape.gradient(reported["reconstruction"], gate_bias) is None
    assert np.any(tape.gradient(reported["auxiliary"], gate_bias))
    assert np.any(tape.gradient(reported["sparsity"], gate_bias))


# === In the house ===


@EACH
def test_reports_and_pictures_know_the_codes(name):
    model = make(name, x=np.abs(X).reshape(12, 3, 3, 1))
    report = evaluation.report(model, np.abs(X).reshape(12, 3, 3, 1))
    assert report["mean_active_units"] >= 0 if "mean_active_units" in report else report
    for draw in model.report_pictures(np.abs(X).reshape(12, 3, 3, 1)).values():
        draw()


@pytest.mark.slow
@EACH
def test_a_dictionary_is_found_again(name):
    rng = np.random.default_rng(0)
    directions = rng.normal(size=(64, 32))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    z = rng.uniform(0.5, 1.5, (8000, 64)) * (rng.random((8000, 64)) < 0.04)
    x = (z @ directions).astype("float32")
    own = {"top-k": {"k": 3}, "batch-top-k": {"k": 2.6}, "matryoshka": {"k": 2.6, "levels": (32, 64)}}
    own |= {"jump-relu": {"target_l0": 2.6, "bandwidth": 0.05, "threshold": 0.05}, "gated": {"weight": 0.3}}
    model = MODELS[name][0](64, seed=0, **own[name])
    model.compile(keras.optimizers.Adam(3e-3))
    history = model.fit(x, epochs=40, batch_size=128, verbose=0).history
    cosines = (directions @ model.dictionary.T).max(axis=1)
    # About 0.45 before training.
    assert np.mean(cosines) > (0.8 if name == "gated" else 0.9), (np.mean(cosines), history["reconstruction"][-1])
