"""JPEG: pixels by Pillow, edits in the DCT domain, every segment carried byte for byte."""

from __future__ import annotations

import io
import os
import tempfile
import threading
import warnings

import jpeglib
import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage

from cleanplate.codec import jpeg_markers as markers
from cleanplate.codec.base import Header
from cleanplate.codec.jpeg_blocks import Plane, differing_outside, edit_planes
from cleanplate.codec.metadata import CM_PER_INCH, summarise_exif, with_size
from cleanplate.codec.samples import to_grey
from cleanplate.errors import DecodeError, RefusedError
from cleanplate.image import Carried, Image

FORMAT = "JPEG"
MEDIA_TYPE = "image/jpeg"

_EXIF, _XMP, _ICC, _MPF = b"Exif\0\0", b"http://ns.adobe.com/xap/1.0/\0", b"ICC_PROFILE\0", b"MPF\0"
# libjpeg-turbo writes sequential files (Huffman and arithmetic); MozJPEG's transcoder always writes progressive ones.
_SEQUENTIAL_WRITER, _PROGRESSIVE_WRITER = "turbo210", "mozjpeg403"
# By the sampling factors of the components: what Pillow calls it.
_SUBSAMPLING: dict[tuple[tuple[int, int], ...], int] = {((2, 1), (1, 1), (1, 1)): 1, ((2, 2), (1, 1), (1, 1)): 2}
_LONGEST_SIDE = 65_500  # libjpeg's JPEG_MAX_DIMENSION
_library_lock = threading.Lock()  # jpeglib selects its C library process-wide


def read_header(data: bytes) -> Header:
    """See `base.Container`."""
    segments = markers.split_header(data)
    frame = markers.read_frame(segments)
    _check_frame(frame)
    return Header(frame.width, frame.height, summarise_exif(_payload(segments, markers.APP1, _EXIF)).orientation)


def decode(data: bytes) -> tuple[NDArray[np.uint8], Carried]:
    """See `base.Container`."""
    segments = markers.split_header(data)
    between, end = markers.split_scans(data, segments[-1].end)
    frame = markers.read_frame(segments)
    _check_frame(frame)
    _check_single_picture(segments)
    bare = _bare(data, segments, end)
    native = _decode_pixels(bare)
    _check_complete(bare, native, frame)
    return native, _carried(frame, segments, between, len(data) - end)


def encode(image: Image, rgb: NDArray[np.uint8], changed: NDArray[np.bool_]) -> bytes:
    """See `base.Container`."""
    data = image.data
    segments = markers.split_header(data)
    between, end = markers.split_scans(data, segments[-1].end)
    frame = markers.read_frame(segments)
    rewritten = _write_coefficients(_bare(data, segments, end), frame, rgb, changed)
    carried = b"".join(data[s.start : s.end] for s in [*segments, *between] if s.is_metadata)
    return b"\xff\xd8" + carried + _without_metadata(rewritten) + data[end:]


def changed_coefficients(before: bytes, after: bytes, touched: NDArray[np.bool_]) -> int:
    """See `codec.changed_coefficients`; `touched` is not rotated."""
    return differing_outside(_read_planes(before), _read_planes(after), touched)


def is_lossy(image: Image) -> bool:
    """See `base.Container`."""
    return True


def rewrite(image: Image, rgb: NDArray[np.uint8], jpeg_quality: int) -> bytes:
    """See `base.Container`; sampling that Pillow does not write becomes 4:4:4."""
    if max(rgb.shape[:2]) > _LONGEST_SIDE:
        raise RefusedError(f"JPEG holds no picture of {rgb.shape[1]} x {rgb.shape[0]} pixels: ask for a smaller factor")
    data = image.data
    segments = markers.split_header(data)
    between, end = markers.split_scans(data, segments[-1].end)
    frame = markers.read_frame(segments)
    samples = to_grey(rgb) if len(frame.components) == 1 else rgb
    buffer = io.BytesIO()
    PillowImage.fromarray(np.ascontiguousarray(samples)).save(
        buffer,
        "JPEG",
        qtables=_fine_tables(_bare(data, segments, end), jpeg_quality),
        subsampling=_SUBSAMPLING.get(tuple((c.horizontal, c.vertical) for c in frame.components), 0),
        progressive=frame.process == "progressive",
        keep_rgb=_is_rgb(segments),
        optimize=True,
    )
    carried = b"".join(_resized_segment(data, s, rgb) for s in [*segments, *between] if s.is_metadata)
    return b"\xff\xd8" + carried + _without_metadata(buffer.getvalue()) + data[end:]


def _resized_segment(data: bytes, segment: markers.Segment, rgb: NDArray[np.uint8]) -> bytes:
    """A carried segment; of EXIF the tags of the picture's size follow the new picture."""
    whole = data[segment.start : segment.end]
    if segment.marker != markers.APP1 or not segment.payload.startswith(_EXIF):
        return whole
    head = len(whole) - len(segment.payload) + len(_EXIF)
    return whole[:head] + with_size(whole[head:], rgb.shape[1], rgb.shape[0])


