"""Tables of the page that sort and filter: what a listing is, and the ones that a report has."""

import json
import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import numpy as np
import pandas as pd
from markupsafe import Markup

from initbench.analysis.axes import loss_unit, value_text
from initbench.analysis.cells import OUTCOMES
from initbench.analysis.contests import Contests
from initbench.report.figures.style import Style, styles
from initbench.text import percent

MANY_PAIRS = 500  # with more comparisons than that, those with a winner alone are in the page
MANY_CHIPS = 24  # more buttons than that help nobody


@dataclass(frozen=True)
class HtmlColumn:
    """name: what a filter calls it. title: what stands above it."""

    name: str
    title: str
    numeric: bool = False
    wide: bool = False  # holds sentences


@dataclass(frozen=True)
class HtmlCell:
    """html: what is shown, text or markup. value: what it is sorted and filtered by; None where there is none."""

    html: str
    value: float | str | None = None


@dataclass(frozen=True)
class Listing:
    """A table under a caption. chips: for some columns, the values that a click filters by."""

    name: str
    caption: str
    columns: list[HtmlColumn]
    rows: list[list[HtmlCell]]
    chips: dict[str, list[str]] = field(default_factory=dict)
    page: int = 50  # rows at a time

    @property
    def titles(self) -> dict[str, str]:
        return {column.name: column.title for column in self.columns}


# ---------------------------------------------------------------- initializers


class Names:
    """Initializers as the page writes them: each beside the line that it has in the figures."""

    def __init__(self, contests: Contests):
        self.runs = runs = contests.runs
        self.contests, self.axes, self.label = contests.axes, contests.cell_axes, contests.label
        self.styles: dict[str, Style] = styles(runs)
        self.place = {label: place for place, label in enumerate(self.styles)}
        self.key = "label" if set(runs["label"]) - set(runs["init"]) else "init"  # what filters call it
        self.loss_unit = loss_unit(runs)
        self.columns = {self.key, "label_a", "label_b", "winner"}  # that hold initializers

    def __len__(self) -> int:
        return len(self.place)

    def html(self, label: str, mark: str = "") -> Markup:
        return Markup('<span class="init">{}{}{}</span>').format(self.swatch(label), label, mark)

    def swatch(self, label: str) -> Markup:
        """Its line, as in the figures."""
        use = '<svg class="swatch" aria-hidden="true"><use href="#look-{}"/></svg>'
        return Markup(use).format(self.place[label])

    def column(self, name: str = "", title: str = "initializer") -> HtmlColumn:
        return HtmlColumn(name or self.key, title)

    def looks(self) -> Iterable[dict[str, Any]]:
        """The lines of the legend: place, colour and dashes."""
        for label, style in self.styles.items():
            dashes = "" if isinstance(style.linestyle, str) else " ".join(f"{2 * d:g}" for d in style.linestyle[1])
            yield {"place": self.place[label], "label": label, "color": style.color, "dashes": dashes}


STAR = Markup(' <span class="star" title="highest median of its contest">★<span class="unseen"> best</span></span>')


def condition(values: Mapping[str, Any]) -> str:
    """A filter of the page: `act=relu depth=20`. A list of values is any of them."""
    return " ".join(
        f"{name}={'|'.join(map(_word, value if isinstance(value, list) else [value]))}"
        for name, value in values.items()
    )


def _word(value: Any) -> str:
    text = value_text(value)
    return json.dumps(text) if re.search(r'[\s"\\|]', text) or not text else text


def link(listing: str, values: Mapping[str, Any]) -> str:
    """The address of a listing that shows these rows only."""
    return f"#{listing}?{quote(condition(values), safe='=|,.:')}"


# ---------------------------------------------------------------- numbers


def finite(value: Any) -> bool:
    return value is not None and value is not pd.NA and math.isfinite(value)


def accuracy(fraction: Any) -> str:
    """ "95.8 %", a dash where there is none"""
    return percent(fraction) if finite(fraction) else "–"


def signed(points: float) -> str:
    """A difference of fractions in percentage points, with a typographer's minus."""
    return f"{100 * points:+.1f}".replace("-", "−")


def interval(low: Any, high: Any, text: Callable[[float], str], endless: str = "diverged") -> Markup:
    """The two ends, muted; nothing where there is no interval. endless: what an infinite end stands for."""
    if any(end is None or end is pd.NA or math.isnan(end) for end in (low, high)):
        return Markup("")
    ends = [text(end).replace("-", "−") if math.isfinite(end) else endless for end in (low, high)]
    return Markup(' <span class="interval">{} to {}</span>').format(*ends)


def hundredths(digits: int = 1) -> Callable[[float], str]:
    """A fraction in per cent, or a difference of two in points, without the unit."""
    return lambda value: f"{100 * value:.{digits}f}"


