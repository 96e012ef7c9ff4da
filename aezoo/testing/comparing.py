"""Training of the models of a case, and comparison of the results."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from aezoo._typing import Data
from aezoo.testing.case import Case

Weights = dict[str, np.ndarray]


def weights_of(model: keras.Model | keras.Optimizer) -> Weights:
    """Return every variable of a model, numbered, since layers of a second model have other names."""
    return {f"variable {i} ({v.name})": v.numpy() for i, v in enumerate(model.variables)}


def trainable(model: keras.Model) -> list[np.ndarray]:
    """Return the trainable variables of a model as arrays."""
    return [v.numpy() for v in model.trainable_variables]


def same_trainable(what: str, expected: keras.Model, got: keras.Model) -> None:
    """Assert that two models have the same trainable variables; `what` names the comparison."""
    for variable, a, b in zip(expected.trainable_variables, trainable(expected), trainable(got), strict=True):
        assert np.allclose(a, b, rtol=1e-5, atol=1e-6), (
            f"{what}: {variable.path} differs by up to {np.max(np.abs(a - b)):.3g}"
        )


def fit(
    model: keras.Model, x: Data, y: Data | None = None, epochs: int = 2, **kwargs: Any
) -> tuple[Weights, dict[str, Any]]:
    """Fit a model in batches of 8, in order; return its variables and its history."""
    if not isinstance(x, tf.data.Dataset):
        kwargs = {"batch_size": 8, "shuffle": False, **kwargs}
    history = model.fit(x, y, epochs=epochs, verbose=0, **kwargs).history
    return weights_of(model), history


def same(what: str, expected: Weights, got: Weights, rtol: float = 1e-5, atol: float = 1e-6) -> None:
    """Assert that variables are the same; `what` names the comparison."""
    assert len(expected) == len(got), f"{what}: {len(got)} variables instead of {len(expected)}"
    for (name, a), b in zip(expected.items(), got.values(), strict=True):
        difference = np.max(np.abs(a.astype("float64") - b)) if a.size else 0.0
        assert np.allclose(a, b, rtol=rtol, atol=atol), f"{what}: {name} differs by up to {difference:.3g}"


def same_history(what: str, expected: dict[str, Any], got: dict[str, Any], rtol: float = 1e-5) -> None:
    """Assert that two trainings reported the same values; `what` names the comparison."""
    assert set(expected) == set(got), f"{what}: reports {sorted(got)} instead of {sorted(expected)}"
    for name in expected:
        # The gap is a difference of two numbers, so its tolerance is relative to them.
        atol = 1e-5 * np.max(np.abs(expected["free_energy"])) if name == "free_energy_gap" else 1e-6
        assert np.allclose(expected[name], got[name], rtol=rtol, atol=atol), (
            f"{what}: {name} is reported as {got[name]} instead of {expected[name]}"
        )


@dataclasses.dataclass(frozen=True)
class Fitted:
    """Result of a training: trainable variables before and after, all variables after, and the history."""

    start: list[np.ndarray]
    end: list[np.ndarray]
    weights: Weights
    history: dict[str, Any]


@functools.lru_cache(maxsize=2)
def by_single_steps(case: Case) -> Fitted:
    """Train a quiet model for two epochs in eager steps; several checks compare with the result."""
    model = case.model(quiet=True, run_eagerly=True)
    start = trainable(model)
    weights, history = fit(model, case.data())
    return Fitted(start, trainable(model), weights, history)
