"""What the speed benchmarks share: interleaved timing, the machine's description, tables and JSON."""

from __future__ import annotations

import argparse
import datetime
import json
import math
import os
import pathlib
import platform
import statistics
import time
from collections.abc import Callable, Iterable
from typing import Any

Seconds = dict[str, list[float]]


def interleaved(contenders: dict[str, Callable[[], None]], rounds: int, passes: int = 3) -> dict[str, Seconds]:
    """Times the contenders in turn, A B C A B C ..., so that a drift of the machine hits them all.

    Each runs once untimed first: tracing, compilation and the first touch of memory are not what is measured. A round
    goes through all contenders `passes` times and keeps the fastest of each, since what else runs on the machine can
    only add to a time.

    Args:
        contenders: What to run, by name.
        rounds: The number of rounds.
        passes: The number of times that each runs in a round.

    Returns:
        "wall" and "cpu": seconds by name, one number a round. CPU seconds are those of all threads of this process:
        on a machine that is shared they are the steadier of the two, but they do not see what runs in parallel.
    """
    for run in contenders.values():
        run()
    clocks = {"wall": time.perf_counter, "cpu": time.process_time}
    seconds: dict[str, Seconds] = {clock: {name: [] for name in contenders} for clock in clocks}
    for _ in range(rounds):
        best = {clock: dict.fromkeys(contenders, math.inf) for clock in clocks}
        for _ in range(passes):
            for name, run in contenders.items():
                start = {clock: now() for clock, now in clocks.items()}
                run()
                for clock, now in clocks.items():
                    best[clock][name] = min(best[clock][name], now() - start[clock])
        for clock, fastest in best.items():
            for name, value in fastest.items():
                seconds[clock][name].append(value)
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


def judged(numbers: dict[str, float], goal: float | None) -> dict[str, Any]:
    """Returns a spread with its goal, the most that its median may be, and whether it was reached."""
    return {**numbers, "goal": goal, "reached": None if goal is None else numbers["median"] <= goal}


def machine() -> dict[str, Any]:
    """Describes what was measured on."""
    import keras
    import tensorflow as tf

    return {
        "cpu": _cpu(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "gpus": [device.name for device in tf.config.list_physical_devices("GPU")],
        "system": platform.platform(),
        "python": platform.python_version(),
        "tensorflow": tf.__version__,
        "keras": keras.__version__,
        "intra_op_threads": tf.config.threading.get_intra_op_parallelism_threads() or "default (cores)",
        "inter_op_threads": tf.config.threading.get_inter_op_parallelism_threads() or "default (cores)",
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
    }


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


def verdict(result: dict[str, Any]) -> tuple[str, str]:
    """Returns a `judged` spread as two cells: the goal, and whether it was reached."""
    if result["goal"] is None:
        return "", ""
    return f"<= {result['goal']:.2f}", "yes" if result["reached"] else "NO"


def parser(description: str | None) -> argparse.ArgumentParser:
    """Returns the command line that every benchmark has."""
    arguments = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--quick", action="store_true", help="small, in seconds: whether it runs, not how fast")
    arguments.add_argument("--output", type=pathlib.Path, help="write the numbers here, as JSON")
    arguments.add_argument("--seed", type=int, default=0)
    return arguments


def write(path: pathlib.Path | None, report: dict[str, Any]) -> None:
    """Writes a report as JSON, if a path was given."""
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(report, indent=2) + "\n")
