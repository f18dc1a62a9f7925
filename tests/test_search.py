"""A search of tuned keys: what it tries next, and that it goes on from what is stored."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from scipy import stats
from typer.testing import CliRunner

from initbench import load
from initbench.analysis.cells import ranked
from initbench.cli import app
from initbench.config.grid import expand
from initbench.config.ranges import Range
from initbench.config.tune import SearchSpace
from initbench.errors import InputError
from initbench.planning import search
from initbench.planning.sweep import prepare
from initbench.planning.tuners import BATCH, STARTUP, Told, round_seed, suggest, tpe
from initbench.results.searches import validation_losses

LR, GAIN = Range("lr", 1e-4, 1.0, "log"), Range("init.gain", 0.25, 4.0, "log")
DROPOUT, BATCH_SIZE = Range("regularize.dropout", 0.0, 0.5, "linear"), Range("batch_size", 16, 256, "log")
RANGES = (LR, GAIN, DROPOUT, BATCH_SIZE)
DEFAULT = {"lr": 0.01, "init.gain": 1.0}


def bowl(values: Any) -> float:
    """Least, at 0, where lr is 0.1 and gain 2; inf where the rate is very large, as if it diverged."""
    if values["lr"] > 0.7:
        return math.inf
    return math.log10(values["lr"] / 0.1) ** 2 + math.log2(values["init.gain"] / 2) ** 2


# What is tried


def test_tpe_suggests_what_optunas_own_loop_does():
    """One study of Optuna's that lives through all rounds, and our function, which builds one anew for each."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    space = {
        "lr": optuna.distributions.FloatDistribution(1e-4, 1.0, log=True),
        "init.gain": optuna.distributions.FloatDistribution(0.25, 4.0, log=True),
    }
    study = optuna.create_study()
    told: list[Told] = []
    for count in [STARTUP, *[BATCH] * 4]:
        seed = round_seed(3, len(told))
        study.sampler = optuna.samplers.TPESampler(
            multivariate=True, constant_liar=True, n_startup_trials=STARTUP, seed=seed
        )
        asked = [study.ask(space) for _ in range(count)]
        assert tpe((LR, GAIN), told, count, seed) == [trial.params for trial in asked]
        for trial in asked:
            study.tell(trial, bowl(trial.params))
        told += [(trial.params, bowl(trial.params)) for trial in asked]
    assert len({trial.params["lr"] for trial in asked}) == BATCH  # the trials of a batch differ
    assert min(loss for _, loss in told) < 0.1 < min(loss for _, loss in told[:STARTUP])


def searched(space: SearchSpace, told: list[Told]) -> list[Told]:
    """A whole search from these trials on."""
    told = list(told)
    while len(told) < space.trials:
        told += [(values, bowl(values)) for values in suggest(space, DEFAULT, told)]
    return told


@pytest.mark.parametrize("tuner", ["random", "tpe"])
def test_a_search_is_a_function_of_what_it_is_told_and_can_be_prolonged(tuner: str):
    start: list[Told] = [(DEFAULT, bowl(DEFAULT))]
    short, long = (searched(SearchSpace(tuner, trials, 0, (LR, GAIN)), start) for trials in (14, 21))
    assert (len(short), len(long)) == (14, 21) and long[:14] == short
    assert searched(SearchSpace(tuner, 21, 0, (LR, GAIN)), short[:12]) == long
    assert searched(SearchSpace(tuner, 14, 1, (LR, GAIN)), start) != short  # the seed matters
    assert all(values["lr"] == float(f"{values['lr']:.3g}") for values, _ in long)


def test_random_values_are_numpys_on_the_scale_of_each_range():
    space = SearchSpace("random", 401, 5, RANGES)
    found = suggest(space, [each.key for each in RANGES], [(DEFAULT, 0.0)])
    shares = np.random.default_rng(5).random((400, 4))
    assert [values["lr"] for values in found] == pytest.approx(10 ** (4 * shares[:, 0] - 4), rel=0.006)
    assert [values["regularize.dropout"] for values in found] == pytest.approx(shares[:, 2] / 2, abs=0.0006)
    gains = [values["init.gain"] for values in found]
    assert stats.kstest(gains, stats.loguniform(0.25, 4).cdf).pvalue > 0.01
    sizes = {values["batch_size"] for values in found}
    assert all(isinstance(size, int) for size in sizes) and min(sizes) < 20 and max(sizes) > 220


def test_a_cell_that_lacks_a_key_is_tried_at_the_same_rates():
    space = SearchSpace("random", 9, 0, (LR, GAIN))
    both, rates = suggest(space, DEFAULT, [(DEFAULT, 0.0)]), suggest(space, {"lr"}, [({"lr": 0.01}, 0.0)])
    assert rates == [{"lr": values["lr"]} for values in both]


def test_tpe_is_not_told_of_values_that_no_range_holds():
    null: list[Told] = [({"regularize.dropout": None}, 0.1)]
    assert tpe([DROPOUT], null, 2, 0) == tpe([DROPOUT], [], 2, 0)


def test_without_optuna_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(__import__("sys").modules, "optuna", None)
    with pytest.raises(InputError, match=r"pip install 'initbench\[tune\]'; random and grid do without"):
        tpe([LR], [], 2, 0)


# What is asked for


