"""Where notebooks keep things: found from anywhere, made once, never out of date, never out of place."""

import json
import os
from dataclasses import replace

import numpy as np
import pytest
from builders import write_csd

from emo_ssl import notebook as workspace
from emo_ssl.core.corpus import Corpus
from emo_ssl.core.pretrain import PretrainConfig
from emo_ssl.corpora.synthetic import SynthConfig, write_corpus
from emo_ssl.evidence.claims import EvidenceConfig
from emo_ssl.study.grid import StudyConfig
from emo_ssl.utils.io import UserError

TINY = {"videos": 4, "seed": 3, "scenario": "static"}


@pytest.fixture
def repository(tmp_path, monkeypatch):
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "emo-ssl"\n')
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("where", [".", "notebooks", "build/executed", "a/b/c/d"])
def test_root_is_found_from_every_depth(repository, monkeypatch, where):
    (repository / where).mkdir(parents=True, exist_ok=True)
    monkeypatch.chdir(repository / where)
    assert workspace.root() == repository
    assert workspace.place("corpora", "x", {}).parent == repository / "build" / "corpora"


@pytest.mark.parametrize(
    "content", ['[project]\nname = "other"\n', "not [ toml", "[project]\n", "project = 3\n", "\xff"]
)
def test_another_project_is_not_ours(tmp_path, monkeypatch, content):
    (tmp_path / "pyproject.toml").write_bytes(content.encode("latin-1"))
    monkeypatch.chdir(tmp_path)
    assert workspace.root() == tmp_path
    inner = tmp_path / "inner"
    inner.mkdir()
    assert workspace.root(inner) == inner  # no repository around it: the working folder itself


def test_the_innermost_repository_counts(repository):
    inner = repository / "build" / "copy"
    inner.mkdir(parents=True)
    (inner / "pyproject.toml").write_text('[project]\nname = "emo-ssl"\n')
    assert workspace.root(inner) == inner


def test_a_corpus_is_made_once_and_found_again(repository, monkeypatch):
    prepared = workspace.corpus(**TINY)
    folder = prepared.folder.parent
    assert folder.parent == repository / "build" / "corpora"
    assert folder.name.startswith("synthetic-static-4-videos-seed-3-")
    stamps = {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.suffix in (".csd", ".bin", ".json")}
    (repository / "notebooks").mkdir()
    monkeypatch.chdir(repository / "notebooks")
    again = workspace.corpus(**TINY)
    assert again.content_hash == prepared.content_hash and again.folder == prepared.folder
    assert stamps == {path: path.stat().st_mtime_ns for path in stamps}
    assert workspace.corpus(**{**TINY, "scenario": "null"}).folder != prepared.folder
    assert prepared.folder.exists()  # another corpus does not push this one out


def test_a_corpus_is_that_of_the_command_line(repository):
    prepared = workspace.corpus(**TINY)
    direct = write_corpus(repository / "direct", SynthConfig(**TINY))
    assert workspace.truth(prepared) == direct
    assert (workspace.raw_files(prepared) / "COVAREP.csd").read_bytes() == (
        repository / "direct" / "COVAREP.csd"
    ).read_bytes()


def test_a_corpus_prepared_by_older_code_is_replaced(repository, monkeypatch):
    old = workspace.corpus(**TINY).folder.parent
    other = workspace.corpus(**{**TINY, "videos": 5}).folder.parent
    monkeypatch.setattr(workspace, "preparing_code", lambda: "newer")
    new = workspace.corpus(**TINY).folder.parent
    assert new != old and new.exists() and not old.exists() and other.exists()


def test_preparing_code_covers_the_reader_and_the_store():
    before = workspace.preparing_code()
    assert before == workspace.preparing_code() and len(before) == 64


def test_an_interrupted_corpus_is_completed(repository, monkeypatch):
    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(workspace, "prepare", killed)
        with pytest.raises(KeyboardInterrupt):
            workspace.corpus(**TINY)
    prepared = workspace.corpus(**TINY)
    assert len(prepared) and json.loads((prepared.folder / "folder.json").read_text())["complete"]


def test_a_prepared_folder_is_opened(repository, tmp_path):
    made = workspace.corpus(**TINY)
    opened = workspace.corpus(str(made.folder), videos=99)
    assert isinstance(opened, Corpus) and opened.content_hash == made.content_hash
    relative = workspace.corpus(os.path.relpath(made.folder, repository))
    assert relative.content_hash == made.content_hash
    with pytest.raises(UserError, match="no such folder"):
        workspace.corpus("nowhere")


def test_what_is_not_made_up_has_no_truth(repository):
    from emo_ssl.corpora.mosei import prepare

    frames = np.random.default_rng(0).normal(size=(300, 74)).astype(np.float32)
    clock = np.arange(301) / 100
    times = np.stack([clock[:-1], clock[1:]], 1)
    labels = np.zeros((1, 7), np.float32), np.array([[0.0, 2.0]])
    names = ("sentiment", "happy", "sad", "anger", "surprise", "disgust", "fear")
    sound = write_csd(repository / "a.csd", {"v": (frames, times)}, None)
    table = write_csd(repository / "l.csd", {"v": labels}, names, root="All Labels")
    prepared = prepare(sound, table, None, repository / "real")
    assert workspace.raw_files(prepared) is None and workspace.truth(prepared) is None
    assert not workspace.is_synthetic(prepared)
    notice = workspace.notice(prepared)
    assert "not the standard folds" in notice and "machinery" not in notice


def test_the_notice_says_that_nobody_spoke(repository):
    notice = workspace.notice(workspace.corpus(**TINY))
    assert "say nothing about people" in notice and "scenario static, seed 3" in notice and "warning" in notice


SMALL = {"videos": 16, "seed": 3, "scenario": "static"}


