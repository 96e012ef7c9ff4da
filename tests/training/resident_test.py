"""Training on arrays that stay on the device: the same weights as with Keras' pipeline, and when it is used."""

import os
import signal
import threading
import time

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
    calls, run = [], resident.TrainingLoop.__call__
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(resident.TrainingLoop, "__call__", lambda *args: (calls.append(0), run(*args))[1])
        history = model.fit(x, resident=choice, **{"batch_size": 6, "epochs": 2, "verbose": 0, **options}).history
    assert bool(calls) == (choice is True)
    return model, history


def same(a, b, iterations=18):
    assert all(np.isfinite(values).all() for values in a[1].values())
    for name, values in a[1].items():
        np.testing.assert_allclose(values, b[1][name], rtol=1e-6)
    for one, other in zip(a[0].get_weights(), b[0].get_weights(), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6, atol=1e-7)
    assert int(a[0].optimizer.iterations) == int(b[0].optimizer.iterations) == iterations


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


@pytest.mark.parametrize(
    ("make", "options", "iterations"),
    [
        (lambda: keras.optimizers.Adam(gradient_accumulation_steps=4), {}, 4),
        (lambda: keras.optimizers.LossScaleOptimizer(keras.optimizers.Adam()), {}, 18),
        (lambda: keras.optimizers.Adam(), {"initial_epoch": 1, "epochs": 3}, 18),
    ],
    ids=["accumulated gradients", "loss scaling", "later epochs of a schedule"],
)
def test_optimizers_and_schedules_agree_with_a_pipeline(make, options, iterations):
    results = []
    for choice in (True, False):
        model = aezoo.KSparseAE(3, k=1, k_schedule=aezoo.schedules.Linear(3, 1, epochs=2), seed=0)
        model.compile(make())
        results.append(fitted(choice, model, **options))
        assert float(model.top_k.k_in_training.value) == (1 if options else 2), "of the last epoch"
    same(*results, iterations=iterations)


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


def test_trainings_on_arrays_are_resident(monkeypatch):
    chosen = []
    monkeypatch.setattr(resident, "counted", lambda request, data: (chosen.append(data), request)[1])
    monkeypatch.setattr(aezoo.Autoencoder, "make_train_function", lambda model, force=False: None)

    def is_resident(x, **options):
        chosen.clear()
        model = aezoo.Autoencoder(3, seed=0)
        model.compile("adam")
        with pytest.raises(TypeError):  # there is no train function
            model.fit(x, verbose=0, **options)
        return bool(chosen)

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
        (X, {"shuffle": "batch"}, "shuffle='batch' is given"),
        (tf.data.Dataset.from_tensors(X), {"batch_size": None}, "the data are not dense arrays"),
    ],
)
def test_what_cannot_be_resident_is_said(x, options, message):
    with pytest.raises(ValueError, match=f"resident=True is impossible, since {message}: use resident='auto'"):
        fitted(True, x=x, **options)


class Diverging(aezoo.Autoencoder):
    """Autoencoder whose loss is infinite for batches with a sample of fives."""

    def objective(self, batch, training):
        terms, y_pred = super().objective(batch, training)
        bad = keras.ops.any(batch.x[:, 0] == 5.0)
        return {name: term / keras.ops.where(bad, 0.0, 1.0) for name, term in terms.items()}, y_pred


@pytest.mark.slow_cases("8-False", "8-True", "1-True", "2-True", "1-False")
@pytest.mark.parametrize("jit_compile", [False, True])
@pytest.mark.parametrize("steps", [8, 1, 2])  # calls of one or two steps are not repeated
def test_a_step_that_diverges_is_skipped_as_in_a_pipeline(steps, jit_compile, monkeypatch):
    monkeypatch.setattr(resident, "_steps", lambda model, work: steps)
    x = X.copy()
    x[20] = 5.0
    results = []
    for choice in (True, False):
        model = Diverging(3, output_activation="linear", on_divergence="warn", seed=0)
        model.compile(keras.optimizers.Adam(0.01), jit_compile=jit_compile)
        with pytest.warns(UserWarning, match="Training diverged: in epoch 1 the term 'reconstruction'"):
            results.append(fitted(choice, model, x))
        assert int(model.optimizer.iterations) == 2 * 8  # one batch of each epoch has the sample
    for one, other in zip(*(model.get_weights() for model, _ in results), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6, atol=1e-7)
    assert np.isfinite(results[0][0].get_weights()[0]).all()
    strict = Diverging(3, output_activation="linear", seed=0)
    strict.compile("adam", jit_compile=jit_compile)
    with pytest.raises(ValueError, match="the weights are as before that step"):
        strict.fit(x, resident=True, batch_size=6, verbose=0, shuffle=False)
    reference = Diverging(3, output_activation="linear", seed=0)
    reference.compile("adam", jit_compile=jit_compile)
    reference.fit(x[:18], resident=False, batch_size=6, verbose=0, shuffle=False)
    for one, other in zip(strict.trainable_variables, reference.trainable_variables, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6, atol=1e-7)


