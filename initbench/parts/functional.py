"""Finds activations that a user's model computes by calling functions, by following tensors through a forward pass.

`nn.ReLU`, `F.relu`, `torch.tanh`, `x.sigmoid()`, and those that several calls make up: `x * torch.sigmoid(x)`.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from torch import Tensor
from torch.overrides import TorchFunctionMode

from initbench.parts.trials import is_rectifier

# Elementwise functions of torch, by name. Those of the first kind are activations wherever they are called.
ACTIVATIONS = frozenset(
    "relu relu6 leaky_relu prelu rrelu elu celu selu gelu silu mish softplus softsign sigmoid expit logsigmoid "
    "log_sigmoid tanh hardtanh hardsigmoid hardswish softshrink hardshrink tanhshrink threshold clamp clamp_min "
    "clamp_max clip maximum minimum max min where masked_fill sin cos sinc atan arctan erf".split()
)
# These also serve to make statistics, such as the square in a variance, which is no activation.
BENT = frozenset("abs square sqrt rsqrt pow rpow exp log log1p expm1 reciprocal rdiv sign gt ge lt le eq ne".split())
STRAIGHT = frozenset("add radd sub rsub mul rmul div truediv neg clone contiguous to float double half".split())
NEW = frozenset("tensor zeros ones full arange linspace zeros_like ones_like full_like".split())
ELEMENTWISE = ACTIVATIONS | BENT | STRAIGHT | NEW
PRODUCTS = frozenset("linear matmul rmatmul mm bmm addmm baddbmm mv einsum tensordot bilinear embedding".split())
PRODUCTS |= {f"conv{transpose}{n}d" for transpose in ("", "_transpose") for n in (1, 2, 3)}
STATISTICS = frozenset("mean sum var std var_mean std_mean norm vector_norm amax amin logsumexp all any".split())


class Placeholder(NamedTuple):
    """What stands in a `Call` for a tensor: the pre-activation, or a parameter or buffer of the model."""

    text: str


X, OWN = Placeholder("x"), Placeholder("w")


class Call(NamedTuple):
    """A function and its arguments: numbers, words, X, OWN, and other calls."""

    name: str
    function: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]

    def __str__(self) -> str:
        """`relu(x)`, `mul(x, sigmoid(x))`."""
        return f"{self.name}({', '.join(shown for arg in self.args if (shown := _shown(arg)))})"

    def __call__(self, x: Tensor) -> Tensor:
        """The function at another x, without a bias or scale of the model's; ValueError for other parameters."""
        others = [arg for arg in self.args if arg is not OWN]
        if self.name in STRAIGHT and len(others) == 1 < len(self.args):
            return _at(x, others[0])
        return self.function(*(_at(x, arg) for arg in self.args), **{k: _at(x, arg) for k, arg in self.kwargs.items()})


def _shown(arg: Any) -> str:
    if isinstance(arg, Placeholder | Tensor):
        return arg.text if isinstance(arg, Placeholder) else "c"
    return str(arg) if isinstance(arg, Call | int | float) and not isinstance(arg, bool) else ""


def _at(x: Tensor, arg: Any) -> Any:
    if arg is OWN:
        raise ValueError("this activation has parameters")
    return arg(x) if isinstance(arg, Call) else x.clone() if arg is X else arg


class FunctionalActivation(NamedTuple):
    """An activation that a model computes by calling functions."""

    call: Call

    @property
    def elementwise(self) -> bool:
        """All that are followed are."""
        return True

    @property
    def name(self) -> str:
        """`relu`; of several calls `mul(x, sigmoid(x))`."""
        return str(self.call) if any(isinstance(arg, Call) for arg in self.call.args) else self.call.name

    @property
    def rectifies(self) -> bool:
        """As `Activation.rectifies`; ValueError where it depends on parameters of the model."""
        return is_rectifier(self.call)


