"""`compile` and `fit` of an autoencoder against a stock Keras model of the same network."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf

import aezoo
from aezoo.schedules import Linear

LOSSES = {
    "none": lambda: None,
    "mse": lambda: "mse",
    "mae": lambda: "mae",
    "function": lambda: keras.losses.mean_squared_error,
    "huber": lambda: keras.losses.Huber(delta=0.1),
    "sum": lambda: keras.losses.MeanSquaredError(reduction="sum"),
    "cross-entropy of Keras": lambda: "binary_crossentropy",
    "squared error": aezoo.losses.SquaredError,
    "cross-entropy": aezoo.losses.CrossEntropy,
    "sum of cross-entropies": lambda: aezoo.losses.CrossEntropy(reduction="sum"),
}
# Their gradients are smaller by the number of features.
AVERAGED = ("mse", "mae", "function", "huber", "cross-entropy of Keras")
# The others run without graphs, which take longer to make than to run.
GRAPHS = ("none", "mse")


def pair(x, name="none", **kwargs):
    """An autoencoder, and a stock model of the same network with the same weights."""
    loss = LOSSES[name]
    rate = 0.2 if name in AVERAGED else 0.005
    model = aezoo.Autoencoder(latent_dim=4, activation="tanh", seed=1)
    model.build((None, *x.shape[1:]))
    encoder, decoder = (keras.models.clone_model(n) for n in (model.encoder, model.decoder))
    inputs = keras.Input(x.shape[1:])
    stock = keras.Model(inputs, decoder(encoder(inputs)))
    stock.set_weights([v.numpy() for v in model.trainable_variables])
    model.compile(keras.optimizers.SGD(rate), loss(), run_eagerly=name not in GRAPHS, **kwargs)
    stock.compile(keras.optimizers.SGD(rate), loss() or aezoo.losses.SquaredError(), run_eagerly=True, **kwargs)
    return model, stock


def assert_same(model, stock, history, stock_history):
    for name, values in stock_history.items():
        np.testing.assert_allclose(history[name], values, rtol=1e-5, err_msg=name)
    for a, b in zip(model.trainable_variables, stock.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


ALIKE = ("mae", "huber", "sum of cross-entropies", "function", "squared error", "cross-entropy of Keras")
# Other functions on the way of "mse" and of "cross-entropy"


@pytest.mark.slow_cases("cross-entropy", "sum", "mse")
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow if name in ALIKE else ()) for name in LOSSES]
)
def test_any_loss_reports_and_trains_as_in_stock_keras(x, name):
    model, stock = pair(x, name, metrics=["mae"])
    options = dict(epochs=3, batch_size=8, shuffle=False, verbose=0)
    start = stock.get_weights()
    expected = stock.fit(x, x, validation_data=(x[:5], x[:5]), **options).history
    got = model.fit(x, validation_data=(x[:5],), **options).history
    assert not np.allclose(start[0], stock.get_weights()[0], atol=1e-4)
    assert_same(model, stock, got, expected)


@pytest.mark.slow_cases("sum")
@pytest.mark.parametrize("name", ["none", pytest.param("mse", marks=pytest.mark.slow), "sum"])
def test_sample_weights_and_targets_as_in_stock_keras(x, name):
    x = x.reshape(21, 36)  # stock Keras does not broadcast the weights of images
    model, stock = pair(x, name, weighted_metrics=["mse"])
    weight, y = np.linspace(0, 3, len(x), dtype="float32"), 1 - x
    options = dict(epochs=3, batch_size=8, shuffle=False, verbose=0, sample_weight=weight)
    assert_same(model, stock, model.fit(x, y, **options).history, stock.fit(x, y, **options).history)
    a, b = (m.evaluate(x, y, sample_weight=weight, verbose=0, return_dict=True)["loss"] for m in (model, stock))
    assert a == pytest.approx(b, rel=1e-5)


def test_compiling_again_changes_the_loss(x):
    model = aezoo.Autoencoder(latent_dim=4)
    values = {}
    for loss in ("mae", None, "mse"):
        model.compile("sgd", loss, run_eagerly=True)
        values[loss] = model.evaluate(x, verbose=0, return_dict=True)["loss"]
    error = x - model(x).numpy()
    expected = {"mae": np.abs(error).mean(), None: (error**2).sum(axis=(1, 2, 3)).mean(), "mse": (error**2).mean()}
    assert values == pytest.approx(expected, rel=1e-5)


def test_compute_loss_is_the_objective(x):
    model = aezoo.SparseAE(latent_dim=4, weight=3.0)
    model.compile("sgd", run_eagerly=True)
    expected = model.evaluate(x, batch_size=21, verbose=0, return_dict=True)["loss"]
    assert float(model.compute_loss(x, training=False)) == pytest.approx(expected, rel=1e-5)


# === The forms that data come in ===


class Batches(keras.utils.PyDataset):
    def __init__(self, x):
        super().__init__()
        self.x = x

    def __len__(self):
        return 3

    def __getitem__(self, i):
        batch = self.x[8 * i : 8 * i + 8]
        return batch, batch


def generator(x):
    while True:
        for i in range(0, len(x), 8):
            yield x[i : i + 8], x[i : i + 8]


def labelled(x):
    """(image, label) pairs with the labels dropped: how most data sets are made fit."""
    return tf.data.Dataset.from_tensor_slices((x, np.arange(len(x)))).batch(8).map(lambda image, label: image)


@pytest.mark.slow_cases("labelled-", "Batches-")
@pytest.mark.parametrize(
    ("form", "options"),
    [(labelled, {}), (generator, {"steps_per_epoch": 3}), (Batches, {"shuffle": False})],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_data_of_any_form_train_as_arrays_do(x, form, options):
    model, stock = pair(x)
    expected = stock.fit(x, x, epochs=2, batch_size=8, shuffle=False, verbose=0).history
    got = model.fit(form(x), epochs=2, verbose=0, **options).history
    assert_same(model, stock, got, expected)
    if form is not generator:  # it has no end
        a, b = model.evaluate(form(x), verbose=0, return_dict=True)["loss"], stock.evaluate(x, x, verbose=0)
        assert a == pytest.approx(b, rel=1e-5)


def test_validation_split(x):
    model, stock = pair(x)
    options = dict(epochs=2, batch_size=8, shuffle=False, verbose=0, validation_split=0.25)
    assert_same(model, stock, model.fit(x, **options).history, stock.fit(x, x, **options).history)
    history = model.fit(x, **options).history
    held_out = model.evaluate(x[15:], verbose=0, return_dict=True)
    assert history["val_loss"][-1] == pytest.approx(held_out["loss"], rel=1e-5)


def test_several_steps_an_execution_with_data_sets(x):
    model, stock = pair(x, steps_per_execution=2)
    data = tf.data.Dataset.from_tensor_slices(x).batch(8)
    pairs = tf.data.Dataset.from_tensor_slices((x, x)).batch(8)
    got = model.fit(data, validation_data=data, epochs=2, verbose=0).history
    assert_same(model, stock, got, stock.fit(pairs, validation_data=pairs, epochs=2, verbose=0, shuffle=False).history)


# === Callbacks and the clock of schedules ===


class Levels(keras.callbacks.Callback):
    """Writes down at each epoch's start what the schedule gives."""

    def __init__(self):
        super().__init__()
        self.levels = []

    def on_epoch_begin(self, epoch, logs=None):
        self.levels.append(round(float(self.model.corruption.level.value.numpy()), 4))


