"""Is `init=auto` as good as the best fixed scheme? Deep plain networks, by the best set that the report uses.

python benchmarks/auto.py FOLDER             # train what FOLDER lacks (half an hour of one core), print the table
python benchmarks/auto.py FOLDER --write     # the same, and write it into README.md
python benchmarks/auto.py FOLDER --finished  # the cells whose runs are all in FOLDER, without training
"""

import argparse
import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from readme import write
from typer.testing import CliRunner

from initbench import load
from initbench.analysis.best_set import best_set
from initbench.cli import app

FIXED = [  # without near twins: variances that are the same in square layers, or that learn nothing at any depth here
    *("he", "xavier", "lecun", "torch_default", "normal", "kumar", "geometric", "unit_variance", "critical"),
    *("random_walk", "orthogonal", "identity", "zero", "rai", "lsuv", "krahenbuhl", "autoinit"),
]
ACTS, DEPTHS, SEEDS = ["relu", "tanh", "sigmoid", "gelu", "selu"], [20, 50], 5
NETWORKS = ["width=48", "steps=400", "log_every=400", "eval_every=400"]
SWEEPS = {"digits": [], "fashion_mnist": ["data.train_size=2000"]}


def train(folder: Path, data: str) -> None:
    axes = [f"init={','.join([*FIXED, 'auto'])}", f"act={','.join(ACTS)}", f"depth={','.join(map(str, DEPTHS))}"]
    overrides = [f"data={data}", *axes, *NETWORKS, *SWEEPS[data]]
    done = CliRunner().invoke(app, ["run", *overrides, "--seeds", str(SEEDS), "--out", str(folder / data), "--quiet"])
    assert done.exit_code == 0, done.output


def cells(runs: pd.DataFrame) -> pd.DataFrame:
    """One row per activation and depth: accuracy of auto and of the best fixed scheme, and whether auto may be best."""
    groups = runs[runs["status"] == "done"].groupby(["data", "depth", "act"], sort=False)
    return pd.DataFrame([row(cell, here) for cell, here in groups if is_complete(cell, here)])


def is_complete(cell: Any, runs: pd.DataFrame) -> bool:
    """Whether all schemes and seeds have been trained; GELU has no critical sigma_w."""
    lacking = {"critical"} if cell[-1] == "gelu" else set()
    return {*runs["init"]} == {*FIXED, "auto"} - lacking and (runs.groupby("init").size() == SEEDS).all()


def row(cell: Any, runs: pd.DataFrame) -> dict[str, object]:
    scores = runs.assign(score=runs["test_acc"].fillna(-np.inf)).pivot(index="init", columns="seed", values="score")
    learned = runs.assign(learned=runs["outcome"] == "learned").pivot(index="init", columns="seed", values="learned")
    contenders = dict(zip(scores.index, best_set(scores.to_numpy(), learned.to_numpy(bool)), strict=True))
    fixed = max(
        (name for name in contenders if name != "auto"), key=lambda n: (contenders[n].learned, median(scores, n))
    )
    reports = runs.loc[runs["init"] == "auto", "init_report"].map(json.loads)
    picks = Counter(report["picked"] for report in reports).most_common()
    return {
        **dict(zip(["data", "depth", "act"], cell, strict=True)),
        "picked": ", ".join(f"{name} {count}" for name, count in picks),
        "auto": said(contenders["auto"].learned, median(scores, "auto")),
        "best fixed": f"{fixed}: {said(contenders[fixed].learned, median(scores, fixed))}",
        "may be best": f"{sum(each.may_be_best for each in contenders.values())} of {len(contenders)}",
        "auto is": verdict(contenders),
    }


def median(scores: pd.DataFrame, name: str) -> float:
    return float(np.median(scores.loc[name]))


def said(learned: int, accuracy: float) -> str:
    return f"{learned} of 5, {100 * accuracy:.1f} %" if accuracy > 0 else f"{learned} of 5, diverged"


def verdict(contenders: dict) -> str:
    if not any(each.learned for each in contenders.values()):
        return "none learned"
    if all(each.may_be_best for each in contenders.values()):
        return "not told apart"
    return "among those that may be best" if contenders["auto"].may_be_best else "worse"


def markdown(table: pd.DataFrame) -> str:
    lines = [table.columns.tolist(), ["---"] * len(table.columns), *table.astype(str).to_numpy().tolist()]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--data", nargs="*", default=list(SWEEPS), help="of which datasets")
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--finished", action="store_true", help="show what is there, without training")
    arguments = parser.parse_args()
    for data in [] if arguments.finished else arguments.data:
        train(arguments.folder, data)
    table = cells(pd.concat([load(arguments.folder / data).runs for data in arguments.data]))
    print(markdown(table))
    if arguments.write:
        write("auto", markdown(table))


if __name__ == "__main__":
    main()
