"""initbench on a GPU: run-steps per second, kernels per step, CUDA graphs, memory, and where the CPU waits for the GPU.

`python benchmarks/cuda.py` takes about two minutes of a GPU, in parts that can be asked for by name; `--seconds` ends
it earlier. `--rehearse` runs all of it on the CPU at tiny sizes, to find mistakes before a GPU is paid for.
Every finding is printed as it is made, the table of speeds last; `--json FILE` keeps all of them.
"""

import argparse
import copy
import gc
import json
import statistics
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import torch
from torch.autograd.profiler_util import DeviceType
from torch.profiler import ProfilerActivity, profile

from initbench import build
from initbench.config.grid import expand
from initbench.engine import checkpoint
from initbench.engine.batches import Batches
from initbench.engine.evaluation import scores
from initbench.engine.precision import matmul_precision
from initbench.engine.process import configure_process
from initbench.engine.state import stack
from initbench.engine.train import Training
from initbench.planning.cost import shape_of

SHAPES: dict[str, tuple[str, ...]] = {
    "mlp 20x100": ("depth=20", "width=100", "act=relu"),
    "mlp 20x32": ("depth=20", "width=32", "act=relu"),
    "cnn": ("model=cnn", "act=relu"),
    "lstm": ("model=lstm", "data=digits_rows", "act=tanh", "depth=1"),
    "transformer": ("model=transformer", "data=digits_rows", "act=relu", "depth=2", "width=32"),
}
OTHERS = {  # beside these, what memory and determinism are looked at for
    "resnet": ("model=resnet", "depth=3"),
    "conv1d": ("model=conv1d", "data=mnist1d"),
    "gru": ("model=gru", "data=digits_rows", "act=tanh"),
    "batchnorm": ("depth=20", "norm=batch"),
    "float16": ("depth=20", "precision=float16"),
}
MITIGATIONS = [
    *("regularize.dropout=0.2", "regularize.weight_noise=0.01", "gradient.clip_norm=1", "norm=batch"),
    *("optim=adam", "optim=lamb", "optim=muon", "precision=tf32", "precision=float16"),
]
NEVER = 10**9  # steps
Findings = Iterator[tuple[str, Any]]


class Bench:
    """On a device, with the sizes of stacks (runs) to try and the seconds that a timing may take."""

    def __init__(self, device: str, sizes: Sequence[int], seconds: float):
        self.device, self.sizes, self.seconds = torch.device(device), sizes, seconds
        self.cuda = self.device.type == "cuda"

    def wait(self) -> None:
        if self.cuda:
            torch.cuda.synchronize()

    def timed(self, call: Callable[[], object], share: float = 1.0) -> float:
        """The median seconds of a call, in blocks of calls that are waited for."""

        def block(calls: int) -> float:
            self.wait()
            begun = time.perf_counter()
            for _ in range(calls):
                call()
            self.wait()
            return (time.perf_counter() - begun) / calls

        block(1)  # the first call finds algorithms and memory
        if (once := block(1)) > self.seconds:
            return once
        calls = max(1, min(10, int(share * self.seconds / 3 / block(2))))
        end, took = time.perf_counter() + share * self.seconds, []
        while len(took) < 3 or time.perf_counter() < end:
            took.append(block(calls))
        return statistics.median(took)


@cache
def config(*overrides: str) -> dict[str, Any]:
    return expand(list(overrides)).runs[0].config


@cache
def initialized(*overrides: str) -> torch.nn.Module:
    return build.initialized(config(*overrides), build.data(config(*overrides)))


def training(bench: Bench, overrides: Sequence[str], runs: int, *, looped: bool = False, **recipe: Any) -> Training:
    """The training of so many copies of a run; `recipe` changes its recipe."""
    own, model = config(*overrides), copy.deepcopy(initialized(*overrides))
    state, changed = stack([model] * runs, bench.device), replace(build.recipe(own), **recipe)
    lrs = [0.01] * runs
    return Training(state, model, build.data(own), changed, seeds=range(runs), lrs=lrs, looped=looped)


def step(made: Training, *, log: bool = False, number: int | None = None) -> torch.Tensor:
    """One update, without end; `number`: with the minibatches of this step instead of the next."""
    at = made.steps_done if number is None else number
    losses, snapshot = made.updater(*made.minibatches.at(at), log)
    return losses if snapshot is None else made.measure(snapshot).float().cpu()


