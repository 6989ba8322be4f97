"""Reading recordings: every format and rate gives the same samples; what is no recording is refused with a reason."""

import numpy as np
import pytest
from sounds import RATE, between_silences, hum, write

from emo_ssl.corpora.audio import BESIDE_THE_VOICE, MARGIN, MOMENT, BadRecording, pieces, read, resampled, voiced_part

soundfile = pytest.importorskip("soundfile")


def reason(recording) -> str:
    with pytest.raises(BadRecording) as caught:
        read(recording)
    return str(caught.value)


@pytest.mark.parametrize(
    ("name", "rate", "options", "tolerance"),
    [
        ("a.wav", 16_000, {}, 2**-15),
        ("a.wav", 8_000, {"subtype": "FLOAT"}, 1e-7),
        ("a.flac", 48_000, {}, 2**-15),
        ("a.ogg", 22_050, {}, 0.02),
        ("a.mp3", 44_100, {}, 0.05),
    ],
)
def test_a_tone_is_read_as_it_was_written(tmp_path, name, rate, options, tolerance):
    signal = hum(1.0, rate)
    read_signal, read_rate = read(write(tmp_path / name, signal, rate, **options))
    assert read_rate == rate and read_signal.dtype == np.float32 and read_signal.shape == (rate,)
    np.testing.assert_allclose(read_signal, signal, atol=tolerance)


@pytest.mark.parametrize("seconds", [1.9, 2.0, 2.1])
def test_a_file_in_pieces(tmp_path, seconds):
    signal = np.stack([hum(seconds), np.zeros(round(seconds * RATE))], 1)
    path = write(tmp_path / "a.wav", signal, subtype="FLOAT")
    np.testing.assert_allclose(read(path)[0], signal.mean(1), atol=1e-6)
    found = [samples for samples, _ in pieces(path.read_bytes(), 1)]
    assert [len(samples) for samples in found[:-1]] == [RATE] * int(seconds)
    np.testing.assert_array_equal(np.concatenate(found), read(path)[0])


