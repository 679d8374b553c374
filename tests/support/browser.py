"""A real headless Chromium, the system's, for pages: what it complains of and asks for is collected."""

from __future__ import annotations

import io
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from PIL import Image

from tests.support import needs

EVIL = "<script>document.title='broken in'</script> \"quoted\" 'twice' & naïve 日本"


@dataclass
class Tab:
    """A page in the browser. `wrong` collects errors and warnings, dialogs, and requests that lead elsewhere."""

    page: Any
    home: str
    wrong: list[str] = field(default_factory=list)
    loads: int = 0

    def watch(self) -> None:
        self.page.on(
            "console", lambda said: self.wrong.append(said.text) if said.type in ("error", "warning") else None
        )
        self.page.on("pageerror", lambda error: self.wrong.append(str(error)))
        self.page.on("dialog", lambda dialog: (self.wrong.append(f"dialog: {dialog.message}"), dialog.dismiss()))
        self.page.on("request", lambda asked: self._asked(asked.url))

    def _asked(self, url: str) -> None:
        self.loads += url.partition("#")[0] == self.home
        if not url.startswith((self.home.partition("/dashboard")[0], "data:", "blob:")):
            self.wrong.append(f"request: {url}")

    def pixels(self, what: str = "") -> np.ndarray:
        """The brightness, 0 to 255, of the whole page or of the first element that a selector finds."""
        shot = self.page.locator(what).first.screenshot() if what else self.page.screenshot()
        return np.asarray(Image.open(io.BytesIO(shot)).convert("L"), dtype=float)

    def texts(self, what: str) -> list[str]:
        """The visible text of each element that a selector finds."""
        return [text.strip() for text in self.page.locator(what).all_inner_texts()]


class Chromium:
    """The browser: `open` makes a page of its own, with nothing kept from others."""

    def __init__(self, browser: Any) -> None:
        self._browser = browser

    @contextmanager
    def open(self, url: str, width: int = 1280, dark: bool = False) -> Iterator[Tab]:
        """Open an address, and close it again."""
        look = "dark" if dark else "light"
        context = self._browser.new_context(viewport={"width": width, "height": 800}, color_scheme=look)
        context.set_default_timeout(60_000)  # on a busy machine
        tab = Tab(context.new_page(), url)
        tab.watch()
        tab.page.goto(url)
        try:
            yield tab
        finally:
            context.close()


@contextmanager
def started() -> Iterator[Chromium]:
    """Start the browser for a module. Root needs --no-sandbox; playwright would otherwise look for one of its own."""
    needs("chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        yield Chromium(browser)
        browser.close()
