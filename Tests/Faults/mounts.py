"""Small file systems of one's own on loop devices, and the plug that can be pulled from them."""

import ctypes
import fcntl
import os
import pathlib
import random
import shutil
import subprocess

import pytest

# XFS_IOC_GOINGDOWN, which ext4 calls EXT4_IOC_SHUTDOWN: _IOR('X', 125, __u32).
GOING_DOWN = 0x8004587D
# Without writing the journal out first: what a power cut leaves.
NO_LOG_FLUSH = 2
SYNC_FILE_RANGE_WRITE = 2 | 1 | 4

_libc = ctypes.CDLL(None, use_errno=True)


def run(*words):
    return subprocess.run(words, capture_output=True, text=True, stdin=subprocess.DEVNULL)


def need(*tools):
    missing = [tool for tool in tools if shutil.which(tool) is None]
    if missing:
        skip(f"{', '.join(missing)} not installed")


def skip(reason):
    print(f"\n*** SKIPPED, THE FAULT CANNOT BE MADE HERE: {reason} ***", flush=True)
    pytest.skip(reason)


class LoopMount:
    """An image file, formatted and mounted. Needs root and loop devices; says loudly what is missing."""

    def __init__(self, folder, kind="ext4", mebibytes=320):
        need(f"mkfs.{kind}", "mount", "umount")
        if os.geteuid() != 0:
            skip("mounting needs root")
        self.kind = kind
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.image = self.folder / "image"
        self.path = self.folder / "mount"
        self.path.mkdir(exist_ok=True)
        self.mebibytes = mebibytes
        with open(self.image, "wb") as image:
            image.truncate(mebibytes << 20)
        self.is_mounted = False
        self.format()

    def format(self):
        options = ["-q", "-F", "-E", "lazy_itable_init=0,lazy_journal_init=0"] if self.kind == "ext4" else ["-q", "-f"]
        made = run(f"mkfs.{self.kind}", *options, str(self.image))
        if made.returncode:
            skip(f"mkfs.{self.kind} failed: {made.stderr.strip()}")
        self.mount()

    def mount(self):
        mounted = run("mount", "-o", "loop", str(self.image), str(self.path))
        if mounted.returncode:
            skip(f"{self.kind} cannot be mounted from a loop device: {mounted.stderr.strip()}")
        self.is_mounted = True

    def unmount(self):
        if not self.is_mounted:
            return
        result = run("umount", str(self.path))
        if result.returncode:
            result = run("umount", "-l", str(self.path))
        assert result.returncode == 0, result.stderr
        self.is_mounted = False

    def cut(self):
        """What is on the medium now is all that will be there after the next mount."""
        handle = os.open(self.path, os.O_RDONLY)
        try:
            fcntl.ioctl(handle, GOING_DOWN, NO_LOG_FLUSH.to_bytes(4, "little"))
        except OSError as error:
            skip(f"{self.kind} of this kernel cannot be shut down: {error}")
        finally:
            os.close(handle)

    def remount(self):
        self.unmount()
        self.mount()

    def remove(self):
        self.unmount()
        shutil.rmtree(self.folder, ignore_errors=True)


def write_back_some(root, chance: random.Random):
    """Writes some pages of some files to the medium, in no order, as a kernel under memory pressure does."""
    files = [pathlib.Path(folder) / name for folder, _, names in os.walk(root) for name in names]
    for path in chance.sample(files, min(len(files), chance.randrange(0, 5))):
        try:
            handle = os.open(path, os.O_RDWR)
        except OSError:
            continue
        try:
            how = chance.random()
            if how < 0.3:
                os.fsync(handle)
            else:
                size = max(os.fstat(handle).st_size, 4096)
                if path.parent.name == "commitlog":
                    # Most of a segment is empty; its pages near the front are the interesting ones.
                    size = min(size, 1 << 20)
                for _ in range(chance.randrange(1, 6)):
                    offset = chance.randrange(0, size) & ~4095
                    _libc.sync_file_range(handle, ctypes.c_int64(offset), ctypes.c_int64(4096 * chance.randrange(1, 9)), SYNC_FILE_RANGE_WRITE)
        except OSError:
            pass
        finally:
            os.close(handle)
