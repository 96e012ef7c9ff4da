"""A Gaussian mixture that is fitted to the codes of a trained autoencoder."""

from __future__ import annotations

import copy

import numpy as np
import tensorflow as tf
from sklearn.base import clone
from sklearn.mixture import BayesianGaussianMixture, GaussianMixture

from aezoo import _validation
from aezoo._typing import ArrayLike, Self, Tensor
from aezoo.models.autoencoder import Autoencoder
from aezoo.models.code_sampler import CodeSampler


class MixtureSampler(CodeSampler):
    """Gaussian mixture of the codes of a trained autoencoder, p(z) = Σₖ πₖ N(z; μₖ, Σₖ), by scikit-learn.

    The mixture is fitted by expectation–maximization, in seconds. Save one with `pickle`.

    Args:
        autoencoder: A built autoencoder whose codes have a fixed shape. It is not changed.
        mixture: A `sklearn.mixture.GaussianMixture` or `BayesianGaussianMixture`, which is copied and fitted to
            flattened codes; None takes 10 components of full covariances.

    Attributes:
        mixture: The mixture; fitted once `fit` has been called.

    Raises:
        ValueError: If the autoencoder is not built, its codes vary in size, or `mixture` is something else.

    Example:
        >>> import aezoo
        >>> x = np.random.default_rng(0).random((64, 8, 8, 1), "float32")
        >>> model = aezoo.Autoencoder(latent_dim=4, seed=0)
        >>> model.build(x.shape)
        >>> sampler = MixtureSampler(model, GaussianMixture(3, random_state=0)).fit(model.encode(x))
        >>> sampler.sample(5, seed=0).shape
        TensorShape([5, 8, 8, 1])

    Reference:
        Ghosh et al., "From variational to deterministic autoencoders", ICLR 2020, arXiv:1903.12436.
    """

    def __init__(self, autoencoder: Autoencoder, mixture: GaussianMixture | BayesianGaussianMixture | None = None):
        super().__init__(autoencoder)
        if mixture is not None and not isinstance(mixture, (GaussianMixture, BayesianGaussianMixture)):
            raise ValueError(f"mixture must be a mixture of sklearn.mixture, but it is {mixture!r}.")
        self.mixture = GaussianMixture(10) if mixture is None else clone(mixture)

    def fit(self, codes: ArrayLike) -> Self:
        """Fit the mixture to codes.

        Args:
            codes: Codes as `model.encode(x)` returns them, (n, *code_shape), at least as many as components.

        Returns:
            The sampler.

        Raises:
            ValueError: If the codes have another shape, are not finite or too few.
        """
        self.mixture.fit(self._rows(codes))
        return self

    def _rows(self, codes: ArrayLike) -> np.ndarray:
        codes = np.asarray(codes, "float64")
        _validation.check_code_shape(self.autoencoder, codes.shape)
        return codes.reshape(len(codes), -1)

    def _check_fitted(self) -> None:
        if not hasattr(self.mixture, "weights_"):
            raise ValueError("The mixture has not been fitted: call fit(model.encode(x)) first.")

    def log_likelihood(self, codes: ArrayLike) -> np.ndarray:
        """Return log p(z) of codes, (n, *code_shape) → (n,), in nats.

        Raises:
            ValueError: If the mixture has not been fitted, or the codes have another shape.
        """
        self._check_fitted()
        return self.mixture.score_samples(self._rows(codes))

    def sample_codes(self, n: int, seed: int | None = None) -> Tensor:
        self._check_fitted()
        n = _validation.check_int("n", n, 1)
        seed = None if seed is None else _validation.check_int("seed", seed) % 2**64
        mixture = copy.copy(self.mixture)
        large = seed is not None and seed >= 2**32  # scikit-learn takes smaller ones only
        mixture.random_state = int(np.random.SeedSequence(seed).generate_state(1)[0]) if large else seed
        rows, _ = mixture.sample(n)  # one component after the other
        order = np.random.default_rng(seed).permutation(n)
        return tf.constant(rows[order].reshape(n, *self.autoencoder.code_shape), "float32")
