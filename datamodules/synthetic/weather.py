"""Sky, light and the effects of lens and sensor; one weather per drive."""

from dataclasses import dataclass

import cv2
import numpy as np

from datamodules.synthetic.geometry import Camera, Floats, Light, Pixels

# Share of drives, cloudiness, ambient and direct light, the sky overhead and at the horizon, visibility in metres.
KINDS = {
    "clear": (0.3, 0.35, (0.55, 0.58, 0.63), (0.62, 0.58, 0.5), (92, 140, 206), (196, 212, 226), 160),
    "harsh": (0.16, 0.4, (0.34, 0.35, 0.38), (0.95, 0.9, 0.78), (120, 164, 214), (236, 238, 236), 200),
    "overcast": (0.2, 0.5, (0.82, 0.84, 0.86), (0.16, 0.16, 0.15), (176, 182, 188), (214, 216, 214), 110),
    "haze": (0.14, 0.1, (0.74, 0.73, 0.7), (0.22, 0.2, 0.18), (186, 182, 172), (208, 202, 190), 34),
    "dusk": (0.1, 0.45, (0.34, 0.33, 0.4), (0.3, 0.2, 0.12), (70, 76, 110), (206, 150, 110), 90),
    "rain": (0.1, 0.4, (0.6, 0.63, 0.66), (0.08, 0.08, 0.08), (140, 146, 152), (170, 174, 178), 55),
}
GROUND_STEP = 0.06  # metres on the ground per pixel of its texture


@dataclass(frozen=True)
class Weather:
    """A drive's light and the effects of its camera."""

    kind: str
    light: Light
    sky: Pixels  # (height, 2 * width, 3): a panorama, shifted with the camera's yaw
    ground: Pixels  # the ground's texture, 128 is neutral
    noise: Pixels  # larger than a frame, 128 is neutral
    blur: float
    tone: Pixels  # (256, 3): a lookup for exposure, contrast and colour cast

    @classmethod
    def sample(cls, rng: np.random.Generator, size: tuple[int, int]) -> "Weather":
        """Return a random weather for frames of `size` (height, width)."""
        kind = str(rng.choice(list(KINDS), p=[share for share, *_ in KINDS.values()]))
        _, cloudiness, ambient, direct, overhead, horizon, visibility = KINDS[kind]
        up, around = rng.uniform(0.3, 1.1), rng.uniform(0, 2 * np.pi)
        wobble = rng.normal(1.0, 0.035, (4, 3))
        light = Light(
            sun=np.array([np.cos(up) * np.sin(around), np.sin(up), np.cos(up) * np.cos(around)]),
            ambient=np.array(ambient) * wobble[0],
            diffuse=np.array(direct) * wobble[1],
            haze=np.clip(np.array(horizon) * wobble[2] * 0.95, 0, 255),
            visibility=visibility * float(rng.uniform(0.7, 1.4)),
        )
        top, low = np.clip(np.array([overhead, horizon]) * wobble[[3, 2]], 0, 255)
        height, width = size
        grain = float(rng.uniform(3.0, 8.0)) + (5.0 if kind == "dusk" else 0.0)
        noise = 128 + grain * rng.standard_normal((height + 64, width + 64, 3), dtype=np.float32)
        blotches = speckle(rng, (height + 64, width + 64), [(6, 3.0), (18, 3.0)])
        return cls(
            kind=kind,
            light=light,
            sky=_panorama(rng, (height, 2 * width), top, low, cloudiness * float(rng.uniform(0.4, 1.2))),
            ground=_ground(rng, shade=float(rng.uniform(0.3, 0.65)) if kind in ("clear", "harsh") else 0.1),
            noise=np.clip(noise + blotches[..., None], 0, 255).astype(np.uint8),
            blur=float(rng.uniform(0.3, 0.9)) + (0.5 if kind == "rain" else 0.0),
            tone=_tone(rng),
        )

    def lay_ground(self, image: Pixels, camera: Camera) -> None:
        """Multiply the image below the horizon by the ground's texture in perspective, in place."""
        top = max(0, int(camera.horizon) + 2)
        cosine, sine = np.cos(camera.yaw), np.sin(camera.yaw)
        side = np.array([cosine, -sine, sine * camera.z - cosine * camera.x])
        ahead = np.array([sine, cosine, -sine * camera.x - cosine * camera.z])
        row = camera.focal * camera.height * np.array([0.0, 0.0, 1.0]) + (camera.horizon - top) * ahead
        metres = np.array([[GROUND_STEP, 0.0, -15.0], [0.0, GROUND_STEP, 0.0], [0.0, 0.0, 1.0]])
        project = np.stack([camera.centre * ahead + camera.focal * side, row, ahead]) @ metres
        below = image[top:]
        size = below.shape[1::-1]
        texture = cv2.warpPerspective(self.ground, project, size, borderMode=cv2.BORDER_REFLECT)
        cv2.multiply(below, cv2.cvtColor(texture, cv2.COLOR_GRAY2RGB), dst=below, scale=1 / 128)

    def expose(self, image: Pixels, rng: np.random.Generator) -> Pixels:
        """Return a drawn frame with rain, blur, tone and noise."""
        height, width = image.shape[:2]
        if self.kind == "rain":
            _draw_streaks(image, rng)
        image = cv2.GaussianBlur(image, (0, 0), self.blur).astype(np.uint8, copy=False)
        table = np.clip(self.tone * rng.uniform(0.93, 1.07), 0, 255).astype(np.uint8)
        image = cv2.LUT(image, table.reshape(256, 1, 3)).astype(np.uint8, copy=False)
        y, x = rng.integers(0, 64, 2)
        noise = self.noise[y : y + height, x : x + width]
        return cv2.addWeighted(image, 1.0, noise, 1.0, -128.0).astype(np.uint8, copy=False)


