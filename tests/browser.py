"""A real browser without a screen, for the pages that people use."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")


@contextmanager
def headless_browser() -> Iterator[Any]:
    """A Chromium of this machine, driven by playwright; skips the test where there is none."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright, of the dev extra, is not installed")
    path = next(filter(None, map(shutil.which, NAMES)), None)
    if path is None:
        pytest.skip(f"no browser is installed: none of {', '.join(NAMES)} is on the path")
    with playwright.sync_playwright() as driver:
        # Its sandbox does not start for root; it shows our own pages alone.
        browser = driver.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()
