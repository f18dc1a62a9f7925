"""Data: datasets as whole tensors in memory, split and standardized.

To add one, write a function `f(**parameters) -> Raw` here and name it in `conf/data/NAME.yaml`, together with
the keys that all data share, those of `prepare`. A loader returns natural values and shapes. A missing
folder, package or network raises InputError with one line that says what to do.

An example x is an image (C, H, W), a sequence (C, T) of channels by time or a vector (N,), in float32; or tokens (T,),
or a pair of token sequences (2, T), in int64: a source, and what a decoder reads. Its y is a label, T labels or a
number.
"""

import contextlib
import gzip
import importlib.util
import math
import random
import sys
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from initbench.errors import DoesNotFit, InputError, nearest
from initbench.parts.checks import integer, number
from initbench.parts.losses import CLASSIFICATION, REGRESSION, UNSCORED, Objective

DEBIAN_FASHION_MNIST = Path("/usr/share/datasets/fashion-mnist")  # of its package dataset-fashion-mnist
ALICE = Path(__file__).with_name("alice.txt")  # alice29.txt of the Canterbury corpus, blank ends of lines cut

Part = tuple[Tensor, Tensor]  # x (n, ...), y (n,) or (n, T)


TEST_FRACTION = 0.2  # of a dataset that comes without a test part


@dataclass(frozen=True)
class Raw:
    """A dataset as found, with a test part if it has one.

    x (n, ...) holds float32 numbers or, with a `vocabulary`, int64 tokens below it. For `CLASSIFICATION` y holds int64
    labels below `classes`, one per example (n,) or one per position (n, T), where `UNSCORED` counts nowhere. For
    `REGRESSION` y (n,) is float32, and `classes` is 1.
    """

    x: Tensor
    y: Tensor
    x_test: Tensor | None = None
    y_test: Tensor | None = None
    classes: int = field(kw_only=True)
    vocabulary: int | None = field(default=None, kw_only=True)
    objective: Objective = field(default=CLASSIFICATION, kw_only=True)

    def __post_init__(self):
        for x, y in ((self.x, self.y), (self.x_test, self.y_test)):
            if x is None or y is None:
                continue
            self._check_inputs(x)
            if self.objective == REGRESSION:
                self._check_numbers(x, y)
            else:
                self._check_labels(x, y)

    def _check_inputs(self, x: Tensor):
        if self.vocabulary is None and x.dtype != torch.float32:
            raise InputError("data must have x in float32, or tokens in int64 and a vocabulary")
        if self.vocabulary is None and not x.isfinite().all():
            raise InputError(f"data holds {int((~x.isfinite()).sum()):,} values that are NaN or infinite")
        if self.vocabulary is not None:
            if x.dtype != torch.int64:
                raise InputError("data with a vocabulary must have tokens x in int64")
            if x.numel() and not 0 <= x.min() <= x.max() < self.vocabulary:
                raise InputError(f"data must have tokens from 0 to {self.vocabulary - 1}")

    def _check_numbers(self, x: Tensor, y: Tensor):
        if y.dtype != torch.float32 or y.shape != x.shape[:1] or self.classes != 1:
            raise InputError("data of numbers must have one y in float32 for each example, and 1 for classes")
        if not y.isfinite().all():
            raise InputError("data of numbers must have a finite y for each example")

    def _check_labels(self, x: Tensor, y: Tensor):
        if y.dtype != torch.int64 or y.shape not in (x.shape[:1], x.shape[:1] + x.shape[-1:]):
            raise InputError("data must have labels y in int64, one label y for each example or each of its positions")
        scored = y if y.ndim == 1 else y[y != UNSCORED]
        if len(scored) and not 0 <= scored.min() <= scored.max() < self.classes:
            raise InputError(f"data must have labels from 0 to {self.classes - 1}")
        if y.ndim == 2 and not (y != UNSCORED).any(1).all():
            raise InputError("data must have a label that is scored in each example")


