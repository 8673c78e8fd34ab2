"""NPY, NPZ and Parquet recordings to tables.

It judges declared sizes before it allocates, and never unpickles.
"""

import io
from math import prod
from tokenize import TokenError
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from anymal.errors import MediaCorrupt, MediaError, MediaTooLarge, MediaUnsupported
from anymal.media.imu.archive import member_names, unpacked
from anymal.media.imu.chosen import used_columns
from anymal.media.imu.columns import Table, check_rows, table_of_columns, table_of_samples
from anymal.media.limits import Limits
from anymal.media.source import Source, reason, shorten

# An .npy header is a Python literal, and its parser fails in as many ways as Python text can.
_BROKEN_HEADER = (
    ValueError,
    SyntaxError,
    TypeError,
    LookupError,
    ArithmeticError,
    AttributeError,
    TokenError,
    RecursionError,
    MemoryError,
    EOFError,
    Warning,
)
_NUMBER_KINDS = "iuf"
_NPZ_LAYOUTS = "an array `samples` [N, 3 or 6], or one array for each column; `rate_hz` optional"


def read_npy(source: Source, limits: Limits) -> Table:
    """Reads one array: [N, 3 or 6] numbers, or [N] with named fields.

    Args:
        source: The file.
        limits: How many rows are accepted.

    Returns:
        The table.

    Raises:
        MediaError: Not such an array.
    """
    return table_of_samples(source.name, _array(source.name, source.data, limits), limits)


def read_npz(source: Source, limits: Limits) -> Table:
    """Reads arrays: `samples` with an optional time column beside it, or one for each column.

    Args:
        source: The file.
        limits: How many bytes, unpacked, and how many rows are accepted.

    Returns:
        The table.

    Raises:
        MediaError: Not such arrays.
    """
    arrays = _unpacked(source, limits)
    rate_hz = _stored_rate(source.name, arrays.pop("rate_hz", None))
    samples = arrays.pop("samples", None)
    if samples is None and len(arrays) == 1 and _is_table(next(iter(arrays.values()))):
        _, samples = arrays.popitem()
    columns = {} if samples is None else _columns(source.name, samples, limits)
    if twice := sorted(arrays.keys() & columns.keys()):
        found = f"{shorten(', '.join(twice))} both in `samples` and beside it"
        raise MediaUnsupported(source.name, found, _NPZ_LAYOUTS)
    return table_of_columns(source.name, arrays | columns, limits, rate_hz=rate_hz)


def read_parquet(source: Source, limits: Limits) -> Table:
    """Reads the known columns of a Parquet table.

    Args:
        source: The file.
        limits: How many rows are accepted; checked before any column is read.

    Returns:
        The table.

    Raises:
        MediaError: Not a table with such columns.
    """
    # Costs half a second, and few recordings are Parquet.
    import pyarrow as pa
    from pyarrow import parquet

    try:
        file = parquet.ParquetFile(io.BytesIO(source.data))
        check_rows(source.name, file.metadata.num_rows, limits)
        used = used_columns(source.name, file.schema_arrow.names)
        for column, named in used.items():
            kind = file.schema_arrow.field(column).type
            is_time = named.meaning == "time"
            is_stamp = is_time and (pa.types.is_timestamp(kind) or pa.types.is_string(kind))
            if not (is_stamp or pa.types.is_floating(kind) or pa.types.is_integer(kind)):
                raise MediaUnsupported(source.name, f"a column {column} of {kind}", "numbers")
        table = file.read(columns=list(used), use_threads=False)
        columns = {column: table[column].to_numpy() for column in used}
    except MediaError:
        raise
    except (pa.ArrowException, OSError, ValueError, TypeError, LookupError) as error:
        found = f"a Parquet table that is broken or truncated ({reason(error)})"
        raise MediaCorrupt(source.name, found, "a complete file") from error
    return table_of_columns(source.name, columns, limits)


def _stored_rate(name: str, rate: NDArray[Any] | None) -> float | None:
    """The rate that an archive states, if any."""
    if rate is None:
        return None
    if rate.size != 1 or rate.dtype.names is not None:
        found = f"a rate_hz of type {shorten(str(rate.dtype))} and shape {list(rate.shape)}"
        raise MediaUnsupported(name, found, "one number of Hz")
    return float(rate.flat[0])


def _is_table(array: NDArray[Any]) -> bool:
    """Whether an array holds all columns, not one."""
    return array.ndim == 2 or array.dtype.names is not None


def _columns(name: str, samples: NDArray[Any], limits: Limits) -> dict[str, NDArray[Any]]:
    """The columns of an array: its named fields, times among them, or its channels."""
    if samples.dtype.names is not None:
        return {field: samples[field] for field in samples.dtype.names}
    return dict(table_of_samples(name, samples, limits).channels)


def _array(name: str, data: bytes, limits: Limits) -> NDArray[Any]:
    """One .npy file's array, a view of its bytes."""
    file = io.BytesIO(data)
    try:
        version = npy.read_magic(file)
        if version not in ((1, 0), (2, 0)):
            raise MediaUnsupported(name, f"NPY version {version}", "version 1.0 or 2.0")
        read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        shape, is_fortran, dtype = read(file)
    except MediaError:
        raise
    except _BROKEN_HEADER as error:
        raise MediaCorrupt(name, "a NumPy array with a broken header", "a whole file") from error
    _check_dtype(name, dtype)
    if any(size < 0 for size in shape):
        raise MediaCorrupt(name, f"an array of shape {list(shape)}", "sizes of 0 or more")
    check_rows(name, shape[0] if shape else 1, limits)
    promised, arrived = prod(shape) * dtype.itemsize, len(data) - file.tell()
    if promised > limits.max_bytes:
        raise MediaTooLarge(
            name, f"an array of {promised:,} bytes", f"at most {limits.max_bytes:,} bytes"
        )
    if promised > arrived:
        found = f"{arrived:,} of the {promised:,} bytes that its header promises"
        raise MediaCorrupt(name, found, "a whole file")
    flat = np.frombuffer(data, dtype, count=prod(shape), offset=file.tell())
    return flat.reshape(shape, order="F" if is_fortran else "C")


def _check_dtype(name: str, dtype: np.dtype[Any]) -> None:
    """Numbers, or named fields of numbers; objects would have to be unpickled."""
    kinds = [dtype] if dtype.fields is None else [field[0] for field in dtype.fields.values()]
    if dtype.hasobject or not all(kind.kind in _NUMBER_KINDS for kind in kinds):
        found = "Python objects" if dtype.hasobject else f"values of type {shorten(str(dtype))}"
        raise MediaUnsupported(name, found, "integers or floating-point numbers")


def _unpacked(source: Source, limits: Limits) -> dict[str, NDArray[Any]]:
    """An archive's arrays by name."""
    names = [name for name in member_names(source) if name.endswith(".npy")]
    files = unpacked(source, names, limits)
    if not files:
        raise MediaUnsupported(source.name, "an archive without arrays", _NPZ_LAYOUTS)
    return {
        member.removesuffix(".npy"): _array(f"{source.name}:{shorten(member)}", data, limits)
        for member, data in files.items()
    }
