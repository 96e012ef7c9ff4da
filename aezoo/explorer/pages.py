"""Writing and serving pages."""

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
"""How many samples a page shows unless it is told otherwise."""


def page(
    model: Autoencoder,
    data: Any,
    *,
    title: str | None = None,
    name: str = "your data",
    note: str = "",
    samples: int = SAMPLES,
) -> str:
    """Return an HTML page in which a person plays with a model.

    The page holds the model as its own ONNX export, samples, and ONNX Runtime Web, so it works without network and
    server. It shows what the model has: sliders of the code, a plane of codes, paths and attribute vectors between
    samples, the units of the code, anomaly scores, the bits of a `CompressiveAE`, the strokes of a `SketchRNN`.

    Args:
        model: A built model. Samples are images, vectors or sketches of floating-point numbers.
        data: Samples that the page shows, (n, *input_shape), a dict of them and of the conditions, or data that come
            batch by batch; or a pair of any of these and their labels, (n,), such as a split of `aezoo.datasets.load`.
            All numbers on the page are of these samples.
        title: The heading; None names the class and the size of the code.
        name: The name of the data, as the page says it.
        note: A sentence about the limits of the model.
        samples: The most samples to show, at least 2; of more data they are taken in equal steps.

    Returns:
        The page, about 5 MB for the runtime, and the weights of the model.

    Raises:
        ValueError: If the model is not built, ONNX has no operation for a part of it, or samples are not what the page
            can show.
        ImportError: If `aezoo[onnx]` is not installed.

    Example:
        ```python
        html = aezoo.explorer.page(model, (x_test, y_test), samples=20)
        ```
    """
    from aezoo.explorer import content, document

    return document.assemble(content.gather(model, data, title=title, name=name, note=note, samples=samples))


def write(model: Autoencoder, path: str | os.PathLike[str], data: Any, **options: Any) -> None:
    """Write a page to a file, which any browser opens; see `aezoo.explorer.page`.

    Args:
        model: A built model.
        path: A file `NAME.html`. A page that is there already is replaced, any other file is not.
        data: Samples, or a pair of samples and labels.
        **options: More arguments of `page`.

    Raises:
        FileExistsError: If there is another file, or a folder, of that name.
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
    """Write what `page` returned to a file; see `write` for what is replaced."""
    with _files.atomic_write(path) as file:
        file.write_text(html, encoding="utf-8")
        check_path(path)


def check_path(path: str | os.PathLike[str]) -> None:
    """Check that a page may be written to a path.

    Raises:
        FileExistsError: If there is a file that is no page of ours, or a folder.
    """
    from aezoo.explorer import document

    if Path(path).is_dir():
        raise FileExistsError(f"{path} is a folder: name a file, NAME.html.")
    there = _files.check(path)
    if there.exists():
        with there.open("rb") as file:
            if file.read(len(document.MARK)) != document.MARK.encode():
                raise FileExistsError(f"{path} is there already, and no page of aezoo: name another file.")


def serve(html: str | os.PathLike[str], port: int = 0, *, ready: Callable[[str], None] | None = None) -> None:
    """Serve a page on this machine alone, until Ctrl-C or until the process ends.

    Args:
        html: What `page` returned, or the file that `write` wrote, as a `pathlib.Path`.
        port: The port; 0 takes a free one.
        ready: Called with the address once the page is served; None prints it.

    Raises:
        OSError: If the port is taken.

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
    """Answers a request for "/" with the page, and any other with 404."""

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
        """Say nothing of requests."""
