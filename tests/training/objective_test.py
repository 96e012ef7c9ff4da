"""One scale for all terms of an objective, and the numbers of its losses, against closed forms and stock Keras."""

import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

import aezoo
from aezoo import losses, testing
from aezoo.layers import networks
from aezoo.training.batch import Batch

RNG = np.random.default_rng(0)
X = RNG.random((8, 6)).astype("float32")


# === Sample weights ===


def test_the_terms_of_a_weighted_batch():
    weight = np.array([0, 2, 1, 3], "float32")
    values = np.array([5.0, 1.0, 2.0, 4.0], "float32")
    batch = Batch.of(tf.ones((4, 3)), weight=weight)
    assert float(batch.mean(values)) == pytest.approx(16 / 4)
    assert float(batch.global_mean(values)) == pytest.approx(16 / 6)
    assert float(batch.per_replica(10.0)) == pytest.approx(10 * 6 / 4)  # as the mean of a constant
    assert float(batch.mean(np.full(4, 10.0))) == pytest.approx(10 * 6 / 4)
    assert float(batch.per_replica(10.0, weighted=False)) == 10
    assert float(batch.counted_size) == 3


@pytest.mark.parametrize(
    ("reduction", "divisor"), [("sum_over_batch_size", 4), ("sum", 1), ("mean_with_sample_weight", 6)]
)
def test_a_reduction_scales_every_term(reduction, divisor):
    weight = np.array([0, 2, 1, 3], "float32")
    batch = Batch.of(tf.ones((4, 3)), weight=weight, reduction=reduction)
    loss = keras.losses.MeanSquaredError(reduction=reduction)
    y = RNG.random((4, 3)).astype("float32")
    got = batch.mean(losses.per_sample(loss, batch.x, y, batch=batch)[0])
    assert float(got) == pytest.approx(float(loss(batch.x, y, weight)), rel=1e-6)
    assert float(batch.per_replica(1.0)) == pytest.approx(6 / divisor)


def test_a_batch_without_weight_has_terms_of_zero():
    for reduction in ("sum_over_batch_size", "sum", "mean_with_sample_weight"):
        batch = Batch.of(tf.ones((4, 3)), weight=np.zeros(4), reduction=reduction)
        for value in (batch.mean(np.ones(4)), batch.per_replica(1.0), batch.global_mean(np.ones(4))):
            assert float(value) == 0


SUMMED = {
    "vae": lambda **kw: aezoo.VAE(3, free_bits=0.5, seed=0, **kw),
    "iwae": lambda **kw: aezoo.VAE(3, importance_samples=2, seed=0, **kw),
    "sparse": lambda **kw: aezoo.SparseAE(3, seed=0, **kw),
    "linear": lambda **kw: aezoo.LinearAE(3, seed=0, **kw),
    "compressive": lambda **kw: aezoo.CompressiveAE(3, seed=0, **kw),
}


@pytest.mark.parametrize("name", SUMMED)
def test_a_summed_loss_sums_every_term(name):
    loss = losses.CrossEntropy if "vae" in name or name == "sparse" else losses.SquaredError
    values = []
    for options in ({}, {"reduction": "sum"}):
        model = SUMMED[name]()
        model.compile("sgd", loss(**options), run_eagerly=True)
        values.append(model.evaluate(X, verbose=0, return_dict=True))
    for term in SUMMED[name]().term_names:
        assert values[1][term] == pytest.approx(8 * values[0][term], rel=1e-5), term


def test_regularizers_of_keras_scale_as_in_keras():
    dense = layers.Dense(6, kernel_regularizer=keras.regularizers.L2(0.1))
    encoder, decoder = keras.Sequential([keras.Input((6,)), layers.Dense(2)]), keras.Sequential([dense])
    model = aezoo.Autoencoder(encoder=encoder, decoder=decoder)
    stock = keras.Sequential([encoder, decoder])
    weight = np.linspace(0, 5, 8, dtype="float32")
    for loss in ("mse", keras.losses.MeanSquaredError(reduction="sum")):
        results = []
        for each in (model, stock):
            each.compile("sgd", loss, run_eagerly=True)
            results.append(float(each.compute_loss(X, X, each(X), weight) if each is model else 0))
        expected = keras.losses.get(loss)
        value = expected(X, stock(X), weight) if not isinstance(loss, str) else np.mean(weight * expected(X, stock(X)))
        assert results[0] == pytest.approx(float(value + sum(stock.losses)), rel=1e-5)


