"""Laws of the numbers in the neuPrint graph: weights and the counts of Segments follow from Synapses and SynapsesTo."""

from __future__ import annotations

from flyem_snapshot.connectome.neuprint_files import BODY_ELEMENTS, in_file_name
from flyem_snapshot.engine.sql import identifier, literal
from flyem_snapshot.verify.checks import Check, Finding, law
from flyem_snapshot.verify.snapshot import Snapshot
from flyem_snapshot.verify.tables import COMPARTMENT_WEIGHTS, COUNTS

RESTRICTED = "restrict-connectivity-to-roiset is set: Segments also count what lies outside of it"


def unrestricted(snapshot: Snapshot) -> str:
    """Why Segments need not agree with connections and synapses: those may be cut to a roi-set, Segments are not."""
    return RESTRICTED if snapshot.settings.restriction("connectivity") else ""


def at_least(snapshot: Snapshot, column: str = "confidence") -> str:
    """SQL: whether a confidence reaches the threshold of `weight`; compared as the 32-bit numbers that they are."""
    return f"({column} >= CAST({literal(snapshot.settings.threshold)} AS FLOAT) AND NOT isnan({column}))"


def _levels(snapshot: Snapshot) -> str:
    settings = snapshot.settings
    if settings.high_threshold >= settings.threshold:
        return ""
    return "postHPThreshold is below postHighAccuracyThreshold"


def _same_confidences(snapshot: Snapshot) -> str:
    if snapshot.own_confidences:
        return "the partner rows have confidences of their own, which are not in the Synapses"
    return ""


def _recounted(snapshot: Snapshot) -> str:
    high = f"(confidence >= CAST({literal(snapshot.settings.high_threshold)} AS FLOAT) AND NOT isnan(confidence))"
    # A PSD of high confidence counts for all three weights, also where the high threshold is the lower one.
    return f"""
        SELECT concat(pre, ' to ', post, ': weightHR, weight, weightHP ', c.weightHR, ', ', c.weight, ', ', c.weightHP,
            ', but by SynapsesTo ', l.weightHR, ', ', l.weight, ', ', l.weightHP)
        FROM connections AS c FULL JOIN (
            SELECT pre, post, count(*) AS weightHR, count(*) FILTER (WHERE {at_least(snapshot)} OR {high}) AS weight,
                count(*) FILTER (WHERE {high}) AS weightHP FROM located GROUP BY pre, post
        ) AS l USING (pre, post)
        WHERE c.weightHR IS DISTINCT FROM l.weightHR OR c.weight IS DISTINCT FROM l.weight
            OR c.weightHP IS DISTINCT FROM l.weightHP
    """


def _compartments(snapshot: Snapshot) -> str:
    snapshot.use("connections")
    columns = {row[0] for row in snapshot.engine.rows("SELECT column_name FROM (DESCRIBE connections)")}
    total = " + ".join(name for name in COMPARTMENT_WEIGHTS if name in columns) or "0"
    return f"SELECT concat(pre, ' to ', post, ': ', {total}, ' of ', weight) FROM connections WHERE {total} > weight"


def _no_compartments(snapshot: Snapshot) -> str:
    column = snapshot.settings.neuprint.get("compartment-column")
    return "" if column else "there is no compartment-column"


def _row_counts(snapshot: Snapshot) -> Finding:
    rows = snapshot.rows_of("synapses_to")
    snapshot.use("connections")
    snapshot.use("members")
    weights = snapshot.engine.scalar("SELECT coalesce(sum(weightHR), 0) FROM connections")
    psds = snapshot.engine.scalar("SELECT count(*) FROM members WHERE owner_side = 'post'")
    same = rows == weights == psds
    said = f"SynapsesTo has {rows:,} rows, weightHR sums to {weights:,}, post sets hold {psds:,} PSDs"
    return Finding.of(rows, [] if same else [said])


def _points(snapshot: Snapshot) -> str:
    counted = f" AND {at_least(snapshot)}" if snapshot.settings.consistent_totals else ""
    return f"""
        SELECT concat('Segment ', coalesce(id, body), ' has pre ', s.pre, ', post ', s.post, ', but Synapses ',
            coalesce(p.pre, 0), ', ', coalesce(p.post, 0))
        FROM (SELECT id, pre, post FROM segments) AS s FULL JOIN (
            SELECT body, count(*) FILTER (WHERE type = 'pre'{counted}) AS pre,
                count(*) FILTER (WHERE type = 'post'{counted}) AS post
            FROM synapses GROUP BY body
        ) AS p ON body = id
        WHERE s.pre IS DISTINCT FROM coalesce(p.pre, 0) OR s.post IS DISTINCT FROM coalesce(p.post, 0)
    """


