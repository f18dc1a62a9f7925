"""Datasets of images, and the files that they come in."""

import contextlib
import gzip
import importlib.util
import sys
import zlib
from pathlib import Path
from types import ModuleType

import numpy as np
import torch
from torch import Tensor

from initbench.errors import InputError, WrongValue
from initbench.parts.data.dataset import Raw
from initbench.parts.torchvision_package import torchvision_module

DATA = "data"  # the folder of datasets, unless another is named
DEBIAN_FASHION_MNIST = Path("/usr/share/datasets/fashion-mnist")  # of its package dataset-fashion-mnist


def digits() -> Raw:
    """1797 handwritten digits, (1, 8, 8), values 0 to 16. Alpaydin & Kaynak 1998, from scikit-learn."""
    # The file is read here, since importing scikit-learn takes longer than many trainings.
    package = importlib.util.find_spec("sklearn")
    if package is None or not package.submodule_search_locations:
        raise InputError("data=digits needs the package scikit-learn: pip install scikit-learn")
    file = Path(package.submodule_search_locations[0], "datasets", "data", "digits.csv.gz")
    rows = np.loadtxt(file, delimiter=",", dtype=np.float32)
    x, y = torch.from_numpy(rows[:, :-1]).reshape(-1, 1, 8, 8), torch.from_numpy(rows[:, -1]).long()
    return Raw(x.contiguous(), y, classes=10)


def mnist(*, data_dir: str | None = None, download: bool = False) -> Raw:
    """60,000 and 10,000 handwritten digits, (1, 28, 28), values 0 to 1. LeCun et al. 1998.

    `data_dir` is where torchvision keeps its data, or any folder with the four IDX files; None: the folder `data`.
    """
    return _read_mnist("MNIST", [_folder("MNIST", data_dir, download)], download)


def fashion_mnist(*, data_dir: str | None = None, download: bool = False) -> Raw:
    """60,000 and 10,000 pieces of clothing, (1, 28, 28), values 0 to 1. Xiao, Rasul & Vollgraf 2017.

    `data_dir` is where torchvision keeps its data, or any folder with the four IDX files; None: the folder `data`, or
    that of Debian's package dataset-fashion-mnist.
    """
    folder = _folder("FashionMNIST", data_dir, download)
    return _read_mnist("FashionMNIST", [folder] if data_dir else [folder, DEBIAN_FASHION_MNIST], download)


def cifar10(*, data_dir: str | None = None, download: bool = False) -> Raw:
    """50,000 and 10,000 photographs, (3, 32, 32), values 0 to 1. Krizhevsky 2009.

    `data_dir` is where torchvision keeps its data; None: the folder `data`.
    """
    folder = _folder("CIFAR10", data_dir, download)
    parts = [_torchvision("CIFAR10", folder, download, train=train) for train in (True, False)]
    x, x_test = (_pixels(part.data).movedim(-1, 1).contiguous() for part in parts)
    y, y_test = (torch.tensor(part.targets) for part in parts)
    return Raw(x, y, x_test, y_test, classes=10)


def _folder(name: str, data_dir: str | None, download: bool) -> Path:
    """The folder of a dataset; InputError where one was named that is not there, unless a download may make it."""
    folder = Path(DATA if data_dir is None else data_dir).expanduser()
    if data_dir is not None and not download and not folder.is_dir():
        said = f"data.data_dir={data_dir}: there is no such folder; data.download=true makes it for {name}"
        raise WrongValue("data.data_dir", data_dir, said)
    return folder


def _read_mnist(name: str, folders: list[Path], download: bool) -> Raw:
    """MNIST, or what has its format, from the first folder that holds it, fetched by torchvision on demand.

    The files are read here: torchvision refuses those that were compressed anew, as Debian's are.
    """
    places = [place for folder in folders for place in (folder, folder / name / "raw")]
    files = _idx_files(places)
    if not files and not download:
        raise _missing(name, folders[0])
    if not files:
        _torchvision(name, folders[0], download, train=True)
        files = _idx_files(places)
    x, y, x_test, y_test = (_read_idx(file) for file in files)
    labels, labels_test = (torch.tensor(values, dtype=torch.int64) for values in (y, y_test))
    return Raw(_pixels(x).unsqueeze(1), labels, _pixels(x_test).unsqueeze(1), labels_test, classes=10)


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
    datasets = _torchvision_datasets(name)
    try:
        with contextlib.redirect_stdout(sys.stderr):  # stdout belongs to --json
            return getattr(datasets, name)(data_dir, train=train, download=download)
    except Exception as error:  # no network, no space, a broken archive: whatever it is, there is no data
        if not download:
            raise _missing(name, data_dir) from error
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"{name} can't be downloaded to {data_dir}: {reason}") from error


def _torchvision_datasets(name: str) -> ModuleType:
    """`torchvision.datasets`, which reads CIFAR-10, and downloads MNIST and Fashion-MNIST too."""
    return torchvision_module("datasets", f"{'reading' if name == 'CIFAR10' else 'downloading'} {name} needs")


def _missing(name: str, folder: Path) -> InputError:
    ways = "data.download=true fetches it, data.data_dir=... says where it is"
    if name == "FashionMNIST":
        ways += ", apt-get install dataset-fashion-mnist brings it"
    return InputError(f"no {name} in {folder}: {ways}")


def _pixels(values: np.ndarray) -> Tensor:
    """Bytes 0 to 255 as float32 0 to 1."""
    return torch.tensor(values, dtype=torch.float32) / 255
