"""Labels of queries: `:Neuron` becomes the label of one dataset, as neuPrint's own server does it.

Clients write `:Neuron` whatever the dataset.  Nodes carry both that label and one of their dataset, so that several
datasets can live in one database; a query for one of them is rewritten before it runs.
"""

from __future__ import annotations

import re
from typing import Final

LABELS: Final = ("Neuron", "Segment", "Meta", "SynapseSet", "Synapse", "Cell", "ElementSet", "Element")

_NAMES: Final = "|".join(LABELS)
_TOKEN: Final = re.compile(
    rf"""
      (?P<text>      '(?:[^'\\]++|\\.)*+'? | "(?:[^"\\]++|\\.)*+"? )
    | (?P<comment>   //[^\n]* | /\*.*?(?:\*/|\Z) )
    | (?P<label>     :(?P<blank>\s*+)(?: `(?P<ticked>{_NAMES})` | (?P<bare>{_NAMES})(?!\w) ) )
    | (?P<ticks>     `(?:[^`]++|``)*+`? )
    | (?P<open>      [(\[{{] )
    | (?P<close>     [)\]}}] )
    """,
    re.VERBOSE | re.DOTALL,
)
"""Everything of a query in which a colon may mean something, or must not.  Linear in the length of the query."""

_NESTED_QUERY: Final = re.compile(r"apoc\s*\.\s*(?:cypher|periodic)\b", re.IGNORECASE)


def quoted(name: str) -> str:
    """A name in back-ticks, as Cypher wants any name that is not a plain word."""
    return "`" + name.replace("`", "``") + "`"


def dataset_label(dataset: str, label: str) -> str:
    """A label of one dataset, quoted: (hemibrain:v1.2, Neuron) -> `hemibrain_Neuron`."""
    return quoted(f"{dataset.partition(':')[0]}_{label}")


def rewrite(cypher: str, dataset: str) -> str:
    """A query whose general labels are those of `dataset` (its tag, after ':', does not matter).

        (hemibrain:v1.2)   MATCH (n:Neuron)-[:Contains]->(:`Synapse`)-[:SynapsesTo]->()
        becomes            MATCH (n:`hemibrain_Neuron`)-[:Contains]->(:`hemibrain_Synapse`)-[:SynapsesTo]->()

    Left alone: longer names (`:SynapsesTo`), comments, and what stands in quotes, unless the query hands text to APOC
    to be run as a query.  A blank after the colon is allowed within round brackets; elsewhere `{key: Neuron}` is a
    variable in a map.
    """
    return _rewritten(cypher, dataset, nested=_NESTED_QUERY.search(cypher) is not None)


def _rewritten(cypher: str, dataset: str, *, nested: bool) -> str:
    brackets: list[str] = []

    def replaced(match: re.Match[str]) -> str:
        whole = match[0]
        if match["open"]:
            brackets.append(whole)
        elif match["close"] and brackets:
            brackets.pop()
        elif match["label"] and (not match["blank"] or brackets[-1:] == ["("]):
            return f":{match['blank']}{dataset_label(dataset, match['ticked'] or match['bare'])}"
        elif match["text"] and nested:
            closed = len(whole) > 1 and whole[-1] == whole[0]
            inner = whole[1:-1] if closed else whole[1:]
            return whole[0] + _rewritten(inner, dataset, nested=False) + (whole[0] if closed else "")
        return whole

    return _TOKEN.sub(replaced, cypher)