@dataclass(frozen=True)
class Dataset:
    """A dataset to train on: x (n, *shape) and y (n,) or (n, T) of three parts; validation may have 0 rows."""

    x_train: Tensor
    y_train: Tensor
    x_val: Tensor
    y_val: Tensor
    x_test: Tensor
    y_test: Tensor
    classes: int  # 1 for numbers
    input_mean: float | None  # of all training inputs before they were standardized; tokens have none
    input_std: float | None
    vocabulary: int | None = field(default=None, kw_only=True)  # x are tokens below it; None: x are numbers
    objective: Objective = field(default=CLASSIFICATION, kw_only=True)

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one example."""
        return tuple(self.x_train.shape[1:])

    @property
    def positions(self) -> int | None:
        """How many labels an example has, T, where it has one a position; else None."""
        return self.y_train.shape[1] if self.y_train.ndim == 2 else None

    @property
    def constant_loss(self) -> float:
        """Training loss of the best prediction that is the same for every example."""
        return self.objective.constant_loss(self.y_train)


# From a dataset as it is found to one to train on.


def prepare(
    raw: Raw,
    *,
    standardize: str = "global",
    val_fraction: float = 0.0,
    split_seed: int = 0,
    train_size: int | None = None,
    scale: float | None = None,
    spread: float | None = None,
) -> Dataset:
    """Splits a dataset and standardizes it with the training part's numbers.

    Where there is no test part, 20 % become one; then `val_fraction` of the training part becomes the
    validation part; then `train_size` of its examples are kept. Which ones depends on `split_seed` only. Where
    an example has one label, every part has every class in its share.
    `standardize`: `global` takes one mean and deviation over all inputs, `feature` one for each entry of x
    (an entry that never varies becomes 0), `none` leaves the values as they are: the only way with tokens.

    What schemes assume, inputs of unit variance, is spoilt on purpose by `scale`, which all inputs are multiplied by,
    and `spread`: each entry of x by a factor of its own, 10^u with u ~ U(-spread, spread), by `split_seed` too.
    """
    if standardize not in ("global", "feature", "none"):
        choices = nearest(str(standardize), ("global", "feature", "none"))
        raise InputError(f"data.standardize={standardize} is unknown{choices}")
    if raw.vocabulary is not None and standardize != "none":
        raise DoesNotFit(f"data.standardize={standardize}: tokens are no numbers; set data.standardize=none")
    number("data.val_fraction", val_fraction, "[0, 1)")
    integer("data.split_seed", split_seed, f"[0, {2**32 - 1}]")

    train, val = (raw.x, raw.y), (raw.x[:0], raw.y[:0])
    if raw.x_test is None or raw.y_test is None:
        train, test = _split(train, len(raw.y) - math.ceil(TEST_FRACTION * len(raw.y)), split_seed)
    else:
        test = raw.x_test, raw.y_test
    if val_fraction > 0:
        train, val = _split(train, len(train[1]) - math.ceil(val_fraction * len(train[1])), split_seed)
    examples = len(train[1])
    if train_size is not None and integer("data.train_size", train_size, f"[1, {examples}]") < examples:
        train, _ = _split(train, train_size, split_seed)

    if raw.vocabulary is None:
        (train_x, val_x, test_x), mean, std = _standardized([train[0], val[0], test[0]], standardize)
    else:
        (train_x, val_x, test_x), mean, std = (train[0], val[0], test[0]), None, None
    if scale is not None or spread is not None:
        factor = _spoiled(train_x, scale, spread, split_seed)
        train_x, val_x, test_x = train_x * factor, val_x * factor, test_x * factor
    parts = train_x, train[1], val_x, val[1], test_x, test[1]
    return Dataset(*parts, raw.classes, mean, std, vocabulary=raw.vocabulary, objective=raw.objective)


def _standardized(parts: list[Tensor], way: str) -> tuple[list[Tensor], float, float]:
    """The inputs of all parts by the numbers of the first; the mean and deviation of that one as it was."""
    input_mean, input_std = _mean_and_std(parts[0], axis=None)
    if way == "none":
        mean, std = torch.tensor(0.0), torch.tensor(1.0)
    elif way == "global":
        mean, std = input_mean, input_std
    else:
        mean, std = _mean_and_std(parts[0], axis=0)
    scale = torch.where(std > 0, std, 1.0)
    return [(x - mean) / scale for x in parts], float(input_mean), float(input_std)


def _spoiled(x: Tensor, scale: float | None, spread: float | None, seed: int) -> Tensor:
    """What inputs (n, ...) are multiplied by, one number for each entry of an example."""
    if not x.is_floating_point():
        raise DoesNotFit("data.scale and data.spread: tokens are no numbers")
    factor = torch.ones(x.shape[1:])
    if spread is not None:
        exponents = np.random.default_rng([seed, 1]).uniform(-1, 1, x.shape[1:])
        factor *= torch.from_numpy(10 ** (number("data.spread", spread, "(0, 6]") * exponents)).float()
    return factor * (1 if scale is None else number("data.scale", scale, "(0, inf)"))


def _split(part: Part, first: int, seed: int) -> tuple[Part, Part]:
    """A part of `first` examples and the rest; every class in its share in both where an example has one label."""
    x, y = part
    generator = np.random.default_rng(seed)
    if first < 1:
        raise InputError(f"data: {len(y)} examples are too few to be split")
    chosen = np.zeros(len(y), dtype=bool)
    if y.ndim == 1 and not y.is_floating_point():
        chosen[_of_each_class(y.numpy(), first, generator)] = True
    else:
        chosen[generator.permutation(len(y))[:first]] = True
    indices = generator.permutation(len(y))
    ours, theirs = indices[chosen[indices]], indices[~chosen[indices]]
    return (x[ours], y[ours]), (x[theirs], y[theirs])


def _of_each_class(y: np.ndarray, first: int, generator: np.random.Generator) -> np.ndarray:
    """Indices of `first` examples with every class in its share; within a class chance decides.

    Whole examples are dealt by largest remainder: no class is more than one example from its exact share.
    """
    classes, counts = np.unique(y, return_counts=True)
    if first < len(classes):
        raise InputError(f"data: a training part of {first} can't have one example of each of {len(classes)} classes")
    share = counts * first / len(y)
    quota = np.floor(share).astype(int)
    most_left = np.argsort(quota - share, kind="stable")
    quota[most_left[: first - quota.sum()]] += 1
    taken = [
        generator.permutation(np.flatnonzero(y == label))[:take] for label, take in zip(classes, quota, strict=True)
    ]
    return np.concatenate(taken)


def _mean_and_std(x: Tensor, axis: int | None) -> Part:
    """Mean and deviation over all entries (axis None) or of each entry over the examples (axis 0).

    By NumPy: torch's sums depend on the number of threads in the last digit, and a run must not.
    """
    values = x.numpy()
    mean = values.mean(axis, dtype=np.float64).astype(np.float32)
    variance = np.square(values - mean).mean(axis, dtype=np.float64)
    return torch.tensor(mean), torch.tensor(np.sqrt(variance), dtype=torch.float32)


# The datasets.


def digits() -> Raw:
    """1797 handwritten digits, (1, 8, 8), values 0 to 16. Alpaydin & Kaynak 1998, from scikit-learn."""
    # Its file and not its function: importing scikit-learn takes longer than many a training.
    package = importlib.util.find_spec("sklearn")
    if package is None or not package.submodule_search_locations:
        raise InputError("data=digits needs the package scikit-learn: pip install scikit-learn")
    rows = np.loadtxt(
        Path(package.submodule_search_locations[0], "datasets", "data", "digits.csv.gz"),
        delimiter=",",
        dtype=np.float32,
    )
    x, y = torch.from_numpy(rows[:, :-1]).reshape(-1, 1, 8, 8), torch.from_numpy(rows[:, -1]).long()
    return Raw(x.contiguous(), y, classes=10)


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
    with _global_random_state_kept():
        made = make_dataset(get_dataset_args())
    x, x_test = (torch.tensor(made[key], dtype=torch.float32).unsqueeze(1) for key in ("x", "x_test"))
    y, y_test = (torch.tensor(made[key], dtype=torch.int64) for key in ("y", "y_test"))
    return Raw(x, y, x_test, y_test, classes=10)


def mnist(*, data_dir: str = "data", download: bool = False) -> Raw:
    """60,000 and 10,000 handwritten digits, (1, 28, 28), values 0 to 1. LeCun et al. 1998.

    `data_dir` is where torchvision keeps its data, or any folder with the four IDX files.
    """
    return _read_mnist("MNIST", [Path(data_dir)], download)


def fashion_mnist(*, data_dir: str = "data", download: bool = False) -> Raw:
    """60,000 and 10,000 pieces of clothing, (1, 28, 28), values 0 to 1. Xiao, Rasul & Vollgraf 2017.

    `data_dir` is where torchvision keeps its data, or any folder with the four IDX files. When they aren't
    there, the folder of Debian's package dataset-fashion-mnist is tried.
    """
    return _read_mnist("FashionMNIST", [Path(data_dir), DEBIAN_FASHION_MNIST], download)


def cifar10(*, data_dir: str = "data", download: bool = False) -> Raw:
    """50,000 and 10,000 small photographs, (3, 32, 32), values 0 to 1. Krizhevsky 2009.

    `data_dir` is where torchvision keeps its data.
    """
    parts = [_torchvision("CIFAR10", Path(data_dir), download, train=train) for train in (True, False)]
    (x, y), (x_test, y_test) = (
        (_pixels(part.data).movedim(-1, 1).contiguous(), torch.tensor(part.targets)) for part in parts
    )
    return Raw(x, y, x_test, y_test, classes=10)


def gaussian(*, features: int = 64, classes: int = 10, samples: int = 2000) -> Raw:
    """x ~ N(0, 1), (features,), labelled by a fixed random linear teacher: a linear model can learn it.

    The teacher is a random direction for each class; the label is the class whose direction x goes furthest.
    """
    integer("data.features", features, "[1, inf)")
    integer("data.classes", classes, "[2, inf)")
    integer("data.samples", samples, "[1, inf)")
    generator = torch.Generator().manual_seed(0)
    teacher = torch.randn(classes, features, generator=generator, dtype=torch.float64)
    x = torch.randn(samples, features, generator=generator)
    y = (x.double() @ (teacher / teacher.norm(dim=1, keepdim=True)).T).argmax(1)
    return Raw(x, y, classes=classes)


def adding(*, length: int = 100, samples: int = 20_000) -> Raw:
    """Add the two marked numbers of a sequence, (2, length). Hochreiter & Schmidhuber 1997, task 4.

    As Le, Jaitly & Hinton 2015, sec. 4.1, have it: channel 0 holds numbers from U(0, 1), channel 1 is 1 at two
    steps and 0 at the others, y is the sum of the two numbers there. Always to say 1 costs the sum's variance, 1/6.
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
    """Say 10 symbols again after a delay, tokens (length + 20,). Arjovsky, Shah & Bengio 2016, sec. 4.1.

    The input is 10 of 8 symbols, `length` - 1 blanks, a delimiter and 10 blanks; the labels are `length` + 10 blanks
    and the 10 symbols. Blanks and then a guess, which takes no memory, cost 10 ln 8/(length + 20). `scored`: `all`
    the positions, as in the paper, or `recall`, the last 10 alone: there a guess costs ln 8 and 1 in 8 is right.
    """
    integer("data.length", length, "[1, inf)")
    integer("data.samples", samples, "[2, inf)")
    if scored not in ("all", "recall"):
        raise InputError(f"data.scored={scored} is unknown{nearest(str(scored), ('all', 'recall'))}")
    symbols = torch.randint(BLANK, (samples, COPIED), generator=torch.Generator().manual_seed(0))
    x = torch.full((samples, length + 2 * COPIED), BLANK)
    x[:, :COPIED] = symbols
    x[:, COPIED + length - 1] = DELIMITER
    y = torch.full_like(x, BLANK if scored == "all" else UNSCORED)
    y[:, -COPIED:] = symbols
    return Raw(x, y, classes=DELIMITER + 1, vocabulary=DELIMITER + 1)


