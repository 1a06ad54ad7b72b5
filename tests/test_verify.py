"""What `verify` confirms, what it must not, and that the digits it lets one trust are right."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from mpmath import mp, mpf

import mlekit
from mlekit import GenericLikelihood, Normal, Ridge
from mlekit.diagnostics import NotGiven
from mlekit.jets import Rows
from tests import exact_squares, fuzz_fits
from tests.deviations import model_of
from tests.reference import cases, load
from tests.sample import DATA

RNG = np.random.default_rng(1)
X = RNG.normal(size=60)
COUNTS = {"y": RNG.poisson(np.exp(0.3 * X + 1)), "x": X, "w": RNG.integers(1, 4, 60), "o": 0.1 * X**2}


def quiet(*args, **how):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return mlekit.fit(*args, **how)


def failed(found):
    return list(found.table.index[found.table.passed.eq(False).fillna(False)])


def correct(found, right):
    """Significant digits that agree, for numbers that are known to more than a double has."""
    with mp.workdps(60):
        found, right = mpf(float(found)), mpf(right)
        return 16.0 if found == right else float(-mp.log10(abs(found - right) / abs(right)))


# ------------------------------------------------------------------------------------ digits


@pytest.mark.parametrize("name", cases(("glm", "lm")))
def test_digits_are_right_and_not_far_too_few(name):
    case = load(name)
    fit = model_of(case).fit()
    found = fit.verify()
    assert found.passed, str(found)
    claimed = found.coefficients.digits
    spare = [correct(fit.params[k], v) - claimed[k] for k, v in case.expected["params"].items()]
    assert min(spare) >= 0
    # Longley's columns are nearly collinear: refinement keeps digits that rounding of the data would cost.
    assert max(spare) <= (7 if name == "longley_ols" else 3)


@pytest.mark.parametrize("name", exact_squares.NAMES)
def test_digits_of_badly_conditioned_columns_are_right(name):
    """Against the exact solution of the decimal data, which no double can hold."""
    case = exact_squares.load(name)
    X, y = exact_squares.matrix(case)
    exact = exact_squares.least_squares(X, y, mean="Intercept" in case["parameters"])
    fit = quiet(case["formula"], exact_squares.frame(case))
    found = fit.verify()
    for parameter, right in zip(case["parameters"], exact.params, strict=True):
        with mp.workdps(60):
            right = mpf(right.numerator) / right.denominator
        assert correct(fit.params[parameter], right) >= found.coefficients.digits[parameter]
    if name in ("Wampler1", "Wampler2"):
        assert "verdict" in failed(found)
    else:
        assert found.passed, str(found)
        least = {"Filip": 5, "Longley": 9, "Wampler5": 5, "Wampler4": 7, "Wampler3": 8}.get(name, 11)
        assert found.coefficients.digits[list(case["parameters"])].min() >= least


def exact_errors(fit, given):
    """Errors of coefficients: a step of Newton's method with derivatives of 80 digits."""
    checked = fuzz_fits.Checked(given, fit._results)
    tiny, size = mpf(10) ** -20, fit.params.size
    with mp.workdps(80):
        params = [mpf(float(b)) for b in fit.params]

        def at(*moves):
            moved = list(params)
            for j, sign in moves:
                moved[j] += sign * tiny * units[j]
            return mp.fsum(checked.exactly(moved))

        units = [mpf(float(s)) for s in fit.bse]
        here = at()
        ahead, behind = [[at((j, s)) for j in range(size)] for s in (1, -1)]
        gradient = mp.matrix([(a - b) / 2 / tiny for a, b in zip(ahead, behind, strict=True)])
        hessian = mp.matrix(size, size)
        for j in range(size):
            for k in range(size):
                corner = at((j, 1), (k, 1))
                hessian[j, k] = (corner - ahead[j] - ahead[k] + here) / tiny**2
        step = mp.lu_solve(-hessian, gradient)
        return [float(abs(step[j] * units[j])) for j in range(size)]


@pytest.mark.parametrize("seed", [2, 8, 25, 33, 41, 49, 54, 63, 68, 83])
def test_digits_are_right_of_random_fits_of_many_families(seed):
    given, fit = random_fit(seed)
    found = fit.verify()
    for name, error in zip(fit.params.index, exact_errors(fit, given), strict=True):
        claimed = found.coefficients.digits[name]
        assert not claimed or error <= abs(fit.params[name]) * 10.0**-claimed
    assert found.passed, str(found)


