"""Every line of the contract, for every model of the zoo."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

import aezoo
from aezoo import likelihoods, priors, testing
from aezoo.schedules import Linear

X = np.random.default_rng(0).random((21, 6, 6, 1), "float32")
TABLE = X.reshape(21, 36)[:, :12]
COUNTS = np.random.default_rng(0).poisson(2, (21, 12)).astype("float32")
COLUMNS = [("a", "gaussian"), ("b", "categorical", 3), ("c", "ordinal", 3), ("d", "count"), ("e", "poisson")]
COLUMNS = [*COLUMNS, ("f", "boolean"), ("g", "gaussian")]
MIXED = np.concatenate(
    [TABLE[:, :1], np.eye(3)[np.arange(21) % 3], np.eye(3)[np.arange(21) // 7], COUNTS[:, :2], TABLE[:, 1:3].round()],
    axis=1,
).astype("float32")

VARIATIONAL = {
    "vae": {"beta": Linear(0.5, 1.5, 3), "hidden_dims": (8,)},
    "vae-conv": {"filters": (3, 5), "likelihood": "gaussian", "variance": 0.5},
    "vae-learned-variance": {"likelihood": "gaussian", "variance": None, "free_bits": 0.1},
    "vae-importance-weighted": {"importance_samples": 3, "hidden_dims": (8,)},
    "vae-doubly-reparameterized": {"importance_samples": 3, "gradient_estimator": "dreg"},
    "vae-vamp-prior": {"prior": priors.VampPrior(4)},
    "vae-flow-prior": {"prior": priors.FlowPrior(layers=2, units=4, seed=0)},
    "vae-poisson": {"x": COUNTS, "likelihood": "poisson"},
    "vae-per-feature": {"x": TABLE, "likelihood": likelihoods.Gaussian("per_feature")},
    "vae-predicted": {"x": TABLE, "likelihood": likelihoods.Gaussian("predicted"), "hidden_dims": (8,)},
    "vae-negative-binomial": {"x": COUNTS, "likelihood": likelihoods.NegativeBinomial(library_size="observed")},
    "vae-zero-inflated": {"x": COUNTS, "likelihood": likelihoods.ZeroInflatedNegativeBinomial("predicted")},
    "vae-mixed-table": {"x": MIXED, "likelihood": likelihoods.MixedTable(COLUMNS), "hidden_dims": (8,)},
}


class VampPriorFromNoData(priors.VampPrior):
    """Starts at random numbers, which are the same for a part of the data."""

    def initialize_from(self, x):
        pass


def variational(x=X, **arguments):
    quiet = {**arguments, "prior": VampPriorFromNoData(4)} if "vamp" in str(arguments.get("prior")) else arguments
    return testing.Case(
        lambda **kw: aezoo.VAE(latent_dim=4, activation="tanh", **arguments, **kw),
        x,
        quiet=lambda **kw: without_noise(aezoo.VAE(latent_dim=4, activation="tanh", **quiet, **kw)),
        mean_over_samples="free_bits" not in arguments,
        empty_replica="filters" not in arguments,
        takes_loss=not likelihood_of(arguments).learns,
        decodes=getattr(likelihood_of(arguments), "library_size", None) is None,
        score=("reconstruction", "kl"),
        inputs={"n": np.int32(4), "seed": np.int64(5)},
    )


def conditional():
    arguments = {"latent_dim": 4, "num_classes": 3, "hidden_dims": (8,), "activation": "tanh"}
    return testing.Case(
        lambda **kw: aezoo.ConditionalVAE(**arguments, **kw),
        X,
        quiet=lambda **kw: without_noise(aezoo.ConditionalVAE(**arguments, **kw)),
        score=("reconstruction", "kl"),
        conditions={"label": np.arange(21, dtype="int32") % 3},
        inputs={"seed": np.int64(5)},
    )


def several_conditions():
    arguments = {"latent_dim": 4, "conditions": {"label": 3, "size": 2}, "hidden_dims": (8,), "activation": "tanh"}
    return testing.Case(
        lambda **kw: aezoo.ConditionalVAE(**arguments, **kw),
        X,
        quiet=lambda **kw: without_noise(aezoo.ConditionalVAE(**arguments, **kw)),
        score=("reconstruction", "kl"),
        conditions={"label": np.arange(21, dtype="int32") % 3, "size": np.arange(21, dtype="int32") // 11},
        inputs={"seed": np.int64(5)},
    )


def ladder():
    arguments = {"latent_dim": 4, "top_dim": 2, "hidden_dims": (8,), "top_hidden_dims": (5,), "activation": "tanh"}
    arguments["beta"] = Linear(0.5, 1.5, 3)
    return testing.Case(
        lambda **kw: aezoo.LadderVAE(**arguments, **kw),
        X,
        quiet=lambda **kw: without_noise(aezoo.LadderVAE(**arguments, **kw)),
        score=("reconstruction", "kl"),
        inputs={"n": np.int32(4), "seed": np.int64(5)},
    )


# The first two have terms of all pairs of samples. The discriminator compares codes with others of the batch, drawn at
# random; here each is compared with its own negative.
AGGREGATE = {
    "beta-tc-vae": (aezoo.BetaTCVAE, {"beta": Linear(2.0, 4.0, 3), "alpha": 0.5}, False),
    "mmd-vae": (aezoo.MMDVAE, {"weight": Linear(5.0, 10.0, 3), "beta": 0.5}, False),
    "factor-vae": (aezoo.FactorVAE, {"gamma": Linear(2.0, 4.0, 3), "discriminator_dims": (8,)}, True),
}


def aggregate(cls, arguments, mean_over_samples):
    arguments = {"latent_dim": 4, "hidden_dims": (8,), "activation": "tanh", **arguments}

    def quiet(**kw):
        model = without_noise(cls(**arguments, **kw))
        model.shuffled = lambda z, weight: -z
        return model

    return testing.Case(
        lambda **kw: cls(**arguments, **kw),
        X,
        quiet=quiet,
        mean_over_samples=mean_over_samples,
        score=("reconstruction", "kl"),
        inputs={"n": np.int32(4), "seed": np.int64(5)},
    )


def likelihood_of(arguments):
    return aezoo.VAE(2, **arguments).data_likelihood


def masked(**arguments):
    arguments = {"latent_dim": 8, "decoder_dim": 8, "patch_size": 3, "depth": 1, "heads": 2, **arguments}

    def quiet(**kw):  # always the same patches; every patch counts, as in the metrics
        model = aezoo.MaskedAE(**{**arguments, "visible_weight": 1.0}, **kw)
        model.random.uniform = lambda shape: tf.broadcast_to([0.3, 0.1, 0.4, 0.2], shape)
        return model

    return testing.Case(lambda **kw: aezoo.MaskedAE(**arguments, **kw), X, quiet=quiet)


def without_noise(model):
    """Switches off what `noise` of a VAE (then z = μ) or of a quantizer draws."""
    getattr(model, "quantizer", model).noise = tf.zeros
    return model


MAPS = np.random.default_rng(0).random((21, 8, 8, 1), "float32")


def discrete(kind, x=X, mean_over_samples=True, **arguments):
    arguments = {"latent_dim": 4, "activation": "tanh", **arguments}
    per_sample = 2 * arguments.get("levels", 1) if kind is aezoo.VQVAE else 4
    shape = (5, 2, 2, 1) if arguments.get("spatial") else (5, per_sample)
    return testing.Case(
        lambda **kw: kind(**arguments, **kw),
        x,
        mean_over_samples=mean_over_samples,
        empty_replica=not arguments.get("spatial"),
        inputs={"indices": np.arange(np.prod(shape), dtype="int32").reshape(shape) % 3},
    )


# The first 2 or 3 points of each; z is drawn in training, which no argument switches off.
SKETCHES = aezoo.sketches.stroke5(
    [sketch[: 2 + i % 2] / [20, 20, 1] for i, sketch in enumerate(aezoo.sketches.shapes(21))], steps=4
)


class SketchRNNAtTheMean(aezoo.SketchRNN):
    """Takes z = μ in training too."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.random.normal = lambda shape: tf.zeros(shape)