def test_every_cell_has_its_own_default_settings_and_the_same_seeds():
    asked = ["init=he,normal,normal_small,zeros", "optim=sgd,adam", "lr=tune", "init.std=tune", "tune.tuner=random"]
    grid = expand(asked, seeds=3)
    assert len(grid.cells) == 8 and all(len(cell.seeds) == 3 for cell in grid.cells)
    defaults = {
        (run.choices["init"], run.choices["optim"]): cell.default for cell in grid.cells for run in cell.runs({})
    }
    assert defaults["normal", "adam"] == {"lr": 0.001, "init.std": 1}
    assert defaults["normal_small", "sgd"] == {"lr": 0.01, "init.std": 0.01}
    assert defaults["zeros", "sgd"] == {"lr": 0.01}
    trial = grid.cells[0].runs({"lr": 0.5})
    assert [run.config["lr"] for run in trial] == [0.5] * 3 and {run.config["seed"] for run in trial} == {0, 1, 2}
    assert trial[0].id == expand(["lr=tune", "tune.low=0.5", "tune.high=1", "tune.rates=2"]).runs[0].id


def test_a_cell_without_a_tuned_key_has_one_trial(tmp_path: Path):
    grid = expand(["init=he,zeros", "init.gain=tune", "tune.tuner=random", "tune.trials=4"])
    assert grid.search
    found = search.next_round(grid.search, grid.cells, tmp_path, None)
    assert sorted(map(len, found.trials.values())) == [1, 4] and (len(found.runs), found.to_come) == (5, 0)


@pytest.mark.parametrize(
    "options, says",
    [
        (["lr=tune", "--tuner", "bayes"], "--tuner 'bayes': there is no such tuner; there is grid, random, tpe"),
        (["lr=tune", "--tuner", "tpe", "--trials", "1"], "--trials 1: must be at least 2, the first of which is"),
        (["--tuner", "tpe"], "'tune.tuner' is used only with a tuned key, such as lr=tune"),
        (["lr=tune", "--trials", "8"], "'tune.trials' is not used with --tuner grid"),
        (["lr=tune", "--tuner", "random", "--fresh"], "--fresh: a search goes on from the runs that are finished"),
    ],
)
def test_bad_requests_are_told_in_one_line(options: list[str], says: str, tmp_path: Path):
    ran = CliRunner().invoke(app, ["run", *options, "--out", str(tmp_path)])
    assert ran.exit_code == 2 and says in " ".join(ran.output.split()) and not list(tmp_path.iterdir())


# What is trained

ASKED = ["init=he,zeros", "depth=1", "width=8", "steps=30", "log_every=30", "lr=tune", "init.gain=tune"]
TPE = ["tune.tuner=tpe", "tune.trials=11"]


def train(folder: Path, *more: str, rounds: int = 9) -> list[int]:
    """Train a search for some rounds; the number of runs trained in each."""
    trained = []
    for _ in range(rounds):
        sweep = prepare([*ASKED, *more], seeds=2, out=folder, device="cpu", workers=1)
        sweep.save()
        trained.append(sum(len(status.rows) for status in sweep.train(lambda *_: None)))
        assert sweep.search
        if not sweep.search.to_come:
            break
    return trained


@pytest.mark.slow
def test_a_search_goes_on_where_it_was_and_trains_nothing_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Two cells, two seeds, 8 and 3 trials."""
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert train(whole, *TPE) == [2 * 2 * STARTUP, 2 * 2 * 3]
    assert train(parts, *TPE, rounds=1) == [32] and train(parts, *TPE) == [12]
    runs = [load(folder).runs.set_index("run_id").sort_index() for folder in (whole, parts)]
    assert runs[0].index.equals(runs[1].index) and len(runs[0]) == 44
    assert runs[0]["val_loss"].equals(runs[1]["val_loss"])
    (sweep,) = (whole / "sweeps").iterdir()  # one sweep, however many rounds
    trials = json.loads((sweep / "sweep.json").read_text())["search"]["trials"]
    assert sorted(map(len, trials.values())) == [11, 11]

    losses = validation_losses(whole, runs[0].index)
    assert losses == ranked(runs[0], "val_loss", math.inf).to_dict()  # as the report ranks them

    def unused(*_: Any) -> Any:
        raise AssertionError("a finished search asks for nothing, so that another version of Optuna changes nothing")

    with monkeypatch.context() as patched:
        patched.setattr(search, "suggest", unused)
        assert train(whole, *TPE) == [0]
    assert train(whole, "tune.tuner=tpe", "tune.trials=13") == [8]  # prolonged
    assert len(list((whole / "sweeps").iterdir())) == 1
    assert train(whole, *TPE) == [0]
    assert train(whole, "tune.tuner=random", "tune.trials=3") == [2 * 2 * 2]  # the default settings are there


@pytest.mark.slow
def test_the_command_trains_all_rounds(tmp_path: Path):
    words = ["run", *ASKED, "--tuner", "tpe", "--trials", "10", "--out", str(tmp_path), "--workers", "1"]
    plan = " ".join(CliRunner().invoke(app, ["plan", *words[1:]]).output.split())
    assert "tpe, 10 trials in each of 2 cells: 20 runs in 2 rounds; this is round 1" in plan
    ran = CliRunner().invoke(app, words)
    assert ran.exit_code == 0, ran.output
    assert (load(tmp_path).runs["status"] == "done").sum() == 20
    assert "Round 2 of 2" in ran.output
