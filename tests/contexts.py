"""A real `Context` for tests that call a stage's function directly."""

from pathlib import Path

from flyem_snapshot.engine.outdir import OutputDir
from flyem_snapshot.engine.session import Engine, Limits
from flyem_snapshot.stage import Context
from flyem_snapshot.tables.exclusions import Exclusions


def make_context(root: Path, stage: str = "stage", tag: str = "v1") -> Context:
    """What the runner would lend to a stage that writes below `root`."""
    scratch = root / "cache" / f"scratch-{stage}"
    scratch.mkdir(parents=True, exist_ok=True)
    engine = Engine(Limits(memory=1 << 28, threads=1, spill=root / "cache" / "spill"))
    resume = root / "cache" / "resume" / stage
    resume.mkdir(parents=True, exist_ok=True)
    return Context(tag, engine, OutputDir(root), Exclusions(), scratch, f"cache/{stage}", resume)
