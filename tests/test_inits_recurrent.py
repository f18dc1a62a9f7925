"""Initializers for gates: the biases, and the time after which a unit forgets."""

import math
from functools import partial
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from initbench.errors import DoesNotFit, InputError
from initbench.parts import inits
from initbench.parts.activations import Activation, tanh
from initbench.parts.data import copy
from initialized_layers import generator
from small_models import GRU, LSTM, RNN, Transformer

act = partial(Activation, tanh)
WIDTH, STEPS = 400, 50


def born(model: Any, **parameters: Any) -> Any:
    inits.chrono(model, torch.zeros(2, 3, STEPS), generator(), **parameters)
    return model


def gates(cell: Any) -> dict[str, torch.Tensor]:
    return dict(zip(cell.gates, cell.input.bias.detach().double().chunk(len(cell.gates)), strict=True))


@pytest.mark.parametrize("t_max", [None, 784])
def test_chrono_gives_forget_gates_memories_up_to_the_longest(t_max):
    """exp(b_f) is uniform on [1, T_max - 1], so that 1 / (1 - sigmoid(b_f)) is on [2, T_max]; b_i = -b_f."""
    model = born(LSTM((3, STEPS), 2, 2, WIDTH, act, bidirectional=True), t_max=t_max)
    longest = t_max or STEPS
    for layer in model.layers:
        for cell in (layer.ahead, layer.back):
            own = gates(cell)
            memory = 1 / (1 - own["forget"].sigmoid())
            assert 2 - 1e-3 <= memory.min() < 2 + longest / 20 and 0.95 * longest < memory.max() <= longest + 1e-3
            assert float(memory.mean()) == pytest.approx(1 + longest / 2, abs=5 * longest / (12 * WIDTH) ** 0.5)
            assert torch.equal(own["input"], -own["forget"])
            assert not own["output"].any() and not own["candidate"].any()
    first, second = (gates(layer.ahead)["forget"] for layer in model.layers)
    assert not torch.equal(first, second)


def test_chrono_sets_the_gate_of_a_gru_that_keeps_the_state():
    """The paper's leaky unit: h' = g ... + (1 - g) h with b_g ~ -log U(1, T_max - 1), and z = 1 - g."""
    cell: Any = born(GRU((3, STEPS), 2, 1, WIDTH, act)).layers[0]
    own = gates(cell)
    memory = 1 / (1 - own["update"].sigmoid())
    assert memory.min() >= 2 - 1e-3 and 0.95 * STEPS < memory.max() <= STEPS + 1e-3
    assert not own["reset"].any() and not own["candidate"].any() and not cell.recurrent.bias.any()


def test_chrono_leaves_the_weights_to_xavier_and_a_given_bias_replaces_its_own():
    model, other = born(LSTM((3, STEPS), 2, 1, 9, act)), LSTM((3, STEPS), 2, 1, 9, act)
    inits.xavier(other, torch.zeros(2, 3, STEPS), generator())
    for (name, own), (_, xaviers) in zip(model.named_parameters(), other.named_parameters(), strict=True):
        assert name.endswith("input.bias") or torch.equal(own, xaviers)
    assert all((bias == 0.5).all() for _, bias in inits.gate_biases(born(model, bias=0.5)))


def test_a_unit_whose_gates_are_open_forgets_at_the_time_it_was_given():
    """With weights of 0 and no input, a state decays by sigmoid(b_f) each step: to 1 / e after about T steps."""
    keep = gates(born(LSTM((3, STEPS), 2, 1, WIDTH, act)).layers[0])["forget"].sigmoid()
    after = keep ** (1 / (1 - keep))
    assert float((after - 1 / torch.e).abs().max()) < 0.12 and float((after - 1 / torch.e).abs().median()) < 0.02


@pytest.mark.parametrize("model", [RNN((3, 5), 2, 1, 4, act), Transformer((3, 5), 2, 1, 8, act)])
def test_chrono_is_left_out_where_no_gate_keeps_a_state(model):
    with pytest.raises(DoesNotFit, match=r"^init=chrono sets the biases of gates that keep a state: model=lstm or gru"):
        born(model)
    with pytest.raises(InputError, match=r"^init.t_max must be a whole number"):
        born(LSTM((3, 5), 2, 1, 4, act), t_max=1)


@pytest.mark.slow
def test_chrono_begins_to_remember_where_xavier_still_guesses():
    """Tallec & Ollivier 2018, fig. 4, in small: copy over 30 steps, loss against blanks and a guess, 10 ln 8 / 50."""
    raw, guess = copy(length=30, samples=3000), 10 * math.log(8) / 50

    def loss_after(scheme, steps: int, forget_bias: float | None = None) -> float:
        model = LSTM((50,), 10, 1, 48, act, 10, 50)
        scheme(model, raw.x[:2], generator())
        if forget_bias is not None:
            inits.set_forget_bias(model, forget_bias)
        optimizer, losses = torch.optim.RMSprop(model.parameters(), 0.003, alpha=0.9), []
        drawn = generator(1)
        for _ in range(steps):
            index = torch.randint(len(raw.x), (50,), generator=drawn)
            loss = F.cross_entropy(model(raw.x[index]).flatten(0, 1), raw.y[index].flatten())
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            losses.append(loss.item())
        return sum(losses[-20:]) / 20

    assert loss_after(inits.chrono, 390) < 0.93 * guess
    assert loss_after(inits.xavier, 390) > 0.96 * guess
    assert loss_after(inits.xavier, 390, forget_bias=1) > 0.96 * guess
