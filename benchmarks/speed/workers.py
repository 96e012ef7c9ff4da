"""How training scales with processes: one and two on this machine, each with a core of its own.

    python benchmarks/speed/workers.py [--quick] [--output FILE.json]

`Autoencoder` 784-w-784 of three widths, Adam, float32, random data, batches of 128 for all processes together, under
`MultiWorkerMirroredStrategy` on the loopback interface. One process and two are started in turn; a timing is the
fastest of three epochs of `fit` of 2,048 samples after one that does not count.

"cost" is what a step of two processes takes beyond half the step of one. A line a + b·P in the number of parameters is
fitted to the three widths by least squares. a is the fixed cost of a step with messages, b the seconds per parameter.

Beyond two processes nothing is measured. The model of a step of R processes with P parameters is

    T(R) = T(1) / R + a·(R - 1) + b·P·2(R - 1) / R

It assumes that the arithmetic divides evenly among the processes, that a ring sums the gradients without overlapping
with it, so that 2(R - 1) / R times the bytes of the parameters leave each process per step, and that each round of the
ring adds the fixed cost. On another network, b is 4 bytes over its rate (10 Gbit/s is taken as 1.1 GB/s), and a is
assumed to be the same.

`--quick` starts two processes only, and compares them with themselves.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
import timing

FEATURES, BATCH = 784, 128


def child(folder: Path, samples: int, epochs: int, units: int, batch: int, seed: int) -> None:
    """One of the processes: trains, and writes the seconds of the fastest epoch if it is the chief."""
    import keras
    import numpy as np
    import tensorflow as tf

    import aezoo

    index = json.loads(os.environ["TF_CONFIG"])["task"]["index"]
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {cores[index % len(cores)]})
    tf.config.threading.set_intra_op_parallelism_threads(1)
    strategy = tf.distribute.MultiWorkerMirroredStrategy()
    keras.utils.set_random_seed(seed)
    with strategy.scope():
        model = aezoo.Autoencoder(units, seed=seed)
        model.compile("adam")
    x = np.random.default_rng(seed).random((samples, FEATURES), dtype="float32")
    seconds = []
    for _ in range(1 + epochs):  # the first does not count
        start = time.perf_counter()
        model.fit(x, batch_size=batch, verbose=0)
        seconds.append(time.perf_counter() - start)
    if index == 0:
        parameters = int(sum(np.prod(v.shape) for v in model.trainable_variables))
        (folder / "result.json").write_text(json.dumps({"seconds": min(seconds[1:]), "parameters": parameters}))


def epoch(processes: int, *sizes: int) -> dict[str, Any]:
    """Seconds of an epoch of so many processes, and the number of parameters; `sizes` are those that `child` takes."""
    sockets = [socket.socket() for _ in range(processes)]
    for s in sockets:
        s.bind(("localhost", 0))
    addresses = [f"localhost:{s.getsockname()[1]}" for s in sockets]
    for s in sockets:
        s.close()
    with tempfile.TemporaryDirectory() as folder:
        running = []
        for index in range(processes):
            config = {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}}
            environment = {**os.environ, "TF_CONFIG": json.dumps(config), "CUDA_VISIBLE_DEVICES": ""}
            command = [sys.executable, __file__, "--child", folder, *map(str, sizes)]
            running.append(subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True))
        said = [process.communicate()[1] for process in running]
        # TensorFlow may end a process with an error when another has finished first.
        if not (Path(folder) / "result.json").exists():
            raise RuntimeError(f"The chief did not finish: {said[0][-2000:]}")
        return json.loads((Path(folder) / "result.json").read_text())


def step(one: float, fixed: float, per_parameter: float, parameters: float, processes: int) -> float:
    """The modelled seconds of a step; see the top of the file."""
    ring = 2 * (processes - 1) / processes
    return one / processes + fixed * (processes - 1) + per_parameter * parameters * ring


def main(arguments: argparse.Namespace) -> None:
    samples, epochs, rounds = (256, 1, 1) if arguments.quick else (2_048, 3, 1)
    widths = (20, 40) if arguments.quick else (125, 1_000, 4_000)
    seconds: dict[str, Any] = {}
    ratios, parameters, alone, costs = {}, [], [], []
    for units in widths:
        results: dict[int, list[float]] = {2: []} if arguments.quick else {1: [], 2: []}
        for _ in range(rounds):
            for processes, times in results.items():
                result = epoch(processes, samples, epochs, units, BATCH, arguments.seed)
                times.append(result["seconds"])
        fewest = min(results)
        ratios[f"speedup of 2 processes, {result['parameters']:,} parameters"] = {
            **timing.ratio(results[fewest], results[2]),
            "goal": None,
            "reached": None,
        }
        one, two = (min(results[n]) / (samples / BATCH) for n in (fewest, 2))
        seconds[str(units)] = {str(processes): times for processes, times in results.items()}
        parameters.append(result["parameters"])
        alone.append(one)
        costs.append(two - one / 2)
    slope, intercept = np.polyfit(parameters, costs, 1)
    fixed, per_parameter = max(0.0, float(intercept)), max(0.0, float(slope))
    modelled = []
    for network, rate in {"loopback": per_parameter, "10 Gbit/s": 4 / 1.1e9}.items():
        for count, one in zip(parameters, alone, strict=True):
            speedups = {n: round(one / step(one, fixed, rate, count, n), 2) for n in (2, 4, 8, 16)}
            # The arithmetic of a step grows with the batch: from this batch on, two processes are faster than one.
            crossover = round(BATCH * 2 * (fixed + rate * count) / one)
            modelled.append({"network": network, "parameters": count, "speedup": speedups, "batch": crossover})
    rows = [(name, timing.shown(ratio)) for name, ratio in ratios.items()]
    print(timing.table(("measured", "speedup of 2 processes"), rows), end="\n\n")
    print(f"cost of a step: {1e3 * fixed:.2f} ms + {1e9 * per_parameter:.2f} ns per parameter", end="\n\n")
    rows = [(row["network"], f"{row['parameters']:,}", *row["speedup"].values(), row["batch"]) for row in modelled]
    header = ("network", "parameters", "2", "4", "8", "16 processes", "2 are faster from batch")
    print(timing.table(header, rows))
    settings = {"widths": widths, "samples": samples, "batch_size": BATCH, "rounds": rounds}
    timing.write(
        arguments.output,
        {
            "benchmark": "workers",
            "machine": timing.machine(),
            "settings": {**settings, "seed": arguments.seed, "quick": arguments.quick},
            "seconds": seconds,
            "ratios": ratios,
            "cost": {"parameters": parameters, "seconds per step": costs, "one process": alone},
            "fit": {"fixed": fixed, "per parameter": per_parameter},
            "model": modelled,
        },
    )


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        child(Path(sys.argv[2]), *map(int, sys.argv[3:]))
    else:
        main(timing.parser(__doc__).parse_args())
