"""The layers of a module as a forward pass uses them, recorded by hooks.

A layer is a use of a weight matrix or kernel together with the activation that its output goes to, if it does.
initbench's own models have their activations as `Activation` modules; in somebody's model functions count too
(`parts.functional`). Initializers that look at data and the engine's metrics find layers in the same way.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from torch import Tensor, nn
from torch.autograd.graph import Node, get_gradient_edge
from torch.nn.utils import parametrize
from torch.utils.hooks import RemovableHandle

from initbench.parts.activations import Activation
from initbench.parts.functional import FunctionalActivation, FunctionWatch
from initbench.parts.layer_graph import LayerGraph


class RawWeight(NamedTuple):
    """A matrix or kernel, by its parameter's name, that a model multiplies by without a module of its own."""

    name: str


AnyActivation = Activation | FunctionalActivation
AnyWeight = nn.Module | RawWeight


class HookRecord(NamedTuple):
    """One use of a weight or of an activation: the tensors before and after phi (equal for a weight).

    weight: of an activation, the number of the record of the weight whose output it gets; None where it gets another
    tensor, such as a normalized output.
    """

    what: AnyWeight | AnyActivation
    pre: Tensor
    after: Tensor
    weight: int | None = None


class WeightUse(NamedTuple):
    """A use of a weight: its module, the activation (or None), and the number of the record that has s and phi(s)."""

    module: AnyWeight
    activation: AnyActivation | None
    record: int
    output: int  # the number of the record that has the weight's own output


class ActivationFacts(NamedTuple):
    """What is recorded of a layer's activation; None where the layer has none, or a fact is unknown."""

    name: str | None = None
    rectifies: bool | None = None

    @classmethod
    def of(cls, activation: AnyActivation | None) -> "ActivationFacts":
        if activation is None:
            return cls()
        try:
            return cls(activation.name, activation.rectifies if activation.elementwise else None)
        except (RuntimeError, IndexError, ValueError):  # of a function with parameters, or that takes no vector
            return cls(activation.name)

    def state_dict(self) -> dict[str, str | int]:
        """As words and numbers alone."""
        return {"name": self.name or "", "rectifies": -1 if self.rectifies is None else int(self.rectifies)}

    @classmethod
    def from_state(cls, saved: Mapping[str, Any]) -> "ActivationFacts":
        return cls(saved["name"] or None, None if saved["rectifies"] < 0 else bool(saved["rectifies"]))


class ObservedLayer(NamedTuple):
    """A layer: its name, the numbers of its weight's uses, and whether these are the time steps of a sequence."""

    name: str
    module: AnyWeight
    activation: ActivationFacts
    uses: list[int]
    over_time: bool


