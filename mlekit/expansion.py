"""A formula expanded into its terms, which are counted before: patsy's parser, without its recursion over sums.

Nothing is evaluated here: patsy's parser cuts a formula into tokens, and leaves expressions as text.
"""

import math

from patsy import ModelDesc, PatsyError
from patsy.desc import Evaluator, IntermediateExpr
from patsy.infix_parser import ParseNode
from patsy.parse_formula import parse_formula

#: Characters of a formula, and of an expression.
LONGEST = 100_000
_TERMS = 10_000
# patsy looks at all subsets of the factors of each term.
_SUBSETS = 200_000


def expand(formula: str) -> ModelDesc:
    """Terms of a formula.

    Raises
    ------
    patsy.PatsyError
        If the formula cannot be read, or is too long, too deep or stands for too many terms.

    Examples
    --------
    >>> [term.name() for term in expand("y ~ (a + b)**2").rhs_termlist]
    ['Intercept', 'a', 'b', 'a:b']
    >>> expand("y ~ (" + "+".join("abcdefghijklmnopqrstuvwxyz") + ")**26")
    Traceback (most recent call last):
    ...
    patsy.PatsyError: it stands for more than 10000 terms
    """
    if len(formula) > LONGEST:
        raise PatsyError(f"it has {len(formula)} characters, and may have {LONGEST}")
    evaluator = Evaluator()
    evaluator.add_op("+", 2, _sum)
    try:
        tree = parse_formula(formula)
        _count(tree)
        found: ModelDesc = evaluator.eval(tree, require_evalexpr=False)
    except RecursionError:
        raise PatsyError("it is nested too deeply") from None
    except AssertionError:  # patsy's tokenizer, of what Python's tokenizer says otherwise from version to version
        raise PatsyError("it is not cut into names, numbers and operators") from None
    largest = max((len(term.factors) for term in found.rhs_termlist), default=0)
    if sum(2.0 ** len(term.factors) for term in found.rhs_termlist) > _SUBSETS:
        raise PatsyError(f"its interactions are of too many variables: the largest is of {largest}")
    return found


def _is_sum(tree: ParseNode) -> bool:
    return bool(tree.type == "+" and len(tree.args) == 2)


def _chain(tree: ParseNode) -> list[ParseNode]:
    """Summands of a sum, from the left: Python's stack would not hold one call for each."""
    parts = []
    while _is_sum(tree):
        parts.append(tree.args[1])
        tree = tree.args[0]
    return [tree, *reversed(parts)]


def _sum(evaluator: Evaluator, tree: ParseNode) -> IntermediateExpr:
    """As patsy adds: the last intercept that is written decides."""
    first, *others = _chain(tree)
    left = evaluator.eval(first)
    state, terms = (left.intercept, left.intercept_origin, left.intercept_removed), list(left.terms)
    for other in others:
        if other.type == "ZERO":
            state = (False, None, True)
            continue
        right = evaluator.eval(other)
        state = (True, right.intercept_origin, False) if right.intercept else state
        terms += right.terms
    return IntermediateExpr(*state, terms)


def _count(tree: ParseNode) -> int:
    """How many terms a formula stands for at most, before equal ones are put together."""
    if not tree.args:
        return 1
    sizes = [_count(part) for part in (_chain(tree) if _is_sum(tree) else tree.args)]
    found = sum(sizes)
    if tree.type == ":":
        found = math.prod(sizes)
    elif tree.type == "*":
        found += math.prod(sizes)
    elif tree.type == "**":
        found = _power(sizes[0], tree.args[1])
    if found > _TERMS:
        raise PatsyError(f"it stands for more than {_TERMS} terms")
    return found


def _power(size: int, exponent: ParseNode) -> int:
    """Sums of all interactions of at most so many of ``size`` terms; patsy refuses what is no whole number."""
    text = exponent.token.extra if exponent.token is not None and not exponent.args else ""
    power = int(text) if isinstance(text, str) and text.isdecimal() and len(text) < 10 else _TERMS
    return sum(math.comb(size, k) for k in range(1, min(power, size) + 1))
