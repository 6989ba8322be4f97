"""Front ends: names, shapes, what is missing, and that neither rate nor file format shows in the frames."""

import pickle
import sys

import numpy as np
import pytest
from sounds import RATE, hum, sixteen_bit, write

from emo_ssl.corpora import front_ends
from emo_ssl.corpora.audio import read
from emo_ssl.corpora.front_ends import FRONT_ENDS, front_end, resampled, without_markers
from emo_ssl.utils.io import UserError

WIDTH = {"acoustics": 43, "egemaps": 25, "compare": 65}
PITCH = {"acoustics": "pitch_semitones", "egemaps": "F0semitoneFrom27.5Hz_sma3nz", "compare": "F0final_sma"}


@pytest.fixture(params=FRONT_ENDS)
def maker(request, one_thread):
    if request.param != "acoustics":
        pytest.importorskip("opensmile")
    return front_end(request.param)


def semitones(name: str, value: np.ndarray) -> np.ndarray:
    return 12 * np.log2(value / 27.5) if name == "compare" else value


def test_names_and_licence(maker):
    assert len(maker.feature_names) == len(set(maker.feature_names)) == WIDTH[maker.name]
    assert PITCH[maker.name] in maker.feature_names
    assert maker.frame_rate == 100.0 and maker.version
    assert ("no commercial use" in maker.licence) == (maker.name != "acoustics")


def test_a_hum_between_two_silences(maker):
    """A voice of 150 Hz in the middle second: pitch there, missing elsewhere, and nowhere a marker."""
    signal = np.concatenate([np.zeros(RATE), hum(1.0, pitch=150.0), np.zeros(RATE)]).astype(np.float32)
    signal += 1e-5 * np.random.default_rng(0).normal(size=len(signal)).astype(np.float32)
    frames = maker.frames(signal, RATE)
    assert frames.dtype == np.float32 and frames.shape[1] == len(maker.feature_names)
    assert 290 <= len(frames) <= 300
    pitch = semitones(maker.name, frames[:, maker.feature_names.index(PITCH[maker.name])])
    assert np.isnan(pitch[:80]).all() and np.isnan(pitch[220:]).all()
    voiced = pitch[110:190]
    assert np.isfinite(voiced).mean() > 0.9
    # the pitch of the hum is 150 Hz * (1 + 0.1 pi sin(2 pi t)), in the mean over a second 150 Hz
    assert np.nanmedian(voiced) == pytest.approx(12 * np.log2(150 / 27.5), abs=1.5)
    other = [i for i, name in enumerate(maker.feature_names) if not np.isnan(frames[:, i]).any()]
    assert len(other) >= {"acoustics": 42, "egemaps": 10, "compare": 64}[maker.name]


def test_file_format_does_not_show(maker, tmp_path):
    whole = sixteen_bit(hum(1.0))
    a, b = (maker.frames(*read(write(tmp_path / name, whole))) for name in ("a.wav", "a.flac"))
    np.testing.assert_array_equal(a, b)


def test_rate_hardly_shows(maker):
    """The same hum at 16 and at 48 kHz: equal frames, up to what the filter between the two leaves."""
    a, b = (maker.frames(hum(1.0, rate).astype(np.float32), rate) for rate in (RATE, 48_000))
    assert a.shape == b.shape
    spread = np.nanstd(a, 0) + 1e-6
    assert np.nanmedian(np.abs(a - b) / spread) < 0.02


def test_twice_the_same(maker):
    signal = hum(1.0).astype(np.float32)
    np.testing.assert_array_equal(maker.frames(signal, RATE), maker.frames(signal, RATE))
    again = pickle.loads(pickle.dumps(maker))
    assert again.feature_names == maker.feature_names
    np.testing.assert_array_equal(again.frames(signal, RATE), maker.frames(signal, RATE))


@pytest.mark.parametrize("seconds", [0.3, 0.05, 0.005])
def test_short_sounds_crash_nothing(maker, seconds):
    frames = maker.frames(hum(seconds).astype(np.float32), RATE)
    assert frames.shape[1] == len(maker.feature_names)
    assert len(frames) >= (20 if seconds == 0.3 else 0)
    if seconds == 0.005:  # shorter than any window
        assert not np.isfinite(frames).any()


def test_digital_silence_is_finite_but_for_the_voice(maker):
    frames = maker.frames(np.zeros(RATE, np.float32), RATE)
    missing = {name for name, column in zip(maker.feature_names, frames.T, strict=True) if np.isnan(column).any()}
    assert PITCH[maker.name] in missing and not np.isinf(frames).any()
    assert len(missing) == {"acoustics": 1, "egemaps": 15, "compare": 1}[maker.name]


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


@pytest.mark.parametrize("rate", [8_000, 16_000, 22_050, 44_100, 48_000])
def test_resampling_keeps_time_and_pitch(rate):
    tone = np.sin(2 * np.pi * 440 * np.arange(rate) / rate).astype(np.float32)
    result = resampled(tone, rate, 16_000)
    assert result.dtype == np.float32 and len(result) == 16_000
    expected = np.sin(2 * np.pi * 440 * np.arange(16_000) / 16_000)
    np.testing.assert_allclose(result[500:-500], expected[500:-500], atol=0.005)


def test_an_unknown_front_end_is_refused():
    with pytest.raises(UserError, match="mel: no such front end; choose one of acoustics, egemaps, compare"):
        front_end("mel")


def test_without_opensmile(monkeypatch):
    monkeypatch.setitem(sys.modules, "opensmile", None)
    front_ends.extractor.cache_clear()
    with pytest.raises(UserError, match=r"licence forbids commercial use.*--front-end acoustics"):
        front_end("compare")
    front_ends.extractor.cache_clear()
