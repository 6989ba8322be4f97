"""Where notebooks keep things: found from anywhere, made once, never out of date, never out of place."""

import json
import os
import sys

import numpy as np
import pytest
from builders import write_csd

from emo_ssl import workspace
from emo_ssl.corpora.synthetic import SynthConfig, write_corpus
from emo_ssl.errors import UserError
from emo_ssl.segments import Segments

TINY = {"videos": 4, "seed": 3, "world": "static"}


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
    segments = workspace.corpus(**TINY)
    folder = segments.folder.parent
    assert folder.parent == repository / "build" / "corpora"
    assert folder.name.startswith("synthetic-static-4-videos-seed-3-")
    stamps = {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.suffix in (".csd", ".bin", ".json")}
    (repository / "notebooks").mkdir()
    monkeypatch.chdir(repository / "notebooks")
    again = workspace.corpus(**TINY)
    assert again.content_hash == segments.content_hash and again.folder == segments.folder
    assert stamps == {path: path.stat().st_mtime_ns for path in stamps}
    assert workspace.corpus(**{**TINY, "world": "null"}).folder != segments.folder
    assert segments.folder.exists()  # another corpus does not push this one out


def test_a_corpus_is_that_of_the_command_line(repository):
    segments = workspace.corpus(**TINY)
    direct = write_corpus(repository / "direct", SynthConfig(**TINY))
    assert workspace.truth(segments) == direct
    assert (workspace.raw_files(segments) / "COVAREP.csd").read_bytes() == (
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
    segments = workspace.corpus(**TINY)
    assert len(segments) and json.loads((segments.folder / "folder.json").read_text())["complete"]


def test_a_prepared_folder_is_opened(repository, tmp_path):
    made = workspace.corpus(**TINY)
    opened = workspace.corpus(str(made.folder), videos=99)
    assert isinstance(opened, Segments) and opened.content_hash == made.content_hash
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
    segments = prepare(sound, table, None, repository / "real")
    assert workspace.raw_files(segments) is None and workspace.truth(segments) is None
    assert not workspace.is_synthetic(segments)
    notice = workspace.notice(segments)
    assert "not the standard folds" in notice and "machinery" not in notice


def test_the_notice_says_that_nobody_spoke(repository):
    notice = workspace.notice(workspace.corpus(**TINY))
    assert "say nothing about people" in notice and "world static, seed 3" in notice and "warning" in notice


@pytest.mark.parametrize("wrong", [{"world": "nowhere"}, {"videos": 2}, {"seed": -1}])
def test_a_wrong_setting_makes_nothing(repository, wrong):
    with pytest.raises(UserError):
        workspace.corpus(**{**TINY, **wrong})
    assert not (repository / "build").exists()


def test_say_hands_over_plain_values(monkeypatch):
    said = []
    module = type(sys)("myst_nb")
    module.glue = lambda name, value, display: said.append((name, value, display))
    monkeypatch.setitem(sys.modules, "myst_nb", module)
    workspace.say(share=np.float32(0.5), word="happy", count=np.int64(3))
    assert said == [("share", 0.5, False), ("word", "happy", False), ("count", 3.0, False)]
    assert [repr(value) for _, value, _ in said] == ["0.5", "'happy'", "3.0"]


def test_say_is_silent_without_the_books_tools(monkeypatch):
    monkeypatch.setitem(sys.modules, "myst_nb", None)
    workspace.say(share=0.5)
