"""Laws of the neuPrint graph: ids, ends of relationships, labels, and the sets between bodies and points."""

from __future__ import annotations

from flyem_snapshot.connectome.neuprint_files import in_file_name
from flyem_snapshot.engine.sql import literal
from flyem_snapshot.verify.checks import Check, absent, law
from flyem_snapshot.verify.snapshot import Snapshot
from flyem_snapshot.verify.tables import encoded


def dataset(snapshot: Snapshot) -> str:
    """The name of the data set, as the settings have it."""
    return str(snapshot.settings.meta.get("dataset", ""))


def _labels(table: str, key: str, *kinds: str, also: str = "[]") -> str:
    """SQL template: rows of `table` whose labels are not those of `kinds`; `{ds}` stands for the data set.

    `also`: SQL of a list of labels that may come on top.
    """
    wanted = ", ".join(f"'{kind}', concat({{ds}}, '_{kind}')" for kind in kinds)
    return f"""
        SELECT concat(key, ' has labels ', labels) FROM (
            SELECT {key} AS key, labels, list_sort(string_split(coalesce(labels, ''), ';')) AS has,
                list_sort([{wanted}]) AS least, {also} AS also FROM {table}
        ) WHERE has <> least AND has <> list_sort(list_concat(least, also))
    """


def _labelled(table: str, key: str, *kinds: str, also: str = "[]") -> Check:
    template = _labels(table, key, *kinds, also=also)
    return law(
        f"labels/{table.replace('_', '-')}",
        f"the labels of {table.replace('_', ' ')} are {', '.join(kinds)}, plain and with the data set's name",
        [table],
        lambda snapshot: template.replace("{ds}", literal(dataset(snapshot))),
    )


def _element_labels(snapshot: Snapshot) -> str:
    """Element nodes may have one label more, that of their table."""
    from_config = snapshot.settings.neuprint.get("element-labels") or {}
    names = {table: str(label).lstrip(":") for table, label in from_config.items() if label}
    ds = literal(dataset(snapshot))
    cases = " ".join(f"WHEN {literal(in_file_name(t))} THEN {literal(label)}" for t, label in names.items())
    label = f"CASE source {cases} END" if cases else "NULL"
    return f"""
        SELECT concat(id, ' has labels ', labels) FROM (
            SELECT id, labels, list_sort(string_split(coalesce(labels, ''), ';')) AS has,
                list_sort(list_filter(['Element', concat({ds}, '_Element'), extra, {ds} || '_' || extra], lambda x:
                    x IS NOT NULL))
                AS wanted
            FROM (SELECT id, labels, {label} AS extra FROM elements)
        ) WHERE has <> wanted
    """


def _psd_once(snapshot: Snapshot) -> str:
    orphans = "" if snapshot.settings.permits_body_0 else " OR rows IS NULL"
    return f"""
        SELECT concat('PSD ', id, ' is in ', coalesce(rows, 0), ' SynapsesTo rows')
        FROM (SELECT id FROM synapses WHERE type = 'post')
        LEFT JOIN (SELECT post_id, count(*) AS rows FROM synapses_to GROUP BY post_id) ON post_id = id
        WHERE rows > 1{orphans}
    """


def _no_elements(snapshot: Snapshot) -> str:
    return "" if snapshot.rows_of("elements") else "there are no elements"


def _no_distances(snapshot: Snapshot) -> str:
    return "" if snapshot.rows_of("close_to") else "there are no distances"


def _twice(table: str, key: str, label: str) -> str:
    return f"""
        SELECT concat({label}, ' is there ', count(*), ' times') FROM {table} GROUP BY {key}
        HAVING count(*) > 1 OR bool_or({key.split(", ", maxsplit=1)[0]} IS NULL)
    """


_BAD_SYNAPSES = """
    WITH parsed AS (
        SELECT *, regexp_extract_all(location, '-?[0-9]+') AS xyz FROM synapses
    )
    SELECT concat('synapse ', id, ': type ', type, ', body ', body, ', confidence ', confidence, ', location ',
        location)
    FROM parsed
    WHERE body IS NULL OR (type IN ('pre', 'post')) IS NOT TRUE
        OR regexp_full_match(location, '\\{x:-?[0-9]+, y:-?[0-9]+, z:-?[0-9]+\\}') IS NOT TRUE
"""
_WRONG_ID = f" OR id IS DISTINCT FROM {encoded('xyz[1]', 'xyz[2]', 'xyz[3]')}"


def _synapse_values(snapshot: Snapshot) -> str:
    """A point without a confidence (NaN in the input) is kept if the settings ask for none.

    Ids of a CAVE datastack say nothing of the place.
    """
    wrong_id = "" if snapshot.settings.from_cave else _WRONG_ID
    known = " OR confidence IS NULL" if snapshot.settings.min_confidence > 0 else ""
    return _BAD_SYNAPSES + wrong_id + known