@dataclass(eq=False)
class FollowedTensor:
    """A tensor that is an elementwise function of another, its root: of a pre-activation, perhaps."""

    tensor: Tensor
    root: Tensor
    call: Call
    bent: bool  # more than a multiple plus a constant
    named: bool  # one of ACTIVATIONS is in it


@dataclass(eq=False)
class Candidates:
    """The values of one root of which one may be its activation: the first that other code reads."""

    source: Tensor  # the root, or the tensor that was overwritten
    values: list[FollowedTensor] = field(default_factory=list)
    chosen: FollowedTensor | None = None

    @property
    def activation(self) -> FollowedTensor | None:
        return self.chosen or (self.values[-1] if self.values else None)


class Seen(NamedTuple):
    """An activation in a forward pass: s, phi(s), and phi; `source` is the model's tensor that held s."""

    source: Tensor
    pre: Tensor
    after: Tensor
    activation: FunctionalActivation


class FunctionWatch(TorchFunctionMode):
    """Follows elementwise functions from one weight to the next; `settle` ends a stretch and tells what was seen.

    While `pauses` is above 0 it does not look. What it sees is computed as ever, bit for bit.

    own      the model's parameters and buffers
    weights  those that are matrices or kernels, by id, each with what stands for it
    used     is told of a product with one: of what stands for it, the result and the operands. The model gets what it
             returns
    """

    def __init__(self, own: Iterable[Tensor], weights: dict[int, Any], used: Callable[[Any, Tensor, list], Tensor]):
        super().__init__()
        self.own = {id(tensor): tensor for tensor in own}
        self.weights, self.used = dict(weights), used
        self.constants = dict(self.own)  # and what is computed from them alone
        self.values: dict[int, FollowedTensor] = {}
        self.candidates: dict[int, Candidates] = {}  # by root
        self.statistics: dict[int, Tensor] = {}  # tensors over several entries of another
        self.pauses = 0

    def settle(self, read: Iterable[Any] = ()) -> list[Seen]:
        """The activations since the last call, in their order. read: what the next weight gets."""
        for tensor in _tensors(read):
            self.leave(tensor, "")
        found = [(one.source, value) for one in self.candidates.values() if (value := one.activation)]
        self.values.clear()
        self.candidates.clear()
        self.statistics.clear()
        return [Seen(source, v.root, v.tensor, FunctionalActivation(v.call)) for source, v in found]

    def __torch_function__(self, func: Callable, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        kwargs, name = kwargs or {}, _bare(func)
        if self.pauses:
            return func(*args, **kwargs)
        operands = list(_tensors((*args, *kwargs.values())))
        varying = [operand for operand in operands if id(operand) not in self.constants]
        if varying and name == "get":  # an attribute, as in x.shape
            return func(*args, **kwargs)
        roots = {id(root): root for root in map(self.root_of, varying)}
        elementwise = name in ELEMENTWISE and len(roots) <= 1
        if _writes(func, args, kwargs):
            alone = len(varying) == 1 and varying[0] is args[0]
            return self.write(func, name, args, kwargs, elementwise and alone)
        result = func(*args, **kwargs)
        if isinstance(result, Tensor) and not varying and (operands or name in NEW):
            return self.constant(result, operands)
        if name in PRODUCTS and (weights := [self.weights[id(one)] for one in operands if id(one) in self.weights]):
            return self.used(weights[0], result, varying)
        if elementwise and varying and isinstance(result, Tensor):
            (root,) = roots.values()
            if result.shape == root.shape:
                self.values[id(result)] = self.value(name, func, args, kwargs, result, root, len(varying))
                return result
        if isinstance(result, Tensor | tuple | list):
            for operand in varying:
                self.leave(operand, name)
        if name in STATISTICS:
            self.statistics |= {id(tensor): tensor for tensor in _tensors([result])}
        return result

    def constant(self, result: Tensor, operands: list[Tensor]) -> Tensor:
        """What is computed from parameters and buffers alone; of a weight, such as its transpose, it is that weight."""
        self.constants[id(result)] = result
        weights = [self.weights[id(operand)] for operand in operands if id(operand) in self.weights]
        if weights and result.ndim > 1:
            self.weights[id(result)] = weights[0]
        return result

    def root_of(self, tensor: Tensor) -> Tensor:
        value = self.values.get(id(tensor))
        return tensor if value is None else value.root

    def value(
        self, name: str, func: Callable, args: tuple, kwargs: dict, result: Tensor, root: Tensor, varying: int
    ) -> FollowedTensor:
        """The result of an elementwise function as a value of its root, and perhaps as the root's activation."""
        before = [self.values[id(arg)] for arg in _tensors((*args, *kwargs.values())) if id(arg) in self.values]
        bent = name in ACTIVATIONS | BENT or varying > 1 or any(one.bent for one in before)
        call = Call(name, func, tuple(map(self.recorded, args)), {k: self.recorded(arg) for k, arg in kwargs.items()})
        value = FollowedTensor(result, root, call, bent, name in ACTIVATIONS or any(one.named for one in before))
        if bent and result.is_floating_point() and (value.named or id(root) not in self.statistics):
            self.candidates.setdefault(id(root), Candidates(root)).values.append(value)
        return value

    def recorded(self, arg: Any) -> Any:
        """An argument of a call as it is kept."""
        if not isinstance(arg, Tensor):
            return arg
        if id(arg) in self.values:
            return self.values[id(arg)].call
        return OWN if id(arg) in self.own else arg if id(arg) in self.constants else X

    def write(self, func: Callable, name: str, args: tuple, kwargs: dict, elementwise: bool) -> Any:
        """A call that overwrites its first argument. An activation gets copies, so that s and phi(s) are both kept."""
        for operand in _tensors((*args[1:], *kwargs.values())):
            self.leave(operand, name)
        self.overwritten(args[0])
        if not (elementwise and name in ACTIVATIONS | BENT):
            return func(*args, **kwargs)
        root = args[0].clone()
        result = func(root.clone(), *args[1:], **kwargs)
        args[0].copy_(result)
        candidates = self.candidates[id(root)] = Candidates(args[0])
        self.values[id(result)] = self.value(name, func, (root, *args[1:]), kwargs, result, root, 1)
        candidates.chosen = self.values[id(result)]
        return args[0]

    def leave(self, tensor: Tensor, name: str) -> None:
        """A tensor is read by code that is no elementwise function of its root, such as the function of this name."""
        value = self.values.get(id(tensor))
        candidates = value and self.candidates.get(id(value.root))
        if not candidates or value not in candidates.values or candidates.chosen:
            return
        if name in STATISTICS and value.call.name not in ACTIVATIONS:
            candidates.values.remove(value)
        else:
            candidates.chosen = value

    def overwritten(self, tensor: Tensor) -> None:
        """Keep what a tensor that is about to be overwritten says of an activation; forget the rest."""
        self.leave(tensor, "")
        value = self.values.pop(id(tensor), None)
        if value is not None and value.bent:
            value.tensor = tensor.clone()
        self.candidates.pop(id(tensor), None)


def _bare(func: Callable) -> str:
    """`relu` for `relu_`, `rsub` for `__rsub__`, `threshold` for `_threshold`."""
    return getattr(func, "__name__", "").strip("_")


def _writes(func: Callable, args: tuple, kwargs: dict) -> bool:
    """Whether a call overwrites its first argument."""
    name = getattr(func, "__name__", "")
    changes = (name.endswith("_") and not name.endswith("__")) or name == "__setitem__"
    in_place = kwargs.get("inplace") is True or (_bare(func) in ACTIVATIONS and any(arg is True for arg in args))
    return bool(args) and isinstance(args[0], Tensor) and (changes or in_place)


def _tensors(values: Iterable[Any]) -> Iterator[Tensor]:
    """The tensors among some values, and in lists and tuples of them."""
    for value in values:
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, list | tuple):
            yield from _tensors(value)
