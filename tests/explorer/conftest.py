import os
import re
import shutil

import numpy as np
import pytest

CHROMIUM = shutil.which("chromium") or "/usr/bin/chromium"
#: Arguments with which Debian's chromium runs as root and asks nothing of the network.
ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


class Page:
    """A page of the explorer in a browser, used with mouse and keyboard."""

    def __init__(self, page):
        self.page = page
        self.problems = []
        self.requests = []
        page.on("pageerror", lambda error: self.problems.append(str(error)))
        page.on("console", lambda message: self.problems.append(message.text) if message.type == "error" else None)
        page.on("request", lambda request: self.requests.append(request.url))

    def open(self, address):
        self.page.goto(address)
        self.js("explorer.ready")
        self.settle()
        return self

    def js(self, expression):
        return self.page.evaluate(expression)

    def settle(self):
        self.js("explorer.idle()")

    def array(self, expression):
        return np.array(self.js(f"Array.from({expression})"), "float32")

    @property
    def input(self):
        return self.array("explorer.state.input")

    @property
    def code(self):
        return self.array("explorer.state.code")

    @property
    def output(self):
        return self.array("explorer.state.output")

    def text(self, name):
        return self.page.locator(f"#{name}").inner_text()

    def number(self, name, pattern=r"-?\d[\d.]*(?:e[-+]\d+)?"):
        """Return the first number in the text of an element."""
        return float(re.search(pattern, self.text(name).replace(",", ""))[0])

    def click(self, selector):
        self.page.locator(selector).first.click()
        self.settle()

    def check(self, selector):
        self.page.locator(selector).check()
        self.settle()

    def choose(self, selector, value):
        self.page.locator(selector).select_option(value)
        self.settle()

    def slide(self, selector, value):
        """Set a slider; the page receives the same event as from a drag."""
        self.page.locator(f"{selector} input[type=range]").first.fill(str(value))
        self.settle()

    def press(self, selector, *keys):
        self.page.locator(selector).first.focus()
        for key in keys:
            self.page.keyboard.press(key)
        self.settle()

    def point(self, selector, x, y, click=False):
        """Point at a place of a canvas, given as fractions of its width and height."""
        place = self.page.locator(selector)
        place.scroll_into_view_if_needed()
        box = place.bounding_box()
        at = box["x"] + x * box["width"], box["y"] + y * box["height"]
        self.page.mouse.move(*at)
        if click:
            self.page.mouse.click(*at)
        self.settle()

    def wait(self, condition):
        """Wait until an expression is true. Playwright's own way to do so needs `eval`, which the page forbids."""
        for _ in range(200):
            if self.js(condition):
                return
            self.page.wait_for_timeout(50)
        raise AssertionError(f"never true: {condition}")

    def pixels(self, selector):
        """Return the red channel of a canvas, (height, width)."""
        height, width, *values = self.js(
            f"(() => {{ const c = document.querySelector('{selector}');"
            "const { data } = c.getContext('2d').getImageData(0, 0, c.width, c.height);"
            "return [c.height, c.width, ...data.filter((_, i) => i % 4 === 0)]; })()"
        )
        return np.reshape(values, (height, width))

    def ink(self, selector):
        """Return the number of different colors on a canvas."""
        return self.js(
            f"(() => {{ const c = document.querySelector('{selector}');"
            "const { data } = c.getContext('2d').getImageData(0, 0, c.width, c.height);"
            "return new Set(new Uint32Array(data.buffer)).size; })()"
        )


@pytest.fixture(scope="session")
def browser():
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if not os.access(CHROMIUM, os.X_OK):
        pytest.skip("there is no chromium, which `apt-get install chromium` installs")
    with playwright.sync_playwright() as started:
        running = started.chromium.launch(executable_path=CHROMIUM, args=[*ARGUMENTS])
        yield running
        running.close()


@pytest.fixture
def open_page(browser):
    """Return a function that opens a file or an address; check at the end that no page failed or fetched anything."""
    opened = []

    def open_page(address, width=1100, height=900, **options):
        # Without smooth scrolling: a button that still moves loses a click between its press and its release.
        options = {"reduced_motion": "reduce", **options}
        context = browser.new_context(viewport={"width": width, "height": height}, **options)
        page = Page(context.new_page())
        opened.append(page)
        return page.open(address if "://" in str(address) else f"file://{address}")

    yield open_page
    for page in opened:
        assert page.problems == []
        local = ("file:", "data:", "blob:", "http://127.0.0.1:")
        assert [url for url in page.requests if not url.startswith(local)] == []
        page.page.context.close()
