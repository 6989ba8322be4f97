"""Pieces of work as tasks of a Dask cluster: worker processes of this computer, or a cluster that is there already.

What is lost with a worker Dask gives to another, a few times over. Workers see the same folders as this process does.
"""

import contextlib
import itertools
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor

from emo_ssl.utils.io import UserError

ENGINES = ("local", "dask")
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")  # of a worker
CALM = {
    # Dask would have workers give memory back at once, and every step ask for it again: a third slower
    "distributed.nanny.pre-spawn-environ": dict.fromkeys(THREADS, 1),
    # and look every 10 and 20 ms at what they do, for a dashboard that nobody opens here
    "distributed.worker.profile.enabled": False,
    "distributed.admin.tick.interval": "500ms",
}
TRIES = 3  # after which whatever is wrong is not a passing fault
Tasks = Callable[..., Iterator]  # (work, pieces, ahead) -> what work returns of each piece, in their order


@contextlib.contextmanager
def tasks(engine: str = "local", scheduler: str | None = None, jobs: int | None = None) -> Iterator[Tasks | None]:
    """None where the engine is local: the caller knows best how to work alone. `jobs`: workers of a cluster here."""
    if engine not in ENGINES or (scheduler and engine == "local"):
        raise UserError(f"the engine is {engine}, with a scheduler {scheduler}; take --engine dask, or neither.")
    if engine == "local":
        yield None
        return
    try:
        import dask
        from distributed import Client, LocalCluster
    except ImportError as problem:
        raise UserError(f'--engine dask needs {problem.name}; run: pip install "emo-ssl[cluster]"') from problem
    with contextlib.ExitStack() as stack:
        stack.enter_context(dask.config.set(CALM))
        here = {"n_workers": jobs or os.cpu_count() or 1, "threads_per_worker": 1, "dashboard_address": ":0"}
        where = scheduler or stack.enter_context(LocalCluster(**here, silence_logs=40))
        client = stack.enter_context(Client(where))
        yield lambda work, pieces, ahead=None: in_order(client, work, pieces, ahead)


def one_ahead(work: Callable, pieces: Iterable) -> Iterator:
    """What `work` returns of each piece; a thread works on the next while the caller uses the last."""
    with ThreadPoolExecutor(1) as thread:
        waiting = deque()
        for piece in pieces:
            waiting.append(thread.submit(work, piece))
            if len(waiting) > 1:
                yield waiting.popleft().result()
        yield from (one.result() for one in waiting)


def in_order(client: object, work: Callable, pieces: Iterable, ahead: int | None = None) -> Iterator:
    """What `work` returns of each piece; at most `ahead` a thread are waiting, running or waiting to be fetched."""
    from distributed import KilledWorker

    room = None if ahead is None else ahead * max(1, sum(client.nthreads().values()))
    futures = (client.submit(work, piece, pure=False, retries=TRIES) for piece in pieces)
    waiting = deque(itertools.islice(futures, room))
    try:
        while waiting:
            result = waiting.popleft().result()
            waiting.extend(itertools.islice(futures, 1))
            yield result
    except KilledWorker as problem:
        raise UserError(
            "a task ended with its worker again and again, most likely for want of memory; give each worker more."
        ) from problem
