import warnings

import numpy as np
import pytest

import aezoo
from aezoo.evaluation import CodeStatistics, active_units, dead_units, l0, lifetime_sparsity, population_sparsity

# Active: 2, 0 and 2 of 4 units. Unit 3 never is.
Z = np.array([[1.0, -2.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0], [0.05, 0.0, 3.0, 0.0]])


def test_l0_counts_what_exceeds_the_tolerance():
    assert l0(Z) == pytest.approx(4 / 3)
    assert l0(Z, tol=0.1) == pytest.approx(1.0)
    assert l0(Z, tol=2.0) == pytest.approx(1 / 3)  # |-2| is not more than 2


def test_active_units_are_those_that_vary_over_the_data():
    rng = np.random.default_rng(0)
    z = rng.normal(size=(500, 2, 3)) * [0.05, 0.2, 3.0] + 7
    assert active_units(z) == np.sum(z.var(axis=0) > 0.01) == 4
    assert active_units(z.reshape(500, 6), threshold=1.0) == 2
    assert active_units(np.full((5, 3), 1e4, "float32")) == 0  # never 0, and nothing but its mean
    with pytest.raises(TypeError):
        active_units(z, 0.1)  # once the tolerance of what is now `l0`
    with pytest.raises(ValueError, match="threshold=-1"):
        active_units(z, threshold=-1)


def test_of_a_model_its_codes_are_wanted():
    model = aezoo.SparseAE(latent_dim=3)
    for measure in (active_units, population_sparsity, lifetime_sparsity):
        with pytest.raises(TypeError, match=r"it is a SparseAE: give model.encode\(x\)"):
            measure(model)
    for measure in (l0, dead_units):
        with pytest.raises(TypeError, match=r"it is a SparseAE: give model.encode\(x\)"):
            measure(model, np.zeros((5, 4), "float32"))


def test_dead_units_are_active_in_no_sample():
    assert dead_units(Z) == 1
    assert isinstance(dead_units(Z), int)
    assert dead_units(Z, tol=1.0) == 2
    assert dead_units(Z[1:2]) == 4
    sigmoid = np.array([[0.01, 0.9], [0.02, 0.8]])
    assert (dead_units(sigmoid), dead_units(sigmoid, tol=0.1)) == (0, 1)


def test_population_sparsity_by_hand():
    assert population_sparsity([[0.0, 0.0, 5.0]]) == pytest.approx(1)
    assert population_sparsity([[2.0, -2.0, 2.0]]) == pytest.approx(0)
    # mean 1, mean of squares 10/4: (1 - 1/2.5) / (1 - 1/4)
    assert population_sparsity([[3.0, 1.0, 0.0, 0.0]]) == pytest.approx(0.6 / 0.75)
    assert population_sparsity([[3.0, 1.0, 0.0, 0.0], [1.0, 1.0, 1.0, 1.0]]) == pytest.approx(0.4)


def test_population_sparsity_leaves_out_samples_without_activity():
    assert population_sparsity([[0.0, 0.0], [0.0, 1.0]]) == pytest.approx(1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert np.isnan(population_sparsity([[0.0, 0.0]]))


def test_lifetime_sparsity_by_hand():
    z = np.array([[3.0, 1.0, 0.0, 0.0], [1.0, 1.0, 0.0, 4.0], [0.0, 1.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0]])
    np.testing.assert_allclose(lifetime_sparsity(z), [0.8, 0.0, np.nan, 1.0], atol=1e-12)


def test_the_two_sparsities_are_one_formula_on_two_axes():
    z = np.random.default_rng(0).exponential(size=(20, 7))
    assert population_sparsity(z) == pytest.approx(lifetime_sparsity(z.T).mean())
    np.testing.assert_allclose(lifetime_sparsity(z), lifetime_sparsity(1000 * z))  # no unit of measure


def test_half_precision_does_not_overflow():
    z = np.full((4, 3), 60000, "float16")
    assert population_sparsity(z) == pytest.approx(0)
    np.testing.assert_allclose(lifetime_sparsity(z), 0)


def test_integers_and_booleans_are_codes():
    assert l0([[1, 0], [0, 0]]) == 0.5
    assert active_units([[1, 0], [0, 0]]) == 1
    assert dead_units(np.array([[True, False], [True, False]])) == 1


@pytest.mark.parametrize("measure", [active_units, l0, dead_units, population_sparsity, lifetime_sparsity])
def test_what_is_no_code_is_refused(measure):
    with pytest.raises(ValueError, match=r"shape \(3,\)"):
        measure(np.zeros(3))
    with pytest.raises(ValueError, match=r"shape \(0, 3\)"):
        measure(np.zeros((0, 3)))
    with pytest.raises(ValueError, match="not finite"):
        measure([[1.0, np.nan], [0.0, 0.0]])


def test_wrong_options_are_refused():
    with pytest.raises(ValueError, match="tol=-1"):
        l0(Z, tol=-1)
    with pytest.raises(ValueError, match="tol=nan"):
        dead_units(Z, tol=float("nan"))
    with pytest.raises(ValueError, match="at least 2 units"):
        population_sparsity([[1.0], [2.0]])
    with pytest.raises(ValueError, match="at least 2 samples"):
        lifetime_sparsity([[1.0, 2.0]])


def test_statistics_of_chunks_are_those_of_all_codes():
    z = np.random.default_rng(0).normal(size=(23, 5)).astype("float32")
    z[:, 3] = 0
    z[7] = 0
    statistics = CodeStatistics(tol=0.5)
    for start in (0, 1, 11):
        statistics.update(z[start : {0: 1, 1: 11}.get(start)])
    assert statistics.samples == 23
    assert statistics.l0() == pytest.approx(np.mean(np.sum(np.abs(z) > 0.5, axis=1)))
    assert statistics.dead_units() == 1
    assert statistics.population_sparsity() == pytest.approx(population_sparsity(z))
    np.testing.assert_allclose(statistics.lifetime_sparsity(), lifetime_sparsity(z))
