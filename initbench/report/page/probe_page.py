"""The page of a probe: verdicts, figures and what the words mean; it needs no other file and no network."""

from collections.abc import Sequence
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from initbench.analysis.diagnosis.birth import VERDICTS
from initbench.analysis.probe import TABLES, ProbedCells, counts
from initbench.errors import InputError
from initbench.report.figures.birth_times import time_figures
from initbench.report.figures.coordinate_check import coordinate_check
from initbench.report.figures.drawing import Drawing
from initbench.report.figures.measured_plane import measured_plane
from initbench.report.figures.probe import probe_figures
from initbench.report.page.svg import inlined
from initbench.report.tables.probe import probe_table, verdict_counts

HERE = Path(__file__).parent


def write_probe(
    probed: ProbedCells, to: Path, *, command: Sequence[str], left_out: Sequence[str], formats: Sequence[str] = ("svg",)
) -> list[Path]:
    """Write index.html, the tables as CSV and the figures to the folder `to`; the files, the page first.

    left_out: sentences on the cells that were skipped. Raises InputError where the folder can't be written to.
    """
    others = (make(probed) for make in (measured_plane, coordinate_check))
    drawings = [*probe_figures(probed), *time_figures(probed), *filter(None, others)]
    try:
        to.mkdir(parents=True, exist_ok=True)
        files = [to / "index.html"]
        files[0].write_text(probe_page(probed, drawings, command, left_out), encoding="utf-8")
        for name in ("cells", *TABLES):
            if len(table := getattr(probed, name)):
                table.to_csv(to / f"{name}.csv", index=name == "cells", index_label="cell")
                files.append(to / f"{name}.csv")
        for drawing in drawings:
            for kind in formats:
                drawing.save(to / f"{drawing.name}.{kind}")
                files.append(to / f"{drawing.name}.{kind}")
    except OSError as error:
        raise InputError(f"can't write the probe to {to}: {error.strerror or error}") from error
    return files


def probe_page(
    probed: ProbedCells, drawings: Sequence[Drawing], command: Sequence[str], left_out: Sequence[str]
) -> str:
    """The page as one HTML document."""
    templates = Environment(
        loader=FileSystemLoader(HERE / "templates"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    return templates.get_template("probe.html.jinja").render(
        css=Markup((HERE / "page.css").read_text(encoding="utf-8")),
        headline=verdict_counts(probed),
        command=" ".join(command),
        seeds=int(probed.cells["runs"].max()),
        table=Markup(probe_table(probed).html()),
        figures=[(each, inlined(each.svg, f"figure-{each.name}", each.alt)) for each in drawings],
        words={word: VERDICTS[word] for word in VERDICTS if word in counts(probed.cells)},
        left_out=left_out,
    )
