"""What the models of the shelf are trained on and tested with."""

from __future__ import annotations

import dataclasses
import os
from typing import Any

from aezoo import datasets, sketches

Split = tuple[Any, Any]
#: Sketches of more points are left out.
MAX_POINTS = 100


@dataclasses.dataclass(frozen=True)
class Source:
    """Where data come from.

    Attributes:
        title: What they are.
        licence: Theirs, not that of the model.
        address: Where they are published.
    """

    title: str
    licence: str
    address: str


#: By the name that recipes use; each but the cats is a data set of `aezoo.datasets`.
SOURCES = {
    "mnist": Source("MNIST", "CC BY-SA 3.0", "http://yann.lecun.com/exdb/mnist/"),
    "cats": Source(
        "the cats of Quick, Draw! (Google), simplified as for sketch-rnn",
        "CC BY 4.0",
        "https://github.com/googlecreativelab/quickdraw-dataset",
    ),
    "digits": Source(
        "handwritten digits of the UCI repository, as scikit-learn has them",
        "CC BY 4.0",
        "https://archive.ics.uci.edu/dataset/80",
    ),
}


def load(name: str, sketches_file: str | os.PathLike[str] | None = None) -> tuple[Split, Split]:
    """Loads data, the training and the test split, each a pair of samples and labels or None.

    Args:
        name: One of `SOURCES`.
        sketches_file: The file of the cats, which aezoo does not fetch.

    Raises:
        ValueError: If cats are wanted, and no file of them is given, or it is none of them.
        FileNotFoundError: If the data are not there.
    """
    if name not in SOURCES:
        raise ValueError(f"{name!r} is none of the data of the shelf, {', '.join(SOURCES)}: it is not fetched.")
    if name != "cats":
        return datasets.load(name)
    if sketches_file is None:
        raise ValueError(
            f"The cats of Quick, Draw! are not fetched: give sketch-rnn's file of them ({SOURCES[name].address}) as "
            "--sketches FILE."
        )
    return sketches.load(sketches_file, max_points=MAX_POINTS)
