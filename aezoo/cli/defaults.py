"""The models that the command line knows, and what it gives their arguments where a user gives nothing.

A new model is one line in `MODELS`. What it does and its paper are read from the docstring of its class, its options
from its constructor.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import Any

Arguments = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Training:
    """Defaults of a training that depend on the data, here for small sets such as digits.

    Attributes:
        samples: Number of training samples.
        epochs: Passes over them.
        batch_size: Samples a step.
        learning_rate: Of Adam.
        latent_dim: Code units of the models that do not compress.
        layers: Code units of each layer of a stack.
        pretrain_epochs: Passes over the samples for each layer of a stack.
    """

    samples: int
    epochs: int = 60
    batch_size: int = 64
    learning_rate: float = 3e-3
    latent_dim: int = 64
    layers: tuple[int, ...] = (64, 32, 16)
    pretrain_epochs: int = 20

    @classmethod
    def on(cls, samples: int, features: int) -> Training:
        """The defaults for so many training samples of so many features."""
        training = cls(samples)
        if features > 100:
            training = dataclasses.replace(training, latent_dim=1000, layers=(1000, 500, 250, 30))
        if samples < 10_000:
            return training
        return dataclasses.replace(training, epochs=20, batch_size=128, learning_rate=1e-3, pretrain_epochs=10)


@dataclasses.dataclass(frozen=True)
class Entry:
    """A model of the zoo.

    Attributes:
        class_name: Its public name in `aezoo`; of a stack, that of its layers.
        latent_dim: The default of `latent_dim`; None takes that of the training.
        units: The argument that `latent_dim` is called by this model.
        defaults: Makes more arguments from those given (`latent_dim` is always among them) and the training.
        without: Arguments that its constructor takes but does not use.
        adam: Whether it is trained with Adam, and not with its `default_optimizer`.
        stack: The public name of the stack that such models make, or None.
        top: Arguments of the top layer of a stack.
        sketches: Whether it learns from sketches, and not from images.
    """

    class_name: str
    latent_dim: int | None = None
    units: str = "latent_dim"
    defaults: Callable[[Mapping[str, Any], Training], Arguments] = lambda given, training: {}
    without: tuple[str, ...] = ()
    adam: bool = True
    stack: str | None = None
    top: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    sketches: bool = False

    def arguments(self, given: Mapping[str, Any], training: Training) -> Arguments:
        """The arguments given, and the defaults of those that are not."""
        if self.stack is None:
            given = {self.units: self.latent_dim or training.latent_dim, **given}
        return {**self.defaults(given, training), **given}


def _tied(given: Mapping[str, Any], training: Training) -> Arguments:
    """Tied weights where they can be: untied, the filters of so short a training keep the noise they started with."""
    return {"tied": not given.get("filters") and not given.get("normalization")}


def _k_sparse(given: Mapping[str, Any], training: Training) -> Arguments:
    """25 of 1000 units as in the paper, but at least 5; k falls over the first half of the epochs.

    AuxK, which the paper lacks: without it a fifth of the units dies on digits, a third in three epochs on MNIST.
    """
    from aezoo import schedules

    units = given["latent_dim"]
    k = given.get("k", min(units, max(5, units // 40)))
    return {
        "k": k,
        "k_schedule": schedules.Linear(max(k, min(units, 4 * k)), k, max(1, training.epochs // 2)),
        "aux_weight": 1 / 32,
        "dead_after": min(10_000, training.samples),
    }


def _hidden(given: Mapping[str, Any], training: Training) -> Arguments:
    """A hidden layer: what a linear code of few units needs."""
    return {} if given.get("filters") else {"hidden_dims": (400 if training.latent_dim > 100 else 64,)}


def _compressive(given: Mapping[str, Any], training: Training) -> Arguments:
    """A hidden layer, without which a code of few bits is little better than a linear one."""
    return {} if given.get("filters") or given.get("spatial") else {"hidden_dims": (500,)}


def _sketch_rnn(given: Mapping[str, Any], training: Training) -> Arguments:
    """Half the authors' units, for a CPU; the weight of the KL is there after half of the training."""
    steps = training.epochs * math.ceil(training.samples / training.batch_size)
    rate = 0.01 ** (2 / max(steps, 2))
    return {"encoder_units": 128, "decoder_units": 256, "kl_rate": min(rate, 0.99995)}


def _masked(given: Mapping[str, Any], training: Training) -> Arguments:
    """Patches that divide images of 8 or 28 pixels; without an error of visible ones nothing can be reconstructed."""
    return {"patch_size": 4 if training.latent_dim > 100 else 2, "visible_weight": 0.1}


_ACTIVATIONS = ("activation", "code_activation", "output_activation")
_HIDDEN_LAYERS = ("hidden_dims", "filters", "dropout", "normalization", "kernel_size", "upsampling", "residual")

_NETWORKS = (*_HIDDEN_LAYERS, "tied")

# Arguments that would make a layer more than one layer, or its codes no input of the next; an RBM has none of them.
_OF_A_LAYER = ("latent_dim", *_HIDDEN_LAYERS, *_ACTIVATIONS)
_OF_AN_RBM = (*_OF_A_LAYER, "tied")

#: By the name on the command line.
MODELS: dict[str, Entry] = {
    "autoencoder": Entry("Autoencoder", latent_dim=32, defaults=_tied),
    "denoising": Entry("DenoisingAE", defaults=_tied),
    "sparse": Entry("SparseAE", defaults=_tied),
    "k-sparse": Entry("KSparseAE", defaults=_k_sparse),
    "contractive": Entry("ContractiveAE", defaults=_tied),
    "compressive": Entry("CompressiveAE", latent_dim=32, defaults=_compressive),
    "linear": Entry("LinearAE", latent_dim=16, without=(*_ACTIVATIONS, *_HIDDEN_LAYERS)),
    "vae": Entry("VAE", latent_dim=20, defaults=_hidden),
    "masked": Entry("MaskedAE", latent_dim=64, defaults=_masked, without=(*_NETWORKS, "code_activation"), adam=False),
    "sketch-rnn": Entry(
        "SketchRNN",
        latent_dim=32,
        without=(*_ACTIVATIONS, *_HIDDEN_LAYERS, "tied"),
        defaults=_sketch_rnn,
        adam=False,
        sketches=True,
    ),
    "rbm": Entry("RBM", units="hidden_units", adam=False, without=_OF_AN_RBM),
    "stacked": Entry("DenoisingAE", stack="StackedAE", without=_OF_A_LAYER, defaults=_tied),
    # The code of Hinton & Salakhutdinov is linear.
    "dbn": Entry(
        "RBM", stack="DBN", without=(*_OF_AN_RBM, "hidden_units", "visible", "hidden"), top={"hidden": "gaussian"}
    ),
}
