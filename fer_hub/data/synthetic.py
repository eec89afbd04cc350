"""Procedurally drawn faces: the embedded data set for when no real one is at hand.

Every face is drawn in head coordinates (origin between the eyes and the nose, x to the right, y
down, chin near y = 1) and then posed, lit, blurred and made noisy. Its expression moves brows, eyes
and mouth, and the skin folds that go with them, after the facial action units (AU) that FACS lists
for the emotion; nothing else depends on the label. Weak expressions overlap, as real ones do.
"""

import math

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

SPLIT_SIZES = {"train": 5600, "validation": 1050, "test": 1050}

SIZE = 48
SUPERSAMPLING = 3  # drawn larger, then reduced: Pillow's polygons are not anti-aliased

# How far each expression at full strength moves each feature from the neutral face, in half head heights
# (positive: up, together, wider, more open); "pressed" lips and a "wrinkled" nose are strengths, 0 to 1.
EXPRESSIONS = np.array(
    [
        # brows: inner outer arch together; lids: upper lower; mouth: corners width jaw upper-lip one-sided; strengths
        [-0.13, 0.04, -0.02, 0.07, -0.030, 0.02, -0.05, -0.04, 0.00, 0.00, 0.00, 1.0, 0.0],  # angry: AU 4 7 23 24
        [-0.06, -0.04, 0.00, 0.02, -0.030, 0.04, -0.03, -0.02, 0.04, 0.09, 0.07, 0.0, 1.0],  # disgust: AU 9 10
        [0.13, 0.03, -0.03, 0.06, 0.045, 0.00, -0.09, 0.08, 0.14, 0.01, 0.00, 0.0, 0.0],  # fear: AU 1 2 4 5 20 26
        [0.00, 0.00, 0.01, 0.00, -0.010, 0.03, 0.13, 0.10, 0.09, 0.02, 0.00, 0.0, 0.0],  # happy: AU 6 12 25
        [0.11, -0.07, -0.02, 0.03, -0.035, 0.00, -0.12, -0.02, 0.00, 0.00, 0.00, 0.2, 0.0],  # sad: AU 1 4 15
        [0.13, 0.12, 0.05, -0.01, 0.060, -0.01, 0.00, -0.09, 0.30, 0.01, 0.00, 0.0, 0.0],  # surprise: AU 1 2 5 26
        [0.00, 0.00, 0.00, 0.00, 0.000, 0.00, 0.00, 0.00, 0.00, 0.00, 0.00, 0.0, 0.0],  # neutral
    ]
)
WEAKEST, STRONGEST = 0.3, 1.3
# People differ at rest, too: a resting face may look a little sad, angry or surprised.
RESTING_SPREAD = np.array([0.02, 0.02, 0.01, 0.015, 0.01, 0.006, 0.02, 0.03, 0.01, 0.006, 0.012, 0.15, 0.1])

# Abscissae of every drawn outline, denser at both ends where ellipses turn; ARC is the half ellipse over them.
ANGLES = np.linspace(0, np.pi, 15)
ALONG, ARC = -np.cos(ANGLES), np.sin(ANGLES)
DOME = ARC**2  # the parabola over the same abscissae: flatter flanks than ARC, pointed ends
GRID_Y, GRID_X = np.mgrid[-1 : 1 : SIZE * 1j, -1 : 1 : SIZE * 1j].astype(np.float32)
VIGNETTE = 1 - 0.12 * (GRID_X**2 + GRID_Y**2)  # also makes the flat tones look round


