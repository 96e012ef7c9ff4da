"""Whether training from `aezoo.datasets.stream` takes the same memory however large the data set is.

    TFDS_DATA_DIR=... python benchmarks/speed/streaming.py [--quick] [--output FILE.json]

Measures the peak resident memory of a fresh process that trains one epoch, a process a run, the contenders in turn:

- on `stream("mnist")`, which TensorFlow Datasets must have prepared in `TFDS_DATA_DIR` (or be able to download);
- on a synthetic set of the same format, image size and way of reading, but 20 times as many images: 20 files of
  60,000, 500 MB, written to a temporary folder in the format of TensorFlow Datasets;
- for comparison, on MNIST loaded into memory;
- the first two again, for a stack of two layers that is pretrained on the stream.

The goal: 20 times the images peak at the memory of MNIST within 10 %, in `fit` and in `pretrain`. Most of either peak
is TensorFlow itself, which could hide a leak, so the growth during the epoch, peak less what was resident before the
data were opened, is given too; the network is small, for the same reason.

`--quick` needs no data: two synthetic sets of 8x8 images, of 200, and of 20 times as many, and the stack on the larger;
all but the first in the one process that has TensorFlow already, so that their memory says nothing.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import pathlib
import shutil
import tempfile
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import timing

TIMES = 20
GOAL = 0.10
_HERE = str(pathlib.Path(__file__).resolve())


def write_set(folder: pathlib.Path, name: str, side: int, files: int, images: int, seed: int) -> None:
    """Writes `files` x `images` gray images as a prepared data set of TensorFlow Datasets.

    The files are copies of one: memory depends on how much is read, not on whether it was read before.
    """
    import numpy as np
    import tensorflow as tf
    import tensorflow_datasets as tfds

    rng = np.random.default_rng(seed)
    features = tfds.features.FeaturesDict(
        {"image": tfds.features.Image(shape=(side, side, 1)), "label": tfds.features.ClassLabel(num_classes=10)}
    )
    version = folder / name / "1.0.0"
    version.mkdir(parents=True)
    template = tfds.core.ShardedFileTemplate(
        data_dir=version, dataset_name=name, split="train", filetype_suffix="tfrecord"
    )
    paths = [pathlib.Path(template.sharded_filepath(shard_index=i, num_shards=files)) for i in range(files)]
    with tf.io.TFRecordWriter(str(paths[0])) as writer:
        for label in rng.integers(0, 10, images):
            # One pixel in five is inked, as in MNIST, so that a compressed image is about as long.
            image = rng.integers(0, 256, (side, side, 1)) * (rng.random((side, side, 1)) < 0.2)
            writer.write(
                features.serialize_example(features.encode_example({"image": image.astype("uint8"), "label": label}))
            )
    for path in paths[1:]:
        shutil.copyfile(paths[0], path)
    split = tfds.core.SplitInfo(
        name="train",
        shard_lengths=[images] * files,
        num_bytes=files * paths[0].stat().st_size,
        filename_template=template,
    )
    tfds.folder_dataset.write_metadata(
        data_dir=version, features=features, split_infos=[split], supervised_keys=("image", "label")
    )


def train(given: argparse.Namespace) -> dict[str, Any]:
    """What a child process does: one epoch. Returns its memory."""
    import keras
    import numpy as np

    import aezoo

    name, folder = given.train, given.folder
    keras.utils.set_random_seed(given.seed)
    # Everything is imported and compiled before the data come.
    side = 28 if name == "mnist" else aezoo.datasets.stream(name, data_dir=folder).element_spec.shape[1]
    if given.stack:

        def layers() -> aezoo.StackedAE:
            return aezoo.StackedAE(
                [aezoo.Autoencoder(latent_dim=32), aezoo.Autoencoder(latent_dim=16, output_activation="linear")]
            )

        layers().pretrain(np.zeros((256, side, side, 1), "float32"), batch_size=128, epochs=1)
        model = layers()
        fit, steps = functools.partial(model.pretrain, epochs=1), model.stages[-1]
    else:
        model = steps = aezoo.Autoencoder(latent_dim=32)
        model.compile(optimizer="adam", steps_per_execution=16)
        fit = functools.partial(model.fit, verbose=0)
        fit(np.zeros((256, side, side, 1), "float32"), batch_size=128)
    before = timing.peak_bytes()
    if given.in_memory:
        fit(aezoo.datasets.load(name, data_dir=folder)[0][0], batch_size=128)
    else:
        fit(aezoo.datasets.stream(name, data_dir=folder))
    after = timing.peak_bytes()
    return {"peak_bytes": after, "growth_bytes": after - before, "steps": int(steps.optimizer.iterations)}


def main(arguments: argparse.Namespace) -> None:
    quick = arguments.quick
    side, images, rounds = (8, 200, 1) if quick else (28, 60_000, 3)
    seed = ["--seed", str(arguments.seed)]
    with tempfile.TemporaryDirectory() as folder:
        large, small = f"synthetic_{TIMES}x", "synthetic"
        for name, files in {large: TIMES, **({small: 1} if quick else {})}.items():
            write_set(pathlib.Path(folder), name, side, files, images, arguments.seed)
        contenders = {f"{TIMES}x": ["--train", large, "--folder", folder]}
        if quick:
            contenders = {"1x": ["--train", small, "--folder", folder], **contenders}
        else:
            contenders = {
                "1x": ["--train", "mnist"],
                **contenders,
                "1x in memory": ["--train", "mnist", "--in-memory"],
            }
        for name in (f"{TIMES}x",) if quick else ("1x", f"{TIMES}x"):
            contenders[f"stack, {name}"] = [*contenders[name], "--stack"]
        runs: dict[str, list[dict[str, Any]]] = {name: [] for name in contenders}
        for _ in range(rounds):
            for name, command in contenders.items():
                if quick and name != "1x":
                    runs[name].append(train(parser().parse_args([*command, *seed])))
                else:
                    runs[name].append(timing.in_child([_HERE, *command, *seed]))

    def numbers(name: str, key: str) -> list[float]:
        return [run[key] for run in runs[name]]

    results = {}
    for name, first in ((f"{TIMES}x", "1x"), (f"stack, {TIMES}x", "stack, 1x"), ("1x in memory", "1x")):
        if name in runs and first in runs:
            of = timing.ratio(numbers(name, "peak_bytes"), numbers(first, "peak_bytes"))
            result = timing.judged(of, None if name == "1x in memory" else 1.0 + GOAL)
            if result["goal"] is not None:
                result["reached"] = abs(of["median"] - 1.0) <= GOAL
            results[f"peak of {name} / {first}"] = result
    rows = [(what, timing.shown(result), *timing.verdict(result)) for what, result in results.items()]
    print(timing.table(("what", "ratio (min-max)", "goal", "reached"), rows), end="\n\n")
    rows = [
        (
            name,
            f"{timing.spread(numbers(name, 'peak_bytes'))['median'] / 2**20:.0f}",
            f"{timing.spread(numbers(name, 'growth_bytes'))['median'] / 2**20:.0f}",
            int(numbers(name, "steps")[0]),
        )
        for name in contenders
    ]
    print(timing.table(("what", "peak, MiB", "growth with the data, MiB", "steps"), rows))
    report = {
        "benchmark": "streaming",
        "machine": timing.machine(),
        "settings": {
            "first": small if quick else "mnist",
            "images": images,
            "image_shape": [side, side, 1],
            "times": TIMES,
            "batch_size": 128,
            "rounds": rounds,
            "seed": arguments.seed,
            "quick": quick,
        },
        "runs": runs,
        "ratios": results,
    }
    timing.write(arguments.output, report)


def parser() -> argparse.ArgumentParser:
    command_line = timing.parser(__doc__)
    # What follows is how this file calls itself.
    command_line.add_argument("--train", help=argparse.SUPPRESS)
    command_line.add_argument("--folder", help=argparse.SUPPRESS)
    command_line.add_argument("--in-memory", action="store_true", help=argparse.SUPPRESS)
    command_line.add_argument("--stack", action="store_true", help=argparse.SUPPRESS)
    return command_line


if __name__ == "__main__":
    given = parser().parse_args()
    if given.train:
        print(json.dumps(train(given)))
    else:
        main(given)
