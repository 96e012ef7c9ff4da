"""Types of the public interface."""

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
"""A tensor, symbolic or not. TensorFlow and Keras have no types that a type checker can read."""

Array: TypeAlias = np.ndarray | Tensor
"""A NumPy array or a tensor."""

Shape: TypeAlias = tuple[int | Any, ...]
"""Sizes of axes; None stands for any size. Typed as `Any`, since most code handles axes of known size."""

Activation: TypeAlias = str | Callable[[Tensor], Tensor]
"""Name of a Keras activation, or a function."""

Logs: TypeAlias = Mapping[str, float] | None
"""Losses and metrics by name, as Keras passes them to a callback."""

if TYPE_CHECKING:
    import keras

    Data: TypeAlias = ArrayLike | Mapping[str, ArrayLike] | Iterable[Any] | keras.utils.PyDataset
    """Samples: an array or array-like, a dict of them by name, or a data set."""

    Loss: TypeAlias = str | keras.losses.Loss | Callable[[Tensor, Tensor], Tensor]
    """A loss as in `compile`: a name of a Keras loss, an object, or a function of targets and predictions."""

    Optimizer: TypeAlias = str | keras.Optimizer
    """An optimizer, or the name of a Keras optimizer."""

    DType: TypeAlias = str | keras.DTypePolicy
    """Name of a dtype or of a Keras dtype policy, or a policy."""
else:  # readers of sketches and bytes import neither Keras nor TensorFlow
    Data = Loss = Optimizer = DType = Any
