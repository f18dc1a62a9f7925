"""Does the best learning rate stay where it is as a network gets wider? With mup it should, Yang et al. 2021, figure 1.

    python benchmarks/mup.py         # a few minutes on two cores; writes mup.csv, mup.png and README.md's table

Three hidden ReLU layers on digits, Adam, 150 steps; the training loss at the end, mean over seeds.
"""

import argparse
import subprocess
import sys
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd
from readme import write

import initbench

HERE = Path(__file__).parent
COMMON = "data=digits act=relu depth=3 optim=adam batch_size=64 steps=150 log_every=150 eval_every=150"
INITS, WIDTHS, SEEDS = ["torch_default", "mup"], [32, 64, 128, 256], 2
RATES = [2.0**power for power in range(-11, -2)]


def train(out: Path) -> None:
    swept = {"init": INITS, "width": WIDTHS, "lr": RATES}
    axes = [f"{key}={','.join(map(str, values))}" for key, values in swept.items()]
    command = [sys.executable, "-m", "initbench", "run", *COMMON.split(), *axes]
    subprocess.run([*command, "--seeds", str(SEEDS), "--out", str(out), "--quiet"], check=True)


def losses(out: Path) -> pd.DataFrame:
    """The mean final training loss: one row per initializer and width, one column per rate."""
    runs = initbench.load(out).runs
    return runs.pivot_table(index=["init", "width"], columns="lr", values="train_loss").loc[INITS]


def table(found: pd.DataFrame) -> str:
    """The best rate of each width, and the loss at the rate that is best for the smallest width."""
    lines = [
        "| initializer | width | best rate | loss there | loss at the best rate of width 32 |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    for (init, width), row in found.iterrows():
        kept = found.loc[(init, WIDTHS[0])].idxmin()
        lines.append(f"| {init} | {width} | {row.idxmin():.4f} | {row.min():.4f} | {row[kept]:.4f} |")
    return "\n".join(lines) + "\n"


def draw(found: pd.DataFrame, path: Path) -> None:
    figure, axes = plt.subplots(1, 2, figsize=(9, 3.6), sharey=True, layout="constrained")
    shades = plt.get_cmap("viridis_r")
    for axis, init in zip(axes, INITS, strict=True):
        for i, width in enumerate(WIDTHS):
            row, colour = found.loc[(init, width)], shades(0.15 + 0.8 * i / (len(WIDTHS) - 1))
            axis.plot(row.index, row, color=colour, label=f"width {width}")
            axis.plot(row.idxmin(), row.min(), "o", color=colour)
        axis.set(title=init, xlabel="learning rate", xscale="log", yscale="log")
        axis.set_xticks([0.001, 0.01, 0.1], ["0.001", "0.01", "0.1"])
    axes[0].set_ylabel("training loss after 150 steps")
    axes[0].legend(frameon=False)
    figure.savefig(path, dpi=150)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("results/mup"))
    arguments = parser.parse_args()
    train(arguments.out)
    found = losses(arguments.out)
    found.to_csv(HERE / "mup.csv", float_format="%.5g")
    draw(found, HERE / "mup.png")
    write("mup", table(found))
    print(table(found))
