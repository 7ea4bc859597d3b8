"""Ctrl-C and SIGTERM during a query.

Python runs its signal handlers only between two of its own instructions, and a query can keep it away from them for
an hour.  What does happen at once is the byte that the interpreter writes to the wake-up pipe; a thread waits for it
and asks the database to stop.
"""

from __future__ import annotations

import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

_STOPPING: Final = frozenset({signal.SIGINT, signal.SIGTERM})


@contextmanager
def stopping(stop: Callable[[], None]) -> Iterator[None]:
    """Call `stop` from another thread as soon as a SIGINT or SIGTERM arrives during the `with` block.

    If one did arrive, whatever exception leaves the block is turned into KeyboardInterrupt: a stopped query may
    have reported the interruption in its own words.  Outside the main thread, which alone receives signals, this
    does nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    received = threading.Event()
    ours, wakeup = socket.socketpair()
    wakeup.setblocking(False)
    watcher = threading.Thread(target=_watch, args=(ours, received, stop), daemon=True, name="signals")
    watcher.start()
    old_wakeup = signal.set_wakeup_fd(wakeup.fileno(), warn_on_full_buffer=False)
    try:
        yield
    except BaseException as error:
        _end(wakeup, watcher)
        if received.is_set() and not isinstance(error, KeyboardInterrupt):
            raise KeyboardInterrupt from error
        raise
    finally:
        signal.set_wakeup_fd(old_wakeup)
        _end(wakeup, watcher)
        wakeup.close()
        ours.close()


def _watch(ours: socket.socket, received: threading.Event, stop: Callable[[], None]) -> None:
    while numbers := ours.recv(64):
        if _STOPPING.intersection(numbers):
            received.set()
            stop()


def _end(wakeup: socket.socket, watcher: threading.Thread) -> None:
    """Let the watcher read what has arrived, then end."""
    if watcher.is_alive():
        wakeup.shutdown(socket.SHUT_WR)
        watcher.join()
