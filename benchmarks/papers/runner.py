"""Run the tables of the papers: every row once per seed. Each run is saved as it finishes, so that an interrupted
command continues where it stopped. A row whose configuration was changed runs again."""

from __future__ import annotations

import argparse
import base64
import dataclasses
import datetime
import json
import statistics
import sys
import zlib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np
from reporting import HERE, Clock, Row

import aezoo

sys.path.append(str(HERE.parent))
from saved_runs import SavedRuns

Configuration = dict[str, Any]
Rows = Callable[["Runs"], list[Row]]


@dataclasses.dataclass(frozen=True)
class Setting:
    """How a run is made.

    Attributes:
        seed: Seed of weights, noise and order.
        quick: Whether the run only shows that the code works.
        validation: Whether the last training images are measured in place of the test images, to choose a
            configuration.
        weights: Folder in which trained weights are kept, so that two tables can share a model; None keeps none.
    """

    seed: int = 0
    quick: bool = False
    validation: bool = False
    weights: Path | None = None


@dataclasses.dataclass(frozen=True)
class Table:
    """A table of a paper.

    Attributes:
        name: Name of its file in `results`.
        configurations: Configuration of each row, by the name of the row.
        run: Function that trains and measures a configuration and returns the measures by name.
        rows: Function that summarizes runs.
        trials: Changes of configurations that were tried on validation data, by the name of the row.
        seeds: Number of seeds; None for as many as the command asks for.
        measure: Name of the measure that trials compare.
    """

    name: str
    configurations: Mapping[str, Configuration]
    run: Callable[[Configuration, Setting], dict[str, Any]]
    rows: Rows
    trials: Mapping[str, list[Configuration]] = dataclasses.field(default_factory=dict)
    seeds: int | None = None
    measure: str = "error"


class Runs:
    """Saved runs of a table, by row."""

    def __init__(self, runs: Iterable[Mapping[str, Any]]):
        self.by_row: dict[str, list[Mapping[str, Any]]] = {}
        for run in runs:
            self.by_row.setdefault(run["row"], []).append(run)

    def __contains__(self, row: str) -> bool:
        return row in self.by_row

    def row(self, row: str, measure: str, what: str, published: str = "–", target: str = "–") -> list[Row]:
        """Return a line with the mean of a measure and its standard deviation over the seeds, if the row has runs."""
        found = [run for run in self.by_row.get(row, []) if run.get(measure) is not None]
        if not found:
            return []
        values = [run[measure] for run in found]
        deviation = statistics.stdev(values) if len(values) > 1 else None
        minutes = statistics.mean(run["minutes"] for run in found)
        return [Row(what, published, target, statistics.mean(values), minutes, deviation, len(values))]

    def difference(self, a: str, b: str, target: str = "< 0") -> list[Row]:
        """Return a line with the error of row a minus the error of row b, and its interval over the test images."""
        wrong = [[unpacked(run["wrong"]) for run in self.by_row.get(row, [])] for row in (a, b)]
        if not all(wrong):
            return []
        difference, low, high = paired(*wrong)
        seeds = min(map(len, wrong))
        what = f"{a} minus {b}, points ({low:+.2f} to {high:+.2f})"
        return [Row(what, "–", target, difference, 0.0, None, seeds)]


def paired(a: list[np.ndarray], b: list[np.ndarray], resamples: int = 10_000) -> tuple[float, float, float]:
    """Compare two classifiers on the same test images.

    Args:
        a: Which images the first one gets wrong, (images,) bool, one array per seed.
        b: The same of the second one.
        resamples: Number of bootstrap samples of the test images.

    Returns:
        Error of a minus error of b in percentage points, and the ends of its 95 % interval.
    """
    difference = 100 * (np.mean(a, axis=0) - np.mean(b, axis=0))
    values, counts = np.unique(difference, return_counts=True)
    drawn = np.random.default_rng(0).multinomial(len(difference), counts / len(difference), resamples)
    means = drawn @ values / len(difference)
    return float(difference.mean()), *map(float, np.percentile(means, [2.5, 97.5]))


def packed(wrong: np.ndarray) -> str:
    """Return booleans as text."""
    return f"{len(wrong)}:" + base64.b64encode(zlib.compress(np.packbits(wrong).tobytes(), 9)).decode()


def unpacked(text: str) -> np.ndarray:
    """Return the booleans that `packed` wrote."""
    size, _, data = text.partition(":")
    return np.unpackbits(np.frombuffer(zlib.decompress(base64.b64decode(data)), "uint8"))[: int(size)].astype(bool)


def small(configuration: Configuration) -> Configuration:
    """Return a configuration that trains in a second, for tests."""
    limits = {"epochs": 1, "fine_tuning_epochs": 1, "units": 16, "k": 3, "k_start": 6, "latent_dim": 4, "samples": 10}
    limits |= {"layers": 2, "temperatures": 50, "particles": 10, "warm_up": 1, "chains": 10, "aux_k": 8}
    limits |= {"top_units": 8, "ladder": 3}
    changed = {name: min(value, limits[name]) for name, value in configuration.items() if name in limits}
    if "batch_size" in configuration:
        changed["batch_size"] = 100
    if "sizes" in configuration:
        changed["sizes"] = [20, 5]
    if "fine_tuning" in configuration:
        changed["fine_tuning"] = small(configuration["fine_tuning"])
    return {**configuration, **changed}


