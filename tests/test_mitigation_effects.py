"""What mitigations do to the spread between initializers: known numbers come out, and no more is said than is so."""

# pandas annotates nearly everything as "Series or DataFrame or unknown": these checks see only that.
# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportGeneralTypeIssues=false
# pyright: reportCallIssue=false

import itertools
import math
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import scipy.stats
from markupsafe import escape
from matplotlib.colors import to_hex
from rich.console import Console, RenderableType
from typer.testing import CliRunner

from initbench.analysis import mitigations
from initbench.analysis.axes import value_text
from initbench.analysis.contests import Contests
from initbench.analysis.mitigations.effects import baseline
from initbench.analysis.mitigations.verdicts import LESS, NEVER, NO_LONGER, SAME, UNKNOWN, WORSE
from initbench.analysis.summary import steps_to_target
from initbench.cli import app
from initbench.report.compose import report_on
from initbench.report.figures.mitigations import COLOURS
from initbench.report.outputs import facts, page, write
from initbench.report.page.winners import mitigation_headline
from initbench.report.report import Report
from initbench.report.terminal import rescues_shown
from initbench.results.load import Results, load
from initbench.results.schema import OUTCOME_TYPES
from initbench.results.store import Store
from results_on_disk import curves_of, finished, joined, row

SEEDS = 5


def results_of(root: Path, runs: list[dict], **tables_) -> Results:
    store = Store(root)
    store.save_sweep("demo", info={}, runs=[{k: v for k, v in run.items() if k not in OUTCOME_TYPES} for run in runs])
    curves = joined([curves_of(run, np.random.default_rng(0), 0.9) for run in runs])
    store.save_stack("ab", runs=runs, **curves, info={})
    return load(root)


def grid(cells: dict[Any, dict[str, Any]], axis: str = "mitigation", **settings) -> list[dict]:
    """Runs of cells[mitigation][init], an accuracy a seed: from 0.5 on learned, below it stuck, None diverged."""
    return [
        finished(row(init, seed=seed, **{axis: value} | settings), "diverged", diverged_step=45)
        if acc is None
        else finished(
            row(init, seed=seed, **{axis: value} | settings), "learned" if acc >= 0.5 else "stuck", test_acc=acc
        )
        for value, inits in cells.items()
        for init, accs in inits.items()
        for seed, acc in enumerate(accs)
    ]


def found(results: Results) -> mitigations.MitigationEffects:
    (one,) = mitigations.mitigation_effects(Contests.of(results), steps_to_target(results))
    return one


def noisy(*means: float, sd: float = 0.01, seeds: int = SEEDS, seed: int = 0) -> list[list[float]]:
    draws = np.random.default_rng(seed).normal(size=(len(means), seeds))
    return [[float(mean + sd * z) for z in zs] for mean, zs in zip(means, draws, strict=True)]


INITS = ("he", "xavier", "lecun", "orthogonal", "kumar", "critical")


def columns(*means: float, sd: float = 0.01, seed: int = 0) -> dict[str, Any]:
    return dict(zip(INITS, noisy(*means, sd=sd, seed=seed), strict=False))


# ---------------------------------------------------------------- with and without


def test_spreads_by_hand(tmp_path):
    cells = {
        "none": {"he": [0.9, 0.8], "xavier": [0.7, 0.4], "zeros": [0.1, 0.1], "normal": [None, 0.2]},
        "adam": {"he": [0.9, 0.9], "xavier": [0.8, 0.6], "zeros": [0.1, 0.1], "normal": [0.8, 0.8]},
    }
    (at,) = found(results_of(tmp_path, grid(cells))).panels.to_dict("records")
    assert (at["value"], at["seeds"], at["initializers"], at["compared"]) == ("adam", 2, 4, 2)  # normal diverged
    assert at["range_without"] == pytest.approx((0.2 + 0.4) / 2)
    assert at["range_with"] == pytest.approx((0.1 + 0.3) / 2)
    assert at["range_difference"] == pytest.approx(-0.1)
    assert at["std_difference"] == pytest.approx(-0.1 / math.sqrt(2))
    assert at["learned_without"] == pytest.approx(3 / 8) and at["learned_with"] == pytest.approx(6 / 8)
    assert at["rescued_names"] == "xavier, normal" and at["failing_names"] == "zeros" and at["learning_names"] == "he"
    assert (at["rescued"], at["broken"], at["failing"], at["learning"]) == (2, 0, 1, 1)


