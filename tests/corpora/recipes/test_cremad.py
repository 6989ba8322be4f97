"""CREMA-D: votes counted by hand."""

import shutil
from collections import Counter

import numpy as np
import pytest
from builders import intensities
from sounds import hum, sixteen_bit, stub, write
from sources import NAN, counts_of, rows_of, touch, zipped

from emo_ssl import cli
from emo_ssl.corpora.recipes import cremad
from emo_ssl.corpora.recipes.listing import ABSENT, DUPLICATE, ODD_NAME
from emo_ssl.corpora.recordings import record
from emo_ssl.utils.io import UserError

HEAD = '"","A","D","F","H","N","S","fileName","numResponses","agreement","emoVote","meanEmoResp"\n'
ANGER, SAD = "1001_DFA_ANG_XX", "1003_IEO_SAD_HI"


def write_votes(root, rows, head=HEAD):
    """rows: number, the votes on A, D, F, H, N, S, clip"""
    path = root / "processedResults" / "tabulatedVotes.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [f'"{number}",{",".join(map(str, votes))},"{clip}",9,0.5,"A:D",71.7' for number, votes, clip in rows]
    path.write_text(head + "\n".join(lines) + "\n")
    return path


THREE = [  # numbers as in the original: one clip in three manners
    (100001, (3, 1, 0, 0, 4, 0), ANGER),
    (100002, (0, 0, 0, 1, 2, 9), SAD),
    (200001, (9, 0, 0, 0, 0, 0), ANGER),
    (200002, (0, 0, 0, 0, 0, 9), SAD),
    (300001, (0, 9, 0, 0, 0, 0), ANGER),
    (300002, (0, 0, 9, 0, 0, 0), SAD),
]


def wav(*names):
    return [f"AudioWAV/{name}.wav" for name in names]


def test_what_was_heard_becomes_intensities_and_what_was_acted_the_category(tmp_path):
    write_votes(tmp_path, THREE)
    listing = cremad.read(touch(tmp_path, *wav(ANGER, SAD)))
    heard = intensities(anger=3 * 3 / 8, disgust=3 * 1 / 8), intensities(sad=3 * 9 / 12, happy=3 * 1 / 12)
    assert rows_of(listing) == [
        (wav(ANGER)[0], ANGER, "actor-1001", *heard[0], "anger", NAN, NAN, 0),
        (wav(SAD)[0], SAD, "actor-1003", *heard[1], "sad", NAN, NAN, 2),
    ]
    assert listing.clips["split"].tolist() == ["test", "train"] and not counts_of(listing)
    assert listing.category_names == ("neutral", "happy", "sad", "anger", "disgust", "fear")


def test_all_91_actors_over_five_folds(tmp_path):
    names = [f"{actor}_TAI_NEU_XX" for actor in range(1001, 1092)]
    write_votes(tmp_path, [(100001 + i, (0, 0, 0, 0, 9, 0), name) for i, name in enumerate(names)])
    clips = cremad.read(touch(tmp_path, *wav(*names))).clips
    assert clips["speaker"].nunique() == 91 and Counter(clips["fold"]) == {0: 19, 1: 18, 2: 18, 3: 18, 4: 18}
    assert not clips[["happy", "sad", "anger", "surprise", "disgust", "fear"]].to_numpy().any()


def test_what_is_left_out_is_counted(tmp_path):
    silent, unvoted, unheard = "1076_MTI_SAD_XX", "1002_WSI_HAP_LO", "1002_WSI_HAP_MD"
    rows = [*THREE, (100003, (1, 0, 0, 0, 0, 0), silent), (100004, (0, 0, 0, 0, 0, 0), unvoted)]
    write_votes(
        tmp_path, [*rows, (200005, (1, 0, 0, 0, 0, 0), unheard), (100006, (1, 0, 0, 0, 0, 0), "1005_IEO_FEA_MD")]
    )
    odd = ["1092_DFA_ANG_XX", "1000_DFA_ANG_XX", "1001_ABC_ANG_XX", "1001_DFA_SUR_XX", "1001_DFA_ANG_X", "1001_DFA_ANG"]
    source = touch(
        tmp_path, *wav(ANGER, silent, unvoted, unheard, *odd), f"AudioMP3/{ANGER}.mp3", f"VideoFlash/{SAD}.flv"
    )
    listing = cremad.read(source)
    assert listing.clips["path"].tolist() == wav(ANGER)
    assert listing.notes[DUPLICATE] == [f"AudioMP3/{ANGER}.mp3"]
    assert listing.notes[ABSENT] == ["1003_IEO_SAD_HI", "1005_IEO_FEA_MD"]
    of_votes = {ABSENT: 2, cremad.HEARD_BROKEN: 1, cremad.NO_VOTES: 2}
    assert counts_of(listing) == {DUPLICATE: 1, ODD_NAME: len(odd), **of_votes}


