"""What is kept of a study: the same table, nothing that names a place, and the same bytes every time."""

import gzip
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from training import STUDY, write_acted, write_acted_and_runs

from emo_ssl.cli import main
from emo_ssl.core.corpus import Corpus
from emo_ssl.evidence.record import TABLE, ablations, commands, corpus_of, keep, results, seconds_taken
from emo_ssl.study.collect import RESULTS
from emo_ssl.study.run import run_study
from emo_ssl.utils.io import UserError, read_json


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("acted")
    prepared, runs = write_acted_and_runs(folder)
    arms = ("scratch", "pretrained", "frozen-random", "frozen-pretrained", "frozen-permuted", "constants")
    return run_study(prepared, runs, folder / "study", replace(STUDY, arms=arms, rates=(1e-1,)), "cpu").folder


def test_what_is_kept(finished, tmp_path, capsys):
    with pytest.raises(UserError, match="finish the study"):
        keep(finished, tmp_path / "early", "")
    assert not (tmp_path / "early").exists()
    corpus = finished.parent / "corpus"
    for name in ("a", "b"):
        more = ["--command-that-repeats", "again", "--corpus", str(corpus)]
        assert main(["evidence", str(finished), "--keep", str(tmp_path / name), *more]) == 0
    capsys.readouterr()
    names = sorted(p.name for p in (tmp_path / "a").iterdir())
    assert names == ["corpus.json", "evidence.json", "provenance.json", TABLE]
    for name in names:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes(), name
    assert gzip.decompress((tmp_path / "a" / TABLE).read_bytes()) == (finished / RESULTS).read_bytes()
    assert results(finished).equals(results(tmp_path / "a")) and len(results(finished))
    story = read_json(tmp_path / "a" / "provenance.json")
    assert story["command"] == "again" == commands(tmp_path / "a") and story["seconds_of_all_chunks"] >= 0
    assert str(finished.parent) not in (tmp_path / "a" / "provenance.json").read_text()
    found = corpus_of(tmp_path / "a")
    # 6 speakers, 3 categories, 2 takes, dealt to 3 folds of 2 speakers each
    assert (found["speakers"], found["clips"]) == (6, 36) and set(found["categories"].values()) == {12}
    assert found["clips_of_folds"] == {"train": [12, 12, 12], "valid": [12, 12, 12], "test": [12, 12, 12]}
    lengths = Corpus.open(corpus).segments.length / 100
    assert found["seconds"]["p50"] == pytest.approx(np.median(lengths), abs=0.01)
    assert found["frames"] == {"in": round(100 * lengths.sum()), "kept": round(100 * lengths.sum())}
    assert corpus_of(finished) == {}


def test_another_corpus_is_refused_before_anything_is_written(finished, tmp_path):
    other = write_acted(tmp_path / "other", seed=5)
    main(["evidence", str(finished)])
    with pytest.raises(UserError, match="not the corpus of"):
        keep(finished, tmp_path / "kept", "", other)
    assert not (tmp_path / "kept").exists()


def test_what_stands_beside_a_recorded_study(finished, tmp_path):
    main(["evidence", str(finished)])
    for name in ("random", "compare"):
        keep(finished, tmp_path / name, "")
    (tmp_path / "half").mkdir()
    (tmp_path / "half" / "evidence.json").write_text("{}")
    assert list(ablations(tmp_path)) == ["compare", "random"]  # "half" has no table: it was not kept to the end
    (tmp_path / "repeat.sh").write_text("#!/usr/bin/env bash\nstep one\n")
    assert commands(tmp_path) == "step one\n"
    assert seconds_taken({"seconds_of_all_chunks": 7}) == 7 and seconds_taken({"seconds_of_the_last_start": 3}) == 3
    with pytest.raises(UserError, match="no such file; expected the folder of a recorded or finished study"):
        results(tmp_path)


def test_every_recorded_study_says_how_to_repeat_it():
    """Also those of earlier versions, which noted less."""
    recorded = sorted((Path(__file__).parents[2] / "results" / "ravdess").glob(f"**/{TABLE}"))
    assert len(recorded) > 3 and all(commands(table.parent).strip() for table in recorded)
