"""EmoDB, worked out by hand."""

from sources import counts_of, touch

from emo_ssl.corpora.recipes import emodb
from emo_ssl.corpora.recipes.listing import DUPLICATE, ODD_NAME


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


def test_it_says_whose_it_is(tmp_path):
    listing = emodb.read(touch(tmp_path, "03a01Fa.wav"))
    assert listing.category_names == ("neutral", "boredom", "happy", "sad", "anger", "disgust", "fear")
    assert "10.21437/Interspeech.2005-446" in listing.source and "licence: see its page" in listing.source
    assert listing.convention.startswith("the emotion that is acted is 2")
