"""The page as visitors meet it: every tab in a real Chromium with a fake camera."""

import json
import os
import re
from itertools import pairwise
from pathlib import Path

import app_server
import browser
import clips
import httpx
import numpy as np
import pytest
from browser import EXAMPLES, all_of, go_to, one, seen, upload, wait
from PIL import Image
from selenium.webdriver import ActionChains, Keys

from fer_hub import EMOTIONS, colors
from fer_hub.hub.locate import DEFAULT_MODEL

pytestmark = pytest.mark.skipif(browser.MISSING is not None, reason=str(browser.MISSING))
ASTRONAUT = EXAMPLES / "astronaut.webp"
YELLOW = tuple(bytes.fromhex(colors.of(EMOTIONS)["happy"][1:]))


# --- what is shown to the page -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def pictures():
    """Two seconds of a photo and one and a half of a drawn face, before a wall, red on the left, blue on the right."""
    photo = Image.open(ASTRONAUT).convert("RGB").crop((64, 0, 448, 288)).resize((560, 420))
    drawn = Image.open(EXAMPLES / "crop-surprise.png").convert("RGB").resize((260, 260), Image.Resampling.BICUBIC)
    taken = []
    for number in range(105):
        frame = Image.new("RGB", (640, 480), (190, 80, 70))
        frame.paste((70, 90, 180), (320, 0, 640, 480))
        frame.paste(*((photo, (40, 60)) if number < 60 else (drawn, (180 + number % 5, 60))))
        taken.append(frame)
    return taken


@pytest.fixture(scope="module")
def camera(pictures, tmp_path_factory):
    return browser.write_camera(tmp_path_factory.mktemp("camera") / "camera.mjpeg", pictures)


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory):
    """The folder of the screenshots; those in docs/screens are taken from it."""
    folder = Path(os.environ.get("FER_HUB_ARTIFACTS") or tmp_path_factory.mktemp("screens"))
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture(scope="module")
def address():
    return app_server.shared().address


@pytest.fixture(scope="module")
def driver(address, camera):
    with browser.opened(address, camera) as driver:
        yield driver


@pytest.fixture(autouse=True)
def page(driver, address):
    """The open page; after each test: no error in the console, and nothing was asked of another machine."""
    if driver.current_url.rstrip("/") != address:
        visit(driver, address)
    yield driver
    assert browser.errors(driver) == []


# --- what is looked at ---------------------------------------------------------------------------------------------


def visit(driver, address):
    driver.get(address)
    wait(driver, lambda: browser.tabs(driver))


def cards(driver):
    """The results of single faces, as texts."""
    texts = driver.execute_script("return [...document.querySelectorAll('.fer-face')].filter(e => e.checkVisibility())"
                                  ".map(e => e.innerText)")  # fmt: skip
    return [" ".join(text.split()) for text in texts]


def frames(driver):
    """The picture of the Image tab, and the one with the faces drawn in."""
    return all_of(driver, ".image-frame img")


def clear(driver):
    """Takes the picture of the Image tab away, if there is one."""
    for button in all_of(driver, "button[aria-label='Remove Image']"):
        button.click()


def has_yellow(shown):
    """Whether the frame of a happy face is drawn on it."""
    return (np.abs(shown.astype(int) - YELLOW).max(2) < 40).sum() > 300


