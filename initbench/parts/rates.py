"""Learning rates of single parameters, in multiples of the run's: what a parametrization asks for.

An initializer asks with `ask`; the engine multiplies. The factor depends on the optimizer: whether its steps grow with
the gradient (SGD), or each entry's is divided by the size of its gradients (Adam).
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

from torch import nn

from initbench.errors import DoesNotFit


class Rates(NamedTuple):
    """Factors of the learning rate of one parameter."""

    plain: float = 1.0  # where a step is proportional to the gradient
    scale_free: float = 1.0  # where the gradient's size doesn't matter

    def of(self, optimizer: Any) -> float:
        """The factor for an optimizer; DoesNotFit where none is known."""
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


def check_rates(model: nn.Module, optimizer: Any) -> None:
    """DoesNotFit where an initializer has asked for rates that are not known for this optimizer."""
    for rates in asked(model).values():
        rates.of(optimizer)
