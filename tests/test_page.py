"""The page says what the results say, in one file that needs nothing else, and works in a browser."""

# pandas annotates nearly everything as "Series or DataFrame or unknown": these checks see only that.
# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportCallIssue=false

import json
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pandas as pd
import pytest

from initbench.analysis.contests import Contests
from initbench.report.compose import report_on
from initbench.report.outputs import facts, page
from initbench.report.page.cards import _scale
from initbench.report.page.names import Names, link
from initbench.report.page.numbers import ranges
from initbench.report.page.svg import inlined
from initbench.report.report import Report
from initbench.report.sections.order import SECTIONS
from initbench.report.sections.summary import summary_listing
from initbench.results.load import Results, load
from initbench.results.schema import OUTCOME_TYPES
from initbench.results.store import Store
from results_on_disk import curves_of, finished, joined, made_up_sweep, row

EVIL = """</script><script>alert("1")</script><b onclick='x'>&amp; he"""


class Parsed(HTMLParser):
    """A page's elements as (tag, attributes), the text below them and the text of scripts."""

    def __init__(self, html: str):
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.open: list[str] = []
        self.text, self.scripts = "", []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, {key: value or "" for key, value in attrs}))
        self.open.append(tag)

    def handle_data(self, data):
        if self.open[-1:] == ["script"]:
            self.scripts.append(data)
        elif self.open[-1:] != ["style"]:
            self.text += data

    def handle_endtag(self, tag):
        while self.open and self.open.pop() != tag:
            pass

    def all(self, tag: str, **attributes: str) -> list[dict[str, str]]:
        return [found for name, found in self.elements if name == tag and attributes.items() <= found.items()]

    @property
    def data(self) -> dict:
        """What the page's table of runs is made of."""
        return json.loads(next(script for script in self.scripts if script.startswith("{")))


@pytest.fixture(scope="module")
def full(tmp_path_factory) -> Report:
    root = tmp_path_factory.mktemp("full")
    made_up_sweep(root, depths=[3, 20], seeds=5)
    return report_on(load(root), command=["initbench", "report", "my results"])


def results_of(root: Path, *runs: dict, pending: tuple[dict, ...] = ()) -> Results:
    """Results with these runs trained or failed, and those only asked for."""
    store = Store(root)
    asked = [{key: value for key, value in run.items() if key not in OUTCOME_TYPES} for run in (*runs, *pending)]
    store.save_sweep("demo", info={"command": ["initbench", "run"]}, runs=asked)
    if runs:
        curves = [curves_of(run, np.random.default_rng(0), 0.9) for run in runs if run["status"] == "done"]
        store.save_stack("ab", runs=list(runs), **(joined(curves) if curves else {}), info={})
    return load(root)


def parsed(results: Results, **changes) -> Parsed:
    return Parsed(page(replace(report_on(results, drawn=False), **changes)))


def values_in(data: dict, name: str) -> list:
    """A column of the page's runs."""
    if name in data["same"]:
        return [data["same"][name]] * data["count"]
    column = data["columns"][name]
    if "numbers" in column:
        return column["numbers"]
    return [column["texts"][place] if place >= 0 else None for place in column["places"]]


# ---------------------------------------------------------------- one file


@pytest.mark.slow
def test_nothing_is_fetched(full):
    html = page(full)
    found = Parsed(html)
    links = [
        value for _, attrs in found.elements for key, value in attrs.items() if key in ("href", "xlink:href", "src")
    ]
    assert {link for link in links if not link.startswith(("#", "data:"))} == {
        *(f"{name}.csv" for name in full.frames),
        *(f"{drawing.name}.svg" for drawing in full.figures),
    }
    assert not re.search(r"@import|url\((?!#)", html)
    assert not {"iframe", "object", "embed"} & {tag for tag, _ in found.elements}
    assert [attrs["rel"] for attrs in found.all("link")] == ["icon"]


