"""One update of R runs: the gradient, what is done to it, and the optimizer's step."""

from collections.abc import Sequence
from contextlib import contextmanager
from itertools import groupby

import torch
from torch import Tensor
from torch.func import vmap

from initbench.engine.noise import Streams
from initbench.engine.observation import LayerSnapshot, Weights
from initbench.engine.precision import LossScale
from initbench.engine.programs.protocol import Program
from initbench.engine.recipe import Recipe
from initbench.engine.state import Snapshot, Stacked
from initbench.parts.gradient_transforms import centralized, clipped


class Updater:
    """Updates R runs by a recipe. Shapes: the rows of `state`, `lrs` and `seeds` are R long.

    `norms` (2, R): the length of each run's gradient at the last log step, before and after what the recipe does to it.
    """

    def __init__(self, program: Program, state: Stacked, recipe: Recipe, lrs: Sequence[float], seeds: Sequence[int]):
        self.program, self.state, self.recipe = program, state, recipe
        weights = state.weights
        self.lr = torch.tensor(lrs, dtype=weights.dtype, device=weights.device)
        self.taken = 0
        tensors = {"": weights} if recipe.optimizer.elementwise else state.parameters
        self.moments = {name: vmap(recipe.optimizer.init)(tensor) for name, tensor in tensors.items()}
        self.before = torch.empty_like(weights)
        changed = recipe.gradient.changes or recipe.regularize.weight_decay is not None
        self.raw = torch.empty_like(weights) if changed else state.gradient  # of the loss
        self.norms: Tensor | None = None
        self.streams = {name: Streams(name, seeds, weights.device) for name in ("gradient noise", "weight noise")}
        self.scaling = LossScale(state.runs, weights.device) if recipe.precision == "float16" else None
        self.average = state.copy() if recipe.average is not None else None

    def __call__(self, x: Tensor, y: Tensor, log: bool) -> tuple[Tensor, LayerSnapshot | None]:
        """The losses (R,) of batches (R, B, ...) before the update and, at a log step, the layers."""
        state = self.state
        with self.noisy_weights():
            losses, seen = self.program.step(x, y, log, self.scaling.scale if self.scaling else None)
        if log:
            self.before.copy_(state.weights)
        overflowed = ~state.gradient.isfinite().all(1) if self.scaling else None  # clipping would hide it
        self.treat(log)
        if self.scaling and overflowed is not None:
            self.update_unless(overflowed)
            self.scaling.update(overflowed)
        else:
            self.update()
        self.taken += 1
        if self.average is not None:
            self.keep_average(self.average)
        return losses, seen

    def weights(self, seen: LayerSnapshot) -> list[Weights]:
        """The layers' weights at the step that was just made, a log step; neighbours of one shape together."""
        state = self.state
        change = state.weights - self.before
        shapes = groupby(seen.parameters, lambda name: state.offsets[name][1])
        groups = [list(names) for _, names in shapes]
        return [Weights(*(state.gather(names, flat) for flat in (self.before, self.raw, change))) for names in groups]

    @contextmanager
    def noisy_weights(self):
        """The weights with a step's noise, if there is any; afterwards what they were."""
        std, weights = self.recipe.regularize.weight_noise, self.state.weights
        if std is None:
            yield
            return
        clean = weights.clone()
        weights.add_(self.noise("weight noise"), alpha=std)
        yield
        weights.copy_(clean)

    def noise(self, name: str) -> Tensor:
        """Standard normal numbers (R, P); 0 between the parameters, where there is nothing."""
        state = self.state
        return self.streams[name].normal(state.weights.shape[1]).to(state.weights.dtype).mul_(state.mask)

    @torch.no_grad()
    def treat(self, log: bool) -> None:
        """What the recipe does to the gradients: centralized, cut, shortened, noise added, each run by itself."""
        gradient, recipe, penalty = self.state.gradient, self.recipe.gradient, self.recipe.regularize
        if penalty.l1 is not None:
            gradient.add_(self.state.weights.sign(), alpha=penalty.l1)
        if log and self.raw is not gradient:
            self.raw.copy_(gradient)
        if recipe.centralize:
            for name in self.state.matrices:
                vmap(centralized)(self.state.gradients[name])
        if recipe.clip_value is not None:
            gradient.clamp_(-recipe.clip_value, recipe.clip_value)
        if recipe.clip_norm is not None:
            clipped(gradient, recipe.clip_norm)
        if recipe.noise is not None:
            gradient.add_(self.noise("gradient noise"), alpha=recipe.noise_std(self.taken))
        if log and recipe.changes:
            self.norms = torch.stack([flat.double().norm(dim=1) for flat in (self.raw, gradient)])
        if penalty.weight_decay is not None:
            gradient.add_(self.state.weights, alpha=penalty.weight_decay)

    @torch.no_grad()
    def update(self) -> None:
        """Rows of all numbers of a run at once where the optimizer is elementwise, else tensor by tensor."""
        state, optimizer, step = self.state, self.recipe.optimizer, self.taken + 1
        factor = self.recipe.schedule.factor(self.taken, self.recipe.steps)
        lr = self.lr if factor == 1 else self.lr * factor
        if (decay := self.recipe.regularize.decoupled) is not None:
            state.weights.mul_((1 - decay * lr).unsqueeze(1))
        if optimizer.elementwise:
            optimizer.update(state.weights, state.gradient, self.moments[""], lr=lr.unsqueeze(1), step=step)
            return

        def one(parameter, gradient, moments, lr):
            optimizer.update(parameter, gradient, moments, lr=lr, step=step)
            return parameter

        for name, parameter in state.parameters.items():
            vmap(one)(parameter, state.gradients[name], self.moments[name], lr)

    @torch.no_grad()
    def update_unless(self, overflowed: Tensor) -> None:
        """Runs (R,) whose gradient left float16's range stay where they are, moments too; their steps count on."""
        rows = [self.state.weights, *(rows for moments in self.moments.values() for rows in moments.values())]
        before = [part[overflowed] for part in rows]
        self.update()
        for part, kept in zip(rows, before, strict=True):
            part[overflowed] = kept

    @torch.no_grad()
    def keep_average(self, kept: Snapshot) -> None:
        at = (self.taken - 1, self.recipe.steps)
        self.recipe.average.update(kept.weights, self.state.weights, *at)
        for name, rows in self.state.buffers.items():
            if rows.is_floating_point():
                self.recipe.average.update(kept.buffers[name], rows, *at)
            else:
                kept.buffers[name].copy_(rows)

    @contextmanager
    def averaged(self):
        """The state as it is evaluated: with its average in place of the last weights, if one is kept."""
        if self.average is None:
            yield
            return
        last = self.state.copy()
        self.state.restore(self.average)
        yield
        self.state.restore(last)
