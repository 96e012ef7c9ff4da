"""The k-sparse autoencoder and AuxK against NumPy."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import aezoo
from aezoo import testing
from aezoo.layers._selection import DenseSelection
from aezoo.schedules import Linear, Step
from aezoo.training.batch import Batch

RNG = np.random.default_rng(0)
X = RNG.normal(size=(12, 9)).astype("float32")


def make(latent_dim=10, rate=0.0, optimizer=None, **kwargs):
    compile = {name: kwargs.pop(name) for name in ("jit_compile", "loss", "run_eagerly") if name in kwargs}
    model = aezoo.KSparseAE(latent_dim, seed=0, **kwargs)
    model.build((None, 9))
    model.compile(optimizer or keras.optimizers.SGD(rate), **compile)
    rng = np.random.default_rng(1)
    for variable in model.trainable_variables:
        variable.assign(rng.normal(0, 0.5, variable.shape))
    return model


def keep(z, k):
    order = np.argsort(-z, axis=1, kind="stable")
    mask = np.zeros_like(z)
    np.put_along_axis(mask, order[:, :k], 1, axis=1)
    return z * mask


def parameters(model):
    w, b, b2 = (v.numpy().astype("float64") for v in model.trainable_variables)  # tied: W (9, 10), b, b'
    return w, b, b2


def test_code_and_reconstruction_are_the_papers():
    model = make(k=3)
    w, b, b2 = parameters(model)
    z = keep(X @ w + b, 3)
    np.testing.assert_allclose(model.encode(X), z, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(model(X), z @ w.T + b2, rtol=1e-4, atol=1e-5)
    loss = model.fit(X, batch_size=12, verbose=0).history["loss"][0]
    assert loss == pytest.approx(((X - z @ w.T - b2) ** 2).sum(axis=1).mean(), rel=1e-4)


def test_more_units_at_inference_than_in_training():
    model = make(k=2, alpha=2.4)
    w, b, _ = parameters(model)
    for training, k in ((True, 2), (False, 5)):
        np.testing.assert_allclose(model.encoder(X, training=training), keep(X @ w + b, k), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(model.encode(X), keep(X @ w + b, 5), rtol=1e-4, atol=1e-5)
    assert np.all(np.count_nonzero(model.encode(X), axis=1) == 5)


@pytest.mark.parametrize("tied", [True, False])
def test_the_gradient_to_weights_of_inactive_units_is_exactly_0(tied):
    model = make(latent_dim=30, k=2, tied=tied)
    code = model.encoder(X, training=True).numpy()
    idle = ~code.any(axis=0)
    assert 5 < idle.sum() < 30
    with tf.GradientTape() as tape:
        loss = model.objective(Batch.of(X), training=True)[0]["reconstruction"]
    variables = [v.value for v in model.trainable_variables]
    for gradient in tape.gradient(loss, variables):
        g = gradient.numpy()
        if g.shape == (9,):  # b'
            continue
        g = g if g.shape[-1] == 30 else g.T  # the kernel of an untied decoder
        assert np.all(g[..., idle] == 0)
        assert np.all(np.abs(g[..., ~idle]).reshape(-1, (~idle).sum()).max(axis=0) > 0)


@pytest.mark.parametrize("jit_compile", [False, True])
def test_k_follows_its_schedule_in_one_graph(jit_compile):
    model = make(k=3, k_schedule=Linear(9, 3, epochs=3), jit_compile=jit_compile)
    w, b, b2 = parameters(model)
    traces = []
    objective = model.objective

    def counted(*args, **kwargs):
        traces.append(kwargs)
        return objective(*args, **kwargs)

    model.objective = counted
    history = model.fit(X, batch_size=12, epochs=2, shuffle=False, verbose=0).history["loss"]
    once = len(traces)
    history += model.fit(X, batch_size=12, epochs=3, shuffle=False, verbose=0).history["loss"]
    assert len(traces) == once
    z = X @ w + b
    expected = [((X - keep(z, k) @ w.T - b2) ** 2).sum(axis=1).mean() for k in (9, 7, 5, 3, 3)]
    np.testing.assert_allclose(history, expected, rtol=1e-4)
    assert len(set(np.round(expected, 4))) == 4


# === AuxK ===


class Reference:
    """AuxK as Gao et al. write it, for a linear decoder: L_aux = ‖e - ê‖², ê = W_dec z of dead units only."""

    def __init__(self, w, b, w2, b2, k, aux_k, dead_after):
        self.w, self.b, self.w2, self.b2 = w, b, w2, b2
        self.k, self.aux_k, self.dead_after = k, aux_k, dead_after
        self.idle = np.zeros(w.shape[1])

    def step(self, x):
        z = x @ self.w + self.b
        code = keep(z, self.k)
        e = x - code @ self.w2 - self.b2
        dead = np.flatnonzero(self.idle >= self.dead_after)
        auxiliary = 0.0
        if len(dead):
            z_dead = keep(z[:, dead], min(self.aux_k, len(dead)))
            auxiliary = ((e - z_dead @ self.w2[dead]) ** 2).sum(axis=1).mean()
        self.idle = np.where(code.any(axis=0), 0, self.idle + len(x))
        return (e**2).sum(axis=1).mean(), auxiliary


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("aux_k", [1, 3, 50])
def test_auxk_is_that_of_gao(tied, aux_k):
    model = make(latent_dim=12, k=1, aux_weight=0.25, aux_k=aux_k, dead_after=8, tied=tied)
    weights = {v.path.split("/", 1)[-1]: v.numpy().astype("float64") for v in model.trainable_variables}
    w, b, *rest = weights.values()
    w2, b2 = (w.T, rest[0]) if tied else (rest[0], rest[1])
    reference = Reference(w, b, w2, b2, 1, aux_k, 8)
    seen = []
    for start in (0, 4, 8, 0, 4, 2):
        batch = X[start : start + 4]
        terms, _ = model.objective(Batch.of(batch), training=True)
        reconstruction, auxiliary = reference.step(batch)
        assert float(terms["reconstruction"]) == pytest.approx(reconstruction, rel=1e-4)
        assert float(terms["auxiliary"]) == pytest.approx(0.25 * auxiliary, rel=1e-4)
        np.testing.assert_array_equal(model.samples_since_active, reference.idle)
        seen.append(auxiliary)
    assert seen[0] == seen[1] == 0  # nobody can be dead before 8 samples
    assert min(seen[2:]) > 0


def test_auxk_is_half_the_number_of_features_where_it_is_not_given():
    given, default = (make(latent_dim=12, k=1, aux_weight=1.0, dead_after=4, aux_k=aux_k) for aux_k in (4, None))
    for model in (given, default):
        model.objective(Batch.of(X[:4]), training=True)
    a, b = (float(m.objective(Batch.of(X[4:]), training=True)[0]["auxiliary"]) for m in (given, default))
    assert a == b > 0


def test_the_gradient_of_auxk_reaches_dead_units_only_and_not_the_error():
    model = make(latent_dim=12, k=1, aux_weight=1.0, aux_k=3, dead_after=8, tied=False)
    for _ in range(3):
        model.objective(Batch.of(X[:4]), training=True)
    dead = model.samples_since_active.numpy() >= 8
    assert 3 < dead.sum() < 12
    w, b, w2, b2 = (v.value for v in model.trainable_variables)
    with tf.GradientTape() as tape:
        auxiliary = model.objective(Batch.of(X[:4]), training=True)[0]["auxiliary"]
    dw, db, dw2, db2 = tape.gradient(auxiliary, [w, b, w2, b2], unconnected_gradients="zero")
    for gradient in (dw.numpy().T, db.numpy(), dw2.numpy()):
        assert not np.any(gradient[~dead])
        assert np.any(gradient[dead])
    assert not np.any(db2.numpy())  # e is a target: as in Gao et al., b' is not trained by it
    # ∂L/∂W' = mean of -2 z_aux (e - ê)ᵀ
    z = X[:4] @ w.numpy() + b.numpy()
    e = X[:4] - keep(z, 1) @ w2.numpy() - b2.numpy()
    z_aux = np.zeros_like(z)
    z_aux[:, dead] = keep(z[:, dead], 3)
    np.testing.assert_allclose(dw2, -2 * z_aux.T @ (e - z_aux @ w2.numpy()) / 4, rtol=1e-3, atol=1e-4)


def test_validation_does_not_count():
    model = make(latent_dim=12, k=1, aux_weight=1.0, dead_after=4)
    model.evaluate(X, verbose=0)
    np.testing.assert_array_equal(model.samples_since_active, 0)
    model.fit(X, validation_data=(X,), batch_size=12, verbose=0)
    assert model.samples_since_active.numpy().max() == 12


def test_auxk_is_computed_only_while_a_unit_is_dead(monkeypatch):
    model = make(latent_dim=12, k=1, aux_weight=1.0, aux_k=3, dead_after=8)
    ways = []
    monkeypatch.setattr(
        DenseSelection, "addition", lambda self, code: ways.append(len(code)) or self.decoder(code, training=False)
    )
    for batch in (X[:4], X[4:8], X[8:]):
        model.objective(Batch.of(batch), training=True)
    assert ways == [4], "after 8 samples some units are dead"


@pytest.mark.parametrize(
    ("how", "rtol"),
    [({}, 1e-4), ({"jit_compile": True}, 1e-4), ({"dtype": "mixed_bfloat16"}, 0.05)],
    ids=["graph", "XLA", "bfloat16"],
)
def test_auxk_in_a_graph_is_that_of_single_operations(how, rtol):
    """With a short last batch, batches without dead units and with them."""
    fit = dict(batch_size=5, epochs=3, shuffle=False, verbose=0)
    options = dict(latent_dim=12, k=2, aux_weight=0.5, aux_k=3, dead_after=12, rate=0.01)
    expected = make(**options, run_eagerly=True).fit(X, **fit).history
    got = make(**options, **how).fit(X, **fit).history
    assert expected["auxiliary"][0] == 0 < expected["auxiliary"][-1]
    for name in expected:
        np.testing.assert_allclose(got[name], expected[name], rtol=rtol, err_msg=name)


@pytest.mark.slow
def test_auxk_under_two_replicas_is_that_of_one():
    options = dict(latent_dim=12, k=1, aux_weight=0.5, aux_k=3, dead_after=8, rate=0.01)
    one = make(**options, run_eagerly=True)
    with testing.two_replicas().scope():
        two = make(**options, run_eagerly=True)
    fit = dict(batch_size=4, epochs=1, shuffle=False, verbose=0)
    expected, got = one.fit(X, **fit).history, two.fit(X, **fit).history
    assert expected["auxiliary"][-1] > 0
    for name in expected:
        np.testing.assert_allclose(got[name], expected[name], rtol=1e-4, err_msg=name)
    for a, b in zip(one.variables, two.variables, strict=True):
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-4, atol=1e-5, err_msg=a.path)


@pytest.mark.slow
def test_auxk_revives_dead_units():
    rng = np.random.default_rng(0)
    dictionary = rng.normal(size=(24, 16))
    dictionary /= np.linalg.norm(dictionary, axis=1, keepdims=True)
    sparse = rng.uniform(0.5, 1, (256, 24)) * (rng.random((256, 24)) < 0.1)
    x = (sparse @ dictionary).astype("float32")
    dead, error = {}, {}
    for aux_weight in (0.0, 1 / 32):
        model = aezoo.KSparseAE(24, k=2, aux_weight=aux_weight, aux_k=4, dead_after=512, seed=0)
        model.build((None, 16))
        kernel = model.encoder.trainable_variables[0]
        kernel.assign(kernel * np.where(np.arange(24) < 12, 0.02, 1.0))  # half of the units hardly ever win
        model.compile(keras.optimizers.Adam(0.01), steps_per_execution=50)
        model.fit(tf.data.Dataset.from_tensors(x).repeat(), steps_per_epoch=600, verbose=0)
        dead[aux_weight] = int(np.sum(~np.asarray(model.encode(x)).any(axis=0)))
        error[aux_weight] = np.mean(model.score_samples(x))
    assert dead[0.0] >= 8
    assert dead[1 / 32] <= 3
    assert error[1 / 32] < 0.85 * error[0.0]


# === Arguments ===


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"k": 11}, "k=11 .* would keep 11 units of a code that has 10: choose a smaller k or a larger latent_dim"),
        ({"k": 6, "alpha": 2.0}, "would keep 12 units of a code that has 10"),
        ({"k": 3, "k_schedule": Linear(12, 3, 5)}, "would keep 12 units of a code that has 10"),
        ({"k": 3, "k_schedule": Step([2], [3, 12])}, "would keep 12 units of a code that has 10"),
        ({"k": 3, "k_schedule": Linear(3, 0, 5)}, "k must be at least 1"),
        ({"k": 0}, "k must be at least 1, but k=0"),
        ({"k": 3, "alpha": 0.9}, "alpha must be at least 1 and finite, but alpha=0.9"),
        ({"k": 3, "aux_weight": -1.0}, "aux_weight must be at least 0"),
        ({"k": 3, "aux_weight": 1.0, "aux_k": 0}, "aux_k must be at least 1"),
        ({"k": 3, "dead_after": 0}, "dead_after must be at least 1"),
    ],
    ids=str,
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        aezoo.KSparseAE(10, **arguments)


def test_k_of_an_encoder_of_the_users_own_is_checked_before_the_first_step():
    encoder = keras.Sequential([keras.Input((9,)), keras.layers.Dense(4)])
    model = aezoo.KSparseAE(encoder=encoder, k=5)
    model.compile("sgd")
    with pytest.raises(ValueError, match="would keep 5 units of a code that has 4"):
        model.fit(X, verbose=0)


@pytest.mark.slow
def test_on_images_as_a_convolutional_net_in_one_line(x):
    model = aezoo.KSparseAE(8, filters=(4,), k=2)
    model.compile("adam")
    model.fit(x, verbose=0)
    assert not model.tied
    assert np.all(np.count_nonzero(model.encode(x), axis=1) == 2)


@pytest.mark.slow
def test_auxk_finds_a_dictionary_again_and_leaves_few_units_dead():
    rng = np.random.default_rng(0)
    directions = rng.normal(size=(96, 32))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    chosen = np.argsort(rng.random((6000, 96)), axis=1)[:, :3]
    coefficients = np.zeros((6000, 96))
    np.put_along_axis(coefficients, chosen, rng.uniform(0.5, 1.5, chosen.shape), axis=1)
    x = (coefficients @ directions).astype("float32")
    cosine, dead = {}, {}
    for weight in (0.0, 1 / 32):
        model = aezoo.KSparseAE(96, k=3, tied=False, by_rows=True, aux_weight=weight, dead_after=2000, seed=0)
        model.compile(keras.optimizers.Adam(5e-3))
        model.fit(x, epochs=15, batch_size=64, verbose=0, shuffle=False)
        rows = model.decoder.layers[0].kernel.numpy()
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        cosine[weight] = (directions @ rows.T).max(axis=1).mean()
        dead[weight] = aezoo.evaluation.dead_units(model.encode(x).numpy()) / 96
    assert cosine[1 / 32] >= 0.95 > cosine[0.0]
    assert dead[1 / 32] < 0.1 < dead[0.0]


# === Networks of the user's own ===


def normalized(**kwargs):
    """With layers that have a state."""
    keras.utils.set_random_seed(0)
    layers = keras.layers
    encoder = keras.Sequential([keras.Input((9,)), layers.Dense(12), layers.BatchNormalization()])
    decoder = keras.Sequential([keras.Input((12,)), layers.Dense(8, activity_regularizer=keras.regularizers.L2(0.1))])
    for layer in (layers.BatchNormalization(momentum=0.5), layers.Dropout(0.3, seed=0), layers.Dense(9)):
        decoder.add(layer)
    model = aezoo.KSparseAE(encoder=encoder, decoder=decoder, k=3, seed=0, **kwargs)
    model.build((None, 9))
    model.compile(keras.optimizers.SGD(0.0), run_eagerly=True)
    return model


@pytest.mark.parametrize("dead_after", [1, pytest.param(10**6, marks=pytest.mark.slow)])
def test_auxk_leaves_the_state_of_the_networks_to_the_one_pass_that_counts(dead_after):
    plain, aux = normalized(), normalized(aux_weight=1 / 32, dead_after=dead_after)
    histories = [model.fit(X, epochs=2, batch_size=4, shuffle=False, verbose=0).history for model in (plain, aux)]
    np.testing.assert_allclose(histories[1]["reconstruction"], histories[0]["reconstruction"], rtol=1e-5)
    np.testing.assert_allclose(histories[1]["regularization"], histories[0]["regularization"], rtol=1e-5)
    for a, b in zip(plain.decoder.variables, aux.decoder.variables, strict=True):
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-5, atol=1e-6, err_msg=a.path)
    assert np.mean(aux.score_samples(X)) == pytest.approx(np.mean(plain.score_samples(X)), rel=1e-5)


def spatial(k=4, **kwargs):
    """With a code of (4, 4, 4) for samples (8, 8, 1)."""
    keras.utils.set_random_seed(0)
    layers = keras.layers
    encoder = keras.Sequential([keras.Input((8, 8, 1)), layers.Conv2D(4, 3, strides=2, padding="same")])
    decoder = keras.Sequential([keras.Input((4, 4, 4)), layers.Conv2DTranspose(1, 3, strides=2, padding="same")])
    return aezoo.KSparseAE(encoder=encoder, decoder=decoder, k=k, **kwargs)


def test_of_a_code_of_several_axes_k_of_all_units_stay():
    images = RNG.normal(size=(6, 8, 8, 1)).astype("float32")
    model = spatial(aux_weight=0.5, dead_after=6, aux_k=5)
    model.build((None, 8, 8, 1))
    before, decoder = model.encoder.layers[0], model.decoder
    z = np.asarray(before(images)).reshape(6, 64)
    code = keep(z, 4)
    np.testing.assert_allclose(model.encode(images).numpy().reshape(6, 64), code, rtol=1e-5)
    terms, _ = model.objective(Batch.of(images), training=True)
    error = images - decoder(code.reshape(6, 4, 4, 4)).numpy()
    assert float(terms["reconstruction"]) == pytest.approx((error**2).sum() / 6, rel=1e-4)
    dead = ~code.any(axis=0)
    np.testing.assert_array_equal(model.samples_since_active.numpy().ravel(), 6.0 * dead)
    terms, _ = model.objective(Batch.of(images), training=True)
    z_aux = np.zeros_like(z)
    z_aux[:, dead] = keep(z[:, dead], 5)
    estimate = (decoder(z_aux.reshape(6, 4, 4, 4)) - decoder(np.zeros((6, 4, 4, 4)))).numpy()
    assert float(terms["auxiliary"]) == pytest.approx(0.5 * ((error - estimate) ** 2).sum() / 6, rel=1e-4)
    table = aezoo.evaluation.report(model, images)
    assert (table["l0"], table["dead_units"]) == (4, dead.sum())
    assert aezoo.evaluation.dead_units(model.encode(images)) == dead.sum()
    with pytest.raises(ValueError, match="would keep 65 units of a code that has 64"):
        spatial(k=65).build((None, 8, 8, 1))


@pytest.mark.parametrize("by_rows", [False, True])
def test_samples_of_weight_0_use_no_unit(by_rows):
    some, all_weighted = (
        make(latent_dim=12, k=1, aux_weight=1.0, dead_after=4, tied=False, by_rows=by_rows) for _ in range(2)
    )
    weight = np.array([2, 0, 1, 0, 0.5, 0, 1, 0, 1, 0, 1, 0], "float32")
    some.objective(Batch.of(X[::2]), training=True)
    all_weighted.objective(Batch.of(X, weight=weight), training=True)
    np.testing.assert_array_equal(all_weighted.samples_since_active, some.samples_since_active)
    assert some.samples_since_active.numpy().max() == 6


def test_auxk_of_one_feature():
    model = aezoo.KSparseAE(4, k=1, aux_weight=1.0, dead_after=1)
    model.build((None, 1))
    for _ in range(2):
        terms, _ = model.objective(Batch.of(X[:, :1]), training=True)
    assert float(terms["auxiliary"]) > 0


# === Data whose mean is not 0 ===


@pytest.mark.parametrize("options", [{}, {"tied": False}, {"hidden_dims": (7,)}, {"by_rows": True}], ids=str)
def test_training_starts_from_the_mean_of_the_data(options):
    x = X + np.arange(9, dtype="float32")
    model, centered = (aezoo.KSparseAE(10, k=3, seed=0, **options) for _ in range(2))
    for each, data in ((model, x), (centered, x - x.mean(axis=0))):
        each.compile(keras.optimizers.SGD(0.0), run_eagerly=True)
        each.build((None, 9))
        if each is model:
            each.fit(data, verbose=0)
    np.testing.assert_allclose(model.encode(x), centered.encode(x - x.mean(axis=0)), rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(model(x) - x.mean(axis=0), centered(x - x.mean(axis=0)), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("options", [{"filters": (3,)}, {"output_activation": "sigmoid"}, {"centered": False}], ids=str)
def test_what_subtracts_no_mean_starts_as_it_is(options, x):
    model = aezoo.KSparseAE(8, k=3, seed=0, **options)
    assert not model.centered
    model.compile(keras.optimizers.SGD(0.0), run_eagerly=True)
    model.fit(x, verbose=0)
    assert not any(np.any(v) for v in model.trainable_variables if "bias" in v.path)
    if "centered" not in options:
        with pytest.raises(ValueError, match="centered=True requires dense networks"):
            aezoo.KSparseAE(8, k=3, centered=True, **options)


def test_models_saved_before_there_was_a_mean_subtract_none():
    config = make(k=3).get_config()
    assert config.pop("centered")
    assert not aezoo.KSparseAE.from_config(config).centered


def test_biases_that_were_set_stay():
    model = make(k=3)
    before = model.get_weights()
    model.fit(X, verbose=0)
    for a, b in zip(before[1:], model.get_weights()[1:], strict=True):  # but for the epoch
        np.testing.assert_array_equal(a, b)


@pytest.mark.slow
def test_a_mean_far_from_0_leaves_no_unit_dead():
    rng = np.random.default_rng(0)
    directions = rng.normal(size=(48, 16))
    coefficients = rng.uniform(0.5, 1.5, (1000, 48)) * (rng.random((1000, 48)) < 0.08)
    x = coefficients @ directions
    x = ((x - x.mean()) / x.std()).astype("float32")
    explained = {}
    for mean in (0, 10):
        model = aezoo.KSparseAE(48, k=4, aux_weight=1 / 32, dead_after=2000, seed=0)
        model.compile(keras.optimizers.Adam(5e-3), steps_per_execution=16)
        model.fit(x + mean, epochs=20, batch_size=64, shuffle=False, verbose=0)
        assert aezoo.evaluation.dead_units(model.encode(x + mean)) == 0
        explained[mean] = aezoo.evaluation.explained_variance(model, x + mean)
    assert explained[10] == pytest.approx(explained[0], abs=0.01)
    assert explained[0] > 0.5
