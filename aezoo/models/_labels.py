"""Conditions that are labels."""

from __future__ import annotations

from collections.abc import Mapping

from aezoo.models.autoencoder import Autoencoder
from aezoo.training.gate import Spec


class TakesLabels(Autoencoder):
    """Base class of autoencoders whose conditions are labels, integers from 0 to the number of classes - 1.

    A subclass calls `set_classes` in its constructor.
    """

    classes: dict[str, int]
    """Number of classes of each label, by name."""

    def set_classes(self, classes: Mapping[str, int]) -> None:
        """Declare the labels.

        Args:
            classes: Number of classes of each label, by name.
        """
        self.classes = dict(classes)
        self.condition_specs.update(dict.fromkeys(self.classes, Spec((), "int32")))

    @property
    def condition_names(self) -> tuple[str, ...]:
        return tuple(self.classes)

    def condition_bounds(self, name: str) -> tuple[float, float]:
        return 0, self.classes[name] - 1
