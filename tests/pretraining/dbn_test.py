"""The deep belief network against its equations in NumPy, and what it must refuse."""

import json
import shutil
import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy.special import expit, softmax

import aezoo


def machines():
    return [aezoo.RBM(8, seed=1), aezoo.RBM(6, seed=2), aezoo.RBM(3, hidden="gaussian", seed=3)]


def build(dbn, x):
    """Makes the weights of a network, of which no bias is 0."""
    rng = np.random.default_rng(1)
    shape = x.shape[1:]
    for rbm in dbn.rbms:
        rbm.build((None, *shape))
        shape = rbm.code_shape
        for v in rbm.trainable_variables:
            v.assign(rng.normal(0, 0.5, v.shape))
    return dbn


def eagerly(dbn):
    """Compiles the machines without graphs: tracing them is most of the time of a small training."""
    for rbm in dbn.rbms:
        rbm.compile(rbm.default_optimizer(), run_eagerly=True)
    return dbn


def weights(model):
    return [v.numpy() for v in model.variables]


def assert_same(expected, got):
    assert len(expected) == len(got)
    for a, b in zip(expected, got, strict=True):
        np.testing.assert_array_equal(b, a)


def mean_field(dbn, x):
    """Up through the means of the hidden units (the top ones linear), and down through those of the visible."""
    parameters = [[np.asarray(p) for p in rbm.parameters()] for rbm in dbn.rbms]
    h = x.reshape(len(x), -1)
    for rbm, (w, c, _) in zip(dbn.rbms, parameters, strict=True):
        h = h @ w + c if rbm.hidden == "gaussian" else expit(h @ w + c)
    code = h
    for w, _, b in reversed(parameters):
        h = expit(h @ w.T + b)
    return code, h.reshape(x.shape)


@pytest.fixture(scope="module")
def pretrained(x):
    dbn = eagerly(aezoo.DBN(machines()))
    dbn.pretrain(x, epochs=[2, 1, 1], batch_size=8, optimizer=[keras.optimizers.SGD(0.5), None, None], verbose=0)
    return dbn


@pytest.fixture
def dbn(x):
    return build(aezoo.DBN(machines()), x)


# === What comes of it ===


def test_pretraining_trains_every_machine(pretrained, x):
    assert pretrained.rbms is pretrained.stages and [rbm.hidden_units for rbm in pretrained.rbms] == [8, 6, 3]
    assert [int(rbm.epoch.numpy()) for rbm in pretrained.rbms] == [2, 1, 1]
    for rbm, start in zip(pretrained.rbms, build(aezoo.DBN(machines()), x).rbms, strict=True):
        assert not np.allclose(rbm.parameters()[0], start.parameters()[0])
        assert rbm.parameters()[1].numpy().any() and rbm.parameters()[2].numpy().any()
    np.testing.assert_allclose(pretrained.unroll()(x), mean_field(pretrained, x)[1], atol=1e-6)


def test_unrolled_is_the_mean_field_pass(dbn, x):
    code, reconstruction = mean_field(dbn, x)
    deep = dbn.unroll(seed=1)
    assert isinstance(deep, aezoo.Autoencoder)
    for model in (dbn, deep):
        np.testing.assert_allclose(model.encode(x), code, rtol=1e-6, atol=1e-6)
        np.testing.assert_allclose(model.reconstruct(x), reconstruction, atol=1e-6)
    np.testing.assert_allclose(deep(x), reconstruction, atol=1e-6)
    assert np.asarray(deep.encode(x)).min() < 0 and np.ptp(code) > 1  # the gaussian top is linear
    assert np.ptp(reconstruction, axis=0).max() > 1e-3


