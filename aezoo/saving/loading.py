"""Loading of untrusted `.keras` files.

Keras runs no code from a file and refuses some attacks on memory. Before Keras builds the model, this module checks the
size that the file unpacks to, that it contains its weights, and that the model does not have many more weights than the
file.
"""

from __future__ import annotations

import contextlib
import io
import math
import os
from collections.abc import Iterator
from typing import Any

import h5py
import keras
import numpy as np

from aezoo import _keras, _untrusted

# Bytes that any file may unpack to; for larger results, `_untrusted.members` sets the limit by the size of the file.
_LEAST = 2**24
# Limits (a, b): a model may have a + b * n numbers if its file holds n, since an optimizer has several per weight and
# equal weights are written once. Likewise for variables, by names in the file, and for the objects that the
# configuration describes: layers (some without weights), initializers, dtypes.
_NUMBERS, _VARIABLES, _OBJECTS = (2**20, 8), (100, 8), (1000, 32)


class UnknownClassError(ValueError):
    """Error for a file whose model is of a class that has not been imported.

    Attributes:
        name: The name under which the class is registered.
        module: The module that the file names. It is not imported: an untrusted file must not choose what to import.
    """

    def __init__(self, path: Any, name: str, module: str):
        self.name, self.module = _untrusted.printable(name), _untrusted.printable(module)
        super().__init__(
            f"{path} holds a model of the class {self.name}, which is not registered: first import the module that "
            "defines and registers it."
        )


def load(path: str | os.PathLike[str]) -> keras.Model:
    """Load a model from a `.keras` file.

    Args:
        path: The file.

    Returns:
        The model, whose weights are all finite.

    Raises:
        FileNotFoundError: If there is no such file.
        UnknownClassError: If the class of the model has not been imported.
        ValueError: If the file is damaged, describes far more weights than it holds, or holds weights that are not
            finite.
    """
    found = dict(_untrusted.members(path, ".keras", _LEAST, (_keras.CONFIG, _keras.WEIGHTS)))
    for name in (_keras.CONFIG, _keras.WEIGHTS):
        if name not in found:
            raise ValueError(f"{path} is damaged, or not a .keras file: it has no {name}.")
    config = _untrusted.parse_json(found[_keras.CONFIG], f"{path}, {_keras.CONFIG},")
    _check_known(config, path)
    objects = _objects(config)
    numbers, variables = _numbers(f"{path}, {_keras.WEIGHTS},", found.pop(_keras.WEIGHTS))
    if objects > _most(_OBJECTS, variables):
        raise ValueError(f"{path} is damaged: it describes {objects:,} objects, but holds only {variables:,} weights.")
    with _at_most(_most(_NUMBERS, numbers), _most(_VARIABLES, variables)) as exceeded:
        try:
            model = keras.saving.load_model(path)
            if exceeded:  # Keras ignores some errors of layers
                raise ValueError
        except Exception as error:  # any layer that the file describes may raise its own
            reason = _untrusted.printable(error).rstrip(".") or type(error).__name__
            if exceeded:
                reason = (
                    f"it describes a model of {exceeded[0]}, but holds {variables:,} weights of {numbers:,} numbers"
                )
            raise ValueError(f"{path} is damaged, or not for this version of Keras: {reason}.") from error
    check_finite(model, path)
    return model


def check_finite(model: keras.Model, path: object) -> None:
    """Check that no weight of a loaded model is NaN or infinite.

    Args:
        model: A model.
        path: Source of the model, for the error message.

    Raises:
        ValueError: If a weight is not finite; the message names it.
    """
    for variable in model.weights:
        if "float" in variable.dtype and not np.isfinite(np.asarray(variable, "float32")).all():
            raise ValueError(f"{path} has NaN or infinite values in the weight {variable.path}.")


def _check_known(config: object, path: object) -> None:
    """Check that the class of a model is one of Keras' own, or registered."""
    module, name = (config.get(key) if isinstance(config, dict) else None for key in ("module", "registered_name"))
    if not isinstance(module, str) or not isinstance(name, str) or module.split(".")[0] == "keras":
        return
    if keras.saving.get_registered_object(name) is None:
        raise UnknownClassError(path, name, module)


def _most(limit: tuple[int, int], held: int) -> int:
    return limit[0] + limit[1] * held


def _objects(config: object) -> int:
    """Return the number of objects that a configuration describes."""
    found, parts = 0, [config]
    while parts:
        part = parts.pop()
        found += isinstance(part, dict) and "class_name" in part
        parts += part.values() if isinstance(part, dict) else part if isinstance(part, list) else ()
    return found


def _numbers(where: str, weights: bytes) -> tuple[int, int]:
    """Return how many numbers an HDF5 file holds, and under how many names; refuse links to other files."""
    total = names = 0
    try:
        with h5py.File(io.BytesIO(weights)) as file:
            groups, seen = [file], set()
            while groups:
                group = groups.pop()
                for name in group:
                    if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                        raise ValueError(f"{_untrusted.printable(name)} is a link")
                    item = group[name]
                    names += isinstance(item, h5py.Dataset)
                    place = h5py.h5o.get_info(item.id).addr
                    if place in seen:
                        continue
                    seen.add(place)
                    if isinstance(item, h5py.Group):
                        groups.append(item)
                    else:
                        total += _size(item, len(weights))
    except Exception as error:  # h5py raises many kinds for damaged files
        raise ValueError(f"{where} is damaged: {_untrusted.printable(error).rstrip('.')}.") from None
    return total, names


def _size(dataset: h5py.Dataset, most: int) -> int:
    size = math.prod(dataset.shape)
    name = _untrusted.printable(dataset.name)
    if dataset.dtype.kind not in "biufV" or dataset.external or dataset.is_virtual:
        raise ValueError(f"{name} is not an array of numbers within the file")
    if size * dataset.dtype.itemsize > min(most, dataset.id.get_storage_size()):
        raise ValueError(f"{name} claims more numbers, {dataset.shape}, than the file holds")
    return size


@contextlib.contextmanager
def _at_most(numbers: int, variables: int) -> Iterator[list[str]]:
    """Refuse to create variables in this thread beyond either limit; yield a list that then names the limit."""
    refused: list[str] = []
    made, count = 0, 0

    def counted(shape: tuple[Any, ...]) -> None:
        nonlocal made, count
        made += math.prod(size for size in shape if isinstance(size, int))
        count += 1
        if made > numbers or count > variables:
            most = f"{numbers:,} numbers" if made > numbers else f"{variables:,} weights"
            refused.append(f"more than {most}")
            raise ValueError("The model is too large for its file.")

    with _keras.before_each_variable(counted):
        yield refused
