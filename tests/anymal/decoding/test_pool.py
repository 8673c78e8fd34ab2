"""What becomes of a process that is stopped, killed, too slow or too large, and of its caller."""

import gc
import io
import os
import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from pickle import PicklingError
from typing import Any

import PIL.Image
import pytest

from anymal.decoding.fork_server import ForkServer
from anymal.decoding.pool import DecoderPool, DecodingStopped, PoolClosed
from anymal.errors import MediaCorrupt, MediaTooLarge, MediaUnsupported
from anymal.media.limits import Limits
from anymal.media.source import Source
from anymal.modality import Medium
from tests.odd_decoders import MUCH, WORK


def test_a_stopped_errand_ends_at_once(
    make_pool: Any, ask: Any, begun: Any, lives: Any, tmp_path: Path
) -> None:
    pool = make_pool()
    for deed in ("sleep", "spin"):
        errand = pool.errand()
        with ThreadPoolExecutor(1) as thread:
            running = thread.submit(ask, errand, f"{deed} {tmp_path / deed}")
            pid = begun(deed)
            assert pool.stats().busy == 1
            errand.stop()
            with pytest.raises(DecodingStopped):
                running.result()
        assert not lives(pid)
        with pytest.raises(DecodingStopped):
            ask(errand, "tell")
    with pytest.raises(MediaUnsupported):
        ask(pool, "refuse")
    stats = pool.stats()
    assert (stats.kills, stats.restarts, stats.busy) == ({"stopped": 2}, 2, 0)


def test_stopping_an_errand_leaves_others_alone(
    make_pool: Any, ask: Any, begun: Any, tmp_path: Path
) -> None:
    pool = make_pool()
    done, waiting = pool.errand(), pool.errand()
    with pytest.raises(MediaUnsupported):
        ask(done, "refuse")
    with ThreadPoolExecutor(2) as threads:
        sleeping = threads.submit(ask, pool, f"sleep {tmp_path / 'begun'}")
        pid = begun("begun")
        done.stop()  # its process has another job by now
        queued = threads.submit(ask, waiting, "tell")
        waiting.stop()
        with pytest.raises(DecodingStopped):
            queued.result()
        assert not sleeping.done()
        os.kill(pid, signal.SIGKILL)
        with pytest.raises(MediaCorrupt):
            sleeping.result()
    assert pool.stats().kills == {"crashed": 1}


@pytest.mark.parametrize(
    ("deed", "how"), [("crash", "signal SIGABRT"), ("leave", "status 3"), ("sleep", "SIGKILL")]
)
def test_who_dies_is_told_with_its_medium(
    make_pool: Any, ask: Any, begun: Any, tmp_path: Path, deed: str, how: str
) -> None:
    pool = make_pool(2)
    with ThreadPoolExecutor(1) as thread:
        running = thread.submit(ask, pool, f"{deed} {tmp_path / 'begun'}", name="bad.jpg")
        pid = begun("begun")
        if deed == "sleep":
            os.kill(pid, signal.SIGKILL)
        with pytest.raises(MediaCorrupt, match=f"bad.jpg: .*{how}"):
            running.result()
    with pytest.raises(MediaUnsupported, match=r"good\.jpg"):
        ask(pool, "refuse", name="good.jpg")
    assert pool.stats().kills == {"crashed": 1}
    assert pool.stats().busy == 0


@pytest.mark.parametrize("deed", ["fill", "fill-behind"])
def test_memory_is_bounded(make_pool: Any, ask: Any, deed: str) -> None:
    pool = make_pool(memory_bytes=100 * 2**20)
    with pytest.raises(MediaTooLarge, match=r"bad.jpg: .*memory.* up to 100 MiB"):
        ask(pool, deed, name="bad.jpg")
    with pytest.raises(MediaUnsupported):
        ask(pool, "refuse")
    stats = pool.stats()
    assert (stats.kills, stats.restarts) == ({"memory": 1}, 1)


def test_a_medium_without_room_is_told_as_one(make_pool: Any) -> None:
    """WebP's reader tells no difference to a broken file, and a file may not even arrive."""
    file = io.BytesIO()
    PIL.Image.new("RGB", (4000, 4000)).save(file, "webp")
    pool = make_pool(memory_bytes=32 * 2**20)
    for data in (file.getvalue(), file.getvalue() + bytes(60 * 2**20)):
        medium = Medium(source=Source(name="sea.webp", data=data))
        with pytest.raises(MediaTooLarge, match=r"sea.webp: .*memory.* up to 32 MiB"):
            pool.decode(medium, None, modality="image", limits=Limits())
    assert pool.stats().kills == {"memory": 2}


def test_processor_time_is_bounded(make_pool: Any, ask: Any) -> None:
    pool = make_pool(cpu_seconds=1)
    with pytest.raises(MediaTooLarge, match=r"bad.jpg: .*too long.* up to 1 s"):
        ask(pool, "spin", name="bad.jpg")
    assert pool.stats().kills == {"cpu": 1}


