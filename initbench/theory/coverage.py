"""What theory here leaves out, and why."""

from collections.abc import Mapping
from typing import Any

from initbench.errors import InputError

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


class NotCovered(InputError):
    """Theory says nothing here; the message is the reason."""


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
    if config["regularize"].get("alpha_dropout"):
        raise NotCovered("regularize.alpha_dropout: theory here has dropout alone, which sets activations to 0")
    if config["model"].get("branch_scale") is not None and config["regularize"].get("dropout"):
        raise NotCovered("regularize.dropout: theory here has it for networks without residual branches only")
    if config["depth"] < 1:
        raise NotCovered("depth=0: there is no hidden layer")