def sketch_rnn(**arguments):
    sizes = {"latent_dim": 3, "encoder_units": 4, "decoder_units": 6, "components": 2, **arguments}
    quiet = {"kl_floor": 0.0, "recurrent_dropout": 0.0, "random_scale": 0.0, "drop_points": 0.0}
    return testing.Case(
        lambda **kw: aezoo.SketchRNN(**sizes, **kw),
        SKETCHES,
        quiet=lambda **kw: SketchRNNAtTheMean(**sizes, **quiet, **kw),
        score=("negative_log_likelihood",),
        inputs={"n": np.int32(4), "temperature": np.float32(0.7), "seed": np.int64(5)},
        learning_rate=1e-2,
    )


def labeled_sketch_rnn():
    return dataclasses.replace(
        sketch_rnn(conditions={"label": 3}),
        conditions={"label": np.arange(21, dtype="int32") % 3},
        inputs={"temperature": np.float32(0.7), "seed": np.int64(5)},
    )


SERIES = np.random.default_rng(0).normal(size=(21, 5, 2)).astype("float32")
TOKENS = np.random.default_rng(0).integers(1, 6, (21, 4)).astype("int32")
TOKENS[np.arange(4) >= np.arange(21)[:, None] % 4 + 1] = 0  # of all lengths


