"""Stacked autoencoders."""

from __future__ import annotations

from aezoo.pretraining.greedy import GreedyStack


class StackedAE(GreedyStack):
    """Stacked autoencoder: autoencoders of any dense variants, which may be mixed, trained greedily layer by layer.

    A `DenoisingAE` stage corrupts its input, the code of the stage below, and learns to restore it.

    Args:
        stages: The models, from the input up.

    Raises:
        ValueError: If the list is empty, contains the same model twice, or a model that is not an `aezoo.Autoencoder`
            or has conditions.

    Attributes:
        stages: The list of models.

    Example:
        >>> from aezoo import DenoisingAE
        >>> stack = StackedAE([DenoisingAE(1000, corruption=0.25), DenoisingAE(1000, corruption=0.25)])

    Reference:
        Bengio et al., "Greedy layer-wise training of deep networks", NeurIPS 2006; Vincent et al., "Stacked denoising
        autoencoders", JMLR 11 (2010).
    """
