"""``report.html`` and ``summary.json``: one page without scripts or outside links, and the same figures for programs."""

from __future__ import annotations

import json
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from fedstill.report.plots import write_plots
from fedstill.report.summary import TITLES, Summary
from shared.files import write_atomic


def write_report(summary: Summary, folder: Path) -> Path:
    """Writes plots, ``summary.json`` and ``report.html`` into ``folder``; gives back the page's path."""
    plots = write_plots(summary, folder / "plots")
    write_atomic(folder / "summary.json", json.dumps(summary.model_dump(mode="json"), indent=2).encode())
    environment = Environment(loader=PackageLoader("fedstill.report", "."), autoescape=True, undefined=StrictUndefined)
    page = environment.get_template("template.html").render(
        summary=summary,
        titles=TITLES,
        plots={title: path.relative_to(folder).as_posix() for title, path in plots.items()},
        shown=list(summary.records)[:12],
    )
    write_atomic(folder / "report.html", page.encode())
    return folder / "report.html"
