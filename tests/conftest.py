"""The ground every test stands on: offline, seeded, one thread, no machine's own settings.

Does not hold fixtures of single packages; those stand beside their tests.
"""

import os
import random
import socket
import sys
import tempfile
from typing import Any

import numpy as np
import pytest

# Before any test imports torch, transformers or matplotlib: they read these once.
_SCRATCH = tempfile.TemporaryDirectory(prefix="anymal-tests-")
os.environ |= {
    "HF_HOME": _SCRATCH.name,
    "HF_HUB_OFFLINE": "1",
    "MPLBACKEND": "Agg",
    "MPLCONFIGDIR": _SCRATCH.name,
    "OMP_NUM_THREADS": "1",
    "TOKENIZERS_PARALLELISM": "false",
}


@pytest.fixture(autouse=True)
def _seeds() -> None:
    random.seed(0)
    np.random.seed(0)
    # Light tests do not pay for torch; a module that uses it has imported it by now.
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(0)


@pytest.fixture(autouse=True)
def _own_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("ANYMAL_")]:
        monkeypatch.delenv(name)


@pytest.fixture(autouse=True)
def _loopback_only(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.node.get_closest_marker("network") is None:
        connect = socket.socket.connect

        def guarded(self: socket.socket, address: Any) -> None:
            is_local = self.family == socket.AF_UNIX or address[0] in ("127.0.0.1", "::1")
            assert is_local, f"a test not marked 'network' reached for {address}"
            connect(self, address)

        monkeypatch.setattr(socket.socket, "connect", guarded)
