"""Kernels forked from a process that has imported what the notebooks import: each is spared ten seconds of it."""

import ast
import multiprocessing
import os
import signal
import sys
from collections.abc import Iterable
from importlib.metadata import EntryPoint
from multiprocessing.connection import Connection
from typing import Any

from jupyter_client.provisioning import KernelProvisionerFactory, LocalProvisioner

CAN_FORK = sys.platform == "linux"  # macOS has libraries that do not survive it
PRELOADED = "EMO_SSL_PRELOADED"  # in the environment: what the process imports that forks
ALWAYS = ("tqdm.auto", "papermill.execute", "ipykernel.kernelapp")  # in this order, or tqdm warns of absent widgets


def imported_by(sources: Iterable[str]) -> list[str]:
    """The modules that these cells import; a name that is no module does no harm."""
    names: dict[str, None] = {}
    for source in sources:
        try:
            lines = list(ast.walk(ast.parse(source)))
        except SyntaxError:  # a magic, or a fault that its page will show
            continue
        for line in lines:
            if isinstance(line, ast.Import):
                names |= dict.fromkeys(alias.name for alias in line.names)
            elif isinstance(line, ast.ImportFrom):
                names |= dict.fromkeys([line.module, *(f"{line.module}.{alias.name}" for alias in line.names)])
    return list(names)


class Forked:
    """A kernel that waits for its command, with the names that a provisioner knows from subprocess.Popen."""

    stdin = stdout = stderr = None

    def __init__(self):
        context = multiprocessing.get_context("fork")
        receiver, self.command = context.Pipe(duplex=False)
        self.process = context.Process(target=begin, args=(receiver,))
        self.process.start()
        self.pid = self.process.pid

    def poll(self) -> int | None:
        return self.process.exitcode

    def wait(self) -> int | None:
        self.process.join()
        return self.process.exitcode

    def send_signal(self, number: int) -> None:
        os.kill(self.pid, number)


def begin(receiver: Connection) -> None:
    """What `python -m ipykernel_launcher -f FILE` does, in this process."""
    arguments, environment = receiver.recv()
    os.setsid()  # Ctrl-C is for the process that began it all
    os.environ.clear()
    os.environ.update(environment)
    from ipykernel.kernelapp import IPKernelApp

    # the kernel ends when that process does
    IPKernelApp.launch_instance(argv=[*arguments, f"--IPKernelApp.parent_handle={os.getppid()}"])


class ForkingProvisioner(LocalProvisioner):
    """Takes the kernel that waits instead of a new process."""

    waiting: Forked | None = None

    async def launch_kernel(self, cmd: list[str], **kwargs: Any) -> dict:
        kernel, ForkingProvisioner.waiting = self.waiting, None
        kernel.command.send((cmd[cmd.index("ipykernel_launcher") + 1 :], kwargs["env"]))
        self.process, self.pid, self.pgid = kernel, kernel.pid, kernel.pid
        return self.connection_info

    async def send_signal(self, signum: int) -> None:
        if signum != signal.SIGINT:  # sent to every kernel before it is asked to end; some would complain
            await super().send_signal(signum)


def fork_one() -> None:
    """The next kernel of this process, which must have no second thread yet, is a fork of it."""
    ForkingProvisioner.waiting = Forked()
    factory, name = KernelProvisionerFactory.instance(), "local-provisioner"
    where = f"{__name__}:{ForkingProvisioner.__name__}"
    factory.provisioners[name] = EntryPoint(name, where, factory.GROUP_NAME)
