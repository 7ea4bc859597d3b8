"""Where errors end: what the user reads and the exit code the shell gets."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable

from flyem_snapshot.errors import EXIT_BUG, EXIT_INTERRUPTED, SnapshotError


def guarded(action: Callable[[], None], resume: str = "") -> int:
    """Do `action` and return the exit code; `resume` is the command that goes on after an interruption, if any does.

    0    done
    1, 2 the user's to mend: one message on stderr, no traceback
    130  Ctrl-C or SIGTERM
    70   a bug: traceback (as SystemExit)
    """
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        action()
    except SnapshotError as error:
        complain("\n".join([str(error), *(f"  note: {note}" for note in getattr(error, "__notes__", ()))]))
        return error.exit_code
    except KeyboardInterrupt:
        complain(f"interrupted; finished stages are kept, and this resumes:\n  {resume}" if resume else "interrupted")
        return EXIT_INTERRUPTED
    except Exception:  # noqa: BLE001 - the last stop: what nobody expected must reach us whole, and the shell as 70
        traceback.print_exc()
        complain("this is a bug in flyem-snapshot, please report it with the lines above")
        raise SystemExit(EXIT_BUG) from None
    finally:
        _flush()
    return 0


def say(text: str) -> None:
    """Print to stdout; a reader that has seen enough (`... | head`) is no error."""
    with contextlib.suppress(BrokenPipeError):
        sys.stdout.write(text if text.endswith("\n") else f"{text}\n")
    _flush()


def complain(text: str) -> None:
    """Print a message to stderr."""
    print(f"flyem-snapshot: {text}", file=sys.stderr)


def _flush() -> None:
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        # Python flushes once more when it ends; let that go nowhere.
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
