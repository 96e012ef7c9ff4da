"""The Frobenius norm of an encoder's Jacobian.

For a chain of dense layers J = D_L W_Lᵀ ⋯ D_1 W_1ᵀ, where D_l is the diagonal of the slopes φ'(a_l). Only the factor
A = D_L W_Lᵀ ⋯ W_2ᵀ D_1 depends on the sample, and ‖A W_1ᵀ‖² = Σ (A W_1ᵀW_1) ⊙ A needs no matrix as wide as the input.
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

# φ'(a) as a function of h = φ(a), so that the layer's output suffices.
_SLOPES = {
    activations.linear: lambda h: ops.ones_like(h),
    activations.sigmoid: lambda h: h * (1.0 - h),
    activations.tanh: lambda h: 1.0 - ops.square(h),
    activations.relu: lambda h: ops.cast(h > 0.0, h.dtype),
    activations.softplus: lambda h: 1.0 - ops.exp(-h),
}


def has_closed_form(layers: list[keras.layers.Layer] | None) -> TypeGuard[list[keras.layers.Layer]]:
    """Return whether a chain from `networks.chain` consists of dense layers whose slopes have a closed form.

    A user's subclass of `Dense` may compute anything, and is not accepted.
    """
    plain = (Centering, Dropout, keras.layers.Dense, keras.layers.Flatten, keras.layers.Reshape)
    return layers is not None and all(
        type(layer) in plain and getattr(layer, "activation", activations.linear) in _SLOPES for layer in layers
    )


def factor(layers: list[keras.layers.Layer], x: Tensor) -> tuple[Any, Any]:
    """Encode x and return the factor A of the encoder's Jacobian A W_1ᵀ.

    Args:
        layers: A chain that `has_closed_form` accepts.
        x: Samples, (batch, ...).

    Returns:
        The code (batch, p), and A: (batch, p, h_1), or its diagonal (batch, p) for a single layer.
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
    """Return ‖A W_1ᵀ‖²_F of each sample, (batch,), for A from `factor` and W_1 (features, h_1)."""
    kernel = as_float32(kernel)
    if len(a.shape) == 2:
        return ops.matmul(ops.square(a), ops.sum(ops.square(kernel), axis=0))
    gram = ops.matmul(ops.transpose(kernel), kernel)
    return ops.sum(ops.matmul(a, gram) * a, axis=(1, 2))


def exact(encoder: Callable[..., Tensor], x: Tensor) -> tuple[Any, Any]:
    """Encode x as at inference and return the Jacobian of any encoder by automatic differentiation.

    Args:
        encoder: A model whose code of a sample depends only on that sample at inference.
        x: Samples, (batch, *input_shape).

    Returns:
        The code (batch, *code_shape) and the Jacobian (batch, *code_shape, *input_shape).
    """
    x = ops.convert_to_tensor(x)
    with tf.GradientTape() as tape:
        tape.watch(x)
        code = encoder(x, training=False)
    return code, tape.batch_jacobian(code, x)


def product(encoder: keras.Model, x: Tensor, v: Tensor) -> tuple[Any, Any]:
    """Encode x as at inference and return vᵀJ per sample, whose squared norm estimates ‖J‖²_F for random signs v.

    Args:
        encoder: Any model.
        x: Samples, (batch, *input_shape).
        v: One vector per sample, (batch, *code_shape).

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
