"""Which recipe is taken, and what all of them share."""

import pytest
from sources import touch, zipped

from emo_ssl.corpora.recipes import read_recipe
from emo_ssl.corpora.recipes.listing import DUPLICATE, ODD_NAME, clips_of
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


def test_a_wav_rather_than_the_same_clip_in_another_format(tmp_path):
    paths = ["mp3/one.mp3", "wav/one.wav", "more/one.WAV", "mp3/two.mp3", "wav/odd.wav", "wav/odd.mp3", "three.txt"]
    for source in (touch(tmp_path / "in", *paths), zipped(tmp_path / "a.zip", paths)):
        clips, notes = clips_of(source, lambda path: path.stem != "odd")
        assert clips.values.tolist() == [["more/one.WAV", "one"], ["mp3/two.mp3", "two"]]
        assert notes == {DUPLICATE: ["wav/one.wav", "mp3/one.mp3"], ODD_NAME: ["wav/odd.wav", "wav/odd.mp3"]}
