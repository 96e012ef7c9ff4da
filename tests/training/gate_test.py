"""Every way in for data, crossed with every form that data come in and everything that can be wrong with them.

Each pair ends in the number that the plain array gives, or in one sentence before any step.
"""

import keras
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import scipy.sparse
import tensorflow as tf

import aezoo
from aezoo.evaluation import AnomalyDetector, anomaly_auroc, jacobian_norm, log_likelihood, reconstruction_error, report

# scikit-learn says so of a detector that was fitted on an array.
pytestmark = pytest.mark.filterwarnings("ignore:X has feature names")

X = np.random.default_rng(0).random((24, 4), "float32")
NAMES = ["a", "b", "c", "d"]


def model_for(cls=aezoo.Autoencoder, *args, **kwargs):
    model = cls(*(args or (2,)), seed=0, **kwargs)
    model.build((None, 4))
    model.compile(keras.optimizers.SGD(0.0), run_eagerly=True)  # of the rate 0: what one way does is no other's matter
    return model


@pytest.fixture(scope="module")
def models():
    # The variance of a learned likelihood is 1; the detector takes the model as it is.
    model = model_for()
    machine = aezoo.RBM(2, seed=0)
    machine.build((None, 4))
    machine.compile("sgd", run_eagerly=True)
    return {"model": model, "vae": model_for(aezoo.VAE), "rbm": machine, "detector": detector(model).fit(X)}


def detector(model):
    return AnomalyDetector(model, prefit=True, batch_size=8)


def last(history):
    return history.history["loss"][-1]


WAYS = {
    "fit": lambda m, x: last(m["model"].fit(x, batch_size=8, shuffle=False, verbose=0)),
    "validation_data": lambda m, x: (
        m["model"].fit(X, validation_data=(x,), batch_size=8, verbose=0).history["val_loss"][-1]
    ),
    "evaluate": lambda m, x: m["model"].evaluate(x, batch_size=8, verbose=0)[0],
    "predict": lambda m, x: m["model"].predict(x, verbose=0),
    "train_on_batch": lambda m, x: m["model"].train_on_batch(x)[0],
    "test_on_batch": lambda m, x: m["model"].test_on_batch(x)[0],
    "predict_on_batch": lambda m, x: m["model"].predict_on_batch(x),
    "encode": lambda m, x: m["model"].encode(x),
    "reconstruct": lambda m, x: m["model"].reconstruct(x),
    "score_samples": lambda m, x: m["model"].score_samples(x),
    "interpolate": lambda m, x: m["model"].interpolate(x, x, steps=2),
    "VAE.log_likelihood": lambda m, x: np.asarray(m["vae"].log_likelihood(x, samples=2)).shape,  # it draws
    "RBM.free_energy": lambda m, x: m["rbm"].free_energy(x),
    "RBM.pseudo_log_likelihood": lambda m, x: m["rbm"].pseudo_log_likelihood(x),
    "log_likelihood": lambda m, x: log_likelihood(m["rbm"], x),
    "detector.fit": lambda m, x: detector(m["model"]).fit(x).offset_,
    "detector.predict": lambda m, x: m["detector"].predict(x),
    "detector.score_samples": lambda m, x: m["detector"].score_samples(x),
    "report": lambda m, x: report(m["model"], x)["score"],
    "reconstruction_error": lambda m, x: reconstruction_error(m["model"], x),
    "anomaly_auroc": lambda m, x: anomaly_auroc(m["model"], X, x),
    "jacobian_norm": lambda m, x: jacobian_norm(m["model"], x),
}

FRAME = pd.DataFrame(X, columns=NAMES)
FORMS = {
    "double precision": X.astype("float64"),
    "tensor": tf.constant(X),
    "pandas": FRAME,
    "pandas, nullable": FRAME.convert_dtypes(),
    "pandas, of pyarrow": FRAME.astype("float[pyarrow]"),
    "polars": pl.DataFrame(X, schema=NAMES),
    "pyarrow": pa.table({name: FRAME[name] for name in NAMES}),
    "scipy.sparse": scipy.sparse.csr_matrix(X),
    "masked, but nothing is": np.ma.masked_array(X, mask=False),
}


@pytest.fixture(scope="module")
def of_the_array(models):
    return {way: np.asarray(call(models, X)) for way, call in WAYS.items()}


ALIKE = {"pandas, nullable", "pandas, of pyarrow"}


