import os
import pathlib
import subprocess
import sys

import pytest
from matplotlib.figure import Figure

import aezoo
from aezoo.cli import loading

ROOT = pathlib.Path(__file__).parents[2]

OWN = """
import keras
from keras import ops

import aezoo


@keras.saving.register_keras_serializable("{module}")
class MyAE(aezoo.Autoencoder):
    \"\"\"Adds the size of the code.

    Args:
        beta: Weight of ½‖z‖².
    \"\"\"

    term_names = ("reconstruction", "code")

    def __init__(self, latent_dim=None, *, beta=1e-2, **kwargs):
        super().__init__(latent_dim, **kwargs)
        self.beta = beta

    def penalties(self, batch, forward):
        return {{"code": self.beta * batch.mean(ops.sum(ops.square(forward.code), axis=1) / 2)}}

    def get_config(self):
        return {{**super().get_config(), "beta": self.beta}}
"""


@pytest.fixture(scope="session")
def script():
    """A function that starts the console script of this clone, in which warnings are errors."""

    def script(*arguments, code="import aezoo_command; aezoo_command.main()", **options):
        known = "ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, sys.path)]),
            "PYTHONWARNINGS": f"error,{known}",
        }
        environment.pop("TF_CPP_MIN_LOG_LEVEL", None)
        return subprocess.Popen([sys.executable, "-c", code, *arguments], text=True, env=environment, **options)

    return script


@pytest.fixture
def light(monkeypatch, no_graphs):
    """Leaves out the most costly of a run: graphs, linear probes, and what is in the SavedModel and the pictures."""
    no_graphs(monkeypatch)
    monkeypatch.setattr("aezoo.evaluation.reporting.linear_probe", lambda *_: 0.5)
    for name in ("history", "reconstructions", "filters"):
        monkeypatch.setattr(aezoo.plots, name, lambda *_, **__: Figure(figsize=(1, 1)))


@pytest.fixture
def own_module(tmp_path, monkeypatch):
    """A function that writes a module into the working directory, which Python has not seen yet."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path])
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    written = []

    def write(name, text=OWN):
        path = tmp_path.joinpath(*name.split(".")).with_suffix(".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text.replace("{module}", name).replace("{{", "{").replace("}}", "}"))
        written.append(name)

    yield write
    for name in written:
        for each in (name, name.split(".")[0]):
            sys.modules.pop(each, None)
    loading.importlib.invalidate_caches()
