"""Write mlekit/selftest_cases.json: reference fits of tests/reference with their numbers, for `mlekit.selftest()`.

``python -m tests.selftest_cases`` from the root. No number is mlekit's own: regressions were solved
in mpmath, other likelihoods in R, Longley's are NIST's, and those of a constant rate are closed forms.
"""

import json
from fractions import Fraction
from pathlib import Path

from mpmath import mp

from tests.deviations import family_of
from tests.reference import _read, load

ROOT = Path(__file__).parents[1]
#: Cases of that folder, and how many digits have to agree: numbers of R's optimisers have about ten.
REGRESSIONS = {
    "africa_poisson_parties": 10,
    "africa_poisson_sqrt": 10,
    "africa_poisson_identity_validstart": 9,
    "insurance_poisson_offset": 10,
    "warpbreaks_poisson_freq": 10,
    "mtcars_am_logit": 9,
    "mtcars_am_logit_freq": 9,
    "mtcars_am_probit": 9,
    "mtcars_am_cloglog": 9,
    "leuk_exponential": 9,
    "leuk_exponential_inverse": 9,
    "heights_ols": 10,
    "mtcars_ols_offset": 10,
    "mtcars_ols_precision": 10,
}
OTHERS = {"negbin_quine": "negative_binomial", "gamma_regression_leuk": "gamma", "weibull_leuk": "weibull"}


def regression(name: str, least: int) -> dict:
    case, raw = load(name), _read(name)
    family, options = family_of(case), case.options
    how = {"offset": options["offset"]} if "offset" in options else {}
    if options.get("weights_kind") == "precision":
        how["offset"] = {"sigma": f"-0.5 * log({options['weights']})"}
    elif "weights" in options:
        how["weights"] = options["weights"]
    expected = case.expected
    errors = expected.get("bse_ml") or expected.get("bse_observed", expected["bse"])
    numbers = {"params": expected["params"], "bse": errors, "llf": expected["llf"]}
    for kind in ("HC0", "HC1", "HC2", "HC3") if name == "mtcars_am_logit" else ():
        numbers[f"bse {kind}"] = expected["robust"][kind]["bse"]
    links = {p: link.name for p, link in family.links.items()}
    return made(name, raw, case.family, links, how, numbers, least)


def other(name: str, family: str) -> dict:
    expected = load(name).expected
    numbers = {"params": dict(list(expected["params"].items())[:-1]), "llf": expected["llf"]}
    return made(name, _read(name), family, {}, {}, numbers, 8)


def made(name: str, raw: dict, family: str, links: dict, how: dict, expected: dict, least: int) -> dict:
    text = json.dumps([raw["formula"], how])
    used = {key: values for key, values in raw["data"].items() if key in text}
    factors = {key: levels for key, levels in (raw.get("factors") or {}).items() if key in used}
    return {
        "name": name, "family": family.lower(), "links": links, "formula": raw["formula"], "options": how,
        "data": used, "factors": factors, "least": least, "status": None, "expected": expected,
    }  # fmt: skip


def longley() -> dict:
    raw = json.loads((ROOT / "tests/reference/nist/longley.json").read_text())
    raw["data"] = {name: [float(v) for v in values] for name, values in raw["data"].items()}
    values = dict(zip(raw["parameters"], map(float, raw["certified"]["estimate"]), strict=True))
    return made("nist_longley", raw, "normal", {}, {}, {"params": values}, 9)


def separation() -> dict:
    found = made("separation_quasi", _read("separation_quasi"), "bernoulli", {}, {}, {}, 12)
    tied = 2  # rows at x = 3, one of each outcome: all others become certain
    return found | {"status": "INFINITE", "expected": {"llf": float(-tied * mp.log(2))}}


def limit() -> dict:
    """Counts that vary less than a Poisson's, whose rate is their mean: closed forms."""
    y = [1, 2, 3, 2, 1, 2, 2, 3]
    with mp.workdps(30):
        rate = mp.mpf(Fraction(sum(y), len(y)).numerator) / Fraction(sum(y), len(y)).denominator
        llf = mp.fsum(v * mp.log(rate) - rate - mp.loggamma(v + 1) for v in y)
        expected = {"params": {"Intercept": float(mp.log(rate))}, "llf": float(llf)}
    raw = {"formula": "y ~ 1", "data": {"y": y}}
    return made("limit_of_a_parameter", raw, "negative_binomial", {}, {}, expected, 12) | {"status": "LIMIT"}


if __name__ == "__main__":
    cases = [regression(*each) for each in REGRESSIONS.items()] + [other(*each) for each in OTHERS.items()]
    cases += [longley(), separation(), limit()]
    text = ",\n".join(json.dumps(case, allow_nan=False) for case in cases)
    (ROOT / "mlekit/selftest_cases.json").write_text(f"[\n{text}\n]\n", encoding="utf-8")
