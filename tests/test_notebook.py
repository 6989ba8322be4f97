"""Where notebooks keep things: found from anywhere, made once, never out of date, never out of place."""

import json
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from builders import write_segments

from emo_ssl import notebook
from emo_ssl.core.pretrain import PretrainConfig
from emo_ssl.corpora.synthetic import SynthConfig, write_corpus
from emo_ssl.utils.io import UserError

TINY = {"videos": 4, "seed": 3, "scenario": "static"}
RECORDED = json.loads((Path(__file__).parents[1] / "results" / "ravdess" / "evidence.json").read_text(encoding="utf-8"))


@pytest.fixture
def repository(tmp_path, monkeypatch):
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "emo-ssl"\n')
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_root_is_found_from_every_depth_or_else_the_working_folder_counts(repository, monkeypatch):
    (repository / "build" / "executed").mkdir(parents=True)
    monkeypatch.chdir(repository / "build" / "executed")
    assert notebook.root() == repository
    (repository / "pyproject.toml").write_text('[project]\nname = "other"\n')
    assert notebook.root() == repository / "build" / "executed"


def test_a_corpus_is_made_once_and_found_again(repository, monkeypatch):
    prepared = notebook.corpus(**TINY)
    folder = prepared.folder.parent
    assert folder.parent == repository / "build" / "corpora"
    assert folder.name.startswith("synthetic-static-4-videos-seed-3-")
    stamps = {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.suffix in (".csd", ".bin", ".json")}
    (repository / "notebooks").mkdir()
    monkeypatch.chdir(repository / "notebooks")
    again = notebook.corpus(**TINY)
    assert again.content_hash == prepared.content_hash and again.folder == prepared.folder
    assert stamps == {path: path.stat().st_mtime_ns for path in stamps}
    by_path = notebook.corpus(os.path.relpath(prepared.folder, repository), videos=99)
    assert by_path.content_hash == prepared.content_hash
    with pytest.raises(UserError, match="no such file or folder"):
        notebook.corpus("nowhere")


def test_pages_that_ask_at_once_wait_for_the_one_that_makes_it(repository, monkeypatch):
    made, write = [], notebook.write_corpus
    monkeypatch.setattr(notebook, "write_corpus", lambda *asked: (made.append(asked), write(*asked)))
    with ThreadPoolExecutor(3) as pool:
        found = list(pool.map(lambda _: notebook.corpus(**TINY).content_hash, range(3)))
    assert len(set(found)) == 1 and len(made) == 3  # the second and the third find a whole one


def test_a_made_up_corpus_knows_its_files_and_its_truth(repository):
    prepared = notebook.corpus(**TINY)
    assert notebook.truth(prepared) == write_corpus(repository / "direct", SynthConfig(**TINY))
    assert (notebook.raw_files(prepared) / "COVAREP.csd").is_file()
    other = write_segments(repository / "other", [])
    assert notebook.raw_files(other) is None and notebook.truth(other) is None


def test_a_corpus_prepared_by_older_code_is_replaced(repository, monkeypatch):
    old = notebook.corpus(**TINY).folder.parent
    other = notebook.corpus(**{**TINY, "scenario": "null"}).folder.parent
    monkeypatch.setattr(notebook, "preparing_code", lambda: "newer")
    new = notebook.corpus(**TINY).folder.parent
    assert new != old and new.exists() and not old.exists() and other.exists()


def test_the_hash_of_code_follows_every_file(tmp_path, monkeypatch):
    monkeypatch.setattr(notebook, "__file__", str(tmp_path / "notebook.py"))
    (tmp_path / "room" / "inner").mkdir(parents=True)
    (tmp_path / "c.py").write_text("1")
    seen = {notebook.code_of("room", "c.py")}
    for name in ("room/a.py", "room/inner/b.py", "c.py", "not-asked-for.py"):
        (tmp_path / name).write_text("2")
        seen.add(notebook.code_of("room", "c.py"))
    assert len(seen) == 4


