"""From the configuration of a run to what theory computes with, or to the reason why it doesn't cover the run."""

import pkgutil
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from initbench.errors import InputError
from initbench.theory.activations import SHIPPED, Phi, activation, from_tensors
from initbench.theory.coverage import NotCovered, check_covered
from initbench.theory.mean_field import MeanField, Profile, WideLayer, propagate
from initbench.theory.nominal import Scheme
from initbench.theory.residual import Growth, one_layer_branches, two_layer_branches

ACTIVATIONS = "initbench.parts.activations."


@dataclass(frozen=True)
class WideNetwork:
    """A network of `depth` hidden layers of `width` units, as theory sees it: all layers alike, the first too."""

    act: Phi  # the activation; that of `layer` is shifted by a constant bias
    layer: WideLayer
    depth: int
    width: int
    q0: float  # mean square of the inputs
    alpha: float | None = None  # scale of the residual branches; None without
    branch_layers: int = 1  # weight matrices per residual branch
    orthogonal: bool = False  # as far as singular values are concerned

    @property
    def mean_field(self) -> MeanField:
        """The fixed points; NotCovered for residual networks, whose variance has none."""
        if self.alpha is not None:
            raise NotCovered("residual branches add variance in every block, so there is no fixed point")
        return MeanField(self.layer.phi, self.layer.sigma_w, self.layer.sigma_b, self.layer.keep, self.q0)

    def profile(self, c0: float | None = None) -> Profile:
        """q, and for inputs of correlation c0 also c, of every layer of a plain network."""
        return propagate([self.layer] * self.depth, self.q0, c0)

    @property
    def growth(self) -> Growth | None:
        """What residual branches add; None without them."""
        if self.alpha is None:
            return None
        branches = one_layer_branches if self.branch_layers == 1 else two_layer_branches
        return branches(self.layer, self.alpha, (self.depth - 1) // self.branch_layers, self.q0)


def wide_network(choices: Mapping[str, str], config: Mapping[str, Any], facts: Mapping[str, str]) -> WideNetwork:
    """What theory computes for a run. Raises NotCovered with the reason, InputError where the activation is wrong.

    choices: the name of each group's choice; config: the run's configuration; facts: of the header of the
    initializer's YAML.
    """
    check_covered(choices, config)
    if isinstance(config["width"], list):
        raise NotCovered(
            f"width={config['width']}: layers of different widths have no common fixed point; `initbench probe` has "
            "theory layer by layer"
        )
    model, dropout = config["model"], config["regularize"].get("dropout") or 0
    scheme = Scheme.of(choices["init"], facts, config["init"])
    if not 0 <= dropout < 1:
        raise InputError(f"regularize.dropout must be a number in [0, 1), got {dropout!r}")
    alpha = model.get("branch_scale")
    if not isinstance(alpha, int | float | None):
        raise InputError(f"model.branch_scale must be a number, got {alpha!r}")
    dropped = round(256 * dropout) / 256  # as masks are drawn
    act = phi_of(config["act"])
    return WideNetwork(
        act=act,
        layer=scheme.layer(act, config["width"], config["width"], 1 - dropped),
        depth=config["depth"],
        width=config["width"],
        q0=float(config["data"].get("scale") or 1) ** 2,
        alpha=alpha,
        branch_layers=model.get("branch_layers") or 1,
        orthogonal=choices["init"] in ("orthogonal", "delta_orthogonal"),
    )


def phi_of(section: Mapping[str, Any]) -> Phi:
    """The activation of an `act` section. One that has no numpy version here, as a user's own, needs torch."""
    path = str(section["_target_"])
    constants = {name: value for name, value in section.items() if name != "_target_"}
    if path.startswith(ACTIVATIONS) and path.removeprefix(ACTIVATIONS) in SHIPPED:
        return activation(path.removeprefix(ACTIVATIONS), **constants)
    try:
        function = pkgutil.resolve_name(path)
    except Exception as error:  # whatever importing somebody's module raises
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"act={path} can't be imported: {reason}") from error
    if not callable(function):
        raise InputError(f"act={path} is no function")
    phi = from_tensors(function, **constants)
    if jumps(phi):
        raise NotCovered(f"act={path} jumps, or its gradient isn't that of its values; theory needs what is continuous")
    return phi


def jumps(phi: Phi, reach: float = 8.0) -> bool:
    """Whether the slopes do not add up to the values, over -reach..reach."""
    x = np.linspace(-reach, reach, 1601)
    values, slopes = phi.function(x)
    summed = np.concatenate(([0.0], np.cumsum((slopes[1:] + slopes[:-1]) / 2 * np.diff(x))))
    return bool(np.abs(values - values[0] - summed).max() > 0.05 * np.ptp(values))
