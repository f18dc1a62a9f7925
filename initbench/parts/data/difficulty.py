"""How difficult training examples are: the loss of a reference classifier, or a user's own scores."""

import importlib
import warnings
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from initbench.errors import DoesNotFit, InputError, WrongValue

KEY = "curriculum.difficulty"
LOGISTIC = "logistic"
FILES = (".npy", ".csv", ".txt")
DIGITS = 6  # of a loss: its last digits depend on the machine, and where they are equal the position decides


def logistic_losses(x: Tensor, y: Tensor) -> np.ndarray:
    """The cross-entropy (n,) of a logistic regression, trained on the same inputs (n, ...) and labels (n,).

    scikit-learn's, with its default penalty. The transfer scores of Hacohen & Weinshall 2019 are of a network that was
    trained on other data; this is their "self-taught" scoring with a model that needs nothing else.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression  # takes a second to import

    rows, labels = x.flatten(1).numpy(), y.numpy()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # a good ranking needs no exact optimum
        log_p = LogisticRegression(max_iter=200).fit(rows, labels).predict_log_proba(rows)
    own = -log_p[np.arange(len(labels)), np.searchsorted(np.unique(labels), labels)]
    return np.array([float(f"{loss:.{DIGITS}g}") for loss in own])


def check_difficulty(difficulty: str, x: Tensor, y: Tensor) -> None:
    """DoesNotFit where these examples have no such difficulty; what is quick to find out."""
    if difficulty == LOGISTIC:
        if y.ndim != 1 or y.is_floating_point() or not x.is_floating_point():
            raise DoesNotFit(
                f"{KEY}=logistic needs inputs that are numbers and one label per example; give a function's path"
            )
        if len(y.unique()) < 2:
            raise DoesNotFit(f"{KEY}=logistic needs two classes, and all training examples are of one")
    elif is_file(difficulty):
        own_scores(difficulty, x, y)
    else:
        own_function(difficulty)


def own_scores(difficulty: str, x: Tensor, y: Tensor) -> np.ndarray:
    """A user's scores (n,), more is more difficult: from a file, or of a function of the training part (x, y)."""
    scores = read_scores(difficulty) if is_file(difficulty) else own_function(difficulty)(x, y)
    scores = np.asarray(scores, np.float64)
    if scores.shape != (len(y),):
        has = f"shape {scores.shape}" if scores.ndim != 1 else f"{len(scores):,} scores"
        raise DoesNotFit(f"{KEY}={difficulty}: it has {has}, and the training part {len(y):,} examples")
    if not np.isfinite(scores).all():
        raise InputError(f"{KEY}={difficulty}: {int((~np.isfinite(scores)).sum()):,} scores are NaN or infinite")
    return scores


def is_file(difficulty: str) -> bool:
    return Path(difficulty).suffix in FILES


def read_scores(file: str) -> np.ndarray:
    """The numbers of a file; InputError where it can't be read. Nothing in it is executed."""
    try:
        return np.load(file, allow_pickle=False) if file.endswith(".npy") else np.loadtxt(file, delimiter=",")
    except (OSError, ValueError, EOFError) as error:
        raise InputError(f"{KEY}={file}: can't be read: {' '.join(str(error).split())}") from error


def own_function(path: str):
    """A function by its dotted path; InputError where there is none."""
    module, _, name = path.rpartition(".")
    try:
        found = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError, TypeError) as error:
        there = f"logistic, a path such as mypackage.scores, or a file ({', '.join(FILES)})"
        said = f"{KEY}={path}: {' '.join(str(error).split())}; it must be {there}"
        raise WrongValue(KEY, path, said) from error
    if not callable(found):
        raise InputError(f"{KEY}={path}: it is no function")
    return found


def ranking(scores: np.ndarray, order: str) -> Tensor:
    """The positions (n,) of the examples by their scores, the first in `order` first; equal ones as they stand."""
    return torch.from_numpy(np.argsort(scores if order == "easy_first" else -scores, kind="stable"))
