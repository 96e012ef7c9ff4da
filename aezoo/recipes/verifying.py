"""Comparison of presets with their model cards."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

from aezoo.recipes.recipes import RECIPES
from aezoo.recipes.sources import Split
from aezoo.recipes.training import measure
from aezoo.saving import loading, presets

#: Relative tolerance for other processors and versions, which change noise, sums and scikit-learn's solver. Counts may
#: differ by one.
TOLERANCE = 0.01
#: The loss of an RBM, a difference of free energies between data and a few chains, is as large as its own noise.
_NOISE = "contrastive_divergence"


def verify(folder: Path, data: tuple[Split, Split] | None) -> dict[str, float]:
    """Check a preset against its model card: its files, and its metrics on the test data.

    Args:
        folder: The folder of the preset.
        data: Training and test split of the data that the card names, as `aezoo.recipes.sources.load` returns them;
            None checks only the files.

    Returns:
        The metrics; {} without data.

    Raises:
        FileNotFoundError: If a file is missing; the message names it.
        ValueError: If a file was altered, or a metric differs from the card.
    """
    card = presets.read_card(folder)
    presets.check_files(folder)
    if data is None:
        return {}
    measured = measure(loading.load(folder / presets.MODEL), data, RECIPES.get(card["name"]))
    wrong = differences(card["metrics"], measured)
    if wrong:
        raise ValueError(f"{folder} differs from its model card: {'; '.join(wrong)}.")
    return measured


def differences(expected: Mapping[str, float], measured: Mapping[str, float]) -> list[str]:
    """Return a description of each metric that differs from the model card.

    Args:
        expected: Metrics of the card by name.
        measured: Measured metrics by name.
    """
    found = []
    noise = {_NOISE, "loss"} if _NOISE in expected else set()
    for name in dict.fromkeys(name for name in [*expected, *measured] if name not in noise):
        before, now = expected.get(name), measured.get(name)
        if before is None or now is None:
            found.append(f"{name} is {'not in the card' if before is None else 'not measured'}")
        elif not math.isclose(before, now, rel_tol=TOLERANCE, abs_tol=1 if isinstance(before, int) else 1e-6):
            found.append(f"{name} is {now:.6g}, in the card {before:.6g}")
    return found
