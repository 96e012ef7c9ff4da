"""Add to the site what is written elsewhere: the API, the notebooks, the model cards and the measurements.

mkdocs calls the functions `on_...`. No page is generated on disk: `mkdocs build` reads the repository, and so do these.
"""

import base64
import functools
import json
import posixpath
import re
from pathlib import Path

import griffe
from mkdocs.structure.files import File

ROOT = Path(__file__).parents[1]
#: Members of base classes that the page of a class shows.
INHERITED = {
    "aezoo.FlowSampler": "[export, sample, sample_codes]",
    "aezoo.LatentDiffusion": "[export]",
    "aezoo.MixtureSampler": "[sample, sample_codes]",
    "aezoo.StackedAE": "true",
    "aezoo.sklearn.AnomalyDetector": "[decision_function, predict]",
    "aezoo.sklearn.EnsembleDetector": "[decision_function, predict]",
}

#: The sections of the API for what `aezoo` itself has: their titles and the packages that define their members.
GROUPS = {
    "models": ("Models", "aezoo.models"),
    "pretraining": ("Pretraining", "aezoo.pretraining"),
    "presets": ("Presets", "aezoo.saving"),
    "training": ("Training steps", "aezoo.training"),
}
#: The titles of the other sections, one per public module, where the module's name will not do.
TITLES = {"codec": "Compression", "datasets": "Data sets", "sklearn": "scikit-learn"}
#: Public objects of a section that `aezoo.__all__` does not name: one that only a method returns, and a function.
FURTHER = {"models": ["aezoo.models.linear.PrincipalComponents"], "pretraining": ["aezoo.pretraining.wake_sleep"]}
THUMBNAIL = "thumbnail"  # the tag of the cell whose picture stands for a notebook


# === What mkdocs calls ===


def on_config(config):
    """Put the generated pages into the navigation."""
    generated = {"API": api_navigation, "Notebooks": notebook_navigation}
    for entry in config.nav:
        for title in entry.keys() & generated.keys():
            entry[title] = [entry[title], *generated[title]()]
    return config


def on_files(files, config):
    """Add the generated pages and their pictures."""
    for uri, content in {**api_pages(), **notebook_pages(), **card_pages()}.items():
        files.append(File.generated(config, uri, content=content))
    files.append(File.generated(config, "measurements.md", content=(ROOT / "benchmarks/RESULTS.md").read_text("utf-8")))
    for path, uri in elsewhere().items():
        if path.endswith(".png"):
            files.append(File.generated(config, uri, abs_src_path=str(ROOT / path)))
    for path in explorers():
        files.append(File.generated(config, f"explorer/{path.name}", abs_src_path=str(path)))
    return files


def on_page_markdown(markdown, page, config, files):
    """Let the links of a page lead to the site where they lead to the repository; embed the explorers."""
    uri = page.file.src_uri
    return relinked(markdown, uri, config.repo_url) + (embedded() if uri == "explorer.md" else "")


# === The explorers ===


def explorers():
    """Return the pages of `aezoo explore` that were made for the site."""
    return sorted((ROOT / "explorers").glob("*.html"))


def embedded():
    """Return the part of the page about the explorer that shows the pages: links, and one of them in a frame."""
    if not explorers():
        return ""
    links = "\n".join(f'- <a href="../explorer/{path.name}" target="frame">{path.stem}</a>' for path in explorers())
    frame = f'<iframe name="frame" title="A model in the browser" src="{explorers()[-1].name}"></iframe>'
    return f"\n## Try one\n\nChoose a preset; it opens below.\n\n{links}\n\n{frame}\n"


# === Links ===


@functools.cache
def elsewhere():
    """Return the files outside `docs` that are on the site, each with its place there."""
    found = {"benchmarks/RESULTS.md": "measurements.md", "notebooks/README.md": "notebooks/index.md"}
    for card in (ROOT / "saved_models").glob("*/README.md"):
        found[f"saved_models/{card.parent.name}/README.md"] = f"presets/{card.parent.name}.md"
        found[f"saved_models/{card.parent.name}/picture.png"] = f"presets/{card.parent.name}.png"
    for notebook in (ROOT / "notebooks").glob("*.ipynb"):
        found[f"notebooks/{notebook.name}"] = f"notebooks/{notebook.stem}.md"
    for picture in (ROOT / "benchmarks").glob("*/results/*.png"):
        found[picture.relative_to(ROOT).as_posix()] = f"measurements/{picture.name}"
    return found


