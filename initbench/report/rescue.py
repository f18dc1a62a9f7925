"""What a mitigation is worth: by how much it shrinks the spread between initializers, and which failures it rescues.

A mitigation is any axis that has a value for "without" (`BASELINES`); a panel is a contest of the other axes. Every
number compares the same initializers under the same seeds, with and without.
"""

# pandas annotates nearly everything as "Series or DataFrame or unknown": these checks see only that.
# pyright: reportArgumentType=false, reportCallIssue=false, reportReturnType=false
# pyright: reportAttributeAccessIssue=false, reportGeneralTypeIssues=false

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from initbench.report import spread, stats, tables
from initbench.report.sheet import Cell, Column, Sheet
from initbench.report.verdict import ALPHA, LEVEL
from initbench.results import Results
from initbench.words import listed, percent, plural

BASELINES = {
    "mitigation": "none",
    "norm": "none",
    "schedule": "constant",
    "average": "none",
    "optim": "sgd",
    "precision": "float32",
}
SWITCHES = ("gradient.", "regularize.")  # keys that are off where they are null
SYMMETRIC = ("zeros", "constant")  # all units alike: no treatment of the gradient tells them apart
MARGIN = 0.02  # of accuracy: a greater deviation of initializers matters, however much seeds vary

NO_LONGER, NEVER, LESS, MORE = "no longer matters", "does not matter", "matters less", "matters more"
WORSE, ALONE, NOBODY, UNKNOWN = "makes it worse", "only one is sound", "none is sound", "cannot be told"
VERDICTS = {  # of the choice among initializers, with the mitigation
    NO_LONGER: "the sound initializers are told apart without it, or some of them fail; with it they lie within noise",
    NEVER: "they lie within noise with it as without",
    LESS: "the spread is smaller with it, beyond noise",
    MORE: "the spread is greater with it, beyond noise",
    WORSE: "it breaks more initializers than it rescues, beyond noise",
    ALONE: "one initializer learns",
    NOBODY: "no initializer learns",
    UNKNOWN: "none of these can be said: the spread is not told from the one without",
}
CHANGES = ("learned", "range", "std", "steps_range", "steps_std")  # what is compared with and without, seed by seed
FATES = {"rescued": (False, True), "broken": (True, False), "failing": (False, False), "learning": (True, True)}


@dataclass(frozen=True)
class Rescue:
    """What one axis does. Every table has a row a value of the axis but the baseline, the most useful first.

    panels: a row a value and panel. overall: a row a value, over all panels. components: a row a panel and measure.
    """

    axis: str
    baseline: str
    panels: pd.DataFrame
    overall: pd.DataFrame
    components: pd.DataFrame

    @property
    def values(self) -> list[str]:
        """The mitigations, the one that rescues most cells first."""
        return list(self.overall["value"])


def rescues(results: Results, steps: pd.Series) -> list[Rescue]:
    """A record for each axis that has a baseline and something beside it. steps: `tables.steps_to_target`."""
    runs, contests = tables.labelled(results.runs)
    runs = runs.assign(
        score=tables.score(runs),
        learned=(runs["outcome"] == "learned").astype("float64").where(runs["status"] == "done"),
        steps=np.log10(runs["run_id"].map(steps).astype("float64")),
    )
    axes = sorted(filter(lambda axis: baseline(axis, runs[axis]), contests), key=lambda axis: axis != "mitigation")
    return [found for axis in axes if (found := _rescue(runs, axis, contests))]


def baseline(axis: str, values: pd.Series) -> str | None:
    """The value of an axis that means "without", where it is among its values and not alone."""
    without = BASELINES.get(axis, "null" if axis.startswith(SWITCHES) else None)
    texts = set(map(tables.value_text, values.unique()))
    return without if without in texts and len(texts) > 1 else None


