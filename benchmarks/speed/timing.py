"""What the speed benchmarks share: interleaved timing, processes, the machine's description, tables and JSON."""

from __future__ import annotations

import argparse
import datetime
import functools
import importlib.metadata
import json
import os
import pathlib
import platform
import resource
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any

Seconds = dict[str, list[float]]

_CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}
_THREADS = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "TF_NUM_INTRAOP_THREADS",
    "TF_NUM_INTEROP_THREADS",
)


def clocked(run: Callable[[], Any]) -> dict[str, float]:
    """Returns the seconds that a call took, by clock."""
    start = {clock: now() for clock, now in _CLOCKS.items()}
    run()
    return {clock: now() - start[clock] for clock, now in _CLOCKS.items()}


def interleaved(
    contenders: dict[str, Any],
    rounds: int,
    passes: int = 3,
    measure: Callable[[Any], dict[str, float]] = clocked,
) -> dict[str, Seconds]:
    """Times the contenders in turn, A B C A B C ..., so that a drift of the machine hits them all.

    Each runs once untimed first: tracing, compilation and the first touch of memory are not what is measured. A round
    goes through all contenders `passes` times and keeps the fastest of each, since what else runs on the machine can
    only add to a time.

    Args:
        contenders: What to run, by name.
        rounds: The number of rounds.
        passes: The number of times that each runs in a round.
        measure: Runs one and returns its seconds by clock: `clocked` for functions, `Worker.measure` for workers.

    Returns:
        "wall" and "cpu": seconds by name, one number a round. CPU seconds are those of all threads of this process:
        on a machine that is shared they are the steadier of the two, but they do not see what runs in parallel.
    """
    for run in contenders.values():
        measure(run)
    seconds: dict[str, Seconds] = {clock: {name: [] for name in contenders} for clock in _CLOCKS}
    for _ in range(rounds):
        taken: dict[str, list[dict[str, float]]] = {name: [] for name in contenders}
        for _ in range(passes):
            for name, run in contenders.items():
                taken[name].append(measure(run))
        for clock, fastest in seconds.items():
            for name, passed in taken.items():
                fastest[name].append(min(once[clock] for once in passed))
    return seconds


def spread(values: Iterable[float]) -> dict[str, float]:
    """Returns median, least and greatest."""
    values = list(values)
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


def ratio(of: list[float], to: list[float]) -> dict[str, float]:
    """Returns the spread of the ratios of two contenders, each ratio taken within a round."""
    return spread(a / b for a, b in zip(of, to, strict=True))


def compared(seconds: dict[str, Seconds], of: str, to: str, goal: float | None) -> dict[str, Any]:
    """Returns the ratio of two contenders in wall time, judged, and in CPU time beside it."""
    wall, cpu = (ratio(times[of], times[to]) for times in (seconds["wall"], seconds["cpu"]))
    return {**judged(wall, goal), "cpu": cpu}


def faster(seconds: dict[str, Seconds], ours: str, than: str, goal: float | None) -> dict[str, Any]:
    """Returns how many times faster one contender is than another, with the least that it shall be, and CPU time's."""
    wall, cpu = (ratio(times[than], times[ours]) for times in (seconds["wall"], seconds["cpu"]))
    return {**wall, "goal": goal, "reached": None if goal is None else wall["median"] >= goal, "cpu": cpu}


def judged(numbers: dict[str, float], goal: float | None) -> dict[str, Any]:
    """Returns a spread with its goal, the most that its median may be, and whether it was reached."""
    return {**numbers, "goal": goal, "reached": None if goal is None else numbers["median"] <= goal}


# === Processes ===


def peak_bytes() -> int:
    """Returns the most memory that this process has had resident.

    `ru_maxrss` alone is at least what the parent had: Linux hands it on through fork and exec.
    """
    try:
        for line in pathlib.Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return 1024 * int(line.split()[1])
    except OSError:
        pass
    unit = 1 if sys.platform == "darwin" else 1024
    return unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def in_child(command: list[str]) -> dict[str, Any]:
    """Runs a script in a fresh process, and returns the JSON that it printed last."""
    child = subprocess.run([sys.executable, *command], stdout=subprocess.PIPE, text=True, check=True)
    lines = child.stdout.strip().splitlines()
    return json.loads(lines[-1]) if lines else {}


