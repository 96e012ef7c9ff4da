"""State of a training in a file, and descriptions that tell whether two trainings are the same."""

from __future__ import annotations

import inspect
import json
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
import tensorflow as tf

from aezoo import _files
from aezoo.training import distribution

_HASHED = 2**30  # bytes of an array that are read for its checksum


class TrainingState:
    """State of a training in one file, from which the same training resumes after its process was killed.

    The file holds everything that a training changes in a model: weights, optimizer, schedules, Markov chains and
    random state. It is either complete or absent, and names the training that it belongs to. Under a strategy of
    several processes the chief writes it to a folder that all processes share; every process calls `restore` and
    `save`.

    Args:
        path: The file, NAME.weights.h5.
        configuration: Description that must be equal for a training to be resumed, in types of JSON; see `plain`.
        advice: What to do if the file cannot be used, quoted in error messages: "delete it to start anew".

    Example:
        >>> import tempfile, aezoo
        >>> models = [aezoo.Autoencoder(2, seed=seed) for seed in (0, 1)]
        >>> for model in models:
        ...     model.build((None, 4))
        ...     model.compile("adam")
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     state = TrainingState(Path(folder) / "mine.weights.h5", {"seed": 0}, "delete it to start anew")
        ...     print(state.restore(models[0]))
        ...     state.save(models[0], epoch=3, seconds=1.5)
        ...     print(state.restore(models[1])["seconds"])
        None
        1.5
        >>> bool(np.all(models[0].get_weights()[0] == models[1].get_weights()[0]))
        True
    """

    _KEY = "aezoo_backup"  # the entry of the file that describes the training, beside the weights

    def __init__(self, path: Path, configuration: dict[str, Any], advice: str):
        self.path = path
        self.configuration = configuration
        self.advice = advice

    def check(self) -> None:
        """Raise an `OSError` if the file cannot be written, and remove leftovers of a killed write."""
        _files.check(self.path)
        _files.recover(self.path)

    def restore(self, model: keras.Model) -> dict[str, Any] | None:
        """Load the last saved state into a model.

        Args:
            model: The model, built and compiled.

        Returns:
            `epoch` and the notes of `save`, by name; None if no state was saved.

        Raises:
            ValueError: If the file is damaged, belongs to another training, or is visible to some processes only. The
                message names the difference. The model is unchanged unless the weights in the file are damaged.
            OSError: If the file cannot be written.
        """
        strategy = model.distribute_strategy
        distribution.wait_for_chief(strategy)  # which may still be deleting the file of an earlier training
        if distribution.is_chief(strategy):
            self.check()
        saved = self._read()
        finished = saved["epoch"] if saved else 0
        chief = distribution.broadcast_from_chief(strategy, finished)
        if finished != chief:
            raise ValueError(
                f"This process finds a backup of {finished} epochs, but the chief finds one of {chief}: "
                f"{str(self.path.parent)!r} must be a folder that all processes share."
            )
        if saved is None:
            return None
        changed = differences(saved["run"], self.configuration)
        if len(changed) == 1 and "learning_rate (" in changed[0] and _rate(model) == saved["rate"]:
            changed = []  # a callback changed it, in the process that was interrupted
        if changed:
            raise ValueError(
                f"{str(self.path)!r} is the backup of a training with other {sentence(changed)}: use the same values "
                f"to resume it, or {self.advice}."
            )
        self.configuration = saved["run"]
        _build_optimizer(model)
        try:
            model.load_weights(self.path)
        except Exception as error:  # h5py and Keras raise many kinds for damaged files
            raise ValueError(
                f"{str(self.path)!r} is damaged, or the backup of another model: {self.advice}."
            ) from error
        return saved

    def save(self, model: keras.Model, epoch: int, **notes: Any) -> None:
        """Save the state of a model.

        Args:
            model: The model, built and compiled.
            epoch: Number of finished epochs.
            **notes: Further values for `restore` to return, in types of JSON.
        """
        with distribution.chief_writes(model.distribute_strategy, self.path) as unfinished:
            self.write(unfinished, model, epoch, **notes)

    def write(self, path: Path, model: keras.Model, epoch: int, **notes: Any) -> None:
        """Write the state to another file, not atomically: a killed process may leave it half-written."""
        _build_optimizer(model)
        model.save_weights(path)
        with h5py.File(path, "a") as file:
            said = {**notes, "epoch": epoch, "run": self.configuration, "rate": _rate(model)}
            file[self._KEY] = json.dumps(said)

    def remove(self) -> None:
        """Remove the file and leftovers of a killed write."""
        _files.recover(self.path)
        self.path.unlink(missing_ok=True)

    def _read(self) -> dict[str, Any] | None:
        if not self.path.exists():
            return None
        try:
            with h5py.File(self.path) as file:
                said = json.loads(file[self._KEY].asstr()[()])
            return {**said, "epoch": int(said["epoch"]), "run": dict(said["run"]), "rate": float(said["rate"])}
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(
                f"{str(self.path)!r} is damaged, or not a backup of this version of aezoo: {self.advice}."
            ) from error


