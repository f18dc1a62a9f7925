"""The training of R runs of equal shape as one program: an object that can be stepped, evaluated, saved and loaded."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from initbench.engine import checkpoint
from initbench.engine.early_stopping import EarlyStopping
from initbench.engine.evaluation import Evaluation
from initbench.engine.minibatches import minibatches_of
from initbench.engine.noise import Streams
from initbench.engine.objective import training_objective
from initbench.engine.observation import LayerSnapshot, measure
from initbench.engine.precision import matmul_precision
from initbench.engine.programs.choose import choose_program
from initbench.engine.recipe import Recipe
from initbench.engine.record import Record, Recorder
from initbench.engine.state import Stacked
from initbench.engine.update import Updater
from initbench.errors import InputError
from initbench.parts.data import Dataset


class Training:
    """R runs, trained side by side from the weights in `state`, which is updated in place.

    A run whose loss is not finite no longer counts from that step on, nor does one that stopped early; the training
    is finished when no run is left. A recipe of zero steps is allowed: its run evaluates the weights as they are.
    """

    def __init__(
        self,
        state: Stacked,  # R rows
        model: nn.Module,  # one module of the runs' shape; its values are not used
        data: Dataset,
        recipe: Recipe,
        *,
        seeds: Sequence[int],  # R, one per run
        lrs: Sequence[float],  # R
        looped: bool = False,  # one run after the other at each step, where there is no program written by hand
    ):
        self.state, self.recipe, self.seeds = state, recipe, list(seeds)
        self.objective = training_objective(data, recipe)
        self.program = choose_program(model, state, data, recipe, seeds, looped, self.objective)
        self.updater = Updater(self.program, state, recipe, lrs, seeds)
        self.evaluation = Evaluation(data, state, max(recipe.batch_size, self.program.evaluation_chunk))
        x, y = self.evaluation.x_train, self.evaluation.y_train
        self.minibatches = minibatches_of(x, y, data, state, recipe, seeds)
        self.recorder = Recorder(recipe.steps, list(recipe.metrics), state.weights)
        patience = recipe.regularize.patience
        self.early_stopping = EarlyStopping(patience, state) if patience else None
        self.all_diverged = False

    @property
    def steps_done(self) -> int:
        """Updates made so far."""
        return self.updater.steps_done

    @property
    def finished(self) -> bool:
        """Whether all steps are done, or no run is left that counts."""
        all_stopped = self.early_stopping is not None and self.early_stopping.all_stopped
        return self.steps_done >= self.recipe.steps or self.all_diverged or all_stopped

    def run(self, progress: Callable[[int], None] = lambda steps_done: None) -> Record:
        """Train to the end and return what was recorded; `state` then holds the weights that were evaluated last."""
        while not self.finished:
            if self.steps_done % self.recipe.eval_every == 0:
                self.evaluate()
                if self.finished:  # all runs stopped early
                    break
            self.step()
            progress(self.steps_done)
        return self.finish()

    def step(self) -> None:
        """Update all runs once with their next minibatches; at a log step also measure their layers."""
        step = self.steps_done
        if step >= self.recipe.steps:
            raise RuntimeError(f"all {self.recipe.steps} steps of this training are done")
        log = step % self.recipe.log_every == 0
        with matmul_precision(self.recipe.precision):
            losses, snapshot = self.updater(*self.minibatches.at(step), log)
        self.recorder.losses[step] = losses
        if snapshot is not None:
            self.recorder.log(step, snapshot, self.measure(snapshot), self.updater.norms)
            self.all_diverged = self.recorder.all_diverged(self.steps_done)  # here the host waits for the device anyway

    def evaluate(self) -> None:
        """Record the scores on the training, validation and test parts, once per step."""
        if self.recorder.evaluated_at == self.steps_done:
            return
        with matmul_precision(self.recipe.precision), self.updater.averaged():
            scores = self.evaluation.scores(self.program.predict)
            self.recorder.evaluation(self.steps_done, scores)
            if self.early_stopping:
                self.early_stopping.update(self.steps_done, scores["val"].loss)

    def observe(self) -> LayerSnapshot:
        """The layers on the runs' next minibatches, without an update: the training goes on as if nothing happened.

        The gradients (R, P) of the loss are left in `state.gradient`.
        """
        before, streams = self.state.copy(), self.stream_states()
        with matmul_precision(self.recipe.precision):
            _, snapshot = self.updater.gradients(*self.minibatches.at(self.steps_done), log=True)
        self.state.restore(before)
        self.load_streams(streams)
        assert snapshot is not None
        return snapshot

    def measure(self, snapshot: LayerSnapshot) -> Tensor:
        """The recipe's metrics (L, M, R) of the layers that `step` or `observe` saw last."""
        return measure(snapshot.units, self.updater.weights(snapshot), self.recipe.metrics.values())

    def finish(self) -> Record:
        """Evaluate the runs at the end, leave the weights that count in `state`, and return what was recorded."""
        if not self.all_diverged:
            self.evaluate()
        if self.early_stopping:
            self.early_stopping.restore()
        elif self.updater.average is not None:
            self.state.restore(self.updater.average)
        probabilities = None
        if self.recipe.save_predictions:
            with matmul_precision(self.recipe.precision):
                probabilities = self.evaluation.probabilities(self.program.predict)
        return self.recorder.record(
            best_step=self.early_stopping.best_step if self.early_stopping else None,
            stopped_step=self.early_stopping.stopped_step if self.early_stopping else None,
            probabilities=probabilities,
        )

    @property
    def streams(self) -> dict[str, Streams]:
        """All streams of random numbers that the training draws from, but the order of the examples."""
        masks = self.program.masks
        return self.updater.streams | ({"masks": masks.streams} if masks else {})

    def tensors(self) -> dict[str, Any]:
        """All tensors that a step or an evaluation changes, but the record: nested dictionaries of the live ones."""
        stopping = self.early_stopping
        own = {"weights": self.state.weights, "buffers": self.state.buffers}
        return own | self.updater.tensors() | ({"early_stopping": stopping.tensors()} if stopping else {})

    def identity(self) -> dict[str, str]:
        """What a saved training must have in common with this one, beside the shapes of its tensors."""
        return {"seeds": " ".join(map(str, self.seeds)), "metrics": " ".join(self.recipe.metrics)}

    def stream_states(self) -> dict[str, Tensor]:
        """The position in each of the streams."""
        return {name: streams.state() for name, streams in self.streams.items()}

    def state_dict(self) -> dict[str, Any]:
        """All that it takes to go on bit for bit: nested dictionaries of CPU tensors, arrays, numbers and strings."""
        return {
            "identity": self.identity(),
            "steps_done": self.steps_done,
            "all_diverged": int(self.all_diverged),
            "tensors": checkpoint.copied(self.tensors()),
            "streams": self.stream_states(),
            "record": self.recorder.state_dict(self.steps_done),
        }

    def load_state_dict(self, saved: Mapping[str, Any]) -> None:
        """Go on where `state_dict` was taken. InputError, and nothing changed, where it is of another training."""
        for name, own in self.identity().items():
            if saved["identity"][name] != own:
                raise InputError(f"checkpoint: its {name} are {saved['identity'][name]}, this training has {own}")
        if saved["steps_done"] > self.recipe.steps:
            raise InputError(f"checkpoint: {saved['steps_done']} steps are done, this training has {self.recipe.steps}")
        checkpoint.check(self.tensors(), saved["tensors"])
        checkpoint.check(self.stream_states(), saved["streams"])
        checkpoint.restore(self.tensors(), saved["tensors"])
        self.load_streams(saved["streams"])
        self.recorder.load_state_dict(saved["record"])
        self.updater.steps_done, self.all_diverged = saved["steps_done"], bool(saved["all_diverged"])

    def load_streams(self, states: Mapping[str, Tensor]) -> None:
        """Go on drawing where `stream_states` was taken."""
        for name, streams in self.streams.items():
            streams.load_state(states[name])
