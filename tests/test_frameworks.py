"""Initializers and activations that PyTorch, Keras 3 and JAX have too: the same weights, by the line of code we give.

The lines are those of docs/frameworks.md. Keras runs on PyTorch. Importing both takes seconds, so all this is slow.
"""

import math
import os
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn

from initbench.analysis.code_lines import FRAMEWORKS, activation_lines, initializer_lines, lines_of, markdown
from initbench.build.binding import get_object
from initbench.config.registry import describe, find, read, shipped_facts
from initbench.parts.activations import Activation
from initbench.theory.network import phi_of
from initialized_layers import initialized

pytestmark = pytest.mark.slow

N, M = 97, 151  # fan_in and fan_out of a dense layer
IN, OUT = 12, 20  # channels of a convolution with kernels of 3 x 3
RANDOM = 1e-4  # probability below which two samples are not of one distribution; about 400 are compared
LINES = {group: {choice.name: lines_of(group, choice) for choice in describe(group)} for group in ("init", "act")}
WITH_LINES = [(name, framework) for name, lines in LINES["init"].items() for framework in lines]
ISOMETRIES = {"orthogonal", "delta_orthogonal"}
FIXED = {"zeros", "constant", "identity"}
DENSE_ONLY = {("identity", "PyTorch"), ("identity", "Keras"), ("identity", "JAX"), ("sparse", "PyTorch")}


@cache
def imported(framework: str) -> Any:
    """`keras` or `jax`; without it the test skips, or fails if INITBENCH_NO_SKIP is 1."""
    os.environ.setdefault("KERAS_BACKEND", "torch")
    try:
        if framework == "Keras":
            import keras

            return keras
        import jax

        return jax
    except ImportError as error:
        if os.environ.get("INITBENCH_NO_SKIP") == "1":
            raise
        pytest.skip(f"{error}: pip install initbench[frameworks]")


def theirs(framework: str, line: str, layer: Any) -> tuple[np.ndarray, np.ndarray]:
    """The weights, in PyTorch's layout, and biases that a line gives to a layer like this one."""
    weight, bias = layer.weight, layer.bias
    if framework == "PyTorch":
        with torch.random.fork_rng():
            torch.manual_seed(1)
            exec(line, {"nn": nn, "torch": torch, "layer": layer})
        return weight.detach().numpy().copy(), bias.detach().numpy().copy()
    library = imported(framework)
    given = eval(f"dict({line}\n)", {framework.lower(): library})
    shape = (*weight.shape[2:], weight.shape[1], weight.shape[0])
    if framework == "Keras":
        with torch.random.fork_rng():
            library.utils.set_random_seed(1)
            kernel = given["kernel_initializer"](shape).numpy()
            biases = given.get("bias_initializer", library.initializers.Zeros())(bias.shape).numpy()
    else:
        key = library.random.key(1)
        kernel = np.asarray(given["kernel_init"](key, shape, np.float32))
        biases = np.asarray(given.get("bias_init", library.nn.initializers.zeros)(key, bias.shape, np.float32))
    return np.moveaxis(kernel, (-1, -2), (0, 1)), biases


def dense() -> nn.Module:
    return nn.Linear(N, M)


def convolution() -> nn.Module:
    return nn.Conv2d(IN, OUT, 3)


def recurrent(part: str) -> Any:
    """The input or recurrent weights of a layer without gates."""
    layer = nn.RNN(N, M)
    return SimpleNamespace(
        weight=layer.get_parameter(f"weight_{part}_l0"),
        bias=layer.get_parameter(f"bias_{part}_l0"),
        reset_parameters=layer.reset_parameters,
        all=layer,
    )


def ours(name: str, layer: Any, act: Activation, **parameters: Any) -> tuple[np.ndarray, np.ndarray]:
    section = read(find("init", name))
    given = {key: value for key, value in section.items() if key != "_target_"} | parameters
    initialized(get_object(section["_target_"]), getattr(layer, "all", layer), act=act, **given)
    return layer.weight.detach().numpy().copy(), layer.bias.detach().numpy().copy()