def test_steps_are_compared_by_their_logarithm_where_all_get_there(tmp_path):
    cells = {value: {init: [0.9] * 2 for init in ("he", "xavier", "lecun")} for value in ("none", "adam")}
    results = results_of(tmp_path, grid(cells))
    first = {("none", "he"): 100, ("none", "xavier"): 1000, ("adam", "he"): 50, ("adam", "xavier"): 100}
    keys = zip(results.runs["mitigation"], results.runs["init"], strict=True)
    steps = pd.Series([first.get(key, math.inf) for key in keys], index=results.runs["run_id"])
    (at,) = mitigations.mitigation_effects(Contests.of(results), steps)[0].panels.to_dict("records")
    assert at["timed"] == 2  # lecun never does
    assert at["steps_range_without"] == pytest.approx(1) and at["steps_range_with"] == pytest.approx(math.log10(2))


def test_only_the_seeds_and_initializers_that_both_have(tmp_path):
    runs = grid({"none": columns(0.9, 0.8, 0.7), "adam": columns(0.9, 0.9)})
    runs = [run for run in runs if not (run["mitigation"] == "adam" and run["seed"] == 4)]
    (at,) = found(results_of(tmp_path, runs)).panels.to_dict("records")
    assert (at["initializers"], at["seeds"]) == (2, 4)


def test_more_seeds_of_one_initializer_cost_the_others_nothing(tmp_path):
    cells = {
        "none": columns(0.9, 0.8, 0.7, 0.2) | {"normal": [0.9] * 4 + [0.2] * 6},
        "adam": columns(0.9, 0.9, 0.9, 0.9, seed=1) | {"normal": [0.9] * 10},
    }
    one = found(results_of(tmp_path, grid(cells)))
    (at,) = one.panels.to_dict("records")
    assert (at["initializers"], at["paired"], at["compared"], at["seeds"]) == (5, 5, 5, SEEDS)
    first = [*list(cells["none"].values())[:4], cells["none"]["normal"][:SEEDS]]
    assert at["range_without"] == pytest.approx(np.ptp(np.array(first), axis=0).mean())
    # by all ten seeds normal fails without, though four of the first five learn
    assert at["rescued_names"] == "orthogonal, normal" and at["learning"] == 3
    assert at["learned_without"] == pytest.approx((3 * 5 + 4) / 25)
    assert one.components["seeds"].tolist() == [SEEDS] * 2 and one.components["initializers"].tolist() == [5] * 2


def test_an_initializer_with_too_few_seeds_is_counted_all_the_same(tmp_path):
    late = {"kumar": [0.2], "normal": [0.9]}
    cells = {"none": columns(0.9, 0.8, 0.7) | late, "adam": columns(0.9, 0.9, 0.9) | late | {"kumar": [0.9]}}
    (at,) = found(results_of(tmp_path, grid(cells))).panels.to_dict("records")
    assert (at["initializers"], at["paired"], at["seeds"]) == (5, 3, SEEDS)
    assert at["rescued_names"] == "kumar" and at["learning"] == 4
    assert (at["sound"], at["sound_paired"]) == (5, 3)


def test_a_comparison_has_two_initializers(tmp_path):
    cells = {value: {"he": [0.9] * 9, "xavier": [0.7] * 4} for value in ("none", "adam")}
    (at,) = found(results_of(tmp_path, grid(cells))).panels.to_dict("records")
    assert (at["paired"], at["seeds"]) == (2, 4) and at["range_without"] == pytest.approx(0.2)


def test_a_cell_with_more_seeds_leaves_the_others_in_the_interaction(tmp_path):
    cells = {value: columns(0.9, 0.8, 0.7) for value in ("none", "adam", "batchnorm")}
    cells["none"] |= {"he": [0.9] * 12}
    one = found(results_of(tmp_path, grid(cells)))
    assert one.components[["initializers", "values", "seeds"]].to_numpy().tolist() == [[3, 3, SEEDS]] * 2
    assert set(one.components["left_out"]) == {""}