def _build_optimizer(model: keras.Model) -> None:
    with model.distribute_strategy.scope():
        model.optimizer.build(model.trainable_variables)


def _rate(model: keras.Model) -> float:
    return float(keras.ops.convert_to_numpy(model.optimizer.learning_rate))


def data(x: Any) -> dict[str, Any]:
    """Describe training data cheaply: arrays by shape, dtype and a checksum, data sets by their elements.

    For an array of more than 1 GiB, the checksum covers rows at equal distances.
    """
    if isinstance(x, Mapping) and not hasattr(x, "shape"):  # samples and conditions
        return {name: data(values) for name, values in x.items()}
    if isinstance(x, tf.data.Dataset):
        return {"elements": repr(x.element_spec), "batches": int(x.cardinality())}
    if isinstance(x, keras.utils.PyDataset):
        return {"type": type(x).__name__, "batches": len(x)}  # type: ignore[arg-type]
    if not hasattr(x, "shape"):
        return {"type": type(x).__name__}
    rows = np.asarray(x.data if hasattr(x, "nnz") else x)  # for a sparse matrix, the stored values
    sample = rows[:: 1 + rows.nbytes // _HASHED]
    return {"shape": list(x.shape), "dtype": rows.dtype.name, "checksum": zlib.crc32(np.ascontiguousarray(sample))}  # type: ignore[arg-type]


def compilation(model: keras.Model) -> dict[str, Any]:
    """Describe how a model was compiled: its optimizer with all arguments, and its loss."""
    loss = model.reconstruction_loss if hasattr(model, "reconstruction_loss") else model.loss
    return {"optimizer": plain(model.optimizer), "loss": plain(loss)}


def architecture(model: keras.Model) -> dict[str, Any]:
    """Describe the class and the configuration of a model, independent of names that Keras counts up."""
    return _without_names({"model": type(model).__name__, **plain(model.get_config()), "name": None})


def plain(value: object) -> Any:
    """Describe a value in types of JSON, identically in every process: no addresses, no names that Keras counts up."""
    if isinstance(value, dict):
        return {str(key): plain(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(part) for part in value]
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, np.generic):
        return value.item()
    if inspect.isclass(value) or inspect.isroutine(value):
        return f"{value.__module__}.{value.__qualname__}"
    if hasattr(value, "get_config"):
        config = value.get_config()
        config.pop("name", None)
        return {"class": type(value).__name__, **plain(config)}
    return type(value).__name__


def differences(before: object, now: object, name: str = "") -> list[str]:
    """List the differences between two descriptions, with both values: "optimizer learning_rate (0.001, not 1e-05)"."""
    return [f"{name} ({_short(a)}, not {_short(b)})" for name, a, b in _differing(before, now, name)]


def sentence(differing: list[str]) -> str:
    """Join the first three differences into one phrase."""
    return " and ".join(differing[:3]) + (" and more" if len(differing) > 3 else "")


def _differing(before: object, now: object, name: str) -> Iterator[tuple[str, Any, Any]]:
    if isinstance(before, dict) and isinstance(now, dict) and before.get("class") == now.get("class"):
        for key in [*before, *(key for key in now if key not in before)]:
            yield from _differing(before.get(key), now.get(key), f"{name} {key}".strip())
    elif before != now:
        yield name, before, now


def _short(value: object) -> str:
    if isinstance(value, dict) and "class" in value:
        return value["class"]
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _without_names(architecture: object) -> Any:
    """Replace the names of layers by numbers in their order, since Keras' names count up with every new model."""
    names: dict[str, str] = {}

    def collect(config: dict[str, Any]) -> dict[str, Any]:
        if len(config) > 1 and isinstance(config.get("name"), str):  # a dtype policy has a name and nothing else
            names.setdefault(config["name"], f"layer {len(names)}")
        return config

    def number(value: object) -> Any:
        if isinstance(value, dict):
            return {key: number(part) for key, part in value.items()}
        if isinstance(value, list):
            return [number(part) for part in value]
        return names.get(value, value) if isinstance(value, str) else value

    text = json.dumps(architecture)
    json.loads(text, object_hook=collect)
    return number(json.loads(text))
