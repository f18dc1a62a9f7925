"""What a section of the report is: one topic, in every form in which a report shows it."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd
from markupsafe import Markup
from rich.console import RenderableType

from initbench.report.figures.drawing import Drawing
from initbench.report.page.page import Page
from initbench.report.report import Report
from initbench.report.text_table import TextTable


@dataclass(frozen=True)
class Section:
    """One topic of the report. Every field but the first two is a function of the report, and may be left out.

    name: the address of its place on the page, `#name`. title: its heading there, and its entry in the contents.
    heading: a longer heading; by default the title.
    frames: tables of numbers, which become NAME.csv and a list of objects in the JSON.
    tables: tables of texts, which become NAME.md, NAME.tex and NAME.html.
    draw: its figures, which become NAME.svg; a figure that has nothing to show is None.
    html: what stands under its heading on the page; None where there is nothing to show.
    entries: parts of it that the contents of the page name as well, address to title.
    facts: what the JSON says beside the frames.
    terminal: what `initbench report` prints.
    """

    name: str
    title: str
    heading: str = ""
    frames: Callable[[Report], Mapping[str, pd.DataFrame]] = lambda report: {}
    tables: Callable[[Report], Mapping[str, TextTable]] = lambda report: {}
    draw: Callable[[Report], Iterable[Drawing | None]] = lambda report: ()
    html: Callable[[Page], Markup | None] = lambda page: None
    entries: Callable[[Report], Mapping[str, str]] = lambda report: {}
    facts: Callable[[Report], Mapping[str, Any]] = lambda report: {}
    terminal: Callable[[Report], Iterable[RenderableType]] = lambda report: ()
