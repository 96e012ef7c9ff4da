"""Presets: trained models that are loaded by name, by Keras' own convention.

A preset is a folder with `model.keras` and `card.json`, which says what it is and has the SHA-256 of its files. It is
looked for in the folder that the environment variable `AEZOO_PRESETS` names, in `saved_models/` beside the package, as
in a clone, and in `saved_models/` inside it, as a wheel installs it (`setup.py`).
"""

from __future__ import annotations

import difflib
import hashlib
import io
import json
import math
import os
import tempfile
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np

from aezoo import exporting, writing
from aezoo.version import __version__

MODEL, CARD = "model.keras", "card.json"
ENVIRONMENT = "AEZOO_PRESETS"
_WEIGHTS, _CONFIG = "model.weights.h5", "config.json"


def places() -> list[Path]:
    """Returns the folders in which presets are looked for, in this order; they need not exist."""
    package = Path(__file__).resolve().parent
    given = os.environ.get(ENVIRONMENT)
    return [*([Path(given)] if given else []), package.parent / "saved_models", package / "saved_models"]


def list_presets(cls: type | None = None) -> list[str]:
    """Returns the names of all presets that are found, in alphabetical order.

    Args:
        cls: Only those that `cls.from_preset` takes.

    Example:
        >>> import aezoo
        >>> "k_sparse_mnist_k25" in aezoo.list_presets(aezoo.KSparseAE)
        True
    """
    found = {card.parent.name: card.parent for place in reversed(places()) for card in place.glob(f"*/{CARD}")}
    names = None if cls is None else {kind.__name__ for kind in _family(cls)}
    return sorted(name for name, folder in found.items() if names is None or read_card(folder)["class"] in names)


def _family(cls: type) -> Iterable[type]:
    yield cls
    for kind in cls.__subclasses__():
        yield from _family(kind)


def load(cls: type, preset: Any) -> Any:
    """Loads a model; see `aezoo.Autoencoder.from_preset`."""
    path = _find(os.fspath(preset))
    model = keras.saving.load_model(path)
    if not isinstance(model, cls):
        kind = type(model).__name__
        advice = f"load it with aezoo.{kind}.from_preset" if hasattr(model, "from_preset") else "it is none of aezoo's"
        raise ValueError(f"{path} holds a model of class {kind}, not {cls.__name__}: {advice}.")
    return model


def find(preset: str) -> Path:
    """Returns the folder of a preset, given its name or the folder itself.

    Raises:
        FileNotFoundError: If there is none; the message says where it was looked for.
    """
    folders = [Path(preset), *(place / preset for place in places())]
    for folder in folders:
        if (folder / MODEL).is_file():
            return folder
    close = difflib.get_close_matches(preset, list_presets())
    hint = f" Did you mean {' or '.join(map(repr, close))}?" if close else " aezoo.list_presets() names all there are."
    unset = "" if os.environ.get(ENVIRONMENT) else f" The environment variable {ENVIRONMENT} names no further folder."
    raise FileNotFoundError(
        f"There is no preset {preset!r}: none of {', '.join(map(str, folders))} holds a {MODEL}.{unset}{hint}"
    )


def _find(preset: str) -> str | Path:
    """What `keras.saving.load_model` is to load."""
    if "://" in preset:
        return preset
    if preset.endswith(".keras"):
        path = Path(preset)
    else:
        folder = find(preset)
        path = folder / MODEL
        if (folder / CARD).exists():
            check_files(folder, [MODEL])
    if not path.is_file():
        raise FileNotFoundError(f"There is no file {path}.")
    if not zipfile.is_zipfile(path):
        raise ValueError(f"{path} is damaged, or no .keras file.")
    return path


# === Cards ===


def read_card(folder: Path) -> dict[str, Any]:
    """Returns what `card.json` of a preset says.

    Raises:
        FileNotFoundError: If there is none.
        ValueError: If it is not what `save` writes.
    """
    path = folder / CARD
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing.")
    try:
        card = json.loads(path.read_text(encoding="utf-8"))
        card["class"], card["files"].items()
    except (ValueError, KeyError, TypeError, AttributeError):
        raise ValueError(f"{path} is damaged, or no card of a preset.") from None
    return card


