"""Every line of the contract, for machines of every kind of unit and way of training."""

import numpy as np
import pytest
import tensorflow as tf

import aezoo
from aezoo import testing

X = np.random.default_rng(0).random((21, 6, 6, 1), "float32")
# Mean 0 and variance 1, also in the first 8 of them, so that gaussian units have nothing to warn of.
STANDARD = np.random.default_rng(1).choice([-1.3, -0.6, 0.6, 1.3], (11, 6, 6, 1)).astype("float32")
STANDARD = np.stack([STANDARD, -STANDARD], axis=1).reshape(22, 6, 6, 1)[:21]
ONE_HOT = np.eye(4, dtype="float32")[np.random.default_rng(2).integers(0, 4, (21, 6))]


class MeanField(aezoo.RBM):
    """A machine whose units take their means instead of values drawn from them."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.random.normal = lambda shape, shared=False: tf.zeros(shape)
        self.random.uniform = lambda shape, shared=False: tf.fill(shape, 0.5)

    def bernoulli(self, p, shared=False):
        return p


def case(x=X, hidden_units=5, learning_rate=1e-2, mean_over_samples=True, **arguments):
    arguments = {"kernel_stddev": 0.3, **arguments}
    return testing.Case(
        lambda **kw: aezoo.RBM(hidden_units, **arguments, **kw),
        x,
        quiet=lambda **kw: MeanField(hidden_units, **arguments, **kw),
        mean_over_samples=mean_over_samples,
        learning_rate=learning_rate,
        learns_target=False,
        score=("free_energy",),
    )


CASES = {
    "cd": case(gibbs_steps=2, weight_decay=0.01),
    # Chains, offsets and the means that are drawn to a target move on with each half batch.
    "pcd-centred": case(persistent=True, chains=7, centering=True, sparsity_target=0.2, mean_over_samples=False),
    "gaussian": case(STANDARD, visible="gaussian", hidden="gaussian", kernel_stddev=0.1, learning_rate=1e-3),
}

# Machines of the same step with other units and chains: rbm_units_test.py has their equations.
CASES_OF_UNITS = {
    "tempered": case(persistent=True, chains=7, temperatures=3, mean_over_samples=False),
    "softmax": case(ONE_HOT, visible="softmax"),
    "stddev": case(5 * STANDARD + 3, visible="gaussian", learn_stddev=True, kernel_stddev=0.1, learning_rate=1e-3),
}
CASES |= CASES_OF_UNITS


# Checks of the trainer, the step and the networks, which are in the gate for the first machine.
SHARED = {
    testing.execution,
    testing.exporting,
    testing.data_forms,
    testing.determinism,
    testing.mixed_precision,
    testing.tracing,
    testing.epoch_means,
    testing.target,
    testing.verbs,
}
# The second machine, whose offsets and chains are means over replicas, has a step of two replicas in the gate.
SLOW = {
    ("cd", testing.replicas),
    ("pcd-centred", testing.replicas),
    # rbm_test.py compares graphs with NumPy, and samples of equal seeds; data have the same way to all models.
    ("cd", testing.execution),
    ("cd", testing.exporting),
    ("cd", testing.mixed_precision),
    ("cd", testing.determinism),
    ("cd", testing.data_forms),
    ("gaussian", testing.replicas),
    # `cd` has these in the gate.
    *((name, testing.saving) for name in ("pcd-centred", "gaussian")),
    *(("gaussian", check) for check in (testing.accumulation, testing.divergence, testing.sample_weights)),
    *((name, check) for name in ("pcd-centred", "gaussian") for check in SHARED),
}


def pair(name, check):
    slow = name in CASES_OF_UNITS or (name, check) in SLOW
    return pytest.param(name, check, marks=[pytest.mark.slow] if slow else [], id=f"{name}-{check.__name__}")


@pytest.mark.parametrize(("name", "check"), [pair(name, check) for name in CASES for check in testing.CHECKS])
def test_conformance(name, check):
    check(CASES[name])


@pytest.mark.slow
def test_replicas_of_chains_and_offsets_agree_without_graphs(eager):
    testing.replicas(eager(CASES["pcd-centred"]))


def test_chains_and_offsets_of_a_step_on_two_replicas_are_those_of_one(one_step_on_replicas):
    one_step_on_replicas(CASES["pcd-centred"])
