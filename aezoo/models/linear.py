"""The linear autoencoder and its principal components."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import keras
import numpy as np
from keras import ops

from aezoo import _validation
from aezoo._typing import ArrayLike
from aezoo.models.autoencoder import Autoencoder
from aezoo.training import gate
from aezoo.training.batch import Batch
from aezoo.training.forward import Forward

if TYPE_CHECKING:
    from aezoo.cli.defaults import Training


class PrincipalComponents(NamedTuple):
    """Principal components, with scikit-learn's names, shapes and signs.

    Attributes:
        components_: Unit vectors in rows, (latent_dim, features), in order of decreasing variance; in each row, the
            entry of largest magnitude is positive.
        explained_variance_: Variance of the data along each component, (latent_dim,), in squared units of x.
        mean_: Mean of the data, (features,).
    """

    components_: np.ndarray
    explained_variance_: np.ndarray
    mean_: np.ndarray


@keras.saving.register_keras_serializable("aezoo")
class LinearAE(Autoencoder):
    """Linear autoencoder: z = W₁x + b₁, x' = W₂z + b₂, with λ(‖W₁‖²_F + ‖W₂‖²_F) added to the squared error.

    Without the L2 term, the model finds the subspace of the principal components, but not the components. With it, the
    left singular vectors of W₂ are the components, and its singular values s determine their variances
    σ² = λ / (1 - s²). Components with a variance below λ vanish (s = 0): choose λ well below the smallest variance of
    interest.

    Args:
        latent_dim: Number of components.
        weight: λ > 0, in squared units of x.
        tied: Whether W₂ = W₁ᵀ.
        seed: Seed of the initial weights.
        **kwargs: `name` and `dtype` of `keras.Model`.

    Raises:
        ValueError: If λ is not positive, or hidden layers, filters or networks are given.

    Example:
        >>> model = LinearAE(latent_dim=10, weight=0.01)

    Reference:
        Plaut, "From principal subspaces to principal components with linear autoencoders", 2018, arXiv:1804.10253;
        Kunin et al., "Loss landscapes of regularized linear autoencoders", 2019, arXiv:1901.08168, for the L2 term.
    """

    term_names: tuple[str, ...] = ("reconstruction", "l2")
    fixed_arguments = (*_validation.HIDDEN_LAYERS, *_validation.ACTIVATIONS, "encoder", "decoder")

    def __init__(
        self,
        latent_dim: int | None = None,
        *,
        weight: float = 0.01,
        tied: bool = False,
        seed: int | None = None,
        **kwargs: Any,
    ):
        linear: dict[str, Any] = {name: "linear" for name in ("activation", "code_activation", "output_activation")}
        super().__init__(latent_dim, tied=tied, seed=seed, **linear, **kwargs)
        if self.hidden_dims or self.filters or self.encoder is not None:
            raise ValueError("LinearAE has one linear layer per network: leave out hidden_dims, filters and encoder.")
        _validation.check_open_interval("weight", weight, 0.0, float("inf"))
        self.weight = weight

    def penalties(self, batch: Batch, forward: Forward) -> dict[str, Any]:
        squares = [ops.sum(ops.square(kernel)) for kernel in self._kernels()]
        return {"l2": self.weight * batch.per_replica(sum(squares))}

    def _kernels(self) -> tuple[Any, Any]:
        """Return W₁ as (features, latent_dim), and W₂ as (latent_dim, features)."""
        encode = next(layer for layer in self.encoder.layers if hasattr(layer, "kernel"))
        decode = next(layer for layer in self.decoder.layers if hasattr(layer, "kernel"))
        return encode.kernel, ops.transpose(decode.kernel) if self.tied else decode.kernel

    def principal_components(self, x: ArrayLike | None = None) -> PrincipalComponents:
        """Return the principal components, from a singular value decomposition of the trained W₂.

        Without data, variances are λ / (1 - s²) and the mean is the fixed point of the autoencoder, x' = x. Both are
        exact only at the optimum and magnify the remaining training error: train with full batches and tied=True, which
        converges much faster; a small λ converges slowly. With data, only the subspace comes from the weights; axes,
        variances and mean are computed from the data within it.

        Args:
            x: The data, (n, *input_shape), or None.

        Returns:
            The components, their variances and the mean. Without data, a variance is infinite if training is so far
            from the optimum that s >= 1.

        Raises:
            ValueError: If the model has not been built, or its weights are not finite.
        """
        _validation.check_built(self)
        w1, w2 = (np.asarray(ops.convert_to_numpy(kernel), "float64") for kernel in self._kernels())
        if not (np.isfinite(w1).all() and np.isfinite(w2).all()):
            raise ValueError("The weights are not finite: training diverged, choose a smaller learning rate.")
        _, s, components = np.linalg.svd(w2, full_matrices=False)
        components = _signed(components)
        if x is not None:
            x = np.asarray(gate.samples(self, x), "float64")
            flat = x.reshape(len(x), -1)
            # Within the subspace, the data determine the axes even if training has not converged.
            scores = (flat - flat.mean(axis=0)) @ components.T
            variance, rotation = np.linalg.eigh(np.atleast_2d(np.cov(scores, rowvar=False)))
            components = _signed(rotation.T[::-1] @ components)
            return PrincipalComponents(components, variance[::-1], flat.mean(axis=0))
        with np.errstate(divide="ignore"):
            variance = self.weight / np.maximum(1.0 - s**2, 0.0)
        origin = ops.convert_to_numpy(self.reconstruct(np.zeros((1, *self.x_shape), "float32"))).ravel()
        mean = np.linalg.solve(np.eye(len(origin)) - (w1 @ w2).T, origin.astype("float64"))
        return PrincipalComponents(components, variance, mean)

    @classmethod
    def cli_defaults(cls, training: Training) -> dict[str, Any]:
        return {"latent_dim": 16}

    def get_config(self) -> dict[str, Any]:
        config = {**super().get_config(), "weight": self.weight}
        for name in ("activation", "code_activation", "output_activation"):
            del config[name]
        return config


def _signed(components: np.ndarray) -> np.ndarray:
    """Flip the sign of rows so that the entry of largest magnitude is positive, as scikit-learn does."""
    largest = np.argmax(np.abs(components), axis=1)
    return components * np.sign(components[np.arange(len(components)), largest])[:, None]
