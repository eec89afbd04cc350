"""What is read of videos of every kind: whole, turned, cut off, damaged, hostile."""

import io
import struct
from fractions import Fraction

import av
import numpy as np
import pytest
from clips import MADE, TURNS, corner, noise, shade, shades, sound, turn, views, write
from PIL import Image

from fer_hub import UserError
from fer_hub.recognition import containers
from fer_hub.recognition.video_reader import VideoFile

KINDS = {"mp4": "libx264", "mov": "libx264", "mkv": "libx264", "webm": "libvpx-vp9", "ts": "libx264", "avi": "mpeg4"}


def read(path):
    file = VideoFile(path)
    return file, list(file)


@pytest.mark.parametrize("kind", KINDS)
def test_whole_videos(kind, tmp_path):
    path = write(tmp_path / f"clip.{kind}", shades(30), KINDS[kind])
    file, pictures = read(path)
    assert file.problem is None
    assert file.duration == pytest.approx(1.5, abs=0.06) and file.rate == 20
    assert file.picture_count in (30, None)
    assert [picture.index for picture in pictures] == list(range(30))
    assert [picture.time for picture in pictures] == pytest.approx([number / 20 for number in range(30)], abs=0.002)
    assert [shade(picture.rgb()) for picture in pictures] == list(range(30))
    assert pictures[0].rgb().shape == (48, 64, 3) and pictures[0].rgb().dtype == np.uint8
    assert [picture.index for picture in file] == list(range(30))  # again


def test_every_ending_that_names_a_video_is_tried():
    assert set(MADE) == containers.SUFFIXES


@pytest.mark.parametrize("suffix", MADE)
def test_every_ending_that_names_a_video_is_read(suffix, tmp_path):
    form, codec = MADE[suffix]
    pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
    pictures = shades(12, (176, 144))
    file, found = read(write(tmp_path / f"clip{suffix}", pictures, codec, pix_fmt, rate=25, form=form))
    assert file.problem is None and file.rate == 25
    assert [picture.time for picture in found] == pytest.approx([number / 25 for number in range(12)], abs=0.002)
    assert [shade(picture.rgb()) for picture in found] == pytest.approx(range(12), abs=1)


@pytest.mark.parametrize("kind", ["mp4", "mkv", "ts"])
def test_a_film_is_read_and_not_its_preview_or_a_still(kind, tmp_path):
    preview, film = shades(6, (32, 24)), shades(6, (96, 72), step=8)
    still = [np.full((144, 192, 3), 250, np.uint8)]
    for views_of_it in ((preview, film), (film, preview), (preview, film, preview)):
        _, found = read(views(tmp_path / f"clip.{kind}", *views_of_it))
        assert len(found) == 6 and found[0].rgb().shape == (72, 96, 3)
    if kind == "mp4":  # which says how many pictures a view has
        assert len(read(views(tmp_path / f"clip.{kind}", still, film))[1]) == 6


def test_times_of_variable_rate(tmp_path):
    times = [0, 0.04, 0.05, 0.5, 0.503, 2.0, 2.9]
    file, pictures = read(write(tmp_path / "clip.mp4", shades(7), times=times))
    assert [picture.time for picture in pictures] == pytest.approx(times, abs=0.001) and file.problem is None


def test_time_goes_on_where_recordings_are_joined(tmp_path):
    one = write(tmp_path / "one.ts", shades(20)).read_bytes()
    (tmp_path / "two.ts").write_bytes(one + one)
    _, pictures = read(tmp_path / "two.ts")
    assert len(pictures) == 40
    assert np.diff([picture.time for picture in pictures]) == pytest.approx([0.05] * 39, abs=0.001)


@pytest.mark.parametrize("how", TURNS)
def test_turned_and_mirrored_videos_are_shown_upright(how, tmp_path):
    matrix, shown = TURNS[how]
    file, (picture,) = read(turn(write(tmp_path / "clip.mp4", [corner()]), matrix))
    expected = shown(corner())
    assert picture.rgb().shape == expected.shape
    assert np.abs(picture.rgb().astype(int) - expected).mean() < 8


