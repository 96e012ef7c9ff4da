"""LazyAdam against NumPy, and against Keras' Adam where the two are the same; Adam by the kernel against Keras'."""

import contextlib

import keras
import numpy as np
import pytest
import tensorflow as tf

import aezoo
import aezoo.testing
from aezoo import schedules
from aezoo.layers import UnitNormRows
from aezoo.optimizers import DecayToFloor, LazyAdam, ScheduledSGD, apply

RNG = np.random.default_rng(0)
W = RNG.normal(size=(5, 3)).astype("float32")


def variable():
    return keras.Variable(W)


def reference(steps, rate=0.1, beta_1=0.9, beta_2=0.999, epsilon=1e-7):
    """Adam of each row by itself, of which moments and weights stand still where the row has no gradient."""
    w, m, v = W.astype("float64"), np.zeros((5, 3)), np.zeros((5, 3))
    for t, (indices, values) in enumerate(steps, start=1):
        g = np.zeros((5, 3))
        np.add.at(g, indices, values)
        r = np.unique(indices)
        m[r] = beta_1 * m[r] + (1 - beta_1) * g[r]
        v[r] = beta_2 * v[r] + (1 - beta_2) * g[r] ** 2
        w[r] -= rate * np.sqrt(1 - beta_2**t) / (1 - beta_1**t) * m[r] / (np.sqrt(v[r]) + epsilon)
    return w


STEPS = [(i, RNG.normal(size=(len(i), 3)).astype("float32")) for i in ([0, 3, 0], [3, 1], [0, 0, 0], [1, 3, 2])]


def slices(step):
    indices, values = step
    return tf.IndexedSlices(tf.constant(values), tf.constant(indices), tf.constant((5, 3)))


@pytest.mark.parametrize("jit_compile", [False, True])
def test_only_used_rows_move_and_they_move_as_adam_has_it(jit_compile):
    w, optimizer = variable(), LazyAdam(0.1)
    optimizer.build([w])

    @tf.function(jit_compile=jit_compile, autograph=False)
    def apply(indices, values):
        optimizer.apply([tf.IndexedSlices(values, indices, tf.constant((5, 3)))], [w])

    for indices, values in STEPS:
        apply(tf.constant(indices), tf.constant(values))
    np.testing.assert_allclose(w, reference(STEPS), rtol=1e-5, atol=2e-6)
    np.testing.assert_array_equal(w.numpy()[4], W[4])


@pytest.mark.parametrize("jit_compile", [False, True])
def test_rows_of_a_dictionary_that_move_keep_norm_1(jit_compile):
    w, optimizer = variable(), LazyAdam(0.1)
    w.constraint = UnitNormRows()
    optimizer.build([w])

    @tf.function(jit_compile=jit_compile, autograph=False)
    def apply(indices, values):
        optimizer.apply([tf.IndexedSlices(values, indices, tf.constant((5, 3)))], [w])

    apply(*map(tf.constant, STEPS[0]))
    moved = reference(STEPS[:1])
    moved[[0, 3]] /= np.linalg.norm(moved[[0, 3]], axis=1, keepdims=True)
    np.testing.assert_allclose(w, moved, rtol=1e-5, atol=2e-6)
    np.testing.assert_array_equal(w.numpy()[[1, 2, 4]], W[[1, 2, 4]])
    assert isinstance(w.constraint, UnitNormRows)


def test_rows_of_a_dictionary_on_two_replicas():
    with aezoo.testing.two_replicas().scope():
        model = aezoo.TopKAE(12, k=2, by_rows=True, seed=0)
        model.compile(LazyAdam(0.1))
    model.fit(RNG.normal(size=(16, 6)).astype("float32"), epochs=3, batch_size=8, verbose=0)
    norms = np.linalg.norm(model.decoder.layers[0].kernel.numpy(), axis=1)
    np.testing.assert_allclose(norms, 1, rtol=1e-5)


def test_variables_may_come_from_a_generator():
    w, optimizer = variable(), LazyAdam(0.1)
    optimizer.build([w])
    optimizer.apply([slices(STEPS[0])], (each for each in [w]))
    assert np.abs(w.numpy() - W).max() > 0.01


def test_accumulated_gradients_of_a_dictionary():
    w, optimizer = variable(), LazyAdam(0.1, gradient_accumulation_steps=2)
    w.constraint = UnitNormRows()
    optimizer.build([w])
    for indices, values in STEPS[:2]:
        optimizer.apply([slices((indices, values))], [w])
    np.testing.assert_allclose(np.linalg.norm(w.numpy(), axis=1), 1, rtol=1e-5)


def test_it_is_adam_where_every_row_has_a_gradient():
    for gradient in (lambda g: tf.constant(g), lambda g: slices((range(5), g))):
        lazy, usual = (variable(), LazyAdam(0.1)), (variable(), keras.optimizers.Adam(0.1))
        for _ in range(3):
            g = RNG.normal(size=(5, 3)).astype("float32")
            lazy[1].apply([gradient(g)], [lazy[0]])
            usual[1].apply([tf.constant(g)], [usual[0]])
        np.testing.assert_allclose(lazy[0], usual[0], rtol=1e-5)


