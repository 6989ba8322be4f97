"""Front ends: names, shapes, what is missing, what becomes of bad clips, and that rate and format do not show."""

import pickle
import sys

import numpy as np
import pytest
from sounds import RATE, between_silences, hum, level_and_crossings, sixteen_bit, stub, write

from emo_ssl.corpora import front_ends
from emo_ssl.corpora.audio import MARGIN, BadRecording, read
from emo_ssl.corpora.front_ends import FRONT_ENDS, frames_of, front_end, without_markers
from emo_ssl.utils.io import UserError

pytest.importorskip("soundfile")
WIDTH = {"acoustics": 43, "egemaps": 25, "compare": 65}
COMPLETE = {"acoustics": 42, "egemaps": 10, "compare": 64}  # columns at least that have a value in every frame
PITCH = {"acoustics": "pitch_semitones", "egemaps": "F0semitoneFrom27.5Hz_sma3nz", "compare": "F0final_sma"}


@pytest.fixture(params=FRONT_ENDS)
def maker(request):
    if request.param != "acoustics":
        pytest.importorskip("opensmile")
    return front_end(request.param)


def test_a_hum_between_two_silences(maker):
    """A voice of 150 Hz in the middle second: pitch there, missing elsewhere, and nowhere a marker."""
    signal = between_silences(hum(1.0, pitch=150.0), 1.0, 1.0).astype(np.float32)
    signal += 1e-5 * np.random.default_rng(0).normal(size=len(signal)).astype(np.float32)
    frames = maker.frames(signal, RATE)
    assert ("no commercial use" in maker.licence) == (maker.name != "acoustics")
    assert frames.dtype == np.float32 and frames.shape[1] == len(maker.feature_names) == WIDTH[maker.name]
    assert 290 <= len(frames) <= 300
    pitch = frames[:, maker.feature_names.index(PITCH[maker.name])]
    pitch = 12 * np.log2(pitch / 27.5) if maker.name == "compare" else pitch
    assert np.isnan(pitch[:80]).all() and np.isnan(pitch[220:]).all()
    assert np.isfinite(pitch[110:190]).mean() > 0.9
    # the pitch of the hum is 150 Hz * (1 + 0.1 pi sin(2 pi t)), in the mean over a second 150 Hz
    assert np.nanmedian(pitch[110:190]) == pytest.approx(12 * np.log2(150 / 27.5), abs=1.5)
    assert (~np.isnan(frames).any(0)).sum() >= COMPLETE[maker.name]


def test_neither_format_nor_process_shows(maker, tmp_path):
    whole = sixteen_bit(hum(1.0))
    a, b = (maker.frames(*read(write(tmp_path / name, whole))) for name in ("a.wav", "a.flac"))
    np.testing.assert_array_equal(a, b)
    again = pickle.loads(pickle.dumps(maker))
    np.testing.assert_array_equal(again.frames(*read(tmp_path / "a.wav")), a)


@pytest.mark.parametrize("seconds", [0.3, 0.05, 0.005])
def test_short_sounds_crash_nothing(maker, seconds):
    frames = maker.frames(hum(seconds).astype(np.float32), RATE)
    assert frames.shape[1] == len(maker.feature_names)
    assert len(frames) >= (20 if seconds == 0.3 else 0)
    if seconds == 0.005:  # shorter than any window
        assert not np.isfinite(frames).any()


def test_markers_become_missing():
    names = ("Loudness_sma3", "F0semitoneFrom27.5Hz_sma3nz", "jitterLocal_sma3nz", "F1frequency_sma3nz",
             "F1amplitudeLogRelF0_sma3nz")  # fmt: skip
    frames = np.float32([[0, 0, 0, 0, -201], [0.5, 0, 0.1, 500, -150], [0, 30, 0, 0, -201], [1, 31, 0.1, 600, -3]])
    nan = np.nan
    expected = [[0, nan, nan, nan, nan], [0.5, nan, 0.1, 500, nan], [0, 30, 0, 0, -201], [1, 31, 0.1, 600, -3]]
    np.testing.assert_array_equal(without_markers(frames, names), np.float32(expected))
    compare = without_markers(np.float32([[0, 0, 0], [120, 0, 0]]), ("F0final_sma", "jitterLocal_sma", "logHNR_sma"))
    np.testing.assert_array_equal(compare, [[nan, 0, 0], [120, 0, 0]])
    assert without_markers(np.empty((0, 5), np.float32), names).shape == (0, 5)


def test_a_missing_opensmile(monkeypatch):
    monkeypatch.setitem(sys.modules, "opensmile", None)
    front_ends.extractor.cache_clear()
    with pytest.raises(UserError, match=r"licence forbids commercial use.*--front-end acoustics"):
        front_end("compare")


# --- a clip


def test_a_clip_loses_its_silence_where_it_is_not_kept(tmp_path):
    path = write(tmp_path / "a.wav", between_silences(hum(0.5), 0.4, 0.7))
    given = []
    maker = stub(lambda signal, rate: given.append(len(signal)) or level_and_crossings(signal, rate))
    frames, *times = frames_of(maker, path, keep_silence=False)
    np.testing.assert_allclose(times, [0.4 - MARGIN, 0.9 + MARGIN, 1.6], atol=1e-9)
    _, *times = frames_of(maker, path.read_bytes(), keep_silence=True)
    assert times == [0, 1.6, 1.6]
    assert given == [round(0.8 * RATE), round(1.6 * RATE)] and len(frames) == 80


def refuses(signal: np.ndarray, rate: int) -> np.ndarray:
    raise UserError("too loud")


@pytest.mark.parametrize(
    ("frames", "reason"),
    [
        (lambda signal, rate: np.full((5, 2), np.nan, np.float32), "the front end stub finds nothing in it"),
        (lambda signal, rate: 1 / 0, r"the front end stub failed \(ZeroDivisionError: division by zero\)"),
        (refuses, "too loud"),
    ],
)
def test_what_a_front_end_cannot_use_is_a_bad_recording(tmp_path, frames, reason):
    with pytest.raises(BadRecording, match=f"^{reason}$"):
        frames_of(stub(frames), write(tmp_path / "a.wav", hum(0.5)), keep_silence=True)
