"""Trials of a user's own functions: whether they are elementwise, and whether a network can be trained with them.

A part that is elementwise may be applied to all runs at once. A part that says so and looks at its neighbours would
mix them. Trials run on the CPU, in float32 and at fixed inputs, so that the answer is always the same.
"""

import functools
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from initbench.errors import InputError
from initbench.randomness import global_random_state_kept

Function = Callable[..., Tensor]
Both = Callable[[Tensor, Tensor], Tensor]  # two tensors of a shape to results (K, *shape)

SHAPE = (3, 5, 7)  # runs, examples, units
PARTS = [  # of the inputs, whose results are watched while all other inputs change: a run, examples, units, one entry
    (slice(1, 2), slice(None), slice(None)),
    (slice(None), slice(1, 4), slice(None)),
    (slice(None), slice(None), slice(2, 5)),
    (slice(1, 2), slice(2, 3), slice(3, 4)),
]
OTHERS = (0.0, 1e30, -1e30, math.inf, math.nan)  # what the other inputs become
ROUNDING = 1e-5  # relative: a vector register and the remainder of a loop may round differently
STEPS = 6  # of an optimizer


def depends_on_own_place(both: Both) -> bool:
    """Whether each result of a function of two tensors depends on nothing but their entries in its own place.

    Other entries become zero, large, infinite and NaN, and the function is called on parts of its inputs. False where
    that changes a result, where two calls give different results, and where the function fails on one of the shapes.
    """
    x, y = _numbers(0), _numbers(1)
    with _undisturbed():
        try:
            pairs = _equal_pairs(both, x, y)
            return all(torch.allclose(*pair, rtol=ROUNDING, atol=1e-12, equal_nan=True) for pair in pairs)
        except Exception:  # whatever somebody's function raises on one of these inputs, nothing is proven
            return False


def _equal_pairs(both: Both, x: Tensor, y: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Pairs of results that differ if the function looks at other entries."""
    whole = both(x, y)
    yield whole, both(x, y)
    yield whole.flatten(1), both(x.flatten(), y.flatten())
    for part in PARTS:
        watched = whole[:, *part]
        yield watched, both(x[part].contiguous(), y[part].contiguous())
        for other in OTHERS:
            changed, changed_y = torch.full_like(x, other), torch.full_like(y, other)
            changed[part], changed_y[part] = x[part], y[part]
            yield watched, both(changed, changed_y)[:, *part]


def _numbers(seed: int) -> Tensor:
    """Numbers of many sizes and both signs, (R, B, N)."""
    generator = torch.Generator().manual_seed(seed)
    draw = functools.partial(torch.randn, SHAPE, generator=generator, device="cpu")
    return draw() * 10 ** draw()


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Whatever device is the default, on the CPU; global random numbers stay where they are."""
    with torch.device("cpu"), global_random_state_kept():
        yield


@functools.cache
def is_elementwise(function: Function, **constants: Any) -> bool:
    """Whether a trial proves an activation elementwise, forward and backward."""

    def outputs_and_gradient(x: Tensor, delta: Tensor) -> Tensor:
        with torch.enable_grad():
            leaf = x.clone().requires_grad_()
            outputs = function(leaf, **constants)
            (gradient,) = torch.autograd.grad(outputs, leaf, delta)
        if outputs.dtype != x.dtype:
            raise TypeError(f"an activation of {x.dtype} is {outputs.dtype}")
        return torch.stack((outputs.detach(), gradient))

    return depends_on_own_place(outputs_and_gradient)


def check_activation(function: Function, **constants: Any) -> None:
    """Raise InputError where a network can't be trained with a function as its activation.

    It must return a new tensor, through which a gradient flows back. A function that does not take a batch (B, N) is
    not judged here: a model may have activations for other shapes.
    """
    name = getattr(function, "__name__", type(function).__name__)
    kind = function if isinstance(function, type) else type(function)
    if issubclass(kind, nn.Module):
        raise InputError(f"act: {name} is a module; it must be a function of a tensor, as torch.nn.functional.relu is")
    x = _numbers(0)[0]
    with _undisturbed(), torch.enable_grad():
        given = x.clone().requires_grad_().clone()  # no leaf: what is written in place would fail there
        try:
            outputs = function(given, **constants)
        except Exception:  # not with this shape; where it is wrong, the model's forward pass will say so
            return
    if not isinstance(outputs, Tensor):
        raise InputError(f"act: {name} returns {type(outputs).__name__}, not a tensor")
    if not torch.equal(given.detach(), x):
        raise InputError(
            f"act: {name} writes into its input; it must return a new tensor (torch.relu, not torch.relu_)"
        )
    if not outputs.requires_grad:
        raise InputError(
            f"act: {name} passes no gradient on: its output is detached, made without autograd or constant"
        )


def check_optimizer(name: str, optimizer: Any) -> None:
    """Raise InputError where an optimizer says that it is elementwise and isn't."""

    def updated(parameter: Tensor, gradient: Tensor) -> Tensor:
        parameter, lr = parameter.clone(), torch.tensor(0.01)
        state = optimizer.init(parameter)
        for step in range(1, STEPS + 1):
            optimizer.update(parameter, gradient / step, state, lr=lr, step=step)
        return parameter.unsqueeze(0)

    if optimizer.elementwise and not depends_on_own_place(updated):
        raise InputError(f"optim: {name} has elementwise=True, but its update looks at other entries: set it to False")


def check_average(name: str, average: Any) -> None:
    """Raise InputError where an average of weights isn't elementwise."""

    def averaged(kept: Tensor, weights: Tensor) -> Tensor:
        kept = kept.clone()
        for step in range(STEPS):
            average.update(kept, weights / (1 + step), step, STEPS)
        return kept.unsqueeze(0)

    if not depends_on_own_place(averaged):
        raise InputError(f"average: {name} looks at other entries; it must average each number by itself")


def is_rectifier(function: Callable[[Tensor], Tensor]) -> bool:
    """Whether an elementwise function is flat near 0 on one side and unbounded on the other."""
    x = torch.tensor([-16.0, -8.0, 8.0, 16.0], dtype=torch.float64, device="cpu")
    far_left, left, right, far_right = function(x).abs().tolist()
    off_left, off_right = left < 0.05 * right, right < 0.05 * left
    return (off_left and far_right > 1.5 * right) or (off_right and far_left > 1.5 * left)
