"""One update of R runs: the gradient, what the recipe does to it, and the optimizer's step."""

from collections.abc import Sequence
from contextlib import contextmanager, nullcontext
from itertools import groupby
from typing import Any

import torch
from torch import Tensor
from torch.func import vmap

from initbench.engine.freezing import Frozen
from initbench.engine.noise import Streams
from initbench.engine.observation import LayerSnapshot, Weights
from initbench.engine.precision import LossScale
from initbench.engine.programs.protocol import Program
from initbench.engine.recipe import Recipe
from initbench.engine.state import Snapshot, Stacked, by_run
from initbench.parts.losses import Targets
from initbench.parts.regularization import centralized, clipped


class Updater:
    """Updates R runs by a recipe; the rows of `state`, `lrs` and `seeds` are R long.

    `norms` (2, R): the norm of each run's gradient at the last log step, before and after what the recipe does to it.
    """

    def __init__(self, program: Program, state: Stacked, recipe: Recipe, lrs: Sequence[float], seeds: Sequence[int]):
        self.program, self.state, self.recipe = program, state, recipe
        weights, gradient, regularize = state.weights, recipe.gradient, recipe.regularize
        self.lr = torch.tensor(lrs, dtype=weights.dtype, device=weights.device)
        factors = state.rate_factors(recipe.optimizer)
        self.rates = self.lr.unsqueeze(1) if factors is None else self.lr.unsqueeze(1) * factors  # (R, 1) or (R, P)
        self.steps_done = 0
        tensors = {"weights": weights} if recipe.optimizer.elementwise else state.parameters
        self.moments = {name: vmap(recipe.optimizer.init)(tensor) for name, tensor in tensors.items()}
        self.before = torch.empty_like(weights)
        self.frozen = Frozen.of(state)
        changed = gradient.changes or regularize.weight_decay is not None or self.frozen is not None
        self.raw = torch.empty_like(weights) if changed else state.gradient  # of the loss
        self.norms: Tensor | None = None
        noise = {"gradient noise": gradient.noise, "weight noise": regularize.weight_noise}
        self.streams = {name: Streams(name, seeds, weights.device) for name, std in noise.items() if std is not None}
        self.scaling = LossScale(state.runs, weights.device) if recipe.precision == "float16" else None
        self.average = state.copy() if recipe.average is not None else None

    def __call__(self, x: Tensor, targets: Targets, log: bool) -> tuple[Tensor, LayerSnapshot | None]:
        """The losses (R,) of minibatches (R, B, ...) before the update and, at a log step, the layers."""
        losses, snapshot = self.gradients(x, targets, log)
        self.apply(log)
        return losses, snapshot

    def apply(self, log: bool) -> None:
        """Make the update with the gradients that `gradients` has left in the state."""
        overflowed = ~self.state.gradient.isfinite().all(1) if self.scaling else None  # clipping would hide it
        self.treat(log)
        if self.scaling and overflowed is not None:
            self.update_unless(overflowed)
            self.scaling.update(overflowed)
        else:
            self.update()
        if self.average is not None:
            self.keep_average(self.average)
        self.steps_done += 1

    def gradients(self, x: Tensor, targets: Targets, log: bool) -> tuple[Tensor, LayerSnapshot | None]:
        """Write the gradients of the losses, l1 penalty included, into the state; return what a call returns."""
        state, l1 = self.state, self.recipe.regularize.l1
        with self.noisy_weights(), self.frozen.buffers_held() if self.frozen else nullcontext():
            losses, snapshot = self.program.step(x, targets, log, self.scaling.scale if self.scaling else None)
        if l1 is not None:
            state.gradient.add_(state.weights.sign(), alpha=l1)
        if log:
            self.before.copy_(state.weights)
            if self.raw is not state.gradient:
                self.raw.copy_(state.gradient)
        return losses, snapshot

    def weights(self, snapshot: LayerSnapshot) -> list[Weights]:
        """The layers' weights at the log step that was made last; neighbours of one shape together."""
        state = self.state
        change = state.weights - self.before
        shapes = groupby(snapshot.parameters, lambda name: state.offsets[name][1])
        groups = [list(names) for _, names in shapes]
        return [Weights(*(state.gather(names, flat) for flat in (self.before, self.raw, change))) for names in groups]

    @contextmanager
    def noisy_weights(self):
        """The weights with this step's noise, where the recipe has some; afterwards what they were."""
        std, weights = self.recipe.regularize.weight_noise, self.state.weights
        if std is None:
            yield
            return
        clean = weights.clone()
        weights.add_(self.noise("weight noise"), alpha=std)
        yield
        weights.copy_(clean)

    def noise(self, name: str) -> Tensor:
        """Standard normal numbers (R, P); 0 in the gaps between the parameters."""
        weights = self.state.weights
        drawn = self.streams[name].normal(weights.shape[1]).to(weights.dtype).mul_(self.state.mask)
        return self.frozen.without(drawn) if self.frozen else drawn

    @torch.no_grad()
    def treat(self, log: bool) -> None:
        """Change each run's gradient as the recipe says: centralize, clip, add noise, add weight decay.

        First, frozen numbers leave it: they count in no norm.
        """
        gradient, recipe, decay = self.state.gradient, self.recipe.gradient, self.recipe.regularize.weight_decay
        if self.frozen:
            self.frozen.without(gradient)
        if recipe.centralize:
            for name in self.state.matrices:
                vmap(centralized)(self.state.gradients[name])
        if recipe.clip_value is not None:
            gradient.clamp_(-recipe.clip_value, recipe.clip_value)
        if recipe.clip_norm is not None:
            clipped(gradient, recipe.clip_norm)
        if recipe.noise is not None:
            gradient.add_(self.noise("gradient noise"), alpha=recipe.noise_std(self.steps_done))
        if log and recipe.changes:
            raw = self.frozen.without(self.raw.clone()) if self.frozen else self.raw
            self.norms = torch.stack([flat.double().norm(dim=1) for flat in (raw, gradient)])
        if decay is not None:
            gradient.add_(self.state.weights, alpha=decay)

    @torch.no_grad()
    def update(self) -> None:
        """The optimizer's step, which moves nothing that is frozen."""
        with self.frozen.weights_held() if self.frozen else nullcontext():
            self.step()

    def step(self) -> None:
        """The optimizer's step: all numbers of all runs at once where it is elementwise, else tensor by tensor."""
        state, optimizer, step = self.state, self.recipe.optimizer, self.steps_done + 1
        factor = self.recipe.schedule.factor(self.steps_done, self.recipe.steps)
        lr, rates = (each if factor == 1 else each * factor for each in (self.lr, self.rates))
        if (decay := self.recipe.regularize.decoupled) is not None:
            state.weights.mul_((1 - decay * lr).unsqueeze(1))
        if optimizer.elementwise:
            optimizer.update(state.weights, state.gradient, self.moments["weights"], lr=rates, step=step)
            return

        def one(parameter, gradient, moments, lr):
            optimizer.update(parameter, gradient, moments, lr=lr, step=step)
            return parameter

        for name, parameter in state.parameters.items():
            vmap(one)(parameter, state.gradients[name], self.moments[name], lr)

    @torch.no_grad()
    def update_unless(self, overflowed: Tensor) -> None:
        """Runs (R,) whose gradient left float16's range stay as they are, moments too; their steps still count."""
        parts = [self.state.weights, *(rows for moments in self.moments.values() for rows in moments.values())]
        before = [part.clone() for part in parts]
        self.update()
        for part, kept in zip(parts, before, strict=True):  # where(), since an index would wait for the device
            part.copy_(torch.where(by_run(overflowed, part), kept, part))

    @torch.no_grad()
    def keep_average(self, kept: Snapshot) -> None:
        """Let the average take this step's weights and running statistics in; counters are copied."""
        at = (self.steps_done, self.recipe.steps)
        self.recipe.average.update(kept.weights, self.state.weights, *at)
        for name, rows in self.state.buffers.items():
            if rows.is_floating_point():
                self.recipe.average.update(kept.buffers[name], rows, *at)
            else:
                kept.buffers[name].copy_(rows)

    @contextmanager
    def averaged(self):
        """The state as it is evaluated: with the average in place of the last weights, where one is kept."""
        if self.average is None:
            yield
            return
        last = self.state.copy()
        self.state.restore(self.average)
        yield
        self.state.restore(last)

    def tensors(self) -> dict[str, Any]:
        """All tensors that an update changes beside the state: nested dictionaries of the live ones."""
        found: dict[str, Any] = {"moments": self.moments}
        if self.average is not None:
            found["average"] = self.average._asdict()
        if self.scaling is not None:
            found["loss_scale"] = self.scaling.tensors()
        return found
