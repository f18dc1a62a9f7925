"""Do the report's intervals cover, is the best in the set of those that may be the best, and how large is that set?

`python benchmarks/calibration.py` draws runs from distributions whose medians and means are known and puts them
through the functions of `initbench.analysis.stats` and `best_set`; `--write` puts the tables into the README beside
this file and their rows into a CSV. One core, 6 minutes.
"""

import argparse
import itertools
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import contests
import numpy as np
import pandas as pd
from readme import write
from scipy import special

from initbench.analysis import stats

SAMPLES = 4000  # of every case of pooled cells
CELLS_DRAWN = 20_000  # of every case of one cell or of one pair
CONTESTS, OLD = 800, 150  # of every case of sets, and how many of them go through the old procedure
SEEDS = (5, 10, 20)
NAMES = (2, 3, 7, 10, 12)
RESAMPLES = 400  # of the bootstrap, which in use has 2000
NEARLY_ONE = (np.arange(20_000) + 0.5) / 20_000  # levels at which a distribution is summed up

Quantiles = Callable[[np.ndarray], np.ndarray]  # of uniform numbers
Row = tuple[Any, ...]  # of COLUMNS, as many as there are


@dataclass(frozen=True)
class Case:
    """A distribution of runs, by its quantile function."""

    name: str
    quantiles: Quantiles

    @cached_property
    def values(self) -> np.ndarray:
        return self.quantiles(NEARLY_ONE)

    @property
    def interquartile_mean(self) -> float:
        quarter = len(NEARLY_ONE) // 4
        return float(np.sort(self.values)[quarter:-quarter].mean())


# ---------------------------------------------------------------- distributions


def lognormal(middle: float, deviation: float) -> Quantiles:
    return lambda u: middle * np.exp(deviation * special.ndtri(u))


def gamma(shape: float) -> Quantiles:
    return lambda u: special.gammaincinv(shape, u)


def beta(a: float, b: float) -> Quantiles:
    return lambda u: special.betaincinv(a, b, u)


def of_360(accuracy: Quantiles) -> Quantiles:
    """So many of 360 test examples are right."""
    return lambda u: np.round(360 * accuracy(u)) / 360


def mixture(share: float, lower: Quantiles, upper: Quantiles) -> Quantiles:
    """`share` of the runs from `lower`, all of whose values are below those of `upper`."""

    def quantiles(u: np.ndarray) -> np.ndarray:
        with np.errstate(invalid="ignore"):  # each branch is computed for all, and used for its own
            return np.where(u < share, lower(np.minimum(u / share, 1)), upper(np.maximum((u - share) / (1 - share), 0)))

    return quantiles


def constant(value: float) -> Quantiles:
    return lambda u: np.full(np.shape(u), value)


LEARNED, STUCK = lognormal(0.1, 0.7), lognormal(2.3, 0.01)  # losses, nats
LOSSES = [
    Case("lognormal, deviation 1", lognormal(0.1, 1)),
    Case("gamma, shape 0.5", gamma(0.5)),
    Case("Pareto, exponent 1.5", lambda u: (1 - u) ** (-1 / 1.5)),
    Case("80 % learned, 20 % stuck", mixture(0.8, LEARNED, STUCK)),
    Case("65 % learned, 35 % stuck", mixture(0.65, LEARNED, STUCK)),
    Case("80 % lognormal, 20 % diverged", mixture(0.8, LEARNED, constant(np.inf))),
]
ACCURACIES = [
    Case("beta(20, 5)", beta(20, 5)),
    Case("beta(40, 2)", beta(40, 2)),
    Case("beta(200, 8), correct/360", of_360(beta(200, 8))),
]
PAIRS = [
    ("normal", lambda u: 0.8 + 0.02 * special.ndtri(u), lambda u: 0.78 + 0.02 * special.ndtri(u)),
    ("beta(20, 5) and beta(30, 4)", beta(20, 5), beta(30, 4)),
    ("beta(40, 2) and beta(20, 20)", beta(40, 2), beta(20, 20)),
    ("beta(40, 2) and beta(80, 6)", beta(40, 2), beta(80, 6)),
    ("beta(200, 8) and beta(200, 12), correct/360", of_360(beta(200, 8)), of_360(beta(200, 12))),
    ("1 - lognormal(0.05, 0.5) twice", lambda u: 1 - lognormal(0.05, 0.5)(u), lambda u: 1 - lognormal(0.08, 0.5)(u)),
]
LIMITS = [
    ("beta(40, 2) and the narrow beta(400, 20)", beta(40, 2), beta(400, 20)),
    ("80 % learned, 20 % stuck, and beta(200, 8)", mixture(0.2, constant(0.1), beta(200, 8)), beta(200, 8)),
]


