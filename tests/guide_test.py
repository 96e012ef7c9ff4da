"""The user guide: the code of each page runs as it stands, and its pictures are what it says of them."""

import re
import types
from pathlib import Path

import pytest
from PIL import Image

DOCS = Path(__file__).parents[1] / "docs"
PAGES = [*sorted((DOCS / "guide").glob("*.md")), DOCS / "recipes.md"]


def blocks(path):
    return re.findall(r"^```python\n(.*?)^```", path.read_text(), re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_the_code_of_a_page_runs(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    page = types.ModuleType(path.stem)
    for block in blocks(path):
        exec(compile(block, f"docs/{path.name}", "exec"), vars(page))
    assert list(tmp_path.iterdir()) == []


def test_pictures_are_small_and_used():
    used = set(re.findall(r"\.\./figures/([\w.]+)", "".join(path.read_text() for path in PAGES)))
    drawn = {path.name for path in (DOCS / "figures").iterdir()}
    assert used == drawn
    for name in drawn:
        path = DOCS / "figures" / name
        assert path.stat().st_size <= 150_000, name
        assert Image.open(path).width <= 820, name
