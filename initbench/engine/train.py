"""The training loop: R runs as one program, from their starting weights to what there is to record."""

import functools
import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import vmap

from initbench.engine.dense import StackedMLP
from initbench.engine.general import General, Looped
from initbench.engine.layer import Look, Units, Weights
from initbench.engine.record import Record
from initbench.engine.stack import Stacked
from initbench.parts.data import Dataset
from initbench.parts.models import MLP, Logistic
from initbench.parts.tasks import LABELS, Task
from initbench.streams import stream

TRAIN_EVALUATED = 5_000  # training examples that an evaluation looks at, about, evenly spread over the training part
CHUNK = 500  # examples that an evaluation takes through an MLP at once; other models take a minibatch's

Metric = Callable[[Any], Tensor]  # of Units or of Weights


@dataclass(frozen=True)
class Schedule:
    """How long to train and when to look, in steps (updates)."""

    steps: int
    batch_size: int
    log_every: int
    eval_every: int


BY_HAND = (MLP, Logistic)  # and no class of somebody's own that inherits from them
Program = StackedMLP | General | Looped


def program(model: nn.Module, state: Stacked, data: Dataset, looped: bool = False) -> Program:
    """What computes a step: the hand-stacked program where the model has one, else the general path, or a loop."""
    if isinstance(model, BY_HAND) and by_hand(type(model), data):
        return StackedMLP(model, state)
    return (Looped if looped else General)(model, state, data.task.loss)


def by_hand(model: type, data: Dataset) -> bool:
    """Is there a hand-stacked program for models of this class?"""
    return model in BY_HAND and data.task == LABELS and data.positions is None


def train(
    state: Stacked,
    model: nn.Module,
    optimizer,
    data: Dataset,
    schedule: Schedule,
    *,
    seeds: Sequence[int],
    lrs: Sequence[float],
    metrics: Mapping[str, Metric],
    looped: bool = False,
    progress: Callable[[int], None] = lambda step: None,
) -> Record:
    """Train R runs of equal shape and record them; `state` holds their last weights afterwards.

    Shapes: state's rows, `seeds` and `lrs` are R long. `model` is one module of the runs' shape; its values are
    not used. `looped`: one run after the other at each step, where there is no hand-stacked program. A run whose
    loss is not finite stops counting at that step; when no run is left, the stack ends.
    """
    device, dtype = state.weights.device, state.weights.dtype
    step = Stepper(program(model, state, data, looped), state, optimizer, torch.tensor(lrs, dtype=dtype, device=device))
    chunk = max(CHUNK, schedule.batch_size) if by_hand(type(model), data) else schedule.batch_size
    x_train, y_train = moved(data.x_train, state), moved(data.y_train, state)
    stride = max(1, round(len(y_train) / TRAIN_EVALUATED))
    splits = {
        "train": (x_train[::stride], y_train[::stride]),
        "val": (moved(data.x_val, state), moved(data.y_val, state)),
        "test": (moved(data.x_test, state), moved(data.y_test, state)),
    }
    losses = torch.full((schedule.steps, state.runs), torch.nan, dtype=dtype, device=device)
    alive = torch.ones(state.runs, dtype=torch.bool, device=device)
    look_steps, looks, times, evaluations = [], [], [], []

    def evaluate(done: int):
        for split, (x, y) in splits.items():
            if len(y):
                evaluations.append((done, split, *scores(step.program.predict, x, y, data.task, chunk)))

    orders = batches(seeds, len(y_train), schedule.batch_size, device)
    names: list[str] = []
    for t, index in zip(range(schedule.steps), orders, strict=False):
        if t % schedule.eval_every == 0:
            evaluate(t)
        look = t % schedule.log_every == 0
        x = x_train.index_select(0, index.flatten()).unflatten(0, index.shape)
        losses[t], seen = step(x, y_train[index], look)
        alive &= losses[t].isfinite()
        if seen is not None:
            look_steps.append(t)
            names = seen.names
            looks.append(measured(seen.units, step.weights(seen), metrics.values()).float().cpu().numpy())
            times.append({layer: norms.float().cpu().numpy() for layer, norms in seen.times.items()})
            if not alive.any():
                break
        progress(t + 1)
    else:
        evaluate(schedule.steps)
    over_time = {layer: np.stack([at[layer] for at in times]) for layer in times[0]}
    return Record(losses.cpu().numpy(), list(metrics), names, look_steps, np.stack(looks), evaluations, over_time)


