"""The doctor: each finding on its own, with versions and devices that this computer does not have."""

import shutil
import sys
from types import SimpleNamespace

import pytest
from packaging.requirements import Requirement

from emo_ssl import cli, doctor

LINES = ["numpy>=2.1", "papermill>=2.6; extra == 'book'", "jupyter-book<2; extra == 'book'"]


@pytest.mark.parametrize(
    ("line", "installed", "shown"),
    [
        ("torch>=2.11", "2.13.0+cpu", "OK   torch: 2.13.0+cpu"),
        ("torch>=2.11", "2.12.0.dev20260101", "OK   torch: 2.12.0.dev20260101"),
        ("numpy>=2.1", "1.26.4", "FIX  numpy: 1.26.4 is here; run: pip install 'numpy>=2.1'"),
        ("h5py>=3", None, "FIX  h5py: not installed; run: pip install 'h5py>=3'"),
    ],
)
def test_a_package(line, installed, shown):
    assert doctor.check_package(Requirement(line), installed).line() == shown


@pytest.mark.parametrize(
    ("versions", "shown"),
    [
        ({}, "OK   extra book: optional, without papermill, jupyter-book; to add it: pip install 'emo-ssl[book]'"),
        ({"papermill": "2.7", "jupyter-book": "1.0"}, "OK   extra book: complete"),
        ({"jupyter-book": "2.0"}, "FIX  jupyter-book: 2.0 is here; run: pip install 'jupyter-book<2'"),
    ],
)
def test_extras_may_be_absent_but_not_wrong(versions, shown):
    checks = doctor.check_packages(LINES, ["book"], {"numpy": "2.2", **versions}.get)
    assert [check.line() for check in checks] == ["OK   numpy: 2.2", shown]


def test_the_installation_here_names_the_core():
    names = {check.name for check in doctor.check_installation()}
    assert {"Python", "torch", "numpy", "pandas", "h5py", "safetensors", "scipy"} <= names


def test_the_package_itself_may_be_missing(monkeypatch):
    monkeypatch.setattr(doctor, "installed_version", lambda name: None)
    (check,) = doctor.check_installation()
    assert not check.ok and check.name == "emo-ssl" and "pip install -e ." in check.text


def test_a_device_that_works_and_one_that_does_not(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    check = doctor.check_device("cpu")
    assert check.ok and "CPU" in check.text and "CUDA build" not in check.text
    monkeypatch.setattr(shutil, "which", lambda name: "/usr/bin/nvidia-smi")
    assert "CUDA build" in doctor.check_device("cpu").text
    absent = doctor.check_device("no-such-device")
    assert not absent.ok and "no-such-device fails" in absent.text and "\n" not in absent.text


def stand_in(total: float) -> SimpleNamespace:
    """A torch with a GPU whose matrix products add up to `total`."""

    class Grid:
        def reshape(self, *shape):
            return self

        def __matmul__(self, other):
            return SimpleNamespace(sum=lambda: total)

    cuda = SimpleNamespace(is_available=lambda: True, get_device_name=lambda: "Some GPU")
    return SimpleNamespace(arange=lambda *_, **__: Grid(), float32=None, cuda=cuda)


@pytest.mark.parametrize(
    ("torch", "ok", "words"),
    [
        (stand_in(3920), True, "CUDA, Some GPU"),
        (stand_in(0), False, "cuda multiplies wrongly (3920 became 0)"),
        (None, False, "torch fails"),  # what Python says of a module that cannot be imported
    ],
)
def test_other_devices(monkeypatch, torch, ok, words):
    monkeypatch.setitem(sys.modules, "torch", torch)
    check = doctor.check_device()
    assert check.ok == ok and words in check.text


@pytest.mark.parametrize(
    ("free", "line"),
    [
        (8e9, "OK   memory: 8.0 GB free"),
        (1e9, "FIX  memory: only 1.0 GB are free, 2 GB are needed; close other programs"),
        (None, "OK   memory: unknown; pip install 'emo-ssl[scaling]' shows it"),
    ],
)
def test_room(free, line):
    assert doctor.check_room("memory", free, "close other programs").line() == line


@pytest.mark.parametrize(("limit", "left"), [(None, float("inf")), ("max\n", float("inf")), ("5000\n", 4000)], ids=str)
def test_memory_of_a_container(tmp_path, limit, left):
    if limit:
        (tmp_path / "memory.max").write_text(limit)
        (tmp_path / "memory.current").write_text("1000\n")
    assert doctor.container_memory(tmp_path) == left


def test_a_folder_that_nobody_may_write_to(tmp_path, monkeypatch):
    monkeypatch.setattr(doctor.os, "access", lambda *_: False)
    check = doctor.check_disk(tmp_path)
    assert not check.ok and f"{tmp_path}: cannot write here" in check.text


def test_report_says_what_to_fix(capsys):
    good, bad = doctor.Check("a", True, "fine"), doctor.Check("b", False, "broken; mend it")
    assert doctor.report([good]) == 0
    assert capsys.readouterr().out == "OK   a: fine\nAll is well.\n"
    assert doctor.report([good, bad]) == 2
    assert capsys.readouterr().out == "OK   a: fine\nFIX  b: broken; mend it\n1 to fix.\n"


def test_the_command_here(capsys):
    assert cli.main(["doctor"]) in (0, 2)  # memory and disk are what they are
    lines = capsys.readouterr().out.splitlines()
    assert all(line.startswith(("OK   ", "FIX  ")) for line in lines[:-1])
    assert next(line for line in lines if "device: " in line).startswith("OK")
