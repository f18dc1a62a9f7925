"""Orthogonal and delta-orthogonal matrices, the identity: norms are kept."""

import pytest
import torch
from scipy import stats
from torch import nn

from initbench.parts import inits
from initialized_layers import TANH, M, N, generator, initialized
from small_models import GRU, LSTM


@pytest.mark.parametrize("shape", [(N, M), (M, N), (64, 64), (1, 9), (9, 1)])
@pytest.mark.parametrize("gain", [1, 1.7])
def test_orthogonal_rows_or_columns_in_float32(shape, gain):
    m, n = shape
    q = initialized(inits.orthogonal, nn.Linear(n, m), gain=gain).weight.detach() / gain
    gram = q @ q.T if m <= n else q.T @ q
    torch.testing.assert_close(gram, torch.eye(min(m, n)), rtol=0, atol=1e-6)


def test_orthogonal_is_uniformly_distributed():
    """Without the correction of signs, the diagonal of Q is never positive (Householder's reflections)."""
    corners = [initialized(inits.orthogonal, nn.Linear(3, 3), seed=seed).weight[0, 0].item() for seed in range(400)]
    # the first coordinate of a random direction in 3 dimensions is uniform in (-1, 1): Archimedes
    assert stats.kstest(corners, stats.uniform(-1, 2).cdf).pvalue > 1e-3


def test_orthogonal_kernels_are_rows():
    weight = initialized(inits.orthogonal, nn.Conv2d(3, 8, 3)).weight.detach().flatten(1)
    torch.testing.assert_close(weight @ weight.T, torch.eye(8), rtol=0, atol=1e-6)


@pytest.mark.parametrize("scheme", [inits.orthogonal, inits.delta_orthogonal])
def test_each_gate_is_orthogonal(scheme):
    model = initialized(scheme, LSTM((3, 5), 2, 1, 9, lambda: TANH))
    for gate in model.layers[0].recurrent.weight.detach().view(4, 9, 9):
        torch.testing.assert_close(gate @ gate.T, torch.eye(9), rtol=0, atol=1e-6)
    # taken as one matrix, the gates would share the norm: rows of length 1/2
    torch.testing.assert_close(model.layers[0].recurrent.weight.detach().norm(dim=1), torch.ones(36))


@pytest.mark.parametrize(("channels", "kernel"), [((4, 9), 3), ((5, 5), 5), ((3, 7), (3, 1))])
def test_a_delta_orthogonal_convolution_keeps_norms_and_an_orthogonal_one_does_not(channels, kernel):
    x = torch.randn(2, channels[0], 8, 8, generator=generator(1))
    norms = {}
    for scheme in (inits.delta_orthogonal, inits.orthogonal):
        conv = initialized(scheme, nn.Conv2d(*channels, kernel, padding="same", padding_mode="circular"))  # type: ignore[call-arg]
        norms[scheme] = float(conv(x).norm().detach() / x.norm())
    assert norms[inits.delta_orthogonal] == pytest.approx(1, abs=1e-6)
    assert norms[inits.orthogonal] != pytest.approx(1, abs=0.01)


def test_identity_is_the_identity():
    x = torch.randn(2, 3, 8, 8, generator=generator(1))
    wider = initialized(inits.identity, nn.Conv2d(3, 5, 3, padding=1))(x).detach()
    torch.testing.assert_close(wider[:, :3], x)
    assert (wider[:, 3:] == 0).all()
    for layer in (nn.Conv1d(4, 4, 5), nn.Conv2d(3, 5, (3, 5)), nn.Conv2d(5, 3, 2)):
        expected = nn.init.dirac_(torch.empty(layer.weight.shape))
        assert torch.equal(initialized(inits.identity, layer, gain=2).weight, 2 * expected)
    assert torch.equal(initialized(inits.identity, nn.Linear(3, 5)).weight, torch.eye(5, 3))
    gru = initialized(inits.identity, GRU((3, 5), 2, 1, 4, lambda: TANH))
    assert torch.equal(gru.layers[0].recurrent.weight, torch.eye(4).repeat(3, 1))
