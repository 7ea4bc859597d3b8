"""Threads for requests that nobody waits for once they are given up: they hold up neither a failure nor Ctrl-C."""

from __future__ import annotations

import atexit
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import contextmanager
from contextvars import Context, ContextVar, copy_context
from queue import SimpleQueue
from threading import Condition, Event, Thread, get_ident
from typing import Any, Final, TypeVar

T = TypeVar("T")

LONGEST_WAIT: Final = 30.0
"""Seconds for what must come to its end, such as the reading of an answer that has come."""


class GivenUp(Exception):  # noqa: N818 - it ends work whose failure nobody sees
    """Nobody wants the result of this work any more."""


class Pool:
    """So many threads for work that may be given up at any time.

    They are daemons: unlike those of a ThreadPoolExecutor they do not keep a process alive until a server answers.
    But a process must not end while one of them is within a library such as Arrow, which would abort it; so only what
    is `abandonable` is left behind, and the rest comes to its end first.
    """

    def __init__(self, threads: int) -> None:
        self._jobs: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._given_up = Event()
        self._change = Condition()
        self._busy: set[int] = set()
        """The threads that must not be left behind now."""
        self._threads = [Thread(target=self._work, name=f"cave-{n}", daemon=True) for n in range(threads)]
        for thread in self._threads:
            thread.start()
        atexit.register(self.give_up)  # for who is interrupted while a reading is half done

    def submit(self, function: Callable[..., T], *given: Any, **named: Any) -> Future[T]:
        """Have a function called, in a copy of the caller's context: the prefix of log lines goes with the work."""
        future: Future[T] = Future()
        context = copy_context()
        context.run(_pool.set, self)
        self._jobs.put(lambda: _call(future, context, lambda: function(*given, **named)))
        return future

    def first_of(self, futures: Sequence[Future[T]]) -> T:
        """The result of the first future, or the failure of whichever fails before that one is done."""
        pending = set(futures)
        while not futures[0].done():
            done, pending = wait(pending, return_when=FIRST_COMPLETED)
            for future in done:
                if error := future.exception():
                    raise error
        return futures[0].result()

    def give_up(self) -> None:
        """Begin nothing more, end waits between two tries, and leave behind who waits for a server."""
        atexit.unregister(self.give_up)
        with self._change:
            self._given_up.set()
            for _ in self._threads:
                self._jobs.put(None)
            self._change.wait_for(lambda: not self._busy, LONGEST_WAIT)

    def waited(self, seconds: float) -> bool:
        """Wait; False, at once, when the work is given up."""
        return not self._given_up.wait(seconds)

    def leave(self) -> None:
        """This thread may be left behind from now on."""
        with self._change:
            self._go_on()
            self._busy.discard(get_ident())
            self._change.notify_all()

    def come_back(self) -> None:
        """This thread may not be left behind any more."""
        with self._change:
            self._go_on()
            self._busy.add(get_ident())

    def _go_on(self) -> None:
        if self._given_up.is_set():
            raise GivenUp

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            try:
                self.come_back()
                job()
            except GivenUp:
                return
            finally:
                del job  # with its result
                with self._change:
                    self._busy.discard(get_ident())
                    self._change.notify_all()


_pool: Final[ContextVar[Pool | None]] = ContextVar("pool", default=None)
"""The pool whose work this is."""


def waited(seconds: float) -> bool:
    """Wait; False, at once, when this is the work of a pool and nobody wants it any more."""
    pool = _pool.get()
    if pool is not None:
        return pool.waited(seconds)
    time.sleep(seconds)
    return True


@contextmanager
def abandonable() -> Iterator[None]:
    """A block that only waits for a server: when the work of a pool is given up, its thread is left behind in it."""
    pool = _pool.get()
    if pool is None:
        yield
        return
    pool.leave()
    try:
        yield
    finally:
        pool.come_back()


def _call(future: Future[T], context: Context, function: Callable[[], T]) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        result = context.run(function)
    except BaseException as error:  # noqa: BLE001 - it is raised where the result is waited for
        future.set_exception(error)
    else:
        future.set_result(result)
