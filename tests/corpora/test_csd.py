import json
import re

import h5py
import numpy as np
import pytest
from builders import contents, noise, run_python, times, write_csd, write_plain_csd

from emo_ssl.corpora.csd import Csd, CsdWriter
from emo_ssl.utils.io import UserError

# What the SDK expects of every file it opens
SDK_METADATA = (
    *("root name", "computational sequence description", "dimension names", "computational sequence version"),
    *("alignment compatible", "dataset name", "dataset version", "creator", "contact"),
    *("featureset bib citation", "dataset bib citation"),
)


def read_as_sdk(path):
    """The official SDK's way to read: the first root, its data as a dict, each metadata entry's first value as JSON."""
    with h5py.File(path, "r") as file:
        root = file[next(iter(file.keys()))]
        data = {key: {part: entry[part][()] for part in entry} for key, entry in dict(root["data"]).items()}
        return data, {key: json.loads(root["metadata"][key][0]) for key in root["metadata"]}


def one_entry(count=3, width=2):
    return {"a": (noise(count, width), times(count))}


# --- what we write, read by others


@pytest.mark.parametrize("compression", [None, "gzip"])
def test_sdk_reads_our_files(tmp_path, compression):
    entries = {key: (noise(n, seed=n), times(n)) for key, n in (("-3g5yACwYnA", 4), ("127470", 1), ("v[0]", 2))}
    with CsdWriter(tmp_path / "a.csd", "COVAREP", ["F0", "VUV"], "made up", compression, {"corpus": "tiny"}) as writer:
        for key, entry in entries.items():
            writer.add(key, *entry)
    data, metadata = read_as_sdk(tmp_path / "a.csd")
    assert data.keys() == entries.keys()
    for key, (features, intervals) in entries.items():
        assert data[key]["features"].dtype == np.float32 and data[key]["intervals"].dtype == np.float64
        np.testing.assert_array_equal(data[key]["features"], features)
        np.testing.assert_array_equal(data[key]["intervals"], intervals)
    assert set(SDK_METADATA) <= metadata.keys()
    assert metadata["root name"] == "COVAREP" and metadata["dimension names"] == ["F0", "VUV"]
    assert metadata["computational sequence description"] == "made up" and metadata["corpus"] == "tiny"


def test_metadata_has_the_shape_and_type_that_the_sdk_writes(tmp_path):
    with h5py.File(write_csd(tmp_path / "a.csd", one_entry(), ["é", "ü"]), "r") as file:
        stored = file["COVAREP/metadata/dimension names"]
        assert stored.shape == (1,)
        assert h5py.check_string_dtype(stored.dtype).encoding == "utf-8"
        assert json.loads(stored[0]) == ["é", "ü"]


def test_our_reader_reads_our_files(tmp_path):
    features, intervals = noise(5), times(5)
    with Csd(write_csd(tmp_path / "a.csd", {"a": (features, intervals)}, ("F0", "VUV"))) as csd:
        assert csd.keys == ["a"] and csd.names == ("F0", "VUV") and csd.shape("a") == (5, 2)
        for got, want in zip(csd.read("a"), (features, intervals), strict=True):
            np.testing.assert_array_equal(got, want)
            assert got.dtype == want.dtype


@pytest.mark.parametrize("count", [0, 1])
def test_small_sizes_survive_a_round_trip(tmp_path, count):
    entries = {f"v{i}": (noise(count), times(count)) for i in range(count)}
    with Csd(write_csd(tmp_path / "a.csd", entries, None)) as csd:
        assert csd.keys == list(entries) and csd.names is None
        assert [csd.shape(key) for key in csd.keys] == [(1, 2)] * count


