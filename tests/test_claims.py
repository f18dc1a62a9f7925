"""Two processes on one results folder share its runs: each is trained once, and a dead one's are taken over."""

import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

import initbench
from initbench.results import claims as module
from initbench.results.claims import LEASE, RunClaims
from initbench.results.owners import Owner

RUNS = [f"{number:016x}" for number in range(8)]


def dead_owner() -> str:
    """The name of a process of this machine that has ended."""
    code = "from initbench.results.owners import Owner; print(Owner.this().name)"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def claimed_by(root: Path, owner: str, run_ids: list[str], beat: str | None = "0") -> None:
    for kind in ("owners", "claims"):
        (root / "work" / kind).mkdir(parents=True, exist_ok=True)
    if beat is not None:
        (root / "work" / "owners" / owner).write_text(beat)
    for run_id in run_ids:
        (root / "work" / "claims" / run_id).write_text(owner)


def test_a_run_has_one_holder(tmp_path):
    with RunClaims(tmp_path) as one, RunClaims(tmp_path) as other:
        assert one.take(RUNS[:5]) == set(RUNS[:5])
        assert other.take(RUNS[3:]) == set(RUNS[5:])
        assert other.others(RUNS) == dict.fromkeys(RUNS[:5], one.owner)
        one.release(RUNS[:1])
        assert other.take(RUNS) == {RUNS[0], *RUNS[5:]}
        other.release(RUNS)  # the claims of one stay
        assert other.others(RUNS) == dict.fromkeys(RUNS[1:5], one.owner)
    assert not (tmp_path / "work").exists()


def test_of_many_that_ask_at_once_one_gets_each_run(tmp_path):
    runs, taken, gate = [f"{number:016x}" for number in range(200)], [], threading.Barrier(4)

    def ask():
        with RunClaims(tmp_path) as claims:
            gate.wait()
            taken.append(claims.take(runs))
            gate.wait()

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(run for part in taken for run in part) == runs


def test_the_runs_of_a_dead_process_are_taken_over(tmp_path):
    claimed_by(tmp_path, f"{dead_owner()}.1", RUNS[:4])
    with RunClaims(tmp_path) as claims:
        assert claims.others(RUNS) == {}
        assert claims.take(RUNS[1:]) == set(RUNS[1:])
    assert not (tmp_path / "work").exists()  # what nobody took over is gone too


def test_another_machine_is_dead_when_it_has_been_silent_by_our_own_clock(tmp_path, monkeypatch):
    """Neither clock of the two machines is compared with the other: one may be years behind."""
    clock = [1000.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: clock[0])
    claimed_by(tmp_path, "node9-12-34.1", RUNS[:1])
    with RunClaims(tmp_path) as claims:
        assert claims.take(RUNS[:1]) == set()
        clock[0] += LEASE - 1
        assert claims.take(RUNS[:1]) == set()
        claimed_by(tmp_path, "node9-12-34.1", [], beat="1")  # a sign of life
        assert claims.take(RUNS[:1]) == set()
        clock[0] += LEASE - 1
        assert claims.others(RUNS[:1]) == {RUNS[0]: "node9-12-34.1"}
        clock[0] += 2
        assert claims.others(RUNS[:1]) == {} and claims.take(RUNS[:1]) == {RUNS[0]}


def test_a_claim_that_was_taken_over_meanwhile_is_not_given_back(tmp_path):
    with RunClaims(tmp_path) as sleeper:
        sleeper.take(RUNS[:1])
        (tmp_path / "work" / "claims" / RUNS[0]).write_text("node9-12-34.1")
        sleeper.release(RUNS[:1])
        assert (tmp_path / "work" / "claims" / RUNS[0]).read_text() == "node9-12-34.1"
        (tmp_path / "work" / "claims" / RUNS[0]).unlink()


def test_the_name_of_an_owner_tells_containers_of_one_host_apart():
    assert "." not in Owner.this().name and Owner.this().name.count("-") == 2


@pytest.mark.slow
def test_two_sweeps_beside_each_other_train_each_run_once(tmp_path):
    """Overlapping grids, three processes, of which one is killed in mid-training: none lost, none twice."""
    grid = ["init=he,xavier", "depth=1", "width=8", "steps=3000", "batch_size=50", "log_every=1000"]
    start = [sys.executable, "-m", "initbench", "run", *grid, "--workers", "1", "--quiet", "--out", str(tmp_path)]
    grids = ("seed=range(0,6)", "seed=range(3,9)")
    mortal = [subprocess.Popen([*start, seeds], stderr=subprocess.PIPE) for seeds in grids]
    killed = None
    while killed is None:
        assert all(process.poll() is None for process in mortal)
        claimed = " ".join(file.read_text() for file in tmp_path.glob("work/claims/[!.]*"))
        killed = next((process for process in mortal if f"-{process.pid}-" in claimed), None)
        time.sleep(0.05)
    killed.kill()
    last = subprocess.Popen([*start, "seed=range(0,9)"], stderr=subprocess.PIPE)
    for process in [*mortal, last]:
        _, errors = process.communicate(timeout=200)
        assert process.returncode == (-9 if process is killed else 0), errors
    trained = initbench.load(tmp_path)
    assert set(trained.runs["status"]) == {"done"} and len(trained.runs) == 2 * 9
    ids = [run_id for info in trained.stacks["run_ids"] for run_id in info]
    assert len(ids) == len(set(ids)) == 18
