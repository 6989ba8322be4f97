"""The stored predictions: what is written is read back, and what cannot be used is refused in one sentence."""

import numpy as np
import pytest
import simulated_predictions as simulated

from emo_ssl.study.predictions import PREDICTIONS, Key, StudyPredictions, write_predictions
from emo_ssl.utils.io import UserError


@pytest.fixture
def written(tmp_path):
    rng = np.random.default_rng(0)
    truth = simulated.items(3, 4, rng, categories=2)
    cells = {simulated.key("scratch", 28): simulated.cell(truth, rng, 2, 1.0, 2)}
    path = write_predictions(tmp_path, simulated.meta(2, 2, (28,)), truth, cells)
    return path, truth, cells


def tamper(path, **changes):
    with np.load(path) as stored:
        arrays = {name: stored[name] for name in stored.files}
    for name, value in changes.items():
        if value is None:
            arrays.pop(name)
        else:
            arrays[name] = value
    np.savez(path, **arrays)


def test_round_trip(written):
    path, truth, cells = written
    opened = StudyPredictions.open(path.parent)
    (key,) = opened.keys
    assert str(key) == "speaker-independent/transformer/scratch/ordinal/28"
    assert opened.meta["seeds"] == [0, 1]
    assert opened.items.unit.tolist() == truth.unit.tolist()
    cell = opened.cell(key)
    assert np.array_equal(cell.klass, cells[key].klass)
    assert cell.intensity == pytest.approx(cells[key].intensity, abs=1e-6)
    assert cell.category.shape == (2, 12, 2)
    assert cell.scored().all()


def test_no_items_and_no_cells(tmp_path):
    truth = simulated.items(0, 0, np.random.default_rng(0))
    write_predictions(tmp_path, simulated.meta(0), truth, {})
    opened = StudyPredictions.open(tmp_path)
    assert len(opened.items) == 0 and opened.keys == ()


def test_a_missing_folder_or_file_is_refused(tmp_path):
    for folder in (tmp_path / "nowhere", tmp_path):
        with pytest.raises(UserError, match=r"no such file; run `emo-ssl study`"):
            StudyPredictions.open(folder)


@pytest.mark.parametrize("content", [b"", b"version https://git-lfs.github.com/spec/v1", b"PK\x03\x04 torn"])
def test_what_is_no_archive_is_refused(tmp_path, content):
    (tmp_path / PREDICTIONS).write_bytes(content)
    with pytest.raises(UserError, match="damaged"):
        StudyPredictions.open(tmp_path)


def test_a_bare_array_and_a_torn_archive_are_refused(tmp_path, written):
    content = written[0].read_bytes()
    written[0].write_bytes(content[: len(content) // 2])
    with pytest.raises(UserError, match="damaged"):
        StudyPredictions.open(tmp_path)
    with written[0].open("wb") as stream:
        np.save(stream, np.zeros(3))
    with pytest.raises(UserError, match="damaged"):
        StudyPredictions.open(tmp_path)


def test_pickles_are_never_loaded(tmp_path, written):
    tamper(written[0], **{"items.unit": np.array([{}] * 12, object)})
    with pytest.raises(UserError, match="damaged"):
        StudyPredictions.open(tmp_path)


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"meta": None}, "meta"),
        ({"meta": np.frombuffer(b"{]", np.uint8)}, "damaged"),
        ({"meta": np.frombuffer(b'{"seeds": [0]}', np.uint8)}, "lacks target_names"),
        ({"items.fold": np.zeros(3)}, "differ in length"),
        ({"items.targets": np.zeros((12, 2))}, "for 6 emotions"),
        ({"items.targets": np.full((12, 6), np.nan)}, "not a number"),
        ({"items.category": np.full(12, 2)}, "has no name"),
        ({"cell.strange.intensity": np.zeros(1)}, "protocol/backbone/arm/readout/budget"),
    ],
)
def test_damage_is_named(written, changes, complaint):
    tamper(written[0], **changes)
    with pytest.raises(UserError, match=complaint):
        StudyPredictions.open(written[0].parent)


def test_a_damaged_cell_is_named(written):
    path, _, cells = written
    (key,) = cells
    klass = cells[key].klass.astype(np.int8)
    for changes, complaint in (
        ({f"cell.{key}.presence": None}, "presence"),
        ({f"cell.{key}.presence": np.zeros((1, 12, 6))}, r"arrays of shape .*'presence': \(1, 12, 6\)"),
        ({f"cell.{key}.klass": np.where(np.arange(12)[:, None] == 3, -1, klass)}, "disagree"),
        ({f"cell.{key}.category": np.zeros((2, 12, 3))}, r"'category': \(2, 12, 3\)"),
    ):
        original = path.read_bytes()
        tamper(path, **changes)
        with pytest.raises(UserError, match=complaint):
            StudyPredictions.open(path.parent).cell(key)
        path.write_bytes(original)


def test_the_writer_refuses_what_the_reader_would(tmp_path, written):
    _, truth, cells = written
    (key,) = cells
    for bad_meta in (
        {**simulated.meta(2, 2), "headline": "f1"},
        {**simulated.meta(2), "headline": "uar"},
        {**simulated.meta(2, 2), "seeds": [0, 0]},
        simulated.meta(3, 2),
    ):
        with pytest.raises(ValueError):
            write_predictions(tmp_path, bad_meta, truth, cells)
    with pytest.raises(ValueError, match="no slash"):
        write_predictions(tmp_path, simulated.meta(2, 2), truth, {Key("a/b", "c", "d", "e", 1): cells[key]})


def test_keys_parse_and_order():
    assert Key.parse("speaker-independent/gru/pca/l1/70") == Key("speaker-independent", "gru", "pca", "l1", 70)
    for text in ("", "a/b/c/d", "a/b/c/d/few", "a/b/c/d/e/28"):
        with pytest.raises(ValueError, match="is not protocol"):
            Key.parse(text)