def test_clips_and_votes_may_lie_apart(tmp_path):
    votes = write_votes(tmp_path / "elsewhere", THREE)
    paths = wav(ANGER, SAD)
    for source in (touch(tmp_path / "in", *paths) / "AudioWAV", zipped(tmp_path / "a.zip", paths)):
        with pytest.raises(
            UserError, match=r"holds no processedResults/tabulatedVotes\.csv, what raters heard; give that"
        ):
            cremad.read(source)
        listing = cremad.read(source, votes)
        assert listing.clips["name"].tolist() == [ANGER, SAD] and listing.table == votes


@pytest.mark.parametrize(
    ("rows", "head", "words"),
    [
        (THREE, HEAD.replace('"F",', '"Fear",'), "has no column F; give CREMA-D's"),
        (THREE, HEAD.replace("fileName", "clip"), "has no column fileName"),
        (THREE[2:], HEAD, "no row of it has a number from 100001 on"),
        ([("one", *THREE[0][1:])], HEAD, "no row of it has a number from 100001 on"),
        ([*THREE, THREE[0]], HEAD, f"the votes on the voice in {ANGER} are no counts, or twice"),
        ([*THREE, (100003, (1, -1, 0, 0, 0, 0), "x")], HEAD, "the votes on the voice in x are no counts"),
        ([*THREE, (100003, (1, "", 0, 0, 0, 0), "x")], HEAD, "the votes on the voice in x are no counts"),
        ([*THREE, (100003, (1, "two", 0, 0, 0, 0), "x")], HEAD, "the votes on the voice in x are no counts"),
        ([(100001, (1, 0, 0, 0, 0, 0), "x")], HEAD, "none of the 2 clips in"),
        ([(100001, (0, 0, 0, 0, 0, 0), ANGER)], HEAD, "none of the 2 clips in"),
    ],
)
def test_tables_that_are_not_its_votes(tmp_path, rows, head, words):
    path = write_votes(tmp_path, rows, head)
    with pytest.raises(UserError) as caught:
        cremad.read(touch(tmp_path, *wav(ANGER, SAD)))
    assert words in str(caught.value) and str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_a_git_lfs_pointer_instead_of_the_votes(tmp_path):
    path = write_votes(tmp_path, [])
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 4057953\n")
    with pytest.raises(UserError, match=r"tabulatedVotes\.csv: has no column fileName"):
        cremad.read(touch(tmp_path, *wav(ANGER)))


def test_a_small_cremad_says_whose_it_is_and_depends_on_its_votes(tmp_path, capsys):
    pytest.importorskip("soundfile")
    names = [f"{1001 + i}_ITS_{emotion}_XX" for i, emotion in enumerate(("ANG", "DIS", "FEA", "HAP", "NEU", "SAD"))]
    for i, name in enumerate([*names, "1076_MTI_SAD_XX"]):
        signal = hum(0.5, pitch=100 + 20 * i) if i < 6 else np.zeros(100)
        write(tmp_path / "in" / "AudioWAV" / f"{name}.wav", sixteen_bit(signal))
    write_votes(tmp_path / "in", [(100001 + i, np.eye(6, dtype=int)[i], name) for i, name in enumerate(names)])
    words = ["--recipe", "cremad", "--jobs", "1", "-o", str(tmp_path / "out")]
    assert cli.main(["corpus", "record", str(tmp_path / "in"), *words]) == 0
    shown = capsys.readouterr().out
    for words in ("10.1109/TAFFC.2014.2336244", "Open Database License", "labels: an emotion's intensity is 3 times"):
        assert words in shown
    assert "1  videos, noted: raters heard a broken file instead, left out" in shown
    corpus = record(tmp_path / "in", tmp_path / "two", "cremad", front_end=stub(), jobs=1)
    assert corpus.recordings.id.tolist() == names and corpus.segments.fold.tolist() == [0, 1, 2, 3, 4, 0]
    anger, neutral = intensities(anger=3), intensities()
    assert corpus.targets[0].tolist() == list(anger) and corpus.targets[4].tolist() == list(neutral)
    shutil.copytree(tmp_path / "in", tmp_path / "moved")
    assert record(tmp_path / "moved", tmp_path / "two", "cremad", front_end=stub()).content_hash == corpus.content_hash
    write_votes(tmp_path / "moved", [(100001, (0, 1, 0, 0, 0, 0), names[0])])
    with pytest.raises(UserError, match="table is"):
        record(tmp_path / "moved", tmp_path / "two", "cremad", front_end=stub())