def test_a_panel_with_one_seed_leaves_the_others_theirs(tmp_path):
    short = {value: {"he": [0.9], "xavier": [0.1]} for value in ("none", "adam")}
    cells = {"none": columns(0.9, 0.7), "adam": columns(0.9, 0.9, seed=1)}
    runs = [*grid(cells, depth=5), *grid(cells, depth=10), *grid(short, depth=20)]
    (over,) = found(results_of(tmp_path, runs)).overall.to_dict("records")
    assert (over["panels"], over["range_panels"], over["learned_panels"]) == (3, 2, 2)
    without = np.ptp(np.array(list(cells["none"].values())), axis=0)
    assert over["range_without"] == pytest.approx(without.mean())
    assert over["range_low"] < over["range_difference"] < over["range_high"]


def test_what_has_no_value_for_without_is_no_mitigation(tmp_path):
    results = results_of(tmp_path, grid({"adam": columns(0.9, 0.8), "sgd": columns(0.9, 0.8)}))
    assert mitigations.mitigation_effects(Contests.of(results), pd.Series(dtype="float64")) == []


def test_a_panel_without_the_baseline_is_named(tmp_path):
    both = {"none": {"he": [0.1, 0.1]}, "adam": {"he": [0.9, 0.9]}}
    runs = [*grid(both, depth=5), *grid({"adam": {"he": [0.9, 0.9]}}, depth=20)]
    one = found(results_of(tmp_path, runs))
    assert one.without_baseline == ["relu, depth 20"] and one.overall["panels"].tolist() == [1]
    assert mitigations.answer(one)[-1] == "Not counted, because no run has mitigation=none there: relu, depth 20."


def test_a_key_that_begins_like_a_mitigation_is_none():
    values = pd.Series([False, True])
    assert baseline("model.tied", values) == "False" and baseline("model.tied_embeddings", values) is None


@pytest.mark.parametrize(
    ("axis", "values"),
    [
        ("norm", ("none", "batch")),
        ("schedule", ("constant", "cosine")),
        ("gradient.clip_norm", (None, 1.0)),
        ("model.branch_scale", (None, 1.0)),
        ("model.tied", (None, True)),
        ("model.tied", (False, True)),  # as it may be typed
        ("data.scale", (None, 10.0)),
        ("data.spread", (None, 1.0)),
        ("data.standardize", ("global", "none")),
    ],
)
def test_any_axis_that_can_be_off(tmp_path, axis, values):
    runs = grid({value: columns(0.9, 0.3) for value in values}, axis=axis)
    one = found(results_of(tmp_path, runs))
    assert one.axis == axis and one.values == [value_text(values[1])]
    assert one.baseline == value_text(values[0])


def test_optimizers_are_compared_though_each_has_its_own_rate(tmp_path):
    rates = {"sgd": 0.01, "adam": 0.001}
    runs = [run for optim, lr in rates.items() for run in grid({optim: columns(0.9, 0.3)}, axis="optim", lr=lr)]
    one = found(results_of(tmp_path, runs))
    assert (one.axis, one.baseline, one.values) == ("optim", "sgd", ["adam"]) and "lr" not in one.panels


def test_the_number_of_steps_may_be_swept_too(tmp_path):
    cells = {value: {init: [0.9] * 2 for init in ("he", "xavier")} for value in ("none", "adam")}
    runs = [run for steps in (60, 80) for run in grid(cells, steps=steps)]
    results = results_of(tmp_path, runs)
    target = pd.Series(np.where(results.runs["init"] == "he", 10, 40), index=results.runs["run_id"])
    (one,) = mitigations.mitigation_effects(Contests.of(results), target)
    assert one.panels["steps"].tolist() == [60, 80]
    assert one.panels["sentence"].str.contains("steps [68]0").all()
    np.testing.assert_allclose(one.panels["steps_range_without"], math.log10(4))


def test_the_most_useful_first(tmp_path):
    cells = {
        "none": columns(0.9, 0.2, 0.2),
        "worse": columns(0.2, 0.2, 0.2),
        "good": columns(0.9, 0.9, 0.9),
        "idle": columns(0.9, 0.2, 0.2),
    }
    one = found(results_of(tmp_path, grid(cells)))
    assert one.values == ["good", "idle", "worse"]
    assert one.overall["rescued"].tolist() == [2, 0, 0] and one.overall["broken"].tolist() == [0, 0, 1]


def test_panels_are_averaged_seed_by_seed(tmp_path):
    runs = []
    for depth, (a, b) in {5: (0.9, 0.7), 20: (0.9, 0.5)}.items():
        cells = {"none": {"he": [a] * 3, "xavier": [b] * 3}, "x": {"he": [a] * 3, "xavier": [a] * 3}}
        runs += grid(cells, depth=depth)
    (over,) = found(results_of(tmp_path, runs)).overall.to_dict("records")
    assert (over["panels"], over["range_panels"]) == (2, 2)
    assert over["range_without"] == pytest.approx(0.3) and over["range_difference"] == pytest.approx(-0.3)


