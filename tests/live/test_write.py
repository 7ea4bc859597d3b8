"""Batches that are refused, halved and given up; with a real database in tests/bridge."""

from __future__ import annotations

import re

import pytest

from flyem_snapshot.errors import SnapshotError
from flyem_snapshot.live.compare import Change
from flyem_snapshot.live.server import NeuprintError
from flyem_snapshot.live.write import Writer, batches, update_statement
from tests.live.answering import answering, ok


def changes(number):
    return [Change(2**53 + body, {"type": "x"}) for body in range(number)]


def test_a_query_changes_all_bodies_of_a_batch_at_once():
    two = [Change(11, {"type": "A", "side": None}), Change(2**53 + 1, {"type": ":Meta"})]
    assert update_statement("cns:v1.0", two) == (
        "UNWIND [\n"
        "  {body: 11, new: {`type`: 'A', `side`: null}},\n"
        "  {body: 9007199254740993, new: {`type`: (':' + 'Meta')}}\n"
        "] AS change\n"
        "MATCH (n:`cns_Segment` {bodyId: change.body})\n"
        "SET n += change.new\n"
        "RETURN count(n)"
    )


def test_batches_have_the_wanted_size_and_lose_nobody():
    assert [[change.body - 2**53 for change in batch] for batch in batches(changes(5), 2)] == [[0, 1], [2, 3], [4]]


class Server:
    """Answers like a neuPrint server whose queries get `refuse(bodies)`: a status, or None if they are done."""

    def __init__(self, refuse):
        self.refuse, self.sizes = refuse, []

    def __call__(self, path, body):
        if path.endswith("/transaction"):
            return ok({"transaction_id": 1})
        if not path.endswith("/cypher"):
            return ok({"msg": "done"})
        bodies = [int(text) for text in re.findall(r"body: (\d+)", body["cypher"])]
        self.sizes.append(len(bodies))
        status = self.refuse(bodies)
        return (status, {}, b'{"error": "no"}') if status else ok({"columns": ["n"], "data": [[len(bodies)]]})


def written(refuse, number, size):
    server, steps = Server(refuse), []
    with answering(server) as (client, _):
        try:
            Writer(client, "d", number, steps.append).write(changes(number), size)
            error = None
        except SnapshotError as failed:
            error = failed
    return server.sizes, sum(steps), error


def test_a_batch_that_is_refused_is_halved_down_to_the_body_at_fault():
    bad = 2**53 + 5
    sizes, done, error = written(lambda bodies: 400 if bad in bodies else None, 10, 8)
    assert sizes == [8, 4, 4, 2, 1, 1, 2, 2]
    assert done == 9
    assert "refused 1 body; 9 were written" in str(error)
    assert f"body {bad}: " in str(error)


def test_where_everything_is_refused_it_does_not_go_on_for_ever():
    sizes, done, error = written(lambda bodies: 400, 1000, 16)
    assert done == 0
    assert "refused 10 bodies and perhaps more; 0 were written" in str(error)
    assert len(sizes) < 30


def test_a_server_that_is_too_busy_for_a_batch_may_do_halves_but_one_that_is_away_is_left():
    assert written(lambda bodies: 504 if len(bodies) > 4 else None, 8, 8)[1:] == (8, None)
    sizes, done, error = written(lambda bodies: 503, 1000, 16)
    assert (sizes, done) == ([16, 8, 4, 2], 0)
    assert isinstance(error, NeuprintError)
    assert error.__notes__ == ["0 of 1,000 bodies are written; run the same command again to go on"]


@pytest.mark.parametrize("status", [401, 403])
def test_whoever_may_not_write_does_not_try_again(status):
    sizes, done, error = written(lambda bodies: status, 1000, 16)
    assert (sizes, done, error.forbidden) == ([16], 0, True)


def test_a_body_that_is_gone_meanwhile_is_named_and_its_transaction_undone():
    class Forgetful(Server):
        def __call__(self, path, body):
            answer = super().__call__(path, body)
            return ok({"columns": ["n"], "data": [[0]]}) if path.endswith("/cypher") else answer

    with (
        answering(Forgetful(lambda bodies: None)) as (client, asked),
        pytest.raises(SnapshotError, match="0 of 1 nodes were found, so nothing was changed"),
    ):
        Writer(client, "d", 1, lambda number: None).write(changes(1), 1)
    assert asked[-1][0].endswith("/kill")
