"""How training scales with processes: one and two on this machine, each with a core of its own.

    python benchmarks/speed/workers.py [--quick] [--output FILE.json]

`Autoencoder(1000)` on 784 features, Adam, float32, random data, under `MultiWorkerMirroredStrategy` on the loopback
interface; batches of 128 and of 1024 for all processes together. One process and two are started in turn, three times
over; a timing is the fastest of five epochs of `fit` of 4,096 samples after one that does not count. "speedup" is the
time of one process over that of two, each round by itself, and at most 2.

Beyond two processes nothing was measured. What is printed for more is a model of it with two assumptions: the n
processes share the arithmetic of a step, t₁/n; and a ring sums up the gradients without overlapping with it, so that
2(n - 1)/n times the bytes of the parameters leave each process in a step, at the rate of the network. The time of two
processes here gives that rate for the loopback interface; 10 Gbit/s are taken as 1.1 GB/s.

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

import timing

FEATURES = 784


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


def main(arguments: argparse.Namespace) -> None:
    samples, epochs, units, rounds = (256, 1, 40, 1) if arguments.quick else (4_096, 5, 1_000, 3)
    ratios, seconds, modelled, rows = {}, {}, [], []
    for batch in (128,) if arguments.quick else (128, 1024):
        results: dict[int, list[float]] = {2: []} if arguments.quick else {1: [], 2: []}
        for _ in range(rounds):
            for processes, times in results.items():
                result = epoch(processes, samples, epochs, units, batch, arguments.seed)
                times.append(result["seconds"])
        seconds[f"batch {batch}"] = {str(processes): times for processes, times in results.items()}
        fewest = min(results)
        speedup = timing.ratio(results[fewest], results[2])
        ratios[f"speedup of 2 processes, batch {batch}"] = {**speedup, "goal": None, "reached": None}
        rows.append((f"batch {batch}", timing.shown(speedup)))
        steps = samples / batch
        one, two = (timing.spread(results[n])["median"] / steps for n in (fewest, 2))
        size = 4 * result["parameters"]
        rates = {"loopback": size / max(two - one / 2, 1e-9), "10 Gbit/s": 1.1e9}
        for network, rate in rates.items():
            for n in (2, 4, 8, 16):
                step = one / n + 2 * (n - 1) / n * size / rate
                modelled.append((batch, network, n, round(one / step, 2)))
    print(timing.table(("measured", "speedup of 2 processes (min-max)"), rows), end="\n\n")
    print(timing.table(("batch", "network", "processes", "speedup by the model"), modelled))
    timing.write(
        arguments.output,
        {
            "benchmark": "workers",
            "machine": timing.machine(),
            "settings": {
                "network": [FEATURES, units, FEATURES],
                "samples": samples,
                "rounds": rounds,
                "seed": arguments.seed,
                "quick": arguments.quick,
            },
            "seconds": seconds,
            "ratios": ratios,
            "model": [dict(zip(("batch", "network", "processes", "speedup"), row, strict=True)) for row in modelled],
        },
    )


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        child(Path(sys.argv[2]), *map(int, sys.argv[3:]))
    else:
        main(timing.parser(__doc__).parse_args())
