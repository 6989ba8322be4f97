"""Files that are whole or absent, and output folders that know their configuration."""

import errno
import json
import os

import pytest
from builders import contents

from emo_ssl.utils.io import (
    LOCK,
    STATE,
    OutputFolder,
    UserError,
    atomic_path,
    fingerprint,
    read_json,
    require_space,
    write_bytes,
    write_json,
)

CONFIG = {"seed": 1, "half": False}


# --- single files


def test_a_file_appears_when_the_block_ends(tmp_path):
    with atomic_path(tmp_path / "a") as temporary:
        temporary.write_bytes(b"new")
        assert contents(tmp_path) == {"a.partial": b"new"}
    assert contents(tmp_path) == {"a": b"new"}


@pytest.mark.parametrize("problem", [KeyboardInterrupt(), OSError(errno.EIO, "no")])
def test_a_failure_leaves_what_was_there(tmp_path, problem):
    (tmp_path / "a").write_bytes(b"old")
    with pytest.raises(type(problem)), atomic_path(tmp_path / "a") as temporary:
        temporary.write_bytes(b"half")
        raise problem
    assert contents(tmp_path) == {"a": b"old"}


def test_a_full_disk_is_one_sentence(tmp_path):
    with pytest.raises(UserError, match="a: the disk is full, nothing was kept"), atomic_path(tmp_path / "a"):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_small_files(tmp_path):
    write_bytes(tmp_path / "empty", b"")
    write_json(tmp_path / "a.json", {"é": [1, None, 0.5]})
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "b.json", float("nan"))
    assert contents(tmp_path) == {"a.json": '{\n "é": [\n  1,\n  null,\n  0.5\n ]\n}\n'.encode(), "empty": b""}
    assert read_json(tmp_path / "a.json") == {"é": [1, None, 0.5]}


def test_require_space_looks_at_the_nearest_folder_that_exists(tmp_path):
    assert require_space(tmp_path / "not" / "yet", 0) is None
    with pytest.raises(UserError, match=r"yet: the disk is full \(1000000000.0 GB needed\)"):
        require_space(tmp_path / "not" / "yet", 10**18)


def test_fingerprint_sees_size_and_bytes(tmp_path):
    path, prints = tmp_path / "a", set()
    for content in (b"", b"\0", b"\1", bytes(1 << 20), bytes((1 << 20) + 1), bytes((1 << 20) - 1) + b"\1"):
        path.write_bytes(content)
        prints |= {fingerprint(path)}
    assert len(prints) == 6 and fingerprint(path) in prints


# --- folders that know their configuration


def make(path, config=CONFIG, kind="corpus"):
    with OutputFolder(path, kind, config) as out:
        was_complete = out.complete
        if not was_complete:
            write_bytes(path / "data", b"result")
            out.finish()
    return was_complete


def test_a_finished_folder_is_returned_at_once(tmp_path):
    path = tmp_path / "deep" / "out"
    path.mkdir(parents=True)  # one that is there and empty is as good as none
    assert make(path) is False
    before = contents(path)
    assert before.keys() == {"data", STATE}
    assert json.loads(before[STATE])["complete"] is True
    assert make(path) is True
    assert make(path, dict(reversed(CONFIG.items()))) is True
    assert contents(path) == before


def test_an_unfinished_folder_is_resumed(tmp_path):
    with pytest.raises(RuntimeError), OutputFolder(tmp_path, "corpus", CONFIG):
        write_bytes(tmp_path / "first half", b"1")
        (tmp_path / "second.partial").write_bytes(b"?")
        raise RuntimeError
    assert contents(tmp_path).keys() == {"first half", STATE}
    with OutputFolder(tmp_path, "corpus", CONFIG) as out:
        assert not out.complete
        assert (tmp_path / "first half").read_bytes() == b"1"


def test_another_configuration_is_refused_by_name(tmp_path):
    make(tmp_path)
    before = contents(tmp_path)
    with pytest.raises(UserError, match=r"corpus of another configuration \(seed is 1 there, 2 here\); choose another"):
        make(tmp_path, {**CONFIG, "seed": 2})
    with pytest.raises(UserError, match=r"holds a corpus of another configuration \(another kind\)"):
        make(tmp_path, kind="study")
    assert contents(tmp_path) == before


def test_a_strangers_folder_is_refused(tmp_path):
    (tmp_path / "holiday.jpg").write_bytes(b"!")
    with pytest.raises(UserError, match="not empty and emo-ssl did not make it"):
        make(tmp_path)
    assert contents(tmp_path) == {"holiday.jpg": b"!"}


@pytest.mark.parametrize("where", ["file", "file/below"])
def test_a_file_in_the_way_is_refused(tmp_path, where):
    (tmp_path / "file").write_bytes(b"!")
    with pytest.raises(UserError, match="choose another -o"):
        make(tmp_path / where)
    assert contents(tmp_path) == {"file": b"!"}


def test_a_second_writer_is_refused_and_harms_nothing(tmp_path):
    path = tmp_path / "out"
    with OutputFolder(path, "corpus", CONFIG) as first:
        (path / "data.partial").write_bytes(b"half")
        with pytest.raises(UserError, match="another emo-ssl is writing here"):
            make(path)
        assert (path / "data.partial").exists() and (path / LOCK).exists()
        write_bytes(path / "data", b"result")
        first.finish()
    assert make(path) is True
