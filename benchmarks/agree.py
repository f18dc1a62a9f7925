"""Do the loop, JAX and the engine train the same net? `python benchmarks/agree.py` compares a few steps."""

import numpy as np
import torch
from jax_vmap import to_jax, train_stack
from loop import train
from problem import BATCH, LOOK_EVERY, Shape, digits, he_weights
from stacked import METRICS, dataset
from stacked import train_stack as train_ours

from initbench.engine.batches import Batches

COMPARED = {
    "3x100": 20,
    "20x100": 5,
    "20x32": 5,
}  # steps: rounding grows from step to step, in deep nets fast
STEPS = 20  # trained; JAX takes tens
TOLERANCE = 2e-3  # relative, float32


def main() -> None:
    x, y = digits()
    for name, compared in COMPARED.items():
        shape, seeds = Shape.parse(name), [0, 1, 2]
        weights = [he_weights(shape, x.shape[1], seed) for seed in seeds]
        batches = Batches(seeds, len(x), BATCH, torch.device("cpu"))
        order = np.stack([batches.at(step).numpy() for step in range(STEPS)])  # (steps, R, B)

        ours = train_ours(weights, seeds, dataset(), STEPS, LOOK_EVERY)
        *_, jax_losses, jax_looks = train_stack(*to_jax(weights, x, y, order))
        jax_losses = np.asarray(jax_losses).reshape(STEPS, -1)
        for run in range(len(seeds)):
            tensors = torch.from_numpy(x), torch.from_numpy(y)
            losses, looks = train(weights[run], *tensors, order[:, run], "foreach")
            compare(f"{name} run {run} loss: jax", jax_losses[:compared, run], losses.numpy()[:compared])
            compare(f"{name} run {run} loss: initbench", ours.losses[:compared, run], losses.numpy()[:compared])
            for m, metric in enumerate(METRICS):
                for k, look in enumerate(looks[: -(-compared // LOOK_EVERY)]):
                    want = look[metric].numpy()
                    what = f"{name} run {run} look {k} {metric}"
                    compare(f"{what}: jax", np.asarray(jax_looks[metric])[k, run], want)
                    compare(f"{what}: initbench", ours.snapshots[k][: len(want), m, run], want)
        print(f"{name}: {compared} steps' losses and all statistics agree within {TOLERANCE:g}")


def compare(what: str, got: np.ndarray, want: np.ndarray) -> None:
    off = np.max(np.abs(got - want) / np.maximum(np.abs(want), 1e-3 * np.abs(want).max()))
    if not off <= TOLERANCE:
        raise SystemExit(f"{what} is off by {off:.2g} of the loop's")


if __name__ == "__main__":
    main()
