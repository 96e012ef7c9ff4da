"""Training on arrays that stay on the device: the same weights as with Keras' pipeline, and when it is used."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import aezoo
from aezoo.training import resident

RNG = np.random.default_rng(0)
X = RNG.random((53, 6), "float32")  # 8 batches of 6, and one of 5


def fitted(choice, model=None, x=X, **options):
    """Return a trained model and its history; check that the loop over resident data ran if it was chosen."""
    keras.utils.set_random_seed(3)
    model = model or aezoo.Autoencoder(3, seed=0)
    if not model.compiled:
        model.compile("adam")
    calls, run = [], resident.Loop.__call__
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(resident.Loop, "__call__", lambda *args: (calls.append(0), run(*args))[1])
        history = model.fit(x, resident=choice, **{"batch_size": 6, "epochs": 2, "verbose": 0, **options}).history
    assert bool(calls) == (choice is True)
    return model, history


def same(a, b):
    assert all(np.isfinite(values).all() for values in a[1].values())
    for name, values in a[1].items():
        np.testing.assert_allclose(values, b[1][name], rtol=1e-6)
    for one, other in zip(a[0].get_weights(), b[0].get_weights(), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6, atol=1e-7)
    assert int(a[0].optimizer.iterations) == int(b[0].optimizer.iterations) == 18


@pytest.mark.parametrize(
    "options",
    [
        {"validation_data": (X[:7],)},
        {"y": X[::-1].copy(), "sample_weight": RNG.random(53).astype("float32")},
        {"shuffle": False},
    ],
    ids=["validation", "targets and weights", "in order"],
)
def test_weights_and_reports_agree_with_a_pipeline(options):
    same(fitted(True, **options), fitted(False, **options))


def test_a_validation_split_is_not_trained_on():
    ours, history = fitted(True, validation_split=0.25)
    keras_ours, keras_history = fitted(False, validation_split=0.25)
    np.testing.assert_allclose(ours.get_weights()[0], keras_ours.get_weights()[0], rtol=1e-6)
    assert history["val_loss"] == pytest.approx(keras_history["val_loss"], rel=1e-6)
    assert int(ours.optimizer.iterations) == 2 * 7


@pytest.mark.slow
@pytest.mark.parametrize("jit_compile", [False, True])
def test_conditions_noise_and_missing_values_are_gathered(jit_compile):
    label = np.arange(53) % 4
    gone = np.where(RNG.random(X.shape) < 0.2, np.nan, X).astype("float32")
    models = [
        (lambda: aezoo.ConditionalVAE(2, num_classes=4, seed=0), {"x": X, "label": label}),
        (lambda: aezoo.DenoisingAE(3, seed=0), X),
        (lambda: aezoo.Autoencoder(3, missing="mask", seed=0), gone),
        (lambda: aezoo.RBM(3, seed=0), X),
    ]
    for make, x in models:
        results = []
        for choice in (True, False):
            model = make()
            model.compile(keras.optimizers.SGD(0.1), jit_compile=jit_compile)
            results.append(fitted(choice, model, x))
        same(*results)


def test_a_model_is_fitted_both_ways_and_traced_once(monkeypatch):
    traced = []
    step = aezoo.Trainer.train_step
    monkeypatch.setattr(aezoo.Trainer, "train_step", lambda model, data: (traced.append(0), step(model, data))[1])
    model, _ = fitted(True, epochs=1)
    fitted(True, model, X[:20], epochs=1)  # other data of any length use the same graph
    assert len(traced) == 1
    assert model.train_on_batch(X[:4])[0] > 0
    fitted(False, model, epochs=1)
    assert int(model.optimizer.iterations) == 9 + 4 + 1 + 9


def test_long_trainings_on_arrays_are_resident(monkeypatch):
    chosen = []
    monkeypatch.setattr(resident, "indices", lambda request, data: (chosen.append(data), request)[1])
    monkeypatch.setattr(aezoo.Autoencoder, "make_train_function", lambda model, force=False: None)

    def is_resident(x, **options):
        chosen.clear()
        model = aezoo.Autoencoder(3, seed=0)
        model.compile("adam")
        with pytest.raises(TypeError):  # there is no train function
            model.fit(x, verbose=0, **options)
        return bool(chosen)

    assert not is_resident(X)
    monkeypatch.setattr(resident, "_LEAST_WORK", 0)
    assert is_resident(X) and is_resident(tf.constant(X))
    assert not is_resident(tf.data.Dataset.from_tensor_slices(X).batch(4))
    assert not is_resident(X, steps_per_epoch=2)
    assert not is_resident(X, callbacks=[keras.callbacks.LambdaCallback(on_train_batch_end=print)])
    monkeypatch.setattr(resident, "memory", lambda: 4000)  # the array has 1272 bytes
    assert not is_resident(X)
    assert is_resident(X[:30])


@pytest.mark.parametrize(
    ("x", "options", "message"),
    [
        (X, {"callbacks": [keras.callbacks.TerminateOnNaN()]}, "the callback TerminateOnNaN has per-batch hooks"),
        (X, {"steps_per_epoch": 2}, "steps_per_epoch is given"),
        (tf.data.Dataset.from_tensors(X), {"batch_size": None}, "the data are not dense arrays"),
    ],
)
def test_what_cannot_be_resident_is_said(x, options, message):
    with pytest.raises(ValueError, match=f"resident=True is impossible, since {message}: use resident='auto'"):
        fitted(True, x=x, **options)


class Reporting(aezoo.Autoencoder):
    def train_step(self, data):
        return {**super().train_step(data), "two": 2.0}


def test_a_step_of_ones_own_keeps_its_logs(monkeypatch):
    monkeypatch.setattr(resident, "_LEAST_WORK", 0)
    _, history = fitted("auto", Reporting(3, seed=0))
    assert history["two"] == [2.0, 2.0]
    with pytest.raises(ValueError, match="since Reporting has a train_step of its own: use resident='auto'"):
        fitted(True, Reporting(3, seed=0))


def test_an_unknown_choice_is_refused():
    with pytest.raises(ValueError, match="resident must be 'auto', True or False, but it is 'yes'"):
        fitted("yes")


def test_multiplications_of_a_sample_are_counted():
    model = aezoo.Autoencoder(3, hidden_dims=(5,))
    model.build((None, 6))
    assert resident.operations(model) == 2 * (6 * 5 + 5 * 3)
    model = aezoo.Autoencoder(3, filters=(4,))
    model.build((None, 8, 8, 1))
    # A convolution of 4 x 4 places, two dense layers, and the transposed convolution to 8 x 8.
    assert resident.operations(model) == 16 * 36 + 2 * 64 * 3 + 64 * 36


def test_calls_take_a_fraction_of_a_second():
    model = aezoo.Autoencoder(3)
    model.compile("adam")
    model.build(X.shape)
    assert resident.choose(model, _request(model), True).steps == 64
    wide = aezoo.Autoencoder(4000, hidden_dims=(4000,))
    wide.compile("adam")
    wide.build(X.shape)
    assert 1 <= resident.choose(wide, _request(wide), True).steps < 64


def _request(model):
    from aezoo.training.data import FitRequest

    return FitRequest.of(model, "fit", X, batch_size=32)
