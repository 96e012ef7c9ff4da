"""What Keras, TensorFlow and TensorFlow Datasets must do for `aezoo._keras`, each said of them and not of aezoo."""

import http.server
import io
import json
import threading
import types
import zipfile

import h5py
import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers, ops

import aezoo.testing
from aezoo import _keras
from aezoo.optimizers import LazyAdam, apply

X = np.linspace(0, 1, 24, dtype="float32").reshape(8, 3)
Y = np.linspace(1, 0, 16, dtype="float32").reshape(8, 2)


def network(**options):
    model = keras.Sequential([keras.Input((3,)), layers.Dense(4, name="hidden"), layers.Dense(2, name="out")])
    model.compile(**{"optimizer": "adam", "loss": "mse", "run_eagerly": True, **options})
    return model


# === Models and training ===


def test_the_arguments_of_compile_are_those_of_its_last_call_and_objects_themselves():
    model, adam = network(), keras.optimizers.Adam()
    model.compile(adam, loss=ops.subtract, loss_weights=2.0)
    arguments = _keras.compile_arguments(model)
    assert arguments["optimizer"] is adam
    assert arguments["loss"] is ops.subtract
    assert arguments["loss_weights"] == 2.0
    network().compile(**arguments)  # every one is an argument of compile
    arguments["loss"] = "changed"
    assert _keras.compile_arguments(model)["loss"] is ops.subtract
    model.compile("sgd")
    assert _keras.compile_arguments(model)["loss"] is None
    assert _keras.compile_arguments(keras.Sequential()) == {}


def test_each_compile_is_another_one():
    model = network()
    first = _keras.compilation(model)
    assert first is _keras.compilation(model)
    model.compile(loss="mse")
    assert _keras.compilation(model) is not first
    assert _keras.compilation(keras.Sequential()) is None


