"""Results that several tests read, and programs that some need."""

import os
import shutil
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

os.environ.pop("COLUMNS", None)  # where it is set, rich gives every console that width for good
torch.set_num_threads(1)  # thousands of tiny operations: threads would cost more than they give


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item):
    """Only tests marked gpu see a GPU: what the others say is true of a CPU, and the default device is `auto`."""
    with pytest.MonkeyPatch.context() as patch:
        if item.get_closest_marker("gpu") is None:
            patch.setattr(torch.cuda, "is_available", lambda: False)
            patch.setenv("CUDA_VISIBLE_DEVICES", "")  # for processes that a test starts
        return (yield)


def pytest_runtest_setup(item: pytest.Item):
    """A test marked network("host") is skipped where that host can't be reached."""
    for mark in item.iter_markers("network"):
        try:
            socket.create_connection((mark.args[0], 443), timeout=5).close()
        except OSError as error:
            pytest.skip(f"{mark.args[0]} can't be reached: {error}")


@pytest.fixture(scope="session")
def small_results(tmp_path_factory) -> Path:
    """A results folder with two initializers, two activations and two seeds, really trained."""
    from initbench.planning.sweep import prepare

    root = tmp_path_factory.mktemp("results")
    overrides = ["init=he,zeros", "act=relu,tanh", "depth=2", "width=16", "steps=60", "batch_size=50", "eval_every=30"]
    sweep = prepare(overrides, seeds=2, out=root, workers=1, name="small")
    sweep.save()
    for _ in sweep.train(lambda stack, step: None):
        pass
    return root


@pytest.fixture(scope="session")
def needs() -> Callable[[str], str]:
    """`needs("pdflatex")` is where that program is; without it the test skips, or fails if INITBENCH_NO_SKIP is 1."""

    def find(program: str) -> str:
        if path := shutil.which(program):
            return path
        reason = f"{program} is not installed"
        if os.environ.get("INITBENCH_NO_SKIP") == "1":
            pytest.fail(reason)
        pytest.skip(reason)

    return find