def _fine_tables(bare: bytes, jpeg_quality: int) -> list[list[int]]:
    """The source's tables, luma first, with no step coarser than libjpeg's own at a quality."""
    buffer = io.BytesIO()
    PillowImage.new("RGB", (8, 8)).save(buffer, "JPEG", quality=jpeg_quality)
    standard, own = _tables(buffer.getvalue()), _tables(bare)
    return [np.minimum(table, standard[min(index, 1)]).tolist() for index, table in enumerate(own)]


def _tables(data: bytes) -> list[NDArray[np.int64]]:
    with PillowImage.open(io.BytesIO(data), formats=["JPEG"]) as picture:
        tables: dict[int, list[int]] = picture.quantization  # type: ignore[attr-defined]
    return [np.array(tables[number]) for number in sorted(tables)]


def _is_rgb(segments: list[markers.Segment]) -> bool:
    """Whether Adobe's segment, which is carried, says that three components are not YCbCr."""
    adobe = _payload(segments, markers.APP14, b"Adobe")
    return adobe is not None and len(adobe) >= 7 and adobe[6] == 0


def _check_frame(frame: markers.Frame) -> None:
    count = len(frame.components)
    if frame.precision_bits != 8:
        raise RefusedError(f"the JPEG has {frame.precision_bits}-bit samples; only 8-bit JPEG can be edited faithfully")
    if count == 4:
        raise RefusedError("the JPEG holds CMYK inks; there is no faithful way from RGB edits back to its inks")
    if count not in (1, 3):
        raise RefusedError(f"the JPEG has {count} components; only grey and colour JPEG can be edited")
    if frame.height == 0 and frame.width > 0:
        raise RefusedError("the JPEG states its height only after the scan (DNL); such files are not edited")
    widest = max(c.horizontal for c in frame.components), max(c.vertical for c in frame.components)
    if any(widest[0] % c.horizontal or widest[1] % c.vertical for c in frame.components):
        raise RefusedError("the JPEG's subsampling is no whole number of pixels; such files are not edited")


def _check_single_picture(segments: list[markers.Segment]) -> None:
    # The index (CIPA DC-007) points at other pictures behind this one by byte offsets that an edit would break.
    if _payload(segments, markers.APP2, _MPF) is not None:
        raise RefusedError("the JPEG holds several pictures (MPF: burst, stereo pair or gain map); they would disagree")


def _bare(data: bytes, segments: list[markers.Segment], end: int) -> bytes:
    """The file without metadata but for what decides on its colours (JFIF and Adobe); damaged EXIF costs nothing."""
    kept = [s for s in segments if not s.is_metadata or _decides_colour(s)]
    head = b"".join(data[s.start : s.end] for s in kept)
    return b"\xff\xd8" + head + data[segments[-1].end : end]


def _decides_colour(segment: markers.Segment) -> bool:
    is_jfif = segment.marker == markers.APP0 and segment.payload.startswith(b"JFIF\0")
    return is_jfif or (segment.marker == markers.APP14 and segment.payload.startswith(b"Adobe"))


def _decode_pixels(bare: bytes) -> NDArray[np.uint8]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            with PillowImage.open(io.BytesIO(bare), formats=["JPEG"]) as picture:
                return np.array(picture)
        except (OSError, ValueError, SyntaxError) as error:
            raise DecodeError(f"the JPEG cannot be decoded: {error}") from error


def _check_complete(bare: bytes, native: NDArray[np.uint8], frame: markers.Frame) -> None:
    """Refuses a scan that was cut off and closed with an end marker, which decoders fill with grey in silence.

    Bytes put before the end marker are ignored if the scan is complete, and are taken for picture if it is not.
    """
    if "arithmetic" in frame.process:  # an arithmetic coder may rightly drop zero bytes at the end
        return
    if frame.process != "progressive" and (native[-1, -1] != 128).any():  # missing blocks are mid-grey
        return
    longer = bare[:-2] + bytes(range(1, 255)) * 4 + bare[-2:]
    if not np.array_equal(_decode_pixels(longer), native):
        raise DecodeError("the JPEG is cut off: its last scan ends before the picture is complete")