@pytest.mark.slow
def test_ids_are_unique_and_what_points_to_one_finds_it(full):
    html = page(full)
    found = Parsed(html)
    ids = Counter(attrs["id"] for _, attrs in found.elements if "id" in attrs)
    assert len(ids) > 100 and set(ids.values()) == {1}
    pointers = set(re.findall(r"url\(#([^)]+)\)", html))
    for _, attrs in found.elements:
        pointers |= {attrs[key].split("?")[0][1:] for key in ("href", "xlink:href") if attrs.get(key, "")[:1] == "#"}
        for key in ("aria-labelledby", "aria-describedby", "for"):
            pointers |= set(attrs.get(key, "").split())
    assert len(pointers) > 50 and pointers <= set(ids)


def test_the_contents_name_the_sections(full):
    html = page(full)
    for section in SECTIONS:
        if f'<section id="{section.name}"' in html:
            assert f'<a href="#{section.name}">{section.title}</a>' in html
            assert f'<h2 id="{section.name}-title">{section.heading or section.title}</h2>' in html
    titles = [section.title for section in SECTIONS]
    assert {"Verdict", "What went wrong", "Figures", "Summary", "Comparisons", "Runs", "Method"} < set(titles)


def test_every_figure_is_in_the_page_with_its_words(full):
    found = Parsed(page(full))
    assert len(full.figures) >= 5
    images = {attrs["aria-label"] for attrs in found.all("svg", role="img")} | {
        each["alt"] for each in found.all("img")
    }
    assert images == {drawing.alt for drawing in full.figures}
    assert all(drawing.caption in found.text for drawing in full.figures)


@pytest.mark.slow
def test_the_page_of_a_few_hundred_runs_is_small(tmp_path):
    inits = ["he", "xavier", "lecun", "orthogonal", "torch_default", "normal", "normal_small"]
    made_up_sweep(tmp_path, inits=inits, acts=["relu", "tanh", "sigmoid", "gelu"])
    report = report_on(load(tmp_path))
    assert len(report.frames["runs"]) == 168
    assert len(page(report).encode()) < 3_000_000


def test_an_svg_among_others():
    svg = """<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"
        width="72pt" height="36pt" viewBox="0 0 72 36"><metadata>x</metadata><defs><style>*{fill:red}</style>
        <clipPath id="p1"><path id="m" d="M 0 0" style="stroke: #222B38; fill: #123456"/></clipPath></defs>
        <g clip-path="url(#p1)"><use xlink:href="#m" fill="#e4e7ec"/><text>a &lt; b</text></g></svg>"""
    first, second = (inlined(svg, name, 'says "<x>"') for name in ("one", "two"))
    assert Parsed(first).all("svg")[0]["aria-label"] == 'says "<x>"'
    assert 'id="one-p1"' in first and "url(#one-p1)" in first and '"#one-m"' in first and "one-" not in second
    assert "stroke: var(--ink); fill: #123456" in first and 'fill="var(--rule)"' in first
    assert "<style" not in first and "metadata" not in first and "a &lt; b" in first


def test_names_may_hold_markup(tmp_path):
    runs = [finished(row(init, data=EVIL, seed=seed)) for init in ("he", EVIL) for seed in (0, 1)]
    runs.append(row("he", data=EVIL, seed=2) | {"status": "failed", "error": EVIL})
    plain = parsed(results_of(tmp_path / "plain", *(finished(row(init, seed=s)) for init in "ab" for s in (0, 1))))
    found = parsed(results_of(tmp_path / "evil", *runs), where=EVIL, command=["x", EVIL], notes=[EVIL])
    assert len(found.all("script")) == len(plain.all("script"))
    assert not found.all("b", onclick="x") and found.text.count(EVIL) > 5
    assert set(values_in(found.data, "init")) == {"he", EVIL}
    assert values_in(found.data, "data") == [EVIL] * 5


