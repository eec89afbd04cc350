"""Pictures that Pillow's decoders fail on, each in a way of its own."""

import io
import random
import struct
import zlib

from PIL import Image, features

Image.init()
FORMATS = sorted({"AVIF", "BLP", "BMP", "DDS", "GIF", "ICO", "JPEG", "JPEG2000", "PCX", "PNG", "PPM", "QOI", "SGI",
                  "TGA", "TIFF", "WEBP"} & set(Image.SAVE))  # fmt: skip


def saved(form: str, size: tuple[int, int] = (24, 16)) -> bytes:
    """A whole picture of noise in a format of Pillow."""
    noise = random.Random(0).randbytes(size[0] * size[1] * 3)
    picture, file = Image.frombytes("RGB", size, noise), io.BytesIO()
    (picture.convert("P") if form == "BLP" else picture).save(file, form)
    return file.getvalue()


def by_decoder() -> dict[str, bytes]:
    """By name what makes a decoder raise another error than OSError, SyntaxError, ValueError or EOFError."""
    dds = bytearray(saved("DDS"))
    dds[80:88] = (4).to_bytes(4, "little") + b"NONE"  # a compression that does not exist
    # Whole pixels, and then none; by hand, as not every Pillow writes the format.
    qoi = b"qoif" + struct.pack(">IIBB", 24, 16, 3, 0) + b"\xfe\x01\x50\x99" * 100
    found = {"bad.dds": bytes(dds), "bad.qoi": qoi}
    if features.check("avif"):
        head, data, content = saved("AVIF").partition(b"mdat")
        found["bad.avif"] = head + data + bytes(len(content))
    return found


def mutated(form: str, seed: int) -> bytes:
    """A picture that is cut, or whose bytes are changed: in its head, anywhere, or in a row."""
    chance, content = random.Random(f"{form} {seed}"), bytearray(saved(form))
    way = seed % 4
    if way == 0:
        return bytes(content[: chance.randrange(len(content))])
    if way == 3:
        start = chance.randrange(4, 60)
        content[start : start + 20] = chance.randbytes(20)
    else:
        for _ in range(8 if way == 1 else 30):
            content[chance.randrange(min(len(content), 300) if way == 1 else len(content))] = chance.randrange(256)
    return bytes(content)


def bomb():
    """A PNG of some dozen bytes that claims 900 million pixels."""

    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", 30_000, 30_000, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(99))) + chunk(b"IEND", b"")
    )
