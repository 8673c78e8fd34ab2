"""Thousands of damaged files: each is decoded or refused, and nothing else happens."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.anymal.media.fuzz.motion_seeds import recordings
from tests.anymal.media.fuzz.seeds import films, images, sounds

ROOT = Path(__file__).parents[4]
BATCH = 1000
MOST_MIB, MOST_KEPT_MIB = 256, 64
SLOWEST_S, BATCH_S = 10, 600


@pytest.fixture(scope="session")
def seeds(
    tmp_path_factory: pytest.TempPathFactory,
    picture: Callable[..., bytes],
    film: Callable[..., bytes],
) -> Path:
    """A folder of whole files for each modality."""
    root = tmp_path_factory.mktemp("seeds")
    files = {
        "image": images(picture),
        "video": films(film, picture),
        "audio": sounds(film),
        "imu": recordings(),
    }
    for modality, seeds in files.items():
        (root / modality).mkdir()
        for place, data in enumerate(seeds):
            (root / modality / f"{place:03d}").write_bytes(data)
    return root


@pytest.mark.slow
@pytest.mark.parametrize("modality", ["image", "video", "audio", "imu"])
def test_damaged_files_are_decoded_or_refused(
    modality: str, seeds: Path, pytestconfig: pytest.Config
) -> None:
    number = pytestconfig.getoption("fuzz_cases")
    faults: list[str] = []
    for first in range(0, number, BATCH):
        faults += batch(seeds, modality, first, min(BATCH, number - first))
    assert not faults, "\n".join([f"{len(faults)} faults", *faults[:20]])


def batch(seeds: Path, modality: str, first: int, number: int) -> list[str]:
    """Decodes some cases in a child; what was wrong with them."""
    command = [sys.executable, "-m", "tests.anymal.media.fuzz.child", str(seeds), modality]
    try:
        child = subprocess.run(
            [*command, str(first), str(number)],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=BATCH_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return [f"{modality} case {(seeds / 'at').read_text()}takes for ever"]
    if child.returncode:
        at = (seeds / "at").read_text() if (seeds / "at").exists() else "before the first "
        return [
            f"{modality} case {at}ended the process: {child.returncode}\n{child.stderr[-3000:]}"
        ]
    report = json.loads(child.stdout)
    faults: list[str] = report["faults"]
    faults += [child.stderr[-3000:]] if "Traceback" in child.stderr else []
    seconds, place = report["slowest"]
    if seconds > SLOWEST_S:
        faults.append(f"{modality} case {place} takes {seconds:.1f} s")
    if report["peak_mib"] > MOST_MIB or report["kept_mib"] > MOST_KEPT_MIB:
        faults.append(f"{modality} from case {first}: memory grew; {report}")
    sys.stdout.write(f"{modality} {report | {'faults': len(faults)}}\n")  # shown by -s
    return faults
