"""The training loop: R runs as one program, from their starting weights to what there is to record."""

import functools
import inspect
from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import vmap

from initbench.engine.early_stopping import Stopping
from initbench.engine.noise import Masks
from initbench.engine.observation import Units, Weights
from initbench.engine.precision import products
from initbench.engine.programs.loop import Looped
from initbench.engine.programs.mlp import StackedMLP
from initbench.engine.programs.vmap import General
from initbench.engine.recipe import Metric, Recipe
from initbench.engine.record import Record
from initbench.engine.state import Stacked
from initbench.engine.update import Program, Stepper
from initbench.parts.data import Dataset
from initbench.parts.losses import Classification, Objective
from initbench.randomness import stream

TRAIN_EVALUATED = 5_000  # training examples that an evaluation looks at, about, evenly spread over the training part
CHUNK = 500  # examples that an evaluation takes through an MLP at once; other models take a minibatch's


def program(
    model: nn.Module, state: Stacked, data: Dataset, recipe: Recipe, seeds: Sequence[int], looped: bool = False
) -> Program:
    """What computes a step: the hand-stacked program where the model has one, else the general path, or a loop."""
    smoothing = recipe.regularize.label_smoothing or 0.0
    masks = Masks(seeds, state.weights.device)
    if by_hand(model, data, recipe.precision):
        return StackedMLP(model, state, smoothing, masks)  # type: ignore[arg-type]
    objective = data.objective.smoothed(smoothing) if smoothing else data.objective
    return (Looped if looped else General)(model, state, objective.loss, masks, recipe.precision, data.objective.loss)


def by_hand(model: nn.Module, data: Dataset, precision: str = "float32") -> bool:
    """Is there a hand-stacked program for this model and data?"""
    plain = StackedMLP.takes(model) and isinstance(data.objective, Classification) and data.positions is None
    return plain and precision in ("float32", "tf32")


def train(
    state: Stacked,
    model: nn.Module,
    data: Dataset,
    recipe: Recipe,
    *,
    seeds: Sequence[int],
    lrs: Sequence[float],
    looped: bool = False,
    progress: Callable[[int], None] = lambda step: None,
) -> Record:
    """Train R runs of equal shape and record them; `state` holds the weights that were evaluated last afterwards.

    Shapes: state's rows, `seeds` and `lrs` are R long. `model` is one module of the runs' shape; its values are
    not used. `looped`: one run after the other at each step, where there is no hand-stacked program. A run whose
    loss is not finite stops counting at that step, one that no longer gets better where it stopped; when no run is
    left, the stack ends.
    """
    device = state.weights.device
    step = Stepper(program(model, state, data, recipe, seeds, looped), state, recipe, lrs, seeds)
    chunk = max(CHUNK, recipe.batch_size) if isinstance(step.program, StackedMLP) else recipe.batch_size
    x_train, y_train = moved(data.x_train, state), moved(data.y_train, state)
    stride = max(1, round(len(y_train) / TRAIN_EVALUATED))
    splits = {
        "train": (x_train[::stride], y_train[::stride]),
        "val": (moved(data.x_val, state), moved(data.y_val, state)),
        "test": (moved(data.x_test, state), moved(data.y_test, state)),
    }
    losses = torch.full((recipe.steps, state.runs), torch.nan, dtype=state.weights.dtype, device=device)
    alive = torch.ones(state.runs, dtype=torch.bool, device=device)
    stopping = Stopping(recipe.regularize.patience, state) if recipe.regularize.patience else None
    look_steps, looks, times, norms, evaluations = [], [], [], [], []

    def evaluate(done: int):
        with step.averaged():
            for split, (x, y) in splits.items():
                if len(y):
                    evaluations.append((done, split, *scores(step.program.predict, x, y, data.objective, chunk)))
                    if split == "val" and stopping:
                        stopping.update(done, evaluations[-1][2])

    orders = batches(seeds, len(y_train), recipe.batch_size, device)
    names: list[str] = []
    with products(recipe.precision):
        for t, index in zip(range(recipe.steps), orders, strict=False):
            if t % recipe.eval_every == 0:
                evaluate(t)
                if stopping and stopping.all_stopped:
                    break
            look = t % recipe.log_every == 0
            x = x_train.index_select(0, index.flatten()).unflatten(0, index.shape)
            losses[t], seen = step(x, y_train[index], look)
            alive &= losses[t].isfinite()
            if seen is not None:
                look_steps.append(t)
                names = seen.names
                looks.append(measured(seen.units, step.weights(seen), recipe.metrics.values()).float().cpu().numpy())
                times.append({layer: norms.float().cpu().numpy() for layer, norms in seen.times.items()})
                if step.norms is not None:
                    norms.append(step.norms.cpu().numpy())
                if not alive.any():
                    break
            progress(t + 1)
        else:
            evaluate(recipe.steps)
    if stopping:
        stopping.restore()
    elif step.average is not None:
        state.restore(step.average)
    return Record(
        losses.cpu().numpy(),
        list(recipe.metrics),
        names,
        look_steps,
        np.stack(looks),
        evaluations,
        times={layer: np.stack([at[layer] for at in times]) for layer in times[0]},
        norms=np.stack(norms) if norms else None,
        best_step=stopping.best_step if stopping else None,
        stopped_step=stopping.stopped_step if stopping else None,
        probabilities=probabilities(step.program.predict, splits["test"][0], chunk)
        if recipe.save_predictions
        else None,
    )


def probabilities(predict: Callable[[Tensor], Tensor], x: Tensor, chunk: int) -> np.ndarray:
    """Each run's probabilities of the classes, float32 (R, n, C), or (R, n T, C) of T positions an example."""
    parts = [predict(some).softmax(-1).flatten(1, -2) for some in x.split(chunk)]
    return torch.cat(parts, 1).float().cpu().numpy()


def moved(numbers: Tensor, state: Stacked) -> Tensor:
    """To the state's device and, what isn't a token or a label, its precision."""
    weights = state.weights
    return numbers.to(weights.device, weights.dtype if numbers.is_floating_point() else numbers.dtype)


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
    predict: Callable[[Tensor], Tensor], x: Tensor, y: Tensor, objective: Objective, chunk: int
) -> tuple[np.ndarray, np.ndarray]:
    """Each run's mean loss and accuracy over examples (n, ...), float64; NaN where an output is not finite."""
    losses = right = torch.zeros((), dtype=torch.float64, device=x.device)
    for some, labels in zip(x.split(chunk), y.split(chunk), strict=True):
        outputs = predict(some)
        losses = losses + vmap(objective.total, (0, None))(outputs, labels)
        right = right + vmap(objective.right, (0, None))(outputs, labels)
    count = objective.count(y)
    return (losses / count).cpu().numpy(), (right / count).cpu().numpy()