def test_the_same_entries_give_the_same_bytes_and_no_clock_enters_them(tmp_path):
    for name in ("a.csd", "b.csd"):
        write_csd(tmp_path / name, {"x": (noise(50), times(50)), "y": (noise(1), times(1))}, ("F0", "VUV"))
    first, second = contents(tmp_path).values()
    assert first == second
    with h5py.File(tmp_path / "a.csd", "r") as file:
        objects = ["COVAREP"]
        file["COVAREP"].visit(lambda name: objects.append(f"COVAREP/{name}"))
        assert len(objects) > 8
        assert {h5py.h5g.get_objinfo(file.id, name.encode()).mtime for name in objects} == {0}


# --- what others write, read by us


@pytest.mark.parametrize("compression", [None, "gzip"])
@pytest.mark.parametrize("key", ["127470", "-3g5yACwYnA", "abc[0]", "abc[12]"])
def test_we_read_files_that_the_sdk_wrote(tmp_path, key, compression):
    features, intervals = noise(7), times(7)
    metadata = {"dimension names": json.dumps(["F0", "VUV"]), "root name": json.dumps("COAVAREP")}
    path = write_plain_csd(tmp_path / "a.csd", {key: (features, intervals)}, metadata, "COAVAREP", compression)
    with Csd(path) as csd:
        assert (csd.root, csd.keys, csd.names) == ("COAVAREP", [key], ("F0", "VUV"))
        assert csd.metadata["root name"] == "COAVAREP"
        np.testing.assert_array_equal(csd.read(key)[0], features)
        np.testing.assert_array_equal(csd.read(key)[1], intervals)


@pytest.mark.parametrize(
    ("stored", "value", "names"),
    [
        ('["F0", "VUV"]', ["F0", "VUV"], ("F0", "VUV")),
        ('[["F0"], ["VUV"]]', [["F0"], ["VUV"]], ("F0", "VUV")),
        (np.array([b'["F0", "VUV"]']), ["F0", "VUV"], ("F0", "VUV")),
        (np.bytes_(b'["F0", "VUV"]'), ["F0", "VUV"], ("F0", "VUV")),
        ("F0 and VUV", "F0 and VUV", None),
        (np.array([b"caf\xe9"]), "caf�", None),
        ("[]", [], None),
        (np.array([3]), 3, None),
    ],
)
def test_metadata_of_every_kind_is_tolerated(tmp_path, stored, value, names):
    with Csd(write_plain_csd(tmp_path / "a.csd", one_entry(), {"dimension names": stored})) as csd:
        assert csd.metadata == {"dimension names": value}
        assert csd.names == names


@pytest.mark.parametrize("metadata", [None, {}, {"dimension names": np.array([], "S5")}])
def test_absent_metadata_is_tolerated(tmp_path, metadata):
    with Csd(write_plain_csd(tmp_path / "a.csd", one_entry(), metadata)) as csd:
        assert csd.metadata == {} and csd.names is None and csd.shape("a") == (3, 2)


@pytest.mark.parametrize("dtype", ["<f8", ">f4", "<f2", "<i4"])
def test_numbers_of_another_format_become_float32(tmp_path, dtype):
    values = np.array([[1, 2], [3, 4]], dtype)
    with Csd(write_plain_csd(tmp_path / "a.csd", {"a": (values, times(2).astype("f4"))}, None)) as csd:
        assert csd.dtype("a") == np.dtype(dtype)
        features, intervals = csd.read("a")
        assert features.dtype == np.float32 and features.tolist() == [[1, 2], [3, 4]]
        assert intervals.dtype == np.float64


def test_a_vector_of_features_is_one_column(tmp_path):
    with Csd(write_plain_csd(tmp_path / "a.csd", {"a": (np.array([5.0, 6.0]), times(2))}, None)) as csd:
        assert csd.shape("a") == (2, 1)
        assert csd.read("a")[0].tolist() == [[5], [6]]


def test_an_entry_without_rows_has_none(tmp_path):
    with Csd(write_plain_csd(tmp_path / "a.csd", {"a": (np.empty((0, 2)), np.empty((0, 2)))}, None)) as csd:
        assert csd.shape("a") == (0, 0)
        assert [len(part) for part in csd.read("a")] == [0, 0]


