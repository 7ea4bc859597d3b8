"""The schema service and the one that keeps Neuroglancer states (2.8, 2.9)."""

from __future__ import annotations

import json

from tests.cave_conformance.serving import good


def test_schema_types_are_listed_and_defined(services):
    base = f"{services.url}/schema/api/v2"
    names = services.get(f"{base}/type", headers={})
    assert {"synapse", "nucleus_detection", "cell_type_local", "microns_func_coreg"} <= set(names)
    definition = services.get(f"{base}/type/microns_func_coreg", headers={})
    assert definition["$schema"].startswith("http://json-schema.org/draft-07/schema")
    assert "FunctionalCoregistration" in definition["definitions"]
    some = good(services.ask("POST", f"{base}/types", params={"schema_names": "synapse,microns_func_coreg"}))
    assert some.json()["microns_func_coreg"] == definition
    assert services.get(f"{base}/types_all")["microns_func_coreg"] == definition


def test_an_unknown_schema_is_a_404(services):
    assert services.ask("GET", f"{services.url}/schema/api/v2/type/there_is_no_such_schema").status_code == 404


def test_a_state_comes_back_as_it_was_sent(services):
    base = f"{services.url}/nglstate/api/v1"
    state = {"layers": [{"name": "img", "source": "precomputed://x"}], "id": 864691134988869442}
    address = good(services.ask("POST", f"{base}/post", data=json.dumps(state))).json()
    number = address.rpartition("/")[2]
    assert address.endswith(f"/nglstate/api/v1/{number}")
    assert len(number) == 16
    assert services.get(f"{base}/{number}") == state
