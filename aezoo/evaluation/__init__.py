"""Metrics of a trained model: codes, reconstructions, likelihood and anomalies, and a report of all of them."""

from aezoo.evaluation.annealing import annealed_log_likelihood
from aezoo.evaluation.anomaly import AnomalyDetector as AnomalyDetector  # its old name
from aezoo.evaluation.anomaly import anomaly_auroc
from aezoo.evaluation.belief_network import log_likelihood_bound
from aezoo.evaluation.codes import attribute_vector
from aezoo.evaluation.compression import bd_rate, bits_per_pixel, ms_ssim, psnr
from aezoo.evaluation.contraction import jacobian_norm, saturation, tangents
from aezoo.evaluation.disentanglement import (
    DCI,
    composition_score,
    dci,
    factor_vae_score,
    mutual_information_gap,
    sap,
)
from aezoo.evaluation.exported import litert_error
from aezoo.evaluation.likelihood import log_likelihood, log_partition
from aezoo.evaluation.probes import linear_probe
from aezoo.evaluation.reconstruction import explained_variance, pca_explained_variance, reconstruction_error
from aezoo.evaluation.reporting import activity_threshold, report
from aezoo.evaluation.samples import frechet_distance, precision_recall
from aezoo.evaluation.sparsity import (
    CodeStatistics,
    active_units,
    dead_units,
    l0,
    lifetime_sparsity,
    population_sparsity,
)
from aezoo.evaluation.structure import noise_units
from aezoo.evaluation.table import Report
from aezoo.evaluation.units import activation_maximization, activations, combined_filters, top_inputs

__all__ = [
    "DCI",
    "CodeStatistics",
    "Report",
    "activation_maximization",
    "activations",
    "active_units",
    "activity_threshold",
    "annealed_log_likelihood",
    "anomaly_auroc",
    "attribute_vector",
    "bd_rate",
    "bits_per_pixel",
    "combined_filters",
    "composition_score",
    "dci",
    "dead_units",
    "explained_variance",
    "factor_vae_score",
    "frechet_distance",
    "jacobian_norm",
    "l0",
    "lifetime_sparsity",
    "linear_probe",
    "litert_error",
    "log_likelihood",
    "log_likelihood_bound",
    "log_partition",
    "ms_ssim",
    "mutual_information_gap",
    "noise_units",
    "pca_explained_variance",
    "population_sparsity",
    "precision_recall",
    "psnr",
    "reconstruction_error",
    "report",
    "sap",
    "saturation",
    "tangents",
    "top_inputs",
]
