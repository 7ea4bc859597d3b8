"""A DVID server in memory, faithful where a snapshot touches it: see `DvidDouble` and docs in each module.

    server      transport, request log, hooks, life cycle      routing     which call answers, who may ask
    graph       repositories, versions, inherited data         faults      what may go wrong on the way
    labelmap    edits and their log    labels  voxels and map  labelmap_calls, labelmap_voxels  its calls over HTTP
    annotation, neuronjson, keyvalue, roi                      the other data types
    blocks, framing                                            formats

It shares no code with the package: what both know, they know from the protocol.
"""

from tests.dvid_double.faults import Fault, Faults
from tests.dvid_double.graph import Clock, DagNode, Repo
from tests.dvid_double.replies import Refusal, Reply, Request
from tests.dvid_double.server import Abilities, DvidDouble

__all__ = ["Abilities", "Clock", "DagNode", "DvidDouble", "Fault", "Faults", "Refusal", "Reply", "Repo", "Request"]
