"""Trains every model with its constructor's defaults and its `default_optimizer()`, and judges what comes out.

    TFDS_DATA_DIR=... python benchmarks/defaults.py

A user who trusts the defaults gets what stands in this table. Only the number of units is chosen, and what the data
force: a linear output, Gaussian visible units or a Gaussian likelihood where the data are standardized. Batches have
100 samples, as in `pretrain`. An epoch has about 10,000: of MNIST and Fashion-MNIST the first 10,000, smaller sets are
repeated. There are 15 epochs of images, and 40 of the smaller sets.

The criteria were written down before the first run. On every data set, on its test samples, a model must beat the
trivial answer:

- its squared error is less than the error of the mean training sample;
- a VAE's -ELBO, and an RBM's pseudo-log-likelihood (exact log-likelihood, for Gaussian visible units), is better than
  the likelihood of independent features with the rates of the training set, or its means and one variance;
- a codec's rate + w · error is less than w · the error of the mean sample, which costs no bits;
- a SketchRNN gives a sketch more likelihood than one normal distribution of all offsets with the rates of pen states.

And it must do what it is for:

- Autoencoder: it explains at least 0.9 of what PCA explains with as many components;
- LinearAE: at least 0.99 of it, and its first three axes are PCA's (mean cosine at least 0.95);
- DenoisingAE: from corrupted samples its error is less than that of the same model trained without corruption;
- SparseAE, KL: the mean activation is at most 1.5 times its target;
- SparseAE, L1: the mean activation is at most half of that of the same model without the penalty;
- KSparseAE: it explains at least 0.9 of what PCA explains with k components;
- ContractiveAE: the Jacobian's norm is at most 2/3 of that of the same model without the penalty, and it is less even
  where both are divided by the spread of the codes, which a mere rescaling of the code does not change;
- VAE: at least a quarter of its units are active (Burda et al.: the variance of μ over the test set exceeds 0.01);
- CompressiveAE: fewer bits than entropy-coded PCA takes for the same error;
- RBM: the pseudo-log-likelihood of the training samples rises from the second to the last third of the epochs;
- stacks: the unrolled model beats the trivial answer before it is fine-tuned, and after as many epochs of fine-tuning
  it is better than the same network from random weights;
- SketchRNN: a sketch is likelier given its own code than given another sketch's;
- models with fixed units, all but VAE and CompressiveAE: at most a tenth of the units are dead, which is to say that
  they vary over the test set by less than 1 % of what the unit that varies most does.

Each run is saved as soon as it is finished, in benchmarks/defaults.json; finished runs are skipped when the script is
started again. Remove the file to measure changed defaults.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np
from saved_runs import SavedRuns
from sklearn.datasets import load_breast_cancer
from sklearn.decomposition import PCA

import aezoo
from aezoo import evaluation, sketches

HERE = Path(__file__).parent
BATCH_SIZE = 100
DEAD = "dead units, share"


@dataclasses.dataclass(frozen=True)
class Data:
    """Samples, and the sizes of models for them.

    Attributes:
        repeats: How often an epoch goes through the samples.
        units: Of codes that are smaller than a sample.
        many: Of codes that are larger.
        hidden: Of RBMs; at most 20, so that the likelihood of Gaussian visible units can be computed exactly.
        stack: Of the layers of a stack.
    """

    name: str
    x: np.ndarray
    x_test: np.ndarray
    repeats: int
    epochs: int
    units: int
    many: int
    hidden: int
    stack: tuple[int, ...]
    standardized: bool = False

    @property
    def mean_error(self) -> float:
        """The squared error of the mean training sample per test sample."""
        return squared_error(np.broadcast_to(self.x.mean(axis=0), self.x_test.shape), self.x_test)

    def pca_share(self, components: int) -> float:
        """The error of PCA on the test samples as a share of the mean sample's; 0 where it loses nothing."""
        x, x_test = flat(self.x), flat(self.x_test)
        if components >= min(x.shape):
            return 0.0
        pca = PCA(components, random_state=0).fit(x)
        return squared_error(pca.inverse_transform(pca.transform(x_test)), x_test) / self.mean_error


