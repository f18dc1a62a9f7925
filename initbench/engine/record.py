"""What training left behind: curves, looks at the layers and evaluations of R runs, and what became of each."""

from dataclasses import dataclass, field

import numpy as np

LEARNED, STUCK, DIVERGED = "learned", "stuck", "diverged"


@dataclass
class Record:
    """The measurements of R runs, L layers and M metrics; K looks, at the steps `look_steps`.

    A run's numbers count until it diverged, if it did. Steps count the updates made before the measurement.
    """

    losses: np.ndarray  # (steps, R): minibatch loss, nats; NaN where the stack had ended
    metrics: list[str]
    layers: list[str]
    look_steps: list[int]
    looks: np.ndarray  # (K, L, M, R)
    evaluations: list[tuple[int, str, np.ndarray, np.ndarray]] = field(default_factory=list)
    # step, split (train, val, test), losses (R,) in nats, accuracies (R,)
    times: dict[int, np.ndarray] = field(default_factory=dict)
    # of a layer that is used at T time steps: norms of dL/ds at each, (K, T, R)

    def diverged_step(self, run: int) -> int | None:
        """The step of a run's first training loss, of a minibatch or over the whole at the end, that is not finite."""
        steps = np.flatnonzero(~np.isfinite(self.losses[:, run]))[:1].tolist()
        steps += [
            step
            for step, split, losses, _ in self.evaluations
            if split == "train" and step == len(self.losses) and not np.isfinite(losses[run])
        ]
        return min(steps, default=None)

    def train_loss(self, run: int, window: int) -> float | None:
        """The mean minibatch loss of the last `window` steps; None for a run that diverged."""
        return None if self.diverged_step(run) is not None else float(self.losses[-window:, run].mean())

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
                if name == split and step == len(self.losses) and np.isfinite(losses[run]):
                    return float(losses[run]), float(accuracies[run])
        return None, None

    def first_last_grad_ratio(self, run: int) -> float | None:
        """Pre-activation gradient norm of the first over the last hidden layer at step 0; None where there is none."""
        hidden = len(self.layers) - 1  # the last layer is the head
        if "pre_grad_norm" not in self.metrics or hidden < 1 or not self.look_steps:
            return None
        norms = self.looks[0, :hidden, self.metrics.index("pre_grad_norm"), run]
        return float(norms[0] / norms[-1]) if norms[-1] > 0 and np.isfinite(norms).all() else None
