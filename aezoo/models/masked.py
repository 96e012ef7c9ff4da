"""The masked autoencoder of patches."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING, Any, Literal

import keras
from keras import ops

from aezoo import _validation
from aezoo._numerics import as_float32
from aezoo._typing import Activation, Tensor
from aezoo.layers import RandomState, _patches
from aezoo.models.autoencoder import Autoencoder
from aezoo.training.batch import Batch

if TYPE_CHECKING:
    from aezoo.cli.defaults import Training


@keras.saving.register_keras_serializable("aezoo")
class MaskedAE(Autoencoder):
    """Masked autoencoder: reconstructs masked patches of an image from the few visible ones.

    Each training step draws the visible patches of every sample at random. A transformer encodes only these; a smaller
    one decodes them, with a learned token in place of each masked patch. The error is averaged over the pixels of the
    masked patches. At inference nothing is masked, and the code has one row per patch, or is the mean of these rows
    with `pooling="mean"`.

    Args:
        latent_dim: Units of a code, and width of the encoder.
        patch_size: Side of a patch, which must divide every side of an image; for series, steps per patch.
        mask_ratio: Fraction of the patches that are masked, in (0, 1).
        depth: Number of transformer blocks of the encoder.
        heads: Number of attention heads.
        decoder_dim: Width of the decoder; None takes half of `latent_dim`.
        decoder_depth: Number of transformer blocks of the decoder.
        visible_weight: Weight of the error of visible patches; masked patches have weight 1. The paper uses 0;
            `reconstruct` and `score_samples`, which show all patches to the decoder, need about 0.1.
        normalize_targets: Whether to normalize each target patch to mean 0 and variance 1; reconstructions are
            normalized patches, too.
        pooling: "mean" for one code per sample, or None for one code per patch.
        activation: σ of the hidden layer of a block.
        output_activation: σ' of the reconstruction.
        **kwargs: Arguments of `Autoencoder` that do not determine its networks, such as `missing` and `seed`.

    Raises:
        ValueError: If an argument is out of range, or samples do not consist of at least two whole patches.

    Example:
        >>> model = MaskedAE(latent_dim=16, patch_size=2)
        >>> code = model.encode(ops.ones((5, 8, 8, 1)))
        >>> code.shape, ops.mean(code, axis=1).shape  # a vector per image
        (TensorShape([5, 16, 16]), TensorShape([5, 16]))

    Reference:
        He et al., "Masked autoencoders are scalable vision learners", CVPR 2022, arXiv:2111.06377.
    """

    fixed_arguments = (*_validation.HIDDEN_LAYERS, "code_activation", "tied", "encoder", "decoder")

    def __init__(
        self,
        latent_dim: int = 64,
        *,
        patch_size: int = 4,
        mask_ratio: float = 0.75,
        depth: int = 2,
        heads: int = 4,
        decoder_dim: int | None = None,
        decoder_depth: int = 1,
        visible_weight: float = 0.0,
        normalize_targets: bool = False,
        pooling: Literal["mean"] | None = None,
        activation: Activation = "gelu",
        output_activation: Activation = "linear",
        **kwargs: Any,
    ):
        networks = ("hidden_dims", "filters", "code_activation", "tied", "encoder", "decoder")
        _validation.check_left_out(self, networks, kwargs, "builds its own transformers")
        super().__init__(latent_dim, activation=activation, output_activation=output_activation, **kwargs)
        _validation.check_open_interval("mask_ratio", mask_ratio, 0, 1)
        _validation.check_fraction("visible_weight", visible_weight)
        _validation.check_choice("pooling", pooling, (None, "mean"))
        self.mask_ratio, self.visible_weight = mask_ratio, visible_weight
        self.normalize_targets, self.pooling = normalize_targets, pooling
        decoder_dim = max(1, self.latent_dim // 2) if decoder_dim is None else decoder_dim
        whole = {"patch_size": patch_size, "heads": heads, "depth": depth, "decoder_depth": decoder_depth}
        for name, value in {**whole, "decoder_dim": decoder_dim}.items():
            setattr(self, name, _validation.check_int(name, value, 1))
        self.random = RandomState(self.seed)

    @property
    def default_loss(self) -> keras.losses.Loss:
        return keras.losses.MeanSquaredError()

    def default_optimizer(self, learning_rate: float | None = None) -> keras.optimizers.Optimizer:
        return keras.optimizers.Adam(
            learning_rate or 2e-3, beta_2=0.95
        )  # as in the paper; 0.999 learns far more slowly

    def build_encoder(self, x_shape: tuple[int, ...]) -> keras.Model:
        return _patches.encoder(x_shape, self.latent_dim, self.depth, **self._common())

    def build_decoder(self, x_shape: tuple[int, ...]) -> keras.Model:
        sizes = self.latent_dim, self.decoder_dim, self.decoder_depth
        return _patches.decoder(x_shape, *sizes, output_activation=self.output_activation, **self._common())

    def _common(self) -> dict[str, Any]:
        common = {name: getattr(self, name) for name in ("patch_size", "heads", "activation", "pooling", "seed")}
        return {**common, "dtype": self.dtype_policy}

    def draw_order(self, n: Tensor) -> tuple[Any, int]:
        """Return a random order of the patches of n samples, (n, patches), and the number of visible patches.

        The visible patches come first.
        """
        patches = math.prod(size // self.patch_size for size in self.x_shape[:-1])
        visible = min(max(1, round(patches * (1 - self.mask_ratio))), patches - 1)
        return ops.argsort(self.random.uniform((n, patches))), visible

    def encode_visible(self, x: Tensor, order: Tensor, visible: int) -> Tensor:
        """Return the codes of the first patches in an order, (batch, visible, latent_dim); if pooled, their mean."""
        return _patches.encoded(self.encoder, x, order[:, :visible])

    def decode_visible(self, code: Tensor, order: Tensor) -> Tensor:
        """Return the reconstruction of all patches from the code of the visible ones, (batch, *output_shape)."""
        project, fill, rest = self.decoder.layers
        return rest(fill(project(code)) if self.pooling else fill(project(code), order=order))

    def objective(self, batch: Batch, training: bool) -> tuple[dict[str, Any], Any]:
        if not training:
            return super().objective(batch, training)
        order, visible = self.draw_order(ops.shape(batch.x)[0])
        y_pred = self.decode_visible(self.encode_visible(batch.x, order, visible), order)
        weight = ops.where(ops.argsort(order) < visible, float(self.visible_weight), 1.0)
        weight = _patches.per_pixel(weight / ops.mean(weight, axis=1, keepdims=True), self.x_shape, self.patch_size)
        return {"reconstruction": self.reconstruction(batch, y_pred, weight)}, y_pred

    @property
    def imputes(self) -> bool:
        return super().imputes and not self.normalize_targets

    def targets(self, y: Tensor) -> Tensor:
        """Return the targets of the reconstruction: y, or its normalized patches."""
        return _patches.normalized(as_float32(y), self.patch_size) if self.normalize_targets else y

    def reconstruction_errors(self, batch: Batch, y_pred: Tensor, feature_weight: Tensor = None) -> Tensor:
        batch = dataclasses.replace(batch, y=self.targets(batch.y))
        return super().reconstruction_errors(batch, y_pred, feature_weight)

    def errors(self, x: Tensor, y_pred: Tensor, observed: Tensor | None = None) -> Tensor:
        return super().errors(self.targets(x), y_pred, observed)

    def feature_errors(self, x: Tensor, y_pred: Tensor, observed: Tensor | None = None) -> Tensor:
        return super().feature_errors(self.targets(x), y_pred, observed)

    @classmethod
    def cli_defaults(cls, training: Training) -> dict[str, Any]:
        return {"patch_size": 4 if training.latent_dim > 100 else 2, "visible_weight": 0.1}

    def get_config(self) -> dict[str, Any]:
        names = "patch_size mask_ratio depth heads decoder_dim decoder_depth visible_weight normalize_targets pooling"
        return {**super().get_config(), **{name: getattr(self, name) for name in names.split()}}