def sequence(x=SERIES, **arguments):
    arguments = {"latent_dim": 3, "units": (4,), "embedding_dim": 3, **arguments}
    noisy = arguments.get("variational") or arguments.get("word_dropout")
    visible = {**arguments, "word_dropout": 0.0}
    return testing.Case(
        lambda **kw: aezoo.SequenceAE(**arguments, **kw),
        x,
        quiet=(lambda **kw: without_noise(aezoo.SequenceAE(**visible, **kw))) if noisy else None,
        mean_over_samples="free_bits" not in arguments,
        takes_loss=not arguments.get("variational") and "tokens" not in arguments,
        score=("reconstruction", "kl") if arguments.get("variational") else ("reconstruction",),
        inputs={"n": np.int32(4), "temperature": np.float32(0.7), "seed": np.int64(5)},
        learning_rate=1e-2,
    )


OF_DEAD_UNITS = {"k": 1, "aux_weight": 0.5, "aux_k": 4, "dead_after": 8}
SPARSE_CODES = {
    "top-k": (aezoo.TopKAE, {**OF_DEAD_UNITS, "multi_weight": 0.125}),
    "top-k-rows": (aezoo.TopKAE, {**OF_DEAD_UNITS, "by_rows": True}),
    "batch-top-k": (aezoo.BatchTopKAE, OF_DEAD_UNITS),
    "matryoshka": (aezoo.MatryoshkaAE, {**OF_DEAD_UNITS, "levels": (2, 5, 12)}),
    "jump-relu": (aezoo.JumpReLUAE, {"threshold": 0.05, "bandwidth": 0.05, "weight": Linear(0.05, 0.1, 3)}),
    "jump-relu-target": (aezoo.JumpReLUAE, {"threshold": 0.05, "bandwidth": 0.05, "target_l0": 3.0}),
    "gated": (aezoo.GatedAE, {"weight": Linear(0.05, 0.1, 3)}),
}


def sparse_code(cls, arguments):
    # Which units are dead depends on the steps before, so that two half steps are not one whole step.
    quiet = {**arguments, "k": 3, "aux_weight": 0.0} if "aux_weight" in arguments else arguments
    return testing.Case(
        lambda **kw: cls(latent_dim=12, **arguments, **kw),
        X,
        quiet=lambda **kw: cls(latent_dim=12, **quiet, **kw),
        # A selection in a batch, or the square of a batch mean, differs from the mean over its halves.
        mean_over_samples=not issubclass(cls, aezoo.BatchTopKAE) and "target_l0" not in arguments,
        learning_rate=1e-2,
    )


