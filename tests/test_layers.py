"""Imports run one way: encoders, aligners <- anymal <- train, server; and so inside anymal."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ALLOWED = {
    "encoders": ("encoders",),
    "aligners": ("aligners", "encoders.base", "encoders.plugins"),
    "anymal": ("anymal", "encoders", "aligners"),
    "train": ("train", "anymal", "encoders", "aligners"),
    "server": ("server", "anymal", "encoders", "aligners"),
}
SOLE_IMPORTER = {"bitsandbytes": "anymal/llm/precision.py", "peft": "anymal/llm/lora.py"}


# The rooms of anymal, lowest floor first, each with the rooms that it may import beside `errors`.
ROOMS: dict[str, tuple[str, ...]] = {
    "errors": (),
    "durable": (),
    "side": (),
    "trainable": (),
    "protocol": (),
    "chat": (),
    "media": (),
    "llm": ("side", "trainable"),
    "fusion": (),
    "sample": (),
    "features": ("durable",),
    "playground": ("protocol",),
    "modality": ("media", "protocol"),
    "decoding": ("media", "modality"),
    "intake": ("chat", "media", "modality", "protocol", "sample"),
    "collate": ("features", "fusion", "sample", "side"),
    "engine": ("llm", "side"),
    "client": ("protocol",),
    "model": ("collate", "fusion", "llm", "side", "trainable"),
    "objectives": ("collate", "llm", "media", "model"),
    "processor": (
        *("chat", "decoding", "features", "intake", "media", "modality", "protocol", "sample"),
    ),
    "recipe": ("chat", "modality", "objectives", "protocol", "trainable"),
    "data": ("durable", "media", "modality", "playground", "protocol", "recipe"),
    "assemble": ("chat", "features", "intake", "llm", "model", "processor", "recipe"),
    "plan": ("engine", "llm", "modality", "recipe", "side", "trainable"),
    "bundle": ("assemble", "chat", "durable", "llm", "model", "recipe", "side", "trainable"),
    "published": (
        *("assemble", "bundle", "chat", "collate", "durable", "llm", "recipe", "sample"),
    ),
    "serving": (
        *("assemble", "bundle", "chat", "client", "engine", "llm", "media", "model"),
        *("processor", "protocol", "sample"),
    ),
    "evaluation": (
        *("assemble", "chat", "data", "decoding", "engine", "media", "modality", "playground"),
        *("processor", "protocol", "recipe", "serving"),
    ),
    "__init__": ("client", "serving"),
    "cli": (
        *("__init__", "assemble", "bundle", "client", "data", "decoding", "evaluation", "llm"),
        *("media", "modality", "plan", "playground", "processor", "protocol", "published"),
        *("recipe", "sample", "serving"),
    ),
    "__main__": ("cli",),
}
MAX_ROOT_FILES, MAX_ROOMS = 11, 32
# Faces for outsiders; no other __init__ passes on what is defined elsewhere.
FACES = {"anymal/__init__.py", "anymal/client/__init__.py", "anymal/media/imu/__init__.py"}


def imported_names(source: str) -> set[str]:
    """Every module named by an import statement, wherever it stands in the file."""
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative import"
            module = node.module or ""
            # `from encoders import base` imports encoders.base, so both readings count.
            names |= {f"{module}.{alias.name}" for alias in node.names}
    return names


def is_inside(name: str, modules: tuple[str, ...]) -> bool:
    return any(name == module or name.startswith(f"{module}.") for module in modules)


def wrong_arrows(package: str, source: str) -> set[str]:
    ours = {name for name in imported_names(source) if is_inside(name, tuple(ALLOWED))}
    return {name for name in ours if not is_inside(name, ALLOWED[package])}


def python_files(*packages: str) -> list[Path]:
    return [path for package in packages for path in sorted((ROOT / package).rglob("*.py"))]


@pytest.mark.parametrize("package", ALLOWED)
def test_imports_run_one_way(package: str) -> None:
    files = python_files(package)
    assert files, f"{package} holds no code"
    wrong = {
        str(path.relative_to(ROOT)): names
        for path in files
        if (names := wrong_arrows(package, path.read_text()))
    }
    assert not wrong


def room_of(name: str) -> str:
    """The room of a module or of a name in it; what stands in anymal itself is in `__init__`."""
    room = name.split(".")[1] if "." in name else "__init__"
    return room if room in ROOMS else "__init__"


def wrong_rooms(room: str, source: str) -> set[str]:
    ours = {name for name in imported_names(source) if is_inside(name, ("anymal",))}
    # `from anymal.llm import load` reads as anymal.llm and anymal.llm.load: one room.
    return {room_of(name) for name in ours} - {room, "errors", *ROOMS[room]}


def test_no_room_imports_from_a_floor_above() -> None:
    names = list(ROOMS)
    for number, room in enumerate(names):
        assert set(ROOMS[room]) <= set(names[:number]), room


@pytest.mark.parametrize("room", ROOMS)
def test_rooms_import_what_the_table_says(room: str) -> None:
    place = ROOT / "anymal" / room
    files = sorted(place.rglob("*.py")) if place.is_dir() else [place.with_suffix(".py")]
    wrong = {
        str(path.relative_to(ROOT)): names
        for path in files
        if (names := wrong_rooms(room, path.read_text()))
    }
    assert not wrong


def test_every_place_in_anymal_is_a_room() -> None:
    places = {path.stem for path in (ROOT / "anymal").glob("*.py")}
    root_files = len(places)
    folders = {path.parent.name for path in (ROOT / "anymal").glob("*/__init__.py")}
    assert places | folders == set(ROOMS)
    assert root_files <= MAX_ROOT_FILES
    assert len(ROOMS) <= MAX_ROOMS


@pytest.mark.parametrize(
    ("room", "source"),
    [
        ("media", "from anymal.protocol.conversation import Part"),
        ("engine", "from anymal import model"),
        ("assemble", "def late():\n    from anymal.bundle.start import take_over"),
        ("client", "from anymal import __version__"),
    ],
)
def test_wrong_room_is_seen(room: str, source: str) -> None:
    assert wrong_rooms(room, source)


def test_only_faces_export_what_is_defined_elsewhere() -> None:
    passing_on = {
        str(path.relative_to(ROOT))
        for path in python_files(*ALLOWED)
        if path.name == "__init__.py" and "__all__" in path.read_text()
    }
    assert passing_on == FACES


@pytest.mark.parametrize("module", SOLE_IMPORTER)
def test_one_file_imports(module: str) -> None:
    importers = {
        str(path.relative_to(ROOT))
        for path in python_files(*ALLOWED)
        if any(is_inside(name, (module,)) for name in imported_names(path.read_text()))
    }
    assert importers == {SOLE_IMPORTER[module]}


@pytest.mark.parametrize(
    ("package", "source"),
    [
        ("encoders", "import anymal"),
        ("encoders", "from aligners.base import Aligner"),
        ("aligners", "from encoders import vision"),
        ("aligners", "def late():\n    import anymal.errors"),
        ("anymal", "from train import loop"),
        ("server", "import train.cli"),
    ],
)
def test_wrong_arrow_is_seen(package: str, source: str) -> None:
    assert wrong_arrows(package, source)


def test_right_arrow_is_allowed() -> None:
    assert not wrong_arrows("aligners", "from encoders.base import Features")
    assert not wrong_arrows("train", "from anymal.model import AnyMAL\nimport torch")