@pytest.fixture(scope="module")
def computed(tmp_path_factory):
    """A tiny run and a tiny study of it, with the settings that made them."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("repository")
        (folder / "pyproject.toml").write_text('[project]\nname = "emo-ssl"\n')
        patch.chdir(folder)
        prepared = notebook.corpus(videos=16, seed=3, scenario="static")
        pretraining = replace(notebook.pretraining(steps=3), width=16, layers=1)
        comparison = replace(
            notebook.comparison("tiny", [28, 30, 32], 2, 2), arms=("scratch", "pretrained"), rates=(1e-3,)
        )
        run = notebook.run(prepared, 5, config=pretraining)
        study = notebook.study(prepared, [run], comparison)
    return SimpleNamespace(
        folder=folder, corpus=prepared, pretraining=pretraining, comparison=comparison, run=run, study=study
    )


@pytest.mark.parametrize(("seeds", "tuning"), [(0, 2), (1, 1), (3, 1), (4, 2), (10, 2)])
def test_few_seeds_are_tuned_with_fewer(seeds, tuning):
    assert notebook.comparison("tiny", [28], seeds).tuning_seeds == tuning


def test_a_run_and_a_study_are_computed_once_for_each_setting(computed, monkeypatch):
    monkeypatch.chdir(computed.folder / "build")
    assert computed.run.parent == computed.folder / "build" / "runs"
    assert computed.study.parent == computed.folder / "build" / "studies"
    files = (computed.run / "model.safetensors", computed.study / "predictions.npz")
    stamps = [file.stat().st_mtime_ns for file in files]
    assert notebook.run(computed.corpus, 5, config=computed.pretraining) == computed.run
    assert notebook.study(computed.corpus, [computed.run], computed.comparison) == computed.study
    assert stamps == [file.stat().st_mtime_ns for file in files]
    other = notebook.run(computed.corpus, 6, config=replace(computed.pretraining, steps=2))
    started = []
    stand_in = SimpleNamespace(folder=None)
    monkeypatch.setattr(notebook, "run_study", lambda *words, jobs: started.append(words[2]) or stand_in)
    notebook.study(computed.corpus, [other], computed.comparison)
    notebook.study(computed.corpus, [computed.run], replace(computed.comparison, seeds=3))
    assert computed.run != other and len({computed.study, *started}) == 3


def test_a_finished_one_is_opened_by_its_path(computed, monkeypatch):
    monkeypatch.chdir(computed.folder)
    assert notebook.run(None, path=str(computed.run.relative_to(computed.folder))) == computed.run
    assert notebook.study(path=str(computed.study)) == computed.study
    with pytest.raises(UserError, match="no finished pretraining run"):
        notebook.run(None, path="nowhere")
    with pytest.raises(UserError, match=r"no finished study; .* a clone of the repository"):
        notebook.study(path="nowhere")


def test_evidence_is_computed_once_for_each_code(computed, monkeypatch):
    monkeypatch.chdir(computed.folder)
    calls = []
    monkeypatch.setattr(notebook.report, "evaluate", lambda folder: calls.append(folder) or RECORDED)
    assert notebook.evidence(computed.study) == notebook.evidence(computed.study) == RECORDED
    assert calls == [computed.study]
    monkeypatch.setattr(notebook, "code_of", lambda *parts: "newer")
    notebook.evidence(computed.study)
    assert len(calls) == 2


def test_recorded_evidence_needs_no_predictions(tmp_path):
    with pytest.raises(UserError, match=r"neither predictions\.npz nor evidence\.json"):
        notebook.evidence(tmp_path)
    (tmp_path / "evidence.json").write_text(json.dumps(RECORDED))
    assert notebook.evidence(tmp_path) == RECORDED


# --- parameters that papermill hands on


def test_a_parameter_that_the_notebook_does_not_have_is_refused_by_name():
    declared = 'corpus = ""\nseed = 0  # of all'
    notebook.refuse_unknown_parameters(["", declared, "# Parameters\nseed = 3\n", "import numpy"])
    notebook.refuse_unknown_parameters(["", declared, "import numpy"])  # run by hand
    with pytest.raises(UserError, match="no parameter sead; it has corpus, seed"):
        notebook.refuse_unknown_parameters(["", declared, "# Parameters\nsead = 3\n"])


def test_recorded_rows_are_read_and_a_missing_file_is_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rows.jsonl").write_text('{"a": 1}\n{"b": [2]}\n')
    assert notebook.recorded("rows.jsonl") == [{"a": 1}, {"b": [2]}]
    with pytest.raises(UserError, match=r"none\.jsonl: not there"):
        notebook.recorded("none.jsonl")


def test_settings_of_pretraining_take_changes_of_the_mask_too():
    changed = notebook.pretraining(steps=7, kind="gru", share=0.25, span=3)
    assert (changed.steps, changed.kind, changed.mask.share, changed.mask.span) == (7, "gru", 0.25, 3)
    assert notebook.pretraining() == PretrainConfig()