def check_alike(name: str, a: np.ndarray, b: np.ndarray) -> None:
    """Two samples of one distribution: moments, bounds, Kolmogorov-Smirnov; of matrices what makes them special too."""
    assert a.shape == b.shape
    if name in FIXED or (a.std() == 0 and b.std() == 0):
        np.testing.assert_allclose(a, b, rtol=1e-6)
        return
    assert abs(a.mean() - b.mean()) < 5 * math.sqrt((a.var() + b.var()) / a.size)
    assert abs(a.std() / b.std() - 1) < 5 * math.sqrt(2 / a.size)
    if shipped_facts("init").get(name, {}).get("Distribution") in ("uniform", "truncated"):
        ends = [np.quantile(np.abs(sample), 0.999) for sample in (a, b)]  # Keras lets 4 in a million beyond the cut
        assert abs(ends[0] / ends[1] - 1) < 0.03
    result: Any = stats.ks_2samp(a.ravel(), b.ravel())
    assert result.pvalue > RANDOM
    if name in ISOMETRIES:
        for mine, other in zip(singular_values(name, a), singular_values(name, b), strict=True):
            np.testing.assert_allclose(mine, other, rtol=1e-4)
    if name == "sparse":
        assert ((a == 0).sum(0) == (b == 0).sum(0)).all()


def singular_values(name: str, weight: np.ndarray) -> list[np.ndarray]:
    matrix = weight[..., 1, 1] if name == "delta_orthogonal" else weight.reshape(len(weight), -1)
    return list(np.linalg.svd(matrix, compute_uv=False))


SHAPES = {
    "dense": dense,
    "convolution": convolution,
    "recurrent inputs": lambda: recurrent("ih"),
    "recurrent": lambda: recurrent("hh"),
}
RELU = {"_target_": "initbench.parts.activations.relu"}
RELU_ACT = Activation(get_object(RELU["_target_"]))


@pytest.mark.parametrize(("name", "framework"), WITH_LINES)
def test_the_line_gives_our_weights(name, framework):
    line = LINES["init"][name][framework]
    for shape, layer in SHAPES.items():
        if name == "delta_orthogonal" and shape != "convolution":
            continue  # JAX has it for convolutions alone
        if shape == "convolution" and (name, framework) in DENSE_ONLY:
            continue
        if shape.startswith("recurrent") and name == "torch_default" and framework != "PyTorch":
            continue  # PyTorch draws recurrent layers by their width; `Gate` in the YAML
        weight, bias = ours(name, layer(), RELU_ACT)
        their_weight, their_bias = theirs(framework, line, layer())
        check_alike(name, weight, their_weight)
        if "#" not in line:
            check_alike("bias", bias, their_bias)


@pytest.mark.parametrize(
    ("name", "act", "parameters"),
    [
        ("he", {"_target_": "initbench.parts.activations.leaky_relu", "slope": 0.3}, {}),
        ("he_truncated", {"_target_": "initbench.parts.activations.leaky_relu", "slope": 0.3}, {"gain": 2}),
        ("lecun", {"_target_": "initbench.parts.activations.gelu"}, {"gain": "auto"}),
        ("xavier", {"_target_": "initbench.parts.activations.sigmoid"}, {"gain": "auto", "bias": 0.5}),
        ("orthogonal", {"_target_": "initbench.parts.activations.tanh"}, {"gain": "auto"}),
        ("kumar", {"_target_": "initbench.parts.activations.sigmoid"}, {"gain": 0.5}),
        ("unit_variance", {"_target_": "initbench.parts.activations.elu", "alpha": 0.5}, {}),
        ("critical", {"_target_": "initbench.parts.activations.tanh"}, {"sigma_b": 0.2}),
        ("mean_field", {"_target_": "initbench.parts.activations.tanh"}, {"sigma_b": 0.0}),
        ("geometric", {"_target_": "initbench.parts.activations.leaky_relu", "slope": 0.3}, {"gain": 3}),
        ("torch_default", RELU, {"gain": 2}),
        ("torch_default", RELU, {"bias": 0.25}),
        ("identity", RELU, {"gain": 0.5}),
        ("trunc_normal", RELU, {"std": 0.1, "gain": 2}),
        ("uniform", RELU, {"a": 0.1, "gain": 2}),
        ("sparse", RELU, {"sparsity": 0.5, "gain": 2}),
        ("constant", RELU, {"value": -0.5, "bias": 1}),
    ],
)
def test_the_line_has_the_parameters_and_the_activations_gain(name, act, parameters):
    phi, constants = phi_of(act), {key: value for key, value in act.items() if key != "_target_"}
    defaults = next(choice.parameters for choice in describe("init") if choice.name == name)
    lines = initializer_lines(shipped_facts("init")[name], defaults | parameters, phi)
    assert lines.keys() == LINES["init"][name].keys()
    for framework, line in lines.items():
        weight, bias = ours(name, dense(), Activation(get_object(act["_target_"]), **constants), **parameters)
        their_weight, their_bias = theirs(framework, line, dense())
        check_alike(name, weight, their_weight)
        if "# biases" not in line:
            check_alike("bias", bias, their_bias)


