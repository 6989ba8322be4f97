"""Work in processes beside each other: order, errors, and that no process outlives its parent."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from builders import run_python

from emo_ssl.corpora.parallel import AHEAD, THREADS, cores, in_order, one_thread
from emo_ssl.utils.io import UserError


def slow_when_small(item: int) -> int:
    time.sleep(0.1 if item == 0 else 0)
    return item * item


def whoami(_: int) -> tuple[int, str, int]:
    import torch  # here, since the other functions' workers need not wait for it

    return os.getpid(), os.environ["OMP_NUM_THREADS"], torch.get_num_threads()


def refuse(item: int) -> int:
    if item == 2:
        raise UserError("two is too many")
    return item


def die(item: int) -> None:
    os._exit(item)


@pytest.mark.parametrize("jobs", [1, 2])
@pytest.mark.parametrize("count", [0, 1, 20])
def test_results_come_in_the_order_of_the_items(jobs, count):
    assert list(in_order(slow_when_small, range(count), jobs)) == [i * i for i in range(count)]


def test_every_worker_has_one_thread_and_the_parent_keeps_its_own(monkeypatch):
    import torch

    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.delenv("MKL_NUM_THREADS", raising=False)
    before = torch.get_num_threads()
    found = set(in_order(whoami, range(8), 2))
    assert {(threads, inner) for _, threads, inner in found} == {("1", 1)}
    assert os.getpid() not in {process for process, _, _ in found}
    assert os.environ["OMP_NUM_THREADS"] == "7" and "MKL_NUM_THREADS" not in os.environ
    assert {process for process, _, _ in in_order(whoami, range(2), 1)} == {os.getpid()}
    with one_thread():
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == before and len(THREADS) == 3


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_refusal_reaches_the_caller(jobs):
    results = in_order(refuse, range(5), jobs)
    assert [next(results), next(results)] == [0, 1]
    with pytest.raises(UserError, match="two is too many"):
        next(results)


def test_a_worker_that_dies_is_a_sentence():
    with pytest.raises(UserError, match=r"a working process ended before its work.*fewer --jobs"):
        list(in_order(die, [1, 1], 2))


def test_items_are_taken_only_a_few_ahead():
    taken = []

    def items():
        for i in range(100):
            taken.append(i)
            yield i

    with contextlib.closing(in_order(slow_when_small, items(), 2)) as results:
        next(results)
        assert len(taken) == 2 * AHEAD


def test_cores():
    assert 1 <= cores() <= (os.cpu_count() or 1)


def alive(process: int) -> bool:
    with contextlib.suppress(OSError):
        return "State:\tZ" not in Path(f"/proc/{process}/status").read_text()
    return False


def process_number(_: int) -> int:
    time.sleep(0.01)
    return os.getpid()


PARENT = """
import os, signal, sys
sys.path.insert(0, sys.argv[1])
from corpora.test_parallel import process_number
from emo_ssl.corpora.parallel import in_order
os.setsid()
results, seen = in_order(process_number, range(100000), 2), set()
while len(seen) < 2:
    seen.add(next(results))
print(*seen, flush=True)
"""
HERE = Path(__file__).parents[1]


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="looks into /proc")
def test_workers_end_with_a_parent_that_is_killed():
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    code = PARENT + "sys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", code, str(HERE)], text=True, **pipes) as parent:
        workers = [int(word) for word in parent.stdout.readline().split()]
        assert workers and all(map(alive, workers))
        os.kill(parent.pid, signal.SIGKILL)
        parent.wait()
    for _ in range(200):
        if not any(map(alive, workers)):
            return
        time.sleep(0.05)
    pytest.fail("a worker lives on without its parent")


@pytest.mark.skipif(not hasattr(os, "killpg"), reason="no groups of processes")
def test_ctrl_c_is_the_parents_business():
    """A terminal sends it to the whole group; only the parent may answer, or every worker prints a traceback."""
    done = run_python(PARENT + "os.killpg(0, signal.SIGINT)\nfor _ in results: pass", HERE)
    assert done.returncode != 0
    assert done.stderr.count("Traceback") == done.stderr.count("KeyboardInterrupt") == 1
