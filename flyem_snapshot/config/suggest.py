"""Did you mean ...?"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from difflib import get_close_matches

from flyem_snapshot.config.schema import resolved
from flyem_snapshot.config.words import Node, branches, type_of


def closest(word: str, candidates: Iterable[str], cutoff: float = 0.6) -> str:
    """The candidate most like a word, empty if none is; case, `_` and `-` do not matter."""
    plain = {_plain(candidate): candidate for candidate in candidates}
    matches = get_close_matches(_plain(word), list(plain), n=1, cutoff=cutoff)
    return plain[matches[0]] if matches else ""


def _plain(word: str) -> str:
    return word.lower().replace("_", "-").strip()


def setting_hint(key: str, here: Iterable[str], root: Node) -> str:
    """A hint for an unknown key: a similar key here, the same key elsewhere, or else all keys that are known here."""
    here = list(here)
    if same := closest(key, here, cutoff=1.0):
        return f"did you mean '{same}'?"
    similar = closest(key, here)
    places = [path for path in addresses(root) if path.rpartition(".")[2] == _plain(key)]
    if similar or places:
        meant = [f"'{similar}'", *places[:3]] if similar else places[:3]
        return f"did you mean {' or '.join(meant)}?"
    names = {path.rpartition(".")[2]: path for path in addresses(root)}
    if elsewhere := closest(key, names, cutoff=0.85):
        return f"did you mean {names[elsewhere]}?"
    return f"known here: {', '.join(here)}" if here else ""


def addresses(root: Node) -> Iterator[str]:
    """The dotted addresses of all settings and sections in a schema; `<name>` stands for a key that users choose."""
    yield from _addresses(root, root, "")


def _addresses(node: Node, root: Node, prefix: str) -> Iterator[str]:
    for key, entry in node.get("properties", {}).items():
        yield f"{prefix}{key}"
        yield from _within(entry, root, f"{prefix}{key}.")
    if isinstance(node.get("additionalProperties"), dict):
        yield from _within(node["additionalProperties"], root, f"{prefix}<name>.")


def _within(node: Node, root: Node, prefix: str) -> Iterator[str]:
    for branch in branches(node, root):
        if type_of(branch) == "object":
            yield from _addresses(branch, root, prefix)
        elif type_of(branch) == "array":
            yield from _addresses(resolved(branch["items"], root), root, f"{prefix}<number>.")
