"""What the speed benchmarks share: interleaved timing, the machine's description, tables and JSON."""

from __future__ import annotations

import argparse
import datetime
import json
import os
import pathlib
import platform
import statistics
import time
from collections.abc import Callable, Iterable
from typing import Any


def interleaved(contenders: dict[str, Callable[[], None]], rounds: int) -> dict[str, list[float]]:
    """Times every contender once a round, A B C A B C ..., so that a drift of the machine hits them all.

    Each runs twice untimed first: tracing, compilation and the first touch of memory are not what is measured.

    Args:
        contenders: What to run, by name.
        rounds: The number of timed rounds.

    Returns:
        Seconds by name, one number a round.
    """
    for run in contenders.values():
        run()
        run()
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, run in contenders.items():
            start = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - start)
    return seconds


def spread(values: Iterable[float]) -> dict[str, float]:
    """Returns median, least and greatest."""
    values = list(values)
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


def ratio(of: list[float], to: list[float]) -> dict[str, float]:
    """Returns the spread of the ratios of two contenders, each ratio taken within a round."""
    return spread(a / b for a, b in zip(of, to, strict=True))


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


def verdict(result: dict[str, Any]) -> tuple[str, str, str]:
    """Returns a `judged` spread as cells: ratio with spread, goal, reached."""
    shown = f"{result['median']:.2f} ({result['min']:.2f}-{result['max']:.2f})"
    if result["goal"] is None:
        return shown, "", ""
    return shown, f"<= {result['goal']:.2f}", "yes" if result["reached"] else "NO"


def parser(description: str | None) -> argparse.ArgumentParser:
    """Returns the command line that every benchmark has."""
    arguments = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    arguments.add_argument("--quick", action="store_true", help="small, in seconds: whether it runs, not how fast")
    arguments.add_argument("--output", type=pathlib.Path, help="write the numbers here, as JSON")
    arguments.add_argument("--seed", type=int, default=0)
    return arguments


def write(path: pathlib.Path | None, report: dict[str, Any]) -> None:
    """Writes a report as JSON, if a path was given."""
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(report, indent=2) + "\n")
