"""The measurements of R runs, collected while they train, and the outcome of each run."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from initbench import outcomes
from initbench.engine import checkpoint
from initbench.engine.evaluation import PartScores
from initbench.engine.observation import LayerSnapshot
from initbench.parts.observe import ActivationFacts


@dataclass
class Record:
    """The measurements of R runs, L layers and M metrics at K log steps, when their training has ended.

    A run's numbers count until it diverged or was stopped. Steps count the updates made before the measurement.
    """

    losses: np.ndarray  # (steps, R): minibatch loss, nats; NaN where the stack had ended
    metrics: list[str]
    layers: list[str]
    log_steps: list[int]
    snapshots: np.ndarray  # (K, L, M, R): the metrics of each layer
    evaluations: list[tuple[int, str, PartScores]] = field(
        default_factory=list
    )  # step, part (train, val, test), scores
    times: dict[int, np.ndarray] = field(default_factory=dict)
    # of a layer that is used at T time steps: norms of dL/ds at each, (K, T, R)
    norms: np.ndarray | None = None  # (K, 2, R): the whole gradient's, before and after the recipe's changes to it
    best_step: np.ndarray | None = None  # (R,): with early stopping, where the validation loss was lowest
    stopped_step: np.ndarray | None = None  # (R,): where a run was stopped early; -1 where it was not
    probabilities: np.ndarray | None = None  # (R, predictions of the test part, C), of the weights that count
    activations: list[ActivationFacts] = field(default_factory=list)  # of the layers

    def end(self, run: int) -> int:
        """The step that a run was trained to, if it did not diverge."""
        stopped = -1 if self.stopped_step is None else int(self.stopped_step[run])
        return len(self.losses) if stopped < 0 else stopped

    def last(self, run: int) -> int:
        """The step that a run's curves end with: where it diverged, was stopped or the training ended."""
        diverged = self.diverged_step(run)
        return self.end(run) if diverged is None else diverged

    def stopped(self, run: int) -> dict[str, int | None]:
        """With early stopping, where a run was stopped, if it was, and where its validation loss was lowest."""
        if self.best_step is None or self.diverged_step(run) is not None:
            return {"stopped_step": None, "best_step": None}
        end = self.end(run)
        return {"stopped_step": end if end < len(self.losses) else None, "best_step": int(self.best_step[run])}

    def counted(self, run: int) -> int:
        """The step whose evaluation counts in the end: the last, or with early stopping the best."""
        return self.end(run) if self.best_step is None else int(self.best_step[run])

    def diverged_step(self, run: int) -> int | None:
        """The step of a run's first training loss, of a minibatch or over the whole at the end, that is not finite."""
        end = self.end(run)
        steps = np.flatnonzero(~np.isfinite(self.losses[:end, run]))[:1].tolist()
        steps += [
            step
            for step, split, scores in self.evaluations
            if split == "train" and step == end and not np.isfinite(scores.loss[run])
        ]
        return min(steps, default=None)

    def train_loss(self, run: int, window: int) -> float | None:
        """The mean minibatch loss of the `window` steps before what counts; None for a run that diverged.

        Of a training without steps, the loss over the training part.
        """
        if self.diverged_step(run) is not None:
            return None
        if not len(self.losses):
            return self.final(run, "train")["loss"]
        last = max(1, self.counted(run))
        return float(self.losses[max(0, last - window) : last, run].mean())

    def outcome(self, run: int, constant_loss: float, majority: float | None, *, learned_ratio: float) -> str:
        """What became of a run, see `initbench.outcomes`. majority: a constant prediction's training accuracy."""
        end = self.final(run, "train")
        loss, accuracy = end["loss"], end["acc"]
        if loss is None:
            return outcomes.DIVERGED
        losses = self.losses[: max(1, self.counted(run)), run]
        return outcomes.outcome(
            loss=loss,
            constant_loss=constant_loss,
            accuracy=accuracy,
            majority=majority,
            losses=losses,
            learned_ratio=learned_ratio,
        )

    def final(self, run: int, split: str) -> dict[str, float | None]:
        """The run's scores at the end, by the names in `PartScores`.

        None where the run diverged, a number is not finite or the split is empty.
        """
        if self.diverged_step(run) is None:
            for step, name, scores in reversed(self.evaluations):
                if name == split and step == self.counted(run) and np.isfinite(scores.loss[run]):
                    own = {score: float(of_runs[run]) for score, of_runs in scores._asdict().items()}
                    return {score: value if np.isfinite(value) else None for score, value in own.items()}
        return dict.fromkeys(PartScores._fields)

    def first_last_grad_ratio(self, run: int) -> float | None:
        """Pre-activation gradient norm of the first over the last hidden layer at step 0; None where there is none."""
        hidden = len(self.layers) - 1  # the last layer is the head
        if "pre_grad_norm" not in self.metrics or hidden < 1 or not self.log_steps:
            return None
        norms = self.snapshots[0, :hidden, self.metrics.index("pre_grad_norm"), run]
        return float(norms[0] / norms[-1]) if norms[-1] > 0 and np.isfinite(norms).all() else None