def moved(numbers: Tensor, state: Stacked) -> Tensor:
    """To the state's device and, what isn't a token or a label, its precision."""
    weights = state.weights
    return numbers.to(weights.device, weights.dtype if numbers.is_floating_point() else numbers.dtype)


class Stepper:
    """One update of R runs: gradients, the optimizer's step and, to look, what the weights were before it."""

    def __init__(self, program: Program, state: Stacked, optimizer, lr: Tensor):
        self.program, self.state, self.optimizer, self.lr = program, state, optimizer, lr
        self.taken = 0
        tensors = {"": state.weights} if optimizer.elementwise else state.parameters
        self.moments = {name: vmap(optimizer.init)(tensor) for name, tensor in tensors.items()}
        self.before = torch.empty_like(state.weights)

    def __call__(self, x: Tensor, y: Tensor, look: bool) -> tuple[Tensor, Look | None]:
        """The losses (R,) of batches (R, B, ...) before the update and, to look, the layers."""
        losses, seen = self.program.step(x, y, look)
        if look:
            self.before.copy_(self.state.weights)
        self.taken += 1
        self.update()
        return losses, seen

    def weights(self, seen: Look) -> list[Weights]:
        """The layers' weights at the step that was just made with a look; neighbours of one shape together."""
        state = self.state
        change = state.weights - self.before
        shapes = groupby(seen.parameters, lambda name: state.places[name][1])
        groups = [list(names) for _, names in shapes]
        return [
            Weights(*(state.together(names, flat) for flat in (self.before, state.gradient, change)))
            for names in groups
        ]

    @torch.no_grad()
    def update(self):
        """Rows of all numbers of a run at once where the optimizer is elementwise, else tensor by tensor."""
        state, optimizer = self.state, self.optimizer
        if optimizer.elementwise:
            lr = self.lr.unsqueeze(1)
            optimizer.update(state.weights, state.gradient, self.moments[""], lr=lr, step=self.taken)
            return

        def one(parameter, gradient, moments, lr):
            optimizer.update(parameter, gradient, moments, lr=lr, step=self.taken)
            return parameter

        for name, parameter in state.parameters.items():
            vmap(one)(parameter, state.gradients[name], self.moments[name], self.lr)


def measured(units: list[Units], weights: list[Weights], metrics: Iterable[Metric]) -> Tensor:
    """Every metric of every layer: (L, M, R)."""
    columns = [torch.cat([metric(group) for group in (weights if of_weights(metric) else units)]) for metric in metrics]
    return torch.stack(columns, 1)


@functools.cache
def of_weights(metric: Metric) -> bool:
    """Does a metric look at the weights, or at the units? Its signature says so."""
    (subject,) = inspect.signature(metric).parameters.values()
    return subject.annotation is Weights


def batches(seeds: Sequence[int], examples: int, batch_size: int, device: torch.device) -> Iterator[Tensor]:
    """The runs' minibatches without end: indices (R, B), each epoch a new permutation of the run's own.

    Runs of one seed see the same batches in the same order, whatever else is in the stack. What does not fill
    a batch at an epoch's end is left out.
    """
    generators = {seed: stream(seed, "order") for seed in seeds}
    row = {seed: i for i, seed in enumerate(generators)}
    rows = torch.tensor([row[seed] for seed in seeds], device=device)
    whole = examples // batch_size * batch_size
    while True:
        orders = [torch.randperm(examples, generator=g)[:whole] for g in generators.values()]
        for index in torch.stack(orders).to(device).split(batch_size, 1):
            yield index[rows]


def scores(
    predict: Callable[[Tensor], Tensor], x: Tensor, y: Tensor, task: Task, chunk: int
) -> tuple[np.ndarray, np.ndarray]:
    """Each run's mean loss and accuracy over examples (n, ...), float64; NaN where an output is not finite."""
    losses = right = torch.zeros((), dtype=torch.float64, device=x.device)
    for some, labels in zip(x.split(chunk), y.split(chunk), strict=True):
        outputs = predict(some)
        losses = losses + vmap(task.total, (0, None))(outputs, labels)
        right = right + vmap(task.right, (0, None))(outputs, labels)
    count = task.count(y)
    return (losses / count).cpu().numpy(), (right / count).cpu().numpy()
