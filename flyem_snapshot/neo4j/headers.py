"""Property names with brackets, which the importer of Neo4j 5.26 cannot read.

It takes whatever stands between the first `(` and the last `)` of a header cell for the name of an id space, and `{}`
for options: `ME(R):boolean` would silently become a property `ME`.  There is no way to escape them.  So it is given
other header rows, in which characters that no name uses stand in for the brackets (it skips the files' own rows), and
afterwards, before any server has seen the database, the names in its list of property names are put right, byte for
byte.
That list is a store of its own, small and simple; what was done is checked here, and once more by asking the server.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from flyem_snapshot.connectome.neuprint_files import csv_header, property_name
from flyem_snapshot.engine.outdir import replace_atomically
from flyem_snapshot.errors import DataError

BRACKETS: Final = "(){}"
NAMES_STORE: Final = "neostore.propertystore.db.index.keys"
_STAND_INS: Final = "~^|%$@!?*#=&;_+<>/"
_PAGE: Final = 8192
_RECORD: Final = 38
_RECORD_HEADER: Final = 8
_IN_USE, _CONTINUES = 0x10, 0x80
_ONLY_COMMUNITY: Final = "names with brackets can be imported by Neo4j 5.26 Community or by --neo4j-version 4.4"


@dataclass(frozen=True)
class Disguise:
    """Which character stands in for which bracket, and the names that have brackets."""

    stand_ins: Mapping[str, str]
    names: frozenset[str]

    def put_on(self, cell: str) -> str:
        """A header cell as the importer can read it: brackets in its name are replaced, those of its type stay."""
        name = property_name(cell)
        if name not in self.names:
            return cell
        return "".join(self.stand_ins.get(letter, letter) for letter in name) + cell[len(name) :]

    def take_off(self, text: bytes) -> bytes:
        """A name, or a part of one, as it was; no other name has the stand-ins."""
        originals = "".join(self.stand_ins).encode()
        return text.translate(bytes.maketrans("".join(self.stand_ins.values()).encode(), originals))


def disguise_for(files: Iterable[Path]) -> Disguise | None:
    """What the headers of these files need; None if no name has brackets.

    Raises DataError if a bracket is never closed, since the importer then does not know the row for a header.
    """
    names: dict[str, Path] = {}
    for file in files:
        names.update((property_name(cell), file) for cell in csv_header(file))
    special = {name for name in names if not name.startswith(":") and any(bracket in name for bracket in BRACKETS)}
    if not special:
        return None
    for name in sorted(special):
        if any(
            -1 < name.rfind(end) < name.find(begin) or (begin in name) != (end in name) for begin, end in ("()", "{}")
        ):
            raise DataError(
                "Neo4j 5.26 cannot import a name whose brackets are not closed",
                file=names[name],
                column=name,
                hint="rename the ROI or the property, or use --neo4j-version 4.4",
            )
    used = set("".join(names))
    free = [character for character in _STAND_INS if character not in used]
    if len(free) < len(BRACKETS):
        raise DataError(
            "the names of properties use so many unusual characters that none is left", file=names[min(special)]
        )
    return Disguise(dict(zip(BRACKETS, free, strict=False)), frozenset(special))


def write_header(path: Path, disguise: Disguise, target: Path) -> bool:
    """Write the header row of a CSV in its disguise; False, and nothing, if it needs none."""
    cells = csv_header(path)
    hidden = [disguise.put_on(cell) for cell in cells]
    if hidden == cells:
        return False
    with target.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerow(hidden)
    return True


def restore_names(database: Path, disguise: Disguise) -> frozenset[str]:
    """Put the brackets back into the list of property names; returns the names that were mended.

    Raises DataError if the store is not of the one form that this knows, or if the result is not what it must be.
    """
    store = database / NAMES_STORE
    if not store.is_file():
        raise DataError("the importer wrote no such file", file=store, hint=_ONLY_COMMUNITY)
    content = bytearray(store.read_bytes())
    before = _names(store, content)
    for offset, length in _records(store, content):
        data = slice(offset + _RECORD_HEADER, offset + _RECORD_HEADER + length)
        content[data] = disguise.take_off(bytes(content[data]))
    after = _names(store, content)
    mended = after - before
    hidden = {disguise.put_on(name) for name in mended}
    if not mended <= disguise.names or before - after != hidden:
        raise DataError("the names of properties are not those of the CSV files", file=store, examples=sorted(mended))
    replace_atomically(store, lambda path: path.write_bytes(content))
    return frozenset(mended)


def _records(store: Path, content: bytearray) -> Iterable[tuple[int, int]]:
    """Offset and bytes of text of every record in use.  The first record says only how long records are."""
    if len(content) % _PAGE or int.from_bytes(content[:4], "big") != _RECORD:
        raise DataError("is not in the format that Neo4j 5.26 Community writes", file=store, hint=_ONLY_COMMUNITY)
    for page in range(0, len(content), _PAGE):
        for offset in range(page, page + _PAGE - _RECORD + 1, _RECORD):
            if offset and content[offset] & _IN_USE:
                yield offset, min(int.from_bytes(content[offset + 1 : offset + 4], "big"), _RECORD - _RECORD_HEADER)


def _names(store: Path, content: bytearray) -> set[str]:
    """All names: a record holds 30 bytes of one and the number of the record that goes on."""
    names = set()
    for start, _ in _records(store, content):
        if content[start] & _CONTINUES:
            continue
        text, offset = b"", start
        while True:
            length = int.from_bytes(content[offset + 1 : offset + 4], "big")
            text += content[offset + _RECORD_HEADER : offset + _RECORD_HEADER + length]
            following = int.from_bytes(content[offset + 4 : offset + 8], "big")
            if following == 0xFFFFFFFF:
                break
            page, place = divmod(following, _PAGE // _RECORD)
            offset = page * _PAGE + place * _RECORD
        names.add(text.decode("utf-8"))
    return names
