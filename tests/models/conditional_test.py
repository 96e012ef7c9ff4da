"""The conditional VAE against NumPy, a VAE of the same weights, and a Gaussian whose p(x given c) is known."""

import keras
import numpy as np
import pytest
import scipy.stats
import tensorflow as tf

import aezoo
from aezoo.training import gate
from aezoo.training.batch import Batch

RNG = np.random.default_rng(0)
X = RNG.random((12, 4), dtype="float32")
LABEL = np.arange(12) % 3


def made(**arguments):
    model = aezoo.ConditionalVAE(**{"latent_dim": 2, "num_classes": 3, "seed": 0, **arguments})
    model.build_for({"x": X, "label": LABEL})
    for variable in model.trainable_variables:  # biases too
        variable.assign(RNG.normal(0, 0.5, variable.shape))
    return model


def compiled(model, **options):
    model.compile(keras.optimizers.SGD(0.05), run_eagerly=True, **options)
    return model


# === The equation ===


def test_the_terms_are_the_bound_given_the_label():
    model = made(hidden_dims=(5,), beta=0.7)
    model.noise = lambda shape: tf.fill(shape, 0.3)
    inputs = {"x": X, "label": LABEL}
    reported, y_pred = model.objective(
        Batch.of(tf.constant(X), conditions={"label": tf.constant(LABEL, "int32")}), training=True
    )
    mean, log_variance = (np.asarray(t, "float64") for t in model.posterior(inputs))
    z = (mean + 0.3 * np.exp(log_variance / 2)).astype("float32")
    p = np.asarray(model.decoder({"z": z, "label": LABEL}), "float64")
    np.testing.assert_allclose(y_pred, p, atol=1e-6)
    error = -(X * np.log(p) + (1 - X) * np.log1p(-p)).sum(axis=1).mean()
    assert float(reported["reconstruction"]) == pytest.approx(error, rel=1e-5)
    kl = (mean**2 + np.exp(log_variance) - log_variance - 1).sum(axis=1).mean() / 2
    assert float(reported["kl"]) == pytest.approx(0.7 * kl, rel=1e-5)


def dense(network):
    """Kernel and bias of each dense layer of a network, in order."""
    return [*zip(network.trainable_variables[::2], network.trainable_variables[1::2], strict=True)]


