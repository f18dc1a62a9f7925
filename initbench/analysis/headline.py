"""The answer in one line, for a reader in a hurry: who may be the best, by activation; and how often each wins."""

from collections.abc import Sequence
from dataclasses import dataclass

from initbench.analysis.axes import value_text
from initbench.analysis.verdicts import ALONE, AT_CHANCE, CLEAR, NONE_LEARNED, OPEN, Verdict
from initbench.text import join_words, plural

NAMED = 4  # of those that may be the best; of more only the number is said
GROUPS = 4  # activations that a headline tells apart


@dataclass(frozen=True)
class Standing:
    """How an alternative fares: contests that it clearly wins, and those where it may be the best, these included."""

    label: str
    wins: int
    may_be_best: int


def standings(verdicts: Sequence[Verdict]) -> list[Standing]:
    """Everything that may be the best in some contest; first what may be the best most often."""
    compared = [verdict for verdict in verdicts if verdict.state in (CLEAR, OPEN)]
    labels = dict.fromkeys(label for verdict in compared for label in verdict.may_be_best)
    found = [
        Standing(
            label,
            sum(verdict.clear and label in verdict.may_be_best for verdict in compared),
            sum(label in verdict.may_be_best for verdict in compared),
        )
        for label in labels
    ]
    return sorted(found, key=lambda entry: (-entry.may_be_best, -entry.wins))


def headline(verdicts: Sequence[Verdict], what: str = "initializer") -> str:
    """One or a few short sentences. what: the noun of the alternatives."""
    states = {verdict.state for verdict in verdicts}
    finished = any(verdict.contenders["runs"].sum() for verdict in verdicts)
    if not finished:
        return "No run has finished yet"
    if states <= {NONE_LEARNED}:
        return f"No {what} learned"
    if states <= {NONE_LEARNED, AT_CHANCE}:
        return f"No {what} does better than chance on test data"
    if states <= {ALONE, NONE_LEARNED, AT_CHANCE}:
        return f"Nothing to compare with: each contest has only one {what}"
    if not states & {CLEAR, OPEN}:
        return "One seed: nothing can be ranked yet"
    groups = _by_activation(verdicts, what)
    if len(groups) <= GROUPS:
        if len(groups) == 1 and all(verdict.clear for verdict in verdicts) and len({v.winner for v in verdicts}) == 1:
            return f"Use {verdicts[0].winner}"
        parts = [f"{', '.join(acts)}: {said}" if acts[0] else said for said, acts in groups.items()]
        return ". ".join(parts)
    return _often(verdicts, what)


def _by_activation(verdicts: Sequence[Verdict], what: str) -> dict[str, list[str]]:
    """What is said of each activation, to the activations of which it is said; "" where there is only one."""
    acts: dict[str, list[Verdict]] = {}
    for verdict in verdicts:
        act = value_text(verdict.contest["act"]) if "act" in verdict.contest else ""
        acts.setdefault("no activation" if act == "null" else act, []).append(verdict)
    groups: dict[str, list[str]] = {}
    for act, here in acts.items():
        groups.setdefault(_who(here, what, lone=len(acts) == 1), []).append(act if len(acts) > 1 else "")
    return groups


def _who(verdicts: list[Verdict], what: str, *, lone: bool) -> str:
    """ "he", "he, xavier or lecun", "only normal learned", "it depends: he at depth 5, lecun at depth 20" """
    decided = [verdict for verdict in verdicts if verdict.state in (CLEAR, OPEN)]
    if not decided:
        alone = {verdict.state for verdict in verdicts}
        return (
            "none learned"
            if alone == {NONE_LEARNED}
            else "none does better than chance"
            if AT_CHANCE in alone
            else "not compared"
        )
    rest = (
        ""
        if len(decided) == len(verdicts)
        else f" (in {len(decided)} of {plural(len(verdicts), 'contest')}; elsewhere none learned)"
    )
    if any(verdict.state not in (CLEAR, OPEN, NONE_LEARNED) for verdict in verdicts):
        rest = f" (in {len(decided)} of {plural(len(verdicts), 'contest')})"
    winners = {verdict.winner for verdict in decided}
    if len(winners) == 1 and all(verdict.only_learner for verdict in decided):
        return f"only {winners.pop()} learned{rest}"
    common = [label for label in decided[0].may_be_best if all(label in verdict.may_be_best for verdict in decided)]
    if len(common) == 1 and any(verdict.clear for verdict in decided):
        return f"{common[0]}{rest}"
    if common:
        return f"{_several(common, what, lone=lone)}{rest}"
    if len(decided) <= 3 and all(len(verdict.may_be_best) <= NAMED for verdict in decided):
        return "; ".join(f"{join_words(verdict.may_be_best)} at {_place(verdict)}" for verdict in decided) + rest
    return f"no single {what}{rest}"


def _several(labels: list[str], what: str, *, lone: bool) -> str:
    """Labels too close to call; lone: whether they are the whole headline, without an activation before them."""
    if len(labels) == 1:
        return f"{labels[0]} leads"
    if len(labels) > NAMED:
        return f"{len(labels)} {what}s too close to call"
    return f"{'Too close to call: ' if lone else ''}{', '.join(labels[:-1])} or {labels[-1]}"


def _place(verdict: Verdict) -> str:
    """The contest without its activation: "depth 20, lr 0.1" """
    return ", ".join(f"{axis} {value_text(value)}" for axis, value in verdict.contest.items() if axis != "act")


def _often(verdicts: Sequence[Verdict], what: str) -> str:
    """Of many contests: which may be the best most often."""
    found, compared = standings(verdicts), sum(verdict.state in (CLEAR, OPEN) for verdict in verdicts)
    first = [entry.label for entry in found if entry.may_be_best == found[0].may_be_best]
    who = join_words(first) if len(first) <= 2 else f"{len(first)} {what}s each"
    often = "all" if found[0].may_be_best == compared else f"{found[0].may_be_best} of"
    return f"{who} may be the best in {often} {compared} contests, clearly in {found[0].wins}"