def run_table(table: Table, options: argparse.Namespace, clock: Clock) -> None:
    """Run what a table lacks, save each run and print the table."""
    saved = _saved(table, options, "")
    for seed in range(1 if options.quick else min(table.seeds or options.seeds, options.seeds)):
        for row, configuration in _chosen(table, options).items():
            if (row, seed, configuration) in saved or clock.minutes > options.minutes:
                continue
            _run(table, saved, row, seed, configuration, options, validation=False)
    rows = table.rows(Runs(saved.report["runs"]))
    print(f"\n{table.name:52s}{'published':>12s}{'target':>10s}{'ours':>18s}{'minutes':>9s}")
    for row in rows:
        ours = f"{row.ours:.4g}" + ("" if row.deviation is None else f" ± {row.deviation:.2g}")
        print(f"{row.what:52s}{row.published:>12s}{row.target:>10s}{ours:>18s}{row.minutes:9.1f}")


def run_trials(table: Table, options: argparse.Namespace, clock: Clock) -> None:
    """Run the trials of a table on validation data, one seed each."""
    saved = _saved(table, options, "_trials")
    for row, base in _chosen(table, options).items():
        for change in table.trials.get(row, []):
            configuration = _plain(small({**base, **change}) if options.quick else {**base, **change})
            if (row, 0, configuration) in saved or clock.minutes > options.minutes:
                continue
            found = _run(table, saved, row, 0, configuration, options, validation=True)
            print(f"  {change}: {found[table.measure]:.4g}", flush=True)


def _chosen(table: Table, options: argparse.Namespace) -> dict[str, Configuration]:
    rows = {row: _plain(small(given) if options.quick else given) for row, given in table.configurations.items()}
    return {row: given for row, given in rows.items() if not options.rows or row in options.rows}


def _plain(configuration: Configuration) -> Configuration:
    """Return a configuration as JSON gives it back, with lists in place of tuples."""
    return json.loads(json.dumps(configuration))


def _run(
    table: Table,
    saved: SavedRuns,
    row: str,
    seed: int,
    configuration: Configuration,
    options: argparse.Namespace,
    validation: bool,
) -> dict[str, Any]:
    keras.utils.set_random_seed(seed)
    clock = Clock()
    print(f"{table.name}: {row}, seed {seed}", flush=True)
    setting = Setting(seed, options.quick, validation, None if options.quick else options.weights)
    found = table.run(dict(configuration), setting)
    found = {**found, "minutes": found.get("minutes", clock.minutes)}
    if not validation:  # runs of an earlier configuration stay until the row has one of this
        same = [run for run in saved.report["runs"] if run["row"] != row or run["configuration"] == configuration]
        saved.report["runs"] = same
    saved.add((row, seed, configuration), **found)
    shown = {name: round(value, 3) for name, value in found.items() if isinstance(value, (int, float))}
    print(f"  {shown}", flush=True)
    keras.backend.clear_session(free_memory=False)
    return found


def _saved(table: Table, options: argparse.Namespace, kind: str) -> SavedRuns:
    """Return the saved runs of a table, without rows that no longer exist."""
    results = options.results or (None if options.quick else HERE / "results")
    folder = None if results is None else results / "trials" if kind else results
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
    path = None if folder is None else folder / f"{table.name}.json"

    def summary(runs: list[dict[str, Any]]) -> dict[str, Any]:
        if kind:
            return {"measure": table.measure}
        rows = [dataclasses.asdict(row) for row in table.rows(Runs(runs))]
        return {"date": datetime.date.today().isoformat(), "rows": rows}

    saved = SavedRuns(
        f"benchmarks/papers/{table.name}.py",
        path,
        ("row", "seed", "configuration"),
        {"seeds": options.seeds},
        {"aezoo": aezoo.__version__, "keras": keras.__version__},
        summary,
    )
    if not kind:
        saved.report["runs"] = [run for run in saved.report["runs"] if run["row"] in table.configurations]
    return saved


def parser(description: str | None) -> argparse.ArgumentParser:
    """Return the options that all tables share."""
    parsed = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parsed.add_argument("--rows", nargs="*", metavar="ROW", help="names of rows; default: all")
    parsed.add_argument("--seeds", type=int, default=3, help="number of seeds per row (default: 3)")
    parsed.add_argument("--minutes", type=float, default=float("inf"), help="start no run after so many minutes")
    parsed.add_argument("--trials", action="store_true", help="try configurations on validation data instead")
    parsed.add_argument("--quick", action="store_true", help="tiny networks and few digits: the numbers mean nothing")
    parsed.add_argument("--results", type=Path, help="folder of the JSON files; default: benchmarks/papers/results")
    parsed.add_argument(
        "--weights", type=Path, default=HERE / "weights", help="folder of trained weights that tables share"
    )
    return parsed


def run(tables: Iterable[Table], options: argparse.Namespace) -> None:
    """Run tables or their trials."""
    clock = Clock()
    for table in tables:
        (run_trials if options.trials else run_table)(table, options, clock)


def main(table: Table, description: str | None) -> None:
    """Run one table as a script."""
    run([table], parser(description).parse_args())
