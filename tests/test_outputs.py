"""What the outputs of a model went through last."""

import pytest
import torch
from torch.nn import functional as F

from initbench.parts.outputs import output_kind


@pytest.mark.parametrize(
    "expected, last",
    [
        ("probabilities", lambda x: F.softmax(x, -1)),
        ("fractions", torch.sigmoid),
        ("rectified", torch.relu),
        (None, lambda x: x),
        (None, lambda x: F.log_softmax(x, -1)),  # which cross-entropy leaves as it is
        (None, torch.tanh),
        (None, torch.zeros_like),  # of a head that starts at 0
        (None, lambda x: x + 100),  # of large biases
        (None, lambda x: x * torch.nan),
    ],
)
@pytest.mark.parametrize("shape", [(100, 10), (50, 7, 10)])
def test_what_outputs_went_through(expected, last, shape):
    assert output_kind(last(torch.randn(shape, generator=torch.Generator().manual_seed(0)))) == expected
