"""Plain values as YAML text."""

from __future__ import annotations

from io import StringIO
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.nodes import ScalarNode
from ruamel.yaml.representer import RoundTripRepresenter

MAX_WIDTH = 4096  # never break a long path or list in a place that the reader did not choose


class _Representer(RoundTripRepresenter):
    """Writes `null`, where ruamel writes nothing at all."""

    def represent_null(self, _: Any) -> ScalarNode:
        """The scalar for None."""
        return self.represent_scalar("tag:yaml.org,2002:null", "null")


_Representer.add_representer(type(None), _Representer.represent_null)


def yaml_text(value: Any, *, flow: bool = False) -> str:
    """A value as YAML, in the order of its keys; `flow` writes it on one line, without a line break at the end."""
    yaml = YAML()
    yaml.Representer = _Representer
    yaml.width = MAX_WIDTH
    yaml.default_flow_style = flow
    yaml.indent(mapping=2, sequence=4, offset=2)
    buffer = StringIO()
    yaml.dump(value, buffer)
    return buffer.getvalue().removesuffix("...\n").removesuffix("\n") if flow else buffer.getvalue()
