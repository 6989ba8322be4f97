"""Sounds to play: what a player carries is the sound, and it says what it is."""

import base64
import io

import numpy as np
import pytest
from bs4 import BeautifulSoup

from emo_ssl.figures import players

soundfile = pytest.importorskip("soundfile")
RATE = 16_000


def test_a_player_carries_its_sound_and_its_name():
    tone = 0.5 * np.sin(2 * np.pi * 440 * np.arange(RATE) / RATE)
    page = BeautifulSoup(players({"a <tone>": (tone, RATE), "nothing": (0 * tone, RATE)}).data, "html.parser")
    found = page.find_all("audio")
    assert [player["aria-label"] for player in found] == ["a <tone>", "nothing"]
    assert all(player.has_attr("controls") and player.parent.div.text == player["aria-label"] for player in found)
    kind, _, data = found[0]["src"].partition(",")
    assert kind == "data:audio/mpeg;base64"
    samples, rate = soundfile.read(io.BytesIO(base64.b64decode(data)))
    assert rate == RATE and len(samples) >= RATE
    spectrum = np.abs(np.fft.rfft(samples[:RATE]))
    assert abs(spectrum.argmax() - 440) <= 1  # Hz


def test_no_sounds_no_players():
    assert "<audio" not in players({}).data