def test_a_process_that_died_of_idleness_costs_nobody_an_answer(
    make_pool: Any, ask: Any, settles: Any
) -> None:
    pool = make_pool()
    with pytest.raises(MediaUnsupported):
        ask(pool, "refuse")
    (process,) = pool._free
    os.kill(process.pid, signal.SIGKILL)
    assert settles(lambda: not process.is_usable)
    with pytest.raises(MediaUnsupported):
        ask(pool, "refuse")
    assert (pool.stats().restarts, pool.stats().kills) == (1, {})


def test_a_failed_job_leaves_no_memory_held(make_pool: Any, ask: Any, settles: Any) -> None:
    pool = make_pool()
    with pytest.raises(MediaUnsupported, match="a file of"):
        ask(pool, "much")
    (process,) = pool._free
    assert settles(lambda: held_bytes(process.pid) < MUCH)


def test_no_more_processes_than_workers(make_pool: Any, ask: Any) -> None:
    pool = make_pool(2)
    seen = []

    def decode(number: int) -> None:
        with pytest.raises(MediaUnsupported):
            ask(pool, "refuse")
        seen.append(pool.stats().busy)

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(decode, range(40)))
    assert max(seen) <= 2
    assert len(pool._all) <= 2
    assert pool.stats().decodes == 40


def test_unexpected_errors_are_told_with_their_places(
    make_pool: Any, ask: Any, caplog: pytest.LogCaptureFixture
) -> None:
    pool = make_pool()
    with pytest.raises(RuntimeError, match="OddError: number 7"):
        ask(pool, "break")
    (record,) = caplog.records
    assert "tests.odd_decoders:" in record.getMessage()
    assert "break_down" in record.getMessage()
    assert "number 7" not in record.getMessage()
    assert pool.stats().restarts == 0


def test_log_lines_and_warnings_arrive(
    make_pool: Any, ask: Any, caplog: pytest.LogCaptureFixture
) -> None:
    pool = make_pool()
    with pytest.warns(DeprecationWarning, match="odd"):
        ask(pool, "tell", name="a.jpg")
    assert [each.getMessage() for each in caplog.records] == ["a.jpg: told"]
    assert caplog.records[0].name == "anymal.odd"


def test_a_job_that_cannot_be_sent_harms_no_other(make_pool: Any, ask: Any) -> None:
    pool = make_pool()
    source = Source(name="a", data=b"tell")
    medium = Medium(source=source, options={"reader": lambda: None})
    with pytest.raises((AttributeError, PicklingError)):
        pool.decode(medium, None, modality="image", limits=Limits())
    with pytest.raises(MediaUnsupported):
        ask(pool, "refuse")
    assert pool.stats().busy == 0


def test_it_imports_no_torch(make_pool: Any, ask: Any) -> None:
    names = ask(make_pool(), "modules")
    assert "anymal.modality" in names
    assert not {"torch", "transformers", "pandas", "fastapi"} & set(names)


def test_work_that_cannot_be_imported_is_no_fault_of_the_medium(
    ask: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    with (
        closing(ForkServer("tests.nowhere:decode")) as forks,
        closing(DecoderPool(1, forks=forks)) as pool,
        pytest.raises(RuntimeError, match="did not start"),
    ):
        ask(pool, "tell")
    assert "tests.nowhere" in capfd.readouterr().err


def test_closing_ends_everything(
    make_pool: Any, ask: Any, begun: Any, lives: Any, tmp_path: Path
) -> None:
    pool = make_pool(2)
    pool.start()
    with ThreadPoolExecutor(3) as threads:
        running = [
            threads.submit(ask, pool, f"sleep {tmp_path / str(number)}") for number in range(3)
        ]
        pids = [process.pid for process in pool._all]
        while not any((tmp_path / str(number)).exists() for number in range(3)):
            threading.Event().wait(0.01)
        pool.close()
        for each in running:
            with pytest.raises(PoolClosed, match="shutting down"):
                each.result()
    assert not any(lives(pid) for pid in pids)
    with pytest.raises(PoolClosed):
        ask(pool, "tell")
    pool.close()


def test_a_dropped_pool_leaves_no_process(make_pool: Any, lives: Any) -> None:
    pool = DecoderPool(1)
    pool.start()
    (pid,) = [process.pid for process in pool._all]
    del pool
    gc.collect()
    assert not lives(pid)


def test_the_end_of_the_fork_server_ends_its_processes_and_no_more(
    make_pool: Any, ask: Any, begun: Any, lives: Any, settles: Any, tmp_path: Path
) -> None:
    with closing(ForkServer(WORK)) as forks, closing(DecoderPool(1, forks=forks)) as pool:
        with ThreadPoolExecutor(1) as thread:
            running = thread.submit(ask, pool, f"sleep {tmp_path / 'begun'}", name="odd.png")
            pid = begun("begun")
            os.kill(parent_of(pid), signal.SIGKILL)
            with pytest.raises(MediaCorrupt, match=r"odd\.png"):
                running.result(60)
        assert settles(lambda: not lives(pid))
        with pytest.raises(MediaUnsupported):
            ask(pool, "refuse")
        assert pool.stats().restarts == 1


def held_bytes(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def parent_of(pid: int) -> int:
    rows = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(row.split()[1]) for row in rows if row.startswith("PPid:"))
