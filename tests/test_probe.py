"""The probe's verdicts, cells and command."""

import json
import math

import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib.collections import PathCollection
from typer.testing import CliRunner

from initbench import build
from initbench.analysis.coordinate_check import moved_by_width, sentences, width_exponents
from initbench.analysis.diagnosis.at_birth import AT_BIRTH, verdict
from initbench.analysis.diagnosis.birth import BASES, VERDICTS, derived
from initbench.analysis.diagnosis.conditions import FACTOR
from initbench.analysis.diagnosis.measurements import NUMBERS
from initbench.analysis.diagnosis.rules import RULES
from initbench.analysis.probe import ProbedCells
from initbench.cli import app
from initbench.config.grid import expand
from initbench.config.registry import describe
from initbench.config.run import Run
from initbench.errors import DoesNotFit
from initbench.jobs.drawing import DrawnWeights
from initbench.planning.probe import births, without_slow_initializers
from initbench.planning.sweep import prepare
from initbench.report.figures.birth_times import time_figures
from initbench.report.figures.coordinate_check import coordinate_check
from initbench.report.figures.measured_plane import measured_plane
from initbench.report.sparkline import level_curve, log_curve
from initbench.report.tables.probe import probe_table
from initbench.results.births import Births


def probed(*overrides, seeds=None, full=False, starts=None, steps=1):
    sweep = prepare(overrides, seeds=seeds, timed=False, fresh=True, workers=1)
    return ProbedCells.of(
        Births.joined(list(births(sweep, lambda *progress: None, full=full, steps=steps))), starts=starts
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("overrides", "word", "number"),
    [
        ("init=he act=relu depth=20", "sound", "grad_ratio"),
        ("init=lecun act=relu depth=20", "vanishes", "grad_ratio"),  # sqrt(2)^-20: He et al. 2015, section 2.2
        ("init=normal act=relu depth=5", "explodes", "grad_ratio"),
        ("init=xavier act=sigmoid depth=10", "ordered", "grad_ratio"),  # chi_1 is 0.056, and q stays at 1/4 and more
        ("init=mean_field init.sigma_w=2.5 act=tanh depth=30", "chaotic", "grad_ratio"),
        ("init=normal act=tanh depth=5", "saturated", "saturated_mean"),
        ("init=he init.bias=-20 act=relu depth=3", "dead", "dead"),
        ("init=constant act=tanh depth=3", "symmetric", "inequality"),
        ("init=zeros act=relu depth=3", "symmetric", "inequality"),
        ("init=normal init.std=0.1 act=relu depth=1 init.bias=0.9 data.scale=0.001", "ordered", "contrast"),
    ],
)
def test_verdicts(overrides, word, number):
    (cell,) = probed(*overrides.split(), "width=100").cells.to_dict("records")
    assert (cell["verdict"], cell["number"]) == (word, number)
    assert word == "sound" or (
        cell["value"] >= cell["threshold"] if cell["at"] == "least" else cell["value"] <= cell["threshold"]
    )


def test_a_verdict_may_rest_on_time_steps():
    (cell,) = probed(*"model=rnn data=digits_rows init=normal init.std=0.01 depth=1".split()).cells.to_dict("records")
    assert (cell["verdict"], cell["number"]) == ("vanishes", "time_ratio")
    assert cell["value"] < 1e-5  # a factor of about 0.01 sqrt(100) = 0.1 per time step, over 7 steps


def test_every_rule_of_the_start_has_a_verdict_and_a_number():
    assert {rule.fault for rule in AT_BIRTH} == BASES.keys()
    assert {rule.birth for rule in AT_BIRTH} < VERDICTS.keys()
    assert [rule for rule in RULES if rule.birth] == AT_BIRTH


