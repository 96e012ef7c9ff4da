"""Sensitivity of codes to their inputs: two columns of Table 1 of Rifai et al. 2011."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import scipy.sparse.linalg
import tensorflow as tf
from keras import ops
from numpy.typing import ArrayLike

from aezoo import _keras, _validation
from aezoo._numerics import as_float32
from aezoo._typing import Data, Tensor
from aezoo.layers import jacobian, networks
from aezoo.training import inference

if TYPE_CHECKING:
    from aezoo.models.autoencoder import Autoencoder

__all__ = ["jacobian_norm", "saturation", "tangents"]

#: Numbers that the Jacobians of a chunk may have; with their intermediate results they take a few hundred megabytes.
_IN_HAND = 2**24


def jacobian_norm(model: Autoencoder, x: Data, *, batch_size: int | None = None, **conditions: ArrayLike) -> np.ndarray:
    """Compute the Frobenius norm of the encoder's Jacobian for each sample, ‖∂z/∂x‖_F.

    The norm measures how much the code changes with a small change of x. It is exact for every encoder: in closed form
    for dense layers (including a k-sparse code), by automatic differentiation for others, with one backward pass per
    code unit. For a VAE, z is the mean.

    Rifai et al. do not say how they scaled their numbers, so compare ratios between models on the same data.

    Args:
        model: A built model with an `encoder`.
        x: Samples, (n, *input_shape), or a dict of "x" and of the conditions; or data that come batch by batch, such as
            a data set, in the forms that `fit` accepts.
        batch_size: The most samples to process at once; large Jacobians reduce it further.
        **conditions: Conditions by name, one entry per sample, or one for all samples. They are held constant.

    Returns:
        The norms, (n,) float32, in units of the code per unit of x. `ContractiveAE` penalizes their squares.

    Raises:
        ValueError: If the model is not built, there are no samples, they have the wrong shape or are whole numbers, or
            the code is rounded (`CompressiveAE`) and has no derivative.

    Example:
        >>> import aezoo
        >>> model = aezoo.ContractiveAE(latent_dim=3)
        >>> model.build((None, 8, 8, 1))
        >>> jacobian_norm(model, np.zeros((5, 8, 8, 1), "float32")).shape
        (5,)

    Reference:
        Rifai et al., "Contractive auto-encoders", ICML 2011.
    """
    _check_differentiable(model)
    squared, numbers = _squared_norms(model)
    pieces = _pieces(model, x, conditions, batch_size, numbers)
    return np.sqrt(np.concatenate([squared(samples, given) for samples, given in pieces]))


def tangents(
    model: Autoencoder, x: Data, n: int = 10, *, batch_size: int | None = None, **conditions: ArrayLike
) -> tuple[np.ndarray, np.ndarray]:
    """Compute the directions in which the code of each sample changes most: tangents of the manifold of the data.

    They are the first right singular vectors of the encoder's Jacobian J(x) = ∂z/∂x. A contractive autoencoder keeps
    the code constant except along changes that occur in the data. A small step along a tangent therefore leads to
    another plausible sample. For a VAE, z is the mean.

    Args:
        model: A built model with an `encoder`.
        x: As in `jacobian_norm`.
        n: Number of directions per sample, at most the number of code units and of features.
        batch_size: As in `jacobian_norm`.
        **conditions: As in `jacobian_norm`.

    Returns:
        The directions, (samples, n, *input_shape) float32, orthogonal and of norm 1, from the largest singular value to
        the smallest; and the singular values, (samples, n) float32: how far the code moves per step of length 1. The
        sign of a direction is such that its largest entry is positive. Where a singular value is 0, any direction is
        as good as another, and the direction is 0.

    Raises:
        ValueError: As in `jacobian_norm`, or if n is out of range.

    Example:
        >>> import aezoo
        >>> model = aezoo.ContractiveAE(latent_dim=5, seed=0)
        >>> model.build((None, 8, 8, 1))
        >>> directions, values = tangents(model, np.zeros((3, 8, 8, 1), "float32"), n=2)
        >>> directions.shape, values.shape
        ((3, 2, 8, 8, 1), (3, 2))

    Reference:
        Rifai et al., "The manifold tangent classifier", NeurIPS 2011.
    """
    _check_differentiable(model)
    _validation.check_int("n", n, 1)
    units = math.prod(size or 1 for size in model.code_shape)
    graph = _jacobians(model)
    if _closed_form(model) is None:  # as a graph, since otherwise every piece would be traced anew
        graph = tf.function(graph, reduce_retracing=True, autograph=False)
    found = []
    for samples, given in _pieces(model, x, conditions, batch_size, lambda features: units * features):
        shape = samples.shape[1:]
        j = np.asarray(graph(samples, given)).reshape(samples.shape[0], -1, math.prod(shape))
        if n > min(j.shape[1:]):
            raise ValueError(
                f"n={n} directions were requested, but a Jacobian of {j.shape[1]} code units and {j.shape[2]} features "
                f"has at most {min(j.shape[1:])}."
            )
        found += [(directions.reshape(n, *shape), values) for directions, values in (_leading(each, n) for each in j)]
    first, second = zip(*found, strict=True)
    return np.stack(first).astype("float32"), np.stack(second).astype("float32")


def _leading(j: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the first n right singular vectors, (n, features), and singular values of a matrix (units, features)."""
    if not j.any():
        return np.zeros((n, j.shape[1])), np.zeros(n)
    j = j.astype("float64")
    if 10 * n < min(j.shape):  # a few of many directions, iteratively
        start = np.random.default_rng(0).normal(size=min(j.shape))
        _, values, vectors = scipy.sparse.linalg.svds(j, n, v0=start)
        values, vectors = values[::-1], vectors[::-1]
    else:
        _, values, vectors = np.linalg.svd(j, full_matrices=False)
        values, vectors = values[:n], vectors[:n]
    rounding = np.finfo("float32").eps * max(j.shape) * values[0]  # J was computed in single precision
    values = np.where(values > rounding, values, 0.0)
    vectors = np.where(values[:, None] > 0, vectors, 0.0)
    largest = np.take_along_axis(vectors, np.abs(vectors).argmax(axis=1)[:, None], axis=1)
    return vectors * np.where(largest < 0, -1.0, 1.0), values


