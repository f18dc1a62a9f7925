"""Compares the weights of an initializer with its claims: variance, distribution, orthogonality, units, cost.

Statistics are judged at five standard errors, so that a sound initializer fails about once in a million lines.
"""

import math
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn

from initbench.parts.inits.claims import DISTRIBUTIONS, Claims
from initbench.parts.inits.drawing import gain_factor
from initbench.parts.inits.matrix import Matrix, matrices, matrices_by_weight
from initbench.parts.inits.scaling import he
from initbench.parts.inits.structured import centre
from initbench.parts.inits.subjects import Subject, Trial
from initbench.parts.models import MLP

SEEDS = 10  # of every odd shape
STANDARD_ERRORS = 5
LARGE = 400  # entries that a matrix needs for its kurtosis
ORTHOGONAL_WITHIN = 1e-5  # float32
STEPS, RATE = 4, 0.1  # of gradient descent, after which units must differ
REFERENCE = Subject(MLP, (64,), 20, 100)  # the model whose set-up is timed


class Check(NamedTuple):
    """One line of the contract; `detail` says on which model it is broken, and how."""

    name: str
    passed: bool
    detail: str = ""
    value: float | None = None  # what was measured
    expected: float | None = None
    tolerance: float | None = None  # the largest distance between the two


def within(name: str, value: float, expected: float, tolerance: float, detail: str) -> Check:
    """A line whose value must be close enough to what is expected."""
    passed = abs(value - expected) <= tolerance
    return Check(name, passed, detail, value, expected, tolerance)


def all_matrices(trials: Iterable[Trial]) -> Iterator[tuple[Trial, Matrix]]:
    """The matrices of every trial under `SEEDS` seeds."""
    for trial in trials:
        for seed in range(SEEDS):
            yield from ((trial, matrix) for matrix in matrices(trial.born(seed)))


def variance_lines(trials: Mapping[str, Trial], claims: Claims) -> list[Check]:
    """One line per shape of matrix: the realized variance over the claimed one, or else n times the variance."""
    entries: dict[tuple[str, bool | None], list[Tensor]] = {}
    for trial, matrix in all_matrices(trials.values()):
        claimed = claims.variance_of(matrix, trial.act(), trial.parameters)
        unit = 1 / matrix.n if claimed is None else claimed or 1.0
        values = matrix.weight.flatten().double() / math.sqrt(unit)
        entries.setdefault((word_of(matrix), None if claimed is None else claimed > 0), []).append(values)
    return [variance_line(*key, torch.cat(values)) for key, values in entries.items()]


def word_of(matrix: Matrix) -> str:
    """The kind of a matrix, or the shape of a dense one."""
    if matrix.kind != "dense":
        return matrix.kind
    if matrix.n * matrix.m < 10:
        return "tiny"
    return "tall" if matrix.m > 3 * matrix.n else "wide" if matrix.n > 3 * matrix.m else "square"


def variance_line(shape: str, claimed: bool | None, z: Tensor) -> Check:
    """z: entries over their claimed deviation; as they are where 0 is claimed; if nothing is, times sqrt(n)."""
    name, square = f"variance, {shape}", float(z.square().mean())
    if claimed is None:
        return Check(name, True, f"not claimed; n times it is {square:.3g}, a gain of {math.sqrt(square):.3g}", square)
    if not claimed:
        return within(name, square, 0, 0, f"{square:.3g}, claimed 0")
    kurtosis = max(float(z.pow(4).mean()) / square**2, 3) if square > 0 else 3
    error = STANDARD_ERRORS * math.sqrt((kurtosis - 1) / len(z))
    return within(name, square, 1, error, f"{square:.3g} times what is claimed")


