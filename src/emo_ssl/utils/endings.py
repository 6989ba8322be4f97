"""How a command ends: done, or one sentence on stderr and an exit status.

0 done, 2 something the caller can mend, 130 interrupted (Ctrl-C), 141 the reader of the output left, 143 stopped by
SIGTERM. After an interrupt or SIGTERM the same command continues.
"""

import contextlib
import os
import re
import signal
import sys
from collections.abc import Callable, Iterator

from emo_ssl.utils.io import UserError, is_disk_full
from emo_ssl.utils.values import one_line

MENDABLE, INTERRUPTED, BROKEN_PIPE, TERMINATED = 2, 130, 141, 143
OUT_OF_MEMORY = re.compile("allocate memory|out of memory", re.IGNORECASE)  # as torch says it


class Terminated(KeyboardInterrupt):
    """SIGTERM, as an exception: what cleans up after Ctrl-C cleans up after a cluster's time limit too."""


def run(work: Callable[[], int | None]) -> int:
    """The exit status of `work`, which returns None where all went well. A fault of ours keeps its traceback."""
    try:
        with sigterm_as_interrupt():
            status = work()
            sys.stdout.flush()
            return status or 0
    except UserError as problem:
        return complain(str(problem))
    except Terminated:
        return complain("stopped by SIGTERM; run the same command again to continue", TERMINATED)
    except KeyboardInterrupt:
        return complain("interrupted; run the same command again to continue", INTERRUPTED)
    except BrokenPipeError:
        # The reader (`| head`) has gone: what the interpreter flushes at exit has to go nowhere
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE
    except OSError as problem:
        name = f"{problem.filename}: " if problem.filename is not None else ""
        if is_disk_full(problem):
            return complain(f"{name}the disk is full; free some space or choose another -o and run again.")
        return complain(f"{name}{problem.strerror or problem}.")
    except ImportError as problem:
        if (problem.name or "emo_ssl").partition(".")[0] == "emo_ssl":
            raise
        return complain(f"{problem.name} is missing or damaged ({problem}); install it anew: pip install emo-ssl")
    except (MemoryError, RuntimeError) as problem:
        if not isinstance(problem, MemoryError) and not OUT_OF_MEMORY.search(str(problem)):
            raise
        return complain("not enough memory; close other programs or use less data at once.")


def complain(sentence: str, status: int = MENDABLE) -> int:
    print("emo-ssl:", one_line(sentence), file=sys.stderr)
    return status


@contextlib.contextmanager
def sigterm_as_interrupt() -> Iterator[None]:
    def stop(number, frame):
        raise Terminated

    previous = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)
