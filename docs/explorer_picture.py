"""Take the picture of docs/explorer.md, docs/explorer.png: the page of vae_mnist_2d in a browser.

    TFDS_DATA_DIR=... python docs/explorer_picture.py

needs MNIST, Playwright and Debian's chromium (`pip install -e ".[test]"` and `apt-get install chromium`).
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

from playwright.sync_api import sync_playwright

import aezoo

DOCS = Path(__file__).parent
SIZE = {"width": 980, "height": 800}
ARGUMENTS = ("--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking")
POINT = 0.72, 0.6  # of the plane, among the zeros
BELOW = 190  # pixels from the top to the panel: the stage stays above it


def main() -> None:
    """Write the page, point at its plane of codes, and photograph it."""
    _, test = aezoo.datasets.load("mnist")
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        page = Path(folder) / "page.html"
        aezoo.explorer.write(aezoo.VAE.from_preset("vae_mnist_2d"), page, test, name="mnist")
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=list(ARGUMENTS))
        opened = browser.new_page(viewport=SIZE)
        opened.goto(f"file://{page}")
        opened.evaluate("explorer.ready")
        opened.wait_for_timeout(500)
        top = opened.locator("#map").bounding_box()["y"] - BELOW
        opened.evaluate(f"window.scrollTo({{ top: {top}, behavior: 'instant' }})")
        box = opened.locator("#map-canvas").bounding_box()
        opened.mouse.move(box["x"] + POINT[0] * box["width"], box["y"] + POINT[1] * box["height"])
        opened.evaluate("explorer.idle()")
        opened.screenshot(path=DOCS / "explorer.png")
        browser.close()


if __name__ == "__main__":
    main()
