"""The bound of what is exponentiated."""

import numpy as np
import tensorflow as tf

from aezoo.layers import BivariateMixture
from aezoo.layers.bounded import bounded, lower_bounded


def test_inside_nothing_changes_and_outside_the_gradient_still_leads_back():
    x = tf.constant([-np.inf, -31.0, -29.9, 1e-7, 14.9, 16.0, np.inf])
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = bounded(x, -30.0, 15.0)
    np.testing.assert_array_equal(y, np.clip(x, -30, 15))
    np.testing.assert_array_equal(tape.gradient(y, x), np.ones(7))


def test_densities_of_any_parameters_are_finite():
    raw = tf.constant(np.array(np.meshgrid(*[[-200.0, 0.0, 200.0]] * 6)).reshape(6, -1).T, "float32")
    with tf.GradientTape() as tape:
        tape.watch(raw)
        log_p = BivariateMixture.of(raw).log_density([3.0, -2.0])
    assert np.isfinite(log_p).all() and np.isfinite(tape.gradient(log_p, raw)).all()


def test_below_a_lower_bound_only_the_gradient_that_leads_back_is_left():
    x = tf.constant([0.05, 0.05, 0.11, 0.3, 0.3])
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = lower_bounded(x, 0.11)
        loss = tf.reduce_sum(y * [2.0, -3.0, 5.0, 7.0, -7.0])
    np.testing.assert_array_equal(y, np.maximum(x, np.float32(0.11)))
    np.testing.assert_array_equal(tape.gradient(loss, x), [0, -3, 5, 7, -7])
