"""Types that the public surface is written in."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike as ArrayLike

if sys.version_info >= (3, 11):
    from typing import Self as Self
elif TYPE_CHECKING:
    from typing_extensions import Self as Self
else:
    from typing import TypeVar

    Self = TypeVar("Self")

Tensor: TypeAlias = Any
"""A tensor, symbolic or not. TensorFlow and Keras have no types that a checker could read."""

Array: TypeAlias = np.ndarray | Tensor
"""An array of NumPy or a tensor."""

Shape: TypeAlias = tuple[int | Any, ...]
"""Sizes of axes; None is any size. `Any` in place of None, since most code deals with axes of known size."""

Activation: TypeAlias = str | Callable[[Tensor], Tensor]
"""The name of an activation of Keras, or a function."""

Logs: TypeAlias = Mapping[str, float] | None
"""Losses and metrics by name, as Keras gives them to a callback."""

if TYPE_CHECKING:
    import keras

    Data: TypeAlias = ArrayLike | Mapping[str, ArrayLike] | Iterable[Any] | keras.utils.PyDataset
    """Samples: an array or what becomes one, such arrays by name, or a data set."""

    Loss: TypeAlias = str | keras.losses.Loss | Callable[[Tensor, Tensor], Tensor]
    """A loss as `compile` takes it: a name of Keras, an object, or a function of targets and predictions."""

    Optimizer: TypeAlias = str | keras.Optimizer
    """An optimizer, or the name of one of Keras."""

    DType: TypeAlias = str | keras.DTypePolicy
    """The name of a dtype or of a policy of Keras, or a policy."""
else:  # what reads sketches and bytes imports neither Keras nor TensorFlow
    Data = Loss = Optimizer = DType = Any
