"""From the configuration of a run to what theory computes with, or to the reason why it doesn't cover the run."""

import pkgutil
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from initbench.errors import InputError
from initbench.theory.activations import SHIPPED, Phi, activation, from_tensors
from initbench.theory.mean_field import MeanField, Profile, WideLayer, propagate
from initbench.theory.nominal import NotCovered, Scheme
from initbench.theory.residual import Growth, one_layer_branches, two_layer_branches

ACTIVATIONS = "initbench.parts.activations."
OF_NORMALIZATION = "it sets the variance itself, and theory here has none for it (batch: Yang et al. 2019)"
OF_MODELS = {  # why theory here doesn't cover a model
    "cnn": "zero padding and halved maps make positions differ; Xiao et al. 2018 treat circular padding",
    "conv1d": "zero padding and halved maps make positions differ; Xiao et al. 2018 treat circular padding",
    "resnet": "zero padding and halved maps make positions differ; Yang & Schoenholz 2017 treat dense layers",
    "logistic": "it has no hidden layer",
    "rnn": "it uses one weight matrix at every time step; Chen et al. 2018 have a theory",
    "lstm": "its gates multiply signals; Gilboa et al. 2019 have a theory",
    "gru": "its gates multiply signals; Chen et al. 2018 have a theory",
    "transformer": "attention and layer normalization mix positions, which theory here leaves out",
    "seq2seq": "attention and layer normalization mix positions, which theory here leaves out",
}


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
    model, regularize = config["model"], config["regularize"]
    scheme = Scheme.of(choices["init"], facts, config["init"])
    dropped = round(256 * (regularize.get("dropout") or 0)) / 256  # as masks are drawn
    act = phi_of(config["act"])
    return WideNetwork(
        act=act,
        layer=scheme.layer(act, config["width"], config["width"], 1 - dropped),
        depth=config["depth"],
        width=config["width"],
        q0=float(config["data"].get("scale") or 1) ** 2,
        alpha=model.get("branch_scale"),
        branch_layers=model.get("branch_layers") or 1,
        orthogonal=choices["init"] in ("orthogonal", "delta_orthogonal"),
    )


def check_covered(choices: Mapping[str, str], config: Mapping[str, Any]) -> None:
    """Raise NotCovered for a run with something that theory here leaves out."""
    model, norm = choices["model"], choices["norm"]
    if norm != "none":
        raise NotCovered(f"norm={norm}: {OF_NORMALIZATION}")
    if model not in ("mlp", "residual_mlp"):
        raise NotCovered(f"model={model}: {OF_MODELS.get(model, 'theory here knows mlp and residual_mlp only')}")
    if config["model"].get("tied"):
        raise NotCovered("model.tied: the layers share weights, and theory takes them for independent")
    if config["regularize"].get("dropconnect"):
        raise NotCovered("regularize.dropconnect: theory here has dropout of activations only")
    if config["model"].get("branch_scale") is not None and config["regularize"].get("dropout"):
        raise NotCovered("regularize.dropout: theory here has it for networks without residual branches only")
    if config["depth"] < 1:
        raise NotCovered("depth=0: there is no hidden layer")


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
    return from_tensors(function, **constants)
