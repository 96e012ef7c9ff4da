"""The greedy stack against the same done by hand: which codes a stage learns from, and what is made of the stages."""

import math

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy.special import expit, softmax

import aezoo
import aezoo.testing
from aezoo.schedules import Linear
from aezoo.training import resident


def mixture():
    """Every dense variant, tied and untied, sigmoid codes and unbounded ones."""
    return aezoo.StackedAE(
        [
            aezoo.DenoisingAE(8, tied=True, seed=1),
            aezoo.ContractiveAE(7, hidden_dims=(9,), seed=2),
            aezoo.SparseAE(6, tied=True, seed=3),
            aezoo.KSparseAE(6, k=2, k_schedule=Linear(5, 2, 3), seed=4),
            aezoo.ContractiveAE(4, hidden_dims=(5,), tied=True, output_activation="linear", seed=5),
        ]
    )


def pair():
    """Two stages that draw no noise."""
    return aezoo.StackedAE([aezoo.SparseAE(5, seed=1), aezoo.Autoencoder(4, activation="tanh", tied=True, seed=2)])


def build(stack, x):
    """Makes the weights of a stack, of which no bias is 0."""
    rng = np.random.default_rng(1)
    shape = x.shape[1:]
    for stage in stack.stages:
        stage.build((None, *shape))
        shape = stage.code_shape
        for v in stage.trainable_variables:
            v.assign(rng.normal(0, 0.5, v.shape))
    return stack


def eagerly(stack):
    """Compiles the stages without graphs: tracing them is most of the time of a small training."""
    for stage in stack.stages:
        stage.compile(stage.default_optimizer(), run_eagerly=True)
    return stack


def weights(model):
    return [v.numpy() for v in model.variables]


def assert_same(expected, got, **tolerance):
    assert len(expected) == len(got)
    for a, b in zip(expected, got, strict=True):
        np.testing.assert_allclose(b, a, **tolerance) if tolerance else np.testing.assert_array_equal(b, a)


@pytest.fixture
def quick(x):
    return build(pair(), x)


class Recorder(keras.callbacks.Callback):
    """Which model is trained, when, and with which weights below it."""

    def __init__(self, stages=()):
        super().__init__()
        self.seen, self.stages = [], stages

    def on_epoch_begin(self, epoch, logs=None):
        self.seen.append([self.model, epoch, 0])

    def on_train_batch_end(self, batch, logs=None):
        self.seen[-1][2] += 1


# === unroll ===


def test_unrolled_is_the_composition_of_the_stages(x):
    stack = build(mixture(), x)
    deep = stack.unroll(name="deep")
    assert isinstance(deep, aezoo.Autoencoder) and deep.name == "deep"
    rng = np.random.default_rng(2)
    # Far apart, since each sigmoid brings them closer together.
    images, codes = rng.normal(0, 9, x.shape).astype("float32"), rng.normal(0, 9, (21, 4)).astype("float32")
    up, down = images, codes
    for stage in stack.stages:
        up = stage.encoder(up)
    both = up
    for stage in reversed(stack.stages):
        down, both = stage.decoder(down), stage.decoder(both)
    assert min(np.ptp(np.asarray(values), axis=0).max() for values in (up, down)) > 1e-4
    for model in (stack, deep):
        np.testing.assert_allclose(model.encode(images), up, atol=1e-6)
        np.testing.assert_allclose(model.decode(codes), down, atol=1e-6)
        np.testing.assert_allclose(model.reconstruct(images), both, atol=1e-6)
    assert deep(x).shape == x.shape


@pytest.mark.slow_cases("shape0-True", "shape1-False", "shape2-True")
@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("shape", [(7,), (3, 4), (4, 4, 2)])
def test_unrolled_of_inputs_of_any_rank(shape, tied):
    data = np.random.default_rng(0).random((5, *shape), "float32")
    stack = aezoo.StackedAE(
        [aezoo.DenoisingAE(6, hidden_dims=(8,), tied=tied), aezoo.SparseAE(3, hidden_dims=(4,), tied=tied)]
    )
    build(stack, data)
    unrolled = stack.unroll()(data)
    np.testing.assert_allclose(unrolled, stack.reconstruct(data), atol=1e-6)
    assert unrolled.shape == data.shape


