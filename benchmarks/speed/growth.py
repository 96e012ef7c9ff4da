"""How time and memory grow: with width, depth, batch, samples, k, units of a sparse code, and the size of images.

    python benchmarks/speed/growth.py [--panels width ...] [--memory-too] [--quick] [--output FILE.json]

Run again with the same output, it measures the panels that the file lacks; each takes at most a minute.

`fit(resident=True)`, Adam, float32, random data in [0, 1]. Width: 784-w-784. Depth: 2 to 32 dense layers of 512 units.
Batch size and samples: 784-1000-784. k: `KSparseAE` of 4,096 units. Code units: `KSparseAE` with k = 32. Image size:
the side of square images, for convolutions of 8 and 16 channels, 256 images. Otherwise 4,096 samples in batches of
128. All points of a panel run in turn, a round keeps the faster of two epochs of each, and a slope (of the logarithm
of time) is taken within a round: a line fitted to the three greatest values, and one between the two least.

In theory time grows with the number of multiplications, which is linear in width, depth, samples and code units,
quadratic in the side of an image, and depends neither on the batch size nor, with a dense encoder, on k: slopes 1, 1,
1, 1, 2, 0 and 0 at the great end. What a step costs beside its products (dispatch, and the optimizer, which passes
over all weights once a step) is a slope of -1 in the batch size, seen at the small end.

Memory is what the first epoch adds to the peak of a fresh process after imports and data, at two values per panel; the
slope is between them, after subtracting what the same network adds with 8 units and 64 samples: graphs and threads.

With an output, the picture is written beside it: FILE.png.
"""

from __future__ import annotations

import argparse
import json
import math
import os
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np
import timing
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator

import aezoo

FEATURES, BATCH = 784, 128
# The values of each panel, and its theoretical slopes at the small and at the great end.
PANELS: dict[str, tuple[tuple[int, ...], tuple[int | None, int]]] = {
    "width": ((16, 64, 256, 1024, 4096), (None, 1)),
    "depth": ((2, 4, 8, 16, 32), (None, 1)),
    "batch size": ((4, 16, 64, 256, 1024, 4096), (-1, 0)),
    "samples": ((512, 2048, 8192, 32_768), (None, 1)),
    "k": ((4, 16, 64, 256, 1024), (None, 0)),
    "code units": ((512, 2048, 8192, 16_384), (None, 1)),
    "image size": ((16, 32, 64, 128), (None, 2)),
}
QUICK = {"depth": (2, 4), "batch size": (64, 128), "k": (1, 2), "image size": (8, 16)}  # each way to make a model
#: Two values of each panel at which memory is measured, and the theoretical slope.
MEMORY: dict[str, tuple[tuple[int, int], int]] = {
    "width": ((4096, 16_384), 1),
    "depth": ((32, 128), 1),
    "batch size": ((4096, 16_384), 1),
    "samples": ((32_768, 131_072), 1),
    "k": ((16, 64), 0),
    "code units": ((8192, 32_768), 1),
    "image size": ((128, 256), 2),
}


