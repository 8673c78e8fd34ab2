"""The names other people's code leans on; a change here is a change for them."""

import pytest

import anymal
from aligners.registry import ALIGNERS
from anymal.modality import MODALITIES
from encoders.registry import ENCODERS


def test_library_names() -> None:
    assert sorted(anymal.__all__) == [
        "AnymalError",
        "AsyncClient",
        "Backoff",
        "BadRequestError",
        "BusyError",
        "Client",
        "ClientError",
        "ConnectionFailedError",
        "ContentRefusedError",
        "ForbiddenError",
        "NotFoundError",
        "NotReadyError",
        "OverdueError",
        "ServerError",
        "TimedOutError",
        "TooLargeError",
        "UnauthorizedError",
        "__version__",
        "load",
    ]


@pytest.mark.parametrize("name", anymal.__all__)
def test_exported_name_exists(name: str) -> None:
    assert getattr(anymal, name) is not None
    assert name in dir(anymal)


def test_every_error_of_the_client_is_exported() -> None:
    kinds = {anymal.ClientError, *all_subclasses(anymal.ClientError)}
    assert {kind.__name__ for kind in kinds} <= set(anymal.__all__)


def all_subclasses(kind: type) -> set[type]:
    own = set(kind.__subclasses__())
    return own.union(*map(all_subclasses, own))


def test_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="Klient"):
        _ = anymal.Klient


def test_modalities() -> None:
    assert list(MODALITIES) == ["image", "video", "audio", "imu"]


def test_encoder_kinds() -> None:
    assert sorted(ENCODERS) == [
        "ast",
        "clap",
        "frames",
        "imagebind_audio",
        "imagebind_imu",
        "imagebind_vision",
        "imu2clip",
        "imu_transformer",
        "pixels",
        "spectrogram",
        "tiles",
        "videomae",
        "vision",
        "vjepa2",
        "whisper",
        "x_clip",
    ]


def test_aligner_kinds() -> None:
    assert sorted(ALIGNERS) == [
        "expand",
        "joint",
        "linear",
        "mlp",
        "perceiver",
        "projection",
        "qformer",
    ]
