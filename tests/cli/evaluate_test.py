"""`aezoo evaluate`."""

import json
import os
import pathlib
import re
import subprocess
import sys

import keras
import numpy as np
import pytest

import aezoo
from aezoo import evaluation
from aezoo.cli import loading, program

ROOT = pathlib.Path(__file__).parents[2]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A folder as `aezoo train` leaves it, as far as the command reads it."""
    output = tmp_path_factory.mktemp("evaluated") / "run"
    output.mkdir()
    model = aezoo.SparseAE(latent_dim=6, seed=0)
    model.build((None, 8, 8, 1))
    model.save(output / "model.keras")
    (output / "metrics.json").write_text(json.dumps({"dataset": "digits"}))
    return output


def command(*arguments):
    return program.main(["evaluate", *map(str, arguments)])


def test_it_prints_the_report(run, capsys):
    assert command(run, "--dataset", "digits") == 0
    train, test = aezoo.datasets.load("digits")
    expected = evaluation.report(keras.saving.load_model(run / "model.keras"), test, train=train)
    assert capsys.readouterr().out == f"{expected}\n"


def test_the_data_set_of_the_training_is_the_default(run, capsys):
    assert command(run / "model.keras", "--limit", "30", "--markdown") == 0
    out = capsys.readouterr().out
    assert out.startswith("**SparseAE with a code of 6, on 30 samples**\n") and "| dead units | 0 |" in out


@pytest.mark.slow
def test_of_sketches(tmp_path, capsys):
    model = aezoo.SketchRNN(2, encoder_units=2, decoder_units=2, seed=0)
    model.build((None, 33, 5))
    model.save(tmp_path / "model.keras")
    assert command(tmp_path, "--dataset", "shapes", "--limit", "4") == 0
    assert "SketchRNN with a code of 2, on 4 samples" in capsys.readouterr().out


def test_errors_are_one_line_that_says_what_to_do(run, tmp_path, capsys):
    other = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    other.save(tmp_path / "other.keras")
    model = aezoo.Autoencoder(latent_dim=2)
    model.build((None, 5))
    model.save(tmp_path / "narrow.keras")
    damaged = tmp_path / "damaged.keras"
    damaged.write_bytes((run / "model.keras").read_bytes()[:-100])
    wrong = {
        (tmp_path / "none",): "There is no model .*none: train one with `aezoo train`",
        (tmp_path,): r"There is no model .*model\.keras",
        (damaged,): "is damaged, or not a .keras file: train the model again",
        (tmp_path / "other.keras",): "holds Sequential, not a model of aezoo",
        (tmp_path / "narrow.keras",): r"No metrics\.json beside .*narrow\.keras names the data .*: give --dataset",
        (
            tmp_path / "narrow.keras",
            "--dataset",
            "digits",
        ): r"'digits' does not fit this model: .*Give another --dataset",
        (run, "--limit", "1"): "--limit must be at least 2",
    }
    for arguments, message in wrong.items():
        assert command(*arguments) == 2
        captured = capsys.readouterr()
        assert re.fullmatch(f"aezoo: error: .*{message}.*\n", captured.err), captured.err
        assert not captured.out


def test_what_the_model_was_trained_on_is_said(run, monkeypatch, capsys):
    x = np.random.default_rng(0).random((5, 28, 28, 1), "float32")
    monkeypatch.setattr(aezoo.datasets, "load", lambda name: ((x, None), (x, None)))
    assert command(run, "--dataset", "mnist") == 2
    assert "'mnist' does not fit this model (it was trained on 'digits')" in capsys.readouterr().err


@pytest.mark.slow
def test_a_class_of_a_users_own_needs_the_name_of_its_module(own_module, tmp_path, capsys):
    own_module("evaluate_mine.models")
    cls = loading.model_class("evaluate_mine.models:MyAE")
    model = cls(latent_dim=2, seed=0)
    model.build((None, 8, 8, 1))
    model.save(tmp_path / "model.keras")
    code = (
        "import sys; from aezoo.cli import main; print(main(sys.argv[1:]), flush=True); "
        "raise SystemExit(main([*sys.argv[1:], '--import', 'evaluate_mine.models']))"
    )
    arguments = ["evaluate", "model.keras", "--dataset", "digits", "--limit", "20"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, sys.path)])}
    environment["PYTHONSAFEPATH"] = "1"  # as the console script, which does not look into the working directory
    command = [sys.executable, "-W", "ignore", "-c", code, *arguments]
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True)
    assert re.search(
        r"aezoo: error: model\.keras holds a model of the class evaluate_mine\.models>MyAE, which is not registered: "
        r"if you trust the module that defines it, name it with --import; the file names 'evaluate_mine\.models'\.\n",
        done.stderr,
    ), done.stderr
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("2\nMyAE with a code of 2, on 20 samples\n")


def test_a_module_that_there_is_not(run, capsys):
    assert command(run, "--import", "evaluate_none") == 2
    assert "There is no module 'evaluate_none'" in capsys.readouterr().err
