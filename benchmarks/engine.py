"""Run-steps per second of initbench's engine and of what one would use instead.

`python benchmarks/engine.py` makes a fresh process for every measurement; the peers take turns, round after
round. The README beside this file says what each of them is; `--write` puts the tables there and every single
measurement into a CSV.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pandas as pd
from readme import write

HERE = Path(__file__).parent
STEPS = {"20x100": (10, 30), "20x32": (20, 120)}  # the two lengths whose difference in time counts
LOOP_STEPS = {"20x100": (10, 60), "20x32": (10, 110)}  # of the loops, which train fewer runs
STACK_SIZES = (1, 4, 8, 16, 32)  # of the 32 runs that each of the two workers has
NAMES = {
    "loop": "(a) PyTorch loop",
    "joblib": "(b) loop in joblib, one process per core",
    "jax": "(c) JAX, one program",
    "jax2": "(c') JAX, one pinned process per core",
    "bmm": "(d) `torch.bmm`, only the products",
    "initbench": "(e) initbench, full logging",
    "initbench, loss only": "(e') initbench, losses only",
}
OTHERS = ("loop", "joblib", "jax", "jax2", "bmm")
ONE_THREAD = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
TWO_THREADS = {name: "2" for name in ONE_THREAD}
ONE_XLA_THREAD = {"XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false"}


def child(environment: dict[str, str], script: str, *args: object):
    """What a script of this folder prints as its last line of JSON."""
    command = [sys.executable, str(HERE / script), *map(str, args)]
    path = os.pathsep.join(filter(None, [str(HERE.parent), os.environ.get("PYTHONPATH")]))
    done = subprocess.run(
        command,
        env=os.environ | {"PYTHONPATH": path} | environment,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return json.loads(done.stdout.splitlines()[-1])


def peers(shape: str, jax_cache: str) -> Iterator[tuple[str, float, str]]:
    """One measurement of every peer: its name, run-steps per second, and how it was configured."""
    steps, loop_steps = STEPS[shape], LOOP_STEPS[shape]
    cache = {"JAX_COMPILATION_CACHE_DIR": jax_cache, "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}
    yield "loop", *child(TWO_THREADS, "loop.py", "alone", shape, *loop_steps)
    yield "joblib", *child(ONE_THREAD, "loop.py", "pooled", shape, *loop_steps)
    yield "jax", *child(cache, "jax_vmap.py", shape, 1, *steps)
    yield "jax2", *child(cache | ONE_XLA_THREAD, "jax_vmap.py", shape, 2, *steps)
    yield "bmm", *child(ONE_THREAD, "ceiling.py", shape, *steps)
    size = chosen_stack_size(shape)
    rates = child(ONE_THREAD, "stacked.py", "logging", shape, *steps, size)
    for peer, rate in zip(("initbench", "initbench, loss only"), rates, strict=True):
        yield peer, rate, f"stacks of {size}"


@cache
def chosen_stack_size(shape: str) -> int:
    return child(ONE_THREAD, "stacked.py", "chosen", shape)


def sizes(shape: str, jax_cache: str) -> Iterator[tuple[str, float, str]]:
    """One measurement of every stack size, in one pair of processes."""
    rates = child(ONE_THREAD, "stacked.py", "sizes", shape, *STEPS[shape], *STACK_SIZES)
    for size, rate in zip(STACK_SIZES, rates, strict=True):
        yield f"stacks of {size}", rate, "full logging"


def rounds(measure: Callable[[str, str], Iterator], count: int, shapes: list[str]) -> pd.DataFrame:
    """Rows (shape, round, peer, rate, how); a line of progress each."""
    rows, start = [], time.monotonic()
    with tempfile.TemporaryDirectory() as jax_cache:
        for number in range(1, count + 1):
            for shape in shapes:
                for peer, rate, how in measure(shape, jax_cache):
                    rows.append((shape, number, peer, rate, how))
                    at = f"{time.monotonic() - start:4.0f} s  round {number}/{count}  {shape:7}"
                    print(f"{at} {peer:22} {rate:7.0f} run-steps/s  {how}", file=sys.stderr, flush=True)
    return pd.DataFrame(rows, columns=["shape", "round", "peer", "rate", "how"])


def rate_table(rows: pd.DataFrame) -> list[str]:
    lines = ["| shape | peer | median | min | max | as |", "| --- | --- | ---: | ---: | ---: | --- |"]
    for key, some in rows.groupby(["shape", "peer"], sort=False):
        shape, peer = map(str, key)  # pyright: ignore[reportArgumentType]
        rate = some["rate"]
        ways = "; ".join(some["how"].unique())
        numbers = f"{rate.median():.0f} | {rate.min():.0f} | {rate.max():.0f}"
        lines.append(f"| {shape} | {NAMES.get(peer, peer)} | {numbers} | {ways} |")
    return lines


def ratio_table(rows: pd.DataFrame) -> list[str]:
    """Ratios taken within a round: first over second."""
    rate = rows.pivot(index=["shape", "round"], columns="peer", values="rate")
    ratios = {f"(e) / {NAMES[peer].split()[0]}": rate["initbench"] / rate[peer] for peer in OTHERS}
    lines = ["| shape | ratio | median | min | max |", "| --- | --- | ---: | ---: | ---: |"]
    for shape in rows["shape"].unique():
        for name, ratio in ratios.items():
            r = ratio.loc[shape]
            lines.append(f"| {shape} | {name} | {r.median():.2f} | {r.min():.2f} | {r.max():.2f} |")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--shapes", nargs="+", choices=STEPS, default=list(STEPS))
    parser.add_argument("--sizes", action="store_true", help="compare the engine's stack sizes instead")
    parser.add_argument("--write", action="store_true", help="into benchmarks/README.md and a CSV beside it")
    args = parser.parse_args()

    rows = rounds(sizes if args.sizes else peers, args.rounds, args.shapes)
    if args.sizes:
        kind, tables = "sizes", [rate_table(rows)]
    else:
        kind, tables = "engine", [rate_table(rows), ratio_table(rows)]
    text = "\n" + "\n".join("\n".join(table) + "\n" for table in tables) + "\n"
    print(text)
    if args.write:
        write(kind, text, rows)


if __name__ == "__main__":
    main()