def draw_split(split: str, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Draws one split of the synthetic data set.

    Face number i depends on (seed, split, i) alone; the splits share no face.

    Args:
        split: A key of SPLIT_SIZES.
        seed: Non-negative; another seed gives other faces.

    Returns:
        Images, uint8 of shape (N, 48, 48), values 0 (black) to 255 (white), and labels, int64 of
        shape (N,), values 0..6 = angry, disgust, fear, happy, sad, surprise, neutral. Every label
        occurs N / 7 times; the order is shuffled.

    Raises:
        KeyError: No such split.
    """
    size = SPLIT_SIZES[split]
    split_number = list(SPLIT_SIZES).index(split)
    labels = np.arange(size, dtype=np.int64) % len(EXPRESSIONS)
    np.random.default_rng(np.random.SeedSequence([seed, split_number])).shuffle(labels)
    images = np.empty((size, SIZE, SIZE), np.uint8)
    for index, label in enumerate(labels):
        # The index counts from 1, as SeedSequence takes trailing zeros for nothing.
        rng = np.random.default_rng(np.random.SeedSequence([seed, split_number, index + 1]))
        images[index] = _photograph(_draw_face(label, rng), rng)
    return images, labels


def _draw_face(label: int, rng: np.random.Generator) -> Image.Image:
    """Draws one posed face.

    Args:
        label: Expression, 0..6.
        rng: Source of everything else about the face.

    Returns:
        Mode "L", SIZE * SUPERSAMPLING pixels wide and high.
    """
    moved = rng.normal(rng.uniform(WEAKEST, STRONGEST) * EXPRESSIONS[label], RESTING_SPREAD)
    (brow_inner, brow_outer, brow_arch, brow_together, upper_lid, lower_lid,
     corners, width, jaw, upper_lip, one_sided, pressed, wrinkled) = moved.tolist()  # fmt: skip
    pressed, wrinkled, jaw = min(max(pressed, 0), 1), min(max(wrinkled, 0), 1), max(jaw, 0)

    skin = rng.uniform(120, 215)
    hair = rng.uniform(15, 0.75 * skin) if rng.random() < 0.85 else rng.uniform(150, 225)
    background = rng.uniform(10, 245)
    dark = 0.3 * skin  # lid lines, nostrils, the inside of the mouth

    pixels = SUPERSAMPLING * SIZE
    canvas = Image.new("L", (pixels, pixels), int(background))
    draw = ImageDraw.Draw(canvas)
    turn, yaw = math.radians(rng.normal(0, 6)), rng.uniform(-0.12, 0.12)
    scale = SUPERSAMPLING * rng.uniform(20.5, 23.5)
    middle = pixels / 2 + SUPERSAMPLING * rng.uniform(-1.5, 1.5, 2)
    # Points as complex numbers: one multiplication turns and scales them.
    pose, origin = scale * complex(math.cos(turn), math.sin(turn)), complex(*middle)

    def place(points: np.ndarray) -> list[float]:
        return (points * pose + origin).view(float).tolist()

    def fill(x: np.ndarray, top: np.ndarray, bottom: np.ndarray, tone: float) -> None:
        draw.polygon(place(np.concatenate([x + 1j * top, (x + 1j * bottom)[::-1]])), fill=int(tone))

    def stroke(x: np.ndarray, y: np.ndarray, thickness: float, tone: float) -> None:
        draw.line(place(x + 1j * y), fill=int(tone), width=round(thickness * scale))

    # Head. It does not turn with yaw: the features slide across it, which reads as a turned head.
    half_width, chin = rng.uniform(0.70, 0.82), rng.uniform(0.95, 1.05)
    long_hair = rng.random() < 0.4
    shoulders = ARC * 0 + rng.uniform(1.25, 1.4)
    fill(ALONG * (half_width + 0.14), -0.15 - 0.98 * ARC, (1.1 if long_hair else 0.1) * ARC**0.4, hair)
    fill(ALONG * 0.42, ARC * 0 + 0.5, shoulders, 0.72 * skin)
    fill(ALONG * 1.5, shoulders - 0.25 * DOME, ARC * 0 + 2, rng.uniform(20, 230))
    if not long_hair:
        for side in (-1, 1):
            fill(side * half_width + 0.1 * ALONG, -0.02 - 0.19 * ARC, -0.02 + 0.19 * ARC, 0.85 * skin)
    fill(ALONG * half_width, -0.95 * ARC, chin * ARC ** rng.uniform(0.75, 1.0), 0.9 * skin)
    fill(ALONG * half_width * 0.9, -0.9 * ARC, 0.93 * chin * ARC, skin)
    hairline = rng.uniform(0.66, 0.92)
    fill(ALONG * (half_width + 0.03), -1.1 * ARC, -hairline * ARC + 0.15 * rng.uniform(-1, 1) * ALONG * ARC, hair)
    fill(ALONG * 0.45, -0.93 - 0.13 * DOME, -0.91 - 0.08 * DOME, min(1.15 * hair + 12, 250))

    # Nose, and the folds beside it that raised cheeks and a raised upper lip deepen (AU 6, 10, 12).
    nose = yaw * 1.4
    nose_tip = rng.uniform(0.20, 0.28)
    shaded = 1 if rng.random() < 0.5 else -1
    stroke(nose + shaded * np.array([0.05, 0.07, 0.12]), np.array([-0.1, 0.1, nose_tip]), 0.045, 0.83 * skin)
    stroke(nose + 0.12 * ALONG, nose_tip + 0.04 * DOME - 0.03 * wrinkled, 0.04, 0.62 * skin)
    mouth_half_width = rng.uniform(0.27, 0.33) + width
    folds = min(max(4 * corners + 8 * upper_lip, 0), 1)
    for side in (-1, 1):
        x = nose + side * np.array([0.17, 0.27, mouth_half_width + 0.08])
        stroke(x, np.array([nose_tip - 0.04, nose_tip + 0.06, 0.48]), 0.035, skin * (0.95 - 0.25 * folds))
        if wrinkled > 0.3:
            for height in (-0.12, -0.03):
                x = nose + side * np.array([0.03, 0.12])
                stroke(x, np.array([height - 0.03, height + 0.03]), 0.03, skin * (1 - 0.35 * wrinkled))

    # Eyes and brows. `inner` runs from 1 at the nose to 0 at the temple.
    eye_x, eye_y, eye_half_width = rng.uniform(0.32, 0.37), rng.uniform(-0.16, -0.08), rng.uniform(0.135, 0.165)
    top_opening = max(rng.uniform(0.055, 0.075) + upper_lid, 0.008)
    bottom_opening = max(rng.uniform(0.04, 0.055) - lower_lid, 0.008)
    gaze = rng.normal(0, 0.025)
    brow_y, brow_thickness = eye_y - rng.uniform(0.19, 0.25), rng.uniform(0.03, 0.065)
    brow_tone = min(hair, 0.55 * skin)
    for side in (-1, 1):
        centre = yaw + side * eye_x
        x = centre + eye_half_width * ALONG
        fill(centre + 0.2 * ALONG, eye_y - 0.14 * ARC, eye_y + 0.12 * ARC, 0.9 * skin)
        lids = eye_y - top_opening * ARC, eye_y + bottom_opening * ARC
        fill(x, *lids, min(1.25 * skin + 15, 250))
        iris = centre + gaze + 0.07 * ALONG
        limits = [np.interp(iris, x, lid) for lid in lids]
        fill(iris, *((eye_y - 0.01 + way * 0.075 * ARC).clip(*limits) for way in (-1, 1)), dark * 0.6)
        stroke(x, lids[0], 0.03, dark)
        stroke(x, lids[1], 0.02, 0.7 * skin)
        inner = (1 - side * ALONG) / 2
        x = centre + 0.2 * ALONG - side * brow_together * inner
        y = brow_y - brow_inner * inner - brow_outer * (1 - inner) - (0.045 + brow_arch) * DOME
        half = brow_thickness * (0.35 + 0.65 * inner)
        fill(x, y - half, y + half, brow_tone)

    # Mouth: lips as one shape, then the opening between them, then the upper teeth in it.
    x = yaw * 1.1 + mouth_half_width * ALONG
    rest = rng.uniform(0.49, 0.56)
    line = rest - corners * (ALONG**2 - 0.4) - (1 if rng.random() < 0.5 else -1) * one_sided * ALONG
    fullness = rng.uniform(0.8, 1.3) * (1 - 0.65 * pressed)
    above, below = line - upper_lip * DOME - 0.3 * jaw * ARC, line + 0.7 * jaw * ARC
    fill(x, above - 0.05 * fullness * DOME, below + 0.075 * fullness * DOME, rng.uniform(0.62, 0.78) * skin)
    if jaw > 0.025:
        fill(x * 0.94 + 0.06 * x.mean(), above, below, dark * 0.7)
        teeth = np.minimum(above + max(0.05 + 0.3 * width, 0) * ARC, below)
        fill(x * 0.85 + 0.15 * x.mean(), above, teeth, min(1.2 * skin, 240))
    else:
        stroke(x, (above + below) / 2, 0.03, 0.4 * skin)
    stroke(yaw + 0.13 * ALONG, min(rest + 0.7 * jaw + 0.19, 0.9 * chin) - 0.03 * DOME, 0.03, 0.88 * skin)

    covered = rng.random()
    if covered < 0.14:  # glasses
        frame = rng.uniform(10, 90)
        for side in (-1, 1):
            for way in (-1, 1):
                stroke(yaw + side * eye_x + 0.24 * ALONG, eye_y + way * 0.19 * ARC, 0.035, frame)
        stroke(yaw + 0.12 * ALONG, eye_y - 0.05 * DOME, 0.035, frame)
    elif covered < 0.24:  # fingers of a hand, from one side, anywhere between brow and chin
        side, knuckles, reach = 1 if rng.random() < 0.5 else -1, rng.uniform(-0.5, 0.7), rng.uniform(0.05, 0.45)
        for finger in range(3):
            tip = side * (reach + 0.06 * (finger != 1))
            x, y = np.linspace(tip, side * 1.6, 3), knuckles + 0.17 * finger + np.array([0, 0.05, 0.3])
            stroke(x, y, 0.19, 0.68 * skin)
            stroke(x, y, 0.15, 0.95 * skin)
    return canvas


def _photograph(drawing: Image.Image, rng: np.random.Generator) -> np.ndarray:
    """Lights a drawn face and takes its picture with a cheap camera.

    Args:
        drawing: Mode "L", SIZE * SUPERSAMPLING pixels wide and high.
        rng: Source of light, focus and sensor noise.

    Returns:
        uint8 of shape (SIZE, SIZE), values 0-255.
    """
    focused = drawing.reduce(SUPERSAMPLING).filter(ImageFilter.GaussianBlur(rng.uniform(0.2, 0.8)))
    slope, direction = rng.uniform(0, 0.28), rng.uniform(0, 2 * math.pi)
    light = VIGNETTE + slope * math.cos(direction) * GRID_X + slope * math.sin(direction) * GRID_Y
    lit = np.asarray(focused) * light * (rng.uniform(0.85, 1.2) / 255)
    exposed = np.clip(lit, 0, 1) ** rng.uniform(0.8, 1.25)
    noise = rng.uniform(0.005, 0.025) * rng.standard_normal((SIZE, SIZE), np.float32)
    return np.clip(255 * (exposed + noise), 0, 255).astype(np.uint8)
