"""Stacked autoencoders."""

from __future__ import annotations

from aezoo.pretraining.greedy import GreedyStack


class StackedAE(GreedyStack):
    """Autoencoders trained greedily, layer by layer; any of our dense variants, and mixtures of them.

    A `DenoisingAE` stage corrupts the code that enters it, and learns to restore the code.

    Args:
        stages: The models, from the input up.

    Raises:
        ValueError: If there are none, if one is not an `aezoo.Autoencoder`, or if one stands twice.

    Attributes:
        stages: The list of models.

    Example:
        >>> from aezoo import DenoisingAE
        >>> stack = StackedAE([DenoisingAE(1000, corruption=0.25), DenoisingAE(1000, corruption=0.25)])

    Reference:
        Bengio et al., "Greedy layer-wise training of deep networks", NeurIPS 2006; Vincent et al., "Stacked denoising
        autoencoders", JMLR 11 (2010).
    """
