"""MNIST-1D's published baselines, trained as its authors trained them.

    python benchmarks/mnist1d_baselines.py         # ten minutes on two cores; --write: into README.md

Greydanus & Kobak 2024: Adam with rate 0.01, batches of 100, 6000 steps, PyTorch's default initialization, 4000
training and 1000 test examples. Their paper gives the accuracies in `PUBLISHED`, the finals of their notebooks lie
2 to 4 points lower for the MLP and the CNN.
"""

import argparse
import subprocess
import sys
from pathlib import Path

import numpy as np
from readme import write

import initbench

COMMON = "data=mnist1d init=torch_default optim=adam lr=0.01 batch_size=100 steps=6000 log_every=500 eval_every=1000"
MODELS = {
    "logistic": "model=logistic",
    "MLP": "model=residual_mlp act=relu depth=2 width=100",
    "CNN": "model=conv1d act=relu depth=3 width=25",
    "GRU": "model=gru act=tanh depth=1 width=6 model.bidirectional=true model.readout=flatten",
}
PUBLISHED = {"logistic": 32, "MLP": 68, "CNN": 94, "GRU": 91}
SEEDS = 5


def train(out: Path) -> None:
    for overrides in MODELS.values():
        command = [sys.executable, "-m", "initbench", "run", *COMMON.split(), *overrides.split()]
        subprocess.run([*command, "--seeds", str(SEEDS), "--out", str(out), "--quiet"], check=True)


def table(out: Path) -> str:
    """A row a model: accuracies on the test part after the last step, in percent."""
    runs = initbench.load(out).runs
    names = {"logistic": "logistic", "residual_mlp": "MLP", "conv1d": "CNN", "gru": "GRU"}
    lines = ["| model | settings | mean | s.d. | seeds | published |", "| --- | --- | ---: | ---: | ---: | ---: |"]
    for model, here in runs.groupby("model", sort=False):
        name = names[str(model)]
        acc = 100 * here["test_acc"].to_numpy()
        lines.append(
            f"| {name} | `{MODELS[name]}` | {acc.mean():.1f} | {np.std(acc, ddof=1):.1f} "
            f"| {len(acc)} | {PUBLISHED[name]} |"
        )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("results/mnist1d"))
    parser.add_argument("--write", action="store_true", help="put the table into benchmarks/README.md")
    arguments = parser.parse_args()
    train(arguments.out)
    rows = table(arguments.out)
    print(rows)
    if arguments.write:
        write("mnist1d", rows)