def contrast(one: str, other: str) -> float:
    """WCAG's ratio of two colours' luminances."""

    def luminance(colour: str) -> float:
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return float(np.dot(linear, (0.2126, 0.7152, 0.0722)))

    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_text_can_be_read_in_both_modes(full):
    pairs = dict(re.findall(r"--(\w+): light-dark\((#\w{6}, #\w{6})\)", page(full)))
    colours = {name: pair.split(", ") for name, pair in pairs.items()}
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    for mode in (0, 1):
        for text in ("ink", "muted", "link", "learned", "stuck", "diverged", "failed", "pending"):
            for ground in ("paper", "raised"):
                assert contrast(colours[text][mode], colours[ground][mode]) >= 4.5, (text, ground, mode)
        assert contrast(colours["link"][mode], colours["tint"][mode]) >= 4.5
        assert contrast(colours["edge"][mode], colours["paper"][mode]) >= 3


# ---------------------------------------------------------------- what it says


@pytest.mark.slow
def test_each_row_of_the_summary_leads_to_its_runs(tmp_path):
    runs = [finished(row("normal", seed=s, **{"init.std": std})) for std in (0.01, 1.0) for s in (0, 1, 2)]
    runs += [finished(row("he", act="my act", seed=seed)) for seed in (0, 1)]
    results = results_of(tmp_path, *runs)
    found = parsed(results)
    cells = values_in(found.data, "cell")
    run_ids = values_in(found.data, "run_id")
    assert sorted(run_ids) == sorted(run["run_id"] for run in runs)
    shown = []
    buttons = [attrs for attrs in found.all("button") if attrs.get("class") == "trace"]
    links = [unquote(a["href"][6:]) for a in found.all("a") if "init.std=" in a.get("href", "")]
    for button, condition in zip(buttons, links, strict=True):
        here = {run_id for run_id, cell in zip(run_ids, cells, strict=True) if cell == int(button["data-cell"])}
        values = {str(value) for value in results.runs.query("run_id in @here")["init.std"].dropna()}
        assert condition.split(" init.std=")[1] == (values.pop().removesuffix(".0") if values else "null")
        assert ('act="my act"' in condition) == (len(here) == 2)
        shown.append(len(here))
    assert sorted(shown) == [2, 3, 3]


def test_the_runs_are_those_of_the_csv(full):
    data = Parsed(page(full)).data
    assert values_in(data, "run_id") == full.frames["runs"]["run_id"].tolist()
    accuracy = pd.Series(values_in(data, "test_acc"), dtype=float)
    np.testing.assert_allclose(accuracy, full.frames["runs"]["test_acc"].astype(float), rtol=1e-5)
    assert (
        pd.Series(values_in(data, "diverged_step")).notna().sum()
        == (full.frames["runs"]["outcome"] == "diverged").sum()
        > 0
    )
    assert data["same"]["width"] == "100" and "width" not in data["columns"]


def test_one_seed_has_no_intervals(tmp_path):
    made_up_sweep(tmp_path, inits=["he", "xavier"], acts=["relu"], depths=[20], seeds=1)
    found = parsed(load(tmp_path))
    assert "One seed can't tell luck from merit" in found.text and "Use " not in found.text
    assert not re.search(r"\b(nan|NaN|None|inf|<NA>)\b", found.text)


def test_one_run_is_shown_with_its_numbers_and_without_comparisons(tmp_path):
    loss = 0.0033  # of numpy's type once it has been read
    report = report_on(results_of(tmp_path, finished(row(), train_loss=loss, test_acc=0.95)))
    found = Parsed(page(report))
    assert "np.float64" not in found.text
    assert values_in(found.data, "train_loss") == [loss] and "train_loss" in found.data["columns"]
    assert not {"outcomes", "margins", "seeds", "profiles"} & {drawing.name for drawing in report.figures}
    assert {"loss_curves", "gradient_norms"} <= {drawing.name for drawing in report.figures}


