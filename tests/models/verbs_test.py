"""The verbs on data of any length and form: one graph for each, whatever the size of a batch."""

import concurrent.futures
import threading
import types

import keras
import numpy as np
import pytest
import scipy.sparse
import tensorflow as tf

import aezoo
from aezoo.training import inference

RNG = np.random.default_rng(0)
X = RNG.random((23, 6, 6, 1), "float32")
LABELS = np.arange(23) % 3
NONE = types.MappingProxyType({})


def built(model, **compiled):
    model.build_for(X)
    model.compile("sgd", **compiled)
    return model


MODELS = {
    "dense": lambda: aezoo.Autoencoder(4, hidden_dims=(8,), seed=0),
    "convolutional": lambda: aezoo.Autoencoder(4, filters=(3,), seed=0),
    "k-sparse": lambda: aezoo.KSparseAE(12, k=3, seed=0),
    "vae": lambda: aezoo.VAE(3, hidden_dims=(8,), seed=0),
    "rbm": lambda: aezoo.RBM(5, kernel_stddev=0.3, seed=0),
    "compressive": lambda: aezoo.CompressiveAE(3, seed=0),
    "in space": lambda: aezoo.CompressiveAE(3, spatial=True, filters=(), seed=0),
    "half precision": lambda: aezoo.Autoencoder(4, dtype="mixed_float16", seed=0),
    "bfloat16": lambda: aezoo.Autoencoder(4, dtype="mixed_bfloat16", seed=0),
    "missing": lambda: aezoo.Autoencoder(4, missing="mask", seed=0),
}


@pytest.fixture(scope="module")
def models():
    return {name: built(make()) for name, make in MODELS.items()}


def eager(model, verb, x):
    """What a verb is by definition, in one piece and without a graph."""
    x = tf.constant(x)
    if verb == "decode":
        return model.run_decoder(x)
    return {"encode": model._encode, "reconstruct": model._reconstruct, "score_samples": model._score}[verb](x, {})


def inputs(model, verb):
    return np.asarray(model.encode(X), "float32") if verb == "decode" else X


VERBS = ("encode", "decode", "reconstruct", "score_samples")


@pytest.mark.slow_cases("bfloat16", "convolutional")
@pytest.mark.parametrize("name", MODELS)
def test_a_verb_gives_what_the_networks_give_whatever_the_batch(models, name):
    model = models[name]
    # Products of halves are rounded to a few digits, in an order that depends on the batch.
    close = {"rtol": 5e-2, "atol": 5e-2} if "mixed" in model.dtype_policy.name else {"rtol": 1e-5, "atol": 1e-5}
    for verb in VERBS:
        x = inputs(model, verb)
        call, expected = getattr(model, verb), np.asarray(eager(model, verb, x), "float32")
        assert tf.is_tensor(call(x))
        forms = {
            "an array": call(x),
            "batches of 5": call(x, batch_size=5),
            "single": tf.concat([call(x[i : i + 1]) for i in range(len(x))], 0),
            "a tensor": call(tf.constant(x), batch_size=5),
            "a data set": call(tf.data.Dataset.from_tensor_slices(x).batch(7)),
            "a data set, cut": call(tf.data.Dataset.from_tensor_slices(x).batch(7), batch_size=3),
            "a generator": call(x[i : i + 9] for i in (0, 9, 18)),
            "double precision": call(x.astype("float64"), batch_size=8),
        }
        for form, got in forms.items():
            np.testing.assert_allclose(np.asarray(got, "float32"), expected, **close, err_msg=f"{verb} of {form}")


def test_other_forms(models):
    model, flat = models["dense"], built_flat()
    expected = model.encode(X)

    class Batches(keras.utils.PyDataset):
        def __len__(self):
            return 3

        def __getitem__(self, index):
            return X[9 * index : 9 * index + 9], X[9 * index : 9 * index + 9]

    np.testing.assert_allclose(model.encode(Batches()), expected, rtol=1e-5, atol=1e-6)
    pairs = tf.data.Dataset.from_tensor_slices((X, X)).batch(10)
    np.testing.assert_allclose(model.encode(pairs), expected, rtol=1e-5, atol=1e-6)
    rows = X.reshape(23, 36)
    for sparse in (scipy.sparse.csr_matrix(rows), scipy.sparse.coo_matrix(rows), tf.sparse.from_dense(rows)):
        np.testing.assert_allclose(flat.encode(sparse, batch_size=4), flat.encode(rows), rtol=1e-5, atol=1e-6)


