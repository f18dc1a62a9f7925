"""Who wins each contest, by how much, and whether the difference is real."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pandas as pd
from markupsafe import Markup
from rich.console import RenderableType

from initbench.analysis.contests import contest_key
from initbench.analysis.reference import sentences
from initbench.analysis.verdicts import pooled
from initbench.analysis.winners_code import winners_code
from initbench.report.page.cards import STATES, Card, cards, state_badge
from initbench.report.page.listing import HtmlCell, HtmlColumn, Listing, axis_columns, chips, number_cell
from initbench.report.page.names import Names
from initbench.report.page.page import Page
from initbench.report.page.winners import tally, winner_map
from initbench.report.report import Report
from initbench.report.sections.section import Section
from initbench.report.terminal import code_shown, verdicts_shown
from initbench.text import percent

FEW_CONTESTS = 12  # up to so many, all cards are open


def contest_listing(found: list[Card], names: Names) -> Listing:
    """One row per contest."""
    records = [
        card.verdict.contest | {"card": card, "words": " ".join(card.verdict.sentences), "verdict": card.verdict.state}
        for card in found
    ]
    table = pd.DataFrame(records)
    shares = all(card.verdict.measure.share for card in found)
    measures = " or ".join(dict.fromkeys(card.verdict.measure.name for card in found))
    columns = [
        *axis_columns(names.contests, table),
        HtmlColumn("winner", "first", _winner),
        HtmlColumn("score", f"mean {measures}", _score, numeric=True, share=shares),
        HtmlColumn("others", "may be best as well", lambda row: HtmlCell(", ".join(row["card"].others)), wide=True),
        HtmlColumn("verdict", "verdict", lambda row: HtmlCell(row["card"].badge, row["verdict"])),
        HtmlColumn("words", "in words", wide=True),
    ]
    winners = (card.verdict.winner for card in found if card.verdict.winner)
    buttons = chips(winner=winners, verdict=[row["verdict"] for row in records], **names.activations(table))
    caption = f"One row per contest: {names.noun}s that were trained on the same task in the same way."
    return Listing("contests", caption, columns, records, buttons, page=25, file="contenders.csv")


def _score(row: Mapping[str, Any]) -> HtmlCell:
    verdict = row["card"].verdict
    return HtmlCell(row["card"].score, verdict.contenders["mean"].iloc[0] if verdict.winner else None)


def _winner(row: Mapping[str, Any]) -> HtmlCell:
    card = row["card"]
    return HtmlCell(Markup('<a href="#{}">{}</a>').format(card.id, card.winner or "none"), card.verdict.winner)


def pooled_listing(table: pd.DataFrame, names: Names, scores: str) -> Listing:
    """The interquartile mean of each initializer over the contests that all have in common."""
    mean = "interquartile_mean"
    columns = [
        names.column(),
        HtmlColumn(
            mean,
            f"{scores}, interquartile mean",
            lambda row: number_cell(row[mean], percent, _gauge(row)),
            numeric=True,
            share=True,
        ),
        HtmlColumn("low", "95 % interval from", lambda row: number_cell(row["low"], percent), numeric=True, share=True),
        HtmlColumn("high", "to", lambda row: number_cell(row["high"], percent), numeric=True, share=True),
    ]
    contests = f"over {table['cells'].max()} contests"
    caption = f"Interquartile mean (of the middle half of all runs) {contests}, with its 95 % bootstrap interval."
    return Listing("pooled", caption, columns, table.to_dict("records"), file="pooled.csv")


def _gauge(row: Mapping[str, Any]) -> Markup:
    """A mean and its interval between 0 and 1."""
    mean, low, high = (100 * row[name] for name in ("interquartile_mean", "low", "high"))
    bar = '<span class="gauge"><i style="left: {:.2f}%; width: {:.2f}%"></i><b style="left: {:.2f}%"></b></span>'
    return Markup(bar).format(low, high - low, mean)


def _html(page: Page) -> Markup:
    report, names = page.report, page.names
    found, over_all = cards(report.verdicts, names, _compared(report)), report.frames["pooled"]
    counts = Counter(verdict.state for verdict in report.verdicts)
    return page.render(
        "verdict",
        cards=found,
        tally=tally(report.verdicts, names),
        states=[(state_badge(name), STATES[name][-1], counts[name]) for name in STATES if counts[name]],
        map=winner_map(found, names, report.rescues[0].axis if report.rescues else "depth"),
        contests=contest_listing(found, names) if len(found) > FEW_CONTESTS else None,
        code=winners_code(report.contests, report.verdicts),
        pooled=pooled_listing(over_all, names, report.contests.measure.name) if len(over_all) else None,
    )


def _frames(report: Report) -> dict[str, pd.DataFrame]:
    contenders = report.ranking.assign(mean=report.ranking["mean"].abs())  # the errors themselves
    frames = {"pooled": pooled(report.contests, seed=report.seed), "contenders": contenders}
    return frames if report.reference is None else frames | {"reference": report.reference}


def _compared(report: Report) -> dict[tuple[str, ...], str]:
    """By contest, all others against the reference, if one was named."""
    return {} if report.reference is None else sentences(report.contests, report.reference)


def _printed(report: Report) -> list[RenderableType]:
    axes, compared = report.contests.axes, _compared(report)
    found = [
        replace(verdict, sentences=[*verdict.sentences, *_added(compared, contest_key(verdict.contest, axes))])
        for verdict in report.verdicts
    ]
    code = winners_code(report.contests, report.verdicts)
    return [verdicts_shown(report.headline, found, report.notes), *([code_shown(code)] if len(code) == 1 else [])]


def _added(compared: Mapping[tuple[str, ...], str], key: tuple[str, ...]) -> list[str]:
    return [compared[key]] if key in compared else []


def _facts(report: Report) -> dict[str, Any]:
    names = ("contest", "state", "winner", "may_be_best", "sentences")
    verdicts = [
        {name: getattr(verdict, name) for name in names}
        | {"measure": verdict.measure.name, "chance": abs(verdict.chance)}
        for verdict in report.verdicts
    ]
    code = {each.title: dict(each.lines) for each in winners_code(report.contests, report.verdicts)}
    return {"headline": report.headline, "verdicts": verdicts, "notes": report.notes, "code": code}


SECTION = Section(
    name="verdict",
    title="Verdict",
    frames=_frames,
    html=_html,
    facts=_facts,
    terminal=_printed,
)