def _linked(count: str, side: str, of: str) -> str:
    """SQL: Segments whose `count` is not `of` over their ConnectsTo rows."""
    return f"""
        SELECT concat('Segment ', id, ' has {count} ', {identifier(count)}, ', but its connections ', coalesce(n, 0))
        FROM segments LEFT JOIN (SELECT {side} AS body_, {of} AS n FROM connections GROUP BY {side}) ON body_ = id
        WHERE {identifier(count)} IS DISTINCT FROM coalesce(n, 0)
    """


def _incoming(snapshot: Snapshot) -> str:
    settings = snapshot.settings
    if settings.permits_body_0:
        return "permit-body-0 is set: PSDs may have a T-bar on no body"
    if settings.threshold > settings.min_confidence and not settings.consistent_totals:
        return "upstream counts PSDs below postHighAccuracyThreshold too, weight does not"
    return unrestricted(snapshot)


def _upstream(snapshot: Snapshot) -> str:
    """Without a threshold, upstream counts PSDs that have no confidence, too, and weight does not: those apart."""
    differing = _linked("upstream", "post", "sum(weight)")
    if snapshot.settings.min_confidence > 0 or snapshot.settings.consistent_totals:
        return differing
    snapshot.use("synapses")
    unknown = "SELECT body FROM synapses WHERE type = 'post' AND confidence IS NULL AND body IS NOT NULL"
    return f"{differing} AND id NOT IN ({unknown})"


def _totals(snapshot: Snapshot) -> str:
    parts = [
        f"""
        SELECT concat('Segment ', id, {literal(f" has {name} ")}, {identifier(name)}, ', but Elements ', coalesce(n, 0))
        FROM segments LEFT JOIN (
            SELECT body AS body_, count(*) AS n FROM elements WHERE source = {literal(in_file_name(table))}
            GROUP BY body
        ) ON body_ = id WHERE {identifier(name)} IS DISTINCT FROM coalesce(n, 0)
        """
        for name, table in snapshot.settings.element_totals.items()
    ]
    return " UNION ALL ".join(parts)


def _no_totals(snapshot: Snapshot) -> str:
    if not snapshot.settings.element_totals:
        return "no compute-segment-totals-with-name is set"
    return "restrict-elements-to-roiset is set" if snapshot.settings.restriction("elements") else ""


def _body_elements(snapshot: Snapshot) -> str:
    names = snapshot.column_sources(BODY_ELEMENTS)
    differs = "".join(f" OR s.{identifier(n)} IS DISTINCT FROM b.{identifier(n)}" for n in names)
    return f"""
        SELECT concat('body ', coalesce(s.id, b.body), CASE WHEN b.body IS NULL THEN ' is only a Segment'
            WHEN s.id IS NULL THEN ' is only in body_elements.feather' ELSE ' has other counts' END)
        FROM segments AS s FULL JOIN body_elements AS b ON s.id = b.body
        WHERE s.id IS NULL OR b.body IS NULL{differs}
    """


def _no_flat(snapshot: Snapshot) -> str:
    if not snapshot.has_flat:
        return "there is no flat connectome"
    settings = snapshot.settings
    inside = {settings.restriction("info-totals"), settings.restriction("connectivity")} - {None}
    if inside != {settings.flat_restriction} - {None}:
        return "neuPrint and the flat connectome are restricted to different roi-sets"
    return ""


def _no_flat_points(snapshot: Snapshot) -> str:
    permitted = "permit-body-0 is set" if snapshot.settings.permits_body_0 else ""
    return _no_flat(snapshot) or permitted


_NULL_COUNTS = f"""
    SELECT concat('Segment ', id, ' lacks a count, or has one below 0') FROM segments
    WHERE least({", ".join(COUNTS)}) < 0 OR {" OR ".join(f"{name} IS NULL" for name in COUNTS)}
"""
_FLAT_WEIGHTS = """
    SELECT concat(body_pre, ' to ', body_post, ': weightHR ', c.weightHR, ', flat weight ', f.weight)
    FROM (SELECT pre AS body_pre, post AS body_post, weightHR FROM connections) AS c
    FULL JOIN (SELECT * FROM flat_weights WHERE body_pre <> 0 AND body_post <> 0) AS f USING (body_pre, body_post)
    WHERE c.weightHR IS DISTINCT FROM f.weight
"""
_FLAT_POINTS = """
    SELECT concat('point ', coalesce(id, point_id), CASE WHEN id IS NULL THEN ' is no Synapse'
        WHEN point_id IS NULL THEN ' is not in syn-points' ELSE ' differs in kind, body or confidence' END)
    FROM synapses FULL JOIN flat_points ON id = point_id
    WHERE type IS DISTINCT FROM CASE kind WHEN 'PreSyn' THEN 'pre' WHEN 'PostSyn' THEN 'post' END
        OR synapses.body IS DISTINCT FROM flat_points.body OR abs(confidence - conf) > 1e-6
"""
_FEATHER = """
    SELECT concat(coalesce(c.pre, t.pre), ' to ', coalesce(c.post, t.post), ' differs') FROM connections AS c
    FULL JOIN connections_table AS t ON c.pre = t.pre AND c.post = t.post
    WHERE c.weightHR IS DISTINCT FROM t.weightHR OR c.weight IS DISTINCT FROM t.weight
        OR c.weightHP IS DISTINCT FROM t.weightHP OR c.roi_info IS DISTINCT FROM t.roi_info
"""
_NEURONS_TABLE = """
    SELECT concat('body ', coalesce(s.id, t.body), ' differs') FROM segments AS s
    FULL JOIN neurons_table AS t ON s.id = t.body
    WHERE s.synweight IS DISTINCT FROM t.synweight OR s.roi_info IS DISTINCT FROM t.roi_info
"""

