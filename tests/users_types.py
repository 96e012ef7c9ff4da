"""Code of a user's own, as a type checker reads it; nothing of it is run.

The gate's mypy checks it with the settings of the project, `types_test.py` without them. A `type: ignore` marks what a
checker has to refuse: where it does not, the comment is an error itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import keras
import numpy as np

import aezoo

if TYPE_CHECKING:
    from typing_extensions import assert_type

    from aezoo import Batch, Forward


class Declared(aezoo.Autoencoder):
    """A variant that declares what it reports as attributes of the class."""

    term_names = ("reconstruction", "size")
    metric_names: tuple[str, ...] = ("largest",)

    def __init__(self, latent_dim: int | None = None, *, weight: float = 1.0, **kwargs: Any):
        super().__init__(latent_dim, **kwargs)
        self.weight = weight

    def penalties(self, batch: Batch, forward: Forward) -> dict[str, Any]:
        size = keras.ops.sum(keras.ops.square(forward.code), axis=-1)
        return {"size": self.weight * batch.mean(size), "largest": batch.mean(keras.ops.max(size))}

    def build_encoder(self, x_shape: tuple[int, ...]) -> keras.Model:
        return super().build_encoder(x_shape, rows=True)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "weight": self.weight}


class Computed(aezoo.VAE):
    """A variant that computes them."""

    @property
    def term_names(self) -> tuple[str, ...]:
        return (*super().term_names, "size")

    @property
    def condition_names(self) -> tuple[str, ...]:
        return ("label",)


def loading() -> None:
    assert_type(aezoo.KSparseAE.from_preset("mnist_k_sparse"), aezoo.KSparseAE)
    assert_type(aezoo.SketchRNN.from_config({}), aezoo.SketchRNN)
    assert_type(Declared.from_preset("mine"), Declared)
    assert_type(Declared.from_config({}), Declared)


def training(x: np.ndarray, y: np.ndarray) -> None:
    model = aezoo.SparseAE(latent_dim=64, penalty="kl", target=0.05)
    model.compile(optimizer="adam")
    model.fit(x, validation_data=(x,), epochs=10, batch_size=128)
    model.fit({"x": x}, sample_weight=np.ones(len(x)))
    model.fit([[0.0, 1.0], [1.0, 0.0]])
    aezoo.ConditionalVAE(latent_dim=20, num_classes=10).fit(x, y)
    assert_type(model.term_names, tuple[str, ...])
    assert_type(Declared(8).weight, float)


def verbs(model: aezoo.VAE, x: np.ndarray) -> None:
    code = model.encode(x, batch_size=256)
    model.decode(code)
    model.decode([[0.0, 1.0]])
    model.sample(16, label=7)
    model.interpolate(x[:2], x[2:4], steps=5)
    errors = np.asarray(model.score_samples(x))
    assert_type(float(errors.mean()), float)
    model.encoder.summary()
    model.save_to_preset("mine")
    aezoo.plots.reconstructions(model, x).savefig("reconstructions.png")
    assert_type(aezoo.evaluation.explained_variance(model, x), float)


def choices(x: np.ndarray) -> None:
    aezoo.VAE(8, beta=aezoo.schedules.Linear(0.0, 1.0, epochs=5), likelihood="poisson", missing="mask")
    aezoo.DenoisingAE(8, corruption=0.5, noise=keras.layers.GaussianNoise(0.1), activation=keras.activations.tanh)
    aezoo.Autoencoder("8")  # type: ignore[arg-type]
    aezoo.Autoencoder(8, missing="drop")  # type: ignore[arg-type]
    aezoo.SparseAE(8, penalty="l2")  # type: ignore[arg-type]
    aezoo.ContractiveAE(8, method="fast")  # type: ignore[arg-type]
    aezoo.RBM(8, visible="binary")  # type: ignore[arg-type]
    aezoo.VAE(8, beta="1")  # type: ignore[arg-type]
    aezoo.VAE(8, likelihood="cauchy")  # type: ignore[arg-type]
    aezoo.KSparseAE(8, k_schedule="100:25:20")  # type: ignore[arg-type]
    aezoo.evaluation.explained_variance("model", x)  # type: ignore[arg-type]
