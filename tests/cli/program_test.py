"""The parser of the command line, and `aezoo list`."""

import inspect
import os
import pathlib
import re
import subprocess

import pytest

import aezoo
from aezoo import _docstrings
from aezoo.cli import defaults, program

ROOT = pathlib.Path(__file__).parents[2]


def test_the_old_name_of_the_commands_of_presets_works_and_says_the_new_one(capsys):
    assert program.main(["shelf", "list"]) == 0
    output = capsys.readouterr()
    assert "k_sparse_mnist_k25" in output.out and "is now `aezoo presets`" in output.err


def test_an_unknown_model(capsys):
    with pytest.raises(SystemExit) as stop:
        program.main(["train", "perceptron"])
    assert stop.value.code == 2
    assert "k-sparse" in capsys.readouterr().err


def test_the_help_of_train_names_the_models_and_how_to_give_one_of_ones_own(capsys):
    with pytest.raises(SystemExit) as stop:
        program.main(["train", "--help"])
    text = " ".join(capsys.readouterr().out.split())
    assert stop.value.code == 0 and "k-sparse" in text
    assert "MODULE:CLASS names a class of your own that extends aezoo.Autoencoder" in text


@pytest.mark.skipif(not (ROOT / "aezoo_command.py").exists(), reason="the tests are not in a clone")
def test_the_script_imports_nothing_that_it_does_not_need(script, capsys):
    code = "import atexit, sys; atexit.register(lambda: print({'tensorflow', 'keras', 'numpy'} & {*sys.modules})); "
    code += "import aezoo_command; aezoo_command.main()"
    for line in ("--help", "--version", "train --help", "presets train --help", "--nope", "list"):
        process = script(*line.split(), code=code, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        out, error = process.communicate(timeout=60)
        assert out.endswith("set()\n"), line
        assert (process.returncode, "usage:" in error) == ((2, True) if line == "--nope" else (0, False))
    program.main(["list"])
    assert out == capsys.readouterr().out + "set()\n"


def test_what_is_listed_is_what_the_classes_say():
    for entry in defaults.MODELS.values():
        name = entry.stack or entry.class_name
        written, shown = _docstrings.of_source(name), inspect.getdoc(getattr(aezoo, name))
        assert _docstrings.summary(written) == _docstrings.summary(shown) != ""
        assert _docstrings.reference(written) == _docstrings.reference(shown)
    with pytest.raises(ValueError, match="no class 'Nope'"):
        _docstrings.of_source("Nope")


def test_standard_error_comes_back_with_all_but_log_lines(capfd, monkeypatch):
    lines = ["I0000 00:00:1 7 port.cc:1] oneDNN\n", "2026-01-01 00:00:00.1: I external/x.cc] GPU\n"]
    lines += ["WARNING: All log messages before absl::InitializeLog() is called\n", "F0000 00:00:1 fatal\n", "mine"]
    for level, kept in (("3", "".join(lines[3:])), ("0", "".join(lines))):
        monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", level)
        with pytest.raises(ImportError), program._without_log_lines():
            os.write(2, "".join(lines).encode())
            raise ImportError
        assert capfd.readouterr().err == kept


def test_version(capsys):
    with pytest.raises(SystemExit) as stop:
        program.main(["--version"])
    assert (stop.value.code, capsys.readouterr().out) == (0, f"aezoo {aezoo.__version__}\n")


def test_list_names_every_model_and_its_paper(capsys):
    assert program.main(["list"]) == 0
    text = capsys.readouterr().out
    for name in defaults.MODELS:
        assert re.search(rf"^{name} +\S", text, re.MULTILINE)
    assert "arXiv:1312.5663" in text and "Vincent" in text