CASES = {
    "plain": testing.Case(lambda **kw: aezoo.Autoencoder(latent_dim=4, activation="tanh", **kw), X),
    "tied": testing.Case(
        lambda **kw: aezoo.Autoencoder(latent_dim=4, hidden_dims=(8,), activation="tanh", tied=True, **kw), X
    ),
    "conv": testing.Case(
        lambda **kw: aezoo.Autoencoder(latent_dim=4, filters=(3, 5), activation="tanh", **kw),
        X,
        empty_replica=False,
    ),
    "conv-residual": testing.Case(
        lambda **kw: aezoo.Autoencoder(
            latent_dim=4, filters=(3,), activation="tanh", normalization="batch", residual=1, upsampling="resize", **kw
        ),
        X,
        mean_over_samples=False,
        empty_replica=False,
    ),
    "dropout": testing.Case(
        lambda **kw: aezoo.Autoencoder(
            latent_dim=4, hidden_dims=(8,), activation="tanh", normalization="layer", dropout=0.3, **kw
        ),
        X,
        quiet=lambda **kw: aezoo.Autoencoder(
            latent_dim=4, hidden_dims=(8,), activation="tanh", normalization="layer", **kw
        ),
    ),
    "denoising": testing.Case(
        lambda **kw: aezoo.DenoisingAE(latent_dim=4, corruption=Linear(0.1, 0.5, 2), emphasis=(1.0, 0.5), **kw),
        X,
        quiet=lambda **kw: aezoo.DenoisingAE(latent_dim=4, corruption=0.0, **kw),
    ),
    "sparse-kl": testing.Case(lambda **kw: aezoo.SparseAE(latent_dim=9, weight=1.0, **kw), X, mean_over_samples=False),
    "sparse-l1": testing.Case(
        lambda **kw: aezoo.SparseAE(latent_dim=9, penalty="l1", activation="relu", weight=1.0, **kw), X
    ),
    "k-sparse": testing.Case(
        lambda **kw: aezoo.KSparseAE(latent_dim=12, k=3, k_schedule=Linear(9, 3, 3), alpha=1.5, **kw), X
    ),
    "k-sparse-aux": testing.Case(
        lambda **kw: aezoo.KSparseAE(latent_dim=12, k=1, aux_weight=0.5, aux_k=4, dead_after=8, **kw),
        X,
        # Which units are dead depends on the steps before, so that two half steps are not one whole step.
        quiet=lambda **kw: aezoo.KSparseAE(latent_dim=12, k=1, **kw),
    ),
    "k-sparse-rows": testing.Case(
        lambda **kw: aezoo.KSparseAE(latent_dim=12, k=3, k_schedule=Linear(9, 3, 3), tied=False, by_rows=True, **kw), X
    ),
    **{name: sparse_code(*each) for name, each in SPARSE_CODES.items()},
    "contractive": testing.Case(lambda **kw: aezoo.ContractiveAE(latent_dim=4, weight=2.0, **kw), X),
    "contractive-h": testing.Case(
        lambda **kw: aezoo.ContractiveAE(
            latent_dim=4, hidden_dims=(6,), weight=2.0, hessian_weight=1.0, hessian_samples=2, **kw
        ),
        X,
        quiet=lambda **kw: aezoo.ContractiveAE(latent_dim=4, hidden_dims=(6,), weight=2.0, **kw),
    ),
    "sketch-rnn": sketch_rnn(),
    "sketch-rnn-decoder": sketch_rnn(conditional=False),
    "sketch-rnn-conditions": labeled_sketch_rnn(),
    "sequence": sequence(),
    "sequence-gru": sequence(cell="gru", decoder="autoregressive", word_dropout=0.2),
    "sequence-convolution": sequence(
        cell="convolution", units=(4, 4), variational=True, beta=Linear(0.5, 1.5, 3), bidirectional=False
    ),
    "sequence-tokens": sequence(TOKENS, tokens=6, variational=True, free_bits=1e-4, word_dropout=0.2),
    "linear": testing.Case(lambda **kw: aezoo.LinearAE(latent_dim=4, weight=0.5, **kw), X),
    **{name: variational(**arguments) for name, arguments in VARIATIONAL.items()},
    "conditional": conditional(),
    "conditional-several": several_conditions(),
    **{name: aggregate(*each) for name, each in AGGREGATE.items()},
    "ladder-vae": ladder(),
    "masked": masked(mask_ratio=0.5),
    "masked-pooled": masked(pooling="mean", normalize_targets=True),
    "compressive": testing.Case(
        lambda **kw: aezoo.CompressiveAE(latent_dim=4, hidden_dims=(8,), activation="tanh", weight=2.0, **kw),
        X,
        quiet=lambda **kw: without_noise(
            aezoo.CompressiveAE(latent_dim=4, hidden_dims=(8,), activation="tanh", weight=2.0, **kw)
        ),
    ),
    "compressive-conv": testing.Case(
        lambda **kw: aezoo.CompressiveAE(latent_dim=3, filters=(4,), activation="tanh", spatial=True, weight=2.0, **kw),
        np.random.default_rng(0).random((21, 8, 8, 1), "float32"),
        quiet=lambda **kw: without_noise(
            aezoo.CompressiveAE(latent_dim=3, filters=(4,), activation="tanh", spatial=True, weight=2.0, **kw)
        ),
        empty_replica=False,
    ),
}


