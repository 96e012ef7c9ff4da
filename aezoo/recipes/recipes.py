"""Recipes of the presets: the model, its training, and its data."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import Any, Literal

import keras
import numpy as np

from aezoo.layers import Corruption, networks
from aezoo.models.autoencoder import Autoencoder
from aezoo.models.code_prior import CodePrior
from aezoo.models.compressive import CompressiveAE
from aezoo.models.contractive import ContractiveAE
from aezoo.models.denoising import DenoisingAE
from aezoo.models.k_sparse import KSparseAE
from aezoo.models.linear import LinearAE
from aezoo.models.rbm import RBM
from aezoo.models.sketch_rnn import SketchRNN
from aezoo.models.sparse import SparseAE
from aezoo.models.variational import VAE
from aezoo.models.vector_quantized import VQVAE
from aezoo.optimizers import ScheduledSGD
from aezoo.pretraining.dbn import DBN
from aezoo.pretraining.greedy import GreedyStack
from aezoo.pretraining.stacked import StackedAE
from aezoo.schedules import Linear, Step

#: Seed of initial weights, noise and shuffling.
SEED = 0
# Standard deviation of the noise of `denoising_emoji`.
_EMOJI_NOISE = 0.25


def cosine(learning_rate: float, **kwargs: Any) -> Callable[[int], keras.optimizers.Optimizer]:
    """Return a maker of Adam whose learning rate falls to 0 along a cosine over all steps of the training."""
    return lambda steps: keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(learning_rate, steps), **kwargs)


def descent(learning_rate: float, **kwargs: Any) -> Callable[[int], keras.optimizers.Optimizer]:
    """Return a maker of SGD with the schedule of `cosine`; in small batches it finds strokes where Adam does not."""
    return lambda steps: keras.optimizers.SGD(keras.optimizers.schedules.CosineDecay(learning_rate, steps), **kwargs)


_ADAM = cosine(1e-3)


@dataclasses.dataclass(frozen=True)
class Recipe:
    """Recipe of a preset.

    Attributes:
        title: Description of the model, in one line.
        model: Function that makes the model, or a stack to pretrain and unroll.
        epochs: Number of passes over the training set.
        metric: Metric of the model card that the table of presets shows.
        picture: Name of a function in `aezoo.recipes.pictures`, which draws the picture of the model card.
        data: Name of the data in `aezoo.recipes.sources`.
        batch_size: Samples per step.
        optimizer: Function that makes the optimizer for a given number of steps.
        loss: "cross_entropy" to minimize the cross-entropy; None for the loss of the model's paper.
        jit_compile: Whether XLA compiles the steps.
        half: Whether to store kernels in half precision.
        limits: Limitations of the model, for its card.
        pretrain: For a stack, arguments of its `pretrain`; callable values are called first.
        unroll: For a stack, function that returns the model to fine-tune.
        prior: For a model with a discrete code, function of the trained model and the training samples that returns a
            trained prior; None for none.
        extra: Function of the model and the test samples that returns further metrics for the model card, or None.
    """

    title: str
    model: Callable[[], Autoencoder | GreedyStack]
    epochs: int
    metric: str = "mean_squared_error"
    picture: str = "reconstructions"
    data: str = "mnist"
    batch_size: int = 128
    optimizer: Callable[[int], keras.optimizers.Optimizer] = _ADAM
    loss: str | None = None
    jit_compile: bool | str = "auto"
    half: bool = True
    limits: str = ""
    pretrain: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    unroll: Callable[[Any], Autoencoder] = lambda stack: stack.unroll(seed=SEED)
    prior: Callable[[Any, Any], CodePrior] | None = None
    extra: Callable[[Any, np.ndarray], dict[str, float]] | None = None


def _k_sparse(k: int) -> Recipe:
    """Return the recipe for k active units: tied and linear as in the paper, plus AuxK, which prevents dead units."""
    return Recipe(
        f"k-sparse autoencoder with {k} of 1000 units active",
        lambda: KSparseAE(1000, k=k, k_schedule=Linear(100, k, epochs=10), aux_weight=1 / 32, seed=SEED),
        epochs=20,
        picture="filters",
        optimizer=lambda steps: keras.optimizers.Adam(1e-3),
        jit_compile=True,
    )


def _stacked_denoising() -> StackedAE:
    return StackedAE([DenoisingAE(500, corruption=c, tied=True, seed=SEED) for c in (0.1, 0.2, 0.3)])


def _deep_denoising(stack: StackedAE) -> DenoisingAE:
    deep = stack.unroll(seed=SEED)
    return DenoisingAE(encoder=deep.encoder, decoder=deep.decoder, corruption=0.25, seed=SEED)


def _dbn() -> DBN:
    """Return a deep belief network with Hinton's settings for pixels in [0, 1]."""
    layers: dict[int, Literal["bernoulli", "gaussian"]] = {
        1000: "bernoulli",
        500: "bernoulli",
        250: "bernoulli",
        30: "gaussian",
    }
    shared: dict[str, Any] = {"sample_visible": False, "weight_decay": 2e-4, "kernel_stddev": 0.1, "seed": SEED}
    return DBN([RBM(units, hidden=hidden, **shared) for units, hidden in layers.items()])


