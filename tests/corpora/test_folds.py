import re

import pytest

from emo_ssl.core.corpus import SPLITS
from emo_ssl.corpora.folds import hash_split, read_folds, refuse_foreign_folds
from emo_ssl.utils.io import UserError

TRAIN, VALID, TEST = (SPLITS.index(name) for name in ("train", "valid", "test"))
EXPECTED = {"a": TRAIN, "-b_3": TRAIN, "127470": VALID, "d": TEST}


def folds_in(tmp_path, name, text):
    path = tmp_path / name
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("f.json", '{"train": ["a", "-b_3"], "valid": ["127470"], "test": ["d"]}'),
        ("f.JSON", '\ufeff{"Train": ["a", "-b_3"], "dev-set": [127470], "test": ["d"]}'),
        ("f.json", '{"train_1": ["a"], "train_2": ["-b_3"], "val": ["127470"], "test": ["d", "d"]}'),
        ("f.csv", "video,split\na,train\n-b_3,train\n127470,valid\nd,test\n"),
        ("f.py", "standard_train_fold=['a','-b_3']\nstandard_valid_fold=['127470']\nstandard_test_fold=['d']\n"),
        ("f.py", "import os\nx = 1\ntrain = ('a', '-b_3')\ndev = [127470]\ntest = ['d']\nname: list = []\n"),
    ],
)
def test_folds_are_read_from_json_csv_and_the_sdks_python(tmp_path, name, text):
    assert read_folds(folds_in(tmp_path, name, text)) == EXPECTED


def test_a_python_file_is_never_run(tmp_path):
    marker = tmp_path / "marker"
    touch = f"__import__('pathlib').Path({str(marker)!r}).touch()"
    assert read_folds(folds_in(tmp_path, "f.py", f"{touch}\nstandard_test_fold = ['d']\n")) == {"d": TEST}
    with pytest.raises(UserError, match="not readable as lists in Python"):
        read_folds(folds_in(tmp_path, "f.py", f"train_fold = [{touch}]\nstandard_test_fold = ['d']\n"))
    assert not marker.exists()


@pytest.mark.parametrize(
    ("name", "text", "sentence"),
    [
        ("f.json", " \n", "not readable as JSON .*; give lists of video ids for train, valid and test"),
        ("f.json", '{"train": [], "test": []}', "names no video at all"),
        ("f.py", "x = 1\n", "names no video at all"),
        ("f.json", '["a", "b"]', r"it is \['a', 'b'\], expected dict"),
        ("f.json", '{"train": [["a"]]}', r"train is \['a'\], expected str; give lists"),
        ("f.json", '{"train": ["a"], "trainers": ["b"]}', "`trainers` is none of train, valid, test"),
        ("f.json", '{"train": ["a"', "not readable as JSON"),
        ("f.csv", "a,train\nb,test\n", "no column video"),
        ("f.csv", "video,split\na,spare\n", "`spare` is none of train, valid, test"),
        ("f.csv", "video,split\na\n", "`` is none of train, valid, test"),
        ("f.py", "standard_train_fold = [", "not readable as lists in Python"),
        ("f.py", "standard_train_fold = {'a'}", r"standard_train_fold is \{'a'\}, expected a finite plain value"),
        ("f.txt", "a train", r"folds are read from \.json, \.csv or \.py"),
        ("f.json", '{"train": ["a"], "test": ["b", "a"]}', "video a stands in both train and test, which would leak"),
    ],
)
def test_anything_else_is_refused_in_one_sentence(tmp_path, name, text, sentence):
    path = folds_in(tmp_path, name, text)
    with pytest.raises(UserError, match=f"^{re.escape(str(path))}: .*{sentence}") as caught:
        read_folds(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["absent.json", ""])
def test_a_missing_file_or_a_folder_is_refused(tmp_path, name):
    with pytest.raises(UserError, match="no such file"):
        read_folds(tmp_path / name)


def test_folds_are_foreign_when_more_than_half_of_their_videos_are_unknown():
    split_of = {"a": TRAIN, "b": TRAIN, "c": VALID, "d": TEST}
    assert refuse_foreign_folds("f.json", split_of, {"a", "b", "z"}) is None
    with pytest.raises(UserError, match=r"f\.json: 3 of the 4 videos it names \(such as b\) are in neither data file"):
        refuse_foreign_folds("f.json", split_of, {"a", "z"})


def test_hash_split_follows_the_published_digests():
    """sha256 of "hello" starts with 2cf24dba, of "abc" with ba7816bf, of "" with e3b0c442."""
    fractions = {"hello": 0x2CF24DBA / 2**32, "abc": 0xBA7816BF / 2**32, "": 0xE3B0C442 / 2**32}
    assert fractions["hello"] < 0.7 < fractions["abc"] < 0.8 < fractions[""]
    assert [hash_split(video) for video in fractions] == [TRAIN, VALID, TEST]
