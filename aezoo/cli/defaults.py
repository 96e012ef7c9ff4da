"""Models of the command line by name, and defaults of a training that depend on the data.

To add a model, add one line to `MODELS`. Its summary and paper come from the docstring of its class, its options from
its constructor, and their defaults from its `cli_defaults`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any


@dataclasses.dataclass(frozen=True)
class Training:
    """Defaults of a training that depend on the data; the values here fit small data sets such as digits.

    Attributes:
        samples: Number of training samples.
        epochs: Number of passes over the samples.
        batch_size: Samples per step.
        learning_rate: Learning rate of Adam.
        latent_dim: Number of code units, for models whose code may be wider than the input.
        layers: Number of code units of each layer of a stack.
        pretrain_epochs: Number of passes over the samples for each layer of a stack.
        given: Constructor arguments that the user gave, by name.
    """

    samples: int
    epochs: int = 60
    batch_size: int = 64
    learning_rate: float = 3e-3
    latent_dim: int = 64
    layers: tuple[int, ...] = (64, 32, 16)
    pretrain_epochs: int = 20
    given: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    @classmethod
    def on(cls, samples: int, features: int) -> Training:
        """Return the defaults for a number of training samples and of features."""
        training = cls(samples)
        if features > 100:
            training = dataclasses.replace(training, latent_dim=1000, layers=(1000, 500, 250, 30))
        if samples < 10_000:
            return training
        return dataclasses.replace(training, epochs=20, batch_size=128, learning_rate=1e-3, pretrain_epochs=10)


@dataclasses.dataclass(frozen=True)
class Entry:
    """A model that `aezoo train` makes.

    Attributes:
        class_name: Public name of its class in `aezoo`, or MODULE:CLASS; for a stack, the class of its layers.
        stack: Public name of the class that stacks such models, or None for a single model.
        without: Constructor arguments that are not options; for a stack, arguments of its layers.
        top: Constructor arguments of the top layer of a stack.
    """

    class_name: str
    stack: str | None = None
    without: tuple[str, ...] = ()
    top: Mapping[str, Any] = dataclasses.field(default_factory=dict)


_HIDDEN_LAYERS = ("hidden_dims", "filters", "dropout", "normalization", "kernel_size", "upsampling", "residual")

# Arguments that would make one layer of a stack several, or its codes unfit as input of the next layer.
_OF_A_LAYER = ("latent_dim", *_HIDDEN_LAYERS, "activation", "code_activation", "output_activation")

#: By the name on the command line.
MODELS: dict[str, Entry] = {
    "autoencoder": Entry("Autoencoder"),
    "denoising": Entry("DenoisingAE"),
    "sparse": Entry("SparseAE"),
    "k-sparse": Entry("KSparseAE"),
    "top-k": Entry("TopKAE"),
    "batch-top-k": Entry("BatchTopKAE"),
    "jump-relu": Entry("JumpReLUAE"),
    "gated": Entry("GatedAE"),
    "matryoshka": Entry("MatryoshkaAE"),
    "contractive": Entry("ContractiveAE"),
    "compressive": Entry("CompressiveAE"),
    "hyperprior": Entry("HyperpriorAE"),
    "linear": Entry("LinearAE"),
    "vae": Entry("VAE"),
    "conditional": Entry("ConditionalVAE", without=("conditions",)),
    "beta-tc-vae": Entry("BetaTCVAE"),
    "factor-vae": Entry("FactorVAE"),
    "mmd-vae": Entry("MMDVAE"),
    "ladder-vae": Entry("LadderVAE"),
    "masked": Entry("MaskedAE"),
    "vq-vae": Entry("VQVAE"),
    "fsq-vae": Entry("FSQVAE"),
    "sequence": Entry("SequenceAE"),
    "sketch-rnn": Entry("SketchRNN", without=("conditions",)),
    "rbm": Entry("RBM"),
    "stacked": Entry("DenoisingAE", stack="StackedAE", without=_OF_A_LAYER),
    # The code of Hinton & Salakhutdinov is linear.
    "dbn": Entry("RBM", stack="DBN", without=("hidden_units", "visible", "hidden"), top={"hidden": "gaussian"}),
}


def entry(name: str) -> Entry:
    """Return the entry of a name in `MODELS`, or of a class of the user's own, MODULE:CLASS."""
    return MODELS[name] if name in MODELS else Entry(name)