def peer(bench: Bench, overrides: Sequence[str]) -> Callable[[], torch.Tensor]:
    """A step of one run as one would write it: an ordinary module, autograd and torch's SGD."""
    own, data = config(*overrides), build.data(config(*overrides))
    model = copy.deepcopy(initialized(*overrides)).to(bench.device).train()
    sgd = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    x, y = data.x_train.to(bench.device), data.y_train.to(bench.device)
    order = iter(Batches([0], len(y), own["batch_size"], bench.device))

    def one_step() -> torch.Tensor:
        (index,) = next(order)
        sgd.zero_grad(set_to_none=True)
        loss = data.objective.loss(model(x[index]), y[index])
        loss.backward()
        sgd.step()
        return loss.detach()

    return one_step


def speed(bench: Bench) -> Findings:
    """Run-steps per second of the loop and of stacks; milliseconds per step and per log step."""
    for name, overrides in SHAPES.items():
        yield f"{name}, plain loop", round(1 / bench.timed(peer(bench, overrides)))
        if "mlp" not in name:
            few = min(16, bench.sizes[-1])
            yield (
                f"{name}, looped",
                round(few / bench.timed(partial(step, training(bench, overrides, few, looped=True)))),
            )
        for runs in bench.sizes:
            made = training(bench, overrides, runs)
            seconds = bench.timed(partial(step, made))
            yield f"{name}, stack of {runs}", round(runs / seconds)
            if runs == bench.sizes[len(bench.sizes) // 2]:
                yield f"{name}, ms per step of {runs}", round(1e3 * seconds, 3)
                yield f"{name}, ms per log step of {runs}", round(1e3 * bench.timed(partial(step, made, log=True)), 3)
            if seconds > 1:
                break


def kernels(bench: Bench) -> Findings:
    """Per step: kernels, the microseconds they take, and the microseconds that the step takes without the profiler."""
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if bench.cuda else [])]
    for name, overrides in SHAPES.items():
        for log in (False, True):
            made = training(bench, overrides, bench.sizes[len(bench.sizes) // 2])
            call = partial(step, made, log=log, number=0)
            alone = bench.timed(call, 0.5)
            with profile(activities=activities) as profiler:
                call()
                bench.wait()
            ran = [event for event in profiler.events() or () if event.device_type == DeviceType.CUDA]
            took = Counter()
            for event in ran:
                took[event.name[:60]] += round(event.time_range.elapsed_us())
            facts = {"kernels": len(ran), "busy_us": sum(took.values()), "step_us": round(1e6 * alone)}
            yield f"{name}, log={log}", facts | {"longest": took.most_common(3)}


def graphs(bench: Bench) -> Findings:
    """A step as a CUDA graph: how much quicker its replay is, and whether it leaves the same numbers."""
    for name, overrides in SHAPES.items():
        for runs in bench.sizes:
            made = training(bench, overrides, runs)
            call = partial(step, made, number=0)
            eager = bench.timed(call, 0.5)
            if not bench.cuda:
                continue
            try:
                graph, losses = captured(call)
            except RuntimeError as error:
                yield f"{name}, stack of {runs}", " ".join(str(error).split())[:200]
                break
            before = checkpoint.copied(made.tensors())
            graph.replay()
            after = losses.clone(), made.state.weights.clone()
            checkpoint.restore(made.tensors(), before)
            same = torch.equal(call(), after[0]) and torch.equal(made.state.weights, after[1])
            replay = bench.timed(graph.replay, 0.5)
            yield (
                f"{name}, stack of {runs}",
                {"eager_ms": round(1e3 * eager, 3), "replay_ms": round(1e3 * replay, 3), "same": same},
            )


def captured(call: Callable[[], torch.Tensor]) -> tuple[torch.cuda.CUDAGraph, torch.Tensor]:
    """A step as a graph, and where its losses are."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            call()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        losses = call()
    return graph, losses


def memory(bench: Bench) -> Findings:
    """MiB that a training takes at most, and those that the plan says."""
    for name, overrides in (SHAPES | OTHERS).items():
        runs, own = bench.sizes[len(bench.sizes) // 2], config(*overrides)
        if own["precision"] == "float16" and not bench.cuda:
            continue
        cost = shape_of(own, build.data(own), memory=2**45).cost
        before = torch.cuda.memory_allocated() if bench.cuda else 0
        if bench.cuda:
            torch.cuda.reset_peak_memory_stats()
        training(bench, overrides, runs, steps=6, log_every=5, eval_every=6).run()
        peak = torch.cuda.max_memory_allocated() - before if bench.cuda else 0
        yield f"{name}, {runs} runs", {"planned": cost.bytes * runs >> 20, "peak": peak >> 20}


def overheads(bench: Bench) -> Findings:
    """Milliseconds of a whole training's step by what is recorded, of an evaluation, of batches, and of mitigations."""
    overrides, runs, steps = SHAPES["mlp 20x100"], bench.sizes[len(bench.sizes) // 2], 200 if bench.cuda else 20
    for log_every, eval_every in ((NEVER, NEVER), (20, NEVER), (20, 200), (20, 50)):
        recipe: dict[str, Any] = {"log_every": log_every, "eval_every": eval_every, "steps": steps}
        seconds = bench.timed(lambda recipe=recipe: training(bench, overrides, runs, **recipe).run()) / steps
        yield f"training, log_every={log_every} eval_every={eval_every}", round(1e3 * seconds, 3)
    for name, shape in SHAPES.items():
        made = training(bench, shape, runs)
        x, y = made.evaluation.x_train, made.evaluation.y_train
        for chunk in (100, 500, len(y)):
            given = (made.program.predict, x, y, made.evaluation.objective, chunk)
            yield f"evaluation, {name} in chunks of {chunk}", round(1e3 * bench.timed(partial(scores, *given), 0.3), 2)
    examples = len(build.data(config(*overrides)).y_train)
    for many in (runs, bench.sizes[-1]):
        order = iter(Batches(range(many), examples, 100, bench.device))
        yield f"batches of {many} runs", round(1e3 * bench.timed(partial(next, order)), 3)
    for key in MITIGATIONS:
        if bench.cuda or key not in ("precision=tf32", "precision=float16"):
            made = training(bench, (*overrides, key), runs)
            with matmul_precision(made.recipe.precision):
                yield f"step with {key}", round(1e3 * bench.timed(partial(step, made), 0.5), 3)


def waits(bench: Bench) -> Findings:
    """Lines at which the CPU waits for the GPU, and how often: 60 steps, three log steps, three evaluations."""
    for name in ("mlp 20x32", "cnn", "lstm"):
        made = training(bench, SHAPES[name], min(4, bench.sizes[-1]), steps=60, log_every=20, eval_every=30)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            if bench.cuda:
                torch.cuda.set_sync_debug_mode("warn")
            try:
                made.run()
            finally:
                if bench.cuda:
                    torch.cuda.set_sync_debug_mode("default")
        yield name, Counter(f"{Path(one.filename).name}:{one.lineno}" for one in caught).most_common()


def repeats(bench: Bench) -> Findings:
    """Is a training the same bit for bit again, with and without cuDNN's deterministic algorithms? And ms of a step."""
    for name, overrides in (SHAPES | OTHERS).items():
        if config(*overrides)["precision"] == "float16" and not bench.cuda:
            continue
        for deterministic in (False, True) if "model" in str(overrides) else (False,):
            torch.backends.cudnn.deterministic = deterministic
            try:
                first, second = (training(bench, overrides, min(16, bench.sizes[-1])) for _ in range(2))
                for made in (first, second):
                    for _ in range(5):
                        step(made)
                same = torch.equal(first.state.weights, second.state.weights)
                milliseconds = round(1e3 * bench.timed(partial(step, second), 0.3), 3)
                yield f"{name}, deterministic={deterministic}", {"same": same, "ms": milliseconds}
            finally:
                torch.backends.cudnn.deterministic = False


PARTS = {part.__name__: part for part in (speed, kernels, graphs, memory, waits, repeats, overheads)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", default=list(PARTS), help=f"of {', '.join(PARTS)} (default: all)")
    parser.add_argument("--seconds", type=float, default=120, help="no timing begins after so many")
    parser.add_argument("--json", type=Path, help="file for all findings")
    parser.add_argument("--rehearse", action="store_true", help="on the CPU, at tiny sizes")
    given = parser.parse_args()
    configure_process(1)
    bench = Bench("cpu", (1, 2), 0.01) if given.rehearse else Bench("cuda", (1, 16, 64, 256, 1024), 0.3)
    found: dict[str, dict[str, Any]] = {"machine": {"torch": torch.__version__}}
    if bench.cuda:
        found["machine"]["gpu"] = torch.cuda.get_device_name()
    begun = time.perf_counter()
    for name in given.parts:
        if time.perf_counter() - begun > given.seconds:
            break
        found[name] = {}
        try:
            with matmul_precision("float32"):
                for key, value in PARTS[name](bench):
                    found[name][key] = value
                    print(f"[{time.perf_counter() - begun:5.1f} s] {name}: {key}: {json.dumps(value)}", flush=True)
                    if time.perf_counter() - begun > given.seconds:
                        break
        except Exception:
            traceback.print_exc()  # the other parts go on
        gc.collect()
        if given.json:
            given.json.write_text(json.dumps(found, indent=1))
    print(json.dumps(found["machine"]))
    for key, value in found.get("speed", {}).items():
        print(f"{key:32} {value:>12,}")


if __name__ == "__main__":
    main()
