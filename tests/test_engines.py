"""Worker processes of a Dask cluster make what this process makes by itself, and one of them may die over it."""

import contextlib
import os
import signal
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from threading import Event

import pytest
from builders import prepared
from sounds import stub
from training import PRETRAIN, STUDY

from emo_ssl.cli import main
from emo_ssl.core.pretrain import pretrain
from emo_ssl.corpora.mosei import prepare
from emo_ssl.corpora.recordings import record
from emo_ssl.study.run import run_study
from emo_ssl.utils import engine
from emo_ssl.utils.io import UserError

dask, distributed = pytest.importorskip("dask"), pytest.importorskip("distributed")
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def cluster() -> Iterator:
    """Two worker processes that find the helpers of these tests."""
    settings = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": ":0", "silence_logs": 50}
    once = dask.config.set({"distributed.scheduler.allowed-failures": 1})  # sooner than four dead workers later
    with once, distributed.LocalCluster(**settings) as cluster, distributed.Client(cluster) as client:
        client.run(sys.path.append, str(Path(__file__).parent))
        yield client


def test_csd_files_give_the_same_corpus(cluster, tmp_path):
    videos = {"a": 300, "b": 120, "c": 40, "d": 0}
    alone = prepared(tmp_path, videos, {"a": [(0, 2)], "b": [(0.1, 0.9)], "c": [(0, 0.3)], "e": [(0, 1)]})
    files = [tmp_path / "source" / name for name in ("COVAREP.csd", "LABELS.csd")]
    words = {"engine": "dask", "scheduler": cluster.scheduler.address}
    shared = prepare(*files, None, tmp_path / "shared", **words)
    assert shared.content_hash == alone.content_hash and shared.report == alone.report


@pytest.mark.parametrize("slow", [False, True])
def test_recordings_give_the_same_corpus(cluster, tmp_path, slow):
    pytest.importorskip("soundfile")
    from sounds import hum, write

    for name in ("x", "y", "z"):
        write(tmp_path / "sound" / f"{name}.wav", hum(1 + 0.1 * ord(name) % 1))
    (tmp_path / "sound" / "bad.wav").write_bytes(b"no sound")
    table = tmp_path / "table.csv"
    table.write_text("path,speaker,happy\n" + "".join(f"{n}.wav,{n},1\n" for n in ("x", "y", "z", "bad")))
    source = (tmp_path / "sound", tmp_path / "alone", "folder", table, replace(stub(), slow=slow), 1)
    alone = record(*source)
    words = {"engine": "dask", "scheduler": cluster.scheduler.address}
    shared = record(source[0], tmp_path / "shared", *source[2:], **words)
    assert shared.content_hash == alone.content_hash and shared.report == alone.report


def dies_over_one(log: Path, arm: str) -> None:
    """In a worker: note every chunk that is begun, and end the process over the first of one arm."""
    from emo_ssl.study import run

    original = run.run_chunk

    def noted(fold, chunk, config):
        with log.open("a") as stream:
            stream.write(f"{chunk.arm}\n")
        if chunk.arm == arm and log.read_text().count(f"{arm}\n") == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        return original(fold, chunk, config)

    run.run_chunk = noted


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL")
def test_a_worker_that_dies_costs_its_chunk_only(cluster, corpus, tmp_path):
    pretrain([corpus], tmp_path / "run", PRETRAIN, device="cpu")
    alone = run_study(corpus, [tmp_path / "run"], tmp_path / "alone", STUDY, "cpu").folder
    cluster.run(dies_over_one, tmp_path / "log", "frozen-random")
    words = {"engine": "dask", "scheduler": cluster.scheduler.address}
    shared = run_study(corpus, [tmp_path / "run"], tmp_path / "shared", STUDY, "cpu", **words).folder
    for name in ("results.csv", "predictions.npz"):
        assert (shared / name).read_bytes() == (alone / name).read_bytes()
    # the other worker, and the one that came for the dead, which notes nothing, did everything else once
    begun = Counter((tmp_path / "log").read_text().split())
    assert begun["frozen-random"] in (1, 2) and max(n for arm, n in begun.items() if arm != "frozen-random") == 1


def refuses(number: int) -> None:
    raise UserError(f"{number}: is no good; take another.")


def test_order_and_faults(cluster):
    with engine.tasks("dask", cluster.scheduler.address) as tasks:
        assert list(tasks(str, range(7))) == list(tasks(str, range(7), ahead=1)) == list("0123456")
        assert list(tasks(str, [])) == []
        with pytest.raises(UserError, match="4: is no good; take another"):
            list(tasks(refuses, [4]))
        with pytest.raises(UserError, match="ended with its worker again and again, most likely for want of memory"):
            list(tasks(os._exit, [1]))
    with engine.tasks() as tasks:
        assert tasks is None


def test_workers_of_its_own(tmp_path, capsys):
    """From the command line, with two processes that it starts and ends."""
    alone = prepared(tmp_path, {"a": 300, "b": 120}, {"a": [(0, 2)], "b": [(0.1, 0.9)]})
    source = tmp_path / "source"
    words = ["--acoustic", source / "COVAREP.csd", "--labels", source / "LABELS.csd", "-o", tmp_path / "shared"]
    given = ["corpus", "prepare", *map(str, words), "--engine", "dask", "--jobs", "2"]
    assert main(given) == 0
    assert alone.content_hash in capsys.readouterr().out


def test_workers_of_its_own_compute_with_one_thread_and_keep_their_memory(monkeypatch):
    monkeypatch.delenv("MALLOC_TRIM_THRESHOLD_", raising=False)  # an earlier cluster of this process leaves it
    with engine.tasks("dask", None, 1) as tasks:
        assert list(tasks(os.environ.get, ["OMP_NUM_THREADS", "MALLOC_TRIM_THRESHOLD_"])) == ["1", None]
        assert list(tasks(setting, ["distributed.worker.profile.enabled"])) == [False]


def setting(name: str) -> object:
    import dask

    return dask.config.get(name)


def test_a_thread_works_on_the_next_piece_while_the_last_is_used():
    begun = {name: Event() for name in "abc"}
    for name in engine.one_ahead(lambda name: (begun[name].set(), name)[1], "abc"):
        following = chr(ord(name) + 1)
        assert following == "d" or begun[following].wait(30)  # and nobody asked for it yet


@pytest.mark.parametrize("pieces", [[], [4], [4, 1, 0, 3]])
def test_one_ahead_gives_every_answer_in_order_up_to_the_first_failure(pieces):
    found = []
    expected = pieces[: pieces.index(0)] if 0 in pieces else pieces
    with pytest.raises(ZeroDivisionError) if 0 in pieces else contextlib.nullcontext():
        for value in engine.one_ahead(lambda piece: 12 / piece, pieces):
            found.append(value)
    assert found == [12 / piece for piece in expected]


def test_wrong_engines(monkeypatch):
    with pytest.raises(UserError, match="the engine is local, with a scheduler tcp://a; take --engine dask"):
        engine.tasks("local", "tcp://a").__enter__()
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(UserError, match=r'needs distributed; run: pip install "emo-ssl\[cluster\]"'):
        engine.tasks("dask").__enter__()
