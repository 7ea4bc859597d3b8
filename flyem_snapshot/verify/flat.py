"""Laws of the flat connectome: points, partners, weights and body statistics tell the same story."""

from __future__ import annotations

from flyem_snapshot.engine.sql import literal
from flyem_snapshot.verify.checks import Check, Finding, law
from flyem_snapshot.verify.snapshot import FLAT_FOLDER, Snapshot
from flyem_snapshot.verify.tables import COMPARTMENT_WEIGHTS

_LEVELS = ("significant", "traced")


def _without_levels(snapshot: Snapshot) -> str:
    if any((snapshot.root / FLAT_FOLDER).glob("connectome-weights-*-traced-only.feather")):
        return ""
    return "no body has a status, so there are no filtered tables"


def _subset_offenders(snapshot: Snapshot) -> str:
    parts = []
    for level in _LEVELS:
        weights, partners = snapshot.use(f"flat_weights_{level}"), snapshot.use(f"flat_partners_{level}")
        parts.append(f"""
            SELECT concat({literal(level)}, ': ', w.body_pre, ' to ', w.body_post, ' weighs ', w.weight,
                ', in all ', f.weight)
            FROM {weights} AS w LEFT JOIN flat_weights AS f USING (body_pre, body_post)
            WHERE w.weight IS DISTINCT FROM f.weight
            UNION ALL
            SELECT concat({literal(level)}, ': ', body_pre, ' to ', body_post, ' weighs ', weight, ' for ', rows,
                ' partner rows')
            FROM {weights} FULL JOIN (
                SELECT body_pre, body_post, count(*) AS rows FROM {partners} GROUP BY ALL
            ) USING (body_pre, body_post)
            WHERE weight IS DISTINCT FROM rows
        """)
    return " UNION ALL ".join(parts)


def _weights_offenders(_: Snapshot) -> str:
    compare = []
    for name in COMPARTMENT_WEIGHTS:
        pre = "axon" if name.startswith("weightAxon") else "dendrite"
        post = "axon" if name.endswith("Axon") else "dendrite"
        compare.append((name, f"count(*) FILTER (WHERE compartment_pre = '{pre}' AND compartment_post = '{post}')"))
    counts = "".join(f", {count} AS {name}_" for name, count in compare)
    # A table without compartments has nulls there.
    differs = "".join(f" OR {name} <> {name}_" for name, _ in compare)
    return f"""
        SELECT concat(body_pre, ' to ', body_post, ' weighs ', weight, ' for ', rows, ' partner rows')
        FROM flat_weights FULL JOIN (
            SELECT body_pre, body_post, count(*) AS rows{counts} FROM flat_partners GROUP BY body_pre, body_post
        ) USING (body_pre, body_post)
        WHERE weight IS DISTINCT FROM rows{differs}
        UNION ALL
        SELECT concat(body_pre, ' to ', body_post, ' is there twice') FROM flat_weights
        GROUP BY body_pre, body_post HAVING count(*) > 1
    """


def _sum(snapshot: Snapshot) -> Finding:
    pairs, rows = snapshot.rows_of("flat_weights"), snapshot.rows_of("flat_partners")
    total = snapshot.engine.scalar("SELECT coalesce(sum(weight), 0) FROM flat_weights")
    wrong = [] if total == rows else [f"the weights sum to {total:,}, but there are {rows:,} partner rows"]
    return Finding.of(pairs, wrong)


