"""torchvision, where something needs it. No requirement: PyPI's is for a torch with CUDA, which replaces another."""

import importlib
from types import ModuleType

import torch

from initbench.errors import InputError

CPU_INDEX = "https://download.pytorch.org/whl/cpu"  # of PyTorch, for torch and torchvision without CUDA


def torchvision_module(name: str, needs: str) -> ModuleType:
    """`torchvision.NAME`; InputError, which opens with `needs`, says what to install where it can't be imported."""
    try:
        return importlib.import_module(f"torchvision.{name}")  # here: it takes a second
    except ModuleNotFoundError as error:
        if error.name not in ("torchvision", f"torchvision.{name}"):
            raise
        if "+cpu" in torch.__version__:
            raise InputError(f"{needs} torchvision: pip install torchvision --index-url {CPU_INDEX}") from error
        raise InputError(f"{needs} torchvision: pip install 'initbench[torchvision]'") from error
    except (ImportError, RuntimeError) as error:  # RuntimeError: operator torchvision::nms does not exist
        reason = " ".join(str(error).split())
        there = f"a torchvision built for torch {torch.__version__}, from the index that this torch came from"
        raise InputError(f"{needs} {there}; the one installed can't be imported: {reason}") from error
