"""What the tests of the command line share."""

from __future__ import annotations

import json
import subprocess
import sys

from mlekit import datasets

AFRICA = "miltcoup ~ parties"
SEPARATED = "y,x\n0,1\n0,2\n0,3\n1,4\n1,5\n1,6\n"
POISSON = ("--data", "africa", "--family", "poisson")
COLUMNS = ", ".join(datasets.load_africa().columns)


def strictly(text):
    def refuse(token):
        raise AssertionError(f"{token} is not JSON")

    return json.loads(text, parse_constant=refuse)


def process(*argv, **options):
    command = [sys.executable, "-W", "error", "-m", "mlekit", *argv]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120, **options)


def write(frame, path):
    if path.name.endswith(".parquet"):
        frame.to_parquet(path)
    else:
        frame.to_csv(path, index=False, sep="\t" if ".tsv" in path.name.lower() else ",")


def fails(run, *argv, command="fit"):
    status, out, err = run(command, *argv)
    assert (status, out) == (1, "")
    assert err.startswith("mlekit: error: ")
    return err.removeprefix("mlekit: error: ")