def relinked(markdown, uri, repository):
    """Return a page with the links to the repository made links to the site, to `repository`, or plain text."""
    places = elsewhere()
    source = {place: path for path, place in places.items()}.get(uri, f"docs/{uri}")

    def replace(match):
        text, target = match[1], match[2]
        address, _, anchor = target.partition("#")
        if not address or re.match(r"[a-z]+:", address):
            return match[0]
        path = posixpath.normpath(posixpath.join(posixpath.dirname(source), address))
        if path in places or path.startswith("docs/"):
            place = places.get(path, path.removeprefix("docs/"))
            new = posixpath.relpath(place, posixpath.dirname(uri) or ".")
            return f"{text}({new}{'#' + anchor if anchor else ''})"
        if not (ROOT / path).exists():
            return match[0]  # mkdocs says that it is broken
        if repository:
            return f"{text}({repository.rstrip('/')}/blob/main/{path})"
        return text.lstrip("!")[1:-1]

    parts = re.split(r"(^ *```.*?^ *```$)", markdown, flags=re.MULTILINE | re.DOTALL)
    link = r"(!?\[(?:[^\[\]]|!?\[[^\]]*\](?:\([^)]*\))?)*\])\(([^)\s]+)\)"
    return "".join(part if part.lstrip().startswith("```") else re.sub(link, replace, part) for part in parts)


# === The API ===


@functools.cache
def package():
    """Parse the package, without importing it."""
    return griffe.load("aezoo", search_paths=[ROOT], resolve_aliases=True)


@functools.cache
def sections():
    """Return the title and the module of each section of the API."""
    names = [*map(str, package().exports), "sklearn", "testing"]
    modules = sorted(name for name in names if package()[name].is_module)
    return GROUPS | {name: (TITLES.get(name, name.capitalize()), f"aezoo.{name}") for name in modules}


@functools.cache
def api():
    """Return the public objects of each section, by the names that users write: `aezoo.KSparseAE`."""
    found = {section: {} for section in sections()}
    for name in map(str, package().exports):
        value = package()[name]
        if not value.is_module and name != "__version__":
            (section,) = (key for key, (_, where) in GROUPS.items() if value.canonical_path.startswith(f"{where}."))
            found[section][f"aezoo.{name}"] = value
    for section in sections().keys() - GROUPS:
        module = package()[section]
        own = [key for key, member in module.members.items() if not (key.startswith("_") or member.is_alias)]
        for name in map(str, module.exports or own):
            found[section][f"aezoo.{section}.{name}"] = module[name]
    for section, names in FURTHER.items():
        found[section] |= {name: package()[name.removeprefix("aezoo.")] for name in names}
    return {
        section: dict(sorted(members.items(), key=lambda item: item[0].casefold()))
        for section, members in found.items()
    }


def page_of(section, path):
    """Return the page of a class or function, or None for a constant, which stands on its section's page."""
    return f"api/{section}/{path.rpartition('.')[2]}.md" if has_page(api()[section][path]) else None


def has_page(member):
    """Return whether an object is a class or a function."""
    return member.is_class or member.is_function


def first_sentence(member):
    """Return the first sentence of an object's docstring."""
    text = member.docstring.value if member.docstring else ""
    line = " ".join(text.partition("\n\n")[0].split())
    return re.split(r"(?<=\D\.)\s", line)[0].rstrip(":").replace("|", "\\|")


def summary(section, base):
    """Return a section's table for a page in the folder `base`: each name, linked, and its first sentence."""
    lines = ["| | |", "|---|---|"]
    for path, member in api()[section].items():
        page = page_of(section, path)
        target = posixpath.relpath(page or f"api/{section}/index.md", base) + ("" if page else f"#{path}")
        name = path.rpartition(".")[2] if section in GROUPS else path.removeprefix("aezoo.")
        lines.append(f"| [`{name}`]({target}) | {first_sentence(member)} |")
    return "\n".join(lines)