@pytest.fixture(scope="module")
def computed(tmp_path_factory):
    """A tiny run and a tiny study of it, with the settings that made them."""
    patch = pytest.MonkeyPatch()
    folder = tmp_path_factory.mktemp("repository")
    (folder / "pyproject.toml").write_text('[project]\nname = "emo-ssl"\n')
    patch.chdir(folder)
    prepared = workspace.corpus(**SMALL)
    pretraining = replace(workspace.pretraining(steps=3), width=16, layers=1)
    comparison = replace(
        workspace.comparison("tiny", [28, 30, 32], 2, 2), arms=("scratch", "pretrained"), rates=(1e-3,)
    )
    run = workspace.run(prepared, 5, config=pretraining)
    study = workspace.study(prepared, [run], comparison)
    patch.undo()
    return folder, prepared, pretraining, comparison, run, study


def test_settings_leave_the_defaults_alone():
    assert workspace.pretraining() == PretrainConfig() and workspace.pretraining(7).steps == 7
    assert workspace.comparison("demo") == StudyConfig(profile="demo")
    other = workspace.comparison("x", [30, 60], 3, 9)
    assert (other.profile, other.budgets, other.seeds, other.finetune.steps, other.probe.steps) == (
        "x",
        (30, 60),
        3,
        9,
        9,
    )


def test_a_run_is_computed_once_for_each_setting(computed, monkeypatch):
    folder, prepared, pretraining, _, run, _ = computed
    monkeypatch.chdir(folder)
    assert run.parent == folder / "build" / "runs" and run.name.startswith("pretraining-seed-5-")
    stamp = (run / "model.safetensors").stat().st_mtime_ns
    assert workspace.run(prepared, 5, config=pretraining) == run
    assert (run / "model.safetensors").stat().st_mtime_ns == stamp
    other = workspace.run(prepared, 5, config=replace(pretraining, steps=2))
    assert other != run and workspace.run(prepared, 6, config=replace(pretraining, steps=2)) != other


def test_a_study_is_computed_once_and_follows_its_run(computed, monkeypatch):
    folder, prepared, pretraining, comparison, run, study = computed
    monkeypatch.chdir(folder / "build")
    assert study.parent == folder / "build" / "studies" and study.name.startswith("study-tiny-")
    stamp = (study / "predictions.npz").stat().st_mtime_ns
    assert workspace.study(prepared, [run], comparison) == study
    assert (study / "predictions.npz").stat().st_mtime_ns == stamp
    started = []
    monkeypatch.setattr("emo_ssl.study.run.study", lambda *arguments: started.append(arguments[2]))
    other = workspace.run(prepared, 5, config=replace(pretraining, steps=2))
    workspace.study(prepared, [other], comparison)
    workspace.study(prepared, [run], replace(comparison, seeds=3))
    assert len({study, *started}) == 3


def test_a_finished_one_is_opened_by_its_path(computed, monkeypatch):
    folder, _, _, _, run, study = computed
    monkeypatch.chdir(folder)
    assert workspace.run(None, path=str(run.relative_to(folder))) == run
    assert workspace.study(path=str(study)) == study
    with pytest.raises(UserError, match="no finished pretraining run"):
        workspace.run(None, path="nowhere")
    with pytest.raises(UserError, match="no finished study"):
        workspace.study(path="nowhere")


def test_evidence_is_computed_once_for_each_code(computed, monkeypatch):
    folder, _, _, _, _, study = computed
    monkeypatch.chdir(folder)
    config = EvidenceConfig(draws=50)
    first = workspace.evidence(study, config)
    assert first["budgets"][:3] == [28, 30, 32] and first["config"]["draws"] == 50
    with monkeypatch.context() as patch:
        patch.setattr("emo_ssl.evidence.report.evaluate", None)  # may not be called
        assert workspace.evidence(study, config) == first
    calls = []
    monkeypatch.setattr("emo_ssl.evidence.report.evaluate", lambda *_: calls.append(1) or {})
    workspace.evidence(study, EvidenceConfig(draws=60))
    monkeypatch.setattr(workspace, "hash_of", lambda value: "0" * 64)  # other code, another key
    workspace.evidence(study, config)
    assert len(calls) == 2


def test_recorded_evidence_needs_no_predictions(computed, tmp_path, monkeypatch):
    folder, _, _, _, _, study = computed
    monkeypatch.chdir(folder)
    found = workspace.evidence(study, EvidenceConfig(draws=50))
    (tmp_path / "evidence.json").write_text(json.dumps(found))
    assert workspace.evidence(tmp_path) == found
    with pytest.raises(UserError, match="neither"):
        workspace.evidence(folder)


def test_outside_a_repository_a_recorded_study_is_looked_for_in_vain(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="no finished study; open the notebook inside a clone of the repository"):
        workspace.study(path="results/ravdess")


def test_the_notice_of_a_recorded_study():
    assert "say nothing about people" in workspace.notice_of({"source": "synthetic, scenario null, seed 1"})
    real = workspace.notice_of({"source": "CMU-MOSEI <b>", "folds": "standard"})
    assert "machinery" not in real and "&lt;b&gt;" in real and "standard" in real
    assert "does not say" in workspace.notice_of({}) and "data-corpus" not in workspace.notice_of({})
    assert ' data-corpus="0123456789ab">' in workspace.notice_of({"source": "a", "content_hash": "0123456789abcdef"})


@pytest.mark.parametrize("wrong", [{"scenario": "nowhere"}, {"videos": 2}, {"seed": -1}])
def test_a_wrong_setting_makes_nothing(repository, wrong):
    with pytest.raises(UserError):
        workspace.corpus(**{**TINY, **wrong})
    assert not (repository / "build").exists()
