"""Figures as files: an interactive page, `<folder>/html/<name>.html`, and a picture, `<folder>/png/<name>.png`.

Everything is written through the output directory, so files are atomic and known to the manifest.  Pages have no
random ids and no times in them: the same figure gives the same bytes.
"""

from __future__ import annotations

import base64
import hashlib
import posixpath
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined

from flyem_snapshot.plots.browser import one_browser
from flyem_snapshot.plots.style import Figure

if TYPE_CHECKING:
    from flyem_snapshot.engine.outdir import OutputDir
    from flyem_snapshot.plots.neuroglancer import BodyLinks

PlotlyJs = Literal["file", "cdn", "embedded"]
"""Where pages take plotly.js from: one file beside them, the network, or each its own copy (5 MB a page)."""

PLOTLY_FILE: Final = "plotly.min.js"


@dataclass(frozen=True)
class Plot:
    """A figure and the files it becomes.

    `folder` is relative to the output directory, `name` a safe file name without suffix, `title` the page's title as
    plain text.

    `rows` hold what the page shows of each point when it is pointed at.  They become the `customdata` of every trace
    with `meta: {"rows": [first, end]}`, so several curves share them, and pictures do without.

    With `links`, a click on a point opens the body whose id, as text, is the first value of the point's row.
    """

    figure: Figure
    folder: str
    name: str
    title: str
    rows: Sequence[Sequence[Any]] = ()
    links: BodyLinks | None = None

    @property
    def html(self) -> str:
        """The relative path of the page."""
        return plot_files(self.folder, self.name)[0]

    @property
    def png(self) -> str:
        """The relative path of the picture."""
        return plot_files(self.folder, self.name)[1]


def plot_files(folder: str, name: str) -> tuple[str, str]:
    """Where the page and the picture of a plot lie, below the output directory."""
    return f"{folder}/html/{name}.html", f"{folder}/png/{name}.png"


def write_plots(out: OutputDir, plots: Sequence[Plot], plotly_js: PlotlyJs = "file", home: str = "reports") -> None:
    """Write every plot as a page and as a picture, and `<home>/plotly.min.js` if pages share it.

    Without a browser there are only the pages, and one warning.  Calls within `with one_browser():` share a browser.
    """
    if not plots:
        return
    if plotly_js == "file":
        write_plotly_js(out, home)
    for plot in plots:
        out.write_text(plot.html, page(plot, plotly_js, home))
    with one_browser() as browser:
        for plot, picture in zip(plots, browser.pictures([plot.figure for plot in plots]), strict=True):
            if picture is not None:
                with out.create(plot.png) as path:
                    path.write_bytes(picture)


def write_plotly_js(out: OutputDir, home: str = "reports") -> None:
    """Write `<home>/plotly.min.js`, unless this stage has done so."""
    relative = f"{home}/{PLOTLY_FILE}"
    if relative not in out.written:
        out.write_text(relative, _library())


def page(plot: Plot, plotly_js: PlotlyJs = "file", home: str = "reports") -> str:
    """The HTML page of a plot: the figure as data, drawn by plotly.js, and what a click does."""
    script = {"src": "", "integrity": "", "text": ""}
    match plotly_js:
        case "file":
            script["src"] = posixpath.relpath(f"{home}/{PLOTLY_FILE}", posixpath.dirname(plot.html))
        case "cdn":
            script |= _on_the_network()
        case "embedded":
            script["text"] = _library()
    return render(
        "figure.html",
        title=plot.title,
        script=script,
        figure=plot.figure,
        rows=plot.rows,
        links=plot.links.pieces if plot.links else None,
    )


def render(template: str, **values: Any) -> str:
    """A page from a template beside this file; every value is escaped."""
    return _templates().get_template(template).render(values)


def _plain_json(value: Any) -> Any:
    """What json does not know of a figure: views of mappings, arrays and their numbers."""
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, (np.ndarray, np.generic)):
        return value.tolist()
    raise TypeError(f"a figure cannot hold {type(value).__name__}")


@cache
def _templates() -> Environment:
    templates = Environment(
        loader=PackageLoader("flyem_snapshot.plots"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    # How `tojson` writes data into a script; it takes care of what would end the script.
    templates.policies["json.dumps_kwargs"] = {
        "default": _plain_json,
        "allow_nan": False,
        "ensure_ascii": True,
        "separators": (",", ":"),
    }
    return templates


@cache
def _library() -> str:
    """The plotly.js that the installed plotly brings, 5 MB."""
    import plotly

    return (Path(plotly.__file__).parent / "package_data" / PLOTLY_FILE).read_text(encoding="utf-8")


def _on_the_network() -> dict[str, str]:
    """The same library on its network, and the digest that the browser holds it to."""
    from plotly.offline import get_plotlyjs_version

    digest = base64.b64encode(hashlib.sha256(_library().encode()).digest()).decode("ascii")
    return {"src": f"https://cdn.plot.ly/plotly-{get_plotlyjs_version()}.min.js", "integrity": f"sha256-{digest}"}
