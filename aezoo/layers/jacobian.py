"""The Jacobian of an encoder, as far as its Frobenius norm needs it.

For a chain of dense layers J = D_L W_Lᵀ ⋯ D_1 W_1ᵀ, where D_l is the diagonal of the slopes φ'(a_l). The factor
A = D_L W_Lᵀ ⋯ W_2ᵀ D_1 is all that depends on the sample, and ‖A W_1ᵀ‖² = Σ (A W_1ᵀW_1) ⊙ A never needs a matrix as
wide as the input.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeGuard

import keras
import tensorflow as tf
from keras import activations, ops

from aezoo._numerics import as_float32
from aezoo._typing import Tensor
from aezoo.layers.centering import Centering
from aezoo.layers.dropout import Dropout

# φ'(a) as a function of h = φ(a), so that a layer's output is all that is needed.
_SLOPES = {
    activations.linear: lambda h: ops.ones_like(h),
    activations.sigmoid: lambda h: h * (1.0 - h),
    activations.tanh: lambda h: 1.0 - ops.square(h),
    activations.relu: lambda h: ops.cast(h > 0.0, h.dtype),
    activations.softplus: lambda h: 1.0 - ops.exp(-h),
}


def has_closed_form(layers: list[keras.layers.Layer] | None) -> TypeGuard[list[keras.layers.Layer]]:
    """Whether a chain of layers (of `networks.chain`) is dense layers with slopes that are known.

    A user's subclass of `Dense` may compute anything, and so has none.
    """
    plain = (Centering, Dropout, keras.layers.Dense, keras.layers.Flatten, keras.layers.Reshape)
    return layers is not None and all(
        type(layer) in plain and getattr(layer, "activation", activations.linear) in _SLOPES for layer in layers
    )


def factor(layers: list[keras.layers.Layer], x: Tensor) -> tuple[Any, Any]:
    """Encodes x, and returns the factor A of the encoder's Jacobian A W_1ᵀ.

    Args:
        layers: A chain for which `has_closed_form`.
        x: (batch, ...).

    Returns:
        The code (batch, p), and A: (batch, p, h_1), or for a single layer, where it is diagonal, (batch, p).
    """
    a = None
    h = x
    for layer in layers:
        h = layer(h)
        if not isinstance(layer, keras.layers.Dense):
            continue
        slope = _SLOPES[layer.activation](as_float32(h))
        if a is None:
            a = slope
        elif len(a.shape) == 2:
            a = slope[:, :, None] * ops.transpose(as_float32(layer.kernel))[None] * a[:, None, :]
        else:
            a = slope[:, :, None] * ops.einsum("hp,bhi->bpi", as_float32(layer.kernel), a)
    return h, a


def squared_norm(a: Tensor, kernel: Tensor) -> Tensor:
    """Returns ‖A W_1ᵀ‖²_F of each sample, (batch,), for A as `factor` returns it and W_1 (features, h_1)."""
    kernel = as_float32(kernel)
    if len(a.shape) == 2:
        return ops.matmul(ops.square(a), ops.sum(ops.square(kernel), axis=0))
    gram = ops.matmul(ops.transpose(kernel), kernel)
    return ops.sum(ops.matmul(a, gram) * a, axis=(1, 2))


def exact(encoder: Callable[..., Tensor], x: Tensor) -> tuple[Any, Any]:
    """Encodes x as at inference, and returns the Jacobian of any encoder by automatic differentiation.

    Args:
        encoder: A model whose code of a sample depends, at inference, on that sample only.
        x: (batch, *input_shape).

    Returns:
        The code (batch, *code_shape) and the Jacobian (batch, *code_shape, *input_shape).
    """
    x = ops.convert_to_tensor(x)
    with tf.GradientTape() as tape:
        tape.watch(x)
        code = encoder(x, training=False)
    return code, tape.batch_jacobian(code, x)


def product(encoder: keras.Model, x: Tensor, v: Tensor) -> tuple[Any, Any]:
    """Encodes x as at inference, and returns vᵀJ for each sample: its squared norm, for random signs, estimates ‖J‖²_F.

    Args:
        encoder: Any model.
        x: (batch, *input_shape).
        v: A vector for each sample's code, (batch, *code_shape).

    Returns:
        The code (batch, *code_shape) and the product, with the shape of x.

    Reference:
        Hutchinson, "A stochastic estimator of the trace of the influence matrix", 1990.
    """
    x = ops.convert_to_tensor(x)
    with tf.GradientTape() as tape:
        tape.watch(x)
        code = encoder(x, training=False)
        projection = ops.sum(as_float32(code) * v)
    return code, tape.gradient(projection, x)
