"""`aezoo explore`."""

import json
import re

import numpy as np
import pytest

import aezoo
from aezoo import explorer
from aezoo.cli import program
from aezoo.explorer import document

pytest.importorskip("tf2onnx")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Write a folder with the files of `aezoo train` that the command reads."""
    output = tmp_path_factory.mktemp("explored") / "run"
    output.mkdir()
    model = aezoo.SparseAE(latent_dim=6, seed=0)
    model.build((None, 8, 8, 1))
    model.save(output / "model.keras")
    (output / "metrics.json").write_text(json.dumps({"dataset": "digits"}))
    return output


@pytest.fixture
def asked(monkeypatch):
    """Record the arguments of each call of `explorer.page`, and return a short page."""
    calls = []

    def page(model, data, **options):
        calls.append((model, data, options))
        return f"{document.MARK}\n<p>A page</p>"

    monkeypatch.setattr(explorer, "page", page)
    return calls


def command(*arguments):
    return program.main(["explore", *map(str, arguments)])


def test_it_writes_a_page_of_the_test_split(run, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert command(run, "--samples", "30") == 0
    assert re.fullmatch(r"run\.html: \d\.\d MB; open it in a browser\n", capsys.readouterr().out)
    html = (tmp_path / "run.html").read_text()
    manifest = json.loads(re.search(r'id="data-manifest">(.+?)</script>', html)[1])
    assert manifest["title"] == "SparseAE with a code of 6"
    assert manifest["data"]["name"] == "digits" and manifest["data"]["count"] == 30


def test_a_preset_is_given_by_its_name(asked, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    preset, digits = "vae_mnist_2d", aezoo.datasets.load
    monkeypatch.setattr("aezoo.datasets.load", lambda name: [(digits("digits")[0])] * 2)
    assert command(preset, "--data", "digits") == 2  # digits are smaller than 28 x 28 pixels
    assert not asked
    monkeypatch.setattr("aezoo._validation.check_sample_shape", lambda *_: None)
    assert command(preset, "--data", "digits", "--output", "page.html") == 0
    model, (x, y), options = asked[0]
    assert isinstance(model, aezoo.VAE) and len(x) == len(y)
    assert options == {"name": "digits", "title": "VAE 784-400-200-2, for plotting codes in the plane", "note": ""}
    assert (tmp_path / "page.html").is_file()


def test_of_data_that_aezoo_does_not_fetch_the_page_shows_the_excerpt_that_ships(asked, tmp_path):
    assert command("vae_emoji", "--output", tmp_path / "page.html") == 0
    model, (x, _), options = asked[0]
    assert options["name"] == "emoji" and model.x_shape == (64, 64, 3)
    np.testing.assert_array_equal(x, aezoo.datasets.load("emoji")[1][0])


def test_serving_writes_no_file(run, asked, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    served = []
    monkeypatch.setattr(explorer, "serve", lambda html, port: served.append((html, port)))
    assert command(run, "--serve", "--port", "8123") == 0
    assert served[0][1] == 8123 and "A page" in served[0][0]
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_sketches_are_filled_up_to_what_the_model_takes(asked, tmp_path):
    model = aezoo.SketchRNN(2, encoder_units=2, decoder_units=2, seed=0)
    model.build((None, 40, 5))
    model.save(tmp_path / "model.keras")
    assert command(tmp_path / "model.keras", "--data", "shapes", "--output", tmp_path / "page.html") == 0
    x, y = asked[0][1]
    assert x.shape == (100, 40, 5) and y is None and (x[:, -1] == [0, 0, 0, 0, 1]).all()


def test_errors_are_one_line_that_says_what_to_do(run, asked, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.html").write_text("mine")
    wrong = {
        ("vae_mnist_3d",): r"no preset 'vae_mnist_3d'.*Did you mean 'vae_mnist_2d'",
        (tmp_path / "none.keras",): "There is no model",
        (run, "--output", "mine.html"): "mine.html exists and is not a page of aezoo",
        ("vae_mnist_2d", "--data", "digits"): "'digits' does not fit this model",
    }
    for arguments, message in wrong.items():
        assert command(*arguments) == 2
        assert re.search(f"^aezoo: error: .*{message}", capsys.readouterr().err)
    (tmp_path / "metrics.json").write_text("{}")
    (tmp_path / "model.keras").write_bytes((run / "model.keras").read_bytes())
    assert command(tmp_path) == 2
    assert "names its training data: name a data set with --data" in capsys.readouterr().err
    monkeypatch.setattr("aezoo.cli.evaluate.is_here", lambda *_: False)
    assert command(run) == 2
    assert "these data are not on this machine: if you trust the file, download them with --data digits." in (
        capsys.readouterr().err
    )
    assert (tmp_path / "mine.html").read_text() == "mine" and not asked


def test_samples_with_missing_values_are_left_out(asked, tmp_path, capsys):
    rng = np.random.default_rng(0)
    rows = rng.random((12, 3)).round(3).astype("float32")
    rows[[2, 5], 1] = np.nan
    np.savez(tmp_path / "rows.npz", x=rows, y=np.arange(12))
    model = aezoo.Autoencoder(latent_dim=2, missing="mask", seed=0)
    model.build((None, 3))
    model.save(tmp_path / "model.keras")
    given = (tmp_path / "model.keras", "--data", tmp_path / "rows.npz", "--output", tmp_path / "page.html")
    assert command(*given) == 0
    _, (x, y), options = asked[0]
    assert options["name"] == "rows.npz"  # without the folder of this machine
    whole = [i for i in range(12) if i not in (2, 5)]
    np.testing.assert_array_equal(x, rows[whole])
    np.testing.assert_array_equal(y, whole)
    assert "2 samples with missing values are left out" in capsys.readouterr().err
    np.savez(tmp_path / "rows.npz", x=np.full((3, 3), np.nan, "float32"))
    assert command(*given) == 2
    assert "has a missing value: the page shows only complete samples" in capsys.readouterr().err
