"""What an initializer claims of its weights. The header of a shipped one's YAML says it:

    # Variance: 2 / ((1 + act.negative_slope^2) * n)
    # Distribution: normal

`Variance` is a formula of n and m (also fan_in, fan_out), rows and columns of the flattened weight, the initializer's
own parameters, and the activation's act.gain, act.slope0, act.value0 and act.negative_slope. Kinds of weights that
differ follow after semicolons: `1 / n; embedding 1`. `init.gain` multiplies the weights and needs no mention.
`Distribution` is normal, uniform or truncated (embeddings aside). `Orthogonal` says where rows or columns are
orthonormal: in each `matrix`, or at the `centre` of each kernel. `Symmetric: true`: all units of a layer start alike.
"""

import ast
import math
import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, get_args

from initbench.errors import InputError
from initbench.parts.activations import Activation
from initbench.parts.checks import choice
from initbench.parts.inits.drawing import gain_factor
from initbench.parts.inits.matrix import Kind, Matrix


class Distribution(NamedTuple):
    """Of mean 0 and variance 1."""

    kurtosis: float  # E[z^4]
    bound: float  # of |z|


DISTRIBUTIONS = {
    "normal": Distribution(3, math.inf),
    "uniform": Distribution(9 / 5, math.sqrt(3)),
    "truncated": Distribution(2.3655367, 2 / 0.87962566103423978),  # a normal distribution cut at 2 deviations
}
ORTHOGONAL = ("matrix", "centre")


@dataclass(frozen=True)
class Claims:
    """What an initializer claims; None where it claims nothing."""

    variance: str | None = None
    distribution: str | None = None
    orthogonal: str | None = None
    symmetric: bool = False

    def __post_init__(self):
        if self.distribution is not None:
            choice("distribution", self.distribution, DISTRIBUTIONS)
        if self.orthogonal is not None:
            choice("orthogonal", self.orthogonal, ORTHOGONAL)

    @classmethod
    def of(cls, facts: Mapping[str, str]) -> "Claims":
        """Those of a YAML's header."""
        words = {name.lower(): facts[name] for name in ("Variance", "Distribution", "Orthogonal") if name in facts}
        return cls(**words, symmetric=facts.get("Symmetric") == "true")

    def variance_of(self, matrix: Matrix, act: Activation, parameters: Mapping[str, Any]) -> float | None:
        """The variance claimed of a matrix's entries; InputError where the formula can't be understood."""
        if self.variance is None:
            return None
        rows, columns = matrix.weight.flatten(1).shape
        names = {
            "n": matrix.n,
            "m": matrix.m,
            "fan_in": matrix.n,
            "fan_out": matrix.m,
            "rows": rows,
            "columns": columns,
        }
        names |= {"act": act, **parameters}
        default, *others = self.variance.split(";")
        of_kind = {}
        for other in others:
            kind = next((kind for kind in get_args(Kind) if other.strip().startswith(f"{kind} ")), None)
            if kind is None:
                raise InputError(f"variance: '{other.strip()}' must begin with one of {', '.join(get_args(Kind))}")
            of_kind[kind] = other.strip().removeprefix(kind)
        gain = gain_factor(parameters.get("gain", 1), act)
        return gain**2 * evaluate(of_kind.get(matrix.kind, default), names)


OPERATORS: dict[type, Any] = {
    **{ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv},
    **{ast.Pow: operator.pow, ast.USub: operator.neg},
}
FUNCTIONS: dict[str, Callable[..., float]] = {"sqrt": math.sqrt, "exp": math.exp, "max": max, "min": min}
OF_ACTIVATION = ("gain", "slope0", "value0", "negative_slope")


def evaluate(formula: str, names: Mapping[str, Any]) -> float:
    """The number that a formula gives, such as `2 / (3 * n)` or `std^2`; InputError where it isn't one."""

    def value(node: ast.AST) -> float:
        match node:
            case ast.Constant(value=int() | float() as number):
                return number
            case ast.Name(id=name) if isinstance(names.get(name), int | float):
                return names[name]
            case ast.Attribute(value=ast.Name(id="act"), attr=name) if name in OF_ACTIVATION:
                return getattr(names["act"], name)
            case ast.UnaryOp(op=op, operand=operand) if type(op) in OPERATORS:
                return OPERATORS[type(op)](value(operand))
            case ast.BinOp(left=left, op=op, right=right) if type(op) in OPERATORS:
                return OPERATORS[type(op)](value(left), value(right))
            case ast.Call(func=ast.Name(id=name), args=args, keywords=[]) if name in FUNCTIONS:
                return FUNCTIONS[name](*map(value, args))
        raise InputError(f"variance: '{ast.unparse(node)}' in '{formula.strip()}' is no number; {_known(names)}")

    try:
        return float(value(ast.parse(re.sub(r"\^", "**", formula.strip()), mode="eval").body))
    except (SyntaxError, ArithmeticError, ValueError, TypeError) as error:
        reason = error.msg if isinstance(error, SyntaxError) else error
        raise InputError(f"variance: '{formula.strip()}' can't be worked out: {reason}; {_known(names)}") from None


def _known(names: Mapping[str, Any]) -> str:
    numbers = [name for name, value in names.items() if isinstance(value, int | float)]
    return f"there is {', '.join(numbers)}, act.{', act.'.join(OF_ACTIVATION)}, + - * / ^ and {', '.join(FUNCTIONS)}"
