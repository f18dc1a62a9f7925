"""A filter for runs, such as `depth>=20 and act!='sigmoid'`: Python's parser reads it, and nothing is executed.

A name is a column of the runs, `init.std` and `label` among them. It can be compared (==, !=, <, <=, >, >=, in, not in,
also in chains) with numbers, text, True, False, None, lists of these, or other columns. `and`, `or` and `not` join
comparisons. Other names of keys and choices are read as on the command line: `activation` is `act`.
A comparison with a missing value is false; `!=` is the opposite of `==`, so it is true there, as in
pandas. `== None` finds missing values. If a column holds numbers and text (`init.gain` 1 and `auto`), only its numbers
are compared with a number.
"""

import ast
import dataclasses
import difflib
import operator
import warnings
from collections.abc import Callable
from functools import reduce
from typing import Any, NoReturn

import numpy as np
import pandas as pd

from initbench.analysis.axes import cell_axes, with_labels
from initbench.config.aliases import read_key, same_choice
from initbench.config.registry import choices, groups
from initbench.errors import InputError, nearest
from initbench.outcomes import DIVERGED, LEARNED, SLOW, STUCK
from initbench.results.load import Results
from initbench.results.store import text

ORDERINGS: dict[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}
# All values that these columns may have, also those that no run here has.
VOCABULARY = {"outcome": (LEARNED, SLOW, STUCK, DIVERGED), "status": ("done", "failed", "pending")}
FEW = 20  # values; more are not listed in an error
EXAMPLE = "; write for example depth==20 and act!='sigmoid'"


def filtered(results: Results, expression: str) -> Results:
    """The results of the runs that match; raises InputError if the expression can't be read or nothing matches."""
    chosen = matching(results.runs, expression)
    if not chosen.any():
        raise InputError(f"--where {expression!r}: none of the {len(chosen)} runs matches")
    return dataclasses.replace(results, runs=results.runs[chosen].reset_index(drop=True))


def matching(runs: pd.DataFrame, expression: str) -> pd.Series:
    """A boolean per run, with the runs' index: whether it matches; raises InputError if the filter can't be read."""
    labelled = runs if "label" in runs else with_labels(runs, cell_axes(runs))
    try:
        chosen = _Filter(labelled, expression.strip()).chosen()
    except RecursionError as error:
        raise InputError(f"--where: {len(expression)} characters are nested too deeply") from error
    return pd.Series(chosen, index=runs.index, name="matching")


