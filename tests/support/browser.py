"""A real Chromium with a fake camera, and what a visitor does with it."""

import base64
import io
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image
from selenium.common.exceptions import StaleElementReferenceException
from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import WebDriverWait

EXAMPLES = Path(__file__).parents[2] / "fer_hub/examples"
PROGRAM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
DRIVER = shutil.which("chromedriver")
MISSING = None if PROGRAM and DRIVER else "chromium and chromedriver are missing: apt-get install chromium-driver"
PATIENCE = 60  # seconds that anything on the page may take, on a machine that is busy with other things too


@contextmanager
def opened(address: str, camera: Path | None = None) -> Iterator[Chrome]:
    """A browser with a page of its own, 1280x1000; its camera shows the pictures of `camera`, see `write_camera`."""
    options = ChromeOptions()
    options.binary_location = PROGRAM
    switches = ["headless=new", "window-size=1280,1000", "mute-audio", "no-first-run", "hide-scrollbars"]
    switches += ["disable-dev-shm-usage"]  # /dev/shm is small in containers
    # No other machine is found, so that whatever the page asks of one fails and is an error in the console.
    switches += ["no-proxy-server", "host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.*"]
    switches += ["no-sandbox"] if os.geteuid() == 0 else []  # as root it starts in no other way
    if camera:
        switches += ["use-fake-device-for-media-stream", "use-fake-ui-for-media-stream"]
        switches += [f"use-file-for-fake-video-capture={camera}"]
    for switch in switches:
        options.add_argument(f"--{switch}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = Chrome(options=options, service=Service(DRIVER))
    try:
        driver.get(address)
        wait(driver, lambda: tabs(driver))
        yield driver
    finally:
        driver.quit()


def write_camera(file: Path, pictures: list[Image.Image]) -> Path:
    """Pictures for a fake camera, which shows them at 30 per second, again and again: JPEGs one after another."""
    with file.open("wb") as stream:
        for picture in pictures:
            picture.save(stream, "JPEG", quality=85)
    return file


# --- what a visitor does -------------------------------------------------------------------------------------------


def wait(driver: Chrome, condition: Callable[[], object], patience: float = PATIENCE):
    """The condition's value, as soon as it holds; elements that go meanwhile are looked up again."""
    return WebDriverWait(driver, patience, 0.1, [StaleElementReferenceException]).until(lambda _: condition())


def all_of(place: Chrome | WebElement, selector: str, text: str = "") -> list[WebElement]:
    """What is to be seen of a selector's elements, with this text in them."""
    found = place.find_elements(By.CSS_SELECTOR, selector)
    return [element for element in found if element.is_displayed() and text in element.text]


def one(driver: Chrome, selector: str, text: str = "") -> WebElement:
    """The first of `all_of`, as soon as it is there."""
    return wait(driver, lambda: next(iter(all_of(driver, selector, text)), None))


def tabs(driver: Chrome) -> dict[str, WebElement]:
    return {tab.text.strip(): tab for tab in all_of(driver, "button[role=tab]")}


def go_to(driver: Chrome, name: str) -> WebElement:
    """Opens a tab; its panel."""
    more = "button[aria-label='More tabs']"  # of a narrow screen
    wait(driver, lambda: name in tabs(driver) or all_of(driver, more))
    if name in tabs(driver):
        tabs(driver)[name].click()
    else:
        one(driver, more).click()
        one(driver, ".overflow-dropdown button", name).click()
    return one(driver, "[role=tabpanel]")


def upload(driver: Chrome, *files: Path) -> None:
    """Chooses files in the first field of the open tab that takes some."""
    field = wait(driver, lambda: one(driver, "[role=tabpanel]").find_elements(By.CSS_SELECTOR, "input[type=file]"))[0]
    field.send_keys("\n".join(map(str, files)))


def seen(driver: Chrome, find: Callable[[], WebElement]) -> np.ndarray:
    """What is on the screen at the place of an element, uint8 (H, W, 3)."""
    taken = wait(driver, lambda: find().screenshot_as_png)
    return np.asarray(Image.open(io.BytesIO(taken)).convert("RGB"))


def screenshot(driver: Chrome, file: Path, height: int, width: int = 1280, scale: float = 1, top: int = 0) -> None:
    """A picture of the page as on a screen of this size, from `top` on."""
    with screen(driver, width, height, scale):
        driver.execute_script("window.scrollTo(0, arguments[0])", top)
        taken = driver.execute_cdp_cmd("Page.captureScreenshot", {"format": "png"})["data"]
    file.write_bytes(base64.b64decode(taken))


@contextmanager
def screen(driver: Chrome, width: int, height: int, scale: float = 1) -> Iterator[None]:
    """Another screen for a while, which can be narrower than a window."""
    size = {"width": width, "height": height, "deviceScaleFactor": scale, "mobile": width < 600}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    try:
        yield
    finally:
        driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


# --- what the page is like -----------------------------------------------------------------------------------------


def unlabelled(driver: Chrome) -> list[str]:
    """Pictures among the results of the open tab that a screen reader could not tell."""
    pictures = driver.execute_script("""
        const found = [...document.querySelectorAll(".fer-face img, .fer-live img, .prose img")];
        return found.filter(picture => picture.checkVisibility()).map(picture => [picture.alt, picture.src]);
    """)
    assert pictures
    return [source[:80] for words, source in pictures if not words.strip()]


def scrolls_sideways(driver: Chrome) -> bool:
    return driver.execute_script("let e = document.documentElement; return e.scrollWidth > e.clientWidth")


def contrasts(driver: Chrome) -> list[tuple[str, float]]:
    """The contrasts of texts among the results with what is behind them (WCAG 2.2, 1.4.3), by their texts."""
    return driver.execute_script("""
        const parts = color => color.match(/[\\d.]+/g).map(Number);
        const linear = value => (value /= 255) <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
        const light = ([r, g, b]) => 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b);
        const behind = element => {
            for (; element; element = element.parentElement) {
                const color = parts(getComputedStyle(element).backgroundColor);
                if (color.length < 4 || color[3] > 0.5) return color;
            }
            return [255, 255, 255];
        };
        const texts = [...document.querySelectorAll(".fer-face figcaption, .fer-face :is(th, td), .fer-table th, p")];
        return texts.filter(element => element.checkVisibility() && element.innerText.trim()).map(element => {
            const [a, b] = [light(parts(getComputedStyle(element).color)), light(behind(element))];
            return [element.innerText, (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05)];
        });
    """)


# --- what the browser noted ----------------------------------------------------------------------------------------


def errors(driver: Chrome) -> list[str]:
    """What the console has had of the kind SEVERE since the last call: also every request to another machine."""
    return [entry["message"] for entry in driver.get_log("browser") if entry["level"] == "SEVERE"]
