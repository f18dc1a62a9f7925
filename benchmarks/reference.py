"""Who may be the best in each contest of the reference sweep, from results/reference/rescue/runs.parquet.

`python benchmarks/reference.py` prints the counts that results/reference/README.md tells; a few seconds.
"""

from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd

from initbench.analysis.best_set import best_set

RUNS = Path(__file__).parent.parent / "results/reference/rescue/runs.parquet"
HALFWAY = 0.55  # training accuracy halfway from the commonest of ten equal classes to 100 %: as good as half the loss


def contests() -> pd.DataFrame:
    """One row per activation, depth and mitigation: how many learned, which may be best, whether that is one alone.

    Without kumar, whose weights are He's for ReLU and LeCun's for tanh.
    """
    runs = pd.read_parquet(RUNS).query("init != 'kumar'")
    learned = (runs["outcome"] == "learned") | ((runs["outcome"] == "stuck") & (runs["train_acc"] >= HALFWAY))
    runs = runs.assign(learned=learned, score=runs["test_acc"].where(runs["outcome"] != "diverged", -np.inf))
    rows = []
    for (act, depth, mitigation), here in runs.groupby(["act", "depth", "mitigation"]):
        wide = here.pivot(index="init", columns="seed", values="score")
        won = here.pivot(index="init", columns="seed", values="learned")
        found = dict(zip(wide.index, best_set(wide.to_numpy(float), won.to_numpy(bool)), strict=True))
        best = [name for name, each in found.items() if each.may_be_best and each.learned]
        clear = len(best) == 1 and sum(each.may_be_best for each in found.values()) == 1
        rows.append((act, depth, mitigation, sum(each.learned > 0 for each in found.values()), best, clear))
    return pd.DataFrame(rows, columns=["act", "depth", "mitigation", "learners", "best", "clear"])


def main() -> None:
    table = contests()
    some = table[table["learners"] > 0]
    sizes = some["best"].map(len)
    rivals, ruled_out = int((some["learners"] - 1).sum()), int((some["learners"] - sizes).sum())
    learners = some["learners"].mean()
    print(f"{len(table)} contests, {len(some)} in which something learned, {some['clear'].sum()} with one clear best")
    print(
        f"{ruled_out} of {rivals} rivals that learned are ruled out; {sizes.mean():.1f} of {learners:.1f} may be best"
    )
    for (act, depth), here in some.groupby(["act", "depth"]):
        counts = Counter(name for best in here["best"] for name in best)
        clear = Counter(best[0] for best, only in zip(here["best"], here["clear"], strict=True) if only)
        print(f"{act} {depth} ({len(here)} contests): {dict(counts.most_common())}; clear: {dict(clear)}")
    print(table[table["mitigation"] == "none"][["act", "depth", "best"]].to_string(index=False))


if __name__ == "__main__":
    main()
