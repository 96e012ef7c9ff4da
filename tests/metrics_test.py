"""Metrics against NumPy over all of the data."""

import numpy as np
import pytest
import tensorflow as tf

from aezoo import VAE, testing
from aezoo.metrics import ActiveUnits

RNG = np.random.default_rng(0)


def count(metric, z, sizes, weight=None):
    metric.reset_state()
    for start, stop in zip(np.cumsum([0, *sizes]), np.cumsum(sizes), strict=False):
        metric.update_state(z[start:stop], None if weight is None else weight[start:stop])
    return int(metric.result())


def test_the_batches_make_no_difference():
    z = (RNG.normal(size=(70, 40)) * RNG.uniform(0.0, 0.2, 40) + RNG.normal(size=40) * 5).astype("float32")
    expected = np.sum(z.astype("float64").var(axis=0) > 0.01)
    assert 10 < expected < 30
    metric = ActiveUnits((40,))
    for sizes in ([70], [1] * 70, [32, 32, 6]):
        assert count(metric, z, sizes) == expected
    assert count(metric, z[:0], [0]) == 0


def test_weights_and_axes_of_any_size():
    z = RNG.normal(size=(30, 3, 4, 8)) * np.linspace(0.02, 0.2, 8)
    weight = RNG.integers(0, 3, 30)
    repeated = np.repeat(z, weight, axis=0)
    assert count(ActiveUnits((3, 4, 8)), z, [20, 10], weight) == np.sum(repeated.var(axis=0) > 0.01)
    assert count(ActiveUnits((None, None, 8)), z, [20, 10]) == np.sum(z.var(axis=(0, 1, 2)) > 0.01)
    assert count(ActiveUnits((3, 4, 8), threshold=0.03), z, [30]) == np.sum(z.var(axis=0) > 0.03)


@pytest.mark.slow_cases("5")
@pytest.mark.parametrize("batch_size", [pytest.param(1, marks=pytest.mark.slow), 5, 64])
def test_a_model_reports_the_epoch_and_each_validation_afresh(batch_size):
    x, other = RNG.random((33, 6)).astype("float32"), np.full((7, 6), 0.5, "float32")
    model = VAE(4, seed=0)
    model.compile("sgd", run_eagerly=batch_size == 64)  # the others: graphs of several steps per call
    model.optimizer.learning_rate = 0.0
    history = model.fit(x, epochs=2, batch_size=batch_size, validation_data=(other,), verbose=0).history
    expected = np.sum(np.asarray(model.encode(x), "float64").var(axis=0) > 0.01)
    assert expected > 0
    assert history["active_units"] == [expected] * 2 and history["val_active_units"] == [0, 0]


def test_two_replicas_count_as_one():
    z = (RNG.normal(size=(20, 12)) * np.linspace(0.02, 0.2, 12)).astype("float32")
    strategy = testing.two_replicas()
    with strategy.scope():
        metric = ActiveUnits((12,))
    parts = strategy.experimental_distribute_values_from_function(
        lambda context: tf.constant(z[:13] if context.replica_id_in_sync_group else z[13:])
    )
    strategy.run(metric.update_state, args=(parts,))
    assert int(metric.result()) == np.sum(z.var(axis=0) > 0.01)
