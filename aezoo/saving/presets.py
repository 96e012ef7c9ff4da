"""Presets: trained models that load by name, following the convention of KerasHub.

A preset is a folder with `model.keras` and a model card, `card.json`, which describes the model and lists the SHA-256
of each file. Presets are searched in this order: the folder in the environment variable `AEZOO_PRESETS`;
`saved_models/` beside the package, as in a clone; `saved_models/` inside the package, where a wheel installs it
(`setup.py`).
"""

from __future__ import annotations

import difflib
import hashlib
import json
import math
import os
import tempfile
import warnings
import zipfile
from collections.abc import Iterable
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import TYPE_CHECKING, Any, TypeVar

import keras
import numpy as np

from aezoo import _files, _keras, _untrusted
from aezoo.saving import export, loading
from aezoo.version import __version__

if TYPE_CHECKING:
    from aezoo.models.autoencoder import Autoencoder

M = TypeVar("M")

MODEL, CARD = "model.keras", "card.json"
ENVIRONMENT = "AEZOO_PRESETS"


def places() -> list[Path]:
    """Return the folders that are searched for presets, in this order; they need not exist."""
    package = Path(__file__).resolve().parents[1]
    given = os.environ.get(ENVIRONMENT)
    return [*([Path(given)] if given else []), package.parent / "saved_models", package / "saved_models"]


def list_presets(cls: type | None = None) -> list[str]:
    """Return the names of all presets in alphabetical order; a damaged preset is left out with a warning.

    Args:
        cls: A class of models, to list only the presets that `cls.from_preset` accepts; None lists all.

    Example:
        >>> import aezoo
        >>> "k_sparse_mnist_k25" in aezoo.list_presets(aezoo.KSparseAE)
        True
    """
    names = None if cls is None else {kind.__name__ for kind in _family(cls)}
    return sorted(name for name, card in cards().items() if names is None or card["class"] in names)


def folders() -> dict[str, Path]:
    """Return the folders of all presets by name, including damaged ones."""
    found = {card.parent.name: card.parent for place in reversed(places()) for card in place.glob(f"*/{CARD}")}
    return dict(sorted(found.items()))


def cards() -> dict[str, dict[str, Any]]:
    """Return the model cards of all presets by name; a damaged preset is left out with a warning."""
    read = {}
    for name, folder in folders().items():
        try:
            if not (folder / MODEL).is_file():
                raise FileNotFoundError(f"{folder / MODEL} is missing.")
            read[name] = read_card(folder)
        except (ValueError, OSError) as error:
            warnings.warn(f"A preset is left out: {_untrusted.printable(error, 1000)}", stacklevel=3)
    return read


def _family(cls: type[Any]) -> Iterable[type[Any]]:
    yield cls
    for kind in cls.__subclasses__():
        yield from _family(kind)


def load(cls: type[M], preset: str | os.PathLike[str]) -> M:
    """Load a model; see `aezoo.Autoencoder.from_preset`."""
    path = _find(preset)
    if isinstance(path, str):
        model = keras.saving.load_model(path)
        loading.check_finite(model, path)
    else:
        model = loading.load(path)
    if not isinstance(model, cls):
        kind = type(model).__name__
        ours = hasattr(model, "from_preset")
        advice = f"load it with aezoo.{kind}.from_preset" if ours else "it is not a model of aezoo"
        raise ValueError(f"{path} holds a model of class {kind}, not {cls.__name__}: {advice}.")
    return model


def find(preset: str | os.PathLike[str]) -> Path:
    """Return the folder of a preset.

    A string without a separator is looked up as a name first: a folder in the working directory does not hide a preset
    of the same name. Refer to such a folder as "./name", or by a `pathlib.Path`.

    Args:
        preset: Name or folder of the preset.

    Raises:
        FileNotFoundError: If there is no such preset; the message lists the folders that were searched.
    """
    here, name = Path(preset), os.fspath(preset)
    named = [place / name for place in places()]
    is_name = isinstance(preset, str) and not {"/", os.sep, os.altsep} & set(name)
    folders = [*named, here] if is_name else [here, *named]
    for folder in folders:
        if (folder / MODEL).is_file():
            if folder != here and (here / MODEL).is_file():
                warnings.warn(
                    f"{name!r} loads the preset in {folder}, not the folder {name!r} of the working directory: write "
                    f"'./{name}' to load the folder.",
                    stacklevel=2,
                )
            return folder
    close = difflib.get_close_matches(name, list_presets())
    hint = f" Did you mean {' or '.join(map(repr, close))}?" if close else " aezoo.list_presets() names all presets."
    unset = "" if os.environ.get(ENVIRONMENT) else f" The environment variable {ENVIRONMENT} names no further folder."
    raise FileNotFoundError(
        f"There is no preset {name!r}: none of {', '.join(map(str, folders))} holds a {MODEL}.{unset}{hint}"
    )


def _find(preset: str | os.PathLike[str]) -> str | Path:
    """Return the path of the file to load, or the address, as a string, which Keras loads."""
    name = os.fspath(preset)
    if "://" in name:
        return name
    if name.endswith(".keras"):
        path = Path(name)
    else:
        folder = find(preset)
        path = folder / MODEL
        if (folder / CARD).exists():
            check_files(folder, [MODEL])
    if not path.is_file():
        raise FileNotFoundError(f"There is no file {path}: name an existing .keras file, or a preset.")
    if not zipfile.is_zipfile(path):
        raise ValueError(f"{path} is damaged, or not a .keras file.")
    return path