def test_amsgrad_is_refused():
    with pytest.raises(ValueError, match="no amsgrad"):
        LazyAdam(amsgrad=True)


# === apply: Keras' Adam by TensorFlow's kernel ===

GRADIENTS = [np.pad(values, ((0, 5 - len(values)), (0, 0))) for _, values in STEPS]


def steps(optimizer, by, scope=contextlib.nullcontext, **options):
    """The weights after four steps in one graph, and the kinds of operations in it."""
    with scope():
        w, made = variable(), optimizer(0.1, **options)
        made.build([w])

    @tf.function(autograph=False)
    def run():
        def step():
            for g in GRADIENTS:
                by(made, [tf.constant(g)], [w])

        tf.distribute.get_strategy().run(step)

    with scope():
        run()
        graph = run.get_concrete_function().graph.as_graph_def()
    assert "update_step" not in vars(made), "the optimizer is not as it was"
    nodes = [graph.node, *(function.node_def for function in graph.library.function)]  # those of branches, too
    return w.numpy(), {node.op for some in nodes for node in some}


@pytest.mark.slow_cases(
    "Adam-weight_decay",
    "Adam-clipnorm",
    "AdamW-plain",
    "AdamW-use_ema",
    "AdamW-gradient_accumulation_steps",
    "AdamW-beta_1",
)
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"weight_decay": 0.1},
        {"clipnorm": 0.01},
        {"use_ema": True, "ema_momentum": 0.5, "ema_overwrite_frequency": 3},
        {"gradient_accumulation_steps": 2},
        {"beta_1": 0.5, "beta_2": 0.7, "epsilon": 0.1},
    ],
    ids=lambda options: next(iter(options), "plain"),
)
@pytest.mark.parametrize("optimizer", [keras.optimizers.Adam, keras.optimizers.AdamW])
def test_the_kernel_steps_as_keras_does(optimizer, options):
    expected, by_keras = steps(optimizer, optimizer.apply, **options)
    got, by_kernel = steps(optimizer, apply, **options)
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-6)
    assert "ResourceApplyAdam" not in by_keras
    assert "ResourceApplyAdam" in by_kernel


def test_the_kernel_steps_as_the_paper_has_it():
    w, adam = keras.Variable(W, dtype="float64"), keras.optimizers.Adam(0.1)
    for g in GRADIENTS:
        apply(adam, [tf.constant(g, "float64")], [w])
    np.testing.assert_allclose(w, reference([(range(5), g) for g in GRADIENTS]), rtol=1e-6)


@pytest.mark.slow
def test_the_kernel_on_two_replicas():
    scope = aezoo.testing.two_replicas().scope
    expected, _ = steps(keras.optimizers.Adam, keras.optimizers.Adam.apply, scope)
    got, by_kernel = steps(keras.optimizers.Adam, apply, scope)
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-6)
    assert "ResourceApplyAdam" in by_kernel


def test_a_train_step_takes_the_kernel(monkeypatch):
    kernel, moved = tf.raw_ops.ResourceApplyAdam, []
    monkeypatch.setattr(tf.raw_ops, "ResourceApplyAdam", lambda **kw: moved.append(kw["grad"].shape) or kernel(**kw))
    model = aezoo.Autoencoder(2)
    model.compile("adam")
    model.train_on_batch(RNG.random((3, 4), "float32"))
    assert {tuple(shape) for shape in moved} == {(4, 2), (2,), (2, 4), (4,)}


def test_what_the_kernel_cannot_is_left_to_keras():
    class Mine(keras.optimizers.Adam):
        pass

    for optimizer, options in ((keras.optimizers.Adam, {"amsgrad": True}), (Mine, {}), (keras.optimizers.SGD, {})):
        expected, _ = steps(optimizer, optimizer.apply, **options)
        got, kinds = steps(optimizer, apply, **options)
        np.testing.assert_array_equal(got, expected)
        assert "ResourceApplyAdam" not in kinds
    for optimizer in (keras.optimizers.Adam(0.1), LazyAdam(0.1)):
        w, other, by_keras = variable(), variable(), type(optimizer)(0.1)
        for step in STEPS:
            apply(optimizer, [slices(step)], [w])
            by_keras.apply([slices(step)], [other])
        np.testing.assert_array_equal(w, other)


# === ScheduledSGD ===