def test_unrolled_of_networks_of_the_users_own(x):
    image, z = keras.Input((6, 6, 1)), keras.Input((4,))
    flat = keras.layers.Flatten()(image)
    encoder = keras.Model(image, keras.layers.Dense(4, "sigmoid")(flat) * keras.layers.Dense(4, "sigmoid")(flat))
    decoder = keras.Model(z, keras.layers.Reshape((6, 6, 1))(keras.layers.Dense(36, "sigmoid")(z)))
    stack = aezoo.StackedAE([aezoo.Autoencoder(encoder=encoder, decoder=decoder), aezoo.Autoencoder(3)])
    build(stack, x)
    np.testing.assert_allclose(stack.unroll()(x), stack.reconstruct(x), atol=1e-6)


def test_unrolled_weights_are_copies(quick, x):
    deep = quick.unroll()
    shared = {id(v) for stage in quick.stages for v in stage.variables} & {id(v) for v in deep.variables}
    assert not shared
    assert len(deep.trainable_variables) == 8  # a tied stage is untied: 4 kernels, 4 biases
    stages = [weights(stage) for stage in quick.stages]
    start = weights(deep)
    deep.compile("adam", run_eagerly=True)
    deep.fit(x, epochs=1, verbose=0)
    assert not any(np.array_equal(a, v) for a, v in zip(start[1:], deep.trainable_variables, strict=False))
    for before, stage in zip(stages, quick.stages, strict=True):
        assert_same(before, weights(stage))
    tuned = weights(deep)
    for stage in quick.stages:
        for v in stage.variables:
            v.assign(v + keras.ops.ones_like(v))
    assert_same(tuned, weights(deep))


@pytest.mark.slow
def test_unrolled_is_saved_loaded_and_exported(x, tmp_path):
    stack = aezoo.StackedAE(
        [aezoo.ContractiveAE(7, hidden_dims=(9,), tied=True, seed=1), aezoo.KSparseAE(6, k=2, seed=2)]
    )
    deep = build(stack, x).unroll(seed=3)
    deep.compile(keras.optimizers.Adam(0.01), run_eagerly=True)
    history = deep.fit(x, epochs=2, batch_size=8, shuffle=False, verbose=0).history["loss"]
    assert history[-1] < history[0]
    deep.save(tmp_path / "deep.keras")
    loaded = keras.saving.load_model(tmp_path / "deep.keras")
    np.testing.assert_array_equal(loaded(x), deep(x))
    loaded.export(tmp_path / "1")
    signatures = tf.saved_model.load(str(tmp_path / "1")).signatures
    got = signatures["serving_default"](x=tf.constant(x[:3]))["reconstruction"]
    np.testing.assert_allclose(got, deep(x[:3]), atol=1e-5)
    np.testing.assert_allclose(signatures["encode"](x=tf.constant(x))["code"], deep.encode(x), atol=1e-5)
    for model in (deep, loaded):
        model.fit(x, batch_size=8, shuffle=False, verbose=0)
    assert_same(weights(deep), weights(loaded))


# === to_classifier ===