def shortened(value: float) -> str:
    return f"{value:.3g}"


def p_value(p: Any) -> str:
    if not finite(p):
        return "–"
    return "< 0.0001" if p < 1e-4 else f"{p:.2g}"


def as_it_is(value: Any) -> HtmlCell:
    """Any value as it is, four digits of a float."""
    if value is None or value is pd.NA or (isinstance(value, float | np.floating) and math.isnan(value)):
        return HtmlCell("–")
    if isinstance(value, bool | np.bool_):
        return HtmlCell("yes" if value else "no", str(bool(value)).lower())
    if isinstance(value, int | float | np.number):
        text = f"{value:.4g}" if isinstance(value, float | np.floating) else f"{value}"
        return HtmlCell(text.replace("-", "−"), float(value) if math.isfinite(value) else None)
    return HtmlCell(str(value), str(value))


def axis(value: Any) -> HtmlCell:
    text = value_text(value)
    numeric = isinstance(value, int | float | np.number) and not isinstance(value, bool) and finite(value)
    return HtmlCell(text, float(value) if numeric else text)


def axis_column(name: str, values: pd.Series) -> HtmlColumn:
    return HtmlColumn(name, name, numeric=pd.api.types.is_numeric_dtype(values))


def chips(**values: Iterable[Any]) -> dict[str, list[str]]:
    """Those columns whose values a few buttons can offer."""
    texts = {name: list(dict.fromkeys(map(value_text, several))) for name, several in values.items()}
    return {name: several for name, several in texts.items() if 1 < len(several) <= MANY_CHIPS}


# ---------------------------------------------------------------- a row a cell


def summary(table: pd.DataFrame, names: Names) -> Listing:
    """The cells: how their runs ended, accuracy and loss, and a way to the runs."""
    measures = [measure for measure in MEASURES if measure.name in table]
    units = {"train_loss_median": f" ({names.loss_unit})"}
    outcomes = [outcome for outcome in OUTCOMES if table[outcome].any()]
    columns = [
        *(axis_column(name, table[name]) for name in names.contests),
        names.column(),
        HtmlColumn("runs", "runs", numeric=True),
        *(HtmlColumn(measure.name, measure.title + units.get(measure.name, ""), numeric=True) for measure in measures),
        *(HtmlColumn(outcome, f"{outcome} (share, %)", numeric=True) for outcome in outcomes),
    ]
    rows = []
    for place, cell in enumerate(table.to_dict("records")):
        label = names.label(cell)
        rows.append(
            [
                *(axis(cell[name]) for name in names.contests),
                HtmlCell(names.html(label, STAR if cell["best"] else ""), label),
                HtmlCell(_runs(place, cell, link("runs", {name: cell[name] for name in names.axes})), cell["runs"]),
                *(measure.cell(cell) for measure in measures),
                *(_share(cell, outcome) for outcome in outcomes),
            ]
        )
    caption = (
        "One row a cell: an initializer at one point of the grid. ★: the highest median of its contest. "
        "▸ shows the runs behind a row, their number finds them among all runs."
    )
    labels = map(names.label, table.to_dict("records"))
    return Listing("summary", caption, columns, rows, chips(**{names.key: labels, "act": table["act"]}))


@dataclass(frozen=True)
class Measure:
    """A column of the summary: its interval's ends are NAME_low and NAME_high, where it has one.

    infinite: what stands where a run that has no number decides.
    """

    name: str
    title: str
    text: Callable[[float], str]
    unit: str = ""
    infinite: str = "diverged"
    beside: Callable[[Mapping[str, Any]], str] | None = None  # a word on the number

    def cell(self, row: Mapping[str, Any]) -> HtmlCell:
        value = row[self.name]
        if not finite(value):
            return HtmlCell(self.infinite if _without_number(self.name, row) else "–")
        low, high = row.get(f"{self.name}_low"), row.get(f"{self.name}_high")
        bounds = interval(low, high, self.text, self.infinite)
        if self.unit == " %" and _says_nothing(low, high):
            bounds = Markup(' <span class="interval" title="any accuracy is within the interval">–</span>')
        beside = Markup(' <span class="interval">{}</span>').format(self.beside(row)) if self.beside else bounds
        return HtmlCell(Markup("{}{}{}").format(self.text(value), self.unit, beside), value)


def _says_nothing(low: Any, high: Any) -> bool:
    """Whether an interval of an accuracy holds every accuracy there is."""
    return finite(low) and finite(high) and low <= 0 and high >= 1


def _without_number(name: str, row: Mapping[str, Any]) -> bool:
    """Whether runs that diverged, or never got there, are why there is no number."""
    if name in ("test_acc_mean", "ensemble_acc"):
        return False
    if name == "steps_to_target":
        return row["reached_target"] < row["learned"] + row["stuck"] + row["diverged"]
    return bool(row["diverged"])


