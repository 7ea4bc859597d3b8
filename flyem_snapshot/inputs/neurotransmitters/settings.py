"""Settings of the predicted neurotransmitters."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path

from flyem_snapshot.config.model import Section, setting
from flyem_snapshot.connectome.neurotransmitter_bodies import Thresholds
from flyem_snapshot.errors import Problem

SHORT_NAMES = {
    "neither": "unknown",
    "glut": "glutamate",
    "oct": "octopamine",
    "da": "dopamine",
    "ser": "serotonin",
    "5ht": "serotonin",
    "ach": "acetylcholine",
}


class RestrictToRoi(Section):
    """The part of the connectome whose T-bars count."""

    roiset: str | None = setting(
        None,
        one_of="inputs.synapses.roi-set-names",
        doc="ROI set. Only T-bars count that have a PSD in the ROI below, or in any ROI of this set if none is named.",
    )
    roi: str | None = setting(None, doc="ROI of that set.")

    def problems(self) -> Iterator[Problem]:
        """An ROI belongs to a set."""
        if self.roi is not None and self.roiset is None:
            yield Problem(("roi",), "needs its ROI set", "add 'roiset: NAME', or remove this setting")


class NeurotransmittersSettings(Section):
    """Predicted neurotransmitters of T-bars, and how predictions of bodies and cell types follow from them."""

    synister_feather: Path | None = setting(
        None,
        input_file=True,
        doc="""Table (Feather, Parquet or CSV) with one row for each T-bar that has a prediction. Columns: x, y, z (or
        pre_x, pre_y, pre_z, or x_pre, y_pre, z_pre; or point_id instead), one column of probabilities for each
        transmitter, whose name begins with nts or nt_ (nts_8.acetylcholine, nt_gaba_prob); optionally split. If not
        set, there are no neurotransmitters in the snapshot.""",
    )
    rescale_coords: float | tuple[float, ...] = setting(
        (1.0, 1.0, 1.0),
        examples=(0.5, [2, 2, 1]),
        doc="""What x, y and z are multiplied with to be voxels of the synapses: one number, or three. Fractions are cut
        off.""",
    )
    translate_names: Mapping[str, str] = setting(
        SHORT_NAMES,
        doc="""Names of transmitters, {name in a column: name in the snapshot}; upper and lower case do not matter in
        the first. What you write here replaces the whole default. Other names are kept, in lower case.""",
    )
    override_celltype_before_consensus: Mapping[str, str] = setting(
        {},
        examples=({"octopamine": "unclear"},),
        doc="""What consensus_nt says in place of a predicted transmitter, {predicted: consensus}. Experimental results
        are taken as they are.""",
    )
    restrict_to_roi: RestrictToRoi = RestrictToRoi()
    ground_truth: Path | None = setting(
        None,
        input_file=True,
        doc="""Table (CSV, Feather or Parquet) of cell types whose transmitter is known: cell_type and ground_truth.
        From it follow a confusion matrix, confidences of all predictions, and which are too weak ('unclear'). It needs
        the column split in the predictions.""",
    )
    experimental_groundtruth: Path | None = setting(
        None,
        input_file=True,
        doc="""Table (CSV, Feather or Parquet) of transmitters found by experiment: cell_type and consensus_nt,
        optionally nt_reference, other_nt, other_nt_reference. With it, bodies have a consensus_nt: the experimental
        transmitter of their cell type, or else the predicted one.""",
    )
    training_set_split_indicators: tuple[str, ...] = setting(
        ("train", "validation"),
        doc="""Values of the column split that mark a T-bar as one the predictor learned from. Bodies with such a T-bar
        are left out of the confusion matrix.""",
    )
    min_body_confidence: float = setting(
        0.5, ge=0, le=1, doc="With less confidence, the predicted transmitter of a body is 'unclear'."
    )
    min_body_presyn: int = setting(
        50, ge=0, doc="With fewer T-bars that have a prediction, the predicted transmitter of a body is 'unclear'."
    )
    min_celltype_confidence: float = setting(
        0.5, ge=0, le=1, doc="With less confidence, the predicted transmitter of a cell type is 'unclear'."
    )
    min_celltype_presyn: int = setting(
        100,
        ge=0,
        doc="""With fewer T-bars that have a prediction, the predicted transmitter of a cell type is 'unclear'. For a
        cell type of a single body it is min-body-presyn.""",
    )
    export_mean_tbar_scores: bool = setting(
        True,
        doc="""Give neuPrint's Segments the mean probability of each transmitter over their T-bars (ntGabaProb and so
        on).""",
    )

    @property
    def scale(self) -> tuple[float, float, float]:
        """The factors of x, y and z."""
        factors = self.rescale_coords
        x, y, z = factors if isinstance(factors, tuple) else (factors,) * 3
        return x, y, z

    @property
    def thresholds(self) -> Thresholds:
        """Below these a prediction is 'unclear'."""
        return Thresholds(
            body_confidence=self.min_body_confidence,
            body_presyn=self.min_body_presyn,
            celltype_confidence=self.min_celltype_confidence,
            celltype_presyn=self.min_celltype_presyn,
        )

    def problems(self) -> Iterator[Problem]:
        """Factors are three or one, and not 0; names are not empty and not given twice."""
        factors = self.rescale_coords if isinstance(self.rescale_coords, tuple) else (self.rescale_coords,) * 3
        if len(factors) != 3 or not all(math.isfinite(factor) and factor > 0 for factor in factors):
            yield Problem(("rescale-coords",), "must be a number above 0, or three of them for x, y and z")
        seen: dict[str, str] = {}
        for key, name in self.translate_names.items():
            path = ("translate-names", key)
            if not name:
                yield Problem(path, "is empty", "every column of probabilities needs the name of its transmitter")
            if (other := seen.setdefault(key.lower(), key)) != key:
                yield Problem(path, f"is the same name as '{other}'", "remove one of them")
