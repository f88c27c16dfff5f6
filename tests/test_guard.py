"""The guard: a crash or a hang costs one image."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import textwrap
import time

import numpy as np
import psutil
import pytest
from PIL import Image as PillowImage

from cleanplate import codec
from cleanplate.config import SourceConfig
from cleanplate.errors import DecodeError, RefusedError
from cleanplate.guard import DirectCodec, GuardedCodec, make_codec

# What a broken decoder does, told by its input; everything else goes to the real codec.
BROKEN = '''
import ctypes, os, signal, time
from cleanplate import codec

def decode(data, limits):
    if data == b"segfault":
        ctypes.string_at(0)
    if data == b"kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if data == b"exit":
        os._exit(3)
    if data == b"hang":
        time.sleep(600)
    return codec.decode(data, limits)

def encode(image, rgb, touched):
    os.kill(os.getpid(), signal.SIGSEGV)
'''


def jpeg(seed=0):
    pixels = np.random.default_rng(seed).integers(0, 255, (48, 64, 3)).astype(np.uint8)
    buffer = io.BytesIO()
    PillowImage.fromarray(pixels).save(buffer, "JPEG")
    return buffer.getvalue()


@pytest.fixture(scope="module")
def guarded():
    with GuardedCodec(SourceConfig(), max_workers=2) as made:
        yield made


@pytest.fixture
def broken(tmp_path, monkeypatch):
    """A module that a fresh interpreter can import by name."""
    (tmp_path / "broken_codec_for_tests.py").write_text(BROKEN, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    import broken_codec_for_tests

    yield broken_codec_for_tests
    sys.modules.pop("broken_codec_for_tests")


def test_guarded_results_are_the_direct_ones(guarded):
    with DirectCodec(SourceConfig()) as direct:
        data = jpeg()
        image, reference = guarded.decode(data), direct.decode(data)
        assert np.array_equal(image.rgb, reference.rgb)
        assert np.array_equal(image.native, reference.native)
        assert image.carried == reference.carried
        assert image.data == data
        rgb, touched = image.rgb.copy(), np.zeros((48, 64), bool)
        touched[3:20, 30:50] = True
        rgb[touched] = 128
        assert guarded.encode(image, rgb, touched) == direct.encode(reference, rgb, touched)
        assert direct.submit_encode(image, rgb, touched).result() == codec.encode(image, rgb, touched)
        assert guarded.encode(image, rgb, np.zeros_like(touched)) == data
        larger = image.rgb.repeat(2, axis=0).repeat(2, axis=1)
        written = guarded.submit_rewrite(image, larger, 92).result()
        assert written == direct.submit_rewrite(reference, larger, 92).result()
        assert guarded.decode(written).rgb.shape == (96, 128, 3)


def test_guarded_encode_of_a_turned_image(guarded):
    exif = PillowImage.Exif()
    exif[0x0112] = 6
    buffer = io.BytesIO()
    PillowImage.fromarray(np.random.default_rng(0).integers(0, 255, (20, 50, 3)).astype(np.uint8)).save(
        buffer, "PNG", exif=exif
    )
    image = guarded.decode(buffer.getvalue())
    rgb, touched = image.rgb.copy(), np.zeros((50, 20), bool)
    touched[40:48, 2:9] = True
    rgb[touched] = 1
    again = guarded.decode(guarded.encode(image, rgb, touched))
    assert np.array_equal(again.rgb, rgb)


def test_errors_keep_their_class_and_message(guarded):
    with pytest.raises(DecodeError, match="no picture of a known format"):
        guarded.decode(b"nothing of the sort")
    with pytest.raises(RefusedError, match="GIF"):
        guarded.decode(b"GIF89a....")


@pytest.mark.parametrize(
    ("trigger", "message"),
    [
        (b"segfault", r"crashed \(SIGSEGV\)"),
        (b"kill", r"crashed \(SIGKILL\)"),
        (b"exit", r"crashed \(exit code 3\)"),
        (b"hang", r"hung.*source\.decode_timeout_s=2"),
    ],
)
def test_a_crash_or_hang_costs_one_image(broken, trigger, message):
    with GuardedCodec(SourceConfig(decode_timeout_s=2), max_workers=2, decode=broken.decode) as codec_in_children:
        files = [jpeg(i) for i in range(4)] + [trigger] + [jpeg(i) for i in range(4, 9)]
        futures = [codec_in_children.submit_decode(data) for data in files]
        with pytest.raises(DecodeError, match=message):
            futures[4].result(timeout=30)
        for index, future in enumerate(futures):
            if index != 4:
                assert future.result(timeout=30).data == files[index]
        assert codec_in_children.decode(jpeg(99)).width == 64  # and the children live again


def test_a_crashing_encoder_is_told(broken):
    image = codec.decode(jpeg(), SourceConfig())
    with (
        GuardedCodec(SourceConfig(), encode=broken.encode) as codec_in_children,
        pytest.raises(DecodeError, match=r"the encoder crashed \(SIGSEGV\)"),
    ):
        codec_in_children.encode(image, image.rgb, np.ones((48, 64), bool))


def test_the_configuration_picks():
    with make_codec(SourceConfig(guard="none")) as direct, make_codec(SourceConfig(), 2) as guarded:
        assert isinstance(direct, DirectCodec)
        assert isinstance(guarded, GuardedCodec)


def test_children_survive_a_main_module_that_must_not_run_twice(tmp_path):
    """A script without a main guard, as notebooks and PySpark's daemon are; the children must not run it."""
    script = tmp_path / "script.py"
    script.write_text(
        textwrap.dedent("""
        import io, sys
        from PIL import Image
        from cleanplate.config import SourceConfig
        from cleanplate.guard import GuardedCodec
        print("main runs", flush=True)
        buffer = io.BytesIO()
        Image.new("RGB", (8, 8)).save(buffer, "PNG")
        with GuardedCodec(SourceConfig(), 2) as codec:
            print(codec.decode(buffer.getvalue()).width)
        """)
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    result = subprocess.run(
        [sys.executable, script], capture_output=True, text=True, env=environment, timeout=60, check=False
    )
    assert (result.stdout.split("\n")[:2], result.stderr) == (["main runs", "8"], "")


def test_busy_children_end_when_the_parent_is_killed(tmp_path, broken):
    script = tmp_path / "script.py"
    script.write_text(
        textwrap.dedent("""
        import io, time
        from PIL import Image
        from cleanplate.config import SourceConfig
        from cleanplate.guard import GuardedCodec
        import broken_codec_for_tests
        buffer = io.BytesIO()
        Image.new("RGB", (8, 8)).save(buffer, "PNG")
        codec = GuardedCodec(SourceConfig(), 2, decode=broken_codec_for_tests.decode)
        [f.result() for f in [codec.submit_decode(buffer.getvalue()) for _ in range(4)]]
        [codec.submit_decode(b"hang") for _ in range(2)]
        time.sleep(0.5)
        print("ready", flush=True)
        time.sleep(60)
        """)
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, env=environment) as parent:
        assert parent.stdout.readline() == b"ready\n"
        children = psutil.Process(parent.pid).children(recursive=True)
        assert len(children) >= 2
        parent.send_signal(signal.SIGKILL)
        parent.wait()
    deadline = time.monotonic() + 15
    while any(child.is_running() and child.status() != psutil.STATUS_ZOMBIE for child in children):
        assert time.monotonic() < deadline, "children outlive their parent"
        time.sleep(0.05)
