"""Each kind of failure ends in its exit code and one message."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from flyem_snapshot.cli.edge import guarded, say
from flyem_snapshot.errors import ConfigError, DataError, Problem


@pytest.fixture(autouse=True)
def handlers():
    """Leave the signal handlers of the test process as they were."""
    old = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, old)


def failing(error):
    def action():
        raise error

    return action


def test_success_is_0(capsys):
    assert guarded(lambda: say("done"), resume="again") == 0
    assert capsys.readouterr() == ("done\n", "")


def test_a_config_error_is_2_and_its_problems_alone(capsys):
    problem = Problem(("outputs", "x"), "unknown setting", "did you mean 'y'?").at(Path("c.yaml"), 4, 3)

    assert guarded(failing(ConfigError([problem])), resume="again") == 2
    assert capsys.readouterr().err == (
        "flyem-snapshot: c.yaml:4:3: outputs.x: unknown setting\n  hint: did you mean 'y'?\n"
    )


def test_a_data_error_is_1_and_its_notes_follow(capsys):
    error = DataError("is bad", file="f.feather", rows=2)
    error.add_note("which stage")

    assert guarded(failing(error), resume="again") == 1
    assert capsys.readouterr().err == "flyem-snapshot: f.feather: is bad (2 rows)\n  note: which stage\n"


def test_an_interruption_is_130_and_says_how_to_resume(capsys):
    assert guarded(failing(KeyboardInterrupt()), resume="flyem-snapshot -c 'my config.yaml'") == 130
    assert capsys.readouterr().err == (
        "flyem-snapshot: interrupted; finished stages are kept, and this resumes:\n"
        "  flyem-snapshot -c 'my config.yaml'\n"
    )


def test_what_cannot_be_resumed_is_only_interrupted(capsys):
    assert guarded(failing(KeyboardInterrupt())) == 130
    assert capsys.readouterr().err == "flyem-snapshot: interrupted\n"


def test_sigterm_is_an_interruption(capsys):
    assert guarded(lambda: signal.raise_signal(signal.SIGTERM), resume="again") == 130


def test_anything_else_is_a_bug(capsys):
    with pytest.raises(SystemExit) as caught:
        guarded(failing(ZeroDivisionError("oops")), resume="again")

    assert caught.value.code == 70
    assert "ZeroDivisionError: oops" in capsys.readouterr().err
