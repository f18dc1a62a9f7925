"""The training loop: R runs as one program, from their starting weights to what there is to record."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import nn

from initbench.engine.batches import Batches
from initbench.engine.early_stopping import EarlyStopping
from initbench.engine.evaluation import probabilities, scores
from initbench.engine.observation import measured
from initbench.engine.precision import products
from initbench.engine.programs.choose import choose_program
from initbench.engine.programs.mlp import MLPProgram
from initbench.engine.recipe import Recipe
from initbench.engine.record import Record
from initbench.engine.state import Stacked
from initbench.engine.update import Updater
from initbench.parts.data import Dataset

TRAIN_EVALUATED = 5_000  # training examples that an evaluation looks at, about, evenly spread over the training part
CHUNK = 500  # examples that an evaluation takes through an MLP at once; other models take a minibatch's


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
    step = Updater(choose_program(model, state, data, recipe, seeds, looped), state, recipe, lrs, seeds)
    chunk = max(CHUNK, recipe.batch_size) if isinstance(step.program, MLPProgram) else recipe.batch_size
    x_train, y_train = state.cast(data.x_train), state.cast(data.y_train)
    stride = max(1, round(len(y_train) / TRAIN_EVALUATED))
    splits = {
        "train": (x_train[::stride], y_train[::stride]),
        "val": (state.cast(data.x_val), state.cast(data.y_val)),
        "test": (state.cast(data.x_test), state.cast(data.y_test)),
    }
    losses = torch.full((recipe.steps, state.runs), torch.nan, dtype=state.weights.dtype, device=device)
    alive = torch.ones(state.runs, dtype=torch.bool, device=device)
    stopping = EarlyStopping(recipe.regularize.patience, state) if recipe.regularize.patience else None
    log_steps, snapshots, times, norms, evaluations = [], [], [], [], []

    def evaluate(done: int):
        with step.averaged():
            for split, (x, y) in splits.items():
                if len(y):
                    evaluations.append((done, split, *scores(step.program.predict, x, y, data.objective, chunk)))
                    if split == "val" and stopping:
                        stopping.update(done, evaluations[-1][2])

    batches = Batches(seeds, len(y_train), recipe.batch_size, device)
    names: list[str] = []
    with products(recipe.precision):
        for t in range(recipe.steps):
            if t % recipe.eval_every == 0:
                evaluate(t)
                if stopping and stopping.all_stopped:
                    break
            index = batches.at(t)
            log = t % recipe.log_every == 0
            x = x_train.index_select(0, index.flatten()).unflatten(0, index.shape)
            losses[t], seen = step(x, y_train[index], log)
            alive &= losses[t].isfinite()
            if seen is not None:
                log_steps.append(t)
                names = seen.names
                snapshots.append(
                    measured(seen.units, step.weights(seen), recipe.metrics.values()).float().cpu().numpy()
                )
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
        log_steps,
        np.stack(snapshots),
        evaluations,
        times={layer: np.stack([at[layer] for at in times]) for layer in times[0]},
        norms=np.stack(norms) if norms else None,
        best_step=stopping.best_step if stopping else None,
        stopped_step=stopping.stopped_step if stopping else None,
        probabilities=probabilities(step.program.predict, splits["test"][0], chunk)
        if recipe.save_predictions
        else None,
    )