def test_a_loaded_model_was_compiled_with_what_the_saved_one_was(tmp_path):
    model = network(loss="mae")
    model.fit(X, Y, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert _keras.compile_arguments(loaded)["loss"] == "mae"


class Counting(keras.Model):
    """Reports a loss of 6 = (2 · 1 + 4 · 7) / 5 over batches of one and of four samples."""

    def call(self, x):
        return x

    def train_step(self, data):
        n = ops.shape(data)[0]
        _keras.add_to_mean(_keras.loss_tracker(self), ops.where(n == 1, 2.0, 28.0), n)
        return {metric.name: metric.result() for metric in self.metrics if metric.name == "loss"}


@pytest.mark.parametrize("run_eagerly", [False, True])
def test_what_is_added_to_the_mean_of_the_loss_is_what_fit_reports_of_each_epoch(run_eagerly):
    model = Counting()
    model.compile(keras.optimizers.SGD(), run_eagerly=run_eagerly)
    assert model.fit(X[:5], batch_size=4, epochs=2, verbose=0).history["loss"] == [6.0, 6.0]
    assert isinstance(_keras.loss_tracker(model), keras.metrics.Mean)


def test_a_symbolic_tensor_knows_which_output_it_is():
    x = keras.Input((3,))
    inner = keras.Model(x, [layers.Dense(2)(x), layers.Dense(4)(x)])
    assert [_keras.output_index(tensor) for tensor in inner(keras.Input((3,)))] == [0, 1]


def test_a_functional_model_knows_the_names_of_its_inputs_before_it_is_called():
    x, label = keras.Input((3,), name="x"), keras.Input((1,), name="label")
    model = keras.Model({"x": x, "label": label}, layers.Dense(2)(layers.Concatenate()([x, label])))
    assert _keras.inputs_as_given(model)["label"] is label
    assert set(_keras.inputs_as_given(keras.Model.from_config(model.get_config()))) == {"x", "label"}
    assert not isinstance(_keras.inputs_as_given(network()), dict)
    assert _keras.inputs_as_given(layers.Dense(2)) is None


def test_the_mean_over_replicas_is_that_of_all_that_was_added():
    strategy = aezoo.testing.two_replicas()
    with strategy.scope():
        metric = keras.metrics.Mean()

    @tf.function
    def step():
        replica = tf.distribute.get_replica_context().replica_id_in_sync_group
        _keras.add_to_mean(metric, tf.where(replica == 0, 2.0, 28.0), tf.where(replica == 0, 1.0, 4.0))

    strategy.run(step)
    assert float(metric.result()) == 6.0


class Beginning(keras.callbacks.Callback):
    def on_train_begin(self, logs=None):
        _keras.begin_at(self.model, 2)


def test_a_callback_tells_fit_where_to_begin_until_it_takes_that_back():
    model = network()
    assert model.fit(X, Y, epochs=4, verbose=0, callbacks=[Beginning()]).epoch == [2, 3]
    _keras.begin_at(model, None)
    assert model.fit(X, Y, epochs=2, verbose=0).epoch == [0, 1]


def test_fit_tells_evaluate_that_it_is_its_validation_and_nobody_else_does():
    seen = []

    class Asked(keras.Sequential):
        def evaluate(self, *args, **kwargs):
            seen.append(_keras.is_validation_of_fit(kwargs))
            return super().evaluate(*args, **kwargs)

    model = Asked([keras.Input((3,)), layers.Dense(2)])
    model.compile("sgd", "mse", run_eagerly=True)
    model.fit(X, Y, epochs=2, verbose=0, validation_data=(X, Y))
    model.evaluate(X, Y, verbose=0)
    assert seen == [True, True, False]


def test_functions_that_were_exchanged_come_back():
    model = network(run_eagerly=True, optimizer=keras.optimizers.SGD())
    model.fit(X, Y, verbose=0)
    model.evaluate(X, Y, verbose=0)
    own = model.train_function, model.test_function
    assert all(own)
    assert _keras.exchange_functions(model, None) == own
    model.fit(X, Y, verbose=0)  # Keras builds another one
    assert model.train_function is not own[0] and model.test_function is None
    _keras.exchange_functions(model, own)
    assert (model.train_function, model.test_function) == own


@pytest.mark.slow
def test_functions_that_were_forgotten_are_made_for_another_number_of_steps():
    model = network(run_eagerly=False, optimizer=keras.optimizers.SGD())
    batches = tf.data.Dataset.from_tensors((X, Y)).repeat(4)
    model.fit(batches, verbose=0, shuffle=False)
    model.evaluate(batches, verbose=0)
    model.steps_per_execution = 3
    _keras.exchange_functions(model, None)
    for make in (model.make_train_function, model.make_test_function):
        make()
    iterator, before = iter(batches), int(model.optimizer.iterations)
    model.train_function(iterator)
    assert int(model.optimizer.iterations) == before + 3
    assert len(list(iterator)) == 1
    iterator = iter(batches)
    model.test_function(iterator)
    assert len(list(iterator)) == 1


def test_fit_takes_its_steps_by_the_function_that_make_train_function_leaves():
    """Which `aezoo` puts a function around that looks for a step that diverged."""

    class Watched(keras.Sequential):
        def make_train_function(self, force=False):
            if self.train_function is None or force:
                super().make_train_function(force)
                steps = self.train_function
                self.train_function = lambda iterator: seen.append(steps(iterator)) or seen[-1]
            return self.train_function

    seen, model = [], Watched([keras.Input((3,)), layers.Dense(2)])
    model.compile("sgd", "mse", run_eagerly=True)
    history = model.fit(X, Y, batch_size=4, epochs=2, verbose=0)
    assert len(seen) == 4
    assert [float(seen[i]["loss"]) for i in (1, 3)] == history.history["loss"]


def test_callbacks_that_were_put_in_a_list_hear_of_the_events_of_its_model():
    class Hearing(keras.callbacks.Callback):
        def __init__(self):
            super().__init__()
            self.epochs = []

        def on_epoch_end(self, epoch, logs=None):
            self.epochs.append((epoch, self.model))

    model, first, second = network(), Hearing(), Hearing()
    given = keras.callbacks.CallbackList([first], add_history=True, model=model)
    _keras.replace_callbacks(given, [second, *given.callbacks[1:]])
    model.fit(X, Y, epochs=2, verbose=0, callbacks=given)
    assert first.epochs == []
    assert second.epochs == [(0, model), (1, model)]


def test_load_weights_passes_over_what_else_a_file_holds(tmp_path):
    """`aezoo.callbacks.BackupAndRestore` notes there which training it was."""
    path, model, other = tmp_path / "model.weights.h5", network(), network()
    model.save_weights(path)
    with h5py.File(path, "a") as file:
        file["a note"] = "of ours"
    other.load_weights(path)
    for a, b in zip(model.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


# === Layers ===


def test_all_layers_are_those_inside_of_any_layer_each_once():
    shared = layers.Dense(3)
    inner = layers.TimeDistributed(keras.Sequential([shared, shared]))
    both = layers.Bidirectional(layers.LSTM(2))
    model = keras.Sequential([keras.Input((5, 3)), inner, both])
    found = _keras.all_layers(model)
    assert found[0] is model
    assert len(found) == len({id(layer) for layer in found})
    inside = [inner, inner.layer, shared, both, both.forward_layer, both.backward_layer, both.forward_layer.cell]
    for layer in inside:
        assert any(layer is other for other in found), f"{layer.name} is missing"


class Affine(layers.Layer):
    def build(self, input_shape):
        self.kernel = self.add_weight(shape=(input_shape[-1], 2), name="kernel")
        self.bias = self.add_weight(shape=(2,), name="bias")


def test_a_built_layer_takes_other_variables_inside_and_refuses_more_behind():
    layer, source = Affine(), Affine()
    for each in (layer, source):
        each.build((None, 3))
    kernel, bias = layer.kernel, layer.bias
    with _keras.variables_replaced(layer, kernel, bias):
        layer.kernel = source.kernel
        layer.bias = bias
    assert [id(variable) for variable in layer.weights] == [id(source.kernel), id(bias)]
    assert [id(variable) for variable in layer.trainable_weights] == [id(source.kernel), id(bias)]
    with pytest.raises(ValueError, match="cannot add new elements of state"):
        layer.more = keras.Variable(1.0)


def test_a_layer_computes_what_replaced_its_call_in_every_kind_of_model(tmp_path):
    hidden = layers.Dense(4)
    sequential = keras.Sequential([keras.Input((3,)), hidden])
    x = keras.Input((3,))
    functional = keras.Model(x, hidden(x))
    expected = 2 * np.asarray(hidden(X))
    call = hidden.call
    _keras.replace_call(hidden, lambda inputs, training=None: 2 * call(inputs, training=training))
    for model in (hidden, sequential, functional):
        np.testing.assert_allclose(model(X), expected)
    sequential.save(tmp_path / "model.keras")
    np.testing.assert_allclose(keras.saving.load_model(tmp_path / "model.keras")(X), expected / 2)


def test_a_symbolic_tensor_knows_the_call_that_made_it_also_of_a_layer_called_twice():
    dense, x = layers.Dense(3), keras.Input((3,))
    once = dense(x)
    twice = dense(once)
    flat = ops.reshape(twice, (-1, 3))
    operation, inputs = _keras.producer(flat)
    assert type(operation).__name__ == "Reshape"
    assert [id(tensor) for tensor in inputs] == [id(twice)]
    for output, given in ((twice, once), (once, x)):
        operation, inputs = _keras.producer(output)
        assert operation is dense
        assert [id(tensor) for tensor in inputs] == [id(given)]
    operation, inputs = _keras.producer(x)
    assert isinstance(operation, layers.InputLayer)
    assert inputs == []


@pytest.mark.parametrize(
    "name, function",
    [
        ("Sigmoid", ops.sigmoid),
        ("Tanh", ops.tanh),
        ("Reshape", lambda x: ops.reshape(x, (-1, 3))),
        ("Squeeze", lambda x: ops.squeeze(x, 1)),
        ("ExpandDims", lambda x: ops.expand_dims(x, 1)),
        ("Transpose", lambda x: ops.transpose(x, (0, 2, 1))),
    ],
)
def test_functions_are_operations_of_a_functional_model_by_these_names(name, function):
    """`aezoo.layers.networks` looks through them by name: Keras has no public classes of them."""
    x = keras.Input((1, 3))
    assert name in [type(operation).__name__ for operation in keras.Model(x, function(x)).operations]


# === Marks on tensors ===


def test_layers_put_a_mask_on_what_they_return():
    x = np.array([[[1.0], [0.0]], [[1.0], [2.0]]], "float32")
    mask = _keras.mask_of(layers.Masking()(x))
    np.testing.assert_array_equal(mask, [[True, False], [True, True]])
    carried = keras.Sequential([layers.Masking(), layers.LSTM(2, return_sequences=True)])(x)
    np.testing.assert_array_equal(_keras.mask_of(carried), mask)
    assert _keras.mask_of(ops.ones(2)) is None


def test_the_losses_of_keras_leave_out_what_a_mask_does():
    y_pred = ops.convert_to_tensor([[[1.0], [5.0]], [[1.0], [1.0]]])
    _keras.set_mask(y_pred, ops.convert_to_tensor([[True, False], [True, True]]))
    loss = keras.losses.MeanSquaredError(reduction="mean_with_sample_weight")
    assert float(loss(ops.zeros((2, 2, 1)), y_pred)) == 1.0


def test_keras_marks_a_sigmoid_with_its_logits_and_its_cross_entropy_takes_them():
    x = ops.convert_to_tensor([[40.0]])
    for function in (keras.activations.sigmoid, layers.Activation("sigmoid")):
        np.testing.assert_array_equal(_keras.keras_logits(function(x)), x)
    several = ops.convert_to_tensor([[40.0, -3.0]])
    np.testing.assert_array_equal(_keras.keras_logits(keras.activations.softmax(several)), several)
    assert _keras.keras_logits(keras.activations.relu(x)) is None
    assert _keras.sigmoid_logits(keras.activations.sigmoid(x)) is None
    marked = ops.convert_to_tensor([[1.0]])
    for loss in (keras.losses.binary_crossentropy, keras.losses.BinaryCrossentropy()):
        assert float(np.squeeze(loss(ops.zeros((1, 1)), marked))) < 20  # of the probability, which is clipped
    _keras.mark_logits(marked, x)
    assert _keras.sigmoid_logits(marked) is x
    _keras.mark_class_logits(marked, x)
    assert _keras.class_logits(marked) is x and _keras.class_logits(x) is None
    for loss in (keras.losses.binary_crossentropy, keras.losses.BinaryCrossentropy()):
        assert float(np.squeeze(loss(ops.zeros((1, 1)), marked))) == 40.0


def test_marks_stay_on_tensors_of_a_graph():
    @tf.function
    def marked(x):
        y = tf.sigmoid(x)
        _keras.mark_logits(y, x)
        _keras.set_mask(y, x > 0)
        return _keras.sigmoid_logits(y), _keras.keras_logits(y), _keras.mask_of(y)

    assert [float(value) for value in marked(tf.constant(3.0))] == [3.0, 3.0, 1.0]


# === Optimizers ===


def adam(optimizer=keras.optimizers.Adam, **options):
    """An optimizer of two variables after one step."""
    variables = [keras.Variable([1.0, 2.0]), keras.Variable([[3.0]])]
    made = optimizer(0.1, **options)
    made.apply([tf.constant([3.0, -4.0]), tf.constant([[5.0]])], variables)
    return made, variables


@pytest.mark.parametrize("optimizer", [keras.optimizers.Adam, keras.optimizers.AdamW, LazyAdam])
def test_adam_keeps_both_moments_of_each_variable(optimizer):
    made, variables = adam(optimizer)
    assert [_keras.variable_index(made, variable) for variable in variables] == [0, 1]
    assert [_keras.variable_index(made, variable.value) for variable in variables] == [0, 1]
    for variable, gradient in zip(variables, ([3.0, -4.0], [[5.0]]), strict=True):
        m, v = _keras.adam_slots(made, variable)
        np.testing.assert_allclose(m, 0.1 * np.array(gradient), rtol=1e-6)
        np.testing.assert_allclose(v, 0.001 * np.square(gradient), rtol=1e-5)


def test_the_momentum_of_sgd_is_at_the_place_of_its_variable():
    variables = [keras.Variable([1.0]), keras.Variable([[3.0]])]
    made = keras.optimizers.SGD(0.1, momentum=0.5)
    made.apply([tf.constant([2.0]), tf.constant([[5.0]])], variables)
    found = [float(np.squeeze(made.momentums[_keras.variable_index(made, variable)])) for variable in variables]
    np.testing.assert_allclose(found, [-0.2, -0.5], rtol=1e-6)


def test_the_operation_is_the_equation_of_the_paper():
    w, m, v = (tf.Variable(value, dtype="float64") for value in ([1.0, 2.0], [0.3, -0.1], [0.2, 0.4]))
    g, step, rate, beta_1, beta_2, epsilon = np.array([3.0, -4.0]), 5.0, 0.1, 0.8, 0.9, 0.01
    expected_m = beta_1 * m.numpy() + (1 - beta_1) * g
    expected_v = beta_2 * v.numpy() + (1 - beta_2) * g**2
    alpha = rate * np.sqrt(1 - beta_2**step) / (1 - beta_1**step)
    expected_w = w.numpy() - alpha * expected_m / (np.sqrt(expected_v) + epsilon)
    numbers = (tf.constant(value, "float64") for value in (step, rate, beta_1, beta_2, epsilon))
    _keras.adam_step(w, (m, v), tf.constant(g, "float64"), *numbers)
    for got, expected in ((w, expected_w), (m, expected_m), (v, expected_v)):
        np.testing.assert_allclose(got, expected, rtol=1e-12)


@pytest.mark.parametrize("wrapped", [False, True], ids=["alone", "in a LossScaleOptimizer"])
def test_apply_steps_by_the_function_that_replaces_update_step(wrapped):
    variables = [keras.Variable([1.0, 2.0]), keras.Variable([[3.0]])]
    made, calls = keras.optimizers.Adam(0.25), []
    optimizer = keras.optimizers.LossScaleOptimizer(made) if wrapped else made
    optimizer.build(variables)
    scale = float(optimizer.dynamic_scale) if wrapped else 1.0
    gradients = [tf.constant([4.0, 8.0]), tf.constant([[2.0]])]
    attributes = set(vars(made))
    with _keras.replaced_update_step(made, lambda *arguments: calls.append(arguments)):
        optimizer.apply([gradient * scale for gradient in gradients], variables)
    assert set(vars(made)) == attributes
    assert len(calls) == 2
    for (gradient, variable, rate), given, moved in zip(calls, gradients, variables, strict=True):
        np.testing.assert_allclose(gradient, given)
        assert _keras.variable_index(made, variable) == _keras.variable_index(made, moved)
        assert float(rate) == 0.25
    np.testing.assert_array_equal(variables[0], [1.0, 2.0])
    assert int(made.iterations) == 1


class Elsewhere(keras.optimizers.Adam):
    """The Adam of a Keras to come, which keeps its moments by other names."""

    def build(self, variables):
        if self.built:
            return
        super().build(variables)
        self.first, self.second = self._momentums, self._velocities
        del self._momentums, self._velocities

    def update_step(self, gradient, variable, learning_rate):
        self._momentums, self._velocities = self.first, self.second
        super().update_step(gradient, variable, learning_rate)
        del self._momentums, self._velocities


def test_where_adam_keeps_its_moments_elsewhere_apply_does_what_keras_has_it_do(monkeypatch):
    gradients = [tf.constant([3.0, -4.0]), tf.constant([[5.0]])]
    expected, by_keras = adam()
    expected.apply(gradients, by_keras)
    monkeypatch.setattr(keras.optimizers, "Adam", Elsewhere)
    made, variables = adam(Elsewhere)
    with pytest.raises(LookupError, match="does not keep its moments"):
        _keras.adam_slots(made, variables[0])
    apply(made, gradients, variables)
    for a, b in zip(by_keras, variables, strict=True):
        np.testing.assert_array_equal(a, b)
    assert int(made.iterations) == 2


# === Strategies ===


def test_a_strategy_of_one_process_is_not_in_multi_worker_mode():
    """`tests/training/distribution_test.py` has two processes, which could not train if they did not know."""
    assert _keras.in_multi_worker_mode(aezoo.testing.two_replicas()) is False


def test_a_branch_takes_a_step_of_an_optimizer_only_where_no_merge_call_is_needed():
    assert _keras.supports_no_merge_call()
    strategy = aezoo.testing.two_replicas()
    with strategy.scope():
        w = keras.Variable([1.0])
        sgd = keras.optimizers.SGD(0.1)
        sgd.build([w])
    said = []

    @tf.function
    def step():
        said.append(_keras.supports_no_merge_call())

        def update():
            sgd.apply([tf.constant([1.0])], [w])
            return tf.constant(0)

        tf.cond(tf.constant(True), update, lambda: tf.constant(0))

    try:
        strategy.run(step)
        branches = True
    except RuntimeError as error:
        assert "merge_call" in str(error)
        branches = False
    assert set(said) == {branches}


@pytest.mark.slow
def test_keras_distributes_the_data_that_it_makes_by_a_method_that_was_replaced(monkeypatch):
    strategy = aezoo.testing.two_replicas()
    monkeypatch.delitem(vars(strategy), "experimental_distribute_dataset", raising=False)
    options = tf.data.Options()
    options.experimental_optimization.apply_default_optimizations = True
    _keras.distribute_with(strategy, options)
    replaced = strategy.experimental_distribute_dataset
    _keras.distribute_with(strategy, options)
    assert strategy.experimental_distribute_dataset is replaced
    distribute, given = strategy.extended._experimental_distribute_dataset, []

    def spy(dataset, options):
        given.append(dataset.options().experimental_optimization.apply_default_optimizations)
        return distribute(dataset, options)

    monkeypatch.setattr(strategy.extended, "_experimental_distribute_dataset", spy)
    with strategy.scope():
        model = network(run_eagerly=False)
    model.fit(X, Y, verbose=0, validation_data=(X, Y))
    model.predict(X, verbose=0)
    assert given == [True] * 3
    del vars(strategy)["experimental_distribute_dataset"]


def test_a_replica_gets_its_part_of_a_distributed_data_set():
    strategy = aezoo.testing.two_replicas()
    data = strategy.experimental_distribute_dataset(tf.data.Dataset.from_tensor_slices((X, Y)).batch(4))
    x, y = (_keras.replica_spec(spec) for spec in data.element_spec)
    assert tuple(x.shape) == (None, 3)
    assert tuple(y.shape) == (None, 2)
    spec = tf.TensorSpec((None, 3))
    assert _keras.replica_spec(spec) is spec


# === Files ===


def members(path):
    with zipfile.ZipFile(path) as file:
        return {name: file.read(name) for name in file.namelist()}


@pytest.fixture
def saved(tmp_path):
    """A model that has been trained, and its file."""
    model = network(optimizer=keras.optimizers.Adam(0.1))
    model.fit(X, Y, verbose=0)
    model.save(tmp_path / "whole.keras")
    return model, tmp_path / "whole.keras"


def test_a_file_has_a_part_of_the_optimizer_and_one_of_what_was_compiled(saved, tmp_path):
    model, whole = saved
    found = members(whole)
    assert "compile_config" in json.loads(found[_keras.CONFIG])
    with h5py.File(io.BytesIO(found[_keras.WEIGHTS])) as file:
        assert "optimizer" in file
    _keras.stripped_keras_file(whole, tmp_path / "stripped.keras")
    found = members(tmp_path / "stripped.keras")
    assert "compile_config" not in json.loads(found[_keras.CONFIG])
    with h5py.File(io.BytesIO(found[_keras.WEIGHTS])) as file:
        assert "optimizer" not in file
    loaded = keras.saving.load_model(tmp_path / "stripped.keras")
    assert not loaded.compiled
    np.testing.assert_array_equal(loaded(X), model(X))


def test_keras_casts_what_is_stored_in_half_precision(saved, tmp_path):
    model, whole = saved
    _keras.stripped_keras_file(whole, tmp_path / "half.keras", lambda values: values.astype("float16"))
    loaded = keras.saving.load_model(tmp_path / "half.keras")
    for a, b in zip(loaded.get_weights(), model.get_weights(), strict=True):
        assert a.dtype == "float32"
        np.testing.assert_array_equal(a, b.astype("float16"))


def test_keras_reads_weights_that_are_written_once_and_linked(saved, tmp_path):
    model, whole = saved
    hidden, other = model.get_layer("hidden"), layers.Dense(4, name="other")
    x = keras.Input((3,))
    twice = keras.Model(x, [hidden(x), other(x)])
    other.set_weights(hidden.get_weights())
    twice.save(whole)
    _keras.stripped_keras_file(whole, tmp_path / "linked.keras")
    with h5py.File(io.BytesIO(members(tmp_path / "linked.keras")[_keras.WEIGHTS])) as file:
        places = []
        file.visititems(lambda name, item: places.append(name) if isinstance(item, h5py.Dataset) else None)
        assert len(places) == 2  # the kernel and the bias, where h5py visits each once
    loaded = keras.saving.load_model(tmp_path / "linked.keras")
    for a, b in zip(loaded.get_weights(), twice.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_what_older_versions_refuse_is_not_in_a_stripped_file_and_a_default_of_this_one(saved, tmp_path):
    """`.ci/oldest` loads the presets, of which these are left out."""
    _, whole = saved
    _keras.stripped_keras_file(whole, tmp_path / "stripped.keras")
    newer = {"quantization_config", "input_axes", "output_axes"}
    before, after = [], []
    for path, found in ((whole, before), (tmp_path / "stripped.keras", after)):
        json.loads(members(path)[_keras.CONFIG], object_pairs_hook=found.extend)
    assert not any(value is None for name, value in after if name in newer)
    assert all(value is None for name, value in before if name in newer)


class Built(keras.Model):
    def build(self, input_shape):
        self.dense = layers.Dense(2)
        self.dense.build(input_shape)

    def call(self, x):
        return self.dense(x)


def test_a_file_says_what_its_model_was_built_for(tmp_path):
    path, widened = tmp_path / "model.keras", tmp_path / "widened.keras"
    model = Built()
    model(X)
    model.save(path)
    keras.saving.load_model(path, custom_objects={"Built": Built})
    _keras.widened_keras_file(path, widened)
    assert json.loads(members(widened)[_keras.CONFIG])["build_config"]["input_shape"][-1] == 4
    with pytest.raises(ValueError):
        keras.saving.load_model(widened, custom_objects={"Built": Built})


def test_every_variable_of_this_thread_is_announced_with_its_shape():
    shapes = []
    make = keras.Variable.__init__
    with _keras.before_each_variable(shapes.append):
        layers.Dense(2).build((None, 3))
        model = keras.Sequential([keras.Input((5,)), layers.Dense(4)])
        model.compile("adam")
        model.optimizer.build(model.trainable_variables)
        count = len(shapes)
        thread = threading.Thread(target=lambda: layers.Dense(2).build((None, 7)))
        thread.start()
        thread.join()
    assert keras.Variable.__init__ is make
    assert len(shapes) == count
    assert [*map(tuple, shapes[:2])] == [(3, 2), (2,)]
    assert (5, 4) in shapes
    # Of each layer two weights, two moments of those of the second, and two each of the optimizer and the mean loss.
    assert count == 2 * 2 + 2 * 2 + 2 + 2
    layers.Dense(2).build((None, 3))
    assert len(shapes) == count


def test_a_variable_is_refused_by_what_raises_before_it_is_made():
    def refuse(shape):
        raise ValueError(f"no {shape}")

    with _keras.before_each_variable(refuse), pytest.raises(ValueError, match=r"no \(3, 2\)"):
        layers.Dense(2).build((None, 3))


def test_an_archive_of_functions_writes_each_variable_that_they_read_once(tmp_path):
    model, spec = network(), tf.TensorSpec((None, 3), name="x")
    archive = _keras.export_archive(
        {
            "serving_default": (lambda x: {"y": model(x)}, [spec]),
            "hidden": (lambda x: {"h": model.layers[0](x)}, [spec]),
        }
    )
    archive.write_out(str(tmp_path / "1"), verbose=False)
    written = [shape for _, shape in tf.train.list_variables(str(tmp_path / "1" / "variables" / "variables"))]
    assert sorted(shape for shape in written if shape) == sorted(list(weight.shape) for weight in model.weights)
    loaded = tf.saved_model.load(str(tmp_path / "1"))
    np.testing.assert_allclose(loaded.signatures["serving_default"](x=tf.constant(X))["y"], model(X), rtol=1e-6)
    np.testing.assert_allclose(loaded.signatures["hidden"](x=tf.constant(X))["h"], model.layers[0](X), rtol=1e-6)


# === TensorFlow Datasets ===


def test_a_download_is_tried_again_so_often_and_no_bucket_is_looked_into(monkeypatch, tmp_path):
    import tensorflow_datasets as tfds
    from tensorflow_datasets.core.download import downloader
    from tensorflow_datasets.core.utils import gcs_utils

    asked = []

    class Unavailable(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_response(503)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *args):
            pass

    monkeypatch.setattr(gcs_utils, "_is_gcs_disabled", False)
    monkeypatch.setattr(gcs_utils, "exists", lambda path: asked.append(path))
    before = downloader.MAX_RETRIES
    with http.server.HTTPServer(("127.0.0.1", 0), Unavailable) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            with _keras.tfds_gives_up_early(2):
                assert not gcs_utils.is_dataset_on_gcs("mnist/3.0.1")
                assert asked == []
                manager = tfds.download.DownloadManager(download_dir=tmp_path, dataset_name="mnist")
                with pytest.raises(OSError, match="503"):  # of requests
                    manager.download(f"http://127.0.0.1:{server.server_port}/file")
        finally:
            server.shutdown()
            thread.join()
    assert asked == ["/file"] * 3  # once, and twice again
    assert downloader.MAX_RETRIES == before
    assert not gcs_utils._is_gcs_disabled


def test_device_memory(monkeypatch):
    from tensorflow.python.client import device_lib

    local = device_lib.list_local_devices()
    assert any(device.device_type == "CPU" and device.memory_limit > 0 for device in local)
    if not tf.config.list_logical_devices("GPU"):
        assert _keras.device_memory() is None
    gpu = types.SimpleNamespace(device_type="GPU", memory_limit=123)
    monkeypatch.setattr(tf.config, "list_logical_devices", lambda kind: [gpu])
    monkeypatch.setattr(device_lib, "list_local_devices", lambda: [*local, gpu])
    assert _keras.device_memory() in {123, *(d.memory_limit for d in local if d.device_type == "GPU")}