def test_batches_without_weight_change_nothing():
    weight = np.ones(53, "float32")
    weight[12:18] = 0.0
    results = [fitted(choice, sample_weight=weight, shuffle=False) for choice in (True, False)]
    for one, other in zip(*(model.get_weights() for model, _ in results), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6, atol=1e-7)
    assert int(results[0][0].optimizer.iterations) == 2 * 8


class Asking(keras.callbacks.Callback):
    """Callback that evaluates other data, and single batches, while a training runs."""

    def on_epoch_end(self, epoch, logs=None):
        for x, evaluate in ((X[:9], self.model.evaluate), (X[:5], self.model.test_on_batch)):
            options = {"verbose": 0} if len(x) == 9 else {}
            found = evaluate(x, return_dict=True, **options)["loss"]
            assert found == pytest.approx(float(np.mean(self.model.score_samples(x))), rel=1e-5)
            self.model.reset_metrics()


def test_evaluations_within_a_training_leave_it_alone(monkeypatch):
    traced = []
    step = aezoo.Trainer.train_step
    monkeypatch.setattr(aezoo.Trainer, "train_step", lambda model, data: (traced.append(0), step(model, data))[1])
    results = []
    for callbacks in ([Asking()], []):
        results.append(fitted(True, epochs=2, callbacks=callbacks, validation_data=(X[:7],)))
    same(*results)
    assert len(traced) == 2  # once per model
    model = results[0][0]
    for _ in range(2):
        model.evaluate(X, verbose=0)
        fitted(True, model, epochs=1, validation_data=(X[:7],))
    assert len(traced) == 2


@pytest.mark.slow
def test_an_evaluation_in_turn_with_trainings_is_traced_once(monkeypatch):
    traced = []
    step = aezoo.Trainer.test_step
    monkeypatch.setattr(aezoo.Trainer, "test_step", lambda model, data: (traced.append(0), step(model, data))[1])
    model, _ = fitted(True, epochs=1)
    for _ in range(3):
        model.evaluate(X, verbose=0)
        fitted(True, model, epochs=1)
    assert len(traced) == 1


def test_metrics_of_compile_are_reported():
    results = []
    for choice in (True, False):
        model = aezoo.Autoencoder(3, seed=0)
        model.compile("adam", metrics=["mae"])
        results.append(fitted(choice, model))
    same(*results)
    assert "mae" in results[0][1]


@pytest.mark.parametrize("shuffle", [True, False])
def test_calls_visit_each_sample_once_per_epoch(shuffle):
    keras.utils.set_random_seed(3)
    calls = resident.calls_of(10, 4, shuffle)
    epochs = [np.concatenate([next(calls) for _ in range(3)]) for _ in range(3)]
    assert all(sorted(order) == [*range(10)] for order in epochs)
    assert (list(epochs[0]) != [*range(10)]) == shuffle


class Reporting(aezoo.Autoencoder):
    def train_step(self, data):
        return {**super().train_step(data), "two": 2.0}


def test_a_step_of_ones_own_keeps_its_logs():
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


def test_xla_is_chosen_for_long_trainings_of_dense_networks(monkeypatch):
    monkeypatch.setattr(resident, "_LEAST_COMPILED_WORK", 0)

    def compiled(model, shape=(6,), **options):
        model.compile("adam", **options)
        model.build((None, *shape))
        return resident.choose(model, _request(model, RNG.random((40, *shape), "float32")), True).compiled

    assert compiled(aezoo.Autoencoder(3)) and compiled(aezoo.Autoencoder(3), (4, 4, 1))
    assert not compiled(aezoo.Autoencoder(3, filters=(4,)), (8, 8, 1))
    assert not compiled(aezoo.SequenceAE(3), (8, 2))
    assert not compiled(aezoo.Autoencoder(3, dtype="mixed_bfloat16"))
    monkeypatch.undo()
    assert not compiled(aezoo.Autoencoder(3))  # too short


class Pythonic(aezoo.Autoencoder):
    """Autoencoder with an operation that XLA cannot compile."""

    def penalties(self, batch, forward):
        mean = tf.numpy_function(np.float32, [tf.stop_gradient(batch.mean(batch.x[:, 0]))], "float32")
        return {"zero": 0.0 * tf.ensure_shape(mean, ())}

    term_names = ("reconstruction", "zero")


@pytest.mark.slow
def test_what_xla_cannot_compile_is_trained_without(monkeypatch):
    monkeypatch.setattr(resident, "_LEAST_COMPILED_WORK", 0)
    same(fitted(True, Pythonic(3, seed=0)), fitted(False, Pythonic(3, seed=0)))


def test_a_short_batch_that_cannot_be_compiled_repeats_no_other(monkeypatch):
    monkeypatch.setattr(resident, "_LEAST_COMPILED_WORK", 0)
    padded = resident.Loop._padded

    def refused(loop, parts, order):
        if len(order) < 6:
            raise tf.errors.UnimplementedError(None, None, "no kernel")
        return padded(loop, parts, order)

    monkeypatch.setattr(resident.Loop, "_padded", refused)
    same(fitted(True), fitted(False))


