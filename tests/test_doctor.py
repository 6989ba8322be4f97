"""The doctor: each finding on its own, with versions and devices that this computer does not have."""

import builtins
import os
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from emo_ssl import cli, doctor

BOUNDS = ">=3.11,<3.14"


@pytest.mark.parametrize("version", ["3.11.0", "3.12.4", "3.13.0rc1"])
def test_python_that_fits(version):
    assert doctor.check_python(version, BOUNDS, 64) == doctor.Check("Python", True, version)


@pytest.mark.parametrize("version", ["3.10.13", "3.14.0"])
def test_python_that_does_not_fit(version):
    check = doctor.check_python(version, BOUNDS, 64)
    assert not check.ok
    assert version in check.text and BOUNDS in check.text


def test_python_of_32_bits():
    check = doctor.check_python("3.12.0", BOUNDS, 32)
    assert not check.ok and "32-bit" in check.text


def test_packages():
    assert doctor.check_package("numpy>=2.1", "2.4.6").ok
    assert doctor.check_package("torch>=2.11", "2.13.0+cpu").ok
    assert doctor.check_package("torch>=2.11", "2.12.0.dev20260101").ok
    old = doctor.check_package("numpy>=2.1", "1.26.4")
    assert old.line() == "FIX  numpy: 1.26.4 is here; run: pip install 'numpy>=2.1'"
    assert doctor.check_package("h5py>=3", None).line() == "FIX  h5py: not installed; run: pip install 'h5py>=3'"
    two = doctor.check_package("jupyter-book>=1.0.4.post1,<2; extra == 'book'", "2.0.0")
    assert not two.ok and "<2" in two.text


LINES = [
    "numpy>=2.1",
    "papermill>=2.6; extra == 'book'",
    "jupyter-book<2; extra == 'book'",
    "psutil; extra == 'scaling'",
]


def looked_up(**versions):
    return lambda name: versions.get(name.replace("-", "_"))


def lines_of(checks) -> list[str]:
    return [check.line() for check in checks]


def test_extras_may_be_absent_but_not_wrong():
    extras = ["book", "scaling"]
    assert lines_of(doctor.check_packages(LINES, extras, looked_up(numpy="2.2"))) == [
        "OK   numpy: 2.2",
        "OK   extra book: optional, without papermill, jupyter-book; to add it: pip install 'emo-ssl[book]'",
        "OK   extra scaling: optional, without psutil; to add it: pip install 'emo-ssl[scaling]'",
    ]
    full = looked_up(numpy="2.2", papermill="2.7", jupyter_book="1.0", psutil="7")
    assert lines_of(doctor.check_packages(LINES, extras, full))[1:] == [
        "OK   extra book: complete",
        "OK   extra scaling: complete",
    ]
    wrong = looked_up(numpy="2.2", jupyter_book="2.0")
    assert lines_of(doctor.check_packages(LINES, ["book"], wrong))[1:] == [
        "FIX  jupyter-book: 2.0 is here; run: pip install 'jupyter-book<2'"
    ]


def test_installed_metadata_names_the_core():
    names = {check.name for check in doctor.check_installation()}
    assert {"Python", "torch", "numpy", "pandas", "h5py", "safetensors", "scipy"} <= names


@pytest.mark.parametrize("absent", ["emo-ssl", "packaging"])
def test_half_an_installation(monkeypatch, absent):
    real = doctor.installed_version
    monkeypatch.setattr(doctor, "installed_version", lambda name: None if name == absent else real(name))
    (check,) = doctor.check_installation()
    assert not check.ok and check.name == absent and "pip install" in check.text


def test_cpu_multiplies():
    check = doctor.check_device(torch, "cpu")
    assert check.ok and "CPU" in check.text
    assert "CUDA build" not in check.text
    assert "CUDA build" in doctor.check_device(torch, "cpu", has_nvidia_driver=True).text


def test_a_device_that_fails_or_lies():
    check = doctor.check_device(torch, "no-such-device")
    assert not check.ok and "no-such-device fails" in check.text and "\n" not in check.text

    def arange(*arguments, **options):
        return torch.zeros(16)

    liar = SimpleNamespace(arange=arange, float32=torch.float32)
    assert "multiplies wrongly" in doctor.check_device(liar, "cpu").text


@pytest.mark.parametrize(("cuda", "mps", "best"), [(True, True, "cuda"), (False, True, "mps"), (False, False, "cpu")])
def test_best_device(cuda, mps, best):
    backends = SimpleNamespace(mps=SimpleNamespace(is_available=lambda: mps))
    stub = SimpleNamespace(cuda=SimpleNamespace(is_available=lambda: cuda), backends=backends)
    assert doctor.best_device(stub) == best


def test_describe_cuda():
    properties = SimpleNamespace(name="Some GPU", total_memory=24e9)
    stub = SimpleNamespace(cuda=SimpleNamespace(get_device_properties=lambda index: properties))
    assert doctor.describe_device(stub, "cuda", True) == "CUDA, Some GPU, 24 GB"


def test_memory():
    assert doctor.check_memory(8_000_000_000).line() == "OK   memory: 8.0 GB free"
    assert not doctor.check_memory(1_000_000_000).ok
    unknown = doctor.check_memory(None)
    assert unknown.ok and "emo-ssl[scaling]" in unknown.text


def test_memory_of_a_container(tmp_path):
    assert doctor.cgroup_room(tmp_path) is None
    (tmp_path / "memory.max").write_text("max\n")
    (tmp_path / "memory.current").write_text("1000\n")
    assert doctor.cgroup_room(tmp_path) is None
    (tmp_path / "memory.max").write_text("5000\n")
    assert doctor.cgroup_room(tmp_path) == 4000


def test_memory_without_psutil(monkeypatch):
    real = builtins.__import__

    def without_psutil(name, *arguments, **options):
        if name == "psutil":
            raise ImportError(name)
        return real(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", without_psutil)
    free = doctor.free_memory()
    assert free is None or free > 0


def test_disk(tmp_path):
    assert doctor.check_disk(tmp_path, 5_000_000_000, True).ok
    full, locked = doctor.check_disk(tmp_path, 10, True), doctor.check_disk(tmp_path, 5_000_000_000, False)
    assert not full.ok and "free some space" in full.text
    assert not locked.ok and "cannot write" in locked.text
    assert doctor.check_disk(Path(os.sep), 5_000_000_000, True).text == f"5.0 GB free in {os.sep}"


def test_report_says_what_to_fix(capsys):
    good, bad = doctor.Check("a", True, "fine"), doctor.Check("b", False, "broken; mend it")
    assert doctor.report([good]) == 0
    assert capsys.readouterr().out == "OK   a: fine\nAll is well.\n"
    assert doctor.report([good, bad]) == 2
    assert capsys.readouterr().out == "OK   a: fine\nFIX  b: broken; mend it\n1 to fix.\n"


def test_torch_that_does_not_load(monkeypatch):
    real = builtins.__import__

    def broken(name, *arguments, **options):
        if name == "torch":
            raise OSError("libcudart.so: cannot open shared object file")
        return real(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", broken)
    check = doctor.find_device()
    assert not check.ok and "libcudart.so" in check.text and "reinstall" in check.text


def test_the_command_here(capsys):
    assert cli.main(["doctor"]) in (0, 2)  # memory and disk are what they are
    lines = capsys.readouterr().out.splitlines()
    assert all(line.startswith(("OK   ", "FIX  ")) for line in lines[:-1])
    assert next(line for line in lines if "device: " in line).startswith("OK")
