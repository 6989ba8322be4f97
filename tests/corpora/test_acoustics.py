"""The front end against sounds whose answer is known and against a second, naive implementation."""

import numpy as np
import pytest
from scipy.fft import dct

from emo_ssl.corpora import acoustics
from emo_ssl.corpora.acoustics import FRAME_RATE, HOP, NAMES, SAMPLE_RATE, WINDOW, frames
from emo_ssl.utils.io import UserError

COLUMN = {name: i for i, name in enumerate(NAMES)}
CENTRE = WINDOW / 2 / SAMPLE_RATE  # of the first frame, in seconds


def seconds(duration: float, rate: int = SAMPLE_RATE) -> np.ndarray:
    return np.arange(round(duration * rate)) / rate


def tone(hertz, duration=0.5, rate=SAMPLE_RATE, amplitude=0.1) -> np.ndarray:
    return (amplitude * np.sin(2 * np.pi * hertz * seconds(duration, rate))).astype(np.float32)


def buzz(hertz: float, duration=1.0, rate=SAMPLE_RATE, top=7000) -> np.ndarray:
    """A voice-like sound: harmonics up to `top` Hz that fall by 12 dB an octave."""
    numbers = np.arange(1, int(top / hertz) + 1)
    phase = 2 * np.pi * hertz * seconds(duration, rate)
    return (0.1 * np.sum([np.cos(n * phase + n * n) / n**2 for n in numbers], 0)).astype(np.float32)


def noise(duration=1.0, amplitude=0.1, seed=0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, amplitude, round(duration * SAMPLE_RATE)).astype(np.float32)


def column(sound: np.ndarray, name: str, rate: int = SAMPLE_RATE) -> np.ndarray:
    return frames(sound, rate)[:, COLUMN[name]]


def pitch_hertz(sound: np.ndarray, rate: int = SAMPLE_RATE) -> np.ndarray:
    return 27.5 * 2 ** (column(sound, "pitch_semitones", rate) / 12)


def cents(got, wanted) -> np.ndarray:
    return 1200 * np.log2(got / wanted)


# --- shape


@pytest.mark.parametrize(
    ("samples", "count"),
    [(0, 0), (WINDOW - 1, 0), (WINDOW, 1), (WINDOW + HOP - 1, 1), (WINDOW + HOP, 2), (SAMPLE_RATE, 96)],
)
def test_as_many_frames_as_windows_fit(samples, count):
    assert frames(noise()[:samples], SAMPLE_RATE).shape == (count, len(NAMES))


# --- level