def _dbn_optimizers() -> list[ScheduledSGD]:
    momentum = Step([2], [0.5, 0.9])
    return [ScheduledSGD(rate, momentum=momentum) for rate in (0.1, 0.1, 0.1, 0.001)]


def _denoising_emoji() -> DenoisingAE:
    """Return a model of convolutions only, whose codes of 16 × 16 × 32 numbers keep where things are in the picture."""
    encoder, decoder = networks.spatial(
        3, 32, filters=(32,), kernel_size=3, normalization="batch", residual=2, upsampling="resize", seed=SEED
    )
    return DenoisingAE(encoder=encoder, decoder=decoder, noise="gaussian", corruption=_EMOJI_NOISE, seed=SEED)


def denoised(model: DenoisingAE, x: np.ndarray) -> dict[str, float]:
    """Return the squared error per pixel of samples with the noise of the training, and of their reconstructions."""
    noisy = np.asarray(Corruption(_EMOJI_NOISE, "gaussian", seed=SEED)(x, training=True))
    errors = {"noisy": noisy - x, "denoised": np.asarray(model.reconstruct(noisy)) - x}
    return {f"{name}_mean_squared_error": float(np.mean(np.square(error))) for name, error in errors.items()}


def code_prior(model: VQVAE, x: np.ndarray, epochs: int = 100, batch_size: int = 32) -> CodePrior:
    """Return a prior of a model's indices, at the epoch that is best on every fifth sample, which is held out."""
    indices = np.asarray(model.indices(x))
    held_out = np.arange(len(x)) % 5 == 4
    prior = CodePrior(model.codebook_size, width=64, depth=3, heads=4, dropout=0.2, seed=model.seed)
    keras.utils.set_random_seed(model.seed)
    prior.compile(cosine(2e-3)(epochs * math.ceil(np.sum(~held_out) / batch_size)))
    prior.fit(
        indices[~held_out],
        validation_data=(indices[held_out],),
        epochs=epochs,
        batch_size=batch_size,
        verbose=0,
        callbacks=[keras.callbacks.EarlyStopping("val_loss", patience=epochs, restore_best_weights=True)],
    )
    return prior