_ENDS = """
    SELECT concat(pre_id, ' to ', post_id, ': not from a T-bar of this snapshot to a PSD of it')
    FROM synapses_to LEFT JOIN synapses AS a ON a.id = pre_id LEFT JOIN synapses AS b ON b.id = post_id
    WHERE a.type IS DISTINCT FROM 'pre' OR b.type IS DISTINCT FROM 'post'
"""
_SETS = """
    SELECT concat('set ', pre, '_', post, '_', side, ' of type ', type, CASE
        WHEN type IS NULL THEN 'none: it is missing' WHEN side IS NULL THEN ': its id is none'
        WHEN type IS DISTINCT FROM side THEN ': id and type differ'
        ELSE ': not one for each ConnectsTo row' END)
    FROM (SELECT id_pre AS pre, id_post AS post, id_side AS side, type FROM sets) AS s
    FULL JOIN (
        SELECT pre, post, unnest(['pre', 'post']) AS side, true AS connected FROM connections
    ) AS c USING (pre, post, side)
    WHERE type IS NULL OR type IS DISTINCT FROM side OR connected IS NULL
"""
_SET_PAIRS = """
    SELECT concat('set ', coalesce(id_pre, start_pre), '_', coalesce(id_post, start_post), '_pre: ', coalesce(pairs, 0),
        ' ConnectsTo rows, to its own post set ', coalesce(straight, 0))
    FROM (SELECT id_pre, id_post FROM sets WHERE id_side = 'pre') FULL JOIN (
        SELECT start_pre, start_post, count(*) AS pairs, count(*) FILTER (
            WHERE start_side = 'pre' AND stop_side = 'post' AND start_pre = stop_pre AND start_post = stop_post
        ) AS straight FROM set_pairs GROUP BY start_pre, start_post
    ) ON id_pre = start_pre AND id_post = start_post
    WHERE id_pre IS NULL OR pairs IS DISTINCT FROM 1 OR straight IS DISTINCT FROM 1
"""
_BODY_SETS = """
    SELECT concat('set ', pre, '_', post, '_', side, ' belongs to ', coalesce(bodies, 'no body')) FROM (
        SELECT id_pre AS pre, id_post AS post, id_side AS side, if(id_side = 'pre', id_pre, id_post) AS body FROM sets
    ) FULL JOIN (
        SELECT owner_pre AS pre, owner_post AS post, owner_side AS side,
            count(*) AS owners, min(body) AS owner, string_agg(body::VARCHAR, ', ') AS bodies
        FROM body_sets GROUP BY ALL
    ) USING (pre, post, side)
    WHERE owners IS DISTINCT FROM 1 OR owner IS DISTINCT FROM body
"""
_MEMBERS = """
    SELECT concat('set ', owner_pre, '_', owner_post, '_', owner_side, ' contains ', synapse, ', which is ',
        coalesce(concat(type, ' on body ', body), 'no synapse'))
    FROM members LEFT JOIN synapses ON id = synapse
    WHERE owner_side IS DISTINCT FROM type OR if(owner_side = 'pre', owner_pre, owner_post) IS DISTINCT FROM body
"""
_COUNTS = """
    SELECT concat('pair ', pre, ' to ', post, ': sets of ', tbars, ' and ', psds, ', but ', distinct_tbars,
        ' T-bars in ',
        rows, ' SynapsesTo rows')
    FROM (
        SELECT owner_pre AS pre, owner_post AS post, count(*) FILTER (WHERE owner_side = 'pre') AS tbars,
            count(*) FILTER (WHERE owner_side = 'post') AS psds
        FROM members GROUP BY ALL
    ) FULL JOIN (
        SELECT pre, post, count(*) AS rows, count(DISTINCT pre_id) AS distinct_tbars FROM located GROUP BY ALL
    ) USING (pre, post)
    WHERE tbars IS DISTINCT FROM distinct_tbars OR psds IS DISTINCT FROM rows
"""
_MEMBERS_ONCE = """
    SELECT concat('set ', owner_pre, '_', owner_post, '_', owner_side, ' contains ', synapse, ' ', count(*), ' times')
    FROM members GROUP BY owner_pre, owner_post, owner_side, synapse HAVING count(*) > 1
"""
_ELEMENT_SETS = """
    SELECT concat('set ', s.id, ' of type ', s.type, ' for elements of ', coalesce(e.id, 'no body and type')) FROM (
        SELECT DISTINCT concat(body, '_', type) AS id, type FROM elements
    ) AS e FULL JOIN element_sets AS s USING (id) WHERE s.type IS DISTINCT FROM e.type
"""
_ELEMENT_MEMBERS = """
    SELECT concat('element ', coalesce(id, element), ' of body ', body, ' is in ', coalesce(owners, 'no set')) FROM
        elements
    FULL JOIN (
        SELECT element, count(*) AS sets, string_agg(owner, ', ') AS owners FROM element_members GROUP BY element
    ) ON element = id
    WHERE sets IS DISTINCT FROM 1 OR owners IS DISTINCT FROM concat(body, '_', type)
"""
_BODY_ELEMENT_SETS = """
    SELECT concat('set ', coalesce(wanted, owner), ' of Segment ', coalesce(segment, b.body), ': ', coalesce(n, 0),
        ' rows')
    FROM (
        SELECT DISTINCT concat(e.body, '_', e.type) AS wanted, e.body AS segment
        FROM elements AS e SEMI JOIN segments AS s ON s.id = e.body
    ) FULL JOIN (SELECT body, owner, count(*) AS n FROM body_element_sets GROUP BY ALL) AS b
    ON owner = wanted AND b.body = segment
    WHERE n IS DISTINCT FROM 1 OR segment IS NULL
"""

