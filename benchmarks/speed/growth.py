"""How the cost of an epoch grows: with the width and the depth of the network, the batch and the number of samples.

    python benchmarks/speed/growth.py [--quick] [--output FILE.json]

`Autoencoder.fit` with its defaults, Adam, float32, random data in [0, 1]: 784-w-784; 2 to 32 dense layers of 512
units; 784-1000-784 by batch size and by the number of samples; otherwise 4,096 samples in batches of 128. All points of
a panel run in turn, a round keeps the faster of two epochs of each, and a slope (of the logarithm of time) is taken
within a round, between the two greatest values and between the two least.

In theory time grows with the number of multiplications, which is linear in width, depth and samples and does not depend
on the batch size: slopes 1, 1, 1 and 0 at the great end. What a step costs beside its products (dispatch, and the
optimizer, which passes over all weights once a step) is a slope of -1 in the batch size, seen at the small end.

With an output, the picture is written beside it: FILE.png.
"""

from __future__ import annotations

import argparse
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
}
QUICK = {"depth": (2, 4), "batch size": (64, 128)}  # each way to make a model, each theory


def epoch(panel: str, value: int, settings: dict[str, int]) -> Any:
    """One epoch at one point of a panel."""
    layer = settings["layer"]
    features = layer if panel == "depth" else FEATURES
    samples = value if panel == "samples" else settings["samples"]
    batch_size = value if panel == "batch size" else BATCH
    x = np.random.default_rng(settings["seed"]).random((samples, features), dtype="float32")
    if panel == "depth":
        model = aezoo.Autoencoder(layer, hidden_dims=(layer,) * (value // 2 - 1))
    else:
        model = aezoo.Autoencoder(value if panel == "width" else settings["units"])
    model.compile(optimizer="adam")
    return lambda: model.fit(x, batch_size=batch_size, verbose=0)


def slope(values: tuple[int, ...], seconds: dict[str, list[float]], first: int, second: int) -> dict[str, float]:
    """The spread over rounds of the slope between two points."""
    run = math.log(values[second] / values[first])
    pairs = zip(seconds[str(values[first])], seconds[str(values[second])], strict=True)
    return timing.spread(math.log(b / a) / run for a, b in pairs)


def draw(panels: dict[str, Any]) -> Figure:
    figure = Figure(figsize=(8, 6), layout="constrained")
    rows = -(-len(panels) // 2)
    for axes, (panel, measured) in zip(figure.subplots(rows, 2).flat, panels.items(), strict=True):
        values = np.array(measured["values"], float)
        spreads = [timing.spread(measured["seconds"]["wall"][str(value)]) for value in measured["values"]]
        median, least, greatest = (np.array([s[key] for s in spreads]) for key in ("median", "min", "max"))
        axes.errorbar(values, median, (median - least, greatest - median), marker="o", color="#1f6fb4", capsize=2)
        for end, theory in zip((0, -1), PANELS[panel][1], strict=True):
            if theory is not None:
                line = median[end] * (values / values[end]) ** theory
                shown = (line > median.min() / 3) & (line < median.max() * 3)
                axes.plot(values[shown], line[shown], "--", color="#9a9a9a", label=f"slope {theory}", zorder=1)
        axes.set(xscale="log", yscale="log", xlabel=panel, ylabel="seconds per epoch")
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_locator(LogLocator(subs=(1, 3)))
            axis.set_major_formatter("{x:g}")
            axis.set_minor_locator(NullLocator())
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False, fontsize=8)
    return figure


def main(arguments: argparse.Namespace) -> None:
    keras.utils.set_random_seed(arguments.seed)
    units, layer, samples, rounds, passes = (40, 32, 128, 1, 1) if arguments.quick else (1000, 512, 4096, 5, 2)
    settings = {"units": units, "layer": layer, "samples": samples, "seed": arguments.seed}
    report: dict[str, Any] = {
        "benchmark": "growth",
        "machine": timing.machine(),
        "settings": {**settings, "batch_size": BATCH, "rounds": rounds, "quick": arguments.quick},
        "results": {},
        "panels": {},
    }
    panels = QUICK if arguments.quick else {panel: values for panel, (values, _) in PANELS.items()}
    for panel, values in panels.items():
        runs = {str(value): epoch(panel, value, settings) for value in values}
        seconds = timing.interleaved(runs, rounds, passes)
        report["panels"][panel] = {"values": values, "seconds": seconds}
        for end, (first, second), expected in zip(
            ("small", "great"), ((0, 1), (-2, -1)), PANELS[panel][1], strict=True
        ):
            name = f"slope in {panel}, {values[first]} to {values[second]}"
            found = slope(values, seconds["wall"], first, second)
            report["results"][name] = {**found, "goal": None, "end": end, "theory": expected}
        rows = [(value, f"{timing.spread(taken)['median']:.3f}") for value, taken in seconds["wall"].items()]
        print(timing.table((panel, "seconds per epoch"), rows), end="\n\n", flush=True)
    rows = [
        (name, timing.shown(found), "" if found["theory"] is None else found["theory"])
        for name, found in report["results"].items()
    ]
    print(timing.table(("what", "measured", "theory"), rows))
    timing.write(arguments.output, report)
    if arguments.output is not None:
        draw(report["panels"]).savefig(arguments.output.with_suffix(".png"), dpi=100)


if __name__ == "__main__":
    main(timing.parser(__doc__).parse_args())