#: Recipes by the name of the preset, in the order in which `aezoo presets train` trains them.
RECIPES: dict[str, Recipe] = {
    "autoencoder_mnist": Recipe(
        "Autoencoder 784-256-32, a linear code",
        lambda: Autoencoder(32, hidden_dims=(256,), code_activation="linear", seed=SEED),
        epochs=15,
    ),
    **{f"k_sparse_mnist_k{k}": _k_sparse(k) for k in (70, 40, 25, 10)},
    "vae_mnist_2d": Recipe(
        "VAE 784-400-200-2, for plotting codes in the plane",
        lambda: VAE(2, hidden_dims=(400, 200), seed=SEED),
        epochs=15,
        metric="loss",
        picture="manifold",
    ),
    "vae_mnist_20d": Recipe(
        "VAE 784-400-20, to generate digits",
        lambda: VAE(20, hidden_dims=(400,), seed=SEED),
        epochs=15,
        metric="loss",
        picture="samples",
    ),
    "rbm_mnist": Recipe(
        "Restricted Boltzmann machine of 500 hidden units, PCD-5",
        lambda: RBM(500, persistent=True, chains=50, gibbs_steps=5, seed=SEED),
        epochs=10,
        metric="pseudo_log_likelihood",
        picture="filters",
        batch_size=50,
        optimizer=lambda steps: ScheduledSGD(Linear(0.1, 0.002, epochs=10)),
    ),
    "dbn_mnist": Recipe(
        "Deep autoencoder 784-1000-500-250-30, unrolled from a deep belief network and fine-tuned",
        _dbn,
        epochs=8,
        metric="reconstruction",
        loss="cross_entropy",
        pretrain={"epochs": 4, "batch_size": 100, "optimizer": _dbn_optimizers},
    ),
    "compressive_mnist": Recipe(
        "Compressive autoencoder 784-512-256-64",
        lambda: CompressiveAE(64, hidden_dims=(512, 256), weight=32.0, seed=SEED),
        epochs=15,
        metric="rate",
        batch_size=256,
        optimizer=cosine(2e-3),
    ),
    "linear_mnist": Recipe(
        "Linear autoencoder with 32 components",
        lambda: LinearAE(32, weight=0.01, tied=True, seed=SEED),
        epochs=15,
        metric="explained_variance",
        picture="components",
        batch_size=1000,
        optimizer=cosine(1e-2),
        half=False,
    ),
    "denoising_mnist": Recipe(
        "Denoising autoencoder of 1000 units, a quarter of the pixels masked",
        lambda: DenoisingAE(1000, corruption=0.25, tied=True, seed=SEED),
        epochs=16,
        picture="denoising",
        batch_size=20,
        optimizer=descent(0.1, weight_decay=0.001),
    ),
    "sparse_kl_mnist": Recipe(
        "Sparse autoencoder of 1000 units, KL penalty",
        lambda: SparseAE(1000, penalty="kl", target=0.05, weight=1.0, tied=True, seed=SEED),
        epochs=6,
        picture="filters",
        batch_size=20,
        optimizer=descent(0.1, weight_decay=0.002),
    ),
    "sparse_l1_mnist": Recipe(
        "Sparse autoencoder of 1000 units, L1 penalty",
        lambda: SparseAE(
            1000, penalty="l1", weight=0.2, activation="relu", output_activation="linear", tied=True, seed=SEED
        ),
        epochs=15,
        picture="filters",
        batch_size=50,
    ),
    "contractive_mnist": Recipe(
        "Contractive autoencoder of 1000 units",
        lambda: ContractiveAE(1000, weight=1.0, tied=True, seed=SEED),
        epochs=12,
        metric="jacobian_norm",
        picture="filters",
        batch_size=20,
        optimizer=descent(0.05),
    ),
    "stacked_denoising_mnist": Recipe(
        "Deep denoising autoencoder 784-500-500-500, pretrained layer by layer and fine-tuned",
        _stacked_denoising,
        epochs=8,
        picture="denoising",
        pretrain={"epochs": 4, "batch_size": 100},
        unroll=_deep_denoising,
    ),
    "sketch_rnn_cats": Recipe(
        "sketch-rnn that draws cats stroke by stroke, from the code of a cat",
        # At the default rate the weight of the KL term grows for some 100,000 steps; here it has grown after half of
        # the 3,360 steps.
        lambda: SketchRNN(128, encoder_units=128, decoder_units=256, kl_rate=0.01 ** (2 / 3360), seed=SEED),
        epochs=60,
        metric="negative_log_likelihood",
        picture="sketches",
        data="cats",
        batch_size=25,
        optimizer=cosine(1e-3, clipvalue=1.0),
        jit_compile=True,
        limits="`model.sample(n)` draws from random codes; some of these sketches are fragments, or end before the "
        "first stroke.",
    ),
    "vae_emoji": Recipe(
        "Convolutional VAE of emoji of faces and people in color, 64 × 64 pixels",
        lambda: VAE(
            64,
            filters=(24, 48, 96, 128),
            normalization="batch",
            upsampling="resize",
            beta=8.0,
            likelihood="gaussian",
            output_activation="sigmoid",
            seed=SEED,
        ),
        epochs=56,
        metric="explained_variance",
        picture="emoji",
        data="noto_heads",
        batch_size=32,
        # A cosine over 90 epochs, cut off after 56.
        optimizer=lambda steps: cosine(2e-3)(steps * 90 // 56),
        jit_compile=True,
        limits="`model.sample(n)` draws from random codes, and most of these samples are smeared; reconstructions of "
        "test emoji lose details such as hands. The squared error of 64 principal components is smaller.",
    ),
    "denoising_emoji": Recipe(
        "Residual convolutional denoising autoencoder of emoji in color, 64 × 64 pixels",
        _denoising_emoji,
        epochs=5,
        metric="denoised_mean_squared_error",
        picture="emoji_denoising",
        data="noto",
        batch_size=32,
        # A cosine over 10 epochs, cut off after 5.
        optimizer=lambda steps: cosine(2e-3)(steps * 10 // 5),
        extra=denoised,
        limits="Trained only for noise of standard deviation 0.25. Flat areas keep faint blotches, and "
        "thin lines blur.",
    ),
    "vq_vae_emoji": Recipe(
        "VQ-VAE of emoji of faces and people in color, 64 × 64 pixels: 64 indices of 256 entries, and a prior",
        lambda: VQVAE(32, codebook_size=256, filters=(32, 64), kernel_size=3, spatial=True, seed=SEED),
        epochs=100,
        picture="discrete",
        data="emoji",
        batch_size=32,
        optimizer=cosine(2e-3),
        limits="`model.sample(n)` draws from a prior that was trained on 305 emoji; some samples fall apart. "
        "Reconstructions are blurred and lose details such as mouths.",
        prior=code_prior,
    ),
}
