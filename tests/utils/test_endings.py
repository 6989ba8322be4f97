"""How a command ends, as it looks from outside."""

import errno
import signal
import subprocess
import sys

import pytest

from emo_ssl.utils import endings
from emo_ssl.utils.io import UserError


def raising(problem: BaseException):
    def work():
        raise problem

    return work


@pytest.mark.parametrize(
    ("problem", "status", "sentence"),
    [
        (UserError("a.csd: it is empty; fetch it again."), 2, "a.csd: it is empty; fetch it again."),
        (KeyboardInterrupt(), 130, "interrupted; run the same command again to continue"),
        (endings.Terminated(), 143, "stopped by SIGTERM; run the same command again to continue"),
        (PermissionError(errno.EACCES, "Permission denied", "x.csd"), 2, "x.csd: Permission denied."),
        (OSError("no number, no name"), 2, "no number, no name."),
        (
            OSError(errno.ENOSPC, "No space left on device", "y"),
            2,
            "y: the disk is full; free some space or choose another -o and run again.",
        ),
        (MemoryError(), 2, "not enough memory; close other programs or use less data at once."),
        (
            RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 4000000 bytes"),
            2,
            "not enough memory; close other programs or use less data at once.",
        ),
    ],
)
def test_endings_are_one_sentence(capsys, problem, status, sentence):
    assert endings.run(raising(problem)) == status
    assert capsys.readouterr() == ("", f"emo-ssl: {sentence}\n")


def test_a_fault_of_ours_is_not_hidden():
    with pytest.raises(ZeroDivisionError):
        endings.run(raising(ZeroDivisionError()))


def test_handlers_of_signals_are_put_back():
    before = signal.getsignal(signal.SIGTERM)
    assert endings.run(lambda: None) == 0 and endings.run(lambda: 2) == 2
    assert signal.getsignal(signal.SIGTERM) is before


WAITS = """
import sys, time
from emo_ssl.utils import endings
def wait():
    try:
        print("waiting", flush=True)
        time.sleep(60)
    finally:
        print("cleaned up", flush=True)
sys.exit(endings.run(wait))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signals")
@pytest.mark.parametrize(("sent", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signals_clean_up_and_end_with_their_status(sent, status):
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, "-c", WAITS], **pipes) as process:
        assert process.stdout.readline() == "waiting\n"
        process.send_signal(sent)
        out, err = process.communicate(timeout=20)
    assert process.returncode == status
    assert out == "cleaned up\n"
    assert err.count("\n") == 1 and "run the same command again to continue" in err


@pytest.mark.skipif(sys.platform == "win32", reason="pipes end otherwise there")
def test_a_reader_that_leaves_is_no_error():
    program = (
        "import sys\nfrom emo_ssl.utils import endings\n"
        "sys.exit(endings.run(lambda: [print('x' * 999) for _ in range(9999)] and 0))"
    )
    process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    process.stdout.read(10)
    process.stdout.close()
    assert process.stderr.read() == b""
    process.stderr.close()
    assert process.wait(timeout=20) == 141