def reverse(*, length: int = 10, symbols: int = 10, samples: int = 10_000) -> Raw:
    """Say a sequence backwards, as a pair of tokens (2, length): a small task for an encoder and a decoder.

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
    """Say the next character of a text, tokens (length,): windows of any UTF-8 file.

    The windows share no character: each holds `length` + 1 of them, x is all but the last and y all but the first.
    The last 20 % of them are the test part. The vocabulary is the file's characters in the order of their code points.
    Without a path it is Alice's Adventures in Wonderland (Carroll 1865).
    """
    integer("data.length", length, "[1, inf)")
    file = ALICE if path is None else Path(path).expanduser()
    try:
        characters = file.read_text(encoding="utf-8-sig")
    except (OSError, ValueError) as error:
        raise InputError(f"data.path={file} can't be read as UTF-8 text: {error}") from error
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


# The files that they come in.


def _read_mnist(name: str, folders: list[Path], download: bool) -> Raw:
    """MNIST, or what has its format, from the first folder that holds it, fetched by torchvision on demand.

    The files are read here: torchvision refuses those that were compressed anew, as Debian's are.
    """
    folders = [folder.expanduser() for folder in folders]
    places = [place for folder in folders for place in (folder, folder / name / "raw")]
    files = _idx_files(places)
    if not files and not download:
        raise _missing(name, folders[0])
    if not files:
        _torchvision(name, folders[0], download, train=True)
        files = _idx_files(places)
    x, y, x_test, y_test = (_read_idx(file) for file in files)
    return Raw(
        _pixels(x).unsqueeze(1),
        torch.tensor(y, dtype=torch.int64),
        _pixels(x_test).unsqueeze(1),
        torch.tensor(y_test, dtype=torch.int64),
        classes=10,
    )


def _idx_files(places: list[Path]) -> list[Path]:
    """Training images, labels, test images, labels, plain or gzipped, from the first place with all four."""
    stems = [f"{part}-{kind}-ubyte" for part in ("train", "t10k") for kind in ("images-idx3", "labels-idx1")]
    for place in places:
        files = [file for stem in stems for file in sorted(place.glob(f"{stem}*"))[:1]]
        if len(files) == len(stems):
            return files
    return []


def _read_idx(file: Path) -> np.ndarray:
    """The bytes of an IDX file: magic number 0 0 8 d, d sizes as big-endian int32, then the values."""
    try:
        with gzip.open(file) if file.suffix == ".gz" else file.open("rb") as stream:
            content = stream.read()
        sizes = np.frombuffer(content, ">i4", count=content[3], offset=4)
        return np.frombuffer(content, np.uint8, offset=4 + 4 * content[3]).reshape(sizes)
    except (OSError, EOFError, ValueError, IndexError, zlib.error) as error:
        raise InputError(f"{file} is not a whole IDX file: {error}") from error


def _torchvision(name: str, data_dir: Path, download: bool, *, train: bool):
    """torchvision's dataset `name`, fetched into `data_dir` if asked for and missing."""
    import torchvision.datasets  # here: it takes a second to import

    folder = data_dir.expanduser()
    try:
        with contextlib.redirect_stdout(sys.stderr):  # stdout belongs to --json
            return getattr(torchvision.datasets, name)(folder, train=train, download=download)
    except Exception as error:  # no network, no space, a broken archive: whatever it is, there is no data
        if not download:
            raise _missing(name, folder) from error
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"{name} can't be downloaded to {folder}: {reason}") from error


def _missing(name: str, folder: Path) -> InputError:
    ways = "data.download=true fetches it, data.data_dir=... says where it is"
    if name == "FashionMNIST":
        ways += ", apt-get install dataset-fashion-mnist brings it"
    return InputError(f"no {name} in {folder}: {ways}")


def _pixels(values: np.ndarray) -> Tensor:
    """Bytes 0 to 255 as float32 0 to 1."""
    return torch.tensor(values, dtype=torch.float32) / 255


@contextlib.contextmanager
def _global_random_state_kept() -> Iterator[None]:
    """For code that seeds Python's and NumPy's global generators."""
    python_state, numpy_state = random.getstate(), np.random.get_state()
    try:
        yield
    finally:
        random.setstate(python_state)
        np.random.set_state(numpy_state)
