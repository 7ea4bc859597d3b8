"""Threads that are given up: no failure, and no interrupt, waits for a service."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from contextvars import ContextVar

import numpy as np
import pyarrow as pa
import pytest

from flyem_snapshot.cave import AuthError
from flyem_snapshot.cave.pool import GivenUp, Pool, abandonable, waited
from tests.cave.conftest import DATASTACK

TABLE = "synapses"
PROMPT = 10.0
"""Seconds; the services below want clients to wait for 60."""

PROGRAM = """
import signal, sys
from flyem_snapshot.cave import CaveError, FrameworkClient

signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may have had it ignored
url, token, datastack = sys.argv[1:]
client = FrameworkClient(datastack, url, auth_token=token, version=1, timeout=60)
print("begin", flush=True)
try:
    for window in client.materialize.id_windows("synapses", window=100, workers=2):
        pass
except CaveError as error:
    print(type(error).__name__, flush=True)
"""


@pytest.fixture
def thousand(stack):
    ids = np.arange(1, 1001)
    stack.freeze().add_table(TABLE, "synapse", pa.table({"id": pa.array(ids, pa.int64())}))


@pytest.fixture
def program(cave, thousand):
    """A process that reads the table."""
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, cave.url, cave.token, DATASTACK], stdout=subprocess.PIPE, text=True
    )
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def until(condition):
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.01)


def readers():
    return [thread for thread in threading.enumerate() if thread.name.startswith("cave-")]


def queries(cave):
    return [request for request in cave.requests if request.path.endswith("query")]


# --- the pool --------------------------------------------------------------------------------------------------------


def test_work_has_the_context_of_who_asked_for_it():
    prefix = ContextVar("prefix", default="none")
    pool = Pool(1)
    prefix.set("mine")
    assert pool.submit(prefix.get).result(5) == "mine"
    pool.give_up()


def test_the_first_result_is_that_of_the_first_work():
    pool = Pool(2)
    futures = [pool.submit(lambda n: waited(0.1 if n == 0 else 0) and n, n) for n in range(4)]
    assert pool.first_of(futures) == 0
    assert pool.first_of(futures[3:]) == 3
    pool.give_up()


def test_a_failure_behind_the_first_work_is_raised_at_once():
    def fail():
        raise ValueError("no")

    pool = Pool(2)
    started = time.monotonic()
    with pytest.raises(ValueError, match="no"):
        pool.first_of([pool.submit(waited, 60), pool.submit(fail)])
    assert time.monotonic() - started < PROMPT
    pool.give_up()


def test_giving_up_ends_waits_begins_nothing_and_leaves_no_thread():
    pool = Pool(1)
    waiting, behind = pool.submit(waited, 60), pool.submit(list)
    until(waiting.running)
    pool.give_up()
    assert waiting.result(PROMPT) is False
    until(lambda: not readers())
    assert not behind.done()


def test_only_a_wait_for_a_server_is_left_behind():
    """A process that ended within Arrow would be aborted."""
    answered, reached, done = threading.Event(), threading.Event(), []

    def asks():
        with abandonable():
            answered.wait(20)
        done.append("read")

    def computes():
        reached.set()
        time.sleep(0.2)
        done.append("computed")

    pool = Pool(2)
    asking, computing = pool.submit(asks), pool.submit(computes)
    reached.wait(5)
    pool.give_up()
    assert done == ["computed"]
    assert computing.result(0) is None
    answered.set()
    with pytest.raises(GivenUp):
        asking.result(5)
    assert done == ["computed"], "what is given up does not go on when the answer comes"


def test_without_a_pool_a_wait_is_a_wait():
    started = time.monotonic()
    assert waited(0.05)
    assert time.monotonic() - started >= 0.05


# --- reading a table -------------------------------------------------------------------------------------------------


def test_a_window_that_fails_does_not_wait_for_one_that_was_told_to(thousand, cave, new_client):
    cave.faults.limited("query$", retry_after=60, skip=2, times=1)
    cave.faults.login("query$", skip=3, times=1)
    started = time.monotonic()
    with pytest.raises(AuthError):
        list(new_client(version=1).materialize.id_windows(TABLE, window=100))
    assert time.monotonic() - started < PROMPT
    asked = len(queries(cave))
    until(lambda: not readers())
    assert len(queries(cave)) <= asked + 2, "at most what the two threads had begun"


def test_leaving_the_loop_ends_waits(thousand, cave, new_client):
    cave.faults.limited("query$", retry_after=60, skip=2, times=None)
    windows = new_client(version=1).materialize.id_windows(TABLE, window=100)
    next(windows)
    until(lambda: len(queries(cave)) >= 4)
    windows.close()
    until(lambda: not readers())


def test_a_process_ends_promptly_after_a_failed_window(program, cave):
    cave.faults.login("query$", skip=3, times=1)
    cave.faults.limited("query$", retry_after=60, skip=4, times=None)
    said, _ = program.communicate(timeout=20)
    assert said.split() == ["begin", "AuthError"]
    assert program.returncode == 0


@pytest.mark.parametrize("fault", ["wait", "silence"])
def test_a_process_ends_promptly_when_it_is_interrupted(program, cave, fault):
    if fault == "wait":
        cave.faults.limited("query$", retry_after=60, times=None)
    else:
        cave.faults.stall("query$", seconds=60, times=None)
    until(lambda: len(queries(cave)) >= 2)
    started = time.monotonic()
    os.kill(program.pid, signal.SIGINT)
    program.wait(timeout=20)
    assert time.monotonic() - started < PROMPT
    assert program.returncode != 0