@pytest.mark.parametrize("activation", ["softmax", None])
def test_the_classifier_is_the_encoders_and_an_output_layer(x, activation):
    stack = aezoo.StackedAE(
        [
            aezoo.DenoisingAE(8, seed=1),
            aezoo.KSparseAE(7, k=2, alpha=1.5, seed=2),
            aezoo.SparseAE(5, hidden_dims=(6,), activation="sigmoid", output_activation="linear", seed=3),
        ]
    )
    build(stack, x)
    args = (3,) if activation == "softmax" else (3, None)  # softmax is the default
    classifier = stack.to_classifier(*args)
    head = classifier.layers[-1]
    head.bias.assign([1.0, 2.0, -1.0])
    dense = [
        layer
        for stage in stack.stages
        for part in stage.encoder.layers
        for layer in getattr(part, "layers", [part])
        if isinstance(layer, keras.layers.Dense)
    ]
    (w1, b1), (w2, b2), (w3, b3), (w4, b4) = [(layer.kernel.numpy(), layer.bias.numpy()) for layer in dense]
    h = expit(x.reshape(21, 36) @ w1 + b1)
    a = h @ w2 + b2
    h = np.where(a >= np.sort(a, axis=1)[:, [-3]], a, 0)  # round(alpha k) = 3 stay
    h = expit(expit(h @ w3 + b3) @ w4 + b4)
    logits = h @ head.kernel.numpy() + head.bias.numpy()
    expected = softmax(logits, axis=1) if activation else logits
    np.testing.assert_allclose(classifier.predict(x, verbose=0), expected, rtol=1e-4, atol=1e-5)


def test_the_classifier_trains_and_leaves_the_stages_alone(quick, x):
    labels = (x.mean((1, 2, 3)) > np.median(x.mean((1, 2, 3)))).astype("int32")
    classifier = quick.to_classifier(2)
    assert isinstance(classifier, keras.Model)
    before = [weights(stage) for stage in quick.stages]
    start = weights(classifier)
    loss = "sparse_categorical_crossentropy"
    classifier.compile(keras.optimizers.Adam(0.05), loss, metrics=["accuracy"], run_eagerly=True)
    history = classifier.fit(x, labels, epochs=8, verbose=0).history
    assert history["loss"][-1] < history["loss"][0]
    assert not any(np.array_equal(a, v) for a, v in zip(start, classifier.trainable_variables, strict=True))
    for a, stage in zip(before, quick.stages, strict=True):
        assert_same(a, weights(stage))
    with pytest.raises(ValueError, match="num_classes must be at least 1"):
        quick.to_classifier(0)


def test_a_classifier_of_codes_of_several_axes_has_a_label_a_sample():
    encoder = keras.Sequential([keras.Input((6, 6, 1)), keras.layers.Conv2D(2, 3, strides=2)])
    decoder = keras.Sequential([keras.Input((2, 2, 2)), keras.layers.Flatten(), keras.layers.Dense(36)])
    decoder.add(keras.layers.Reshape((6, 6, 1)))
    stack = aezoo.StackedAE([aezoo.Autoencoder(encoder=encoder, decoder=decoder)])
    stack.stages[0].build((None, 6, 6, 1))
    assert stack.to_classifier(3).output_shape == (None, 3)


# === What a stage learns from ===


def test_a_stage_learns_from_the_codes_below_as_if_trained_by_hand(x):
    stack, by_hand = eagerly(pair()), pair().stages
    # One batch less than an epoch's last is short: 8, 8, 5.
    histories = stack.pretrain(tf.data.Dataset.from_tensor_slices(x).batch(8), epochs=2, verbose=0)
    data = x
    for stage, trained, history in zip(by_hand, stack.stages, histories, strict=True):
        stage.compile(stage.default_optimizer(), run_eagerly=True)
        expected = stage.fit(data, epochs=2, batch_size=8, shuffle=False, verbose=0).history
        assert_same(weights(stage), weights(trained), rtol=1e-5, atol=1e-6)
        assert expected.keys() == history.keys()
        np.testing.assert_allclose(history["loss"], expected["loss"], rtol=1e-5)
        data = stage.encoder.predict(data, verbose=0)