@pytest.mark.slow_cases("polars", "pyarrow")
@pytest.mark.parametrize(
    "form", [pytest.param(form, marks=pytest.mark.slow if form in ALIKE else ()) for form in FORMS]
)
def test_a_form_gives_the_number_of_the_array(models, of_the_array, form):
    for way, call in WAYS.items():
        got = np.asarray(call(models, FORMS[form]))
        np.testing.assert_allclose(got, of_the_array[way], rtol=1e-5, atol=1e-6, err_msg=way)


def test_columns_of_one_name_all_count(models):
    for table in (pd.DataFrame(X, columns=["a", "a", "b", "b"]), pa.table([*X.T], names=["a", "a", "b", "b"])):
        np.testing.assert_allclose(models["model"].encode(table), models["model"].encode(X), rtol=1e-6)


def replaced(value, dtype="float32"):
    x = X.astype(dtype)
    x[-1, 2] = value
    return x


NAN = replaced(np.nan)
MISSING = r"NaN"
# What is wrong, and what the sentence says; None where the way has a rule for it, tested below.
BAD = {
    "NaN": (NAN, MISSING),
    "infinity": (replaced(np.inf), "infinit"),
    "more than single precision holds": (replaced(1e300, "float64"), "scale them|infinit|too large"),
    "NaN in a tensor": (tf.constant(NAN), MISSING),
    "NaN in pandas": (pd.DataFrame(NAN, columns=NAMES), "NaN"),
    "NA in pandas, nullable": (pd.DataFrame(NAN, columns=NAMES).convert_dtypes(), "NaN"),
    "null in polars": (pl.DataFrame(NAN, schema=NAMES, nan_to_null=True), "NaN"),
    "null in pyarrow": (pa.Table.from_pandas(pd.DataFrame(NAN, columns=NAMES)), "NaN"),
    "NaN in scipy.sparse": (scipy.sparse.csr_matrix(NAN), "NaN"),
    "masked": (np.ma.masked_array(X, mask=X > 0.9), "masked"),
    "text in pandas": (FRAME.assign(b="x"), r"no numbers|could not convert|'b'"),
    "text in an array": (X.astype(str), "not floating-point"),
    "objects": (X.astype(object), "not floating-point"),
    "integers": ((X * 255).astype("int64"), "not floating-point"),
    "complex numbers": (X.astype("complex64"), "not floating-point|omplex"),
    "another shape": (X[:, :3], "shape|features"),
    "a list of arrays": ([X, X], "one array|shape|dim"),
    "ragged": (tf.ragged.constant([[0.1, 0.2], [0.3]]), "differ in length"),
}
# scikit-learn, which checks the detector's data, turns these into floating-point numbers, as it does everywhere.
SKLEARN_TAKES = {"integers", "objects", "text in an array"}


@pytest.mark.parametrize("what", BAD)
def test_bad_data_end_in_a_sentence(models, what):
    data, message = BAD[what]
    before = [v.numpy() for v in models["model"].variables]
    for way, call in WAYS.items():
        if way.startswith("detector") and what in SKLEARN_TAKES:
            continue
        with pytest.raises((ValueError, TypeError), match=message) as error:
            call(models, data)
            pytest.fail(f"{way} took {what}")
        if not way.startswith("detector"):
            assert "\n" not in str(error.value) and len(str(error.value)) < 400, f"{way}: {error.value}"
    for value, variable in zip(before, models["model"].variables, strict=True):
        if "epoch" not in variable.path:  # fit with bad validation data is refused before it, too
            np.testing.assert_array_equal(value, variable.numpy())


# They have a number for each sample, and so none for none.
PER_SAMPLE = ["encode", "reconstruct", "score_samples", "interpolate", "VAE.log_likelihood", "RBM.free_energy"]
PER_SAMPLE += ["RBM.pseudo_log_likelihood", "log_likelihood", "predict_on_batch"]


@pytest.mark.parametrize("way", WAYS)
def test_no_samples(models, way):
    if way in PER_SAMPLE:
        shape = WAYS[way](models, X[:0])
        assert 0 in (shape if isinstance(shape, tuple) else np.shape(shape))
        return
    with pytest.raises(ValueError, match=r"no samples|0 sample|at least 2 samples"):
        WAYS[way](models, X[:0])


OUTSIDE = ["fit", "validation_data", "evaluate", "train_on_batch", "test_on_batch", "VAE.log_likelihood", "report"]
OUTSIDE += ["RBM.pseudo_log_likelihood", "log_likelihood"]


@pytest.mark.parametrize("way", OUTSIDE)
def test_values_outside_the_range_of_the_output_are_refused_where_they_are_compared(models, way):
    with pytest.raises(ValueError, match=r"outside \[0, 1\].*from 0\.005\d+ to 1\.99"):
        WAYS[way](models, 2 * X)


