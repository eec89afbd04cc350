"""HEIC pictures for tests: a key frame of HEVC in the boxes of ISO/IEC 23008-12. pi-heif only decodes them."""

import struct

import clips


def write(path, picture, quarter_turns=0, brand=b"heic"):
    """A picture, uint8 (H, W, 3) with even sides, that is shown turned by so many quarters, counter-clockwise."""
    film = clips.write(path.with_suffix(".mp4"), [picture], "libx265").read_bytes()
    data = _content(film, b"mdat")
    height, width = picture.shape[:2]
    properties = [_box(b"hvcC", _content(film, b"hvcC")), _full(b"ispe", struct.pack(">II", width, height)),
                  _box(b"irot", bytes([quarter_turns]))]  # fmt: skip
    head = _box(b"ftyp", brand + bytes(4) + b"mif1heic")
    name = _full(b"infe", struct.pack(">HH4s", 1, 0, b"hvc1") + b"\0", version=2)
    uses = struct.pack(">IHB3B", 1, 1, 3, 0x81, 2, 0x83)  # the first and the third must be understood

    def meta(start):
        return _full(b"meta", b"".join([
            _full(b"hdlr", bytes(4) + b"pict" + bytes(13)),
            _full(b"pitm", struct.pack(">H", 1)),
            _full(b"iloc", struct.pack(">BBHHHHII", 0x44, 0, 1, 1, 0, 1, start, len(data))),
            _full(b"iinf", struct.pack(">H", 1) + name),
            _box(b"iprp", _box(b"ipco", b"".join(properties)) + _full(b"ipma", uses)),
        ]))  # fmt: skip

    path.write_bytes(head + meta(len(head) + len(meta(0)) + 8) + _box(b"mdat", data))
    path.with_suffix(".mp4").unlink()
    return path


def _box(name, content):
    return struct.pack(">I4s", 8 + len(content), name) + content


def _full(name, content, version=0):
    return _box(name, struct.pack(">B3x", version) + content)


def _content(film, name):
    place = film.index(name)
    return film[place + 4 : place - 4 + struct.unpack(">I", film[place - 4 : place])[0]]
