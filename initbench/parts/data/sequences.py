"""Datasets of sequences: numbers over time, or tokens."""

import math
from pathlib import Path

import numpy as np
import torch

from initbench.errors import InputError, WrongValue
from initbench.parts.checks import choice, integer
from initbench.parts.data.dataset import Raw
from initbench.parts.data.images import digits
from initbench.parts.data.preparation import TEST_FRACTION
from initbench.parts.losses import REGRESSION, UNSCORED
from initbench.randomness import global_random_state_kept

ALICE = Path(__file__).with_name("alice.txt")  # alice29.txt of the Canterbury corpus, blank ends of lines cut


def digits_rows() -> Raw:
    """The 1797 digits as sequences, (8, 8): a row of 8 pixels, the channels, at each of 8 steps, top row first."""
    raw = digits()
    return Raw(raw.x.squeeze(1).mT.contiguous(), raw.y, classes=raw.classes)


def mnist1d() -> Raw:
    """4000 and 1000 one-dimensional caricatures of digits, (1, 40). Greydanus & Kobak 2024.

    Made by the authors' generator with its own seed, 42.
    """
    try:
        from mnist1d.data import get_dataset_args, make_dataset
    except ImportError as error:
        raise InputError("data=mnist1d needs the package mnist1d: pip install 'initbench[data]'") from error
    with global_random_state_kept():
        made = make_dataset(get_dataset_args())
    x, x_test = (torch.tensor(made[key], dtype=torch.float32).unsqueeze(1) for key in ("x", "x_test"))
    y, y_test = (torch.tensor(made[key], dtype=torch.int64) for key in ("y", "y_test"))
    return Raw(x, y, x_test, y_test, classes=10)


def adding(*, length: int = 100, samples: int = 20_000) -> Raw:
    """Add the two marked numbers of a sequence, (2, length). Hochreiter & Schmidhuber 1997, task 4.

    As Le, Jaitly & Hinton 2015, sec. 4.1, have it: channel 0 holds numbers from U(0, 1), channel 1 is 1 at two
    steps and 0 at the others, y is the sum of the marked numbers. Predicting always 1 costs the sum's variance, 1/6.
    """
    integer("data.length", length, "[2, inf)")
    integer("data.samples", samples, "[2, inf)")
    generator = torch.Generator().manual_seed(0)
    values = torch.rand(samples, length, generator=generator)
    one = torch.randint(length, (samples, 1), generator=generator)
    other = (one + torch.randint(1, length, (samples, 1), generator=generator)) % length
    steps = torch.cat([one, other], 1)
    marks = torch.zeros_like(values).scatter_(1, steps, 1.0)
    return Raw(torch.stack([values, marks], 1), values.gather(1, steps).sum(1), classes=1, objective=REGRESSION)


COPIED = 10  # symbols to remember
BLANK, DELIMITER = 8, 9  # after the 8 symbols


def copy(*, length: int = 100, scored: str = "all", samples: int = 10_000) -> Raw:
    """Repeat 10 symbols after a delay, tokens (length + 20,). Arjovsky, Shah & Bengio 2016, sec. 4.1.

    The input is 10 of 8 symbols, `length` - 1 blanks, a delimiter and 10 blanks; the labels are `length` + 10 blanks
    and the 10 symbols. Blanks and then a guess, which takes no memory, cost 10 ln 8/(length + 20). `scored`: `all`
    the positions, as in the paper, or `recall`, the last 10 alone: there a guess costs ln 8 and 1 in 8 is right.
    """
    integer("data.length", length, "[1, inf)")
    integer("data.samples", samples, "[2, inf)")
    choice("data.scored", scored, ("all", "recall"))
    symbols = torch.randint(BLANK, (samples, COPIED), generator=torch.Generator().manual_seed(0))
    x = torch.full((samples, length + 2 * COPIED), BLANK)
    x[:, :COPIED] = symbols
    x[:, COPIED + length - 1] = DELIMITER
    y = torch.full_like(x, BLANK if scored == "all" else UNSCORED)
    y[:, -COPIED:] = symbols
    return Raw(x, y, classes=DELIMITER + 1, vocabulary=DELIMITER + 1)


def reverse(*, length: int = 10, symbols: int = 10, samples: int = 10_000) -> Raw:
    """Reverse a sequence, a pair of tokens (2, length): a small problem for an encoder and a decoder.

    Row 0 is the source; row 1 is what the decoder reads, a start token (the number `symbols`) and then the labels
    but for the last. The labels are the source reversed. A guess costs ln `symbols`.
    """
    integer("data.length", length, "[1, inf)")
    integer("data.symbols", symbols, "[2, inf)")
    integer("data.samples", samples, "[2, inf)")
    source = torch.randint(symbols, (samples, length), generator=torch.Generator().manual_seed(0))
    y = source.flip(1)
    start = torch.full((samples, 1), symbols)
    x = torch.stack([source, torch.cat([start, y[:, :-1]], 1)], 1)
    return Raw(x, y, classes=symbols + 1, vocabulary=symbols + 1)


def text(*, path: str | None = None, length: int = 64) -> Raw:
    """Predict the next character of a text, tokens (length,): windows of any UTF-8 file.

    The windows share no character: each holds `length` + 1 of them, x is all but the last and y all but the first.
    The last 20 % of them are the test part. The vocabulary is the file's characters in the order of their code points.
    Without a path it is Alice's Adventures in Wonderland (Carroll 1865).
    """
    integer("data.length", length, "[1, inf)")
    if path is not None and not isinstance(path, str):
        raise WrongValue("data.path", path, f"data.path must be a file's name, got {path!r}")
    file = ALICE if path is None else Path(path).expanduser()
    try:
        characters = file.read_text(encoding="utf-8-sig")
    except (OSError, ValueError) as error:
        raise WrongValue("data.path", path, f"data.path={file} can't be read as UTF-8 text: {error}") from error
    points = np.frombuffer(characters.encode("utf-32-le"), np.uint32)
    known, tokens = np.unique(points, return_inverse=True)
    count = len(tokens) // (length + 1)
    if count < 2:
        raise InputError(
            f"data.path={file} has {len(tokens)} characters; two windows of data.length={length} need more"
        )
    windows = torch.from_numpy(tokens[: count * (length + 1)].astype(np.int64)).view(count, length + 1)
    x, y = windows[:, :-1].contiguous(), windows[:, 1:].contiguous()
    train = count - math.ceil(TEST_FRACTION * count)
    return Raw(x[:train], y[:train], x[train:], y[train:], classes=len(known), vocabulary=len(known))