def distribution_lines(trials: Mapping[str, Trial], claims: Claims) -> list[Check]:
    """Kurtosis and bounds of the entries over each matrix's own deviation: the shape, whatever the variance is."""
    if claims.distribution is None:
        return []
    expected = DISTRIBUTIONS[claims.distribution]
    found = (matrix for _, matrix in all_matrices(trials.values()) if matrix.kind != "embedding")
    large = [matrix.weight.flatten() for matrix in found if matrix.weight.numel() >= LARGE]
    z = torch.cat([weight.double() / weight.double().square().mean().sqrt() for weight in large])
    error = STANDARD_ERRORS * math.sqrt(24 / len(z)) + 6 / LARGE
    kurtosis, largest = float(z.pow(4).mean()), float(z.abs().max())
    said = f"{kurtosis:.3g}; {claims.distribution} has {expected.kurtosis:.3g}"
    lines = [within("distribution, kurtosis", kurtosis, expected.kurtosis, error, said)]
    if math.isfinite(expected.bound):
        slack = 0.1 * expected.bound  # the deviation is the sample's
        said = f"{largest:.3g} deviations; {claims.distribution} ends at {expected.bound:.3g}"
        lines.append(within("distribution, bounds", largest, expected.bound, slack, said))
    return lines


def orthogonality_lines(trials: Mapping[str, Trial], claims: Claims) -> list[Check]:
    """The largest entry of |W W' - I| (of W' W where m > n), W over its gain."""
    if claims.orthogonal is None:
        return []
    worst, where = 0.0, ""
    for trial, matrix in all_matrices(trials.values()):
        weight = matrix.weight.double() / gain_factor(trial.parameters.get("gain", 1), trial.act())
        rows = weight[centre(weight)] if claims.orthogonal == "centre" else weight.flatten(1)
        gram = rows @ rows.T if rows.shape[0] <= rows.shape[1] else rows.T @ rows
        error = float((gram - torch.eye(len(gram))).abs().max())
        if not error <= worst:
            worst, where = error, f"{tuple(matrix.weight.shape)}"
    return [within("orthogonality", worst, 0, ORTHOGONAL_WITHIN, f"off by {worst:.2g} {where}".strip())]


def unit_lines(trials: Mapping[str, Trial], claims: Claims) -> list[Check]:
    """Whether units of a layer differ: from birth where their weights aren't 0, else after a few steps."""
    alike = [f"{name}: {layer}" for name, trial in trials.items() for layer in alike_layers(trial)]
    said = f"all units are equal in {alike[0]}" if alike else ""
    if claims.symmetric:
        return [Check("units differ", bool(alike), "equal by design" if alike else "they differ, against the claim")]
    return [Check("units differ", not alike, said, len(alike), 0, 0)]


def alike_layers(trial: Trial) -> list[str]:
    """The weights whose rows, with their biases, are all equal; those that are 0 must have parted after some steps."""
    model = trial.run()
    found = [name for name, rows in units_of(model) if rows.any() and is_alike(rows)]
    start = trial.start(model.requires_grad_(True))
    for _ in range(STEPS):
        for name, gradient in start.gradients().items():
            with torch.no_grad():
                model.get_parameter(name).sub_(RATE * gradient)
    return list(dict.fromkeys([*found, *(name for name, rows in units_of(model) if is_alike(rows))]))


def units_of(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Of every matrix with several units its parameter's name, and each unit's weights and bias, (m, n + 1)."""
    for parameter, parts in matrices_by_weight(model).items():
        name = next(name for name, own in model.named_parameters() if own is parameter)
        for matrix in parts:
            if matrix.kind != "embedding" and matrix.m > 1:
                bias = matrix.weight.new_zeros(len(matrix.weight)) if matrix.bias is None else matrix.bias
                yield name, torch.cat([matrix.weight.flatten(1), bias[:, None]], 1)


def is_alike(rows: Tensor) -> bool:
    return bool((rows == rows[0]).all())


def cost_line(trial: Trial) -> Check:
    """The time that the initializer takes on a network of 20 x 100 units, beside he's. It never fails."""
    seconds, reference = seconds_of(trial), seconds_of(Trial(he, trial.subject, trial.act))
    said = f"{1000 * seconds:.3g} ms for 20 x 100 units; he takes {1000 * reference:.3g} ms"
    return Check("set-up cost", True, said, seconds)


def seconds_of(trial: Trial) -> float:
    model = trial.model()
    started = time.perf_counter()
    trial.run(model=model)
    return time.perf_counter() - started
