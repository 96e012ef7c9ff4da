"""What is refused, with which sentence, and before any step."""

import concurrent.futures
import io
import json
import pathlib
import re
import tempfile
import threading
import zipfile

import keras
import numpy as np
import pytest
import tensorflow as tf

import aezoo
from aezoo.schedules import Linear

X = np.random.default_rng(0).random((12, 6, 6, 1), "float32")


def network(inputs, *layers, name=None):
    return keras.Sequential([keras.Input(inputs), *layers], name=name)


def encoder(units=4):
    return network((6, 6, 1), keras.layers.Flatten(), keras.layers.Dense(units), name="mine")


def decoder(units=4, shape=(6, 6, 1)):
    size = int(np.prod(shape))
    return network((units,), keras.layers.Dense(size), keras.layers.Reshape(shape), name="my_decoder")


def sentence(error):
    """The message, which must be one readable line."""
    text = str(error.value)
    assert "\n" not in text
    assert len(text) < 400
    return text


# === Constructor arguments ===

ARGUMENTS = [
    ({}, r"Give latent_dim \(the number of code units\), or an encoder of your own"),
    ({"decoder": decoder}, "Give latent_dim .*, or an encoder of your own"),
    ({"latent_dim": 3, "decoder": decoder}, "A decoder was given without an encoder: give both, or neither"),
    ({"latent_dim": 3, "encoder": encoder, "decoder": decoder}, "leave out latent_dim, hidden_dims and filters"),
    ({"hidden_dims": (3,), "encoder": encoder, "decoder": decoder}, "leave out latent_dim, hidden_dims and filters"),
    ({"encoder": encoder, "decoder": decoder, "tied": True}, "leave out the decoder of your own"),
    ({"latent_dim": 3, "filters": (4,), "tied": True}, "tied=True needs a dense encoder, but filters are given"),
    ({"latent_dim": 0}, "latent_dim must be at least 1, but it is 0"),
    ({"latent_dim": 3, "hidden_dims": (8, 0)}, "Every number in hidden_dims must be at least 1, but it is 0"),
    ({"latent_dim": 3, "filters": (-1,)}, "Every number in filters must be at least 1, but it is -1"),
]


@pytest.mark.parametrize(("arguments", "message"), ARGUMENTS)
def test_arguments(arguments, message):
    arguments = {name: value() if callable(value) else value for name, value in arguments.items()}
    with pytest.raises(ValueError, match=message) as error:
        aezoo.Autoencoder(**arguments)
    sentence(error)


# === Networks ===


def convolutional():
    return network((6, 6, 1), keras.layers.Conv2D(2, 3), keras.layers.Flatten(), keras.layers.Dense(4), name="mine")


def two_outputs(inputs, outputs, name):
    x = keras.Input(inputs)
    h = keras.layers.Dense(int(np.prod(outputs)))(keras.layers.Flatten()(x))
    return keras.Model(x, [keras.layers.Reshape(outputs)(h) for _ in range(2)], name=name)


