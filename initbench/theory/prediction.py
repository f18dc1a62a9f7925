"""What `initbench theory` answers for one network: numbers by name."""

import math
from typing import Any

from initbench.theory.finite_width import dead_probability, log_length_moments
from initbench.theory.jacobian import squared_singular_values
from initbench.theory.mean_field import critical_sigma_w
from initbench.theory.network import WideNetwork

NUMBERS = ("q_star", "chi_1", "c_star", "xi_q", "xi_c", "trainable_depth", "critical_sigma_w")


def prediction(network: WideNetwork) -> dict[str, Any]:
    """Act, sigmas, the NUMBERS and the phase. A number that doesn't exist is NaN, one without bound infinite.

    Of a residual network, whose variance has no fixed point, all are NaN; `growth` says what its blocks do.
    """
    layer = network.layer
    found: dict[str, Any] = {"act": network.act.name, "sigma_w": layer.sigma_w, "sigma_b": layer.sigma_b}
    if network.growth is not None:
        return found | dict.fromkeys(NUMBERS, math.nan) | {"phase": None} | {"growth": growth(network)}
    theory = network.mean_field
    numbers = {name: getattr(theory, name) for name in NUMBERS if name != "critical_sigma_w"}
    critical = critical_sigma_w(layer.phi, layer.sigma_b) if layer.keep == 1 else math.nan
    found |= numbers | {"critical_sigma_w": critical, "phase": theory.phase}
    return found | {"jacobian": jacobian(network), "finite_width": finite_width(network)}


def growth(network: WideNetwork) -> dict[str, Any]:
    """How much residual blocks multiply the mean square of the signal and, on its way back, of the gradient."""
    found = network.growth
    assert found is not None
    last = found.q[-1] / (found.q[-2] if len(found.q) > 1 else found.start) if found.q else math.nan
    return {
        "blocks": len(found.q),
        "signal": found.factor,
        "gradient": found.gradient_factor,
        "signal_last_block": last,
    }


def jacobian(network: WideNetwork) -> dict[str, float]:
    """Mean and variance of the squared singular values of the hidden layers' Jacobian."""
    average, spread = squared_singular_values(network.mean_field, network.depth, orthogonal=network.orthogonal)
    return {"mean_squared": average, "variance_squared": spread}


def finite_width(network: WideNetwork) -> dict[str, float] | None:
    """Of networks without biases whose activation is straight on both sides of 0; None for others.

    Gaussian weights: mean and variance of the log of the signal's mean square at the end. ReLU: the probability that
    one input makes a layer dead.
    """
    layer = network.layer
    if layer.phi.sides is None or layer.sigma_b or layer.keep < 1 or network.orthogonal or not layer.sigma_w:
        return None
    widths = [network.width] * network.depth
    average, spread = log_length_moments(layer.phi, layer.sigma_w, widths)
    dead = dead_probability(widths) if 0 in layer.phi.sides else 0.0
    return {"log_mean": average, "log_variance": spread, "dead_probability": dead}