def _rescue(runs: pd.DataFrame, axis: str, contests: list[str]) -> Rescue | None:
    without = BASELINES.get(axis, "null")
    others = [other for other in contests if other != axis]
    rows, measured, parts = [], [], {}
    for key, here in runs.groupby(others, dropna=False, sort=False):
        panel = _Panel.of(here, axis)
        where = {"axis": axis, **dict(zip(others, key, strict=True))}
        title = panel_title(others, key)
        if without not in panel.values:
            continue
        found = [(value, _Pair.of(panel, without, value)) for value in panel.values if value != without]
        found = [(value, pair) for value, pair in found if len(pair.labels)]
        rows += _panel_rows(where, title, found)
        for value, pair in found:
            parts.setdefault(value, []).append((title, pair))
        measured += _component_rows(where, panel, without)
    if not rows:
        return None
    panels = pd.DataFrame(rows)
    overall = pd.DataFrame(_overall_rows(axis, panels, parts))
    order = overall.assign(net=overall["broken"] - overall["rescued"]).sort_values(
        ["net", "broken", "range_difference"], kind="stable"
    )
    place = {value: place for place, value in enumerate(order["value"])}
    return Rescue(
        axis=axis,
        baseline=without,
        panels=panels.sort_values("value", key=lambda values: values.map(place), kind="stable", ignore_index=True),
        overall=overall.loc[order.index].reset_index(drop=True),
        components=pd.DataFrame(measured),
    )


def panel_title(axes: Sequence[str], key: Iterable[Any]) -> str:
    """ "relu, depth 20" """
    texts = zip(axes, map(tables.value_text, key), strict=True)
    return ", ".join(text if axis == "act" else f"{axis} {text}" for axis, text in texts)


# ---------------------------------------------------------------- arrays


@dataclass(frozen=True)
class _Panel:
    """The runs of a panel as arrays (labels, values, seeds), NaN where none is finished: `score` (-inf where it
    diverged), `learned` (1 or 0) and `steps` (log10 of the steps to the target, inf where it is never reached).
    """

    labels: list[str]
    values: list[str]
    seeds: list[int]
    score: np.ndarray
    learned: np.ndarray
    steps: np.ndarray

    @classmethod
    def of(cls, runs: pd.DataFrame, axis: str) -> "_Panel":
        texts = runs[axis].map(tables.value_text)
        places, names = zip(*map(pd.factorize, (runs["label"], texts, runs["seed"])), strict=True)
        arrays = {}
        for measure in ("score", "learned", "steps"):
            array = np.full([len(each) for each in names], math.nan)
            array[places] = runs[measure].astype("float64").to_numpy()
            arrays[measure] = array
        return cls(*map(list, names), **arrays)


@dataclass(frozen=True)
class _Pair:
    """The same initializers under the same seeds, without (0) and with (1) a mitigation: arrays (2, labels, seeds)."""

    labels: list[str]
    seeds: list[int]
    score: np.ndarray
    learned: np.ndarray
    steps: np.ndarray

    @classmethod
    def of(cls, panel: _Panel, without: str, value: str) -> "_Pair":
        """Those initializers that have the most seeds finished in both, and the seeds that all of these have."""
        both = [panel.values.index(without), panel.values.index(value)]
        there = np.array(~np.isnan(panel.score[:, both]).any(axis=1))
        seeds_of = there.sum(axis=1)
        kept = (seeds_of == seeds_of.max(initial=0)) & (seeds_of > 0)
        shared = there[kept].all(axis=0) if kept.any() else np.zeros(len(panel.seeds), bool)
        kept &= shared.any()
        arrays = {
            measure: getattr(panel, measure)[kept][:, both][..., shared].swapaxes(0, 1)
            for measure in ("score", "learned", "steps")
        }
        labels = [label for label, keep in zip(panel.labels, kept, strict=True) if keep]
        return cls(labels, [seed for seed, keep in zip(panel.seeds, shared, strict=True) if keep], **arrays)

    @property
    def able(self) -> np.ndarray:
        """(2, labels): whether most of its seeds learned."""
        return self.learned.mean(axis=2) > 0.5

    @property
    def sound(self) -> np.ndarray:
        """(2, labels): whether most of its seeds learned and none diverged."""
        return self.able & np.isfinite(self.score).all(axis=2)

    @property
    def compared(self) -> np.ndarray:
        """(labels,): whether its units differ at birth and no run diverged, with or without."""
        return ~symmetric(self.labels) & np.isfinite(self.score).all(axis=(0, 2))

    @property
    def timed(self) -> np.ndarray:
        """(labels,): whether every run reached the target, with and without."""
        return ~symmetric(self.labels) & np.isfinite(self.steps).all(axis=(0, 2))

    def names(self, which: np.ndarray) -> list[str]:
        return [label for label, here in zip(self.labels, which, strict=True) if here]

    def per_seed(self, change: str) -> np.ndarray | None:
        """(2, seeds): one of CHANGES; None where fewer than two initializers have it."""
        if change == "learned":
            return self.learned.mean(axis=1)
        values = self.steps[:, self.timed] if change.startswith("steps") else self.score[:, self.compared]
        if values.shape[1] < 2:
            return None
        measure = spread.ranges if change.endswith("range") else spread.deviations
        return np.stack([measure(values[0]), measure(values[1])])