def api_pages():
    """Return the pages of the API: an overview, one per section, one per class and function."""
    overview = [
        "# API",
        "",
        "Every public class and function. `import aezoo` imports all of them, except `aezoo.testing`,",
    ]
    overview += ["which needs `import aezoo.testing`.", ""]
    pages = {}
    for section, (title, module) in sections().items():
        overview += [f"## [{title}]({section}/index.md)", "", summary(section, "api"), ""]
        page = [f"# {title}", ""]
        if section not in GROUPS:
            page += [f"::: {module}\n    options:\n      members: false\n      show_root_heading: false\n", ""]
        page += [summary(section, f"api/{section}"), ""]
        for path, member in api()[section].items():
            if not has_page(member):
                page += [f"::: {path}", ""]
                continue
            options = "    options:\n      heading_level: 1\n"
            inherited = f"      inherited_members: {INHERITED[path]}\n" if path in INHERITED else ""
            title_of_page = f"---\ntitle: {path.rpartition('.')[2]}\n---\n\n"
            pages[page_of(section, path)] = f"{title_of_page}::: {path}\n{options}{inherited}"
        pages[f"api/{section}/index.md"] = "\n".join(page)
    pages["api/index.md"] = "\n".join(overview)
    return pages


def api_navigation():
    """Return the navigation of the API: its sections, each with its pages."""
    return [
        {title: [f"api/{section}/index.md", *filter(None, (page_of(section, path) for path in api()[section]))]}
        for section, (title, _) in sections().items()
    ]


# === Notebooks ===


@functools.cache
def notebooks():
    """Read every notebook, by its name."""
    paths = sorted((ROOT / "notebooks").glob("*.ipynb"))
    return {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in paths}


def notebook_navigation():
    """Return the pages of the notebooks."""
    return [f"notebooks/{name}.md" for name in notebooks()]


def notebook_pages():
    """Return each notebook as Markdown, with its pictures as files, and a gallery of them."""
    pages = {}
    cards = []
    for name, notebook in notebooks().items():
        text, pictures, thumbnail = as_markdown(name, notebook)
        pages |= {f"notebooks/{name}.md": text, **pictures}
        title = re.search(r"^# (.+)$", text, re.MULTILINE)[1]
        cards += [f"-   [![]({posixpath.basename(thumbnail)}){{ loading=lazy }}]({name}.md)", ""]
        cards += [f"    [{title}]({name}.md)", ""]
    listed = (ROOT / "notebooks" / "README.md").read_text(encoding="utf-8")
    heading, _, rest = listed.partition("\n\n")
    grid = "\n".join(['<div class="grid cards gallery" markdown>', "", *cards, "</div>"])
    pages["notebooks/index.md"] = f"{heading}\n\n{grid}\n\n{rest}"
    return pages


def as_markdown(name, notebook):
    """Return a notebook as Markdown, its pictures by their place on the site, and the place of its thumbnail."""
    parts, pictures, thumbnail = [], {}, None
    for cell in notebook["cells"]:
        source = "".join(cell["source"]).strip()
        if cell["cell_type"] == "markdown":
            parts.append(source.replace("<details>", '<details markdown="1">'))
            continue
        hidden = cell["metadata"].get("jupyter", {}).get("source_hidden")
        fence = f"```python\n{source}\n```"
        parts.append(f'<details markdown="1"><summary>Code</summary>\n\n{fence}\n\n</details>' if hidden else fence)
        for output in cell["outputs"]:
            data = output.get("data", {})
            if "image/png" in data:
                place = f"notebooks/{name}_{len(pictures)}.png"
                pictures[place] = base64.b64decode(data["image/png"])
                parts.append(f"![]({posixpath.basename(place)})")
                if thumbnail is None or THUMBNAIL in cell["metadata"].get("tags", ()):
                    thumbnail = place
            elif "text/html" in data:
                parts.append("".join(data["text/html"]))
            else:
                text = "".join(output.get("text", data.get("text/plain", ""))).rstrip()
                parts.append(f"```text\n{text}\n```")
    return "\n\n".join(parts), pictures, thumbnail


# === Model cards ===


def card_pages():
    """Return the model cards."""
    cards = sorted((ROOT / "saved_models").glob("*/README.md"))
    return {f"presets/{card.parent.name}.md": card.read_text(encoding="utf-8") for card in cards}
