"""Writing and serving of pages."""

from __future__ import annotations

import contextlib
import functools
import http.server
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aezoo import _files

if TYPE_CHECKING:
    from aezoo.models.autoencoder import Autoencoder

SAMPLES = 2000
"""Default of the maximum number of samples on a page."""


def page(
    model: Autoencoder,
    data: Any,
    *,
    title: str | None = None,
    name: str = "your data",
    note: str = "",
    samples: int = SAMPLES,
) -> str:
    """Return an HTML page for exploring a model.

    The page contains samples, the model as an ONNX export, and ONNX Runtime Web, so it works without a network and
    without a server. Its panels depend on the model: sliders of the code, a plane of codes, paths and attribute vectors
    between samples, the units of the code, anomaly scores, the bits of a `CompressiveAE`, the strokes of a `SketchRNN`.

    Args:
        model: A built model of images, vectors or sketches, in floating point.
        data: Samples to show, (n, *input_shape), a dict of "x" and the conditions, or data that come batch by batch; or
            a pair of any of these and their labels, (n,), such as a split of `aezoo.datasets.load`. All numbers on the
            page are computed from these samples.
        title: Heading of the page; None names the class and the size of the code.
        name: Name of the data, shown on the page.
        note: A sentence about the limits of the model, shown below the heading; "" shows none.
        samples: Maximum number of samples to show, at least 2. From more data, samples are taken in equal steps.

    Returns:
        The HTML: about 5 MB for the runtime, plus the weights of the model.

    Raises:
        ValueError: If the model is not built, ONNX has no operation for a part of it, or the page cannot show the
            samples.
        ImportError: If `aezoo[onnx]` is not installed.

    Example:
        ```python
        html = aezoo.explorer.page(model, (x_test, y_test), samples=20)
        ```
    """
    from aezoo.explorer import content, document

    return document.assemble(content.gather(model, data, title=title, name=name, note=note, samples=samples))


def write(model: Autoencoder, path: str | os.PathLike[str], data: Any, **options: Any) -> None:
    """Write a page to a file that a browser opens from disk; see `aezoo.explorer.page`.

    Args:
        model: A built model.
        path: File to write, `NAME.html`. An existing page of aezoo is replaced; any other file raises an error.
        data: Samples, or a pair of samples and labels.
        **options: Other arguments of `page`.

    Raises:
        FileExistsError: If `path` is a folder, or a file that is not a page of aezoo.
        ValueError: As `page`.
        ImportError: As `page`.

    Example:
        ```python
        aezoo.explorer.write(model, "explorer.html", (x_test, y_test), samples=20)
        ```
    """
    check_path(path)
    write_text(page(model, data, **options), path)


def write_text(html: str, path: str | os.PathLike[str]) -> None:
    """Write HTML that `page` returned to a file; like `write`, replace only a page of aezoo."""
    with _files.atomic_write(path) as file:
        file.write_text(html, encoding="utf-8")
        check_path(path)


def check_path(path: str | os.PathLike[str]) -> None:
    """Check that a page may be written to a path.

    Raises:
        FileExistsError: If `path` is a folder, or a file that is not a page of aezoo.
    """
    from aezoo.explorer import document

    if Path(path).is_dir():
        raise FileExistsError(f"{path} is a folder: name a file, NAME.html.")
    there = _files.check(path)
    if there.exists():
        with there.open("rb") as file:
            if file.read(len(document.MARK)) != document.MARK.encode():
                raise FileExistsError(f"{path} exists and is not a page of aezoo: name another file.")


def serve(html: str | os.PathLike[str], port: int = 0, *, ready: Callable[[str], None] | None = None) -> None:
    """Serve a page to this machine only, until Ctrl-C or until the process ends.

    Args:
        html: HTML that `page` returned as a string; or a file that `write` wrote, as a `pathlib.Path`.
        port: Port of the server; 0 takes a free one.
        ready: Function that is called with the address once the page is served; None prints the address.

    Raises:
        OSError: If the port is in use.

    Example:
        >>> serve("<p>A page</p>", port=8000)  # doctest: +SKIP
        Serving http://127.0.0.1:8000/ (Ctrl-C ends it)
    """
    content = html.encode() if isinstance(html, str) else Path(html).read_bytes()
    with http.server.ThreadingHTTPServer(("127.0.0.1", port), functools.partial(_Handler, content)) as server:
        with contextlib.suppress(KeyboardInterrupt):
            (ready or _announce)(f"http://127.0.0.1:{server.server_address[1]}/")
            server.serve_forever()


def _announce(address: str) -> None:
    print(f"Serving {address} (Ctrl-C ends it)", flush=True)


class _Handler(http.server.BaseHTTPRequestHandler):
    """Request handler that answers "/" with the page and any other path with 404."""

    def __init__(self, content: bytes, *arguments: Any):
        self.content = content
        super().__init__(*arguments)

    def do_GET(self) -> None:
        if self.path.partition("?")[0] != "/":
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(self.content)))
        self.end_headers()
        self.wfile.write(self.content)

    def log_message(self, *arguments: Any) -> None:
        """Print nothing about requests."""
