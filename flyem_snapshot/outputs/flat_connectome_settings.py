"""Settings of the flat connectome."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from urllib.parse import urlsplit

from flyem_snapshot.config.model import Section, setting
from flyem_snapshot.errors import Problem


class FlatConnectomeSettings(Section):
    """The connectome as plain Feather tables, in `flat-connectome/`: synapses, connection weights, bodies."""

    export_connectome: bool = setting(True, doc="Write the flat connectome.")
    roi_set: str | None = setting(
        "primary",
        one_of="inputs.synapses.roi-set-names",
        doc="""ROI set whose ROI is written beside each connection (that of its PSD), in a column named after the set.
        If the snapshot has no ROI sets at all, there is no such column.""",
    )
    compartment_column: str | None = setting(
        None,
        inherits="inputs.synapses.compartment-column",
        doc="Column of the point table that says in which part of its neuron a synapse lies (axon, dendrite, ...).",
    )
    restrict_connectivity_to_roiset: str | None = setting(
        None,
        one_of="inputs.synapses.roi-set-names",
        doc="""Write only connections whose PSD lies in some ROI of this ROI set. Its name becomes part of the file
        names.""",
    )
    annotation_property_names: Mapping[str, str] | None = setting(
        None,
        inherits="outputs.neuprint.annotation-property-names",
        doc="""Names of columns of the body annotations, {column in the input: name}; '' leaves a column out. Other
        columns are renamed by rule: cell_body_fiber becomes cellBodyFiber.""",
    )
    gcp_project: str | None = setting(
        None,
        affects_result=False,
        doc="Google Cloud project to which the upload is billed, if the bucket asks for one.",
    )
    gcs_bucket_dir: str | None = setting(
        None,
        examples=("my-bucket/snapshots", "s3://my-bucket/snapshots"),
        doc="""Upload each finished file to <this>/<snapshot-tag>/<file>: a directory of a Google Cloud bucket, or any
        URL of an object store that fsspec knows (gs://, s3://, file://, ...). If not set, nothing is uploaded.""",
    )

    def problems(self) -> Iterator[Problem]:
        """The settings are written beside the results, so they may hold no password."""
        url = urlsplit(self.gcs_bucket_dir or "")
        if "@" in url.netloc or url.query:
            yield Problem(
                ("gcs-bucket-dir",),
                "must not hold a user, password or token",
                hint="give credentials to the store's own library, in the environment or its configuration file",
            )
