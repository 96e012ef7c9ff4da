"""Metrics of codes of samples whose factors are known, and of samples generated from combinations of factors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from sklearn.ensemble import RandomForestClassifier
from sklearn.metrics import mutual_info_score
from sklearn.svm import LinearSVC

from aezoo import _validation

Factors = Mapping[str, ArrayLike] | ArrayLike


def mutual_information_gap(z: ArrayLike, factors: Factors, *, bins: int = 20) -> float:
    """Compute the mutual information gap (MIG): how much more the best unit tells about a factor than the second best.

    MIG is the mean over factors v of (I(zⱼ; v) - I(zₖ; v)) / H(v) for the units j and k with the most and the second
    most information about v. It is 1 if each factor determines a unit of its own, and 0 if every factor is in two
    units, or in none. Each unit is cut into `bins` intervals of equal width, and I and H are computed from the counts.

    Args:
        z: Codes, (n, ...), with at least two units; axes after the first are flattened.
        factors: Values of the factors by name, (n,) each, or as columns, (n, factors): whole numbers or text.
        bins: Number of intervals, at least 2.

    Returns:
        A number in [0, 1].

    Raises:
        ValueError: If the numbers of samples differ, codes are not finite, or a factor has only one value.

    Example:
        >>> factors = np.stack(np.meshgrid(range(5), range(7)), axis=-1).reshape(-1, 2)
        >>> round(mutual_information_gap(factors, factors), 2)  # each unit is a factor
        1.0
        >>> round(mutual_information_gap(factors[:, [0, 1, 0, 1]], factors), 2)  # each factor is in two units
        0.0

    Reference:
        Chen, Li, Grosse & Duvenaud, "Isolating sources of disentanglement in variational autoencoders", NeurIPS 2018,
        arXiv:1802.04942; the bins follow Locatello et al., "Challenging common assumptions in the unsupervised
        learning of disentangled representations", ICML 2019, arXiv:1811.12359.
    """
    _validation.check_int("bins", bins, 2)
    z, columns = _checked(z, factors, units=2)
    cut = [np.digitize(unit, np.histogram(unit, bins)[1][1:-1]) for unit in z.T]
    gaps = []
    for values in columns.values():
        second, first = np.sort([mutual_info_score(values, unit) for unit in cut])[-2:]
        gaps.append((first - second) / mutual_info_score(values, values))
    return float(np.mean(gaps))


class DCI(NamedTuple):
    """Disentanglement, completeness and informativeness of a code; each is 1 at best. `dci` returns it.

    Example:
        >>> DCI(disentanglement=0.9, completeness=0.5, informativeness=1.0).completeness
        0.5

    Attributes:
        disentanglement: 1 if each unit is important for one factor only.
        completeness: 1 if one unit only is important for each factor.
        informativeness: The mean accuracy of predicting the factors of held-out samples from the code.
    """

    disentanglement: float
    completeness: float
    informativeness: float


def dci(z: ArrayLike, factors: Factors, *, test_share: float = 0.2, trees: int = 10, seed: int = 0) -> DCI:
    """Compute disentanglement, completeness and informativeness (DCI) from the importance of units for factors.

    A random forest predicts each factor from the code. The importance Rⱼᵥ is the share of unit j in the decrease of
    impurity. Disentanglement is the mean over units of 1 - H(R of the unit over factors) in units of log(number of
    factors), weighted by the unit's share of all importance. Completeness is the mean over factors of 1 - H(R of the
    factor over units) in units of log(number of units).

    Args:
        z: Codes, (n, ...), with at least two units.
        factors: As in `mutual_information_gap`, at least two.
        test_share: The share of the samples, drawn at random, that are held out for the informativeness.
        trees: Number of trees of each forest.
        seed: Seed of the split and the forests.

    Returns:
        Three numbers in [0, 1].

    Raises:
        ValueError: As `mutual_information_gap`, or if there is only one factor.

    Example:
        >>> factors = np.random.default_rng(0).integers(0, 4, (500, 2))
        >>> score = dci(factors[:, ::-1], factors)
        >>> [round(value, 2) for value in score]
        [1.0, 1.0, 1.0]

    Reference:
        Eastwood & Williams, "A framework for the quantitative evaluation of disentangled representations", ICLR 2018.
    """
    _validation.check_open_interval("test_share", test_share, 0, 1)
    z, columns = _checked(z, factors, units=2)
    if len(columns) < 2:
        raise ValueError("dci compares factors: give at least two.")
    rows = np.random.default_rng(seed).permutation(len(z))
    test, train = np.split(rows, [max(1, round(test_share * len(z)))])
    importance, accuracies = np.empty((z.shape[1], len(columns))), []
    for v, values in enumerate(columns.values()):
        # With `max_features`, a tree would have to use a unit without information where no other is offered.
        forest = RandomForestClassifier(trees, max_features=None, random_state=seed).fit(z[train], values[train])
        importance[:, v] = forest.feature_importances_
        accuracies.append(forest.score(z[test], values[test]))
    share = importance.sum(axis=1) / importance.sum()
    disentanglement = share @ (1 - _entropy(importance))
    return DCI(float(disentanglement), float(np.mean(1 - _entropy(importance.T))), float(np.mean(accuracies)))


def _entropy(rows: np.ndarray) -> np.ndarray:
    """Return the entropy of each row, divided by its largest possible value; rows are divided by their sums."""
    p = rows / np.maximum(rows.sum(axis=1, keepdims=True), 1e-12)
    return -np.sum(p * np.log(np.maximum(p, 1e-12)), axis=1) / np.log(rows.shape[1])


def sap(z: ArrayLike, factors: Factors, *, categorical: Sequence[str | int] = ()) -> float:
    """Compute the separated attribute predictability (SAP): how much better one unit predicts a factor than the next.

    SAP is the mean over factors of the difference between the two best scores of single units. The score of a unit for
    a factor of ordered values is R² of a line, the squared correlation. For a categorical factor it is the balanced
    accuracy of a linear support vector classifier.

    Args:
        z: Codes, (n, ...), with at least two units.
        factors: As in `mutual_information_gap`. Factors of text are categorical.
        categorical: Names, or numbers of columns, of the factors whose values have no order, such as "shape".

    Returns:
        A number in [0, 1].

    Raises:
        ValueError: As `mutual_information_gap`, or if a name of `categorical` is no factor.

    Example:
        >>> factors = np.random.default_rng(0).integers(0, 8, (1000, 2))
        >>> round(sap(factors, factors), 1)
        1.0

    Reference:
        Kumar, Sattigeri & Balakrishnan, "Variational inference of disentangled latent concepts from unlabeled
        observations", ICLR 2018, arXiv:1711.00848.
    """
    z, columns = _checked(z, factors, units=2)
    unknown = [name for name in categorical if name not in columns]
    if unknown:
        raise ValueError(f"categorical={list(categorical)}: {unknown[0]!r} is not one of the factors {[*columns]}.")
    standard = (z - z.mean(axis=0)) / np.maximum(z.std(axis=0), 1e-12)
    gaps = []
    for name, values in columns.items():
        if name in categorical or values.dtype.kind not in "iufb":
            scores = [_balanced_accuracy(unit[:, None], values) for unit in standard.T]
        else:
            scores = np.square(standard.T @ (values - values.mean()) / len(values) / values.std())
        second, first = np.sort(scores)[-2:]
        gaps.append(first - second)
    return float(np.mean(gaps))


def _balanced_accuracy(x: np.ndarray, values: np.ndarray) -> float:
    predicted = LinearSVC(C=0.01, class_weight="balanced", random_state=0).fit(x, values).predict(x)
    return float(np.mean([np.mean(predicted[values == value] == value) for value in np.unique(values)]))


def factor_vae_score(
    z: ArrayLike, factors: Factors, *, votes: int = 800, group: int = 64, test_votes: int = 800, seed: int = 0
) -> float:
    """Compute the metric of the FactorVAE: whether the unit that varies least tells which factor was held fixed.

    A vote draws `group` samples that share the value of one factor, and names the unit whose variance over them,
    divided by its variance over all samples, is smallest. A majority vote per unit then names the factor. Constant
    units are left out.

    Args:
        z: Codes, (n, ...).
        factors: As in `mutual_information_gap`. Values that fewer than two samples have are never fixed.
        votes: Number of votes that decide the factor of each unit.
        group: Number of samples per vote, drawn with replacement.
        test_votes: Number of further votes that measure the accuracy.
        seed: Seed of the draws.

    Returns:
        The share of correct test votes, in [0, 1]; a code without information has about 1 / number of factors.

    Raises:
        ValueError: As `mutual_information_gap`, or if no value of a factor has two samples.

    Example:
        >>> factors = np.random.default_rng(0).integers(0, 8, (1000, 3))
        >>> factor_vae_score(factors, factors)
        1.0

    Reference:
        Kim & Mnih, "Disentangling by factorising", ICML 2018, arXiv:1802.05983.
    """
    _validation.check_int("votes", votes, 1)
    _validation.check_int("test_votes", test_votes, 1)
    _validation.check_int("group", group, 2)
    z, columns = _checked(z, factors)
    variance = z.var(axis=0)
    used = variance > 1e-12 * variance.max()
    if not used.any():
        return 1 / len(columns)
    scaled = z[:, used] / np.sqrt(variance[used])
    places = []
    for name, values in columns.items():
        shared = [np.flatnonzero(values == value) for value in np.unique(values)]
        shared = [rows for rows in shared if len(rows) > 1]
        if not shared:
            raise ValueError(f"No two samples have the same value of {name!r}: give more samples.")
        places.append(shared)
    rng = np.random.default_rng(seed)
    counts = np.zeros((2, scaled.shape[1], len(columns)), int)
    for i in range(votes + test_votes):
        factor = rng.integers(len(columns))
        rows = rng.choice(places[factor][rng.integers(len(places[factor]))], group)
        counts[int(i >= votes), np.argmin(scaled[rows].var(axis=0)), factor] += 1
    majority = counts[0].argmax(axis=1)
    return float(counts[1][np.arange(len(majority)), majority].sum() / test_votes)


def composition_score(
    generated: ArrayLike, requested: Factors, samples: ArrayLike, factors: Factors
) -> dict[str | int, float]:
    """Compute how often samples generated from combinations of factors show them, judged by the nearest real sample.

    Hold out combinations of factors from training, and generate samples of them: with a `ConditionalVAE`, by sums of
    codes, or in any other way. Each generated sample is read as its nearest neighbor, by squared error, among real
    samples that include the held-out ones. The score is the share of generated samples whose neighbor has the requested
    value of a factor. Report the scores of baselines beside it: the real samples themselves have a score of 1 if no
    two samples are equal.

    Args:
        generated: Generated samples, (m, ...).
        requested: Values of the factors that each was generated from, by name, (m,) each, or as columns, (m, factors).
        samples: Real samples, (n, ...) with the shape of the generated ones, of all combinations.
        factors: Their factors, with the same names as `requested`.

    Returns:
        The share for each factor by name, and as "all" the share of samples with all factors right, in [0, 1].

    Raises:
        ValueError: If numbers, shapes or names of factors do not match, or samples are not finite.

    Example:
        >>> from aezoo import datasets
        >>> factors = {"shape": np.arange(3).repeat(2), "x": np.tile([8, 24], 3)}
        >>> sprites = datasets.draw_sprites(**factors)
        >>> requested = {"shape": [2, 2], "x": [8, 24]}
        >>> composition_score(datasets.draw_sprites(shape=2, x=[8, 9]), requested, sprites, factors)
        {'shape': 1.0, 'x': 0.5, 'all': 0.5}
    """
    made, real = np.asarray(generated, "float64"), np.asarray(samples, "float64")
    if made.shape[1:] != real.shape[1:]:
        raise ValueError(f"Generated samples have shape {made.shape[1:]}, real ones {real.shape[1:]}: give equal ones.")
    made, wanted = _checked(made, requested, varied=False)
    real, known = _checked(real, factors, varied=False)
    if wanted.keys() != known.keys():
        raise ValueError(f"requested has the factors {[*wanted]}, but factors has {[*known]}: give the same.")
    distances = np.sum(real**2, axis=1) - 2 * made @ real.T  # up to the norm of the generated sample
    nearest = distances.argmin(axis=1)
    right = {name: known[name][nearest] == values for name, values in wanted.items()}
    scores: dict[str | int, float] = {name: float(np.mean(each)) for name, each in right.items()}
    return {**scores, "all": float(np.mean(np.all([*right.values()], axis=0)))}


def _checked(
    z: ArrayLike, factors: Factors, units: int = 1, varied: bool = True
) -> tuple[np.ndarray, dict[str | int, np.ndarray]]:
    """Return codes as a matrix in double precision, and the factors as columns by name or number."""
    z = np.asarray(z, "float64")
    if z.ndim < 2 or not z.size:
        raise ValueError(f"Expected codes or samples of shape (n, ...), at least one, but got shape {z.shape}.")
    z = z.reshape(len(z), -1)
    if not np.isfinite(z).all():
        raise ValueError("Codes or samples have values that are not finite (NaN or inf).")
    if z.shape[1] < units:
        raise ValueError(f"The code has {z.shape[1]} unit, but the metric compares units: give at least {units}.")
    columns: dict[str | int, np.ndarray]
    if isinstance(factors, Mapping):
        columns = {name: np.asarray(values) for name, values in factors.items()}
    else:
        table = np.asarray(factors)
        if table.ndim != 2:
            raise ValueError(f"factors has shape {table.shape}: give a dict of columns, or an array (n, factors).")
        columns = dict(enumerate(table.T))
    if not columns:
        raise ValueError("There are no factors: give at least one.")
    for name, values in columns.items():
        if values.shape != (len(z),):
            raise ValueError(f"The factor {name!r} has shape {values.shape}, but there are {len(z)} samples.")
        if varied and len(np.unique(values)) < 2:
            raise ValueError(
                f"The factor {name!r} has only one value: leave it out, or give samples that differ in it."
            )
    return z, columns
