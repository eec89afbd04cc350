"""HEIC pictures for tests: a key frame of HEVC in the boxes of ISO/IEC 23008-12. pi-heif only decodes them."""

import base64
import struct

import clips

SIZE = 128, 96
PICTURE = clips.corner(SIZE)
# PICTURE as x265 encodes it (crf 4, yuv420p): the decoder's configuration, and the frame.
_HVCC = base64.b64decode(
    "AQFgAAAAkAAAAAAAHvAA/P34+AAADwMgAAEAGEABDAH//wFgAAADAJAAAAMAAAMAHpWUCSEAAQAoQgEBAWAAAAMAkAAAAwAAAwAe"
    "oBAgYWWVlSkwuaAgAAADACAAAAMCgSIAAQAGRAHAc8GJ"
)
_DATA = base64.b64decode(
    "AAAAuigBrBHZzuGA5pUX/KTf//vKfsv19YssryG/h5///jf7//U5FI+gg99d8RHZ7PxqnsG1jJW6I+md4XJVr6VlDnYb5ijXWXGX"
    "LoB6OT93ELDFn9TAUCgIOoUuVyxFo6vZcLBsEhu/WLlAL28wbCD8G56wXf96E1LqkmEMjDpUXkpbF7f+lqzs6/3rDmShFqFBG/+K"
    "z8FTxXweSQeogJbrqMLIl1afWuVXSVv6LxwaDMU794rP6/m/QAdQtA=="
)


def write(path, quarter_turns=0, brand=b"heic"):
    """PICTURE, to be shown turned by so many quarters, counter-clockwise."""
    properties = [
        _box(b"hvcC", _HVCC),
        _full(b"ispe", struct.pack(">II", *SIZE)),
        _box(b"irot", bytes([quarter_turns])),
    ]
    head = _box(b"ftyp", brand + bytes(4) + b"mif1heic")
    name = _full(b"infe", struct.pack(">HH4s", 1, 0, b"hvc1") + b"\0", version=2)
    uses = struct.pack(">IHB3B", 1, 1, 3, 0x81, 2, 0x83)  # the first and the third must be understood

    def meta(start):
        return _full(b"meta", b"".join([
            _full(b"hdlr", bytes(4) + b"pict" + bytes(13)),
            _full(b"pitm", struct.pack(">H", 1)),
            _full(b"iloc", struct.pack(">BBHHHHII", 0x44, 0, 1, 1, 0, 1, start, len(_DATA))),
            _full(b"iinf", struct.pack(">H", 1) + name),
            _box(b"iprp", _box(b"ipco", b"".join(properties)) + _full(b"ipma", uses)),
        ]))  # fmt: skip

    path.write_bytes(head + meta(len(head) + len(meta(0)) + 8) + _box(b"mdat", _DATA))
    return path


def _box(name, content):
    return struct.pack(">I4s", 8 + len(content), name) + content


def _full(name, content, version=0):
    return _box(name, struct.pack(">B3x", version) + content)
