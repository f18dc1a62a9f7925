"""The shipped models as functions of their spec's fields: `MLP((2, 3), 4, depth=2, width=5, act=act, tied=True)`."""

from collections.abc import Callable
from dataclasses import fields
from typing import Any

from torch import nn

from agreement import act
from initbench.parts import models
from initbench.parts.models import ModelSpec

OPTIONAL = ("vocabulary", "positions", "widths", "norm", "dropout", "dropconnect", "alpha_dropout")


def from_fields(model: Callable[..., nn.Module]) -> Callable[..., Any]:
    """A function that makes a model of its spec's fields, by position those that it supports, and of its own keys."""
    every = [field.name for field in fields(ModelSpec)]
    supported = [name for name in every if name not in OPTIONAL or name in model.supports]  # type: ignore[attr-defined]

    def make(*args: Any, **keywords: Any) -> nn.Module:
        given = {"width": 1, "act": act} | dict(zip(supported, args, strict=False))  # logistic regression needs neither
        given |= {key: keywords[key] for key in keywords if key in every}
        return model(ModelSpec(**given), **{key: keywords[key] for key in keywords if key not in every})

    return make


CNN, Conv1D, ResNet = from_fields(models.CNN), from_fields(models.Conv1D), from_fields(models.ResNet)
RNN, LSTM, GRU = from_fields(models.RNN), from_fields(models.LSTM), from_fields(models.GRU)
MLP, Logistic = from_fields(models.MLP), from_fields(models.Logistic)
Transformer, Seq2Seq = from_fields(models.Transformer), from_fields(models.Seq2Seq)