@pytest.mark.slow
def test_an_array_is_visited_in_another_order_each_epoch_and_a_denoising_stage_corrupts_the_code(x):
    def stages():
        return [aezoo.DenoisingAE(5, corruption=0.5, seed=1), aezoo.DenoisingAE(4, corruption=0.5, seed=2)]

    def pretrained(seed):
        stack, given = aezoo.StackedAE(stages()), [[], []]
        for stage, batches in zip(stack.stages, given, strict=True):
            stage.compile(keras.optimizers.SGD(0.1), run_eagerly=True)
            stage.corruption.corrupt = recording(stage.corruption.corrupt, batches)
        stack.pretrain(x, epochs=2, batch_size=8, seed=seed, verbose=0)
        return stack, given

    def recording(corrupt, batches):
        def recorded(clean):
            batches.append(np.asarray(clean))
            return corrupt(clean)

        return recorded

    stack, given = pretrained(0)
    clean = [x, np.asarray(stack.stages[0].encode(x))]
    by_hand = stages()
    orders = []
    for stage, data, batches, alone in zip(stack.stages, clean, given, by_hand, strict=True):
        assert [len(batch) for batch in batches] == [8, 8, 5] * 2
        for epoch in (batches[:3], batches[3:]):
            rows = np.concatenate(epoch).reshape(21, -1)
            distance = np.abs(rows[:, None] - data.reshape(21, -1)[None]).max(axis=2)
            order = distance.argmin(axis=1)
            assert sorted(order) == list(range(21))  # each sample once, and its clean code: nothing was corrupted below
            assert distance.min(axis=1).max() < 1e-6
            orders.append(tuple(order))
        # The same batches by hand give the same weights: corruption, target and order are all there is.
        alone.compile(keras.optimizers.SGD(0.1), run_eagerly=True)
        alone.build((None, *data.shape[1:]))
        for epoch in range(2):
            for batch in batches[3 * epoch : 3 * epoch + 3]:
                alone.train_on_batch(batch)
        alone.epoch.assign(2)  # single steps count no epochs
        assert_same(weights(alone), weights(stage), rtol=1e-5, atol=1e-6)
    assert len({*orders, tuple(range(21))}) == 5  # other orders in each epoch and stage, none the given one
    same, again = pretrained(0)
    for a, b in zip(stack.stages, same.stages, strict=True):
        assert_same(weights(a), weights(b))
    other = pretrained(1)[1]
    assert np.array_equal(again[0][0], given[0][0]) and not np.array_equal(other[0][0], given[0][0])


@pytest.mark.slow
@pytest.mark.parametrize("form", [pytest.param("array", marks=pytest.mark.slow), "dataset"])
def test_cached_codes_give_the_same_weights(x, form):
    def stack():
        return eagerly(aezoo.StackedAE([aezoo.DenoisingAE(6, seed=1), *pair().stages]))

    data = x if form == "array" else tf.data.Dataset.from_tensor_slices(x).batch(8)
    streamed, cached = stack(), stack()
    streamed.pretrain(data, epochs=2, batch_size=8, verbose=0)
    cached.pretrain(data, epochs=2, batch_size=8, cache=True, verbose=0)
    for a, b in zip(streamed.stages, cached.stages, strict=True):
        assert_same(weights(a), weights(b), rtol=1e-5, atol=1e-6)


def test_codes_are_streamed(x):
    data = np.random.default_rng(0).random((1000, 6), "float32")
    encoded, trained, ahead = [], [], []
    stack = aezoo.StackedAE([aezoo.Autoencoder(4, activation="sigmoid"), aezoo.Autoencoder(3)])
    encode = stack.stages[0].encode

    def counted(x):
        def count(n):
            encoded.append(int(n))
            return n

        n = tf.numpy_function(count, [tf.shape(x)[0]], "int32")
        with tf.control_dependencies([n]):
            return encode(tf.identity(x))

    stack.stages[0].encode = counted

    def note(batch, logs):
        trained.append(batch)
        ahead.append(len(encoded) - len(trained))

    note = keras.callbacks.LambdaCallback(on_train_batch_begin=note)
    stack.pretrain(data, epochs=[0, 1], batch_size=5, callbacks=[[], [note]], verbose=0)
    assert len(trained) == 200
    assert max(encoded) == 5 and sum(encoded) >= 1000
    assert max(ahead) < 100  # a few batches of prefetching, however many there are