def built_flat():
    model = aezoo.Autoencoder(4, seed=0)
    model.build((None, 36))
    return model


@pytest.mark.parametrize("name", ["dense", "convolutional", "rbm"])
def test_no_samples(models, name):
    model = models[name]
    assert model.encode(X[:0]).shape == (0, *model.code_shape)
    assert model.reconstruct(X[:0]).shape == (0, 6, 6, 1)
    assert model.decode(np.zeros((0, *model.code_shape), "float32")).shape == (0, 6, 6, 1)
    assert model.score_samples(X[:0]).shape == (0,)


def test_long_results_are_put_together_in_place(monkeypatch):
    model = built(aezoo.Autoencoder(4, seed=0))
    expected = np.asarray(model.reconstruct(X))
    monkeypatch.setattr(inference, "_IN_PLACE", 0)
    monkeypatch.setattr(tf, "concat", lambda *args, **kwargs: pytest.fail("it is not put together in place"))
    data = tf.data.Dataset.from_tensor_slices(X).batch(4)
    for got in (model.reconstruct(X, batch_size=4), model.reconstruct(data)):
        assert got.shape == (23, 6, 6, 1) and got.dtype == tf.float32
        np.testing.assert_allclose(got, expected, rtol=1e-6)
        np.testing.assert_allclose(tf.reduce_sum(got * 2.0), 2 * expected.sum(), rtol=1e-5)  # an ordinary tensor


# === Graphs ===


