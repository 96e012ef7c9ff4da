"""Deep belief networks."""

from __future__ import annotations

from collections.abc import Sequence

from aezoo._typing import ArrayLike, Tensor
from aezoo.models.rbm import RBM
from aezoo.pretraining.greedy import GreedyStack


class DBN(GreedyStack):
    """Restricted Boltzmann machines trained greedily: each learns from the mean hidden activations of the one below.

    `unroll()` makes the deep autoencoder of Hinton & Salakhutdinov: its decoder starts with the transposed weights and
    is untied from then on.

    Args:
        rbms: The machines, from the input up.

    Raises:
        ValueError: If there are none, if one has no `gibbs` step, as an `RBM` has, or if one stands twice.

    Attributes:
        rbms: The list of machines.

    Example:
        >>> dbn = DBN([RBM(1000), RBM(500), RBM(250), RBM(30, hidden="gaussian")])

    Reference:
        Hinton et al., "A fast learning algorithm for deep belief nets", 2006; Hinton & Salakhutdinov, "Reducing the
        dimensionality of data with neural networks", Science 313 (2006).
    """

    def __init__(self, rbms: Sequence[RBM]):
        super().__init__(rbms)
        for rbm in self.stages:
            if not hasattr(rbm, "gibbs"):
                raise ValueError(f"A deep belief network is made of RBMs, but {rbm!r} is none: use StackedAE.")

    @property
    def rbms(self) -> list[RBM]:
        """The machines, from the input up."""
        return self.stages

    def sample(self, n: int, gibbs_steps: int = 1000, start: ArrayLike | None = None) -> Tensor:
        """Draws samples: block Gibbs sampling in the top machine, then down through the means of the others.

        Args:
            n: Number of samples.
            gibbs_steps: Steps in the top machine.
            start: Samples at which the chains start, (n, *input_shape); by default at random.

        Returns:
            (n, *input_shape) float32.

        Raises:
            ValueError: If a machine has no weights yet.
        """
        self._x_shape()
        if start is not None:
            for rbm in self.rbms[:-1]:
                start = rbm.encode(start)
        v = self.rbms[-1].sample(n, gibbs_steps, start)
        for rbm in reversed(self.rbms[:-1]):
            v = rbm.decode(v)
        return v
