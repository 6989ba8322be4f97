"""Stands in for the subprocess.Popen that `Csd` starts: forked out of a small process, which has h5py already.

A process of the fuzzer has torch as well, and to copy the table of so much memory takes as long as the rest of a case.
"""

import contextlib
import functools
import os
import signal
import socket
import struct
import sys

from emo_ssl.corpora import foreign

LONGEST = 1 << 16  # bytes of a path


def serve(number: int) -> None:
    """In the small process: for each path and its two pipes a child; its process id at once, its status at its end."""
    asked = socket.socket(fileno=number)
    while True:
        path, pipes, _, _ = socket.recv_fds(asked, LONGEST, 2)
        if not path:
            return
        child = os.fork()
        if not child:
            try:
                asked.close()
                foreign.serve(path.decode(), os.fdopen(pipes[0], "rb"), os.fdopen(pipes[1], "wb"))
                os._exit(0)
            finally:
                os._exit(1)
        for pipe in pipes:
            os.close(pipe)
        asked.send(struct.pack("i", child))
        _, status, usage = os.wait4(child, 0)
        asked.send(struct.pack("ii", os.waitstatus_to_exitcode(status), usage.ru_maxrss // 1024))


@functools.cache
def small(of: int) -> socket.socket:
    """The socket of the small process that process `of` has."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    if not os.fork():
        signal.setitimer(signal.ITIMER_PROF, 0)
        theirs.set_inheritable(True)
        code = f"from attack.forking import serve; serve({theirs.fileno()})"
        paths = os.pathsep.join(sys.path)
        os.execve(sys.executable, [sys.executable, "-c", code], {**os.environ, "PYTHONPATH": paths})
    theirs.close()
    return ours


class Forked:
    returncode = None
    megabytes = 0  # the most that one of them had

    def __init__(self, args: list[str], **pipes: object):
        self.args, self.process = args, small(os.getpid())
        (request, requests), (answers, answer) = os.pipe(), os.pipe()
        socket.send_fds(self.process, [args[-1].encode()], [request, answer])
        os.close(request), os.close(answer)
        (self.pid,) = struct.unpack("i", self.process.recv(4))
        self.stdin, self.stdout = os.fdopen(requests, "wb"), os.fdopen(answers, "rb")

    def wait(self) -> int:
        if self.returncode is None:
            self.returncode, megabytes = struct.unpack("ii", self.process.recv(8))
            Forked.megabytes = max(megabytes, Forked.megabytes)
        return self.returncode

    def kill(self) -> None:
        if self.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)

    def __enter__(self) -> "Forked":
        return self

    def __exit__(self, *problem: object) -> None:
        self.stdin.close()
        self.stdout.close()
        self.wait()