# --- laziness and damage


def spoil(path, dataset):
    """Overwrite a compressed dataset's bytes, so that reading them fails and nothing else does."""
    with h5py.File(path, "r") as file:
        chunk = file[dataset].id.get_chunk_info(0)
    with path.open("r+b") as stream:
        stream.seek(chunk.byte_offset)
        stream.write(b"\xff" * chunk.size)


def test_opening_and_asking_for_shapes_reads_no_features(tmp_path):
    entries = {key: (noise(100), times(100)) for key in ("bad", "good")}
    path = write_plain_csd(tmp_path / "a.csd", entries, {"dimension names": '["a", "b"]'}, compression="gzip")
    spoil(path, "COVAREP/data/bad/features")
    with Csd(path) as csd:
        assert csd.keys == ["bad", "good"] and csd.names == ("a", "b")
        assert csd.shape("bad") == (100, 2) and csd.dtype("bad") == np.float32
        np.testing.assert_array_equal(csd.intervals("bad"), times(100))
        np.testing.assert_array_equal(csd.read("good")[0], noise(100))
        with pytest.raises(UserError, match=r"a\.csd: the file is damaged or truncated at `bad`; download"):
            csd.read("bad")


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (None, "no such file"),
        (b"", "the file is empty"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 3\n", "Git-LFS pointer"),
        (b"\n <!DOCTYPE html><html>404</html>", "a web page"),
        (b"<HTML>", "a web page"),
        (b"start,end\n0,1\n", "not an HDF5 file"),
        (b"\x89HDF\r\n\x1a\n", "damaged or truncated"),
        (b"\x89HDF\r\n\x1a\n" + b"\0" * 600, "damaged or truncated"),
    ],
)
def test_what_is_no_hdf5_file_is_called_by_its_name(tmp_path, content, sentence):
    path = tmp_path / "a.csd"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError, match=f"^{re.escape(str(path))}: .*{sentence}"):
        Csd(path)


def test_a_folder_is_no_file(tmp_path):
    with pytest.raises(UserError, match="this is a folder"):
        Csd(tmp_path)


@pytest.mark.parametrize("share", [0.05, 0.3, 0.6, 0.9, 0.999])
def test_a_cut_off_file_is_refused(tmp_path, share):
    path = write_csd(tmp_path / "a.csd", {str(i): (noise(40), times(40)) for i in range(20)}, ("F0", "VUV"))
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(UserError, match=r"a\.csd: the file is truncated; download or copy it again"):
        Csd(path)


def groups(path, *names):
    with h5py.File(path, "w") as file:
        for name in names:
            file.create_group(name)


def test_two_roots_or_none_are_refused(tmp_path):
    for names in ((), ("a/data", "b/data"), ("a/other",)):
        groups(tmp_path / "a.csd", *names)
        with pytest.raises(UserError, match="expected exactly one root group"):
            Csd(tmp_path / "a.csd")


@pytest.mark.parametrize("where", ["root", "root/data"])
def test_a_dataset_in_a_groups_place_is_refused(tmp_path, where):
    with h5py.File(tmp_path / "a.csd", "w") as file:
        file[where] = np.zeros(3)
    with pytest.raises(UserError, match="expected exactly one root group"):
        Csd(tmp_path / "a.csd")


@pytest.mark.parametrize(
    ("features", "intervals", "sentence"),
    [
        (noise(3), times(2), "3 rows of features but intervals of shape"),
        (noise(3), np.zeros((3, 1)), "3 rows of features but intervals of shape"),
        (np.array([b"loud", b"soft"]), times(2), "holds .*, not numbers"),
    ],
)
def test_an_entry_of_the_wrong_kind_is_named(tmp_path, features, intervals, sentence):
    with (
        Csd(write_plain_csd(tmp_path / "a.csd", {"x": (features, intervals)}, None)) as csd,
        pytest.raises(UserError, match=rf"a\.csd: `x.*{sentence}"),
    ):
        csd.read("x")


