"""Theory against other programs: neural-tangents, and networks that the shipped initializers have written."""

import math

import numpy as np
import pytest
import torch
from scipy.special import erf
from torch import nn

from initbench.config.registry import shared_keys, shipped_choice, shipped_facts
from initbench.parts import activations, inits
from initbench.parts.activations import Activation
from initbench.theory.activations import SHIPPED, Phi, activation
from initbench.theory.mean_field import WideLayer, critical_sigma_w, propagate
from initbench.theory.nominal import Scheme

OWN = {
    "erf": Phi("erf", lambda x: (erf(x), 2 / math.sqrt(math.pi) * np.exp(-(x**2)))),
    "sin": Phi("sin", lambda x: (np.sin(x), np.cos(x))),
}
C0 = -0.16737176231090578  # correlation of the two inputs below, which both have mean square 1


@pytest.mark.parametrize(
    ("name", "sigma_w", "sigma_b", "depth", "q", "c"),
    [  # variance and correlation in the kernel of neural-tangents 0.6.5 (stax.Dense and activations in closed form)
        ("relu", 1.4, 0.3, 20, 2.8309800706122563, 0.9636324245067116),
        ("relu", 2.5, 0.5, 20, 16705289757.503784, 0.9437129026860681),
        ("leaky_relu", 1.4, 0.3, 20, 2.834840801950097, 0.9624383529628147),
        ("erf", 1.4, 0.3, 5, 1.011714967054829, 0.20676955286999654),
        ("erf", 2.5, 0.5, 20, 4.7492670795906395, 0.21988297373765703),
        ("gelu", 1.4, 0.3, 5, 1.6461799426744785, 0.5694048414021746),
        ("gelu", 1.4, 0.3, 20, 0.5207166456509481, 0.9153962809311593),
        ("gelu", 2.5, 0.5, 20, 16318798245.54518, 0.9424757961903886),
        ("sin", 1.4, 0.3, 20, 0.9117785876950394, 0.5156555590459448),
        ("sin", 2.5, 0.5, 20, 3.3713139268349273, 0.09486763398961502),
    ],
)
def test_kernels_are_those_of_neural_tangents(name, sigma_w, sigma_b, depth, q, c):
    phi = OWN.get(name) or activation(name)
    found = propagate([WideLayer(phi, sigma_w, sigma_b)] * depth, 1.0, C0)
    assert found.q[-1] == pytest.approx(q, rel=1e-10)
    assert found.c[-1] == pytest.approx(c, rel=1e-7)


WIDTH, DEPTH, SEEDS = 300, 4, 3


def measured(name: str, act: Activation) -> tuple[np.ndarray, np.ndarray]:
    """q of each layer, and the last layer's mean square gradient over the first's; means over seeds, in logs."""
    target, choice = getattr(inits, "normal" if name == "normal_small" else name), shipped_choice("init", name)
    assert choice is not None
    parameters = {key: value for key, value in choice.parameters.items() if key not in shared_keys("init")}
    if "act" in target.__kwdefaults__:
        parameters["act"] = act
    logs = []
    for seed in range(SEEDS):
        generator = torch.Generator().manual_seed(seed)
        layers = nn.Sequential(*(nn.Linear(WIDTH, WIDTH) for _ in range(DEPTH))).double()
        h = torch.randn(8, WIDTH, generator=generator, dtype=torch.float64)
        target(layers, h, generator, **parameters)
        seen = []
        for number, layer in enumerate(layers):
            h = layer(act(h) if number else h)
            h.retain_grad()
            seen.append(h)
        h.backward(torch.randn(h.shape, generator=generator, dtype=torch.float64))
        square = [float(each.detach().square().mean()) for each in seen]
        gradient = [float(each.grad.square().mean()) for each in seen]
        logs.append([*np.log(square), np.log(gradient[0] / gradient[-1])])
    found = np.mean(logs, axis=0)
    return found[:-1], found[-1]


@pytest.mark.slow
@pytest.mark.parametrize("act", SHIPPED)
def test_initializers_and_activations_do_what_theory_says(act):
    """Every pair on offer, in the variance of each layer and in the gradient across all of them.

    Over four layers of 300 units a network's log variance scatters by about 0.25 (Hanin & Rolnick 2018); a factor 2
    that were wrong in one layer would be 0.7.
    """
    phi, part = activation(act), Activation(getattr(activations, act))
    for name, facts in shipped_facts("init").items():
        if "Variance" not in facts or name == "zeros" or (name == "critical" and math.isnan(critical_sigma_w(phi))):
            continue
        layer = Scheme.of(name, facts, shipped_choice("init", name).parameters).layer(phi, WIDTH, WIDTH)
        expected = propagate([layer] * DEPTH, 1.0)
        variances, gradient = measured(name, part)
        np.testing.assert_allclose(variances, np.log(expected.q), atol=0.35, err_msg=name)
        assert gradient == pytest.approx(float(np.log(expected.chi[:-1]).sum()), abs=0.35), name
