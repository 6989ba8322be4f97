"""One corpus, one pretraining run and one finished study for all tests of studies, which leave them as they are."""

from pathlib import Path

import pytest
from training import PRETRAIN, STUDY, opened_fold, write_acted_and_runs, write_mosei_like

from emo_ssl.core.corpus import Corpus
from emo_ssl.core.pretrain import pretrain
from emo_ssl.study.arms import Fold
from emo_ssl.study.run import run_study


@pytest.fixture(scope="package")
def corpus(tmp_path_factory) -> Corpus:
    return write_mosei_like(tmp_path_factory.mktemp("corpus"))


@pytest.fixture(scope="package")
def run(corpus, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("run") / "run"
    pretrain([corpus], folder, PRETRAIN, device="cpu")
    return folder


@pytest.fixture(scope="package")
def finished(corpus, run, tmp_path_factory) -> Path:
    return run_study(corpus, [run], tmp_path_factory.mktemp("study") / "study", STUDY, "cpu").folder


@pytest.fixture(scope="package")
def acted(tmp_path_factory) -> tuple[Corpus, list[Path]]:
    """A corpus with folds, speakers and categories, and a run for each fold."""
    return write_acted_and_runs(tmp_path_factory.mktemp("acted"))


@pytest.fixture(scope="package")
def fold(corpus, run) -> Fold:
    return opened_fold(corpus, run)
