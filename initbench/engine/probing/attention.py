"""How widely the heads of a transformer look: the entropy of their attention."""

from typing import Any

import torch
from torch import Tensor, nn

from initbench.engine.probing.single import SingleRuns
from initbench.parts.models.attention import Attention


def attention_entropies(runs: SingleRuns, x: Tensor) -> dict[str, Tensor]:
    """Of each attention by its name, (R,): the mean entropy of a position's weights over that of equal weights.

    1: a position looks at all that it may look at alike; 0: at one. x (n, ...) is shared by all runs; the mean is over
    examples, heads and positions that may look at more than one.
    """
    found: dict[str, list[Tensor]] = {}
    names: dict[nn.Module, str] = {
        module.softmax: name for name, module in runs.model.named_modules() if isinstance(module, Attention)
    }

    def record(module: nn.Module, inputs: Any, weights: Tensor) -> None:
        found.setdefault(names[module], []).append(entropy(weights, inputs[0]))

    handles = [module.register_forward_hook(record) for module in names]
    try:
        with torch.no_grad():
            for run in range(runs.state.runs):
                runs.outputs(run, runs.parameters(run), x)
    finally:
        for handle in handles:
            handle.remove()
    return {name: torch.stack(each) for name, each in found.items()}


def entropy(weights: Tensor, scores: Tensor) -> Tensor:
    """The mean over all rows of -sum p ln p / ln K, of weights (..., S) whose K scores are not masked by -inf."""
    allowed = (scores > -torch.inf).sum(-1)
    share = torch.special.entr(weights).sum(-1, dtype=torch.float64) / allowed.clamp(min=2).log()
    return share[allowed > 1].mean()
