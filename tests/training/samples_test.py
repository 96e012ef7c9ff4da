import keras
import numpy as np
import pytest
import tensorflow as tf

import aezoo
import aezoo.testing
from aezoo.training import samples

X = np.random.default_rng(0).random((23, 4), "float32")


class Batches(keras.utils.PyDataset):
    def __len__(self):
        return 5

    def __getitem__(self, i):
        return (X[5 * i : 5 * i + 5],)


KINDS = {
    "array": lambda: X,
    "float64": lambda: X.astype("float64"),
    "tensor": lambda: tf.constant(X),
    "Dataset": lambda: tf.data.Dataset.from_tensor_slices(X).batch(5),
    "targets": lambda: tf.data.Dataset.from_tensor_slices((X, 0 * X)).batch(5),
    "PyDataset": Batches,
    "generator": lambda: (Batches()[i] for i in range(5)),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_sample_is_of_the_data_and_leaves_them_whole(kind, monkeypatch):
    x, sample = samples.take(KINDS[kind]())
    assert sample.dtype == "float32"
    np.testing.assert_array_equal(sample, X)
    if kind == "generator":
        np.testing.assert_array_equal(np.concatenate([element[0] for element in x]), X)
    monkeypatch.setattr(samples, "_MOST_SAMPLES", 11)
    x, few = samples.take(KINDS[kind]())
    rows = {"PyDataset": [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 15]}.get(kind, range(11))  # batches 0, 1 and 3 of 5
    expected = X[np.arange(11) * 23 // 11] if hasattr(x, "shape") else X[list(rows)]
    np.testing.assert_array_equal(few, expected)
    if kind == "generator":
        np.testing.assert_array_equal(np.concatenate([element[0] for element in x]), X)


def test_a_sample_is_bounded_and_leaves_validation_samples_out(monkeypatch):
    monkeypatch.setattr(samples, "_MOST_NUMBERS", 43)
    assert samples.take(X)[1].shape == (10, 4)
    np.testing.assert_array_equal(samples.take(X, validation_split=0.8)[1], X[:4])
    monkeypatch.setattr(samples, "_MOST_BATCHES", 3)
    assert len(samples.take(tf.data.Dataset.from_tensor_slices(X).repeat().batch(1))[1]) == 3


@pytest.mark.parametrize("kind", ["array", "Dataset", "replicas"])
def test_samples_count_by_their_weights(kind):
    weight = np.ones(23, "float32")
    weight[[3, 7, 11]] = 0, 2, 0.0
    expected = X[[0, 1, 2, 4, 5, 6, 7, 7, 8, 9, 10, *range(12, 23)]]
    if kind == "array":
        sample = samples.take(X, sample_weight=weight)[1]
        np.testing.assert_array_equal(samples.take(X, sample_weight=0 * weight)[1], X)
        np.testing.assert_array_equal(samples.take(X, sample_weight=0.1 + 0 * weight)[1], X)
        np.testing.assert_array_equal(samples.take(X, None, 0.5, weight)[1], expected[:11])
    else:
        strategy = aezoo.testing.two_replicas() if kind == "replicas" else None
        x = tf.data.Dataset.from_tensor_slices((X, X, weight)).batch(6)
        sample = samples.take(strategy.experimental_distribute_dataset(x) if strategy else x, strategy)[1]
    np.testing.assert_array_equal(sample, expected)


class Centered(aezoo.Autoencoder):
    """Starts at the mean of the data, and counts how often."""

    calls = 0

    def initialize_from(self, x):
        self.calls += 1
        if not np.any(self.trainable_variables[-1]):
            self.trainable_variables[-1].assign(x.mean(axis=0))


def centered(strategy=None, **options):
    with (strategy or tf.distribute.get_strategy()).scope():
        model = Centered(2, output_activation="linear", seed=0)
        model.compile(keras.optimizers.SGD(0.0), **options)
    return model


@pytest.mark.slow_cases("PyDataset", "generator")
@pytest.mark.parametrize("kind", KINDS)
def test_fit_starts_an_untrained_model_from_its_data_once(kind):
    model = centered(run_eagerly=True)
    options = {"steps_per_epoch": 5} if kind == "generator" else {}
    history = model.fit(KINDS[kind](), verbose=0, **options).history
    np.testing.assert_allclose(model.trainable_variables[-1], X.mean(axis=0), atol=1e-6)
    assert len(history["loss"]) == 1 and model.calls == 1
    for again in (model.fit, lambda x, **kw: model.fit(x, initial_epoch=0, **kw)):
        again(X[:5] + 1.0, verbose=0)
    assert model.calls == 1
    np.testing.assert_allclose(model.trainable_variables[-1], X.mean(axis=0), atol=1e-6)


def test_a_model_that_has_taken_a_step_does_not_start_again():
    model = centered(run_eagerly=True)
    model.train_on_batch(X)
    model.fit(X, verbose=0)
    assert model.calls == 0


def test_bad_data_do_not_start_a_model():
    model = centered(run_eagerly=True)
    model.build(X.shape)
    for bad in (X * np.nan, tf.data.Dataset.from_tensor_slices(X * np.nan).batch(5)):
        with pytest.raises(ValueError, match="NaN"):
            model.fit(bad, verbose=0)
    assert model.calls == 0


@pytest.mark.parametrize("distributed", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_a_model_on_two_replicas_starts_from_the_data(distributed):
    strategy = aezoo.testing.two_replicas()
    model, x = centered(strategy), X
    if distributed:
        x = strategy.experimental_distribute_dataset(tf.data.Dataset.from_tensor_slices(X).batch(6))
    model.fit(x, batch_size=None if distributed else 8, shuffle=not distributed, verbose=0)
    np.testing.assert_allclose(model.trainable_variables[-1], X.mean(axis=0), atol=1e-6)