def test_a_rule_applies_where_a_number_reaches_its_threshold():
    """The numbers that a verdict shows are those that the report's conditions look at."""
    generator = np.random.default_rng(0)
    size = 4000
    runs = pd.DataFrame({name: np.exp(generator.normal(0, 4, size)) for name in NUMBERS})
    for share in ("dead", "saturated", "saturated_mean", "rectifying"):
        runs[share] = generator.random(size)
    runs["inequality"] = np.where(generator.random(size) < 0.1, 1e-8, runs["inequality"])
    runs["nonfinite"] = 0.0
    runs = runs.assign(act="relu", act_rectifies=generator.random(size) < 0.5, width=10, depth=3)
    runs.loc[::2, "regularize.dropout"] = 0.9
    runs, reached = derived(runs), {}
    for fault, bases in BASES.items():
        reached[fault] = np.any([[each.met(value) for value in runs[each.name]] for each in bases], axis=0)
    for rule in AT_BIRTH:
        applies = np.asarray(rule.applies(runs), bool)
        assert applies.any()
        assert not (applies & ~reached[rule.fault]).any(), rule.fault


def test_the_verdict_is_that_of_most_runs():
    runs = probed_numbers(grad_ratio=[1e-4, 1e-5, 1.0])
    found = verdict(runs)
    assert (found["verdict"], found["agreeing"], found["value"]) == ("ordered", 2, pytest.approx(5.5e-5))
    assert found["threshold"] == pytest.approx(1 / FACTOR)
    assert verdict(probed_numbers(grad_ratio=[1e-4, 1.0, 1.0]))["verdict"] == "sound"
    fading = probed_numbers(grad_ratio=[1e-4, 1e-5, 1.0]).assign(size_ratio=1e-3)
    assert verdict(fading)["verdict"] == "vanishes"


def probed_numbers(grad_ratio):
    quiet = dict.fromkeys(NUMBERS, math.nan) | {"signal_ratio": 1.0, "size_ratio": 1.0}
    runs = pd.DataFrame([quiet | {"grad_ratio": ratio} for ratio in grad_ratio])
    return runs.assign(act="tanh", act_rectifies=False, width=10, depth=3)


@pytest.mark.slow
def test_cells_are_means_over_seeds_with_standard_errors():
    cells = probed("init=he,xavier", "depth=2", "width=20", seeds=4)
    assert cells.axes[:3] == ["init", "act", "depth"]
    assert cells.cells["runs"].tolist() == [4, 4]
    single = [probed("init=he", "depth=2", "width=20", f"seed={seed}") for seed in range(4)]
    q = [one.layers["q"].to_numpy() for one in single]
    he = cells.layers[cells.layers["cell"] == 0]
    np.testing.assert_allclose(he["q"], np.mean(q, 0), rtol=1e-6)
    np.testing.assert_allclose(he["q_se"], np.std(q, 0, ddof=1) / 2, rtol=1e-5)
    assert cells.cells["chi_1_measured"].iloc[0] == pytest.approx(
        np.mean([one.cells["chi_1_measured"].iloc[0] for one in single]), rel=1e-6
    )
    assert math.isnan(single[0].layers["q_se"].iloc[0])


@pytest.mark.slow
def test_theory_and_probe_agree():
    """Of every initializer that theory covers, on every activation: chi_1 within 5 %, q within 15 %, c within 0.06."""
    covered = ",".join(choice.name for choice in describe("init") if "Variance" in choice.facts)
    sizes = ("depth=3", "width=300", "data=gaussian", "batch_size=50")
    found = probed(f"init={covered}", "act=glob(*)", *sizes, seeds=2, starts=[0.5])
    cells = found.cells[found.cells["no_theory"].isna()]
    assert cells["init"].nunique() > 15
    assert cells["act"].nunique() == 12
    reliable = cells[np.isfinite(cells["chi_1_measured"])]
    apart = reliable["chi_1_measured"] / reliable["chi_1_theory"] - 1
    far = apart.abs() > np.fmax(0.05, 4 * reliable["chi_1_measured_se"] / reliable["chi_1_theory"])
    assert not far.any(), reliable[far][["init", "act", "chi_1_measured", "chi_1_theory"]]
    layers = found.layers[found.layers["cell"].isin(cells.index) & (found.layers["layer"] < 3)]
    q_apart = (layers["q"] / layers["q_theory"] - 1).abs() > np.fmax(0.15, 4 * layers["q_se"] / layers["q_theory"])
    assert not q_apart.any(), layers[q_apart][["cell", "layer", "q", "q_theory"]]
    c_apart = (layers["c"] - layers["c_theory"]).abs() > np.fmax(0.06, 4 * layers["c_se"])
    assert not c_apart.any(), layers[c_apart][["cell", "layer", "c", "c_theory"]]


