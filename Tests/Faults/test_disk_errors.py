"""A full disk and a failing disk: what is refused, what goes on, and what is never done twice."""

import os
import pathlib
import re
import shutil
import signal
import subprocess
import time

import pytest

from apus import eventually
from mounts import need, run, skip
from world import SETTINGS, World

SERVICE_NOT_AVAILABLE = 14


@pytest.fixture
def small_mount(tmp_path):
    """A file system in memory with 64 MB."""
    path = tmp_path / "small"
    path.mkdir()
    if os.geteuid() != 0 or run("mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(path)).returncode:
        skip("no small file system can be mounted")
    yield path
    run("umount", "-l", str(path))


def one_send(world, topic="plain", queue=0):
    """Code and remark of the answer to one message, which goes into the ledger."""
    from ledger import PLAIN, body_of
    from wire import send_fields

    entry = world.ledger.add(topic, PLAIN, 1000, 9999, queue)
    with world.peer() as peer:
        header, body = peer.call(310, send_fields(topic, queue, {}), body_of(entry.number, entry.size))
    world.take(entry)(header, body)
    return header["code"], header.get("remark", "")


@pytest.mark.parametrize("flush", ["ASYNC_FLUSH", "SYNC_FLUSH"])
# With the watermark the broker refuses before the disk is full; without it the disk says so.
@pytest.mark.parametrize("watermark", [90, 99])
def test_a_full_disk_refuses_messages_and_goes_on(small_mount, tmp_path, seed, flush, watermark):
    settings = () if watermark == 90 else ("diskSpaceWarningLevelRatio=99", "diskSpaceCleanForciblyRatio=99")
    world = World(tmp_path / "w", seed, flush, settings=("cleanFileForciblyEnable=false", "cleanResourceInterval=200", *settings), store=small_mount / "store")
    world.start()
    world.make_topics()
    world.work(0.2)
    filler = small_mount / "filler"
    try:
        for number in range(3):
            free = shutil.disk_usage(small_mount).free
            with open(filler, "wb") as file:
                file.write(bytes(max(0, free - (4 << 20))))
            end = time.monotonic() + 60
            while True:
                world.work(0.2)
                code, remark = one_send(world)
                if code == SERVICE_NOT_AVAILABLE or time.monotonic() > end:
                    break
            assert code == SERVICE_NOT_AVAILABLE, f"the disk is full and the answer was {code}: {remark}"
            assert "disk" in remark
            # Reads go on, and everything that was acknowledged is there.
            world.look(everything=True)
            assert world.server.is_alive(), world.server.tail()
            filler.unlink()
            eventually(lambda: one_send(world)[0] == 0, within=30, what="room was made, and a message taken")
            world.work(0.1)
        filler.write_bytes(bytes(max(0, shutil.disk_usage(small_mount).free - (1 << 20))))
        world.work(0.2)
        # A kill with a full disk, and a start with one.
        world.kill()
        try:
            world.start()
        except AssertionError as error:
            assert "the disk is full; make room" in str(error), error
            world.server.process = None
            filler.unlink()
            world.start()
        world.look(everything=True)
        filler.unlink(missing_ok=True)
        eventually(lambda: one_send(world)[0] == 0, within=30, what="a message taken after the start")
        world.settle()
    finally:
        world.close()


# strace names the calls; each is made to fail once, and would work if it were tried again.
FAILURES = {
    "fdatasync of the log": ("fdatasync", "fdatasync:error=EIO:when={n}", "SYNC_FLUSH"),
    "fdatasync with asynchronous flush": ("fdatasync", "fdatasync:error=EIO:when={n}", "ASYNC_FLUSH"),
    "a write to the log": ("pwrite64,pwritev,pwritev2", "pwrite64,pwritev,pwritev2:error=EIO:when={n}", "ASYNC_FLUSH"),
}


@pytest.mark.parametrize("name", FAILURES)
@pytest.mark.parametrize("number", [5, 40])
def test_an_io_error_stops_the_store_for_good(tmp_path, seed, name, number):
    need("strace")
    calls, injection, flush = FAILURES[name]
    trace = tmp_path / "trace"
    world = World(
        tmp_path / "w", seed, flush, wrap=(
            "strace", "-D", "-f", "-y", "-qq", "-o", str(trace), "-e", "trace=fdatasync,fsync,syncfs," + calls,
            "-e", "inject=" + injection.format(n=number)))
    try:
        world.start()
    except AssertionError as error:
        if "ptrace" in str(error) or "Operation not permitted" in str(error):
            skip("strace may not trace here")
        if "SYNC" not in str(error):
            # It hit the start itself, which ends then.
            assert "ended with 1" in str(error), error
            return
        raise
    try:
        try:
            world.make_topics()
            end = time.monotonic() + 60
            while time.monotonic() < end:
                world.work(0.1)
                if "INJECTED" in trace.read_text(errors="replace"):
                    break
        except (AssertionError, ConnectionError, Exception) as error:
            if "INJECTED" not in trace.read_text(errors="replace"):
                raise
        eventually(lambda: "INJECTED" in trace.read_text(errors="replace"), within=60, what="the failing call")
        failed = next(line for line in trace.read_text(errors="replace").splitlines() if "INJECTED" in line)
        eventually(lambda: "takes no more messages" in world.server.log.read_text(), within=30, what="a line in the log")
        # Nothing is taken any more, not even after a while; what is there is served.
        for _ in range(3):
            code, remark = one_send(world)
            assert code == SERVICE_NOT_AVAILABLE, (code, remark)
        with world.peer() as peer:
            _, body = peer.call(28)
        assert b"storeFailure" in body
        world.is_failed = True
        world.look(everything=True)
        time.sleep(1.5)
        assert one_send(world)[0] == SERVICE_NOT_AVAILABLE
        assert world.server.is_alive(), "a failed store must go on serving reads"
        # Stopped: it says by its exit code that something was wrong.
        process, world.server.process = world.server.process, None
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 1, world.server.tail()
        assert "the store has failed" in world.server.tail()
        # The synchronisation was never tried again on that file.
        lines = trace.read_text(errors="replace").splitlines()
        index = lines.index(failed)
        path = re.search(r"<([^>]*)>", failed)
        if path and "sync" in failed.split("(")[0]:
            again = [line for line in lines[index + 1 :] if "sync" in line.split("(")[0] and path.group(1) in line and "resumed" not in line]
            # One that was under way when the other failed may end later.
            assert len(again) <= 1, again[:3]
        world.server.wrap = []
        world.is_failed = False
        world.start()
        world.look(everything=True)
        world.settle()
    finally:
        world.close()