def epoch(panel: str, value: int, settings: dict[str, int]) -> Any:
    """One epoch at one point of a panel."""
    layer, samples = settings["layer"], value if panel == "samples" else settings["samples"]
    shape: tuple[int, ...] = (layer if panel == "depth" else FEATURES,)
    if panel in ("k", "code units"):
        samples = settings["sparse_samples"]
    if panel == "image size":
        samples, shape = settings["images"], (value, value, 1)
    batch_size = {"batch size": value, "image size": 32}.get(panel, BATCH)
    x = np.random.default_rng(settings["seed"]).random((samples, *shape), dtype="float32")
    if panel == "depth":
        model = aezoo.Autoencoder(layer, hidden_dims=(layer,) * (value // 2 - 1))
    elif panel == "k":
        model = aezoo.KSparseAE(settings["code"], k=value)
    elif panel == "code units":
        model = aezoo.KSparseAE(value, k=32)
    elif panel == "image size":
        model = aezoo.Autoencoder(16, filters=(8, 16))
    else:
        model = aezoo.Autoencoder(value if panel == "width" else settings["units"])
    model.compile(optimizer="adam")
    return lambda: model.fit(x, batch_size=batch_size, verbose=0, resident=True)


def slope(values: tuple[int, ...], seconds: dict[str, list[float]]) -> dict[str, float]:
    """The spread over rounds of the slope of a line through the points of some values."""
    rounds = zip(*(seconds[str(value)] for value in values), strict=True)
    return timing.spread(float(np.polyfit(np.log(values), np.log(taken), 1)[0]) for taken in rounds)


def memory(panel: str, settings: dict[str, int]) -> dict[str, Any]:
    """The MiB that an epoch adds to the peak at the two values of a panel, and the slope between them."""
    values, theory = MEMORY[panel]
    few = {**settings, "samples": 16_384 if panel == "batch size" else 256, "sparse_samples": 256, "images": 32}
    if panel == "samples":
        few["units"] = 8
    found = {}
    for value in (0, *values):
        command = [__file__, "--memory", panel, str(value), json.dumps(few)]
        found[str(value)] = timing.in_child(command)["mib"]
    a, b = (max(1.0, found[str(value)] - found["0"]) for value in values)
    return {
        "values": values,
        "MiB": found,
        "slope": math.log(b / a) / math.log(values[1] / values[0]),
        "theory": theory,
    }


def peak(panel: str, value: int, settings: dict[str, int]) -> float:
    """The MiB that an epoch adds to the peak of this process; with the value 0, of a network and data of no size."""
    if value == 0:
        none = {"width": 8, "depth": 2, "batch size": 64, "samples": 64, "k": 1, "code units": 64, "image size": 8}
        few = {"layer": 8, "units": 8, "code": 64, "samples": 64, "sparse_samples": 64, "images": 32}
        value, settings = none[panel], {**settings, **few}
    run = epoch(panel, value, settings)
    before = timing.peak_bytes()
    run()
    return (timing.peak_bytes() - before) / 2**20


def draw(panels: dict[str, Any]) -> Figure:
    figure = Figure(figsize=(8.2, 3 * -(-len(panels) // 3)), layout="constrained")
    all_axes = figure.subplots(-(-len(panels) // 3), 3, squeeze=False).flat
    for (panel, measured), axes in zip(panels.items(), all_axes, strict=False):
        values = np.array(measured["values"], float)
        spreads = [timing.spread(measured["seconds"]["wall"][str(value)]) for value in measured["values"]]
        median, least, greatest = (np.array([s[key] for s in spreads]) for key in ("median", "min", "max"))
        axes.errorbar(values, median, (median - least, greatest - median), marker="o", color="#1f6fb4", capsize=2)
        for end, theory in zip((0, -1), PANELS[panel][1], strict=True):
            if theory is not None:
                line = median[end] * (values / values[end]) ** theory
                shown = (line > median.min() / 3) & (line < median.max() * 3)
                axes.plot(values[shown], line[shown], "--", color="#9a9a9a", label=f"slope {theory}", zorder=1)
        label = {"image size": "side of an image, pixels"}.get(panel, panel)
        axes.set(xscale="log", yscale="log", xlabel=label, ylabel="seconds per epoch")
        for axis, ends in ((axes.xaxis, (values[0], values[-1])), (axes.yaxis, axes.get_ylim())):
            axis.set_major_locator(LogLocator(subs=(1, 3) if ends[1] / ends[0] < 200 else (1,)))
            axis.set_major_formatter("{x:g}")
            axis.set_minor_locator(NullLocator())
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False, fontsize=8)
    for axes in all_axes:
        axes.remove()
    return figure


def main(arguments: argparse.Namespace) -> None:
    keras.utils.set_random_seed(arguments.seed)
    quick = arguments.quick
    rounds, passes = (1, 1) if quick else (3, 2)
    sizes = {"units": 1000, "layer": 512, "code": 4096, "samples": 4096, "sparse_samples": 512, "images": 256}
    if quick:
        sizes = {"units": 40, "layer": 32, "code": 64, "samples": 128, "sparse_samples": 64, "images": 32}
    settings = {**sizes, "seed": arguments.seed}
    report: dict[str, Any] = {
        "benchmark": "growth",
        "machine": timing.machine(),
        "settings": {**settings, "batch_size": BATCH, "rounds": rounds, "quick": quick},
        "results": {},
        "panels": {},
    }
    if arguments.output is not None and arguments.output.exists():
        before = json.loads(arguments.output.read_text())
        if before["settings"] == report["settings"]:  # else of another state of this script
            report |= {key: before[key] for key in ("results", "panels")}
    panels = QUICK if quick else {panel: values for panel, (values, _) in PANELS.items()}
    for panel, values in panels.items():
        if panel in report["panels"] or (arguments.panels and panel not in arguments.panels):
            continue
        runs = {str(value): epoch(panel, value, settings) for value in values}
        seconds = timing.interleaved(runs, rounds, passes)
        del runs
        report["panels"][panel] = {"values": values, "seconds": seconds}
        for end, points, expected in zip(("small", "great"), (values[:2], values[-3:]), PANELS[panel][1], strict=True):
            name = f"time: slope in {panel}, {points[0]:,} to {points[-1]:,}"
            found = {**slope(points, seconds["wall"]), "goal": None, "end": end, "theory": expected}
            report["results"][name] = found
        rows = [(value, f"{timing.spread(taken)['median']:.3f}") for value, taken in seconds["wall"].items()]
        print(timing.table((panel, "seconds per epoch"), rows), end="\n\n", flush=True)
        timing.write(arguments.output, report)
    for panel in panels:
        name = f"memory: slope in {panel}"
        if quick or not arguments.memory_too or any(known.startswith(name) for known in report["results"]):
            continue
        found = memory(panel, settings)
        first, last = found["values"]
        spread = timing.spread([found["slope"]])
        report["results"][f"{name}, {first:,} to {last:,}"] = {**spread, "goal": None, **found}
        timing.write(arguments.output, report)
    rows = [
        (name, timing.shown(found), "" if found["theory"] is None else found["theory"])
        for name, found in report["results"].items()
    ]
    print(timing.table(("what", "measured", "theory"), rows))
    timing.write(arguments.output, report)
    if arguments.output is not None:
        ordered = {panel: report["panels"][panel] for panel in PANELS if panel in report["panels"]}
        draw(ordered).savefig(arguments.output.with_suffix(".png"), dpi=100)


if __name__ == "__main__":
    parser = timing.parser(__doc__)
    parser.add_argument("--panels", nargs="*", choices=tuple(PANELS), help="panels to time, default: all")
    parser.add_argument("--memory-too", action="store_true", help="measure memory, too, about three minutes")
    parser.add_argument("--memory", nargs=3, help=argparse.SUPPRESS)  # how this file calls itself
    given = parser.parse_args()
    if given.memory:
        print(json.dumps({"mib": peak(given.memory[0], int(given.memory[1]), json.loads(given.memory[2]))}))
    else:
        main(given)
