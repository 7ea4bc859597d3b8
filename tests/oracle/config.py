"""The configuration as far as the oracle needs it: a nested dict, defaults beside each use, paths made absolute."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML


@dataclass(frozen=True)
class Config:
    """The YAML document and the folder that its relative paths start from."""

    sections: dict[str, Any]
    folder: Path

    def get(self, dotted: str, default: Any) -> Any:
        """The value at `a.b.c`; the default where a key is absent or null."""
        node: Any = self.sections
        for key in dotted.split("."):
            node = node.get(key) if isinstance(node, dict) else None
        return default if node is None else node

    def path(self, text: str) -> Path:
        """Relative paths start at the configuration's folder; `{syndir}` stands for inputs.synapses.syndir."""
        return self.folder / text.replace("{syndir}", str(self.folder / self.get("inputs.synapses.syndir", "")))

    @property
    def min_confidence(self) -> float:
        """Prefilter for synapses; 0 tests nothing."""
        return float(self.get("inputs.synapses.min-confidence", 0.0))

    @property
    def compartment_column(self) -> str:
        """The point column with compartments; the flat export's own setting falls back on the inputs' setting."""
        inherited = self.get("inputs.synapses.compartment-column", "")
        return self.get("outputs.flat-connectome.compartment-column", "") or inherited

    @property
    def roi_sets(self) -> dict[str, dict[str, Any]]:
        """All ROI sets in the order of the file; none by default."""
        return {name: spec or {} for name, spec in self.get("inputs.rois.roi-sets", {}).items()}

    @property
    def restriction(self) -> str:
        """The ROI set to which flat connectivity is restricted, or ''."""
        return self.get("outputs.flat-connectome.restrict-connectivity-to-roiset", "")


def read_config(path: Path) -> Config:
    """Parse the YAML file."""
    path = Path(path).resolve()
    return Config(YAML(typ="safe", pure=True).load(path) or {}, path.parent)
