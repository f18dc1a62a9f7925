"""Run-steps per second of every model: what `initbench run` chooses by itself, a plain PyTorch loop, other stack sizes.

    python benchmarks/models.py             # 3 rounds, a quarter of an hour on two cores; --write: into README.md

A run-step is one update of one run. The loop is one model after the other with `torch.optim.SGD` (momentum 0.9), in one
process with two threads, or in two processes of one thread each; recurrent nets are torch's own there (`nn.LSTM`, ...),
where they are faster than cells that are written out. Nobody looks at layers. Imports, compilation and building fall
out: every process trains a few steps before its clock starts.
"""

import argparse
import math
import multiprocessing
import statistics
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import torch
from readme import write
from steps import rate, steps_of
from torch import Tensor, nn

from initbench import build
from initbench.config import stacks
from initbench.config.grid import expand
from initbench.config.run import Run
from initbench.engine.batches import Batches
from initbench.engine.process import configure_process
from initbench.executors.local import LocalExecutor
from initbench.planning.autotune import with_throughput
from initbench.planning.cost import shapes_of

RUNS, SIZES, SECONDS, TURNS = 128, (1, 4, 16, 64), 1.0, 3
MODELS = {
    "mlp": "model=mlp depth=5",
    "logistic": "model=logistic",
    "cnn, 28 x 28": "model=cnn data=fashion_mnist data.train_size=2000 depth=6",
    "cnn, 8 x 8": "model=cnn depth=6",
    "resnet, 8 x 8": "model=resnet depth=3",
    "conv1d": "model=conv1d data=mnist1d depth=3 width=25",
    "rnn": "model=rnn data=digits_rows act=tanh depth=1 width=32",
    "lstm": "model=lstm data=digits_rows act=tanh depth=1 width=32",
    "gru, 40 steps": "model=gru data=mnist1d act=tanh depth=1 width=6 model.bidirectional=true model.readout=flatten",
    "transformer, 8 steps": "model=transformer data=digits_rows depth=2 width=32",
    "transformer, text": "model=transformer data=text depth=2 width=32",
    "seq2seq": "model=seq2seq data=reverse depth=1 width=32",
}


def runs_of(model: str) -> list[Run]:
    return expand([*MODELS[model].split(), "steps=1000"], seeds=RUNS).runs


# ---------------------------------------------------------------- one process's share


def loop(model: str, threads: int) -> float:
    configure_process(threads)
    config = runs_of(model)[0].config
    dataset = build.data(config)
    own = build.initialized(config, dataset)
    batches = iter(Batches([0], len(dataset.y_train), config["batch_size"], torch.device("cpu")))
    rates = []
    for network in [own, *torchs_own(model, dataset)]:
        optimizer = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9)

        def step(network=network, optimizer=optimizer) -> None:
            (index,) = next(batches)
            loss = dataset.objective.loss(network(dataset.x_train[index]), dataset.y_train[index])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

        rates.append(rate(step, 1, SECONDS))
    return max(rates)


class Recurrent(nn.Module):
    """torch's own recurrent layer and a head, as one would write it."""

    def __init__(self, layer: nn.Module, fan_in: int, classes: int, flatten: bool):
        super().__init__()
        self.layer, self.head, self.flatten = layer, nn.Linear(fan_in, classes), flatten

    def forward(self, x: Tensor) -> Tensor:
        states, _ = self.layer(x.movedim(2, 1))
        return self.head(states.flatten(1) if self.flatten else states[:, -1])


def torchs_own(model: str, dataset) -> list[nn.Module]:
    channels = dataset.shape[0]
    match model.split(",")[0]:
        case "rnn":
            return [Recurrent(nn.RNN(channels, 32, batch_first=True), 32, dataset.classes, False)]
        case "lstm":
            return [Recurrent(nn.LSTM(channels, 32, batch_first=True), 32, dataset.classes, False)]
        case "gru":
            layer = nn.GRU(channels, 6, batch_first=True, bidirectional=True)
            return [Recurrent(layer, 12 * dataset.shape[1], dataset.classes, True)]
    return []


