"""Hostile and damaged `.csd` files: each ends in one sentence that names the file, and no other file is read."""

import os
import sys
import zlib

import h5py
import numpy as np
import pytest
from builders import noise, run_python, times, write_plain_csd

from emo_ssl.corpora import foreign
from emo_ssl.corpora.csd import Csd
from emo_ssl.utils.io import UserError

needs_posix = pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX: named pipes, limits, fork")


def entry(folder, features=None, intervals=None):
    """A `.csd` whose only entry `a` still lacks what is not given; it stays open for more."""
    file = h5py.File(folder / "a.csd", "w")
    file.create_group("COVAREP/data/a")
    for part, values in (("features", features), ("intervals", intervals)):
        if values is not None:
            file[f"COVAREP/data/a/{part}"] = values
    return file


def refusal(path):
    with pytest.raises(UserError) as caught, Csd(path) as csd:
        csd.read("a")
    sentence = str(caught.value)
    assert sentence.startswith(f"{path}: ") and "\n" not in sentence and len(sentence) < len(str(path)) + 400
    return sentence


# --- files that lead out of themselves


def external_storage(file, place, other):
    file.create_dataset(place, (4, 2), "f4", external=[(other, 0, 32)])


def external_link(file, place, other):
    file[place] = h5py.ExternalLink(other, place.replace("/b", "/a"))


def soft_link(file, place, other):
    file["COVAREP/far"] = h5py.ExternalLink(other, "COVAREP/data/a")
    file[place] = h5py.SoftLink("/COVAREP/far/features")


def virtual_dataset(file, place, other):
    layout = h5py.VirtualLayout((4, 2), "f4")
    layout[:] = h5py.VirtualSource(other, place, (4, 2))
    file.create_virtual_dataset(place, layout)


FEATURES = "COVAREP/data/a/features"
OUTWARD = [
    (external_storage, FEATURES, "external storage"),
    (external_link, FEATURES, "`features` is an external link"),
    (external_link, "COVAREP/data/b", "`b` is an external link"),
    (external_link, "COVAREP/data", "`data` is an external link"),
    (external_link, "COVAREP/metadata", "`metadata` is an external link"),
    (soft_link, FEATURES, "`features` is a soft link"),
    (virtual_dataset, FEATURES, "virtual dataset"),
]


def lead_out(folder, put, place, other):
    """A whole file, then one of its places leads into another file."""
    path = write_plain_csd(folder / "a.csd", {"a": (noise(4), times(4))}, {"corpus": "one"})
    with h5py.File(path, "r+") as file:
        if place in file:
            del file[place]
        put(file, place, str(other))
    return path


@pytest.mark.parametrize(("put", "place", "words"), OUTWARD)
def test_no_other_file_is_followed(tmp_path, put, place, words):
    other = write_plain_csd(tmp_path / "other.csd", {"a": (noise(4), times(4))}, {"corpus": "another"})
    assert words in refusal(lead_out(tmp_path, put, place, other))


@needs_posix
@pytest.mark.parametrize(("put", "place", "words"), OUTWARD[:2])
def test_no_pipe_is_waited_for(tmp_path, put, place, words):
    os.mkfifo(tmp_path / "pipe")
    assert words in refusal(lead_out(tmp_path, put, place, tmp_path / "pipe"))
    assert "this is not a regular file" in refusal(tmp_path / "pipe")


@needs_posix
def test_no_other_file_can_be_opened_even_if_all_checks_fail(tmp_path):
    """The checks by name are for the sentence; that no second file can be opened, the system holds."""
    (tmp_path / "secret").write_bytes(bytes(32))
    lead_out(tmp_path, external_storage, FEATURES, tmp_path / "secret")
    code = """
import sys
from emo_ssl.corpora import foreign
foreign.dataset = lambda group, name, where: group[name]
file = foreign.ForeignFile()
file.describe(sys.argv[1])
try:
    file.values("a", "features")
except OSError as problem:
    print(problem)
"""
    run = run_python(code, tmp_path / "a.csd")
    assert "unable to open external" in run.stdout and run.stderr == ""


# --- bombs


def zeros_in_gzip(folder):
    with entry(folder) as file:
        for part in ("features", "intervals"):
            zeros = np.zeros((1_000_000, 2), "f4")
            file.create_dataset(f"COVAREP/data/a/{part}", data=zeros, chunks=zeros.shape, compression="gzip")


def values_never_written(folder):
    with entry(folder) as file:
        for part in ("features", "intervals"):
            file.create_dataset(f"COVAREP/data/a/{part}", (10**12, 2), "f4")


def one_vast_chunk(folder):
    with entry(folder, intervals=times(3)) as file:
        file.create_dataset("COVAREP/data/a/features", (3, 2), "f4", chunks=(10**8, 2), maxshape=(None, 2))


