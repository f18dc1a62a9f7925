"""Pre-activations of a module's layers, recorded by forward hooks.

A layer is a module that owns a weight matrix or kernel, together with the `Activation` that is called next, if one is.
Initializers that look at data and the engine's metrics find layers in the same way.
"""

from collections.abc import Iterator
from typing import NamedTuple

from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from initbench.parts.activations import Activation


class HookRecord(NamedTuple):
    """One call of a weight's or an activation's module: the tensors before and after phi (equal for a weight)."""

    module: nn.Module
    pre: Tensor
    after: Tensor


class LayerHooks:
    """Hooks on the layers of a module; `records` holds the calls of the last forward pass in which they recorded."""

    def __init__(self, model: nn.Module):
        self.hooks: list[RemovableHandle] = []
        self.records: list[HookRecord] = []
        self.names = {module: name for name, module in model.named_modules()}
        names = {parameter: name for name, parameter in model.named_parameters()}  # a tied weight has one name
        self.weights = {module: names[weight] for module in self.names if (weight := own_weight(module)) is not None}

    @property
    def recording(self) -> bool:
        """Whether the hooks are attached. Detached, a model may compute in another way, and faster."""
        return bool(self.hooks)

    @recording.setter
    def recording(self, wanted: bool) -> None:
        if wanted == self.recording:
            return
        for hook in self.hooks:
            hook.remove()
        self.hooks = [
            module.register_forward_hook(self.record)
            for module in self.names
            if wanted and (isinstance(module, Activation) or module in self.weights)
        ]

    def record(self, module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        pre = inputs[0] if isinstance(module, Activation) else output
        self.records.append(HookRecord(module, pre, output))

    def pre_activations(self) -> list[tuple[Tensor, Tensor]]:
        """For each use of a weight: the pre-activation s (B, ...), and phi(s), or s where no activation follows."""
        return [(self.records[i].pre, self.records[i].after) for *_, i in self.uses()]

    def uses(self) -> Iterator[tuple[nn.Module, nn.Module | None, int]]:
        """For each use of a weight: its module, the activation called before the next weight (or None), and the index
        of the record that holds the pre-activation."""
        weight, at = None, 0
        for i, record in enumerate(self.records):
            if not isinstance(record.module, Activation):
                if weight is not None:
                    yield weight, None, at
                weight, at = record.module, i
            elif weight is not None:
                yield weight, record.module, i
                weight = None
        if weight is not None:
            yield weight, None, at

    def layer_name(self, weight: nn.Module, activation: nn.Module | None) -> str:
        """The innermost module that holds both (`layers.3`); the weight's own name where that is the whole model."""
        name = self.names[weight]
        block = name.rpartition(".")[0]
        return block if activation and block and self.names[activation].startswith(block + ".") else name


def own_weight(module: nn.Module) -> nn.Parameter | None:
    """The matrix, or kernel, of a module that has one."""
    weight = getattr(module, "weight", None)
    return weight if isinstance(weight, nn.Parameter) and weight.ndim >= 2 else None


def is_as_written(model: nn.Module) -> bool:
    """Whether every module computes what its class says: none has a hook or a forward method of its own."""
    hooks = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    changed = (any(getattr(module, name) for name in hooks) or "forward" in vars(module) for module in model.modules())
    return not any(changed)
