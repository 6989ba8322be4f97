"""One function over many items in processes beside each other, results in the order of the items."""

import contextlib
import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

from emo_ssl.utils.io import UserError

AHEAD = 3  # items a process, under way or waiting for their turn, so that memory does not grow with the corpus
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
Item, Result = TypeVar("Item"), TypeVar("Result")


def cores() -> int:
    """The cores that this process may use, which on a cluster are fewer than the computer has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def in_order(function: Callable[[Item], Result], items: Iterable[Item], jobs: int) -> Iterator[Result]:
    """function(item) for each item; items are taken a few ahead. `function` and items must be picklable."""
    if jobs == 1:  # with one thread here too: sums in another order would be other numbers
        for item in items:
            with one_thread():
                result = function(item)
            yield result
        return
    with one_thread_each():
        # spawned, since a fork copies the locks of threads that do not exist in the child
        pool = ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn"), start_worker)
        try:
            coming: deque[Future[Result]] = deque()
            for item in items:
                coming.append(pool.submit(function, item))
                if len(coming) >= AHEAD * jobs:
                    yield coming.popleft().result()
            while coming:
                yield coming.popleft().result()
        except BrokenProcessPool as problem:
            raise UserError(
                "a working process ended before its work, most likely for want of memory; run again with fewer --jobs."
            ) from problem
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def start_worker() -> None:
    """Leave Ctrl-C to the parent, and end when the parent is gone, even if it was killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    threading.Thread(target=lambda: (parent.join(), os._exit(1)), daemon=True).start()


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextlib.contextmanager
def one_thread_each() -> Iterator[None]:
    """For processes started inside: libraries read these when they are loaded, before any function can be called."""
    before = {name: os.environ.get(name) for name in THREADS}
    os.environ.update(dict.fromkeys(THREADS, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.__setitem__(name, value)
