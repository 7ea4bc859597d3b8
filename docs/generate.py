"""Write the files that are derived from the settings models, or check that they are up to date.

python docs/generate.py            (make docs)
python docs/generate.py --check    (part of make check)
"""

from __future__ import annotations

import sys
from pathlib import Path

from flyem_snapshot.config.reference import settings_reference
from flyem_snapshot.config.root import config_model
from flyem_snapshot.config.schema import schema_text
from flyem_snapshot.outputs.neuprint.meta_settings import MetaSettings
from flyem_snapshot.pipeline.registry import INPUTS, OUTPUTS

DOCS = Path(__file__).resolve().parent


def main() -> int:
    """Write or check; the exit code is 1 if a checked file is out of date."""
    stale = {path: text for path, text in derived_files().items() if not path.is_file() or path.read_text() != text}
    if "--check" in sys.argv[1:]:
        for path in stale:
            print(f"{path.name} is not what the settings models say: run `make docs` and commit what it writes")
        return 1 if stale else 0
    for path, text in stale.items():
        path.write_text(text)
        print(f"wrote {path.name}")
    return 0


def derived_files() -> dict[Path, str]:
    """What each derived file must contain."""
    model = config_model((stage.room, stage.name, stage.config) for stage in (*INPUTS, *OUTPUTS))
    return {
        DOCS / "config.schema.json": schema_text(model),
        DOCS / "neuprint-meta.schema.json": schema_text(MetaSettings, "flyem-snapshot meta file of neuPrint"),
        DOCS / "settings.md": settings_reference(model, {"The meta file of neuPrint": MetaSettings}),
    }


if __name__ == "__main__":
    sys.exit(main())
