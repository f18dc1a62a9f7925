"""Whether the choice among initializers still matters with a mitigation."""

from typing import Any

from initbench.analysis.comparisons import ALPHA

MARGIN = 0.02  # of accuracy, or error: what initializers differ by, or their spread changes by, matters from here on

NO_LONGER, NEVER, LESS, MORE = "no longer matters", "does not matter", "matters less", "matters more"
SAME = "matters as much"
WORSE, ALONE, NOBODY, UNKNOWN = "makes it worse", "only one is sound", "none is sound", "cannot be told"
MEANING = {  # of each verdict on the choice among initializers, with the mitigation
    NO_LONGER: "the sound initializers lie within noise with it; without, some of them fail or all lie farther apart",
    NEVER: "the sound initializers lie within noise, with it and without",
    LESS: "the spread is smaller with it, beyond noise",
    MORE: "the spread is greater with it, beyond noise",
    SAME: f"the spread changes by less than {100 * MARGIN:.0f} points (of errors: by less than {MARGIN:g})",
    WORSE: "it breaks more initializers than it rescues, beyond noise",
    ALONE: "one initializer learns",
    NOBODY: "no initializer learns",
    UNKNOWN: "the runs do not show whether the spread changes",
}


def verdict(row: dict[str, Any]) -> str:
    if row["sound"] == 0:
        return NOBODY
    if row["broken"] > row["rescued"] and row["learned_surely_less"]:
        return WORSE
    if row["sound"] == 1:
        return ALONE
    within_noise = row["sound_p"] > ALPHA and row["sound_ratio_high"] <= 1 and row["sound_std_high"] <= MARGIN
    if within_noise:
        apart = row["sound_p_without"] <= ALPHA
        if row["sound_failing_without"] or (apart and row["sound_closer"]):
            return NO_LONGER
        if not apart:
            return NEVER
    if row["range_p_adjusted"] <= ALPHA:
        return LESS if row["range_with"] < row["range_without"] else MORE
    return SAME if max(abs(row["range_low"]), abs(row["range_high"])) <= MARGIN else UNKNOWN
