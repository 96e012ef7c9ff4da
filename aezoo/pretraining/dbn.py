"""Deep belief networks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from keras import ops

from aezoo._numerics import as_float32
from aezoo._typing import ArrayLike, Shape, Tensor
from aezoo.models.autoencoder import Autoencoder
from aezoo.models.rbm import RBM
from aezoo.pretraining.greedy import GreedyStack


class DBN(GreedyStack):
    """Deep belief network: a stack of RBMs, each trained on the mean hidden activations of the RBM below it.

    `unroll()` creates the deep autoencoder of Hinton & Salakhutdinov. Its decoder starts from the transposed weights
    and is not tied to the encoder during fine-tuning.

    Args:
        rbms: The machines, from the input up.

    Raises:
        ValueError: If the list is empty, contains the same machine twice, or a model that is not an `RBM` (has no
            method `gibbs`) nor, below the top, an `Autoencoder` of one sigmoid layer with untied weights.

    Attributes:
        rbms: The list of machines; in a network that `aezoo.pretraining.wake_sleep` returned, all below the top are
            `Autoencoder`s.

    Example:
        >>> dbn = DBN([RBM(1000), RBM(500), RBM(250), RBM(30, hidden="gaussian")])

    Reference:
        Hinton et al., "A fast learning algorithm for deep belief nets", 2006; Hinton & Salakhutdinov, "Reducing the
        dimensionality of data with neural networks", Science 313 (2006).
    """

    def __init__(self, rbms: Sequence[RBM]):
        super().__init__(rbms)
        for i, rbm in enumerate(self.stages):
            directed = i < len(self.stages) - 1 and _is_directed(rbm)
            if not (directed or hasattr(rbm, "gibbs")):
                raise ValueError(f"A deep belief network consists of RBMs, but {rbm!r} is not an RBM: use StackedAE.")

    @property
    def rbms(self) -> list[RBM]:
        """The machines, from the input up; those below the top may be `Autoencoder`s, as after `wake_sleep`."""
        return self.stages

    def layer_weights(self, i: int) -> tuple[Any, Any, Any, Any]:
        """Return the weights between the visible and the hidden units of layer i, float32.

        Args:
            i: Index of the layer, from 0.

        Returns:
            The recognition weights (visible, hidden) and the hidden bias (hidden,); the generative weights
            (hidden, visible), in an RBM the transposed recognition weights, and the visible bias (visible,).
        """
        stage = self.stages[i]
        if _is_directed(stage):
            encode, decode = stage.encoder.layers[-1], stage.decoder.layers[0]
            return tuple(as_float32(p) for p in (encode.kernel, encode.bias, decode.kernel, decode.bias))
        kernel, hidden_bias, visible_bias = self.rbms[i].parameters()
        return kernel, hidden_bias, ops.transpose(kernel), visible_bias

    def _build(self, shape: Shape) -> None:
        for i, stage in enumerate(self.stages):
            if _is_directed(stage):
                raise ValueError(
                    f"pretrain trains RBMs, but layer {i + 1} has recognition and generative weights of its own: call "
                    "aezoo.pretraining.wake_sleep, or pretrain the network that it came from."
                )
        super()._build(shape)

    def sample(self, n: int, gibbs_steps: int = 1000, start: ArrayLike | None = None) -> Tensor:
        """Draw samples: block Gibbs sampling in the top machine, then down through the means of the others.

        Args:
            n: Number of samples.
            gibbs_steps: Number of Gibbs steps in the top machine, at least 1.
            start: Samples from which the chains start, (n, *input_shape); random by default.

        Returns:
            Samples, (n, *input_shape) float32.

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


def _is_directed(stage: Autoencoder) -> bool:
    """Return whether a model is one sigmoid layer up and one down with weights of their own."""
    sigmoids = stage.activation == stage.output_activation == "sigmoid" and stage.code_activation is None
    deep = stage.hidden_dims or stage.filters or stage.normalization or stage._given_encoder is not None
    return type(stage) is Autoencoder and sigmoids and not (deep or stage.tied)
