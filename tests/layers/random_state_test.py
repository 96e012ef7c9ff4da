"""Random numbers whose state is saved."""

import keras
import numpy as np

from aezoo import testing
from aezoo.layers import Corruption, RandomState


def test_draws_differ_and_follow_from_the_seed():
    a, b, other = RandomState(1), RandomState(1), RandomState(2)
    draws = [a.uniform((50,)).numpy() for _ in range(3)]
    again = [b.uniform((50,)).numpy() for _ in range(3)]
    np.testing.assert_array_equal(draws, again)
    assert len({d.tobytes() for d in draws}) == 3
    assert not np.array_equal(other.uniform((50,)), draws[0])


def test_without_a_seed_it_follows_the_global_one():
    def draw():
        keras.utils.set_random_seed(3)
        return [RandomState().normal((5,)).numpy() for _ in range(2)]

    first, second = draw(), draw()
    np.testing.assert_array_equal(first, second)
    assert not np.array_equal(first[0], first[1])


def test_moments():
    state = RandomState(0)
    u, n = state.uniform((100_000,)).numpy(), state.normal((100_000,)).numpy()
    assert u.min() >= 0
    assert u.max() < 1
    assert abs(u.mean() - 0.5) < 5 * np.sqrt(1 / 12 / len(u))
    assert abs(n.mean()) < 5 / np.sqrt(len(n))
    assert abs(n.var() - 1) < 5 * np.sqrt(2 / len(n))


def test_the_state_is_saved_and_goes_on(tmp_path):
    model = keras.Sequential([keras.Input((40,)), Corruption(0.5, seed=1)])
    x = np.ones((2, 40), "float32")
    model(x, training=True)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    following = [model(x, training=True).numpy() for _ in range(2)]
    np.testing.assert_array_equal([loaded(x, training=True).numpy() for _ in range(2)], following)
    assert not np.array_equal(following[0], following[1])


def test_each_replica_draws_its_own():
    strategy = testing.two_replicas()
    with strategy.scope():
        state = RandomState(1)
    first, second = strategy.experimental_local_results(strategy.run(lambda: state.uniform((50,))))
    assert not np.array_equal(first, second)
    # and the state moves on by one draw, as with one replica
    np.testing.assert_array_equal(state.state.numpy(), [1, 1])