def shared(rng: np.random.Generator, shape: tuple[int, int], correlation: float = 0.5) -> np.ndarray:
    """Uniform numbers, a row an initializer and a column a seed, whose columns share the seed's effect."""
    effect, own = rng.standard_normal((1, shape[1])), rng.standard_normal(shape)
    return special.ndtr(np.sqrt(correlation) * effect + np.sqrt(1 - correlation) * own)


def percent(hits: Sequence[bool]) -> float:
    return 100 * float(np.mean(hits))


def covers(estimate: stats.Estimate, truth: float) -> bool:
    return estimate.low <= truth <= estimate.high


# ---------------------------------------------------------------- coverage of 95 % intervals


def medians(rng: np.random.Generator) -> Iterator[Row]:
    for case, n in itertools.product(LOSSES, SEEDS):
        truth = float(case.quantiles(np.array(0.5)))
        runs = case.quantiles(rng.random((CELLS_DRAWN, n)))
        yield "median of losses", case.name, n, percent([covers(stats.median(x), truth) for x in runs])


def interquartile_means(rng: np.random.Generator) -> Iterator[Row]:
    for case, n in itertools.product([*LOSSES[:2], *ACCURACIES], SEEDS):
        truth, runs = case.interquartile_mean, case.quantiles(rng.random((CELLS_DRAWN, n)))
        hits = [covers(stats.interquartile_mean(x), truth) for x in runs]
        yield "interquartile mean of a cell", case.name, n, percent(hits)


def differences(rng: np.random.Generator) -> Iterator[Row]:
    for (name, a, b), n in itertools.product([*PAIRS, *LIMITS], SEEDS):
        truth = float(a(NEARLY_ONE).mean() - b(NEARLY_ONE).mean())
        pairs = [(a(u[0]), b(u[1])) for u in (shared(rng, (2, n)) for _ in range(CELLS_DRAWN))]
        what = "paired difference" if (name, a, b) in PAIRS else "paired difference, at its limits"
        yield what, name, n, percent([covers(stats.paired(x, y).difference, truth) for x, y in pairs])


def proportions(_: np.random.Generator) -> Iterator[Row]:
    """Exact, and over all p alike: n + 1 times the chance of k successes is the density of a beta(k + 1, n - k + 1)."""
    for n in SEEDS:
        intervals = [(k, stats.wilson(k, n)) for k in range(n + 1)]
        chances = [
            special.betainc(k + 1, n - k + 1, est.high) - special.betainc(k + 1, n - k + 1, est.low)
            for k, est in intervals
        ]
        yield "proportion", "averaged over p (exact)", n, percent(chances)


def cells(kind: str, count: int) -> list[Quantiles]:
    """Accuracies of the cells of one initializer."""
    means = np.linspace(0.4, 0.97, count)
    bell = [beta(60 * mean, 60 * (1 - mean)) for mean in means]
    erratic = mixture(0.5, lambda u: 0.1 + 0.01 * u, beta(50, 3))
    match kind:
        case "alike":
            return [beta(20, 5)] * count
        case "from 0.4 to 0.97":
            return bell
        case "every fourth erratic":
            return [erratic if i % 4 == 1 else q for i, q in enumerate(bell)]
        case "10 % diverged":
            return [mixture(0.1, constant(-np.inf), q) for q in bell]
    raise ValueError(kind)


CELLS = ("alike", "from 0.4 to 0.97", "every fourth erratic", "10 % diverged")


