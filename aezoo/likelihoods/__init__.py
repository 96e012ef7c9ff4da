"""Likelihoods p(x given z): distributions of the data given the output of a decoder.

Pass one to `aezoo.VAE(likelihood=...)`. To define your own, subclass `Likelihood`.
"""

from typing import Literal

from aezoo.likelihoods.base import Likelihood, NegativeLogLikelihood, get
from aezoo.likelihoods.counts import NegativeBinomial, ZeroInflatedNegativeBinomial
from aezoo.likelihoods.elementary import Bernoulli, Categorical, Gaussian, Poisson
from aezoo.likelihoods.table import MixedTable

__all__ = [
    "Bernoulli",
    "Categorical",
    "Gaussian",
    "Likelihood",
    "MixedTable",
    "NegativeBinomial",
    "NegativeLogLikelihood",
    "Poisson",
    "ZeroInflatedNegativeBinomial",
    "get",
]

Name = Literal["bernoulli", "gaussian", "poisson", "negative_binomial", "zero_inflated_negative_binomial"]
"""Names of likelihoods."""
