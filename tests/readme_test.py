"""The README: its table has every model, with a constructor that works and the presets of the shelf; its gallery."""

import importlib.util
import inspect
import re
from pathlib import Path

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

import aezoo
from aezoo.pretraining.greedy import GreedyStack
from aezoo.recipes.recipes import RECIPES

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
SECTION = README.split("\n## The models\n")[1].split("\n## ")[0]
ROWS = {
    row[0]: row for row in re.findall(r"^\| `(\w+)` \| (.+?) \| (.*?) ?\| `(.+?)` \| (.+) \|$", SECTION, re.MULTILINE)
}
MODELS = {
    name: value
    for name, value in vars(aezoo).items()
    if inspect.isclass(value) and issubclass(value, (aezoo.Autoencoder, aezoo.RBM, GreedyStack))
}


def test_every_model_stands_in_the_table():
    assert set(ROWS) == set(MODELS)


@pytest.mark.parametrize("name", MODELS)
def test_its_constructor_makes_it(name):
    assert type(eval(ROWS[name][3], dict(vars(aezoo)))) is MODELS[name]


def test_every_preset_is_that_of_its_model():
    listed = {preset: name for name, row in ROWS.items() for preset in re.findall(r"`(\w+)`", row[4])}
    assert set(listed) == set(RECIPES)
    for preset, name in listed.items():
        assert type(RECIPES[preset].model()) is MODELS[name], preset


def test_the_picture_at_the_top_is_there():
    picture = re.search(r"!\[.+\]\((.+)\)", README.split("\n## ")[0])
    assert (ROOT / picture[1]).read_bytes().startswith(b"\x89PNG")


def test_the_gallery_shows_each_pixel_of_its_panels():
    spec = importlib.util.spec_from_file_location("gallery", ROOT / "docs" / "gallery.py")
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    one, two, three = (np.random.default_rng(i).integers(0, 2, (40 + i, 50 + i)).astype(float) for i in range(3))
    figure = script.gallery([[[("one", one)], [("two", two)]], [[("three", three)]]])
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    shown = np.asarray(canvas.buffer_rgba())[..., 0] / 255
    for picture in (one, two, three):
        windows = np.lib.stride_tricks.sliding_window_view(shown, picture.shape)
        assert (windows[..., ::7, ::7] == picture[::7, ::7]).all((2, 3)).sum() == 1
