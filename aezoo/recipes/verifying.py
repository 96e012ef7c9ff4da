"""Measuring the models of the shelf again."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

from aezoo.recipes.sources import Split
from aezoo.recipes.training import measure
from aezoo.saving import loading, presets

#: Relative, for other processors and versions: of noise, of sums, of scikit-learn's solver. Counts may be one off.
TOLERANCE = 0.01
#: The loss of an RBM, a difference of free energies between data and a few chains: as large as its own noise.
_NOISE = "contrastive_divergence"


def verify(folder: Path, data: tuple[Split, Split] | None) -> dict[str, float]:
    """Checks a folder of the shelf against its card: its files, and what it does on its test data.

    Args:
        folder: The folder.
        data: What its card names, as `aezoo.recipes.sources.load` gives them; None checks the files alone.

    Returns:
        What was measured.

    Raises:
        FileNotFoundError: If a file is missing, which the message names.
        ValueError: If a file is not what was written, or the model does not do what the card says.
    """
    card = presets.read_card(folder)
    presets.check_files(folder)
    if data is None:
        return {}
    measured = measure(loading.load(folder / presets.MODEL), data)
    wrong = differences(card["metrics"], measured)
    if wrong:
        raise ValueError(f"{folder} does not do what its card says: {'; '.join(wrong)}.")
    return measured


def differences(expected: Mapping[str, float], measured: Mapping[str, float]) -> list[str]:
    """Says which metrics are not what a card says."""
    found = []
    noise = {_NOISE, "loss"} if _NOISE in expected else set()
    for name in dict.fromkeys(name for name in [*expected, *measured] if name not in noise):
        before, now = expected.get(name), measured.get(name)
        if before is None or now is None:
            found.append(f"{name} is {'not in the card' if before is None else 'not measured'}")
        elif not math.isclose(before, now, rel_tol=TOLERANCE, abs_tol=1 if isinstance(before, int) else 1e-6):
            found.append(f"{name} is {now:.6g}, in the card {before:.6g}")
    return found
