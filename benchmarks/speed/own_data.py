"""Compare the speed and the memory of aezoo's readers of files with the readers of other libraries.

    python benchmarks/speed/own_data.py KIND [--quick] [--output benchmarks/speed/results/own_data_KIND.json]

`images`: one pass over a folder, in batches of 128 images of 64 x 64 in [0, 1], by `aezoo.datasets.from_folder` and by
`keras.utils.image_dataset_from_directory`, cropped to the aspect ratio and divided by 255. There are two folders, made
from a seed: photographs, JPEG files of 640 x 480 and 480 x 640, and icons, PNG files of 64 x 64. Ratios are times of
aezoo over times of Keras, so that below 1 aezoo is faster.

- "in memory" is the default: the images are decoded once, when the folder is read, and kept as 8 bits. "from files" has
  `memory=0`: each pass decodes them, as Keras does.
- aezoo averages over all pixels when it shrinks. Keras' `interpolation="area"` does so too, and has a goal; its
  default, "bilinear", reads four pixels per pixel, which is faster and aliases.
- "reading the folder" is the time before the first batch: aezoo decodes every image to find corrupt ones, Keras
  lists the names. It has no goal.

`tables`: CSV and Parquet files of 100,000 and of 1,000,000 rows of 50 columns, 40 numbers, 7 categories, a boolean, a
date and an identifier, by `aezoo.datasets.from_table`.

- Memory: the peak of a fresh process that reads a file and trains a small model on it for one epoch, in batches of
  1,024. The goal is that ten times as many rows peak at the same memory within 10 %. Most of it is TensorFlow, which
  could hide a leak, so the growth since before the file was opened is reported, too.
- Time: reading the CSV file of 100,000 rows (types, statistics, categories), and one pass over its preprocessed
  training rows in batches of 1,024, over the time of `pandas.read_csv`, which returns the table without preprocessing.
  The first pass is not timed; it keeps these rows in memory, since they need less than 32 MiB.
"""

from __future__ import annotations

import argparse
import json
import os
import pathlib
import tempfile
import time
from collections.abc import Callable
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import timing

SIDE, BATCH = 64, 128


def write_photographs(folder: pathlib.Path, n: int, seed: int) -> None:
    """Write n JPEG files, smooth with some noise: about as many bytes per pixel as photographs have."""
    import numpy as np
    from PIL import Image

    rng = np.random.default_rng(seed)
    folder.mkdir()
    for i in range(n):
        size = (640, 480) if i % 3 else (480, 640)
        smooth = Image.fromarray(rng.integers(0, 256, (60, 80, 3), dtype="uint8")).resize(size, Image.BICUBIC)
        noisy = np.asarray(smooth, "float32") + rng.normal(0, 6, (size[1], size[0], 3))
        Image.fromarray(np.clip(noisy, 0, 255).astype("uint8")).save(folder / f"{i}.jpg", quality=90)


def write_icons(folder: pathlib.Path, n: int, seed: int) -> None:
    """Write n PNG files of the size of a sample."""
    import numpy as np
    from PIL import Image

    rng = np.random.default_rng(seed)
    folder.mkdir()
    for i in range(n):
        small = Image.fromarray(rng.integers(0, 256, (6, 6, 3), dtype="uint8"))
        small.resize((SIDE, SIDE), Image.BICUBIC).save(folder / f"{i}.png")


