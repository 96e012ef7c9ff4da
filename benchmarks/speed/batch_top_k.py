"""How fast an epoch of a sparse code is, beside dictionary_learning and SAELens.

    pip install dictionary-learning sae-lens torch
    python benchmarks/speed/batch_top_k.py [--quick] [--only NETWORK ...] [--output FILE.json]

BatchTopK, TopK, Matryoshka with five levels, JumpReLU with a target of k active units, and gated codes; 256-4096-256,
k = 32, batches of 512, Adam, float32, 8,192 samples of a normal distribution. Each library trains with its whole
recipe and its defaults, where the code has them: AuxK for dead units, the running threshold, the decoder's norms, and
Adam's β₁. dictionary_learning and aezoo project the gradient of the decoder; SAELens clips gradients, and so does
dictionary_learning except for gated codes. BatchTopK has two settings: no unit ever counts as dead, so that AuxK has
nothing to do, or a unit does after one batch that has not used it. In the other codes no unit is dead.

Each contender is a process of its own, with a thread per core. What is timed of aezoo is `fit`, by default and with
`jit_compile=True`; of dictionary_learning, the trainer's `update`; of SAELens, `SAETrainer.step`; both on shuffled
batches. All run in turn, once untimed and then three times; the ratio (the peer's seconds over ours: higher is better)
is taken within a round. A peer that cannot run is "not measured", with the reason. With `--only`, the file has only
these networks; without it, a quick run has only the first.
"""

from __future__ import annotations

import argparse
import functools
import itertools
import math
import os
import pathlib
from collections.abc import Callable
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
import timing

GOAL, RATE, NEVER = 1.0, 1e-3, 10**9
#: By network: its code, and the number of samples after which a unit is dead.
NETWORKS = {
    "no unit is dead": ("BatchTopK", NEVER),
    "units are dead after one batch": ("BatchTopK", 1),
    "TopK": ("TopK", NEVER),
    "Matryoshka": ("Matryoshka", NEVER),
    "JumpReLU": ("JumpReLU", NEVER),
    "gated": ("gated", NEVER),
}
OURS = ("aezoo", "aezoo, jit_compile=True")