@pytest.mark.parametrize("constant", [0.0, 0.25])
def test_silence_has_finite_numbers_and_no_pitch(constant):
    """A constant is no sound either: what is left is the noise floor, which is white and of -100 dB."""
    made = frames(np.full(8000, constant, np.float32), SAMPLE_RATE)
    middle = made[len(made) // 2]
    assert np.isnan(made[:, COLUMN["pitch_semitones"]]).all()
    assert np.isfinite(np.delete(made, COLUMN["pitch_semitones"], 1)).all()
    assert middle[COLUMN["energy_db"]] == pytest.approx(-100, abs=0.01)
    assert middle[COLUMN["entropy"]] == pytest.approx(1, abs=0.01)
    assert middle[COLUMN["centroid_khz"]] == pytest.approx(4, abs=0.01)
    assert middle[COLUMN["voicing"]] == pytest.approx(0, abs=0.1)


def test_energy_is_the_mean_square_in_decibels():
    np.testing.assert_allclose(column(tone(1000, amplitude=0.2), "energy_db"), 10 * np.log10(0.2**2 / 2), atol=0.001)
    assert column(noise(20), "energy_db").mean() == pytest.approx(-20, abs=0.15)


# --- pitch and voicing


@pytest.mark.parametrize("hertz", [65, 220, 490])
def test_pitch_of_a_tone(hertz):
    sound = tone(hertz)
    assert np.abs(cents(pitch_hertz(sound), hertz)).max() < 2
    assert column(sound, "voicing").min() > 0.99
    assert column(sound, "harmonicity_db").min() > 20


def test_pitch_follows_a_chirp():
    """An octave in two seconds: frame t is centred on 0.024 + t / 100 s, and its pitch is that of its centre."""
    at = seconds(2)
    sound = (0.1 * np.sin(2 * np.pi * 120 * 2 / np.log(2) * (2 ** (at / 2) - 1))).astype(np.float32)
    found = pitch_hertz(sound)
    wanted = 120 * 2 ** ((CENTRE + np.arange(len(found)) / FRAME_RATE) / 2)
    assert np.abs(cents(found, wanted)).max() < 10
    np.testing.assert_allclose(column(sound, "pitch_step")[1:], 12 / 200, atol=0.03)


def test_voicing_tells_the_share_of_noise():
    """The autocorrelation at the period is signal / (signal + noise), in the mean."""
    power = np.mean(buzz(125, 5).astype(np.float64) ** 2)
    for ratio in (3.0, 9.0):
        sound = buzz(125, 5) + noise(5, np.sqrt(power / ratio))
        assert column(sound, "voicing").mean() == pytest.approx(ratio / (ratio + 1), abs=0.04)
        assert np.median(column(sound, "harmonicity_db")) == pytest.approx(10 * np.log10(ratio), abs=1.5)


@pytest.mark.parametrize("count", [1, 2, 9])
def test_best_path_is_that_of_plain_dynamic_programming(count):
    """Where all frames are within AROUND, the windowed search finds what a loop over whole paths finds."""
    import torch

    states = acoustics.CANDIDATES + 1
    worth = torch.rand(count, states, generator=torch.Generator().manual_seed(count))
    octaves = torch.rand(count, states, generator=torch.Generator().manual_seed(count + 50)) * 3

    def price(frame, a, b):
        if states - 1 in (a, b):
            return 0.0 if a == b else acoustics.VOICE_SWITCH
        return acoustics.OCTAVE_JUMP * abs(float(octaves[frame, a] - octaves[frame + 1, b]))

    best = [(float(worth[0, s]), [s]) for s in range(states)]
    for frame in range(count - 1):
        best = [
            max((value - price(frame, path[-1], s) + float(worth[frame + 1, s]), [*path, s]) for value, path in best)
            for s in range(states)
        ]
    assert acoustics.best_path(worth, octaves).tolist() == max(best)[1]


# --- the spectrum


def naive_spectrum(window: np.ndarray, size: int = 512) -> np.ndarray:
    """Power of the Hann-windowed middle 400 samples by a Fourier matrix, from bin 1 on, plus the noise floor."""
    middle = window[(len(window) - 400) // 2 :][:400].astype(np.float64)
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(400) / 400)
    middle = middle - (middle * hann).sum() / hann.sum()
    bins, at = np.arange(1, size // 2 + 1), np.arange(400)
    matrix = np.exp(-2j * np.pi * np.outer(bins, at) / size)
    power = np.abs(matrix @ (middle * hann)) ** 2 / (hann**2).sum() + 1e-10
    return power * np.where(bins == size // 2, 1, 2) / size


def naive_triangles(size: int = 512, count: int = 40) -> np.ndarray:
    """(bins, count), each triangle drawn by interpolation between its corners."""
    mel = np.linspace(0, 1127 * np.log1p(8000 / 700), count + 2)
    corners = 700 * np.expm1(mel / 1127)
    hertz = np.linspace(0, 8000, size // 2 + 1)[1:]
    return np.stack([np.interp(hertz, corners[i : i + 3], (0, 1, 0)) for i in range(count)], 1)


@pytest.fixture(scope="module")
def mixture() -> np.ndarray:
    return buzz(140, 0.6) + noise(0.6, 0.003, seed=4)


def windows_of(sound: np.ndarray, chosen=(0, 7, 30)) -> list[tuple[int, np.ndarray]]:
    return [(t, sound[t * HOP : t * HOP + WINDOW]) for t in chosen]


def test_cepstra_are_those_of_a_naive_implementation(mixture):
    made = frames(mixture, SAMPLE_RATE)
    for t, window in windows_of(mixture):
        bands = naive_spectrum(window) @ naive_triangles()
        wanted = dct(np.log(bands), norm="ortho")[: acoustics.CEPSTRA]
        np.testing.assert_allclose(made[t, : acoustics.CEPSTRA], wanted, atol=5e-3)
        assert made[t, COLUMN["loudness"]] == pytest.approx((bands**0.3).sum(), rel=1e-4)


def test_spectral_shape_is_that_of_textbook_formulas(mixture):
    made = frames(mixture, SAMPLE_RATE)
    khz = np.linspace(0, 8, 257)[1:]
    for t, window in windows_of(mixture):
        power = naive_spectrum(window)
        share, level = power / power.sum(), 10 * np.log10(power)
        centroid = np.average(khz, weights=power)
        spread = np.sqrt(np.average((khz - centroid) ** 2, weights=power))
        inside = (khz <= 0.5, (khz >= 0.5) & (khz <= 1.5))
        low, high = power[(khz >= 0.05) & (khz < 1)].sum(), power[(khz >= 1) & (khz < 5)].sum()
        middle = window[184:584].astype(np.float64)
        wanted = {
            "energy_db": 10 * np.log10(power.sum()),
            "centroid_khz": centroid,
            "spread_khz": spread,
            "skewness": np.average(((khz - centroid) / spread) ** 3, weights=power),
            "entropy": -(share * np.log(share)).sum() / np.log(256),
            "flatness_db": 10 * np.log10(np.exp(np.log(power).mean()) / power.mean()),
            "rolloff_25_khz": khz[np.searchsorted(np.cumsum(share), 0.25)],
            "rolloff_50_khz": khz[np.searchsorted(np.cumsum(share), 0.5)],
            "rolloff_85_khz": khz[np.searchsorted(np.cumsum(share), 0.85)],
            "slope_0_500": np.polyfit(khz[inside[0]], level[inside[0]], 1)[0],
            "slope_500_1500": np.polyfit(khz[inside[1]], level[inside[1]], 1)[0],
            "alpha_ratio_db": 10 * np.log10(low / high),
            "hammarberg_db": level[khz < 2].max() - level[(khz >= 2) & (khz < 5)].max(),
            "zero_crossings": (np.diff(np.sign(middle - middle.mean())) != 0).mean(),
        }
        for name, value in wanted.items():
            assert made[t, COLUMN[name]] == pytest.approx(value, rel=2e-3, abs=2e-3), name


def test_first_harmonic_over_second():
    phase = 2 * np.pi * 200 * seconds(0.5)
    for ratio in (0.5, 2.0):
        sound = (0.1 * (ratio * np.sin(phase) + np.sin(2 * phase))).astype(np.float32)
        np.testing.assert_allclose(column(sound, "h1_h2_db"), 20 * np.log10(ratio), atol=0.5)
    assert (column(noise(2), "h1_h2_db") == 0).mean() > 0.99


def test_flux_and_steps_are_changes_from_the_frame_before(mixture):
    sound = np.concatenate([mixture, 3 * mixture])
    made = frames(sound, SAMPLE_RATE)
    np.testing.assert_array_equal(made[0, [COLUMN["flux"], COLUMN["energy_step_db"], COLUMN["pitch_step"]]], 0)
    np.testing.assert_allclose(made[1:, COLUMN["energy_step_db"]], np.diff(made[:, COLUMN["energy_db"]]), atol=1e-4)
    for t in (7, 57):  # steady, and where the louder half comes into the middle of the window
        before, now = ((naive_spectrum(w) @ naive_triangles()) ** 0.3 for _, w in windows_of(sound, (t - 1, t)))
        assert made[t, COLUMN["flux"]] == pytest.approx(np.abs(now - before).sum() / (now + before).sum(), rel=1e-3)
    pitch = made[:, COLUMN["pitch_semitones"]]
    both = np.isfinite(pitch[1:]) & np.isfinite(pitch[:-1])
    steps = made[1:, COLUMN["pitch_step"]]
    np.testing.assert_allclose(steps[both], np.abs(np.diff(pitch))[both], atol=1e-4)
    assert both.any() and not steps[~both].any()


# --- the same sound in other clothes


@pytest.mark.parametrize("block", [7, 100_000])
def test_blocks_leave_no_trace(monkeypatch, mixture, block):
    sound = np.concatenate([mixture, noise(0.3), mixture[::-1], np.zeros(3000, np.float32)])
    plain = frames(sound, SAMPLE_RATE)
    monkeypatch.setattr(acoustics, "BLOCK", block)
    np.testing.assert_allclose(frames(sound, SAMPLE_RATE), plain, rtol=1e-3, atol=1e-3)


def test_a_frame_knows_nothing_of_the_rest_of_the_file(mixture):
    """What is cut out of a recording has the same frames, but for those whose pitch looked across the cut."""
    sound = np.concatenate([noise(1), mixture, 8 * noise(1)])
    edge = acoustics.AROUND + 1
    whole, part = frames(sound, SAMPLE_RATE), frames(sound[50 * HOP : 150 * HOP + WINDOW], SAMPLE_RATE)
    np.testing.assert_allclose(part[edge:-edge], whole[50:151][edge:-edge], rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("value", [300, np.nan, -np.inf])
def test_what_is_no_sound_is_refused(value):
    with pytest.raises(UserError, match="beyond full scale"):
        frames(np.full(8000, value, np.float32), SAMPLE_RATE)
