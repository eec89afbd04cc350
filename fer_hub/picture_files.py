"""A picture's file -> Pillow's picture with its header read. Which formats are read, and how large they may be."""

import logging

from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile

from fer_hub.errors import UserError

logger = logging.getLogger(__name__)

MAX_PIXELS = 64_000_000  # a small file can claim any size; this many pixels take 0.2 GB as RGB
ANIMATED = ("GIF", "PNG", "WEBP", "AVIF")  # a TIFF of several pages and a phone's MPO are no animations
_HEIF = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"}  # brands of its files
_NOT_DECODED = {"BUFR", "EPS", "GRIB", "HDF5", "MPEG", "WMF"}  # Pillow names them, but needs other programs for them


def is_animation(picture: Image.Image) -> bool:
    """Whether a picture as Pillow opens it has several frames that are shown one after another."""
    return picture.format in ANIMATED and getattr(picture, "is_animated", False)


def suffixes() -> set[str]:
    """How the names of pictures end that are read, in lower case, with the dot."""
    forms = Image.registered_extensions()  # fills Image.OPEN too
    known = {suffix for suffix, form in forms.items() if form in Image.OPEN and form not in _NOT_DECODED}
    return known | {".heic", ".heif", ".hif"}  # of phones and cameras; without pi-heif it is said, not passed over


def opened(stream, name: str) -> Image.Image:
    """Opens a picture and reads its header; a JPEG that is too large will be decoded at half its size, and a warning
    tells that, or that an animation's first frame is all that is read.

    Args:
        stream: an open binary file.
        name: of the file, for messages.

    Raises:
        UserError: it is HEIC, and pi-heif is not installed.
        OSError, SyntaxError: as Pillow raises them.
    """
    head = stream.read(32) if hasattr(stream, "seek") else b""
    if head:
        stream.seek(0)
    if head[:3] == b"\xff\xd8\xff":  # Image.open refuses 180 million pixels before they can be reduced
        picture = JpegImageFile(stream)
        _halve_where_too_large(picture, name)
        return picture
    if head[4:8] == b"ftyp" and head[8:12] in _HEIF and b"avif" not in head and not _reads_heif():
        raise UserError(f'{name} is a HEIC picture: pip install "fer-hub[heif]" or pip install pi-heif')
    picture = Image.open(stream)
    if is_animation(picture):
        logger.warning(
            "%s is an animation: only its first picture is looked at. All of it: recognizer.video(...) or fer-hub "
            "predict FILE.",
            name,
        )
    return picture


def _reads_heif() -> bool:
    """Whether Pillow reads HEIF; it does with pi-heif, which is asked for no earlier than it is needed."""
    if "HEIF" not in Image.OPEN:
        try:
            import pi_heif
        except ImportError:
            return False
        pi_heif.register_heif_opener()
    return True


def _halve_where_too_large(picture: JpegImageFile, name: str) -> None:
    """Lets a JPEG of up to four times the limit be decoded at half its size.

    Not a progressive one, whose decoder holds all of it in memory, up to 1.5 GB.
    """
    size = picture.size
    if MAX_PIXELS < size[0] * size[1] <= 4 * MAX_PIXELS and "progressive" not in picture.info:
        picture.draft(picture.mode, (size[0] // 2, size[1] // 2))
        told = name, *size, f"{MAX_PIXELS:,}", *picture.size
        logger.warning("%s has %s x %s pixels, over %s: it is read at half its size, %s x %s.", *told)