def levels(units: int) -> list[int]:
    """Return the levels of a Matryoshka code, the default of MatryoshkaAE."""
    return [units * share // 32 for share in (1, 3, 7, 15, 32)]


def aezoo(
    code: str, x: np.ndarray, units: int, k: int, batch_size: int, dead_after: int, **compiled: Any
) -> Callable[[], Any]:
    import aezoo

    top: dict[str, Any] = {"k": k, "dead_after": dead_after, "seed": 0}
    makers: dict[str, Callable[[], aezoo.Autoencoder]] = {
        "BatchTopK": lambda: aezoo.BatchTopKAE(units, **top),
        "TopK": lambda: aezoo.TopKAE(units, **top),
        "Matryoshka": lambda: aezoo.MatryoshkaAE(units, levels=levels(units), **top),
        "JumpReLU": lambda: aezoo.JumpReLUAE(units, target_l0=k, seed=0),
        "gated": lambda: aezoo.GatedAE(units, seed=0),
    }
    model = makers[code]()
    model.compile(model.default_optimizer(RATE), **compiled)
    return lambda: model.fit(x, batch_size=batch_size, verbose=0)


def dictionary_learning(
    code: str, x: np.ndarray, units: int, k: int, batch_size: int, dead_after: int
) -> Callable[[], Any]:
    import torch
    from dictionary_learning import trainers
    from dictionary_learning.trainers.matryoshka_batch_top_k import MatryoshkaBatchTopKTrainer

    common = {"steps": 10**6, "activation_dim": x.shape[1], "dict_size": units, "layer": 0, "lm_name": "none"}
    common |= {"lr": RATE, "warmup_steps": 1, "seed": 0, "device": "cpu"}
    top, shares = {"k": k, "threshold_start_step": 0}, np.diff([0, *levels(units)]) / units
    makers: dict[str, Callable[[], Any]] = {
        "BatchTopK": lambda: trainers.BatchTopKTrainer(**common, **top),
        "TopK": lambda: trainers.TopKTrainer(**common, **top),
        "Matryoshka": lambda: MatryoshkaBatchTopKTrainer(**common, **top, group_fractions=shares.tolist()),
        "JumpReLU": lambda: trainers.JumpReluTrainer(**common, target_l0=k),
        "gated": lambda: trainers.GatedSAETrainer(**common),
    }
    torch.manual_seed(0)
    trainer = makers[code]()
    trainer.dead_feature_threshold = dead_after
    samples, steps = torch.from_numpy(x), itertools.count()

    def epoch() -> None:
        for rows in torch.randperm(len(samples)).split(batch_size):
            trainer.update(next(steps), samples[rows])

    return epoch


def sae_lens(code: str, x: np.ndarray, units: int, k: int, batch_size: int, dead_after: int) -> Callable[[], Any]:
    import torch
    from sae_lens import saes
    from sae_lens.config import LoggingConfig, SAETrainerConfig
    from sae_lens.training.sae_trainer import SAETrainer

    common = {"d_in": x.shape[1], "d_sae": units, "device": "cpu"}
    makers: dict[str, Callable[[], Any]] = {
        "BatchTopK": lambda: saes.BatchTopKTrainingSAE(saes.BatchTopKTrainingSAEConfig(**common, k=k)),
        "TopK": lambda: saes.TopKTrainingSAE(saes.TopKTrainingSAEConfig(**common, k=k)),
        "Matryoshka": lambda: saes.MatryoshkaBatchTopKTrainingSAE(
            saes.MatryoshkaBatchTopKTrainingSAEConfig(**common, k=k, matryoshka_widths=levels(units))
        ),
        "JumpReLU": lambda: saes.JumpReLUTrainingSAE(
            saes.JumpReLUTrainingSAEConfig(**common, jumprelu_sparsity_loss_mode="quadratic", target_l0=k)
        ),
        "gated": lambda: saes.GatedTrainingSAE(saes.GatedTrainingSAEConfig(**common)),
    }
    torch.manual_seed(0)
    settings = SAETrainerConfig(
        n_checkpoints=0,
        checkpoint_path=None,
        save_final_checkpoint=False,
        total_training_samples=10**9,
        device="cpu",
        autocast=False,
        lr=RATE,
        lr_end=RATE,
        lr_scheduler_name="constant",
        lr_warm_up_steps=0,
        adam_beta1=0.9,
        adam_beta2=0.999,
        lr_decay_steps=0,
        n_restart_cycles=1,
        train_batch_size_samples=batch_size,
        dead_feature_window=dead_after // batch_size,
        feature_sampling_window=2000,
        logger=LoggingConfig(log_to_wandb=False),
        n_batches_for_norm_estimate=1,
    )
    trainer = SAETrainer(settings, makers[code](), data_provider=iter(()))
    samples = torch.from_numpy(x)

    def epoch() -> None:
        for rows in torch.randperm(len(samples)).split(batch_size):
            trainer.step(samples[rows])
            trainer.n_training_steps += 1

    return epoch


CONTENDERS: dict[str, Callable[..., Callable[[], Any]]] = {
    "aezoo": aezoo,
    "aezoo, jit_compile=True": functools.partial(aezoo, jit_compile=True),
    "dictionary_learning": dictionary_learning,
    "SAELens": sae_lens,
}


def build(given: argparse.Namespace) -> Callable[[], Any]:
    """Return a function that runs an epoch of a contender; all have the same data."""
    features = given.units // 16
    x = np.random.default_rng(given.seed).normal(0, 1 / math.sqrt(features), (given.samples, features))
    code, dead_after = NETWORKS[given.network]
    arguments = given.units, given.units // 128, given.batch_size, dead_after
    return CONTENDERS[given.contender](code, x.astype("float32"), *arguments)


def main(arguments: argparse.Namespace) -> None:
    samples, units, batch_size, rounds = (64, 128, 16, 1) if arguments.quick else (8_192, 4_096, 512, 3)
    settings = {"samples": samples, "units": units, "batch_size": batch_size, "rounds": rounds, "seed": arguments.seed}
    results: dict[str, Any] = {}
    all_seconds, rows = {}, []
    for network in arguments.only or list(NETWORKS)[: 1 if arguments.quick else None]:
        command = [str(pathlib.Path(__file__).resolve()), "--network", network]
        for name in ("samples", "units", "batch_size", "seed"):
            command += [f"--{name.replace('_', '-')}", str(settings[name])]
        commands = {name: [*command, "--contender", name] for name in CONTENDERS}
        seconds, failed = timing.between_processes(commands, rounds, OURS)
        all_seconds[network] = seconds
        for ours, peer in itertools.product(OURS, (name for name in CONTENDERS if name not in OURS)):
            name = f"{network}: {ours} / {peer}"
            if peer in failed:
                results[name] = {"not_measured": failed[peer], "goal": GOAL}
                rows.append((name, f"not measured: {failed[peer]}", "", ""))
            else:
                results[name] = timing.faster(seconds, ours, peer, GOAL)
                rows.append((name, timing.shown(results[name]), *timing.verdict(results[name], ">=")))
        for clock, times in seconds.items():
            print(network, clock, {name: round(min(values), 3) for name, values in times.items()}, flush=True)
    print(timing.table(("", "speed-up, wall", "goal", "reached"), rows))
    versions = timing.installed("torch", "dictionary-learning", "sae-lens")
    report = {"machine": timing.machine(), "versions": versions, "settings": settings, "results": results}
    timing.write(arguments.output, {**report, "seconds": all_seconds})


if __name__ == "__main__":
    timing.run(__doc__, build, main, NETWORKS)