def test_lower_stages_stay_as_they_are_while_upper_ones_are_trained(x):
    stack = eagerly(aezoo.StackedAE([aezoo.DenoisingAE(5, seed=1), aezoo.ContractiveAE(4, hidden_dims=(5,), seed=2)]))
    before = []
    note = keras.callbacks.LambdaCallback(on_train_begin=lambda logs: before.append(weights(stack.stages[0])))
    stack.pretrain(x, epochs=2, batch_size=8, callbacks=[[], [note]], verbose=0)
    assert_same(before[0], weights(stack.stages[0]))  # epoch and random state included
    assert [int(stage.epoch.numpy()) for stage in stack.stages] == [2, 2]


@pytest.mark.slow
def test_float64_and_float32_give_the_same(x):
    single, double = eagerly(pair()), eagerly(pair())
    single.pretrain(x, epochs=1, batch_size=8, verbose=0)
    double.pretrain(x.astype("float64"), epochs=1, batch_size=8, verbose=0)
    for a, b in zip(single.stages, double.stages, strict=True):
        assert_same(weights(a), weights(b), rtol=1e-5, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("graphs", [False, True])
def test_two_replicas_give_the_same_weights_as_one(x, graphs):
    one = eagerly(pair())
    with aezoo.testing.two_replicas().scope():
        two = pair() if graphs else eagerly(pair())
    for stack in (one, two):
        stack.pretrain(x, epochs=2, batch_size=8, optimizer=[keras.optimizers.SGD(0.05), None], verbose=0)
    for a, b in zip(one.stages, two.stages, strict=True):
        assert_same(weights(a), weights(b), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(two.unroll()(x), one.unroll()(x), atol=1e-5)


# === Arguments, once or one a stage ===


@pytest.mark.slow
def test_epochs_batch_sizes_and_callbacks_once_or_one_a_stage(x):
    stack = eagerly(pair())
    first, second = stack.stages
    everywhere = Recorder()
    stack.pretrain(x, epochs=1, batch_size=7, callbacks=[everywhere], verbose=0)
    assert everywhere.seen == [[first, 0, 3], [second, 0, 3]]
    below, above = Recorder(), Recorder()
    # Pretraining goes on from where the stages are.
    histories = stack.pretrain(x, epochs=[2, 1], batch_size=(10, 21), callbacks=[[below], [above]], verbose=0)
    assert below.seen == [[first, 1, 3], [first, 2, 3]] and above.seen == [[second, 1, 1]]
    assert [len(history["loss"]) for history in histories] == [2, 1]
    assert [int(stage.epoch.numpy()) for stage in stack.stages] == [3, 2]


@pytest.mark.slow
def test_pretraining_twice_is_pretraining_twice_as_long(x):
    once, twice = (eagerly(aezoo.StackedAE([aezoo.DenoisingAE(5, seed=1)])) for _ in range(2))
    once.pretrain(x, epochs=2, batch_size=8, verbose=0)
    twice.pretrain(x, epochs=1, batch_size=8, verbose=0)
    twice.pretrain(x, epochs=1, batch_size=8, verbose=0)
    assert_same(weights(once.stages[0]), weights(twice.stages[0]))


def test_each_stage_has_an_optimizer_of_its_own(x):
    stack, given = eagerly(pair()), keras.optimizers.SGD(0.125, momentum=0.5)
    first, second = stack.stages
    stack.pretrain(x, epochs=1, optimizer=given, verbose=0)
    assert len({id(given), id(first.optimizer), id(second.optimizer)}) == 3 and not given.built
    for stage in stack.stages:
        assert stage.optimizer.get_config() == given.get_config()
        assert int(stage.optimizer.iterations.numpy()) == 1
    stack.pretrain(x, epochs=1, optimizer=["rmsprop", keras.optimizers.Adam(0.5)], verbose=0)
    assert isinstance(first.optimizer, keras.optimizers.RMSprop)
    assert isinstance(second.optimizer, keras.optimizers.Adam) and float(second.optimizer.learning_rate) == 0.5


def test_without_an_optimizer_a_stage_keeps_that_with_which_it_was_compiled(x):
    stack = pair()
    optimizer = keras.optimizers.SGD(0.25)
    stack.stages[0].compile(optimizer, loss="mse", run_eagerly=True)
    stack.pretrain(x, epochs=1, verbose=0)
    assert stack.stages[0].optimizer is optimizer
    assert type(stack.stages[1].optimizer) is type(stack.stages[1].default_optimizer())


def test_a_new_optimizer_leaves_the_rest_of_compile_alone(x):
    stack = pair()
    stack.stages[0].compile("adam", loss="mse", metrics=["mae"], run_eagerly=True)
    histories = stack.pretrain(x, epochs=1, optimizer="sgd", verbose=0)
    # The mean squared error is 36 times smaller than the summed one.
    assert histories[0]["reconstruction"][0] < 1
    assert "mae" in histories[0] and "mae" not in histories[1]
    assert stack.stages[0].run_eagerly


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"epochs": [1]}, "epochs has 1 entries, but the stack has 2 layers"),
        ({"batch_size": [1, 2, 3]}, "batch_size has 3 entries"),
        ({"optimizer": ["sgd"]}, "optimizer has 1 entries"),
        ({"callbacks": [[], [], []]}, "callbacks has 3 entries"),
        ({"optimizer": ["sgd", "no-such-optimizer"]}, "no-such-optimizer"),
        ({"batch_size": 0}, "batch_size"),
        ({"batch_size": [8, -1]}, "batch_size"),
        ({"epochs": -1}, "epochs"),
    ],
)
def test_wrong_arguments_stop_before_the_first_step(quick, x, tmp_path, arguments, message):
    before = [weights(stage) for stage in quick.stages]
    with pytest.raises(ValueError, match=message):
        quick.pretrain(x, **{"epochs": 1, "verbose": 0, "checkpoint_dir": tmp_path / "run", **arguments})
    for a, stage in zip(before, quick.stages, strict=True):
        assert_same(a, weights(stage))
    assert not (tmp_path / "run").exists()


