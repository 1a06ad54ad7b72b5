"""Bias-reduced estimates against R's brglm2, and what is said of them."""

import json
import pickle

import numpy as np
import pytest
from mpmath import mp, mpf
from scipy import optimize, special
from statsmodels.tools.sm_exceptions import ConvergenceWarning

import mlekit
from mlekit.families import FAMILIES, Bernoulli
from tests.reference import FOLDER

CASES = json.loads((FOLDER / "bias_reduction" / "brglm2.json").read_text(encoding="utf-8"))["cases"]


def reduced(name):
    """Fit a case of brglm2's."""
    case = CASES[name]
    family = FAMILIES[case["family"]](**(case["links"] or {}))
    return mlekit.fit(case["formula"], case["data"], family, weights=case.get("weights"), bias_reduction=True)


@pytest.mark.parametrize("name", CASES)
def test_estimates_are_those_of_brglm2(name):
    case, fit = CASES[name], reduced(name)
    count, tolerance = len(case["params"]), 1e-8
    assert fit.converged
    assert "bias-reduced (Firth)" in str(fit.summary())
    np.testing.assert_allclose(fit.params[:count], case["params"], rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(fit.bse[:count], case["bse"], rtol=tolerance)
    if case.get("dispersion") is None or case["family"] == "negative_binomial":
        assert fit.llf == pytest.approx(case["llf"], rel=max(tolerance, 1e-9))
    if case.get("dispersion") is not None:  # R's logLik of other families has another dispersion in it
        dispersion = {"gamma": -1, "normal": 2, "negative_binomial": 1}[case["family"]]
        assert np.exp(dispersion * fit.params.iloc[-1]) == pytest.approx(case["dispersion"], rel=1e-8)


# ------------------------------------------------------------------------------------ other references

COMPLETE = {"x": np.arange(1.0, 7.0), "y": np.array([0, 0, 0, 1, 1, 1])}
X, Y = np.column_stack([np.ones(6), COMPLETE["x"]]), COMPLETE["y"]


def bernoulli_score(link, beta):
    """The adjusted score of the separated rows, and their information, from p, p' and p'' alone."""
    mean, slope, bend = MEANS[link]
    information, score, leverages = mp.zeros(2), mp.zeros(2, 1), []
    for x, y in zip(X, Y, strict=True):
        row = mp.matrix([mpf(v) for v in x])
        eta = beta[0] * row[0] + beta[1] * row[1]
        p, first, second = mean(eta), slope(eta), bend(eta)
        information += first**2 / (p * (1 - p)) * row * row.T
        score += (int(y) - p) * first / (p * (1 - p)) * row
        leverages.append((row, first * second / (p * (1 - p)) / 2))
    inverse = information**-1
    for row, weight in leverages:
        score += (row.T * inverse * row)[0] * weight * row
    return score, information


MEANS = {
    "logit": (
        lambda e: 1 / (1 + mp.exp(-e)),
        lambda e: mp.exp(-e) / (1 + mp.exp(-e)) ** 2,
        lambda e: mp.exp(-e) * (mp.exp(-e) - 1) / (1 + mp.exp(-e)) ** 3,
    ),
    "probit": (mp.ncdf, mp.npdf, lambda e: -e * mp.npdf(e)),
    "cloglog": (
        lambda e: -mp.expm1(-mp.exp(e)),
        lambda e: mp.exp(e - mp.exp(e)),
        lambda e: mp.exp(e - mp.exp(e)) * (1 - mp.exp(e)),
    ),
    "cauchit": (
        lambda e: mpf(1) / 2 + mp.atan(e) / mp.pi,
        lambda e: 1 / (mp.pi * (1 + e * e)),
        lambda e: -2 * e / (mp.pi * (1 + e * e) ** 2),
    ),
}


@pytest.mark.parametrize("link", MEANS)
def test_estimates_under_separation_are_certified(link):
    fit = mlekit.fit("y ~ x", COMPLETE, Bernoulli(p=link), bias_reduction=True)
    with mp.workdps(50):
        root = mp.findroot(lambda a, b: tuple(bernoulli_score(link, (a, b))[0]), tuple(map(mpf, fit.params)))
    np.testing.assert_allclose(fit.params, [float(v) for v in root], rtol=1e-9)


def test_profile_intervals_are_certified():
    fit = mlekit.fit("y ~ x", COMPLETE, "bernoulli", bias_reduction=True)

    def penalised(a, b):
        etas = [a + b * int(x) for x in COMPLETE["x"]]
        value = -mp.fsum(mp.log1p(mp.exp(-e if y else e)) for e, y in zip(etas, Y, strict=True))
        return value + mp.log(mp.det(bernoulli_score("logit", (a, b))[1])) / 2

    ends = fit.conf_int(method="profile").loc["x"]
    with mp.workdps(30):
        top = penalised(*mp.findroot(lambda a, b: tuple(bernoulli_score("logit", (a, b))[0]), tuple(fit.params)))
        fall = mpf("3.841458820694124")  # of chi-squared with one degree of freedom, as R prints it
        for end, intercept in zip(ends, (-0.5, -20.0), strict=True):
            found = mp.findroot(
                lambda a, b: (bernoulli_score("logit", (a, b))[0][0], 2 * (top - penalised(a, b)) - fall),
                (mpf(intercept), mpf(end)),
            )
            assert end == pytest.approx(float(found[1]), rel=1e-8)


def test_intervals_are_those_of_heinze_and_schemper():
    # Heinze and Schemper 2002, Statistics in Medicine 21, 2409-2419: endometrial cancer.
    found = reduced("endometrial_logit").conf_int(method="profile").round(2)
    assert found.loc["NV"].tolist() == [0.61, 7.85]
    assert found.loc["PI"].tolist() == [-0.12, 0.04]
    assert found.loc["EH"].tolist() == [-4.37, -1.23]


def jeffreys(beta, X, y):
    eta = X @ beta
    p = 1 / (1 + np.exp(-eta))
    _, logdet = np.linalg.slogdet(X.T @ (X * (p * (1 - p))[:, None]))
    return -(y @ eta - np.logaddexp(0, eta).sum() + logdet / 2)


def test_penalised_likelihood_ratio_holds_the_penalty():
    data = CASES["endometrial_logit"]["data"]
    larger, smaller = (
        mlekit.fit(f, data, "bernoulli", bias_reduction=True) for f in ("HG ~ NV + PI + EH", "HG ~ PI + EH")
    )
    X = np.column_stack([np.ones(79), *(data[name] for name in ("NV", "PI", "EH"))])
    scale = X.std(axis=0) + (X.std(axis=0) == 0)
    X, y = X / scale, np.array(data["HG"])
    free = optimize.minimize(jeffreys, larger.params * scale, args=(X, y), tol=1e-10).fun
    start = np.delete(larger.params.to_numpy() * scale, 1)
    held = optimize.minimize(lambda b: jeffreys(np.insert(b, 1, 0.0), X, y), start, tol=1e-10).fun
    found = larger.lr_test(smaller)
    assert found.statistic == pytest.approx(2 * (held - free), rel=1e-7)
    assert (found.df, smaller.lr_test(larger).statistic) == (1, found.statistic)
    assert larger.llf_penalised == pytest.approx(-free + np.log(scale).sum(), rel=1e-9)  # in the columns' own units


# ------------------------------------------------------------------------------------ what is known without a reference


def test_normal_estimates_are_exact():
    rng = np.random.default_rng(1)
    data = {"x": rng.normal(size=12), "y": rng.normal(size=12)}
    X, y = np.column_stack([np.ones(12), data["x"]]), data["y"]
    beta, rss = np.linalg.lstsq(X, y)[:2]
    fit = mlekit.fit("y ~ x", data, "normal", bias_reduction=True)
    # E[log rss] is about log(n - p) - 1 / (n - p): one degree of freedom more than the unbiased variance has.
    np.testing.assert_allclose(fit.params, [*beta, 0.5 * np.log(rss[0] / (12 - 2 - 1))], rtol=1e-10)


def test_saturated_counts_move_by_a_half():
    counts = [0, 1, 5, 0, 12]
    fit = mlekit.fit("y ~ C(g) - 1", {"g": list("abcde"), "y": counts}, "poisson", bias_reduction=True)
    np.testing.assert_allclose(fit.params, np.log(np.add(counts, 0.5)), rtol=1e-10)
    shares = mlekit.fit(
        "cbind(s, f) ~ C(g) - 1", {"g": list("ab"), "s": [0, 4], "f": [7, 2]}, "binomial", bias_reduction=True
    )
    np.testing.assert_allclose(shares.params, np.log([0.5 / 7.5, 4.5 / 2.5]), rtol=1e-10)


def test_all_ways_to_write_a_logit_agree():
    data = {"x": COMPLETE["x"], "y": Y, "n": 1 - Y}
    logit = mlekit.fit("y ~ x", data, "bernoulli", bias_reduction=True).params
    binomial = mlekit.fit("cbind(y, n) ~ x", data, "binomial", bias_reduction=True).params
    levels = mlekit.fit("y ~ x", data, "multinomial_logit", bias_reduction=True).params
    ordered = mlekit.fit("y ~ x", data, "ordered_logit", bias_reduction=True).params
    for other in (binomial, levels, [-ordered.iloc[1], ordered.iloc[0]]):
        np.testing.assert_allclose(other, logit, rtol=1e-9)


@pytest.mark.parametrize("name", ["poisson", "bernoulli", "gamma", "negative_binomial", "beta", "student_t", "weibull"])
def test_estimates_do_not_depend_on_coordinates_units_or_start(name):
    rng = np.random.default_rng(2)
    x, z = rng.normal(size=(2, 24))
    mean = np.exp(0.3 + 0.5 * x)
    draws = {
        "poisson": rng.poisson(mean),
        "bernoulli": rng.random(24) < 0.4,
        "beta": rng.beta(2, 3, size=24),
        "student_t": x + rng.standard_t(3, size=24),
        "negative_binomial": rng.poisson(mean * rng.gamma(1, 1, size=24)),
    }
    y = draws.get(name, mean * rng.gamma(2, 1, size=24))
    fit = mlekit.fit("y ~ x + z", {"y": y, "x": x, "z": z}, name, bias_reduction=True)
    # (1, x, z) = (1, u, v) @ turn
    turn = np.array([[1.0, 2000.0, -1.0], [0.0, 3.0, 1e-3], [0.0, 1.0, 2e-3]])
    columns = np.column_stack([np.ones(24), x, z]) @ np.linalg.inv(turn)
    other = mlekit.fit("y ~ u + v", {"y": y, "u": columns[:, 1], "v": columns[:, 2]}, name, bias_reduction=True)
    known = np.concatenate([turn @ fit.params[:3], fit.params[3:]])
    assert fit.converged
    assert other.converged
    np.testing.assert_allclose(other.params, known, rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(other.fittedvalues, fit.fittedvalues, rtol=1e-8)
    again = mlekit.fit(
        "y ~ x + z", {"y": y, "x": x, "z": z}, name, bias_reduction=True, start=fit.params + 0.3 * fit.bse
    )
    np.testing.assert_allclose(again.params, fit.params, rtol=1e-7, atol=1e-9)


def test_weights_are_repeated_rows():
    times = np.array([2, 1, 3, 1, 2, 5])
    for family, y in (("poisson", Y), ("negative_binomial", [0, 4, 0, 3, 1, 16]), (Bernoulli(p="probit"), Y)):
        data = {"x": COMPLETE["x"], "y": np.array(y)}
        weighted = mlekit.fit("y ~ x", data | {"w": times}, family, weights="w", bias_reduction=True)
        rows = {name: np.repeat(values, times) for name, values in data.items()}
        repeated = mlekit.fit("y ~ x", rows, family, bias_reduction=True)
        np.testing.assert_allclose(weighted.params, repeated.params, rtol=1e-7)
        np.testing.assert_allclose(weighted.bse, repeated.bse, rtol=1e-7)


def test_what_is_held_is_an_offset():
    data = COMPLETE | {"z": np.array([1.0, 0, 2, 1, 0, 1])}
    held = mlekit.fit("y ~ x + z", data, "bernoulli", fixed={"z": 0.5}, bias_reduction=True)
    offset = mlekit.fit("y ~ x + offset(0.5 * z)", data, "bernoulli", bias_reduction=True)
    np.testing.assert_allclose(held.params, offset.params, rtol=1e-10)
    # With its scale held, a Normal mean has no bias.
    known = mlekit.fit("z ~ x", data, "normal", fixed={"sigma": 2.0}, bias_reduction=True)
    np.testing.assert_allclose(known.params, mlekit.fit("z ~ x", data, "normal").params[:2], rtol=1e-10)
    assert known.canonical
    assert known.llf_penalised != known.llf


# ------------------------------------------------------------------------------------ what is refused, and said


@pytest.mark.parametrize(
    ("family", "how", "text"),
    [
        ("bernoulli", {"bounds": {"x": (0, 1)}}, "bounds= do not go together"),
        ("bernoulli", {"constraints": "x = 0"}, "constraints= do not go together"),
        ("bernoulli", {"penalty": mlekit.Ridge(1.0)}, "penalty= do not go together"),
        ("bernoulli", {"method": "newton"}, "a method of its own"),
        ("normal", {"use_t": True}, "use_t=True is for least squares"),
        ("laplace", {}, "has a kink"),
    ],
)
def test_what_does_not_go_with_it_is_refused(family, how, text):
    with pytest.raises(ValueError, match=text):
        mlekit.fit("y ~ x", COMPLETE, family, bias_reduction=True, **how)


def test_censored_responses_are_refused():
    data = {"t": [1.0, 2, 3, 4], "e": [1, 0, 1, 1], "x": [0, 1, 0, 1]}
    with pytest.raises(ValueError, match="2 columns: their joint distribution is not known"):
        mlekit.fit("Surv(t, e) ~ x", data, mlekit.Censored("exponential"), bias_reduction=True)


def test_without_a_gradient_there_is_no_penalised_likelihood():
    fit = mlekit.fit("y ~ x", COMPLETE, Bernoulli(p="probit"), bias_reduction=True)
    smaller = mlekit.fit("y ~ 1", COMPLETE, Bernoulli(p="probit"), bias_reduction=True)
    assert np.isnan(fit.llf_penalised)
    for refused in (lambda: fit.conf_int(method="profile"), lambda: fit.lr_test(smaller)):
        with pytest.raises(ValueError, match="no gradient"):
            refused()


def test_tests_of_likelihoods_refuse_it():
    reduced_fit, plain = reduced("quasi_logit"), reduced("zeros_poisson")
    other = mlekit.fit("y ~ 1", CASES["quasi_logit"]["data"], "bernoulli")
    for refused in (
        reduced_fit.drop1,
        reduced_fit.term_tests,
        lambda: reduced_fit.score_test("x1 = 0"),
        lambda: other.lr_test(reduced_fit),
        lambda: mlekit.anova(other, reduced_fit),
    ):
        with pytest.raises(ValueError, match="is bias-reduced, and not at the maximum"):
            refused()
    with pytest.raises(ValueError, match="is not bias-reduced, and the other fit is"):
        reduced_fit.lr_test(other)
    assert np.isnan(plain.llr_pvalue)


def test_summary_and_checks_say_what_it_is():
    fit = reduced("endometrial_logit")
    text = " ".join(str(fit.summary()).split())
    assert "Bernoulli bias-reduced (Firth)" in text
    assert "AIC and BIC are at these estimates, and not at the maximum" in text
    assert f"Jeffreys' prior ({fit.llf_penalised:.8g})" in text
    assert "expected information at the bias-reduced estimate" in text
    assert fit.diagnosis.passed.fillna(True).all()
    assert fit.reason.startswith("converged: the estimate is the root of the adjusted score")
    copy = pickle.loads(pickle.dumps(fit))
    assert copy.llf_penalised == fit.llf_penalised
    fit.remove_data()
    assert "Firth" in str(fit.summary())


def test_robust_errors_have_the_score_of_the_rows():
    fit = reduced("warpbreaks_log")
    model = fit.model
    scores, bread = model.score_obs(fit.params), np.linalg.inv(-model.hessian(fit.params))
    np.testing.assert_allclose(fit.with_cov("HC0").cov_params(), bread @ scores.T @ scores @ bread, rtol=1e-8)
    assert fit.with_cov("bootstrap", n=50, seed=1).bse.notna().all()


def test_no_root_is_said():
    with pytest.warns(ConvergenceWarning, match="run off to infinity"):
        two = mlekit.fit("y ~ 1", {"y": [1.0, 2.0]}, "normal", bias_reduction=True)
    with pytest.warns(ConvergenceWarning, match="fit is perfect"):
        perfect = mlekit.fit("y ~ x", {"x": np.arange(6.0), "y": np.arange(6.0)}, "normal", bias_reduction=True)
    with pytest.warns(ConvergenceWarning, match="iteration limit"):
        short = mlekit.fit("y ~ x", COMPLETE, "bernoulli", bias_reduction=True, maxiter=1)
    assert not any(fit.converged for fit in (two, perfect, short))


def test_a_far_start_leads_to_the_same_root():
    fit = mlekit.fit("y ~ x", COMPLETE, "bernoulli", bias_reduction=True, start={"Intercept": 30.0, "x": -20.0})
    np.testing.assert_allclose(fit.params, CASES["complete_logit"]["params"], rtol=1e-8)


class Own(mlekit.GenericLikelihood):
    """A Poisson that gives its log-density alone."""

    params = {"mu": "log"}

    def logpdf(self, y, mu):
        return y * np.log(mu) - mu - special.gammaln(y + 1)

    def in_support(self, y):
        return (y >= 0) & (y == np.floor(y))


def test_a_family_of_ones_own_has_all_of_it():
    data = CASES["zeros_poisson"]["data"]
    own, built_in = (mlekit.fit("y ~ g", data, family, bias_reduction=True) for family in (Own, "poisson"))
    assert own.canonical
    np.testing.assert_allclose(own.params, built_in.params, rtol=1e-8)
    ends = (fit.conf_int(cols=["g"], method="profile") for fit in (own, built_in))
    np.testing.assert_allclose(*ends, rtol=1e-7)


def test_nothing_is_kept_of_rows_that_are_removed():
    counts = {"y": np.random.default_rng(1).poisson(2.0, 5000), "x": np.linspace(-1, 1, 5000)}
    fit = mlekit.fit("y ~ x", counts, "poisson", bias_reduction=True)
    value = fit.llf_penalised
    fit.remove_data()
    assert len(pickle.dumps(fit)) < 40_000
    assert fit.llf_penalised == value


def test_leverages_need_the_information_of_rows():
    data = {"x": COMPLETE["x"], "y": [0, 4, 0, 3, 1, 16]}
    fit = mlekit.fit("y ~ x", data, "negative_binomial", bias_reduction=True)
    with pytest.raises(ValueError, match="use 'HC0'"):
        fit.with_cov("HC3")
    assert fit.with_cov("HC0").bse.notna().all()
    with pytest.raises(TypeError, match="must be True or False"):
        mlekit.fit("y ~ x", COMPLETE, "bernoulli", bias_reduction="firth")
