"""Imported by the process that kernels are forked from: imports what they will. What fails here fails in its cell."""

import contextlib
import importlib
import os
import sys

from tools.kernels import PRELOADED

for name in os.environ.get(PRELOADED, "").split():
    with contextlib.suppress(Exception):
        importlib.import_module(name)
if "torch" in sys.modules:
    importlib.import_module("torch._dynamo")  # the first optimiser of each kernel would, for two seconds
