"""Hidden layers: modules by name, called one after the other."""

from collections import OrderedDict

from torch import nn


class Layer(nn.Sequential):
    """Modules by name, in the order in which they are called; those that are None are left out."""

    def __init__(self, **modules: nn.Module | None):
        super().__init__(OrderedDict((name, module) for name, module in modules.items() if module is not None))
