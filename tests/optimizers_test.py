"""LazyAdam against NumPy, and against Keras' Adam where the two are the same."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from aezoo.optimizers import LazyAdam

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

    @tf.function(jit_compile=jit_compile)
    def apply(indices, values):
        optimizer.apply([tf.IndexedSlices(values, indices, tf.constant((5, 3)))], [w])

    for indices, values in STEPS:
        apply(tf.constant(indices), tf.constant(values))
    np.testing.assert_allclose(w, reference(STEPS), rtol=1e-5, atol=2e-6)
    np.testing.assert_array_equal(w.numpy()[4], W[4])


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