class Worker:
    """A contender in a process of its own, which calls `serve` and runs it when it is told to.

    No library then meets the threads or the allocator of another, a crash is one contender's, and so is a peak of
    memory. All have as many threads as there are cores, whatever their library would take. While one runs, the others
    wait for input.

    Args:
        command: A script and its arguments.
        limit: Seconds after which a run is given up.
    """

    def __init__(self, command: list[str], limit: float = 1200.0):
        self.limit = limit
        self._process = subprocess.Popen(
            [sys.executable, *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={**os.environ, **dict.fromkeys(_THREADS, str(cores()))},
        )

    def measure(self) -> dict[str, float]:
        """Runs it once.

        Returns:
            "wall" and "cpu": seconds; "peak_bytes": the most memory until now; "before_bytes": until it first ran.

        Raises:
            RuntimeError: If it cannot run; the message says why.
        """
        timer = threading.Timer(self.limit, self._process.kill)
        timer.start()
        try:
            print(file=self._process.stdin, flush=True)
        except BrokenPipeError:
            pass  # it has ended, and has said why
        line = self._process.stdout.readline()
        timer.cancel()
        if not line:
            raise RuntimeError(f"its process ended with {self._process.wait()}")
        answer = json.loads(line)
        if "failed" in answer:
            raise RuntimeError(answer["failed"])
        return answer

    def close(self) -> None:
        """Ends the process."""
        self._process.communicate()


def between_processes(
    commands: dict[str, list[str]], rounds: int, required: tuple[str, ...]
) -> tuple[dict[str, Seconds], dict[str, str]]:
    """Time contenders in processes of their own in turn, once untimed and then once per round.

    Args:
        commands: A script and its arguments by name, as for `Worker`.
        rounds: The number of rounds.
        required: Names of contenders without which there is nothing to compare: it raises their error.

    Returns:
        The seconds as of `interleaved`, of the contenders that ran, and the reasons of the others by name.
    """
    workers = {name: Worker(command) for name, command in commands.items()}
    running, failed = {}, {}
    try:
        for name, worker in workers.items():
            try:
                worker.measure()
                running[name] = worker
            except RuntimeError as reason:
                if name in required:
                    raise
                failed[name] = str(reason)
        return interleaved(running, rounds, 1, lambda worker: worker.measure()), failed
    finally:
        for worker in workers.values():
            worker.close()


def installed(*names: str) -> dict[str, str]:
    """Return the versions of those packages that are installed."""
    found = {}
    for name in names:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            pass
    return found


def run(
    description: str | None,
    build: Callable[[argparse.Namespace], Callable[[], Any]],
    main: Callable[[argparse.Namespace], None],
    networks: Iterable[str] = (),
) -> None:
    """Run a script whose contenders are processes of their own: the process of one contender, or `main`.

    Args:
        description: The docstring of the script.
        build: Function that returns what the process of a contender measures.
        main: Function that measures all contenders.
        networks: Names of networks that `--only` chooses from, if any.
    """
    arguments = contender_parser(description)
    if networks:
        arguments.add_argument("--only", nargs="+", choices=networks, metavar="NETWORK", help=f"of {list(networks)}")
    given = arguments.parse_args()
    if given.contender:
        serve(functools.partial(build, given))
    else:
        main(given)


class Here:
    """What a `Worker` is, in this process: for quick runs, as its memory and its threads are not its own.

    Args:
        build: Builds a contender, as for `serve`.
    """

    def __init__(self, build: Callable[[], Callable[[], Any]]):
        self._build = functools.cache(build)

    def measure(self) -> dict[str, float]:
        """Runs it once; returns what that of a `Worker` returns."""
        run, before = self._build(), peak_bytes()
        return {**clocked(run), "peak_bytes": peak_bytes(), "before_bytes": before}

    def close(self) -> None:
        """Does nothing."""


def serve(build: Callable[[], Callable[[], Any]]) -> None:
    """What the process of a `Worker` does: builds a contender, and runs it once for each line of its input."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print is no answer
    try:
        run = build()
        before = peak_bytes()
        for _ in sys.stdin:
            seconds = clocked(run)
            answer = {**seconds, "peak_bytes": peak_bytes(), "before_bytes": before}
            print(json.dumps(answer), file=answers, flush=True)
    except Exception as error:
        said = str(error).strip().splitlines()[:1]
        print(json.dumps({"failed": f"{type(error).__name__}: {''.join(said)[:200]}"}), file=answers, flush=True)
        raise


# === Reports ===


def cores() -> int:
    """Returns the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def machine() -> dict[str, Any]:
    """Describes what was measured on."""
    import keras
    import tensorflow as tf

    return {
        "cpu": _cpu(),
        "cores": cores(),
        "gpus": [_name(gpu) for gpu in tf.config.list_physical_devices("GPU")],
        "system": platform.platform(),
        "python": platform.python_version(),
        "tensorflow": tf.__version__,
        "keras": keras.__version__,
        "intra_op_threads": tf.config.threading.get_intra_op_parallelism_threads() or "default (cores)",
        "inter_op_threads": tf.config.threading.get_inter_op_parallelism_threads() or "default (cores)",
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
    }


def _name(gpu: Any) -> str:
    import tensorflow as tf

    return tf.config.experimental.get_device_details(gpu).get("device_name", gpu.name)


def _cpu() -> str:
    try:
        lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    fields = dict(map(str.strip, line.split(":", 1)) for line in reversed(lines) if ":" in line)
    numbers = ", ".join(f"{key} {fields[key]}" for key in ("cpu family", "model") if key in fields)
    return f"{fields.get('model name', platform.processor())} ({numbers})"


def table(header: tuple[str, ...], rows: list[tuple[Any, ...]]) -> str:
    """Returns a Markdown table that also reads well as plain text."""
    cells = [header, *[tuple(map(str, row)) for row in rows]]
    widths = [max(len(row[i]) for row in cells) for i in range(len(header))]
    lines = ["| " + " | ".join(f"{c:<{w}}" for c, w in zip(row, widths, strict=True)) + " |" for row in cells]
    lines.insert(1, "|" + "|".join("-" * (w + 2) for w in widths) + "|")
    return "\n".join(lines)


def shown(numbers: dict[str, float]) -> str:
    """Returns a spread as a cell: median (least-greatest)."""
    return f"{numbers['median']:.2f} ({numbers['min']:.2f}-{numbers['max']:.2f})"


def verdict(result: dict[str, Any], sign: str = "<=") -> tuple[str, str]:
    """Returns a spread that was judged as two cells: the goal, and whether it was reached."""
    if result["goal"] is None:
        return "", ""
    return f"{sign} {result['goal']:.2f}", "yes" if result["reached"] else "NO"


def parser(description: str | None) -> argparse.ArgumentParser:
    """Returns the command line that every benchmark has."""
    arguments = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--quick", action="store_true", help="small, in seconds: whether it runs, not how fast")
    arguments.add_argument("--output", type=pathlib.Path, help="write the numbers here, as JSON")
    arguments.add_argument("--seed", type=int, default=0)
    return arguments


def contender_parser(description: str | None) -> argparse.ArgumentParser:
    """Returns the command line of a benchmark that calls itself in a process for each contender."""
    arguments = parser(description)
    for option in ("--contender", "--network"):
        arguments.add_argument(option, help=argparse.SUPPRESS)
    for option in ("--batch-size", "--samples", "--units"):
        arguments.add_argument(option, type=int, help=argparse.SUPPRESS)
    return arguments


def write(path: pathlib.Path | None, report: dict[str, Any]) -> None:
    """Writes a report as JSON, if a path was given."""
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(report, indent=2) + "\n")