@dataclasses.dataclass
class Check:
    """A number and what it must be, as `benchmarks/results.py` reads it: "< 1", ">= 0.9"."""

    what: str
    ours: float
    target: str


@dataclasses.dataclass
class Found:
    """What a run leaves: shares of the mean sample's error, and what was checked."""

    units: int
    error: float | None
    pca: float | None
    dead: float | None
    trivial: list[Check]
    term: list[Check]


def below(what: str, ours: float, bound: float) -> Check:
    """A number that must be less than a bound."""
    return Check(what, ours, f"< {bound:.4f}")


def at_most(what: str, ours: float, bound: float) -> Check:
    """A number that must not exceed a bound."""
    return Check(what, ours, f"<= {bound:.4f}")


def at_least(what: str, ours: float, bound: float) -> Check:
    """A number that must not be below a bound."""
    return Check(what, ours, f">= {bound:.4f}")


# === Data ===


def standardized(x: np.ndarray, x_test: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both with the mean and the deviation of the first."""
    mean, deviation = x.mean(axis=0), x.std(axis=0) + 1e-6
    return tuple(((part - mean) / deviation).astype("float32") for part in (x, x_test))


def sines(n: int, seed: int) -> np.ndarray:
    """Series of 48 steps in 3 channels, each a sine of one to three periods with noise."""
    rng = np.random.default_rng(seed)
    periods, phase = rng.integers(1, 4, (n, 1, 3)), rng.uniform(0, 2 * np.pi, (n, 1, 3))
    t = np.linspace(0, 2 * np.pi, 48, endpoint=False)[:, None]
    return np.sin(periods * t + phase) + 0.3 * rng.normal(size=(n, 48, 3))


def images(name: str, n: int, n_test: int) -> tuple[np.ndarray, np.ndarray]:
    """The first images of a data set."""
    (x, _), (x_test, _) = aezoo.datasets.load(name)
    return x[:n], x_test[:n_test]


def table() -> tuple[np.ndarray, np.ndarray]:
    """The features of the breast cancer table, every fifth row for testing."""
    x = load_breast_cancer().data
    test = np.arange(len(x)) % 5 == 4
    return standardized(x[~test], x[test])


def data_sets(quick: bool) -> list[Data]:
    """The data, smallest first."""
    if quick:
        x, x_test = table()
        return [
            Data("digits", *images("digits", 100, 50), 1, 1, 4, 30, 8, (8, 4)),
            Data("breast_cancer", x[:100], x_test[:50], 1, 1, 4, 30, 8, (8, 4), standardized=True),
        ]
    return [
        Data("digits", *images("digits", 2_000, 2_000), 7, 40, 16, 128, 100, (64, 32, 16)),
        Data("breast_cancer", *table(), 22, 40, 8, 64, 16, (32, 16, 8), standardized=True),
        Data(
            "sines", *standardized(sines(2_000, 0), sines(500, 1)), 5, 40, 16, 256, 16, (64, 32, 16), standardized=True
        ),
        Data("mnist", *images("mnist", 10_000, 2_000), 1, 15, 32, 1000, 500, (300, 100, 32)),
        Data("fashion_mnist", *images("fashion_mnist", 10_000, 2_000), 1, 15, 32, 1000, 500, (300, 100, 32)),
    ]


def shapes(quick: bool) -> Data:
    """Sketches of shapes."""
    (x, _), (x_test, _) = sketches.load("shapes", max_points=9 if quick else None)
    if quick:
        x, x_test = x[:40], x_test[:20]
    return Data("shapes", x, x_test, 1, 1 if quick else 20, 4 if quick else 128, 0, 0, ())


# === What is measured ===


def flat(x: np.ndarray) -> np.ndarray:
    """Samples as (n, features)."""
    return x.reshape(len(x), -1)


def squared_error(x_pred: np.ndarray, x: np.ndarray) -> float:
    """The squared error per sample."""
    return float(np.mean(np.sum((flat(x_pred) - flat(x)) ** 2, axis=1, dtype="float64")))


def in_parts(call: Callable[[Any], Any], x: np.ndarray) -> np.ndarray:
    """What a method of a model returns, 500 samples at a time."""
    return np.concatenate([np.asarray(call(x[i : i + 500])) for i in range(0, len(x), 500)])


def codes(model: Any, data: Data) -> np.ndarray:
    """The codes of the test samples, (n, units)."""
    return flat(in_parts(model.encode, data.x_test))


def error_share(model: Any, data: Data) -> float:
    """The error on the test samples as a share of the mean sample's."""
    return squared_error(in_parts(model.reconstruct, data.x_test), data.x_test) / data.mean_error


def found(model: Any, data: Data, judge_dead: bool = True) -> Found:
    """What every model is asked."""
    z = codes(model, data)
    deviation = z.std(axis=0)
    dead = float(np.mean(deviation <= 0.01 * deviation.max()))
    error = error_share(model, data)
    return Found(
        units=z.shape[1],
        error=error,
        pca=data.pca_share(z.shape[1]),
        dead=dead,
        trivial=[below("error, share of the mean sample's", error, 1)],
        term=[at_most(DEAD, dead, 0.1)] if judge_dead else [],
    )


def explained(model_error: float, pca_error: float, share: float, what: str) -> Check:
    """That a model explains a share of what PCA does."""
    return at_least(f"explained variance over PCA's, {what}", (1 - model_error) / (1 - pca_error), share)


def independent(likelihood: str, x: np.ndarray, x_test: np.ndarray) -> float:
    """-log p of test samples under independent features, in nats; normal ones share a variance, as in a VAE."""
    x, x_test = flat(x).astype("float64"), flat(x_test).astype("float64")
    if likelihood == "gaussian":
        variance = np.mean(x.var(axis=0))
        nats = 0.5 * ((x_test - x.mean(axis=0)) ** 2 / variance + np.log(2 * np.pi * variance))
    else:
        p = (x.sum(axis=0) + 0.5) / (len(x) + 1)
        nats = -(x_test * np.log(p) + (1 - x_test) * np.log1p(-p))
    return float(nats.sum(axis=1).mean())


def pca_bits(data: Data, components: int, error: float) -> float:
    """Bits per test sample that rounded principal components take at a squared error, by ideal entropy coding."""
    x, x_test = flat(data.x), flat(data.x_test)
    pca = PCA(min(components, *x.shape), random_state=0).fit(x)
    z, z_test = pca.transform(x), pca.transform(x_test)
    points = []
    for step in np.geomspace(0.05, 4, 24) * z.std(axis=0).max():
        counted, rounded = np.rint(z / step).astype(int), np.rint(z_test / step).astype(int)
        bits = 0.0
        for unit, unit_test in zip(counted.T, rounded.T, strict=True):
            least, most = min(unit.min(), unit_test.min()), max(unit.max(), unit_test.max())
            counts = np.bincount(unit - least, minlength=most - least + 1) + 0.5
            bits -= float(np.log2(counts / counts.sum())[unit_test - least].mean())
        points.append((squared_error(pca.inverse_transform(step * rounded), x_test), bits))
    errors, bits = zip(*sorted(points), strict=True)
    return float(np.interp(error, errors, np.minimum.accumulate(bits)))


# === The models ===


class Trainer:
    """Trains models on one data set."""

    def __init__(self, data: Data, seed: int, quick: bool):
        self.data, self.seed, self.quick = data, seed, quick
        self.x = np.tile(data.x, (data.repeats, *[1] * (data.x.ndim - 1)))
        self.forced = {"output_activation": "linear"} if data.standardized else {}

    def fit(self, model: Any) -> Any:
        """Trains a model with its default optimizer; returns it, its history in `model.history`."""
        keras.utils.set_random_seed(self.seed)
        model.compile(model.default_optimizer(), run_eagerly=self.quick)
        model.fit(self.x, epochs=self.data.epochs, batch_size=BATCH_SIZE, verbose=0)
        return model

    def autoencoder(self) -> Found:
        """Autoencoder."""
        result = found(self.fit(aezoo.Autoencoder(self.data.units, seed=self.seed, **self.forced)), self.data)
        result.term.insert(0, explained(result.error, result.pca, 0.9, "as many components"))
        return result

    def linear(self) -> Found:
        """LinearAE."""
        model = self.fit(aezoo.LinearAE(self.data.units, seed=self.seed))
        result = found(model, self.data)
        axes = model.principal_components(self.data.x).components_[:3]
        pca = PCA(self.data.units, random_state=0).fit(flat(self.data.x)).components_[:3]
        cosine = float(np.abs(np.sum(axes * pca, axis=1)).mean())
        result.term = [
            explained(result.error, result.pca, 0.99, "as many components"),
            at_least("cosine with PCA's first three axes", cosine, 0.95),
            *result.term,
        ]
        return result

    def denoising(self) -> Found:
        """DenoisingAE, beside the same model without corruption."""
        model, plain = (
            self.fit(aezoo.DenoisingAE(self.data.many, seed=self.seed, **self.forced, **more))
            for more in ({}, {"corruption": 0.0})
        )
        result, x = found(model, self.data), self.data.x_test
        corrupted = np.asarray(model.corruption(x, training=True))
        ours, theirs = (
            squared_error(in_parts(m.reconstruct, corrupted), x) / self.data.mean_error for m in (model, plain)
        )
        result.term.insert(0, below("error from corrupted samples, beside the plain model's", ours, theirs))
        return result

    def sparse_kl(self) -> Found:
        """SparseAE with the KL penalty."""
        model = self.fit(aezoo.SparseAE(self.data.many, seed=self.seed, **self.forced))
        result, mean = found(model, self.data), float(codes(model, self.data).mean())
        result.term.insert(0, at_most(f"mean activation, target {model.target:g}", mean, 1.5 * model.target))
        return result

    def sparse_l1(self) -> Found:
        """SparseAE with the L1 penalty, beside the same model without it."""
        model, plain = (
            self.fit(aezoo.SparseAE(self.data.many, penalty="l1", seed=self.seed, **self.forced, **more))
            for more in ({}, {"weight": 0.0})
        )
        result = found(model, self.data)
        ours, theirs = (float(np.abs(codes(m, self.data)).mean()) for m in (model, plain))
        result.term.insert(0, at_most("mean activation, beside half of the plain model's", ours, theirs / 2))
        return result

    def k_sparse(self) -> Found:
        """KSparseAE; its output is linear on all data."""
        model = self.fit(aezoo.KSparseAE(self.data.many, seed=self.seed))
        result, k = found(model, self.data), model.top_k.k
        pca = self.data.pca_share(k)
        result.term.insert(0, explained(result.error, pca, 0.9, f"k = {k} components"))
        return result

    def contractive(self) -> Found:
        """ContractiveAE, beside the same model without the penalty."""
        model, plain = (
            self.fit(aezoo.ContractiveAE(self.data.many, seed=self.seed, **self.forced, **more))
            for more in ({}, {"weight": 0.0})
        )
        result = found(model, self.data)
        norms, spreads = [], []
        for m in (model, plain):
            norms.append(float(np.mean(evaluation.jacobian_norm(m, self.data.x_test[:500]))))
            spreads.append(float(np.sqrt(codes(m, self.data).var(axis=0).sum())))
        relative = [norm / spread for norm, spread in zip(norms, spreads, strict=True)]
        result.term = [
            at_most("‖J‖, beside 2/3 of the plain model's", norms[0], norms[1] * 2 / 3),
            below("‖J‖ over the spread of codes, beside the plain model's", *relative),
            *result.term,
        ]
        return result

    def vae(self, likelihood: str) -> Found:
        """VAE."""
        data, model = self.data, self.fit(aezoo.VAE(self.data.units, likelihood=likelihood, seed=self.seed))
        result = found(model, data, judge_dead=False)
        elbo = float(model.evaluate(data.x_test, batch_size=500, verbose=0, return_dict=True)["loss"])
        active = int(np.sum(codes(model, data).var(axis=0) > 0.01))
        nothing = independent(likelihood, data.x, data.x_test)
        result.trivial.append(below("-ELBO, beside independent features", elbo, nothing))
        result.term.append(at_least(f"active units of {data.units}", active, data.units / 4))
        result.dead = (data.units - active) / data.units
        return result

    def compressive(self) -> Found:
        """CompressiveAE."""
        data, model = self.data, self.fit(aezoo.CompressiveAE(self.data.units, seed=self.seed, **self.forced))
        result = found(model, data, judge_dead=False)
        rate = float(np.mean(in_parts(lambda x: model.rate(model.encode(x)), data.x_test)))
        error = result.error * data.mean_error
        cost, nothing = rate + model.weight * error, model.weight * data.mean_error
        result.trivial.append(below("rate + w · error, beside the mean sample's at no bits", cost, nothing))
        result.term.append(below("bits (target: PCA at equal error)", rate, pca_bits(data, data.units, error)))
        return result

    def rbm(self, persistent: bool) -> Found:
        """RBM by CD-1 or PCD-1."""
        data = self.data
        visible = {"visible": "gaussian"} if data.standardized else {}
        rbm = self.fit(aezoo.RBM(data.hidden, persistent=persistent, seed=self.seed, **visible))
        result = found(rbm, data)
        if data.standardized:
            nats = -float(np.mean(evaluation.log_likelihood(rbm, data.x_test, evaluation.log_partition(rbm)[0])))
            nothing = independent("gaussian", data.x, data.x_test)
            result.trivial.append(below("-log-likelihood, beside independent features", nats, nothing))
            return result
        # Of images rounded to 0 and 1: of gray values the pseudo-likelihood is none.
        tests = np.round(data.x_test[:300])
        nats = -float(np.mean(rbm.pseudo_log_likelihood(tests)))
        nothing = independent("bernoulli", np.round(data.x), tests)
        result.trivial.append(below("-pseudo-log-likelihood, beside independent pixels", nats, nothing))
        history = rbm.history.history["pseudo_log_likelihood"]
        third = max(1, len(history) // 3)
        second, last = (-float(np.mean(part)) for part in (history[-2 * third : -third] or history, history[-third:]))
        what = "-pseudo-log-likelihood in the last third of the epochs, beside the second"
        result.term.insert(0, at_most(what, last, second))
        return result

    def stack(self, stack: Any) -> Found:
        """A stack, unrolled, before and after fine-tuning, beside the same network from random weights."""
        for stage in stack.stages:
            stage.compile(stage.default_optimizer(), run_eagerly=self.quick)
        keras.utils.set_random_seed(self.seed)
        stack.pretrain(self.x, epochs=self.data.epochs, batch_size=BATCH_SIZE, seed=self.seed, verbose=0)
        deep = stack.unroll(seed=self.seed)
        before = error_share(deep, self.data)
        keras.utils.set_random_seed(self.seed)
        networks = (keras.models.clone_model(network) for network in (deep.encoder, deep.decoder))
        random = self.fit(aezoo.Autoencoder(encoder=next(networks), decoder=next(networks), seed=self.seed))
        result = found(self.fit(deep), self.data)
        result.trivial.insert(0, below("error before fine-tuning, share of the mean sample's", before, 1))
        theirs = error_share(random, self.data)
        result.term.insert(0, below("error, beside the same network's from random weights", result.error, theirs))
        return result

    def stacked(self) -> Found:
        """StackedAE of denoising autoencoders."""
        forced = [self.forced, *[{}] * (len(self.data.stack) - 1)]
        stages = [
            aezoo.DenoisingAE(units, seed=self.seed, **more)
            for units, more in zip(self.data.stack, forced, strict=True)
        ]
        return self.stack(aezoo.StackedAE(stages))

    def dbn(self) -> Found:
        """DBN."""
        visible = [{"visible": "gaussian"} if self.data.standardized else {}, *[{}] * (len(self.data.stack) - 1)]
        rbms = [aezoo.RBM(units, seed=self.seed, **more) for units, more in zip(self.data.stack, visible, strict=True)]
        return self.stack(aezoo.DBN(rbms))

    def sketch_rnn(self) -> Found:
        """SketchRNN."""
        data = self.data
        small = {"encoder_units": 8, "decoder_units": 16} if self.quick else {}
        model = self.fit(aezoo.SketchRNN(data.units, seed=self.seed, **small))
        z = np.asarray(model.encode(data.x_test))
        own, others = (
            float(np.mean(model.negative_log_likelihood(data.x_test, code))) for code in (z, np.roll(z, 1, axis=0))
        )
        deviation = z.std(axis=0)
        dead = float(np.mean(deviation <= 0.01 * deviation.max()))
        return Found(
            units=data.units,
            error=None,
            pca=None,
            dead=dead,
            trivial=[below("-log-likelihood, beside one normal distribution", own, one_normal(data.x, data.x_test))],
            term=[
                below("-log-likelihood given its own code, beside another's", own, others),
                at_most(DEAD, dead, 0.1),
            ],
        )


def one_normal(x: np.ndarray, x_test: np.ndarray) -> float:
    """-log p of sketches up to their end, steps independent: a normal distribution of offsets, rates of pen states."""

    def parts(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        points = x[..., 4] == 0
        until_end = np.concatenate([np.ones_like(points[:, :1]), points[:, :-1]], axis=1)
        return x[points][:, :2].astype("float64"), x[until_end][:, 2:]

    (offsets, pens), (offsets_test, pens_test) = parts(x), parts(x_test)
    covariance, deviation = np.cov(offsets.T), offsets_test - offsets.mean(axis=0)
    squares = np.einsum("ni,ij,nj->n", deviation, np.linalg.inv(covariance), deviation)
    of_offsets = 0.5 * (squares + np.linalg.slogdet(2 * np.pi * covariance)[1])
    of_pens = -pens_test @ np.log(pens.mean(axis=0))
    return float((of_offsets.sum() + of_pens.sum()) / len(x_test))


MODELS: dict[str, Callable[[Trainer], Found]] = {
    "Autoencoder": Trainer.autoencoder,
    "LinearAE": Trainer.linear,
    "DenoisingAE": Trainer.denoising,
    "SparseAE, KL": Trainer.sparse_kl,
    "SparseAE, L1": Trainer.sparse_l1,
    "KSparseAE": Trainer.k_sparse,
    "ContractiveAE": Trainer.contractive,
    "VAE, Bernoulli": lambda trainer: trainer.vae("bernoulli"),
    "VAE, Gaussian": lambda trainer: trainer.vae("gaussian"),
    "CompressiveAE": Trainer.compressive,
    "RBM, CD": lambda trainer: trainer.rbm(persistent=False),
    "RBM, PCD": lambda trainer: trainer.rbm(persistent=True),
    "StackedAE": Trainer.stacked,
    "DBN": Trainer.dbn,
}


def runs(quick: bool) -> list[tuple[str, Data, Callable[[Trainer], Found]]]:
    """Every model on every data set that it takes."""
    pairs = [
        (name, data, train)
        for data in data_sets(quick)
        for name, train in MODELS.items()
        if not (name == "VAE, Bernoulli" and data.standardized)
    ]
    return [*pairs, ("SketchRNN", shapes(quick), Trainer.sketch_rnn)]


# === The report ===


def shown(what: str, run: dict[str, Any]) -> str:
    """A run in a few lines."""
    head = f"{what}, {run['units']} units, {run['minutes']:.1f} minutes"
    checks = [*run["trivial"], *run["term"]]
    return "\n".join([head, *(f"    {check['what']}: {check['ours']:.4g} ({check['target']})" for check in checks)])


def main() -> None:
    """Runs what has not been run yet."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="a regular expression: runs such as 'RBM, PCD on mnist' that match")
    parser.add_argument("--output", type=Path, help="default: benchmarks/defaults.json, and none of a quick run")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quick", action="store_true", help="a few samples and one epoch: the numbers mean nothing")
    options = parser.parse_args()
    output = options.output or (None if options.quick else HERE / "defaults.json")
    settings = {"seed": options.seed, "batch_size": BATCH_SIZE}
    versions = {"aezoo": aezoo.__version__, "keras": keras.__version__}
    finished = SavedRuns("benchmarks/defaults.py", output, ("model", "data"), settings, versions)
    for name, data, train in runs(options.quick):
        if (name, data.name) in finished or not re.search(options.only, f"{name} on {data.name}"):
            continue
        start = time.perf_counter()
        result = train(Trainer(data, options.seed, options.quick))
        run = {**dataclasses.asdict(result), "minutes": (time.perf_counter() - start) / 60}
        finished.add((name, data.name), **run)
        print(shown(f"{name} on {data.name}", run), flush=True)
        keras.backend.clear_session(free_memory=False)


if __name__ == "__main__":
    main()