def test_pixels_are_made_square(tmp_path):
    _, (picture,) = read(write(tmp_path / "clip.mp4", [corner()], aspect=Fraction(3, 2)))
    assert picture.rgb().shape == (48, 96, 3)
    assert picture.rgb()[10, 40].argmax() == 0 and picture.rgb()[10, 56].argmax() == 1


@pytest.mark.parametrize("pix_fmt", ["gray", "gray16le", "yuv420p10le", "yuv444p", "yuva420p"])
def test_other_pixel_formats_and_odd_sizes(pix_fmt, tmp_path):
    _, pictures = read(write(tmp_path / "clip.mkv", shades(3, (61, 45)), "ffv1", pix_fmt))
    assert [shade(picture.rgb()) for picture in pictures] == [0, 1, 2]
    assert pictures[0].rgb().shape == (45, 61, 3)


def test_one_picture(tmp_path):
    file, pictures = read(write(tmp_path / "clip.mp4", shades(1)))
    assert len(pictures) == 1 and file.problem is None


def test_damaged_names_do_not_stop_a_video(tmp_path):
    path = write(tmp_path / "clip.mkv", shades(2), title="caf")
    content = path.read_bytes()
    assert content.count(b"\x83caf") == 1
    path.write_bytes(content.replace(b"\x83caf", b"\x83ca\xff"))  # no UTF-8
    assert len(read(path)[1]) == 2


# --- a part of it ---


@pytest.mark.parametrize("kind", [".mp4", ".mkv", ".webm", ".avi", ".ts", ".mpg", ".h264", ".mxf"])
def test_a_part_is_what_a_whole_video_has_there(kind, tmp_path):
    form, codec = MADE[kind]
    path = write(tmp_path / f"clip{kind}", noise(75, (96, 64)), codec, rate=25, form=form)
    whole = read(path)[1]
    for start, end in ((0, 1), (0.5, 0.9), (1.4, 2.2), (2.6, None), (0, 99)):
        file = VideoFile(path, start, end)
        part = list(file)
        expected = [picture for picture in whole if start <= picture.time < (end or 99)]
        assert file.problem is None and len(expected) > 5
        assert [picture.time for picture in part] == [picture.time for picture in expected]
        assert [picture.index for picture in part] == list(range(len(part)))
        assert all(np.array_equal(one.rgb(), other.rgb()) for one, other in zip(part, expected, strict=True))


@pytest.mark.parametrize("kind", ["mp4", "mkv"])
def test_a_part_with_pictures_that_are_decoded_in_another_order(kind, tmp_path):
    path = tmp_path / f"clip.{kind}"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"x264-params": "bframes=3:keyint=12:open-gop=1"})
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        for picture in noise(150, (96, 64)):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
    whole = read(path)[1]
    for start in (1.5, 2.04, 2.75, 3.6, 5.5):
        part = list(VideoFile(path, float(start)))
        expected = [picture for picture in whole if picture.time >= start]
        assert [picture.time for picture in part] == [picture.time for picture in expected]
        assert np.array_equal(part[0].rgb(), expected[0].rgb())


def test_what_comes_long_before_a_part_is_not_decoded(tmp_path, monkeypatch):
    path = write(tmp_path / "clip.mp4", shades(200, step=1))
    decoded, decode = [], VideoFile._decoded
    monkeypatch.setattr(
        VideoFile, "_decoded", lambda *given: (decoded.append(frame) or frame for frame in decode(*given))
    )
    assert len(list(VideoFile(path, 9, 9.5))) == 10
    assert len(decoded) < 50


def test_damage_is_told_where_it_is_in_the_part(tmp_path):
    path = write(tmp_path / "clip.mkv", noise(60))
    content = bytearray(path.read_bytes())
    place = int(len(content) * 0.4)
    content[place : place + 40] = np.random.default_rng(1).bytes(40)
    path.write_bytes(content)
    for start, end, is_in in ((0, 1, False), (0, 2, True), (1, None, True), (2, None, False), (2, 2.5, False)):
        file = VideoFile(path, start, end)
        assert len(list(file)) > 5
        assert bool(file.problem) == is_in


