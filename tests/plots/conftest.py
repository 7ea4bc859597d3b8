"""A real Chromium: pages are opened as a reader opens them."""

from __future__ import annotations

import pytest
from playwright.sync_api import sync_playwright

from flyem_snapshot.plots.browser import find_browser


@pytest.fixture(autouse=True)
def draws_pictures(pictures):
    """Here everything is about pictures."""


@pytest.fixture(scope="session")
def chromium():
    """The machine's browser, driven by the test."""
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=str(find_browser()), args=["--no-sandbox"])
        yield browser
        browser.close()


def is_local(address):
    return address.startswith(("file:", "data:", "blob:"))


@pytest.fixture
def opened(chromium):
    """Open a file at a width; the test fails on any complaint in the browser's console, and on any request outside."""
    contexts, complaints = [], []

    def show(path, width=1400, height=900):
        context = chromium.new_context(viewport={"width": width, "height": height})
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda request: complaints.extend([] if is_local(request.url) else [request.url]))
        page.goto(path.as_uri())
        return page

    yield show
    for context in contexts:
        context.close()
    assert complaints == []
