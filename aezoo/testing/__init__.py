"""Conformance checks: properties that the training step of every autoencoder must have, for anyone to run.

    >>> import numpy as np, aezoo, aezoo.testing
    >>> x = np.random.default_rng(0).random((21, 6, 6, 1), "float32")
    >>> case = aezoo.testing.Case(lambda **kwargs: aezoo.Autoencoder(latent_dim=3, **kwargs), x)
    >>> aezoo.testing.epoch_means(case)

Each check takes a `Case` and raises an `AssertionError` that names the violation. `CHECKS` lists all checks, for
`pytest.mark.parametrize`. `replicas` needs two devices: call `two_cpu_devices()` before TensorFlow is used.

`execution` checks that graphs compute the same as eager execution. Most other checks run eagerly, since a graph takes
longer to make than to run.
"""

from aezoo.testing.case import Case, two_cpu_devices, two_replicas
from aezoo.testing.checks import (
    CHECKS,
    accumulation,
    bad_input,
    bad_input_of_verbs,
    configuration,
    data_forms,
    declared,
    determinism,
    divergence,
    epoch_means,
    execution,
    exporting,
    mask,
    mixed_precision,
    replicas,
    sample_weights,
    saving,
    scores,
    target,
    tracing,
    verbs,
    weight_scale,
    weight_zero,
)
from aezoo.testing.serving import servable

__all__ = [
    "CHECKS",
    "Case",
    "accumulation",
    "bad_input",
    "bad_input_of_verbs",
    "configuration",
    "data_forms",
    "declared",
    "determinism",
    "divergence",
    "epoch_means",
    "execution",
    "exporting",
    "mask",
    "mixed_precision",
    "replicas",
    "sample_weights",
    "saving",
    "scores",
    "servable",
    "target",
    "tracing",
    "two_cpu_devices",
    "two_replicas",
    "verbs",
    "weight_scale",
    "weight_zero",
]