def _carried(
    frame: markers.Frame, segments: list[markers.Segment], between: list[markers.Segment], trailing: int
) -> Carried:
    exif = _payload(segments, markers.APP1, _EXIF)
    summary = summarise_exif(exif)
    details: dict[str, object] = {
        "process": frame.process,
        "sampling": tuple((c.horizontal, c.vertical) for c in frame.components),
        "scans": 1 + sum(s.marker == markers.SOS for s in between),
        "restart_interval": markers.restart_interval([*segments, *between]),
        "segments": tuple(s.marker for s in [*segments, *between] if s.is_metadata),
        "trailing_bytes": trailing,
    }
    return Carried(
        format=FORMAT,
        media_type=MEDIA_TYPE,
        mode="L" if len(frame.components) == 1 else "RGB",
        orientation=summary.orientation,
        icc=_icc(segments),
        exif=exif,
        xmp=_payload(segments, markers.APP1, _XMP),
        dpi=_jfif_dpi(segments) or summary.dpi,
        details=details,
    )


def _payload(segments: list[markers.Segment], marker: int, prefix: bytes) -> bytes | None:
    for segment in segments:
        if segment.marker == marker and segment.payload.startswith(prefix):
            return segment.payload[len(prefix) :]
    return None


def _icc(segments: list[markers.Segment]) -> bytes | None:
    parts = [s.payload for s in segments if s.marker == markers.APP2 and s.payload.startswith(_ICC)]
    numbered = sorted((p for p in parts if len(p) > 14), key=lambda p: p[12])
    return b"".join(p[14:] for p in numbered) or None


def _jfif_dpi(segments: list[markers.Segment]) -> tuple[float, float] | None:
    payload = _payload(segments, markers.APP0, b"JFIF\0")
    if payload is None or len(payload) < 7 or payload[2] not in (1, 2):
        return None
    scale = CM_PER_INCH if payload[2] == 2 else 1.0
    return int.from_bytes(payload[3:5], "big") * scale, int.from_bytes(payload[5:7], "big") * scale


def _write_coefficients(
    bare: bytes, frame: markers.Frame, rgb: NDArray[np.uint8], changed: NDArray[np.bool_]
) -> bytes:
    with tempfile.TemporaryDirectory(prefix="cleanplate-jpeg-") as folder, _library_lock:
        source, target = os.path.join(folder, "source.jpg"), os.path.join(folder, "target.jpg")
        with open(source, "wb") as file:
            file.write(bare)
        jpeglib.version.set(_PROGRESSIVE_WRITER if frame.process == "progressive" else _SEQUENTIAL_WRITER)
        try:
            jpeg = jpeglib.read_dct(source)
            edited = edit_planes(_planes(jpeg, frame), rgb, changed, jpeg.jpeg_color_space.name == "JCS_YCbCr")
            _put(jpeg, edited)
            jpeg.write_dct(target, flags=["+ARITH_CODE" if "arithmetic" in frame.process else "+OPTIMIZE_CODING"])
            _check_written(jpeglib.read_dct(target), edited)
        except OSError as error:
            raise DecodeError(f"the JPEG's coefficients cannot be read or written: {error}") from error
        with open(target, "rb") as file:
            return file.read()


def _read_planes(data: bytes) -> list[Plane]:
    segments = markers.split_header(data)
    _, end = markers.split_scans(data, segments[-1].end)
    frame = markers.read_frame(segments)
    with tempfile.TemporaryDirectory(prefix="cleanplate-jpeg-") as folder, _library_lock:
        path = os.path.join(folder, "file.jpg")
        with open(path, "wb") as file:
            file.write(_bare(data, segments, end))
        jpeglib.version.set(_SEQUENTIAL_WRITER)
        try:
            return _planes(jpeglib.read_dct(path), frame)
        except OSError as error:
            raise DecodeError(f"the JPEG's coefficients cannot be read: {error}") from error


def _planes(jpeg: jpeglib.DCTJPEG, frame: markers.Frame) -> list[Plane]:
    tables = [jpeg.qt[jpeg.quant_tbl_no[index]] for index in range(len(frame.components))]
    if len(frame.components) == 1:  # a scan of one component has 8 x 8 MCUs, whatever its factors
        return [Plane(jpeg.Y, tables[0], 1, 1)]
    arrays = (jpeg.Y, jpeg.Cb, jpeg.Cr)
    return [Plane(a, t, c.horizontal, c.vertical) for a, t, c in zip(arrays, tables, frame.components, strict=True)]


def _put(jpeg: jpeglib.DCTJPEG, planes: list[NDArray[np.int16]]) -> None:
    jpeg.Y = planes[0]
    if len(planes) == 3:
        jpeg.Cb, jpeg.Cr = planes[1], planes[2]


def _check_written(written: jpeglib.DCTJPEG, planes: list[NDArray[np.int16]]) -> None:
    arrays = (written.Y, written.Cb, written.Cr)
    if not all(np.array_equal(a, p) for a, p in zip(arrays, planes, strict=False)):
        raise RefusedError("the JPEG's coefficients do not survive being written: it is not edited")


def _without_metadata(rewritten: bytes) -> bytes:
    segments = markers.split_header(rewritten)
    kept = b"".join(rewritten[s.start : s.end] for s in segments if not s.is_metadata)
    return kept + rewritten[segments[-1].end :]