def kept(model):
    return [v.numpy() for v in model.variables if not v.path.endswith(("state", "epoch"))]


def weighted_out(model, **options):
    model.compile("sgd", run_eagerly=True, **options)
    model.build((None, 6))
    model.initialize_from(X)
    before = kept(model)
    model.fit(X, sample_weight=np.zeros(8, "float32"), batch_size=8, verbose=0)
    return before, kept(model)


@pytest.mark.parametrize(
    "make",
    [
        lambda: aezoo.SparseAE(3),
        lambda: aezoo.LinearAE(3),
        lambda: aezoo.KSparseAE(8, k=2, aux_weight=1.0),
        lambda: aezoo.VAE(3, free_bits=1.0),
        lambda: aezoo.RBM(3, centering=True, persistent=True, weight_decay=0.1, sparsity_target=0.1),
    ],
    ids=["sparse", "linear", "k-sparse", "vae", "rbm"],
)
def test_a_batch_of_weight_zero_changes_nothing(make):
    before, after = weighted_out(make())
    for a, b in zip(before, after, strict=True):
        np.testing.assert_array_equal(a, b)


def test_samples_of_weight_zero_use_no_unit():
    model = aezoo.KSparseAE(6, k=1, tied=False, aux_weight=1.0, code_activation="linear")
    model.compile(keras.optimizers.SGD(0.0), run_eagerly=True)
    model.build((None, 6))
    model.encoder.layers[0].layers[-1].kernel.assign(np.eye(6))
    x = np.eye(6, dtype="float32")  # the i-th sample uses the i-th unit
    model.fit(x, sample_weight=np.array([1, 1, 0, 0, 1, 0], "float32"), batch_size=6, verbose=0)
    np.testing.assert_array_equal(model.samples_since_active, [0, 0, 3, 3, 0, 3])


# === One number for a batch ===


def of_batch(y, p):
    return keras.ops.mean(keras.ops.abs(y - p))


def disguised(y, p):
    return keras.ops.reshape(of_batch(y, p), (1,))


def over_the_batch(y, p):
    return keras.ops.mean(keras.ops.abs(y - p), axis=0)


SCALARS = {"scalar": of_batch, "(1,)": disguised, "(features,)": over_the_batch, "Keras": keras.losses.Dice()}


@pytest.mark.slow_cases("eager-scalar", "eager-(1,)", "eager-(features,)", "graph-scalar")
@pytest.mark.parametrize("name", SCALARS)
@pytest.mark.parametrize("eager", [True, False], ids=["eager", "graph"])
def test_a_loss_of_the_whole_batch_trains_but_does_not_score(name, eager):
    loss = SCALARS[name]
    model = aezoo.Autoencoder(2, seed=0)
    model.compile(keras.optimizers.SGD(0.0), loss, run_eagerly=eager)
    value = model.fit(X, batch_size=8, verbose=0).history["loss"][0]
    assert value == pytest.approx(float(np.mean(keras.losses.get(loss)(X, model(X)))), rel=1e-5)
    message = "returns one number for the whole batch, but scores and sample weights need one per sample"
    for call in (
        lambda: model.score_samples(X),
        lambda: model.fit(X, sample_weight=np.ones(8), verbose=0),
        lambda: aezoo.evaluation.anomaly_auroc(model, X, X),
        lambda: aezoo.evaluation.reconstruction_error(model, X),
    ):
        with pytest.raises(ValueError, match=message):
            call()
        if not eager:
            break


def test_a_loss_of_the_whole_batch_is_a_share_on_each_replica():
    with testing.two_replicas().scope():
        model = aezoo.Autoencoder(2, seed=0)
        model.compile(keras.optimizers.SGD(0.0), of_batch)
    value = model.evaluate(X[:6], batch_size=6, verbose=0, return_dict=True)["loss"]
    np.testing.assert_allclose(value, of_batch(X[:6], model(X[:6])), rtol=1e-5)


