"""One headless browser for all pictures: found on the machine, started for the first figure, closed at the end."""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import threading
import warnings
from collections.abc import Coroutine, Iterator, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar

from flyem_snapshot.plots.style import Figure

if TYPE_CHECKING:
    from kaleido import Kaleido

logger = logging.getLogger(__name__)

T = TypeVar("T")
PictureKind = Literal["png", "pdf", "svg"]

SCALE: Final = 2
"""Pixels of a picture for each pixel of the figure, so that it is sharp in print."""

_NAMES: Final = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
_TABS: Final = 2
_START_SECONDS: Final = 60
_FIGURE_SECONDS: Final = 60
_CLOSE_SECONDS: Final = 15
_VARIABLE: Final = "BROWSER_PATH"
_OFF: Final = "off"
_REMEDY: Final = (
    "plots are written as HTML, without pictures; install Chromium or Chrome (Debian: apt-get install chromium) or set "
    f"{_VARIABLE} to its program, remove the old plots and run again; {_VARIABLE}={_OFF} if HTML is enough"
)


def find_browser() -> Path | None:
    """The Chromium or Chrome of this machine: what BROWSER_PATH says, else the first found on the PATH."""
    wanted = os.environ.get(_VARIABLE, "")
    if wanted and wanted != _OFF:
        found = shutil.which(wanted)
        return Path(found) if found else None
    return next((Path(found) for name in _NAMES if (found := shutil.which(name))), None)


class Browser:
    """Draws pictures until it is closed.  If it cannot, it says so once, and draws none from then on."""

    def __init__(self) -> None:
        self.broken = os.environ.get(_VARIABLE) == _OFF  # asked for, so nothing is said about it
        self._thread: _LoopThread | None = None
        self._kaleido: Kaleido | None = None
        self._tabs = 1

    def pictures(self, figures: Sequence[Figure], kind: PictureKind = "png") -> list[bytes | None]:
        """Each figure as a picture (a PNG at twice its size); None where that failed, which has been logged."""
        if not figures or not self._started(len(figures)):
            return [None] * len(figures)
        assert self._thread is not None
        pngs, fault = self._thread.run(self._draw(figures, kind))
        if fault is not None:
            missing = sum(png is None for png in pngs)
            self._give_up(f"{missing} of {len(pngs)} pictures failed: {_sentence(fault)}")
        return pngs

    def close(self) -> None:
        """End the browser, if it was started."""
        thread, kaleido = self._thread, self._kaleido
        self._thread = self._kaleido = None
        if thread is None:
            return
        if kaleido is not None:
            # Whatever happens here, every picture is drawn.
            with suppress(OSError, RuntimeError, TimeoutError), _quiet():
                thread.run(asyncio.wait_for(kaleido.close(), _CLOSE_SECONDS))
        thread.close()

    def _started(self, figures: int) -> bool:
        """Start the browser for so many figures unless it runs; False if there is none or it does not start."""
        if self.broken or self._kaleido is not None:
            return not self.broken
        path = find_browser()
        if path is None:
            wanted = os.environ.get(_VARIABLE, "")
            self._give_up(f"{_VARIABLE}={wanted} is no program" if wanted else "no Chromium or Chrome was found")
            return False
        self._thread = _LoopThread()
        self._tabs = min(figures, _TABS)
        try:
            with _quiet():
                self._kaleido = self._thread.run(asyncio.wait_for(_open(path, self._tabs), _START_SECONDS))
        except (OSError, RuntimeError, TimeoutError) as error:
            self._give_up(f"{path} does not start: {_sentence(error)}")
            return False
        return True

    async def _draw(
        self, figures: Sequence[Figure], kind: PictureKind
    ) -> tuple[list[bytes | None], BaseException | None]:
        """All figures, as many at a time as there are tabs, and what ended the work before all were drawn.

        A tab that fails is not given back, and the driver would wait for it for ever: so the first fault ends it all.
        """
        pngs: list[bytes | None] = [None] * len(figures)
        waiting = iter(enumerate(figures))
        options: Any = {"format": kind, "scale": SCALE if kind == "png" else 1}

        async def draw_some() -> None:
            assert self._kaleido is not None
            for index, figure in waiting:
                drawing = self._kaleido.calc_fig(dict(figure), options)
                pngs[index] = await asyncio.wait_for(drawing, _FIGURE_SECONDS)

        workers = [asyncio.create_task(draw_some()) for _ in range(self._tabs)]
        done, pending = await asyncio.wait(workers, return_when=asyncio.FIRST_EXCEPTION)
        for worker in pending:
            worker.cancel()
        faults = [fault for worker in done if (fault := worker.exception())]
        return pngs, faults[0] if faults else None

    def _give_up(self, reason: str) -> None:
        self.broken = True
        logger.warning("%s; %s", reason, _REMEDY)
        self.close()


class _LoopThread:
    """An event loop of its own, so that it does not matter whether the caller runs in one (as in a notebook)."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="browser", daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Wait for some work; whatever interrupts the waiting ends the work."""
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def close(self) -> None:
        """End what still goes on in the loop, then the loop and its thread."""
        self.run(_cancel_the_rest())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


async def _open(path: Path, tabs: int) -> Kaleido:
    from kaleido import Kaleido

    # Formulas would be loaded from the network.  The sandbox is off by default: it refuses to run as root, and only
    # our own figures are shown.
    kaleido = Kaleido(n=tabs, timeout=_FIGURE_SECONDS, mathjax=False, path=str(path), enable_extensions=False)
    try:
        await kaleido.open()
    except BaseException:
        with suppress(OSError, RuntimeError):
            await kaleido.close()
        raise
    return kaleido


async def _cancel_the_rest() -> None:
    rest = asyncio.all_tasks() - {asyncio.current_task()}
    for task in rest:
        task.cancel()
    if rest:
        await asyncio.wait(rest, timeout=_CLOSE_SECONDS)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep what the browser's driver tells of temporary files and processes to itself."""
    for name in ("choreographer", "kaleido", "browser_proc"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _sentence(error: BaseException) -> str:
    """The first line of an error; its kind if it says nothing."""
    text = " ".join(str(argument) for argument in error.args) or type(error).__name__
    return text.strip().splitlines()[0][:200]


_current: ContextVar[Browser | None] = ContextVar("browser", default=None)


@contextmanager
def one_browser() -> Iterator[Browser]:
    """Draw all pictures of the `with` block in one browser, which starts with the first; nested blocks share it."""
    browser = _current.get()
    if browser is not None:
        yield browser
        return
    browser = Browser()
    token = _current.set(browser)
    try:
        yield browser
    finally:
        _current.reset(token)
        browser.close()
