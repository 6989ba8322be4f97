"""RAVDESS, worked out by hand."""

from collections import Counter

import pytest
from sources import counts_of, touch, zipped

from emo_ssl.corpora.csd import EMOTIONS
from emo_ssl.corpora.recipes import ravdess, read_recipe
from emo_ssl.corpora.recipes.listing import DUPLICATE, ODD_NAME
from emo_ssl.utils.io import UserError

CLIP = "03-01-05-01-02-01-12"


def test_what_is_no_speech_clip_is_counted(tmp_path):
    listing = ravdess.read(
        touch(
            tmp_path,
            f"a/{CLIP}.wav",
            f"b/{CLIP}.flac",  # the same clip again
            "a/03-02-05-01-02-01-12.wav",  # song
            "a/01-01-05-01-02-01-12.wav",  # with a picture
            "a/03-01-09-01-02-01-12.wav",  # no such emotion
            "a/03-01-05-01-02-01-25.wav",  # no such actor
            f"a/._{CLIP}.wav",  # left by a Mac
            "a/take 1.wav",
            "a/readme.txt",  # not audio, not counted
        )
    )
    assert listing.clips["path"].tolist() == [f"a/{CLIP}.wav"]
    assert counts_of(listing) == {DUPLICATE: 1, ODD_NAME: 6, "of the corpus, but not in the source": 1439}


def test_a_whole_ravdess_has_nothing_to_note_and_the_folds_of_the_protocol(tmp_path):
    paths = [f"Actor_{name[-2:]}/{name}.wav" for name in ravdess.names()]
    listing = ravdess.read(zipped(tmp_path / "a.zip", paths))
    assert listing.clips["name"].tolist() == sorted(ravdess.names()) and not counts_of(listing)
    assert listing.category_names == ("neutral", "happy", "sad", "anger", "surprise", "disgust", "fear")
    counts = Counter(name[6:8] for name in listing.clips["name"])
    assert counts == {"01": 96, **{f"{e:02d}": 192 for e in range(2, 9)}}  # no strong neutral
    fold_of = dict(zip(listing.clips["speaker"], listing.clips["fold"], strict=True))
    # pairs of a man and a woman: three, three, two, two, two
    assert Counter(fold_of.values()) == {0: 6, 1: 6, 2: 4, 3: 4, 4: 4}
    for actor in range(1, 25, 2):
        assert fold_of[f"actor-{actor:02d}"] == fold_of[f"actor-{actor + 1:02d}"]


def test_the_folds_of_emobox_have_four_actors_each_and_calm_is_a_class(tmp_path):
    paths = [f"{name}.wav" for name in ravdess.names()]
    clips = ravdess.read(zipped(tmp_path / "a.zip", paths), "emobox").clips
    tested = clips.groupby("fold")["speaker"].unique().map(lambda names: sorted(int(name[-2:]) for name in names))
    assert tested[0] == [1, 11, 20, 21] and tested[5] == [6, 13, 17, 22]
    assert sorted(actor for four in tested for actor in four) == list(range(1, 25)) and len(tested) == 6
    assert Counter(clips["category"])["calm"] == 192 and Counter(clips["category"])["neutral"] == 96
    assert not clips.loc[clips["category"] == "calm", list(EMOTIONS)].to_numpy().any()
    with pytest.raises(UserError, match="no folds 'iemocap' of RAVDESS; leave --folds out, or take emobox"):
        ravdess.read(tmp_path / "a.zip", "iemocap")
    with pytest.raises(UserError, match="only the recipe ravdess has other folds"):
        read_recipe("folder", tmp_path, tmp_path / "table.csv", "emobox")


def test_sources_that_are_no_ravdess(tmp_path):
    with pytest.raises(UserError, match=r"nowhere: no such file or folder"):
        ravdess.read(tmp_path / "nowhere")
    with pytest.raises(UserError, match="holds no speech clip of RAVDESS"):
        ravdess.read(touch(tmp_path / "other", "a.wav"))
    (tmp_path / "a.zip").write_bytes(b"no archive")
    with pytest.raises(UserError, match="an unfinished download, or not a zip archive"):
        ravdess.read(tmp_path / "a.zip")