def _deviation(row: Mapping[str, Any]) -> str:
    deviation = f"± {100 * row['test_acc_std']:.1f} " if finite(row["test_acc_std"]) else ""
    return f"{deviation}({row['test_acc_count']})"


def _members(row: Mapping[str, Any]) -> str:
    return f"({100 * row['ensemble_members_acc']:.1f}, {row['ensemble_members']} seeds)"


MEASURES = [
    Measure("test_acc_median", "test accuracy, median", hundredths(), " %"),
    Measure("test_acc_iqm", "interquartile mean", hundredths(), " %"),
    Measure("test_acc_mean", "mean ± s.d. (finite runs)", hundredths(), " %", beside=_deviation),
    Measure("ensemble_acc", "ensemble over seeds (mean of its members)", hundredths(), " %", beside=_members),
    Measure("train_loss_median", "train loss, median", shortened),
    Measure("steps_to_target", "steps to target, median", "{:.0f}".format, infinite="never"),
]


def _runs(place: int, cell: Mapping[str, Any], href: str) -> Markup:
    """How many, how they ended, and the way to each."""
    parts = Markup("").join(
        Markup('<i class="{0}" style="flex-grow: {1}" title="{1} {0}"></i>').format(outcome, cell[outcome])
        for outcome in OUTCOMES
        if cell[outcome]
    )
    return Markup(
        '<span class="runs"><button type="button" class="trace" data-cell="{}" aria-expanded="false" '
        'aria-label="show the runs of this cell"></button><a href="{}">{}</a><span class="bar">{}</span></span>'
    ).format(place, href, cell["runs"], parts)


def _share(cell: Mapping[str, Any], outcome: str) -> HtmlCell:
    count = cell[outcome]
    bounds = interval(cell.get(f"{outcome}_low"), cell.get(f"{outcome}_high"), hundredths(0))
    return HtmlCell(Markup('<span class="{}">{}</span>{}').format(outcome if count else "none", count, bounds), count)


# ---------------------------------------------------------------- a row a pair


def comparisons(table: pd.DataFrame, with_winners: pd.DataFrame, names: Names) -> Listing:
    """The pairs of initializers; where there are many, those with a winner alone."""
    shown = table if len(table) <= MANY_PAIRS else with_winners
    columns = [
        *(axis_column(name, table[name]) for name in names.contests),
        HtmlColumn("label_a", "initializer a"),
        HtmlColumn("label_b", "initializer b"),
        HtmlColumn("difference", "a − b, points (interval)", numeric=True),
        HtmlColumn("p_adjusted", "p, adjusted", numeric=True),
        HtmlColumn("resolved", "resolved"),
        HtmlColumn("effect", "effect d", numeric=True),
        HtmlColumn("improvement", "chance that a is better", numeric=True),
        HtmlColumn("pairs", "pairs", numeric=True),
        HtmlColumn("seeds_needed", "seeds needed", numeric=True),
        HtmlColumn("test", "test"),
    ]
    rows = []
    for pair in shown.to_dict("records"):
        both = {name: pair[name] for name in names.contests} | {names.key: [pair["label_a"], pair["label_b"]]}
        rows.append(
            [
                *(axis(pair[name]) for name in names.contests),
                *(HtmlCell(names.html(pair[side]), pair[side]) for side in ("label_a", "label_b")),
                _difference(pair),
                HtmlCell(p_value(pair["p_adjusted"]), pair["p_adjusted"] if finite(pair["p_adjusted"]) else None),
                _resolved(pair["resolved"]),
                _effect(pair["effect"]),
                _improvement(pair),
                HtmlCell(Markup('<a href="{}">{}</a>').format(link("runs", both), pair["pairs"]), pair["pairs"]),
                as_it_is(pair["seeds_needed"]),
                HtmlCell(pair["test"], pair["test"]),
            ]
        )
    caption = "Two initializers of one contest, run by run under the same seed; a is the one that ranks higher."
    if len(shown) < len(table):
        caption += f" Of {len(table):,} pairs those with the winner of a contest are here; comparisons.csv has all."
    both = [*shown["label_a"], *shown["label_b"]]
    buttons = chips(resolved=["yes", "no"], label_a=shown["label_a"], act=shown["act"]) if both else {}
    return Listing("comparisons", caption, columns, rows, buttons)


def _difference(pair: Mapping[str, Any]) -> HtmlCell:
    if not finite(pair["difference"]):
        return HtmlCell(Markup('<span class="interval">a run diverged</span>') if pair["pairs"] else "–")
    bounds = interval(pair["low"], pair["high"], hundredths())
    return HtmlCell(Markup("{}{}").format(signed(pair["difference"]), bounds), pair["difference"])


