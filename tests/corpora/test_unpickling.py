"""Pickles of arrays come out as they went in, whoever wrote them; any other name is refused before it is used."""

import collections
import datetime
import itertools
import os
import pickle
import pickletools
import tracemalloc
from functools import partial

import numpy as np
import pytest

from emo_ssl.corpora.unpickling import load, plain
from emo_ssl.utils.io import UserError

GRID = np.arange(6, dtype=np.float32).reshape(2, 3)
VALUES = {
    "rows": GRID,
    "columns": np.asfortranarray(GRID),
    "turned": np.arange(24.0).reshape(2, 3, 4).transpose(1, 0, 2),
    "big-endian": GRID.astype(">f8"),
    "halves": GRID.astype(np.float16),
    "nothing": np.empty((0, 74), np.float32),
    "one": np.float64(2.5),
    "truth": np.array([True, False]),
    "text": np.array([["-a", "1.5"], ["ü", ""]]),
    "bytes": np.array([b"ab", b"c"]),
    "objects": np.array([["a", None], ["b", 3]], object),
    "clips": ["a$_$1", b"b$_$2"],
    "kinds": collections.OrderedDict(lengths=[1, 2], empty=b""),
    "counts": collections.defaultdict(list, {1: [2]}),
}


def written(folder, content: bytes):
    (folder / "a.pkl").write_bytes(content)
    return folder / "a.pkl"


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("core", [b"numpy._core.", b"numpy.core."])
def test_what_was_written_comes_back(tmp_path, protocol, core):
    content = pickle.dumps(VALUES, protocol)
    frames = [place for code, _, place in pickletools.genops(content) if code.name == "FRAME"]  # which may be left out
    content = b"".join(content[a + 9 if a else 0 : b] for a, b in itertools.pairwise([0, *frames, len(content)]))
    for module in (b"multiarray", b"numeric"):  # as a line, or in protocols 4 and 5 after its length
        new, old = core + module, b"numpy._core." + module
        content = content.replace(b"c" + old + b"\n", b"c" + new + b"\n")
        content = content.replace(b"\x8c" + bytes([len(old)]) + old, b"\x8c" + bytes([len(new)]) + new)
    found = load(written(tmp_path, content))
    assert list(found) == list(VALUES)
    for name in ("rows", "columns", "turned", "big-endian", "halves", "nothing", "truth"):
        value = plain(found[name])
        assert value.dtype == VALUES[name].dtype and value.shape == VALUES[name].shape
        np.testing.assert_array_equal(value, VALUES[name])
    assert found["one"] == 2.5 and found["kinds"] == {"lengths": [1, 2], "empty": b""} and found["counts"] == {1: [2]}
    assert plain(found["text"]) == [["-a", "1.5"], ["ü", ""]] and plain(found["bytes"]) == ["ab", "c"]
    assert plain(found["objects"]) == [["a", None], ["b", 3]] and plain(found["clips"]) == ["a$_$1", "b$_$2"]


def test_what_python_2_wrote(tmp_path):
    """Its text is bytes, and so are the values of its arrays."""
    dtype = b"cnumpy\ndtype\nU\x02f4K\x00K\x01\x87R(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    made = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"
    state = b"(K\x01K\x02\x85" + dtype + b"\x89U\x08" + np.float32([1.5, -7]).tobytes() + b"tb"
    found = load(written(tmp_path, b"\x80\x02}U\x05audio" + made + state + b"s."))
    assert plain(found["audio"]).tolist() == [1.5, -7]


class Asks:
    """Pickled, it is a call of whatever it is given."""

    def __init__(self, *call: object):
        self.call = call

    def __reduce__(self):
        return self.call


HOSTILE = {
    "posix.system": Asks(os.system, ("touch was-run",)),
    "builtins.eval": Asks(eval, ("1",)),
    "builtins.getattr": Asks(getattr, ("", "join")),
    "datetime.date": datetime.date(2020, 1, 1),
    "functools.partial": partial(print),
    "numpy.load": Asks(np.load, ("a",)),
    "an array of the type V8": np.zeros(2, [("a", "f4"), ("b", "f4")]),
    "an array of the type M8": np.array(["2020"], "M8[Y]"),
}


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("protocol", [0, 2, 5])
def test_other_names_are_refused_and_nothing_runs(tmp_path, monkeypatch, name, protocol):
    monkeypatch.chdir(tmp_path)
    content = pickle.dumps({"train": {"audio": GRID}, "more": HOSTILE[name]}, protocol)
    with pytest.raises(UserError, match=rf"a\.pkl: not read as a pickle of arrays \(.*{name}.*nothing of it was run"):
        load(written(tmp_path, content))
    assert [path.name for path in tmp_path.iterdir()] == ["a.pkl"]


BUFFER = b"\x80\x02cnumpy._core.numeric\n_frombuffer\n"
FORGED = {
    "a function is changed": b"\x80\x02cnumpy\ndtype\n}U\x01xK\x01sb.",
    "a function by an attribute": b"\x80\x04\x8c\x05numpy\x8c\x0edtype.__call__\x93.",
    "a class is made": b"\x80\x02cnumpy\ndtype\n)\x81.",
    "an array longer than its bytes": BUFFER + b"(C\x04abcdcnumpy\ndtype\nU\x02f4\x85RK\x09\x85U\x01CtR.",
    "objects out of bytes": BUFFER + b"(C\x08abcdefghcnumpy\ndtype\nU\x01O\x85RK\x01\x85U\x01CtR.",
    "more memory than there is": b"\x80\x04\x8e\xff\xff\xff\xff\xff\xff\xff\x0fab.",
    "something by a number": b"\x80\x02\x82\x01.",
    "something from outside": b"\x80\x02U\x01aQ.",
    "the end is missing": pickle.dumps(VALUES)[:-40],
    "no pickle": b"hello",
}  # fmt: skip


@pytest.mark.parametrize("what", FORGED)
def test_forged_and_damaged_pickles_are_one_sentence(tmp_path, what):
    with pytest.raises(UserError, match=r"a\.pkl: not read as a pickle of arrays \(.+\); nothing of it was run"):
        load(written(tmp_path, FORGED[what]))


def test_what_is_no_file_or_a_web_page(tmp_path):
    with pytest.raises(UserError, match="no such file"):
        load(tmp_path / "none.pkl")
    with pytest.raises(UserError, match="a web page saved under the name"):
        load(written(tmp_path, b"<!DOCTYPE html><html>"))


def test_the_tests_write_what_they_say():
    """Each protocol uses the names that its writers use, or the tests above would show nothing."""
    names = {p: {o[1] for o in pickletools.genops(pickle.dumps(VALUES, p)) if isinstance(o[1], str)} for p in (2, 5)}
    assert "numpy._core.multiarray _reconstruct" in names[2] and "_frombuffer" in names[5]


@pytest.mark.parametrize("number", [0, 2**25, 2**32 - 1])
def test_no_room_is_made_for_objects_that_are_only_numbered(tmp_path, number):
    content = b"\x80\x02]r" + number.to_bytes(4, "little") + b"j" + number.to_bytes(4, "little") + b"\x86."
    path = written(tmp_path, content)  # a list, remembered by that number, and that object again: a pair of the same
    tracemalloc.start()
    try:
        first, again = load(path)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert first == [] and first is again and most < 2**20