def symmetric(labels: Iterable[str]) -> np.ndarray:
    """Whether all units of a layer start alike: those fail nearly everywhere, and would be most of any spread."""
    return np.array([label.split(" ")[0] in SYMMETRIC for label in labels], bool)


# ---------------------------------------------------------------- with and without


def _panel_rows(where: dict[str, Any], title: str, found: list[tuple[str, _Pair]]) -> Iterator[dict[str, Any]]:
    """A row a mitigation of one panel; p-values are adjusted for the panel's mitigations (Holm)."""
    changes = [{change: _change(pair.per_seed(change)) for change in CHANGES} for _, pair in found]
    adjusted = stats.holm([change["range"].p if change["range"] else 1.0 for change in changes])
    for (value, pair), change, p_adjusted in zip(found, changes, adjusted, strict=True):
        row = {**where, "value": value, "seeds": len(pair.seeds), "initializers": len(pair.labels)}
        row |= {"compared": int(pair.compared.sum()), "timed": int(pair.timed.sum())}
        for name in CHANGES:
            row |= _columns(name, pair.per_seed(name), change[name])
        row |= {"range_p": change["range"].p if change["range"] else math.nan, "range_p_adjusted": p_adjusted}
        row |= _sorted_out(pair) | _sound(pair)
        row["verdict"] = _verdict(row | {"learned_surely_less": _surely_less(change["learned"])})
        row["sentence"] = sentence(row, title)
        yield row


def _change(values: np.ndarray | None) -> stats.Paired | None:
    """With less without, over the seeds."""
    return None if values is None else stats.paired(values[1], values[0], LEVEL, swing=stats.swing(values))


def _surely_less(change: stats.Paired | None) -> bool:
    """Whether fewer learned beyond noise: by the interval, or under every seed by the same number."""
    if change is None:
        return False
    return change.difference.high < 0 or (change.difference.value < 0 and change.test == "sign")


def _columns(name: str, values: np.ndarray | None, change: stats.Paired | None) -> dict[str, float]:
    without, with_ = (math.nan, math.nan) if values is None else values.mean(axis=1)
    difference = change.difference if change else stats.Estimate(math.nan, math.nan, math.nan)
    return {
        f"{name}_without": float(without),
        f"{name}_with": float(with_),
        f"{name}_difference": difference.value,
        f"{name}_low": difference.low,
        f"{name}_high": difference.high,
    }


def _sorted_out(pair: _Pair) -> dict[str, Any]:
    """How many cells are rescued, broken, failing and learning as before, and which."""
    named = {fate: pair.names((both == pair.able.T).all(axis=1)) for fate, both in FATES.items()}
    return {fate: len(names) for fate, names in named.items()} | {
        f"{fate}_names": ", ".join(names) for fate, names in named.items()
    }


