"""What must hold on a GPU and can be seen without one; `test_cuda.py` has what needs one."""

import pytest
import torch

from initbench.engine.precision import matmul_precision
from initbench.engine.programs import loop
from initbench.executors.local import LocalExecutor
from initbench.planning.machine import memory_limit

CPU = torch.device("cpu")


def switches() -> tuple[str, bool]:
    """What PyTorch rounds float32 to in CUDA's products, and whether it may round in convolutions."""
    return torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32


@pytest.mark.parametrize(
    ("precision", "inside"),
    [
        ("float32", ("highest", False)),
        ("tf32", ("high", True)),
        ("bfloat16", ("highest", False)),
        ("float16", ("highest", False)),
    ],
)
def test_tf32_is_for_those_who_ask_for_it_in_products_and_in_convolutions(precision, inside):
    """PyTorch's own default is to round the inputs of a float32 convolution to 10 bits."""
    before = switches()
    with matmul_precision(precision):
        assert switches() == inside
    assert switches() == before


def test_random_numbers_of_the_device_are_watched_too(monkeypatch):
    """Under CUDA `F.dropout` draws from CUDA's generator, not from the CPU's."""
    drawn = torch.tensor([5], dtype=torch.uint8)
    monkeypatch.setattr(torch.cuda, "get_rng_state", lambda device: drawn)
    assert loop.random_states(torch.device("cuda"))[-1] is drawn
    (alone,) = loop.random_states(CPU)
    assert torch.equal(alone, torch.get_rng_state())


def test_a_gpus_memory_is_shared_out_with_room_for_a_log_step(monkeypatch):
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda: (100 * 2**30, 141 * 2**30))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    gpu, cpu = LocalExecutor().machine("cuda"), LocalExecutor().machine("cpu")
    assert memory_limit(None, gpu) == pytest.approx(35 * 2**30)
    assert memory_limit("4GiB", gpu) == memory_limit("4GiB", cpu) == memory_limit(None, cpu) == 4 * 2**30
