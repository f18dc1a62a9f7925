"""With and without a mitigation: one row per panel, and one over all panels."""

import math
from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from initbench.analysis import stats, variance
from initbench.analysis.comparisons import ALPHA, LEVEL
from initbench.analysis.measure import largest_gap
from initbench.analysis.mitigations import verdicts
from initbench.analysis.mitigations.pairs import CHANGES, EFFECTS, Pair, largest
from initbench.analysis.mitigations.sentences import overall_sentence, sentence


def panel_rows(where: dict[str, Any], title: str, found: list[tuple[str, Pair]]) -> Iterator[dict[str, Any]]:
    """One row per mitigation in one panel; p-values are adjusted for the panel's mitigations (Holm)."""
    changes = [{name: _change(name, pair.per_seed(name), [pair]) for name in CHANGES} for _, pair in found]
    adjusted = stats.holm([change["range"].p for change in changes])
    for (value, pair), change, p_adjusted in zip(found, changes, adjusted, strict=True):
        row = {**where, "value": value, "seeds": len(pair.seeds), "initializers": len(pair.labels)}
        counted = {"paired": pair.paired, "compared": pair.compared, "timed": pair.reached_target}
        row |= {name: int(which.sum()) for name, which in counted.items()}
        for name in CHANGES:
            row |= _columns(name, pair.per_seed(name), change[name])
        row |= {"measure": pair.measure.name, "range_p": _p(change["range"]), "range_p_adjusted": p_adjusted}
        named = {effect: pair.having(effect) for effect in EFFECTS}
        row |= {effect: len(names) for effect, names in named.items()}
        row |= {f"{effect}_names": ", ".join(names) for effect, names in named.items()}
        row |= _sound(pair)
        row["verdict"] = verdicts.verdict(row | {"learned_surely_less": _surely_less(change["learned"])})
        row["sentence"] = sentence(row, title)
        yield row


def _change(name: str, values: np.ndarray | None, pairs: list[Pair]) -> stats.Paired:
    """The values with the mitigation minus those without, paired by seed; no pairs where there are no values.

    name: one of CHANGES. pairs: from which the values are.
    """
    if values is None:
        return stats.paired([], [])
    most = {"learned": 1.0, "range": _largest_gap(pairs), "std": _largest_gap(pairs)}.get(name, math.inf)
    return stats.paired(values[1], values[0], LEVEL, seed_effect=stats.largest_seed_effect(values), most=most)


def _largest_gap(pairs: list[Pair]) -> float:
    return max(largest_gap(pair.score) for pair in pairs)


def _p(change: stats.Paired) -> float:
    return change.p if change.pairs else math.nan


def _surely_less(change: stats.Paired) -> bool:
    """Whether fewer learned beyond noise: by the interval, or under every seed by the same number."""
    return change.difference.high < 0 or (change.difference.value < 0 and change.test == "sign")


def _columns(name: str, values: np.ndarray | None, change: stats.Paired) -> dict[str, float]:
    without, with_ = (math.nan, math.nan) if values is None else values.mean(axis=1)
    return {
        f"{name}_without": float(without),
        f"{name}_with": float(with_),
        f"{name}_difference": change.difference.value,
        f"{name}_low": change.difference.low,
        f"{name}_high": change.difference.high,
    }


def _sound(pair: Pair) -> dict[str, Any]:
    """How far apart those lie that are sound with the mitigation, and what the seeds alone would give."""
    sound = pair.sound[1]
    row: dict[str, Any] = {"sound": int(sound.sum()), "sound_names": ", ".join(pair.names(sound))}
    sound = sound & pair.paired
    before, with_ = pair.score[:, sound][..., pair.shared]
    told = variance.differences(with_)
    ranges = variance.ranges(with_) if len(with_) > 1 else np.array([])
    mean = stats.paired(ranges, np.zeros(len(ranges)), LEVEL).difference  # and its t interval
    estimate = mean.within(0, largest_gap(with_))
    finite = len(before) > 1 and bool(np.isfinite(before).all())
    lost = sound & ~pair.sound[0]
    change = stats.paired(ranges, variance.ranges(before), LEVEL) if finite else stats.paired([], [])
    return row | {
        "sound_paired": int(sound.sum()),
        "sound_range": estimate.value,
        "sound_range_low": estimate.low,
        "sound_range_high": estimate.high,
        "sound_range_by_seeds": variance.expected_range(len(with_)) * told.deviation if told.known else math.nan,
        "sound_range_without": float(variance.ranges(before).mean()) if finite else math.nan,
        "sound_failing_without": int(lost.sum()),
        "sound_p": told.p,
        "sound_ratio_high": told.ratio_high,
        "sound_std_high": told.deviation_high if told.known else math.nan,
        "sound_p_without": variance.differences(before).p if finite else math.nan,
        "sound_closer": change.difference.value < 0 and change.p <= ALPHA,
    }


def overall_rows(axis: str, panels: pd.DataFrame, pairs: dict[str, list[Pair]]) -> Iterator[dict[str, Any]]:
    """One row per mitigation: means over its panels, seed by seed; p-values adjusted for the mitigations (Holm)."""
    means = {value: {name: _over_panels(there, name) for name in CHANGES} for value, there in pairs.items()}
    changes = {
        value: {name: _change(name, mean, pairs[value]) for name, (mean, _) in there.items()}
        for value, there in means.items()
    }
    adjusted = stats.holm([change["range"].p for change in changes.values()])
    for (value, there), p_adjusted in zip(pairs.items(), adjusted, strict=True):
        here = panels[panels["value"] == value]
        row: dict[str, Any] = {"axis": axis, "value": value, "panels": len(here)}
        row |= {effect: int(here[effect].sum()) for effect in EFFECTS}
        for name in CHANGES:
            mean, count = means[value][name]
            row |= {f"{name}_panels": count} | _columns(name, mean, changes[value][name])
        row["measure"] = " or ".join(dict.fromkeys(pair.measure.name for pair in there))
        row |= {"range_p": _p(changes[value]["range"]), "range_p_adjusted": p_adjusted}
        row |= {
            "panels_no_longer": int((here["verdict"] == verdicts.NO_LONGER).sum()),
            "panels_less": int((here["verdict"] == verdicts.LESS).sum()),
            "panels_more": int((here["verdict"] == verdicts.MORE).sum()),
        }
        row["sentence"] = overall_sentence(row, _tally(there, "failing"), _tally(there, "broken"))
        yield row


def _over_panels(pairs: list[Pair], name: str) -> tuple[np.ndarray | None, int]:
    """(2, seeds): the mean over panels that have it, under the same seeds, as many as `largest` finds; and how many.

    Accuracies and errors have no mean in common.
    """
    if name in ("range", "std") and len({pair.measure.name for pair in pairs}) > 1:
        return None, 0
    known = [(pair.seeds, values) for pair in pairs if (values := pair.per_seed(name)) is not None]
    if not known:
        return None, 0
    seeds = sorted({seed for own, _ in known for seed in own})
    by_panel = np.full((len(known), 2, len(seeds)), math.nan)
    for panel, (own, values) in zip(by_panel, known, strict=True):
        panel[:, np.searchsorted(seeds, own)] = values
    there = np.array(~np.isnan(by_panel).any(axis=1))
    shared = largest(there)
    kept = by_panel[there[:, shared].all(axis=1)][..., shared]
    return kept.mean(axis=0), len(kept)


def _tally(pairs: list[Pair], effect: str) -> dict[str, int]:
    """In how many panels each initializer has the effect, the most often first."""
    return dict(Counter(label for pair in pairs for label in pair.having(effect)).most_common())
