"""Motion files of any layout to six axes in SI units."""

from anymal.media.imu.recording import decode_imu

__all__ = ["decode_imu"]