def test_an_entry_without_features_is_named(tmp_path):
    groups(tmp_path / "a.csd", "root/data/x")
    with Csd(tmp_path / "a.csd") as csd, pytest.raises(UserError, match="damaged or truncated at `x`"):
        csd.shape("x")


# --- whole or absent


def test_the_file_appears_only_when_the_block_ends(tmp_path):
    with CsdWriter(tmp_path / "a.csd", "COVAREP", None) as writer:
        writer.add("x", noise(2), times(2))
        assert [p.name for p in tmp_path.iterdir()] == ["a.csd.partial"]
    assert [p.name for p in tmp_path.iterdir()] == ["a.csd"]


@pytest.mark.parametrize("problem", [KeyError("k"), KeyboardInterrupt(), ValueError("v")])
def test_an_exception_inside_the_block_leaves_what_was_there_before(tmp_path, problem):
    write_csd(tmp_path / "a.csd", one_entry(), None)
    before = contents(tmp_path)
    with pytest.raises(type(problem)) as caught, CsdWriter(tmp_path / "a.csd", "COVAREP", None) as writer:
        writer.add("x", noise(2), times(2))
        raise problem
    assert caught.value is problem
    assert contents(tmp_path) == before


def test_a_key_added_twice_leaves_nothing(tmp_path):
    with pytest.raises(ValueError, match="name already exists"), CsdWriter(tmp_path / "a.csd", "C", None) as writer:
        writer.add("x", noise(2), times(2))
        writer.add("x", noise(2), times(2))
    assert list(tmp_path.iterdir()) == []


WRITE_ON_A_FULL_DISK = """
import resource, sys
import numpy as np
from emo_ssl.corpora.csd import CsdWriter
from emo_ssl.utils.io import UserError

def write():
    with CsdWriter("a.csd", "COVAREP", ["F0", "VUV"], compression=sys.argv[2] or None) as writer:
        for i in range(10):
            values = np.random.default_rng(i).random((1000, 2))
            writer.add(str(i), values, values)

no_limit = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]), no_limit[1]))
try:
    write()
except UserError as problem:
    print(problem)
resource.setrlimit(resource.RLIMIT_FSIZE, no_limit)
if sys.argv[3]:
    write()
"""


@pytest.mark.parametrize(
    ("share", "compression"), [(0.0001, ""), (0.01, ""), (0.5, ""), (0.5, "gzip"), (0.981, ""), (0.99, ""), (0.995, "")]
)
def test_a_full_disk_is_one_sentence_and_leaves_nothing(tmp_path, share, compression):
    """HDF5 left alone would fill the terminal and crash the interpreter: its retries fail too."""
    pytest.importorskip("resource")
    with CsdWriter(tmp_path / "whole.csd", "COVAREP", ["F0", "VUV"], compression=compression or None) as writer:
        for i in range(10):
            values = np.random.default_rng(i).random((1000, 2))
            writer.add(str(i), values, values)
    whole = (tmp_path / "whole.csd").read_bytes()
    (tmp_path / "whole.csd").unlink()
    limit = int(share * len(whole))
    run = run_python(WRITE_ON_A_FULL_DISK, limit, compression, "", cwd=tmp_path)
    assert (run.returncode, run.stderr) == (0, "")
    assert run.stdout.startswith("a.csd: the disk is full") and run.stdout.count("\n") == 1
    assert list(tmp_path.iterdir()) == []
    again = run_python(WRITE_ON_A_FULL_DISK, limit, compression, "again", cwd=tmp_path)
    assert (again.returncode, again.stderr) == (0, "")
    assert contents(tmp_path) == {"a.csd": whole}


def test_a_folder_that_is_not_there_is_no_full_disk(tmp_path):
    with pytest.raises(FileNotFoundError), CsdWriter(tmp_path / "no" / "a.csd", "COVAREP", None):
        pytest.fail("the block must not start")