def test_a_constant_bias_is_part_of_theory_s_q():
    (cell,) = (found := probed("init=he", "init.bias=1", "act=tanh", "depth=3", "width=400", seeds=3)).cells.to_dict(
        "records"
    )
    assert found.layers["q"].to_numpy() == pytest.approx(found.layers["q_theory"].to_numpy(), rel=0.15)
    assert found.layers["c"][:3].to_numpy() == pytest.approx(found.layers["c_theory"][:3].to_numpy(), abs=0.08)
    assert cell["no_theory"] is None


@pytest.mark.slow
def test_layers_of_different_widths_have_theory_by_their_own_fans():
    """He et al. 2015: fan-in alone counts, so q stays. Xavier has 2 / (n + m)."""
    found = probed("init=he,xavier", "act=relu", "width=[400,200,100]", seeds=8, starts=[0.5])
    q = found.layers["q"] / found.layers["q_theory"]
    assert q.to_numpy() == pytest.approx(np.ones(8), abs=0.15)
    he, xavier = (found.layers["q_theory"][found.layers["cell"] == cell].to_numpy() for cell in (0, 1))
    assert he == pytest.approx(np.full(4, he[0]))
    shrinks = [400 / (400 + 200), 200 / (200 + 100), 100 / (100 + 10)]  # n / 2 times 2 / (n + m)
    assert xavier[1:] / xavier[:-1] == pytest.approx(shrinks)
    assert (found.layers["c"] - found.layers["c_theory"]).abs().max() < 0.06


def test_without_hidden_layers_a_verdict_rests_on_nothing():
    (cell,) = (found := probed("init=he", "depth=0")).cells.to_dict("records")
    assert (cell["verdict"], cell["number"]) == ("sound", None)
    assert "no hidden layers" in cell["because"]
    assert probe_table(found).rows[0][-1].text == cell["because"]


def test_theory_says_why_it_says_nothing():
    found = probed("model=mlp", "norm=batch", "init=he", "depth=2")
    assert "norm=batch" in found.cells["no_theory"].iloc[0]
    assert found.layers["q_theory"].isna().all()
    titles = {title for column in probe_table(found).columns for title in column.header}
    assert "chi_1" in titles and "theory" not in titles


def test_narrow_relu_networks_are_constant_at_birth():
    """Lu et al. 2019: with layers of 2 units, nine in ten of ten layers are; none with a layer of 50."""
    found = probed("init=he", "depth=10", "width=2,50", seeds=40).cells.set_index("width")
    assert found.loc[2, "constant_output_fraction"] > 0.6
    assert found.loc[50, "constant_output_fraction"] == 0