def test_the_decoder_starts_with_the_transposes_and_is_untied(dbn, x, tmp_path):
    machines_before = [weights(rbm) for rbm in dbn.rbms]
    deep = dbn.unroll()
    kernels = [v for v in deep.trainable_variables if len(v.shape) == 2]
    assert [tuple(v.shape) for v in kernels[:3]] == [(36, 8), (8, 6), (6, 3)] and len(kernels) == 6
    up, down = kernels[:3], kernels[:2:-1]

    def as_down(v, like):
        return v.numpy() if v.shape == like.shape else v.numpy().T

    for a, b, rbm in zip(up, down, dbn.rbms, strict=True):
        assert a is not b
        np.testing.assert_array_equal(a.numpy(), rbm.parameters()[0])
        np.testing.assert_array_equal(as_down(b, a), a.numpy())
    # One changes without the other ...
    below = np.asarray(deep.encode(x))
    down[0].assign(down[0] + 1.0)
    np.testing.assert_array_equal(deep.encode(x), below)
    deep = dbn.unroll()
    # ... and fine-tuning changes both, differently, and no machine.
    deep.compile(keras.optimizers.SGD(0.1), run_eagerly=True)
    deep.fit(x, epochs=1, verbose=0)
    kernels = [v for v in deep.trainable_variables if len(v.shape) == 2]
    for a, b, rbm in zip(kernels[:3], kernels[:2:-1], dbn.rbms, strict=True):
        start = np.asarray(rbm.parameters()[0])
        assert not np.array_equal(a.numpy(), start) and not np.array_equal(as_down(b, a), start)
        assert not np.allclose(a.numpy(), as_down(b, a), rtol=0, atol=1e-7)
    for before, rbm in zip(machines_before, dbn.rbms, strict=True):
        assert_same(before, weights(rbm))
    deep.save(tmp_path / "deep.keras")
    np.testing.assert_array_equal(keras.saving.load_model(tmp_path / "deep.keras")(x), deep(x))


@pytest.mark.parametrize("activation", ["softmax", None])
def test_the_classifier_is_the_mean_field_encoder_and_an_output_layer(dbn, x, activation):
    classifier = dbn.to_classifier(4, activation=activation)
    kernel, bias = classifier.layers[-1].get_weights()
    logits = mean_field(dbn, x)[0] @ kernel + bias
    expected = softmax(logits, axis=1) if activation else logits
    np.testing.assert_allclose(classifier(x), expected, rtol=1e-5, atol=1e-5)
    before = [weights(rbm) for rbm in dbn.rbms]
    labels = np.arange(21) % 4
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=activation is None)
    classifier.compile(keras.optimizers.Adam(0.05), loss, run_eagerly=True)
    history = classifier.fit(x, labels, epochs=5, verbose=0).history["loss"]
    assert history[-1] < history[0]
    for a, rbm in zip(before, dbn.rbms, strict=True):
        assert_same(a, weights(rbm))


# === sample ===


def test_samples_have_the_shape_of_the_input(dbn, x):
    for n in (1, 4):
        samples = np.asarray(dbn.sample(n, gibbs_steps=2))
        assert samples.shape == (n, 6, 6, 1) and samples.dtype == "float32"
        assert samples.min() >= 0 and samples.max() <= 1
    assert dbn.sample(21, gibbs_steps=1, start=x).shape == x.shape
    assert not np.array_equal(dbn.sample(2, gibbs_steps=1), dbn.sample(2, gibbs_steps=1))
    for bad in ({"n": 3, "start": x}, {"n": 2, "gibbs_steps": 0}):
        with pytest.raises(ValueError, match=r"but start has 21|gibbs_steps must be"):
            dbn.sample(**bad)
    with pytest.raises(ValueError, match="was built for"):
        dbn.sample(21, gibbs_steps=1, start=x[:, :5])


def test_samples_are_drawn_in_the_top_machine_and_passed_down_as_means(x):
    dbn = build(aezoo.DBN([aezoo.RBM(8, seed=1), aezoo.RBM(6, seed=2)]), x)
    bottom, top = dbn.rbms
    w, _, b = (np.asarray(p) for p in bottom.parameters())
    # A top machine without connections, whose visible units are therefore known.
    known = np.array([1, 0, 0, 1, 1, 0, 1, 0], "float32")
    kernel, hidden_bias, visible_bias = top.trainable_variables
    for v, value in ((kernel, 0.0 * kernel), (hidden_bias, 0.0 * hidden_bias), (visible_bias, 200 * known - 100)):
        v.assign(value)
    expected = np.broadcast_to(expit(known @ w.T + b).reshape(1, 6, 6, 1), (3, 6, 6, 1))
    np.testing.assert_allclose(dbn.sample(3, gibbs_steps=5), expected, atol=1e-5)
    np.testing.assert_allclose(dbn.sample(3, gibbs_steps=1, start=x[:3]), expected, atol=1e-5)
    # A top machine that copies what it is given: the chain stays where it started, at the code of `start`.
    kernel.assign(100 * np.eye(8, 6, dtype="float32"))
    hidden_bias.assign(-50 * np.ones(6, "float32"))
    visible_bias.assign(np.array([-50] * 6 + [-100] * 2, "float32"))
    bottom.trainable_variables[0].assign(4000.0 * (w > 0.4))  # codes near 0 and 1
    bottom.trainable_variables[1].assign(-2000.0 * (w > 0.4).sum(0))
    code = np.array(bottom.encode(x[:3]))
    assert np.minimum(code, 1 - code).max() < 1e-3 and 0 < code[:, :6].mean() < 1
    code[:, 6:] = 0
    np.testing.assert_allclose(dbn.sample(3, gibbs_steps=4, start=x[:3]), bottom.decode(code), atol=1e-3)