def images(quick: bool, seed: int) -> dict[str, Any]:
    """Measure folders of images."""
    import keras

    from aezoo import datasets

    def by_keras(folder: pathlib.Path, interpolation: str) -> Any:
        found = keras.utils.image_dataset_from_directory(
            folder,
            labels=None,
            image_size=(SIDE, SIDE),
            batch_size=BATCH,
            seed=seed,
            crop_to_aspect_ratio=True,
            interpolation=interpolation,
            verbose=False,
        )
        return found.map(lambda batch: batch / 255)

    def by_aezoo(folder: pathlib.Path, **options: Any) -> Any:
        return datasets.from_folder(folder, SIDE, batch_size=BATCH, test_fraction=0, seed=seed, **options).train

    def one_pass(dataset: Any) -> Callable[[], None]:
        def run() -> None:
            for _ in dataset:
                pass

        return run

    rounds, passes = (1, 1) if quick else (5, 3)
    numbers = {"photographs": 8 if quick else 300, "icons": 8 if quick else 3000}
    seconds, ratios, reading = {}, {}, {}
    with tempfile.TemporaryDirectory() as place:
        for name, write in (("photographs", write_photographs), ("icons", write_icons)):
            folder = pathlib.Path(place, name)
            write(folder, numbers[name], seed)
            builders: dict[str, Callable[[], Any]] = {
                "in memory": lambda folder=folder: by_aezoo(folder),
                "from files": lambda folder=folder: by_aezoo(folder, memory=0),
                "Keras": lambda folder=folder: by_keras(folder, "bilinear"),
            }
            if name == "photographs":
                builders["Keras, area"] = lambda folder=folder: by_keras(folder, "area")
            contenders = {}
            reading[name] = {}
            for contender, build in builders.items():
                start = time.perf_counter()
                contenders[contender] = one_pass(build())
                reading[name][contender] = time.perf_counter() - start
            times = seconds[name] = timing.interleaved(contenders, rounds, passes)
            for ours in ("in memory", "from files"):
                # Icons are not resized, so that all transforms are the same.
                goals = {"Keras": 1.0 if ours == "in memory" or name == "icons" else None, "Keras, area": 1.0}
                for peer in goals.keys() & builders.keys():
                    what = f"{name}, {ours} / {peer}"
                    ratios[what] = timing.compared(times, ours, peer, goals[peer])
    return {
        "settings": {"images": numbers, "side": SIDE, "batch_size": BATCH, "rounds": rounds, "passes": passes},
        "seconds": seconds,
        "seconds_of_reading_the_folder": reading,
        "ratios": dict(sorted(ratios.items())),
    }


_HERE = str(pathlib.Path(__file__).resolve())
ROWS, COLUMNS, TABLE_BATCH = 100_000, 50, 1024


