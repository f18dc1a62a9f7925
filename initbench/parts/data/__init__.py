"""Data: datasets as whole tensors in memory, split and standardized.

To add one, write a function `f(**parameters) -> Raw` in a module of this package and name it in `conf/data/NAME.yaml`
(`_target_: initbench.parts.data.MODULE.NAME`), together with the keys that all data share, those of `prepare`. A loader
returns natural values and shapes. If a folder, package or network is missing, it raises InputError with one line that
says what to do.

An example x is an image (C, H, W), a sequence (C, T) of channels by time or a vector (N,), in float32; or tokens (T,),
or a pair of token sequences (2, T), in int64: a source, and what a decoder reads. Its y is a label, T labels or a
number.
"""

from initbench.parts.data.dataset import Dataset, Raw
from initbench.parts.data.images import cifar10, digits, fashion_mnist, mnist
from initbench.parts.data.preparation import prepare
from initbench.parts.data.sequences import adding, copy, digits_rows, mnist1d, reverse, text
from initbench.parts.data.vectors import gaussian