@pytest.mark.parametrize(
    ("start", "end", "words"),
    [(-1, None, "start=-1 is not a time"), (float("nan"), None, "is not a time"), ("0:10", None, "is not a time"),
     (0.5, 0.5, "end=0.5 is not after start=0.5"), (0, "1", "end='1' is not after"),
     (3, None, "after the end of the video, which has 1.00 s")],
)  # fmt: skip
def test_a_part_that_cannot_be_is_refused(start, end, words, tmp_path):
    path = write(tmp_path / "clip.mp4", shades(20))
    with pytest.raises(UserError, match=words):
        VideoFile(path, start, end)


def test_a_part_after_the_end_of_a_video_without_a_duration_is_refused(tmp_path):
    path = write(tmp_path / "clip.h264", shades(20))
    with pytest.raises(UserError, match="no picture from start=9 on can be read"):
        list(VideoFile(path, 9))


# --- cut off and damaged ---


@pytest.mark.parametrize(
    ("kind", "options"),
    [("mkv", {}), ("webm", {}), ("mp4", {"movflags": "faststart"}), ("mp4", {"movflags": "frag_keyframe+empty_moov"}),
     ("avi", {})],
)  # fmt: skip
def test_a_video_that_is_cut_off(kind, options, tmp_path):
    path = write(tmp_path / f"clip.{kind}", noise(60), KINDS[kind], **options)
    whole = [picture.rgb() for picture in read(path)[1]]
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    file, pictures = read(path)
    assert 20 <= len(pictures) < 40
    assert all(np.array_equal(picture.rgb(), whole[picture.index]) for picture in pictures)
    end = len(pictures) / 20
    assert file.problem.startswith(f"after {end:.2f} s (picture {len(pictures)}) the video ")
    assert file.problem.endswith("; what came before is complete")


def test_a_transport_stream_that_is_cut_off(tmp_path):
    path = write(tmp_path / "clip.ts", noise(60))
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    assert 20 <= len(read(path)[1]) < 40  # it states no duration that could miss something


def test_an_mp4_without_its_index_is_refused(tmp_path):
    path = write(tmp_path / "clip.mp4", noise(60))
    path.write_bytes(path.read_bytes()[:-2000])
    with pytest.raises(UserError, match="recording broke off"):
        VideoFile(path)


@pytest.mark.parametrize("kind", ["mp4", "mkv", "ts", "avi"])
def test_damage_is_left_out_up_to_the_next_key_frame_and_told(kind, tmp_path):
    path = write(
        tmp_path / f"clip.{kind}", noise(40, (192, 144)), KINDS[kind]
    )  # in one thread: damage is not noticed in several
    whole = [picture.rgb() for picture in read(path)[1]]
    with av.open(str(path)) as container:
        keys = {number for number, frame in enumerate(container.decode(video=0)) if frame.key_frame}
    content = bytearray(path.read_bytes())
    place = int(len(content) * 0.4)  # within a picture: what begins one picture also ends the one before
    content[place : place + 40] = np.random.default_rng(1).bytes(40)
    path.write_bytes(content)
    file, pictures = read(path)
    assert 30 <= len(pictures) < 40
    first = next(number for number, picture in enumerate(pictures) if picture.time > number / 20 + 0.01)
    assert f"damaged between {first / 20:.2f} s and {pictures[first].time:.2f} s" in file.problem
    places = [round(picture.time * 20) for picture in pictures]
    assert places[first] in keys and places[-1] == 39
    assert all(np.array_equal(picture.rgb(), whole[place]) for picture, place in zip(pictures, places, strict=True))


def test_several_damages_are_counted(tmp_path):
    path = write(tmp_path / "clip.mkv", noise(60))
    content = bytearray(path.read_bytes())
    for part in (0.25, 0.6):
        place = int(len(content) * part)
        content[place : place + 40] = np.random.default_rng(2).bytes(40)
    path.write_bytes(content)
    file, _ = read(path)
    assert "damaged in 2 places between" in file.problem


def test_a_wrong_duration_is_told(tmp_path):
    path = write(tmp_path / "clip.mkv", shades(20))
    content = path.read_bytes()
    assert content.count(b"00:00:01.000") == 1
    path.write_bytes(content.replace(b"00:00:01.000", b"00:01:01.000"))
    file, pictures = read(path)
    assert len(pictures) == 20 and file.duration == 61
    assert "after 1.00 s (picture 20)" in file.problem and "header is wrong: it states 61.00 s" in file.problem


