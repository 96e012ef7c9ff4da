"""How fast an epoch on one GPU is, beside PyTorch with its data on the GPU and its steps captured.

    pip install -e ".[benchmarks]" "tensorflow[and-cuda]"
    python benchmarks/speed/gpu.py [--quick] [--output FILE.json]

At most eight minutes. `Autoencoder` 784-1000-784 on 65,536 samples, at batch 128 and 1,024; `KSparseAE` of 32,768
units with k = 32 on 65,536 samples at batch 8,192. Adam, float32 with TensorFloat-32 products, random data in [0, 1].
Each contender is a process of its own; all run in turn, two epochs at a time: twice untimed, then twice per round.
The faster counts. A ratio (the peer's seconds over ours: higher is better) is taken within a round.

- aezoo: `fit(x, epochs=2, resident=True)`.
- PyTorch, CUDA graph: data and permutation on the GPU, `Adam(fused=True, capturable=True)`, a step captured once and
  replayed.
- PyTorch, max-autotune: the same loop with `torch.compile(mode="max-autotune")`, which captures graphs itself.

Each group has 160 seconds: a contender that has not finished its first two epochs after 120 of them is "not measured",
and there are as many rounds, up to three, as fit into the rest; if none does, nothing of the group is measured. Without
a GPU only `--quick` runs: small, and PyTorch neither captures nor compiles, so that its ratios say nothing.
"""

from __future__ import annotations

import argparse
import os
import pathlib
import time
from collections.abc import Callable
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
import timing

FEATURES, EPOCHS, K = 784, 2, 32
GROUPS = (("Autoencoder", 1_000, 128), ("Autoencoder", 1_000, 1_024), ("KSparseAE", 32_768, 8_192))
CONTENDERS = ("aezoo", "PyTorch, CUDA graph", "PyTorch, max-autotune")
GOAL = 1.0
SECONDS = 160.0  # of a group


def ours(network: str, x: np.ndarray, units: int, batch_size: int) -> Callable[[], Any]:
    import keras

    import aezoo

    model = aezoo.KSparseAE(units, k=min(K, units)) if network == "KSparseAE" else aezoo.Autoencoder(units)
    model.compile(keras.optimizers.Adam(1e-3))
    return lambda: model.fit(x, batch_size=batch_size, epochs=EPOCHS, verbose=0, resident=True)


def theirs(network: str, x: np.ndarray, units: int, batch_size: int, autotune: bool) -> Callable[[], Any]:
    import torch
    import torch_models

    on_gpu = torch.cuda.is_available()
    device = "cuda" if on_gpu else "cpu"
    torch.set_float32_matmul_precision("high")
    more = {"k": min(K, units)} if network == "KSparseAE" else {}
    model = torch_models.MODELS[network](FEATURES, units, **more).to(device)
    data = torch.from_numpy(x).to(device)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, fused=True, capturable=on_gpu)
    forward = torch.compile(model, mode="max-autotune") if autotune and on_gpu else model
    rows = torch.zeros(batch_size, dtype=torch.int64, device=device)
    total = torch.zeros((), device=device)

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        loss = forward(data[rows])
        loss.backward()
        optimizer.step()
        total.add_(loss.detach())

    replay = step
    if on_gpu and not autotune:
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):  # as PyTorch's manual says, a few steps run before the capture
            for _ in range(3):
                step()
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            step()
        replay = graph.replay

    def run() -> None:
        for _ in range(EPOCHS):
            total.zero_()
            for indices in torch.randperm(len(data), device=device).split(batch_size):
                rows.copy_(indices)
                replay()
            total.item()

    return run


def build(given: argparse.Namespace) -> Callable[[], Any]:
    """Return what the process of a contender times; all have the same data."""
    x = np.random.default_rng(given.seed).random((given.samples, FEATURES), dtype="float32")
    arguments = given.network, x, given.units, given.batch_size
    if given.contender == "aezoo":
        return ours(*arguments)
    return theirs(*arguments, autotune=given.contender.endswith("max-autotune"))


def together(network: str, units: int, batch_size: int, samples: int, rounds: int, seed: int) -> dict[str, Any]:
    """Time all contenders in turn; return their seconds, and why some could not run."""
    command = [str(pathlib.Path(__file__).resolve()), "--network", network, "--seed", str(seed)]
    for name, value in (("units", units), ("batch-size", batch_size), ("samples", samples)):
        command += [f"--{name}", str(value)]
    end = time.perf_counter() + SECONDS
    workers = {name: timing.Worker([*command, "--contender", name], limit=SECONDS) for name in CONTENDERS}
    failed: dict[str, str] = {}
    try:
        for name, worker in workers.items():
            worker.limit = max(1.0, end - 40 - time.perf_counter())
            try:
                worker.measure()
            except RuntimeError as reason:
                if name == "aezoo":
                    raise
                failed[name] = str(reason)
        running = {name: worker for name, worker in workers.items() if name not in failed}
        once = sum(worker.measure()["wall"] for worker in running.values())
        # A round passes twice, after one more pass that is not timed.
        fitting = min(rounds, int(((end - time.perf_counter()) / once - 1) / 2))
        if fitting < 1:
            return {"seconds": {}, "failed": dict.fromkeys(CONTENDERS[1:], f"a pass takes {once:.0f} seconds")}
        return {"seconds": timing.interleaved(running, fitting, 2, lambda worker: worker.measure()), "failed": failed}
    finally:
        for worker in workers.values():
            worker.close()


def main(arguments: argparse.Namespace) -> None:
    import tensorflow as tf

    quick = arguments.quick
    if not quick and not tf.config.list_physical_devices("GPU"):
        raise SystemExit("TensorFlow finds no GPU: install tensorflow[and-cuda], or pass --quick.")
    samples, rounds = (256, 1) if quick else (65_536, 3)
    report: dict[str, Any] = {
        "benchmark": "gpu",
        "machine": timing.machine(),
        "settings": {"samples": samples, "epochs": EPOCHS, "k": K, "rounds": rounds, "seed": arguments.seed},
        "results": {},
        "seconds": {},
    }
    for network, units, batch_size in GROUPS[2:] if quick else GROUPS:
        if quick:
            units, batch_size = 64, 128
        group = f"{network} of {units:,} units, batch {batch_size:,}"
        measured = together(network, units, batch_size, samples, rounds, arguments.seed)
        for peer in CONTENDERS[1:]:
            if peer in measured["failed"]:
                result: dict[str, Any] = {"not_measured": measured["failed"][peer], "goal": GOAL}
            else:
                result = timing.faster(measured["seconds"], "aezoo", peer, GOAL)
            report["results"][f"{group}: aezoo / {peer}"] = result
        report["seconds"][group] = measured["seconds"]
        timing.write(arguments.output, report)
    rows = [
        (what, result["not_measured"] if "not_measured" in result else timing.shown(result), f">= {GOAL}")
        for what, result in report["results"].items()
    ]
    print(timing.table(("what", "speed-up, wall", "goal"), rows))


if __name__ == "__main__":
    timing.run(__doc__, build, main)
