"""The doctor: each finding on its own, with versions and devices that this computer does not have."""

import sys
from types import SimpleNamespace

import pytest

from emo_ssl import cli, doctor

LINES = ["numpy>=2.1", "papermill>=2.6; extra == 'book'", "jupyter-book<2; extra == 'book'"]
ABSENT = (True, "optional and not installed: papermill, jupyter-book; pyproject.toml names the extra of each")


@pytest.mark.parametrize(
    ("installed", "found"),
    [
        ({"numpy": "2.2"}, [(True, "numpy: 2.2"), ABSENT]),
        ({"numpy": "2.3.0.dev1+cpu"}, [(True, "numpy: 2.3.0.dev1+cpu"), ABSENT]),
        ({"numpy": "1.26.4"}, [(False, "numpy: 1.26.4 is here; run: pip install 'numpy>=2.1'"), ABSENT]),
        ({}, [(False, "numpy: not installed; run: pip install 'numpy>=2.1'"), ABSENT]),
        (
            {"numpy": "2.2", "papermill": "2.7", "jupyter-book": "2.0"},
            [
                (True, "numpy: 2.2"),
                (True, "papermill: 2.7"),
                (False, "jupyter-book: 2.0 is here; run: pip install 'jupyter-book<2'"),
            ],
        ),
    ],
)
def test_packages(installed, found):
    assert list(doctor.check_packages(LINES, installed)) == found


def stand_in(total: float) -> SimpleNamespace:
    """A torch with a GPU whose matrix products add up to `total`."""

    class Grid:
        def reshape(self, *shape):
            return self

        def __matmul__(self, other):
            return SimpleNamespace(sum=lambda: total)

    cuda = SimpleNamespace(is_available=lambda: True)
    return SimpleNamespace(arange=lambda *_, **__: Grid(), float32=None, cuda=cuda, get_num_threads=lambda: 1)


@pytest.mark.parametrize(
    ("torch", "well", "words"),
    [
        (stand_in(3920), True, "device: cuda, "),
        (stand_in(0), False, "cuda multiplies wrongly (3920 became 0)"),
        (None, False, "torch fails"),  # what Python says of a module that cannot be imported
    ],
)
def test_other_devices(monkeypatch, torch, well, words):
    monkeypatch.setitem(sys.modules, "torch", torch)
    found, text = doctor.check_device()
    assert found == well and words in text


def test_a_device_that_is_not_there():
    well, text = doctor.check_device("no-such-device")
    assert not well and "no-such-device fails" in text and "\n" not in text


def test_room():
    assert doctor.check_room("memory", 8e9) == (True, "memory: 8.0 GB free")
    assert doctor.check_room("disk", 1e9) == (False, "disk: only 1.0 GB are free, 2 GB are needed; free some")


def test_the_command_here(monkeypatch, capsys):
    monkeypatch.setattr(doctor, "NEEDED", 0)
    status = cli.main(["doctor"])
    *lines, last = capsys.readouterr().out.splitlines()
    wrong = sum(line.startswith("FIX  ") for line in lines)
    assert all(line.startswith(("OK   ", "FIX  ")) for line in lines)
    assert (status, last) == ((2, f"{wrong} to fix.") if wrong else (0, "All is well."))
    assert {"Python", "torch", "numpy", "disk"} <= {line[5:].partition(":")[0] for line in lines}
    assert next(line for line in lines if "device: " in line).startswith("OK")
