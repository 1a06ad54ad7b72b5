"""A bar on what takes long, with tqdm's own output for measure."""

from __future__ import annotations

import builtins
import time

import pytest

from mlekit.progress import bar, tqdm_class


def test_a_bar_counts_the_steps_of_what_takes_more_than_a_second(capsys):
    with bar(True, 2, "fold") as step:
        time.sleep(1.1)
        step("loss 3.5")
        step("loss 2.5")
    shown = capsys.readouterr().err
    assert "2/2" in shown
    assert "fold/s" in shown or "s/fold" in shown
    assert "loss 2.5" in shown


@pytest.mark.parametrize("wanted", [True, False])
def test_nothing_is_shown_within_a_second_or_unless_wanted(capsys, wanted):
    with bar(wanted, 2, "fold") as step:
        step("")
        step("")
    assert capsys.readouterr().err == ""


def test_without_tqdm_a_bar_says_what_to_install(monkeypatch):
    real = builtins.__import__

    def without(name, *args, **kwargs):
        if name == "tqdm":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    for asked in (tqdm_class, lambda: bar(True, 1, "fold").__enter__()):
        with pytest.raises(ImportError, match=r'pip install "mlekit\[progress\]"'):
            asked()
    with bar(False, 1, "fold") as step:
        step("")