def pooled(rng: np.random.Generator) -> Iterator[Row]:
    counts = [(5, count) for count in (stats.ENOUGH_CELLS, 20)] + [(n, stats.ENOUGH_CELLS) for n in (3, *SEEDS[1:])]
    for kind, (n, count) in itertools.product(CELLS, counts):
        quantiles = cells(kind, count)
        truth = Case(kind, lambda u, quantiles=quantiles: np.concatenate([q(u) for q in quantiles]))
        values = np.sort(truth.values)
        middle = float(values[len(values) // 4 : -(len(values) // 4)].mean())
        runs = np.stack([q(rng.random((SAMPLES, n))) for q in quantiles], axis=1)
        hits = [
            covers(stats.pooled_interquartile_mean(x, seed=i, resamples=RESAMPLES), middle) for i, x in enumerate(runs)
        ]
        yield f"pooled interquartile mean, {count} cells", kind, n, percent(hits)


# ---------------------------------------------------------------- which may be the best


def best_sets(rng: np.random.Generator) -> Iterator[Row]:
    """Every kind of contest, by number of names and seeds."""
    for kind, cases in contests.KINDS.items():
        for (case, draw), names, n in itertools.product(cases.items(), NAMES, (3, *SEEDS)):
            found = contests.Measured.of(draw, rng, names, n, CONTESTS, OLD)
            yield kind, case, n, found.inside, names, found.size, found.single, found.old_size


def excess(rng: np.random.Generator) -> Iterator[Row]:
    """How far the first of equal normals is above its true mean, in standard deviations of a run."""
    for names, n in itertools.product(NAMES, (3, *SEEDS)):
        means = rng.standard_normal((CELLS_DRAWN, names, n)).mean(axis=2)
        yield "excess", "equal normals", n, math.nan, names, float(means.max(axis=1).mean())


# ---------------------------------------------------------------- tables

PARTS = {
    "coverage": (medians, interquartile_means, differences, proportions, pooled),
    "best": (best_sets,),
    "excess": (excess,),
}
TITLES = {
    "coverage": "Coverage of 95 % intervals, in %:",
    "best": "How often the best is in the set (%), the mean size of the set, how often it is one name (%), and the mean"
    " size of the\nold set; with 3, 5, 10 and 20 seeds:",
    "excess": "How far the first of equal names is above its true mean on average, in standard deviations of a run:",
}
COLUMNS = ["what", "case", "seeds", "percent", "names", "size", "single", "old_size"]


def simulated(part: str, seed: int) -> pd.DataFrame:
    rows = []
    for measure in PARTS[part]:
        start = time.process_time()
        rows += measure(np.random.default_rng([seed, len(rows)]))
        print(f"{measure.__name__}: {time.process_time() - start:.0f} s", flush=True)
    return pd.DataFrame(rows, columns=COLUMNS[: len(rows[0])]).assign(part=part)


def coverage_table(rows: pd.DataFrame) -> list[str]:
    """One row per case, one column per number of seeds."""
    seeds = sorted(rows["seeds"].unique())
    lines = [f"| | case | {' | '.join(f'{n} seeds' for n in seeds)} |", f"| --- | --- |{' ---: |' * len(seeds)}"]
    for (what, case), some in rows.groupby(["what", "case"], sort=False):
        at = dict(zip(some["seeds"], some["percent"].map("{:.1f}".format), strict=True))
        lines.append(f"| {what} | {case} | {' | '.join(at.get(n, '') for n in seeds)} |")
    return lines


def best_table(rows: pd.DataFrame) -> list[str]:
    """One row per case and number of names; in each cell one number per number of seeds."""
    lines = ["| | case | names | in the set | size | one name | old size |", f"| --- | --- |{' ---: |' * 5}"]
    for key, some in rows.groupby(["what", "case", "names"], sort=False):
        cells = (", ".join(some[name].map("{:.1f}".format)) for name in ("percent", "size", "single", "old_size"))
        lines.append(f"| {' | '.join([*map(str, key), *cells])} |")
    return lines


def excess_table(rows: pd.DataFrame) -> list[str]:
    """One row per number of names, one column per number of seeds."""
    wide = rows.pivot(index="names", columns="seeds", values="size")
    lines = [
        f"| names | {' | '.join(f'{n} seeds' for n in wide.columns)} |",
        f"| ---: |{' ---: |' * len(wide.columns)}",
    ]
    return [*lines, *(f"| {names} | {' | '.join(map('{:.2f}'.format, row))} |" for names, row in wide.iterrows())]


TABLES = {"coverage": coverage_table, "best": best_table, "excess": excess_table}


def lowest(rows: pd.DataFrame) -> str:
    """Where the best is in the set least often, the limits left out."""
    row = rows[rows["what"] != "limits"].nsmallest(1, "percent").iloc[0]
    error = 100 * math.sqrt(0.95 * 0.05 / CONTESTS)
    return (
        f"lowest: {row['percent']:.1f} % ({row['case']}, {row['names']} names, {row['seeds']} seeds); error {error:.1f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--write", action="store_true", help="into benchmarks/README.md and a CSV beside it")
    args = parser.parse_args()
    parts = {part: simulated(part, args.seed) for part in args.parts}
    tables = [f"{TITLES[part]}\n\n" + "\n".join(TABLES[part](rows)) + "\n" for part, rows in parts.items()]
    text = "\n" + "\n".join(tables) + "\n"
    print(text)
    if "best" in parts:
        print(lowest(parts["best"]))
    if args.write:
        write("calibration", text, pd.concat(parts.values()), numbers="%.2f")


if __name__ == "__main__":
    main()