# === Data that come batch by batch ===


class Batches(keras.utils.PyDataset):
    def __init__(self, *arrays, **kwargs):
        super().__init__(**kwargs)
        self.arrays = arrays

    def __len__(self):
        return 3

    def __getitem__(self, i):
        parts = tuple(array[8 * i : 8 * i + 8] for array in self.arrays)
        return parts if len(parts) > 1 else parts[0]


def stream(kind, *arrays):
    if kind == "Dataset":
        return tf.data.Dataset.from_tensor_slices(arrays if len(arrays) > 1 else arrays[0]).batch(8)
    if kind == "PyDataset":
        return Batches(*arrays)
    if kind == "PyDataset with workers":
        return Batches(*arrays, workers=2)
    return (tuple(a[i : i + 8] for a in arrays) if len(arrays) > 1 else arrays[0][i : i + 8] for i in range(0, 24, 8))


KINDS = ["Dataset", "PyDataset", "PyDataset with workers", "generator"]
STREAMED = {
    "fit": lambda m, x: last(m["model"].fit(x, steps_per_epoch=3, verbose=0)),
    "validation_data": lambda m, x: (
        m["model"].fit(X, validation_data=x, validation_steps=3, verbose=0).history["val_loss"][-1]
    ),
    "evaluate": lambda m, x: m["model"].evaluate(x, steps=3, verbose=0)[0],
    "predict": lambda m, x: m["model"].predict(x, steps=3, verbose=0),
}


@pytest.mark.slow_cases("PyDataset", "generator", "PyDataset with workers")
@pytest.mark.parametrize("kind", KINDS)
def test_a_stream_gives_the_number_of_the_array(models, kind):
    for way, call in STREAMED.items():
        expected, got = WAYS[way](models, X), call(models, stream(kind, X))
        np.testing.assert_allclose(np.asarray(got), np.asarray(expected), rtol=1e-5, err_msg=way)


@pytest.mark.slow_cases("PyDataset", "PyDataset with workers", "generator")
@pytest.mark.parametrize("kind", KINDS)
def test_a_bad_batch_in_the_middle_of_a_stream_ends_in_a_sentence(models, kind):
    for bad in (NAN, replaced(np.inf)):
        for way, call in STREAMED.items():
            with pytest.raises(ValueError, match="NaN or infinite values: remove or replace them") as error:
                call(models, stream(kind, bad))
                pytest.fail(f"{way} took it")
            assert "\n" not in str(error.value) and "<<" not in str(error.value)
    for way in ("fit", "validation_data", "evaluate"):
        with pytest.raises(ValueError, match=r"outside \[0, 1\]"):
            STREAMED[way](models, stream(kind, replaced(7.0)))


@pytest.mark.parametrize(
    ("kind", "hint"),
    [
        ("Dataset", r"aezoo.datasets.without_labels\(data\)"),
        ("PyDataset", "return x alone from __getitem__"),
        ("generator", "yield x alone"),
    ],
)
def test_labels_are_told_how_to_be_left_out(models, kind, hint):
    for way in ("fit", "evaluate", "validation_data"):
        with pytest.raises(ValueError, match=f"if they are labels, leave them out: {hint}"):
            STREAMED[way](models, stream(kind, X, np.arange(24)))
    labels = np.arange(24)
    with pytest.raises(ValueError, match=r"leave them out: validation_data=\(x,\)"):
        models["model"].fit(X, validation_data=(X, labels), verbose=0)
    with pytest.raises(ValueError, match=r"leave them out: train_on_batch\(x\)"):
        models["model"].train_on_batch(X, labels)


def test_streams_of_other_forms(models):
    model = models["model"]
    rows = tf.data.Dataset.from_tensor_slices(tf.ragged.constant([[0.1, 0.2], [0.3]])).batch(2)
    with pytest.raises(ValueError, match="differ in length"):
        model.fit(rows, verbose=0)
    unknown = tf.data.Dataset.from_generator(lambda: iter([X]), output_types=tf.float32)
    with pytest.raises(ValueError, match=r"shape of the samples is unknown.*output_signature"):
        model.fit(unknown, verbose=0)
    sparse = tf.data.Dataset.from_tensor_slices(tf.sparse.from_dense(X)).batch(8)
    assert last(model.fit(sparse, verbose=0)) == pytest.approx(WAYS["fit"](models, X), rel=1e-5)
    four = tf.data.Dataset.from_tensors((X, X, np.ones(24), X))
    with pytest.raises(ValueError, match="4 parts"):
        model.fit(four, verbose=0)


# === Weights ===


