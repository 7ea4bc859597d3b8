"""Laws of predicted neurotransmitters: what Segments and Meta say of them follows from the Synapses."""

from __future__ import annotations

import re
from typing import Final

from flyem_snapshot.connectome import neuprint_files as files
from flyem_snapshot.connectome.properties import property_name
from flyem_snapshot.engine.sql import columns, identifier, literal
from flyem_snapshot.errors import DataError
from flyem_snapshot.tables.neurotransmitters import UNCLEAR, score_column
from flyem_snapshot.verify.checks import Check, Finding, law
from flyem_snapshot.verify.snapshot import Snapshot
from flyem_snapshot.verify.tables import mean_of

_SCORE: Final = re.compile(r"nt[A-Z0-9].*Prob:.*")
_OF_PREDICTOR: Final = ("split", "pred1")
"""Columns of predictions that say how they were made: they are no property."""
_TOLERANCE: Final = 0.001
"""A predictor's numbers may leave the range from 0 to 1 by so much."""
_MEAN_TOLERANCE: Final = 1e-6


def _no_predictions(snapshot: Snapshot) -> str:
    return "" if snapshot.settings.has_neurotransmitters else "there are no predicted neurotransmitters"


def _no_scores(snapshot: Snapshot) -> str:
    """Why there is nothing to say of the probabilities of T-bars."""
    return _no_predictions(snapshot) or ("" if snapshot.nt_scores else "no T-bar has a prediction")


def _recountable(snapshot: Snapshot) -> str:
    """Why Segments need not agree with the Synapses: what is predicted of a body follows from all of its T-bars."""
    for what in ("info-totals", "connectivity"):
        if snapshot.settings.restriction(what):
            return f"restrict-{what}-to-roiset is set: predictions of bodies are of all their T-bars"
    return _no_scores(snapshot)


def _has_means(snapshot: Snapshot) -> str:
    wanted = snapshot.settings.has_mean_scores
    return _recountable(snapshot) or ("" if wanted else "export-mean-tbar-scores is false")


def _properties(snapshot: Snapshot) -> Finding:
    """The headers of the Synapse files against what Meta lists."""
    said = snapshot.nt_scores
    wrong = [f"Meta.ntSynapseProperties: {name} is {kind}, not float" for name, kind in said.items() if kind != "float"]
    paths = files.csv_files_in(snapshot.neuprint / files.SYNAPSES_FOLDER)
    if not paths:
        raise DataError("holds no CSV file", file=snapshot.neuprint / files.SYNAPSES_FOLDER)
    wanted = [f"{name}:{kind}" for name, kind in said.items()]
    for path in paths:
        header = files.csv_header(path)
        found = [cell for cell in header if _SCORE.fullmatch(cell)]
        if found != wanted:
            wrong.append(f"{path.name} has {', '.join(found) or 'none'}, but Meta lists {', '.join(wanted) or 'none'}")
        wrong += [f"{path.name} has {cell}" for cell in header if files.property_name(cell) in _OF_PREDICTOR]
    return Finding.of(len(paths), wrong)


def _any(snapshot: Snapshot) -> str:
    """SQL: whether a Synapse has any probability."""
    return f"coalesce({columns(snapshot.nt_scores)}) IS NOT NULL"


def _values(snapshot: Snapshot) -> str:
    outside = " OR ".join(
        f"{name} NOT BETWEEN {literal(-_TOLERANCE)} AND {literal(1 + _TOLERANCE)}"
        for name in map(identifier, snapshot.nt_scores)
    )
    shown = ", ' ', ".join(map(identifier, snapshot.nt_scores))
    return f"""
        SELECT concat('synapse ', id, ' of type ', type, ': ', {shown}) FROM synapses
        WHERE ({_any(snapshot)} AND type <> 'pre') OR {outside}
    """


def _counts(snapshot: Snapshot) -> str:
    return f"""
        SELECT concat('Segment ', coalesce(id, body), ' has totalNtPredictions ', total_nt, ', but ',
            coalesce(n, 0), ' T-bars with a prediction')
        FROM (SELECT id, total_nt FROM segments) FULL JOIN (
            SELECT body, count(*) AS n FROM synapses WHERE {_any(snapshot)} GROUP BY body
        ) ON body = id
        WHERE coalesce(total_nt, 0) <> coalesce(n, 0)
    """


def _means(snapshot: Snapshot) -> str:
    statements = []
    for name in snapshot.nt_scores:
        said, score = identifier(mean_of(name)), identifier(name)
        statements.append(f"""
            SELECT concat('Segment ', id, ' has {name} ', {said}, ', but its T-bars a mean of ', mean)
            FROM segments LEFT JOIN (SELECT body AS body_, avg({score}) AS mean FROM synapses GROUP BY body)
                ON body_ = id
            WHERE ({said} IS NULL) <> (mean IS NULL) OR abs({said} - mean) > {literal(_MEAN_TOLERANCE)}
        """)
    return " UNION ALL ".join(statements)


def _predicted(snapshot: Snapshot) -> str:
    """A predicted transmitter is the most probable one of as many T-bars as any other is; the first of equals."""
    snapshot.use("segments")
    scores = list(map(identifier, snapshot.nt_scores))
    best = f"greatest({', '.join(scores)})"
    cases = " ".join(f"WHEN {identifier(name)} = {best} THEN {literal(name)}" for name in snapshot.nt_scores)
    names = [name for (name,) in snapshot.engine.rows("SELECT DISTINCT predicted_nt FROM segments") if name]
    meant = {name: property_name(score_column(name).lower()) for name in names if name != UNCLEAR}
    scored = " ".join(f"WHEN {literal(name)} THEN {literal(score)}" for name, score in meant.items())
    score = f"CASE predicted_nt {scored} END" if scored else "NULL"
    return f"""
        WITH counted AS (
            SELECT body, score, count(*) AS n
            FROM (SELECT body, CASE {cases} END AS score FROM synapses WHERE {_any(snapshot)}) GROUP BY ALL
        ), most AS (SELECT body, max(n) AS n FROM counted GROUP BY body)
        SELECT concat('Segment ', id, ' has predictedNt ', predicted_nt, ', which ', coalesce(own.n, 0),
            ' T-bars have, but another one ', coalesce(most.n, 0))
        FROM (SELECT id, predicted_nt, {score} AS said FROM segments WHERE predicted_nt <> {literal(UNCLEAR)})
        LEFT JOIN most ON most.body = id LEFT JOIN counted AS own ON own.body = id AND own.score = said
        WHERE own.n IS DISTINCT FROM most.n OR own.n IS NULL
    """


CHECKS = (
    Check(
        "neurotransmitters/properties",
        "Meta.ntSynapseProperties are the probabilities in each Synapse file, which has no other column of predictions",
        _properties,
        _no_predictions,
    ),
    law(
        "neurotransmitters/values",
        "only T-bars have probabilities of transmitters, each from 0 to 1",
        ["synapses"],
        _values,
        _no_scores,
    ),
    law(
        "neurotransmitters/counts",
        "totalNtPredictions of a Segment is the number of its T-bars with a prediction",
        ["segments", "synapses"],
        _counts,
        _recountable,
    ),
    law(
        "neurotransmitters/means",
        "the probabilities of a Segment are means over its T-bars",
        ["segments", "synapses"],
        _means,
        _has_means,
    ),
    law(
        "neurotransmitters/predicted",
        "predictedNt is unclear, or what is most probable for at least as many T-bars as anything else",
        ["segments", "synapses"],
        _predicted,
        _recountable,
    ),
)
