"""What the tests of hostile bundles share: damage a bundle, and see how it is refused."""

import json
import resource
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from anymal.errors import AnymalError
from anymal.serving.precision import load_to_answer

if TYPE_CHECKING:
    pass

MOST_GROWTH_KIB = 100 * 2**10


def edit(path: Path, *keys: str, to: Any) -> None:
    """Change one value of a JSON file."""
    values = json.loads(path.read_text())
    inner = values
    for key in keys[:-1]:
        inner = inner.setdefault(key, {})
    inner[keys[-1]] = to
    path.write_text(json.dumps(values))


def refusal(bundle: Path, **options: Any) -> str:
    """How a bundle is refused: soon, and without filling memory."""
    before, began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    with pytest.raises(AnymalError) as refused:
        load_to_answer(bundle, **options)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < MOST_GROWTH_KIB
    assert time.process_time() - began < 4
    return str(refused.value)