@pytest.mark.parametrize(
    ("make", "size"), [(zeros_in_gzip, "16,000,"), (values_never_written, "16,000,000,"), (one_vast_chunk, "800,000,")]
)
def test_more_than_a_hundred_times_its_size_is_not_read(tmp_path, make, size):
    make(tmp_path)
    sentence = refusal(tmp_path / "a.csd")
    assert f"unpacks to {size}" in sentence and "at most 100 times is read" in sentence


@pytest.mark.skipif(sys.platform != "linux", reason="memory is limited on Linux only")
def test_a_chunk_that_unpacks_to_more_than_it_says(tmp_path):
    """Two megabytes that say they hold 1.6 MB, and unpack to 2 GB."""
    packer = zlib.compressobj()
    head, again = (packer.compress(bytes(1 << 20)) + packer.flush(zlib.Z_FULL_FLUSH) for _ in range(2))
    with entry(tmp_path, intervals=times(200_000)) as file:
        features = file["COVAREP/data/a"].create_dataset(
            "features", (200_000, 2), "f4", chunks=True, compression="gzip"
        )
        features.id.write_direct_chunk((0, 0), head + 2047 * again)
    code = """
import resource, sys
from emo_ssl.corpora.csd import Csd
from emo_ssl.utils.io import UserError
try:
    with Csd(sys.argv[1]) as csd:
        csd.read("a")
except UserError as problem:
    print(problem, file=sys.stderr)
print(max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)))
"""
    run = run_python(code, tmp_path / "a.csd")
    assert "damaged or truncated at `a`" in run.stderr and int(run.stdout) < 1_200_000  # kilobytes


def test_absurd_numbers_of_entries(tmp_path, monkeypatch):
    entries = {key: (noise(3), times(3)) for key in "abc"}
    path = write_plain_csd(tmp_path / "a.csd", entries, None)
    for name in ("limit", "limit_seconds"):
        monkeypatch.setattr(foreign, name, lambda *_: None)
    monkeypatch.setattr(foreign, "MOST_ENTRIES", 3)
    assert list(foreign.ForeignFile().describe(str(path))["entries"]) == ["a", "b", "c"]
    monkeypatch.setattr(foreign, "MOST_ENTRIES", 2)
    with pytest.raises(foreign.Refusal, match="it has 3 entries, and at most 2 are read"):
        foreign.ForeignFile().describe(str(path))


@pytest.mark.parametrize("stored", ["x" * 2_000_000, np.bytes_(b"x" * 2_000_000)])
def test_metadata_of_absurd_length(tmp_path, stored):
    write_plain_csd(tmp_path / "a.csd", {"a": (noise(3), times(3))}, {"dimension names": stored})
    assert "`dimension names` of its metadata has 2,000,000 bytes" in refusal(tmp_path / "a.csd")


@pytest.mark.parametrize("text", ["[" * 100_000, '["\\ud800"]', "[NaN]"])
def test_metadata_that_is_no_decent_json_is_text(tmp_path, text):
    path = write_plain_csd(tmp_path / "a.csd", {"a": (noise(3), times(3))}, {"dimension names": text})
    with Csd(path) as csd:
        assert csd.metadata == {"dimension names": text} and csd.names is None


@pytest.mark.parametrize("key", ["a\nb", "x" * 101, b"\xff"])
def test_names_that_are_no_plain_text(tmp_path, key):
    with entry(tmp_path, noise(3), times(3)) as file:
        file["COVAREP/data"].create_group(key)
    assert "one of its names is no plain text" in refusal(tmp_path / "a.csd")


# --- damage


@needs_posix
@pytest.mark.parametrize(("fault", "words"), [("crash", "HDF5 breaks down"), ("loop", "reading it does not end")])
@pytest.mark.parametrize("when", ["describe", "values"])
def test_a_crash_or_an_endless_loop_is_a_sentence(tmp_path, monkeypatch, fault, words, when):
    path = write_plain_csd(tmp_path / "a.csd", {"a": (noise(3), times(3))}, None)
    (tmp_path / "broken.py").write_text(
        f"""
import os, sys
from emo_ssl.corpora import foreign
def crash(*_): os.abort()
def loop(*_):
    while True: pass
foreign.ForeignFile.{when} = {fault}
foreign.SECONDS = 0.1
foreign.serve(sys.argv[1], sys.stdin.buffer, sys.stdout.buffer)
"""
    )
    monkeypatch.setattr(foreign, "__file__", str(tmp_path / "broken.py"))
    sentence = refusal(path)
    assert words in sentence and ("at `a`" in sentence) == (when == "values")
    with pytest.raises(UserError, match=words), Csd(path) as csd:
        for _ in range(2):  # a process that is gone stays gone
            with pytest.raises(UserError):
                csd.read("a")
        csd.intervals("a")
