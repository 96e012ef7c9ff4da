"""Write the list of notebooks into README.md, and the table of presets into docs/presets.md.

python docs/readme.py

The notebooks get Colab links once mkdocs.yml names the repository.
"""

import json
import re
import textwrap
from pathlib import Path

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
PRESETS = ROOT / "docs" / "presets.md"
COLAB = "https://colab.research.google.com/github/{repository}/blob/main/notebooks/{name}.ipynb"


def repository() -> str:
    """Return the address of the repository, `repo_url` of mkdocs.yml, or "" while there is none."""
    found = re.search(r"^repo_url: *(\S+)", (ROOT / "mkdocs.yml").read_text(encoding="utf-8"), re.MULTILINE)
    return found[1] if found else ""


def colab(address: str, name: str) -> str:
    """Return a link that opens a notebook in Colab, or "" without the address of a GitHub repository."""
    found = re.fullmatch(r"https://github\.com/([\w.-]+/[\w.-]+?)(?:\.git)?/?", address)
    return f"[Open in Colab]({COLAB.format(repository=found[1], name=name)})" if found else ""


def notebooks(address: str) -> list[str]:
    """Return one item per row of notebooks/README.md, with a Colab link where there is an address."""
    listed = (ROOT / "notebooks" / "README.md").read_text(encoding="utf-8")
    items = []
    for name, text in re.findall(r"^\| \[(\w+)\]\(\1\.ipynb\) \| (.+?) \|$", listed, re.MULTILINE):
        cells = json.loads((ROOT / "notebooks" / f"{name}.ipynb").read_text(encoding="utf-8"))["cells"]
        title = "".join(cells[0]["source"]).splitlines()[0].removeprefix("# ")
        link = colab(address, name)
        item = f"- [{title}](notebooks/{name}.ipynb): {text}" + (f" ({link})" if link else "")
        items.append(textwrap.fill(item, 120, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False))
    return items


def presets() -> list[str]:
    """Return the table of presets, from their cards."""
    from aezoo.recipes import cards
    from aezoo.saving.presets import read_card

    found = sorted(path.parent for path in (ROOT / "saved_models").glob("*/card.json"))
    return cards.presets_table(map(read_card, found), link="../saved_models").splitlines()


def written(path: Path, name: str, lines: list[str]) -> str:
    """Return a document with the lines between `<!-- name -->` and `<!-- end of name -->` replaced."""
    return re.sub(
        rf"(<!-- {name} -->\n).*?(<!-- end of {name} -->)",
        lambda match: "\n".join([match[1], *lines, "", match[2]]),
        path.read_text(encoding="utf-8"),
        flags=re.DOTALL,
    )


def main() -> None:
    """Write both documents."""
    README.write_text(written(README, "notebooks", notebooks(repository())), encoding="utf-8")
    PRESETS.write_text(written(PRESETS, "presets", presets()), encoding="utf-8")


if __name__ == "__main__":
    main()
