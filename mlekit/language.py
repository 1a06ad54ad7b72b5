"""The language of formulas from strangers: its functions, and a walk over the syntax tree that refuses all else."""

import ast
import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from mlekit.formula import FormulaError, shortened

# One value each, and two.
_ONE = """
    abs absolute fabs sign sqrt cbrt square exp exp2 expm1 log log2 log10 log1p sin cos tan arcsin arccos arctan sinh
    cosh tanh arcsinh arccosh arctanh deg2rad rad2deg floor ceil trunc rint isnan isfinite isinf logical_not
"""
_TWO = "maximum minimum fmax fmin hypot arctan2 logaddexp logical_and logical_or logical_xor"


@dataclass(frozen=True)
class _Signature:
    """What a function takes: at least and at most so many values, then literals, by position or by these names."""

    least: int = 1
    most: int = 1
    literals: tuple[str, ...] = ()


_SPLINE = ("df", "knots", "lower_bound", "upper_bound", "constraints")
#: Of numpy, with how many values each takes: no more, as the next would be an array to write into.
NUMPY = dict.fromkeys(_ONE.split(), _Signature()) | dict.fromkeys(_TWO.split(), _Signature(2, 2))
NUMPY |= {"where": _Signature(3, 3), "clip": _Signature(3, 3)}
_PLAIN = {name: _Signature() for name in ("log", "log2", "log10", "log1p", "exp", "expm1", "sqrt", "I")}
_PLAIN |= {
    "center": _Signature(),
    "standardize": _Signature(1, 1, ("center", "rescale", "ddof")),
    "scale": _Signature(1, 1, ("center", "rescale", "ddof")),
    "bs": _Signature(1, 1, ("df", "knots", "degree", "include_intercept", "lower_bound", "upper_bound")),
    "cr": _Signature(1, 1, _SPLINE),
    "cc": _Signature(1, 1, _SPLINE),
    "te": _Signature(1, 4, ("constraints",)),
    "Surv": _Signature(1, 2, ("type",)),
    "cbind": _Signature(2, 2),
}
_FUNCTIONS = _PLAIN | {f"np.{name}": signature for name, signature in NUMPY.items()}
_CONTRASTS = ("Treatment", "Sum", "Helmert", "Diff", "Poly")
LISTED = ("C", "Q", *_CONTRASTS, *_PLAIN)
# What takes columns of objects, such as text. Elsewhere they could grow: "a" * 10**9, or whole numbers of Python's.
OF_OBJECTS = {"C", "I", "Q", "Surv", "cbind", "np.where"}

