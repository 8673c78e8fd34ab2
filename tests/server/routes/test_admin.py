"""Bundles added, replaced and removed while the service runs."""

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from anymal.errors import BundleError
from server.app import create_app
from server.edge.keys import Caller
from server.routes.dependencies import calling
from server.served.models import Backend
from server.settings import Settings

ADMIN = "/admin/bundles"
CHAT = "/v1/chat/completions"
KEY = {"authorization": "Bearer sesame"}


def ask(model: str | None = None) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": "hello"}], "model": model}


class Loader:
    """Loads a fake of the folder's name; `broken` cannot be loaded."""

    def __init__(self, make: Callable[[str], Backend]) -> None:
        self.make = make
        self.loaded: list[Backend] = []
        self.may_load = threading.Event()
        self.may_load.set()
        self.is_loading = threading.Event()

    def __call__(self, settings: Settings) -> Backend:
        self.is_loading.set()
        assert self.may_load.wait(20)
        name = Path(settings.bundle).name
        if name == "broken":
            raise BundleError("broken: bundle.json cannot be read")
        self.loaded.append(self.make(name))
        return self.loaded[-1]


@pytest.fixture
def loader(make_named: Callable[[str], Backend]) -> Loader:
    return Loader(make_named)


@pytest.fixture
def app(backend: Backend, loader: Loader, tmp_path: Path) -> Any:
    for name in ("walks", "broken", "run/bundle"):
        (tmp_path / "bundles" / name).mkdir(parents=True)
    (tmp_path / "secret").mkdir()
    (tmp_path / "bundles" / "link").symlink_to(tmp_path / "secret")
    settings = Settings(bundles_dir=str(tmp_path / "bundles"), admin_key="sesame")
    return create_app(settings, backend, load=loader)


@pytest.fixture
def admin(app: Any, make_bridge: Any) -> Iterator[httpx.Client]:
    transport = make_bridge(app)
    with httpx.Client(transport=transport, base_url="http://anymal", headers=KEY) as client:
        yield client


def names(admin: httpx.Client) -> list[str]:
    return [card["id"] for card in admin.get("/v1/models").json()["data"]]


def test_only_an_administrator_may(http: httpx.Client, admin: httpx.Client, app: Any) -> None:
    for method in ("GET", "POST"):
        assert http.request(method, ADMIN).status_code in (401, 403)
    assert http.delete(f"{ADMIN}/anymal-fake").status_code in (401, 403)
    assert names(admin) == ["anymal-fake"]


def test_a_caller_who_got_past_the_door_is_refused_all_the_same(
    admin: httpx.Client, app: Any
) -> None:
    app.dependency_overrides[calling] = lambda: Caller(name="guest")
    response = admin.get(ADMIN)
    assert response.status_code == 403
    assert response.json()["error"]["code"] == "admin_only"


def test_an_added_bundle_answers_by_its_name_beside_the_first(
    admin: httpx.Client, loader: Loader
) -> None:
    card = admin.post(ADMIN, json={"folder": "walks"}).json()
    assert card["name"] == "walks"
    assert (card["is_default"], card["shares_llm_with"], card["num_running"]) == (False, [], 0)
    assert names(admin) == ["anymal-fake", "walks"]
    assert [card["is_default"] for card in admin.get(ADMIN).json()["data"]] == [True, False]
    assert admin.post(CHAT, json=ask("walks")).json()["model"] == "walks"
    assert loader.loaded[0].engine.prompts == ["hello"]  # type: ignore[attr-defined]
    assert admin.post(CHAT, json=ask()).json()["model"] == "anymal-fake"


def test_a_folder_deeper_down_may_have_a_name_of_its_own(admin: httpx.Client) -> None:
    card = admin.post(ADMIN, json={"folder": "run/bundle", "name": "run-1"}).json()
    assert card["name"] == "run-1"
    assert admin.get("/v1/models/run-1").status_code == 200


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"folder": "../secret"}, "below bundles_dir"),
        ({"folder": "walks/../../secret"}, "below bundles_dir"),
        ({"folder": "/etc"}, "below bundles_dir"),
        ({"folder": "walks/"}, "below bundles_dir"),
        ({"folder": "."}, "below bundles_dir"),
        ({"folder": "walks\x00"}, "below bundles_dir"),
        ({"folder": "link"}, "leads out"),
        ({"folder": "nowhere"}, "no folder"),
        ({"folder": "broken"}, "cannot be read"),
        ({"folder": "walks", "name": "a/b"}, "pattern"),
        ({}, "required"),
    ],
)
def test_refused_bundles(admin: httpx.Client, body: dict[str, str], words: str) -> None:
    response = admin.post(ADMIN, json=body)
    assert response.status_code == 400, response.text
    assert words in response.json()["error"]["message"]
    assert names(admin) == ["anymal-fake"]