def test_json(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    asked = ["probe", "init=he,fixup,xavier", "act=relu,tanh", "depth=3", "width=16", "--seeds", "2", "--json"]
    result = CliRunner().invoke(app, asked)
    assert result.exit_code == 0, result.output
    facts = json.loads(result.stdout)
    assert [(cell["init"], cell["act"]) for cell in facts["cells"]] == [
        ("he", "relu"), ("he", "tanh"), ("xavier", "relu"), ("xavier", "tanh")
    ]  # fmt: skip
    (left_out,) = facts["left_out"]
    assert left_out["runs"] == 4 and "residual" in left_out["reason"]
    cell = facts["cells"][0]
    assert {"verdict", "chi_1_measured", "constant_output_fraction", "layers"} <= cell.keys()
    wanted = {"layer", "q", "c", "grad_w", "grad_s", "dead", "saturated"}
    assert all(wanted | {f"{name}_se" for name in wanted - {"layer"}} <= layer.keys() for layer in cell["layers"])
    assert len(cell["layers"]) == 4
    assert not list(tmp_path.iterdir()), "a probe writes nothing"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["init=hee"], "did you mean 'he'?"),
        (["width=0"], "'width' must be"),
        (["--device", "tpu"], "tpu"),
        (["--steps", "0"], "at least 1"),
        (["steps=3", "--steps", "4"], "more than the steps=3"),
    ],
)
def test_bad_input_is_one_line(words, said):
    result = CliRunner().invoke(app, ["probe", *words])
    assert result.exit_code == 2
    (line,) = result.stderr.strip().splitlines()
    assert said in line


