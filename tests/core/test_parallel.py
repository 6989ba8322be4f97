"""Two processes of torchrun learn what one learns, from uneven parts of a batch; what one of them leaves goes on."""

import json
import os
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from training import PRETRAIN

from emo_ssl.core import parallel
from emo_ssl.core.batches import WindowPool, masked_batch
from emo_ssl.core.normalise import speaker_independent
from emo_ssl.core.pretrain import CHECKPOINT, METRICS, RESULT, PretrainedRun, pretrain
from emo_ssl.utils.io import UserError

UNEVEN = replace(PRETRAIN, batch=5)  # three windows and two
WITHIN = 1e-4
# the program, but one of the processes is killed in its seventh step, after a checkpoint
KILLED = """
import os, signal
from emo_ssl.cli import main
from emo_ssl.core import pretrain
original, begun = pretrain.clip_members, []
def counted(*given):
    begun.append(1)
    if os.environ["RANK"] == "1" and len(begun) == 7:
        os.kill(os.getpid(), signal.SIGKILL)
    return original(*given)
pretrain.clip_members = counted
raise SystemExit(main())
"""


def torchrun(processes: int, *words: object) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", processes, *words]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.run(list(map(str, command)), capture_output=True, text=True, env=environment, timeout=250)


def curve(folder: Path) -> list[tuple]:
    lines = [json.loads(line) for line in (folder / METRICS).read_text().splitlines()]
    return [(line["step"], name, line[name]) for line in lines for name in ("loss", "held_out") if name in line]


def assert_same_curve(a: Path, b: Path) -> None:
    a, b = curve(a), curve(b)
    assert [row[:2] for row in a] == [row[:2] for row in b]
    np.testing.assert_allclose([row[2] for row in a], [row[2] for row in b], atol=WITHIN, rtol=0)


@pytest.fixture(scope="module")
def alone(corpus, tmp_path_factory) -> Path:
    return pretrain([corpus], tmp_path_factory.mktemp("alone") / "run", UNEVEN, device="cpu").folder


@pytest.fixture
def words(corpus, tmp_path) -> list[object]:
    (tmp_path / "config.json").write_text(json.dumps(asdict(UNEVEN)))
    return ["pretrain", corpus.folder, "--config", tmp_path / "config.json", "--device", "cpu", "-o", tmp_path / "run"]


@pytest.mark.slow
def test_two_processes_give_the_curve_of_one(alone, words, tmp_path):
    done = torchrun(2, "-m", "emo_ssl", *words)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("loss on held-out recordings") == 1
    assert_same_curve(tmp_path / "run", alone)
    ours, theirs = (PretrainedRun.open(folder).network.state_dict() for folder in (tmp_path / "run", alone))
    assert all(torch.allclose(ours[name], theirs[name], atol=WITHIN) for name in theirs)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL")
def test_a_process_that_dies_ends_all_and_another_number_goes_on(alone, words, tmp_path):
    (tmp_path / "killed.py").write_text(KILLED)
    done = torchrun(2, tmp_path / "killed.py", *words)
    assert done.returncode
    said = [line for line in done.stderr.splitlines() if line.startswith("emo-ssl: ")]
    assert len(said) == 1 and "run" in said[0] and "same command again" in said[0]
    assert "Error: [" not in done.stderr  # what gloo says of it
    assert (tmp_path / "run" / CHECKPOINT).exists() and not (tmp_path / "run" / RESULT).exists()
    done = torchrun(3, "-m", "emo_ssl", *words)
    assert done.returncode == 0, done.stderr
    assert_same_curve(tmp_path / "run", alone)


def test_parts_of_a_batch_are_the_batch(corpus):
    pool = WindowPool.build([(corpus, speaker_independent(corpus))], ("train",), 0.32, torch.device("cpu"))
    for chosen in (np.arange(5), np.array([2])):
        given = (UNEVEN.mask, UNEVEN.stack)
        whole = masked_batch(pool, chosen, np.random.default_rng(0), *given)
        rngs = [np.random.default_rng(0) for _ in range(min(2, len(chosen)))]
        parts = [masked_batch(pool, chosen, rng, *given, slice(r, None, 2)) for r, rng in enumerate(rngs)]
        assert sum(part.tokens for part in parts) == whole.tokens
        for r, part in enumerate(parts):
            width = part.masked.shape[1]
            assert torch.equal(part.first, whole.first[r::2]) and torch.equal(part.length, whole.length[r::2])
            assert torch.equal(part.masked, whole.masked[r::2, :width]) and not whole.masked[r::2, width:].any()
            assert torch.equal(part.place, part.masked.flatten().nonzero().squeeze(1))


def test_alone_nothing_changes():
    loss, count = torch.tensor(2.0), torch.tensor(3)
    assert parallel.world() == 1 and parallel.rank() == 0
    assert parallel.weighed(loss, count) is loss and parallel.summed(loss) is loss
    assert parallel.told(True, torch.device("cpu")) and not parallel.told(False, torch.device("cpu"))
    with pytest.raises(RuntimeError, match="connection"), parallel.together("run"):
        raise RuntimeError("connection closed")


def test_more_processes_than_windows_of_a_batch(corpus, tmp_path, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "6")
    with pytest.raises(UserError, match="a batch of 5 windows for 6 processes; give each one at least"):
        pretrain([corpus], tmp_path / "run", UNEVEN, device="cpu")
    assert not (tmp_path / "run").exists()