@pytest.mark.slow_cases("1", "2")
@pytest.mark.parametrize("label", range(3))
def test_for_any_one_class_it_is_a_vae(label):
    model = made(hidden_dims=(5,))
    vae = aezoo.VAE(2, hidden_dims=(5,))
    vae.build(X.shape)
    for own, other, features in ((model.posterior, vae.posterior, 4), (model.decoder, vae.decoder, 2)):
        for (a, a_bias), (b, b_bias) in zip(dense(own), dense(other), strict=True):
            b.assign(a[: b.shape[0]])
            b_bias.assign(a_bias if a.shape == b.shape else a_bias + a[features + label])
    np.testing.assert_allclose(model.encode(X, label=label), vae.encode(X), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(model.reconstruct(X, label=label), vae.reconstruct(X), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(model.score_samples(X, label=label), vae.score_samples(X), rtol=1e-5)
    np.testing.assert_allclose(model.sample(4, seed=1, label=label), vae.sample(4, seed=1), rtol=1e-5, atol=1e-6)


def test_the_likelihood_of_a_linear_gaussian_model_is_exact():
    """x = Wz + Vc + b + ε: p(x given c) = N(Vc + b, WWᵀ + σ²I); with WᵀW diagonal the posterior is diagonal too."""
    w = np.linalg.qr(RNG.normal(size=(4, 2)))[0] * [2.0, 0.7]
    v, b, variance = RNG.normal(size=(3, 4)), RNG.normal(size=4), 0.3
    model = aezoo.ConditionalVAE(2, num_classes=3, likelihood="gaussian", variance=variance)
    model.build_for(X, LABEL)
    posterior = 1 / (1 + np.diag(w.T @ w) / variance)
    gain = posterior[:, None] * w.T / variance
    weights = [np.vstack([gain.T, -v @ gain.T]), -gain @ b, np.zeros((7, 2)), np.log(posterior), np.vstack([w.T, v]), b]
    for variable, value in zip(
        [v for n in (model.posterior, model.decoder) for v in n.trainable_variables], weights, strict=True
    ):
        variable.assign(value)
    x = RNG.normal(size=(9, 4)).astype("float32")
    for c in range(3):
        exact = scipy.stats.multivariate_normal(v[c] + b, w @ w.T + variance * np.eye(4)).logpdf(x)
        np.testing.assert_allclose(model.log_likelihood(x, samples=2, label=c), exact, rtol=1e-4)
    mixed = model.log_likelihood(x, samples=2, batch_size=4, label=np.arange(9) % 3)
    one_by_one = [model.log_likelihood(x[i : i + 1], samples=2, label=i % 3)[0] for i in range(9)]
    np.testing.assert_allclose(mixed, one_by_one, rtol=1e-4)
    draws = np.asarray(model.sample(20_000, seed=0, label=2))
    np.testing.assert_allclose(draws.mean(axis=0), v[2] + b, atol=0.05)
    np.testing.assert_allclose(np.cov(draws.T), w @ w.T, atol=0.1)


@pytest.mark.parametrize("filters", [(), pytest.param((3,), marks=pytest.mark.slow)])
def test_the_label_decides_what_is_drawn(filters):
    keras.utils.set_random_seed(0)
    label = np.arange(64) % 2
    x = np.where(label[:, None, None, None], 0.9, 0.1) + np.zeros((1, 4, 4, 1), "float32")  # dark and bright
    model = aezoo.ConditionalVAE(1, num_classes=2, filters=filters, seed=0)
    model.compile(keras.optimizers.Adam(0.05))
    model.fit(np.tile(x, (12, 1, 1, 1)).astype("float32"), np.tile(label, 12), batch_size=64, epochs=8, verbose=0)
    dark, bright = (np.asarray(model.sample(8, seed=0, label=c)) for c in (0, 1))
    assert dark.max() < 0.3 and bright.min() > 0.7
    both = np.asarray(model.sample(8, seed=0, label=np.arange(8) % 2))
    np.testing.assert_allclose(both, np.where(np.arange(8)[:, None, None, None] % 2, bright, dark), rtol=1e-5)
    np.testing.assert_allclose(model.decode(model.encode(x[:4], label=label[:4]), label=1), 0.9, atol=0.1)


# === Several conditions ===

PERSON, JOB = np.arange(12) % 2, np.arange(12) // 4


def several(**arguments):
    sizes = {"person": 2, "job": 3}
    model = aezoo.ConditionalVAE(**{"latent_dim": 2, "conditions": sizes, "seed": 0, "hidden_dims": (5,), **arguments})
    model.build_for({"x": X, "person": PERSON, "job": JOB})
    for variable in model.trainable_variables:
        variable.assign(RNG.normal(0, 0.5, variable.shape))
    return model


def test_several_conditions_are_one_of_their_combination_with_summed_weights():
    """A label of 6 combinations whose rows of weights are sums of a row per person and a row per job is the same."""
    model = several()
    one = aezoo.ConditionalVAE(2, num_classes=6, hidden_dims=(5,))
    one.build_for(X, PERSON)
    for own, other, features in ((model.posterior, one.posterior, 4), (model.decoder, one.decoder, 2)):
        for i, ((a, a_bias), (b, b_bias)) in enumerate(zip(dense(own), dense(other), strict=True)):
            rows = a.numpy()
            if i == 0:
                of_person, of_job = rows[features : features + 2], rows[features + 2 :]
                rows = np.concatenate([rows[:features], (of_job[:, None] + of_person).reshape(6, -1)])
            b.assign(rows)
            b_bias.assign(a_bias)
    given, combined = {"person": PERSON, "job": JOB}, 2 * JOB + PERSON
    np.testing.assert_allclose(model.encode(X, **given), one.encode(X, label=combined), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(
        model.sample(12, seed=1, **given), one.sample(12, seed=1, label=combined), rtol=1e-5, atol=1e-6
    )
    np.testing.assert_allclose(model.sample(3, seed=1, person=1, job=2), one.sample(3, seed=1, label=5), rtol=1e-5)
    assert not np.allclose(model.sample(3, seed=1, person=1, job=2), model.sample(3, seed=1, person=0, job=2))


@pytest.mark.slow
def test_a_held_out_combination_is_composed():
    keras.utils.set_random_seed(0)
    rows, columns = np.arange(240) % 4, np.arange(240) // 4 % 4
    x = np.zeros((240, 8), "float32")
    x[np.arange(240), rows] = x[np.arange(240), 4 + columns] = 1
    seen = (rows != 1) | (columns != 2)
    model = aezoo.ConditionalVAE(1, conditions={"row": 4, "column": 4}, seed=0)
    model.compile(keras.optimizers.Adam(0.1))
    model.fit({"x": x[seen], "row": rows[seen], "column": columns[seen]}, batch_size=45, epochs=40, verbose=0)
    drawn = np.asarray(model.sample(20, seed=0, row=1, column=2))
    np.testing.assert_array_equal(drawn.round(), np.tile(np.eye(8)[1] + np.eye(8)[6], (20, 1)))


def test_several_conditions_are_saved_and_served(tmp_path):
    model = compiled(several())
    model.fit({"x": X, "person": PERSON, "job": JOB}, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert loaded.condition_names == ("person", "job") and loaded.get_config()["conditions"] == {"person": 2, "job": 3}
    np.testing.assert_array_equal(loaded.sample(3, seed=1, person=1, job=2), model.sample(3, seed=1, person=1, job=2))
    with pytest.raises(ValueError, match=r"job must be in \[0, 2\]"):
        loaded.sample(3, person=1, job=3)
    with pytest.raises(ValueError, match="needs"):
        loaded.sample(3, person=1)


def test_a_configuration_of_earlier_versions_is_read():
    """Files of earlier versions have `condition` and `num_classes`, and no `conditions`."""
    config = made().get_config()
    assert (config["condition"], config["num_classes"], config.pop("conditions")) == ("label", 3, None)
    assert aezoo.ConditionalVAE.from_config(config).condition_names == ("label",)


# === Conditions by name, and the forms that data come in ===


def test_one_condition_for_all_is_that_of_each():
    model = made()
    a, b = X[:4], X[4:8]
    for verb in (
        lambda label: model.encode(a, label=label),
        lambda label: model.decode(np.ones((4, 2), "float32"), label=label),
        lambda label: model.reconstruct(a, label=label),
        lambda label: model.score_samples(a, label=label),
        lambda label: model.sample(4, seed=3, label=label),
        lambda label: model.interpolate(a, b, steps=3, label=label),
    ):
        one, each, other = (np.asarray(verb(label)) for label in (2, np.full(4, 2), 1))
        np.testing.assert_array_equal(one, each)
        assert not np.allclose(one, other)
    np.testing.assert_array_equal(model.encode({"x": a, "label": np.full(4, 2)}), model.encode(a, label=2))
    np.testing.assert_array_equal(model({"x": a, "label": np.full(4, 2)}), model.reconstruct(a, label=2))
    predicted = model.predict({"x": a, "label": np.full(4, 2)}, verbose=0)
    np.testing.assert_allclose(predicted, model.reconstruct(a, label=2), rtol=1e-6)


class Batches(keras.utils.PyDataset):
    def __init__(self, batches):
        super().__init__()
        self.batches = batches

    def __len__(self):
        return len(self.batches)

    def __getitem__(self, i):
        return self.batches[i]


def batches(of):
    return [of(X[i : i + 4], LABEL[i : i + 4]) for i in range(0, 12, 4)]


def pair(x, label):
    return x, label


def named(x, label):
    return {"x": x, "label": label}


def generator(batches):
    yield from batches


FORMS = {
    "(x, y)": lambda: (X, LABEL),
    "dict and target": lambda: (named(X, LABEL), X),
    "tensors": lambda: (tf.constant(X), tf.constant(LABEL)),
    "bool and uint8": lambda: (X, LABEL.astype("uint8")),
    "data set of pairs": lambda: (tf.data.Dataset.from_tensor_slices((X, LABEL)).batch(4),),
    "data set of dicts": lambda: (tf.data.Dataset.from_tensor_slices(named(X, LABEL)).batch(4),),
    "PyDataset of pairs": lambda: (Batches(batches(pair)),),
    "PyDataset of dicts": lambda: (Batches(batches(named)),),
    "generator of pairs": lambda: (generator(batches(pair)), None),
    "generator of dicts": lambda: (generator(batches(named)), None),
}


def trained(x, y=None):
    model = aezoo.ConditionalVAE(2, num_classes=3, hidden_dims=(3,), seed=0)
    model.noise = tf.zeros
    compiled(model)
    arrays = {"batch_size": 4} if hasattr(x, "shape") or isinstance(x, dict) else {}
    arrays |= {"steps_per_epoch": 3} if hasattr(x, "__next__") else {}
    model.fit(x, y, epochs=1, verbose=0, shuffle=False, **arrays)
    return [v.numpy() for v in model.trainable_variables]


@pytest.mark.slow
def test_data_of_any_form_give_the_same_weights():
    expected = trained(named(X, LABEL), None)
    for name, form in FORMS.items():
        for a, b in zip(expected, trained(*form()), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7, err_msg=name)
    assert not np.allclose(expected[0], trained(named(X, LABEL[::-1]), None)[0], atol=1e-4)


def test_validation_and_sample_weights_take_conditions():
    model = compiled(made())
    weight = np.arange(12) % 2
    history = model.fit(X, LABEL, sample_weight=weight, validation_data=(X, LABEL), verbose=0).history
    assert set(history) >= {"val_reconstruction", "val_kl"}
    split = compiled(made())
    split.fit(named(X, LABEL), validation_split=0.25, verbose=0)
    kept = compiled(made())
    kept.set_weights(split.get_weights())
    for m, rows in ((split, weight), (kept, 1 - weight)):  # the samples of weight zero are not looked at
        m.noise = tf.zeros
        x = np.where(rows[:, None], X, 0.5).astype("float32")
        reports = m.evaluate(named(x, LABEL), sample_weight=rows, verbose=0, return_dict=True)
        only = m.evaluate(named(X[rows > 0], LABEL[rows > 0]), verbose=0, return_dict=True)
        assert reports["kl"] == pytest.approx(only["kl"] / 2, rel=1e-5)


# === Files ===


def test_a_loaded_model_draws_on_and_trains_on(tmp_path):
    model = compiled(made(filters=(), hidden_dims=(3,)))
    model.fit(X, LABEL, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert loaded.condition_specs == model.condition_specs and loaded.num_classes == 3
    np.testing.assert_array_equal(loaded.sample(3, label=1), model.sample(3, label=1))
    for m in (model, loaded):
        m.fit(X, LABEL, verbose=0)
    np.testing.assert_array_equal(loaded.encode(X, label=LABEL), model.encode(X, label=LABEL))
    model.encoder.save(tmp_path / "encoder.keras")
    encoder = keras.saving.load_model(tmp_path / "encoder.keras")
    np.testing.assert_array_equal(encoder(named(X, LABEL)), model.encode(X, label=LABEL))


def test_a_preset_keeps_the_condition(tmp_path):
    model = aezoo.ConditionalVAE(2, condition="digit")
    model.build_for({"x": X, "digit": LABEL})
    model.save_to_preset(tmp_path / "preset")
    for cls in (aezoo.Autoencoder, aezoo.ConditionalVAE):
        again = cls.from_preset(tmp_path / "preset")
        np.testing.assert_array_equal(again.encode(X, digit=3), model.encode(X, digit=3))


@pytest.mark.slow
def test_an_export_serves_labels(tmp_path):
    model = made()
    model.export(tmp_path / "cvae" / "1")
    served = tf.saved_model.load(tmp_path / "cvae" / "1").signatures
    inputs = {name: set(f.structured_input_signature[1]) for name, f in served.items()}
    assert inputs["encode"] == inputs["score"] == inputs["serving_default"] == {"x", "label"}
    assert inputs["decode"] == {"z", "label"} and inputs["sample"] == {"label", "seed"}
    label = tf.constant([0, 2, 1])
    drawn = served["sample"](label=label, seed=tf.constant(5, "int64"))["sample"]
    np.testing.assert_allclose(drawn, model.sample(3, seed=5, label=label), rtol=1e-5)
    code = served["encode"](x=tf.constant(X[:3]), label=label)["code"]
    np.testing.assert_allclose(code, model.encode(X[:3], label=label), rtol=1e-5)
    for name, rest in (("encode", {"x": X[:1]}), ("decode", {"z": np.ones((1, 2), "float32")}), ("sample", {})):
        rest = {key: tf.constant(value) for key, value in rest.items()}
        rest |= {"seed": tf.constant(1, "int64")} if name == "sample" else {}
        with pytest.raises(tf.errors.InvalidArgumentError, match=r"label must be in \[0, 2\]"):
            served[name](label=tf.constant([3]), **rest)
    requests = [*aezoo.saving.warmup.read(tmp_path / "cvae" / "1" / aezoo.saving.warmup.IN_SAVED_MODEL)]
    assert {r.signature for r in requests} == {"serving_default", "encode", "decode", "score"}
    model.export(tmp_path / "cvae" / "2", warmup={"x": X[:2], "label": LABEL[:2]})
    with pytest.raises(ValueError, match="warmup needs x, label"):
        model.export(tmp_path / "cvae" / "3", warmup=X[:2])


# === Errors ===

CONFIGURATIONS = [
    ({"condition": "x"}, "condition must be an unused identifier, such as 'label', but it is 'x'"),
    ({"condition": "samples"}, "condition must be an unused identifier"),
    ({"condition": "eta"}, "condition must be an unused identifier"),  # an option of LatentDiffusion.sample
    ({"condition": "no name"}, "condition must be an unused identifier"),
    ({"condition": 3}, "condition must be an unused identifier"),
    ({"num_classes": 0}, "num_classes must be at least 1"),
    ({"num_classes": 2.5}, "num_classes must be a whole number"),
    ({"tied": True}, "joins labels in its own networks: leave out tied"),
    ({"conditions": {}}, "conditions must be a dict such as"),
    ({"conditions": ["a"]}, "conditions must be a dict such as"),
    ({"conditions": {"a": 2, "x": 2}}, "condition must be an unused identifier, such as 'label', but it is 'x'"),
    ({"conditions": {"a": 0}}, r"conditions\['a'\] must be at least 1"),
    ({"conditions": {"a": 2}, "num_classes": 3}, "leave out condition and num_classes"),
]


@pytest.mark.parametrize(("arguments", "message"), CONFIGURATIONS, ids=lambda value: str(value)[:40])
def test_arguments_out_of_range(arguments, message):
    with pytest.raises(ValueError, match=message):
        aezoo.ConditionalVAE(2, **arguments)


BAD = {
    "missing": (lambda m: m.fit(X), "'cvae' needs 'label' beside the samples: give a dict, {'x': ..., 'label': ...}."),
    "unknown": (lambda m: m.fit({"x": X, "digit": LABEL}), "'cvae' takes 'x' and 'label', but the data have 'x' and"),
    "out of range": (lambda m: m.fit(X, LABEL + 1), "label must be in [0, 2]. Its values are from 1 to 3."),
    "negative": (lambda m: m.fit(X, -LABEL), "label must be in [0, 2]. Its values are from -2 to 0."),
    "floats": (lambda m: m.fit(X, LABEL.astype("float32")), "label must be integers, not float32"),
    "one-hot": (lambda m: m.fit(X, np.eye(3, dtype=int)[LABEL]), "label has shape (3,) per sample, but the model"),
    "a list": (lambda m: m.fit(X, LABEL.tolist()), "but it is a list: give np.asarray(label)."),
    "targets too": (lambda m: m.fit({"x": X, "label": LABEL}, LABEL), "leave them out: fit({'x': ..., 'label': ...})."),
    "a pair": (lambda m: m.reconstruct((X, LABEL)), "Expected samples as one array, (n, ...), but got a tuple."),
    "text": (
        lambda m: m.fit(X, np.array(["a"] * 12)),
        "label must be integers, not texts: convert texts with np.unique(label, return_inverse=True)[1].",
    ),
    "too few": (
        lambda m: m.fit(X, LABEL[:5]),
        "but 5 entries of label: give one entry per sample.",
    ),
    "in a data set": (
        lambda m: m.fit(tf.data.Dataset.from_tensor_slices((X, LABEL + 1)).batch(4)),
        "label must be in [0, 2].",
    ),
    "none in a data set": (lambda m: m.fit(tf.data.Dataset.from_tensor_slices(X).batch(4)), "needs 'label' beside"),
    "evaluate": (lambda m: m.evaluate(X, LABEL + 1), "label must be in [0, 2]"),
    "predict": (lambda m: m.predict(X), "needs 'label' beside the samples"),
    "encode": (lambda m: m.encode(X), "'cvae' needs label=..., or samples as a dict, {'x': ..., 'label'"),
    "encode None": (lambda m: m.encode(X, label=None), "but was given no condition."),
    "encode another": (lambda m: m.encode(X, digit=1), "but was given digit."),
    "encode twice": (lambda m: m.encode({"x": X, "label": LABEL}, label=1), "Give conditions once"),
    "encode floats": (lambda m: m.encode(X, label=1.0), "label must be integers, not float"),
    "encode out of range": (lambda m: m.encode(X, label=3), "label must be in [0, 2]. Its values are from 3 to 3."),
    "encode too few": (
        lambda m: m.encode(X, label=[1, 2]),
        "but 2 entries of label: give one entry per sample.",
    ),
    "sample": (lambda m: m.sample(3), "needs label=..."),
    "decode": (lambda m: m.decode(np.ones((3, 2), "float32"), label=-1), "label must be in [0, 2]"),
    "score": (lambda m: m.score_samples(X, label=9), "label must be in [0, 2]"),
    "log_likelihood": (lambda m: m.log_likelihood(X), "needs label=..."),
}


@pytest.mark.parametrize("built", [True, False], ids=["built", "new"])
@pytest.mark.parametrize("name", BAD)
def test_bad_labels_stop_with_one_sentence(name, built):
    call, message = BAD[name]
    model = compiled(aezoo.ConditionalVAE(2, num_classes=3, name="cvae"))
    if built:
        model.build_for(X, LABEL)
    elif name in ("sample", "decode"):
        message = "has no weights yet"
    with pytest.raises(ValueError) as error:
        call(model)
    assert message in str(error.value) and "\n" not in str(error.value)


def test_a_model_without_conditions_says_so():
    model = aezoo.VAE(2, name="vae")
    model.build(X.shape)
    for verb in (lambda: model.encode(X, label=1), lambda: model.sample(2, label=1)):
        with pytest.raises(ValueError, match="'vae' has no condition 'label': leave it out"):
            verb()


# === Networks of one's own ===


class Labeled(aezoo.Autoencoder):
    """An autoencoder whose decoder, a sigmoid whatever `output_activation` says, takes a label."""

    condition_names = ("label",)

    def build_decoder(self, x_shape):
        z, label = keras.Input((self.latent_dim,), name="z"), keras.Input((), dtype="int32", name="label")
        both = keras.layers.Concatenate()([z, keras.layers.Embedding(3, 2)(label)])
        return keras.Model({"z": z, "label": label}, aezoo.layers.decoder(x_shape, self.latent_dim + 2)(both))


def in_batches(x, label):
    return ((x[i : i + 4], label[i : i + 4]) for i in range(0, len(x), 4))


WAYS = {
    "arrays": lambda x, label: (x, label),
    "dict": lambda x, label: ({"x": x, "label": label},),
    "data set": lambda x, label: (tf.data.Dataset.from_tensor_slices((x, label)).batch(4),),
    "generator": lambda x, label: (in_batches(x, label),),
}
MISTAKES = {
    "outputs": (3 * X, LABEL, r"The targets go outside \[0, 1\]"),
    "floats": (X, LABEL + np.float32(0.5), "label must be integers, not float32"),
    "one-hot": (X, np.eye(3, dtype="float32")[LABEL], r"takes \(\): give one integer per sample, such as label.argmax"),
    "samples": (X, X, r"label has shape \(4,\) per sample, but the model takes \(\)"),
}


@pytest.mark.parametrize("form", WAYS)
@pytest.mark.parametrize("name", MISTAKES)
def test_the_first_fit_checks_data_against_the_networks_that_it_makes(name, form):
    x, label, message = MISTAKES[name]
    model = compiled(Labeled(2, output_activation="linear"))
    with pytest.raises(ValueError, match=message):
        model.fit(*WAYS[form](x, label), verbose=0)


@pytest.mark.parametrize("form", WAYS)
def test_no_batch_is_lost_to_that_check(form):
    model = compiled(Labeled(2, output_activation="linear"))
    seen = []
    options = {"generator": {"steps_per_epoch": 3}, "data set": {}}.get(form, {"batch_size": 4})
    batches = keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: seen.append(batch))
    model.fit(*WAYS[form](X, LABEL), verbose=0, callbacks=[batches], **options)
    assert seen == [0, 1, 2]


def test_a_misspelled_condition_is_named():
    class Misspelled(Labeled):
        condition_names = ("labels",)

    with pytest.raises(ValueError, match=r"The decoder takes 'label': .* as in condition_names, 'labels'\."):
        compiled(Misspelled(2)).fit(X, LABEL, verbose=0)


class Bounded(Labeled):
    def condition_bounds(self, name):
        return 0, 2


def harness(make):
    """The check of bad input for a model of three classes."""
    x, label = np.concatenate([X, X[:7]]), np.arange(19, dtype="int32") % 3
    aezoo.testing.bad_input(aezoo.testing.Case(make, x, conditions={"label": label}))


def test_the_harness_finds_labels_without_bounds(monkeypatch):
    """A label that is no class would be accepted in silence."""
    harness(lambda **kwargs: Bounded(2, **kwargs))
    with pytest.raises(AssertionError, match=r"condition_bounds\('label'\) returns None"):
        harness(lambda **kwargs: Labeled(2, **kwargs))
    monkeypatch.setattr(gate.Condition, "check_numbers", lambda self, values: None)
    with pytest.raises(AssertionError, match="a label of 3: accepted without an error"):
        harness(lambda **kwargs: aezoo.ConditionalVAE(2, num_classes=3, **kwargs))
