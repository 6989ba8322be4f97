"""EmoDB, worked out by hand."""

import pytest
from sounds import hum, sixteen_bit, stub, write
from sources import counts_of, touch

from emo_ssl.corpora.recipes import emodb
from emo_ssl.corpora.recipes.listing import DUPLICATE, ODD_NAME
from emo_ssl.corpora.recordings import record
from emo_ssl.corpora.report import describe


def test_every_fold_tests_a_man_and_a_woman(tmp_path):
    men, women = ("03", "10", "11", "12", "15"), ("08", "09", "13", "14", "16")
    clips = emodb.read(touch(tmp_path, *(f"{speaker}a01Na.wav" for speaker in men + women))).clips
    for group in (men, women):
        assert sorted(clips["fold"][clips["name"].str[:2].isin(group)]) == [0, 1, 2, 3, 4]


def test_what_is_no_clip_is_counted(tmp_path):
    odd = ["04a01Fa", "03a03Fa", "03a01Xa", "03a01F", "03a01fa", "03a01Fab", "._03a01Fa", "x03a01Fa"]
    paths = ["laryngo/03a01Fa.wav", "more/03a01Fa.wav", "wav/03a01Fa.wav", *(f"wav/{name}.wav" for name in odd)]
    listing = emodb.read(touch(tmp_path, *paths, "labsilb/03a01Fa.silb", "readme.txt"))
    assert listing.clips["path"].tolist() == ["more/03a01Fa.wav"]
    assert counts_of(listing) == {DUPLICATE: 1, ODD_NAME: len(odd) + 1}
    assert "laryngo/03a01Fa.wav" in listing.notes[ODD_NAME]  # of the same name, and no sound


def test_a_small_emodb_says_whose_it_is(tmp_path):
    pytest.importorskip("soundfile")
    names = ["03a01Fa", "09a01Na", "11a01La", "12a01Wb", "15a02Tc"]
    for i, name in enumerate(names):
        write(tmp_path / "in" / "wav" / f"{name}.wav", sixteen_bit(hum(0.5, pitch=100 + 20 * i)))
    corpus = record(tmp_path / "in", tmp_path / "out", "emodb", front_end=stub(), jobs=1)
    assert corpus.recordings.id.tolist() == names and corpus.segments.fold.tolist() == [0, 1, 2, 3, 4]
    assert corpus.category_names == ("neutral", "boredom", "happy", "sad", "anger", "disgust", "fear")
    acted = [corpus.category_names[c] for c in corpus.segments.category]
    assert acted == ["happy", "neutral", "boredom", "anger", "sad"]
    shown = describe(corpus)
    for words in ("10.21437/Interspeech.2005-446", "licence: see its page", "labels: the emotion that is acted is 2"):
        assert words in shown