def random_fit(seed):
    given = fuzz_fits.sample(seed)
    first = next(iter(given.family.params))
    offset = None if given.offset is None else {first: given.offset}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = mlekit.Model.from_arrays(given.y, given.X, given.family, weights=given.weights, offset=offset)
        return given, model.fit()


# ------------------------------------------------------------------------------------ what must fail


class WrongGradient(GenericLikelihood):
    """A normal distribution whose score is a tenth too small on one side, and its Hessian too."""

    params = {"mu": "identity"}

    def logpdf(self, y, mu):
        return -0.5 * (y - mu) ** 2 - 0.5 * np.log(2 * np.pi)

    def rows(self, y, mu, *, order=2):
        size = np.where(y > mu, 0.9, 1.0)
        value = self.logpdf(y, mu)
        return Rows(value, (size * (y - mu))[None], -size[None, None] if order > 1 else None)


class WrongHessian(WrongGradient):
    def rows(self, y, mu, *, order=2):
        return Rows(self.logpdf(y, mu), (y - mu)[None], np.full((1, 1, len(y)), -1.00005) if order > 1 else None)


def test_a_wrong_gradient_fails():
    found = quiet("y ~ x", DATA, WrongGradient()).verify()
    assert {"derivatives", "slope", "curvature"} < set(failed(found))
    assert (found.coefficients.digits == 0).all()
    assert not found


def test_a_hessian_that_is_a_little_wrong_fails_though_the_fit_cannot_see_it():
    fit = mlekit.fit("y ~ x", DATA, WrongHessian())
    assert fit.converged
    assert failed(fit.verify()) == ["derivatives"]


def test_a_wrong_value_fails():
    class Shifted(WrongGradient):
        def rows(self, y, mu, *, order=2):
            rows = GenericLikelihood.rows(self, y, mu, order=order)
            return rows._replace(value=rows.value + 1e-6)

    assert failed(mlekit.fit("y ~ x", DATA, Shifted()).verify()) == ["log-likelihood"]


def mixture(a, b, y):
    return np.logaddexp(-0.5 * (y - a) ** 2, -0.5 * (y - b) ** 2)


def test_a_maximum_that_is_not_unique_fails():
    y = np.concatenate([X[:30] - 1, X[30:] + 1])
    found = mlekit.mle(mixture, {"a": -1.0, "b": 1.5}, {"y": y}).verify()
    assert failed(found) == ["other starts"]
    assert "as high" in found.table.figure["other starts"]
    assert (found.coefficients.digits == 0).all()
    median = mlekit.fit("y ~ 1", {"y": [1.0, 2.0, 3.0, 4.0]}, "laplace").verify()
    assert failed(median) == ["other starts"]


CAUCHY = {"y": [-10, -10.3, -9.9, 10, 10.2]}


def test_a_local_maximum_fails():
    how = {"fixed": {"df": 1.0, "sigma": 0.5}}
    low = mlekit.fit("y ~ 1", CAUCHY, "student_t", **how, start=[10.0], method="newton").verify()
    assert failed(low) == ["other starts", "rewritten"]
    assert "higher" in low.table.figure["other starts"]
    assert low.coefficients.digits.item() == 0
    high = mlekit.fit("y ~ 1", CAUCHY, "student_t", **how).verify()
    assert "lower" in high.table.figure["other starts"]
    assert high.coefficients.digits.item() >= 10


def test_a_fit_that_stopped_early_fails():
    found = quiet("y ~ x", COUNTS, "poisson", method="bfgs", tol=1e6).verify()
    assert {"verdict", "score", "slope", "other starts", "second method"} < set(failed(found))
    assert (found.coefficients.digits == 0).all()
    near = quiet("y ~ x", COUNTS, "poisson", method="newton", tol=0.1, maxiter=3).verify()
    assert (near.coefficients.digits <= 8).all()


def test_nearly_collinear_columns_fail():
    found = quiet("y ~ x + z", COUNTS | {"z": X + 1e-11 * RNG.normal(size=60)}, "poisson").verify()
    assert failed(found) == ["conditioning"]
    assert (found.coefficients.digits[["x", "z"]] <= 5).all()


