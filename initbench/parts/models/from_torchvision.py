"""torchvision's classifiers, with as many outputs as the data have classes."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from initbench.errors import DoesNotFit, WrongValue, nearest
from initbench.parts.checks import integer
from initbench.parts.dropout import Dropout
from initbench.parts.torchvision_package import torchvision_module

COLOURS = 3
EXTRAS = {  # what some of them need besides
    "googlenet": {"aux_logits": False, "init_weights": False},
    "inception_v3": {"aux_logits": False, "init_weights": False},
}


class Torchvision(nn.Module):
    """A classifier of `torchvision.models`, (B, 1 or 3, H, W) to logits (B, classes), built with that many outputs.

    A gray image is given three times, as red, green and blue, so that a first convolution trained on colours fits.
    `size`: images are first scaled to size x size, bilinearly. Dropout draws each run's own masks; stochastic depth is
    left out. depth, width, act and norm are the network's own. Raises DoesNotFit for images that it doesn't take.
    """

    supports = ()
    names_begin = "net."  # what torchvision's names of parameters begin with here

    def __init__(self, shape: Sequence[int], classes: int, *, name: str = "resnet18", size: int | None = None):
        super().__init__()
        if len(shape) != 3 or shape[0] not in (1, COLOURS):
            examples = " x ".join(map(str, shape))
            raise DoesNotFit(f"model=torchvision takes images of 1 or {COLOURS} channels, not examples of {examples}")
        models = torchvision_module("models", "model=torchvision needs")
        names = models.list_models(module=models)
        if name not in names:
            raise WrongValue("model.name", name, f"torchvision has no classifier {name}{nearest(str(name), names)}")
        self.name, self.size = name, size if size is None else integer("model.size", size, "[1, inf)")
        extras = self._extras(shape)
        try:
            with torch.device("meta"):  # without memory or arithmetic
                self.net = models.get_model(name, weights=None, num_classes=classes, **extras).eval()
                self(torch.zeros(2, *shape))
        except (RuntimeError, AssertionError, ValueError) as error:
            side = self.size or " x ".join(map(str, shape[1:]))
            reason = " ".join(str(error).split())[:80]
            raise DoesNotFit(
                f"model=torchvision: {name} takes no images of {side} ({reason}); model.size=224 scales them up"
            ) from error
        self.net = models.get_model(name, weights=None, num_classes=classes, **extras)
        _replace_noise(self.net)

    def _extras(self, shape: Sequence[int]) -> dict:
        """Keyword arguments of some builders; transformers are built for one size of images."""
        side = self.size or shape[1]
        of_size = {"vit_": {"image_size": side}, "maxvit_": {"input_size": (side, side)}}
        return EXTRAS.get(self.name, {}) | next((v for k, v in of_size.items() if self.name.startswith(k)), {})

    def forward(self, x: Tensor) -> Tensor:
        if self.size is not None:
            x = F.interpolate(x, size=(self.size, self.size), mode="bilinear", align_corners=False)
        return self.net(x.expand(-1, COLOURS, -1, -1))


def _replace_noise(net: nn.Module) -> None:
    """Dropout by one that draws each run's own masks; stochastic depth by nothing."""
    for module in list(net.modules()):
        for name, child in module.named_children():
            if type(child) is nn.Dropout:
                setattr(module, name, Dropout(child.p) if child.p else nn.Identity())
            elif type(child).__name__ == "StochasticDepth":
                setattr(module, name, nn.Identity())