@pytest.mark.parametrize("case", ["pending", "failed", "stuck", "diverged"])
@pytest.mark.slow
def test_there_may_be_no_winner(tmp_path, case):
    runs = {
        "pending": [],
        "failed": [row() | {"status": "failed", "error": "out of memory"}],
        "stuck": [finished(row("zeros", seed=seed), "stuck", test_acc=0.1) for seed in (0, 1)],
        "diverged": [finished(row("normal", seed=seed), "diverged", diverged_step=3) for seed in (0, 1)],
    }[case]
    found = parsed(results_of(tmp_path, *runs, pending=(row(seed=7),) if case == "pending" else ()))
    expected = "No run has finished yet" if case in ("pending", "failed") else "No initializer learned"
    assert expected in found.text and ("out of memory" in found.text) == (case == "failed")
    assert ("What went wrong" in found.text) == (case != "pending")
    assert not re.search(r"\b(nan|NaN|inf|<NA>)\b", found.text)


def test_headline_cards_map_tally_and_json_say_the_same(tmp_path):
    """he wins clearly at depth 5; at depth 20 he and xavier may both be the best: one win, and no second one."""
    near, far = {"he": 0.95, "xavier": 0.90}, {"he": 0.950, "xavier": 0.951}
    runs = [
        finished(row(init, depth=depth, seed=seed), test_acc=level + 0.002 * (-1) ** (seed + (init == "he")))
        for depth, levels in ((5, near), (20, far))
        for init, level in levels.items()
        for seed in range(4)
    ]
    results = results_of(tmp_path, *runs)
    found, told = parsed(results), facts(report_on(results, drawn=False))
    text = re.sub(r"\s+", " ", found.text)
    assert told["headline"] == "he" and text.startswith(" he · demo")
    five, twenty = told["verdicts"]
    assert (five["state"], five["may_be_best"]) == ("clear", ["he"])
    assert (twenty["state"], twenty["may_be_best"]) == ("too close to call", ["xavier", "he"])
    assert "Use he: 95.0 % mean test accuracy, learned in 4 of 4 runs." in text
    assert "may be the best, by mean test accuracy: xavier (95.1 %) and he (95.0 %)" in text
    assert re.search(r"initializerwinsmay be best he 11 xavier 01", text)
    assert re.search(r"relu, depth 20 ○ too close to call xavier 95\.1 %", text)
    marked = {(row["init"], row["depth"]): (row["best"], row["may_be_best"]) for row in told["summary"]}
    assert marked == {
        ("he", 5): (True, True),
        ("xavier", 5): (False, False),
        ("xavier", 20): (True, True),
        ("he", 20): (False, True),
    }


def test_an_interval_that_holds_every_accuracy_is_a_dash(tmp_path):
    """By hand: the interquartile mean of 0.1, 0.2 and 0.9 is 0.4, give or take 4.303 * sqrt(0.38 / 6) = 1.08."""
    wide, narrow = ((0.1, 0.2, 0.9), (0.80, 0.81, 0.82))
    for name, values in {"wide": wide, "narrow": narrow}.items():
        runs = [finished(row(seed=seed), test_acc=value) for seed, value in enumerate(values)]
        results = results_of(tmp_path / name, *runs)
        summary = report_on(results, drawn=False).summary
        listed = summary_listing(summary, Names(Contests.of(results)))
        (cell,) = [
            cell for cell, column in zip(listed.rows[0], listed.columns, strict=True) if column.name == "test_acc_iqm"
        ]
        assert ("108" in cell.html or " to " in cell.html) == (name == "narrow") and ("–" in cell.html) == (
            name == "wide"
        )


@pytest.mark.slow
def test_many_contests_are_folded_into_a_table(tmp_path):
    made_up_sweep(tmp_path, inits=["he", "zeros"], acts=["relu", "tanh", "gelu"], depths=[2, 3, 5, 9, 20], seeds=2)
    found = parsed(load(tmp_path))
    cards = {attrs["id"] for attrs in found.all("article")}
    assert len(cards) == 15 and "contest-tanh-depth-9" in cards
    links = Counter(attrs["href"][1:] for attrs in found.all("a"))
    assert all(links[card] == 3 for card in cards)  # from the map, the table and the card itself
    assert found.all("details", **{"class": "all"})


