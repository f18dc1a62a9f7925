"""Measures a stack of runs before their first update, and that update."""

from dataclasses import dataclass, field, replace
from itertools import groupby

import numpy as np
import torch
from torch import Tensor, nn

from initbench.engine.observation import LayerSignal, LayerSnapshot, norm
from initbench.engine.precision import matmul_precision
from initbench.engine.probing import signals
from initbench.engine.probing.attention import attention_entropies
from initbench.engine.probing.pairs import STARTS, correlated_inputs, correlations
from initbench.engine.probing.quotient import gradient_quotients
from initbench.engine.probing.sensitivity import kernel_condition, plain_mlp, sensitivity, singular_values
from initbench.engine.probing.single import SingleRuns
from initbench.engine.programs.mlp import MLPProgram
from initbench.engine.record import Record
from initbench.engine.state import Snapshot, Stacked
from initbench.engine.train import Training
from initbench.parts.losses import Targets

FEW = 16  # examples whose signals are followed through the first update


@dataclass(frozen=True)
class Birth:
    """R runs with L layers, measured on the minibatch of their first step.

    record: what a training logs at step 0. layers: name to (L, R), of `signals.statistics`, and `moved`, the first row
    of `moves`. times: number of a recurrent layer to q at each time step, (T, R). moves: (steps, L, R), the root mean
    square of the change of pre-activations since birth. correlations: (starts, L, R). whole: name to (R,); what could
    not be measured is missing. attention: name to (R,).
    """

    record: Record
    layers: dict[str, np.ndarray]
    times: dict[int, np.ndarray]
    moves: np.ndarray
    correlations: np.ndarray
    whole: dict[str, np.ndarray]
    attention: dict[str, np.ndarray] = field(default_factory=dict)
    starts: tuple[float, ...] = STARTS


def measure_birth(training: Training, model: nn.Module, *, full: bool = False, steps: int = 1) -> Birth:
    """Measure a training that has made no step, and its first `steps`; the weights and buffers stay as they are.

    full: also measure the gradient quotient, which takes as long as several steps of each run alone.
    """
    updater, state = training.updater, training.state
    fast = None if full else plain_mlp(training.program)
    buffers = {name: rows.clone() for name, rows in state.buffers.items()}
    alone = None if fast else SingleRuns(model, state)  # copied before hooks hold tensors
    x, targets = training.minibatches.at(0)
    shared = training.evaluation.x_train
    few, pairs = shared[:FEW], correlated_inputs(shared)
    with matmul_precision(training.recipe.precision):
        losses, snapshot, batch = _first_gradients(training, fast, x, targets)
        before, paired = _signals(training, fast, few, pairs)
        followed = correlations([signal.pre for signal in paired])
        whole = _whole(training, alone, x, targets, full)
        entropies = attention_entropies(alone, few) if alone else {}
        weight_norms = _weight_norms(state, snapshot.parameters)
        updater.apply(log=True)
        record = _record(training, losses, snapshot)
        moves = [signals.moved(before, *_signals(training, fast, few))]
        for step in range(1, steps):
            updater(*training.minibatches.at(step), log=False)
            moves.append(signals.moved(before, *_signals(training, fast, few)))
    state.restore(Snapshot(updater.before, buffers))
    return Birth(
        record=record,
        layers=_arrays(signals.statistics(batch) | {"moved": moves[0], "weight_norm": weight_norms}),
        times=_arrays(signals.by_time(batch)),
        moves=torch.stack(moves).cpu().numpy(),
        correlations=followed.cpu().numpy(),
        whole=_arrays(whole),
        attention=_arrays(entropies),
    )


def _first_gradients(
    training: Training, fast: MLPProgram | None, x: Tensor, targets: Targets
) -> tuple[Tensor, LayerSnapshot, list[LayerSignal]]:
    """The losses, the layers and their pre-activations; these take a forward pass of their own if not `fast`."""
    if fast is not None:
        fast.seen = []
    losses, snapshot = training.updater.gradients(x, targets, log=True)
    assert snapshot is not None
    if fast is None or fast.seen is None:
        return losses, snapshot, training.program.pre_activations(x)
    seen, fast.seen = fast.seen, None
    return losses, snapshot, fast.signals(seen)


def _signals(training: Training, fast: MLPProgram | None, *batches: Tensor) -> list[list[LayerSignal]]:
    """The layers' pre-activations for each of some batches (B, ...), which all runs share.

    If `fast`, in one pass: no example of a plain MLP sees its neighbours.
    """
    together = [torch.cat(batches)] if fast else batches
    passes = [training.program.pre_activations(x.expand(training.state.runs, *[-1] * x.ndim)) for x in together]
    if not fast:
        return passes
    parts = [[signal._replace(pre=part) for part in signal.pre.split([*map(len, batches)], 1)] for signal in passes[0]]
    return [list(batch) for batch in zip(*parts, strict=True)]


def _weight_norms(state: Stacked, names: list[str]) -> Tensor:
    """(L, R)."""
    alike = groupby(names, lambda name: state.offsets[name][1])
    return torch.cat([norm(state.gather(list(group), state.weights)) for _, group in alike])


def _record(training: Training, losses: Tensor, snapshot: LayerSnapshot) -> Record:
    recorder = training.recorder
    recorder.losses[0] = losses
    recorder.log(0, snapshot, training.measure(snapshot), training.updater.norms)
    record = recorder.record()
    return replace(record, losses=record.losses[:1])


def _whole(training: Training, alone: SingleRuns | None, x: Tensor, targets: Targets, full: bool) -> dict[str, Tensor]:
    state, shared = training.state, training.evaluation.x_train
    found = sensitivity(training.program, alone, shared)
    measured: dict[str, Tensor] = {}
    if found.jacobian is not None:
        measured |= singular_values(found.jacobian)
    if found.kernel is not None:
        measured["kernel_condition"] = kernel_condition(found.kernel, state.weights.dtype)
    if full and alone:
        measured["gradient_quotient"] = gradient_quotients(alone, training.objective.recorded, x, targets)
    return measured


def _arrays(tensors: dict) -> dict:
    return {name: tensor.cpu().numpy() for name, tensor in tensors.items()}