def write_card(folder: Path, card: dict[str, Any]) -> None:
    """Writes `card.json`, with the SHA-256 of every other file in the folder."""
    files = {name: sha256(folder / name) for name in sorted(_names(folder))}
    text = json.dumps({**card, "files": files}, indent=1, ensure_ascii=False)
    (folder / CARD).write_text(text + "\n", encoding="utf-8")


def _names(folder: Path) -> set[str]:
    """All files of a preset but its card, relative to the folder."""
    paths = (path for path in folder.rglob("*") if path.is_file() and path != folder / CARD)
    return {path.relative_to(folder).as_posix() for path in paths}


def check_files(folder: Path, names: Iterable[str] | None = None) -> None:
    """Checks files of a preset against its card.

    Args:
        folder: The preset.
        names: Of which files, relative to the folder; by default all, and there may be no others.

    Raises:
        FileNotFoundError: If a file is missing, which the message names.
        ValueError: If one is not what was written.
    """
    files = read_card(folder)["files"]
    if names is None:
        for name in sorted(_names(folder) - files.keys()):
            raise ValueError(f"{folder / name} is not in {CARD}: it is of something else.")
    for name in files if names is None else names:
        path = folder / name
        if not path.is_file():
            raise FileNotFoundError(f"{path} is missing, though {CARD} beside it names it: fetch the preset again.")
        if sha256(path) != files.get(name):
            raise ValueError(f"{path} is damaged or was altered: its SHA-256 is not that of {CARD} beside it.")


def foreign(folder: Path) -> list[str]:
    """Return the files in a folder that its card does not name: all of them where it is no preset."""
    try:
        return sorted({*writing.files(folder)} - {*read_card(folder)["files"], CARD})
    except (OSError, ValueError, TypeError):
        return writing.files(folder)


def sha256(path: Path) -> str:
    """Returns the SHA-256 of a file, in hexadecimal."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


# === Saving ===


def save(model: Any, folder: Path, half: bool = False) -> None:
    """Writes `model.keras` into a folder that is there: the model without its optimizer and what it was compiled with.

    Args:
        model: A built model.
        folder: Where to.
        half: Whether kernels are stored in half precision. Keras casts them back when they are loaded.
    """
    with tempfile.TemporaryDirectory() as temporary:
        whole = Path(temporary) / MODEL
        model.save(whole)
        with zipfile.ZipFile(whole) as source, zipfile.ZipFile(folder / MODEL, "w", zipfile.ZIP_DEFLATED) as target:
            for name in source.namelist():
                data = source.read(name)
                if name == _CONFIG:
                    config = json.loads(data, object_pairs_hook=_known_since_keras_3_10)
                    config.pop("compile_config", None)
                    data = json.dumps(config).encode()
                elif name == _WEIGHTS:
                    data = _without_optimizer(data, half)
                target.writestr(name, data)


def _known_since_keras_3_10(config: list[tuple[str, Any]]) -> dict[str, Any]:
    """A part of a configuration without what older versions of Keras refuse and newer ones have as a default."""
    newer = {"quantization_config", "input_axes", "output_axes"}  # of layers and initializers
    return {name: value for name, value in config if not (value is None and name in newer)}


def _without_optimizer(weights: bytes, half: bool) -> bytes:
    buffer = io.BytesIO()
    with h5py.File(io.BytesIO(weights)) as source, h5py.File(buffer, "w") as target:

        def copy(name: str, item: Any) -> None:
            if name.split("/")[0] == "optimizer":
                return
            if isinstance(item, h5py.Group):
                new = target.require_group(name)
            else:
                values = np.asarray(item[()])
                values = values.astype("float16") if half and exporting.halves(values) else values
                # Tied kernels are written once, and linked to where they are used again.
                new = written.setdefault((values.dtype, values.shape, values.tobytes()), name)
                target[name] = target[new] if new != name else values
                new = target[name]
            for key, value in item.attrs.items():
                new.attrs[key] = value

        written: dict[Any, str] = {}
        source.visititems(copy)
        for key, value in source.attrs.items():
            target.attrs[key] = value
    return buffer.getvalue()


def card(model: Any) -> dict[str, Any]:
    """Returns what a card says of any model."""
    return {
        "class": type(model).__name__,
        "parameters": sum(math.prod(variable.shape) for variable in model.trainable_variables),
        "versions": {"aezoo": __version__, "keras": keras.__version__},
    }