def moved(optimizer, move=False):
    w = variable()
    for epoch, g in enumerate(GRADIENTS):
        if move:
            optimizer.build([w])
            optimizer.move_to(epoch)
        optimizer.apply([tf.constant(g)], [w])
    return w.numpy()


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"momentum": 0.9},
        {"momentum": 0.9, "nesterov": True},
        {"momentum": 0.5, "weight_decay": 0.1, "clipnorm": 0.1},
        {"momentum": 0.5, "nesterov": True, "use_ema": True, "ema_momentum": 0.5, "ema_overwrite_frequency": 3},
        {"momentum": 0.5, "gradient_accumulation_steps": 2},
    ],
    ids=lambda options: "-".join(options) or "plain",
)
@pytest.mark.parametrize(
    "rate", [0.1, keras.optimizers.schedules.ExponentialDecay(0.1, 1, 0.5)], ids=["number", "schedule of the step"]
)
def test_scheduled_sgd_is_keras_sgd(rate, options):
    expected = moved(keras.optimizers.SGD(rate, **options))
    for optimizer in (
        ScheduledSGD(rate, **options),
        ScheduledSGD.from_config(ScheduledSGD(rate, **options).get_config()),
    ):
        np.testing.assert_allclose(moved(optimizer, move=True), expected, rtol=1e-5, atol=1e-6)


def test_a_momentum_outside_its_range_is_refused():
    for momentum in (1.5, -0.1, schedules.Linear(0.5, 1.5, 10)):
        with pytest.raises(ValueError, match="momentum must be between 0 and 1, but it is"):
            ScheduledSGD(0.1, momentum=momentum)


def rates(schedule, callback, save=None):
    """The learning rate in each epoch."""
    model, seen = aezoo.Autoencoder(2, seed=0), []
    model.compile(ScheduledSGD(schedule), run_eagerly=True)
    note = keras.callbacks.LambdaCallback(on_epoch_end=lambda *_: seen.append(float(model.optimizer.learning_rate)))
    for first in range(4):
        # Each epoch is a `fit` of its own, halfway of a loaded model.
        model.fit(np.abs(W) / 9, epochs=first + 1, initial_epoch=first, verbose=0, callbacks=[note, callback])
        if save and first == 1:
            model.save(save)
            model = keras.saving.load_model(save)
    return seen


class Halve(keras.callbacks.Callback):
    """As `ReduceLROnPlateau` does it, after every epoch but the first."""

    def on_epoch_end(self, epoch, logs=None):
        if epoch:
            self.model.optimizer.learning_rate = float(self.model.optimizer.learning_rate) / 2


@pytest.mark.slow_cases("True")
@pytest.mark.parametrize("loaded", [pytest.param(False, marks=pytest.mark.slow), True])
def test_what_a_callback_makes_of_the_rate_stays(loaded, tmp_path):
    save = tmp_path / "model.keras" if loaded else None
    assert rates(0.8, Halve(), save=save) == pytest.approx([0.8, 0.8, 0.4, 0.2])
    ramp = schedules.Linear(0.8, 0.0, epochs=4)
    assert rates(ramp, Halve(), save=save) == pytest.approx([0.8, 0.6, 0.2, 0.05])
    assert rates(ramp, keras.callbacks.Callback(), save=save) == pytest.approx([0.8, 0.6, 0.4, 0.2])
    scheduler = keras.callbacks.LearningRateScheduler(lambda epoch, rate: rate / 2)
    assert rates(0.8, scheduler, save=save) == pytest.approx([0.4, 0.2, 0.1, 0.05])


def test_a_rate_is_reduced_on_a_plateau():
    model = aezoo.Autoencoder(2, seed=0)
    model.compile(ScheduledSGD(0.8), run_eagerly=True)
    plateau = keras.callbacks.ReduceLROnPlateau("loss", factor=0.5, patience=1, min_delta=10.0)
    model.fit(np.abs(W) / 9, epochs=4, verbose=0, callbacks=[plateau])
    assert float(model.optimizer.learning_rate) == pytest.approx(0.1)


def test_a_rate_that_rises_from_zero():
    assert rates(schedules.Linear(0.0, 0.4, epochs=4), keras.callbacks.Callback()) == pytest.approx([0, 0.1, 0.2, 0.3])


def test_a_state_from_before_the_rate_was_compared_is_read():
    old, new = ScheduledSGD(0.1, momentum=0.5), ScheduledSGD(0.1, momentum=0.5)
    for optimizer in (old, new):
        optimizer.build([variable()])
    store = {}
    old.save_own_variables(store)
    old_store = {str(i): 0.25 + np.asarray(store[str(i)]) for i in range(len(store) - 1)}
    new.load_own_variables(old_store)
    assert float(new.momentum_value) == pytest.approx(0.75)
    assert float(new.scheduled_rate) == float(new.learning_rate) == pytest.approx(0.35)


def test_decay_to_a_floor():
    rate = keras.optimizers.schedules.deserialize(
        keras.optimizers.schedules.serialize(DecayToFloor(1.0, floor=0.5, decay=0.5))
    )
    assert [float(rate(step)) for step in (0, 1, 2, 200)] == pytest.approx([1.0, 0.75, 0.625, 0.5])