# === What it refuses ===


def test_what_a_network_is_made_of():
    rbm = aezoo.RBM(3)
    for bad, message in (
        ([], "at least one model"),
        ([rbm, aezoo.Autoencoder(2)], "consists of RBMs"),
        ([rbm, rbm], "twice"),
        ([rbm, 500], "consists of aezoo models, but 500 is not one"),
        ([rbm, aezoo.VAE(2)], "consists of RBMs"),
    ):
        with pytest.raises(ValueError, match=message) as raised:
            aezoo.DBN(bad)
        assert "\n" not in str(raised.value)


def test_before_pretraining_there_is_nothing_to_use():
    dbn = aezoo.DBN(machines())
    for use in (dbn.unroll, lambda: dbn.sample(2), lambda: dbn.to_classifier(3)):
        with pytest.raises(ValueError, match="has no weights yet: call pretrain first"):
            use()


def slices(data):
    return tf.data.Dataset.from_tensor_slices(data).batch(8)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (lambda x: (x * 255).astype("uint8"), "floating-point"),
        (lambda x: slices((x * 255).astype("uint8")), "floating-point"),
        (lambda x: slices((x, np.arange(21))), "labels"),
        (lambda x: 3 * x - 1, "outside"),
        (lambda x: x[:, :5], "was built for"),
    ],
    ids=["integers", "integer Dataset", "labels", "range", "shape"],
)
def test_data_that_cannot_be_trained_on(dbn, x, tmp_path, data, message):
    before = [weights(rbm) for rbm in dbn.rbms]
    with pytest.raises(ValueError, match=message) as raised:
        dbn.pretrain(data(x), epochs=1, verbose=0, checkpoint_dir=tmp_path / "run")
    assert "\n" not in str(raised.value)
    for a, rbm in zip(before, dbn.rbms, strict=True):
        assert_same(a, weights(rbm))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("hidden", ["gaussian", "relu"])
def test_unbounded_codes_below_bernoulli_visibles(x, tmp_path, hidden):
    dbn = build(aezoo.DBN([aezoo.RBM(5, hidden=hidden), aezoo.RBM(3)]), x)
    before = [weights(rbm) for rbm in dbn.rbms]
    with pytest.raises(ValueError, match="visible='gaussian'") as raised:
        dbn.pretrain(x, epochs=1, verbose=0, checkpoint_dir=tmp_path / "run")
    assert "\n" not in str(raised.value) and not (tmp_path / "run").exists()
    for a, rbm in zip(before, dbn.rbms, strict=True):
        assert_same(a, weights(rbm))


def test_a_machine_that_was_built_for_another_size(x, tmp_path):
    above = aezoo.RBM(3)
    above.build((None, 9))
    below = aezoo.RBM(5)
    with pytest.raises(ValueError, match=r"Layer 2 .* built for inputs of shape \(9,\),.* \(5,\)") as raised:
        aezoo.DBN([below, above]).pretrain(x, epochs=1, verbose=0, checkpoint_dir=tmp_path / "run")
    assert "\n" not in str(raised.value) and not (tmp_path / "run").exists()
    assert int(below.epoch.numpy()) == 0


