"""Layer-by-layer pretraining: restricted Boltzmann machines, deep belief networks and stacked autoencoders."""

from aezoo.models.rbm import RBM
from aezoo.pretraining.dbn import DBN
from aezoo.pretraining.stacked import StackedAE

__all__ = ["DBN", "RBM", "StackedAE"]
