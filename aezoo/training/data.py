"""Arguments of `fit`, `evaluate`, `predict` and similar methods, with checked data."""

from __future__ import annotations

import dataclasses
import inspect
import types
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import keras
import tensorflow as tf

from aezoo._typing import Data
from aezoo.training import gate
from aezoo.training.gate import Validated

if TYPE_CHECKING:
    from aezoo.training.trainer import Trainer

_VERBS = ("fit", "evaluate", "predict", "train_on_batch", "test_on_batch")
_SIGNATURES = {verb: inspect.signature(getattr(keras.Model, verb)) for verb in _VERBS}


@dataclasses.dataclass(frozen=True)
class FitRequest:
    """Arguments of a call of `fit`, `evaluate`, `predict` or a similar method, with checked data.

    Attributes:
        data: The data and their shapes.
        options: All other arguments by name; validation data are checked, too.
    """

    data: Validated
    options: Mapping[str, Any]

    @classmethod
    def of(cls, model: Trainer, verb: str, *args: Any, **kwargs: Any) -> FitRequest:
        """Read the arguments of a call, and check its data.

        Args:
            model: The model.
            verb: "fit", "evaluate", "predict", "train_on_batch" or "test_on_batch".
            *args: Positional arguments of the method of `keras.Model`.
            **kwargs: Keyword arguments of the method of `keras.Model`.

        Raises:
            ValueError: If the data cannot be used.
        """
        options = _SIGNATURES[verb].bind(model, *args, **kwargs).arguments
        del options["self"]
        options |= options.pop("kwargs", {})  # `evaluate` accepts any
        x, y, weight = (options.pop(name, None) for name in ("x", "y", "sample_weight"))
        gate.check_class_weight(options.get("class_weight"))
        data = gate.validated(model, x, y, weight, labels=f"{verb}(x)", compared=verb != "predict")
        if verb == "fit" and isinstance(data.x, (tf.data.Dataset, types.GeneratorType)):
            options.setdefault("shuffle", False)  # with its default, True, Keras warns that it cannot shuffle these
        if verb.endswith("_on_batch"):
            data = dataclasses.replace(data, x=keras.tree.map_structure(gate.dense, data.x))
        return cls(data, options)

    def replace(self, **options: Any) -> FitRequest:
        """Return the request with other options."""
        return dataclasses.replace(self, options={**self.options, **options})

    def with_x(self, x: Data) -> FitRequest:
        """Return the request with other samples, such as a generator from which some were read."""
        return dataclasses.replace(self, data=dataclasses.replace(self.data, x=x))

    @property
    def samples(self) -> Any:
        """Samples without conditions, or data that come batch by batch."""
        return self.data.x["x"] if gate.is_dict(self.data.x) else self.data.x

    @property
    def has_validation(self) -> bool:
        """True if `fit` evaluates validation data."""
        return self.options.get("validation_data") is not None or bool(self.options.get("validation_split"))

    def arguments(self) -> dict[str, Any]:
        """Return the arguments for the method of `keras.Model`, by name."""
        data = {"x": self.data.x, "y": self.data.y, "sample_weight": self.data.weight}
        return {**{name: value for name, value in data.items() if name == "x" or value is not None}, **self.options}