def _check_differentiable(model: Autoencoder) -> None:
    _validation.check_built(model)
    if is_rounded(model):
        raise ValueError("The code is rounded, so it has no Jacobian: give a model whose code is continuous.")
    if "int" in model.input_dtype:
        raise ValueError(
            "The samples are whole numbers, so the code has no Jacobian: give a model of continuous samples."
        )


def _pieces(
    model: Autoencoder,
    x: Data,
    conditions: Mapping[str, ArrayLike],
    batch_size: int | None,
    numbers: Callable[[int], int],
) -> Iterator[tuple[Any, dict[str, Any]]]:
    """Yield chunks of samples and conditions whose Jacobians fit into memory.

    Args:
        model: A built model.
        x: As in `jacobian_norm`.
        conditions: Conditions by name.
        batch_size: As in `jacobian_norm`.
        numbers: Function from the number of features of a sample to how many numbers it takes in memory.
    """
    for piece in inference.measured(model, x, conditions, batch_size=batch_size):
        piece = inference.tensors(model, piece)
        samples = piece.x if model.missing == "error" else model.complete(piece.x)[0]
        size = max(1, _IN_HAND // numbers(math.prod(samples.shape[1:])))
        for start in range(0, samples.shape[0], size):
            rows = slice(start, start + size)
            yield samples[rows], {name: values[rows] for name, values in piece.conditions.items()}


def _jacobians(model: Autoencoder) -> Callable[[Any, Any], Any]:
    """Return a function for J of samples and conditions, (batch, *code_shape, *input_shape)."""
    closed_form = _closed_form(model)

    def jacobians(x: Tensor, conditions: Mapping[str, Tensor]) -> Tensor:
        if closed_form is not None:
            factor, dense = closed_form
            a, kernel = factor(x), ops.transpose(as_float32(dense[0].kernel))
            return a[:, :, None] * kernel if len(a.shape) == 2 else ops.matmul(a, kernel)

        def encoder(x: Tensor, training: bool) -> Tensor:
            return model.run_encoder(x, conditions, training)

        return as_float32(jacobian.exact(encoder, x)[1])

    return jacobians


def is_rounded(model: Autoencoder) -> bool:
    """Return whether the code of a model changes in steps, because a layer of its encoder has no derivative."""
    return not all(getattr(layer, "differentiable", True) for layer in _keras.all_layers(model.encoder))


def _closed_form(model: Autoencoder) -> tuple[Callable[[Any], Any], list[keras.layers.Dense]] | None:
    """Return a function for the factor A of J = A W₁ᵀ of samples, and the dense layers; None without a closed form."""
    layers = None if model.condition_names else networks.chain(model.encoder)
    top_k = layers.pop() if layers and getattr(layers[-1], "selects", False) else None
    if not jacobian.has_closed_form(layers):
        return None

    def factor(x: Tensor) -> Tensor:
        code, a = jacobian.factor(layers, x)
        if top_k is not None:  # rows of J are 0 for inactive units
            stays = ops.cast(ops.reshape(top_k.mask(code), a.shape[:2]), a.dtype)
            a = a * ops.reshape(stays, (*stays.shape, *[1] * (len(a.shape) - 2)))
        return a

    return factor, [layer for layer in layers if isinstance(layer, keras.layers.Dense)]


def _squared_norms(model: Autoencoder) -> tuple[Callable[[Any, Any], Any], Callable[[int], int]]:
    """Return a function for ‖J‖² per sample, and one for the numbers it holds per sample, by number of features."""
    closed_form = _closed_form(model)
    if closed_form is None:
        jacobians = _jacobians(model)

        def by_differentiation(x: Tensor, conditions: Mapping[str, Tensor]) -> Tensor:
            j = jacobians(x, conditions)
            return ops.sum(ops.square(j), axis=tuple(range(1, len(j.shape))))

        # As a graph, since otherwise every piece would be traced anew.
        graph = tf.function(by_differentiation, reduce_retracing=True, autograph=False)
        units = math.prod(size or 1 for size in model.code_shape)
        return graph, lambda features: units * features
    factor, dense = closed_form

    def in_closed_form(x: Tensor, conditions: Mapping[str, Tensor]) -> Tensor:
        return jacobian.squared_norm(factor(x), dense[0].kernel)

    return in_closed_form, lambda features: dense[-1].units * (dense[0].units if len(dense) > 1 else 1)


def saturation(z: ArrayLike, bounds: tuple[float, float] = (0.05, 0.95)) -> float:
    """Compute the mean share of saturated code units, where the activation is flat and the code does not respond to x.

    Args:
        z: Codes, (batch, units), of an activation with two flat ends.
        bounds: A unit is saturated below the first and above the second value. The default fits a sigmoid; for tanh,
            which is a sigmoid stretched to (-1, 1), give (-0.9, 0.9). Report the bounds with the result.

    Returns:
        A share in [0, 1]; the column SAT of Rifai et al. is in percent.

    Raises:
        ValueError: If there are no codes, they are not finite, or the bounds do not increase.

    Example:
        >>> saturation([[0.01, 0.5], [0.99, 0.96]])
        0.75

    Reference:
        Rifai et al., "Contractive auto-encoders", ICML 2011.
    """
    low, high = bounds
    if not low < high:
        raise ValueError(f"bounds={bounds}: expected two numbers, the first less than the second.")
    z = np.asarray(z)
    if not z.size or not np.isfinite(z).all():
        raise ValueError(f"z has shape {z.shape}: expected at least one code, with finite values.")
    return float(np.mean((z < low) | (z > high)))
