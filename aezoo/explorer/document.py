"""The HTML of a page, assembled from its content; no code here needs a model."""

from __future__ import annotations

import base64
import functools
import gzip
import html
import json
import re
from pathlib import Path

from aezoo.explorer.content import Content

_HERE = Path(__file__).parent
#: First line of each page, which marks the file as a page of aezoo.
MARK = "<!doctype html><!-- aezoo explorer -->"
#: Scripts of a page, in the order in which they run.
SCRIPTS = (
    *("core", "pictures", "networks", "state", "controls", "samples", "code", "map", "between", "units", "scores"),
    *("rate", "sketch", "main"),
)


def assemble(content: Content) -> str:
    """Return the HTML of a page.

    Args:
        content: Content of the page.
    """
    style, scripts = _file("style.css"), "\n".join(_file(f"{name}.js") for name in SCRIPTS)
    data = [_data("manifest", "application/json", json.dumps(content.manifest).replace("<", "\\u003c"))]
    data += [_data(name, "text/plain", _packed(blob)) for name, blob in content.blobs.items()]
    data.append(_data("runtime", "text/plain", _base64(_runtime("ort-wasm-simd-threaded.wasm.gz"))))
    parts = {
        "title": html.escape(content.manifest["title"]),
        "style": style,
        "data": "\n".join(data),
        "runtime": f"<script>\n{runtime()}\n</script>",
        "scripts": f"<script>\n{scripts}\n</script>",
    }
    page = re.sub(r"<!-- part: (\w+) -->", lambda match: parts[match[1]], _file("page.html"))
    return f"{MARK}\n{page}"


def _data(name: str, kind: str, text: str) -> str:
    return f'<script type="{kind}" id="data-{name}">{text}</script>'


def _packed(blob: bytes) -> str:
    return _base64(gzip.compress(blob, 9, mtime=0))


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _file(name: str) -> str:
    return (_HERE / "assets" / name).read_text(encoding="utf-8")


def _runtime(name: str) -> bytes:
    return (_HERE / "runtime" / name).read_bytes()


@functools.cache
def runtime() -> str:
    """Return ONNX Runtime Web as a classic script that defines `ort`: a page opened from disk may not load modules."""
    text = _runtime("ort.wasm.bundle.min.mjs").decode()
    text = text.replace("import.meta.url", "document.baseURI")
    listed = re.search(r"export\{(.+?)\};?\s*(?=//#|$)", text)
    if listed is None:
        raise ValueError("ONNX Runtime Web does not end with `export{...}`: reinstall aezoo, or adapt `runtime` to it.")
    public = {public: inner for inner, public in re.findall(r"(\w+) as (\w+)", listed[1])}
    exports = ", ".join(f"{name}: {public[name]}" for name in ("InferenceSession", "Tensor", "env"))
    text = f"{text[: listed.start()]}globalThis.ort = {{{exports}}};"
    # A comment or string in the script must not end the script element or start an HTML comment.
    return "(() => {\n" + text.replace("</script", "<\\/script").replace("<!--", "<\\!--") + "\n})();"
