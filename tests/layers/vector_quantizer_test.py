"""Vector quantization: lookup, gradients, running means and restarts, against NumPy and autodiff."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from aezoo import testing
from aezoo.layers import VectorQuantizer
from aezoo.layers.vector_quantizer import _draw_rows

RNG = np.random.default_rng(0)
Z = RNG.normal(size=(6, 2, 3, 4)).astype("float32")


def made(z=Z, books=None, **arguments):
    layer = VectorQuantizer(**{"codebook_size": 5, "seed": 0, **arguments})
    layer.build(z.shape)
    shape = layer.codebook.shape
    layer.codebook.assign(np.random.default_rng(1).normal(size=shape) if books is None else books)
    return layer


def nearest(vectors, book):
    """The index of the nearest entry of each vector, (n, dim) and (k, dim), by the distances themselves."""
    return np.argmin(np.sum((vectors[:, None] - book[None]) ** 2, axis=2), axis=1)


@pytest.mark.parametrize("vector_dim", [None, 2])
def test_each_vector_becomes_its_nearest_entry(vector_dim):
    layer = made(vector_dim=vector_dim)
    book, vectors = layer.codebook.numpy()[0], Z.reshape(-1, vector_dim or 4)
    index = nearest(vectors, book)
    indices = layer.indices(Z)
    assert layer.index_shape == tuple(indices.shape[1:]) == (2, 3, 4 // (vector_dim or 4))
    np.testing.assert_array_equal(np.ravel(indices), index)
    np.testing.assert_array_equal(np.reshape(layer(Z), vectors.shape), book[index])
    np.testing.assert_array_equal(layer.codes(indices), layer(Z))


def test_residual_levels_are_nested_lookups():
    layer = made(levels=3, codebook_size=7)
    rest, total, errors = Z.reshape(-1, 4).astype("float64"), 0.0, []
    indices = np.reshape(layer.indices(Z), (-1, 3))
    assert layer.index_shape == (2, 3, 3)
    for level, book in enumerate(layer.codebook.numpy().astype("float64")):
        index = nearest(rest, book)
        np.testing.assert_array_equal(indices[:, level], index)
        rest, total = rest - book[index], total + book[index]
        errors.append(np.mean(rest**2))
    np.testing.assert_allclose(np.reshape(layer(Z), (-1, 4)), total, rtol=1e-5, atol=1e-6)


def test_more_levels_leave_a_smaller_error():
    errors = []
    for levels in (1, 2, 4):
        layer = VectorQuantizer(8, levels=levels)
        layer.build((None, 4))
        z = np.random.default_rng(2).normal(size=(200, 4)).astype("float32")
        layer.start_at(z)
        for _ in range(3):
            layer.follow(z, layer.indices(z))
        errors.append(np.mean((z - np.asarray(layer(z))) ** 2))
    assert errors[0] > 1.1 * errors[1] > 1.1**2 * errors[2]


def test_the_gradient_is_that_of_the_identity():
    layer = made(levels=2)
    z, upstream = tf.constant(Z), tf.constant(RNG.normal(size=Z.shape), "float32")
    with tf.GradientTape() as tape:
        tape.watch(z)
        loss = tf.reduce_sum(layer(z) * upstream)
    gradient = tape.gradient(loss, [z, layer.codebook.value])
    np.testing.assert_array_equal(gradient[0], upstream)
    assert gradient[1] is None, "the decoder's gradient does not reach the entries"


def test_half_precision_looks_up_in_single_precision():
    layer = made()
    half = Z.astype("float16")
    np.testing.assert_array_equal(layer.indices(half), layer.indices(half.astype("float32")))
    assert layer(half).dtype == "float32" and layer.compute_dtype == "float32"


def test_no_tensor_has_an_entry_per_vector_and_dimension():
    layer = made(codebook_size=50, z=np.zeros((1, 40), "float32"))
    graph = tf.function(layer.indices).get_concrete_function(tf.TensorSpec((30, 40))).graph
    sizes = [output.shape.num_elements() or 0 for op in graph.get_operations() for output in op.outputs]
    assert max(sizes) == 50 * 40  # the codebook; distances are 30 x 50


# === Running means ===


def test_two_batches_move_entries_to_the_running_means():
    decay, weight = 0.8, np.array([1, 2, 0.5, 1, 0, 1], "float32")
    layer = made(ema_decay=decay)
    book = layer.codebook.numpy()[0].astype("float64")
    uses, sums = np.zeros(5), np.zeros((5, 4))
    for z in (Z, Z[::-1] + 0.3):
        index, w = nearest(z.reshape(-1, 4), book), np.repeat(weight, 6)
        layer.follow(tf.constant(z, "float32"), layer.indices(z), weight)
        for k in range(5):
            uses[k] = decay * uses[k] + (1 - decay) * w[index == k].sum()
            sums[k] = decay * sums[k] + (1 - decay) * (w[:, None] * z.reshape(-1, 4))[index == k].sum(axis=0)
            if uses[k]:
                book[k] = sums[k] / uses[k]
        np.testing.assert_allclose(layer.codebook.numpy()[0], book, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(layer.uses.numpy()[0], uses, rtol=1e-5)


def test_an_entry_that_nothing_uses_stays():
    books = np.concatenate([np.zeros((1, 1, 4)), np.full((1, 1, 4), 99.0)], axis=1)
    layer = made(books=books, codebook_size=2)
    layer.follow(Z, layer.indices(Z))
    np.testing.assert_array_equal(layer.codebook.numpy()[0, 1], np.full(4, 99.0))
    np.testing.assert_allclose(layer.codebook.numpy()[0, 0], Z.reshape(-1, 4).mean(axis=0), rtol=1e-5, atol=1e-6)


def test_idle_entries_restart_at_vectors_of_the_batch():
    books = np.full((2, 5, 4), 99.0)
    books[:, 0] = 0
    layer = made(books=books, levels=2, dead_after=37)
    first = layer.indices(Z)
    layer.follow(Z, first)  # 36 vectors: none is dead yet
    np.testing.assert_array_equal(layer.codebook.numpy()[:, 1:], books[:, 1:])
    vectors = Z.reshape(-1, 4)
    rest = vectors - layer.codebook.numpy()[0, 0]
    layer.follow(Z, layer.indices(Z))
    book = layer.codebook.numpy()
    for k in range(1, 5):
        assert np.any(np.all(book[0, k] == vectors, axis=1)), "an entry of level 1 is no vector of the batch"
        assert np.any(np.all(np.isclose(book[1, k], rest, rtol=1e-5, atol=1e-6), axis=1)), "nor one of level 2 a rest"
    assert len(np.unique(book[0], axis=0)) > 3
    assert np.all(layer.idle.numpy()[:, 1:] == 0) and np.all(layer.uses.numpy()[:, 1:] == 0)


def test_samples_of_weight_zero_are_no_restarts_and_count_for_none():
    books = np.full((1, 5, 4), 99.0)
    books[:, 0] = 0
    layer = made(books=books, dead_after=6)
    weight = np.array([0, 0, 0, 0, 0, 1], "float32")
    layer.follow(Z, layer.indices(Z), weight)
    for entry in layer.codebook.numpy()[0, 1:]:
        assert np.any(np.all(entry == Z[-1].reshape(-1, 4), axis=1))
    layer = made(books=books, dead_after=7)
    layer.follow(Z, layer.indices(Z), weight)
    np.testing.assert_array_equal(layer.codebook.numpy()[:, 1:], books[:, 1:])


def test_vectors_that_are_entries_are_no_restarts():
    z = np.repeat(np.eye(3, 4, dtype="float32"), [50, 1, 1], axis=0)
    layer = made(z, np.array([[[1, 0, 0, 0], *[[99, 99, 99, 99]] * 4]]), dead_after=1)
    layer.follow(z, layer.indices(z))
    rows = {tuple(row) for row in layer.codebook.numpy()[0, 1:]}
    assert rows <= {tuple(row) for row in z[-2:]} and rows


def test_draws_are_in_proportion_to_weights():
    rows, weight = tf.eye(3), tf.constant([1.0, 0.0, 3.0])
    drawn, some = _draw_rows(rows, weight, 4000, tf.constant([1, 2], "int64"))
    np.testing.assert_allclose(np.mean(drawn, axis=0), [0.25, 0, 0.75], atol=0.03)
    assert np.all(np.sum(drawn, axis=1) == 1) and some
    assert not _draw_rows(rows, tf.zeros(3), 4, tf.constant([1, 2], "int64"))[1]


def test_two_replicas_move_the_codebook_like_one():
    z = RNG.normal(size=(7, 4)).astype("float32")  # 4 and 3 samples
    weight = np.array([1, 2, 0, 1, 1, 0.5, 1], "float32")
    books = RNG.normal(size=(2, 6, 4))
    books[:, 4:] = 99  # two restart
    strategy = testing.two_replicas()
    layers = [made(z, books, codebook_size=6, levels=2, dead_after=3)]
    with strategy.scope():
        layers.append(made(z, books, codebook_size=6, levels=2, dead_after=3))
    for cut in ((0, 4, 7), (0, 7, 7)):  # the second replica has none
        layers[0].follow(z, layers[0].indices(z), weight)

        def of_replica(context, cut=cut):
            i = context.replica_id_in_sync_group
            return slice(cut[i], cut[i + 1])

        def step(z, weight):
            layers[1].follow(z, layers[1].indices(z), weight)

        parts = [
            strategy.experimental_distribute_values_from_function(lambda c, part=part: tf.constant(part[of_replica(c)]))
            for part in (z, weight)
        ]
        strategy.run(step, args=parts)
        for a, b in zip(*(layer.variables for layer in layers), strict=True):
            np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-5, atol=1e-6, err_msg=a.path)
    assert np.all(np.abs(layers[0].codebook.numpy()) < 99)


@pytest.mark.slow
def test_xla_moves_the_codebook_like_a_graph():
    results = []
    for compiled in (False, True):
        layer = made(levels=2, dead_after=20, codebook_size=16)
        step = tf.function(lambda z, layer=layer: layer.follow(z, layer.indices(z)), jit_compile=compiled)
        for _ in range(3):
            step(tf.constant(Z))
        results.append([variable.numpy() for variable in layer.variables])
    for a, b in zip(*results, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def test_the_codebook_starts_at_vectors_and_at_what_is_left_over():
    layer = VectorQuantizer(4, levels=2)
    layer.build(Z.shape)
    layer.start_at(Z)
    vectors, (first, second) = Z.reshape(-1, 4), layer.codebook.numpy()
    np.testing.assert_array_equal(first, vectors[[0, 9, 18, 27]])
    rest = vectors - first[nearest(vectors, first)]
    np.testing.assert_allclose(second, rest[[0, 9, 18, 27]], rtol=1e-6)


@pytest.mark.slow
def test_the_lookup_is_that_of_another_library():
    library, torch = (pytest.importorskip(name) for name in ("vector_quantize_pytorch", "torch"))
    z = RNG.normal(size=(1, 200, 4)).astype("float32")
    layer = made(z, levels=3, codebook_size=16)
    peer = library.ResidualVQ(dim=4, num_quantizers=3, codebook_size=16).eval()
    for level, book in zip(peer.layers, layer.codebook.numpy(), strict=True):
        level._codebook.embed.data.copy_(torch.tensor(book[None]))
    quantized, indices, _ = peer(torch.tensor(z))
    np.testing.assert_array_equal(layer.indices(z), indices.numpy())
    np.testing.assert_allclose(layer(z), quantized.detach().numpy(), rtol=1e-5, atol=1e-6)


def test_vectors_must_divide_a_code():
    with pytest.raises(ValueError, match=r"shape \(2, 3, 4\) cannot be cut into vectors of 3"):
        VectorQuantizer(5, vector_dim=3).build(Z.shape)


def test_configuration():
    layer = VectorQuantizer(5, vector_dim=2, levels=3, ema_decay=None, dead_after=0, seed=7)
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
    assert again.get_config() == layer.get_config()
    again.build((None, 4))
    assert len(again.trainable_variables) == 1 and again.codebook.shape == (3, 5, 2)