def test_a_loss_that_mixes_samples_and_features_stops_in_a_graph():
    model = aezoo.Autoencoder(2)
    model.compile("sgd", lambda y, p: keras.ops.reshape(keras.ops.abs(y - p), (-1,)))
    with pytest.raises(tf.errors.InvalidArgumentError, match="The loss does not return one number per sample"):
        model.fit(X, verbose=0)


def test_a_detector_says_so_before_it_trains(monkeypatch):
    model = aezoo.Autoencoder(2)
    model.compile("adam", of_batch)
    monkeypatch.setattr(aezoo.Autoencoder, "fit", lambda *args, **kwargs: pytest.fail("trained"))
    with pytest.raises(ValueError, match="one number for the whole batch"):
        aezoo.evaluation.AnomalyDetector(model, epochs=1).fit(X)


def test_a_detector_takes_functions_that_are_not_registered():
    model = aezoo.Autoencoder(2)
    model.compile(
        keras.optimizers.Adam(0.5),
        lambda y, p: keras.ops.mean(keras.ops.abs(y - p), axis=-1),
        metrics=[lambda y, p: keras.ops.mean(y - p, axis=-1), keras.metrics.MeanSquaredError()],
        run_eagerly=True,
    )
    detector = aezoo.evaluation.AnomalyDetector(model, epochs=1, false_positive_rate=0.5, random_state=0).fit(X)
    assert detector.predict(X).shape == (8,)
    assert float(detector.model_.optimizer.learning_rate) == 0.5
    assert detector.model_.optimizer is not model.optimizer


def test_an_export_leaves_out_scores_that_there_are_not(tmp_path):
    model = aezoo.Autoencoder(2)
    model.compile("adam", of_batch)
    model.build((None, 6))
    with pytest.warns(UserWarning, match="exported without the signature 'score'. The loss 'of_batch' returns one"):
        model.export(tmp_path / "1")
    assert set(tf.saved_model.load(tmp_path / "1").signatures) == {"serving_default", "encode", "decode"}


# === Logits ===


def functional():
    z = keras.Input((2,))
    p = keras.ops.sigmoid(layers.Dense(6, use_bias=False)(z))
    return keras.Model(z, keras.ops.reshape(p, (-1, 3, 2)))


DECODERS = {
    "last": lambda: [layers.Dense(6, "sigmoid", use_bias=False)],
    "layer": lambda: [layers.Dense(6, use_bias=False), layers.Activation("sigmoid")],
    "reshape": lambda: [layers.Dense(6, "sigmoid", use_bias=False), layers.Reshape((3, 2))],
    "nested": lambda: [
        keras.Sequential([layers.Dense(6, "sigmoid", use_bias=False), layers.Reshape((3, 2))]),
        layers.Permute((2, 1)),
        layers.Flatten(),
        layers.Activation("linear"),
    ],
    "functional": lambda: [functional()],
}


# Which tensor comes before the activation is the same in a graph, eagerly and in XLA.
SLOW = [(execution, name) for execution in ("graph", "xla") for name in DECODERS if name != "last"]


@pytest.mark.slow_cases("xla-last")
@pytest.mark.parametrize(
    ("execution", "name"),
    [
        pytest.param(*each, marks=pytest.mark.slow if each in SLOW else (), id="-".join(each))
        for each in itertools.product(["eager", "graph", "xla"], DECODERS)
    ],
)
def test_a_confidently_wrong_pixel_recovers(name, execution):
    decoder = keras.Sequential([keras.Input((2,)), *DECODERS[name]()])
    shape = decoder.output_shape[1:]
    encoder = keras.Sequential([keras.Input(shape), layers.Flatten(), layers.Dense(2, use_bias=False)])
    config = decoder.get_config()
    model = aezoo.DenoisingAE(corruption=0.0, encoder=encoder, decoder=decoder, emphasis=(1.0, 1.0))
    model.build((None, *shape))
    assert model.decoder is decoder
    assert decoder.get_config() == config
    assert isinstance(model.default_loss, losses.CrossEntropy)
    model.compile(keras.optimizers.SGD(1.0), run_eagerly=execution == "eager", jit_compile=execution == "xla")
    kernel = decoder.trainable_variables[0]
    kernel.assign([[17.0] * 6] * 2)
    encoder.trainable_variables[0].assign(np.full((6, 2), 1 / 12))  # z = (½, ½) for x = 1: every logit is 17
    x = np.ones((1, *shape), "float32")
    history = model.fit(x, 0 * x, verbose=0).history
    assert history["loss"][0] == pytest.approx(6 * 17, rel=1e-6)
    np.testing.assert_allclose(kernel, 17 - 0.5, rtol=1e-5)  # dL/dlogit = 1


