"""How much longer the command takes on a machine where two other processes compute all the time.

    python benchmarks/busy.py              # 5 rounds: about 5 minutes
    python benchmarks/busy.py --rounds 3

Each round runs every command alone and beside two endless loops, in turn. On two cores, three processes that share them
fairly make a single-threaded command take 1.5 times as long, and one with two workers twice as long. Threads that wait
for each other by spinning take many times that, and more processor time; so both are printed. Nothing else should run.
Exits with 1 where a command's median ratio is above 3.
"""

import argparse
import multiprocessing
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager

GOAL, OTHERS = 3.0, 2
SMALL = "width=16 steps=100 batch_size=50"
COMMANDS = {
    "one run": "run init=he act=relu depth=20",
    "36 tiny runs": f"run init=he,xavier,zeros act=relu,tanh depth=2,3 --seeds 3 {SMALL}",
    "36 tiny runs, two workers": f"run init=he,xavier,zeros act=relu,tanh depth=2,3 --seeds 3 --workers 2 {SMALL}",
    "8 runs with trials": "run model=gru data=digits_rows act=tanh width=16 steps=200 --seeds 8",
    "plan of 480 runs": "plan init=glob(*) act=relu,tanh depth=5,20 --seeds 5",
    "report": "report results",
}


def spin() -> None:
    while True:
        pass


@contextmanager
def others(number: int) -> Iterator[None]:
    """This many other processes that compute."""
    processes = [multiprocessing.Process(target=spin, daemon=True) for _ in range(number)]
    for process in processes:
        process.start()
    try:
        yield
    finally:
        for process in processes:
            process.kill()


def timed(words: list[str], folder: str) -> tuple[float, float]:
    """Seconds, and seconds of processor time, of a command and its workers."""
    before, begun = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    command = [sys.executable, "-m", "initbench", *words]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    took, after = time.perf_counter() - begun, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise SystemExit(done.stderr)
    return took, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    print(f"load before: {os.getloadavg()[0]:.1f}, cores: {os.cpu_count()}, threads as torch sets them")
    walls: dict[str, list[float]] = {name: [] for name in COMMANDS}
    quiets: dict[str, list[float]] = {name: [] for name in COMMANDS}
    processor: dict[str, list[float]] = {name: [] for name in COMMANDS}
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(rounds):
            for name, command in COMMANDS.items():
                words = command.split() + ["--fresh"] * command.startswith("run")
                quiet, alone = timed(words, folder)
                with others(OTHERS):
                    busy, beside = timed(words, folder)
                quiets[name].append(quiet)
                walls[name].append(busy / quiet)
                processor[name].append(beside / alone)
    print(f"{'command':28}{'alone, s':>10}{'ratio':>8}{'range':>14}{'processor time':>16}")
    for name, ratios in walls.items():
        between = f"{min(ratios):.1f} to {max(ratios):.1f}"
        seconds, ratio = statistics.median(quiets[name]), statistics.median(ratios)
        print(f"{name:28}{seconds:10.1f}{ratio:8.2f}{between:>14}{statistics.median(processor[name]):16.2f}")
    raise SystemExit(any(statistics.median(ratios) > GOAL for ratios in walls.values()))


if __name__ == "__main__":
    main()
