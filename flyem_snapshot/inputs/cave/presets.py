"""What the published files of some datastacks look like."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

Resolution = tuple[float, float, float]


@dataclass(frozen=True)
class Layout:
    """Columns that have other names than in CAVE, {name in CAVE: name in the file}, and those to be filled down."""

    columns: Mapping[str, str] = field(default_factory=dict)
    fill_down: tuple[str, ...] = ()


@dataclass(frozen=True)
class Preset:
    """The layout of the synapse table and of all other tables.

    `resolution` is what one unit of a position is, and `voxel_size` that of the snapshot, if the settings do not say
    so; both in nanometers.
    """

    synapses: Layout = Layout()
    others: Layout = Layout()
    resolution: Resolution | None = None
    voxel_size: Resolution | None = None


_AXES = ("x", "y", "z")
_NANOMETERS: Resolution = (1.0, 1.0, 1.0)
_EM: Resolution = (4.0, 4.0, 40.0)

PRESETS: Mapping[str, Preset] = {
    "cave": Preset(),
    "microns": Preset(resolution=_EM),
    "flywire": Preset(resolution=_NANOMETERS, voxel_size=_EM),
    "codex": Preset(
        # An id of a body is written only where it differs from that of the row above.
        synapses=Layout(
            {
                "pre_pt_root_id": "pre_root_id",
                "post_pt_root_id": "post_root_id",
                **{f"{side}_pt_position_{axis}": axis for side in ("pre", "post") for axis in _AXES},
            },
            fill_down=("pre_pt_root_id", "post_pt_root_id"),
        ),
        others=Layout({"pt_root_id": "root_id"}),
        resolution=_NANOMETERS,
        voxel_size=_EM,
    ),
}