def test_cross_entropy_of_logits_is_exact():
    logits = np.array([[-90.0, -17.0, -3.0, 0.0, 2.0, 16.0, 90.0]], "float32")
    p = keras.Sequential([keras.Input((7,)), layers.Activation("sigmoid")])
    networks.carry_logits(p)
    for target in (0.0, 0.3, 1.0):
        a = tf.constant(logits)
        with tf.GradientTape() as tape:
            tape.watch(a)
            value = losses.CrossEntropy().call(np.full_like(logits, target), p(a))
        exact = np.logaddexp(0, logits.astype("float64")) - target * logits
        assert float(value[0]) == pytest.approx(exact.sum(), rel=1e-6)
        np.testing.assert_allclose(
            tape.gradient(value, a), 1 / (1 + np.exp(-logits.astype("float64"))) - target, 1e-5, 1e-30
        )


def test_logits_of_a_softmax_are_not_those_of_a_sigmoid():
    network = keras.Sequential([keras.Input((3,)), layers.Activation("softmax"), layers.Reshape((3, 1))])
    networks.carry_logits(network)
    p, y = network(RNG.normal(size=(4, 3))), RNG.random((4, 3, 1)).astype("float32")
    expected = -np.sum(y * np.log(p) + (1 - y) * np.log(1 - p), axis=(1, 2))
    np.testing.assert_allclose(losses.CrossEntropy().call(y, p), expected, rtol=1e-5)


def test_half_precision_keeps_its_logits():
    layer = layers.Dense(1, "sigmoid", kernel_initializer="ones", dtype="mixed_float16")
    decoder = keras.Sequential([keras.Input((1,)), layer, layers.Reshape((1, 1), dtype="mixed_float16")])
    networks.carry_logits(decoder)
    value = losses.per_sample(
        losses.CrossEntropy(), np.zeros((1, 1, 1), "float32"), decoder(np.full((1, 1), 17.0, "float16"))
    )[0]
    assert value.dtype == "float32"
    assert float(value[0]) == pytest.approx(17)
    binary = losses.per_sample(
        "binary_crossentropy", np.zeros((1, 1, 1), "float32"), decoder(np.full((1, 1), 17.0, "float16"))
    )
    assert float(binary[0][0]) == pytest.approx(17)


def test_the_gradient_of_a_saturated_unit_draws_it_back():
    model = aezoo.SparseAE(2, target=0.1, weight=1.0)
    model.build((None, 3))
    model.encoder.layers[-1].bias.assign([30.0, -95.0])
    with tf.GradientTape() as tape:
        batch = Batch.of(np.zeros((4, 3), "float32"))
        penalty = model.penalties(batch, model.forward(batch, training=True))["sparsity"]
    gradient = tape.gradient(penalty, model.encoder.layers[-1].bias)
    assert float(gradient[0]) == pytest.approx(0.9, rel=1e-5)  # d/da -(1-ρ) log σ(-a)
    assert np.isfinite(penalty)
    kl = 0.1 * np.log(0.1) + 0.9 * (np.log(0.9) + 30)
    model.encoder.layers[-1].bias.assign([30.0, 30.0])
    penalty = model.penalties(batch, model.forward(batch, training=True))["sparsity"]
    assert float(penalty) == pytest.approx(2 * kl, rel=1e-5)


# === Masks ===


def padded(n=12, steps=6):
    x = RNG.random((n, steps, 3)).astype("float32") + 0.1
    for i in range(n):
        x[i, 2 + i % 4 :] = 0
    return x


@pytest.fixture
def networks_with_a_mask():
    keras.utils.set_random_seed(0)
    encoder = [keras.Input((6, 3)), layers.Masking(0.0), layers.SimpleRNN(4, return_sequences=True)]
    decoder = [keras.Input((6, 4)), layers.SimpleRNN(5, return_sequences=True), layers.Dense(3)]
    networks = keras.Sequential(encoder), keras.Sequential(decoder)
    for network in networks:
        network.supports_masking = True  # it does; Keras warns that it does not
    return networks


