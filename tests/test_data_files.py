"""Datasets in files, written here in the formats they are published in, and what is said without them."""

import gzip
import importlib.util
import pickle
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from initbench.errors import InputError
from initbench.parts import data

NEEDS_TORCHVISION = pytest.mark.skipif(
    importlib.util.find_spec("torchvision") is None, reason="torchvision is not installed"
)


def write_idx(folder: Path, *, compressed: bool, train: int = 6, test: int = 3) -> np.ndarray:
    """The four files of MNIST's format; returns the training images."""
    folder.mkdir(parents=True)
    images = np.random.default_rng(0).integers(0, 256, (train + test, 28, 28), dtype=np.uint8)
    labels = (np.arange(train + test) % 10).astype(np.uint8)
    for part, rows in (("train", slice(None, train)), ("t10k", slice(train, None))):
        for name, values in (
            (f"{part}-images-idx3-ubyte", images[rows]),
            (f"{part}-labels-idx1-ubyte", labels[rows]),
        ):
            header = bytes([0, 0, 8, values.ndim]) + np.array(values.shape, ">i4").tobytes()
            content = header + values.tobytes()
            if compressed:
                (folder / f"{name}.gz").write_bytes(gzip.compress(content))
            else:
                (folder / name).write_bytes(content)
    return images[:train]


@pytest.mark.parametrize("loader", [data.mnist, data.fashion_mnist])
@pytest.mark.parametrize("compressed", [True, False])
@pytest.mark.parametrize("place", [".", "{name}/raw"])
def test_idx_files_are_read_from_any_folder_and_from_torchvisions(tmp_path, loader, compressed, place):
    name = "MNIST" if loader is data.mnist else "FashionMNIST"
    images = write_idx(tmp_path / "data" / place.format(name=name), compressed=compressed)
    raw = loader(data_dir=str(tmp_path / "data"))
    assert raw.x.dtype == torch.float32 and raw.y.dtype == torch.int64
    assert torch.equal(raw.x, torch.tensor(images).float().unsqueeze(1) / 255)
    assert raw.y.tolist() == [0, 1, 2, 3, 4, 5] and raw.y_test.tolist() == [6, 7, 8]
    assert raw.x_test.shape == (3, 1, 28, 28)


@NEEDS_TORCHVISION
@pytest.mark.slow
def test_torchvision_reads_the_same_from_the_same_files(tmp_path):
    from torchvision.datasets import MNIST

    write_idx(tmp_path / "MNIST" / "raw", compressed=False)
    theirs = MNIST(tmp_path, train=True)
    ours = data.mnist(data_dir=str(tmp_path))
    assert torch.equal(ours.x[:, 0], theirs.data / 255) and torch.equal(ours.y, theirs.targets)


def test_a_broken_file_says_which(tmp_path):
    write_idx(tmp_path / "data", compressed=True)
    file = tmp_path / "data" / "train-images-idx3-ubyte.gz"
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(InputError, match=r"train-images-idx3-ubyte\.gz is not a whole IDX file"):
        data.mnist(data_dir=str(tmp_path / "data"))


