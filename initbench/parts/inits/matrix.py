"""How schemes see a model: as weight matrices, one after the other, each with its bias and its fans."""

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from initbench.errors import DoesNotFit
from initbench.parts.checks import number
from initbench.parts.models.attention import Attention
from initbench.parts.observe import own_weight

Kind = Literal["dense", "convolution", "gate", "projection", "attention output", "embedding"]


@dataclass(frozen=True)
class Matrix:
    """A weight matrix or kernel as schemes see it: `weight` and `bias` are views into the model's parameters."""

    weight: Tensor  # (m, n), (m, n / positions, *kernel) of a convolution, (vocabulary, m) of an embedding
    bias: Tensor | None  # (m,)
    n: int  # fan_in
    m: int  # fan_out
    kind: Kind
    bias_terms: int = 1  # of PyTorch's layers that the bias is the sum of: nn.LSTM adds two where our cell has one
    other_biases: tuple[Tensor, ...] = ()  # (m,) each: of further modules that share the weight

    @property
    def biases(self) -> tuple[Tensor, ...]:
        """The bias and those of further modules."""
        return (() if self.bias is None else (self.bias,)) + self.other_biases


def matrices(model: nn.Module) -> Iterator[Matrix]:
    """Every weight (a parameter of 2 or more dimensions) with its bias, None for none, in module order.

    A parameter that stacks gates or projections is several matrices. A parameter that modules share comes once.
    """
    return itertools.chain.from_iterable(matrices_by_weight(model).values())


def matrices_by_weight(model: nn.Module) -> dict[nn.Parameter, list[Matrix]]:
    """The matrices of each weight, in module order.

    Of modules that share a weight, one that multiplies by it says what it is: an embedding that is tied to the head
    is the head's matrix, whose inputs are `width` units and not one-hot.
    """
    of_attention = _of_attention(model)
    found: dict[nn.Parameter, list[list[Matrix]]] = {}
    for module in model.modules():
        own = _own_parameters(module)
        for name, weight in own.items():
            if weight.ndim < 2:
                continue
            bias = own.get(name.replace("weight", "bias")) if "weight" in name else None
            kind, count = (of_attention[module], 1) if module in of_attention else _kind(module, name, weight)
            biases = [None] * count if bias is None else bias.detach().chunk(count)
            terms = getattr(module, "bias_terms", 1)
            parts = zip(weight.detach().chunk(count), biases, strict=True)
            matrices = [Matrix(part, bias, *_fans_of(kind, part), kind, terms) for part, bias in parts]
            found.setdefault(weight, []).append(matrices)
    return {weight: _shared(uses) for weight, uses in found.items()}


def _shared(uses: Sequence[list[Matrix]]) -> list[Matrix]:
    """The matrices of a weight, of those that the modules that have it say; with the biases of all of them."""
    first = next((matrices for matrices in uses if matrices[0].kind != "embedding"), uses[0])
    others = [matrices for matrices in uses if matrices is not first and len(matrices) == len(first)]
    return [
        replace(matrix, other_biases=_different(matrix.bias, [matrices[i].bias for matrices in others]))
        for i, matrix in enumerate(first)
    ]


def _different(first: Tensor | None, others: Sequence[Tensor | None]) -> tuple[Tensor, ...]:
    """Those of the other biases that have memory of their own."""
    known = {None if first is None else first.data_ptr()}
    by_memory = {bias.data_ptr(): bias for bias in others if bias is not None}
    return tuple(bias for place, bias in by_memory.items() if place not in known)


def _own_parameters(module: nn.Module) -> dict[str, nn.Parameter]:
    """A module's own parameters by name. Of a weight that is computed, as g v / ||v||, the one of W's shape."""
    if isinstance(module, parametrize.ParametrizationList):
        return {}  # they are the owner's
    own, weight = dict(module.named_parameters(recurse=False)), own_weight(module)
    if weight is None or "weight" in own:
        return own
    return {"weight": weight} | {name: value for name, value in own.items() if not name.startswith("weight_")}


def _fans_of(kind: Kind, weight: Tensor) -> tuple[int, int]:
    return (1, weight.shape[1]) if kind == "embedding" else fans(weight)


def _of_attention(model: nn.Module) -> dict[nn.Module, Kind]:
    """The linear layers that attention consists of, ours and PyTorch's own."""
    kinds: dict[nn.Module, Kind] = {}
    for module in model.modules():
        if isinstance(module, Attention):
            kinds |= dict.fromkeys([module.query, module.key, module.value], "projection")
            kinds[module.output] = "attention output"
        elif isinstance(module, nn.MultiheadAttention):
            kinds[module.out_proj] = "attention output"
    return kinds


def _kind(module: nn.Module, name: str, weight: Tensor) -> tuple[Kind, int]:
    """What a module's weight is, and how many matrices are stacked in it: our modules' and PyTorch's own."""
    if isinstance(module, nn.Embedding):
        return ("dense" if getattr(module, "tied", False) else "embedding"), 1
    if isinstance(getattr(module, "gates", None), tuple):
        return "gate", len(module.gates)  # type: ignore[arg-type]
    if isinstance(module, nn.RNNBase | nn.RNNCellBase) and name.startswith("weight_"):
        return "gate", weight.shape[0] // module.hidden_size  # type: ignore[operator]
    if isinstance(module, nn.MultiheadAttention):
        return "projection", 3 if name == "in_proj_weight" else 1
    return ("convolution" if weight.ndim > 2 else "dense"), 1


def fans(weight: Tensor) -> tuple[int, int]:
    """(n, m) of a linear (m, n) or convolution (m, n, *kernel) weight; each position of a kernel counts."""
    m, n, *kernel = weight.shape
    positions = math.prod(kernel)
    return n * positions, m * positions


def recurrent_parts(model: nn.Module) -> list[nn.Module]:
    """The modules that hold recurrent weights: those named `recurrent`. DoesNotFit if there are none."""
    parts = [module for name, module in model.named_modules() if name.rpartition(".")[2] == "recurrent"]
    if not parts:
        raise DoesNotFit("init.recurrent needs a model with recurrent weights: model=rnn, lstm or gru")
    return parts


@torch.no_grad()
def set_forget_bias(model: nn.Module, value: float) -> None:
    """Write every forget gate's bias (1: Gers et al. 2000; Jozefowicz et al. 2015). DoesNotFit if there is none."""
    number("init.forget_bias", value)
    biases = [bias for gate, bias in gate_biases(model) if gate == "forget"]
    if not biases:
        raise DoesNotFit("init.forget_bias needs a model with forget gates: model=lstm")
    for bias in biases:
        bias.fill_(value)


def gate_biases(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """The name and the bias (N,) of every gate that has one."""
    for module in model.modules():
        gates, bias = getattr(module, "gates", None), getattr(module, "bias", None)
        if isinstance(gates, tuple) and bias is not None:
            yield from zip(gates, bias.detach().chunk(len(gates)), strict=True)