def test_contests_of_like_names_have_cards_of_their_own(tmp_path):
    found = parsed(results_of(tmp_path, *(finished(row(act=act)) for act in ("a b", "a-b", "a_b"))))
    assert len({attrs["id"] for attrs in found.all("article")}) == 3


@pytest.mark.slow
def test_too_many_pairs_are_left_to_the_csv(tmp_path):
    inits = ["he", *(f"i{n}" for n in range(32))]
    made_up_sweep(tmp_path, inits=inits, acts=["relu"], depths=[20], seeds=2)
    found = parsed(load(tmp_path))
    assert "Of 528 pairs, only those with the winner of a contest are shown" in found.text  # 33 * 32 / 2
    assert "of 528 pairs" not in parsed(load(tmp_path), comparisons=pd.DataFrame()).text


def test_skipped_files_are_named(tmp_path):
    made_up_sweep(tmp_path, inits=["he"], acts=["relu", "tanh"], depths=[3], seeds=1)
    broken = tmp_path / "stacks" / "0000" / "runs.parquet"
    broken.write_bytes(b"PAR1")
    assert str(broken) in parsed(load(tmp_path)).text


@pytest.mark.parametrize(
    "numbers, text", [([0, 1, 2, 3], "0–3"), ([5], "5"), ([7, 0, 1, 9, 10], "0–1, 7, 9–10"), ([], "")]
)
def test_ranges(numbers, text):
    assert ranges(numbers) == text


def test_a_scale_shows_zero_and_the_near_rivals():
    def rivals(*rows):
        return pd.DataFrame(rows, columns=["behind", "low", "high"])

    low, high = _scale(rivals((0.01, -0.01, 0.03), (0.8, 0.7, 0.9)))
    assert -0.02 < low < -0.01 and 0.03 < high < 0.04
    low, high = _scale(rivals((np.nan, np.nan, np.nan)))
    assert low < 0 < high


# ---------------------------------------------------------------- in a browser

WIDE, NARROW = {"width": 1600, "height": 1000}, {"width": 400, "height": 800}


@pytest.fixture(scope="module")
def browser(needs) -> Iterator:
    from playwright.sync_api import sync_playwright

    chromium = needs("chromium")
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def address(full, tmp_path_factory) -> str:
    folder = tmp_path_factory.mktemp("report")
    (folder / "index.html").write_text(page(full), encoding="utf-8")
    full.frames["runs"].to_csv(folder / "runs.csv", index=False)
    for drawing in full.figures:  # which the page shows where there is no script to unpack one
        drawing.save(folder / f"{drawing.name}.svg")
    return (folder / "index.html").as_uri()


@pytest.fixture
def opened(browser, address):
    """Opens the page; whatever goes wrong in it by the end of the test is a failure."""
    wrong, contexts = [], []

    def open_(fragment: str = "", **settings):
        context = browser.new_context(**{"viewport": WIDE, "reduced_motion": "reduce"} | settings)
        tab = context.new_page()
        contexts.append(context)
        tab.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
        tab.on("pageerror", lambda error: wrong.append(str(error)))
        tab.on("requestfailed", lambda request: wrong.append(request.url))
        tab.on("request", lambda request: wrong.append(request.url) if request.url.startswith("http") else None)
        tab.goto(address + fragment)
        return tab

    yield open_
    for context in contexts:
        context.close()
    assert not wrong


def column(tab, table: str, name: str) -> list[str]:
    """The texts of a column that is on show."""
    place = tab.locator(f"#{table}-list thead th").evaluate_all(
        f"heads => heads.findIndex(h => h.dataset.name == '{name}')"
    )
    return tab.locator(f"#{table}-list tbody tr:not(.trail) > td:nth-child({place + 1})").all_inner_texts()


