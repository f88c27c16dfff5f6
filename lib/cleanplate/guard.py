"""Runs the codec in child processes, so that a crash or a hang of a decoder costs one image."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeoutError
from dataclasses import dataclass, replace
from multiprocessing import connection, parent_process
from types import TracebackType
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from pebble import ProcessExpired, ProcessPool

from cleanplate import codec
from cleanplate.codec.orientation import to_upright
from cleanplate.codec.samples import to_rgb
from cleanplate.config import SourceConfig
from cleanplate.errors import DecodeError
from cleanplate.image import Carried, Image
from cleanplate.records import Box
from cleanplate.spawning import LeanSpawnContext

Decode = Callable[[bytes, SourceConfig], Image]
Encode = Callable[[Image, NDArray[np.uint8], NDArray[np.bool_]], bytes]


@dataclass(frozen=True)
class _Edit:
    """What a child needs to encode: the image without what it can derive, and the touched rectangle."""

    native: NDArray[np.generic]
    carried: Carried
    data: bytes
    shape: tuple[int, ...]
    area: tuple[slice, slice]
    rgb: NDArray[np.uint8]
    touched: NDArray[np.bool_]


class Codec(Protocol):
    """Decodes and encodes images; both implementations raise the errors of `cleanplate.codec`."""

    def decode(self, data: bytes) -> Image:
        """Decodes a file; see `cleanplate.codec.decode`."""
        ...

    def encode(self, image: Image, rgb: NDArray[np.uint8], touched: NDArray[np.bool_]) -> bytes:
        """Encodes an edited picture; see `cleanplate.codec.encode`."""
        ...

    def submit_decode(self, data: bytes) -> Future[Image]:
        """Decodes in the background."""
        ...

    def submit_encode(self, image: Image, rgb: NDArray[np.uint8], touched: NDArray[np.bool_]) -> Future[bytes]:
        """Encodes in the background."""
        ...

    def submit_rewrite(self, image: Image, rgb: NDArray[np.uint8], jpeg_quality: int) -> Future[bytes]:
        """Encodes a picture that changed as a whole, in the background; see `cleanplate.codec.rewrite`."""
        ...

    def submit_compare(self, image: Image, result: bytes, touched: NDArray[np.bool_]) -> Future[int | None]:
        """Compares coefficients in the background; see `cleanplate.codec.changed_coefficients`."""
        ...

    def close(self) -> None:
        """Ends the workers; pending work fails."""
        ...


class _Closing:
    """Makes a codec a context manager."""

    def close(self) -> None:
        """Ends the workers."""

    def __enter__(self) -> Any:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class DirectCodec(_Closing):
    """Runs the codec in this process: fastest, and a native crash ends the process."""

    def __init__(self, config: SourceConfig, decode: Decode = codec.decode, encode: Encode = codec.encode) -> None:
        self._config, self._decode, self._encode = config, decode, encode
        self._threads = ThreadPoolExecutor(max_workers=1, thread_name_prefix="cleanplate-codec")

    def decode(self, data: bytes) -> Image:
        """Decodes a file; see `cleanplate.codec.decode`."""
        return self._decode(data, self._config)

    def encode(self, image: Image, rgb: NDArray[np.uint8], touched: NDArray[np.bool_]) -> bytes:
        """Encodes an edited picture; see `cleanplate.codec.encode`."""
        return self._encode(image, rgb, touched)

    def submit_decode(self, data: bytes) -> Future[Image]:
        """Decodes in a thread."""
        return self._threads.submit(self._decode, data, self._config)

    def submit_encode(self, image: Image, rgb: NDArray[np.uint8], touched: NDArray[np.bool_]) -> Future[bytes]:
        """Encodes in a thread."""
        return self._threads.submit(self._encode, image, rgb, touched)

    def submit_rewrite(self, image: Image, rgb: NDArray[np.uint8], jpeg_quality: int) -> Future[bytes]:
        """Encodes a whole picture anew in a thread."""
        return self._threads.submit(codec.rewrite, image, rgb, jpeg_quality)

    def submit_compare(self, image: Image, result: bytes, touched: NDArray[np.bool_]) -> Future[int | None]:
        """Compares coefficients in a thread."""
        return self._threads.submit(codec.changed_coefficients, image, result, touched)

    def close(self) -> None:
        """Ends the thread; work that has not begun is cancelled."""
        self._threads.shutdown(cancel_futures=True)


class GuardedCodec(_Closing):
    """Runs the codec in child processes.

    A native crash, an exit or a hang of the decoder is a DecodeError of the image that caused it; the child is
    replaced, other images and this process go on. Every child has a pool of its own, so that a dying child can hold
    no lock that another one needs. Children start on first use and end with this process, however it ends.

    Args:
        config: limits and source.decode_timeout_s.
        max_workers: children, at least 1.
        decode: what decodes, importable by name in a fresh interpreter.
        encode: what encodes, likewise.
    """

    def __init__(
        self,
        config: SourceConfig,
        max_workers: int = 1,
        decode: Decode = codec.decode,
        encode: Encode = codec.encode,
    ) -> None:
        self._config, self._decode, self._encode = config, decode, encode
        self._pools = [
            ProcessPool(max_workers=1, initializer=_end_with_parent, context=LeanSpawnContext())
            for _ in range(max(1, max_workers))
        ]
        self._pending = [0] * len(self._pools)
        self._lock = threading.Lock()

    def decode(self, data: bytes) -> Image:
        """Decodes a file; see `cleanplate.codec.decode`.

        Raises:
            DecodeError: also where the decoder crashed or hung.
        """
        return self.submit_decode(data).result()

    def encode(self, image: Image, rgb: NDArray[np.uint8], touched: NDArray[np.bool_]) -> bytes:
        """Encodes an edited picture; see `cleanplate.codec.encode`.

        Raises:
            DecodeError: the encoder crashed or hung.
        """
        return self.submit_encode(image, rgb, touched).result()

    def submit_decode(self, data: bytes) -> Future[Image]:
        """Decodes in the background; the arrays of the result are read-only."""
        return self._submit("decoder", self._decode, data, self._config)

    def submit_encode(self, image: Image, rgb: NDArray[np.uint8], touched: NDArray[np.bool_]) -> Future[bytes]:
        """Encodes in the background; only the rectangle around the touched pixels travels to the child."""
        if not touched.any():
            return self._submit("encoder", self._encode, image, rgb, touched)
        area = Box.around(touched).slices
        task = _Edit(image.native, image.carried, image.data, touched.shape, area, rgb[area], touched[area])
        return self._submit("encoder", _encode_edit, self._encode, task)

    def submit_rewrite(self, image: Image, rgb: NDArray[np.uint8], jpeg_quality: int) -> Future[bytes]:
        """Encodes a whole picture anew in the background."""
        # The child derives the old picture from its samples.
        return self._submit("encoder", codec.rewrite, replace(image, rgb=image.rgb[:0]), rgb, jpeg_quality)

    def submit_compare(self, image: Image, result: bytes, touched: NDArray[np.bool_]) -> Future[int | None]:
        """Compares coefficients in the background; only the files and the mask travel to the child."""
        bare = replace(image, rgb=image.rgb[:0], native=image.native[:0])
        return self._submit("decoder", codec.changed_coefficients, bare, result, touched)

    def close(self) -> None:
        """Ends the children; pending work fails with DecodeError."""
        for pool in self._pools:
            pool.stop()
        for pool in self._pools:
            pool.join()

    def _submit(self, role: str, function: Callable[..., Any], *args: object) -> Future[Any]:
        with self._lock:
            index = self._pending.index(min(self._pending))
            self._pending[index] += 1
        outer: Future[Any] = Future()
        outer.set_running_or_notify_cancel()
        inner = self._pools[index].schedule(function, args, timeout=self._config.decode_timeout_s)

        def settle(done: Future[Any]) -> None:
            with self._lock:
                self._pending[index] -= 1
            error = self._translate(role, done)
            if error is None:
                outer.set_result(done.result())
            else:
                outer.set_exception(error)

        inner.add_done_callback(settle)
        return outer

    def _translate(self, role: str, done: Future[Any]) -> BaseException | None:
        if done.cancelled():
            return DecodeError(f"the {role} was closed before it came to this image")
        error = done.exception()
        if isinstance(error, CancelledError):
            return DecodeError(f"the {role} was closed before it came to this image")
        if isinstance(error, FutureTimeoutError):
            limit = self._config.decode_timeout_s
            return DecodeError(
                f"the {role} hung: it took longer than source.decode_timeout_s={limit:g} and was stopped"
            )
        if isinstance(error, ProcessExpired):
            return DecodeError(f"the {role} crashed ({_describe_exit(error.exitcode)}) on this image")
        return error


def make_codec(config: SourceConfig, workers: int = 1) -> GuardedCodec | DirectCodec:
    """The codec that `source.guard` asks for.

    Args:
        config: the source section.
        workers: child processes where it is guarded.
    """
    return GuardedCodec(config, workers) if config.guard == "process" else DirectCodec(config)


def _encode_edit(encode: Encode, edit: _Edit) -> bytes:
    """In a child: puts the image and the edited picture together again and encodes."""
    original = to_upright(to_rgb(edit.native), edit.carried.orientation)
    rgb, touched = original.copy(), np.zeros(edit.shape, dtype=np.bool_)
    rgb[edit.area], touched[edit.area] = edit.rgb, edit.touched
    return encode(Image(original, edit.native, edit.carried, edit.data), rgb, touched)


def _describe_exit(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"


def _end_with_parent() -> None:
    """In a child: ends it when the parent is gone, also if that was killed and closed nothing."""
    parent = parent_process()
    if parent is not None:
        threading.Thread(target=_wait_and_exit, args=(parent.sentinel,), daemon=True).start()


def _wait_and_exit(sentinel: int) -> None:
    connection.wait([sentinel])
    os._exit(1)
