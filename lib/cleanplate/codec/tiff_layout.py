"""Where a TIFF's pixels lie, and what may be edited of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from cleanplate.codec import tiff_structure as tags
from cleanplate.codec.tiff_segments import CCITT_3, CCITT_4, CCITT_RLE, NAMES, Packing
from cleanplate.errors import DecodeError, RefusedError

WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, PALETTE = 0, 1, 2, 3
_PHOTOMETRIC_NAMES = {4: "transparency mask", 5: "CMYK", 6: "YCbCr", 8: "CIE Lab", 9: "ICC Lab", 10: "ITU Lab",
                      32803: "raw sensor", 32844: "LogL", 32845: "LogLuv", 34892: "linear raw"}  # fmt: skip
_COMPRESSION_NAMES = {6: "old JPEG", 7: "JPEG", 34712: "JPEG 2000", 34887: "LERC", 34925: "LZMA", 50000: "Zstandard",
                      50001: "WebP", 50002: "JPEG XL"}  # fmt: skip
_FAX = (CCITT_RLE, CCITT_3, CCITT_4)


@dataclass(frozen=True)
class Cell:
    """One strip or tile: index in the offset list, plane, and the pixels it covers (tiles may reach past the edge)."""

    index: int
    plane: int
    top: int
    left: int
    rows: int
    columns: int


@dataclass(frozen=True)
class Layout:
    """How the pixels are stored.

    Attributes:
        width: pixels.
        height: pixels.
        bits: of one sample: 1, 2, 4, 8 or 16.
        channels: samples of a pixel.
        photometric: 0 white is zero, 1 black is zero, 2 RGB, 3 palette.
        is_planar: whether every channel has strips of its own.
        cell_height: rows of a strip or tile.
        cell_width: columns of a strip or tile.
        is_tiled: tiles, not strips.
        packing: compression, predictor, bit and byte order.
        offsets: of the strips or tiles.
        sizes: bytes of the strips or tiles.
    """

    width: int
    height: int
    bits: int
    channels: int
    photometric: int
    is_planar: bool
    cell_height: int
    cell_width: int
    is_tiled: bool
    packing: Packing
    offsets: tuple[int, ...]
    sizes: tuple[int, ...]

    def cells(self) -> Iterator[Cell]:
        """All strips or tiles in file order."""
        index = 0
        for plane in range(self.channels if self.is_planar else 1):
            for top in range(0, self.height, self.cell_height):
                rows = self.cell_height if self.is_tiled else min(self.cell_height, self.height - top)
                for left in range(0, self.width, self.cell_width):
                    yield Cell(index, plane, top, left, rows, self.cell_width)
                    index += 1


def read_layout(directory: tags.Directory) -> Layout:
    """Reads the layout and checks that it can be decoded and edited.

    Raises:
        DecodeError: tags are missing or contradict each other.
        RefusedError: a layout that is not edited.
    """
    _check_single(directory)
    channels = directory.number(tags.CHANNELS, 1)
    photometric = directory.number(tags.PHOTOMETRIC, BLACK_IS_ZERO)
    bits = _bits(directory, channels)
    _check_colours(photometric, bits, channels)
    width, height = directory.number(tags.WIDTH, 0), directory.number(tags.HEIGHT, 0)
    is_tiled = tags.TILE_OFFSETS in directory.entries
    layout = Layout(
        width=width,
        height=height,
        bits=bits,
        channels=channels,
        photometric=photometric,
        is_planar=directory.number(tags.PLANAR, 1) == 2 and channels > 1,
        cell_height=directory.number(tags.TILE_HEIGHT if is_tiled else tags.ROWS_PER_STRIP, height),
        cell_width=directory.number(tags.TILE_WIDTH, width) if is_tiled else width,
        is_tiled=is_tiled,
        packing=_packing(directory, bits),
        offsets=directory.numbers(tags.TILE_OFFSETS if is_tiled else tags.STRIP_OFFSETS),
        sizes=directory.numbers(tags.TILE_BYTES if is_tiled else tags.STRIP_BYTES),
    )
    return _check_cells(layout)


def _check_single(directory: tags.Directory) -> None:
    if directory.following:
        raise RefusedError("the TIFF has several pages; only single pictures are edited")
    if tags.SUB_DIRECTORIES in directory.entries:
        raise RefusedError("the TIFF holds further pictures in sub-directories (pyramid, preview or raw); not edited")


def _bits(directory: tags.Directory, channels: int) -> int:
    depths = set(directory.numbers(tags.BITS, (1,)))
    formats = set(directory.numbers(tags.SAMPLE_FORMAT, (1,)))
    if formats - {1, 4}:
        kinds = {2: "signed", 3: "floating-point", 5: "complex", 6: "complex"}
        raise RefusedError(f"the TIFF has {kinds.get(max(formats), 'unknown')} samples; only unsigned ones are edited")
    if len(depths) != 1 or not depths <= {1, 2, 4, 8, 16} or (channels > 1 and not depths <= {8, 16}):
        raise RefusedError(f"the TIFF has samples of {sorted(depths)} bits in {channels} channels; not edited")
    return depths.pop()


def _check_colours(photometric: int, bits: int, channels: int) -> None:
    if photometric not in (WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, PALETTE):
        name = _PHOTOMETRIC_NAMES.get(photometric, f"photometric {photometric}")
        raise RefusedError(f"the TIFF stores {name} colours; only grey, RGB and palette TIFFs can be edited faithfully")
    allowed = {RGB: (3, 4), PALETTE: (1,)}.get(photometric, (1, 2))
    if channels not in allowed or (photometric == PALETTE and bits > 8):
        raise RefusedError(f"the TIFF has {channels} channels of {bits} bits for photometric {photometric}; not edited")


def _packing(directory: tags.Directory, bits: int) -> Packing:
    compression = directory.number(tags.COMPRESSION, 1)
    if compression not in NAMES:
        name = _COMPRESSION_NAMES.get(compression, f"code {compression}")
        raise RefusedError(f"the TIFF is compressed by {name}; save it with deflate, LZW, PackBits or none to edit it")
    predictor = directory.number(tags.PREDICTOR, 1)
    if predictor not in (1, 2) or (predictor == 2 and bits < 8):
        raise RefusedError(f"the TIFF uses predictor {predictor} with {bits} bits; not edited")
    if compression in _FAX and bits != 1:
        raise DecodeError(f"the TIFF is invalid: {NAMES[compression]} with {bits} bits")
    options = directory.number(tags.T6_OPTIONS if compression == CCITT_4 else tags.T4_OPTIONS, 0)
    reverse = directory.number(tags.FILL_ORDER, 1) == 2
    return Packing(compression, predictor, reverse, directory.order, options)


def _check_cells(layout: Layout) -> Layout:
    if layout.width < 1 or layout.height < 1:
        return layout  # the caller names the zero size
    if layout.cell_height < 1 or layout.cell_width < 1:
        raise DecodeError("the TIFF is invalid: its strips or tiles have no size")
    down, across = -(-layout.height // layout.cell_height), -(-layout.width // layout.cell_width)
    count = down * across * (layout.channels if layout.is_planar else 1)
    if len(layout.offsets) < count or len(layout.sizes) < count:
        raise DecodeError(f"the TIFF is damaged: it needs {count} strips or tiles and lists {len(layout.offsets)}")
    return layout
