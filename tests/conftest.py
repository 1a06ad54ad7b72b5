"""Fixtures of several files: the command line, run in this process."""

import pytest

from mlekit import cli
from tests.command import strictly

# Scripts that made reference numbers. Collected for doctests they would turn the module tests.reference into a folder.
collect_ignore = ["reference"]


@pytest.fixture
def run(capsys):
    """Run a command in this process: exit status, standard output, standard error."""

    def command(*argv):
        try:
            status = cli.main([str(arg) for arg in argv])
        except SystemExit as end:
            status = end.code
        out, err = capsys.readouterr()
        assert "Traceback" not in out + err
        return status, out, err

    return command


@pytest.fixture
def fit_json(run):
    """Fit with --json, check that it went well, and read the JSON as strictly as its standard."""

    def command(*argv):
        status, out, err = run("fit", *argv, "--json")
        assert (status, err) == (0, "")
        return strictly(out)

    return command
