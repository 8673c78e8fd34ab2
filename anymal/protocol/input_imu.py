"""What a part with a motion recording holds: a file, where it is, or rows of numbers.

Does not read recordings.
"""

from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from anymal.protocol.sizes import CHANNELS, ROWS
from anymal.protocol.strict import NOT_A_BOOLEAN, StrictMedium

AccelerationUnit = Literal["m/s2", "g"]
RotationUnit = Literal["rad/s", "deg/s"]
ImuFormat = Literal["csv", "npy", "npz", "parquet", "json", "zip"]
Row = Annotated[list[float], Field(fail_fast=True), CHANNELS]


def _rows_of_numbers(rows: Any) -> Any:
    """Rows as they came; a loop of its own, because there may be a million numbers."""
    for index, row in enumerate(rows if isinstance(rows, list) else ()):
        if isinstance(row, list) and any(value is True or value is False for value in row):
            raise PydanticCustomError(
                "number_type", "row {row} holds true or false", {"row": index}
            )
    return rows


class InputImu(StrictMedium):
    """A motion recording: exactly one of `data` (with `format`), `url` and `samples`."""

    data: str | None = Field(None, min_length=1, description="base64 of a recording file")
    url: str | None = Field(
        None, min_length=1, description="data: URL; a relative path only in manifests"
    )
    samples: (
        Annotated[
            list[Row], Field(min_length=1, fail_fast=True), ROWS, BeforeValidator(_rows_of_numbers)
        ]
        | None
    ) = Field(None, description="rows of ax, ay, az[, gx, gy, gz]")
    format: ImuFormat | None = Field(None, description="file format; required with data")
    rate_hz: Annotated[float | None, Field(gt=0, allow_inf_nan=False), NOT_A_BOOLEAN] = Field(
        None, description="samples per second; required with samples"
    )
    acceleration_unit: AccelerationUnit | None = Field(
        None, description="unit of ax, ay, az; m/s2 if the file states none"
    )
    rotation_unit: RotationUnit | None = Field(
        None, description="unit of gx, gy, gz; rad/s if the file states none"
    )

    @model_validator(mode="after")
    def _exactly_one_origin(self) -> Self:
        given = [name for name in ("data", "url", "samples") if getattr(self, name) is not None]
        if len(given) != 1:
            found = " and ".join(given) or "none of them"
            raise ValueError(f"give exactly one of data, url and samples; found {found}")
        if self.data is not None and self.format is None:
            raise ValueError("data needs format: one of csv, npy, npz, parquet, json, zip")
        if self.samples is not None and self.rate_hz is None:
            raise ValueError("samples needs rate_hz, the number of samples per second")
        if self.samples is not None and self.format is not None:
            raise ValueError("samples takes no format; remove format, or send data instead")
        return self