@pytest.mark.slow_cases("loss1")
@pytest.mark.parametrize("loss", ["mse", keras.losses.Huber(0.2), keras.losses.MeanSquaredError(reduction="sum")])
def test_a_mask_counts_as_in_keras(networks_with_a_mask, loss):
    x = padded()
    stock, model = (
        keras.Sequential(networks_with_a_mask),
        aezoo.Autoencoder(None, **dict(zip(("encoder", "decoder"), networks_with_a_mask, strict=True))),
    )
    stock.supports_masking = True
    start = [v.numpy() for v in stock.trainable_variables]
    results, weights = [], []
    for each in (stock, model):
        for variable, value in zip(each.trainable_variables, start, strict=True):
            variable.assign(value)
        each.compile(keras.optimizers.SGD(0.01), loss, metrics=["mse"], run_eagerly=True)
        results.append(each.evaluate(x, x, batch_size=12, verbose=0, return_dict=True))
        each.fit(x, x, batch_size=12, verbose=0)
        weights.append([v.numpy() for v in each.trainable_variables])
    for name, value in results[0].items():
        assert results[1][name] == pytest.approx(value, rel=1e-5), name
    for a, b in zip(*weights, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7)


def test_scores_are_means_over_the_steps_of_a_sample(networks_with_a_mask):
    encoder, decoder = networks_with_a_mask
    model = aezoo.Autoencoder(encoder=encoder, decoder=decoder)
    x = padded()
    lengths = [2 + i % 4 for i in range(12)]
    for loss, reduce in (("mse", np.mean), (losses.SquaredError(), np.sum)):
        model.compile("sgd", loss, run_eagerly=True)
        squared = np.square(x - model(x))
        expected = [reduce(squared[i, : lengths[i]]) for i in range(12)]
        np.testing.assert_allclose(model.score_samples(x), expected, rtol=1e-5)
    value = model.evaluate(x, batch_size=12, verbose=0, return_dict=True)["loss"]
    assert value == pytest.approx(np.mean(expected), rel=1e-5)  # of a sum over features, the mean over samples


def test_a_loss_that_averages_over_masked_steps_is_refused(networks_with_a_mask):
    encoder, decoder = networks_with_a_mask
    model = aezoo.Autoencoder(encoder=encoder, decoder=decoder)
    model.compile("sgd", lambda y, p: keras.ops.mean(keras.ops.abs(y - p), axis=(1, 2)))
    with pytest.raises(ValueError, match="averages over the steps of a sample, including steps that the model's mask"):
        model.score_samples(padded())


# === Weights of features ===


@pytest.mark.parametrize("loss", ["kl_divergence", "categorical_crossentropy", keras.losses.CosineSimilarity()])
def test_emphasis_needs_a_loss_of_single_features(loss):
    model = aezoo.DenoisingAE(2, emphasis=(1.0, 1.0))
    model.compile("sgd", loss, run_eagerly=True)
    with pytest.raises(ValueError, match="is not a mean of single features' errors"):
        model.fit(X, verbose=0)


@pytest.mark.parametrize("loss", ["mse", "mae", "msle", "poisson", "log_cosh", "binary_focal_crossentropy"])
def test_emphasis_of_one_changes_nothing(loss):
    values = []
    for emphasis in (None, (1.0, 1.0)):
        model = aezoo.DenoisingAE(2, emphasis=emphasis, seed=0)
        model.compile("sgd", loss, run_eagerly=True)
        values.append(model.fit(X, batch_size=8, shuffle=False, verbose=0).history["loss"][0])
    assert values[0] == pytest.approx(values[1], rel=1e-5)


@pytest.mark.parametrize("eager", [True, False])
def test_a_term_is_a_single_number(eager):
    class PerSample(aezoo.Autoencoder):
        term_names = ("reconstruction", "size")

        def penalties(self, batch, forward):
            return {"size": keras.ops.sum(keras.ops.square(forward.code), axis=-1)}

    model = PerSample(2)
    model.compile("sgd", run_eagerly=eager)
    with pytest.raises(ValueError, match=r"'size' of PerSample has shape .* must be a single number: take"):
        model.fit(X, verbose=0)
