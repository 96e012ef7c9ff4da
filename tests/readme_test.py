"""The README is short and true of the code; so are the table of models and the scripts that draw and write both."""

import importlib.util
import inspect
import re
from pathlib import Path

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from PIL import Image

import aezoo
from aezoo.pretraining.greedy import GreedyStack
from aezoo.recipes.recipes import RECIPES

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
TABLE = (ROOT / "docs" / "models.md").read_text(encoding="utf-8")
ROWS = {
    row[0]: row for row in re.findall(r"^\| `(\w+)` \| (.+?) \| (.*?) ?\| `(.+?)` \| (.+) \|$", TABLE, re.MULTILINE)
}
MODELS = {
    name: value
    for name, value in vars(aezoo).items()
    if inspect.isclass(value)
    and issubclass(value, (aezoo.Autoencoder, aezoo.RBM, GreedyStack))
    and value is not aezoo.SparseCodeAE  # the base of some
}
NUMBERS = {"Twenty": 20, "Twenty-seven": 27}


def script(name):
    spec = importlib.util.spec_from_file_location(name, ROOT / "docs" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def gallery():
    return script("gallery")


@pytest.fixture(scope="module")
def readme():
    return script("readme")


# === Words ===


def test_it_is_short():
    plain = re.sub(r"^\|[-|]+\|$|\||<!--.*?-->|\]\([^)]*\)", " ", README, flags=re.MULTILINE)
    assert len(plain.split()) <= 900


def test_it_counts_right():
    assert NUMBERS[re.search(r"^([\w-]+) kinds of autoencoders", README, re.MULTILINE)[1]] == len(MODELS)
    assert NUMBERS[re.search(r"(\w+) presets load", README)[1]] == len(RECIPES)
    assert "Twenty-seven kinds" in (ROOT / "docs" / "index.md").read_text(encoding="utf-8")


def test_the_badges_say_what_setup_cfg_says():
    setup = (ROOT / "setup.cfg").read_text(encoding="utf-8")
    versions = re.findall(r":: (3\.\d+)$", setup, re.MULTILINE)
    assert f"/badge/python-{versions[0]}_to_{versions[-1]}-" in README
    assert f"/badge/license-{re.search(r'^license = (.+)$', setup, re.MULTILINE)[1].replace('-', '_')}-" in README


def test_the_models_it_recommends_exist():
    table = README.split("\n## Which autoencoder")[1].split("\n## ")[0]
    calls = re.findall(r"`(\w+\([^`]*\))`", table)
    assert len(calls) >= 7
    for call in calls:
        assert isinstance(eval(call, dict(vars(aezoo))), tuple(MODELS.values()))
    assert set(re.findall(r"saved_models/(\w+)/", README)) <= set(RECIPES)


# === The table of models ===


def test_every_model_has_a_row():
    assert set(ROWS) == set(MODELS)


@pytest.mark.parametrize("name", MODELS)
def test_its_constructor_makes_it(name):
    assert type(eval(ROWS[name][3], dict(vars(aezoo)))) is MODELS[name]


def test_every_preset_stands_beside_its_model():
    listed = {preset: name for name, row in ROWS.items() for preset in re.findall(r"`(\w+)`", row[4])}
    assert set(listed) == set(RECIPES)
    for preset, name in listed.items():
        assert type(RECIPES[preset].model()) is MODELS[name], preset


# === Notebooks ===


def test_the_list_of_notebooks_is_written_by_the_script(readme):
    listed = readme.notebooks(readme.repository())
    assert len(listed) == len(list((ROOT / "notebooks").glob("*.ipynb")))
    assert readme.written(readme.README, "notebooks", listed) == README, "python docs/readme.py"


def test_colab_links_need_the_address_of_the_repository(readme):
    assert "colab" not in "".join(readme.notebooks("")).lower()
    for item in readme.notebooks("https://github.com/owner/aezoo/"):
        path = re.search(r"\((notebooks/\S+\.ipynb)\)", item)[1]
        assert f"(https://colab.research.google.com/github/owner/aezoo/blob/main/{path})" in item
    assert readme.colab("https://gitlab.com/owner/aezoo", "01") == ""


def test_the_address_of_the_repository_is_read_from_mkdocs(readme, tmp_path, monkeypatch):
    monkeypatch.setattr(readme, "ROOT", tmp_path)
    (tmp_path / "mkdocs.yml").write_text("site_name: x\n# repo_url: https://github.com/a/b\n")
    assert readme.repository() == ""
    (tmp_path / "mkdocs.yml").write_text("repo_url: https://github.com/a/b\n")
    assert readme.repository() == "https://github.com/a/b"


# === Pictures ===


def test_its_pictures_are_there():
    pictures = re.findall(r"!\[.+\]\((docs/.+?)\)", README)
    assert len(pictures) == 2
    for picture in pictures:
        assert (ROOT / picture).read_bytes().startswith(b"\x89PNG")


def test_the_strip_shows_each_pixel_of_its_panels(gallery):
    panels = [(str(i), np.random.default_rng(i).integers(0, 2, (40 + i, 50 + i)).astype(float)) for i in range(3)]
    canvas = FigureCanvasAgg(gallery.strip(panels))
    canvas.draw()
    shown = np.asarray(canvas.buffer_rgba())[..., 0] / 255
    for _, picture in panels:
        windows = np.lib.stride_tricks.sliding_window_view(shown, picture.shape)
        assert (windows[..., ::7, ::7] == picture[::7, ::7]).all((2, 3)).sum() == 1


def quick_start(gallery):
    (code, *_) = gallery.blocks(ROOT / "README.md")
    return code


def test_the_quick_start_has_ten_lines_and_stands_on_the_site_too(gallery):
    code = quick_start(gallery)
    assert len([line for line in code.splitlines() if line]) <= 10
    assert gallery.blocks(ROOT / "docs" / "index.md") == [code]


def test_the_quick_start_runs(gallery, monkeypatch):
    x = np.random.default_rng(0).random((200, 28, 28, 1), "float32")
    monkeypatch.setattr(aezoo.datasets, "load", lambda name: ((x, None), (x[:20], None)))
    with gallery.ran(quick_start(gallery)) as folder:
        assert {path.name for path in folder.iterdir()} == {"repaired.png", "repair.keras"}


@pytest.mark.slow
def test_the_quick_start_draws_the_picture_below_it(gallery):
    try:
        aezoo.datasets.load("fashion_mnist")
    except Exception as error:
        pytest.skip(f"needs Fashion-MNIST, prepared: {error}")
    with gallery.ran(quick_start(gallery)) as folder:
        drawn, shown = (
            np.asarray(Image.open(path).convert("L"), float)
            for path in (folder / "repaired.png", ROOT / "docs" / "quick_start.png")
        )
    assert drawn.shape == shown.shape
    assert np.abs(drawn - shown).mean() < 2  # of 255: rounding differs between machines
