"""The base class of autoencoders whose code is a set of indices."""

from __future__ import annotations

import math
import types
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import tensorflow as tf

from aezoo import _validation, metrics
from aezoo._typing import Activation, Array, ArrayLike, Data, Self, Shape, Tensor
from aezoo.layers import networks
from aezoo.layers.discrete_code import DiscreteCode
from aezoo.models.autoencoder import Autoencoder
from aezoo.models.code_prior import CodePrior
from aezoo.saving import export
from aezoo.training import gate
from aezoo.training.batch import Batch
from aezoo.training.forward import Forward

if TYPE_CHECKING:
    import matplotlib.figure


class DiscreteAE(Autoencoder):
    """Base class of autoencoders whose code is discrete: `indices` name the entries of a codebook that form a code.

    A subclass sets `quantizer` in its constructor, and may add terms with `penalties` or `codebook_terms`.

    Training also reports `perplexity`, the number of codebook entries in equal use that has the same entropy, and
    `usage`, the share of the entries that at least one sample of the epoch uses.

    Args:
        latent_dim: Number of code units, or channels of a spatial code.
        spatial: Whether to use only convolutions, so that the code is a map, (h, w, latent_dim). `filters` and one more
            convolution each halve the image, whose sides must be divisible by 2^(len(filters) + 1).
        code_activation: σ of the code before it is quantized.
        **kwargs: Arguments of `Autoencoder`.

    Raises:
        ValueError: If an argument is out of range, or `spatial` is combined with dense layers or your own networks.
    """

    metric_names = ("perplexity", "usage")
    metric_modes = types.MappingProxyType({"perplexity": "max", "usage": "max"})
    quantizer: DiscreteCode
    _prior: CodePrior | None = None

    def __init__(
        self,
        latent_dim: int | None = None,
        *,
        spatial: bool = False,
        code_activation: Activation | None = "linear",
        **kwargs: Any,
    ):
        super().__init__(latent_dim, code_activation=code_activation, **kwargs)
        if spatial and (latent_dim is None or self.hidden_dims or self.tied):
            raise ValueError(
                "spatial=True builds networks of convolutions only: give latent_dim and filters, and no hidden_dims, "
                "tied=True or networks of your own."
            )
        self.spatial = spatial

    # === Networks ===

    def build_encoder(self, x_shape: Shape, **kwargs: Any) -> keras.Model:
        return self._of_convolutions(x_shape)[0] if self.spatial else super().build_encoder(x_shape, **kwargs)

    def build_decoder(self, x_shape: Shape, **kwargs: Any) -> keras.Model:
        return self._of_convolutions(x_shape)[1] if self.spatial else super().build_decoder(x_shape, **kwargs)

    def _of_convolutions(self, x_shape: Shape) -> tuple[keras.Sequential, keras.Sequential]:
        stride = 2 ** (len(self.filters) + 1)
        if any(size % stride for size in x_shape[:-1]):
            raise ValueError(
                f"Images of {' x '.join(map(str, x_shape[:-1]))} cannot be halved {len(self.filters) + 1} times: crop "
                f"or pad them to multiples of {stride}, or give fewer filters."
            )
        return networks.spatial(
            x_shape[-1],
            self.latent_dim,
            rank=len(x_shape) - 1,
            code_activation=self.code_activation,
            output_activation=self.output_activation,
            upsampling=self.upsampling,
            **self._network_arguments(),
        )

    def code_layers(self) -> list[keras.layers.Layer]:
        return [self.quantizer]

    @property
    def codebook_size(self) -> int:
        """Number of entries of the codebook, and of the values that an index can have."""
        return self.quantizer.codebook_size

    @property
    def index_shape(self) -> Shape:
        """Shape of the indices of a sample; available after the model is built."""
        _validation.check_built(self)
        return self.quantizer.index_shape

    def tracker(self, name: str) -> keras.metrics.Metric:
        kinds = {"perplexity": metrics.CodebookPerplexity, "usage": metrics.CodebookUsage}
        if name in kinds:
            return kinds[name](self.codebook_size, self.quantizer.depth, name)
        return super().tracker(name)

    # === The objective ===

    def objective(self, batch: Batch, training: bool) -> tuple[dict[str, Any], Any]:
        z = self.features(batch.x, training, **batch.conditions)
        indices = self.quantizer.indices(z)
        code = self.quantizer.quantized(z, indices)
        y_pred = self.run_decoder(code, batch.conditions, training)
        reported = {
            "reconstruction": self.reconstruction(batch, y_pred),
            "perplexity": indices,
            "usage": indices,
            **self.codebook_terms(batch, z, indices, training),
            **self.penalties(batch, Forward(z, code, y_pred, training)),
        }
        return reported, y_pred

    def codebook_terms(self, batch: Batch, z: Tensor, indices: Tensor, training: bool) -> dict[str, Any]:
        """Return the terms of the codebook by name; in a training step, also move a codebook that is no weight.

        Args:
            batch: The batch.
            z: Codes before quantization, (batch, *code_shape).
            indices: The indices of these codes, (batch, *index_shape).
            training: Whether this is a training step.
        """
        return {}

    # === Verbs ===

    def indices(self, x: Data, *, batch_size: int | None = None, **conditions: ArrayLike) -> Tensor:
        """Return the indices of the codebook entries that form the code of x.

        Args:
            x: As in `encode`.
            batch_size: As in `encode`.
            **conditions: Conditions by name, one entry per sample, or one for all.

        Returns:
            (n, *index_shape) int32 from 0 to `codebook_size` - 1. `index_shape` is (*places, k): a flat code has no
            places, a map (h, w, channels) has h · w.

        Raises:
            ValueError: As in `encode`.
        """
        return self._verbs.run("indices", self._indices, x, conditions, batch_size)

    def _indices(self, x: Tensor, conditions: Mapping[str, Any]) -> Tensor:
        samples = x if self.missing == "error" else self.complete(x)[0]
        return self.quantizer.indices(self.features(samples, **conditions))

    def decode_indices(self, indices: ArrayLike, *, batch_size: int | None = None, **conditions: ArrayLike) -> Tensor:
        """Return the reconstruction x' of indices; `decode_indices(indices(x))` is `reconstruct(x)`.

        Args:
            indices: Whole numbers from 0 to `codebook_size` - 1, (n, *index_shape).
            batch_size: As in `encode`.
            **conditions: Conditions by name, one entry per sample, or one for all.

        Returns:
            (n, *output_shape).

        Raises:
            ValueError: If the model has not been built, or the indices have another shape or are outside this range.
        """
        given: dict[str, Any] = conditions
        return self.decode(self.codes(indices), batch_size=batch_size, **given)

    def codes(self, indices: ArrayLike) -> Tensor:
        """Return the codes that indices stand for, (n, *index_shape) → (n, *code_shape) float32.

        Raises:
            ValueError: As in `decode_indices`.
        """
        _validation.check_built(self)
        found: Array = indices if hasattr(indices, "shape") else np.asarray(indices)
        check_indices(found, self.index_shape, self.codebook_size)
        return self.quantizer.codes(tf.cast(found, "int32"))

    # === A prior ===

    @property
    def prior(self) -> CodePrior | None:
        """Distribution of the indices that `sample` draws from, a trained `aezoo.CodePrior`; None without.

        It is saved and exported with the model. Training the model does not change it.
        """
        return self._prior

    @prior.setter
    def prior(self, prior: CodePrior | None) -> None:
        if prior is not None:
            if not isinstance(prior, CodePrior):
                raise ValueError(f"prior must be an aezoo.CodePrior, but it is {prior!r}.")
            if prior.codebook_size != self.codebook_size:
                raise ValueError(
                    f"The prior is of {prior.codebook_size} codebook entries, but {self.name!r} has "
                    f"{self.codebook_size}: make it with CodePrior({self.codebook_size})."
                )
            if self.built and prior.built and prior.x_shape != self.index_shape:
                raise ValueError(
                    f"The prior was built for indices of shape {prior.x_shape}, but indices of {self.name!r} have "
                    f"shape {self.index_shape}: fit it on model.indices(x)."
                )
        object.__setattr__(self, "_prior", prior)

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "prior":  # no part of the networks, whose weights the model would train
            object.__setattr__(self, name, value)
        else:
            super().__setattr__(name, value)

    def _trained_prior(self) -> CodePrior:
        if self.prior is None or not self.prior.built:
            raise ValueError(
                f"{self.name!r} has no prior to draw indices from: train one, prior = aezoo.CodePrior("
                f"{self.codebook_size}), prior.compile('adam'), prior.fit(model.indices(x)), and set model.prior = "
                "prior."
            )
        return self.prior

    def sample(self, n: int, temperature: float = 1.0, seed: int | None = None) -> Tensor:
        """Draw n sets of indices from the prior, and decode them.

        The exported signature `sample` accepts n of up to 10,000, and at most as many samples as have 2²⁵ values.

        Args:
            n: Number of samples.
            temperature: τ >= 0, by which logits of indices are divided: 1 draws from the prior, 0 takes the likeliest
                index each time.
            seed: An integer that makes the result reproducible; None continues the prior's own random state.

        Returns:
            (n, *output_shape).

        Raises:
            ValueError: If the model has no trained prior, or an argument is out of range.
        """
        _validation.check_built(self)
        return self.decode_indices(self._trained_prior().sample(n, temperature, seed))

    # === Self-description ===

    def report_measures(self, x: Tensor, code: Tensor) -> dict[str, Any]:
        indices = self.indices(x)
        return {"perplexity": indices, "usage": indices}

    def report_pictures(self, x: np.ndarray) -> dict[str, Callable[[], matplotlib.figure.Figure]]:
        from aezoo import plots

        pictures = super().report_pictures(x)
        if self.prior is not None:
            pictures["samples.png"] = lambda: plots.samples(self.sample(50))
        return pictures

    # === Saving ===

    def signatures(self) -> dict[str, tuple[Any, dict[str, tf.TensorSpec], str]]:
        signatures = super().signatures()
        x = signatures["encode"][1]
        conditions = {name: spec for name, spec in x.items() if name != "x"}
        indices = {"indices": tf.TensorSpec((None, *self.index_shape), "int32", name="indices"), **conditions}

        def named(verb: Tensor) -> Tensor:
            return lambda first, *values: verb(first, **dict(zip(conditions, values, strict=True)))

        def decode_indices(indices: Tensor, *values: Tensor) -> Tensor:
            indices = export.inside("indices", indices, 0, self.codebook_size - 1)
            return named(self.decode_indices)(indices, *values)

        signatures["indices"] = (named(self.indices), x, "indices")
        signatures["decode_indices"] = (decode_indices, indices, "reconstruction")
        if self.prior is None or not self.prior.built or conditions:
            return signatures
        prior = self.prior

        def draw(n: Tensor, temperature: Tensor, seed: Tensor) -> Tensor:
            return self.decode_indices(prior.draw(n, temperature, prior.random.seed_of(seed)))

        return {**signatures, "sample": (*export.sample_signature(self.x_shape, draw), "sample")}

    def get_config(self) -> dict[str, Any]:
        config = {**super().get_config(), "spatial": self.spatial}
        if self.prior is not None and self.prior.built:
            config["prior"] = {"config": self.prior.get_config(), "shape": self.prior.x_shape}
        return config

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:  # type: ignore[override]
        """Create a model from the result of `get_config`, with an untrained prior if it has one."""
        config = dict(config)
        of_prior = config.pop("prior", None)
        model = super().from_config(config)
        if of_prior is not None:
            prior = CodePrior.from_config(of_prior["config"])
            prior.build((None, *of_prior["shape"]))
            model.prior = prior
        return model


def check_indices(indices: Array, shape: Shape, codebook_size: int) -> None:
    """Check the dtype and the shape of indices and, outside a graph, their range."""
    dtype = getattr(indices.dtype, "name", str(indices.dtype))
    if "int" not in dtype:
        raise ValueError(f"The indices are {dtype}, not whole numbers: give what model.indices(x) returns.")
    if not _validation.shapes_match(tuple(indices.shape[1:]), shape):
        raise ValueError(
            f"The indices have shape {tuple(indices.shape[1:])} per sample, but indices of this model have {shape}."
        )
    if gate.is_symbolic(indices) or not math.prod(indices.shape):
        return
    low, high = int(np.min(indices)), int(np.max(indices))
    if low < 0 or high >= codebook_size:
        raise ValueError(f"Indices must be from 0 to {codebook_size - 1}, but they are from {low} to {high}.")