class LayerHooks:
    """Hooks on the layers of a module; `records` holds what they recorded of the last forward pass."""

    def __init__(self, model: nn.Module):
        self.model = model
        # Its activations are modules, its names known; not where it wraps another library's network.
        self.is_ours = type(model).__module__.startswith("initbench.") and not hasattr(model, "names_begin")
        self.attached = False
        self.handles: list[RemovableHandle] = []
        self.records: list[HookRecord] = []
        self.outputs: dict[int, tuple[Tensor, int]] = {}  # of weights, by id: the tensor, and its record
        self.watch: FunctionWatch | None = None
        self.functions = not self.is_ours  # whether activations may be functions
        self.arranged: list[ObservedLayer] = []
        self.arranged_for: list[AnyWeight] = []  # the modules whose uses they are of
        self.names = {module: name for name, module in model.named_modules()}
        names = {parameter: name for name, parameter in model.named_parameters()}  # a tied weight has one name
        of_modules = {module: weight for module in self.names if (weight := own_weight(module)) is not None}
        self.weights: dict[AnyWeight, str] = {module: names[weight] for module, weight in of_modules.items()}
        self.owners: dict[str, AnyWeight] = {name: module for module, name in reversed(self.weights.items())}
        for parameter, name in names.items():
            if parameter.ndim > 1:
                self.weights[self.owners.setdefault(name, RawWeight(name))] = name
        self.entered: dict[nn.Module, int] = {}  # how many records there were when a module was called

    @property
    def recording(self) -> bool:
        """Whether the hooks are attached. Detached, a model may compute in another way, and faster."""
        return self.attached

    @recording.setter
    def recording(self, wanted: bool) -> None:
        if wanted == self.recording:
            return
        for handle in self.handles:
            handle.remove()
        self.attached, self.handles = wanted, []
        for module in self.names if wanted else ():
            if isinstance(module, Activation) or module in self.weights:
                self.handles.append(module.register_forward_hook(self.record))
                if not self.is_ours:
                    self.handles.append(module.register_forward_pre_hook(self.before))

    @contextmanager
    def forward_pass(self, own: Mapping[str, Tensor]) -> Iterator[None]:
        """One forward pass, of which the hooks record anew if they are attached. own: its parameters and buffers."""
        self.records.clear()
        self.outputs.clear()
        if not (self.recording and self.functions):
            yield
            return
        weights = {id(own[name]): owner for name, owner in self.owners.items()}
        self.watch = FunctionWatch(own.values(), weights, self.used)
        try:
            with self.watch:
                yield
            self.settle(())
        finally:
            self.watch = None

    def traced(self, x: Tensor) -> tuple[Tensor, Node | None]:
        """The inputs, and their node in autograd's graph where `layers` has to see what becomes of them."""
        if self.is_ours or self.arranged_for or not x.is_floating_point():
            return x, None
        x = x.detach().requires_grad_()
        return x.clone(), get_gradient_edge(x).node  # a copy, which a model may overwrite

    def settle(self, inputs: Iterable[Any]) -> None:
        """Record the functional activations since the last weight. inputs: what the next one gets."""
        if self.watch is not None:
            for source, pre, after, activation in self.watch.settle(inputs):
                if pre.ndim > 1:
                    self.records.append(HookRecord(activation, pre, after, self.whose(source)))

    def whose(self, tensor: Tensor) -> int | None:
        """The record of the weight whose output a tensor is."""
        return self.outputs.get(id(tensor), (tensor, None))[1]

    def before(self, module: nn.Module, inputs: tuple[Any, ...]) -> None:
        """What a layer of torch's, or an activation, computes inside is nobody's concern."""
        if module in self.weights:
            self.settle(inputs)
        if self.watch is not None:
            self.watch.pauses += is_plain(module)
        self.entered[module] = len(self.records)

    def record(self, module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor | None:
        """Record a use of a module. Somebody's model goes on with a copy: it may overwrite it, and the record stays."""
        if isinstance(module, Activation):
            self.records.append(HookRecord(module, inputs[0], output, self.whose(inputs[0])))
            passed_on = output if self.is_ours else output.clone()
        elif not self.is_ours and any(record.what is module for record in self.records[self.entered[module] :]):
            return None  # a layer of somebody's own, whose product was seen inside
        else:
            passed_on = self.use(module, output)
        if self.watch is not None:
            self.watch.pauses -= is_plain(module)
        return None if self.is_ours else passed_on

    def used(self, weight: AnyWeight, output: Tensor, operands: list[Tensor]) -> Tensor:
        """Record a product with a weight outside of a layer of torch's."""
        self.settle(operands)
        return self.use(weight, output)

    def use(self, weight: AnyWeight, output: Tensor) -> Tensor:
        self.records.append(HookRecord(weight, output, output))
        if self.is_ours:
            return output
        copy = output.clone()
        self.outputs[id(copy)] = copy, len(self.records) - 1
        return copy

    def pre_activations(self) -> list[tuple[Tensor, Tensor]]:
        """For each use of a weight: the pre-activation s (B, ...), and phi(s), or s where no activation follows."""
        return [(self.records[use.record].pre, self.records[use.record].after) for use in self.uses()]

    def uses(self) -> list[WeightUse]:
        """The uses of weights in their order.

        The activation of each is the one that gets its output; else the first before the next weight, a module before
        a function (in a recurrent cell, phi before the gates), that doesn't get another weight's output.
        """
        direct: dict[int, int] = {}
        following: dict[int, list[int]] = {}
        weight = None
        for i, record in enumerate(self.records):
            if not isinstance(record.what, FunctionalActivation) and record.what in self.weights:
                weight, following[i] = i, []
            elif record.weight is not None:
                direct.setdefault(record.weight, i)
            elif weight is not None:
                following[weight].append(i)
        found = []
        for weight, others in following.items():
            others.sort(key=lambda i: isinstance(self.records[i].what, FunctionalActivation))
            i = direct.get(weight, others[0] if others else weight)
            activation = None if i == weight else self.records[i].what
            found.append(WeightUse(self.records[weight].what, activation, i, weight))  # type: ignore[arg-type]
        return found

    def layers(
        self, uses: Sequence[WeightUse], outputs: Sequence[Node | None], data: Node | None = None
    ) -> list[ObservedLayer]:
        """The layers of these uses, in the order of their first use.

        outputs, data: in autograd's graph the weights' outputs, one per use, and the inputs. In somebody's model they
        tell which layers stand beside each other, and whether a weight that is used again and again reads a sequence
        or makes the network deep. In initbench's own models it always reads a sequence.
        """
        modules = [use.module for use in uses]
        if self.arranged_for != modules:
            nodes = [node for node in outputs if node is not None]
            graph = None if self.is_ours or len(nodes) < len(uses) else LayerGraph(nodes, data)
            self.arranged_for, self.arranged = modules, self.arrange(uses, graph)
            self.functions = any(map(is_functional, uses))
        return self.arranged

    def arrange(self, uses: Sequence[WeightUse], graph: LayerGraph | None) -> list[ObservedLayer]:
        """The layers of these uses; without a graph each module is one."""
        by_module: dict[AnyWeight, list[int]] = {}
        for i, use in enumerate(uses):
            by_module.setdefault(use.module, []).append(i)
        groups = [group for own in by_module.values() for group in ([own] if graph is None else graph.split(own))]
        groups.sort()
        over_time = [len(own) > 1 and (graph is None or graph.follows(own[1], own[0])) for own in groups]
        beside = [None] * len(groups) if graph is None else graph.beside(groups)
        found = []
        for number, own in enumerate(groups):
            use = uses[own[0]]
            facts = ActivationFacts.of(use.activation)
            name = self.name(number, use, beside[number])
            found.append(ObservedLayer(name, use.module, facts, own, over_time[number]))
        return found

    def name(self, number: int, use: WeightUse, beside: int | None) -> str:
        """`layers.3` in initbench's models; in others `layer 4 (net.6, Linear)`: its number, its module, its kind."""
        if self.is_ours:
            return self.layer_name(use.module, use.activation)
        module, kind = self.weights[use.module], "Parameter"
        if isinstance(use.module, nn.Module):
            module, kind = self.names[use.module], parametrize.type_before_parametrizations(use.module).__name__
        words = [module, kind, f"beside layer {beside + 1}" if beside is not None else ""]
        return f"layer {number + 1} ({', '.join(filter(None, words))})"

    def gives_maps(self, weight: AnyWeight) -> bool:
        """Whether a weight's outputs are (B, N, ...), as a convolution's, and not (B, ..., N)."""
        return not isinstance(weight, nn.Bilinear) and self.model.get_parameter(self.weights[weight]).ndim > 2

    def layer_name(self, weight: AnyWeight, activation: AnyActivation | None) -> str:
        """The innermost module that holds both (`layers.3`); the weight's own name where that is the whole model."""
        name = self.names[weight] if isinstance(weight, nn.Module) else weight.name
        block = name.rpartition(".")[0]
        within = isinstance(activation, Activation) and self.names[activation].startswith(block + ".")
        return block if block and within else name


def is_plain(module: nn.Module) -> bool:
    """Whether a module is torch's or initbench's, and not a variant of somebody's."""
    return parametrize.type_before_parametrizations(module).__module__.startswith(("torch.", "initbench."))


def is_functional(use: WeightUse) -> bool:
    """Whether functions have to be followed to see a use, or its activation."""
    of_torch = isinstance(use.module, nn.Module) and is_plain(use.module)
    return isinstance(use.activation, FunctionalActivation) or not of_torch


def own_weight(module: nn.Module) -> nn.Parameter | None:
    """The matrix, or kernel, of a module that has one.

    Of one that is computed, by weight or spectral normalization, the parameter that it is computed from. Asking
    computes nothing: a power iteration would go on.
    """
    own = dict(module.named_parameters(recurse=False))
    if parametrize.is_parametrized(module, "weight"):
        originals: Any = module.parametrizations["weight"]  # type: ignore[index]
        own |= {f"weight_{name}": value for name, value in originals.named_parameters(recurse=False)}
    names = ("weight", "weight_original", "weight_original0", "weight_original1", "weight_orig", "weight_v")
    weights = [own[name] for name in names if name in own and own[name].ndim >= 2]
    return max(weights, key=lambda weight: weight.numel(), default=None)


def is_as_written(model: nn.Module) -> bool:
    """Whether every module computes what its class says: none has a hook or a forward method of its own."""
    hooks = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    changed = (any(getattr(module, name) for name in hooks) or "forward" in vars(module) for module in model.modules())
    return not any(changed)
