"""Animations and folders of numbered pictures, read as clips."""

import os

import numpy as np
import pytest
from clips import animation, folder, shade, shades, write
from PIL import Image

from fer_hub import UserError
from fer_hub.recognition.picture_clips import Animation, FrameFolder, is_animation, open_clip
from fer_hub.recognition.video_reader import VideoFile

KINDS = ["gif", "png", "webp", "avif"]


def read(clip):
    return clip, list(clip)


# --- animations ---


@pytest.mark.parametrize("kind", KINDS)
def test_an_animation_has_its_pictures_at_their_times(kind, tmp_path):
    path = animation(tmp_path / f"clip.{kind}", shades(5, step=8), [100, 250, 40, 100, 60])
    clip, pictures = read(open_clip(path))
    assert isinstance(clip, Animation) and clip.problem is None and clip.picture_count == 5
    assert clip.duration == pytest.approx(0.55)
    assert [picture.time for picture in pictures] == pytest.approx([0, 0.1, 0.35, 0.39, 0.49])
    assert [picture.index for picture in pictures] == list(range(5))
    assert [shade(picture.rgb()) for picture in pictures] == pytest.approx([0, 2, 4, 6, 8], abs=0.6)
    assert pictures[0].rgb().shape == (48, 64, 3) and pictures[0].rgb().dtype == np.uint8
    assert len(list(clip)) == 5  # again


@pytest.mark.parametrize("kind", KINDS)
def test_a_part_of_an_animation(kind, tmp_path):
    path = animation(tmp_path / f"clip.{kind}", shades(10), 100)
    clip, pictures = read(open_clip(path, start=0.3, end=0.6))
    assert [(picture.index, picture.time) for picture in pictures] == [(0, 0.3), (1, 0.4), (2, 0.5)]
    assert clip.duration is None  # nobody has looked
    with pytest.raises(UserError, match=r"start=7 is after the end of .*, which has 1.00 s"):
        list(open_clip(path, start=7))


@pytest.mark.parametrize(("kind", "stated"), [("gif", 0), ("gif", 10), ("webp", 0), ("png", 5)])
def test_pictures_without_a_time_are_shown_as_browsers_do(kind, stated, tmp_path):
    path = animation(tmp_path / f"clip.{kind}", shades(3), stated)
    assert [picture.time for picture in open_clip(path)] == [0, 0.1, 0.2]


def test_the_still_of_an_animated_png_is_not_part_of_it(tmp_path):
    first, *others = map(Image.fromarray, shades(4))
    first.save(tmp_path / "clip.png", save_all=True, append_images=others, duration=100, default_image=True)
    assert [shade(picture.rgb()) for picture in open_clip(tmp_path / "clip.png")] == [1, 2, 3]


@pytest.mark.parametrize("kind", ["gif", "png", "webp"])
def test_an_animation_that_is_cut_off_is_read_as_far_as_it_goes(kind, tmp_path):
    pictures = [np.random.default_rng(n).integers(0, 256, (48, 64, 3), np.uint8) for n in range(8)]
    path = animation(tmp_path / f"clip.{kind}", pictures, 100)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    if kind == "webp":  # its decoder opens whole files alone
        assert not is_animation(path)
        return
    clip, pictures = read(open_clip(path))
    assert 2 <= len(pictures) <= 5
    if kind == "png":  # a GIF does not say how many there should be
        assert clip.problem.startswith(f"after 0.{len(pictures)}0 s (picture {len(pictures)}) the animation is damaged")


def test_what_has_one_picture_or_pages_is_no_animation(tmp_path):
    pages = list(map(Image.fromarray, shades(3)))
    for name in ("one.gif", "one.png", "one.webp", "one.jpg"):
        pages[0].save(tmp_path / name)
    pages[0].save(tmp_path / "pages.tif", save_all=True, append_images=pages[1:])
    pages[0].save(tmp_path / "photo.mpo", save_all=True, append_images=pages[1:])
    write(tmp_path / "clip.mp4", shades(2))
    os.mkfifo(tmp_path / "pipe.gif")
    assert not any(map(is_animation, [*tmp_path.iterdir(), tmp_path, tmp_path / "nowhere.gif"]))
    with pytest.raises(UserError, match="no animated GIF, PNG, WebP or AVIF"):
        Animation(tmp_path / "one.gif")


def test_what_a_file_is_decides_and_not_its_name(tmp_path):
    animation(tmp_path / "clip.gif", shades(3), 100).rename(tmp_path / "clip.mp4")
    assert len(list(open_clip(tmp_path / "clip.mp4"))) == 3
    write(tmp_path / "film.mp4", shades(3)).rename(tmp_path / "film.gif")
    assert isinstance(open_clip(tmp_path / "film.gif"), VideoFile)


# --- folders ---


@pytest.mark.parametrize("name", ["frame_{}.png", "{}.bmp", "take 2, {:03}.jpg"])
def test_the_numbers_in_the_names_are_the_order(name, tmp_path):
    path = folder(tmp_path / "frames", shades(12), name)
    (path / "notes.txt").write_text("no picture")
    (path / ".thumb.png").write_bytes(b"hidden")
    (path / "more").mkdir()
    clip, pictures = read(open_clip(path, fps=10))
    assert isinstance(clip, FrameFolder) and clip.problem is None
    assert (clip.duration, clip.picture_count, clip.rate) == (1.2, 12, 10)
    assert [picture.time for picture in pictures] == pytest.approx([number / 10 for number in range(12)])
    assert [shade(picture.rgb()) for picture in pictures] == list(range(12))


def test_a_part_of_a_folder_and_its_usual_rate(tmp_path):
    path = folder(tmp_path / "frames", shades(50))
    assert open_clip(path).rate == 25
    pictures = list(open_clip(path, start=1, end=1.2))
    assert [(picture.index, picture.time) for picture in pictures] == [(n, 1 + n / 25) for n in range(5)]
    with pytest.raises(UserError, match="start=2 is after the end of the video, which has 2.00 s"):
        open_clip(path, start=2)


def test_pictures_of_a_folder_that_cannot_be_read_are_left_out_and_told(tmp_path):
    path = folder(tmp_path / "frames", shades(6))
    for number in (2, 5):
        (path / f"frame_{number}.png").write_bytes(b"no picture")
    clip, pictures = read(open_clip(path))
    assert [picture.index for picture in pictures] == [0, 2, 3, 5]
    assert (
        clip.problem.startswith("2 of 6 pictures cannot be read: ") and "frame_2.png is not a picture" in clip.problem
    )
    for file in path.iterdir():
        file.write_bytes(b"no picture")
    with pytest.raises(UserError, match=r"not one picture can be read. 6 of 6 pictures"):
        list(open_clip(path))


def test_what_cannot_be_a_clip_is_refused(tmp_path):
    path = folder(tmp_path / "frames", shades(2))
    for rate in (0, -1, float("nan"), 2000, "25"):
        with pytest.raises(UserError, match="is not a number of pictures per second"):
            open_clip(path, fps=rate)
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="has no pictures"):
        open_clip(tmp_path / "empty")
    with pytest.raises(UserError, match="fps=10 is for a folder of frames"):
        open_clip(write(tmp_path / "clip.mp4", shades(2)), fps=10)
    with pytest.raises(UserError, match="there is no such file"):
        open_clip(tmp_path / "nowhere")