NETWORKS = {
    "code": (
        lambda: aezoo.Autoencoder(encoder=encoder(4), decoder=decoder(5)),
        r"The decoder 'my_decoder' does not accept the encoder's output of shape \(4,\) \(Input 0 .* expected .*5",
    ),
    "input": (
        lambda: aezoo.Autoencoder(encoder=network((5,), keras.layers.Dense(4), name="mine"), decoder=decoder(4)),
        r"The encoder 'mine' does not accept the input of shape \(6, 6, 1\)",
    ),
    "two outputs": (
        lambda: aezoo.Autoencoder(encoder=two_outputs((6, 6, 1), (4,), "mine"), decoder=decoder(4)),
        r"The encoder 'mine' has 2 outputs, but it must have one: .* as VAE\(encoder=",
    ),
    "two outputs before a layer of ours": (
        lambda: aezoo.KSparseAE(encoder=two_outputs((6, 6, 1), (4,), "mine"), decoder=decoder(4), k=2),
        r"The encoder 'mine' has 2 outputs, but it must have one",
    ),
    "two reconstructions": (
        lambda: aezoo.Autoencoder(encoder=encoder(4), decoder=two_outputs((4,), (6, 6, 1), "mine")),
        r"The decoder 'mine' has 2 outputs, but it must have one: give keras.Model\(decoder.input, decoder.output",
    ),
    "input of a VAE": (
        lambda: aezoo.VAE(encoder=two_outputs((5,), (4,), "mine"), decoder=decoder(4)),
        r"The encoder 'mine' does not accept the input of shape \(6, 6, 1\) \(.* expected shape=\(None, 5\)",
    ),
    "output": (
        lambda: aezoo.Autoencoder(encoder=encoder(4), decoder=decoder(4, (36,))),
        r"returns reconstructions of shape \(36,\) for inputs of shape \(6, 6, 1\): end it with a layer",
    ),
    "size": (
        lambda: aezoo.Autoencoder(encoder=encoder(4), decoder=decoder(4, (6, 5, 1))),
        r"returns reconstructions of shape \(6, 5, 1\) for inputs of shape \(6, 6, 1\)",
    ),
    "tied": (
        lambda: aezoo.Autoencoder(encoder=convolutional(), tied=True),
        "the encoder 'mine' has layers that cannot be transposed .* set tied=False, or give a decoder of your own",
    ),
    "k": (
        lambda: aezoo.KSparseAE(encoder=encoder(4), k=5),
        "would keep 5 units of a code that has 4: choose a smaller k or a larger latent_dim",
    ),
    "kl": (
        lambda: aezoo.SparseAE(latent_dim=4, activation="relu"),
        "the code's activation is 'relu': use code_activation='sigmoid', or penalty='l1'",
    ),
    "spatial axes": (
        lambda: aezoo.Autoencoder(latent_dim=4, filters=(3,)),
        "needs inputs with 1 to 3 spatial axes",
    ),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_networks(name):
    make, message = NETWORKS[name]
    model = make()
    model.compile("sgd")
    x = X.reshape(12, 36) if name == "spatial axes" else X
    with pytest.raises(ValueError, match=message) as error:
        model.fit(x, verbose=0)
    sentence(error)
    assert int(model.optimizer.iterations.numpy()) == 0


def test_a_reason_is_one_short_line():
    class Broken:
        name = "mine"

        def __call__(self, x):
            raise RuntimeError(self.text)

    for text, said in ((3 * "out of order,\n", r"out of order, out of order, out of order,"), ("", "RuntimeError")):
        Broken.text = text
        with pytest.raises(ValueError, match=rf"of shape \(4,\) \({said}\): change") as error:
            aezoo._validation.call_network("encoder", Broken(), keras.Input((4,)))
        sentence(error)
    Broken.text = 300 * "out of order, "
    with pytest.raises(ValueError, match=r" \.\.\.\): change") as error:
        aezoo._validation.call_network("encoder", Broken(), keras.Input((4,)))
    sentence(error)


def test_samples_without_a_fixed_size():
    model = aezoo.Autoencoder(latent_dim=4)
    model.compile("sgd")
    data = tf.data.Dataset.from_generator(lambda: iter([X]), output_signature=tf.TensorSpec((None, None, 6, 1)))
    with pytest.raises(ValueError, match=r"Samples of shape \(None, 6, 1\) have no fixed number of features"):
        model.fit(data, verbose=0)


def test_a_verb_before_the_weights_exist(tmp_path):
    model = aezoo.Autoencoder(latent_dim=4, name="mine")
    for verb in (lambda: model.decode(np.zeros((1, 4), "float32")), lambda: model.export(tmp_path / "1")):
        with pytest.raises(ValueError, match="'mine' has no weights yet: fit it, or call it on a batch"):
            verb()


# === Data (the harness covers what holds for every model) ===


def compiled(**kwargs):
    model = aezoo.Autoencoder(latent_dim=4, **kwargs)
    model.compile("sgd")
    return model


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (X.astype("bool"), "The samples are bool, not floating-point: scale images"),
        (X.astype("complex64"), "The samples are complex64, not floating-point: convert them"),
        ([X], "Expected samples as one array, .* but got list"),
        (None, "Expected samples as one array, .* but got NoneType"),
        ("mnist", "Expected samples as one array, .* but got str"),
        ({"image": X}, "Expected samples as one array, .* but got dict"),
        (iter([]), "The data set is empty"),
        (X[:0], "The data set is empty"),
        (X - 1, r"outside \[0, 1\], .* Their values are from -0.99"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_data(data, message):
    with pytest.raises(ValueError, match=message) as error:
        compiled().fit(data, verbose=0)
    sentence(error)


def test_the_range_that_is_asked_for_is_that_of_the_output():
    compiled(output_activation="linear").fit(X * 20, verbose=0)
    compiled(output_activation="tanh").fit(2 * X - 1, verbose=0)
    with pytest.raises(ValueError, match=r"outside \[-1, 1\]"):
        compiled(output_activation="tanh").fit(2 * X, verbose=0)
    model = aezoo.Autoencoder(latent_dim=4, output_activation="linear")
    model.compile("sgd", aezoo.losses.CrossEntropy())
    with pytest.raises(ValueError, match=r"outside \[0, 1\]"):
        model.fit(2 * X, verbose=0)
    # It is the target that has to be reached, not the input.
    compiled().fit(5 * X, X, verbose=0)


@pytest.mark.parametrize("how", ["validation arrays", "validation set", "evaluate", "labels", "targets"])
def test_bad_validation_data_and_targets(how):
    model, bad = compiled(), X * 255
    labels = np.arange(12)
    call, message = {
        "validation arrays": (lambda: model.fit(X, validation_data=(bad,), verbose=0), r"outside \[0, 1\]"),
        "validation set": (
            lambda: model.fit(X, validation_data=tf.data.Dataset.from_tensors(bad.astype("uint8")), verbose=0),
            "The samples are uint8",
        ),
        "evaluate": (lambda: model.evaluate(bad, verbose=0), r"outside \[0, 1\]"),
        "labels": (lambda: model.fit(X, labels, verbose=0), r"if they are labels, leave them out: fit\(x\)"),
        "targets": (lambda: model.fit(X, X[:, 0], verbose=0), r"The targets have shape \(6, 1\)"),
    }[how]
    with pytest.raises(ValueError, match=message) as error:
        call()
    sentence(error)
    assert int(model.optimizer.iterations.numpy()) == 0


def test_verbs_refuse_what_fit_refuses():
    model = compiled()
    model(X)
    for verb in (model.encode, model.reconstruct, model.score_samples, model.predict):
        with pytest.raises(ValueError, match="The samples are uint8, not floating-point"):
            verb((X * 255).astype("uint8"))
        with pytest.raises(ValueError, match=r"The samples have shape \(6, 6\), but .* was built for \(6, 6, 1\)"):
            verb(X[..., 0])
    with pytest.raises(ValueError, match="The data set is empty"):
        model.predict(X[:0])
    np.testing.assert_allclose(model.predict(X, verbose=0), model.reconstruct(X), atol=1e-6)


# === Files that do not load ===


@pytest.fixture
def saved(tmp_path):
    model = compiled(tied=True)
    model.fit(X, verbose=0)
    model.save(tmp_path / "model.keras")
    return (tmp_path / "model.keras").read_bytes()


def repacked(saved, **replaced):
    """The same archive with other members."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(saved)) as old, zipfile.ZipFile(buffer, "w") as new:
        for name in old.namelist():
            new.writestr(name, replaced.get(name.split(".")[0], lambda content: content)(old.read(name)))
    return buffer.getvalue()


def other_weights(_):
    model = aezoo.Autoencoder(latent_dim=7, tied=True)
    model(X)
    with tempfile.TemporaryDirectory() as folder:
        model.save_weights(f"{folder}/other.weights.h5")
        return pathlib.Path(folder, "other.weights.h5").read_bytes()


def foreign_zip(_):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("readme.txt", "not a model")
    return buffer.getvalue()


def wider(content):
    config = json.loads(content)
    config["config"]["latent_dim"] += 1
    return json.dumps(config).encode()


DAMAGED = {
    "cut in half": lambda saved: saved[: len(saved) // 2],
    "without its end": lambda saved: saved[:-30],
    "random bytes": lambda _: np.random.default_rng(0).bytes(5000),
    "empty": lambda _: b"",
    "another zip": foreign_zip,
    "weights cut": lambda saved: repacked(saved, model=lambda content: content[: len(content) // 2]),
    "weights of another model": lambda saved: repacked(saved, model=other_weights),
    "configuration of another model": lambda saved: repacked(saved, config=wider),
    "configuration cut": lambda saved: repacked(saved, config=lambda content: content[:100]),
}


@pytest.mark.slow_cases("without its end", "empty", "another zip", "configuration cut")
@pytest.mark.parametrize("name", DAMAGED)
def test_a_damaged_file_does_not_load(name, saved, tmp_path):
    (tmp_path / "damaged.keras").write_bytes(DAMAGED[name](saved))
    with pytest.raises(Exception, match=r"."):  # Keras, h5py, zipfile and json each raise their own
        keras.saving.load_model(tmp_path / "damaged.keras")


def test_the_file_itself_loads(saved, tmp_path):
    (tmp_path / "again.keras").write_bytes(repacked(saved))
    assert keras.saving.load_model(tmp_path / "again.keras").built


@pytest.mark.parametrize("part", ["encoder", "decoder"])
def test_a_file_that_carries_a_lambda_does_not_load(part, tmp_path):
    layer = keras.layers.Lambda(lambda z: z * 1.0, output_shape=(4,))
    networks = {"encoder": encoder(), "decoder": decoder()}
    if part == "encoder":
        networks["encoder"].add(layer)
    else:
        networks["decoder"] = network((4,), layer, *decoder().layers)
    model = aezoo.Autoencoder(**networks)
    model(X)
    model.save(tmp_path / "model.keras")
    with pytest.raises(ValueError, match=r"[Ll]ambda.*safe_mode|safe_mode.*[Ll]ambda"):
        keras.saving.load_model(tmp_path / "model.keras")
    with pytest.raises(ValueError, match=r"[Ll]ambda"):
        aezoo.Autoencoder.from_config(json.loads(json.dumps(model.get_config())))


def test_nothing_of_ours_unpickles_anything_but_arrays():
    root = pathlib.Path(aezoo.__file__).parent
    files = sorted(root.rglob("*.py"))
    assert len(files) > 15
    forbidden = re.compile(
        r"import \w*pickle|from \w*pickle|\w*pickle\.\w|Unpickler|allow_pickle\s*=\s*True|\bmarshal\b|joblib|\bshelve\b"
        r"|\bdill\b|(?<![.\w])eval\(|(?<![.\w])exec\(|safe_mode\s*=\s*False|enable_unsafe_deserialization"
    )
    found = [
        f"{path.relative_to(root)}:{number}: {line.strip()}"
        for path in files
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if forbidden.search(line)
        and "allow_pickle=False" not in line
        and "pickle and joblib save" not in line  # prose
        # The detector copies a model of the user's own process, and reads no file.
        and (path.name, line.count("safe_mode")) != ("arguments.py", 1)
    ]
    assert found == []


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: aezoo.Autoencoder("32"), "latent_dim must be a whole number, but it is '32'"),
        (lambda x: aezoo.Autoencoder(True), "latent_dim must be a whole number"),
        (lambda x: aezoo.Autoencoder(4, hidden_dims=64), "hidden_dims must be a sequence of whole numbers"),
        (lambda x: aezoo.Autoencoder(encoder=keras.Model, tied=True), "encoder must be a Keras model or layer"),
        (lambda x: aezoo.KSparseAE(4, k=Linear(4, 2, 3)), "k must be a whole number .* k_schedule"),
        (lambda x: aezoo.SparseAE(4, target="a"), "target must be a number"),
        (lambda x: aezoo.DenoisingAE(4, emphasis=1), "emphasis must be a pair"),
        (lambda x: aezoo.StackedAE(aezoo.Autoencoder(4)), "as one list"),
        (lambda x: fitted(x).decode(np.zeros((2, 5))), "The codes have shape"),
        (lambda x: fitted(x).encode(x[0]), "give a single sample as x"),
        (lambda x: fitted(x).interpolate(x[:2], x[:3]), "needs a start and an end, but there are 2 starts"),
        (lambda x: fitted(x).train_on_batch(x, np.zeros(len(x), "float32")), "labels"),
        (lambda x: fitted(x).fit(x, sample_weight=np.ones((len(x), 3))), "leading axes of the targets"),
        (lambda x: fitted(x).fit(x, class_weight={0: 1.0}), "class_weight needs labels"),
        (lambda x: fitted(x, loss="mse", loss_weights=[2.0]), "loss_weights is not supported"),
        (lambda x: fitted(tf.data.Dataset.from_tensor_slices({"image": x}).batch(4)), "select the samples"),
    ],
)
def test_mistakes_end_in_a_sentence(x, call, message):
    with pytest.raises(ValueError, match=message) as error:
        call(x)
    assert "\n" not in str(error.value)


def fitted(x, **compiled):
    model = aezoo.Autoencoder(latent_dim=4, seed=0)
    model.compile("sgd", **compiled)
    model.fit(x, verbose=0)
    return model


def test_a_loss_that_averages_by_itself_counts_as_it_is(x):
    by_name = fitted(x, loss="mse").evaluate(x, batch_size=7, verbose=0)
    model = fitted(x, loss=lambda y, y_pred: keras.ops.mean((y - y_pred) ** 2))
    assert model.evaluate(x, batch_size=7, verbose=0)[0] == pytest.approx(by_name[0], rel=1e-5)
    with pytest.raises(ValueError, match="one number for the whole batch, but scores and sample weights need"):
        model.score_samples(x)


def test_a_generator_of_plain_arrays(x):
    model = aezoo.Autoencoder(latent_dim=4)
    model.compile("sgd")
    model.fit((x[:8] for _ in range(4)), steps_per_epoch=3, verbose=0)
    assert int(model.optimizer.iterations.numpy()) == 3


def test_the_first_epoch_can_be_asked_for(x):
    model = aezoo.KSparseAE(8, k=2, k_schedule=Linear(8, 2, 6))
    model.compile("sgd")
    model.fit(x, epochs=5, verbose=0)
    model.fit(x, epochs=1, initial_epoch=0, verbose=0)
    assert float(model.top_k.k_in_training.value.numpy()) == 8


def test_double_precision_is_refused_at_once():
    with pytest.raises(ValueError, match="not in float64"):
        aezoo.RBM(3, dtype="float64")


def test_steps_per_execution_on_two_replicas_is_refused(x):
    with aezoo.testing.two_replicas().scope():
        model = aezoo.Autoencoder(3)
        model.compile("sgd", steps_per_execution=4)
    for verb in (model.fit, model.evaluate):
        with pytest.raises(ValueError, match="steps_per_execution=4 fails in Keras"):
            verb(x)


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda value: aezoo.SparseAE(4, weight=value), "weight"),
        (lambda value: aezoo.ContractiveAE(4, hessian_sigma=value), "hessian_sigma"),
        (lambda value: aezoo.KSparseAE(4, k=2, alpha=value), "alpha"),
        (lambda value: aezoo.DenoisingAE(4, corruption=value, noise="gaussian"), "corruption"),
        (lambda value: aezoo.DenoisingAE(4, emphasis=(value, 1.0)), "alpha of emphasis"),
        (lambda value: aezoo.VAE(4, beta=value), "beta"),
        (lambda value: aezoo.VAE(4, free_bits=value), "free_bits"),
        (lambda value: aezoo.VAE(4, likelihood="gaussian", variance=value), "variance"),
        (lambda value: aezoo.LinearAE(4, weight=value), "weight"),
        (lambda value: aezoo.CompressiveAE(4, weight=value), "weight"),
        (lambda value: aezoo.RBM(4, weight_decay=value), "weight_decay"),
        (lambda value: aezoo.SketchRNN(4, kl_floor=value), "kl_floor"),
    ],
)
@pytest.mark.parametrize("value", [float("inf"), float("nan")])
def test_an_argument_that_is_not_finite_is_refused(make, name, value):
    with pytest.raises(ValueError, match=name) as error:
        make(value)
    sentence(error)


# === What a class declares ===


class Undeclared(aezoo.Autoencoder):
    def penalties(self, batch, forward):
        return {"extra": batch.mean(keras.ops.sum(keras.ops.abs(forward.code), axis=1))}


class Missing(aezoo.Autoencoder):
    term_names = ("reconstruction", "extra")


@pytest.mark.parametrize(
    ("cls", "message"),
    [
        (Undeclared, "objective of Undeclared returns 'extra', which it does not declare: name it in term_names"),
        (Missing, "Missing declares 'extra' in term_names or metric_names, but its objective does not return it"),
    ],
)
def test_a_term_that_is_not_declared_or_not_returned(cls, message):
    """It would be left out of the loss in silence, or be a bare KeyError."""
    case = aezoo.testing.Case(lambda **kwargs: cls(latent_dim=4, **kwargs), np.concatenate([X, X[:7]]))
    with pytest.raises(AssertionError, match="but declared are"):
        aezoo.testing.declared(case)
    model = cls(latent_dim=4)
    model.compile("sgd")
    for verb in (model.fit, model.evaluate):
        with pytest.raises(ValueError, match=message) as error:
            verb(X, verbose=0)
        sentence(error)


class Drifting(aezoo.Autoencoder):
    def penalties(self, batch, forward):
        bias = self.decoder.trainable_variables[-1]
        bias.assign(bias + 0.1)
        return {}


def test_the_harness_finds_weights_that_evaluate_changes():
    case = aezoo.testing.Case(lambda **kwargs: Drifting(latent_dim=4, **kwargs), X)
    with pytest.raises(AssertionError, match=r"evaluate changes .*bias"):
        aezoo.testing.verbs(case)


# === Threads ===


@pytest.mark.slow
def test_the_first_use_by_many_threads_builds_a_model_once():
    for first_use in (lambda model: model(X), lambda model: model.encode(X), lambda model: model.score_samples(X)):
        model = aezoo.Autoencoder(latent_dim=4, seed=0)
        start = threading.Barrier(8)

        def use(_, model=model, start=start, first_use=first_use):
            start.wait()
            return np.asarray(first_use(model))

        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            results = list(pool.map(use, range(8)))
        assert len(model.weights) == len(model.get_weights()) == 5  # two layers, and the epoch
        for result in results:
            np.testing.assert_allclose(result, results[0], rtol=1e-6)
