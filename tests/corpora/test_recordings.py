"""From files to a corpus: what is stored, what is left out and why, and that nothing depends on how it was computed."""

import os
import shutil
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
from builders import check_sums, contents, intensities, run_python
from sounds import RATE, between_silences, fails_on_long_sound, hum, level_and_crossings, sixteen_bit, stub, write

from emo_ssl import cli
from emo_ssl.core.corpus import SPLITS, Corpus
from emo_ssl.corpora import recordings
from emo_ssl.corpora.audio import MARGIN, MOMENT
from emo_ssl.corpora.recipes import ravdess
from emo_ssl.corpora.recordings import record
from emo_ssl.corpora.report import describe, faults
from emo_ssl.utils import endings
from emo_ssl.utils.io import UserError

pytest.importorskip("soundfile")

NAMES = [f"03-01-{emotion:02d}-01-01-01-{actor:02d}" for actor in (1, 3, 5, 7, 10) for emotion in (1, 4)]


def sound(i: int) -> np.ndarray:
    """The i-th recording: each has its own pitch and length, from half a second on."""
    return sixteen_bit(hum(0.5 + 0.013 * i, pitch=90 + 7 * i))


def write_ravdess(root: Path, ending: str = "wav", names=NAMES, before: float = 0.0, after: float = 0.0) -> Path:
    for i, name in enumerate(names):
        write(root / f"Actor_{name[-2:]}" / f"{name}.{ending}", between_silences(sound(i), before, after))
    return root


def zip_of(folder: Path, path: Path) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(folder.rglob("*.*"), reverse=True):
            archive.write(file, file.relative_to(folder).as_posix())
    return path


def write_table(root: Path, text: str) -> Path:
    path = root / "table.csv"
    path.write_text(text)
    return path


def same(a: Corpus, b: Corpus) -> None:
    """The hash covers every frame and every column of the tables."""
    assert a.content_hash == b.content_hash


# --- a corpus without faults


