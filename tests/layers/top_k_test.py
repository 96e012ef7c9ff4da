"""Exactly k units stay, against a stable sort in NumPy."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from aezoo.layers import TopK, top_k_mask
from aezoo.layers.batch_top_k import batch_threshold
from aezoo.schedules import Linear, Schedule, Step


def numpy_mask(z, k):
    order = np.argsort(-z.astype("float64"), axis=1, kind="stable")  # of equals, the first by index comes first
    mask = np.zeros(z.shape)
    np.put_along_axis(mask, order[:, :k], 1, axis=1)
    return mask


@pytest.mark.parametrize("dtype", ["float32", "float16", "float64"])
def test_mask_equals_a_stable_sort_also_with_ties(dtype):
    rng = np.random.default_rng(0)
    for _ in range(60):
        batch, units, values = rng.integers(1, 6), rng.integers(1, 12), rng.integers(1, 5)
        z = rng.integers(-values, values + 1, (batch, units)).astype(dtype)  # few values: many ties
        k = int(rng.integers(0, units + 1))
        k_max = int(rng.integers(max(k, 1), units + 1))
        mask = top_k_mask(tf.constant(z), k, k_max)
        assert mask.dtype == dtype
        np.testing.assert_array_equal(mask, numpy_mask(z, k), err_msg=f"k={k} of {z}")


def test_mask_of_negative_infinite_and_constant_codes():
    lowest = np.finfo("float32").min
    z = np.array(
        [[-3, -1, -2, -1], [0, 0, 0, 0], [lowest, lowest, 1, lowest], [-np.inf, 5, -np.inf, np.inf]], "float32"
    )
    for k in range(5):
        np.testing.assert_array_equal(top_k_mask(tf.constant(z), k, 4), numpy_mask(z, k))


def test_one_graph_serves_every_k():
    traces = []

    @tf.function(jit_compile=True, autograph=False)
    def masks(z, k):
        traces.append(k)
        return top_k_mask(z, k, 6)

    z = np.random.default_rng(0).normal(size=(7, 6)).astype("float32")
    for k in range(7):
        np.testing.assert_array_equal(masks(tf.constant(z), tf.constant(k)), numpy_mask(z, k))
    assert len(traces) == 1


@pytest.mark.parametrize(
    "select", [lambda z: top_k_mask(z, k=5, k_max=5), lambda z: batch_threshold(z, k=5)], ids=["mask", "batch"]
)
def test_xla_does_not_sort_all_units(select):
    """On CPUs, XLA has a function for the k largest, if nothing but the first k of a sort is used."""
    with tf.device("CPU"):
        graph = tf.function(select, jit_compile=True)
        z = tf.random.stateless_uniform((20, 300), [0, 1])
        program = graph.experimental_get_compiler_ir(z)(stage="optimized_hlo")
        assert "TopK" in program and " sort(" not in program
        np.testing.assert_array_equal(graph(z), select(z))


def test_the_gradient_flows_through_what_stays():
    z = tf.constant(np.random.default_rng(0).normal(size=(5, 8)).astype("float32"))
    upstream = np.arange(1, 41, dtype="float32").reshape(5, 8)
    layer = TopK(3)
    with tf.GradientTape() as tape:
        tape.watch(z)
        value = tf.reduce_sum(layer(z, training=True) * upstream)
    np.testing.assert_array_equal(tape.gradient(value, z), upstream * numpy_mask(z.numpy(), 3))


def test_k_in_training_and_alpha_k_at_inference():
    z = np.random.default_rng(0).normal(size=(5, 8)).astype("float32")
    layer = TopK(2, Linear(6, 2, epochs=4), alpha=1.5)
    for epoch, k in enumerate([6, 5, 4, 3, 2, 2]):
        layer.k_in_training.move_to(epoch)
        np.testing.assert_allclose(layer(z, training=True), z * numpy_mask(z, k))
        np.testing.assert_allclose(layer(z), z * numpy_mask(z, 3))


def test_a_schedule_between_integers_is_rounded():
    z = np.random.default_rng(0).normal(size=(5, 8)).astype("float32")
    layer = TopK(2, Step([1, 2], [4.4, 3.6, 2]))
    for epoch, k in enumerate([4, 4, 2]):
        layer.k_in_training.move_to(epoch)
        assert np.count_nonzero(layer(z, training=True)[0]) == k
    # A largest value between integers is rounded up too.
    assert np.count_nonzero(TopK(2, Step([1], [3.6, 2]))(z, training=True)[0]) == 4


def test_configuration():
    layer = TopK(2, Linear(6, 2, epochs=4), alpha=1.5)
    again = TopK.from_config(layer.get_config())
    assert (again.k, again.alpha, again.k_in_training.schedule) == (2, 1.5, Linear(6, 2, 4))
    network = keras.Sequential([keras.Input((8,)), layer])
    assert network.output_shape == (None, 8)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"k": 0}, "k must be at least 1, but k=0"),
        ({"k": 2, "alpha": 0.5}, "alpha must be at least 1 and finite, but alpha=0.5"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        TopK(**arguments)


@pytest.mark.parametrize(
    "arguments",
    [{"k": 9}, {"k": 5, "alpha": 2.0}, {"k": 2, "schedule": Linear(9, 2, 3)}, {"k": 2, "schedule": Linear(2, 9, 3)}],
    ids=["k", "alpha", "falling", "rising"],
)
def test_more_units_than_there_are(arguments):
    with pytest.raises(ValueError, match="of a code that has 8"):
        TopK(**arguments)(np.zeros((1, 8), "float32"))


def test_of_feature_maps_k_of_all_entries_stay():
    z = np.random.default_rng(0).normal(size=(5, 4, 4, 3)).astype("float32")
    layer = TopK(4)
    expected = (z.reshape(5, 48) * numpy_mask(z.reshape(5, 48), 4)).reshape(z.shape)
    np.testing.assert_array_equal(layer(z), expected)
    np.testing.assert_array_equal(layer(z, training=True), expected)
    network = keras.Sequential([keras.Input((4, 4, 3)), TopK(48)])
    assert network.output_shape == (None, 4, 4, 3)
    np.testing.assert_array_equal(network(z), z)
    with pytest.raises(ValueError, match="would keep 49 units of a code that has 48"):
        TopK(49)(z)
    with pytest.raises(ValueError, match=r"codes of shape \(None, 3\) have no fixed number of units"):
        keras.Sequential([keras.Input((None, 3)), TopK(2)])


def test_nan_stays_to_be_seen():
    z = np.array([[1.0, np.nan, 3.0, 2.0]], "float32")
    assert np.isnan(TopK(1)(z).numpy()[0, 1])


class Growing(Schedule):
    """A schedule that does not say how far it goes."""

    def __call__(self, epoch):
        return 2.0**epoch - 1 if epoch else 1


def test_a_schedule_without_known_ends_keeps_from_one_unit_to_all():
    z = np.random.default_rng(0).normal(size=(5, 8)).astype("float32")
    layer = TopK(2, Growing())
    for epoch, k in enumerate([1, 1, 3, 7, 8, 8]):
        layer.k_in_training.move_to(epoch)
        np.testing.assert_array_equal(np.count_nonzero(layer(z, training=True), axis=1), k)