# ---------------------------------------------------------------- words


def verdict(tmp_path, without: dict, with_: dict) -> dict:
    (at,) = found(results_of(tmp_path, grid({"none": without, "batchnorm": with_}))).panels.to_dict("records")
    return at


def test_no_longer_matters(tmp_path):
    with_ = columns(0.95, 0.95, 0.95, 0.95, 0.95, sd=0.004, seed=1) | {"zeros": [0.1] * SEEDS}
    at = verdict(tmp_path, columns(0.96, 0.9, 0.6, 0.3, 0.2) | {"zeros": [0.1] * SEEDS}, with_)
    assert at["verdict"] == NO_LONGER
    text = at["sentence"]
    assert text.startswith("With batchnorm the choice among 5 sound initializers no longer matters at relu, depth 20")
    spreads = np.ptp(np.array([with_[init] for init in INITS[:5]]), axis=0)
    half = scipy.stats.t.ppf(0.975, 4) * spreads.std(ddof=1) / math.sqrt(5)
    low, high = (f"{100 * (spreads.mean() + sign * half):.1f}" for sign in (-1, 1))
    assert f"(spread {100 * spreads.mean():.1f} [{low}, {high}] points" in text
    assert text.endswith("it rescues orthogonal and kumar; zeros still fails.")


def test_it_never_mattered(tmp_path):
    at = verdict(tmp_path, columns(*[0.95] * 6, sd=0.004, seed=4), columns(*[0.95] * 6, sd=0.004, seed=5))
    assert at["verdict"] == NEVER and "nor without it" in at["sentence"]


def test_what_barely_mattered_is_not_said_to_matter_no_longer(tmp_path):
    """Told apart without it by a hair, and not with it: two tests on either side of 5 % are no difference."""
    without = columns(0.9485, 0.9575, 0.953, 0.9485, 0.9575, 0.953, sd=0.004, seed=4)
    at = verdict(tmp_path, without, columns(*[0.953] * 6, sd=0.004, seed=5))
    assert at["sound_p_without"] <= 0.05 < at["sound_p"] and not at["sound_closer"]
    assert at["verdict"] not in (NO_LONGER, NEVER)


def test_noise_of_many_points_is_not_called_harmless(tmp_path):
    """Seeds that jump by ten points hide whether initializers differ by as much."""
    at = verdict(tmp_path, columns(0.96, 0.9, 0.6, 0.3, 0.2), columns(*[0.75] * 5, sd=0.08, seed=1))
    assert at["verdict"] in (LESS, UNKNOWN)


def test_two_sound_initializers_and_five_seeds_tell_little(tmp_path):
    at = verdict(tmp_path, columns(0.9, 0.3), columns(0.95, 0.95, sd=0.004))
    assert at["sound_ratio_high"] > 1 and at["verdict"] != NO_LONGER


def test_closer_but_still_apart(tmp_path):
    at = verdict(tmp_path, columns(0.95, 0.8, 0.65, 0.35, 0.2), columns(0.95, 0.9, 0.85, 0.8, 0.75, seed=1))
    assert at["verdict"] == LESS and "still differ" in at["sentence"]


def test_a_spread_that_stays_is_told_from_one_that_nobody_knows(tmp_path):
    """60 points apart with and without, to less than a point; where the seeds jump by ten, nobody knows."""
    apart = columns(0.95, 0.8, 0.65, 0.35, sd=0.002)
    at = verdict(tmp_path / "stays", apart, columns(0.95, 0.8, 0.65, 0.35, sd=0.002, seed=1))
    assert at["verdict"] == SAME and max(abs(at["range_low"]), abs(at["range_high"])) < 0.02
    assert "With batchnorm the initializers lie as far apart as without at relu, depth 20" in at["sentence"]
    at = verdict(tmp_path / "unknown", apart, columns(0.95, 0.8, 0.65, 0.35, sd=0.1, seed=1))
    assert at["verdict"] == UNKNOWN


def test_a_spread_that_shrinks_because_all_fail_is_worse(tmp_path):
    at = verdict(tmp_path, columns(0.95, 0.9, 0.85, 0.2), columns(0.6, 0.3, 0.3, 0.2))
    assert at["range_with"] < at["range_without"]
    assert at["verdict"] == WORSE and at["sentence"].startswith("batchnorm makes it worse")
    assert "it breaks xavier and lecun" in at["sentence"]


