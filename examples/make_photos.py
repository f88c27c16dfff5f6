"""Draws the example photographs: scaled pictures with captions, lists, stamps, handwriting and watermarks on top.

Run from the repository:

    python examples/make_photos.py --source DIR --fonts /usr/share/fonts --out examples/photos

DIR holds the photographs of examples/README.md. The same photographs, fonts and Pillow version give the same bytes.
"""

from __future__ import annotations

import argparse
import io
import logging
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageChops, ImageCms, ImageDraw, ImageFilter, ImageFont

logger = logging.getLogger("make_photos")

Colour = tuple[int, int, int]
WHITE: Colour = (255, 255, 255)
INK: Colour = (18, 22, 30)
STAMP_RED: Colour = (186, 24, 38)
PEN_BLUE: Colour = (22, 42, 118)
YELLOW: Colour = (255, 214, 10)
SEED = 4412

EXIF_DESCRIPTION, EXIF_ORIENTATION, EXIF_ARTIST, EXIF_COPYRIGHT = 0x010E, 0x0112, 0x013B, 0x8298

FONT_FILES = {
    "bold": "Lato-Bold.ttf",
    "regular": "Lato-Medium.ttf",
    "black": "Lato-Black.ttf",
    "hand": "dkgBd.ttf",
    "cjk": "wqy-microhei.ttc",
    "script": "lobster.otf",
    "mono": "DejaVuSansMono-Bold.ttf",
}

PRICES = (
    ("Fig, whole", "0.90"),
    ("Fig, halved, with honey", "1.40"),
    ("Fig and goat cheese", "4.20"),
    ("Fig tart", "3.80"),
    ("Fig jam, 200 g", "5.50"),
    ("Dried figs, 500 g", "7.25"),
    ("Fig leaf tea", "2.60"),
    ("Fig ice cream", "3.10"),
    ("Fig and ham", "6.40"),
    ("Basket of figs, 2 kg", "11.00"),
)


@dataclass(frozen=True)
class Studio:
    """Where photographs and fonts come from.

    Attributes:
        source: folder with the photographs.
        fonts: file name of a font -> its path.
    """

    source: Path
    fonts: Mapping[str, Path]

    def photo(self, name: str, width: int, height: int) -> Image.Image:
        """The photograph `name`, cropped about its centre and scaled (Lanczos) to width x height, RGB."""
        with Image.open(self.source / name) as opened:
            picture = opened.convert("RGB")
        scale = max(width / picture.width, height / picture.height)
        left = (picture.width - width / scale) / 2
        top = (picture.height - height / scale) / 2
        box = (left, top, left + width / scale, top + height / scale)
        return picture.resize((width, height), Image.Resampling.LANCZOS, box=box)

    def font(self, style: str, size_px: int) -> ImageFont.FreeTypeFont:
        """A font of FONT_FILES at a size.

        Raises:
            SystemExit: the font is not installed.
        """
        name = FONT_FILES[style]
        if name not in self.fonts:
            raise SystemExit(f"font {name} not found under --fonts; examples/README.md lists the packages")
        return ImageFont.truetype(str(self.fonts[name]), size_px)


def letters(
    size: tuple[int, int], at: tuple[float, float], text: str, font: ImageFont.FreeTypeFont, anchor: str = "la",
    stroke_px: float = 0,
) -> Image.Image:  # fmt: skip
    """Coverage (mode L, 0..255) of text on a canvas of `size`."""
    mask = Image.new("L", size, 0)
    ImageDraw.Draw(mask).text(at, text, fill=255, font=font, anchor=anchor, stroke_width=stroke_px)
    return mask


def lay(picture: Image.Image, mask: Image.Image, colour: Colour, opacity: float = 1.0) -> Image.Image:
    """The picture with a colour laid on where the mask covers it."""
    cover = mask.point([round(value * opacity) for value in range(256)])
    return Image.composite(Image.new("RGB", picture.size, colour), picture, cover)