def speckle(rng: np.random.Generator, size: tuple[int, int], layers: list[tuple[int, float]]) -> Floats:
    """Return smooth noise around 0 of `size` (height, width); each layer is (grain in pixels, standard deviation)."""
    height, width = size
    total = np.zeros(size)
    for grain, deviation in layers:
        coarse = rng.normal(0.0, deviation, (height // grain + 2, width // grain + 2)).astype(np.float32)
        total += cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    return total


def _panorama(rng: np.random.Generator, size: tuple[int, int], top: Floats, low: Floats, clouds: float) -> Pixels:
    half = (size[0] // 2, size[1] // 2)  # clouds are soft: half the resolution suffices
    t = np.linspace(0.0, 1.0, half[0])[:, None, None] ** 1.3
    cover = speckle(rng, half, [(80, 0.7), (30, 0.5), (12, 0.25), (5, 0.12)]) + clouds - 0.3
    cloud = np.clip(np.clip(cover, 0, 1)[..., None] * clouds * 1.6, 0, 0.9)
    white = np.clip(low * 1.12 + 10, 0, 255)
    small = ((top + (low - top) * t) * (1 - cloud) + white * cloud).astype(np.uint8)
    return cv2.resize(small, size[::-1], interpolation=cv2.INTER_LINEAR).astype(np.uint8, copy=False)


def _ground(rng: np.random.Generator, shade: float) -> Pixels:
    """Return a texture of grain, patches, tyre tracks and dappled shadows of trees."""
    size = (900, 500)
    texture = 128 + speckle(rng, size, [(1, 7.0), (3, 5.0), (14, 6.0), (60, 8.0)])
    texture += cv2.resize(rng.normal(0, 6.0, (3, 50)).astype(np.float32), size[::-1])  # bilinear
    shadow = np.clip(speckle(rng, size, [(70, 1.2), (25, 0.7), (9, 0.4)]) * 2 - 0.6, 0, 1)
    texture *= 1 - shade * shadow
    for _ in range(8):
        y, x = int(rng.integers(0, 860)), int(rng.integers(0, 460))
        texture[y : y + int(rng.integers(8, 70)), x : x + int(rng.integers(8, 50))] *= rng.uniform(0.78, 1.12)
    return np.clip(texture, 0, 255).astype(np.uint8)


def _tone(rng: np.random.Generator) -> Pixels:
    level = np.linspace(0.0, 1.0, 256)[:, None]
    gamma, gain = rng.uniform(0.75, 1.35), rng.uniform(0.82, 1.15)
    cast = 1 + rng.normal(0.0, 0.04, 3)
    return np.clip(255 * level**gamma * gain * cast, 0, 255).astype(np.uint8)


def _draw_streaks(image: Pixels, rng: np.random.Generator) -> None:
    height, width = image.shape[:2]
    slope = float(rng.uniform(-0.2, 0.2))
    for x, y, long in rng.uniform((0, 0, 8), (width, height, 26), (110, 3)):
        start, end = (int(x), int(y)), (int(x + slope * long), int(y + long))
        patch = image[max(0, start[1]) : end[1], max(0, min(start[0], end[0]) - 1) : max(start[0], end[0]) + 2]
        patch[...] = cv2.addWeighted(patch, 0.93, np.full_like(patch, 215), 0.07, 0) if patch.size else patch
