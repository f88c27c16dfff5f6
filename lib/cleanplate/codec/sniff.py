"""Tells a file's format by its first bytes."""

from __future__ import annotations

from cleanplate.errors import DecodeError, RefusedError

EDITABLE = (
    (b"\xff\xd8\xff", "JPEG"),
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
    (b"II+\0", "TIFF"),
    (b"MM\0+", "TIFF"),
    (b"BM", "BMP"),
)
OTHER = (
    (b"GIF87a", "GIF"),
    (b"GIF89a", "GIF"),
    (b"\0\0\1\0", "ICO"),
    (b"\0\0\2\0", "CUR"),
    (b"8BPS", "PSD"),
    (b"\0\0\0\x0cjP  \r\n", "JPEG 2000"),
    (b"\xff\x4f\xff\x51", "JPEG 2000"),
    (b"\xff\x0a", "JPEG XL"),
    (b"\0\0\0\x0cJXL ", "JPEG XL"),
    (b"v/1\1", "OpenEXR"),
    (b"#?RADIANCE", "Radiance HDR"),
    (b"DDS ", "DDS"),
    (b"qoif", "QOI"),
    (b"%PDF", "PDF"),
    (b"<svg", "SVG"),
)
_BRANDS = {b"avif": "AVIF", b"avis": "AVIF", b"heic": "HEIC", b"heix": "HEIC", b"mif1": "HEIF", b"msf1": "HEIF"}
_NETPBM = b"123456"


def sniff(data: bytes) -> str:
    """Name of the container: "JPEG", "PNG", "WEBP", "TIFF" or "BMP".

    Raises:
        RefusedError: another known picture format.
        DecodeError: none that is known.
    """
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WEBP"
    for magic, name in EDITABLE:
        if data.startswith(magic):
            return name
    other = _other(data)
    if other:
        raise RefusedError(
            f"{other} is not supported for editing; convert the file to PNG, TIFF, WebP, JPEG or BMP first"
        )
    start = data[:8].hex(" ")
    if data[1:3] == b"PN" or data[2:4] == b"NG":
        raise DecodeError(
            f"the PNG's signature is damaged ({start}), as a transfer in text mode does; fetch the file anew"
        )
    raise DecodeError(
        f"the file is no picture of a known format (it starts with {start}); JPEG, PNG, WebP, TIFF and BMP are read"
    )


def _other(data: bytes) -> str | None:
    for magic, name in OTHER:
        if data.startswith(magic):
            return name
    if data[4:8] == b"ftyp":
        return _BRANDS.get(data[8:12])
    is_netpbm = len(data) > 2 and data[0:1] == b"P" and data[1] in _NETPBM and data[2:3].isspace()
    return "PNM" if is_netpbm else None