def test_unstandardised_data_for_gaussian_visibles(x):
    """A warning that names the fix: of data that are given to the stack, of which the machine sees batches only."""
    dbn = aezoo.DBN([aezoo.RBM(3, visible="gaussian", seed=1)])
    with pytest.warns(UserWarning, match=r"x\.std\(0\)"):
        eagerly(dbn).pretrain(100 * x, epochs=1, verbose=0)
    standardised = (x - x.mean(0)) / x.std(0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        dbn = eagerly(aezoo.DBN([aezoo.RBM(3, visible="gaussian", seed=1)]))
        dbn.pretrain(standardised, epochs=1, verbose=0)


def test_float64_and_float32_give_the_same(x):
    single, double = aezoo.RBM(3, seed=1), aezoo.RBM(3, seed=1)
    eagerly(aezoo.DBN([single])).pretrain(x, epochs=1, verbose=0)
    eagerly(aezoo.DBN([double])).pretrain(x.astype("float64"), epochs=1, verbose=0)
    for a, b in zip(weights(single), weights(double), strict=True):
        np.testing.assert_allclose(b, a, atol=1e-6)


def contents(folder):
    return {path.relative_to(folder): path.is_file() and path.read_bytes() for path in sorted(folder.rglob("*"))}


def folder_of_other_units(folder, x):
    aezoo.DBN([aezoo.RBM(8), aezoo.RBM(7)]).pretrain(x, epochs=0, verbose=0, checkpoint_dir=folder)


def folder_of_fewer_layers(folder, x):
    aezoo.DBN([aezoo.RBM(8, seed=1)]).pretrain(x, epochs=0, verbose=0, checkpoint_dir=folder)


def folder_of_another_kind(folder, x):
    stack = aezoo.StackedAE([aezoo.SparseAE(8), aezoo.SparseAE(6)])
    stack.pretrain(x, epochs=0, verbose=0, checkpoint_dir=folder)


def folder_of_another_input(folder, x):
    aezoo.DBN(machines()).pretrain(x[:, :5], epochs=0, verbose=0, checkpoint_dir=folder)


def folder_of_somebody_else(folder, x):
    (folder / "photos").mkdir(parents=True)
    (folder / "thesis.txt").write_text("years of work")


def folder_with_a_file_of_that_name(folder, x):
    folder.mkdir()
    (folder / "stack.json").write_text(json.dumps({"overflow": True}))


def folder_with_a_damaged_manifest(folder, x):
    folder_of_fewer_layers(folder, x)
    manifest = folder / "stack.json"
    manifest.write_text(manifest.read_text()[:40])


@pytest.fixture(scope="module")
def begun(x, tmp_path_factory):
    """The folder of a pretraining that has made no step."""
    folder = tmp_path_factory.mktemp("begun") / "run"
    aezoo.DBN(machines()).pretrain(x, epochs=0, verbose=0, checkpoint_dir=folder)
    return folder


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("stack.json", lambda text: "[" * 10**5),
        pytest.param("stack.json", lambda text: "[]", marks=pytest.mark.slow),
        ("stack.json", lambda text: text.replace('"architecture": [', '"architecture": [3, ')),
        pytest.param(
            "stack.json", lambda text: text.replace('"starts": [', '"starts": ["a", '), marks=pytest.mark.slow
        ),
        pytest.param(
            "stack.json", lambda text: text.replace('"run": {', '"run": 3, "walk": {'), marks=pytest.mark.slow
        ),
        ("layer-1.weights.h5", lambda text: "damaged"),
        ("layer-1.weights.h5", lambda text: None),
    ],
)
def test_a_damaged_file_of_a_pretraining_is_named(x, tmp_path, begun, name, change):
    shutil.copytree(begun, tmp_path / "run")
    path = tmp_path / "run" / name
    changed = change(path.read_text(errors="replace"))
    path.unlink() if changed is None else path.write_text(changed)
    with pytest.raises(ValueError, match=rf"{name}' is (damaged|not a pretraining).*checkpoint_dir"):
        aezoo.DBN(machines()).pretrain(x, epochs=0, verbose=0, checkpoint_dir=tmp_path / "run")


@pytest.mark.slow_cases(
    "folder_of_another_input-contains the pretraining of another stack",
    "folder_of_another_kind-contains the pretraining of another stack",
)
@pytest.mark.parametrize(
    ("prepare", "message"),
    [
        (folder_of_other_units, "contains the pretraining of another stack"),
        (folder_of_fewer_layers, "a stack of 1 layers, not 3|another stack"),
        (folder_of_another_kind, "contains the pretraining of another stack"),
        (folder_of_another_input, "contains the pretraining of another stack"),
        (folder_of_somebody_else, "not empty"),
        (folder_with_a_file_of_that_name, "choose another"),
        (folder_with_a_damaged_manifest, "choose another"),
    ],
)
def test_the_folder_of_something_else(dbn, x, tmp_path, prepare, message):
    folder = tmp_path / "run"
    prepare(folder, x)
    before, files = [weights(rbm) for rbm in dbn.rbms], contents(folder)
    with pytest.raises(ValueError, match=message) as raised:
        dbn.pretrain(x, epochs=1, verbose=0, checkpoint_dir=folder)
    assert "\n" not in str(raised.value) and "run" in str(raised.value)
    assert contents(folder) == files
    for a, rbm in zip(before, dbn.rbms, strict=True):
        assert_same(a, weights(rbm))


def test_a_file_in_place_of_the_folder(dbn, x, tmp_path):
    (tmp_path / "run").write_text("a file")
    with pytest.raises(ValueError, match=r"not .*a folder|is a file|choose another"):
        dbn.pretrain(x, epochs=1, verbose=0, checkpoint_dir=tmp_path / "run")
    assert (tmp_path / "run").read_text() == "a file"
    assert [int(rbm.epoch.numpy()) for rbm in dbn.rbms] == [0, 0, 0]