def test_a_video_without_one_readable_picture_is_refused(tmp_path):
    path = write(tmp_path / "clip.mp4", noise(5))
    content = bytearray(path.read_bytes())
    place = content.index(b"mdat") + 4
    end = content.index(b"moov") - 4
    content[place:end] = bytes(end - place)
    path.write_bytes(content)
    with pytest.raises(UserError, match="not one picture"):
        list(VideoFile(path))


# --- no videos, and hostile ones ---


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda folder: folder / "none.mp4", "there is no such file"),
        (lambda folder: folder, "is not a file"),
        (lambda folder: "/dev/zero", "is not a file"),
        (lambda folder: "https://example.org/clip.mp4", "is an address"),
        (lambda folder: "rtsp://example.org/clip", "is an address"),
        (lambda folder: f"concat:{folder}/clip.ts", "there is no such file"),
        (lambda folder: f"file:{folder}/clip.ts", "there is no such file"),
        (lambda folder: "pipe:0", "there is no such file"),
        (lambda folder: sound(folder / "song.m4a"), "has no video"),
        (lambda folder: sound(folder / "song.m4a", cover=True), "has no video"),
    ],
)
def test_what_is_no_video_file_is_refused(make, words, tmp_path):
    write(tmp_path / "clip.ts", shades(2))
    with pytest.raises(UserError, match=words):
        VideoFile(make(tmp_path))


@pytest.mark.parametrize("content", [b"", b"\0", b"words, words", bytes(5000), b"\x89PNG\r\n\x1a\n" + bytes(50)])
def test_files_without_a_video_are_refused(content, tmp_path):
    (tmp_path / "clip.mp4").write_bytes(content)
    with pytest.raises(UserError, match="is not a video"):
        VideoFile(tmp_path / "clip.mp4")


@pytest.mark.parametrize("name", ["list.m3u8", "list.ffconcat"])
def test_playlists_do_not_open_other_files(name, tmp_path):
    other = write(tmp_path / "secret.ts", shades(10))
    hls = f"#EXTM3U\n#EXT-X-TARGETDURATION:3\n#EXTINF:3,\n{other}\n#EXT-X-ENDLIST\n"
    path = tmp_path / name
    path.write_text(hls if name.endswith("m3u8") else "ffconcat version 1.0\nfile secret.ts\n")
    with path.open("rb") as file, av.open(file) as container:  # the danger is real: an open file is no protection
        assert sum(1 for _ in container.decode(video=0)) == 10
    with pytest.raises(UserError, match="is not a video"):
        VideoFile(path)


def test_huge_pictures_are_refused_before_they_are_decoded(tmp_path):
    path = write(tmp_path / "clip.avi", shades(3), "utvideo")
    content = path.read_bytes()
    head = content.index(b"strf") + 12  # biWidth, biHeight
    assert struct.unpack("<ii", content[head : head + 8]) == (64, 48)
    path.write_bytes(content[:head] + struct.pack("<ii", 9000, 8000) + content[head + 8 :])
    with pytest.raises(UserError, match="over 64,000,000 pixels a picture"):
        list(VideoFile(path))


def test_pictures_that_are_huge_as_shown_are_refused(tmp_path):
    path = write(tmp_path / "clip.mp4", shades(1, (1024, 512)), aspect=Fraction(255, 1))
    (picture,) = VideoFile(path)
    with pytest.raises(UserError, match="261,120 x 512 pixels, over 64,000,000"):
        picture.rgb()


def test_pictures_that_are_larger_than_the_header_says_are_not_decoded(tmp_path):
    with av.open(str(tmp_path / "clip.avi"), "w") as container:
        stream = container.add_stream("mjpeg", rate=20)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuvj420p"
        for number, size in enumerate(((64, 48), (8100, 8000), (64, 48))):
            jpeg = io.BytesIO()
            Image.new("L", size, 100).save(jpeg, "jpeg")
            packet = av.Packet(jpeg.getvalue())
            packet.stream, packet.time_base, packet.is_keyframe = stream, Fraction(1, 20), True
            packet.pts = packet.dts = number
            container.mux(packet)
    file, pictures = read(tmp_path / "clip.avi")
    assert [picture.rgb().shape for picture in pictures] == [(48, 64, 3)] * 2
    assert "damaged between 0.05 s and 0.10 s" in file.problem