# === Model cards ===


def read_card(folder: Path) -> dict[str, Any]:
    """Read the model card of a preset, `card.json`.

    Args:
        folder: The folder of the preset.

    Raises:
        FileNotFoundError: If there is no model card.
        ValueError: If the file is not a model card, or names files outside its folder.
    """
    path = folder / CARD
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing.")
    card = _untrusted.read_json(path)
    wrong = _wrong(card)
    if wrong:
        raise ValueError(f"{path} is damaged, or not the model card of a preset: {wrong}.")
    return card


def _wrong(card: object) -> str:
    """Return the reason why a model card is invalid; "" if it is valid."""
    if not isinstance(card, dict) or not isinstance(card.get("class"), str) or not isinstance(card.get("files"), dict):
        return "it has no class and no files"
    for name, digest in card["files"].items():
        path = PurePosixPath(name)
        if path.is_absolute() or PureWindowsPath(name).drive or "\\" in name or ".." in path.parts:
            return f"it names the file {_untrusted.printable(name)}, which is not within its folder"
        if not isinstance(digest, str):
            return f"it has no SHA-256 of {_untrusted.printable(name)}"
    if any(not isinstance(card.get(key, ""), str) for key in ("name", "title", "limits", "reference")):
        return "its name, title, limits and reference are not all texts"
    if "metrics" not in card:
        return ""
    metrics, data = card["metrics"], card.get("data")
    if not isinstance(metrics, dict) or not all(isinstance(value, (int, float)) for value in metrics.values()):
        return "its metrics are not numbers by name"
    if not isinstance(card.get("metric"), str) or card["metric"] not in metrics or not {"name", "title"} <= card.keys():
        return "it has metrics, but no name, title and metric"
    return "" if isinstance(data, dict) and isinstance(data.get("name"), str) else "it does not name its data"


def write_card(folder: Path, card: dict[str, Any]) -> None:
    """Write `card.json`, with the SHA-256 of every other file in the folder."""
    files = {name: sha256(folder / name) for name in sorted(_names(folder))}
    text = json.dumps({**card, "files": files}, indent=1, ensure_ascii=False)
    (folder / CARD).write_text(text + "\n", encoding="utf-8")


def _names(folder: Path) -> set[str]:
    """Return all files of a preset except its model card, relative to the folder."""
    paths = (path for path in folder.rglob("*") if path.is_file() and path != folder / CARD)
    return {path.relative_to(folder).as_posix() for path in paths}


def check_files(folder: Path, names: Iterable[str] | None = None) -> None:
    """Check files of a preset against the SHA-256 in its model card.

    Args:
        folder: The folder of the preset.
        names: Files to check, relative to the folder. None checks all, and refuses files that the card does not name.

    Raises:
        FileNotFoundError: If a file is missing; the message names it.
        ValueError: If a file was altered, is outside the folder, or is not named in the card.
    """
    files = read_card(folder)["files"]
    if names is None:
        for name in sorted(_names(folder) - files.keys()):
            raise ValueError(f"{folder / name} is not named in {CARD}: remove it, it is not part of the preset.")
        for name in files:
            if not (folder / name).resolve().is_relative_to(folder.resolve()):
                raise ValueError(f"{folder / name} is a link out of its folder: fetch the preset again.")
    for name in files if names is None else names:
        path = folder / name
        if not path.is_file():
            raise FileNotFoundError(f"{path} is missing, though {CARD} names it: fetch the preset again.")
        if sha256(path) != files.get(name):
            raise ValueError(
                f"{path} is damaged or was altered: its SHA-256 differs from the one in {CARD}. Fetch the preset again."
            )


def foreign(folder: Path) -> list[str]:
    """Return the files in a folder that its model card does not name: all files if the folder is not a preset."""
    try:
        return sorted({*_files.files(folder)} - {*read_card(folder)["files"], CARD})
    except (OSError, ValueError, TypeError):
        return _files.files(folder)


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(2**20):
            digest.update(chunk)
    return digest.hexdigest()


# === Saving ===


def save(model: Autoencoder, folder: Path, half: bool = False) -> None:
    """Write `model.keras`: the model without its optimizer and the arguments of `compile`.

    Args:
        model: A built model.
        folder: An existing folder.
        half: Whether to store kernels in half precision. Keras casts them back on loading.

    Raises:
        ValueError: If a weight is not finite, since such a model would not load.
    """
    loading.check_finite(model, f"The model {model.name!r}")
    with tempfile.TemporaryDirectory() as temporary:
        whole = Path(temporary) / MODEL
        model.save(whole)
        _keras.stripped_keras_file(whole, folder / MODEL, _halved if half else np.asarray)


def _halved(values: np.ndarray) -> np.ndarray:
    return values.astype("float16") if export.halves(values) else values


def card(model: Autoencoder) -> dict[str, Any]:
    """Return the entries of a model card that every model has: class, number of parameters, versions."""
    return {
        "class": type(model).__name__,
        "parameters": sum(math.prod(variable.shape) for variable in model.trainable_variables),
        "versions": {"aezoo": __version__, "keras": keras.__version__},
    }
