"""The line of code that does the same in PyTorch, Keras or JAX, as the headers of `conf/init` and `conf/act` have it.

    # PyTorch: nn.init.kaiming_normal_(layer.weight, a={slope})
    # Keras: keras.initializers.VarianceScaling({gain^2 * 2 / (1 + slope^2)}, mode="fan_in", ...)
    # JAX: jax.nn.initializers.variance_scaling({gain^2 * 2 / (1 + slope^2)}, "fan_in", "normal")

Formulas in braces are those of `theory.nominal`; `gain` is the number that `init.gain=auto` stands for. The
line of an initializer is for a dense layer or a convolution; there is none where it would not give the same weights.
Biases are added here: as a statement for PyTorch, whose layers draw their own, as keywords for Keras and JAX (Flax).
"""

import math
import re
from collections.abc import Callable, Mapping
from typing import Any

from initbench.config.registry import Choice, describe
from initbench.theory.activations import Phi, activation
from initbench.theory.nominal import evaluate, known_values
from initbench.theory.quadrature import gain

FRAMEWORKS = ("PyTorch", "Keras", "JAX")
SHOWN_ACT = "relu"  # the activation in the lines of `initbench list init --json`
KEYWORDS = {"Keras": ("kernel_initializer", "bias_initializer"), "JAX": ("kernel_init", "bias_init")}
BIASES = {  # constant or normal ones
    "PyTorch": ("nn.init.constant_(layer.bias, {})", "nn.init.normal_(layer.bias, std={})"),
    "Keras": ("keras.initializers.Constant({})", "keras.initializers.RandomNormal(stddev={})"),
    "JAX": ("jax.nn.initializers.constant({})", "jax.nn.initializers.normal({})"),
}
PLAIN = {  # what a reader expects in place of values that change nothing
    r", gain=1\)": ")",
    r"(?<=rthogonal\()(gain=)?1\)": ")",
    r"\(gain=1\)": "()",
    r"\b1 \* ": "",
    r", a=0(?=[,)])": ', nonlinearity="relu"',
}
COMMENT = " # "
_FORMULA = re.compile(r"\{([^}]*)\}")


def initializer_lines(facts: Mapping[str, str], parameters: Mapping[str, Any], phi: Phi) -> dict[str, str]:
    """The lines by framework of an initializer with these parameters, for layers before an activation `phi`.

    facts: of the header of its YAML. A framework is left out where no line gives the same weights.
    """
    factor = gain(phi) if parameters.get("gain") == "auto" else parameters.get("gain", 1)

    def known(formula: str) -> dict[str, int | float]:
        return known_values(formula, {**parameters, "gain": factor}, phi)

    found = {}
    for framework in FRAMEWORKS:
        template = facts.get(framework)
        if template is None or _sets_others(template + facts.get("Bias", ""), parameters):
            continue
        line = filled(template, known)
        if framework == "PyTorch" and "gain" not in template and factor != 1:
            line = _before_comment(line, f"; layer.weight.data.mul_({number_text(factor)})")
        found[framework] = _with_bias(framework, line, _bias(facts, parameters, known))
    return found


def _sets_others(used: str, parameters: Mapping[str, Any]) -> bool:
    """Whether a parameter is set of which a template knows nothing."""
    known = {"gain", "bias", "bias_std"}
    return any(
        value is not None and name not in known and not re.search(rf"\b{name}\b", used)
        for name, value in parameters.items()
    )


def filled(template: str, known: Callable[[str], Mapping[str, float]]) -> str:
    """A template with the values of its formulas. known: what the names in a formula stand for."""
    line = _FORMULA.sub(lambda match: number_text(evaluate(match[1], known(match[1]), "line of code")), template)
    for pattern, plain in PLAIN.items():
        line = re.sub(pattern, plain, line)
    return line


def number_text(value: float) -> str:
    """Seven digits, as float32 has them: "2", "1.592537"."""
    return f"{value:.7g}"


def _bias(
    facts: Mapping[str, str], parameters: Mapping[str, Any], known: Callable[[str], Mapping[str, float]]
) -> tuple[int, str] | str:
    """The place in BIASES and its number; a comment where the deviation differs between layers."""
    if (std := parameters.get("bias_std")) is not None:
        return 1, number_text(std)
    if (constant := parameters.get("bias", 0)) is not None:
        return 0, number_text(constant)
    variance = facts.get("Bias", "")
    if not variance:
        return "biases: drawn"
    if re.search(r"\b[nm]\b", variance):
        return f"biases: of variance {variance}, n the layer's inputs"
    std = math.sqrt(evaluate(variance, known(variance), "line of code"))
    return int(std > 0), number_text(std)


def _with_bias(framework: str, line: str, bias: tuple[int, str] | str) -> str:
    resets = "reset_parameters" in line  # draws the biases that the framework's layers have
    if framework == "PyTorch":
        if isinstance(bias, str):
            return line if resets else f"{line}{COMMENT}{bias}"
        place, number = bias
        added = BIASES[framework][place].format(number).replace("constant_(layer.bias, 0)", "zeros_(layer.bias)")
        return _before_comment(line, f"; {added}")
    weights, biases = KEYWORDS[framework]
    line = f"{weights}={line}"
    if isinstance(bias, str):
        return f"{line}{COMMENT}{bias}"
    place, number = bias
    if (place, number) == (0, "0"):
        return line
    return _before_comment(line, f", {biases}={BIASES[framework][place].format(number)}")


def _before_comment(line: str, text: str) -> str:
    code, mark, comment = line.partition(COMMENT)
    return f"{code}{text}{mark}{comment}"


def activation_lines(facts: Mapping[str, str], constants: Mapping[str, Any]) -> dict[str, str]:
    """The lines by framework of an activation of an array x, with these constants."""
    return {name: filled(facts[name], lambda formula: constants) for name in FRAMEWORKS if name in facts}


def lines_of(group: str, choice: Choice) -> dict[str, str]:
    """The lines of an initializer, for layers before SHOWN_ACT, or of an activation, with its defaults."""
    if group == "act":
        return activation_lines(choice.facts, choice.parameters)
    return initializer_lines(choice.facts, choice.parameters, activation(SHOWN_ACT))


def markdown(group: str) -> str:
    """The lines of docs/frameworks.md: one block per choice that has any."""
    found = {choice.name: lines_of(group, choice) for choice in describe(group)}
    return "\n\n".join(f"**{name}**\n\n{_block(lines)}" for name, lines in found.items() if lines)


def _block(lines: Mapping[str, str]) -> str:
    return "\n".join(f"    # {framework}\n    {line}" for framework, line in lines.items())


if __name__ == "__main__":
    print(f"{markdown('init')}\n\n{markdown('act')}")
