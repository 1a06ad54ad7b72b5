"""Families and their links as records: those of the registries are rebuilt, a user's own is passed in and compared."""

from typing import Any

from mlekit.families import Censored, GenericLikelihood, Hurdle, Truncated, ZeroInflated, as_family
from mlekit.families.categorical import Categorical
from mlekit.families.combined import Combinator
from mlekit.families.registry import FAMILIES
from mlekit.links import LINKS, as_link
from mlekit.saving.levels import level, level_record
from mlekit.saving.text import SavedFitError, number, real, refuse

#: Families made of another one, by the names that files have for them.
COMBINATORS: dict[str, type[Combinator]] = {
    "censored": Censored,
    "truncated": Truncated,
    "zero_inflated": ZeroInflated,
    "hurdle": Hurdle,
}


def family_record(family: GenericLikelihood) -> dict[str, Any]:
    """Write a family: its name, links, constants and levels, and the family that it is made of.

    Examples
    --------
    >>> family_record(as_family("poisson"))
    {'name': 'poisson', 'own': [], 'links': {'mu': 'log'}, 'constants': {}, 'levels': [], 'inner': None}
    """
    made = isinstance(family, Combinator)
    known: dict[str, Any] = {**COMBINATORS} if made else {**FAMILIES}
    names = [name for name, kind in known.items() if kind is type(family)]
    levels = isinstance(family, Categorical)
    mine = family.own_params if isinstance(family, Combinator) else () if levels else family.params
    links = {name: family.links[name] for name in mine}
    own = [f"the link {link.name} of {name}" for name, link in links.items() if LINKS.get(link.name) is not link]
    return {
        "name": names[0] if names else type(family).__name__,
        "own": [*own] if names else ["the family", *own],
        "links": {name: link.name for name, link in links.items()},
        "constants": {name: number(getattr(family, name)) for name in family.constants},
        "levels": [level_record(value) for value in family.levels] if isinstance(family, Categorical) else [],
        "inner": family_record(family.inner) if isinstance(family, Combinator) else None,
    }


def family_from(record: dict[str, Any], given: Any) -> GenericLikelihood:
    """Read a family.

    Parameters
    ----------
    record : dict
    given : family, class or None
        The family that the caller passes in. If the record has something of the user's own, it is needed.

    Raises
    ------
    SavedFitError
        If it is needed and lacking, or is another one than that of the record.
    """
    own = _own(record)
    if given is None and own:
        raise SavedFitError(
            f"the fit is of {_called(record)}, and a file has no code: {' and '.join(own)} must be passed in, as "
            "load(path, family=...), with the links and constants of the fit"
        )
    family = _made(record) if given is None else _bound(as_family(given), record)
    if family_record(family) != record:
        if given is None:
            refuse(f"its family is no {_called(record)} as mlekit has it")
        raise SavedFitError(
            f"family={family!r} is not the family of the fit, {_called(record)}, with links "
            f"{_links(record)} and constants {record['constants']}: pass that in"
        )
    return family


def _called(record: dict[str, Any]) -> str:
    return record["name"] if record["inner"] is None else f"{record['name']}({_called(record['inner'])})"


def _links(record: dict[str, Any]) -> dict[str, str]:
    return ({} if record["inner"] is None else _links(record["inner"])) | record["links"]


def _own(record: dict[str, Any]) -> list[str]:
    return record["own"] + ([] if record["inner"] is None else _own(record["inner"]))


def _bound(family: GenericLikelihood, record: dict[str, Any]) -> GenericLikelihood:
    """Return a family with the levels of the fit, if it is one of levels and has none yet."""
    if isinstance(family, Categorical) and not family.levels:
        return family.of_levels([level(value) for value in record["levels"]])
    return family


def _made(record: dict[str, Any]) -> GenericLikelihood:
    """Make a family of the registries."""
    name, inner = record["name"], record["inner"]
    kind: Any = FAMILIES.get(name) if inner is None else COMBINATORS.get(name)
    if kind is None:
        refuse(f"mlekit has no family {name[:50]!r}{'' if inner is None else ' that is made of another'}")
    try:
        if issubclass(kind, Categorical):
            return kind().of_levels([level(value) for value in record["levels"]])
        how = {param: as_link(link) for param, link in record["links"].items()}
        how |= {constant: real(value) for constant, value in record["constants"].items()}
        return kind(**how) if inner is None else kind(_made(inner), **how)
    except (TypeError, ValueError) as error:
        refuse(f"its family cannot be made: {error}")
