"""How often each score is reached, over all contests."""

from dataclasses import replace

import numpy as np

from initbench.analysis import stats
from initbench.analysis.measure import Measure
from initbench.report.figures.drawing import Drawing
from initbench.report.figures.hover import tell_axes
from initbench.report.figures.percent_ticks import PercentTicks, score_ticks
from initbench.report.figures.sheet import FigurePanel, FigureSheet, legend_size
from initbench.report.figures.styled import StyledContests
from initbench.text import percent, plural


def profiles(contests: StyledContests) -> Drawing | None:
    """Performance profiles: the fraction of an initializer's runs better than each score, over all contests."""
    runs, scored = contests.runs.dropna(subset="score"), contests.measure
    if not np.isfinite(runs["score"]).any() or not runs["label"].duplicated().any() or runs["label"].nunique() < 2:
        return None  # a comparison of several initializers' runs
    scores = {label: here.to_numpy("float64") for label, here in runs.groupby("label", sort=False)["score"]}
    styles = {label: style for label, style in contests.styles.items() if label in scores}
    finite = runs.loc[np.isfinite(runs["score"]), "score"]
    low, high = (max(end, scored.least) for end in (finite.min(), finite.max()))
    margin = max(0.02 * (high - low), 0.005)
    ends = max(low - margin, scored.least), min(high + margin, 1.0 if scored.share else 0.0)
    thresholds = np.unique(np.r_[ends, finite[finite >= ends[0]]])  # it changes at scores only
    handles = [
        replace(style, marker="None").handle(f"{label} ({plural(len(scores[label]), 'run')})")
        for label, style in styles.items()
    ]
    key, least = legend_size(handles)
    panel = FigurePanel("all contests", (), 0, 0, runs)
    sheet = FigureSheet(
        [panel],
        title="Performance profiles",
        xlabel=scored.axis.replace(scored.name, f"{scored.name} τ"),
        ylabel=f"share of runs {scored.better} τ",
        width=6.5,
        height=max(3.8, least - 0.6),
        key=key,
        least=least,
    )
    for label, style in styles.items():
        above = stats.performance_profile(scores[label], thresholds)
        style.line(panel.ax, thresholds, above, marker=None, linewidth=1.6, drawstyle="steps-post")
    panel.ax.set_ylim(-0.02, 1.02)
    panel.ax.set_xlim(thresholds[0], thresholds[-1])
    tell_axes(panel.ax, scored.name, f"runs {scored.better} it")
    panel.ax.xaxis.set_major_formatter(score_ticks(scored))
    panel.ax.yaxis.set_major_formatter(PercentTicks())
    sheet.legend(handles, {str(handle.get_label()): label for handle, label in zip(handles, styles, strict=True)})
    return sheet.drawing(
        name="profiles",
        caption=f"Share of an initializer's runs that end {scored.better} each {scored.name} τ, over all contests "
        f"and seeds; a diverged run is {scored.better} none. An initializer whose curve is higher everywhere is better "
        "at every level (Dolan & Moré 2002; Agarwal et al. 2021). Initializers with unequal numbers of runs were "
        "in different contests.",
        alt=f"Line chart of the share of runs {scored.better} each {scored.name}, by initializer. "
        f"{_profile_fact(scores, scored)}",
    )


def _profile_fact(scores: dict[str, np.ndarray], scored: Measure) -> str:
    half, level = (0.5, f"50 % {scored.name.removeprefix('test ')}") if scored.share else (-0.5, "0.5")
    middle = {label: float(np.mean(values > half)) for label, values in scores.items()}
    best, worst = max(middle, key=middle.__getitem__), min(middle, key=middle.__getitem__)
    return (
        f"{percent(middle[best], 0)} of the runs of {best} end {scored.better} {level}, the most, "
        f"and {percent(middle[worst], 0)} of those of {worst}, the fewest."
    )
