"""The documents say what is true: imports, files, links, quotations of R, and commands."""

from __future__ import annotations

import ast
import re
import shlex
from fnmatch import fnmatch
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import mlekit
from mlekit.covariance import COVARIANCES
from mlekit.families import FAMILIES
from mlekit.optimize import METHODS
from tests.reference import load

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "mlekit"
FILES = {path.relative_to(PACKAGE).as_posix(): path for path in sorted(PACKAGE.rglob("*.py"))}
DOCUMENTS = sorted(
    [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("datasets/*.md"), *ROOT.glob("tests/**/*.md")]
)
MOST_LINES = 400


def text_of(name):
    return (ROOT / name).read_text(encoding="utf-8")


def name_of(path):
    return str(path.relative_to(ROOT))


# ---------------------------------------------------------------------------------------- imports


def module_of(file):
    """Return the dotted name inside the package of a file; the package itself is `__init__`."""
    return file.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


MODULES = {module_of(file): path for file, path in FILES.items()}


def permissions():
    """Read the table of the architecture: file (or pattern) -> modules (or patterns) that it may import."""
    lines = text_of("docs/architecture.md").splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("| file in `mlekit/` |"))
    table = {}
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            break
        file, _, allowed = (cell.strip() for cell in line.strip("|").split("|"))
        names = re.findall(r"`([^`]+)`", allowed)
        assert names or allowed in ("nothing", "everything"), line
        table[file.strip("`")] = ["*"] if allowed == "everything" else names
    return table


def row_of(file, table):
    """Return the row that speaks of a file: its own, or the pattern that it matches."""
    return file if file in table else next((row for row in table if "*" in row and fnmatch(file, row)), None)


def imported(path):
    """Return the modules of mlekit that a file imports when it runs."""
    found = set()

    def visit(node):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            for child in node.orelse:
                visit(child)
            return
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"relative import in {path}"
            if node.module.split(".")[0] == "mlekit":
                base = node.module.partition(".")[2]
                names = [f"{base}.{alias.name}".strip(".") for alias in node.names]
                found.update(name if name in MODULES else base or "__init__" for name in names)
        elif isinstance(node, ast.Import):
            inside = [alias.name for alias in node.names if alias.name.split(".")[0] == "mlekit"]
            found.update(name.partition(".")[2] or "__init__" for name in inside)
        for child in ast.iter_child_nodes(node):
            visit(child)

    visit(ast.parse(path.read_text(encoding="utf-8")))
    return found


def test_the_table_has_a_row_for_every_file_and_none_for_others():
    table = permissions()
    assert {file for file in FILES if row_of(file, table) is None} == set(), "files without a row"
    assert set(table) - {row_of(file, table) for file in FILES} == set(), "rows without a file"


@pytest.mark.parametrize("file", FILES)
def test_imports_are_those_that_the_table_allows(file):
    table = permissions()
    allowed = table.get(row_of(file, table), [])
    used = imported(FILES[file])
    refused = {name for name in used if not any(fnmatch(name, pattern) for pattern in allowed)}
    assert not refused, f"{file} imports {refused}; docs/architecture.md allows {allowed}"
    if "/" not in file or row_of(file, table) == file:  # a pattern speaks for several files: not all need all
        unused = {p for p in allowed if not any(fnmatch(name, p) for name in used)}
        assert not unused, f"docs/architecture.md lets {file} import {unused}, which it does not"


def test_what_the_table_allows_is_a_partial_order():
    table = permissions()
    graph = {}
    for file in FILES:
        module, row = module_of(file), row_of(file, table)
        patterns = table[row] if row else []
        allowed = imported(FILES[file]) if patterns == ["*"] else MODULES
        graph[module] = {name for name in allowed if any(fnmatch(name, p) for p in patterns)} - {module}
    TopologicalSorter(graph).prepare()  # raises CycleError


# ---------------------------------------------------------------------------------------- files


@pytest.mark.parametrize("file", FILES)
def test_no_file_is_too_long_to_read(file):
    lines = len(FILES[file].read_text(encoding="utf-8").splitlines())
    assert lines <= MOST_LINES, f"mlekit/{file} has {lines} lines: divide it"


def test_contributing_names_every_file():
    named = set(re.findall(r"^\| `([\w/]+\.py)` \|", text_of("CONTRIBUTING.md"), flags=re.MULTILINE))
    assert named == set(FILES)


# ---------------------------------------------------------------------------------------- documents