# === Progress ===


@pytest.mark.slow
def test_progress_names_the_layer_and_the_epoch(x, capsys):
    stack = eagerly(aezoo.StackedAE([aezoo.DenoisingAE(5, seed=1), aezoo.SparseAE(4, seed=2)]))
    stack.pretrain(x, epochs=[2, 1], batch_size=21, verbose=0)
    out, err = capsys.readouterr()
    assert out == "" and "layer" not in err and "epoch" not in err
    stack.pretrain(x, epochs=[2, 1], batch_size=21)
    out, err = capsys.readouterr()
    assert out == ""
    places = [
        err.find(line)
        for line in (
            "layer 1/2 · DenoisingAE 5 · epoch 1/2",
            "layer 1/2 · DenoisingAE 5 · epoch 2/2",
            "layer 2/2 · SparseAE 4 · epoch 1/1",
            "3/3",
        )
    ]
    assert -1 not in places and places == sorted(places)
    assert "layer 2/2 · DenoisingAE" not in err and "epoch 3/" not in err
    assert "reconstruction=" in err


# === Bad input ===


def test_what_a_stack_is_made_of():
    ae = aezoo.Autoencoder(3)
    with pytest.raises(ValueError, match="at least one model"):
        aezoo.StackedAE([])
    with pytest.raises(ValueError, match="aezoo models"):
        aezoo.StackedAE([ae, keras.Sequential()])
    with pytest.raises(ValueError, match="twice"):
        aezoo.StackedAE([ae, aezoo.Autoencoder(2), ae])
    assert aezoo.StackedAE((ae,)).stages == [ae]


def test_before_pretraining_there_is_nothing_to_unroll():
    for stack in (pair(), mixture()):
        for make in (stack.unroll, lambda stack=stack: stack.to_classifier(3)):
            with pytest.raises(ValueError, match="has no weights yet: call pretrain first"):
                make()


