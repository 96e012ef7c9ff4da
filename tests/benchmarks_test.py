"""The scripts in benchmarks run, and the documents say what they left; what they measure is not for a test."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np

from aezoo import sketches

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
HELPERS = {"reporting", "timing", "torch_models"}
NEEDS = {"vae": "pythae"}  # which the tests do not install
# One after the other in one process, so that TensorFlow is imported once.
RUN = """
import json, runpy, sys
for sys.argv in json.loads(sys.argv[1]):
    print(*sys.argv, flush=True)
    runpy.run_path(sys.argv[0], run_name="__main__")
"""


def scripts(folder):
    names = sorted(path.stem for path in (BENCHMARKS / folder).glob("*.py") if path.stem not in HELPERS)
    return [name for name in names if folder != "speed" or importlib.util.find_spec(NEEDS.get(name, "sys"))]


def run(folder, arguments):
    commands = [[str(BENCHMARKS / folder / f"{name}.py"), "--quick", *more] for name, more in arguments.items()]
    environment = {**os.environ, "PYTHONPATH": str(BENCHMARKS / folder), "CUDA_VISIBLE_DEVICES": ""}
    subprocess.run([sys.executable, "-c", RUN, json.dumps(commands)], check=True, timeout=1200, env=environment)


def test_speed(tmp_path):
    outputs = {name: tmp_path / f"{name}.json" for name in scripts("speed")}
    run("speed", {name: ["--output", str(output)] for name, output in outputs.items()})
    for name, output in outputs.items():
        report = json.loads(output.read_text())
        assert list(results()._ratios(report)), f"there is nothing in {name} that RESULTS.md could show"
    assert (tmp_path / "growth.png").stat().st_size > 10_000


def test_papers(tmp_path):
    run(
        "papers", {name: ["--sketches", shapes(tmp_path)] if name == "sketch_rnn" else [] for name in scripts("papers")}
    )


def shapes(folder):
    """Synthetic shapes in a file of sketch-rnn's format."""
    (x, _), (x_test, _) = sketches.load("shapes", max_points=9)
    arrays = {}
    for name, part in (("train", x[:40]), ("valid", x_test[:10]), ("test", x_test[10:20])):
        arrays[name] = np.empty(len(part), dtype=object)
        arrays[name][:] = [(sketch * [50, 50, 1]).astype("int16") for sketch in sketches.stroke3(part)]
    np.savez(folder / "shapes.npz", **arrays)
    return str(folder / "shapes.npz")


def results():
    spec = importlib.util.spec_from_file_location("results", BENCHMARKS / "results.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_documents_are_those_of_the_numbers():
    for path, text in results().documents().items():
        assert path.read_text() == text, f"{path.name} is out of date: python benchmarks/results.py"