def sides(shown):
    """How much more red than blue a picture has at its left and right edge."""
    width = shown.shape[1]
    edges = shown[:, width // 50 : width // 18], shown[:, -width // 18 : -width // 50]
    return [float((edge[..., 0].astype(int) - edge[..., 2]).mean()) for edge in edges]


# --- Image ---------------------------------------------------------------------------------------------------------


def test_a_photo_gives_box_table_bars_heat_map_and_json(page, artifacts):
    go_to(page, "Image")
    upload(page, ASTRONAUT)
    one(page, "p", "1 face found.")
    assert re.fullmatch(r"1 happy \d+ % 9\d\.\d % \d+, \d+, \d+, \d+", one(page, ".fer-table tr:last-child").text)
    (card,) = cards(page)
    assert card.startswith("Face 1: happy") and all(f" {name} " in card for name in EMOTIONS)
    assert len(all_of(page, ".fer-bar")) == len(EMOTIONS)
    wait(page, lambda: len(frames(page)) == 2)
    shown, drawn = frames(page)
    wait(page, lambda: drawn.get_property("naturalWidth") == 512)
    assert has_yellow(seen(page, lambda: drawn)) and not has_yellow(seen(page, lambda: shown))
    one(page, "button", "Where does the model look?").click()
    heat = one(page, ".fer-face img[alt*='Heat by thirds']")
    assert len(cards(page)) == 2 and heat.get_property("naturalWidth") == 192 and browser.unlabelled(page) == []
    one(page, "button", "JSON").click()
    assert "detection_score" in wait(page, lambda: one(page, ".json-holder").text)
    one(page, "button", "JSON").click()
    browser.screenshot(page, artifacts / "image.png", height=1340)


def test_examples_find_their_faces(page):
    go_to(page, "Image")
    photo, group = wait(page, lambda: all_of(page, ".gallery-item"))
    group.click()
    count = int(one(page, "p", "faces found.").text.split()[0])
    assert 3 <= count <= 7 and len(wait(page, lambda: cards(page))) == count
    photo.click()
    one(page, "p", "1 face found.")


def test_a_picture_without_a_face_says_so_and_taking_it_away_clears_all(page, tmp_path):
    go_to(page, "Image")
    Image.new("RGB", (320, 240), "gray").save(tmp_path / "wall.png")
    clear(page)
    upload(page, tmp_path / "wall.png")
    one(page, "p", "No face found.")
    clear(page)
    wait(page, lambda: not all_of(page, "p", "found.") and not frames(page))
    assert cards(page) == []


def test_a_damaged_picture_is_told(page, tmp_path):
    go_to(page, "Image")
    (tmp_path / "damaged.png").write_bytes(ASTRONAUT.read_bytes()[:5000])
    clear(page)
    upload(page, tmp_path / "damaged.png")
    assert "damaged" in one(page, "[data-testid='toast-body']").text
    one(page, "[data-testid='toast-body'] button").click()
    clear(page)


def test_a_picture_of_the_camera_gives_its_face(page):
    go_to(page, "Image")
    clear(page)
    one(page, "button[aria-label='Capture from camera']").click()
    one(page, "button", "Webcam").click()
    wait(page, lambda: one(page, "video").get_property("videoWidth"))
    one(page, "button[aria-label='capture photo']").click()
    one(page, "p", "1 face found.")
    clear(page)
    one(page, "button[aria-label='Upload file']").click()


# --- Live ----------------------------------------------------------------------------------------------------------

WATCH = """
    window.came = [];
    new MutationObserver(() => {
        const image = document.querySelector(".fer-live img");
        if (image && image.src !== window.last) window.came.push([performance.now() / 1000, image.alt]);
        window.last = image?.src;
    }).observe(document.body, {subtree: true, childList: true, attributes: true});
"""


def record(driver):
    """Starts the camera and notes the pictures that come back."""
    go_to(driver, "Live")
    driver.execute_script(WATCH)
    one(driver, "button", "Webcam").click()
    one(driver, "button", "Record").click()
    one(driver, ".fer-live img")


def came(driver):
    """(seconds, words) of the pictures that came back."""
    return driver.execute_script("return window.came")


def turns_happy(driver):
    """Whether the last pictures that came back are of a face whose smile grows clear, so that it stays for a while."""
    smiles = [re.match(r"happy (\d+) %", words) for _, words in came(driver)[-2:]]
    return all(smiles) and 80 <= int(smiles[-1][1]) and int(smiles[0][1]) < int(smiles[-1][1])


def test_live_follows_the_camera_for_two_visitors_at_once(page, address, camera, artifacts):
    record(page)
    wait(page, lambda: {"happy", "surprise"} <= {words.split()[0] for _, words in came(page)})
    (card,) = wait(page, lambda: cards(page) or None)
    assert card.startswith("Face 1: ") and all(f" {name} " in card for name in EMOTIONS)
    assert float(re.search(r"([\d.]+) frames per second", wait(page, lambda: one(page, ".fer-live p").text))[1]) > 0.5
    assert browser.unlabelled(page) == []

    for place in ("video", ".fer-live img"):  # as in a mirror: what is on the camera's left is on the right
        left, right = sides(seen(page, lambda place=place: one(page, place)))
        assert left < -30 and right > 30
    wait(page, lambda: turns_happy(page))
    browser.screenshot(page, artifacts / "live.png", height=1000)
    wait(page, lambda: has_yellow(seen(page, lambda: one(page, ".fer-live img"))))

    start = came(page)[-1][0]
    with browser.opened(address, camera) as other:
        record(other)
        wait(other, lambda: len(came(other)) > 5)
        assert browser.errors(other) == []
    wait(page, lambda: came(page)[-1][0] > start + 5)
    times = [time for time, _ in came(page) if time >= start]
    assert len(times) > 10 and max(later - time for time, later in pairwise(times)) < 5
    go_to(page, "About")  # which stops the camera
    go_to(page, "Live")
    one(page, "button", "Record")
    assert not all_of(page, "button", "Stop")


# --- Video ---------------------------------------------------------------------------------------------------------


def test_a_video_gives_timeline_tables_and_a_video_that_plays(page, pictures, tmp_path, artifacts):
    clip = clips.write(tmp_path / "talk.mp4", [np.asarray(picture) for picture in pictures[::2]], rate=15)
    go_to(page, "Video")
    upload(page, clip)
    wait(page, lambda: all_of(page, "button[aria-label='Clear']") or all_of(page, "video"))
    one(page, "button", "Find expressions").click()
    timeline = one(page, "img[alt^='Face 1']")
    words = timeline.get_attribute("alt")
    assert "happy" in words and "surprise" in words and timeline.get_property("naturalWidth") > 800
    assert all_of(page, "p", words.splitlines()[0]) and browser.unlabelled(page) == []

    links = wait(
        page, lambda: {a.get_attribute("download"): a.get_attribute("href") for a in all_of(page, "a[download]")}
    )
    table, record = (httpx.get(links[f"faces.{ending}"]).text for ending in ("csv", "json"))
    columns = "frame,time,track,emotion,uncertain,left,top,right,bottom,detection_score," + ",".join(EMOTIONS)
    assert table.splitlines()[0] == columns and len(table.splitlines()) > 10
    found = json.loads(record)
    assert [frame["frame"] for frame in found["frames"]] == list(range(0, 53, 3)) and found["problem"] is None

    plays = all_of(page, "video")[-1]
    page.execute_script("arguments[0].muted = true; arguments[0].play()", plays)
    wait(page, lambda: plays.get_property("currentTime") > 0.2)
    assert plays.get_property("duration") == pytest.approx(3.5, abs=0.3) and plays.get_property("videoWidth") == 640
    assert plays.get_property("error") is None
    page.execute_script("arguments[0].pause(); arguments[0].currentTime = 0.5", plays)
    wait(page, lambda: has_yellow(seen(page, lambda: plays)))
    browser.screenshot(page, artifacts / "video.png", height=1350)


def test_a_recording_of_the_camera_is_a_video_and_not_mirrored(page, address):
    visit(page, address)
    go_to(page, "Video")
    one(page, "button[aria-label='Capture from camera']").click()
    one(page, "button", "Webcam").click()
    one(page, "button", "Record").click()
    time = one(page, "video").get_property("currentTime")
    wait(page, lambda: one(page, "video").get_property("currentTime") > time + 2)
    one(page, "button", "Stop").click()
    wait(page, lambda: not all_of(page, "button", "Stop"))
    one(page, "button", "Find expressions").click()
    one(page, "img[alt^='Face 1']")
    wait(page, lambda: [video.get_property("readyState") for video in all_of(page, "video")] == [4, 4])
    for place in (0, 1):
        left, right = sides(seen(page, lambda place=place: all_of(page, "video")[place]))
        assert left > 30 and right < -30


# --- Crops ---------------------------------------------------------------------------------------------------------


def test_crops_are_answered_one_by_one_also_beside_a_damaged_one(page, tmp_path, artifacts):
    go_to(page, "Crops")
    (tmp_path / "damaged.png").write_text("no picture")
    upload(page, EXAMPLES / "crop-happy.png", tmp_path / "damaged.png", EXAMPLES / "crop-surprise.png")
    happy, damaged, surprise = wait(page, lambda: cards(page) or None)
    assert happy.startswith("crop-happy.png: happy") and surprise.startswith("crop-surprise.png: surprise")
    assert damaged.startswith("damaged.png Not read: ")
    one(page, "button", "7 drawn faces").click()
    wait(page, lambda: len(cards(page)) == 7)
    assert len(all_of(page, ".fer-bar")) == 7 * len(EMOTIONS) and browser.unlabelled(page) == []
    browser.screenshot(page, artifacts / "crops.png", height=1330)


# --- About, and the choice of the model ----------------------------------------------------------------------------


def test_about_shows_the_card_of_the_chosen_model(page, artifacts):
    go_to(page, "About")
    assert "PrivateTest" in one(page, "td", "PrivateTest").text
    figures = wait(page, lambda: all_of(page, ".prose img"))
    card = (EXAMPLES.parent / f"weights/{DEFAULT_MODEL}/README.md").read_text()
    assert len(figures) == card.count("](figures/") > 0 and browser.unlabelled(page) == []
    for figure in figures:
        assert figure.get_attribute("src").startswith("data:image/png")
        assert wait(page, lambda figure=figure: figure.get_property("naturalWidth")) > 300
    browser.screenshot(page, artifacts / "about.png", height=1000)
    for name, told in ((app_server.SECOND, "This model has no card"), (DEFAULT_MODEL, "PrivateTest")):
        one(page, "input[aria-label='Model']").click()
        one(page, "[role=option]", name).click()
        wait(page, lambda told=told: told in one(page, "[role=tabpanel]").text)


# --- for everybody -------------------------------------------------------------------------------------------------


def test_on_a_phone_in_the_dark_nothing_scrolls_sideways(page, address, artifacts):
    with browser.screen(page, width=390, height=844):
        visit(page, f"{address}/?__theme=dark")
        assert page.execute_script("return document.body.classList.contains('dark')")
        upload(page, ASTRONAUT)
        one(page, "p", "1 face found.")
        wait(page, lambda: len(frames(page)) == 2)
        assert not browser.scrolls_sideways(page)
        low = [text for text, contrast in browser.contrasts(page) if contrast < 4.5]
        assert low == []
        top = frames(page)[1].location["y"] - 10
    browser.screenshot(page, artifacts / "phone.png", width=390, height=1180, scale=2, top=top)
    with browser.screen(page, width=390, height=844):
        for name in ("Live", "Video", "Crops", "About"):
            go_to(page, name)
            assert not browser.scrolls_sideways(page), name


def test_texts_are_readable_in_the_light(page):
    go_to(page, "Image")
    all_of(page, ".gallery-item")[0].click()
    one(page, "p", "1 face found.")
    found = browser.contrasts(page)
    assert len(found) > 20 and [text for text, contrast in found if contrast < 4.5] == []


def test_the_keyboard_reaches_and_works_every_control(page, address):
    visit(page, address)
    one(page, ".gallery-item")
    reached = {}
    while "body" not in reached:
        ActionChains(page).send_keys(Keys.TAB).perform()
        now = page.switch_to.active_element
        name = now.get_attribute("aria-label") or now.text.split("\n")[0] or now.get_attribute("class").split()[0]
        reached["body" if now.tag_name == "body" else name] = now
    tab_bar = ["Model", "Image", "Live", "Video", "Crops", "About"]
    image_tab = ["Drop an image file here to upload", "Upload file", "Capture from camera", "Paste from clipboard"]
    image_tab += ["gallery-item", "Where does the model look?", "JSON"]
    assert [name for name in reached if name in tab_bar + image_tab] == tab_bar + image_tab  # in the order of sight
    reached["gallery-item"].send_keys(Keys.ENTER)
    one(page, "p", "faces found.")
    reached["Crops"].send_keys(Keys.ENTER)
    one(page, "button", "7 drawn faces").send_keys(Keys.ENTER)
    wait(page, lambda: len(cards(page)) == 7)