def denoising():
    model = aezoo.DenoisingAE(latent_dim=4, corruption=Linear(0.5, 0.0, epochs=5))
    model.compile("sgd")
    return model


def test_a_schedule_goes_on_in_the_next_fit_and_after_loading(x, tmp_path):
    model, levels = denoising(), Levels()
    model.fit(x, epochs=2, verbose=0, callbacks=levels)  # one callback, not a list
    model.fit(x, epochs=1, verbose=0, callbacks=[levels])
    model.save(tmp_path / "model.keras")
    keras.saving.load_model(tmp_path / "model.keras").fit(x, epochs=4, verbose=0, callbacks=[levels])
    assert levels.levels == [0.5, 0.4, 0.3, 0.2, 0.1, 0.0, 0.0]


def test_initial_epoch_sets_the_schedule(x):
    model, levels = denoising(), Levels()
    history = model.fit(x, initial_epoch=2, epochs=4, verbose=0, callbacks=levels)
    assert levels.levels == [0.3, 0.2]
    assert history.epoch == [2, 3]
    model.fit(x, initial_epoch=1, epochs=2, verbose=0, callbacks=levels)
    assert levels.levels == [0.3, 0.2, 0.4]


def test_a_callback_list_is_used_as_it_is_and_can_be_used_twice(x):
    model, levels = denoising(), Levels()
    callbacks = keras.callbacks.CallbackList([levels], add_history=True, model=model)
    model.fit(x, epochs=2, verbose=0, callbacks=callbacks)
    model.fit(x, epochs=2, verbose=0, callbacks=callbacks)
    assert levels.levels == [0.5, 0.4, 0.3, 0.2]
    assert int(model.epoch.numpy()) == 4


def test_a_checkpoint_of_an_epoch_counts_that_epoch(x, tmp_path):
    model = denoising()
    model.fit(x, epochs=3, verbose=0, callbacks=keras.callbacks.ModelCheckpoint(tmp_path / "{epoch}.keras"))
    assert int(keras.saving.load_model(tmp_path / "2.keras").epoch.numpy()) == 2


def test_early_stopping_watches_a_term_by_name(x):
    model = aezoo.SparseAE(latent_dim=4)
    model.compile(keras.optimizers.SGD(0.0))
    stop = keras.callbacks.EarlyStopping("val_sparsity", patience=1, mode="min")
    history = model.fit(x, validation_data=(x,), epochs=9, verbose=0, callbacks=[stop]).history
    assert len(history["loss"]) == 2


def test_the_configuration_is_plain_json(x):
    model = aezoo.Autoencoder(latent_dim=4, activation=keras.activations.gelu, hidden_dims=[6])
    config = json.loads(json.dumps(model.get_config()))
    again = aezoo.Autoencoder.from_config(config)
    again.build((None, 6, 6, 1))
    assert again.encoder.layers[1].activation is keras.activations.gelu


def test_a_file_that_could_not_be_loaded_is_not_written(x, tmp_path):
    model = aezoo.Autoencoder(latent_dim=2)
    model(x)
    for name in ("model.h5", "model.hdf5"):
        with pytest.raises(ValueError, match=r"could not be loaded again.*save it as .keras"):
            model.save(tmp_path / name)
    assert not list(tmp_path.iterdir())
    model.save_weights(tmp_path / "model.weights.h5")
    again = aezoo.Autoencoder(latent_dim=2)
    again.build(x.shape)
    again.load_weights(tmp_path / "model.weights.h5")
    np.testing.assert_array_equal(again.encode(x), model.encode(x))