@pytest.mark.parametrize("path", DOCUMENTS, ids=name_of)
def test_no_path_of_a_machine(path):
    machine = r"(?<![\w.>-])/(?:work|home|root|tmp|mnt|opt|Users|var)/|(?:\.\./)+shared|\b[A-Z]:\\"
    assert not re.findall(machine, path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("path", DOCUMENTS, ids=name_of)
def test_links_lead_somewhere(path):
    text = re.sub(r"```.*?```", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"https?:", target):
            continue
        file, _, anchor = target.partition("#")
        there = (path.parent / file).resolve() if file else path
        assert there.exists(), target
        if anchor:
            heads = re.findall(r"^#+ (.+)$", there.read_text(encoding="utf-8"), flags=re.MULTILINE)
            slugs = {re.sub(r"[^\w -]", "", head.lower()).replace(" ", "-") for head in heads}
            assert anchor in slugs, target


def test_the_readme_lists_the_links_of_every_family():
    rows = re.findall(r"^\| (`\w+`|) ?\| `(\w+)` \| ([\w, ]+) \|$", text_of("README.md"), flags=re.MULTILINE)
    found, family = {}, ""
    for name, param, links in rows:
        family = name.strip("`") or family
        found[family, param] = links.split(", ")
    expected = {
        (kind.__name__, param): list(kind.links_for[param]) for kind in FAMILIES.values() for param in kind.params
    }
    assert found == expected
    for (family, param), links in found.items():
        assert getattr(mlekit, family)().links[param].name == links[0]


def test_the_readme_names_methods_and_covariances():
    named = set(re.findall(r'`"([\w-]+)"`', text_of("README.md")))
    assert named >= set(COVARIANCES) | {"auto", "closed_form", "newton", "fisher"}
    section = text_of("README.md").partition("| `method=` |")[2].partition("\n\n")[0]
    assert set(re.findall(r'`"([\w-]+)"`', section)) <= {"auto", "closed_form", *METHODS}


def test_the_shell_commands_of_the_readme_run(capsys):
    from mlekit.cli import main

    blocks = re.findall(r"^```bash\n(.*?)^```", text_of("README.md"), flags=re.DOTALL | re.MULTILINE)
    commands = [line for block in blocks for line in block.splitlines() if line.startswith("mlekit ")]
    assert len(commands) >= 3
    for command in commands:
        assert main(shlex.split(command)[1:]) == 0, command
    assert "miltcoup" in capsys.readouterr().out


# ---------------------------------------------------------------------------------------- quotations of R


def quotations():
    """Pair what R returned with the way docs/r_appendix.md writes it."""
    r, glm = load("africa_optim_traces").expected, load("africa_poisson_parties").expected["r_default_fit"]
    numeric, exact = r["poisson_log_numeric_gradient"], r["poisson_log_analytic_gradient"]
    mse, normal = r["final_line_mse"], r["normal_sd1"]
    lists = [
        numeric["par"],
        exact["par"],
        *numeric["hessian_of_mean_nll"],
        r["identity_link_from_mean"]["par"],
        r["glm_poisson_identity"]["coef"],
        normal["par"],
        list(glm["coef"].values()),
    ]
    yield from (f"[{', '.join(map(repr, values))}]" for values in lists)
    yield "{:.13f} {:.13f}".format(*numeric["par"])
    yield "[{:.13f}, {:.13f}]".format(*numeric["par"])
    yield f"fit$value                                           # {numeric['value']:.11f}"
    yield f"function {numeric['counts_fn']}, gradient {numeric['counts_gr']}"
    yield f"# {numeric['convergence']}, which"
    yield f"# {mse['poisson_log_at_loose_optim_par']:.11f}"
    yield "{:.10f} and {:.10f}".format(*glm["coef"].values())
    yield r["identity_link_from_zero"]["error"]
    yield r["slide_as_printed"]["error"].partition(" (")[0]
    yield "({:.10f}, {:.10f})".format(*normal["par"])
    yield f"value {normal['value']:.11f}"
    for key in ("intercept_only", "normal_ols", "poisson_log", "poisson_log_at_loose_optim_par"):
        yield f"{mse[key]:.8f}"
    yield f"{mse['poisson_log_using_linear_predictor_as_yhat']:.8f}"


@pytest.mark.parametrize("quotation", list(quotations()))
def test_r_is_quoted_as_it_answered(quotation):
    assert quotation in text_of("docs/r_appendix.md")