def test_a_small_ravdess(tmp_path):
    prepared = record(write_ravdess(tmp_path / "in"), tmp_path / "out", front_end=stub(), jobs=1)
    report = check_sums(prepared)
    assert prepared.recordings.id.tolist() == sorted(NAMES)
    for i, name in enumerate(prepared.recordings.id.tolist()):
        raw = sound(NAMES.index(name)) / np.float32(2**15)
        np.testing.assert_array_equal(prepared.recording(i), level_and_crossings(raw, RATE))
        np.testing.assert_array_equal(prepared.segment(i), prepared.recording(i))
        assert prepared.recordings.speaker[i] == f"actor-{name[-2:]}"
        assert prepared.segments.start[i] == 0 and prepared.segments.end[i] == len(raw) / RATE
        sad = name[6:8] == "04"
        np.testing.assert_array_equal(prepared.targets[i], np.float32(intensities(sad=2) if sad else intensities()))
        assert prepared.category_names[prepared.segments.category[i]] == ("sad" if sad else "neutral")
    actors = [int(name[-2:]) for name in prepared.recordings.id]
    assert prepared.segments.fold.tolist() == [(actor - 1) // 2 % 5 for actor in actors]
    assert prepared.folds == [0, 1, 2, 3, 4] and not report["skipped"]
    header = prepared.header
    assert (header["front_end"], header["front_end_version"], header["front_end_licence"]) == ("stub", "1", "none")
    assert report["videos"]["of the corpus, but not in the source"] == 1430


def test_nothing_depends_on_how_the_corpus_was_computed(tmp_path):
    """Zip or folder, wav or flac, one process or two, in one place or another."""
    wav, flac = write_ravdess(tmp_path / "wav"), write_ravdess(tmp_path / "deep" / "flac", "flac")
    archive = zip_of(wav, tmp_path / "a.zip")
    first = record(wav, tmp_path / "1", front_end=stub(), jobs=1)
    same(first, record(wav, tmp_path / "2", front_end=stub(), jobs=2))
    same(first, record(flac, tmp_path / "3", front_end=stub(), jobs=1))
    same(first, record(archive, tmp_path / "4", front_end=stub(), jobs=2))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["1", "2", "3", "4", "a.zip", "deep", "wav"]


def test_a_second_run_returns_at_once_and_other_settings_are_refused(tmp_path, monkeypatch):
    source = write_ravdess(tmp_path / "in")
    first = record(source, tmp_path / "out", front_end=stub(), jobs=1)
    before = contents(tmp_path / "out")
    monkeypatch.setattr(recordings, "build", None)
    same(first, record(source, tmp_path / "out", front_end=stub(), jobs=2))
    moved = shutil.move(source, tmp_path / "moved")
    same(first, record(moved, tmp_path / "out", front_end=stub()))
    with pytest.raises(UserError, match="front_end_version is '1' there, '2' here"):
        record(moved, tmp_path / "out", front_end=stub(version="2"))
    write(tmp_path / "moved" / f"Actor_01/{NAMES[0]}.wav", sound(5))
    with pytest.raises(UserError, match="source is"):
        record(moved, tmp_path / "out", front_end=stub())
    assert contents(tmp_path / "out") == before


# --- what is left out


def test_bad_recordings_are_left_out_with_their_reason(tmp_path):
    source = write_ravdess(tmp_path / "in")
    bad = [
        f"Actor_01/{NAMES[0]}.wav",
        f"Actor_03/{NAMES[2]}.wav",
        f"Actor_05/{NAMES[4]}.wav",
        f"Actor_10/{NAMES[8]}.wav",
    ]
    (source / bad[0]).write_bytes(b"version https://git-lfs.github.com/spec/v1\n")
    write(source / bad[1], np.zeros(RATE))
    write(source / bad[2], hum(0.2))
    write(source / bad[3], sixteen_bit(hum(1.5)))
    prepared = record(source, tmp_path / "out", front_end=stub(fails_on_long_sound), jobs=1)
    report = check_sums(prepared)
    assert prepared.recordings.id.tolist() == [name for name in sorted(NAMES) if not any(name in path for path in bad)]
    reasons = {one["path"]: one["reason"] for one in report["skipped"]}
    assert sorted(reasons) == bad
    assert "Git-LFS pointer" in reasons[bad[0]] and reasons[bad[1]].startswith("silent")
    assert reasons[bad[2]] == "shorter than 0.3 s (0.200 s)"
    assert reasons[bad[3]] == "the front end stub failed (ValueError: too long for me)"
    assert report["segments"]["dropped"]["recording left out: shorter than 0.3 s"] == 1
    assert report["videos"]["left out: shorter than 0.3 s"] == 1
    same(prepared, record(source, tmp_path / "two", front_end=stub(fails_on_long_sound), jobs=2))
    assert f"  {bad[2]}: shorter than 0.3 s (0.200 s)" in describe(prepared)


def test_more_bad_recordings_than_good_ones_are_refused(tmp_path):
    source = write_ravdess(tmp_path / "in")
    paths = [source / f"Actor_{name[-2:]}" / f"{name}.wav" for name in NAMES]
    for path in paths[:5]:
        path.write_bytes(b"<html>")
    assert len(record(source, tmp_path / "five", front_end=stub(), jobs=1)) == 5
    paths[5].write_bytes(b"<html>")
    with pytest.raises(UserError, match=r"6 of 10 recordings cannot be used, the first of them.*a web page"):
        record(source, tmp_path / "six", front_end=stub(), jobs=1)
    assert not (tmp_path / "six").exists()


def test_a_damaged_member_of_a_zip(tmp_path):
    path = zip_of(write_ravdess(tmp_path / "in"), tmp_path / "a.zip")
    with zipfile.ZipFile(path) as archive:
        member = archive.getinfo(f"Actor_01/{NAMES[0]}.wav")
    content = bytearray(path.read_bytes())
    content[member.header_offset + 200] ^= 0xFF  # within the compressed sound
    path.write_bytes(content)
    (skipped,) = check_sums(record(path, tmp_path / "out", front_end=stub(), jobs=1))["skipped"]
    assert skipped["path"] == f"Actor_01/{NAMES[0]}.wav"
    assert skipped["reason"].startswith("damaged or locked in the archive")


# --- processes beside each other


def slow_at_first(signal: np.ndarray, rate: int) -> np.ndarray:
    """(T, 2): the length, the threads that its process may use; the shortest recordings, which are first, wait."""
    time.sleep(0.2 if len(signal) < 0.53 * rate else 0)
    return np.full((len(signal) // 160, 2), (len(signal), int(os.environ["OMP_NUM_THREADS"])), np.float32)


def test_results_stay_in_order_and_each_process_has_one_thread(tmp_path, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    prepared = record(write_ravdess(tmp_path / "in"), tmp_path / "out", front_end=stub(slow_at_first), jobs=2)
    lengths = [len(sound(NAMES.index(name))) for name in prepared.recordings.id]
    assert [prepared.recording(i)[0].tolist() for i in range(len(NAMES))] == [[length, 1] for length in lengths]
    assert os.environ["OMP_NUM_THREADS"] == "7"


def dies(signal: np.ndarray, rate: int) -> np.ndarray:
    os._exit(1)


def test_a_process_that_dies(tmp_path):
    source = write_ravdess(tmp_path / "in")
    with pytest.raises(UserError, match=r"a working process ended before its work.*fewer --jobs"):
        record(source, tmp_path / "out", front_end=stub(dies), jobs=2)
    assert not (tmp_path / "out").exists()


@pytest.mark.skipif(not hasattr(os, "killpg"), reason="no groups of processes")
def test_ctrl_c_stops_everything_at_once(tmp_path):
    """A terminal sends it to the whole group of processes."""
    source = write_ravdess(tmp_path / "in")
    program = (
        "import os, signal, sys; sys.path.insert(0, sys.argv[1]); os.setsid();"
        "from sounds import stub; from emo_ssl import cli; from emo_ssl.corpora import front_ends, recordings;"
        "front_ends.front_end = lambda *given: stub();"
        "add = recordings.CorpusWriter.add_recording;"
        "recordings.CorpusWriter.add_recording = lambda *given: os.killpg(0, signal.SIGINT) or add(*given);"
        "sys.exit(cli.main(['corpus', 'record', *sys.argv[2:4], '--jobs', '2', '-o', sys.argv[4]]))"
    )
    done = run_python(program, Path(__file__).parents[1], source, "--keep-silence", tmp_path / "out")
    assert done.returncode == endings.INTERRUPTED and done.stderr.endswith("run the same command again to continue\n")
    assert not (tmp_path / "out").exists()


# --- silence

BEFORE, AFTER = 0.4, 0.7  # seconds


def voice_in(i: int) -> tuple[float, float]:
    """From which second to which the i-th recording is kept: a margin beside the voice, to a whole half of a moment."""
    half = MOMENT / 2
    last = BEFORE + len(sound(i)) / RATE
    return BEFORE - MARGIN, np.ceil(last / half - 1e-9) * half + MARGIN


@pytest.mark.parametrize("keep", [False, True])
def test_silence_at_the_edges_is_left_out_unless_it_is_asked_for(tmp_path, keep):
    source = write_ravdess(tmp_path / "in", before=BEFORE, after=AFTER)
    prepared = record(source, tmp_path / "out", front_end=stub(), jobs=1, keep_silence=keep)
    report = check_sums(prepared)
    dropped = 0
    for i, name in enumerate(prepared.recordings.id.tolist()):
        number = NAMES.index(name)
        raw = between_silences(sound(number), BEFORE, AFTER) / np.float32(2**15)
        began, ended = (0, len(raw) / RATE) if keep else voice_in(number)
        np.testing.assert_allclose(
            [prepared.segments.start[i], prepared.segments.end[i]], [began, ended], atol=1 / RATE
        )
        part = raw[round(began * RATE) : round(ended * RATE)]
        np.testing.assert_array_equal(prepared.recording(i), level_and_crossings(part, RATE))
        np.testing.assert_array_equal(prepared.segment(i), prepared.recording(i))
        dropped += round((len(raw) - len(part)) / RATE * 100)
    assert report["frames"][recordings.SILENCE] == dropped
    # at least what lies beyond the margin of 0.15 s and the half of a moment
    assert dropped == 0 if keep else dropped > len(NAMES) * 78
    assert (("frames", "dropped", "silence before and after the voice", dropped) in faults(report)) != keep


# --- own recordings


def own(tmp_path: Path, text: str, **sounds: np.ndarray) -> Corpus:
    for name, signal in sounds.items():
        write(tmp_path / "in" / f"{name}.wav", sixteen_bit(signal))
    (tmp_path / "in").mkdir(exist_ok=True)
    return record(tmp_path / "in", tmp_path / "out", "folder", write_table(tmp_path, text), stub(), jobs=1)


THREE = {"a": hum(2.0), "b": hum(1.0, pitch=200), "c": hum(1.5, pitch=250)}


def test_stretches_of_a_recording(tmp_path):
    prepared = own(
        tmp_path,
        "path,speaker,happy,anger,category,start,end\n"
        "c.wav,w,0.5,0,glad,,\n"
        "a.wav,u,3,0,glad,0.5,1.25\n"
        "a.wav,u,0,1,cross,1.0,\n"
        "b.wav,v,0,0,calm,,0.4\n",
        **THREE,
    )
    check_sums(prepared)
    assert prepared.recordings.id.tolist() == ["a.wav", "b.wav", "c.wav"]
    assert prepared.recordings.length.tolist() == [200, 100, 150]
    assert prepared.segments.recording.tolist() == [0, 0, 1, 2] and prepared.segments.row.tolist() == [0, 1, 0, 0]
    # every frame that touches the stretch, so one more at either end that falls on a frame's edge inside the file
    assert prepared.segments.first.tolist() == [49, 99, 200, 300]
    assert prepared.segments.length.tolist() == [77, 101, 41, 150]
    assert [prepared.category_names[c] for c in prepared.segments.category] == ["glad", "cross", "calm", "glad"]
    assert prepared.segments.fold.tolist() == [0, 0, 1, 2]
    assert [SPLITS[s] for s in prepared.segments.split] == ["test", "test", "valid", "train"]
    np.testing.assert_array_equal(prepared.targets[0], np.float32(intensities(happy=3)))


def test_a_recording_of_which_the_table_names_a_stretch_is_not_trimmed(tmp_path):
    """A start of 0 is a stretch as well, as is an end alone; a recording without either is trimmed beside them."""
    sounds = {**THREE, "d": hum(0.9, pitch=120)}
    prepared = own(
        tmp_path,
        "path,speaker,happy,start,end\na.wav,u,1,0,\nb.wav,v,1,,2.0\nc.wav,w,1,,\nd.wav,x,1,0.6,1.4\nd.wav,x,2,,\n",
        **{name: between_silences(signal, BEFORE, AFTER) for name, signal in sounds.items()},
    )
    report = check_sums(prepared)
    assert prepared.recordings.length.tolist() == [310, 210, 180, 200]
    np.testing.assert_allclose(prepared.segments.start, [0, 0, BEFORE - MARGIN, 0.6, 0], atol=1e-9)
    np.testing.assert_allclose(prepared.segments.end, [3.1, 2.0, BEFORE + 1.5 + MARGIN, 1.4, 2.0], atol=1e-9)
    assert prepared.segments.first.tolist() == [0, 310, 520, 759, 700]
    assert prepared.segments.length.tolist() == [310, 201, 180, 82, 200]
    assert report["frames"][recordings.SILENCE] == 260 - 180


# --- the command


def test_the_command(tmp_path, capsys):
    source = write_ravdess(tmp_path / "in")
    (source / "Actor_01" / f"{NAMES[0]}.wav").write_bytes(b"")
    command = ["corpus", "record", str(source), "-o", str(tmp_path / "out"), "--jobs", "1"]
    assert cli.main(command) == 0
    printed = capsys.readouterr().out
    assert f"  Actor_01/{NAMES[0]}.wav: an empty file" in printed and "segments: 10 in = 9 kept + 1 dropped" in printed
    table = write_table(tmp_path, "path,speaker,sad\n" + "".join(f"Actor_{n[-2:]}/{n}.wav,{n[-2:]},1\n" for n in NAMES))
    made = ["--recipe", "folder", "--table", str(table), "-o", str(tmp_path / "own")]
    assert cli.main(["corpus", "record", str(source), *made, "--jobs", "1"]) == 0
    assert "by speaker: the sorted speakers dealt over 5 folds" in capsys.readouterr().out


# --- real voices


def test_all_of_ravdess(real_data, tmp_path):
    real = record(real_data / "ravdess-16k", tmp_path / "out", front_end=stub(), jobs=2)
    report = check_sums(real)
    assert real.recordings.id.tolist() == sorted(ravdess.names()) and not report["skipped"]
    assert len(real) == len(real.recordings) == 1440 and len(set(real.recordings.speaker.tolist())) == 24
    assert set(report["videos"]) == {"kept"}