def test_a_perfect_fit_fails():
    assert "verdict" in failed(quiet("y ~ x", {"y": 1 + 2 * X, "x": X}).verify())


# ------------------------------------------------------------------------------------ kinds of fits


FITS = {
    "weights and offset": ("y ~ x", COUNTS, "poisson", {"weights": "w", "offset": "o"}),
    "closed form": ("y ~ x", COUNTS, "normal", {}),
    "levels": ("w ~ x", COUNTS, "ordered_probit", {}),
    "unordered levels": ("C(w) ~ x", COUNTS, "multinomial_logit", {}),
    "kinks": ("x ~ o", COUNTS, "laplace", {}),
    "kinked scale": ({"mu": "x ~ o", "b": "~ w"}, COUNTS, "laplace", {}),
    "Huber": ("y ~ x", COUNTS, "huber_normal", {}),
    "several parameters": ({"mu": "y ~ x", "sigma": "~ x"}, COUNTS, "normal", {}),
    "ridge": ("y ~ x", COUNTS, "poisson", {"penalty": Ridge(2.0)}),
    "bound": ("y ~ x", COUNTS, "poisson", {"bounds": {"x": (None, 0.1)}}),
    "constraint": ("y ~ x", COUNTS, "poisson", {"constraints": "x = 0.2"}),
    "bias-reduced": ("y > 2 ~ x", COUNTS, "bernoulli", {"bias_reduction": True}),
    "held": ("y ~ x", COUNTS, "normal", {"fixed": {"sigma": 2.0}}),
    "truncated": ("x ~ o", COUNTS, mlekit.Truncated(Normal(), lower=-9.0), {}),
    "limit": ("y ~ 1", {"y": [1, 2, 3, 2, 1, 2, 2, 3]}, "negative_binomial", {}),
    "tiny weights": ("y ~ x", COUNTS | {"w": 1e-9 * COUNTS["w"]}, "poisson", {"weights": "w"}),
    "tiny units": ("y ~ x", COUNTS | {"x": 1e-300 * X}, "poisson", {}),
    "huge units": ("y ~ x", COUNTS | {"x": 1e300 * X}, "poisson", {}),
    "huge counts": ("y ~ x", {"y": np.round(1e15 * np.exp(X)), "x": X}, "poisson", {}),
    "one row": ("y ~ 1", {"y": [3.0]}, "poisson", {}),
    "nothing to estimate": ("y ~ 0", COUNTS, "poisson", {}),
}


@pytest.mark.parametrize("kind", FITS)
def test_every_kind_of_fit_can_be_verified(kind):
    formula, data, family, how = FITS[kind]
    found = quiet(formula, data, family, **how).verify()
    if kind == "kinks":
        assert failed(found) in ([], ["other starts"])
        return
    assert found.passed, str(found)
    finite = found.coefficients[np.isfinite(found.coefficients.estimate)]
    assert finite.digits.ge(8).all(), str(found)


def test_what_does_not_apply_is_said():
    found = quiet("y ~ x", {"y": [0, 0, 0, 1, 1, 1], "x": [1, 2, 3, 4, 5, 6]}, "bernoulli").verify()
    assert found.table.passed.notna().sum() == 1
    assert found.table.figure.drop("verdict").str.contains("not applicable").all()
    quasi = quiet("y ~ g", {"y": [0, 0, 0, 0, 3, 5, 2, 4], "g": list("aaaabbbb")}, "poisson").verify()
    assert quasi.passed
    assert np.isinf(quasi.coefficients.estimate).all()


def test_a_fit_without_rows_says_so():
    fit = mlekit.fit("y ~ x", COUNTS, "poisson")
    fit.remove_data()
    with pytest.raises(NotGiven, match="remove_data"):
        fit.verify()


def test_verifying_changes_nothing_and_comes_out_the_same():
    fit = mlekit.fit("y ~ x", COUNTS, "negative_binomial")
    before = fit.params.copy()
    first, second = fit.verify(), fit.verify()
    assert str(first) == str(second)
    assert (fit.params == before).all()
    assert str(first).startswith("Verification: all")
    assert "<table" in first._repr_html_()
