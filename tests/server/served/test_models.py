"""Which model answers, and when one that left is closed."""

import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from server.errors import BundleConflict, ModelNotFound, NotReady
from server.served.models import Backend, Models

MakeNamed = Callable[[str], Backend]


@pytest.fixture
def models() -> Any:
    models = Models()
    yield models
    models.close()


class Closable:
    """Notes that a backend was closed."""

    def __init__(self, backend: Backend) -> None:
        self.is_closed = threading.Event()
        self.backend = replace(backend, close=self.is_closed.set)


def test_the_first_is_the_default_and_keeps_its_place(
    models: Models, make_named: MakeNamed
) -> None:
    with pytest.raises(NotReady, match="still loading"):
        models.find()
    first, second = make_named("a"), make_named("b")
    assert not models.put(first)
    assert not models.put(second)
    assert models.find() is first
    assert models.find("b") is second
    again = make_named("a")
    assert models.put(again)
    assert models.find() is again
    with pytest.raises(ModelNotFound, match="'c' is not served here; served: 'a', 'b'"):
        models.find("c")


def test_a_replaced_model_ends_its_answers_and_is_closed_then(
    models: Models, make_named: MakeNamed
) -> None:
    old, new = Closable(make_named("a")), Closable(make_named("a"))
    models.put(old.backend)
    with models.lease("a") as first, models.lease() as second:
        assert first is second is old.backend
        assert models.num_running(old.backend) == 2
        models.put(new.backend)
        with models.lease() as third:
            assert third is new.backend
        assert not old.is_closed.is_set()
    assert old.is_closed.wait(20)
    assert not new.is_closed.is_set()


def test_a_removed_model_ends_its_answers_and_is_closed_then(
    models: Models, make_named: MakeNamed
) -> None:
    closable = Closable(make_named("a"))
    models.put(closable.backend)
    kept = make_named("b")
    models.put(kept)
    with models.lease("a"):
        models.remove("a")
        assert models.backends == [kept]
        assert not closable.is_closed.is_set()
    assert closable.is_closed.wait(20)


def test_the_last_model_stays(models: Models, make_named: MakeNamed) -> None:
    models.put(make_named("a"))
    with pytest.raises(BundleConflict, match="a is all that is served"):
        models.remove("a")
    with models.lease() as backend:
        assert backend.name == "a"


def test_closing_closes_all_once_whatever_they_answer(make_named: MakeNamed) -> None:
    models, closed = Models(), []
    models.put(replace(make_named("a"), close=lambda: closed.append("a")))
    models.put(replace(make_named("b"), close=lambda: closed.append("b")))
    with models.lease("a"):
        models.close()
        assert sorted(closed) == ["a", "b"]
    assert sorted(closed) == ["a", "b"]


def test_a_model_that_does_not_close_well_is_logged(
    make_named: MakeNamed, caplog: pytest.LogCaptureFixture
) -> None:
    def fail() -> None:
        raise RuntimeError("stuck")

    models = Models()
    models.put(replace(make_named("a"), close=fail))
    models.close()
    assert "a did not close well" in caplog.text


def test_numbers_of_a_shared_engine_count_once(models: Models, make_named: MakeNamed) -> None:
    assert models.stats() is None
    first = make_named("a")
    models.put(first)
    models.put(replace(make_named("b"), engine=first.engine))
    stats = models.stats()
    assert stats is not None
    assert stats.running == 1
    models.put(make_named("c"))
    stats = models.stats()
    assert stats is not None
    assert stats.running == 2
