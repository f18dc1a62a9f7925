"""Is `init=auto` as good as the best fixed scheme? Deep plain networks, by the best set that the report uses.

python benchmarks/auto.py FOLDER             # train what FOLDER lacks (8 minutes of one core) and print the table
python benchmarks/auto.py FOLDER --write     # the same, and write it into README.md
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

INITS = ["he", "xavier", "lecun", "orthogonal", "unit_variance", "critical", "lsuv", "autoinit", "auto"]
NETWORKS = ["width=48", "steps=400", "log_every=400", "eval_every=400"]
SWEEPS = {
    "digits": ["act=relu,tanh,sigmoid,gelu,selu", "depth=20,50"],
    "fashion_mnist": ["act=relu,tanh", "depth=50", "data.train_size=2000"],
}


def train(folder: Path, data: str) -> None:
    overrides = [f"data={data}", f"init={','.join(INITS)}", *NETWORKS, *SWEEPS[data]]
    done = CliRunner().invoke(app, ["run", *overrides, "--seeds", "5", "--out", str(folder / data), "--quiet"])
    assert done.exit_code == 0, done.output


def cells(runs: pd.DataFrame) -> pd.DataFrame:
    """One row per activation and depth: accuracy of auto and of the best fixed scheme, and whether auto may be best."""
    return pd.DataFrame([row(cell, here) for cell, here in runs.groupby(["data", "depth", "act"], sort=False)])


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
        "auto is": verdict(contenders),
    }


def median(scores: pd.DataFrame, name: str) -> float:
    return float(np.median(scores.loc[name]))


def said(learned: int, accuracy: float) -> str:
    return f"{learned} of 5, {100 * accuracy:.1f} %" if accuracy > 0 else f"{learned} of 5, diverged"


def verdict(contenders: dict) -> str:
    if not any(each.learned for each in contenders.values()):
        return "none learned"
    return "among those that may be best" if contenders["auto"].may_be_best else "worse"


def markdown(table: pd.DataFrame) -> str:
    lines = [table.columns.tolist(), ["---"] * len(table.columns), *table.astype(str).to_numpy().tolist()]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--data", nargs="*", default=list(SWEEPS), help="of which datasets")
    parser.add_argument("--write", action="store_true")
    arguments = parser.parse_args()
    for data in arguments.data:
        train(arguments.folder, data)
    table = cells(pd.concat([load(arguments.folder / data).runs for data in arguments.data]))
    print(markdown(table))
    if arguments.write:
        write("auto", markdown(table))


if __name__ == "__main__":
    main()