def _sound(pair: _Pair) -> dict[str, Any]:
    """How far apart those lie that are sound with the mitigation, and what the seeds alone would give."""
    sound = pair.sound[1]
    with_, before = pair.score[1, sound], pair.score[0, sound]
    row: dict[str, Any] = {"sound": int(sound.sum()), "sound_names": ", ".join(pair.names(sound))}
    told = spread.differences(with_)
    estimate = _mean(spread.ranges(with_)) if len(with_) > 1 else _mean(np.array([]))
    finite = len(before) > 1 and bool(np.isfinite(before).all())
    lost = sound & ~pair.sound[0]
    mattered = bool(lost.any()) or (finite and spread.differences(before).p <= ALPHA)
    return row | {
        "sound_range": estimate.value,
        "sound_range_low": estimate.low,
        "sound_range_high": estimate.high,
        "sound_range_by_seeds": spread.expected_range(len(with_)) * told.deviation if told.known else math.nan,
        "sound_range_without": float(spread.ranges(before).mean()) if finite else math.nan,
        "sound_failing_without": int(lost.sum()),
        "sound_p": told.p,
        "sound_ratio_high": told.ratio_high,
        "sound_std_high": told.deviation_high if told.known else math.nan,
        "mattered": mattered,
    }


def _mean(values: np.ndarray) -> stats.Estimate:
    """A mean over the seeds and its t interval."""
    if not len(values):
        return stats.Estimate(math.nan, math.nan, math.nan)
    return stats.paired(values, np.zeros(len(values)), LEVEL).difference


def _verdict(row: dict[str, Any]) -> str:
    if row["sound"] == 0:
        return NOBODY
    if row["broken"] > row["rescued"] and row["learned_surely_less"]:
        return WORSE
    if row["sound"] == 1:
        return ALONE
    within_noise = row["sound_p"] > ALPHA and row["sound_ratio_high"] <= 1 and row["sound_std_high"] <= MARGIN
    if within_noise:
        return NO_LONGER if row["mattered"] else NEVER
    if row["range_p_adjusted"] <= ALPHA:
        return LESS if row["range_with"] < row["range_without"] else MORE
    return UNKNOWN


# ---------------------------------------------------------------- over all panels


def _overall_rows(
    axis: str, panels: pd.DataFrame, parts: dict[str, list[tuple[str, _Pair]]]
) -> Iterator[dict[str, Any]]:
    """A row a mitigation: means over its panels, seed by seed; p-values adjusted for the mitigations (Holm)."""
    pairs = {value: [pair for _, pair in there] for value, there in parts.items()}
    means = {value: {name: _over_panels(there, name) for name in CHANGES} for value, there in pairs.items()}
    changes = {value: {name: _change(mean) for name, (mean, _) in there.items()} for value, there in means.items()}
    adjusted = stats.holm([change["range"].p if change["range"] else 1.0 for change in changes.values()])
    for (value, there), p_adjusted in zip(parts.items(), adjusted, strict=True):
        here = panels[panels["value"] == value]
        row: dict[str, Any] = {"axis": axis, "value": value, "panels": len(here)}
        row |= {fate: int(here[fate].sum()) for fate in FATES}
        for name in CHANGES:
            mean, count = means[value][name]
            row |= {f"{name}_panels": count} | _columns(name, mean, changes[value][name])
        change = changes[value]["range"]
        row |= {"range_p": change.p if change else math.nan, "range_p_adjusted": p_adjusted}
        row |= {
            "panels_no_longer": int((here["verdict"] == NO_LONGER).sum()),
            "panels_less": int((here["verdict"] == LESS).sum()),
            "panels_more": int((here["verdict"] == MORE).sum()),
        }
        row["sentence"] = overall_sentence(row, _tally(there, "failing"), _tally(there, "broken"))
        yield row


def _over_panels(pairs: list[_Pair], name: str) -> tuple[np.ndarray | None, int]:
    """(2, seeds): the mean over the panels that have it, under the seeds that all of these have; and how many."""
    known = [(pair.seeds, values) for pair in pairs if (values := pair.per_seed(name)) is not None]
    seeds = sorted(set.intersection(*(set(seeds) for seeds, _ in known))) if known else []
    if not seeds:
        return None, 0
    return np.mean([values[:, [own.index(seed) for seed in seeds]] for own, values in known], axis=0), len(known)


def _tally(parts: list[tuple[str, _Pair]], fate: str) -> dict[str, int]:
    """In how many panels each initializer has the fate, the most often first."""
    counts: dict[str, int] = {}
    for _, pair in parts:
        for label in pair.names((FATES[fate] == pair.able.T).all(axis=1)):
            counts[label] = counts.get(label, 0) + 1
    return dict(sorted(counts.items(), key=lambda item: -item[1]))


