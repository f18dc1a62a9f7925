"""Groups of cells with the same fault, activation and sentence, in which their numbers become ranges."""

import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import pandas as pd

from initbench.text import plural

MOST_ADVICE = 3  # different things to try that a group's sentence names
_NUMBER = re.compile(r"(?:below |above )?(?<![\w.])-?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?:e-?\d+)?(?!\w)")
_MODULE = re.compile(r"(layer \d+) \([^()]*\)")  # `layer 3 (net.4, Linear)`: which module differs from depth to depth


@dataclass(frozen=True)
class Group:
    """Cells that one sentence diagnoses."""

    fault: str
    act: str  # several are joined by commas
    evidence: str  # with ranges: "each layer passes back only 5 to 31 % of the gradient"
    advice: str
    cells: pd.DataFrame  # rows of `diagnose`


def grouped(diagnoses: pd.DataFrame) -> list[Group]:
    """All cells in groups, the largest group first. Activations of which the very same is said are together."""
    if diagnoses.empty:
        return []
    acts = diagnoses["activation"].astype("object").fillna(diagnoses["act"])  # as it was computed, where that was seen
    acts = acts.fillna("none")
    keys = [diagnoses["fault"], acts, diagnoses["evidence"].map(skeleton)]
    merged = pd.Series("", diagnoses.index, dtype="str")
    for _, cells in diagnoses.groupby(keys, sort=False):
        merged[cells.index] = ranges(cells["evidence"])
    groups = [
        Group(str(fault), ", ".join(dict.fromkeys(acts[cells.index])), str(evidence), _advice(cells), cells)
        for (fault, evidence), cells in diagnoses.groupby([diagnoses["fault"], merged], sort=False)
    ]
    return sorted(groups, key=lambda group: -len(group.cells))


def skeleton(sentence: str) -> str:
    """A sentence without its numbers."""
    return _NUMBER.sub("#", _MODULE.sub(r"\1", sentence))


def ranges(sentences: Iterable[str]) -> str:
    """Sentences that differ in their numbers as one: "5 to 31 %". A single one stays as it is."""
    several = list(sentences)
    if len(set(several)) == 1:
        return several[0]
    several = [_MODULE.sub(r"\1", sentence) for sentence in several]
    columns = zip(*(_NUMBER.findall(sentence) for sentence in several), strict=True)
    merged = iter([_range(numbers) for numbers in columns])
    return _NUMBER.sub(lambda _: next(merged), several[0])


def _range(numbers: Sequence[str]) -> str:
    least, most = min(numbers, key=_value), max(numbers, key=_value)
    return least if least == most else f"{least} to {most}"


def _value(number: str) -> float:
    if number.startswith("below"):
        return 0.0
    return math.inf if number.startswith("above") else float(number.replace(",", ""))


def _advice(cells: pd.DataFrame) -> str:
    """What to try in most of the cells, then what helps in general."""
    heads, general = zip(*(_parts(advice) for advice in cells["advice"]), strict=True)
    proof = re.compile(r"learned in (\d+) of (\d+) runs")
    alike = {proof.sub("learned", head) for head in heads}
    first = Counter(cells["try_first"].dropna()).most_common()
    if len(alike) == 1:
        head = ranges(heads)
    elif len(first) == 1:
        head = f"Try {first[0][0]}"
    else:
        named = [f"{override} in {plural(count, 'cell')}" for override, count in first[:MOST_ADVICE]]
        head = f"Try {', '.join(named)}" + (", and others elsewhere" if len(first) > MOST_ADVICE else "")
    return ". ".join(filter(None, [head, general[0]]))


def _parts(advice: str) -> tuple[str, str]:
    """ "Try init=he" and the rest."""
    head, dot, rest = advice.partition(". ")
    return (head, rest) if head.startswith("Try ") and dot else ("", advice)
