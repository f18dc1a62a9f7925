"""How outputs depend on inputs and on parameters: the Jacobian and the empirical neural tangent kernel of few examples.

Both take a backward pass per output and example. `MLPProgram`'s plain networks compute them for all runs at once: a
kernel of linear layers is a sum of products of Gram matrices, so that no gradient by a parameter is ever written.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from initbench.engine.observation import norm
from initbench.engine.probing.single import SingleRuns
from initbench.engine.programs.mlp import MLPProgram
from initbench.engine.programs.protocol import Program
from initbench.parts.dropout import MaskSource, stochastic_modules

EXAMPLES = 8
MOST_OUTPUTS = 32  # per example; of more the kernel is a mean over so many of them, and there is no Jacobian
MOST_NUMBERS = 2**27  # of parameters times examples


class Sensitivity(NamedTuple):
    """Of R runs and E examples with C outputs y each.

    jacobian (R, E, C, n): dy/dx of each example; None for tokens or too many outputs. kernel (R, E, E), float64: the
    mean over outputs of dy/dtheta dy'/dtheta; None for too many parameters.
    """

    jacobian: Tensor | None
    kernel: Tensor | None


def sensitivity(program: Program, runs: SingleRuns | None, x: Tensor) -> Sensitivity:
    """Of R runs on the first EXAMPLES of x (n, ...), which all runs share. runs: not needed of a plain MLP."""
    x = x[:EXAMPLES]
    if (mlp := plain_mlp(program)) is not None:
        return of_mlp(mlp, x)
    assert runs is not None
    return of_any(runs, x)


def plain_mlp(program: Program) -> MLPProgram | None:
    """The program of an MLP that has neither branches nor masks, which have gradients of their own; else None."""
    if not isinstance(program, MLPProgram) or stochastic_modules(program.model):
        return None
    parts = (part for layer in program.layers for part in (layer.scale, layer.dropout, layer.linear.mask))
    return program if all(part is None for part in parts) else None


@torch.no_grad()
def of_mlp(program: MLPProgram, x: Tensor) -> Sensitivity:
    """Backpropagate a one-hot gradient per example and output; a row for each of these pairs."""
    state, count, classes = program.state, len(x), program.head.weight.shape[1]
    h, bytes = x.flatten(1).expand(state.runs, -1, -1), MaskSource()
    for layer in program.layers:
        h = layer.forward(h, bytes)
    program.head.forward(h, bytes)
    kernel = torch.zeros((state.runs, count, count), dtype=torch.float64, device=x.device)
    delta = torch.eye(classes, dtype=x.dtype, device=x.device).repeat(count, 1).expand(state.runs, -1, -1)
    linears = [*(layer.linear for layer in program.layers), program.head]
    for linear, layer in zip(reversed(linears), [*reversed(program.layers), None], strict=True):
        kernel += gram(delta.reshape(state.runs, count, -1)) * (gram(linear.input) + 1)
        delta = torch.bmm(delta, linear.used)
        if layer is not None:
            slopes = layer.act.backward(delta.new_ones(state.runs, count, delta.shape[2]))  # of all outputs alike
            delta.unflatten(1, (count, classes)).mul_(slopes.unsqueeze(2))
    return Sensitivity(delta.unflatten(1, (count, classes)), kernel / classes)


def gram(rows: Tensor) -> Tensor:
    """rows rows^T (R, E, E) in float64, of (R, E, n) whose squares may leave the range of float32."""
    scale = rows.abs().amax((1, 2), keepdim=True)
    unit = rows / torch.where(scale > 0, scale, 1)
    return torch.bmm(unit, unit.mT).double() * scale.double().square()


def of_any(runs: SingleRuns, x: Tensor) -> Sensitivity:
    """One run after the other, by autograd."""
    size = sum(rows[0].numel() for rows in runs.state.parameters.values())
    found = [_of_run(runs, run, x, size * len(x) <= MOST_NUMBERS) for run in range(runs.state.runs)]
    jacobians, kernels = zip(*found, strict=True)
    return Sensitivity(_stacked(jacobians), _stacked(kernels))


def _stacked(parts: tuple[Tensor | None, ...]) -> Tensor | None:
    there = [part for part in parts if part is not None]
    return torch.stack(there) if len(there) == len(parts) else None


def _of_run(runs: SingleRuns, run: int, x: Tensor, with_kernel: bool) -> tuple[Tensor | None, Tensor | None]:
    parameters = runs.parameters(run)
    x = x.detach().requires_grad_() if x.is_floating_point() else x
    outputs = runs.outputs(run, parameters, x).flatten(1)
    with_jacobian = x.requires_grad and outputs.shape[1] <= MOST_OUTPUTS
    chosen = torch.linspace(0, outputs.shape[1] - 1, min(outputs.shape[1], MOST_OUTPUTS)).round().long().tolist()
    wanted = [*(parameters.values() if with_kernel else ()), *([x] if with_jacobian else ())]
    if not wanted:
        return None, None
    kernel = torch.zeros((len(x), len(x)), dtype=torch.float64, device=x.device)
    rows, one_hot = [], torch.eye(len(x), dtype=outputs.dtype, device=x.device)
    for output in chosen:
        gradients = torch.autograd.grad(
            outputs[:, output], wanted, one_hot, is_grads_batched=True, retain_graph=True, materialize_grads=True
        )
        if with_jacobian:
            *gradients, by_input = gradients
            rows.append(by_input.diagonal(dim1=0, dim2=1).movedim(-1, 0).flatten(1))
        kernel += sum(gram(gradient.flatten(1).unsqueeze(0))[0] for gradient in gradients)
    jacobian = torch.stack(rows, 1).detach() if with_jacobian else None
    return jacobian, kernel / len(chosen) if with_kernel else None


def singular_values(jacobian: Tensor) -> dict[str, Tensor]:
    """Of each run's Jacobians (R, E, C, n), (R,) each: mean and spread (deviation) of all, and the condition.

    The condition is the largest over the smallest singular value, the median over the examples. A Jacobian that is not
    finite makes a run's numbers NaN; one of deficient rank has an infinite condition.
    """
    finite = jacobian.isfinite().flatten(1).all(1)
    scale = jacobian.abs().amax((1, 2, 3), keepdim=True)
    unit = torch.where(finite[:, None, None, None], jacobian / torch.where(scale > 0, scale, 1), 0).double()
    values = torch.linalg.svdvals(unit) * scale[..., 0].double()
    condition = condition_number(values[..., 0], values[..., -1], jacobian.dtype, max(jacobian.shape[2:]))
    found = {"mean": values.mean((1, 2)), "spread": values.std((1, 2), correction=0)}
    found["condition"] = condition.median(1).values
    return {f"jacobian_{name}": torch.where(finite, each, torch.nan) for name, each in found.items()}


def kernel_condition(kernel: Tensor, dtype: torch.dtype) -> Tensor:
    """Largest over smallest eigenvalue of each run's kernel (R, E, E), in (R,); NaN where it is not finite."""
    finite = kernel.isfinite().flatten(1).all(1)
    size = norm(kernel.unsqueeze(0))[0]
    unit = torch.where(finite[:, None, None], kernel / torch.where(size > 0, size, 1)[:, None, None], 0)
    values = torch.linalg.eigvalsh(unit)
    condition = condition_number(values[:, -1], values[:, 0], dtype, kernel.shape[1])
    return torch.where(finite, condition, torch.nan)


def condition_number(largest: Tensor, smallest: Tensor, dtype: torch.dtype, size: int) -> Tensor:
    """Infinite where the smallest cannot be told from 0 in numbers of this type (as in `matrix_rank`)."""
    told = smallest > largest * size * torch.finfo(dtype).eps
    return torch.where(told, largest / torch.where(told, smallest, 1), torch.inf)
