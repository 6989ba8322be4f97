import json

import h5py
import numpy as np
import pytest
from builders import noise, spoil_chunk, times, write_plain_csd

from emo_ssl.corpora.csd import Csd, csd_writer
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


def test_sdk_reads_our_files(tmp_path):
    entries = {key: (noise(n, seed=n), times(n)) for key, n in (("-3g5yACwYnA", 4), ("127470", 1), ("v[0]", 2))}
    with csd_writer(tmp_path / "a.csd", "COVAREP", ["é", "VUV"], "made up", {"corpus": "tiny"}) as add:
        for key, entry in entries.items():
            add(key, *entry)
    data, metadata = read_as_sdk(tmp_path / "a.csd")
    assert data.keys() == entries.keys()
    for key, (features, intervals) in entries.items():
        assert data[key]["features"].dtype == np.float32 and data[key]["intervals"].dtype == np.float64
        np.testing.assert_array_equal(data[key]["features"], features)
        np.testing.assert_array_equal(data[key]["intervals"], intervals)
    assert set(SDK_METADATA) <= metadata.keys()
    assert metadata["root name"] == "COVAREP" and metadata["dimension names"] == ["é", "VUV"]
    assert metadata["computational sequence description"] == "made up" and metadata["corpus"] == "tiny"
    with h5py.File(tmp_path / "a.csd", "r") as file:
        stored = file["COVAREP/metadata/dimension names"]
        assert stored.shape == (1,) and h5py.check_string_dtype(stored.dtype).encoding == "utf-8"


# --- what others write, read by us


@pytest.mark.parametrize(("key", "compression"), [("-3g5yACwYnA", "gzip"), ("abc[12]", None)])
def test_we_read_files_that_the_sdk_wrote(tmp_path, key, compression):
    features, intervals = noise(7), times(7)
    metadata = {"dimension names": json.dumps(["F0", "VUV"]), "corpus": json.dumps("made up")}
    path = write_plain_csd(tmp_path / "a.csd", {key: (features, intervals)}, metadata, "COAVAREP", compression)
    with Csd(path) as csd:
        assert (csd.root, csd.keys, csd.names) == ("COAVAREP", [key], ("F0", "VUV"))
        assert csd.metadata["corpus"] == "made up"
        np.testing.assert_array_equal(csd.read(key)[0], features)
        np.testing.assert_array_equal(csd.read(key)[1], intervals)


@pytest.mark.parametrize(
    ("stored", "value", "names"),
    [
        ('[["F0"], ["VUV"]]', [["F0"], ["VUV"]], ("F0", "VUV")),
        (np.bytes_(b'["F0", "VUV"]'), ["F0", "VUV"], ("F0", "VUV")),
        ("F0 and VUV", "F0 and VUV", None),
        (np.array([b"caf\xe9"]), "caf\ufffd", None),
        ("[]", [], None),
    ],
)
def test_metadata_of_every_kind_is_tolerated(tmp_path, stored, value, names):
    with Csd(write_plain_csd(tmp_path / "a.csd", one_entry(), {"dimension names": stored})) as csd:
        assert csd.metadata == {"dimension names": value}
        assert csd.names == names


@pytest.mark.parametrize("metadata", [None, {"dimension names": np.array([], "S5")}])
def test_metadata_may_be_absent(tmp_path, metadata):
    with Csd(write_plain_csd(tmp_path / "a.csd", one_entry(), metadata)) as csd:
        assert csd.metadata == {} and csd.names is None and csd.shape("a") == (3, 2)


@pytest.mark.parametrize("dtype", ["<f8", ">f4", "<i4"])
def test_numbers_of_another_format_become_float32(tmp_path, dtype):
    values = np.array([[1, 2], [3, 4]], dtype)
    with Csd(write_plain_csd(tmp_path / "a.csd", {"a": (values, times(2).astype("f4"))}, None)) as csd:
        assert csd.dtype("a") == np.dtype(dtype)
        features, intervals = csd.read("a")
        assert features.dtype == np.float32 and features.tolist() == [[1, 2], [3, 4]]
        assert intervals.dtype == np.float64


def compact(group, name, values):
    created = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    created.set_layout(h5py.h5d.COMPACT)
    kind, space = h5py.h5t.py_create(values.dtype), h5py.h5s.create_simple(values.shape)
    found = h5py.h5d.create(group.id, name.encode(), kind, space, dcpl=created)
    found.write(h5py.h5s.ALL, h5py.h5s.ALL, values)


def never_written(group, name, values):
    group.create_dataset(name, values.shape, values.dtype, fillvalue=1.5)