class Recorder:
    """Collects the measurements of R runs while they train, to make a `Record` of them."""

    def __init__(self, steps: int, metrics: Sequence[str], weights: Tensor):  # (R, P), for its runs, type and device
        self.metrics = list(metrics)
        self.losses = weights.new_full((steps, len(weights)), torch.nan)
        self.layers: list[str] = []
        self.activations: list[ActivationFacts] = []
        self.logs: list[dict[str, Any]] = []  # one per log step: its step, values, times and perhaps norms
        self.evaluations: list[tuple[int, str, PartScores]] = []

    def log(self, step: int, snapshot: LayerSnapshot, values: Tensor, norms: Tensor | None) -> None:
        """Record a log step: the metrics `values` (L, M, R), and norms (2, R) of the gradient where it is changed."""
        self.layers, self.activations = snapshot.names, snapshot.activations
        times = {str(layer): own.float().cpu().numpy() for layer, own in snapshot.times.items()}
        self.logs.append({"step": step, "values": values.float().cpu().numpy(), "times": times})
        if norms is not None:
            self.logs[-1]["norms"] = norms.cpu().numpy()

    def evaluation(self, step: int, scores: Mapping[str, PartScores]) -> None:
        """Record the scores on each part of the data."""
        self.evaluations += [(step, part, of_part) for part, of_part in scores.items()]

    @property
    def evaluated_at(self) -> int | None:
        """The step of the last evaluation."""
        return self.evaluations[-1][0] if self.evaluations else None

    def all_diverged(self, steps_done: int) -> bool:
        """Whether every run has had a loss that is not finite. Waits for the device."""
        return not self.losses[:steps_done].isfinite().all(0).any()

    def record(self, **ending: np.ndarray | None) -> Record:
        """All that was collected, and what is known when the training has ended: fields of `Record` by name."""
        logs, first = self.logs, self.logs[0] if self.logs else {"times": {}}
        nothing = np.zeros((0, 0, len(self.metrics), self.losses.shape[1]))
        return Record(
            self.losses.cpu().numpy(),
            self.metrics,
            self.layers,
            [log["step"] for log in logs],
            np.stack([log["values"] for log in logs]) if logs else nothing,
            self.evaluations,
            times={int(layer): np.stack([log["times"][layer] for log in logs]) for layer in first["times"]},
            norms=np.stack([log["norms"] for log in logs]) if "norms" in first else None,
            activations=self.activations,
            **ending,
        )

    def state_dict(self, steps_done: int) -> dict[str, Any]:
        """All that was collected, as nested dictionaries of arrays, numbers and strings."""
        return {
            "losses": self.losses[:steps_done].cpu().numpy().copy(),
            "layers": numbered(self.layers),
            "activations": numbered([facts.state_dict() for facts in self.activations]),
            "logs": numbered(self.logs),
            "evaluations": numbered(
                [{"step": step, "part": part, **scores._asdict()} for step, part, scores in self.evaluations]
            ),
        }

    def load_state_dict(self, saved: Mapping[str, Any]) -> None:
        """Go on collecting where `state_dict` was taken."""
        saved = checkpoint.as_arrays(saved)
        losses = torch.from_numpy(saved["losses"])
        checkpoint.check({"losses": self.losses[: len(losses)]}, {"losses": losses})
        self.losses.fill_(torch.nan)
        self.losses[: len(losses)] = losses.to(self.losses.device)
        self.layers, self.logs = in_order(saved["layers"]), in_order(saved["logs"])
        self.activations = [ActivationFacts.from_state(facts) for facts in in_order(saved["activations"])]
        found = in_order(saved["evaluations"])
        self.evaluations = [
            (one["step"], one["part"], PartScores(*(one[name] for name in PartScores._fields))) for one in found
        ]


def numbered(entries: Sequence[Any]) -> dict[str, Any]:
    """A list as a dictionary, as which it can be saved."""
    return {str(i): entry for i, entry in enumerate(entries)}


def in_order(saved: Mapping[str, Any]) -> list[Any]:
    """The list that was `numbered`."""
    return [saved[str(i)] for i in range(len(saved))]