def stacked(model: str, size: int, looped: bool) -> float:
    configure_process(1)
    step, _ = steps_of(runs_of(model)[:size], looped)
    return rate(step, size, SECONDS)


def chosen(model: str) -> tuple[int, bool]:
    """The stack size that `initbench run` takes, and whether it takes the runs of a stack one by one."""
    runs = runs_of(model)
    executor, key = LocalExecutor(), stacks.shape_key(runs[0])
    memory = executor.machine("cpu").memory
    shapes = shapes_of(runs, memory)
    shape = with_throughput(runs, shapes, executor, 2, memory).get(key)
    if shape is None or shape.throughput is None:
        return min(shapes[key].stack_size("cpu", memory), RUNS // 2), False
    return (1 if shape.throughput.looped else shape.throughput.size), shape.throughput.looped


# ---------------------------------------------------------------- the comparison


def measure(rounds: int) -> dict[str, dict[str, list[float]]]:
    """Rates by model and peer, one a round; `choice` holds what was chosen."""
    context = multiprocessing.get_context("spawn")
    found: dict[str, dict[str, list]] = {model: {} for model in MODELS}
    with ProcessPoolExecutor(2, context) as pair, ProcessPoolExecutor(1, context) as alone:

        def both(function: Callable[..., float], *arguments: Any) -> float:
            return sum(future.result() for future in [pair.submit(function, *arguments) for _ in range(2)])

        for number in range(rounds):
            for model, peers in found.items():
                size, looped = alone.submit(chosen, model).result()
                taken = {"choice": (size, looped), "loop, two threads": alone.submit(loop, model, 2).result()}
                # In turns, since the machine's pace changes within seconds.
                turns = [(both(loop, model, 1), both(stacked, model, size, looped)) for _ in range(TURNS)]
                taken["loop, two processes"], taken["chosen"] = map(statistics.median, zip(*turns, strict=True))
                for n in SIZES:  # what was chosen isn't measured anew: that would tell how noisy the machine is
                    is_chosen = (size, looped) == (n, n == 1)
                    taken[f"size {n}"] = taken["chosen"] if is_chosen else both(stacked, model, n, n == 1)
                for peer, value in taken.items():
                    peers.setdefault(peer, []).append(value)
                said = ", ".join(f"{k} {v:.0f}" for k, v in taken.items() if isinstance(v, float))
                print(f"round {number + 1} {model}: {size}{' looped' if looped else ''}: {said}", flush=True)
    return found


def table(found: dict[str, dict[str, list]]) -> str:
    lines = [
        "| model | loop | loop, 2 processes | initbench | stacks | / loop | / better loop | / best of 1, 4, 16, 64 |",
        "| --- | ---: | ---: | ---: | --- | ---: | ---: | ---: |",
    ]
    gains = []
    for model, peers in found.items():
        median = {peer: statistics.median(rates) for peer, rates in peers.items() if peer != "choice"}

        def ratio(*others: str, peers=peers) -> float:
            """The median over rounds of the ratio to the best of others."""
            best = [max(values) for values in zip(*(peers[other] for other in others), strict=True)]
            return statistics.median(mine / other for mine, other in zip(peers["chosen"], best, strict=True))

        gains.append(ratio("loop, two threads"))
        sizes = " or ".join(dict.fromkeys("one by one" if looped else str(size) for size, looped in peers["choice"]))
        lines.append(
            f"| {model} | {median['loop, two threads']:.0f} | {median['loop, two processes']:.0f} "
            f"| {median['chosen']:.0f} | {sizes} | {gains[-1]:.2f} "
            f"| {ratio('loop, two threads', 'loop, two processes'):.2f} | {ratio(*(f'size {n}' for n in SIZES)):.2f} |"
        )
    mean = math.exp(statistics.mean(map(math.log, gains)))
    return "\n".join([*lines, f"| geometric mean | | | | | {mean:.2f} | | |"]) + "\n"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--write", action="store_true", help="put the table into benchmarks/README.md")
    arguments = parser.parse_args()
    rows = table(measure(arguments.rounds))
    print(rows)
    if arguments.write:
        write("models", rows)
