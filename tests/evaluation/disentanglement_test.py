"""The metrics on codes whose answer is known, and against formulas by hand and scikit-learn."""

import numpy as np
import pytest
from sklearn.linear_model import LinearRegression
from sklearn.preprocessing import KBinsDiscretizer

from aezoo import evaluation

RNG = np.random.default_rng(0)
FACTORS = np.stack(np.meshgrid(range(3), range(6), range(10), range(8)), axis=-1).reshape(-1, 4)
NAMED = dict(zip("abcd", FACTORS.T, strict=True))
NOISE = RNG.normal(size=(len(FACTORS), 6))


def entropy(counts):
    p = counts[counts > 0] / counts.sum()
    return -np.sum(p * np.log(p))


def mig_by_hand(z, factors, bins):
    """MIG from H(v) + H(z) - H(v, z), with the bins of scikit-learn."""
    cut = KBinsDiscretizer(bins, encode="ordinal", strategy="uniform").fit_transform(z).astype(int)
    gaps = []
    for v in factors.T:
        h = entropy(np.bincount(v))
        information = [
            h + entropy(np.bincount(c)) - entropy(np.unique(np.stack([v, c]), axis=1, return_counts=True)[1])
            for c in cut.T
        ]
        gaps.append((sorted(information)[-1] - sorted(information)[-2]) / h)
    return np.mean(gaps)


def test_mig_of_known_codes():
    mig = evaluation.mutual_information_gap
    assert mig(FACTORS, FACTORS) >= 0.9999
    assert mig(-5.0 * FACTORS[:, ::-1] + 3, NAMED) >= 0.9999
    assert mig(np.concatenate([FACTORS, FACTORS], axis=1), FACTORS) == pytest.approx(0, abs=1e-12)
    rotated = (FACTORS / FACTORS.max(axis=0) - 0.5) @ np.linalg.qr(RNG.normal(size=(4, 4)))[0]
    assert mig(rotated, FACTORS) <= 0.4
    assert mig(NOISE, FACTORS) <= 0.02


@pytest.mark.parametrize("bins", [7, 20])
def test_mig_is_that_of_the_formula(bins):
    z = FACTORS @ RNG.normal(size=(4, 5)) + RNG.normal(size=(len(FACTORS), 5))
    assert evaluation.mutual_information_gap(z, FACTORS, bins=bins) == pytest.approx(mig_by_hand(z, FACTORS, bins))


def test_dci_of_known_codes():
    scores = evaluation.dci(FACTORS[:, [2, 0, 3, 1]], NAMED, trees=3)
    assert min(scores) >= 0.999
    doubled = evaluation.dci(np.concatenate([FACTORS, FACTORS], axis=1), FACTORS, trees=20)
    assert doubled.disentanglement >= 0.999  # each unit is about one factor, but a factor is in two units
    assert doubled.completeness == pytest.approx(1 - np.log(2) / np.log(8), abs=0.12)
    useless = evaluation.dci(NOISE[:, :4], FACTORS, trees=3)
    assert useless.disentanglement < 0.05 and useless.informativeness < 0.3


def test_dci_is_a_weighted_entropy_of_importances():
    from aezoo.evaluation import disentanglement

    rows = np.array([[3.0, 1.0, 0.0], [0.0, 0.0, 2.0]])
    by_hand = [-(0.75 * np.log(0.75) + 0.25 * np.log(0.25)) / np.log(3), 0]
    np.testing.assert_allclose(disentanglement._entropy(rows), by_hand, atol=1e-9)


def test_sap_of_known_codes():
    assert evaluation.sap(FACTORS, FACTORS) == pytest.approx(1)
    assert evaluation.sap(FACTORS[:, [0, 1, 2, 3] * 2], FACTORS) == pytest.approx(0, abs=1e-9)
    z = FACTORS @ RNG.normal(size=(4, 5)) + NOISE[:, :5]
    squares = np.array([[LinearRegression().fit(u[:, None], v).score(u[:, None], v) for u in z.T] for v in FACTORS.T])
    best = np.sort(squares, axis=1)
    assert evaluation.sap(z, FACTORS) == pytest.approx(np.mean(best[:, -1] - best[:, -2]))


def test_sap_of_a_categorical_factor():
    kind = RNG.integers(0, 2, 600)
    z = np.stack([2.0 * kind - 1, RNG.normal(size=600)], axis=1)
    assert evaluation.sap(z, {"kind": np.array(["cat", "dog"])[kind]}) == pytest.approx(0.5, abs=0.06)  # 1 and chance
    assert evaluation.sap(z, {"kind": kind}, categorical=["kind"]) == pytest.approx(0.5, abs=0.06)
    assert evaluation.sap(z, {"kind": kind}) > 0.9
    with pytest.raises(ValueError, match="'sort' is not one of the factors"):
        evaluation.sap(z, {"kind": kind}, categorical=["sort"])


def test_factor_vae_score_of_known_codes():
    score = evaluation.factor_vae_score
    assert score(FACTORS * [1, 10, 0.1, 5.0], NAMED) == 1
    with_dead_units = np.concatenate([1e-4 * NOISE, 0 * FACTORS, FACTORS], axis=1)
    assert score(with_dead_units, FACTORS) == 1
    assert score(NOISE, FACTORS) == pytest.approx(0.25, abs=0.08)
    assert score(np.zeros((len(FACTORS), 3)), FACTORS) == 0.25
    two = np.stack([FACTORS[:, 0] + 3 * FACTORS[:, 1], FACTORS[:, 2]], axis=1)  # a unit for two of the factors
    assert score(two, FACTORS[:, :3]) == pytest.approx(2 / 3, abs=0.15)


def test_composition_score_reads_the_nearest_sample():
    samples = np.eye(4).reshape(4, 2, 2)
    factors = {"kind": np.array(["cat", "cat", "bird", "bird"]), "flying": [0, 1, 0, 1]}
    requested = {"kind": np.array(["cat", "bird"]), "flying": [1, 1]}
    score = evaluation.composition_score
    assert score(samples[[1, 3]], requested, samples, factors) == {"kind": 1.0, "flying": 1.0, "all": 1.0}
    assert score(0.6 * samples[[3, 2]], requested, samples, factors) == {"kind": 0.5, "flying": 0.5, "all": 0.0}
    with pytest.raises(ValueError, match=r"requested has the factors \['kind'\]"):
        score(samples, {"kind": factors["kind"]}, samples, factors)
    with pytest.raises(ValueError, match="give equal ones"):
        score(np.zeros((2, 3, 3)), requested, samples, factors)


BAD = [
    (np.zeros(4), FACTORS[:4], "shape \\(n, ...\\)"),
    (np.full((4, 2), np.nan), FACTORS[:4], "not finite"),
    (np.zeros((4, 2)), FACTORS[:3], "there are 4 samples"),
    (np.zeros((4, 2)), FACTORS[0], "give a dict of columns"),
    (np.zeros((4, 2)), {}, "no factors"),
    (np.zeros((4, 2)), {"a": np.zeros(4, int)}, "'a' has only one value"),
    (np.zeros((4, 1)), {"a": np.arange(4)}, "give at least 2"),
]


@pytest.mark.parametrize(("z", "factors", "message"), BAD, ids=lambda value: str(value)[:20])
def test_bad_input_stops_with_one_sentence(z, factors, message):
    with pytest.raises(ValueError, match=message):
        evaluation.mutual_information_gap(z, factors)
    with pytest.raises(ValueError, match="at least two"):
        evaluation.dci(FACTORS, {"a": FACTORS[:, 0]})
