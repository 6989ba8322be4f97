"""Tables of recordings, with every mistake a person makes."""

import pytest
from builders import intensities
from sources import NAN, rows_of

from emo_ssl.corpora.recipes import folder
from emo_ssl.utils.io import UserError


def read_table(root, text):
    table = root / "table.csv"
    table.write_text(text)
    return folder.read(root, table)


def test_a_table(tmp_path):
    text = (
        "\ufeffPath, speaker ,Happiness,fear,category,start,end\n"
        "b.wav,u,1.5,0,glad,,\n"
        "\n"
        "a/c.wav,v,0,3,afraid,0.5,2\n"
        "./a/c.wav,v,0.25,0,glad,2,\n"
        '"a, b.mp3",w,0,0,none,,\n'
    )
    listing = read_table(tmp_path, text)
    assert rows_of(listing) == [
        ("a, b.mp3", "a, b.mp3", "w", *intensities(), "none", NAN, NAN, 2),
        ("a/c.wav", "a/c.wav", "v", *intensities(fear=3), "afraid", 0.5, 2.0, 1),
        ("a/c.wav", "a/c.wav", "v", *intensities(happy=0.25), "glad", 2.0, NAN, 1),
        ("b.wav", "b.wav", "u", *intensities(happy=1.5), "glad", NAN, NAN, 0),
    ]
    assert listing.category_names == ("afraid", "glad", "none")
    assert listing.folds == "by speaker: the sorted speakers dealt over 3 folds"


@pytest.mark.parametrize(("speakers", "folds"), [("cab", (0, 1, 2)), ("abcdefg", (0, 1, 2, 3, 4, 0, 1))])
def test_speakers_are_dealt(tmp_path, speakers, folds):
    assert folder.deal_speakers(tmp_path, set(speakers)) == dict(zip(sorted(speakers), folds, strict=True))


def test_given_folds_and_given_splits(tmp_path):
    listing = read_table(tmp_path, "path,speaker,happy,fold\na,u,1,2\nb,v,0,0\nc,w,0,1\nd,,0,0\n")
    assert listing.clips["fold"].tolist() == [2, 0, 1, 0]
    assert listing.clips["split"].tolist() == ["train", "test", "valid", "test"]
    assert listing.folds == "given by the table" and listing.category_names == ()
    listing = read_table(tmp_path, "path,speaker,happy,split\na,,1,train\nb,,0,test\nc,x,0,valid\nd,x,0,valid\n")
    assert listing.clips["split"].tolist() == ["train", "test", "valid", "valid"]
    assert set(listing.clips["fold"]) == {-1}


HEAD = "path,speaker,happy\n"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "not readable as a CSV table (No columns"),
        (HEAD[:-1] + ",Happiness\na,u,1,1\n", "two columns happy"),
        ("path,happy\na,1\n", "no column speaker"),
        ("path,speaker\na,u\n", "no emotion and no category"),
        ("path,speaker,happy,mood\na,u,1,2\n", "an unknown column 'mood'"),
        ("path,speaker,happy,fold,split\na,u,1,0,train\n", "both fold and split"),
        ("path;speaker;happy\na;u;1\n", "semicolons between its columns"),
        (HEAD + "\n,,\n", "no row below the names of the columns"),
        (HEAD + "a,u,1,1\n", "Expected 3 fields in line 2, saw 4"),
        (HEAD + 'a,u,"1\n', "not readable as a CSV table"),
        (HEAD + "a,u,1\nb,v,3.1\n", "line 3: happy is '3.1', expected a number from 0 to 3"),
        (HEAD + "a,u,nan\n", "line 2: happy is 'nan'"),
        (HEAD + "a,u\n", "line 2: happy is ''"),
        (HEAD + ",u,1\n", "line 2: path is ''"),
        (HEAD + "a,,1\n", "line 2: speaker is '', expected a name, by which the folds are made"),
        (HEAD + "a,u,1\n./a,u,2\n", "line 3: the same part of a recording again, after line 2"),
        ("path,speaker,happy,start\na,u,1,0\na,v,1,1\n", "line 3: another speaker for a, after line 2"),
        ("path,speaker,happy,start\na,u,1,-1\n", "start is '-1', expected a number of seconds from 0 on"),
        ("path,speaker,happy,end\na,u,1,inf\n", "end is 'inf', expected a number of seconds"),
        ("path,speaker,happy,start,end\na,u,1,2,2\n", "line 2: its end is not after its start"),
        ("path,speaker,category\na,u,\n", "line 2: category is '', expected a name"),
        ("path,speaker,happy,fold\na,u,1,1.5\n", "line 2: fold is '1.5', expected a whole number"),
        ("path,speaker,happy,fold\na,u,1,0\nb,v,1,1\nc,w,1,3\n", "folds 0, 1, 3; number at least 3"),
        ("path,speaker,happy,fold\na,u,1,0\nb,u,1,1\n", "line 3: another fold or split for u, after line 2"),
        ("path,speaker,happy,split,start\na,,1,train,0\na,,1,test,1\n", "line 3: another fold or split for a, after"),
        ("path,speaker,happy,split\na,u,1,dev\n", "line 2: split is 'dev', expected one of train, valid, test, none"),
        (HEAD + "a,u,1\nb,v,1\nc,u,1\n", "too few speakers (2) for folds that keep them apart; record at least 3"),
        ("path,speaker,category\n" + "".join(f"{i},{i},sentence {i}\n" for i in range(101)), "101 categories"),
    ],
)
def test_mistakes_in_a_table_are_named(tmp_path, text, words):
    with pytest.raises(UserError) as caught:
        read_table(tmp_path, text)
    assert words in str(caught.value) and str(tmp_path / "table.csv") in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_table_that_cannot_be_read(tmp_path):
    with pytest.raises(UserError, match="not readable as a CSV table"):
        folder.read(tmp_path, tmp_path / "none.csv")
    (tmp_path / "latin.csv").write_bytes("path,speaker,happy\ncafé.wav,u,1\n".encode("latin-1"))
    with pytest.raises(UserError, match="save it as UTF-8"):
        folder.read(tmp_path, tmp_path / "latin.csv")
