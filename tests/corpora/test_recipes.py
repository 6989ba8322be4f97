"""What is read from names and tables: RAVDESS worked out by hand, tables with every mistake a person makes."""

import zipfile
from collections import Counter

import pytest
from builders import intensities

from emo_ssl.corpora import recipes
from emo_ssl.corpora.csd import EMOTIONS
from emo_ssl.corpora.recipes import deal_speakers, folder, ravdess, ravdess_names, read_recipe
from emo_ssl.utils.io import UserError

CLIP = "03-01-05-01-02-01-12"


def touch(root, *paths):
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(b"")
    return root


def zipped(path, names):
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            archive.writestr(name, b"")
    return path


NAN = "nan"


def rows_of(listing):
    """path, name, speaker, six emotions, category, start, end, fold"""
    columns = ["path", "name", "speaker", *EMOTIONS, "category", "start", "end", "fold"]
    return [tuple(NAN if value != value else value for value in row) for row in listing.clips[columns].values]


# --- RAVDESS


@pytest.mark.parametrize(
    ("name", "category", "targets", "actor", "fold"),
    [
        ("03-01-01-01-01-01-01", "neutral", {}, 1, 0),
        ("03-01-02-02-01-01-02", "neutral", {}, 2, 0),  # calm
        ("03-01-03-01-01-02-03", "happy", {"happy": 2}, 3, 1),
        ("03-01-04-02-01-01-08", "sad", {"sad": 3}, 8, 3),
        ("03-01-05-01-02-01-10", "anger", {"anger": 2}, 10, 4),
        ("03-01-06-02-01-01-11", "fear", {"fear": 3}, 11, 0),
        ("03-01-07-01-01-01-13", "disgust", {"disgust": 2}, 13, 1),
        ("03-01-08-02-01-01-24", "surprise", {"surprise": 3}, 24, 1),
    ],
)
def test_a_name_of_ravdess(tmp_path, name, category, targets, actor, fold):
    listing = ravdess(touch(tmp_path, f"deep/below/{name}.wav"))
    expected = (f"deep/below/{name}.wav", name, f"actor-{actor:02d}", *intensities(**targets), category, NAN, NAN, fold)
    assert rows_of(listing) == [expected]
    assert listing.clips["split"].tolist() == ["test" if fold == 0 else "valid" if fold == 1 else "train"]
    assert listing.category_names == ("neutral", "happy", "sad", "anger", "surprise", "disgust", "fear")


def test_what_is_no_speech_clip_is_counted(tmp_path):
    listing = ravdess(
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
    counts = {what: len(names) for what, names in listing.notes.items()}
    assert counts == {
        recipes.DUPLICATE: 1,
        recipes.ODD_NAME: 6,
        "of the corpus, but not in the source": 1439,
    }


def test_a_whole_ravdess_has_nothing_to_note_and_the_folds_of_the_protocol(tmp_path):
    paths = [f"Actor_{name[-2:]}/{name}.wav" for name in ravdess_names()]
    listing = ravdess(zipped(tmp_path / "a.zip", paths))
    assert listing.clips["name"].tolist() == sorted(ravdess_names()) and not listing.notes
    counts = Counter(name[6:8] for name in listing.clips["name"])
    assert counts == {"01": 96, **{f"{e:02d}": 192 for e in range(2, 9)}}  # no strong neutral
    fold_of = dict(zip(listing.clips["speaker"], listing.clips["fold"], strict=True))
    # pairs of a man and a woman: three, three, two, two, two
    assert Counter(fold_of.values()) == {0: 6, 1: 6, 2: 4, 3: 4, 4: 4}
    for actor in range(1, 25, 2):
        assert fold_of[f"actor-{actor:02d}"] == fold_of[f"actor-{actor + 1:02d}"]


def test_the_folds_of_emobox_have_four_actors_each_and_calm_is_a_class(tmp_path):
    paths = [f"{name}.wav" for name in ravdess_names()]
    clips = ravdess(zipped(tmp_path / "a.zip", paths), "emobox").clips
    tested = clips.groupby("fold")["speaker"].unique().map(lambda names: sorted(int(name[-2:]) for name in names))
    assert tested[0] == [1, 11, 20, 21] and tested[5] == [6, 13, 17, 22]
    assert sorted(actor for four in tested for actor in four) == list(range(1, 25)) and len(tested) == 6
    assert Counter(clips["category"])["calm"] == 192 and Counter(clips["category"])["neutral"] == 96
    assert not clips.loc[clips["category"] == "calm", list(EMOTIONS)].to_numpy().any()
    with pytest.raises(UserError, match="no folds 'iemocap' of RAVDESS; leave --folds out, or take emobox"):
        ravdess(tmp_path / "a.zip", "iemocap")
    with pytest.raises(UserError, match="only the recipe ravdess has other folds"):
        read_recipe("folder", tmp_path, tmp_path / "table.csv", "emobox")


def test_sources_that_are_no_ravdess(tmp_path):
    with pytest.raises(UserError, match=r"nowhere: no such file or folder"):
        ravdess(tmp_path / "nowhere")
    with pytest.raises(UserError, match="holds no speech clip of RAVDESS"):
        ravdess(touch(tmp_path / "other", "a.wav"))
    (tmp_path / "a.zip").write_bytes(b"no archive")
    with pytest.raises(UserError, match="an unfinished download, or not a zip archive"):
        ravdess(tmp_path / "a.zip")


# --- tables


def read_table(root, text):
    table = root / "table.csv"
    table.write_text(text)
    return folder(root, table)


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
    assert deal_speakers(tmp_path, set(speakers)) == dict(zip(sorted(speakers), folds, strict=True))


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
        ("path;speaker;happy\na;u;1\n", "semicolons between its columns instead of commas"),
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
        (
            "path,speaker,happy,fold\na,u,1,0\nb,u,1,1\n",
            "line 3: another fold or split for u, after line 2",
        ),
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
        folder(tmp_path, tmp_path / "none.csv")
    (tmp_path / "latin.csv").write_bytes("path,speaker,happy\ncafé.wav,u,1\n".encode("latin-1"))
    with pytest.raises(UserError, match="save it as UTF-8"):
        folder(tmp_path, tmp_path / "latin.csv")


@pytest.mark.parametrize(("recipe", "table"), [("mosei", None), ("ravdess", "t.csv"), ("folder", None)])
def test_recipe_and_table_belong_together(tmp_path, recipe, table):
    with pytest.raises(UserError, match="give the recipe ravdess, without a table, or the recipe folder, with --table"):
        read_recipe(recipe, tmp_path, table)
    with pytest.raises(UserError, match="none: not a folder"):
        read_recipe("folder", tmp_path / "none", "t.csv")
