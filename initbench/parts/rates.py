"""Learning rates of single parameters, in multiples of the run's: what a parametrization or `lr_factors` asks for.

An initializer asks with `ask`, the key `lr_factors` with `scale`; the engine multiplies. A parametrization's factor
depends on the optimizer: whether its steps grow with the gradient (SGD), or each entry's is divided by the size of its
gradients (Adam).
"""

from collections.abc import Iterable, Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Any, NamedTuple

from torch import nn

from initbench.errors import DoesNotFit, nearest


class Rates(NamedTuple):
    """Factors of the learning rate of one parameter."""

    plain: float = 1.0  # where a step is proportional to the gradient
    scale_free: float = 1.0  # where the gradient's size doesn't matter

    def of(self, optimizer: Any) -> float:
        """The factor for an optimizer; DoesNotFit where none is known."""
        if self.plain == self.scale_free and optimizer.elementwise:
            return self.plain
        kind = getattr(optimizer, "scale_free", None)
        if kind is None or not optimizer.elementwise:
            name = type(optimizer).__name__
            raise DoesNotFit(f"init=mup has learning rates for SGD and optimizers like Adam, not for {name}")
        return self.scale_free if kind else self.plain


def ask(parameter: nn.Parameter, rates: Rates) -> None:
    """Have a parameter trained with rates of its own."""
    parameter.rates = rates  # type: ignore[attr-defined]


def forget(model: nn.Module) -> None:
    """Have all parameters trained with the run's rate, as before any initializer."""
    for parameter in model.parameters():
        vars(parameter).pop("rates", None)


def asked(model: nn.Module) -> dict[str, Rates]:
    """The rates that were asked for, by the parameter's name."""
    return dict(_asked(model))


def _asked(model: nn.Module) -> Iterator[tuple[str, Rates]]:
    for name, parameter in model.named_parameters():
        if (rates := getattr(parameter, "rates", None)) is not None:
            yield name, rates


def scale(model: nn.Module, factors: Mapping[str, float]) -> None:
    """Multiply the rates of all parameters that a pattern fits; where several fit, the last of them counts.

    A pattern is one or more whole parts of a parameter's name (`bias`, `layers.0`, `head.weight`); * stands for any
    characters. DoesNotFit for a pattern that fits no parameter.
    """
    own = dict(model.named_parameters())
    for pattern in factors:
        if not any(fits(pattern, name) for name in own):
            raise DoesNotFit(f"lr_factors: no parameter is named '{pattern}'{nearest(pattern, patterns(own, pattern))}")
    for name, parameter in own.items():
        found = [factor for pattern, factor in factors.items() if fits(pattern, name)]
        if found:
            before = getattr(parameter, "rates", Rates())
            ask(parameter, Rates(before.plain * found[-1], before.scale_free * found[-1]))


def patterns(names: Iterable[str], like: str) -> set[str]:
    """What fits some of these names: single parts, or parts from the first on where the pattern `like` has a dot."""
    split = [name.split(".") for name in names]
    if "." in like:
        return {".".join(parts[:k]) for parts in split for k in range(1, len(parts) + 1)}
    return {part for parts in split for part in parts if not part.isdigit()}


def fits(pattern: str, name: str) -> bool:
    """ "linear.bias" fits "layers.0.linear.bias"; "near" does not, "*near*" does."""
    return fnmatchcase(f".{name}.", f"*.{pattern}.*")


def check_factors(model: nn.Module, factors: Mapping[str, float], optimizer: Any) -> None:
    """DoesNotFit where these `lr_factors` fit no parameter of the model, or don't go with the optimizer."""
    if not optimizer.elementwise:
        name = type(optimizer).__name__
        raise DoesNotFit(
            f"lr_factors are for optimizers that update each number by itself, as sgd and adam; not {name}"
        )
    scale(model, factors)


def check_rates(model: nn.Module, optimizer: Any) -> None:
    """DoesNotFit where an initializer has asked for rates that are not known for this optimizer."""
    for rates in asked(model).values():
        rates.of(optimizer)
