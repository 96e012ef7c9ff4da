"""Autoencoders on Keras 3 and TensorFlow: train, evaluate, plot, export and serve them."""

import importlib as _importlib

from keras import backend as _backend

if _backend.backend() != "tensorflow":
    raise ImportError(
        f"aezoo runs on TensorFlow, but Keras is set to {_backend.backend()!r}: set the environment variable "
        "KERAS_BACKEND=tensorflow before Keras is imported."
    )

from aezoo import (
    _moved,
    callbacks,
    codec,
    datasets,
    evaluation,
    explorer,
    layers,
    likelihoods,
    losses,
    optimizers,
    plots,
    preprocessing,
    priors,
    schedules,
    sketches,
)
from aezoo.models.autoencoder import Autoencoder
from aezoo.models.batch_top_k import BatchTopKAE
from aezoo.models.beta_tc import BetaTCVAE
from aezoo.models.code_prior import CodePrior
from aezoo.models.code_sampler import CodeSampler
from aezoo.models.compressive import CompressiveAE
from aezoo.models.conditional import ConditionalVAE
from aezoo.models.contractive import ContractiveAE
from aezoo.models.denoising import DenoisingAE
from aezoo.models.diffusion import LatentDiffusion
from aezoo.models.factor import FactorVAE
from aezoo.models.finite_scalar import FSQVAE
from aezoo.models.flow_sampler import FlowSampler
from aezoo.models.gated import GatedAE
from aezoo.models.hyperprior import HyperpriorAE
from aezoo.models.jump_relu import JumpReLUAE
from aezoo.models.k_sparse import KSparseAE
from aezoo.models.ladder import LadderVAE
from aezoo.models.linear import LinearAE
from aezoo.models.masked import MaskedAE
from aezoo.models.matryoshka import MatryoshkaAE
from aezoo.models.mixture_sampler import MixtureSampler
from aezoo.models.mmd import MMDVAE
from aezoo.models.rbm import RBM
from aezoo.models.sequence import SequenceAE
from aezoo.models.sketch_rnn import SketchRNN
from aezoo.models.sparse import SparseAE
from aezoo.models.sparse_code import SparseCodeAE
from aezoo.models.top_k import TopKAE
from aezoo.models.variational import VAE
from aezoo.models.vector_quantized import VQVAE
from aezoo.pretraining.dbn import DBN
from aezoo.pretraining.stacked import StackedAE
from aezoo.saving.presets import list_presets
from aezoo.training.batch import Batch
from aezoo.training.forward import Forward
from aezoo.training.trainer import Trainer
from aezoo.version import __version__

__all__ = [
    "DBN",
    "FSQVAE",
    "MMDVAE",
    "RBM",
    "VAE",
    "VQVAE",
    "Autoencoder",
    "Batch",
    "BatchTopKAE",
    "BetaTCVAE",
    "CodePrior",
    "CodeSampler",
    "CompressiveAE",
    "ConditionalVAE",
    "ContractiveAE",
    "DenoisingAE",
    "FactorVAE",
    "FlowSampler",
    "Forward",
    "GatedAE",
    "HyperpriorAE",
    "JumpReLUAE",
    "KSparseAE",
    "LadderVAE",
    "LatentDiffusion",
    "LinearAE",
    "MaskedAE",
    "MatryoshkaAE",
    "MixtureSampler",
    "SequenceAE",
    "SketchRNN",
    "SparseAE",
    "SparseCodeAE",
    "StackedAE",
    "TopKAE",
    "Trainer",
    "__version__",
    "callbacks",
    "codec",
    "datasets",
    "evaluation",
    "explorer",
    "layers",
    "likelihoods",
    "list_presets",
    "losses",
    "optimizers",
    "plots",
    "preprocessing",
    "priors",
    "schedules",
    "sketches",
]

_moved.install()


def __getattr__(name: str) -> object:
    if f"aezoo.{name}" in _moved.MOVED or name == "testing":
        return _importlib.import_module(f"aezoo.{name}")
    raise AttributeError(f"module 'aezoo' has no attribute {name!r}")
