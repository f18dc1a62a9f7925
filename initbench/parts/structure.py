"""What a model must have, and what an initializer must leave as it is: its parameters, buffers and modules.

Runs of one stack share a model's structure, so one that is changed in a single run would change its neighbours too.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from initbench.errors import InputError

Structure = dict[str, tuple[str, ...]]  # the kind and what else must stay the same of a part, by its name


def check_model(name: str, model: object) -> None:
    """Raise InputError where what `name` has made is no model, or not all of it can be trained."""
    if not isinstance(model, nn.Module):
        raise InputError(f"model: {name} gives {type(model).__name__}, not a torch.nn.Module")
    if not any(True for _ in model.parameters()):
        raise InputError(f"model: {name} has no parameter to train")
    for frozen in frozen_parameters(model):
        reason = "initbench trains all parameters: make it a buffer"
        raise InputError(f"model: {name} stops the training of {frozen} (requires_grad); {reason}")


def structure(model: nn.Module) -> Structure:
    """The parts of a model by their names: kinds, and shapes and number types of tensors."""
    found: Structure = {name: ("module", type(module).__name__) for name, module in model.named_modules()}
    for kind, tensors in (("parameter", model.named_parameters()), ("buffer", model.named_buffers())):
        found |= {name: (kind, _described(tensor)) for name, tensor in tensors}
    return found


def _described(tensor: Tensor) -> str:
    shape = ", ".join(map(str, tensor.shape))
    return f"({shape}) of {str(tensor.dtype).removeprefix('torch.')}"


def check_structure(scheme: str, before: Structure, model: nn.Module) -> None:
    """Raise InputError where an initializer, named `scheme`, has changed a model's structure or frozen a parameter."""
    after = structure(model)
    for name in [*before, *after]:
        was, now = before.get(name), after.get(name)
        if was == now:
            continue
        if was is None or now is None:
            what = f"adds the {after[name][0]} {name}" if was is None else f"removes the {before[name][0]} {name}"
        else:
            what = f"makes the {was[0]} {name}, {was[1]}, another: {now[0]} {now[1]}"
        raise InputError(f"init: {scheme} {what}; an initializer writes values into the parameters that are there")
    for frozen in frozen_parameters(model):
        reason = "initbench trains all parameters"
        raise InputError(f"init: {scheme} stops the training of {frozen} (requires_grad); {reason}")


def frozen_parameters(model: nn.Module) -> list[str]:
    """The parameters that ask for no gradient."""
    return [name for name, parameter in model.named_parameters() if not parameter.requires_grad]


def mark_tied_embeddings(model: nn.Module, forward: Callable[[], Tensor]) -> None:
    """Set `tied` on each embedding whose matrix the model also multiplies by, as in `h @ self.embedding.weight.T`.

    Initializers treat such a matrix as the head's. A head that is a module and shares the parameter needs no mark.
    Found in the graph of one forward pass of the model, in evaluation mode.
    """
    embeddings = [module for module in model.modules() if isinstance(module, nn.Embedding)]
    if not embeddings:
        return
    modes = {module: module.training for module in model.modules()}
    model.eval()
    with torch.enable_grad():
        uses = uses_of_parameters(forward())
    for module, training in modes.items():
        module.training = training
    for embedding in embeddings:
        names = uses.get(embedding.weight, set())
        looked_up = {name for name in names if name.startswith("Embedding")}
        embedding.tied = bool(looked_up) and looked_up != names  # type: ignore[assignment]


def uses_of_parameters(outputs: Tensor) -> dict[Tensor, set[str]]:
    """The names of the operations, in autograd's graph of some outputs, that each parameter goes into."""
    found: dict[Tensor, set[str]] = {}
    seen, left = set(), [outputs.grad_fn]
    while left:
        node = left.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        for before, _ in node.next_functions:
            if (parameter := getattr(before, "variable", None)) is not None:
                found.setdefault(parameter, set()).add(node.name())
            else:
                left.append(before)
    return found