def write_table(path: pathlib.Path, rows: int, parts: int, seed: int) -> None:
    """Write a CSV or Parquet file of parts x rows rows; the parts differ only in the identifiers."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.csv
    import pyarrow.parquet

    rng = np.random.default_rng(seed)
    columns: dict[str, Any] = {"id": np.arange(rows)}
    for i in range(40):
        values = rng.normal(10.0 ** (i % 4), 1 + i, rows).round(3)
        columns[f"number_{i}"] = pa.array(values, mask=rng.random(rows) < 0.02 * (i % 2))
    for i in range(7):
        columns[f"category_{i}"] = np.array([f"level {j}" for j in range(3 + 4 * i)])[rng.integers(0, 3 + 4 * i, rows)]
    columns["boolean"] = rng.random(rows) < 0.3
    columns["date"] = np.datetime64("2020-01-01") + rng.integers(0, 2000, rows)
    assert len(columns) == COLUMNS
    schema = pa.table(columns).schema
    csv = path.suffix == ".csv"
    with pa.csv.CSVWriter(path, schema) if csv else pa.parquet.ParquetWriter(path, schema) as writer:
        for part in range(parts):
            writer.write_table(pa.table({**columns, "id": np.arange(rows) + part * rows}))


def train_on_table(path: str, seed: int) -> dict[str, Any]:
    """Read a table, train for one epoch and return the memory that it took; this runs in a child process."""
    import keras
    import numpy as np

    import aezoo

    keras.utils.set_random_seed(seed)
    model = aezoo.Autoencoder(8, output_activation="linear", missing="mask")
    model.compile(optimizer="adam", steps_per_execution=16)
    # Everything is imported, and the step of another table traced, before the data come.
    few = np.random.default_rng(0).random((64, 4), "float32")
    first = aezoo.Autoencoder(8, output_activation="linear", missing="mask")
    first.compile(optimizer="adam", steps_per_execution=16)
    first.fit(few, verbose=0)
    before = timing.peak_bytes()
    data = aezoo.datasets.from_table(path, batch_size=TABLE_BATCH, test_fraction=0.0, seed=seed)
    model.fit(data.train, verbose=0)
    after = timing.peak_bytes()
    return {"peak_bytes": after, "growth_bytes": after - before, "steps": int(model.optimizer.iterations)}


def tables(quick: bool, seed: int) -> dict[str, Any]:
    """Measure tables in files."""
    import pandas as pd

    from aezoo import datasets

    rows, rounds = (200, 1) if quick else (ROWS, 3)
    runs: dict[str, dict[str, Any]] = {}
    ratios: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as place:
        for kind in ("csv", "parquet"):
            for parts in (1, 10):
                write_table(pathlib.Path(place, f"{parts}x.{kind}"), rows, parts, seed)
        names = [f"{kind}, {parts}x" for kind in ("csv", "parquet") for parts in (1, 10)]
        for name in names:
            kind, times = name.split(", ")
            path = str(pathlib.Path(place, f"{times}.{kind}"))
            command = [_HERE, "--train", path, "--seed", str(seed)]
            runs[name] = train_on_table(path, seed) if quick else timing.in_child(command)
        for kind in ("csv", "parquet"):
            peaks = [[runs[f"{kind}, {times}"]["peak_bytes"]] for times in ("10x", "1x")]
            result = timing.judged(timing.ratio(*peaks), 1.1)
            result["reached"] = abs(result["median"] - 1.0) <= 0.1
            ratios[f"{kind}, peak memory of {10 * rows:,} / {rows:,} rows"] = result
        path = pathlib.Path(place, "1x.csv")
        data = datasets.from_table(path, batch_size=TABLE_BATCH, seed=seed)

        def one_pass() -> None:
            for _ in data.train:
                pass

        contenders: dict[str, Callable[[], Any]] = {
            "reading": lambda: datasets.from_table(path, batch_size=TABLE_BATCH, seed=seed),
            "a pass": one_pass,
            "pandas.read_csv": lambda: pd.read_csv(path),
        }
        seconds = timing.interleaved(contenders, rounds, passes=1)
    for ours in ("reading", "a pass"):
        ratios[f"csv, {ours} / pandas.read_csv"] = timing.compared(seconds, ours, "pandas.read_csv", 1.0)
    return {
        "settings": {"rows": rows, "times": 10, "columns": COLUMNS, "batch_size": TABLE_BATCH, "rounds": rounds},
        "runs": runs,
        "seconds": seconds,
        "ratios": ratios,
    }


#: What can be measured, by the kind of data.
KINDS: dict[str, Callable[[bool, int], dict[str, Any]]] = {"images": images, "tables": tables}


def main() -> None:
    command_line = timing.parser(__doc__)
    command_line.add_argument("kind", nargs="?", choices=KINDS, help="kind of data; all of them if left out")
    command_line.add_argument("--train", help=argparse.SUPPRESS)  # what follows is how this file calls itself
    arguments = command_line.parse_args()
    if arguments.train:
        print(json.dumps(train_on_table(arguments.train, arguments.seed)))
        return
    kinds = [arguments.kind] if arguments.kind else list(KINDS)
    report: dict[str, Any] = {"benchmark": "own_data", "machine": timing.machine()}
    report["settings"] = {"seed": arguments.seed, "quick": arguments.quick}
    report["results"] = {}
    for kind in kinds:
        found = report["results"][kind] = KINDS[kind](arguments.quick, arguments.seed)
        rows = [(what, timing.shown(ratio), *timing.verdict(ratio)) for what, ratio in found["ratios"].items()]
        print(timing.table((kind, "ratio (min-max)", "goal", "reached"), rows))
    timing.write(arguments.output, report)


if __name__ == "__main__":
    main()
