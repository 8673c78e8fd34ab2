"""Where an image, a sound or a film of a message is.

Does not read it.
"""

from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from anymal.protocol.sizes import check_url
from anymal.protocol.strict import NOT_A_BOOLEAN, StrictMedium

Second = Annotated[float, Field(ge=0, allow_inf_nan=False), NOT_A_BOOLEAN]


class MediaUrl(StrictMedium):
    """Where a medium is: a data URL, or (manifests and data sources only) a path."""

    url: Annotated[str, AfterValidator(check_url)] = Field(
        min_length=1, description="data: URL; a relative path only in manifests"
    )


class ImageUrl(MediaUrl):
    """Where an image is."""

    detail: Literal["auto", "low", "high", "original"] = Field(
        "auto", description="without effect: the encoder sets the size"
    )


class VideoUrl(MediaUrl):
    """Where a film is, and which stretch of it is meant."""

    start_s: Second | None = Field(None, description="where the stretch begins; 0 by default")
    end_s: Second | None = Field(
        None, description="where it ends; the film's own end by default, or if that is earlier"
    )

    sound: bool | None = Field(
        None, description="read its sound track too, on one clock with the pictures"
    )

    @model_validator(mode="after")
    def _is_whole_with_sound(self) -> Self:
        if self.sound and (self.start_s is not None or self.end_s is not None):
            raise ValueError(
                "sound: true reads the whole film; cut the film, or leave start_s and end_s out"
            )
        return self

    @model_validator(mode="after")
    def _goes_forward(self) -> Self:
        if self.end_s is not None and self.end_s <= (self.start_s or 0):
            raise ValueError(f"end_s is {self.end_s:g}; it has to come after start_s")
        return self


def _bare_url(value: Any) -> Any:
    """Other servers take the URL alone, so clients send it."""
    return {"url": value} if isinstance(value, str) else value


Url = Annotated[MediaUrl, BeforeValidator(_bare_url, json_schema_input_type=MediaUrl | str)]
VideoRef = Annotated[VideoUrl, BeforeValidator(_bare_url, json_schema_input_type=VideoUrl | str)]
ImageRef = Annotated[ImageUrl, BeforeValidator(_bare_url, json_schema_input_type=ImageUrl | str)]
