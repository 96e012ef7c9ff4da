"""The Gaussian rate and the packing of codes of a hyperprior, against SciPy and NumPy."""

import numpy as np
import pytest
import scipy.stats
import tensorflow as tf

from aezoo.codec.hyper import SCALES
from aezoo.layers import _hyperprior
from aezoo.layers._hyperprior import HyperNetworks, gaussian_bits


def test_the_rate_is_the_mass_of_a_unit_interval():
    rng = np.random.default_rng(0)
    scale = np.exp(rng.uniform(np.log(0.11), np.log(256), 3000)).astype("float32")
    y = (scale * rng.normal(0, 2, 3000)).astype("float32")
    y[:4], scale[:4] = [0.0, 1.0, -1.0, 300.0], [0.11, 0.11, 256.0, 256.0]
    mine = gaussian_bits(tf.constant(y), tf.math.log(tf.constant(scale)))
    y, scale = np.abs(y.astype("float64")), scale.astype("float64")
    mass = scipy.stats.norm.cdf((0.5 - y) / scale) - scipy.stats.norm.cdf((-0.5 - y) / scale)
    np.testing.assert_allclose(mine, -np.log2(mass), rtol=2e-3, atol=2e-5)


def test_far_from_the_mean_the_rate_is_finite_and_its_gradient_leads_back():
    y, log_scale = tf.constant([3.0, 40.0, -1e4, 1e4]), tf.math.log([0.11, 0.5, 1.0, 256.0])
    with tf.GradientTape(persistent=True) as tape:
        tape.watch([y, log_scale])
        bits = gaussian_bits(y, log_scale)
    upper = (np.abs(y) - 0.5) / np.exp(log_scale)
    lower = (np.abs(y) + 0.5) / np.exp(log_scale)
    a, b = scipy.stats.norm.logsf(upper.astype("float64")), scipy.stats.norm.logsf(lower.astype("float64"))
    np.testing.assert_allclose(bits, -(a + np.log1p(-np.exp(b - a))) / np.log(2), rtol=1e-3)
    assert (np.sign(tape.gradient(bits, y)) == np.sign(y)).all()
    assert (np.asarray(tape.gradient(bits, log_scale)) < 0).all()


def networks(**arguments):
    return HyperNetworks(**{"channels": 3, "filters": (4, 5), "mean_scale": True, "seed": 0, **arguments})


def test_a_code_has_a_block_of_y_and_its_side_information_at_each_position():
    rng = np.random.default_rng(0)
    hyper = networks()
    y, side = rng.normal(size=(2, 8, 12, 3)).astype("float32"), rng.normal(size=(2, 2, 3, 5)).astype("float32")
    code = np.asarray(hyper.pack(y, side))
    assert code.shape == (2, 2, 3, 4 * 4 * 3 + 5) and hyper.packed_shape((8, None, 3)) == (2, None, 53)
    np.testing.assert_array_equal(code[1, 0, 2, :48], y[1, :4, 8:12].ravel())
    np.testing.assert_array_equal(code[1, 0, 2, 48:], side[1, 0, 2])
    for mine, given in zip(hyper.unpack(code), (y, side), strict=True):
        np.testing.assert_array_equal(mine, given)


@pytest.mark.parametrize("mean_scale", [True, False])
def test_scales_are_bounded_and_means_are_the_second_half(mean_scale):
    hyper = networks(mean_scale=mean_scale)
    bias = hyper.synthesis.layers[-1].bias
    bias.assign(np.resize([-9.0, 0.5, 9.0, 1.0, 2.0, 3.0], bias.shape))
    side = np.zeros((1, 1, 2, 5), "float32")
    log_scale = np.asarray(hyper.log_scale(side))
    np.testing.assert_allclose(log_scale[0, 2, 3], [np.log(SCALES[0]), 0.5, np.log(SCALES[-1])], rtol=1e-6)
    assert log_scale.shape == (1, 4, 8, 3)
    expected = np.broadcast_to([1, 2, 3] if mean_scale else 0, (1, 4, 8, 3))
    np.testing.assert_allclose(np.broadcast_to(hyper.mean(side), expected.shape), expected)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(hyper.log_scale(side) * [-1.0, 1.0, 1.0])
    gradient = np.asarray(tape.gradient(loss, bias.value))[:3]
    np.testing.assert_array_equal(np.sign(gradient), [-1, 1, 1])  # a step of descent leads back from both bounds


def test_side_information_without_means_depends_on_magnitudes_only():
    y = np.random.default_rng(0).normal(size=(1, 4, 4, 3)).astype("float32")
    scale, mean = networks(mean_scale=False), networks()
    np.testing.assert_array_equal(scale.side_information(y), scale.side_information(-y))
    assert np.abs(mean.side_information(y) - mean.side_information(-y)).max() > 0.1


def test_the_far_series_meets_the_near_formula():
    x = tf.constant([-8.001, -7.999, -30.0])
    np.testing.assert_allclose(_hyperprior._log_cdf(x), scipy.stats.norm.logcdf([-8.001, -7.999, -30.0]), rtol=1e-6)