def test_the_terminal_shows_curves(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(app, ["probe", "init=he,xavier", "depth=10", "width=30"])
    assert result.exit_code == 0
    assert "sound" in result.stdout and "2 cells" in result.stdout


def test_sparklines():
    assert level_curve([0, 0.5, 1]) == "▁▅█"
    assert log_curve([1, 1.01, 0.99]) == "▅▅▅"  # what changes little looks level
    assert log_curve([1e-9, 1e-6, 1e-3, 1]) == "▁▃▆█"
    assert log_curve([0, 0]) == "▁▁"
    assert log_curve([math.nan, 1.0, 0.0, math.inf]) == "·▅▁█"
    assert len(log_curve(range(1, 50), width=8)) == 8


@pytest.mark.slow
def test_weights_drawn_once_for_several_activations_are_those_drawn_for_each():
    """Of every initializer on offer that fits, and every activation: what is not drawn again is the same."""
    runs = [run for run in expand(["init=glob(*)", "act=glob(*)", "depth=2", "width=6"]).runs if fits(run)]
    dataset, drawn = build.data(runs[0].config), DrawnWeights("cpu")
    by_act: dict[str, list[Run]] = {}
    for run in runs:
        by_act.setdefault(run.choices["act"], []).append(run)
    kept = 0
    for here in by_act.values():
        rows: dict = {run.id: {} for run in here}
        before = dict(drawn.drawn)
        state, built = drawn.of(tuple(here), dataset, rows)
        assert len(built) == len(here), [row["error"] for row in rows.values() if "error" in row]
        kept += sum(drawn.drawn.get(place) is pair for place, pair in before.items())
        for place, run in enumerate(here):
            for name, values in build.initialized(run.config, dataset).named_parameters():
                assert torch.equal(state.parameters[name][place], values), (run.choices["init"], run.choices["act"])
    assert kept > len(runs) / 4


def fits(run):
    try:
        build.initialized(run.config, build.data(run.config))
    except DoesNotFit:
        return False
    return True


def test_a_page_shows_what_was_measured_and_what_theory_says(tmp_path):
    asked = ["probe", "init=he,constant", "act=relu,tanh", "depth=3", "width=16", "--to", str(tmp_path / "birth")]
    result = CliRunner().invoke(app, asked)
    assert result.exit_code == 0, result.output
    page = (tmp_path / "birth" / "index.html").read_text()
    assert "4 cells: 2 sound, 2 symmetric" in page
    assert page.count("<figure") == 3
    layers = pd.read_csv(tmp_path / "birth" / "layers.csv")
    assert layers.groupby("cell").size().tolist() == [4, 4, 4, 4]
    assert layers["q_theory"].notna().sum() == 8  # of he; equal weights have no theory
    assert len(list((tmp_path / "birth").glob("*.svg"))) == 3


def test_the_gradient_of_small_recurrent_weights_falls_from_step_to_step_and_that_of_zeros_is_not_drawn():
    """Back through W of deviation 0.01 the norm falls about 0.01 sqrt(8)-fold per step (Bengio et al. 1994)."""
    found = probed("model=rnn", "data=digits_rows", "init=zeros,normal_small", "act=tanh", "depth=1", "width=8")
    signals, gradients = time_figures(found)
    for drawing in (signals, gradients):
        (ax,) = drawing.figure.axes
        zeros, small = (line.get_ydata() for line in ax.lines[:2])
        assert np.isnan(zeros).all() and np.isfinite(small).all() and len(small) == 8
    assert small[-1] == 1
    np.testing.assert_allclose(np.log(small[1:] / small[:-1]), -np.log(0.01 * 8**0.5), atol=0.7)
    assert time_figures(probed("init=he", "depth=1", "width=8")) == []


def test_initializers_that_look_at_data_are_left_out_of_large_grids():
    """Of many large networks, beside others: alone, or of small networks, they are measured."""
    large = ("act=relu,tanh", "depth=20", "width=300")  # 1.8 million weights
    sweep = prepare(["init=he,lsuv", *large], seeds=10, timed=False, fresh=True)
    left = without_slow_initializers(sweep)
    assert {run.choices["init"] for run in left.runs} == {"he"}
    assert {run.choices["init"] for stack in left.stacks for run in stack.runs} == {"he"}
    (reason,) = left.reasons
    assert reason["runs"] == 20 and "init=lsuv" in reason["reason"]
    alone = prepare(["init=lsuv", *large], seeds=10, timed=False, fresh=True)
    assert without_slow_initializers(alone) is alone
    small = prepare(["init=he,lsuv", "depth=3", "width=20"], seeds=10, timed=False, fresh=True)
    assert without_slow_initializers(small) is small


@pytest.mark.slow
def test_one_rate_moves_mup_s_outputs_alike_at_every_width_and_lecun_s_not():
    """Yang et al. 2021: the coordinate check. By SGD outputs move as width^1 in a wide network of variance 1/n."""
    found = probed("init=mup,lecun", "act=relu", "depth=3", "width=32,128,512", "lr=0.02", seeds=4, starts=(), steps=3)
    exponents = width_exponents(moved_by_width(found)).set_index(["setting", "place", "step"])["exponent"]
    for step in (1, 2, 3):
        mup, lecun = exponents["mup", "output", step], exponents["lecun", "output", step]
        assert abs(mup) < 0.35  # four seeds
        assert lecun > 0.4 and lecun > mup + 0.5
    assert [line.split(":")[0] for line in sentences(moved_by_width(found))] == ["mup", "lecun"]
    drawing = coordinate_check(found)
    assert drawing is not None and len(drawing.figure.axes) == 6


def test_width_exponents_are_slopes_on_log_axes():
    rows = [("a", "output", 1, width, 3 * width**0.5, 0.0) for width in (16, 64, 256)]
    rows += [("b", "output", 1, width, moved, 0.0) for width, moved in ((16, 0.0), (64, 1.0))]
    moved = pd.DataFrame(rows, columns=["setting", "place", "step", "width", "moved", "moved_se"])
    assert width_exponents(moved)["exponent"].tolist() == [pytest.approx(0.5), pytest.approx(math.nan, nan_ok=True)]
    assert "48 at width 256, about as width^0.50" in sentences(moved)[0]
    assert "width^" not in sentences(moved)[1]


def test_the_plane_has_a_point_for_each_cell_with_theory():
    found = probed("init=mean_field,constant", "init.sigma_w=0.5,1,3", "act=tanh", "depth=3", "width=60", starts=())
    drawing = measured_plane(found)
    assert drawing is not None
    dots = [each for each in drawing.figure.axes[0].collections if isinstance(each, PathCollection)]
    assert sorted(float(x) for each in dots for x, _ in each.get_offsets()) == pytest.approx([0.5, 1, 3])
    assert "3 points" in drawing.caption
