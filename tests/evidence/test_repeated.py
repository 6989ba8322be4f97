"""A small part of a study computed anew: the same numbers from the same corpus, and a refusal of another one."""

import json
from pathlib import Path

import numpy as np
import pytest
from training import PRETRAIN, STUDY, write_acted

from emo_ssl.core.pretrain import pretrain
from emo_ssl.evidence import record as recorded
from emo_ssl.evidence import repeated
from emo_ssl.evidence.report import evaluate
from emo_ssl.study.grid import StudyConfig
from emo_ssl.study.run import PROVENANCE, study
from emo_ssl.utils.io import UserError

RAVDESS = Path(__file__).parents[2] / "results" / "ravdess"
pytestmark = pytest.mark.usefixtures("one_thread")


def finished(folder: Path, corpus, config: StudyConfig) -> Path:
    runs = [folder / f"run{fold}" for fold in corpus.folds]
    for fold, run in zip(corpus.folds, runs, strict=True):
        pretrain([corpus], run, PRETRAIN, fold=fold, device="cpu")
    study(corpus, runs, folder / "study", config, "cpu")
    evaluate(folder / "study")
    recorded.keep(folder / "study", folder / "kept", "again", corpus)
    return folder / "kept"


@pytest.fixture(scope="module")
def acted(tmp_path_factory):
    """A corpus and its recorded study, tuned between two rates, with budgets 4, 8 and all 12."""
    folder = tmp_path_factory.mktemp("acted")
    corpus = write_acted(folder / "corpus")
    arms = ("scratch", "pretrained", "statistics", "length", "constants")
    config = StudyConfig(**{**STUDY.__dict__, "arms": arms, "rates": (1e-3, 1e-1), "tuning_seeds": 1, "seeds": 3})
    return corpus, finished(folder, corpus, config)


def test_the_same_corpus_gives_the_same_numbers(acted):
    corpus, folder = acted
    found = repeated.small_part(corpus, folder, device="cpu")
    assert set(found["arm"]) == set(repeated.ARMS) and set(found["seed"]) == {0, 1}
    assert set(found["budget"]) == {4, 12}  # the smallest and the third smallest
    table = recorded.results(folder)
    there = (table["fold"] == 0) & (table["protocol"] == "blind") & table["arm"].isin(repeated.ARMS)
    assert len(found) == (there & table["seed"].isin([0, 1]) & table["budget"].isin([4, 12])).sum()
    assert repeated.largest_difference(found) <= 1e-6  # the table is kept with six decimals
    shown = repeated.headline_table(found)
    assert len(shown) == 3 * 2 * 2 * 3 and set(shown["metric"]) == {"uar", "mae", "acc4"}


def test_other_seeds_and_seeds_that_were_not_run(acted):
    corpus, folder = acted
    found = repeated.small_part(corpus, folder, seed=2, device="cpu")
    assert set(found["seed"]) == {2} and repeated.largest_difference(found) <= 1e-6
    with pytest.raises(UserError, match="with seed 7; take another"):
        repeated.small_part(corpus, folder, seed=7, device="cpu")


def test_a_changed_corpus_is_seen_and_another_one_refused(acted, tmp_path):
    _, folder = acted
    other = write_acted(tmp_path / "corpus", seed=1)
    assert repeated.largest_difference(repeated.small_part(other, folder, device="cpu")) > 1e-3
    story = json.loads((folder / PROVENANCE).read_text())
    story["corpus"]["source"] = "voices from elsewhere"
    (tmp_path / PROVENANCE).write_text(json.dumps(story))
    (tmp_path / recorded.TABLE).write_bytes((folder / recorded.TABLE).read_bytes())
    with pytest.raises(UserError, match="records a study of voices from elsewhere") as refusal:
        repeated.small_part(other, tmp_path, device="cpu")
    assert "\n" not in str(refusal.value)


def test_the_rate_is_the_one_that_tuning_chose(acted):
    """A study tunes every arm once a fold, so of two rates in its list only one may be used again."""
    corpus, folder = acted
    story = json.loads((folder / PROVENANCE).read_text())
    chosen = {name: rate for name, rate in story["tuned_rates"].items() if name.startswith("fold0-blind-statistics-")}
    assert len(chosen) == 1 and set(chosen.values()) < {1e-3, 1e-1}
    (name,) = chosen
    other = 1e-3 if chosen[name] == 1e-1 else 1e-1
    story["tuned_rates"][name] = other
    config = StudyConfig(**{**STUDY.__dict__, "rates": (1e-3, 1e-1)})
    fold = repeated.open_without_runs(corpus, config, "cpu")
    chunk = repeated.Chunk(0, "statistics", (4,), (0,))
    both = [repeated.rows(fold, chunk, config, rates) for rates in ({name: chosen[name]}, {name: other})]
    assert both[0] != both[1]


def test_a_difference_on_one_side_only_counts(acted):
    found = repeated.small_part(*acted, device="cpu")
    found.loc[0, "recomputed"] = np.nan
    assert np.isnan(repeated.largest_difference(found))


def test_ravdess_gives_what_was_recorded(real_data, tmp_path):
    if not (RAVDESS / recorded.TABLE).is_file():
        pytest.skip("results/ravdess holds no recorded study yet")
    from emo_ssl.corpora.recordings import record

    corpus = record(real_data / "ravdess-16k", tmp_path / "corpus", "ravdess")
    found = repeated.small_part(corpus, RAVDESS, device="cpu")
    assert set(found["arm"]) == set(repeated.ARMS) and set(found["budget"]) == {28, 112}
    assert repeated.largest_difference(found) <= 1e-3