def slices(data):
    return tf.data.Dataset.from_tensor_slices(data).batch(8)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (lambda x: (x * 255).astype("uint8"), "floating-point"),
        (lambda x: slices((x * 255).astype("uint8")), "floating-point"),
        (lambda x: slices((x, np.arange(21))), "labels"),
        (lambda x: slices((x, x)), "labels|targets"),
        (lambda x: np.where(x == x.max(), np.nan, x), "NaN"),
        (lambda x: x * 255, "outside"),
        (lambda x: x[:0], "empty"),
        (lambda x: slices(x).take(0), "empty"),
        (lambda x: x[:, :5], "was built for"),
        (lambda x: (x, x), "Expected samples as one array"),
        (lambda x: iter([x]), "array"),
    ],
    ids="integers integers-set labels targets nan range empty empty-set shape tuple iterator".split(),
)
def test_data_that_cannot_be_trained_on(quick, x, tmp_path, data, message):
    before = [weights(stage) for stage in quick.stages]
    with pytest.raises(ValueError, match=message) as raised:
        quick.pretrain(data(x), epochs=1, verbose=0, checkpoint_dir=tmp_path / "run")
    assert "\n" not in str(raised.value)
    for a, stage in zip(before, quick.stages, strict=True):
        assert_same(a, weights(stage))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "below",
    [aezoo.KSparseAE(5, k=2), aezoo.Autoencoder(5), aezoo.Autoencoder(5, activation="sigmoid", code_activation="tanh")],
    ids=["k-sparse", "relu", "tanh"],
)
def test_codes_without_bounds_below_a_sigmoid(x, below):
    stack = aezoo.StackedAE([below, aezoo.SparseAE(3, seed=1)])
    with pytest.raises(ValueError, match="give it output_activation='linear'") as raised:
        stack.pretrain(x, epochs=1, verbose=0)
    assert "\n" not in str(raised.value) and int(below.epoch.numpy()) == 0


def test_tanh_codes_below_a_tanh(x):
    stack = aezoo.StackedAE([aezoo.Autoencoder(4, activation="tanh", output_activation="tanh") for _ in range(2)])
    eagerly(stack).pretrain(x, epochs=1, verbose=0)
    assert [int(stage.epoch.numpy()) for stage in stack.stages] == [1, 1]


def test_a_stage_that_was_built_for_other_codes(x):
    above = aezoo.Autoencoder(3, seed=1)
    above.build((None, 9))
    below = aezoo.SparseAE(5, seed=1)
    start = weights(above)
    with pytest.raises(ValueError, match=r"Layer 2 .* was built for inputs of shape \(9,\),.* \(5,\)"):
        aezoo.StackedAE([below, above]).pretrain(x, epochs=1, verbose=0)
    assert_same(start, weights(above))
    assert int(below.epoch.numpy()) == 0


@pytest.mark.slow
def test_arrays_are_pretrained_in_few_calls(monkeypatch):
    x = np.random.default_rng(0).random((53, 6), "float32")
    calls, run = [], resident.TrainingLoop.__call__
    monkeypatch.setattr(resident.TrainingLoop, "__call__", lambda *args: (calls.append(0), run(*args))[1])
    monkeypatch.setattr(aezoo.Trainer, "default_steps", 8)
    results = []
    for memory in (math.inf, 0):  # arrays stay on a device where they fit
        monkeypatch.setattr(resident, "memory", lambda memory=memory: memory)
        stack = aezoo.StackedAE([aezoo.DenoisingAE(4, seed=0), aezoo.Autoencoder(3, seed=1)])
        history = stack.pretrain(x, epochs=2, batch_size=6, verbose=0)
        results.append(([weight for stage in stack.stages for weight in stage.get_weights()], history))
    assert len(calls) == 2 * 2, "one call per stage and epoch"
    for ours, pipeline in zip(results[0][0], results[1][0], strict=True):
        np.testing.assert_allclose(ours, pipeline, rtol=1e-5, atol=1e-6)
    assert results[0][1] == [{k: pytest.approx(v, rel=1e-5) for k, v in logs.items()} for logs in results[1][1]]
