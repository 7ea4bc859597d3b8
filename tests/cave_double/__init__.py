"""The services of a CAVE deployment in memory, faithful where a client or a snapshot touches them.

    server      `CaveDouble`: data, and who answers which request     serving, faults   transport, and what goes wrong
    accounts    tokens, permissions, the login service                info              the info service
    tables      live annotation tables with their history             annotation        AnnotationEngine over HTTP
    datastacks  volumes, datastacks, frozen versions                  materialize       MaterializationEngine over HTTP
    query       filters, limits, joins      arrow  rows on the wire   schemas           the schema service
    graph       supervoxels, roots, edits   graph_calls  over HTTP    states            Neuroglancer states
    synthetic   data of any size                                  sample            a thousand real synapses

It shares no code with the package: what both know, they know from the protocol.  The transport is that of the DVID
double.
"""

from tests.cave_double.accounts import Accounts
from tests.cave_double.clock import Clock
from tests.cave_double.datastacks import AlignedVolume, Datastack, Version, View
from tests.cave_double.graph import ChunkedGraph
from tests.cave_double.replies import Refusal, Reply, Request, json_reply
from tests.cave_double.server import CaveDouble
from tests.cave_double.tables import LiveTable

__all__ = [
    "Accounts",
    "AlignedVolume",
    "CaveDouble",
    "ChunkedGraph",
    "Clock",
    "Datastack",
    "LiveTable",
    "Refusal",
    "Reply",
    "Request",
    "Version",
    "View",
    "json_reply",
]