CHECKS = (
    Check("connections/rows", "SynapsesTo rows, the sum of weightHR and the PSDs in sets are as many", _row_counts),
    law(
        "connections/weights",
        "weight is at most weightHR, and none is below 0",
        ["connections"],
        "SELECT concat(pre, ' to ', post, ': weight ', weight, ' of weightHR ', weightHR) FROM connections "
        "WHERE (weight BETWEEN 0 AND weightHR AND weightHR > 0 AND weightHP >= 0) IS NOT TRUE",
    ),
    law(
        "connections/weight-hp",
        "weightHP is at most weight",
        ["connections"],
        "SELECT concat(pre, ' to ', post, ': weightHP ', weightHP, ' of weight ', weight) FROM connections "
        "WHERE (weightHP <= weight) IS NOT TRUE",
        _levels,
    ),
    law(
        "connections/recounted",
        "the weights of every pair are its SynapsesTo rows, by the confidence of the PSD",
        ["connections", "located"],
        _recounted,
        _same_confidences,
    ),
    law(
        "connections/compartments",
        "the weights by compartment are parts of weight",
        ["connections"],
        _compartments,
        _no_compartments,
    ),
    law(
        "connections/feather",
        "Neuprint_Neuron_Connections.feather is the CSV",
        ["connections", "connections_table"],
        _FEATHER,
    ),
    law("segments/counts", "every Segment has its counts", ["segments"], _NULL_COUNTS),
    law(
        "segments/upstream",
        "upstream is post, and synweight is upstream + downstream",
        ["segments"],
        "SELECT concat('Segment ', id, ': post ', post, ', upstream ', upstream, ', downstream ', downstream, "
        "', synweight ', synweight) FROM segments WHERE upstream <> post OR synweight <> upstream + downstream",
    ),
    law(
        "segments/points",
        "pre and post of a Segment are its Synapses",
        ["segments", "synapses"],
        _points,
        unrestricted,
    ),
    law(
        "segments/downstream",
        "downstream is the sum of the weights going out",
        ["segments", "connections"],
        _linked("downstream", "pre", "sum(weight)"),
        lambda snapshot: unrestricted(snapshot) or _levels(snapshot),
    ),
    law(
        "segments/incoming",
        "upstream is the sum of the weights coming in",
        ["segments", "connections"],
        _upstream,
        _incoming,
    ),
    law(
        "segments/partners",
        "upstreamPartners and downstreamPartners are the numbers of connected bodies",
        ["segments", "connections"],
        f"{_linked('upstreamPartners', 'post', 'count(*)')} UNION ALL "
        f"{_linked('downstreamPartners', 'pre', 'count(*)')}",
        unrestricted,
    ),
    law(
        "segments/elements",
        "the element totals of a Segment are its Elements",
        ["segments", "elements"],
        _totals,
        _no_totals,
    ),
    law(
        "segments/body-elements",
        "body_elements.feather has the bodies and counts of the Segments",
        ["segments", "body_elements"],
        _body_elements,
    ),
    law(
        "segments/feather",
        "Neuprint_Neurons.feather has the Segments of the CSV files",
        ["segments", "neurons_table"],
        _NEURONS_TABLE,
    ),
    law(
        "flat/neuprint-weights",
        "weightHR is the weight of the flat connectome",
        ["connections", "flat_weights"],
        _FLAT_WEIGHTS,
        _no_flat,
    ),
    law(
        "flat/neuprint-points",
        "the Synapses are the points of the flat connectome",
        ["synapses", "flat_points"],
        _FLAT_POINTS,
        _no_flat_points,
    ),
)
