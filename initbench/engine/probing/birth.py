"""Measures a stack of runs before their first update, and that update."""

from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor, nn

from initbench.engine.observation import LayerSnapshot, norm
from initbench.engine.precision import matmul_precision
from initbench.engine.probing import signals
from initbench.engine.probing.attention import attention_entropies
from initbench.engine.probing.pairs import STARTS, correlated_inputs, correlations
from initbench.engine.probing.quotient import gradient_quotients
from initbench.engine.probing.sensitivity import is_plain_mlp, kernel_condition, sensitivity, singular_values
from initbench.engine.probing.single import SingleRuns
from initbench.engine.programs.mlp import MLPProgram
from initbench.engine.record import Record
from initbench.engine.state import Snapshot
from initbench.engine.train import Training
from initbench.parts.losses import Targets

FEW = 16  # examples whose signals are followed through the first update


@dataclass(frozen=True)
class Birth:
    """R runs with L layers, measured on the minibatch of their first step.

    record: what a training logs at step 0. layers: name to (L, R), of `signals.statistics`, and `moved`, the root mean
    square of the change of pre-activations in the first step. times: number of a recurrent layer to q at each time
    step, (T, R). correlations: (starts, L, R). whole: name to (R,); what could not be measured is missing. attention:
    name to (R,).
    """

    record: Record
    layers: dict[str, np.ndarray]
    times: dict[int, np.ndarray]
    correlations: np.ndarray
    whole: dict[str, np.ndarray]
    attention: dict[str, np.ndarray] = field(default_factory=dict)
    starts: tuple[float, ...] = STARTS


def measure_birth(training: Training, model: nn.Module, *, full: bool = False) -> Birth:
    """Measure a training that has made no step, and its first step; the weights and buffers stay as they are.

    full: also measure the gradient quotient, which takes as long as several steps of each run alone.
    """
    program, updater, state = training.program, training.updater, training.state
    fast = isinstance(program, MLPProgram) and is_plain_mlp(program) and not full
    buffers = {name: rows.clone() for name, rows in state.buffers.items()}
    alone = None if fast else SingleRuns(model, state)  # copied before hooks hold tensors
    x, targets = training.minibatches.at(0)
    shared = training.evaluation.x_train
    few = shared[:FEW].expand(state.runs, *[-1] * shared.ndim)
    pairs = correlated_inputs(shared).expand(state.runs, *[-1] * shared.ndim)
    with matmul_precision(training.recipe.precision):
        losses, snapshot = updater.gradients(x, targets, log=True)
        assert snapshot is not None
        batch, before = program.pre_activations(x), program.pre_activations(few)
        followed = correlations([signal.pre for signal in program.pre_activations(pairs)])
        whole = _whole(training, alone, x, targets, full)
        entropies = attention_entropies(alone, shared[:FEW]) if alone else {}
        updater.apply(log=True)
        moved = signals.moved(before, program.pre_activations(few))
        weight_norms = torch.cat([norm(weights.weight) for weights in updater.weights(snapshot)])
    record = _record(training, losses, snapshot)
    state.restore(Snapshot(updater.before, buffers))
    return Birth(
        record=record,
        layers=_arrays(signals.statistics(batch) | {"moved": moved, "weight_norm": weight_norms}),
        times=_arrays(signals.by_time(batch)),
        correlations=followed.cpu().numpy(),
        whole=_arrays(whole),
        attention=_arrays(entropies),
    )


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