@pytest.mark.browser
def test_a_table_sorts_by_click_and_by_key(opened, full):
    tab = opened()
    head = tab.locator("#summary-list th[data-name=test_acc_median]")
    head.locator("button").click()
    assert head.get_attribute("aria-sort") == "descending"
    best = full.summary["test_acc_median"].sort_values(ascending=False)
    first = [f"{100 * value:.1f} %" for value in best.dropna()]

    def shown() -> list[str]:
        texts = column(tab, "summary", "test_acc_median")
        return [text.split(" %")[0] + " %" * ("%" in text) for text in texts]

    assert shown()[: len(first)] == first
    assert set(shown()[len(first) :]) == {"diverged"}  # missing ones are last
    tab.keyboard.press("Enter")
    assert head.get_attribute("aria-sort") == "ascending"
    assert shown()[: len(first)] == first[::-1]
    tab.locator("#summary-list th[data-name=depth] button").press("Space")
    assert head.get_attribute("aria-sort") == "none"


@pytest.mark.browser
def test_a_table_filters_by_words_conditions_and_buttons(opened, full):
    tab = opened()
    box, said = tab.locator("#runs-filter"), tab.locator("#runs-list output")
    assert said.inner_text() == f"{len(full.frames['runs'])} rows"
    box.fill("depth>=20 init=he|xavier test_acc>0.9")
    wanted = full.frames["runs"].query("depth >= 20 and init in ['he', 'xavier'] and test_acc > 0.9")
    assert sorted(column(tab, "runs", "run_id")) == sorted(wanted["run_id"])
    assert said.inner_text() == f"{len(wanted)} of {len(full.frames['runs'])} rows"
    box.fill("tanh stuck")
    stuck = full.frames["runs"].query("act == 'tanh' and outcome == 'stuck'")
    assert said.inner_text().startswith(f"{len(stuck)} of")
    box.fill("dept=3")
    assert said.inner_text().startswith("no column dept; there is ") and "depth" in said.inner_text()
    box.fill("")
    tab.locator("#runs-list .chip", has_text="diverged").click()
    assert said.inner_text().startswith(f"{(full.frames['runs']['outcome'] == 'diverged').sum()} of")
    tab.locator("#runs-list .chip", has_text="diverged").click()
    assert said.inner_text() == f"{len(full.frames['runs'])} rows"


@pytest.mark.browser
def test_a_number_leads_to_its_runs(opened, full):
    tab = opened()
    best = tab.locator("#summary-list tbody tr").first
    wanted = full.frames["runs"].merge(full.summary.loc[:0, ["init", "act", "depth"]])
    best.locator(".trace").click()
    trail = tab.locator("tr.trail tr td:first-child").all_inner_texts()
    assert trail == wanted["run_id"].tolist() and len(trail) == 5
    best.locator(".trace").press("Enter")
    assert tab.locator("tr.trail").count() == 0
    best.locator(".runs a").click()
    assert column(tab, "runs", "run_id") == wanted["run_id"].tolist()
    assert tab.locator("#runs").evaluate("box => Math.abs(box.getBoundingClientRect().top)") < 200
    again = opened(tab.evaluate("location.hash"))  # the address can be sent to somebody
    assert column(again, "runs", "run_id") == wanted["run_id"].tolist()
    again.locator(".card h3 a").last.click()
    assert again.locator(".card:target").is_visible()


@pytest.mark.browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("viewport", [WIDE, NARROW], ids=["wide", "narrow"])
def test_it_fits_and_every_image_shows(opened, tmp_path, viewport, scheme):
    tab = opened(viewport=viewport, color_scheme=scheme)
    assert tab.evaluate("document.documentElement.scrollWidth") == viewport["width"]
    images = tab.evaluate("""async () => {
        const found = [...document.querySelectorAll("img, image")];
        const widths = found.map(async image => {
            const copy = new Image();
            copy.src = image.src ?? image.href.baseVal;
            await copy.decode();
            return copy.naturalWidth;
        });
        return Promise.all(widths);
    }""")
    assert len(images) > 3 and all(images)
    assert tab.locator("figure svg[role=img]").evaluate_all(
        "all => all.every(one => one.getBoundingClientRect().height > 50)"
    )
    ground = tab.evaluate("getComputedStyle(document.body).backgroundColor")
    assert ground == {"light": "rgb(255, 255, 255)", "dark": "rgb(20, 24, 31)"}[scheme]
    assert len(tab.screenshot(path=tmp_path / "page.png", full_page=True)) > 50_000
    tab.locator(".theme button[data-theme=light]").dispatch_event("click")
    assert tab.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"