class Counting(aezoo.Autoencoder):
    """Counts how often Python runs its networks."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.calls = []

    def run_encoder(self, x, conditions=NONE, training=False):
        self.calls.append("encoder")
        return super().run_encoder(x, conditions, training)

    def run_decoder(self, z, conditions=NONE, training=False):
        self.calls.append("decoder")
        return super().run_decoder(z, conditions, training)


def use_all(model):
    z = np.asarray(model.encode(X))
    for size in (1, 2, 23):
        model.encode(X[:size])
        model.decode(z[:size])
        model.reconstruct(X[:size])
        model.score_samples(X[:size])
    model.reconstruct(X, batch_size=3)
    model.encode(X.astype("float64"))
    model.encode(tf.data.Dataset.from_tensor_slices(X).batch(5))
    model.decode(tf.data.Dataset.from_tensor_slices(z).batch(5))
    return sorted(model.calls)


ONCE = sorted(["encoder", "decoder", "encoder", "decoder", "encoder", "decoder"])  # encode, decode, and two with both


def test_a_verb_is_traced_once():
    model = built(Counting(4, seed=0))
    assert use_all(model) == ONCE
    use_all(model)
    assert sorted(model.calls) == ONCE
    model.compile("sgd", loss="mae")  # which may change what scores mean
    assert use_all(model) == sorted(2 * ONCE)


def test_training_needs_no_new_graph_and_is_seen():
    model = built(Counting(4, seed=0))
    before = np.asarray(model.score_samples(X))
    model.fit(X, epochs=3, verbose=0)
    model.calls.clear()
    after = np.asarray(model.score_samples(X))
    assert not model.calls and np.all(after != before)
    np.testing.assert_allclose(after, eager(model, "score_samples", X), rtol=1e-5)


def test_a_new_loss_is_the_score_from_then_on():
    model = built(aezoo.Autoencoder(4, seed=0))
    difference = (X - np.asarray(model.reconstruct(X))).reshape(23, -1)
    np.testing.assert_allclose(model.score_samples(X), np.sum(difference**2, axis=1), rtol=1e-5)
    model.compile("sgd", loss="mae")
    np.testing.assert_allclose(model.score_samples(X), np.mean(np.abs(difference), axis=1), rtol=1e-5)
    model.compile("sgd")
    np.testing.assert_allclose(model.score_samples(X), np.sum(difference**2, axis=1), rtol=1e-5)


@pytest.mark.filterwarnings("ignore:Layer .* does not have a `quantize` method")
def test_quantized_kernels_are_used_from_then_on():
    model = built(aezoo.Autoencoder(4, hidden_dims=(16,), seed=0))
    before, _ = np.asarray(model.encode(X)), model.predict(X, verbose=0)
    model.quantize("int8")
    after = np.asarray(model.encode(X))
    assert 0 < np.abs(after - before).max() < 0.1
    np.testing.assert_allclose(after, eager(model, "encode", X), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(model.predict(X, verbose=0), model.reconstruct(X), rtol=1e-4, atol=1e-5)


def test_eager_execution_makes_no_graph():
    model = built(Counting(4, seed=0), run_eagerly=True)
    seen = []
    network = model.encoder
    model.encoder.call = lambda x, *args, call=network.call, **kwargs: seen.append(x) or call(x, *args, **kwargs)
    model.encode(X, batch_size=10)
    assert [len(x) for x in seen] == [10, 10, 3] and not any(map(tf.is_symbolic_tensor, seen))
    model.run_eagerly = False
    model.encode(X)
    model.encode(X)
    assert len(seen) == 4 and tf.is_symbolic_tensor(seen[-1])
    tf.config.run_functions_eagerly(True)
    try:
        model.encode(X)
    finally:
        tf.config.run_functions_eagerly(False)
    assert len(seen) == 5 and not tf.is_symbolic_tensor(seen[-1])


@pytest.mark.slow
def test_in_a_graph_the_networks_are_called_as_they_are(models):
    model = models["dense"]
    data = tf.data.Dataset.from_tensor_slices(X).batch(5)
    codes = np.concatenate([np.asarray(z) for z in data.map(model.encode)])
    np.testing.assert_allclose(codes, model.encode(X), rtol=1e-5, atol=1e-6)
    scores = np.concatenate([np.asarray(s) for s in data.map(model.score_samples)])
    np.testing.assert_allclose(scores, model.score_samples(X), rtol=1e-5)
    constant = tf.function(lambda: model.encode(X))()
    np.testing.assert_allclose(constant, model.encode(X), rtol=1e-5, atol=1e-6)
    inputs = keras.Input((6, 6, 1))
    stock = keras.Model(inputs, [model.encode(inputs), model.reconstruct(inputs)])
    for got, expected in zip(stock.predict(X, verbose=0), (model.encode(X), model.reconstruct(X)), strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-6)


def test_gradients_go_through_verbs_of_tensors(models):
    model, x = models["dense"], tf.constant(X)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(x)
        values = [
            tf.reduce_sum(model.score_samples(x)),
            tf.reduce_sum(model.score_samples(x, batch_size=5)),
            tf.reduce_sum(model._score(x, {})),
        ]
    variables = [x, *model.trainable_variables[:2]]
    whole, pieces, expected = (tape.gradient(value, variables) for value in values)
    for a, b, c in zip(whole, pieces, expected, strict=True):
        np.testing.assert_allclose(a, c, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(b, c, rtol=1e-4, atol=1e-5)


def test_the_marks_of_layers_outlive_a_graph(models):
    """A cross-entropy is computed from the logits, where the sigmoid has no digits left."""
    model = built(aezoo.Autoencoder(4, seed=0))
    last = [layer for layer in model.decoder.layers if hasattr(layer, "kernel")][-1]
    last.bias.assign(np.full(36, 60.0))
    error = aezoo.losses.CrossEntropy()(np.zeros_like(X), model.reconstruct(X))
    assert float(error) == pytest.approx(36 * 60, rel=0.1)
    zeros = aezoo.evaluation.reconstruction_error(model, np.zeros_like(X), aezoo.losses.CrossEntropy())
    assert np.all(zeros > 36 * 50)


@pytest.mark.filterwarnings("ignore:Layer 'sequential")  # Keras: a Sequential around it takes no mask
def test_a_code_with_a_mask_is_decoded_with_it():
    layers = keras.layers
    sequence = [keras.Input((6, 3)), layers.Masking(0.0), layers.SimpleRNN(4, return_sequences=True)]
    back = [keras.Input((6, 4)), layers.SimpleRNN(5, return_sequences=True, go_backwards=True), layers.Dense(3)]
    model = aezoo.Autoencoder(encoder=keras.Sequential(sequence), decoder=keras.Sequential(back))
    x = RNG.random((5, 6, 3), "float32")
    x[:, 4:] = 0
    model.build(x.shape)
    np.testing.assert_allclose(model.decode(model.encode(x)), model(x), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(model.reconstruct(x), model(x), rtol=1e-5, atol=1e-6)


# === A user's own class ===


class Twice(aezoo.Autoencoder):
    def encode(self, x):
        return 2 * super().encode(x)

    def scores(self, x, *, observed=None, **conditions):
        return keras.ops.sum(self.encode(x), axis=-1)

    def features(self, x, training=False, **conditions):
        return super().features(x, training, **conditions)


def test_a_class_with_verbs_and_hooks_of_its_own(tmp_path):
    model, plain = built(Twice(4, seed=0)), built(aezoo.Autoencoder(4, seed=0))
    z = 2 * np.asarray(plain.encode(X))
    np.testing.assert_allclose(model.encode(X), z, rtol=1e-6)
    np.testing.assert_allclose(model.score_samples(X, batch_size=4), z.sum(axis=1), rtol=1e-5)
    np.testing.assert_allclose(model.reconstruct(X), plain.reconstruct(X), rtol=1e-5)
    assert aezoo.evaluation.anomaly_auroc(model, X[:9], X[9:]) == pytest.approx(
        np.mean(z[9:].sum(axis=1)[:, None] > z[:9].sum(axis=1)), abs=1e-6
    )
    assert aezoo.evaluation.report(model, X)["score"] == pytest.approx(z.sum(axis=1).mean(), rel=1e-5)
    model.export(tmp_path / "1")
    served = tf.saved_model.load(tmp_path / "1").signatures["encode"](x=tf.constant(X))["code"]
    np.testing.assert_allclose(served, z, rtol=1e-5, atol=1e-6)


def test_errors_are_those_of_the_hook():
    class Broken(aezoo.Autoencoder):
        def scores(self, x, **unused):
            raise ValueError("of the user's own")

    model = built(Broken(4))
    for _ in range(2):
        with pytest.raises(ValueError, match=r"^of the user's own$"):
            model.score_samples(X)
    model = built(aezoo.Autoencoder(4), loss=lambda y, p: keras.ops.mean(y - p))
    with pytest.raises(aezoo.losses.NoScores, match="one number for the whole batch") as error:
        model.score_samples(X)
    assert "\n" not in str(error.value)


# === Conditions ===


@pytest.fixture(scope="module")
def conditional():
    model = aezoo.ConditionalVAE(3, num_classes=3, hidden_dims=(8,), seed=0)
    model.compile("sgd")
    model.build_for({"x": X, "label": LABELS})
    return model


def test_conditions_come_with_the_data_or_by_name(conditional):
    model, slices = conditional, tf.data.Dataset.from_tensor_slices
    expected = np.asarray(model._encode(tf.constant(X), {"label": tf.constant(LABELS, "int32")}))
    by_name = model.encode(X, label=LABELS, batch_size=6)
    forms = {
        "by name": by_name,
        "a dict": model.encode({"x": X, "label": LABELS}),
        "a data set of dicts": model.encode(slices({"x": X, "label": LABELS}).batch(5)),
        "a data set of pairs": model.encode(slices((X, LABELS)).batch(5)),
        "a generator": model.encode((X[i : i + 9], LABELS[i : i + 9]) for i in (0, 9, 18)),
    }
    for form, got in forms.items():
        np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-6, err_msg=form)
    one = model.encode(X, label=np.ones(23, int))
    np.testing.assert_allclose(model.encode(X, label=1, batch_size=4), one, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(model.encode(slices(X).batch(5), label=1), one, rtol=1e-5, atol=1e-6)
    assert not np.allclose(one, expected)
    x_hat = np.asarray(model.decode(by_name, label=LABELS))
    np.testing.assert_allclose(model.reconstruct({"x": X, "label": LABELS}), x_hat, rtol=1e-5, atol=1e-6)
    codes = np.asarray(by_name)
    for elements in ((codes, LABELS), {"z": codes, "label": LABELS}):
        np.testing.assert_allclose(model.decode(slices(elements).batch(5)), x_hat, rtol=1e-5, atol=1e-6)
    scores = model.score_samples(X, label=LABELS)
    np.testing.assert_allclose(model.score_samples(slices((X, LABELS)).batch(5)), scores, rtol=1e-5)


def test_what_is_wrong_with_conditions_is_said(conditional):
    slices = tf.data.Dataset.from_tensor_slices
    for x, given, message in (
        (X, {}, "needs label=..., or samples as a dict"),
        (slices(X).batch(5), {}, "needs 'label' beside the samples"),
        (X, {"label": LABELS[:5]}, "There are 23 samples, but 5 entries of label"),
        (X, {"label": 3}, r"label must be in \[0, 2\]"),
        (slices((X, LABELS + 1)).batch(23), {}, r"label must be in \[0, 2\]"),
        ({"x": X, "label": LABELS}, {"label": LABELS}, "Give conditions once"),
    ):
        with pytest.raises(ValueError, match=message) as error:
            conditional.encode(x, **given)
        assert "\n" not in str(error.value)


@pytest.mark.slow
def test_measures_and_plots_take_conditions(conditional):
    model, pairs = conditional, tf.data.Dataset.from_tensor_slices((X, LABELS)).batch(5)
    evaluation, plots = aezoo.evaluation, aezoo.plots
    both = {"x": X, "label": LABELS}
    error = evaluation.reconstruction_error(model, X, label=LABELS)
    np.testing.assert_allclose(evaluation.reconstruction_error(model, both, batch_size=4), error, rtol=1e-5)
    np.testing.assert_allclose(evaluation.reconstruction_error(model, pairs), error, rtol=1e-5)
    share = evaluation.explained_variance(model, both)
    assert evaluation.explained_variance(model, pairs) == pytest.approx(share, rel=1e-5)
    norm = evaluation.jacobian_norm(model, both, batch_size=4)
    np.testing.assert_allclose(evaluation.jacobian_norm(model, pairs), norm, rtol=1e-5)
    label, step = {"label": tf.constant(LABELS, "int32")}, tf.constant(1e-3 * RNG.normal(size=X.shape), "float32")
    moved = np.linalg.norm(model._encode(X + step, label) - model._encode(X - step, label), axis=1) / 2
    assert norm.shape == (23,) and np.all(norm * np.linalg.norm(tf.reshape(step, (23, -1)), axis=1) >= moved)
    auroc = evaluation.anomaly_auroc(model, both, {"x": 1 - X, "label": LABELS})
    assert evaluation.anomaly_auroc(model, pairs, {"x": 1 - X, "label": LABELS}) == auroc
    tables = [evaluation.report(model, (data, LABELS), anomalies=both) for data in (both, pairs)]
    of_arrays, of_pairs = ({k: v for k, v in dict(table).items() if v is not None} for table in tables)
    assert of_arrays == pytest.approx(of_pairs, rel=1e-5)
    assert tables[0]["explained_variance"] == pytest.approx(share, rel=1e-5)
    attribute = evaluation.attribute_vector(model, X[:9], X[9:], label=1)
    codes = np.asarray(model.encode(X, label=1))
    np.testing.assert_allclose(attribute, codes[:9].mean(axis=0) - codes[9:].mean(axis=0), rtol=1e-4, atol=1e-6)
    for figure in (
        plots.reconstructions(model, both, n=4),
        plots.reconstructions(model, pairs, n=7),
        plots.reconstructions(model, X, n=4, label=LABELS),
        plots.interpolation(model, X[:2], X[2:4], steps=3, label=[0, 1]),
    ):
        assert figure.axes
    plane = aezoo.ConditionalVAE(2, num_classes=3, seed=0)
    plane.build_for(both)
    assert plots.manifold(plane, n=3, label=2).axes and plots.manifold(plane, n=3, x=pairs, label=2).axes


def test_a_detector_takes_what_score_samples_takes():
    model = aezoo.ConditionalVAE(2, num_classes=3, seed=0)
    model.compile("adam", run_eagerly=True)
    arguments = {"false_positive_rate": 0.3, "calibration_fraction": 0.5, "epochs": 1, "random_state": 0}
    data = {"x": X, "label": LABELS}
    pairs = tf.data.Dataset.from_tensor_slices((X, LABELS)).batch(5)
    detectors = [aezoo.evaluation.AnomalyDetector(model, **arguments).fit(each) for each in (data, pairs)]
    assert not model.built
    scores = [detector.score_samples(data) for detector in detectors]
    np.testing.assert_array_equal(scores[0], scores[1])
    np.testing.assert_allclose(scores[0], detectors[0].score_samples(pairs), rtol=1e-6)
    np.testing.assert_allclose(scores[0], -np.asarray(detectors[0].model_.score_samples(data)), rtol=1e-5)
    np.testing.assert_array_equal(np.sign(scores[0] - detectors[0].offset_) >= 0, detectors[0].predict(data) == 1)
    holes = X.reshape(23, 36).copy()
    holes[RNG.random(holes.shape) < 0.2] = np.nan
    masked = aezoo.Autoencoder(2, missing="mask", seed=0)
    masked.compile("adam", run_eagerly=True)
    detector = aezoo.evaluation.AnomalyDetector(masked, **arguments).fit(holes)
    assert np.isfinite(detector.score_samples(holes)).all()


# === Targets of another shape ===


def test_errors_against_targets_of_another_shape():
    y = RNG.random((23, 3, 3, 1), "float32")
    encoder = keras.Sequential([keras.Input((6, 6, 1)), keras.layers.Flatten(), keras.layers.Dense(4)])
    decoder = keras.Sequential([keras.Input((4,)), keras.layers.Dense(9), keras.layers.Reshape((3, 3, 1))])
    model = aezoo.Autoencoder(encoder=encoder, decoder=decoder)
    model.compile("sgd")
    model.build_for(X, y)
    evaluation = aezoo.evaluation
    expected = np.sum((y - np.asarray(model.reconstruct(X, batch_size=4))) ** 2, axis=(1, 2, 3))
    np.testing.assert_allclose(evaluation.reconstruction_error(model, X, y=y, batch_size=4), expected, rtol=1e-5)
    pairs = tf.data.Dataset.from_tensor_slices((X, y)).batch(5)
    np.testing.assert_allclose(evaluation.reconstruction_error(model, pairs), expected, rtol=1e-5)
    share = 1 - expected.sum() / np.sum((y - y.mean(axis=0)) ** 2)
    assert evaluation.explained_variance(model, X, y=y) == pytest.approx(share, rel=1e-5)
    with pytest.raises(
        ValueError, match=r"have shape \(3, 3, 1\), but the samples have shape .*: give the targets, y="
    ):
        evaluation.reconstruction_error(model, X)
    with pytest.raises(ValueError, match="no score of samples alone"):
        model.score_samples(X)
    with pytest.raises(ValueError, match="targets of shape"):
        evaluation.reconstruction_error(model, X, y=y[:5])
    with pytest.raises(ValueError, match="leave out y"):
        evaluation.reconstruction_error(model, pairs, y=y)
    table = evaluation.report(model, X)
    assert table["reconstruction_error"] is None and table["score"] is None and table["l0"] == 4


def test_errors_of_samples_with_missing_values(models):
    model, x = models["missing"], X.copy()
    observed = RNG.random(x.shape) < 0.8
    x[~observed] = np.nan
    difference = np.where(observed, X - np.asarray(model.reconstruct(x)), 0)
    error = aezoo.evaluation.reconstruction_error(model, x, batch_size=7)
    np.testing.assert_allclose(error, np.sum(difference**2, axis=(1, 2, 3)), rtol=1e-5)
    np.testing.assert_allclose(model.score_samples(x), error, rtol=1e-5)
    spread = np.nansum((x - np.nanmean(x, axis=0)) ** 2)
    share = aezoo.evaluation.explained_variance(model, x, batch_size=7)
    assert share == pytest.approx(1 - error.sum() / spread, rel=1e-4)
    table = aezoo.evaluation.report(model, (x, LABELS))
    assert table["mean_squared_error"] == pytest.approx(np.sum(difference**2) / observed.sum(), rel=1e-5)
    assert table["pca_explained_variance"] is None and "missing values" in str(table)
    assert np.isfinite(aezoo.evaluation.jacobian_norm(model, x)).all()


# === What is refused ===


def test_data_that_cannot_be_taken(models):
    model, slices = models["dense"], tf.data.Dataset.from_tensor_slices
    bad = X.copy()
    bad[-1, 0, 0] = np.nan
    for data, message in (
        (slices(X).batch(5).repeat(), "is infinite: give a part of it"),
        (slices(X[:0]).batch(5), "is empty"),
        (iter(()), "is empty"),
        (slices(bad).batch(5), "NaN or infinite"),
        ((each for each in (X[:9], bad[9:])), "NaN or infinite"),
        (slices((X * 255).astype("uint8")).batch(5), "not floating-point"),
        (slices((X, LABELS)).batch(5), r"leave them out: aezoo\.datasets\.without_labels"),
        (slices({"image": X}).batch(5), "select the samples"),
        (slices(X[:, :5]).batch(5), "was built for"),
        (bad, "NaN or infinite"),
    ):
        with pytest.raises(ValueError, match=message) as error:
            model.encode(data)
        assert "\n" not in str(error.value)
    for size in (0, 2.5, True):
        with pytest.raises(ValueError, match="batch_size must be"):
            model.encode(X, batch_size=size)
    with pytest.raises(ValueError, match="The codes have shape"):
        model.decode(slices(np.zeros((4, 3), "float32")).batch(2))
    with pytest.raises(ValueError, match="no weights yet"):
        aezoo.Autoencoder(4).decode(slices(np.zeros((4, 3), "float32")).batch(2))


def test_batches_of_several_sizes_are_no_one_array(models):
    model = models["in space"]
    data = [X, np.zeros((2, 8, 8, 1), "float32")]
    with pytest.raises(ValueError, match=r"results of different shapes, \(3, 3, 3\) and \(4, 4, 3\)"):
        model.encode(each for each in data)
    for each in data:
        np.testing.assert_allclose(model.reconstruct(each), model(each), rtol=1e-5, atol=1e-6)


def test_a_verb_of_a_data_set_builds_the_model():
    model = aezoo.Autoencoder(4, seed=0)
    codes = model.encode(tf.data.Dataset.from_tensor_slices(X).batch(5))
    np.testing.assert_allclose(model.encode(X), codes, rtol=1e-5, atol=1e-6)


# === The machine, the variational autoencoder ===


def test_free_energy_and_likelihoods_of_any_length(models, monkeypatch):
    rbm, vae = models["rbm"], models["vae"]
    data = tf.data.Dataset.from_tensor_slices(X).batch(7)
    energy = np.asarray(rbm._free_energies(tf.constant(X)))
    for got in (rbm.free_energy(X, batch_size=4), rbm.free_energy(data), rbm.score_samples(data)):
        np.testing.assert_allclose(got, energy, rtol=1e-5)
    pseudo = np.asarray(rbm.pseudo_log_likelihood(X))
    for got in (rbm.pseudo_log_likelihood(X, batch_size=4), rbm.pseudo_log_likelihood(data)):
        np.testing.assert_allclose(got, pseudo, rtol=1e-4)
    log_z = (1.0, 0.0)
    np.testing.assert_allclose(aezoo.evaluation.log_likelihood(rbm, data, log_z), -energy - 1, rtol=1e-5)
    bound = np.asarray(vae.log_likelihood(data, samples=3000, batch_size=5))
    assert bound.shape == (23,)
    np.testing.assert_allclose(bound, vae.log_likelihood(X, samples=3000), rtol=2e-2)
    monkeypatch.setattr(inference, "_LARGEST_BATCH", 4)
    vae.compile("sgd")
    assert vae._verbs.batch_size(X.shape[1:]) == 4
    drawn = np.asarray(vae.sample(11, seed=3))
    monkeypatch.undo()
    vae.compile("sgd")
    np.testing.assert_allclose(drawn, vae.sample(11, seed=3), rtol=1e-5)


# === Sizes of batches ===


@pytest.mark.parametrize(("units", "size"), [(8, 1024), (2**14, 128), (2**17, 16)])
def test_a_batch_is_smaller_where_activations_are_larger(units, size):
    model = aezoo.Autoencoder(2, hidden_dims=(units,))
    model.build((None, 36))
    assert model._verbs.batch_size((36,)) == size


# === Threads and replicas ===


def test_a_first_use_by_many_threads_makes_one_graph():
    model, start = built(Counting(4, seed=0)), threading.Barrier(8)

    def use(_):
        start.wait()
        return np.asarray(model.reconstruct(X, batch_size=5))

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        results = list(pool.map(use, range(8)))
    assert model.calls == ["encoder", "decoder"]
    for result in results:
        np.testing.assert_allclose(result, results[0], rtol=1e-6)


def test_a_model_of_two_replicas_has_verbs_inside_and_outside_of_its_scope():
    strategy = aezoo.testing.two_replicas()
    with strategy.scope():
        model = built(Counting(4, seed=0))
        inside = np.asarray(model.reconstruct(X, batch_size=5))
    expected = np.asarray(eager(model, "reconstruct", X))
    np.testing.assert_allclose(inside, expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(model.reconstruct(X), expected, rtol=1e-5, atol=1e-6)
    with pytest.raises(ValueError, match="distributed over replicas: give the data set that it was made from"):
        model.encode(strategy.experimental_distribute_dataset(tf.data.Dataset.from_tensor_slices(X).batch(4)))


# === Contributions of features to a score ===


@pytest.mark.parametrize("name", ["dense", "convolutional", "vae", "missing", "masked", "outside"])
def test_contributions_sum_to_the_score(name):
    x = X.copy()
    make = MODELS.get(name, MODELS["dense"])
    if name == "masked":
        make = lambda: aezoo.MaskedAE(4, patch_size=2, normalize_targets=True, seed=0)  # noqa: E731
    model = built(make(), run_eagerly=True)
    if name == "missing":
        x[::2, 3] = np.nan
    if name == "outside":  # the cross-entropy is defined in [0, 1]
        model.compile("sgd", loss=aezoo.losses.CrossEntropy(), run_eagerly=True)
        x = 3 * x - 1
    parts = np.asarray(model.contributions(x))
    assert parts.shape == x.shape and not np.any(parts[np.isnan(x)])
    score = np.asarray(model.score_samples(x))
    if name == "vae":
        score = score - np.sum(aezoo.losses.gaussian_kl(*model.moments(x)), axis=1)
    np.testing.assert_allclose(parts.sum(axis=(1, 2, 3)), score, rtol=1e-4)
    if name == "convolutional":
        np.testing.assert_allclose(parts, (x - np.asarray(model.reconstruct(x))) ** 2, rtol=1e-4, atol=1e-6)
        model.compile("sgd")
        by_graph = model.contributions(tf.data.Dataset.from_tensor_slices(x).batch(7))
        np.testing.assert_allclose(by_graph, parts, rtol=1e-4, atol=1e-6)


def test_a_score_of_the_users_own_has_contributions_only_beside_it():
    class Largest(aezoo.Autoencoder):
        def scores(self, x, **conditions):
            return keras.ops.max(x, axis=(1, 2, 3))

    with pytest.raises(ValueError, match=r"Largest\.scores is no sum over features.*define feature_scores"):
        built(Largest(2), run_eagerly=True).contributions(X)

    class Explained(Largest):
        def feature_scores(self, x, **conditions):
            return x * 0.0

    assert not np.any(built(Explained(2), run_eagerly=True).contributions(X))
