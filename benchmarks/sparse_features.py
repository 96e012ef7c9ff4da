"""Sparse codes on synthetic data whose features are known, beside dictionary_learning and SAELens in the same run.

    python benchmarks/sparse_features.py [--methods NAME ...] [--seeds N] [--steps N]

A sample is a bias plus the directions of the active ones of 2,000 features in 128 dimensions, random unit vectors with
magnitudes of mean 1 and standard deviation 0.25. 400 features are roots: their probabilities fall with the root of
their rank, and a Gaussian copula of rank 16 correlates them. Half of the roots are parents of 8 features each, which
are active only where their parent is; the children of every other parent exclude each other. About 7 features are
active in a sample. As in SAELens' SynthSAEBench, a dictionary has 512 units, a quarter of the features.

Every method gets the same samples, the same number of steps of 512 samples, Adam with a warmup of 100 steps and a
linear decay over the last third, and k = 6; methods without k have a penalty that was chosen on seed 0 for 4.5 to 7
active units. The rate is the best of 0.003, 0.01 and 0.03 by F1 on seed 0, for each method of each library; `--rate`
tries one. A unit is dead for AuxK after 25,000 samples. All other settings, such as Adam's β₁, are the defaults of the
library. The data are scaled to what each library expects: aezoo does so itself, dictionary_learning gets a mean squared
norm of 1, SAELens a mean norm of √128. dictionary_learning's module for language models, which needs further packages,
is not used.

On 20,000 further samples:

- F1: every unit is a detector of the feature whose direction is nearest to its own, by the absolute cosine; the mean of
  its F1 score over the units. A dead unit has 0.
- MCC: the mean absolute cosine of the pairs that match every unit with another feature best (Hungarian algorithm).
- L0: active units per sample. Dead: units that no sample uses. EV: the share of the variance that is explained.

F1 and MCC are defined as in SAELens.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import math
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np
import scipy.optimize
import scipy.special
from saved_runs import SavedRuns

import aezoo

HERE = Path(__file__).parent
ROOTS, CHILDREN, DIM, UNITS, K = 400, 8, 128, 512, 6
BATCH, WARMUP, DEAD_AFTER = 512, 100, 25_000
EPOCHS = 10  # parts of a training, after which schedules move
#: Penalties that were chosen on seed 0, by library and method.
PENALTIES = {
    ("aezoo", "gated"): 0.4,
    ("aezoo", "L1"): 0.19,
    ("dictionary_learning", "gated"): 0.4,
    ("dictionary_learning", "L1"): 0.38,
}
LEVELS = (16, 48, 112, 240, UNITS)
RATE = 0.01
#: Learning rates where 0.01 was not the best on seed 0.
RATES = {
    ("aezoo", "gated"): 0.03,
    ("aezoo", "L1"): 0.03,
    ("dictionary_learning", "gated"): 0.03,
    ("dictionary_learning", "L1"): 0.03,
    ("SAELens", "BatchTopK"): 0.003,
    ("SAELens", "JumpReLU"): 0.003,
}


class Synthetic:
    """The model of the data, and samples of it."""

    def __init__(self, seed: int):
        self.rng = rng = np.random.default_rng(seed)
        self.parents = rng.choice(ROOTS, ROOTS // 2, replace=False)
        self.features = ROOTS + len(self.parents) * CHILDREN
        directions = rng.normal(size=(self.features, DIM)).astype("float32")
        self.directions = directions / np.linalg.norm(directions, axis=1, keepdims=True)
        bias = rng.normal(size=DIM)
        self.bias = (bias / np.linalg.norm(bias)).astype("float32")
        weight = np.arange(1, ROOTS + 1) ** -0.5
        self.thresholds = -scipy.special.ndtri(5 * weight / weight.sum()).astype("float32")
        self.loadings = rng.normal(0, math.sqrt(0.2 / 16), (16, ROOTS)).astype("float32")
        of_child = 1 / np.arange(1, CHILDREN + 1)
        self.of_child = 0.8 * of_child / of_child.sum()

    def sample(self, n: int) -> tuple[np.ndarray, np.ndarray]:
        """Return activations of the features, (n, features), and samples, (n, DIM)."""
        rng = self.rng
        noise = rng.standard_normal((n, ROOTS), dtype="float32") * math.sqrt(0.8)
        roots = rng.standard_normal((n, 16), dtype="float32") @ self.loadings + noise > self.thresholds
        u = rng.random((n, len(self.parents), CHILDREN), dtype="float32")
        children = u < self.of_child
        # One number chooses at most one of the children that exclude each other.
        edges = np.concatenate([[0], np.cumsum(self.of_child)])
        one = u[:, ::2, :1]
        children[:, ::2] = (one >= edges[:-1]) & (one < edges[1:])
        children &= roots[:, self.parents, None]
        active = np.concatenate([roots, children.reshape(n, -1)], axis=1)
        z = np.zeros(active.shape, "float32")
        z[active] = np.abs(rng.normal(1, 0.25, np.count_nonzero(active)))
        return z, z @ self.directions + self.bias

    def samples(self, n: int) -> np.ndarray:
        """Return many samples, (n, DIM)."""
        return np.concatenate([self.sample(min(10_000, n - start))[1] for start in range(0, n, 10_000)])


def rate_factor(step: Any, steps: int, minimum: Callable = min) -> Any:
    """Return the factor of the learning rate at a step: a warmup, and a linear decay over the last third."""
    return minimum(minimum((step + 1) / WARMUP, 1.0), (steps - step) / (steps / 3))


def batches(x: np.ndarray, steps: int, seed: int) -> np.ndarray:
    """Return the rows of every step, (steps, BATCH): the same for all methods."""
    rng = np.random.default_rng(seed)
    epochs = math.ceil(steps * BATCH / len(x))
    return np.concatenate([rng.permutation(len(x)) for _ in range(epochs)])[: steps * BATCH].reshape(steps, BATCH)


# === aezoo ===


def warmed_up(weight: float) -> aezoo.schedules.Schedule:
    """Return a schedule that raises a penalty from 0 over the first fifth of a training, as for the peers."""
    return aezoo.schedules.Linear(0.0, weight, EPOCHS // 5)


OURS: dict[str, Callable[[int], aezoo.Autoencoder]] = {
    "Matryoshka": lambda seed: aezoo.MatryoshkaAE(UNITS, k=K, levels=LEVELS, dead_after=DEAD_AFTER, seed=seed),
    "BatchTopK": lambda seed: aezoo.BatchTopKAE(UNITS, k=K, dead_after=DEAD_AFTER, seed=seed),
    "TopK": lambda seed: aezoo.TopKAE(UNITS, k=K, dead_after=DEAD_AFTER, seed=seed),
    "JumpReLU": lambda seed: aezoo.JumpReLUAE(
        UNITS, target_l0=K, weight=warmed_up(0.3), threshold=0.1, bandwidth=0.05, seed=seed
    ),
    "gated": lambda seed: aezoo.GatedAE(UNITS, weight=warmed_up(PENALTIES["aezoo", "gated"]), seed=seed),
    "L1": lambda seed: aezoo.SparseAE(
        UNITS,
        penalty="l1",
        weight=PENALTIES["aezoo", "L1"],
        activation="relu",
        output_activation="linear",
        tied=True,
        seed=seed,
    ),
}


class _Rate(keras.optimizers.schedules.LearningRateSchedule):
    def __init__(self, rate: float, steps: int):
        self.rate, self.steps = rate, steps

    def __call__(self, step: Any) -> Any:
        step = keras.ops.cast(step, "float32")
        return self.rate * rate_factor(step, self.steps, keras.ops.minimum)

    def get_config(self) -> dict[str, Any]:
        return {"rate": self.rate, "steps": self.steps}


def ours(
    method: str, rate: float, x: np.ndarray, rows: np.ndarray, seed: int, test: np.ndarray
) -> tuple[np.ndarray, ...]:
    """Train a model of aezoo; return its directions, and codes and reconstructions of the test samples."""
    keras.utils.set_random_seed(seed)
    model = OURS[method](seed)
    mean, scale = np.zeros(DIM, "float32"), 1.0
    if method == "L1":  # the other models do this themselves
        mean = x.mean(axis=0)
        scale = float(np.sqrt(np.mean(np.sum((x - mean) ** 2, axis=1))))
    model.compile(model.default_optimizer(_Rate(rate, len(rows))))  # Adam, with the β₁ of the paper
    for part in np.array_split(rows, min(EPOCHS, len(rows))):
        model.fit((x[part.ravel()] - mean) / scale, batch_size=BATCH, shuffle=False, verbose=0)
    test = (test - mean) / scale
    y = np.asarray(model.reconstruct(test)) * scale + mean
    directions = model.dictionary if method != "L1" else model.encoder.layers[-1].kernel.numpy().T
    return directions, np.asarray(model.encode(test)), y


# === dictionary_learning ===


def dictionary_learning(
    method: str, rate: float, x: np.ndarray, rows: np.ndarray, seed: int, test: np.ndarray
) -> tuple[np.ndarray, ...]:
    import torch
    from dictionary_learning import trainers
    from dictionary_learning.trainers.matryoshka_batch_top_k import MatryoshkaBatchTopKTrainer

    steps = len(rows)
    common = {"steps": steps, "activation_dim": DIM, "dict_size": UNITS, "layer": 0, "lm_name": "none", "lr": rate}
    common |= {"warmup_steps": WARMUP, "decay_start": steps - steps // 3, "seed": seed, "device": "cpu"}
    top, penalty = {"k": K}, {"l1_penalty": PENALTIES.get(("dictionary_learning", method))}
    shares = np.diff([0, *LEVELS]) / UNITS
    makers: dict[str, Callable[[], Any]] = {
        "Matryoshka": lambda: MatryoshkaBatchTopKTrainer(
            **common, **top, group_fractions=shares.tolist(), threshold_start_step=steps // 2
        ),
        "BatchTopK": lambda: trainers.BatchTopKTrainer(**common, **top, threshold_start_step=steps // 2),
        "TopK": lambda: trainers.TopKTrainer(**common, **top, threshold_start_step=steps // 2),
        "JumpReLU": lambda: trainers.JumpReluTrainer(
            **common, target_l0=K, bandwidth=0.05, sparsity_warmup_steps=steps // 5
        ),
        "gated": lambda: trainers.GatedSAETrainer(**common, **penalty, sparsity_warmup_steps=steps // 5),
        "L1": lambda: trainers.StandardTrainer(**common, **penalty, sparsity_warmup_steps=steps // 5),
    }
    torch.manual_seed(seed)
    trainer = makers[method]()
    if hasattr(trainer, "dead_feature_threshold"):
        trainer.dead_feature_threshold = DEAD_AFTER
    scale = float(np.sqrt(np.mean(np.sum(x**2, axis=1))))
    samples = torch.from_numpy(x / scale)
    for step, chosen in enumerate(rows):
        trainer.update(step, samples[torch.from_numpy(chosen)])
    with torch.no_grad():
        code = trainer.ae.encode(torch.from_numpy(test / scale))
        y = trainer.ae.decode(code).numpy() * scale
    decoder = getattr(trainer.ae, "W_dec", None)
    directions = decoder.detach().numpy() if decoder is not None else trainer.ae.decoder.weight.detach().numpy().T
    return directions, code.numpy(), y


# === SAELens ===


def sae_lens(
    method: str, rate: float, x: np.ndarray, rows: np.ndarray, seed: int, test: np.ndarray
) -> tuple[np.ndarray, ...]:
    import torch
    from sae_lens import saes
    from sae_lens.config import LoggingConfig, SAETrainerConfig
    from sae_lens.training.sae_trainer import SAETrainer

    torch.manual_seed(seed)
    common = {"d_in": DIM, "d_sae": UNITS, "device": "cpu"}
    makers: dict[str, Callable[[], Any]] = {
        "Matryoshka": lambda: saes.MatryoshkaBatchTopKTrainingSAE(
            saes.MatryoshkaBatchTopKTrainingSAEConfig(**common, k=K, matryoshka_widths=list(LEVELS))
        ),
        "BatchTopK": lambda: saes.BatchTopKTrainingSAE(saes.BatchTopKTrainingSAEConfig(**common, k=K)),
        "JumpReLU": lambda: saes.JumpReLUTrainingSAE(
            saes.JumpReLUTrainingSAEConfig(
                **common, jumprelu_sparsity_loss_mode="quadratic", target_l0=K, l0_warm_up_steps=len(rows) // 5
            )
        ),
    }
    sae = makers[method]()
    scale = float(np.mean(np.linalg.norm(x, axis=1)) / math.sqrt(DIM))
    samples = torch.from_numpy(x / scale)
    config = SAETrainerConfig(
        n_checkpoints=0,
        checkpoint_path=None,
        save_final_checkpoint=False,
        total_training_samples=rows.size,
        device="cpu",
        autocast=False,
        lr=rate,
        lr_end=rate,
        lr_scheduler_name="constant",
        lr_warm_up_steps=WARMUP,
        adam_beta1=0.9,
        adam_beta2=0.999,
        lr_decay_steps=len(rows) // 3,
        n_restart_cycles=1,
        train_batch_size_samples=BATCH,
        dead_feature_window=DEAD_AFTER // BATCH,
        feature_sampling_window=2000,
        logger=LoggingConfig(log_to_wandb=False, eval_every_n_wandb_logs=2**31 - 1),
        n_batches_for_norm_estimate=1,
    )
    provider = (samples[torch.from_numpy(chosen)] for chosen in rows)
    SAETrainer(cfg=config, sae=sae, data_provider=provider, save_checkpoint_fn=None).fit()
    sae.eval()
    with torch.no_grad():
        sae_in = torch.from_numpy(test / scale)
        if method == "JumpReLU":
            code = sae.encode(sae_in)
        else:  # what it is saved as for inference: a JumpReLU with the threshold of training
            hidden = sae.encode_with_hidden_pre(sae_in)[1]
            code = torch.relu(hidden) * (hidden > sae.topk_threshold)
        y = sae.decode(code).numpy() * scale
    return sae.W_dec.detach().numpy(), code.numpy(), y


LIBRARIES: dict[str, Callable[..., tuple[np.ndarray, ...]]] = {
    "aezoo": ours,
    "dictionary_learning": dictionary_learning,
    "SAELens": sae_lens,
}
METHODS = [
    *(("aezoo", method) for method in OURS),
    *(("dictionary_learning", method) for method in OURS),
    *(("SAELens", method) for method in ("Matryoshka", "BatchTopK", "JumpReLU")),
]


def measures(
    truth: Synthetic, z: np.ndarray, x: np.ndarray, directions: np.ndarray, code: np.ndarray, y: np.ndarray
) -> dict[str, float]:
    """Return the measures of a trained model; see the top of the script."""
    directions = directions / np.maximum(np.linalg.norm(directions, axis=1, keepdims=True), 1e-12)
    cosines = np.abs(directions @ truth.directions.T)
    pairs = scipy.optimize.linear_sum_assignment(-cosines)
    fires, feature = code != 0, z[:, cosines.argmax(axis=1)] > 0
    hits = np.sum(fires & feature, axis=0)
    f1 = 2 * hits / np.maximum(fires.sum(axis=0) + feature.sum(axis=0), 1)
    return {
        "F1": float(f1.mean()),
        "MCC": float(cosines[pairs].mean()),
        "L0": float(fires.sum(axis=1).mean()),
        "dead": int(np.sum(~fires.any(axis=0))),
        "EV": float(1 - np.mean((x - y) ** 2) / np.mean((x - x.mean(axis=0)) ** 2)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--methods", nargs="*", help="such as aezoo:BatchTopK, or all of aezoo; default: all")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--rate", type=float, help="learning rate of all methods; give an --output with it")
    parser.add_argument("--samples", type=int, default=100_000, help="training samples")
    parser.add_argument("--quick", action="store_true", help="aezoo's models for a few steps: the numbers mean nothing")
    parser.add_argument("--output", type=Path, help="default: benchmarks/sparse_features.json, and none of a quick run")
    options = parser.parse_args()
    if options.rate and not options.output and not options.quick:
        parser.error("--rate tries a rate: give --output FILE.json, so that it does not replace the results.")
    output = options.output or (None if options.quick else HERE / "sparse_features.json")
    seeds, steps, n = (1, 4, 5_000) if options.quick else (options.seeds, options.steps, options.samples)
    wanted = options.methods or (["aezoo"] if options.quick else list(LIBRARIES))
    versions = {"aezoo": aezoo.__version__, "keras": keras.__version__}
    for package in ("dictionary-learning", "sae-lens", "torch"):
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            pass
    settings = {"seeds": seeds, "steps": steps, "samples": n, "batch_size": BATCH, "k": K}
    runs = SavedRuns("benchmarks/sparse_features.py", output, ("library", "method", "seed"), settings, versions)
    for seed in range(seeds):
        chosen = [each for each in METHODS if each[0] in wanted or ":".join(each) in wanted]
        chosen = [each for each in chosen if (*each, seed) not in runs]
        if not chosen:
            continue
        truth = Synthetic(seed)
        x, (z_test, x_test) = truth.samples(n), truth.sample(min(20_000, n))
        rows = batches(x, steps, seed)
        for library, method in chosen:
            start = time.perf_counter()
            rate = options.rate or RATES.get((library, method), RATE)
            trained = LIBRARIES[library](method, rate, x, rows, seed, x_test)
            seconds = time.perf_counter() - start
            found = measures(truth, z_test, x_test, *trained)
            active = float((z_test > 0).sum(axis=1).mean())
            runs.add((library, method, seed), rate=rate, **found, true_L0=active, seconds=seconds)
            shown = "  ".join(f"{name} {value:.3f}" for name, value in found.items())
            print(f"{library:20s} {method:11s} {seed}  {shown}  {seconds:.0f} s", flush=True)
            keras.backend.clear_session(free_memory=False)


if __name__ == "__main__":
    main()
