"""The user guide: the code of each page runs, its `bool(...)` are true, and its pictures exist and are small."""

import re
from pathlib import Path

import pytest
from PIL import Image

DOCS = Path(__file__).parents[1] / "docs"
PAGES = [*sorted((DOCS / "guide").glob("*.md")), DOCS / "recipes.md"]


def code(path):
    """Return the code of a page, each training for one epoch."""
    blocks = re.findall(r"^```python\n(.*?)^```", path.read_text(), re.MULTILINE | re.DOTALL)
    return re.sub(r"\bepochs=\d+, (?!end|start)", "epochs=1, ", "\n".join(blocks))


# `.ci/slow` runs the other pages, whose models take long to trace.
QUICK = ("index",)
EACH = [pytest.param(page, id=page.stem, marks=() if page.stem in QUICK else pytest.mark.slow) for page in PAGES]


@pytest.mark.parametrize("path", EACH)
def test_the_code_of_a_page_runs(path, run_code, tmp_path):
    source = code(path)
    pages = re.findall(r'aezoo\.explorer\.write\(\w+, "([\w.]+)"', source)
    if pages:
        pytest.importorskip("tf2onnx")
    run_code(source, path.stem)
    assert [each.name for each in tmp_path.iterdir()] == pages


def test_pictures_are_used_and_small():
    used = set(re.findall(r"\bfigures/([\w.]+)", "".join(path.read_text() for path in DOCS.rglob("*.md"))))
    assert used == {path.name for path in (DOCS / "figures").iterdir()}
    for name in used:
        path = DOCS / "figures" / name
        assert path.stat().st_size <= 150_000, name
        with Image.open(path) as picture:
            assert picture.width <= 820, name