_PARTNER_ENDS = """
    SELECT concat('row ', pre_id, ' to ', post_id, ': ', CASE
        WHEN a.kind IS DISTINCT FROM 'PreSyn' THEN 'no such T-bar'
        WHEN b.kind IS DISTINCT FROM 'PostSyn' THEN 'no such PSD'
        ELSE 'a body differs from that of the point' END)
    FROM flat_partners LEFT JOIN flat_points AS a ON a.point_id = pre_id LEFT JOIN flat_points AS b ON b.point_id =
        post_id
    WHERE a.kind IS DISTINCT FROM 'PreSyn' OR b.kind IS DISTINCT FROM 'PostSyn'
        OR a.body IS DISTINCT FROM body_pre OR b.body IS DISTINCT FROM body_post
"""
_PSD_ONCE = """
    SELECT concat('PSD ', point_id, ' is in ', coalesce(rows, 0), ' partner rows')
    FROM (SELECT point_id FROM flat_points WHERE kind = 'PostSyn')
    LEFT JOIN (SELECT post_id, count(*) AS rows FROM flat_partners GROUP BY post_id) ON post_id = point_id
    WHERE rows IS DISTINCT FROM 1
"""
_STATS = """
    SELECT concat('body ', body, ' has pre ', s.pre, ', post ', s.post, ', but ', p.pre, ' T-bars, ', p.post, ' PSDs')
    FROM flat_stats AS s FULL JOIN (
        SELECT body, count(*) FILTER (WHERE kind = 'PreSyn') AS pre, count(*) FILTER (WHERE kind = 'PostSyn') AS post
        FROM flat_points WHERE body <> 0 GROUP BY body
    ) AS p USING (body)
    WHERE s.pre IS DISTINCT FROM p.pre OR s.post IS DISTINCT FROM p.post
"""
_DOWNSTREAM = """
    SELECT concat('body ', body, ' has downstream ', downstream, ', synweight ', synweight, ', but ',
        coalesce(rows, 0), ' outgoing rows and ', post, ' PSDs')
    FROM flat_stats LEFT JOIN (SELECT body_pre, count(*) AS rows FROM flat_partners GROUP BY body_pre) ON body_pre
        = body
    WHERE downstream IS DISTINCT FROM coalesce(rows, 0) OR synweight IS DISTINCT FROM downstream + post
"""
_RANKS = """
    SELECT concat('body ', body, ' has rank ', rank, ', but is number ', place) FROM (
        SELECT body, rank, row_number() OVER (ORDER BY synweight DESC, body) AS place FROM flat_stats
    ) WHERE rank IS DISTINCT FROM place
"""

CHECKS = (
    law(
        "flat/points",
        "every point id occurs once in syn-points",
        ["flat_points"],
        "SELECT concat('point ', point_id, ' is there ', count(*), ' times') FROM flat_points "
        "GROUP BY point_id HAVING count(*) > 1 OR point_id IS NULL",
    ),
    law(
        "flat/partners",
        "both ends of every partner row are points of the right kind, with their bodies",
        ["flat_partners", "flat_points"],
        _PARTNER_ENDS,
    ),
    law(
        "flat/psd-once",
        "every PSD of syn-points is in one partner row",
        ["flat_points", "flat_partners"],
        _PSD_ONCE,
    ),
    law(
        "flat/t-bars",
        "every T-bar of syn-points is in a partner row",
        ["flat_points", "flat_partners"],
        "SELECT concat('T-bar ', point_id, ' has no partner') FROM flat_points WHERE kind = 'PreSyn' "
        "AND point_id NOT IN (SELECT pre_id FROM flat_partners)",
    ),
    law(
        "flat/weights",
        "connectome-weights counts the partner rows of each pair of bodies",
        ["flat_weights", "flat_partners"],
        _weights_offenders,
    ),
    Check("flat/sum", "the weights sum to the number of partner rows", _sum),
    law(
        "flat/stats-points",
        "pre and post of body-stats are the points of each body",
        ["flat_stats", "flat_points"],
        _STATS,
    ),
    law(
        "flat/stats-partners",
        "downstream and synweight of body-stats are the connections of each body",
        ["flat_stats", "flat_partners"],
        _DOWNSTREAM,
    ),
    law("flat/ranks", "the ranks of body-stats are 1, 2, ... by synweight", ["flat_stats"], _RANKS),
    law(
        "flat/subsets",
        "the filtered weights are those of the whole table, and count the filtered partners",
        ["flat_weights"],
        _subset_offenders,
        _without_levels,
    ),
)