# ---------------------------------------------------------------- interaction


def _component_rows(where: dict[str, Any], panel: _Panel, without: str) -> Iterator[dict[str, Any]]:
    """Variance components of accuracy, and of having learned (1 or 0), over the largest complete grid of the panel."""
    seeds = ~np.isnan(panel.score).all(axis=(0, 1))
    for measure, values in {"test_acc": panel.score, "learned": panel.learned}.items():
        complete = np.array(np.isfinite(values[..., seeds]).all(axis=2))
        complete[symmetric(panel.labels)] = False
        rows, columns = balanced(complete, panel.values.index(without))
        if len(rows) < 2 or len(columns) < 2 or seeds.sum() < 2:
            continue
        found = spread.components(values[rows][:, columns][..., seeds])
        names = ("init", "value", "interaction", "seed")
        variances = (found.rows, found.columns, found.interaction, found.replicates)
        yield {
            **where,
            "measure": measure,
            "initializers": len(rows),
            "values": len(columns),
            "seeds": int(seeds.sum()),
            **{f"variance_{name}": variance for name, variance in zip(names, variances, strict=True)},
            **{f"share_{name}": share for name, share in zip(names, found.shares, strict=True)},
            "p_interaction": found.p,
            "left_out": ", ".join(
                [panel.labels[row] for row in range(len(panel.labels)) if row not in rows]
                + [panel.values[column] for column in range(len(panel.values)) if column not in columns]
            ),
        }


def balanced(complete: np.ndarray, keep: int) -> tuple[list[int], list[int]]:
    """Rows and columns of a grid without gaps: the one with the largest share of gaps goes until there is none.

    complete: (rows, columns) truths. keep: a column that stays.
    """
    rows, columns = list(range(complete.shape[0])), list(range(complete.shape[1]))
    while rows and not (here := complete[np.ix_(rows, columns)]).all():
        gaps = [(1 - here[place].mean(), 0, row) for place, row in enumerate(rows)]
        gaps += [(1 - here[:, place].mean(), 1, column) for place, column in enumerate(columns) if column != keep]
        _, which, name = max(gaps)
        (columns if which else rows).remove(name)
    return rows, columns


# ---------------------------------------------------------------- words


def sentence(row: dict[str, Any], title: str) -> str:
    """What a mitigation does in one panel."""
    name, at = row["value"], f"at {title}"
    rescued, broken, failing = (row[f"{fate}_names"].split(", ") for fate in ("rescued", "broken", "failing"))
    match row["verdict"]:
        case "none is sound":
            start = f"With {name} no initializer is sound {at}"
        case "makes it worse":
            start = (
                f"{name} makes it worse {at} ({percent(row['learned_with'], 0)} of runs learn, "
                f"{percent(row['learned_without'], 0)} without)"
            )
        case "only one is sound":
            start = f"With {name} only {row['sound_names']} is sound {at}"
        case "no longer matters":
            start = (
                f"With {name} the choice among {row['sound']} sound initializers no longer matters {at} "
                f"({_sound_words(row)})"
            )
        case "does not matter":
            start = (
                f"With {name} the choice among {row['sound']} sound initializers does not matter {at}, "
                f"and did not without ({_sound_words(row)})"
            )
        case "matters less":
            start = f"With {name} the initializers lie closer together {at} ({_range_words(row)}){_still(row)}"
        case "matters more":
            start = f"With {name} the initializers lie farther apart {at} ({_range_words(row)})"
        case _:
            start = f"With {name} it can't be told whether the spread changes {at} ({_range_words(row)})"
    changed = [
        f"rescues {listed(rescued)}" if row["rescued"] else "",
        f"breaks {listed(broken)}" if row["broken"] else "",
    ]
    moved = " and ".join(filter(None, changed))
    parts = [start, f"it {moved}" if moved else ""]
    if row["failing"]:
        everyone = row["failing"] == row["initializers"]
        who = f"all {row['failing']}" if everyone and row["failing"] > 1 else listed(failing)
        parts.append(f"{who} {'' if everyone else 'still '}{'fails' if row['failing'] == 1 else 'fail'}")
    return "; ".join(filter(None, parts)) + "."


