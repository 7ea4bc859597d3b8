"""Body-to-body weights and per-body counts, as SQL over the synapse views.

A connection is one row of the partner table, so a T-bar with three PSDs on one body counts three times.
"""

from __future__ import annotations

from flyem_snapshot.engine.sql import identifier, literal

COMPARTMENT_WEIGHTS = {
    "weightAxonDendrite": ("axon", "dendrite"),
    "weightAxonAxon": ("axon", "axon"),
    "weightDendriteDendrite": ("dendrite", "dendrite"),
    "weightDendriteAxon": ("dendrite", "axon"),
}
"""Which (T-bar, PSD) compartments each weight counts; other combinations are only in the total."""

COMPARTMENT_INPUTS = {"axonIn": "axon", "dendriteIn": "dendrite"}
COMPARTMENT_OUTPUTS = {"axonOut": "axon", "dendriteOut": "dendrite"}


def connection_weights(partners: str, *, compartments: bool) -> str:
    """One row for each connected pair of bodies, autapses included.

    body_pre, body_post BIGINT; weight INTEGER; with compartments the four weights of `COMPARTMENT_WEIGHTS`, INTEGER
    (a narrow row halves the cost of sorting it; no pair of bodies has 2^31 connections, and a cast would fail loudly).

    `partners` is a table expression.  No order.
    """
    split = COMPARTMENT_WEIGHTS.items() if compartments else ()
    counts = "".join(
        _counted(f"compartment_pre = {literal(pre)} AND compartment_post = {literal(post)}", name, "INTEGER")
        for name, (pre, post) in split
    )
    columns = f"body_pre, body_post, CAST(count(*) AS INTEGER) AS weight{counts}"
    return f"SELECT {columns} FROM {partners} GROUP BY body_pre, body_post"


def body_counts(points: str, partners: str, *, compartment: str | None) -> str:
    """One row for each body (except body 0) with a synapse point.

    body BIGINT; pre, post INTEGER: its T-bars and PSDs; downstream BIGINT: partner rows with the body as pre;
    synweight BIGINT: downstream + post; with a compartment column also axonIn, dendriteIn (PSDs in that
    compartment) and axonOut, dendriteOut (partner rows whose T-bar is in it), BIGINT.  No order.
    """
    ins, outs = (COMPARTMENT_INPUTS, COMPARTMENT_OUTPUTS) if compartment else ({}, {})
    column = identifier(compartment or "")
    in_counts = "".join(_counted(f"kind = 'PostSyn' AND {column} = {literal(v)}", n, "BIGINT") for n, v in ins.items())
    out_counts = "".join(_counted(f"compartment_pre = {literal(v)}", n, "BIGINT") for n, v in outs.items())
    names = "".join(f", {identifier(n)}" for n in ins)
    names += "".join(f", coalesce({identifier(n)}, 0) AS {identifier(n)}" for n in outs)
    return f"""
        WITH
            sites AS (
                SELECT
                    body,
                    CAST(count(*) FILTER (WHERE kind = 'PreSyn') AS INTEGER) AS pre,
                    CAST(count(*) FILTER (WHERE kind = 'PostSyn') AS INTEGER) AS post{in_counts}
                FROM {points} WHERE body <> 0 GROUP BY body
            ),
            targets AS (SELECT body_pre AS body, count(*) AS downstream{out_counts} FROM {partners} GROUP BY body_pre)
        SELECT
            sites.body, pre, post,
            coalesce(downstream, 0) AS downstream,
            coalesce(downstream, 0) + post AS synweight{names}
        FROM sites LEFT JOIN targets ON sites.body = targets.body
    """


def _counted(condition: str, name: str, kind: str) -> str:
    """A further column of an aggregation: how many rows meet a condition."""
    return f", CAST(count(*) FILTER (WHERE {condition}) AS {kind}) AS {identifier(name)}"


def top_rois(partners: str, rois: str) -> str:
    """The ROI in which each body has most outgoing connections, and most incoming ones; ties: first name.

    body BIGINT; top_output_roi VARCHAR, top_output_roi_weight BIGINT, top_input_roi VARCHAR,
    top_input_roi_weight BIGINT (null on the side where the body has no connection).

    A connection's ROI is that of its PSD.  `rois` is a table expression with columns roi_combo and roi.
    """
    side = """
        SELECT body, roi AS {kind}_roi, weight AS {kind}_roi_weight
        FROM (
            SELECT
                body_{side} AS body, roi, sum(n) AS weight,
                row_number() OVER (PARTITION BY body_{side} ORDER BY sum(n) DESC, roi) AS place
            FROM counted GROUP BY body_{side}, roi
        )
        WHERE place = 1
    """
    return f"""
        WITH
            counted AS (
                SELECT body_pre, body_post, roi, count(*) AS n
                FROM {partners} AS p JOIN {rois} AS r ON p.roi_combo = r.roi_combo
                GROUP BY body_pre, body_post, roi
            ),
            outputs AS ({side.format(kind="top_output", side="pre")}),
            inputs AS ({side.format(kind="top_input", side="post")})
        SELECT
            coalesce(outputs.body, inputs.body) AS body,
            top_output_roi, CAST(top_output_roi_weight AS BIGINT) AS top_output_roi_weight,
            top_input_roi, CAST(top_input_roi_weight AS BIGINT) AS top_input_roi_weight
        FROM outputs FULL JOIN inputs ON outputs.body = inputs.body
    """