@pytest.mark.browser
def test_shares_are_written_in_per_cent_by_page_and_reader(opened, full):
    tab = opened()
    box, said = tab.locator("#runs-filter"), tab.locator("#runs-list output")
    many = (full.frames["runs"]["test_acc"] > 0.9).sum()
    for text in ("test_acc>90%", "test_acc>0.9"):
        box.fill(text)
        assert said.inner_text() == f"{many} of {len(full.frames['runs'])} rows"
    assert all(text.endswith(" %") for text in column(tab, "runs", "test_acc"))
    box.fill("test_acc>90")
    assert said.inner_text() == "test_acc is a share: write test_acc>90%"
    box.fill(">90%")
    assert said.inner_text().startswith("of which column? There is ")
    heads = tab.locator("#summary-list thead th")
    names = heads.evaluate_all("heads => heads.map(head => head.dataset.name)")
    assert [text.split("\n")[0].strip(" \xa0↕") for text in heads.all_inner_texts()] == names  # those to type


@pytest.mark.browser
def test_a_click_highlights_an_initializer_everywhere_and_another_ends_it(opened):
    tab = opened()
    tab.locator("#figure-loss_curves .key", has_text="xavier").click()
    tab.wait_for_function("document.querySelectorAll('.sheet > .packed').length === 0")

    def opacity(figure: str, label: str) -> float:
        line = tab.locator(f'#figure-{figure} svg[role=img] [data-axes] [data-init="{label}"]').first
        ended = "line => Promise.all(line.getAnimations().map(each => each.finished))"  # they fade
        line.evaluate(ended)
        return float(line.evaluate("line => getComputedStyle(line).opacity"))

    for figure in ("outcomes", "loss_curves", "gradient_norms", "profiles"):
        assert opacity(figure, "xavier") == 1 and opacity(figure, "he") < 0.2, figure
    rows = tab.locator("#figure-seeds [data-axes]").count() * (tab.locator("#figure-seeds .key").count() - 1)
    assert tab.locator("#figure-seeds .veil").count() == rows  # over all rows but one
    tab.locator("#summary-list .init", has_text="he").first.click()
    assert opacity("loss_curves", "he") == 1 and opacity("loss_curves", "xavier") < 0.2
    tab.locator("#summary-list .init", has_text="he").first.click()
    assert opacity("loss_curves", "xavier") == 1 and tab.locator(".veil").count() == 0


@pytest.mark.browser
def test_a_pointer_is_told_the_value_beneath_it(opened, full):
    tab = opened()
    tab.wait_for_function("document.querySelectorAll('.sheet > .packed').length === 0")
    tab.locator('#figure-outcomes [data-cell][data-init="he"]').first.hover(force=True)  # its number is part of it
    best = full.summary.query("init == 'he' and act == 'relu' and depth == 3")["test_acc_median"].item()
    assert tab.locator(".tip").inner_text().startswith(f"he: median test accuracy {100 * best:.1f} %")
    where = tab.evaluate("""() => {
        const figure = document.querySelector("#figure-seeds");
        figure.scrollIntoView();
        const { x, y } = panelsOf(figure)[0].points[0].at, svg = figure.querySelector("svg[role=img]");
        const place = new DOMPoint(x, y).matrixTransform(svg.getScreenCTM());
        return [place.x, place.y];
    }""")
    tab.mouse.move(*where)
    label, text = tab.locator(".tip").inner_text().split(": ")
    runs = full.frames["runs"].query("act == 'relu' and depth == 3")
    said = {f"{100 * value:.1f}" for value in runs.loc[runs["init"] == label, "test_acc"]}
    assert text.removeprefix("test accuracy ").removesuffix(" %") in said


