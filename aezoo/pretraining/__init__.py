"""Layer-by-layer pretraining: restricted Boltzmann machines, deep belief networks and stacked autoencoders."""

from aezoo.models.rbm import RBM
from aezoo.pretraining.dbn import DBN
from aezoo.pretraining.stacked import StackedAE
from aezoo.pretraining.up_down import wake_sleep

__all__ = ["DBN", "RBM", "StackedAE", "wake_sleep"]