_LARGEST = 2**63
#: Largest df and degree of a spline, and columns of all the splines of one expression.
_LARGEST_DF, _LARGEST_DEGREE = 1000, 5
_DEEPEST, _LONGEST_LIST = 100, 1000
_OPERATORS: dict[type[ast.AST], Callable[..., Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: operator.pow,
    ast.BitAnd: operator.and_,
    ast.BitOr: operator.or_,
    ast.UAdd: operator.pos,
    ast.USub: operator.neg,
    ast.Invert: operator.invert,
}
_COMPARISONS = (ast.Eq, ast.NotEq, ast.Lt, ast.LtE, ast.Gt, ast.GtE)
_WHY = {
    ast.Attribute: "is an attribute",
    ast.Subscript: "is a subscript",
    ast.Lambda: "is a function",
    ast.JoinedStr: "is a text that is evaluated",
    ast.BoolOp: "compares whole columns: write & for 'and', | for 'or', each side in parentheses",
    ast.Starred: "stands for several arguments",
}


class Checker:
    """Walks an expression, and refuses what it does not know."""

    def __init__(self, code: str, columns: frozenset[str]) -> None:
        self.code, self.columns = code, columns
        self.spline_columns = 1

    def refuse(self, node: ast.AST, why: str) -> NoReturn:
        """Say which piece is refused, and what such formulas may have."""
        piece = shortened(ast.unparse(node))
        raise FormulaError(
            f"the formula is not trusted, and {piece} {why}: no part of {shortened(self.code)!r} is evaluated. Such "
            f"formulas have columns of the data, numbers, operators and the functions {', '.join(LISTED)} and "
            f"np.{', np.'.join(NUMPY)}. If you know who wrote it: trusted=True (without --untrusted, from a shell)"
        )

    # ------------------------------------------------------------------------------------ values

    def value(self, node: ast.AST, depth: int) -> None:
        """One value per row, or a number."""
        if depth > _DEEPEST:
            raise FormulaError(f"the formula is not trusted, and {shortened(self.code)!r} is nested too deeply")
        if isinstance(node, ast.Name):
            self._column(node)
        elif isinstance(node, ast.Constant):
            self._number(node)
        elif isinstance(node, ast.UnaryOp | ast.BinOp):
            self._operation(node, depth)
        elif isinstance(node, ast.Compare):
            self._comparison(node, depth)
        elif isinstance(node, ast.Call):
            self._call(node, depth)
        else:
            self.refuse(node, _WHY.get(type(node), "is not part of that language"))

    def _column(self, node: ast.Name) -> None:
        if node.id.startswith(("__", "_patsy")):
            self.refuse(node, 'is a name that Python and patsy use themselves: a column is Q("...")')
        if node.id not in self.columns:
            what = "is a function, and has no arguments here" if node.id in LISTED else "is no column of the data"
            self.refuse(node, what)

    def _number(self, node: ast.Constant) -> None:
        if not isinstance(node.value, bool | int | float):
            what = "text stands only beside == and !=, and in the arguments of functions"
            self.refuse(node, what if isinstance(node.value, str) else "is no number")
        if isinstance(node.value, int) and abs(node.value) >= _LARGEST:
            self.refuse(ast.Name("a whole number"), f"is larger than {_LARGEST:.2g}")

    def _operation(self, node: ast.UnaryOp | ast.BinOp, depth: int) -> None:
        if type(node.op) not in _OPERATORS:
            self.refuse(node, _WHY[ast.BoolOp] if isinstance(node.op, ast.Not) else "has an operator that is not known")
        for part in _operands(node):
            self.value(part, depth + 1)
        self._constant(node)

    def _constant(self, node: ast.AST) -> Any:
        """Value of an expression of numbers alone, None of any other: those of Python grow without bound."""
        if isinstance(node, ast.Constant):
            return node.value
        if isinstance(node, ast.Call) and called_name(node.func) == "I" and len(node.args) == 1:
            return self._constant(node.args[0])
        if not isinstance(node, ast.UnaryOp | ast.BinOp):
            return None
        values = [self._constant(part) for part in _operands(node)]
        if any(value is None for value in values):
            return None
        if isinstance(node.op, ast.Pow) and _bits(values) > 64:
            self.refuse(node, f"is larger than {_LARGEST:.2g}")
        try:
            found = _OPERATORS[type(node.op)](*values)
        except (ArithmeticError, TypeError) as error:
            self.refuse(node, f"has no value ({error})")
        if isinstance(found, complex) or (isinstance(found, int) and abs(found) >= _LARGEST):
            self.refuse(node, f"is no real number below {_LARGEST:.2g}")
        return found

    def _comparison(self, node: ast.Compare, depth: int) -> None:
        if len(node.ops) > 1 or not isinstance(node.ops[0], _COMPARISONS):
            self.refuse(node, "compares otherwise than by one of ==, !=, <, <=, >, >=")
        sides = (node.left, node.comparators[0])
        if not any(isinstance(part, ast.Name | ast.Call) for side in sides for part in ast.walk(side)):
            self.refuse(node, "compares no column")
        for side in sides:
            if not _is_text(side):
                self.value(side, depth + 1)

    # ------------------------------------------------------------------------------------ functions

    def _call(self, node: ast.Call, depth: int) -> None:
        name = called_name(node.func)
        if any(isinstance(part, ast.Starred) for part in node.args) or any(word.arg is None for word in node.keywords):
            self.refuse(node, _WHY[ast.Starred])
        if name == "Q":
            self._quoted(node)
        elif name == "C":
            self._levels(node, depth)
        elif name in _FUNCTIONS:
            self._listed(node, name, _FUNCTIONS[name], depth)
        else:
            self.refuse(node.func, "is no listed function")

    def _quoted(self, node: ast.Call) -> None:
        if len(node.args) != 1 or node.keywords or not _is_text(node.args[0]):
            self.refuse(node, "is not Q with the name of a column")
        if node.args[0].value not in self.columns:  # type: ignore[attr-defined]  # it is a Constant
            self.refuse(node, "is no column of the data")

    def _listed(self, node: ast.Call, name: str, signature: _Signature, depth: int) -> None:
        values, rest = node.args[: signature.most], node.args[signature.most :]
        given = dict(zip(signature.literals, rest, strict=False))
        keywords = {str(word.arg): word.value for word in node.keywords}
        if len(values) < signature.least or len(rest) > len(given) or set(keywords) & set(given):
            self.refuse(node, f"has not the arguments of {name}")
        unknown = [word for word in keywords if word not in signature.literals]
        if unknown:
            self.refuse(node, f"has the argument {', '.join(unknown)}, which {name} does not take here")
        for part in values:
            if name != "np.where" or not _is_text(part):
                self.value(part, depth + 1)
        for word, part in (given | keywords).items():
            self._sized(node, word, self._literal(part))

    def _sized(self, node: ast.Call, word: str, value: Any) -> None:
        """Bound what makes columns: the degrees of freedom of all splines, which ``te`` multiplies, and degrees."""
        if word == "knots" and isinstance(value, list):
            word, value = "df", len(value)
        if word not in ("df", "degree") or value is None:
            return
        largest = _LARGEST_DF if word == "df" else _LARGEST_DEGREE
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= largest:
            self.refuse(node, f"has a {word} that is no whole number from 0 to {largest}")
        self.spline_columns *= max(value, 1) if word == "df" else 1
        if self.spline_columns > _LARGEST_DF:
            self.refuse(node, f"is one of several splines that make more than {_LARGEST_DF} columns")

    def _levels(self, node: ast.Call, depth: int) -> None:
        given = dict(zip(("contrast", "levels"), node.args[1:], strict=False))
        keywords = {str(word.arg): word.value for word in node.keywords}
        wrong = set(keywords) - {"contrast", "levels"} or set(keywords) & set(given)
        if not 1 <= len(node.args) <= 3 or wrong:
            self.refuse(node, "has not the arguments of C")
        self.value(node.args[0], depth + 1)
        given |= keywords
        if "levels" in given:
            self._literal(given["levels"])
        if "contrast" in given:
            self._contrast(given["contrast"])

    def _contrast(self, node: ast.AST) -> None:
        if called_name(node) in _CONTRASTS:
            return
        if not isinstance(node, ast.Call):
            self._literal(node)
            return
        words = {word.arg for word in node.keywords}
        if (
            called_name(node.func) not in _CONTRASTS
            or len(node.args) > 1
            or not words <= {"reference", "omit", "scores"}
        ):
            self.refuse(node, f"is none of the contrasts {', '.join(_CONTRASTS)}")
        for part in (*node.args, *(word.value for word in node.keywords)):
            self._literal(part)

    def _literal(self, node: ast.AST, depth: int = 0) -> Any:
        """A number, text, None, or a list of them."""
        if isinstance(node, ast.List | ast.Tuple) and depth < 2:
            if len(node.elts) > _LONGEST_LIST:
                self.refuse(node, f"is a list of more than {_LONGEST_LIST}")
            return [self._literal(part, depth + 1) for part in node.elts]
        if isinstance(node, ast.Constant) and (node.value is None or isinstance(node.value, str)):
            return node.value
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub) and isinstance(node.operand, ast.Constant):
            self._number(node.operand)
            return -node.operand.value  # type: ignore[operator]  # it is a number
        if not isinstance(node, ast.Constant):
            self.refuse(node, "is no literal, as arguments beside the columns are")
        self._number(node)
        return node.value


def _operands(node: ast.UnaryOp | ast.BinOp) -> tuple[ast.expr, ...]:
    return (node.operand,) if isinstance(node, ast.UnaryOp) else (node.left, node.right)


def _is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def called_name(node: ast.AST) -> str:
    """What is called: a name, or ``np.`` and a name; empty for whatever else is called."""
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "np":
        return f"np.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def _bits(values: Sequence[Any]) -> float:
    """Length of a power of whole numbers, before it is computed; 0 of floats, which overflow to an error."""
    base, exponent = values
    if not isinstance(base, int) or not isinstance(exponent, int) or abs(base) < 2:
        return 0
    return (abs(base).bit_length() - 1) * max(exponent, 0)
