"""Laws of regions in the neuPrint graph: roiInfo, flags, and the points that both are counted from."""

from __future__ import annotations

from flyem_snapshot.connectome.neuprint_files import ROI_ELEMENTS
from flyem_snapshot.engine.sql import identifier, literal, literals
from flyem_snapshot.verify.checks import law
from flyem_snapshot.verify.counts import at_least, unrestricted
from flyem_snapshot.verify.reading import SEPARATOR
from flyem_snapshot.verify.snapshot import UNSPECIFIED, Snapshot

PAIR = "concat(pre, ' to ', post)"
SPLIT = f"CASE WHEN flags = '' THEN [] ELSE string_split(flags, {literal(SEPARATOR)}) END"
"""SQL: the ROIs of a node, from its flags."""


def count(name: str, table: str = "") -> str:
    """SQL: a count of a roiInfo entry; 0 if it is not there."""
    prefix = f"{table}." if table else ""
    return f"coalesce({prefix}counts[{literal(name)}], 0)"


def _json(table: str, key: str) -> str:
    """SQL: rows whose roiInfo is no JSON object of objects of whole numbers."""
    return f"""
        SELECT concat({key}, ' has roiInfo ', coalesce(left(roi_info, 60), '(nothing)')) FROM {table}
        WHERE roi_info IS NULL OR NOT coalesce(json_valid(roi_info), false)
            OR json_type(TRY_CAST(roi_info AS JSON)) IS DISTINCT FROM 'OBJECT'
            OR NOT regexp_full_match(roi_info, '\\{{("[^"]+":\\{{("[^"]+":[0-9]+,?)*\\}},?)*\\}}')
    """


def _zeros(snapshot: Snapshot) -> str:
    kept = literals(snapshot.settings.keep_zero) or "''"
    wanted = " AND ".join(f"counts[{literal(name)}] IS NOT NULL" for name in snapshot.settings.keep_zero) or "true"
    return f"""
        SELECT concat('Segment ', body, ' in ', roi, ': ', counts::VARCHAR) FROM segment_rois
        WHERE NOT ({wanted}) OR len(list_filter(map_entries(counts), lambda e: e.value = 0 AND e.key NOT IN
            ({kept}))) > 0
        UNION ALL
        SELECT concat(pre, ' to ', post, ' in ', roi, ': ', counts::VARCHAR) FROM connection_rois
        WHERE len(list_filter(map_values(counts), lambda v: v = 0)) > 0
    """


def _against_elements(snapshot: Snapshot) -> str:
    names = snapshot.column_sources(ROI_ELEMENTS)
    differs = " OR ".join(f"{count(name)} IS DISTINCT FROM coalesce(r.{identifier(name)}, 0)" for name in names)
    extra = f"len(list_filter(map_keys(counts), lambda k: k NOT IN ({literals(names)}))) > 0"
    return f"""
        SELECT concat('Segment ', coalesce(s.body, r.body), ' in ', coalesce(s.roi, r.roi), ': ',
            coalesce(counts::VARCHAR, 'nothing in roiInfo'), if(r.body IS NULL,
                ', but not in roi_elements.feather', ''))
        FROM segment_rois AS s FULL JOIN (
            SELECT * FROM roi_elements WHERE roi <> {literal(UNSPECIFIED)}
        ) AS r ON s.body = r.body AND s.roi = r.roi
        WHERE s.body IS NULL OR r.body IS NULL OR {differs} OR {extra}
    """


def _from_synapses(snapshot: Snapshot) -> str:
    counted = f" AND {at_least(snapshot)}" if snapshot.settings.consistent_totals else ""
    return f"""
        WITH grouped AS (
            SELECT body, flags, count(*) FILTER (WHERE type = 'pre'{counted}) AS pre,
                count(*) FILTER (WHERE type = 'post'{counted}) AS post
            FROM synapses WHERE flags <> '' GROUP BY body, flags
        ),
        marked AS (SELECT body, unnest({SPLIT}) AS roi, pre, post FROM grouped),
        found AS (SELECT body, roi, sum(pre) AS pre, sum(post) AS post FROM marked GROUP BY body, roi)
        SELECT concat('Segment ', coalesce(s.body, f.body), ' in ', coalesce(s.roi, f.roi), ': pre ',
            {count("pre")}, ', post ',
            {count("post")}, ', but Synapses ', coalesce(f.pre, 0), ', ', coalesce(f.post, 0))
        FROM segment_rois AS s FULL JOIN found AS f ON s.body = f.body AND s.roi = f.roi
        WHERE {count("pre")} <> coalesce(f.pre, 0) OR {count("post")} <> coalesce(f.post, 0)
    """


def _connections(snapshot: Snapshot) -> str:
    return f"""
        WITH grouped AS (
            SELECT pre, post, flags, count(*) AS n FROM located WHERE flags <> '' AND {at_least(snapshot)} GROUP BY ALL
        ),
        marked AS (SELECT pre, post, unnest({SPLIT}) AS roi, n FROM grouped),
        found AS (SELECT pre, post, roi, sum(n) AS n FROM marked GROUP BY pre, post, roi)
        SELECT concat(coalesce(c.pre, f.pre), ' to ', coalesce(c.post, f.post), ' in ', coalesce(c.roi, f.roi),
            ': post ',
            {count("post")}, ', but PSDs ', coalesce(n, 0))
        FROM connection_rois AS c FULL JOIN found AS f ON c.pre = f.pre AND c.post = f.post AND c.roi = f.roi
        WHERE counts['post'] IS DISTINCT FROM n
    """


def _confidences(snapshot: Snapshot) -> str:
    if snapshot.own_confidences:
        return "the partner rows have confidences of their own, which are not in the Synapses"
    return ""


