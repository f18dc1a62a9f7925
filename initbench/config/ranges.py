"""Between which values a tuned key is tried: `tune.init.gain=[0.25,4,log]`."""

from dataclasses import dataclass
from typing import Any

from initbench.config.keys import RULES
from initbench.config.values import is_number, is_whole, shown
from initbench.errors import InputError

LOG, LINEAR = "log", "linear"

RANGES = {  # of the keys that can be tuned without a range of the user's
    "lr": (1e-4, 1.0, LOG),
    "batch_size": (16, 256, LOG),
    "init.gain": (0.25, 4.0, LOG),
    "init.std": (0.001, 1.0, LOG),
    "optim.momentum": (0.0, 0.99, LINEAR),
    "optim.weight_decay": (1e-4, 1.0, LOG),
    "gradient.clip_value": (0.01, 1.0, LOG),
    "gradient.clip_norm": (0.1, 10.0, LOG),
    "gradient.noise": (0.001, 1.0, LOG),
    "regularize.weight_decay": (1e-6, 0.1, LOG),
    "regularize.decoupled": (1e-4, 1.0, LOG),
    "regularize.l1": (1e-7, 0.01, LOG),
    "regularize.dropout": (0.0, 0.5, LINEAR),
    "regularize.dropconnect": (0.0, 0.5, LINEAR),
    "regularize.alpha_dropout": (0.0, 0.5, LINEAR),
    "regularize.label_smoothing": (0.0, 0.3, LINEAR),
    "regularize.weight_noise": (1e-4, 0.1, LOG),
}


@dataclass(frozen=True)
class Range:
    """The values that a tuned key may take."""

    key: str
    low: float
    high: float
    scale: str  # LOG or LINEAR: on which values are evenly spaced.

    @property
    def whole(self) -> bool:
        """Whether the key takes whole numbers alone."""
        return self.key in RULES and not RULES[self.key][1](0.5)

    @property
    def recorded(self) -> list[Any]:
        """As `tune.KEY` has it."""
        return [self.low, self.high, self.scale]

    def at(self, share: float) -> float:
        """The value this share of the way from low to high; of three digits, or whole."""
        if self.scale == LOG:
            value = self.low * (self.high / self.low) ** share
        else:
            value = self.low + (self.high - self.low) * share
        return self.rounded(value)

    def rounded(self, value: float) -> float:
        """A value of this range with three digits, or the whole number next to it."""
        if self.whole:
            return round(value)
        return min(max(float(f"{value:.3g}"), self.low), self.high)

    def grid(self, count: int, where: str) -> list[float]:
        """So many values from low to high, evenly spaced on the scale; of three digits, so that grids share values."""
        between = (self.at(k / (count - 1)) for k in range(1, count - 1))
        values = [self.low, *between, self.high]
        if sorted(set(values)) != values:
            noun = "rates" if self.key == "lr" else "values"
            raise InputError(
                f"{where}: {count} {noun} from {self.low:g} to {self.high:g} are too close; did you mean fewer?"
            )
        return values


def range_of(key: str, given: Any, where: str) -> Range:
    """The range of a key. given: [low, high], [low, high, scale], or None for the key's own.

    Without a scale it is the key's own, or else linear. Raises InputError where it is none.
    """
    own = RANGES.get(key)
    if given is None:
        if own is None:
            raise InputError(
                f"{where}: no range is known for '{key}'; did you mean to give one, as in tune.{key}=[0.1,10,log]?"
            )
        return Range(key, *own)
    scale = own[2] if own else LINEAR
    match given:
        case [low, high] if is_number(low) and is_number(high):
            pass
        case [low, high, (("log" | "linear") as scale)] if is_number(low) and is_number(high):
            pass
        case _:
            raise InputError(
                f"{where}: 'tune.{key}' must be [low,high], [low,high,log] or [low,high,linear], not {shown(given)}"
            )
    if low >= high:
        hint = f"; did you mean tune.{key}=[{high:g},{low:g}]?" if low > high else ""
        raise InputError(f"{where}: the lowest value, {low:g}, must be below the highest, {high:g}{hint}")
    if scale == LOG and low <= 0:
        raise InputError(
            f"{where}: a log scale begins above 0, not at {low:g}; did you mean tune.{key}=[{low:g},{high:g},linear]?"
        )
    found = Range(key, low, high, scale)
    if found.whole and not (is_whole(low) and is_whole(high)):
        raise InputError(f"{where}: '{key}' takes whole numbers; give two of them")
    return found if found.whole else Range(key, float(low), float(high), scale)
