"""What looking at the layers costs: ten steps with a look against ten without, in turns inside one training.

    python benchmarks/logging_cost.py

Both cores train at once, as `initbench run` does. Blocks that alternate a few milliseconds apart see the same
machine, so this tells a few percent where the rates of separate trainings are too noisy.
"""

import statistics
import time
from multiprocessing import get_context

import torch
from problem import BATCH, LOOK_EVERY, Shape, digits
from stacked import chosen_stack_size

from initbench import build
from initbench.config.grid import expand
from initbench.engine.batches import Batches
from initbench.engine.observation import measure
from initbench.engine.process import configure_process
from initbench.engine.programs.choose import choose_program
from initbench.engine.state import stack
from initbench.engine.update import Updater

BLOCKS = 50  # of each kind: the first thousand steps, as long as `initbench run` trains


def ratio(shape: Shape, size: int) -> float:
    """The median time of a block with a look, all of what is logged, over that of a block without."""
    configure_process(threads=1)
    runs = expand([f"depth={shape.depth}", f"width={shape.width}"], seeds=size).runs
    config, data = runs[0].config, build.data(runs[0].config)
    models = [build.initialized(run.config, data) for run in runs]
    state = stack(models, torch.device("cpu"))
    recipe, seeds = build.recipe(config), range(size)
    step = Updater(choose_program(models[0], state, data, recipe, seeds), state, recipe, [0.01] * size, seeds)
    batches = Batches(range(size), len(data.y_train), BATCH, torch.device("cpu"))
    metrics = recipe.metrics.values()
    seconds: dict[bool, list[float]] = {True: [], False: []}
    for block in range(2 * BLOCKS):
        looks = block % 2 == 0
        start = time.perf_counter()
        for t in range(LOOK_EVERY):
            index = batches.at(block * LOOK_EVERY + t)
            x = data.x_train.index_select(0, index.flatten()).unflatten(0, index.shape)
            _, seen = step(x, data.y_train[index], log=looks and t == 0)
            if seen is not None:
                measure(seen.units, step.weights(seen), metrics).float().numpy()
        seconds[looks].append(time.perf_counter() - start)
    return statistics.median(seconds[True]) / statistics.median(seconds[False])


if __name__ == "__main__":
    print(f"{len(digits()[0])} training examples, batch {BATCH}, a look every {LOOK_EVERY} steps")
    for shape in (Shape(20, 100), Shape(20, 32)):
        size = chosen_stack_size(shape)
        with get_context("spawn").Pool(2) as pool:
            rounds = [pool.starmap(ratio, [(shape, size)] * 2) for _ in range(3)]
        ratios = sorted(r for pair in rounds for r in pair)
        print(f"{shape}, stacks of {size}: full logging costs {statistics.median(ratios):.3f}x", end=" ")
        print(f"({ratios[0]:.3f} to {ratios[-1]:.3f}, three rounds of two processes)")
