"""Many requests at once, in order, with a bound on what is in flight; and batches that are halved when they fail."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from contextvars import copy_context
from queue import SimpleQueue
from threading import Event, Thread
from typing import Protocol, Self, TypeVar

from flyem_snapshot.sources.dvid.failures import DvidError

logger = logging.getLogger(__name__)

T = TypeVar("T")
R = TypeVar("R")
Jobs = SimpleQueue[Callable[[], None] | None]

TRIES = 3
HALVINGS = 4
"""A batch that keeps failing is cut down to a sixteenth, then the failure is final."""


def in_parallel(function: Callable[[T], R], items: Iterable[T], threads: int) -> Iterator[R]:
    """The results of a function for each item, in the order of the items.

    `threads` workers; at most `2 * threads` items are being worked on or waiting for the reader, so results do not
    pile up.  The first failure, of whichever item, stops the others and is raised; closing the iterator stops them
    too.  What a worker is busy with at that moment it brings to its end, which nobody waits for.
    """
    jobs: Jobs = SimpleQueue()
    news = Event()
    workers = [Thread(target=_work, args=(jobs,), name=f"dvid-{n}", daemon=True) for n in range(threads)]
    for worker in workers:
        worker.start()
    window: deque[Future[R]] = deque()
    try:
        for item in items:
            if len(window) >= 2 * threads:
                yield _first(window, news)
            window.append(_submit(jobs, function, item, news))
        while window:
            yield _first(window, news)
    finally:
        for future in window:
            future.cancel()
        for _ in workers:
            jobs.put(None)
    for worker in workers:
        worker.join()


def _submit(jobs: Jobs, function: Callable[[T], R], item: T, news: Event) -> Future[R]:
    future: Future[R] = Future()
    future.add_done_callback(lambda _: news.set())
    context = copy_context()  # the prefix of log lines goes with the work

    def job() -> None:
        if not future.set_running_or_notify_cancel():
            return
        try:
            result = context.run(function, item)
        except BaseException as error:  # noqa: BLE001 - it is raised where the result is waited for
            future.set_exception(error)
        else:
            future.set_result(result)

    jobs.put(job)
    return future


def _work(jobs: Jobs) -> None:
    while (job := jobs.get()) is not None:
        job()


def _first(window: deque[Future[R]], news: Event) -> R:
    """The oldest result, as soon as it is there; raises the failure of any other one that fails before."""
    while not window[0].done():
        news.wait()
        news.clear()
        for future in window:
            if future.done() and (error := future.exception()):
                raise error
    return window.popleft().result()


class Batch(Protocol):
    """What can be cut in two: a list, a tuple, a numpy array."""

    def __len__(self) -> int: ...

    def __getitem__(self, part: slice, /) -> Self: ...


B = TypeVar("B", bound=Batch)


def halving(ask: Callable[[B, int], R], batch: B, *, smallest: int = 1) -> list[R]:
    """The results of one batch, in order: one result if `ask(batch, tries)` succeeds, else those of its halves.

    A batch is only halved after a transient failure (`DvidError.transient`), down to `smallest` items or a sixteenth,
    whichever is larger; the smallest batches, like the whole one, are tried three times and their failure is final.
    """
    return _halving(ask, batch, max(smallest, len(batch) >> HALVINGS, 1), TRIES)


def _halving(ask: Callable[[B, int], R], batch: B, smallest: int, tries: int) -> list[R]:
    last = len(batch) <= smallest
    try:
        return [ask(batch, TRIES if last else tries)]
    except DvidError as error:
        if last or not error.transient:
            raise
        half = (len(batch) + 1) // 2
        logger.warning("%s; trying again with %s items instead of %s", error.message, f"{half:,}", f"{len(batch):,}")
    return [*_halving(ask, batch[:half], smallest, 1), *_halving(ask, batch[half:], smallest, 1)]