def test_what_is_not_audio_says_so(tmp_path):
    path = tmp_path / "a.wav"
    assert "the file cannot be read (No such file" in reason(path)
    for content, words in [
        (b"", "an empty file"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12\n", "a Git-LFS pointer"),
        (b"\n<!DOCTYPE html><html>gone</html>", "a web page saved under the name of the file"),
        (b"no sound at all" * 100, "corrupt or not audio"),
        (b"RIFF\x00\x00\x00\x00WAVE", "corrupt or not audio"),
    ]:
        path.write_bytes(content)
        assert reason(path).startswith(words) and reason(content).startswith(words)
        assert str(tmp_path) not in reason(path)
    raw = tmp_path / "a.raw"
    raw.write_bytes(b"1234" * 1000)
    assert reason(raw).startswith("corrupt or not audio")


@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.mp3", "a.aiff"])
@pytest.mark.parametrize("share", [0.5, 0.05])
def test_a_file_that_was_cut_off(tmp_path, name, share):
    """Not so in Ogg, which does not state its length."""
    content = write(tmp_path / name, hum(8.0)).read_bytes()
    words = reason(content[: int(share * len(content))])
    assert words.startswith(("cut off before its end", "corrupt or not audio"))
    if name in ("a.wav", "a.aiff"):
        assert words == f"cut off before its end ({share:.0%} of it is there)"


def test_a_wav_that_came_through_a_pipe_is_whole(tmp_path):
    """Its writer could not know the length: a size without meaning is not a promise."""
    content = bytearray(write(tmp_path / "a.wav", hum(1.0)).read_bytes())
    place = content.index(b"data") + 4
    content[place : place + 4] = content[4:8] = (0x7FFF_FFFF).to_bytes(4, "little")
    assert len(read(bytes(content))[0]) == RATE


def test_silence(tmp_path):
    def wav(signal, **options):
        return write(tmp_path / "a.wav", signal, **options)

    assert "silent" in reason(wav(np.zeros(RATE)))
    assert "silent" in reason(wav(np.full(RATE, 2.0**-15)))  # the last bit of 16
    opposite = np.stack([hum(1.0), -hum(1.0)], 1)
    assert "silent" in reason(wav(opposite, subtype="FLOAT"))  # nothing is left of them in mono
    faint = np.zeros(RATE)
    faint[7] = -3.3e-5  # one sample above 10^(-90 / 20) = 3.16e-5
    assert len(read(wav(faint, subtype="FLOAT"))[0]) == RATE
    faint[7] = -3.1e-5
    assert "silent" in reason(wav(faint, subtype="FLOAT"))


@pytest.mark.parametrize(
    ("signal", "rate", "words"),
    [
        (hum(0.3)[:-1], RATE, "shorter than 0.3 s (0.300 s)"),
        (hum(0), RATE, "shorter than 0.3 s (0.000 s)"),
        (np.where(np.arange(2 * RATE).reshape(-1, 2) == 9, np.inf, 0.1), RATE, "samples that are not finite numbers"),
        (np.full(3_999, 0.1), 3_999, "a sampling rate outside 4 kHz to 768 kHz (3999 Hz)"),
    ],
)
def test_sounds_that_are_refused(tmp_path, signal, rate, words):
    assert reason(write(tmp_path / "a.wav", signal, rate, subtype="FLOAT")) == words


@pytest.mark.parametrize("rate", [8_000, 16_000, 44_100])
def test_resampling_keeps_time_and_pitch(rate):
    tone = np.sin(2 * np.pi * 440 * np.arange(rate) / rate).astype(np.float32)
    result = resampled(tone, rate, 16_000)
    assert result.dtype == np.float32 and len(result) == 16_000 and not len(resampled(tone[:0], rate, 16_000))
    expected = np.sin(2 * np.pi * 440 * np.arange(16_000) / 16_000)
    np.testing.assert_allclose(result[500:-500], expected[500:-500], atol=0.005)


# --- the voice without the silence around it


def tone(seconds: float, rate: int = RATE, level: float = 0.1) -> np.ndarray:
    """200 Hz from its first sample on: a moment holds five whole periods."""
    return (level * np.sin(2 * np.pi * 200 * np.arange(round(seconds * rate)) / rate + 1)).astype(np.float32)


@pytest.mark.parametrize(("rate", "shift"), [(16_000, 0), (16_000, 77), (44_100, 1), (44_100, 199)])
def test_a_voice_keeps_a_margin_and_loses_the_silence(rate, shift):
    """Moments begin at every half of one, so the cut may fall up to that much further out, never further in."""
    voice = tone(0.7, rate)[shift:]
    part = voiced_part(between_silences(voice, 0.5 + shift / rate, 0.6, rate), rate)
    first, half, margin = round(0.5 * rate) + shift, MOMENT * rate / 2, MARGIN * rate
    assert -1 <= first - margin - part.start <= half + 1
    assert -1 <= part.stop - (first + len(voice)) - margin <= half + 1
    assert part.step is None


@pytest.mark.parametrize("samples", [0, 1, 2, 400, 12_345])
def test_a_voice_all_through_is_kept_whole(samples):
    assert voiced_part(tone(10)[:samples], RATE) == slice(0, samples)


@pytest.mark.parametrize(("below", "kept"), [(34.9, True), (35.1, False)])
@pytest.mark.parametrize("level", [0.5, 1e-3])
def test_what_counts_as_quiet_is_relative_to_the_loudest_moment(below, kept, level):
    assert BESIDE_THE_VOICE == 35
    edge = tone(1.0, level=level * 10 ** (-below / 20))
    part = voiced_part(np.concatenate([edge, tone(0.5, level=level), edge]), RATE)
    if kept:
        assert part == slice(0, round(2.5 * RATE))
    else:
        np.testing.assert_allclose([part.start / RATE, part.stop / RATE], [1 - MARGIN, 1.5 + MARGIN], atol=MOMENT / 2)


def test_a_constant_offset_is_no_voice():
    signal = between_silences(tone(0.5), 1.0, 1.0)
    assert voiced_part(signal + np.float32(0.05), RATE) == voiced_part(signal, RATE)
    assert voiced_part(np.full(RATE, 0.1, np.float32), RATE) == slice(0, RATE)  # nothing is louder than the rest
