"""Measures of a trained model: of its codes, on NumPy arrays, and of the likelihood of a Boltzmann machine."""

from aezoo.evaluation.codes import attribute_vector
from aezoo.evaluation.compression import bits_per_pixel, psnr
from aezoo.evaluation.likelihood import log_likelihood, log_partition
from aezoo.evaluation.probes import linear_probe
from aezoo.evaluation.sparsity import active_units, dead_units, lifetime_sparsity, population_sparsity

__all__ = [
    "active_units",
    "attribute_vector",
    "bits_per_pixel",
    "dead_units",
    "lifetime_sparsity",
    "linear_probe",
    "log_likelihood",
    "log_partition",
    "population_sparsity",
    "psnr",
]
