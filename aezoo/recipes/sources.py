"""Training and test data of the presets."""

from __future__ import annotations

import dataclasses
import json
import os
import tarfile
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from aezoo import datasets, sketches

Split = tuple[Any, Any]
#: Sketches with more points are left out.
MAX_POINTS = 100
_EMOJI, _PICTURES = "package/emoji.json", "package/img/google/64"
# Beginnings of the subcategories of faces and of people whose heads are large enough for 64 pixels.
_HEADS = ("face-", "cat-face", "monkey-face", "person-fantasy", "person-gesture", "person-role")


@dataclasses.dataclass(frozen=True)
class Source:
    """Origin of data.

    Attributes:
        title: Name of the data.
        license: License of the data, which is not the license of the model.
        address: Web address where the data are published.
        shape: Shape of samples, for readers.
        option: Option of `aezoo presets`, without hyphens, for a file that aezoo does not fetch; "" if none is needed.
        file: Description of this file.
        excerpt: Name of a data set of `aezoo.datasets` whose splits are parts of these splits; "" if there is none.
    """

    title: str
    license: str
    address: str
    shape: str
    option: str = ""
    file: str = ""
    excerpt: str = ""


_NOTO = Source(
    "Noto Emoji (Google), 64 × 64 pixels on white, all skin tones of an emoji in the same split",
    "Apache-2.0",
    "https://github.com/googlefonts/noto-emoji",
    "(n, 64, 64, 3) in [0, 1]",
    option="emoji",
    file="the file that `npm pack emoji-datasource-google@16.0.0` downloads (.tgz)",
    excerpt="emoji",
)

#: Origins by the name that recipes use.
SOURCES = {
    "mnist": Source("MNIST", "CC BY-SA 3.0", "http://yann.lecun.com/exdb/mnist/", "(n, 28, 28, 1) in [0, 1]"),
    "cats": Source(
        "Cats of Quick, Draw! (Google), simplified as for sketch-rnn",
        "CC BY 4.0",
        "https://github.com/googlecreativelab/quickdraw-dataset",
        "(n, steps, 5)",
        option="sketches",
        file="the sketch-rnn file of the cats (.npz)",
    ),
    "noto": _NOTO,
    "noto_heads": dataclasses.replace(_NOTO, title=_NOTO.title.replace("64 ×", "faces and people, 64 ×", 1)),
    "digits": Source(
        "Handwritten digits of the UCI repository, from scikit-learn",
        "CC BY 4.0",
        "https://archive.ics.uci.edu/dataset/80",
        "(n, 8, 8, 1) in [0, 1]",
    ),
    "emoji": Source(
        "The excerpt of Noto Emoji (Google) that ships with aezoo, 64 × 64 pixels on white",
        _NOTO.license,
        _NOTO.address,
        _NOTO.shape,
    ),
}


def load(name: str, files: Mapping[str, str | os.PathLike[str]] | None = None) -> tuple[Split, Split]:
    """Load the training and the test split, each a pair of samples and labels; labels may be None.

    Args:
        name: A key of `SOURCES`.
        files: Paths of files that aezoo does not fetch, by the option of their source.

    Raises:
        ValueError: If `name` is unknown, its file is not given, or the file has other content.
        FileNotFoundError: If the data are not on this machine.
    """
    if name not in SOURCES:
        raise ValueError(f"Presets are not trained on {name!r}, which is not fetched: choose {', '.join(SOURCES)}.")
    source = SOURCES[name]
    if not source.option:
        return datasets.load(name)
    file = (files or {}).get(source.option)
    if file is None:
        raise ValueError(
            f"aezoo does not fetch {source.title}: give {source.file} as --{source.option} FILE ({source.address})."
        )
    if name == "cats":
        return sketches.load(file, max_points=MAX_POINTS)
    return emoji(file, heads=name == "noto_heads")


def emoji(file: str | os.PathLike[str], heads: bool = False) -> tuple[Split, Split]:
    """Load Noto emoji, and split them so that all skin tones of an emoji are in the same split.

    Of the short names of each category, in alphabetical order, every fifth is for testing; the emoji of
    `aezoo.datasets.load("emoji")` are in the same split as there. A picture that repeats an earlier one, such as the
    flag of Norway, which is also the flag of Bouvet Island, is left out.

    Args:
        file: The npm package emoji-datasource-google, version 16.0.0, as a .tgz file.
        heads: Whether to leave out everything but faces and people by gesture, role, age, hair or fantasy.

    Returns:
        Two pairs, for training and for testing, of pictures on white, (n, 64, 64, 3) float32 in [0, 1], and None.

    Raises:
        ValueError: If the file is not this package.
    """
    try:
        with tarfile.open(file) as package:
            pictures = {member.name: member for member in package if member.name.startswith((_EMOJI, _PICTURES))}
            rows = []
            for kind in json.load(package.extractfile(pictures[_EMOJI])):  # type: ignore[arg-type]
                for one in (kind, *kind.get("skin_variations", {}).values()):
                    content = package.extractfile(pictures[f"{_PICTURES}/{one['image']}"])
                    rgba = tf.io.decode_png(content.read(), channels=4).numpy()  # type: ignore[union-attr]
                    rows.append((kind["short_name"], kind["category"], kind["subcategory"], rgba))
        rgba = np.stack([row[3] for row in rows]).astype("float64")
    except (tarfile.TarError, KeyError, ValueError, tf.errors.InvalidArgumentError) as error:
        raise ValueError(f"{os.fspath(file)!r} is not {_NOTO.file}.") from error
    names, categories, subcategories = (np.array([row[i] for row in rows]) for i in range(3))
    alpha = rgba[..., 3:] / 255
    images = np.round(rgba[..., :3] * alpha + 255 * (1 - alpha)).astype("uint8")
    chosen = np.array([not heads or one == "person" or one.startswith(_HEADS) for one in subcategories])
    test = _test(names, categories)
    splits, seen = [], set()
    for of_split in (~test, test):
        kept = []
        for i in np.flatnonzero(of_split & chosen):
            picture = images[i].tobytes()
            if picture not in seen:
                seen.add(picture)
                kept.append(i)
        splits.append((images[kept].astype("float32") / 255, None))
    return splits[0], splits[1]


def _test(names: np.ndarray, categories: np.ndarray) -> np.ndarray:
    """Return which emoji are for testing."""
    shipped = {split: set(datasets.emoji_factors(split)["name"]) for split in ("train", "test")}
    chosen = set(shipped["test"])
    for category in np.unique(categories):
        others = sorted(set(names[categories == category]) - shipped["train"] - shipped["test"])
        chosen.update(others[4::5])
    return np.isin(names, sorted(chosen))