CHECKS = (
    law(
        "ids/segments",
        "every Segment has a Body-ID of its own, which is its bodyId",
        ["segments"],
        f"{_twice('segments', 'id', 'id')} UNION ALL "
        "SELECT concat('Segment ', id, ' has bodyId ', body) FROM segments WHERE id IS DISTINCT FROM body",
    ),
    law(
        "ids/points",
        "every Synapse and Element has an Element-ID of its own",
        ["synapses", "elements"],
        _twice("(SELECT id FROM synapses UNION ALL SELECT id FROM elements)", "id", "id"),
    ),
    law(
        "ids/synapse-sets",
        "every SynapseSet has an id of its own",
        ["sets"],
        _twice("sets", "id_pre, id_post, id_side", "id_pre, '_', id_post, '_', id_side"),
    ),
    law(
        "ids/element-sets",
        "every ElementSet has an id of its own",
        ["element_sets"],
        _twice("element_sets", "id", "id"),
    ),
    _labelled("segments", "id", "Segment", also="['Neuron', concat({ds}, '_Neuron')]"),
    _labelled("synapses", "id", "Synapse", "Element"),
    _labelled("sets", "concat(id_pre, '_', id_post, '_', id_side)", "SynapseSet", "ElementSet"),
    law(
        "labels/elements",
        "the labels of Elements are Element and that of their table, plain and with the data set's name",
        ["elements"],
        _element_labels,
        _no_elements,
    ),
    _labelled("element_sets", "id", "ElementSet"),
    law(
        "synapses/values",
        "every Synapse has a type, a body, a confidence, and the location that its id encodes",
        ["synapses"],
        _synapse_values,
    ),
    law(
        "synapses/ends",
        "every SynapsesTo row goes from a T-bar to a PSD of the Synapses",
        ["synapses_to", "synapses"],
        _ENDS,
    ),
    law("synapses/psd-once", "every PSD is in one SynapsesTo row", ["synapses", "synapses_to"], _psd_once),
    law(
        "connections/ends",
        "both ends of every ConnectsTo row are Segments",
        ["connections", "segments"],
        f"{absent('connections', 'pre', 'segments', 'id', 'is no Segment')} UNION ALL "
        f"{absent('connections', 'post', 'segments', 'id', 'is no Segment')}",
    ),
    law(
        "connections/once",
        "every pair of bodies has at most one ConnectsTo row",
        ["connections"],
        _twice("connections", "pre, post", "pre, ' to ', post"),
    ),
    law("sets/connections", "every ConnectsTo row has a pre set and a post set", ["sets", "connections"], _SETS),
    law("sets/pairs", "every pre set ConnectsTo the post set of its pair", ["set_pairs", "sets"], _SET_PAIRS),
    law("sets/bodies", "every SynapseSet belongs to the body in its id", ["body_sets", "sets"], _BODY_SETS),
    law(
        "sets/members",
        "a SynapseSet contains Synapses of its type that lie on its body",
        ["members", "synapses"],
        _MEMBERS,
    ),
    law("sets/members-once", "a SynapseSet contains a Synapse once", ["members"], _MEMBERS_ONCE),
    law(
        "sets/counts",
        "the sets of a pair hold its distinct T-bars, and a PSD for each of its SynapsesTo rows",
        ["members", "located"],
        _COUNTS,
    ),
    law(
        "elements/distances",
        "both ends of every CloseTo row are Synapses or Elements",
        ["close_to", "synapses", "elements"],
        " UNION ALL ".join(
            absent("close_to", end, "(SELECT id FROM synapses UNION ALL SELECT id FROM elements)", "id", "is no point")
            for end in ("start", "stop")
        ),
        _no_distances,
    ),
    law(
        "elements/sets",
        "there is an ElementSet for each body and type of Elements",
        ["element_sets", "elements"],
        _ELEMENT_SETS,
        _no_elements,
    ),
    law(
        "elements/members",
        "every Element is in the ElementSet of its body and type",
        ["element_members", "elements"],
        _ELEMENT_MEMBERS,
        _no_elements,
    ),
    law(
        "elements/bodies",
        "every Segment contains its ElementSets",
        ["body_element_sets", "elements", "segments"],
        _BODY_ELEMENT_SETS,
        _no_elements,
    ),
)