def test_without_a_folder_for_them_none_are_added(
    backend: Backend, loader: Loader, make_bridge: Any
) -> None:
    transport = make_bridge(create_app(Settings(admin_key="sesame"), backend, load=loader))
    with httpx.Client(transport=transport, base_url="http://anymal", headers=KEY) as admin:
        response = admin.post(ADMIN, json={"folder": "walks"})
    assert response.status_code == 400
    assert "ANYMAL_BUNDLES_DIR" in response.json()["error"]["message"]


def post_in_background(admin: httpx.Client, folder: str, found: dict[str, httpx.Response]) -> Any:
    def post() -> None:
        found[folder] = admin.post(ADMIN, json={"folder": folder})

    thread = threading.Thread(target=post)
    thread.start()
    return thread


def test_two_bundles_are_loaded_at_a_time_under_different_names(
    app: Any, admin: httpx.Client, loader: Loader
) -> None:
    loader.may_load.clear()
    found: dict[str, httpx.Response] = {}
    threads = [post_in_background(admin, "walks", found)]
    assert loader.is_loading.wait(20)
    same = admin.post(ADMIN, json={"folder": "walks"})
    loader.is_loading.clear()
    threads.append(post_in_background(admin, "run/bundle", found))
    assert loader.is_loading.wait(20)
    third = admin.post(ADMIN, json={"folder": "walks", "name": "third"})
    assert admin.post(CHAT, json=ask()).status_code == 200  # the event loop is free
    loader.may_load.set()
    for thread in threads:
        thread.join(20)
    assert {response.status_code for response in found.values()} == {200}
    assert {same.status_code, third.status_code} == {409}
    assert same.json()["error"]["code"] == "bundle_conflict"
    assert "'walks' is being loaded" in same.json()["error"]["message"]
    assert "2 other bundles" in third.json()["error"]["message"]
    assert set(names(admin)) == {"anymal-fake", "walks", "bundle"}


def test_a_load_that_hangs_is_given_up_and_leaves_the_others_alone(
    backend: Backend, loader: Loader, make_bridge: Any, tmp_path: Path
) -> None:
    for name in ("walks", "talks"):
        (tmp_path / name).mkdir()
    settings = Settings(bundles_dir=str(tmp_path), admin_key="sesame", load_seconds=0.2)
    transport = make_bridge(create_app(settings, backend, load=loader))
    with httpx.Client(transport=transport, base_url="http://anymal", headers=KEY) as admin:
        loader.may_load.clear()
        hung = [admin.post(ADMIN, json={"folder": "walks"}) for _ in range(5)]
        assert [response.status_code for response in hung] == [504] * 4 + [409]
        assert "given up" in hung[0].json()["error"]["message"]
        assert "restart the service" in hung[4].json()["error"]["message"]
        loader.may_load.set()
        wait_for(lambda: len(loader.loaded) == 4)
        wait_for(lambda: all(each.engine.is_closed for each in loader.loaded))  # type: ignore[attr-defined]
        assert names(admin) == ["anymal-fake"]
        wait_for(lambda: admin.post(ADMIN, json={"folder": "talks"}).status_code == 200)


def wait_for(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_removed_bundle_is_closed_and_the_next_is_the_default(
    admin: httpx.Client, engine: Any, backend: Backend
) -> None:
    admin.post(ADMIN, json={"folder": "walks"})
    assert admin.delete(f"{ADMIN}/anymal-fake").status_code == 204
    assert admin.post(CHAT, json=ask()).json()["model"] == "walks"
    assert admin.delete(f"{ADMIN}/anymal-fake").status_code == 404
    last = admin.delete(f"{ADMIN}/walks")
    assert (last.status_code, last.json()["error"]["code"]) == (409, "bundle_conflict")
    assert admin.get("/readyz").json() == {"status": "ready", "model": "walks"}