@pytest.mark.parametrize(("name", "constants"), [*((name, {}) for name in LINES["act"]), ("elu", {"alpha": 0.4})])
def test_the_line_of_an_activation_computes_ours(name, constants):
    section = read(find("act", name)) | constants
    given = {key: value for key, value in section.items() if key != "_target_"}
    x = np.linspace(-6, 6, 401, dtype=np.float32)
    expected = get_object(section["_target_"])(torch.from_numpy(x), **given).numpy()
    lines = activation_lines(shipped_facts("act")[name], given)
    assert list(lines) == list(FRAMEWORKS)
    for framework, line in lines.items():
        names = {"nn": nn, "torch": torch, "x": torch.from_numpy(x)}
        if framework != "PyTorch":
            names = {framework.lower(): imported(framework), "x": x}
        np.testing.assert_allclose(np.asarray(eval(line, names)), expected, rtol=1e-4, atol=2e-6, err_msg=framework)


# What docs/frameworks.md says of the frameworks' own functions.

PAGE = (Path(__file__).parent.parent / "docs" / "frameworks.md").read_text(encoding="utf-8")
SAME = [  # where its table says that nothing differs: ours, framework, theirs
    ("xavier", "PyTorch", "xavier_uniform_"),
    ("xavier_normal", "PyTorch", "xavier_normal_"),
    ("he", "PyTorch", "kaiming_normal_"),
    ("he_uniform", "PyTorch", "kaiming_uniform_"),
    ("orthogonal", "PyTorch", "orthogonal_"),
    ("xavier", "Keras", "GlorotUniform"),
    ("xavier_truncated", "Keras", "GlorotNormal"),
    ("he_uniform", "Keras", "HeUniform"),
    ("he_truncated", "Keras", "HeNormal"),
    ("lecun_uniform", "Keras", "LecunUniform"),
    ("lecun_truncated", "Keras", "LecunNormal"),
    ("orthogonal", "Keras", "Orthogonal"),
    ("xavier", "JAX", "glorot_uniform"),
    ("xavier_truncated", "JAX", "glorot_normal"),
    ("he_uniform", "JAX", "he_uniform"),
    ("he_truncated", "JAX", "he_normal"),
    ("lecun_uniform", "JAX", "lecun_uniform"),
    ("lecun_truncated", "JAX", "lecun_normal"),
    ("orthogonal", "JAX", "orthogonal"),
]


@pytest.mark.parametrize(("name", "framework", "function"), SAME)
def test_their_function_of_that_name_gives_our_weights(name, framework, function):
    line = {
        "PyTorch": f"nn.init.{function}(layer.weight)",
        "Keras": f"kernel_initializer=keras.initializers.{function}()",
        "JAX": f"kernel_init=jax.nn.initializers.{function}()",
    }[framework]
    for shape in (dense, convolution):
        weight, _ = ours(name, shape(), RELU_ACT)
        check_alike(name, weight, theirs(framework, line, shape())[0])


def test_the_page_names_all_initializers_of_the_frameworks():
    keras, jax = imported("Keras"), imported("JAX")
    known = {name for name in dir(nn.init) if name.endswith("_") and not name.startswith("_")}
    known |= {name for name in dir(keras.initializers) if name[0].isupper() and not name.endswith("Initializer")}
    known |= {name for name in dir(jax.nn.initializers) if name[0].islower()}
    table = PAGE.partition("## Lines")[0].replace("kaiming_*_", "kaiming_uniform_")
    assert not {name for name in known - {"Initializer"} if f"`{name}`" not in table}