def stored(**options):
    return lambda group, name, values: group.create_dataset(name, data=values, **options)


LAYOUTS = {
    **{"contiguous": stored(), "compact": compact, "never written": never_written},
    **{"chunked": stored(chunks=(3, 1)), "resizable": stored(maxshape=(None, None))},
    **{"gzip": stored(compression="gzip", chunks=(9, 2)), "lzf": stored(compression="lzf")},
    **{"shuffle": stored(compression="gzip", shuffle=True), "checksums": stored(fletcher32=True)},
    **{"swapped": stored(dtype=">f8"), "half": stored(dtype="<f2"), "double": stored(dtype="<f8")},
}


@pytest.mark.parametrize("options", [{}, {"libver": "latest"}, {"userblock_size": 512}])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_frames_are_those_of_h5py_whatever_the_layout(tmp_path, layout, options):
    with h5py.File(tmp_path / "a.csd", "w", **options) as file:
        for i, key in enumerate("ab"):
            group = file.create_group(f"COVAREP/data/{key}")
            LAYOUTS[layout](group, "features", noise(9, seed=i))
            LAYOUTS[layout](group, "intervals", times(9, start=i))
    with Csd(tmp_path / "a.csd") as csd, h5py.File(tmp_path / "a.csd") as file:
        for key in "ba":
            expected = [file[f"COVAREP/data/{key}/{part}"][()] for part in ("features", "intervals")]
            assert csd.dtype(key) == expected[0].dtype
            for found, values, dtype in zip(csd.read(key), expected, (np.float32, np.float64), strict=True):
                np.testing.assert_array_equal(found, values.astype(dtype), strict=True)


def test_other_filters_than_these_are_refused(tmp_path):
    """A filter that h5py lacks would be looked for among the plug-ins of the system."""
    with h5py.File(tmp_path / "a.csd", "w") as file:
        stored(scaleoffset=2)(file.create_group("COVAREP/data/a"), "features", noise(9))
    with pytest.raises(UserError, match="is packed by HDF5's filter 6; pack it by one of gzip, shuffle, fletcher32"):
        Csd(tmp_path / "a.csd")


def test_a_vector_is_one_column_and_an_empty_entry_has_none(tmp_path):
    entries = {"a": (np.array([5.0, 6.0]), times(2)), "b": (np.empty((0, 2)), np.empty((0, 2)))}
    with Csd(write_plain_csd(tmp_path / "a.csd", entries, None)) as csd:
        assert [csd.shape(key) for key in csd.keys] == [(2, 1), (0, 0)]
        assert csd.read("a")[0].tolist() == [[5], [6]]
        assert [len(part) for part in csd.read("b")] == [0, 0]


# --- laziness and damage


def test_opening_and_asking_for_shapes_reads_no_features(tmp_path):
    entries = {key: (noise(100), times(100)) for key in ("bad", "good")}
    path = write_plain_csd(tmp_path / "a.csd", entries, {"dimension names": '["a", "b"]'}, compression="gzip")
    spoil_chunk(path, "COVAREP/data/bad/features")
    with Csd(path) as csd:
        assert csd.keys == ["bad", "good"] and csd.names == ("a", "b")
        assert csd.shape("bad") == (100, 2) and csd.dtype("bad") == np.float32
        np.testing.assert_array_equal(csd.intervals("bad"), times(100))
        np.testing.assert_array_equal(csd.read("good")[0], noise(100))
        with pytest.raises(UserError, match=r"a\.csd: the file is damaged or truncated at `bad`; download"):
            csd.read("bad")


def write_datasets(path, *names):
    with h5py.File(path, "w") as file:
        for name in names:
            file[name] = np.zeros(3)


@pytest.mark.parametrize("names", [(), ("a/data/x", "b/data/x"), ("a/other",), ("root/data",)])
def test_another_tree_than_one_root_with_data_is_refused(tmp_path, names):
    write_datasets(tmp_path / "a.csd", *names)
    with pytest.raises(UserError, match="expected exactly one root group"):
        Csd(tmp_path / "a.csd")


@pytest.mark.parametrize(
    ("features", "words"),
    [(noise(3), "`x` has 3 rows of features but intervals"), (np.array([b"loud", b"soft"]), "of `x` holds .*numbers")],
)
def test_an_entry_of_the_wrong_kind_is_named(tmp_path, features, words):
    with pytest.raises(UserError, match=rf"a\.csd: .*{words}"):
        Csd(write_plain_csd(tmp_path / "a.csd", {"x": (features, times(2))}, None))
