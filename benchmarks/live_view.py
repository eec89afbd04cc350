"""The Live tab for a minute, in a real Chromium with a fake camera: frames per second, delay and memory.

python benchmarks/live_view.py --seconds 60

A bar that moves through the camera's picture tells how old a result is when the browser shows it: its place there and
in the preview are read at the same moment. The camera itself is not in that delay.
"""

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import psutil
from gradio_client import Client, handle_file
from PIL import Image

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests/support")]  # the checkout need not be installed

import app_server
import browser

from fer_hub.demo.tabs import LIVE_TURN

LOOP = 120  # pictures of the camera until it begins again: about four seconds, longer than any delay
PHOTO = browser.EXAMPLES / "astronaut.webp"
WATCH = """
    window.came = [];
    const canvas = document.createElement("canvas").getContext("2d", {willReadFrequently: true});
    const bar = (source, width, height) => {  // its middle, 0 to 1
        canvas.canvas.width = width;
        canvas.canvas.height = 4;
        canvas.drawImage(source, 0, height - 10, width, 4, 0, 0, width, 4);
        const pixels = canvas.getImageData(0, 0, width, 4).data;
        let sum = 0, places = 0;
        for (let x = 0; x < width; x++)
            if (pixels[4 * x] > 128) { sum += x + 0.5; places++; }
        return sum / places / width;
    };
    new MutationObserver(async () => {
        const image = document.querySelector(".fer-live img");
        if (!image || image.src === window.last) return;
        window.last = image.src;
        const time = performance.now() / 1000, video = document.querySelector("video");
        await image.decode();
        const shown = bar(image, image.naturalWidth, image.naturalHeight);
        window.came.push([time, bar(video, video.videoWidth, video.videoHeight), 1 - shown]);  // the result is mirrored
    }).observe(document.body, {subtree: true, childList: true, attributes: true});
"""


def camera_pictures():
    face = Image.open(PHOTO).convert("RGB").crop((64, 0, 448, 288)).resize((560, 420))
    for number in range(LOOP):
        picture = Image.new("RGB", (640, 480))
        picture.paste(face, (40 + number % 20, 20))
        middle = round((number + 0.5) / LOOP * 640)
        picture.paste((255, 255, 255), (max(0, middle - 4), 460, middle + 4, 480))
        yield picture


def memory(process):
    return process.memory_info().rss / 1e6


def tab_of(driver):
    """The browser's largest page process."""
    children = psutil.Process(driver.service.process.pid).children(recursive=True)
    return max((child for child in children if "--type=renderer" in child.cmdline()), key=memory)


def told(values):
    return f"{len(values) / (values[-1] - values[0]):.1f}" if len(values) > 1 else "-"


parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
parser.add_argument("--seconds", type=int, default=60)
given = parser.parse_args()
if not 15 <= given.seconds < LIVE_TURN:
    parser.error(f"--seconds {given.seconds} is not in 15..{LIVE_TURN - 1}: after {LIVE_TURN} the page ends a turn")

with tempfile.TemporaryDirectory() as folder:
    camera = browser.write_camera(Path(folder) / "camera.mjpeg", list(camera_pictures()))
    start = time.monotonic()
    with app_server.running(Path(folder)) as app:
        answered = time.monotonic() - start
        Client(app.address, verbose=False).predict(handle_file(PHOTO), api_name="/predict")
        print(f"from the start of the process to the page {answered:.1f} s, "
              f"to the first prediction {time.monotonic() - start:.1f} s")  # fmt: skip
        server = psutil.Process(app.process.pid)
        sizes = {"before": memory(server)}
        with browser.opened(app.address, camera) as driver:
            browser.go_to(driver, "Live")
            driver.execute_script(WATCH)
            browser.one(driver, "button", "Webcam").click()
            browser.one(driver, "button", "Record").click()
            browser.wait(driver, lambda: driver.execute_script("return window.came.length"))
            begin = time.monotonic()
            time.sleep(10)
            sizes["after 10 s"], tabs = memory(server), [memory(tab_of(driver))]
            time.sleep(max(0, given.seconds - (time.monotonic() - begin)))
            sizes["at the end"] = memory(server)
            tabs.append(memory(tab_of(driver)))
            came = np.array(driver.execute_script("return window.came"), float)

came = came[~np.isnan(came).any(axis=1)]  # before the camera's first picture there is no bar
times, preview, result = came.T
times -= times[0]
first, last = times[times <= 10], times[times >= times[-1] - 10]
print(f"frames per second in the browser: mean {told(times)}, first 10 s {told(first)}, last 10 s {told(last)} "
      f"({len(times)} in {times[-1]:.1f} s, longest gap {np.diff(times).max():.2f} s)")  # fmt: skip
loop = times[-1] / (np.unwrap(preview, period=1)[-1] - preview[0])  # seconds; from the preview, as it was shown
delays = (preview - result) % 1 * loop
print(f"from the preview to the result: median {np.median(delays):.2f} s, nine of ten within "
      f"{np.quantile(delays, 0.9):.2f} s (camera: {LOOP / loop:.1f} pictures per second)")  # fmt: skip
print("memory of the server, MB: " + ", ".join(f"{when} {size:,.0f}" for when, size in sizes.items()))
print(f"memory of the browser's page, MB: after 10 s {tabs[0]:,.0f}, at the end {tabs[1]:,.0f}")
print(f"load of the machine: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
