"""Numbers as a table shows them: as many decimals as an error allows, powers of ten where digits would be zeros."""

import math
import re

# Beyond these, a number is written as a power of ten, where plain figures would be zeros that say nothing.
_SMALL, _LARGE = -4, 7
_DIGITS = 15  # of a double
_NUMBER = re.compile(r"-?(?:\d+(?:\.\d+)?(?:e[+-]\d+)?|\binf\b)")
_STARS = re.compile(r"(?<=[\w)$>])\*+$")


def decimals_of(value: float, digits: int) -> int:
    """How many decimals show ``digits`` significant digits of a number: less than 0 for one that is large.

    Examples
    --------
    >>> decimals_of(0.0246, 2), decimals_of(0.0996, 2), decimals_of(12345.6, 3)
    (3, 2, -2)
    """
    return digits - 1 - _exponent(value, digits)


def _exponent(value: float, digits: int) -> int:
    """Power of ten of the first digit after rounding."""
    return int(f"{value:.{digits - 1}e}".partition("e")[2])


def written(value: float, decimals: int) -> str:
    """A number with so many decimals, as a power of ten if it is very small or very large.

    Examples
    --------
    >>> written(0.0228547, 4), written(1.23456e-9, 11), written(1.23456e9, -5), written(-math.inf, 2)
    ('0.0229', '1.23e-09', '1.2346e+09', '-inf')
    """
    if not math.isfinite(value):
        return f"{value:g}"
    size = _exponent(value, _DIGITS) if value else 0
    decimals = min(decimals, _DIGITS - 1 - size)  # the digits beyond are none of the number
    large, small = size >= _LARGE and decimals < 0, size < _SMALL and size + decimals >= 0
    if large or small:
        return f"{value:.{max(size + decimals, 0)}e}"
    return f"{value:.{max(decimals, 0)}f}"


def probability(value: float) -> str:
    """A p-value.

    Examples
    --------
    >>> probability(0.0105), probability(1e-9)
    ('0.011', '<0.001')
    """
    return "<0.001" if value < 0.001 else f"{value:.3f}"


def in_html(cell: str) -> str:
    """An escaped cell with a minus sign, powers of ten and raised stars.

    Examples
    --------
    >>> in_html("-1.2e-09**")
    '−1.2 × 10<sup>−9</sup><sup>**</sup>'
    """

    def typeset(match: re.Match[str]) -> str:
        mantissa, _, power = match[0].replace("inf", "∞").replace("-", "−").partition("e")
        return mantissa + (f" × 10<sup>{_plain(power)}</sup>" if power else "")

    return _STARS.sub(lambda match: f"<sup>{match[0]}</sup>", _NUMBER.sub(typeset, cell))


def in_latex(cell: str) -> str:
    r"""An escaped cell with numbers that need it in mathematics, and raised stars.

    Examples
    --------
    >>> in_latex("-1.2e-09**"), in_latex("(0.5)")
    ('$-1.2 \\times 10^{-9}$\\textsuperscript{**}', '(0.5)')
    """

    def typeset(match: re.Match[str]) -> str:
        mantissa, _, power = match[0].replace("inf", r"\infty").partition("e")
        raised = rf" \times 10^{{{_plain(power)}}}" if power else ""
        return f"${mantissa}{raised}$" if "-" in match[0] or "e" in match[0] or "inf" in match[0] else match[0]

    return _STARS.sub(lambda match: rf"\textsuperscript{{{match[0]}}}", _NUMBER.sub(typeset, cell))


def _plain(power: str) -> str:
    """``-09`` as ``-9``, ``+09`` as ``9``."""
    sign = power[0].strip("+")
    return sign + power[1:].lstrip("0")