def _sound_words(row: dict[str, Any]) -> str:
    """ "spread 0.4 ± 0.3 points where seeds alone make 0.5, 31.2 without" """
    spread_ = f"spread {_plus_minus(row['sound_range'], row['sound_range_high'])} points"
    by_seeds = f" where seeds alone make {points(row['sound_range_by_seeds'])}"
    lost = "all" if row["sound_failing_without"] == row["sound"] else row["sound_failing_without"]
    if math.isnan(row["sound_range_without"]):
        return f"{spread_}{by_seeds}; without it {lost} of them fail"
    some = f", where {lost} of them fail" if row["sound_failing_without"] else ""
    return f"{spread_}{by_seeds}, {points(row['sound_range_without'])} without{some}"


def _range_words(row: dict[str, Any]) -> str:
    if math.isnan(row["range_with"]):
        return f"{row['compared']} of {row['initializers']} initializers have one: the others diverge or are symmetric"
    change = (
        f", a change of {_plus_minus(row['range_difference'], row['range_high'])}"
        if not math.isnan(row["range_difference"])
        else ""
    )
    some = f", over {row['compared']} of {row['initializers']} initializers"
    return (
        f"spread {points(row['range_with'])} points, {points(row['range_without'])} without{change}"
        f"{some if row['compared'] < row['initializers'] else ''}"
    )


def _still(row: dict[str, Any]) -> str:
    """Whether those that are sound still differ."""
    if row["sound_p"] <= ALPHA:
        return (
            f", and the {row['sound']} sound ones still differ: by {points(row['sound_range'])} points "
            f"where seeds alone would make {points(row['sound_range_by_seeds'])}"
        )
    return f"; whether the {row['sound']} sound ones still differ can't be told"


def overall_sentence(row: dict[str, Any], failing: dict[str, int], broken: dict[str, int]) -> str:
    """What a mitigation does over all panels."""
    failures = row["rescued"] + row["failing"]
    parts = [
        f"{row['value']} rescues {row['rescued']} of {plural(failures, 'failing cell')}"
        if failures
        else f"{row['value']} has nothing to rescue"
    ]
    parts[0] += f" and breaks {row['broken']} of {row['broken'] + row['learning']} that learn" if row["broken"] else ""
    if not math.isnan(row["range_with"]):
        change = _plus_minus(row["range_difference"], row["range_high"])
        told = "" if row["range_p_adjusted"] <= ALPHA else ", not resolved"
        parts.append(
            f"the spread is {points(row['range_with'])} points, {points(row['range_without'])} without "
            f"(a change of {change}{told})"
        )
    if row["panels_no_longer"]:
        parts.append(
            f"in {row['panels_no_longer']} of {plural(row['panels'], 'panel')} the choice among sound initializers "
            "no longer matters"
        )
    if failing:
        parts.append(f"still failing: {listed(_counted(failing, row['panels']))}")
    if broken:
        parts.append(f"broken: {listed(_counted(broken, row['panels']))}")
    return "; ".join(parts) + "."


def _counted(counts: dict[str, int], panels: int) -> list[str]:
    """ "zeros in all 6", "normal in 2" """
    return [
        label if panels == 1 else f"{label} in {'all ' if count == panels else ''}{count}"
        for label, count in counts.items()
    ]


def points(fraction: float) -> str:
    """ "31.2", in percentage points"""
    return f"{100 * fraction:.1f}".replace("-", "−")


def _plus_minus(value: float, high: float) -> str:
    """ "0.4 ± 0.3"; half of the 95 % interval follows the sign."""
    half = f" ± {points(high - value)}" if math.isfinite(high) else ""
    return f"{points(value)}{half}"


# ---------------------------------------------------------------- tables