def test_one_seed_tells_nothing(tmp_path):
    cells = {"none": {"he": [0.9], "xavier": [0.3]}, "x": {"he": [0.9], "xavier": [0.9]}}
    (at,) = found(results_of(tmp_path, grid(cells))).panels.to_dict("records")
    assert at["verdict"] == UNKNOWN and math.isnan(at["range_low"]) and "[" not in at["sentence"]


def test_the_headline_names_those_that_are_best(tmp_path):
    """Two rescue two of two more than they break: one as many as the other, or one more and breaks one."""
    stuck, learned = [0.1, 0.1], [0.9, 0.9]
    without = {"he": stuck, "xavier": stuck, "lecun": learned}
    cells = {"none": without, "a": dict.fromkeys(without, learned), "b": dict.fromkeys(without, learned), "c": without}
    rescues = [found(results_of(tmp_path, grid(cells)))]
    assert mitigation_headline(rescues) == "a and b rescue 2 of 2 failing cells"


# ---------------------------------------------------------------- figure, files, page


@pytest.fixture(scope="module")
def full(tmp_path_factory) -> Report:
    root = tmp_path_factory.mktemp("full")
    cells: dict = {
        "none": columns(0.96, 0.9, 0.6, 0.3) | {"zeros": [0.1] * SEEDS, "normal": [None] * SEEDS},
        "batchnorm": columns(*[0.95] * 4, sd=0.004, seed=1) | {"zeros": [0.1] * SEEDS, "normal": [0.9] * 4 + [0.2]},
        "clip": columns(0.96, 0.9, 0.6, 0.3, seed=2) | {"zeros": [0.1] * SEEDS, "normal": [None] * 2 + [0.2] * 3},
    }
    runs = list(itertools.chain(*(grid(cells, act=act, depth=depth) for act in ("relu", "tanh") for depth in (5, 20))))
    return report_on(results_of(root, runs))


@pytest.mark.slow
def test_the_heatmap_has_every_cell_in_its_place(full):
    (drawing,) = [drawing for drawing in full.figures if drawing.name == "rescue"]
    axes = drawing.figure.axes
    assert [ax.get_title(loc="left") for ax in axes] == [f"{a}, depth {d}" for d in (5, 20) for a in ("relu", "tanh")]
    ax = axes[0]
    mitigations = [text.get_text() for text in ax.get_yticklabels()]
    inits = [text.get_text() for text in ax.get_xticklabels()]
    assert mitigations == ["none", "batchnorm", "clip"] and inits[-1] == "zeros"
    texts = {(round(t.get_position()[0]), round(t.get_position()[1])): t.get_text() for t in ax.texts}
    assert texts[inits.index("normal"), 0] == "×" and texts[inits.index("normal"), 1] == "90"
    assert texts[inits.index("zeros"), 2] == "10" and len(texts) == 18
    boxes = {to_hex(patches.get_facecolor()[0]): len(patches.get_paths()) for patches in ax.collections}
    # 3 + 5 + 3 cells learned and one strip; 2 + 1 + 3 stuck with two; 1 diverged and a strip
    assert boxes == {COLOURS["learned"]: 12, COLOURS["stuck"]: 8, COLOURS["diverged"]: 2}


@pytest.mark.slow
def test_what_is_written(full, tmp_path):
    files = write(full, tmp_path)
    csv = {f"{name}.csv" for name in ("rescue", "rescue_panels", "interaction")}
    assert csv | {f"rescue.{suffix}" for suffix in ("md", "tex", "html")} <= set(files)
    over, panels = (pd.read_csv(files[name]) for name in ("rescue.csv", "rescue_panels.csv"))
    assert over["value"].tolist() == ["batchnorm", "clip"] and over["rescued"].tolist() == [8, 0]
    assert len(panels) == 8 and {"act", "depth", "verdict", "sentence"} <= set(panels)
    assert "| batchnorm | 8 | 0 | 4 | 12 |" in files["rescue.md"].read_text()
    told = facts(full)
    assert told["rescue"][0]["value"] == "batchnorm" and len(told["interaction"]) == 8


