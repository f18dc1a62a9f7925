"""What training left behind: curves, looks at the layers and evaluations of R runs, and what became of each."""

from dataclasses import dataclass, field

import numpy as np

LEARNED, STUCK, DIVERGED = "learned", "stuck", "diverged"


@dataclass
class Record:
    """The measurements of R runs, L layers and M metrics; K looks, at the steps `log_steps`.

    A run's numbers count until it diverged or was stopped, if it was. Steps count the updates made before the
    measurement.
    """

    losses: np.ndarray  # (steps, R): minibatch loss, nats; NaN where the stack had ended
    metrics: list[str]
    layers: list[str]
    log_steps: list[int]
    snapshots: np.ndarray  # (K, L, M, R)
    evaluations: list[tuple[int, str, np.ndarray, np.ndarray]] = field(default_factory=list)
    # step, split (train, val, test), losses (R,) in nats, accuracies (R,)
    times: dict[int, np.ndarray] = field(default_factory=dict)
    # of a layer that is used at T time steps: norms of dL/ds at each, (K, T, R)
    norms: np.ndarray | None = None  # (K, 2, R): the whole gradient's, before and after what was done to it
    best_step: np.ndarray | None = None  # (R,): with early stopping, where the validation loss was lowest
    stopped_step: np.ndarray | None = None  # (R,): where a run was stopped early; -1 where it wasn't
    probabilities: np.ndarray | None = None  # (R, predictions of the test part, C), of what counts in the end

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
            for step, split, losses, _ in self.evaluations
            if split == "train" and step == end and not np.isfinite(losses[run])
        ]
        return min(steps, default=None)

    def train_loss(self, run: int, window: int) -> float | None:
        """The mean minibatch loss of the `window` steps before what counts; None for a run that diverged."""
        if self.diverged_step(run) is not None:
            return None
        last = max(1, self.counted(run))
        return float(self.losses[max(0, last - window) : last, run].mean())

    def outcome(self, run: int, constant_loss: float, *, learned_ratio: float, window: int) -> str:
        """`diverged`; `learned`: a train_loss of at most `learned_ratio` of the best constant prediction's; `stuck`."""
        loss = self.train_loss(run, window)
        if loss is None:
            return DIVERGED
        return LEARNED if loss <= learned_ratio * constant_loss else STUCK

    def final(self, run: int, split: str) -> tuple[float | None, float | None]:
        """Loss and accuracy at the end; None where the run diverged, a number is not finite or the split is empty."""
        if self.diverged_step(run) is None:
            for step, name, losses, accuracies in reversed(self.evaluations):
                if name == split and step == self.counted(run) and np.isfinite(losses[run]):
                    return float(losses[run]), float(accuracies[run])
        return None, None

    def first_last_grad_ratio(self, run: int) -> float | None:
        """Pre-activation gradient norm of the first over the last hidden layer at step 0; None where there is none."""
        hidden = len(self.layers) - 1  # the last layer is the head
        if "pre_grad_norm" not in self.metrics or hidden < 1 or not self.log_steps:
            return None
        norms = self.snapshots[0, :hidden, self.metrics.index("pre_grad_norm"), run]
        return float(norms[0] / norms[-1]) if norms[-1] > 0 and np.isfinite(norms).all() else None