def test_calls_take_a_fraction_of_a_second():
    model = aezoo.Autoencoder(3)
    model.compile("adam")
    model.build(X.shape)
    assert resident.choose(model, _request(model), True).steps == 64
    wide = aezoo.Autoencoder(4000, hidden_dims=(4000,))
    wide.compile("adam")
    wide.build(X.shape)
    assert 1 <= resident.choose(wide, _request(wide), True).steps < 64


@pytest.mark.slow
def test_an_interrupt_ends_a_training_within_a_second():
    x = RNG.random((20_000, 784), "float32")
    model = aezoo.Autoencoder(2000, seed=0)
    model.compile("adam")
    sent = []

    def interrupt():
        sent.append(time.perf_counter())
        os.kill(os.getpid(), signal.SIGINT)

    def begin(epoch, logs):  # the second epoch takes several seconds
        if epoch == 0:
            threading.Timer(0.3, interrupt).start()

    callback = keras.callbacks.LambdaCallback(on_epoch_end=begin)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # shells let background jobs ignore it
    try:
        with pytest.raises(KeyboardInterrupt):
            model.fit(x, batch_size=256, epochs=100, resident=True, verbose=0, callbacks=[callback])
        delay = time.perf_counter() - sent[0]
    finally:
        signal.signal(signal.SIGINT, before)
    assert delay < 1
    assert int(model.optimizer.iterations) > 79, "the interrupted epoch was trained in part"


def _request(model, x=X):
    from aezoo.training.data import FitRequest

    return FitRequest.of(model, "fit", x, batch_size=32)


@pytest.mark.slow_cases("None")
@pytest.mark.parametrize("batch_size", [None, 6])
def test_evaluation_and_prediction_agree_with_a_pipeline(batch_size, monkeypatch):
    monkeypatch.setattr(resident, "_MOST_BYTES", 6 * 4 * 20)  # the last of the pieces overlaps
    results = []
    for choice in (True, False):
        model = aezoo.VAE(2, hidden_dims=(4,), seed=0)
        model.compile("adam", metrics=["mae"])
        model.build(X.shape)
        options = {"batch_size": batch_size, "verbose": 0, "resident": choice}
        found = [
            model.evaluate(X, X[::-1].copy(), sample_weight=X[:, 0], return_dict=True, **options) for _ in range(2)
        ]
        results.append((found, model.predict(X, **options)))
    (ours, ours_predicted), (keras_s, keras_predicted) = results
    assert ours == [{name: pytest.approx(value, rel=1e-6) for name, value in logs.items()} for logs in keras_s]
    assert ours[0]["loss"] != ours[1]["loss"], "each evaluation draws new noise"
    np.testing.assert_array_equal(ours_predicted, keras_predicted)


def test_evaluation_and_prediction_take_few_calls(monkeypatch):
    calls = []
    for loop in (resident.Loop, resident.PredictionLoop):
        run = loop.__call__
        monkeypatch.setattr(loop, "__call__", lambda *args, run=run: (calls.append(0), run(*args))[1])
    monkeypatch.setattr(keras.Model, "predict", None)
    model, _ = fitted(False, epochs=1)
    model.evaluate(X, batch_size=1, verbose=0)
    model.predict(X, batch_size=1, verbose=0)
    assert len(calls) == 2
    model.evaluate(tf.data.Dataset.from_tensors(X), verbose=0)  # Keras' pipeline
    assert len(calls) == 2


def test_pieces_are_of_one_length():
    pieces = list(resident.pieces_of((X,), 53, 20))
    assert [len(parts[0]) for parts, _ in pieces] == [20, 20, 20]
    np.testing.assert_array_equal(np.concatenate([tf.gather(parts[0], rows) for parts, rows in pieces]), X)
    ((parts, rows),) = resident.pieces_of((X,), 53, 64)
    assert len(parts[0]) == len(rows) == 53


def test_a_prediction_of_conditions_is_compiled_anew(monkeypatch):
    model = aezoo.ConditionalVAE(2, num_classes=4, seed=0)
    data = {"x": X, "label": np.arange(53) % 4}
    model.compile("adam")
    first = model.predict(data, verbose=0)
    np.testing.assert_array_equal(first, model.predict(data, verbose=0, resident=False))
    model.compile("adam", jit_compile=True)
    np.testing.assert_allclose(model.predict(data, verbose=0), first, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("verb", ["evaluate", "predict"])
def test_what_cannot_be_swept_is_said(verb):
    model, _ = fitted(False, epochs=1)
    with pytest.raises(ValueError, match="resident=True is impossible, since steps is given"):
        getattr(model, verb)(X, steps=1, verbose=0, resident=True)
    with pytest.raises(ValueError, match="resident=True is impossible, since the data are not dense arrays"):
        getattr(model, verb)(tf.data.Dataset.from_tensors(X), verbose=0, resident=True)


def test_callbacks_see_the_batches_of_a_prediction():
    model, _ = fitted(False, epochs=1)
    seen = []
    watching = keras.callbacks.LambdaCallback()
    watching.on_predict_batch_end = lambda batch, logs=None: seen.append(batch)
    model.predict(X, batch_size=20, callbacks=[watching], verbose=0)
    assert seen == [0, 1, 2]