def frames(found: Sequence[Rescue]) -> dict[str, pd.DataFrame]:
    """What is written as CSV and told as JSON, by name, over all axes; nothing where there is no axis."""
    if not found:
        return {}
    return {
        "rescue": pd.concat([rescue.overall for rescue in found], ignore_index=True),
        "rescue_panels": pd.concat([rescue.panels for rescue in found], ignore_index=True),
        "interaction": pd.concat([rescue.components for rescue in found], ignore_index=True),
    }


def rescue_sheet(found: Sequence[Rescue]) -> Sheet:
    """A row a mitigation over all panels, the one that rescues most cells first."""
    columns = [
        Column(("", "mitigation"), left=True),
        *(Column(("cells", fate)) for fate in FATES),
        *(Column(("runs that learned (%)", name)) for name in ("without", "with")),
        *(Column(("spread of accuracy (points)", name)) for name in ("without", "with", "change")),
        *(Column(("spread of log10 steps", name)) for name in ("without", "with", "change")),
    ]
    rows = []
    for rescue in found:
        for row in rescue.overall.to_dict("records"):
            name = row["value"] if rescue.axis == "mitigation" else f"{rescue.axis} {row['value']}"
            rows.append(
                [
                    Cell(name),
                    *(Cell(str(row[fate])) for fate in FATES),
                    *(Cell(_number(100 * row[f"learned_{side}"], 0)) for side in ("without", "with")),
                    *_changes(row, "range", 100, 1),
                    *_changes(row, "steps_range", 1, 2),
                ]
            )
    return Sheet(
        caption="What each mitigation does over all contests. Cells: rescued, most seeds learn with it and not "
        "without; broken, the reverse; failing and learning, as without. Spread: best less worst initializer under a "
        "seed, over those that never diverge (of steps, that always reach the target) and are not symmetric (zeros, "
        "constant), and its change with a 95 % interval, "
        f"paired by seed. Bold: p, adjusted (Holm), is at most {ALPHA:.2g}.",
        columns=columns,
        stub=1,
        rows=rows,
    )


def _changes(row: dict[str, Any], name: str, unit: float, digits: int) -> list[Cell]:
    value, high = unit * row[f"{name}_difference"], unit * row[f"{name}_high"]
    half = f" ± {_number(high - value, digits)}" if math.isfinite(high) else ""
    change = Cell(_number(value, digits) + half, bold=name == "range" and row["range_p_adjusted"] <= ALPHA)
    return [*(Cell(_number(unit * row[f"{name}_{side}"], digits)) for side in ("without", "with")), change]


def _number(value: float, digits: int) -> str:
    return f"{value:.{digits}f}".replace("-", "−") if math.isfinite(value) else "–"


def answer(rescue: Rescue) -> list[str]:
    """What somebody in a hurry reads: the best mitigations, those that harm, and the interaction."""
    overall = rescue.overall
    useful = overall[overall["rescued"] > overall["broken"]]
    harmful = overall[overall["broken"] > overall["rescued"]]
    said = []
    failures = int((overall["rescued"] + overall["failing"]).max())
    if len(useful):
        said += list(useful.head(3)["sentence"])
        if len(useful) > 3:
            said.append(f"{plural(len(useful) - 3, 'other value')} of {rescue.axis} rescue more cells than they break.")
    elif failures:
        said.append(f"No {rescue.axis} rescues more cells than it breaks, of up to {failures} that fail without.")
    if len(harmful):
        names = [f"{row['value']} ({row['broken']})" for row in harmful.sort_values("broken").to_dict("records")[::-1]]
        more = f" and {len(names) - 6} more" if len(names) > 6 else ""
        said.append(f"More cells broken than rescued: {', '.join(names[:6])}{more}.")
    accuracy = rescue.components[rescue.components["measure"] == "test_acc"] if len(rescue.components) else []
    if len(accuracy):
        shares = {name: accuracy[f"share_{name}"].median() for name in ("init", "value", "interaction", "seed")}
        said.append(
            f"Of the variance of accuracy within a panel {percent(shares['init'], 0)} is the initializer's, "
            f"{percent(shares['value'], 0)} the {rescue.axis}'s, {percent(shares['interaction'], 0)} their interaction "
            f"and {percent(shares['seed'], 0)} the seed's (median over {plural(len(accuracy), 'panel')})."
        )
    return said