def _known_sets(snapshot: Snapshot) -> str:
    if not snapshot.settings.roi_sets:
        return "there are no roi-sets"
    if not snapshot.roi_sets:
        return "which ROIs make a roi-set is known from syn-points of the flat connectome, which is not there"
    return ""


def _all_sets_known(snapshot: Snapshot) -> str:
    known = _known_sets(snapshot)
    if not known and set(snapshot.roi_sets) != set(snapshot.settings.roi_sets):
        return "syn-points of the flat connectome does not have every roi-set of neuPrint"
    return known


def _unassigned(snapshot: Snapshot) -> str:
    first = min(snapshot.roi_sets)
    return f"""
        WITH sums AS (
            SELECT body, sum(post) AS post, sum(pre) AS pre FROM roi_elements
            WHERE roi = {literal(UNSPECIFIED)} OR roi IN (SELECT roi FROM roi_sets WHERE roi_set = {literal(first)})
            GROUP BY body
        )
        SELECT concat('Segment ', id, ': pre ', coalesce(sums.pre, 0), ', post ', coalesce(sums.post, 0),
            ' in and outside of the',
            ' regions of ', {literal(first)}, ', but in all ', segments.pre, ', ', segments.post)
        FROM segments LEFT JOIN sums ON sums.body = id
        WHERE coalesce(sums.post, 0) <> segments.post OR coalesce(sums.pre, 0) <> segments.pre
    """


_CONNECTION_SUMS = f"""
    SELECT concat(pre, ' to ', post, ': ', roi_set, ' holds ', n, ' of weight ', weight) FROM (
        SELECT pre, post, roi_set, sum({count("post")}) AS n FROM connection_rois JOIN roi_sets USING (roi) GROUP BY ALL
    ) JOIN connections USING (pre, post) WHERE n > weight
"""
_SEGMENT_SUMS = f"""
    SELECT concat('Segment ', id, ': ', roi_set, ' holds ', p, ' of post ', segments.post, ', ', q, ' of pre ',
        segments.pre)
    FROM (
        SELECT body AS body_, roi_set, sum({count("post")}) AS p, sum({count("pre")}) AS q
        FROM segment_rois JOIN roi_sets USING (roi) GROUP BY ALL
    ) JOIN segments ON id = body_ WHERE p > segments.post OR q > segments.pre
"""
_FLAGS = f"""
    SELECT concat('Segment ', id, ' has flags ', has::VARCHAR, ', roiInfo of ', said::VARCHAR) FROM (
        SELECT id, list_sort({SPLIT}) AS has,
            list_sort(coalesce(json_keys(TRY_CAST(roi_info AS JSON)), [])) AS said FROM segments
    ) WHERE has <> said
"""
_DOWNSTREAM = f"""
    SELECT concat('Segment ', coalesce(s.body, c.body), ' in ', coalesce(s.roi, c.roi), ': downstream ',
        {count("downstream")},
        ', but its connections ', coalesce(n, 0))
    FROM segment_rois AS s FULL JOIN (
        SELECT pre AS body, roi, sum({count("post")}) AS n FROM connection_rois GROUP BY pre, roi
    ) AS c ON s.body = c.body AND s.roi = c.roi
    WHERE {count("downstream")} <> coalesce(n, 0)
"""
_TOTALS = f"""
    SELECT concat('Segment ', body, ' in ', roi, ': ', counts::VARCHAR) FROM segment_rois
    WHERE {count("upstream")} <> {count("post")}
        OR {count("synweight")} <> {count("upstream")} + {count("downstream")}
"""

CHECKS = (
    law(
        "rois/json",
        "roiInfo of Segments and ConnectsTo is a JSON object of whole numbers",
        ["segments", "connections"],
        f"{_json('segments', 'id')} UNION ALL {_json('connections', PAIR)}",
    ),
    law("rois/zeros", "roiInfo has no zeros but those of keep-zero", ["segment_rois", "connection_rois"], _zeros),
    law("rois/flags", "a Segment has a ROI's flag if and only if the ROI is in its roiInfo", ["segments"], _FLAGS),
    law(
        "rois/roi-elements",
        "roiInfo of Segments is roi_elements.feather",
        ["segment_rois", "roi_elements"],
        _against_elements,
    ),
    law(
        "rois/totals",
        "in every roiInfo, upstream is post and synweight is upstream + downstream",
        ["segment_rois"],
        _TOTALS,
    ),
    law(
        "rois/synapses",
        "pre and post in roiInfo of Segments are the Synapses with that ROI's flag",
        ["segment_rois", "synapses"],
        _from_synapses,
        unrestricted,
    ),
    law(
        "rois/downstream",
        "downstream in roiInfo of Segments sums the roiInfo of the connections going out",
        ["segment_rois", "connection_rois"],
        _DOWNSTREAM,
        unrestricted,
    ),
    law(
        "rois/connections",
        "roiInfo of ConnectsTo counts the PSDs with that ROI's flag",
        ["connection_rois", "located"],
        _connections,
        _confidences,
    ),
    law(
        "rois/connection-sums",
        "over the ROIs of one roi-set, post in roiInfo of ConnectsTo sums to weight at most",
        ["connection_rois", "connections", "roi_sets"],
        _CONNECTION_SUMS,
        _known_sets,
    ),
    law(
        "rois/segment-sums",
        "over the ROIs of one roi-set, pre and post in roiInfo of a Segment sum to its pre and post at most",
        ["segment_rois", "segments", "roi_sets"],
        _SEGMENT_SUMS,
        _known_sets,
    ),
    law(
        "rois/unassigned",
        "the ROIs of the first roi-set and what lies in none of them sum to pre and post of each Segment",
        ["roi_elements", "segments", "roi_sets"],
        _unassigned,
        _all_sets_known,
    ),
)