def outlined(
    picture: Image.Image, at: tuple[float, float], text: str, font: ImageFont.FreeTypeFont, colour: Colour = WHITE,
    anchor: str = "ms",
) -> Image.Image:  # fmt: skip
    """Text in a colour with a dark outline, as subtitles and captions have it."""
    edge = max(2, font.size // 16)
    dark = lay(picture, letters(picture.size, at, text, font, anchor, edge), INK, 0.9)
    return lay(dark, letters(picture.size, at, text, font, anchor), colour)


def slanted(size: tuple[int, int], at: tuple[float, float], text: str, font: ImageFont.FreeTypeFont,
            degrees: float, stroke_px: float = 0) -> Image.Image:  # fmt: skip
    """Coverage of text centred on `at` and turned counter-clockwise, drawn at twice the size for smooth edges."""
    big = (size[0] * 2, size[1] * 2)
    centre = (at[0] * 2, at[1] * 2)
    mask = letters(big, centre, text, font.font_variant(size=font.size * 2), "mm", stroke_px * 2)
    turned = mask.rotate(degrees, Image.Resampling.BICUBIC, center=centre)
    return turned.resize(size, Image.Resampling.BOX)


def worn(mask: Image.Image, seed: int, share: float) -> Image.Image:
    """A mask with the gaps of a dry stamp: about `share` of it is lost to blotches and fibres."""
    noise = np.random.default_rng(seed).integers(0, 256, (mask.height, mask.width), dtype=np.uint8)
    fine, coarse = (
        np.asarray(Image.fromarray(noise).filter(ImageFilter.GaussianBlur(radius)), np.float32) for radius in (0.8, 4)
    )
    grain = (fine - fine.mean()) / fine.std() + 0.8 * (coarse - coarse.mean()) / coarse.std()
    keep = np.clip((grain - np.quantile(grain, share)) * 1.6 + 0.5, 0, 1)
    return Image.fromarray(np.round(np.asarray(mask) * keep).astype(np.uint8))


def text_on_circle(size: int, radius: float, text: str, font: ImageFont.FreeTypeFont) -> Image.Image:
    """Coverage of text that runs clockwise round the centre of a square canvas."""
    mask = Image.new("L", (size, size), 0)
    centre = size / 2
    for number, letter in enumerate(text):
        angle = 360 * number / len(text)
        turned = letters((size, size), (centre, centre - radius), letter, font, "ms")
        mask = ImageChops.lighter(mask, turned.rotate(-angle, Image.Resampling.BICUBIC, center=(centre, centre)))
    return mask


def caption(studio: Studio) -> bytes:
    """A white caption with a dark outline, two lines."""
    picture = studio.photo("lomiri-picos-de-europa.webp", 1024, 768)
    picture = outlined(picture, (512, 664), "Picos de Europa", studio.font("black", 58))
    picture = outlined(picture, (512, 712), "third day, above the tree line", studio.font("bold", 34))
    return jpeg(picture, exif("Aitzol Berasategi", "CC BY 4.0"), dpi=(300, 300))


def price_list(studio: Studio) -> bytes:
    """Ten small lines, over concrete, a shadow and the rim of a bowl."""
    picture = studio.photo("lomiri-fig.webp", 960, 648)
    regular, bold = studio.font("regular", 17), studio.font("bold", 17)
    picture = lay(picture, letters(picture.size, (32, 330), "FIGS & MORE", studio.font("black", 26)), INK)
    for row, (name, price) in enumerate(PRICES):
        baseline = 384 + 25 * row
        picture = lay(picture, letters(picture.size, (32, baseline), name, regular, "ls"), INK)
        picture = lay(picture, letters(picture.size, (300, baseline), price, bold, "rs"), INK)
    return jpeg(picture, exif('Trevor "Freespace"', "CC BY 4.0"))


def stamp(studio: Studio) -> bytes:
    """A round red rubber stamp, unevenly inked."""
    picture = studio.photo("lomiri-clock.webp", 960, 720)
    size = 264
    mask = text_on_circle(size, 92, "CHECKED AND CLEARED FOR PRINT ★ ", studio.font("mono", 22))
    draw = ImageDraw.Draw(mask)
    for inset, width in ((3, 5), (48, 3)):
        draw.ellipse((inset, inset, size - inset, size - inset), outline=255, width=width)
    draw.text((size / 2, size / 2 - 15), "PROOF", fill=255, font=studio.font("black", 38), anchor="mm")
    draw.text((size / 2, size / 2 + 22), "14 MAY 2018", fill=255, font=studio.font("bold", 17), anchor="mm")
    turned = worn(mask.rotate(13, Image.Resampling.BICUBIC), SEED, 0.12)
    place = Image.new("L", picture.size, 0)
    place.paste(turned, (610, 20))
    return jpeg(lay(picture, place, STAMP_RED, 0.88), exif("Peter Nerlich", "CC BY-SA 4.0"))


def handwriting(studio: Studio) -> bytes:
    """A line in blue pen with an arrow, and one in white marker, underlined."""
    picture = studio.photo("lomiri-aitzgorri.webp", 960, 639)
    font = studio.font("hand", 46)
    blue = slanted(picture.size, (250, 62), "we slept up there!", font, 2)
    arrow = strokes(picture.size, pen_curve((480, 52), (562, 108), -14), [(531, 108), (562, 109), (562, 78)])
    white = slanted(picture.size, (660, 560), "the meadow, Oct 30", font, 2)
    underline = strokes(picture.size, pen_curve((440, 606), (880, 590), 5))
    picture = lay(picture, ImageChops.lighter(blue, arrow), PEN_BLUE, 0.95)
    picture = lay(picture, ImageChops.lighter(white, underline), WHITE, 0.95)
    return jpeg(picture, exif("Aitzol Berasategi", "CC BY 4.0"))


def strokes(size: tuple[int, int], *lines: list[tuple[float, float]]) -> Image.Image:
    """Coverage of pen strokes four pixels wide, drawn at twice the size for smooth edges."""
    mask = Image.new("L", (size[0] * 2, size[1] * 2), 0)
    draw = ImageDraw.Draw(mask)
    for line in lines:
        draw.line([(x * 2, y * 2) for x, y in line], fill=255, width=8, joint="curve")
    return mask.resize(size, Image.Resampling.BOX)


def pen_curve(start: tuple[float, float], end: tuple[float, float], bend: float) -> list[tuple[float, float]]:
    """Points of a line between two places that swings by `bend` pixels to the side."""
    steps = [number / 24 for number in range(25)]
    along = (end[0] - start[0], end[1] - start[1])
    length = math.hypot(*along)
    side = (-along[1] / length, along[0] / length)
    swing = [bend * math.sin(math.pi * step) for step in steps]
    return [
        (start[0] + along[0] * step + side[0] * off, start[1] + along[1] * step + side[1] * off)
        for step, off in zip(steps, swing, strict=True)
    ]


def watermark(studio: Studio) -> bytes:
    """A pale mark, repeated on the slant over the whole picture."""
    picture = studio.photo("lomiri-dandelion.webp", 1024, 576)
    tile = slanted((300, 200), (150, 100), "SAMPLE", studio.font("black", 54), 24)
    mask = Image.new("L", picture.size, 0)
    for row in range(-1, 5):
        for column in range(-1, 4):
            at = (column * 340 + 170 * (row % 2) + 60, row * 144 + 76)
            mask.paste(255, (at[0] - 150, at[1] - 100), tile)
    return jpeg(lay(picture, mask, WHITE, 0.34), exif("Clemens Engelhardt", "CC0 1.0"))


def cjk(studio: Studio) -> bytes:
    """One line of Chinese, white on the sky; lossless WebP."""
    picture = studio.photo("lomiri-bridge.webp", 800, 450)
    picture = outlined(picture, (590, 64), "桥上听风，海天一色", studio.font("cjk", 38))
    return encode(picture, "WEBP", lossless=True, quality=100, method=6)


def rotated(studio: Studio) -> bytes:
    """A caption on a photograph that lies on its side: EXIF orientation 6, ICC profile, progressive 4:2:0."""
    picture = studio.photo("lomiri-dogs.webp", 684, 1024)
    picture = outlined(picture, (342, 962), "Waiting for the post", studio.font("bold", 54))
    tags = exif("Aitzol Berasategi", "CC BY 4.0")
    tags[EXIF_ORIENTATION] = 6
    lying = picture.transpose(Image.Transpose.ROTATE_90)
    return jpeg(lying, tags, progressive=True, icc_profile=srgb_profile())


def with_alpha(studio: Studio) -> bytes:
    """A PNG with soft, see-through corners and a dark caption."""
    picture = studio.photo("lomiri-wooden-bird.webp", 640, 480)
    caption_mask = letters(picture.size, (320, 448), "Wooden bird, No. 7", studio.font("bold", 36), "ms")
    alpha = Image.new("L", picture.size, 0)
    ImageDraw.Draw(alpha).rounded_rectangle((10, 10, 629, 469), 60, fill=255)
    picture = lay(picture, caption_mask, INK)
    picture.putalpha(alpha.filter(ImageFilter.GaussianBlur(3)))
    return encode(picture, "PNG", optimize=True)


def clean(studio: Studio) -> bytes:
    """A photograph with nothing on it."""
    return jpeg(studio.photo("lomiri-kleiber.webp", 1024, 576), exif("Lukas Baubkus", "CC BY-SA 3.0"))


def broken(studio: Studio) -> bytes:
    """A JPEG whose second half never arrived."""
    data = jpeg(studio.photo("lomiri-brook.webp", 800, 532), exif("Aitzol Berasategi", "CC BY 4.0"))
    return data[: len(data) // 3]


def sixteen_bit(studio: Studio) -> bytes:
    """A 16-bit grey PNG with the date that a camera burns in."""
    picture = studio.photo("lomiri-sunset.webp", 720, 480)
    colour = np.asarray(picture, np.float64)
    grey = colour @ (0.299, 0.587, 0.114) + np.random.default_rng(SEED).uniform(-0.5, 0.5, (480, 720))
    cover = np.asarray(letters(picture.size, (690, 452), "27 10 '18   07:41", studio.font("mono", 30), "rs")) / 255
    samples = np.clip(grey * (1 - cover) + 250 * cover, 0, 255) * 257
    return encode(Image.fromarray(np.round(samples).astype(np.uint16)), "PNG", optimize=True)


def slanted_captions(studio: Studio) -> bytes:
    """Two yellow lines, one rising and one falling."""
    picture = studio.photo("lomiri-brushes.webp", 848, 667)
    for at, text, size_px, degrees in (((300, 120), "Open studio", 84, 12), ((560, 560), "Saturday from ten", 60, -8)):
        font = studio.font("script", size_px)
        picture = lay(picture, slanted(picture.size, at, text, font, degrees, 3), INK, 0.85)
        picture = lay(picture, slanted(picture.size, at, text, font, degrees), YELLOW)
    return jpeg(picture, exif('Trevor "Freespace"', "CC BY 4.0"))


RECIPES: Mapping[str, Callable[[Studio], bytes]] = {
    "broken.jpg": broken,
    "caption.jpg": caption,
    "cjk.webp": cjk,
    "clean.jpg": clean,
    "grey16.png": sixteen_bit,
    "handwriting.jpg": handwriting,
    "portrait-exif6.jpg": rotated,
    "price-list.jpg": price_list,
    "slanted.jpg": slanted_captions,
    "stamp.jpg": stamp,
    "transparent.png": with_alpha,
    "watermark.jpg": watermark,
}


def exif(artist: str, licence: str) -> Image.Exif:
    """EXIF that names the photographer and the licence."""
    tags = Image.Exif()
    tags[EXIF_DESCRIPTION] = "Example of cleanplate: scaled, with text drawn on it"
    tags[EXIF_ARTIST] = artist
    tags[EXIF_COPYRIGHT] = f"{artist}, {licence}"
    return tags


def srgb_profile() -> bytes:
    """An sRGB ICC profile with a fixed date (bytes 24 to 35 of the header, ICC.1:2022 7.2.8)."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    profile[24:36] = bytes((7, 226, 0, 5, 0, 14, 0, 0, 0, 0, 0, 0))
    return bytes(profile)


def jpeg(picture: Image.Image, tags: Image.Exif, **options: object) -> bytes:
    """Encodes as JPEG, quality 86, 4:2:0."""
    return encode(picture, "JPEG", quality=86, subsampling="4:2:0", optimize=True, exif=tags, **options)


def encode(picture: Image.Image, container: str, **options: object) -> bytes:
    """Encodes into memory."""
    buffer = io.BytesIO()
    picture.save(buffer, container, **options)
    return buffer.getvalue()


def main() -> None:
    """Writes all photographs."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--source", type=Path, required=True, help="folder with the photographs")
    parser.add_argument("--fonts", type=Path, default=Path("/usr/share/fonts"), help="searched for the font files")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "photos")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    fonts = {path.name: path for path in sorted(options.fonts.rglob("*")) if path.is_file()}
    studio = Studio(options.source, fonts)
    options.out.mkdir(parents=True, exist_ok=True)
    for name, draw in RECIPES.items():
        data = draw(studio)
        (options.out / name).write_bytes(data)
        logger.info("%-20s %7d bytes", name, len(data))


if __name__ == "__main__":
    main()
