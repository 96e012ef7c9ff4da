"""The conformance harness: what must be true of every autoencoder's train step, as checks that anyone can run.

    >>> import numpy as np, aezoo, aezoo.testing
    >>> x = np.random.default_rng(0).random((21, 6, 6, 1), "float32")
    >>> case = aezoo.testing.Case(lambda **kwargs: aezoo.Autoencoder(latent_dim=3, **kwargs), x)
    >>> aezoo.testing.epoch_means(case)

Each check takes a `Case` and raises an `AssertionError` that says what is not as it must be. `CHECKS` lists them all,
to be given to `pytest.mark.parametrize`. `replicas` wants two devices: call `two_cpu_devices()` before TensorFlow is
used.

`execution` sees that graphs do what eager execution does; checks to which that makes no difference run eagerly, since a
graph takes longer to make than to run.
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
