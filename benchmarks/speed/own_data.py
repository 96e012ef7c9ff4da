"""Compare the readers of users' own data with others: how fast they feed a model.

    python benchmarks/speed/own_data.py KIND [--quick] [--output benchmarks/speed/results/own_data_KIND.json]

`images`: one pass over a folder, in batches of 128 images of 64 x 64 in [0, 1], by `aezoo.datasets.from_folder` and by
`keras.utils.image_dataset_from_directory`, cropped to the aspect ratio and divided by 255. There are two folders, made
from a seed: photographs, JPEG files of 640 x 480 and 480 x 640, and icons, PNG files of 64 x 64. Ratios are times of
aezoo over times of Keras, so that below 1 aezoo is faster.

- "in memory" is the default: the images are decoded once, when the folder is read, and kept as 8 bits. "from files" has
  `memory=0`: each pass decodes them, as Keras does.
- aezoo averages over all pixels when it shrinks. Keras' `interpolation="area"` does so too, and is what has a goal; its
  default, "bilinear", reads four pixels per pixel, which is faster and aliases.
- "reading the folder" is what comes before the first batch: aezoo decodes every image to find corrupt ones, Keras
  lists the names. It has no goal.
"""

from __future__ import annotations

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
    """Writes n JPEG files, smooth with some noise: about as many bytes per pixel as photographs have."""
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
    """Writes n PNG files of the size of a sample."""
    import numpy as np
    from PIL import Image

    rng = np.random.default_rng(seed)
    folder.mkdir()
    for i in range(n):
        small = Image.fromarray(rng.integers(0, 256, (6, 6, 3), dtype="uint8"))
        small.resize((SIDE, SIDE), Image.BICUBIC).save(folder / f"{i}.png")


def images(quick: bool, seed: int) -> dict[str, Any]:
    """Measures folders of images."""
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


#: What can be measured, by the kind of data.
KINDS: dict[str, Callable[[bool, int], dict[str, Any]]] = {"images": images}


def main() -> None:
    command_line = timing.parser(__doc__)
    command_line.add_argument("kind", nargs="?", choices=KINDS, help="kind of data; all of them if left out")
    arguments = command_line.parse_args()
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