def _effect(effect: float) -> HtmlCell:
    return HtmlCell(f"{effect:.2f}".replace("-", "−"), effect) if finite(effect) else HtmlCell("–")


def _resolved(resolved: bool) -> HtmlCell:
    html = Markup('<span class="{0}">{1}</span>').format(*(("yes", "● yes") if resolved else ("no", "○ no")))
    return HtmlCell(html, "yes" if resolved else "no")


def _improvement(pair: Mapping[str, Any]) -> HtmlCell:
    if not finite(pair["improvement"]):
        return HtmlCell("–")
    bounds = interval(pair["improvement_low"], pair["improvement_high"], "{:.2f}".format)
    return HtmlCell(Markup("{:.2f}{}").format(pair["improvement"], bounds), pair["improvement"])


# ---------------------------------------------------------------- a row a failing cell

_DIAGNOSED = {"label", "runs", "failing", "fault", "agreeing", "evidence", "advice"}


def diagnoses(table: pd.DataFrame, names: Names) -> Listing:
    """The cells that have failing runs: what is wrong, how that shows, and what to try."""
    columns = [
        *(axis_column(name, table[name]) for name in names.contests),
        names.column(),
        HtmlColumn("failing", "failing runs", numeric=True),
        HtmlColumn("fault", "fault"),
        HtmlColumn("evidence", "measured", wide=True),
        HtmlColumn("advice", "what to try", wide=True),
    ]
    measured = [name for name in table if name not in {*_DIAGNOSED, *names.axes}]
    rows = []
    for cell in table.to_dict("records"):
        runs = link("runs", {name: cell[name] for name in names.axes} | {"outcome": ["stuck", "diverged"]})
        share = Markup('<a href="{}">{} of {}</a>').format(runs, cell["failing"], cell["runs"])
        rows.append(
            [
                *(axis(cell[name]) for name in names.contests),
                HtmlCell(names.html(cell["label"]), cell["label"]),
                HtmlCell(share, cell["failing"]),
                HtmlCell(_fault(cell), cell["fault"]),
                HtmlCell(_evidence(cell, measured), cell["evidence"]),
                HtmlCell(cell["advice"], cell["advice"]),
            ]
        )
    caption = "One row a cell with runs that got stuck or diverged, and the fault that most of them have."
    buttons = chips(fault=table["fault"], act=table["act"], **{names.key: table["label"]})
    return Listing("diagnoses", caption, columns, rows, buttons, page=25)


def _fault(cell: Mapping[str, Any]) -> Markup:
    unsure = "" if cell["agreeing"] == cell["failing"] else f"{cell['agreeing']} of {cell['failing']} runs agree"
    return Markup('<strong class="fault">{}</strong>{}').format(
        cell["fault"], Markup('<br><span class="interval">{}</span>').format(unsure) if unsure else ""
    )


def _evidence(cell: Mapping[str, Any], measured: list[str]) -> Markup:
    known = {name: as_it_is(cell[name]).html for name in measured if as_it_is(cell[name]).value is not None}
    if not known:
        return Markup("{}").format(cell["evidence"])
    terms = Markup("").join(
        Markup("<dt>{}</dt><dd>{}</dd>").format(name.replace("_", " "), value) for name, value in known.items()
    )
    return Markup('{}<details class="numbers"><summary>the numbers</summary><dl>{}</dl></details>').format(
        cell["evidence"], terms
    )


# ---------------------------------------------------------------- all contests together


def pooled(table: pd.DataFrame, names: Names) -> Listing:
    """The interquartile mean of each initializer over the contests that all have in common."""
    cells = int(table["cells"].max())
    columns = [
        names.column(),
        HtmlColumn("interquartile_mean", "interquartile mean of test accuracy", numeric=True),
        HtmlColumn("low", "interval from", numeric=True),
        HtmlColumn("high", "to", numeric=True),
    ]
    rows = [
        [
            HtmlCell(names.html(row["label"]), row["label"]),
            HtmlCell(accuracy(row["interquartile_mean"]) + _gauge(row), row["interquartile_mean"]),
            HtmlCell(accuracy(row["low"]), row["low"]),
            HtmlCell(accuracy(row["high"]), row["high"]),
        ]
        for row in table.to_dict("records")
    ]
    caption = f"Mean of the middle half of all runs over {cells} contests, with its bootstrap interval."
    return Listing("pooled", caption, columns, rows)


def _gauge(row: Mapping[str, Any]) -> Markup:
    """A mean and its interval between 0 and 1."""
    mean, low, high = (100 * row[name] for name in ("interquartile_mean", "low", "high"))
    bar = '<span class="gauge"><i style="left: {:.2f}%; width: {:.2f}%"></i><b style="left: {:.2f}%"></b></span>'
    return Markup(bar).format(low, high - low, mean)
