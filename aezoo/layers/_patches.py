"""Patches of images, and networks that process them as a sequence."""

from __future__ import annotations

import math

import keras
import numpy as np
from keras import layers, ops

from aezoo._typing import Activation, DType, Shape, Tensor
from aezoo.layers.dropout import Dropout
from aezoo.layers.networks import Initializers


def to_patches(x: Tensor, size: int) -> Tensor:
    """Return the patches of images, (batch, *sizes, channels) → (batch, patches, values).

    Args:
        x: Images, series or volumes, whose sides must be divisible by `size`.
        size: Side of a patch.

    Example:
        >>> to_patches(np.arange(16.0).reshape(1, 4, 4, 1), 2)[0, 1].numpy()
        array([2., 3., 6., 7.])
    """
    *sizes, channels = x.shape[1:]
    rank, grid = len(sizes), [n // size for n in sizes]
    x = ops.reshape(x, (-1, *(n for m in grid for n in (m, size)), channels))
    x = ops.transpose(x, (0, *range(1, 2 * rank, 2), *range(2, 2 * rank + 1, 2), 2 * rank + 1))
    return ops.reshape(x, (-1, math.prod(grid), size**rank * channels))


def from_patches(patches: Tensor, grid: tuple[int, ...], size: int) -> Tensor:
    """Return images from their patches, the inverse of `to_patches`.

    Args:
        patches: (batch, patches, values).
        grid: Number of patches along each side.
        size: Side of a patch.

    Example:
        >>> x = np.random.default_rng(0).random((5, 4, 6, 3))
        >>> bool(np.all(from_patches(to_patches(x, 2), (2, 3), 2) == x))
        True
    """
    rank, channels = len(grid), patches.shape[-1] // size ** len(grid)
    x = ops.reshape(patches, (-1, *grid, *[size] * rank, channels))
    x = ops.transpose(x, (0, *(axis for i in range(1, rank + 1) for axis in (i, i + rank)), 2 * rank + 1))
    return ops.reshape(x, (-1, *(n * size for n in grid), channels))


def waves(grid: tuple[int, ...], width: int) -> np.ndarray:
    """Return the positional encoding of patches: sines and cosines of their coordinates.

    The wavelengths range from 2π patches to 2π times the longest side. The wavelengths of the paper, up to 20,000π,
    do not distinguish the patches of a small image.

    Args:
        grid: Number of patches along each side.
        width: Units of a token.

    Returns:
        (patches, width) float32.

    Example:
        >>> waves((3, 3), 8).shape
        (9, 8)
    """
    each = math.ceil(width / (2 * len(grid)))
    places = np.stack(np.meshgrid(*map(np.arange, grid), indexing="ij"), -1).reshape(-1, len(grid), 1)
    angles = places * float(max(grid)) ** (-np.arange(each) / each)
    return np.concatenate([np.sin(angles), np.cos(angles)], -1).reshape(len(angles), -1)[:, :width].astype("float32")


def per_pixel(values: Tensor, x_shape: tuple[int, ...], size: int) -> Tensor:
    """Expand one value per patch, (batch, patches), to one value per pixel, (batch, *sizes).

    Args:
        values: One value per patch, (batch, patches).
        x_shape: Shape of a sample, (*sizes, channels).
        size: Side of a patch.

    Example:
        >>> per_pixel(np.array([[1.0, 2.0]]), (2, 4, 1), 2)[0].numpy()
        array([[1., 1., 2., 2.],
               [1., 1., 2., 2.]])
    """
    grid = tuple(n // size for n in x_shape[:-1])
    return from_patches(ops.repeat(values[:, :, None], size ** len(grid), axis=2), grid, size)[..., 0]


def normalized(x: Tensor, size: int) -> Tensor:
    """Normalize each patch of images to mean 0 and variance 1; constant patches become 0.

    Args:
        x: Images, (batch, *sizes, channels).
        size: Side of a patch.

    Example:
        >>> normalized(np.array([[[1.0], [3.0], [5.0], [5.0]]]), 2)[0, :, 0].numpy().round(3)
        array([-1.,  1.,  0.,  0.])
    """
    patches = to_patches(x, size)
    mean, variance = ops.moments(patches, axes=-1, keepdims=True)
    return from_patches((patches - mean) / ops.sqrt(variance + 1e-6), tuple(n // size for n in x.shape[1:-1]), size)


def encoded(encoder: keras.Sequential, x: Tensor, places: Tensor) -> Tensor:
    """Encode some patches of each sample and return their codes or, if the encoder pools, the mean of the codes.

    Args:
        encoder: A model built by `encoder`.
        x: Samples, (batch, *x_shape).
        places: Indices of the patches to encode, (batch, k).
    """
    embedding, *rest = encoder.layers
    code = gather(embedding(x), places)
    for layer in rest:
        code = layer(code)
    return code


# === Networks ===


@keras.saving.register_keras_serializable("aezoo")
class MaskToken(layers.Layer):
    """Layer that inserts a learned token for each masked patch.

    Args:
        **kwargs: Arguments of `keras.layers.Layer`, such as `name` and `dtype`.

    Example:
        >>> layer = MaskToken()
        >>> layer(ops.ones((5, 2, 8)), order=ops.tile([[3, 0, 1, 2]], (5, 1))).shape
        TensorShape([5, 4, 8])
    """

    part_name = "mask tokens"  # in `aezoo.plots.network`

    def build(self, input_shape: Shape) -> None:
        self.token = self.add_weight(shape=(input_shape[-1],), initializer="zeros", name="token")

    def call(self, tokens: Tensor, order: Tensor = None) -> Tensor:
        """Return the tokens of all patches.

        Args:
            tokens: Tokens of the first patches in the order, (batch, visible, width).
            order: Order of all patches, (batch, patches); None if the tokens already cover all patches in their order.

        Returns:
            (batch, patches, width).
        """
        if order is None:
            return tokens
        n, patches = ops.shape(order)
        masked = ops.broadcast_to(ops.cast(self.token, tokens.dtype), (n, patches - tokens.shape[1], tokens.shape[2]))
        return gather(ops.concatenate([tokens, masked], axis=1), ops.argsort(order))


def gather(tokens: Tensor, places: Tensor) -> Tensor:
    """Select tokens, (batch, patches, width), at the indices `places`, (batch, k), and return (batch, k, width)."""
    return ops.take_along_axis(tokens, places[:, :, None], axis=1)


def encoder(
    x_shape: tuple[int, ...],
    latent_dim: int,
    depth: int,
    *,
    patch_size: int,
    heads: int,
    activation: Activation | None = "gelu",
    pooling: str | None = None,
    seed: int | None = None,
    dtype: DType | None = None,
) -> keras.Sequential:
    """Build an encoder: an embedding of patches, a transformer and, if the code is pooled, the mean over patches.

    Args:
        x_shape: Shape of a sample, (*sizes, channels).
        latent_dim: Units of a code.
        depth: Number of transformer blocks.
        patch_size: Side of a patch.
        heads: Number of attention heads.
        activation: Activation of the hidden layers.
        pooling: "mean" for one code per sample, the mean over its patches; None for one code per patch.
        seed: Seed of the initial weights.
        dtype: Keras dtype policy.

    Returns:
        A built Keras model, (batch, *x_shape) → (batch, patches, latent_dim), or if pooled → (batch, latent_dim).

    Raises:
        ValueError: If samples do not consist of at least two whole patches.

    Example:
        >>> encoder((8, 8, 1), 16, depth=1, patch_size=2, heads=2).output_shape
        (None, 16, 16)
    """
    grid = tuple(size // patch_size for size in x_shape[:-1])
    if math.prod(grid) < 2 or any(size % patch_size for size in x_shape[:-1]):
        raise ValueError(
            f"Samples of shape {x_shape} do not consist of at least two whole patches of side {patch_size}: choose a "
            "patch_size that divides every side of images, (height, width, channels), or of series, (steps, channels)."
        )
    x = keras.Input(x_shape)
    tokens = layers.Dense(latent_dim, dtype=dtype)(to_patches(x, patch_size)) + waves(grid, latent_dim)
    stack = [keras.Model(x, tokens, name="embedding"), transformer(latent_dim, depth, heads, activation, dtype)]
    pool = [layers.GlobalAveragePooling1D(dtype=dtype)] if pooling else []
    return initialized(keras.Sequential([keras.Input(x_shape), *stack, *pool], name="encoder"), seed)


def decoder(
    y_shape: tuple[int, ...],
    latent_dim: int,
    width: int,
    depth: int,
    *,
    patch_size: int,
    heads: int,
    activation: Activation | None = "gelu",
    output_activation: Activation = "linear",
    pooling: str | None = None,
    seed: int | None = None,
    dtype: DType | None = None,
) -> keras.Sequential:
    """Build a decoder: a projection of codes, a `MaskToken` (or a repetition of pooled codes) and a transformer.

    Args:
        y_shape: Shape of a reconstruction, (*sizes, channels).
        latent_dim: Units of a code.
        width: Units of a token of the decoder.
        depth: Number of transformer blocks.
        patch_size: Side of a patch.
        heads: Number of attention heads.
        activation: Activation of the hidden layers.
        output_activation: Activation of the reconstruction.
        pooling: "mean" for one code per sample, the mean over its patches; None for one code per patch.
        seed: Seed of the initial weights.
        dtype: Keras dtype policy.

    Returns:
        A built Keras model, (batch, patches, latent_dim), or if pooled (batch, latent_dim), → (batch, *y_shape).

    Example:
        >>> decoder((8, 8, 1), 16, width=8, depth=1, patch_size=2, heads=2).output_shape
        (None, 8, 8, 1)
    """
    grid = tuple(size // patch_size for size in y_shape[:-1])
    patches = math.prod(grid)
    tokens = keras.Input((patches, width))
    y = transformer(width, depth, heads, activation, dtype)(tokens + waves(grid, width))
    y = layers.Dense(patch_size ** len(grid) * y_shape[-1], dtype=dtype)(y)
    y = layers.Activation(output_activation, dtype="float32", name="output")(from_patches(y, grid, patch_size))
    code = keras.Input((latent_dim,) if pooling else (patches, latent_dim))
    fill = layers.RepeatVector(patches, dtype=dtype) if pooling else MaskToken(dtype=dtype)
    stack = [code, layers.Dense(width, dtype=dtype), fill, keras.Model(tokens, y, name="patches")]
    return initialized(keras.Sequential(stack, name="decoder"), None if seed is None else seed + 1_000)


def transformer(
    width: int,
    depth: int,
    heads: int,
    activation: Activation | None,
    dtype: DType | None,
    *,
    causal: bool = False,
    dropout: float = 0.0,
    seed: int | None = None,
) -> keras.Model:
    """Build blocks of self-attention and one hidden layer, for any number of tokens.

    Args:
        width: Units of a token.
        depth: Number of blocks.
        heads: Number of attention heads.
        activation: Activation of the hidden layers.
        dtype: Keras dtype policy.
        causal: Whether a token sees only itself and the tokens before it.
        dropout: Fraction of the units that a training step sets to 0 in the result of each attention and hidden layer.
        seed: Seed of dropout.
    """
    tokens = x = keras.Input((None, width))
    draws = Initializers(seed)

    def kept(h: Tensor) -> Tensor:
        return Dropout(dropout, draws.next_seed(), dtype=dtype)(h) if dropout else h

    for _ in range(depth):
        h = layers.LayerNormalization(epsilon=1e-6, dtype=dtype)(x)
        attention = layers.MultiHeadAttention(heads, max(1, width // heads), dtype=dtype)
        x = x + kept(attention(h, h, use_causal_mask=causal))
        h = layers.LayerNormalization(epsilon=1e-6, dtype=dtype)(x)
        h = layers.Dense(4 * width, activation, dtype=dtype)(h)
        x = x + kept(layers.Dense(width, dtype=dtype)(h))
    return keras.Model(tokens, layers.LayerNormalization(epsilon=1e-6, dtype=dtype)(x), name="transformer")


def initialized(network: keras.Sequential, seed: int | None) -> keras.Sequential:
    """Redraw each kernel with variance 1 / inputs and a seed of its own.

    Keras' attention layer draws all its kernels from one seed and mistakes the number of heads for a number of inputs.
    """
    initializer = Initializers(seed)
    for kernel in network.trainable_variables:
        if kernel.name == "kernel":
            inputs = math.prod(kernel.shape[:-1]) if "attention_output" in kernel.path else kernel.shape[0]
            draw = keras.initializers.LecunUniform(initializer.next_seed())
            kernel.assign(ops.reshape(draw((inputs, math.prod(kernel.shape) // inputs)), kernel.shape))
    return network