@pytest.mark.slow
@pytest.mark.skipif(
    not Path("/usr/share/datasets/fashion-mnist").is_dir(),
    reason="Debian's dataset-fashion-mnist is not installed",
)
def test_fashion_mnist_comes_from_debians_package(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    raw = data.fashion_mnist()
    assert raw.x.shape == (60_000, 1, 28, 28) and torch.bincount(raw.y).tolist() == [6000] * 10
    assert raw.y[:10].tolist() == [9, 0, 0, 3, 0, 2, 7, 2, 5, 5]
    assert float(raw.x.mean()) == pytest.approx(0.2860, abs=1e-4)  # the numbers that everyone normalizes with
    assert float(raw.x.std()) == pytest.approx(0.3530, abs=1e-4)


@NEEDS_TORCHVISION
@pytest.mark.slow
def test_cifar10_comes_from_torchvisions_folder(tmp_path, monkeypatch):
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    images = np.random.default_rng(0).integers(0, 256, (6, 2, 3, 32, 32), dtype=np.uint8)
    names = [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]
    for name, batch in zip(names, images, strict=True):
        (folder / name).write_bytes(pickle.dumps({"data": batch.reshape(2, 3072), "labels": [3, 7]}))
    (folder / "batches.meta").write_bytes(pickle.dumps({"label_names": list("abcdefghij")}))
    monkeypatch.setattr("torchvision.datasets.cifar.check_integrity", lambda path, md5: Path(path).is_file())
    raw = data.cifar10(data_dir=str(tmp_path))
    assert torch.equal(raw.x, torch.tensor(images[:5].reshape(10, 3, 32, 32)).float() / 255)
    assert torch.equal(raw.x_test, torch.tensor(images[5]).float() / 255)  # type: ignore[arg-type]
    assert raw.y.tolist() == [3, 7] * 5 and raw.y.dtype == torch.int64


# What is said when there is nothing.


@NEEDS_TORCHVISION
@pytest.mark.parametrize(("loader", "name"), [(data.mnist, "MNIST"), (data.cifar10, "CIFAR10")])
@pytest.mark.slow
def test_a_missing_folder_says_what_to_do(tmp_path, loader, name, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=rf"no {name} in data: data\.download=true .* data\.data_dir=") as caught:
        loader()
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("loader", [data.mnist, data.fashion_mnist, data.cifar10])
def test_a_folder_that_was_named_must_be_there(tmp_path, loader):
    """Where another copy of the data lies on this machine, it is not taken in its place."""
    with pytest.raises(InputError, match=r"data\.data_dir=\S*nowhere: there is no such folder"):
        loader(data_dir=str(tmp_path / "nowhere"))
    assert not (tmp_path / "nowhere").exists()


def test_a_named_folder_without_the_data_is_not_replaced_by_another(tmp_path, monkeypatch):
    write_idx(tmp_path / "system", compressed=True)
    monkeypatch.setattr("initbench.parts.data.images.DEBIAN_FASHION_MNIST", tmp_path / "system")
    monkeypatch.chdir(tmp_path)
    assert len(data.fashion_mnist().y) == 6
    with pytest.raises(InputError, match="no FashionMNIST in"):
        data.fashion_mnist(data_dir=str(tmp_path))


def test_missing_fashion_mnist_names_debians_package(tmp_path, monkeypatch):
    monkeypatch.setattr("initbench.parts.data.images.DEBIAN_FASHION_MNIST", tmp_path / "nothing")
    with pytest.raises(InputError, match="apt-get install dataset-fashion-mnist"):
        data.fashion_mnist(data_dir=str(tmp_path))


@NEEDS_TORCHVISION
@pytest.mark.parametrize(("loader", "module"), [(data.mnist, "mnist"), (data.cifar10, "cifar")])
@pytest.mark.parametrize("error", [RuntimeError("Error:\nTried a\nTried b"), OSError("no route to host"), EOFError()])
def test_no_network_says_so_in_one_line(tmp_path, monkeypatch, loader, module, error):
    def fail(*args: Any, **kwargs: Any):
        raise error

    monkeypatch.setattr(f"torchvision.datasets.{module}.download_and_extract_archive", fail)
    with pytest.raises(InputError, match="can't be downloaded to") as caught:
        loader(data_dir=str(tmp_path), download=True)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("torchs", "says"),
    [
        ("2.15.0+cu130", r"torchvision: pip install 'initbench\[torchvision\]'$"),
        ("2.15.0+cpu", r"torchvision: pip install torchvision --index-url https://download\.pytorch\.org/whl/cpu$"),
    ],
)
@pytest.mark.parametrize(
    ("loader", "needs"),
    [
        (data.cifar10, "^reading CIFAR10 needs "),
        (data.mnist, "^downloading MNIST needs "),
        (data.fashion_mnist, "^downloading FashionMNIST needs "),
    ],
)
def test_without_torchvision_one_line_says_how_to_install_it(tmp_path, monkeypatch, loader, needs, torchs, says):
    """Not in place of a torch without CUDA: torchvision comes from the index that such a torch comes from."""
    monkeypatch.setattr("initbench.parts.data.images.DEBIAN_FASHION_MNIST", tmp_path / "nothing")
    monkeypatch.setattr(torch, "__version__", torchs)
    for module in ("torchvision", "torchvision.datasets"):  # what Python does without: ModuleNotFoundError
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(InputError, match=needs + says):
        loader(data_dir=str(tmp_path), download=True)


def test_a_torchvision_that_does_not_fit_torch_is_named(tmp_path, monkeypatch):
    """PyPI's beside a torch without CUDA raises this when it is imported."""
    package = tmp_path / "torchvision/__init__.py"
    package.parent.mkdir()
    package.write_text("raise RuntimeError('operator torchvision::nms\\ndoes not exist')")
    monkeypatch.syspath_prepend(tmp_path)
    for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
        monkeypatch.delitem(sys.modules, name)
    with pytest.raises(InputError, match=r"built for torch \d.*: operator torchvision::nms does not exist$"):
        data.cifar10(data_dir=str(tmp_path))


def test_files_of_mnists_format_need_no_torchvision(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torchvision", None)
    write_idx(tmp_path / "data", compressed=True)
    assert data.mnist(data_dir=str(tmp_path / "data")).classes == 10


@NEEDS_TORCHVISION
def test_a_download_is_read_where_torchvision_puts_it(tmp_path, monkeypatch):
    def download(url: str, download_root: str, filename: str, md5: str):
        if not Path(download_root, "train-images-idx3-ubyte").exists():
            Path(download_root).rmdir()
            write_idx(Path(download_root), compressed=False)

    monkeypatch.setattr("torchvision.datasets.mnist.download_and_extract_archive", download)
    assert data.mnist(data_dir=str(tmp_path), download=True).y.tolist() == [0, 1, 2, 3, 4, 5]