@pytest.mark.parametrize("way", ["fit", "evaluate", "train_on_batch", "test_on_batch", "Dataset", "PyDataset"])
@pytest.mark.parametrize(
    ("weight", "message"),
    [
        (np.ones((24, 3), "float32"), "leading axes of the targets"),
        (np.full(24, np.nan, "float32"), "finite and at least 0"),
        (np.full(24, -1, "float32"), "finite and at least 0"),
        (np.ones(23, "float32"), "24 samples, but 23 sample weights"),
    ],
    ids=["per feature", "NaN", "negative", "too few"],
)
def test_sample_weights(models, way, weight, message):
    model = models["model"]
    streamed = way in ("Dataset", "PyDataset")
    if streamed and len(weight) == 23:
        pytest.skip("a stream of such a length cannot be made")
    verb = model.fit if streamed else getattr(model, way)
    arguments = {} if "batch" in way else {"verbose": 0}
    with pytest.raises(ValueError, match=message) as error:
        if streamed:
            verb(stream(way, X, X, weight), **arguments)
        else:
            verb(X, sample_weight=weight, **arguments)
    assert "\n" not in str(error.value)


def test_sample_weights_in_a_batch_count(models):
    """As Keras averages: Σ weight · value / size."""
    model, weight = models["model"], np.linspace(0, 2, 24, dtype="float32")
    expected = np.mean(weight * np.asarray(model.score_samples(X)))
    for verb in (model.train_on_batch, model.test_on_batch):
        assert verb(X, sample_weight=weight)[0] == pytest.approx(expected, rel=1e-5)


# === Scores outside the range ===


def cross_entropy(model):
    model.compile("sgd", aezoo.losses.CrossEntropy(), run_eagerly=True)
    return model


@pytest.mark.parametrize(
    "make",
    [
        lambda: model_for(aezoo.DenoisingAE),
        lambda: model_for(aezoo.VAE),
        lambda: model_for(aezoo.RBM),
        lambda: cross_entropy(model_for()),
    ],
    ids=["denoising", "vae", "rbm", "any loss"],
)
def test_scores_grow_with_the_distance_from_the_range(make, tmp_path):
    """A cross-entropy or a free energy alone would fall without bound there, and call the extreme the most normal."""
    model = make()
    inside = np.clip(X, 0.01, 0.99)
    scores = np.asarray(model.score_samples(inside))
    for direction in (1.0, -1.0):
        edge = inside.copy()
        edge[:, 1] = max(direction, 0.0)
        previous = np.asarray(model.score_samples(edge))
        for distance in (1e-3, 0.5, 4.0, 1e4):
            x = edge.copy()
            x[:, 1] += direction * distance
            got = np.asarray(model.score_samples(x))
            assert (got > previous).all() if distance > 0.1 else (got >= previous).all()
            np.testing.assert_allclose(got, np.asarray(model.score_samples(edge)) + 2 * distance**2, rtol=1e-3)
            previous = got
    model.export(tmp_path / "1", warmup=False)
    served = tf.saved_model.load(tmp_path / "1").signatures["score"]
    np.testing.assert_allclose(served(x=tf.constant(inside))["score"], scores, rtol=1e-5)
    np.testing.assert_allclose(served(x=tf.constant(x))["score"], previous, rtol=1e-5)


def test_a_sensor_off_by_four_ranges_is_an_anomaly():
    found = AnomalyDetector(aezoo.DenoisingAE(2), epochs=2, random_state=0).fit(np.tile(X, (4, 1)))
    off = X.copy()
    off[:, 0] += 4
    assert (found.predict(off) == -1).all()
    assert found.predict(np.full((1, 4), 1e4, "float32")) == [-1]


def test_codes_that_are_not_finite_are_not_decoded(models):
    with pytest.raises(ValueError, match="codes contain NaN or infinite"):
        models["model"].decode(np.full((1, 2), np.nan, "float32"))


# === A batch without samples ===


class Rows(keras.utils.PyDataset):
    def __len__(self):
        return 2

    def __getitem__(self, index):
        return X[: 8 * (1 - index)]


EMPTY_LAST = {
    "data set": lambda: tf.data.Dataset.from_tensor_slices(X).batch(8).concatenate(tf.data.Dataset.from_tensors(X[:0])),
    "PyDataset": Rows,
    "generator": lambda: (X[:n] for n in (8, 0)),
}


@pytest.mark.parametrize("form", EMPTY_LAST)
def test_a_batch_without_samples_stops_the_training(form):
    with pytest.raises(ValueError, match="A batch has no samples: drop it"):
        model_for().fit(EMPTY_LAST[form](), verbose=0)