CASES |= {
    # Entries of a running mean move at each step; each step restarts some.
    "vq-vae": discrete(
        aezoo.VQVAE, vector_dim=2, codebook_size=4, levels=2, dead_after=9, hidden_dims=(8,), mean_over_samples=False
    ),
    "vq-vae-term": discrete(aezoo.VQVAE, vector_dim=2, codebook_size=3, ema_decay=None, hidden_dims=(8,)),
    "vq-vae-map": discrete(
        aezoo.VQVAE, MAPS, codebook_size=6, dead_after=9, filters=(3,), spatial=True, mean_over_samples=False
    ),
    "fsq-vae": discrete(aezoo.FSQVAE, latent_dim=8, levels=(4, 3), hidden_dims=(8,)),
    "fsq-vae-map": discrete(aezoo.FSQVAE, MAPS, levels=(4, 3, 2, 2), filters=(3,), spatial=True),
}


def hyperprior(**arguments):
    arguments = {"latent_dim": 2, "filters": (3,), "hyper_filters": (2,), "kernel_size": 3, "weight": 2.0, **arguments}
    return testing.Case(
        lambda **kw: aezoo.HyperpriorAE(**arguments, **kw),
        MAPS,
        quiet=lambda **kw: without_noise(aezoo.HyperpriorAE(**arguments, **kw)),
        empty_replica=False,
    )


CASES |= {"hyperprior": hyperprior(mean_scale=True), "hyperprior-scale": hyperprior()}


# Other configurations of a model above, and the checks which are of the step that they share with it.
VARIANTS = {
    "tied",
    "conv-residual",
    "dropout",
    "sparse-l1",
    "k-sparse-aux",
    "sketch-rnn-decoder",
    "sketch-rnn-conditions",
    "vae-conv",
    "vae-learned-variance",
    "vae-importance-weighted",
    "vae-doubly-reparameterized",
    "vae-vamp-prior",
    "vae-flow-prior",
    "vae-poisson",
    "vae-per-feature",
    "vae-predicted",
    "vae-negative-binomial",
    "vae-zero-inflated",
    "vae-mixed-table",
    "conditional-several",
    "masked-pooled",
    "compressive-conv",
    "hyperprior-scale",
    "vq-vae-term",
    "vq-vae-map",
    "fsq-vae-map",
    "sequence-gru",
    "sequence-convolution",
    "sequence-tokens",
}
# Checks of how data and options reach a model, which has them once: its variants add nothing to them.
ONCE = {
    testing.replicas,
    testing.accumulation,
    testing.data_forms,
    testing.target,
    testing.determinism,
    testing.bad_input,
    testing.bad_input_of_verbs,
}
PAIRS = [(name, check) for name in CASES for check in testing.CHECKS if name not in VARIANTS or check not in ONCE]
# Tokens are integers, unlike other sequences. `sequence_test.py` has the tests of tokens that a model must refuse. In
# the order of CHECKS, which is the same in every worker of xdist; the order of a set is not.
PAIRS += [
    ("sequence-tokens", check)
    for check in testing.CHECKS
    if check in ONCE - {testing.bad_input, testing.bad_input_of_verbs}
]
# What the running means of a step add up.
PAIRS += [("vq-vae-map", testing.replicas), ("vq-vae-term", testing.replicas), ("vq-vae-term", testing.accumulation)]
PAIRS.append(("conv-residual", testing.replicas))  # which normalize by the statistics of both


# === What the gate has of them; `.ci/slow` has the rest ===

