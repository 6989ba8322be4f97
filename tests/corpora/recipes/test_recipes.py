"""Which recipe is taken, what it reads off a name, and what all of them share."""

import pytest
from builders import intensities
from sources import NAN, counts_of, rows_of, touch, zipped

from emo_ssl.corpora.recipes import read_recipe
from emo_ssl.corpora.recipes.listing import ABSENT, DUPLICATE, ODD_NAME, clips_of
from emo_ssl.utils.io import UserError


@pytest.mark.parametrize(("recipe", "table"), [("mosei", None), ("ravdess", "t.csv"), ("emodb", "t"), ("folder", None)])
def test_recipe_and_table_belong_together(tmp_path, recipe, table):
    with pytest.raises(UserError, match="give the recipe ravdess or emodb, without a table, cremad, with its votes"):
        read_recipe(recipe, tmp_path, table)


def test_each_recipe_is_its_own(tmp_path):
    with pytest.raises(UserError, match="none: not a folder"):
        read_recipe("folder", tmp_path / "none", "t.csv")
    for recipe, name in (("ravdess", "RAVDESS"), ("emodb", "EmoDB"), ("cremad", "CREMA-D")):
        with pytest.raises(UserError, match=f"no (speech )?clip of {name}"):
            read_recipe(recipe, touch(tmp_path, "a.wav"), None)
        with pytest.raises(UserError, match=r"nowhere: no such file or folder"):
            read_recipe(recipe, tmp_path / "nowhere", None)
    for recipe in ("emodb", "cremad"):
        with pytest.raises(UserError, match="only the recipe ravdess has other folds"):
            read_recipe(recipe, tmp_path, None, "emobox")


@pytest.mark.parametrize(
    ("recipe", "name", "speaker", "category", "intensity", "fold"),
    [
        ("ravdess", "03-01-01-01-01-01-01", "actor-01", "neutral", 0, 0),
        ("ravdess", "03-01-02-02-01-01-02", "actor-02", "neutral", 0, 0),  # calm
        ("ravdess", "03-01-03-01-01-02-03", "actor-03", "happy", 2, 1),
        ("ravdess", "03-01-04-02-01-01-08", "actor-08", "sad", 3, 3),
        ("ravdess", "03-01-05-01-02-01-10", "actor-10", "anger", 2, 4),
        ("ravdess", "03-01-06-02-01-01-11", "actor-11", "fear", 3, 0),
        ("ravdess", "03-01-07-01-01-01-13", "actor-13", "disgust", 2, 1),
        ("ravdess", "03-01-08-02-01-01-24", "actor-24", "surprise", 3, 1),
        ("emodb", "03a01Fa", "speaker-03", "happy", 2, 0),
        ("emodb", "08a02La", "speaker-08", "boredom", 0, 0),
        ("emodb", "09b10Nd", "speaker-09", "neutral", 0, 1),
        ("emodb", "10b01Tb", "speaker-10", "sad", 2, 1),
        ("emodb", "11a04Wc", "speaker-11", "anger", 2, 2),
        ("emodb", "13b09Ea", "speaker-13", "disgust", 2, 2),
        ("emodb", "12a07Aa", "speaker-12", "fear", 2, 3),
        ("emodb", "14b02Wb", "speaker-14", "anger", 2, 3),
        ("emodb", "15a05Na", "speaker-15", "neutral", 0, 4),
        ("emodb", "16b03Fd", "speaker-16", "happy", 2, 4),
    ],
)
def test_what_a_name_says(tmp_path, recipe, name, speaker, category, intensity, fold):
    listing = read_recipe(recipe, touch(tmp_path, f"deep/below/{name}.wav"), None)
    there = intensities(**({category: intensity} if intensity else {}))
    assert rows_of(listing) == [(f"deep/below/{name}.wav", name, speaker, *there, category, NAN, NAN, fold)]
    assert listing.clips["split"].tolist() == ["test" if fold == 0 else "valid" if fold == 1 else "train"]
    assert set(counts_of(listing)) <= {ABSENT}


def test_a_wav_rather_than_the_same_clip_in_another_format(tmp_path):
    paths = ["mp3/one.mp3", "wav/one.wav", "more/one.WAV", "mp3/two.mp3", "wav/odd.wav", "wav/odd.mp3", "three.txt"]
    for source in (touch(tmp_path / "in", *paths), zipped(tmp_path / "a.zip", paths)):
        clips, notes = clips_of(source, lambda path: path.stem != "odd", "clip")
        assert clips.values.tolist() == [["more/one.WAV", "one"], ["mp3/two.mp3", "two"]]
        assert notes == {DUPLICATE: ["wav/one.wav", "mp3/one.mp3"], ODD_NAME: ["wav/odd.wav", "wav/odd.mp3"]}
