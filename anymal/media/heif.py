"""HEIC pictures, as phones save them, to a Pillow image.

libheif itself applies the file's turns and mirrors; the orientation in EXIF repeats them.
"""

import PIL.Image

from anymal.media.image_size import check_size
from anymal.media.limits import Limits
from anymal.media.source import Source


def decode_heif(source: Source, limits: Limits) -> PIL.Image.Image:
    """Decodes the main picture of a HEIC file.

    Args:
        source: The file.
        limits: How many pixels are accepted; checked on the header, before any pixel is read.

    Returns:
        The upright picture, 8 bits a channel unless it is grey.

    Raises:
        MediaTooLarge: Beyond the limits.
        Exception: What pi-heif raises on broken files.
    """
    # Here, because few pictures are HEIC and the library is large.
    import pi_heif

    file = pi_heif.open_heif(source.data)
    width, height = file.size
    check_size(source.name, width, height, limits)
    image: PIL.Image.Image = file.to_pillow()
    # The coded picture may be of another size than the header says.
    check_size(source.name, image.width, image.height, limits)
    return image