def test_the_page_answers_first(full):
    html = page(full)
    assert "batchnorm rescues 8 of 12 failing cells</h1>" in html
    assert html.index('id="rescue"') < html.index('id="verdict"')
    assert str(escape(full.rescues[0].panels["sentence"][0])) in html


@pytest.mark.slow
def test_results_without_mitigations_have_no_such_section(tmp_path):
    plain = report_on(results_of(tmp_path, grid({"none": columns(0.9, 0.3)})))
    assert plain.rescues == [] and 'id="rescue"' not in page(plain)
    assert not {name for name in write(plain, tmp_path / "to") if name.startswith(("rescue", "interaction"))}


# ---------------------------------------------------------------- terminal


def lines_of(shown: RenderableType) -> list[str]:
    """What a terminal of 80 characters prints."""
    console = Console(width=80, file=StringIO())
    with console.capture() as text:
        console.print(shown)
    return [line.rstrip() for line in text.get().splitlines()]


def test_a_terminal_shows_the_most_useful_of_many(tmp_path):
    idle = {f"residual_learned_{i:02}": columns(0.95, 0.3, 0.2, seed=i) for i in range(24)}
    cells = {"none": columns(0.95, 0.3, 0.2), **idle, "batchnorm": columns(0.95, 0.95, 0.3)}
    lines = lines_of(rescues_shown([found(results_of(tmp_path, grid(cells)))]))
    titles, first, *_ = (line.split() for line in lines if line.startswith(("mitigation", "batchnorm")))
    assert titles == ["mitigation", "rescued", "broken", "failing", "without", "with", "change"]
    assert first[:4] == ["batchnorm", "1", "0", "1"]
    assert len([line for line in lines if line.startswith("residual_learned")]) == 19
    assert [line.strip() for line in lines].count(
        "and 5 more"
    ) == 1  # one table, not one for some of the columns and one for others
    answer = lines[lines.index("What each mitigation does") + 1]
    assert answer.startswith("  batchnorm rescues 1 of 2 failing cells; the spread ")


@pytest.mark.slow
@pytest.mark.parametrize("axis", ["mitigation", "norm", "act"])
def test_the_command_prints_what_a_mitigation_does(tmp_path, axis):
    values = ("relu", "tanh") if axis == "act" else ("none", "batch")
    cells = dict(zip(values, (columns(0.95, 0.3), columns(0.95, 0.94)), strict=True))
    results_of(tmp_path, grid(cells, axis=axis))
    printed = CliRunner().invoke(app, ["report", str(tmp_path)]).stdout
    assert (f"What each {axis} does\n  batch rescues 1 of 1 failing cell; the spread between" in printed) == (
        axis != "act"
    )
    assert printed.count("What each") == (axis != "act")


# ---------------------------------------------------------------- ensembles over seeds


def test_an_ensemble_by_hand(tmp_path):
    """Three members that each err on another of three examples are right together; a diverged one has no say."""
    runs = grid({"none": {"he": [0.67, 0.67, 0.67, None], "xavier": [0.67]}})
    results = results_of(tmp_path, runs)
    right, wrong = [0.6, 0.3, 0.1], [0.45, 0.55, 0.0]
    rows = [
        {"run_id": run["run_id"], "example": example, "label": 0, "p": wrong if example == run["seed"] else right}
        for run in runs
        for example in (2, 0, 1)
        if run["outcome"] != "diverged"
    ]
    types = {"run_id": pa.string(), "example": pa.int32(), "label": pa.int32(), "p": pa.list_(pa.float32())}
    pq.write_table(pa.Table.from_pylist(rows, pa.schema(types)), tmp_path / "stacks" / "ab" / "predictions.parquet")
    made = report_on(results, drawn=False)
    cells = made.summary.set_index("init")
    assert cells.loc["he", "ensemble_acc"] == 1
    assert cells.loc["he", "ensemble_members_acc"] == pytest.approx(2 / 3)
    assert cells["ensemble_members"].to_dict() == {"he": 3, "xavier": 1}
    assert math.isnan(cells.loc["xavier", "ensemble_acc"])
    assert "(66.7, 3 seeds)" in page(made)


def test_predictions_that_cannot_be_read_are_named(tmp_path):
    results = results_of(tmp_path, grid({"none": {"he": [0.9, 0.9]}}))
    file = tmp_path / "stacks" / "ab" / "predictions.parquet"
    file.write_bytes(b"PAR1")
    assert "ensemble_acc" not in report_on(results, drawn=False).summary
    assert [name for name, _ in results.skipped] == [file]
