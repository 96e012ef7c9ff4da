"""Training and test data of the presets."""

from __future__ import annotations

import dataclasses
import os
from typing import Any

from aezoo import datasets, sketches

Split = tuple[Any, Any]
#: Sketches with more points are left out.
MAX_POINTS = 100


@dataclasses.dataclass(frozen=True)
class Source:
    """Origin of data.

    Attributes:
        title: Name of the data.
        license: License of the data, which is not the license of the model.
        address: Web address where the data are published.
    """

    title: str
    license: str
    address: str


#: Origins by the name that recipes use. All except the cats are data sets of `aezoo.datasets`.
SOURCES = {
    "mnist": Source("MNIST", "CC BY-SA 3.0", "http://yann.lecun.com/exdb/mnist/"),
    "cats": Source(
        "Cats of Quick, Draw! (Google), simplified as for sketch-rnn",
        "CC BY 4.0",
        "https://github.com/googlecreativelab/quickdraw-dataset",
    ),
    "digits": Source(
        "Handwritten digits of the UCI repository, from scikit-learn",
        "CC BY 4.0",
        "https://archive.ics.uci.edu/dataset/80",
    ),
}


def load(name: str, sketches_file: str | os.PathLike[str] | None = None) -> tuple[Split, Split]:
    """Load the training and the test split, each a pair of samples and labels; labels may be None.

    Args:
        name: A key of `SOURCES`.
        sketches_file: sketch-rnn's file of the cats, which aezoo does not fetch; needed for "cats" only.

    Raises:
        ValueError: If `name` is unknown, or it is "cats" and the file is not given or does not hold sketches.
        FileNotFoundError: If the data are not on this machine.
    """
    if name not in SOURCES:
        raise ValueError(f"Presets are not trained on {name!r}, which is not fetched: choose {', '.join(SOURCES)}.")
    if name != "cats":
        return datasets.load(name)
    if sketches_file is None:
        raise ValueError(
            f"aezoo does not fetch the cats of Quick, Draw!: give sketch-rnn's file of cats ({SOURCES[name].address}) "
            "as --sketches FILE."
        )
    return sketches.load(sketches_file, max_points=MAX_POINTS)
