"""The doctor: each finding on its own, with versions and devices that this computer does not have."""

import sys

import pytest

from emo_ssl import cli, doctor

LINES = ["numpy>=2.1", "papermill>=2.6; extra == 'book'", "jupyter-book<2; extra == 'book'"]
ABSENT = (True, "optional and not installed: papermill, jupyter-book; pyproject.toml names the extra of each")


@pytest.mark.parametrize(
    ("installed", "found"),
    [
        ({"numpy": "2.3.0.dev1+cpu"}, [(True, "numpy: 2.3.0.dev1+cpu"), ABSENT]),
        ({"numpy": "1.26.4"}, [(False, "numpy: 1.26.4; run: pip install 'numpy>=2.1'"), ABSENT]),
        ({}, [(False, "numpy: not installed; run: pip install 'numpy>=2.1'"), ABSENT]),
        (
            {"numpy": "2.2", "papermill": "2.7", "jupyter-book": "2.0"},
            [
                (True, "numpy: 2.2"),
                (True, "papermill: 2.7"),
                (False, "jupyter-book: 2.0; run: pip install 'jupyter-book<2'"),
            ],
        ),
    ],
)
def test_packages(installed, found):
    assert list(doctor.check_packages(LINES, installed)) == found


@pytest.mark.parametrize("device", ["no-such-device", None])
def test_a_device_that_does_not_work(monkeypatch, device):
    if device is None:
        monkeypatch.setitem(sys.modules, "torch", None)  # cannot be imported
    well, text = doctor.check_device(device)
    assert not well and f"{device or 'torch'} fails (" in text and "\n" not in text


def test_the_command_here(monkeypatch, capsys):
    monkeypatch.setattr(doctor, "NEEDED", 0)
    status = cli.main(["doctor"])
    *lines, last = capsys.readouterr().out.splitlines()
    wrong = sum(line.startswith("FIX  ") for line in lines)
    assert all(line.startswith(("OK   ", "FIX  ")) for line in lines)
    assert (status, last) == ((2, f"{wrong} to fix.") if wrong else (0, "All is well."))
    assert {"Python", "torch", "numpy", "disk"} <= {line[5:].partition(":")[0] for line in lines}
    assert next(line for line in lines if "device: " in line).startswith("OK")