@dataclasses.dataclass(frozen=True)
class _Filter:
    """One expression and the runs that it filters."""

    runs: pd.DataFrame
    expression: str

    def chosen(self) -> np.ndarray:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error", SyntaxWarning)
                tree = ast.parse(self.expression, mode="eval")
        except (SyntaxError, ValueError, MemoryError) as error:
            reason = error.msg if isinstance(error, SyntaxError) else str(error)
            raise InputError(f"--where {self.expression!r}: can't be read ({reason}){EXAMPLE}") from error
        return self.condition(tree.body)

    def refuse(self, node: ast.AST, reason: str) -> NoReturn:
        piece = ast.get_source_segment(self.expression, node)
        raise InputError(f"--where {self.expression!r}: {piece} {reason}")

    def refuse_operator(self, node: ast.BinOp) -> NoReturn:
        if isinstance(node.op, ast.BitAnd | ast.BitOr):
            self.refuse(node, "joins by & or |; write `and`, `or`")
        self.refuse(node, "calculates, and a filter only compares")

    def condition(self, node: ast.expr) -> np.ndarray:
        match node:
            case ast.BoolOp(op=ast.And(), values=values):
                return np.logical_and.reduce([self.condition(value) for value in values])
            case ast.BoolOp(values=values):
                return np.logical_or.reduce([self.condition(value) for value in values])
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                return ~self.condition(operand)
            case ast.Compare(left=left, ops=ops, comparators=comparators):
                operands = [left, *comparators]
                links = zip(operands[:-1], ops, operands[1:], strict=True)
                return reduce(operator.and_, [self.comparison(node, *link) for link in links])
            case ast.BinOp():
                self.refuse_operator(node)
            case _:
                self.refuse(node, f"is no comparison{EXAMPLE}")

    def comparison(self, node: ast.expr, left: ast.expr, op: ast.cmpop, right: ast.expr) -> np.ndarray:
        match op:
            case ast.Eq() | ast.NotEq():
                found = self.equal(node, left, right, needed=isinstance(op, ast.Eq))
                return found if isinstance(op, ast.Eq) else ~found
            case ast.In() | ast.NotIn():
                if not isinstance(right, ast.List | ast.Tuple):
                    self.refuse(right, "is no list; write `act in ['relu', 'tanh']`")
                needed = isinstance(op, ast.In)
                each = [self.equal(node, left, value, needed=needed) for value in right.elts]
                found = reduce(operator.or_, each, np.zeros(len(self.runs), bool))
                return found if needed else ~found
            case _ if order := ORDERINGS.get(type(op)):
                return order(self.ordered(node, left, right), self.ordered(node, right, left))
            case _:
                self.refuse(node, "compares by `is`; write == or !=")

    def equal(self, node: ast.expr, left: ast.expr, right: ast.expr, *, needed: bool) -> np.ndarray:
        """needed: refuse any text that is not a value of its column; otherwise only one that looks misspelt."""
        if not _names_column(left):
            left, right = right, left
        self.hold_column(node, left, right)
        name, column = self.column(left)
        if _names_column(right):
            return self.equal_columns(column, self.column(right)[1])
        value = self.constant(right)
        if value is None:
            return column.isna().to_numpy(bool)
        if isinstance(value, bool):
            return self.equal_truth(right, name, column, value, needed)
        if isinstance(value, float):
            return self.numbers(node, name, column) == value
        return self.equal_text(right, name, column, value, needed)

    def equal_columns(self, left: pd.Series, right: pd.Series) -> np.ndarray:
        if _is_number(left) and _is_number(right):
            return _as_numbers(left) == _as_numbers(right)
        return (_as_text(left) == _as_text(right)) & left.notna().to_numpy(bool)

    def equal_truth(self, node: ast.expr, name: str, column: pd.Series, value: bool, needed: bool) -> np.ndarray:
        if _is_number(column):
            self.refuse(node, f"is compared with {name}, which holds numbers")
        if not pd.api.types.is_bool_dtype(column):  # text where some values are no truths
            return self.equal_text(node, name, column, text(value), needed)
        return (column.astype("boolean") == value).fillna(False).to_numpy(bool)

    def equal_text(self, node: ast.expr, name: str, column: pd.Series, value: str, needed: bool) -> np.ndarray:
        if _is_number(column):
            self.refuse(node, f"is text, and {name} holds numbers")
        values = _as_text(column)
        known = {*values[column.notna()], *VOCABULARY.get(name, ())}
        value = value if value in known else same_choice(name, value)
        if value not in known and (needed or _misspelt(name, value, known)):
            self.refuse(node, f"is no value of {name}{_like(value, known)}")
        return (values == value) & column.notna().to_numpy(bool)

    def column(self, node: ast.expr) -> tuple[str, pd.Series]:
        name = _dotted(node)
        if name not in self.runs:
            name = read_key(name)  # `activation` of PyTorch and Keras is `act` here
        if name not in self.runs:
            self.refuse(node, f"is no column of the runs{nearest(name, map(str, self.runs.columns))}")
        return name, self.runs[name]

    def hold_column(self, comparison: ast.expr, *sides: ast.expr) -> None:
        """One side at least names a column, and the others are constants."""
        constants = [self.constant(side) for side in sides if not _names_column(side)]
        if len(constants) == len(sides):
            self.refuse(comparison, "compares no column")

    def ordered(self, comparison: ast.expr, node: ast.expr, other: ast.expr) -> np.ndarray | float:
        """One side of < or >: a column's numbers, or a constant."""
        if _names_column(node):
            return self.numbers(comparison, *self.column(node))
        self.hold_column(comparison, node, other)
        value = self.constant(node)
        if not isinstance(value, float):
            self.refuse(node, "has no order; < and > compare numbers")
        return value

    def numbers(self, comparison: ast.expr, name: str, column: pd.Series) -> np.ndarray:
        """A column's numbers, NaN where it has none."""
        if pd.api.types.is_bool_dtype(column):
            self.refuse(comparison, f"compares {name}, which holds True and False, as a number")
        numbers = _as_numbers(column)
        if column.notna().any() and np.isnan(numbers).all():
            options = _like("", set(_as_text(column.dropna())))
            self.refuse(comparison, f"compares {name}, which holds text, as a number{options}")
        return numbers

    def constant(self, node: ast.expr) -> float | str | bool | None:
        """The value of a constant, a number as a float."""
        match node:
            case ast.Constant(value=bool() | str() | None as value):
                return value
            case ast.Constant(value=int() | float() as value):
                return self.as_float(node, value)
            case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as value)) if not isinstance(
                value, bool
            ):
                return -self.as_float(node, value)
            case ast.BinOp():
                self.refuse_operator(node)
            case _:
                self.refuse(node, "is neither a column, a number, text, True, False nor None")

    def as_float(self, node: ast.expr, value: float) -> float:
        try:
            return float(value)
        except OverflowError:
            self.refuse(node, "is too large a number")


def _misspelt(name: str, value: str, known: set[str]) -> bool:
    """Whether a text is nearly one of a column's values, and not a choice of a group that no run has."""
    shipped = name in groups() and value in choices(name)
    return not shipped and bool(difflib.get_close_matches(value, known, n=1, cutoff=0.8))


def _names_column(node: ast.expr) -> bool:
    return isinstance(node, ast.Name) or (isinstance(node, ast.Attribute) and _names_column(node.value))


def _dotted(node: ast.expr) -> str:
    """`init.std` of the tree for it."""
    match node:
        case ast.Attribute(value=owner, attr=name):
            return f"{_dotted(owner)}.{name}"
        case ast.Name(id=name):
            return name
    raise TypeError(f"no name: {ast.dump(node)}")


def _is_number(column: pd.Series) -> bool:
    return pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column)


def _as_numbers(column: pd.Series) -> np.ndarray:
    return pd.to_numeric(column, errors="coerce").to_numpy("float64", na_value=np.nan)


def _as_text(column: pd.Series) -> np.ndarray:
    return column.astype("object").map(text, na_action="ignore").to_numpy("object")


def _like(value: str, options: set[str]) -> str:
    """The end of an error line: the option nearest to `value`; all of them where they are few."""
    if len(options) > FEW:
        options = set(difflib.get_close_matches(value, options, n=1))
    return nearest(value, options) if options else ""
