"""`parse-neuprint-log`: the log of a neuPrint server as a table of requests, or of users."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from flyem_snapshot import __version__
from flyem_snapshot.cli.edge import complain, guarded
from flyem_snapshot.errors import SnapshotError

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

    from flyem_snapshot.live.log_records import Faults, LogRecord
    from flyem_snapshot.live.log_tables import Distinct

_EPILOG = """\
examples:
  parse-neuprint-log log.json -t 1000000                what happened lately
  parse-neuprint-log log.json -c 20                     the 20 slowest requests
  parse-neuprint-log log.json -u                        who uses the server, and how much
  parse-neuprint-log log.json.gz requests.feather -d    everything, as a table for Python

Columns of requests: time, status, duration_ms, bytes_in, bytes_out, user, category, dataset, uri, query.
Columns of users: user, requests, errors (status 400 or more), seconds, slowest_ms, bytes_out, first, last.

Users are e-mail addresses.  Files that hold them can be read by you alone; -U and --hide-users write none.
"""


def parse_arguments(argv: Sequence[str]) -> argparse.Namespace:
    """The command line; ends the process with usage on stderr and exit 2 if it makes no sense."""
    parser = argparse.ArgumentParser(
        prog="parse-neuprint-log",
        description="Turn the log of a neuPrint server (neuPrintHTTP) into a table of its requests, or of its users.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("log", type=Path, metavar="LOG", help="the log; - is standard input, .gz is inflated")
    parser.add_argument("out", type=Path, metavar="OUT", nargs="?", help="the file to write (default: the terminal)")
    parser.add_argument(
        "-t", "--tail", type=_bytes, default=0, metavar="BYTES", help="read the last BYTES only (default: everything)"
    )
    parser.add_argument(
        "-f",
        "--format",
        choices=("csv", "feather", "pretty"),
        help="of the table (default: what the name of OUT says, else pretty)",
    )
    users = parser.add_mutually_exclusive_group()
    users.add_argument("-u", "--by-user", action="store_true", help="one row for each user, the busiest first")
    users.add_argument(
        "-U", "--by-pseudonym", action="store_true", help="the same with user-1, user-2, ... for their addresses"
    )
    parser.add_argument(
        "--hide-users", action="store_true", help="pseudonyms for users, and no e-mail address in queries"
    )
    parser.add_argument("-d", "--drop-duplicates", action="store_true", help="leave out records that came twice")
    parser.add_argument(
        "-z", "--zone", default="UTC", metavar="TZ", help="time zone of times, such as America/New_York (default: UTC)"
    )
    parser.add_argument(
        "-c", "--count", type=_count, default=0, metavar="N", help="only the N slowest requests, or N busiest users"
    )
    parser.add_argument("--version", action="version", version=f"flyem-snapshot {__version__}")
    arguments = parser.parse_args(argv)
    arguments.hide_users |= arguments.by_pseudonym
    arguments.by_user |= arguments.by_pseudonym
    suffix = arguments.out.suffix[1:] if arguments.out is not None else ""
    arguments.format = arguments.format or (suffix if suffix in ("csv", "feather") else "pretty")
    if arguments.format == "feather" and arguments.out is None:
        parser.error("feather is no text: name a file to write")
    return arguments


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    arguments = parse_arguments(sys.argv[1:] if argv is None else argv)
    return guarded(lambda: parse(arguments))


def parse(arguments: argparse.Namespace) -> None:
    """Read the log and write the table.  SnapshotError: it cannot be read, or no such time zone."""
    from flyem_snapshot.live import log_output, log_tables
    from flyem_snapshot.live.log_records import Faults, records
    from flyem_snapshot.live.log_source import log_lines

    zone = _zone(arguments.zone)
    out: Path | None = arguments.out
    if out is not None and out.exists() and arguments.log.exists() and out.samefile(arguments.log):
        raise SnapshotError(f"{out} is the log itself", hint="name another file to write")
    columns = log_tables.USER_COLUMNS if arguments.by_user else log_tables.REQUEST_COLUMNS
    rows_of = log_tables.user_rows if arguments.by_user else log_tables.request_rows
    faults, distinct = Faults(), log_tables.Distinct()
    with log_lines(arguments.log, arguments.tail) as source:
        found = _chosen(records(source.lines, faults, mid_record=source.mid_record), distinct, arguments)
        rows = rows_of(found, zone, arguments.count)
        if out is not None:
            private = not arguments.hide_users
            number = log_output.write_file(out, arguments.format, columns, rows, zone.key, private=private)
        else:
            write = log_output.write_csv if arguments.format == "csv" else log_output.write_pretty
            try:
                number = write(sys.stdout, columns, rows)
            except BrokenPipeError:  # a reader that has seen enough (`... | head`)
                return
    _report(number, faults, distinct, arguments)


def _chosen(records: Iterator[LogRecord], distinct: Distinct, arguments: argparse.Namespace) -> Iterator[LogRecord]:
    from flyem_snapshot.live.log_tables import Pseudonyms

    found = distinct.of(records) if arguments.drop_duplicates else records
    return map(Pseudonyms().hidden, found) if arguments.hide_users else found


def _report(number: int, faults: Faults, distinct: Distinct, arguments: argparse.Namespace) -> None:
    """Say on stderr what was written, and what was left out."""
    said = [f"{number:,} {'users' if arguments.by_user else 'requests'}"]
    if distinct.dropped:
        said.append(f"{distinct.dropped:,} duplicates left out")
    if faults.cut:
        said.append(
            f"{faults.cut:,} lines at the beginning belong to a request before the last {arguments.tail:,} bytes"
        )
    if faults.lines:
        lines = ", ".join(f"{line:,}" for line in faults.first)
        where = " of what was read" if arguments.tail else ""
        said.append(f"{faults.lines:,} lines are no records and were left out; the first are lines {lines}{where}")
    complain("; ".join(said))


def _zone(name: str) -> ZoneInfo:
    import zoneinfo

    try:
        return zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError) as error:
        from flyem_snapshot.config.suggest import closest

        near = closest(name, zoneinfo.available_timezones())
        hint = f"did you mean {near}?" if near else "names are those of the IANA database, such as Europe/Berlin"
        raise SnapshotError(f"there is no time zone '{name}'", hint=hint) from error


def _bytes(text: str) -> int:
    from flyem_snapshot.engine.limits import parse_size

    try:
        return parse_size(text.replace("_", ""))
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _count(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("a number from 1 on")
    return value


if __name__ == "__main__":
    sys.exit(main())