@pytest.mark.browser
def test_on_a_phone_names_legend_and_theme_stay_in_sight(opened):
    tab = opened(viewport=NARROW)
    tab.wait_for_function("document.querySelectorAll('.sheet > .packed').length === 0")
    theme = tab.locator(".theme").bounding_box()
    assert theme["x"] >= 0 and theme["x"] + theme["width"] <= 400
    for name in ("seeds", "loss_curves"):
        box = tab.locator(f"#figure-{name} .scroll")
        box.scroll_into_view_if_needed()
        assert box.evaluate("box => { box.scrollLeft = 10_000; return box.scrollLeft; }") > 100
        frozen = tab.locator(f"#figure-{name} .frozen").bounding_box()
        assert frozen["width"] > 30 and abs(frozen["x"] - box.bounding_box()["x"]) < 1
        keys = tab.locator(f"#figure-{name} .key").evaluate_all(
            "all => all.map(key => key.getBoundingClientRect().right)"
        )
        assert max(keys) <= 400


@pytest.mark.browser
def test_rows_and_figures_of_a_long_page_are_packed_and_found(browser, full, tmp_path, monkeypatch):
    monkeypatch.setattr("initbench.report.page.page.LARGE", 4_000)
    html = page(full)
    assert html.count('class="packed"') > 8
    assert max(len(body) for body in re.findall(r"<tbody>(.*?)</tbody>", html, re.DOTALL)) < 4_500
    (tmp_path / "index.html").write_text(html, encoding="utf-8")
    tab = browser.new_page(viewport=WIDE)
    wrong: list[str] = []
    tab.on("pageerror", lambda error: wrong.append(str(error)))
    tab.goto((tmp_path / "index.html").as_uri() + "#summary?init=zeros")
    said = tab.locator("#summary-list output")
    zeros = full.summary.query("init == 'zeros'")
    tab.wait_for_function(f"document.querySelector('#summary-list output').textContent.startsWith('{len(zeros)} of')")
    assert said.inner_text() == f"{len(zeros)} of {len(full.summary)} rows"
    tab.locator("#summary-list .trace").first.click()
    tab.wait_for_selector("tr.trail")
    assert tab.locator("tr.trail tr").count() == 1 + 5  # its head and its seeds
    tab.wait_for_function("document.querySelectorAll('.sheet > .packed').length === 0")
    assert tab.locator("figure svg[role=img]").count() == len(full.figures)
    assert not wrong
    tab.close()


@pytest.mark.browser
def test_it_is_whole_without_javascript_and_on_paper(opened, full):
    tab = opened(java_script_enabled=False)
    assert tab.locator("#summary-list tbody tr").count() == len(full.summary)
    assert tab.locator("#summary-list tbody tr").last.is_visible() and not tab.locator("#summary-filter").is_visible()
    printed = opened()
    printed.emulate_media(media="print", color_scheme="dark")
    assert printed.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert not printed.locator(".contents").is_visible() and printed.locator("#summary-list").is_visible()


@pytest.mark.browser
def test_filters_find_names_that_hold_anything(browser, tmp_path):
    names = [EVIL, 'a "quoted" \\ | name', "tab\tand  spaces", "x=1"]
    results = results_of(tmp_path, *(finished(row(name, seed=seed)) for name in names for seed in (0, 1)))
    (tmp_path / "index.html").write_text(page(report_on(results, drawn=False)), encoding="utf-8")
    tab = browser.new_page()
    for name in names:
        tab.goto("about:blank")
        tab.goto((tmp_path / "index.html").as_uri() + link("runs", {"init": name}))
        wanted = results.runs.loc[results.runs["init"] == name, "run_id"].tolist()
        assert column(tab, "runs", "run_id") == wanted
    tab.close()