def test_the_page_has_the_lines():
    assert f"{markdown('init')}\n\n{markdown('act')}\n" in PAGE, "python -m initbench.analysis.code_lines prints them"


def test_pytorchs_bare_kaiming_has_relus_gain_and_its_layers_another():
    weight = nn.Linear(N, M).weight
    variance = {
        slope: float(nn.init.kaiming_uniform_(weight, a=slope).detach().var()) * N for slope in (0, math.sqrt(5))
    }
    assert variance == {0: pytest.approx(2, rel=0.03), math.sqrt(5): pytest.approx(1 / 3, rel=0.03)}


def test_the_normal_of_keras_and_jax_is_cut_at_two_deviations():
    keras, jax = imported("Keras"), imported("JAX")
    shape, bound = (N, M), 2 * math.sqrt(2 / N) / 0.87962566
    for weight in (
        keras.initializers.HeNormal(seed=0)(shape).numpy(),
        np.asarray(jax.nn.initializers.he_normal()(jax.random.key(0), shape)),
    ):
        assert 0.98 * bound < np.abs(weight).max() <= bound * (1 + 1e-6)
        assert weight.var() * N == pytest.approx(2, rel=0.05)


def test_jax_needs_to_be_told_of_pytorchs_layout():
    jax = imported("JAX")
    scaled = jax.nn.initializers.variance_scaling
    told = scaled(1.0, "fan_in", "normal", in_axis=1, out_axis=0)(jax.random.key(0), (M, N))
    untold = scaled(1.0, "fan_in", "normal")(jax.random.key(0), (M, N))
    assert float(told.var()) == pytest.approx(1 / N, rel=0.05)
    assert float(untold.var()) == pytest.approx(1 / M, rel=0.05)


def test_keras_counts_all_channels_of_a_depthwise_convolution_as_inputs():
    keras, channels = imported("Keras"), 64
    layer = keras.layers.DepthwiseConv2D(7, depthwise_initializer="he_normal")
    layer.build((None, 9, 9, channels))
    assert float(layer.kernel.value.detach().var()) == pytest.approx(2 / (49 * channels), rel=0.1)
    weight = nn.Conv2d(channels, channels, 7, groups=channels).weight
    assert float(nn.init.kaiming_normal_(weight).detach().var()) == pytest.approx(2 / 49, rel=0.1)


def test_gates_count_as_outputs_everywhere_but_here():
    keras, layer = imported("Keras"), nn.LSTM(N, M)
    assert float(nn.init.xavier_uniform_(layer.weight_ih_l0).detach().var()) == pytest.approx(2 / (N + 4 * M), rel=0.05)
    assert keras.initializers.GlorotUniform(seed=0)((N, 4 * M)).numpy().var() == pytest.approx(
        2 / (N + 4 * M), rel=0.05
    )
    weight, _ = ours("xavier", SimpleNamespace(weight=layer.weight_ih_l0, bias=layer.bias_ih_l0, all=layer), RELU_ACT)
    assert weight.var() == pytest.approx(2 / (N + M), rel=0.05)
    with torch.random.fork_rng():
        exec("for gate in layer.weight_ih_l0.chunk(4): nn.init.xavier_uniform_(gate)", {"nn": nn, "layer": layer})
    assert float(layer.weight_ih_l0.detach().var()) == pytest.approx(2 / (N + M), rel=0.05)


def test_activations_whose_defaults_differ():
    keras, jax, x = imported("Keras"), imported("JAX"), np.float32([-1.0])
    assert float(keras.activations.leaky_relu(x)[0]) == pytest.approx(-0.2)
    assert (
        float(jax.nn.leaky_relu(x)[0]) == float(nn.functional.leaky_relu(torch.from_numpy(x))[0]) == np.float32(-0.01)
    )
    exact = float(nn.functional.gelu(torch.from_numpy(x))[0])
    assert float(keras.activations.gelu(x)[0]) == pytest.approx(exact, abs=1e-6)
    assert abs(float(jax.nn.gelu(x)[0]) - exact) > 1e-5
