"""A click on a body leads to that body in neuroglancer, digit for digit."""

import json
import logging
from urllib.parse import unquote

import pytest

from flyem_snapshot.connectome.report_tables import Links
from flyem_snapshot.plots.neuroglancer import body_links
from tests.plots.made_up import LINKS, STATE

BODY = 2**63 - 25


def shown_state(address, host):
    assert address.startswith(f"{host}/#!")
    return json.loads(unquote(address.removeprefix(f"{host}/#!")))


def test_the_selected_segmentation_shows_only_the_body():
    state = shown_state(body_links(LINKS).address(BODY), LINKS.host)

    assert state["layers"][2] == {
        "name": "neurons",
        "type": "segmentation",
        "segments": ["9223372036854775783"],
        "segmentQuery": "9223372036854775783",
    }
    del state["layers"][2]
    assert state == {**STATE, "layers": STATE["layers"][:2]}


def test_the_template_is_not_changed():
    before = json.dumps(STATE)
    body_links(LINKS)

    assert json.dumps(STATE) == before


def test_without_a_selected_segmentation_the_first_one_is_taken():
    links = body_links(Links({**STATE, "selectedLayer": {"layer": "grey"}}, "https://ng.example/"))

    state = shown_state(links.address(7), "https://ng.example")
    assert [layer.get("segments") for layer in state["layers"]] == [None, ["7"], ["5", "6"]]


def test_layers_may_be_named_as_in_old_states():
    layers = {"grey": {"type": "image"}, "neurons": {"type": "segmentation"}}
    links = body_links(Links({"layers": layers}, "https://ng.example"))

    state = shown_state(links.address(7), "https://ng.example")
    assert state["layers"]["neurons"] == {"type": "segmentation", "segments": ["7"], "segmentQuery": "7"}


def test_words_in_the_state_or_the_host_are_not_taken_for_the_body():
    state = {**STATE, "title": "BODY BODYY"}
    links = body_links(Links(state, "https://BODYYY.example"))

    shown = shown_state(links.address(7), "https://BODYYY.example")
    assert shown["title"] == "BODY BODYY"
    assert shown["layers"][2]["segments"] == ["7"]


@pytest.mark.parametrize("state", [{}, {"layers": []}, {"layers": [{"type": "image"}, "odd"]}, {"layers": 3}])
def test_a_state_without_a_segmentation_gives_no_links_and_a_warning(state, caplog):
    with caplog.at_level(logging.WARNING):
        assert body_links(Links(state, "https://ng.example")) is None

    assert caplog.messages == ["no links in the plots: the neuroglancer state has no segmentation layer"]


def test_no_state_means_no_links_without_a_word(caplog):
    assert body_links(None) is None
    assert caplog.messages == []