# Models with the objective of another. `hyperprior_test.py` has smaller tests of exports and of saved models,
# `sketch_rnn_test.py` of labels in every method.
SHARED = {*AGGREGATE, "conditional-several", "hyperprior", "hyperprior-scale", "sketch-rnn-conditions"}
# The models that the gate checks. Most checks are of the trainer, and find in a few models of different steps what they
# would find in all. Tests of single models have smaller checks of exports, saved models and seeds.
IN_GATE = {
    testing.replicas: {"plain"},
    testing.execution: {"plain"},
    testing.data_forms: {"plain"},
    testing.exporting: {"plain", "k-sparse"},
    testing.determinism: {"plain", "vae"},
    testing.target: {"plain", "k-sparse", "top-k", "vae"},
    testing.divergence: {"plain", "k-sparse", "top-k", "vae"},
    testing.tracing: {"plain", "denoising", "k-sparse", "top-k", "vae"},
    testing.epoch_means: {"plain", "k-sparse", "top-k", "vae", "compressive"},
    testing.verbs: {"plain", "k-sparse", "vae", "conditional", "compressive"},
    testing.saving: {"plain", "k-sparse", "vae", "vq-vae"},
    testing.sample_weights: {"plain", "k-sparse", "top-k", "contractive", "vae", "vq-vae"},
    testing.mixed_precision: {"plain", "sparse-kl", "k-sparse", "top-k", "jump-relu", "contractive", "vae"},
    testing.accumulation: {"plain", "sparse-kl", "k-sparse", "top-k", "contractive", "vae", "vq-vae"},
    testing.bad_input: CASES.keys() - VARIANTS - SPARSE_CODES.keys() - SHARED - {"ladder-vae"} | {"top-k"},
    testing.bad_input_of_verbs: CASES.keys() - VARIANTS - SPARSE_CODES.keys() - SHARED - {"ladder-vae"} | {"top-k"},
    # What a model can get wrong in its own objective. Variants have the first two.
    testing.configuration: CASES.keys() - {"sketch-rnn-conditions"},
    testing.weight_zero: CASES.keys() - {"sketch-rnn-conditions", "hyperprior-scale"},
    testing.scores: CASES.keys() - SHARED - VARIANTS,
    testing.declared: CASES.keys() - SHARED - VARIANTS,
    testing.weight_scale: CASES.keys() - SHARED - VARIANTS - {"sequence"},
    # Masks are of `Trainer.reconstruction`, and of the losses that a model has instead.
    testing.mask: CASES.keys() - SHARED - VARIANTS - {"conv", "k-sparse-rows", "linear", "contractive-h"},
}
assert all(names <= CASES.keys() for names in IN_GATE.values()), "a name that is no case"


# Graphs of these take long to make: the gate has the check without graphs, or a step of it; `.ci/slow` has it with
# graphs. No other check of the gate finds that a KL divergence is of one replica's sketches.
WITHOUT_GRAPHS = [
    ("vae", testing.replicas),
    ("sketch-rnn", testing.replicas),
    ("conv-residual", testing.replicas),
    ("compressive", testing.replicas),
    ("compressive", testing.determinism),
]
ONE_STEP = [name for name, check in WITHOUT_GRAPHS if check is testing.replicas]


def pair(name, check):
    slow = name not in IN_GATE[check]
    return pytest.param(name, check, marks=[pytest.mark.slow] if slow else [], id=f"{name}-{check.__name__}")


@pytest.mark.filterwarnings("ignore:The loss 'mean_squared_error' averages over features")  # `data_forms` of a VAE
@pytest.mark.parametrize(("name", "check"), [pair(*each) for each in PAIRS])
def test_conformance(name, check):
    check(CASES[name])


@pytest.mark.parametrize(
    ("name", "check"),
    [
        pytest.param(
            name,
            check,
            marks=[pytest.mark.slow] if check is testing.replicas else [],
            id=f"{name}-{check.__name__}",
        )
        for name, check in WITHOUT_GRAPHS
    ],
)
def test_conformance_without_graphs(name, check, eager):
    check(eager(CASES[name]))


@pytest.mark.parametrize("name", ONE_STEP)
def test_a_step_of_two_replicas_is_that_of_one(name, one_step_on_replicas):
    one_step_on_replicas(CASES[name])
