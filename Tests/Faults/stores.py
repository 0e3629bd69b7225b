"""Stores on disk: damaging them, looking at them with `apus store`, and reading all that a broker still serves."""

import json
import os
import pathlib
import random
import shutil
import subprocess
import zlib

from apus import binary
from wire import ReadFailed, read_queue
from world import SETTINGS, TOPICS


def store_command(what, store, *options, settings=SETTINGS):
    """Runs `apus store WHAT` with JSON output; returns exit code, damages, and what it printed for people."""
    words = [str(binary()), "store", what, "--store", str(store), "--output", "json", *options]
    for setting in settings:
        words += ["--set", setting]
    environment = {k: v for k, v in os.environ.items() if not k.startswith("APUS_")}
    result = subprocess.run(words, capture_output=True, text=True, timeout=300, env=environment, stdin=subprocess.DEVNULL)
    damages = json.loads(result.stdout) if result.stdout.strip().startswith("[") else []
    return result.returncode, damages, result.stderr


def files_with_content(store):
    """Every file of a store that has a byte to damage, with the end of its content."""
    found = []
    for folder, _, names in os.walk(store):
        for name in names:
            path = pathlib.Path(folder) / name
            if name in ("lock", "abort") or path.parent.name == "quarantine" or name == "next":
                continue
            end = len(path.read_bytes().rstrip(b"\0"))
            if end:
                found.append((path, end))
    return sorted(found)


def flip(path, position, mask):
    with open(path, "r+b") as file:
        file.seek(position)
        byte = file.read(1)[0]
        file.seek(position)
        file.write(bytes([byte ^ mask]))


def copy(store, to):
    """A copy with its holes."""
    shutil.rmtree(to, ignore_errors=True)
    subprocess.run(["cp", "-r", "--sparse=always", str(store), str(to)], check=True)
    return pathlib.Path(to)


def read_all(peer, topics=TOPICS):
    """Everything that is served, and the places where the broker refused."""
    stored, refused = {}, []
    for topic, queues in topics.items():
        for queue in range(queues):
            header, _ = peer.call(30, {"topic": topic, "queueId": str(queue)})
            if header["code"] != 0:
                continue
            offset, maximum = 0, int(header["extFields"]["offset"])
            records = []
            while offset < maximum:
                try:
                    found, _ = read_queue(peer, topic, queue, offset)
                    records += found
                    break
                except ReadFailed as failure:
                    # What came before the refusal in this call is read again, one by one.
                    found, offset = read_up_to(peer, topic, queue, offset, failure.offset)
                    records += found
                    refused.append((topic, queue, offset, failure.header))
                    offset += 1
            stored[topic, queue] = records
    return stored, refused


def read_up_to(peer, topic, queue, offset, end):
    """The records before the one that is refused, and where that one is. An answer that has a damaged record in it is refused as
    a whole, so the last ones are asked for one by one."""
    records = []
    while True:
        try:
            header, body = peer.call(
                11,
                {
                    "consumerGroup": "faults", "topic": topic, "queueId": str(queue), "queueOffset": str(offset),
                    "maxMsgNums": "1" if offset >= end else "32", "sysFlag": "4", "commitOffset": "0",
                    "suspendTimeoutMillis": "0", "subscription": "*", "subVersion": "0", "expressionType": "TAG",
                })
        except Exception:
            raise
        if header["code"] != 0:
            return records, offset
        from wire import records as parse

        records += parse(body, topic, queue)
        following = int(header["extFields"]["nextBeginOffset"])
        if following <= offset:
            return records, offset
        offset = following


def forge(path, position, size):
    """Changes the body of the record at `position` and makes its checksums right again."""
    data = bytearray(path.read_bytes())
    flags = int.from_bytes(data[position + 36 : position + 40], "big")
    at = position + 48 + (20 if flags & 0x10 else 8) + 8 + (20 if flags & 0x20 else 8) + 4 + 8
    length = int.from_bytes(data[at : at + 4], "big")
    body = slice(at + 4, at + 4 + length)
    data[at + 4 + length - 1] ^= 0x55
    data[position + 8 : position + 12] = (zlib.crc32(bytes(data[body])) & 0x7FFFFFFF).to_bytes(4, "big")
    end = position + size
    checksum = zlib.crc32(bytes(data[position : end - 20])) & 0x7FFFFFFF
    data[end - 11 : end - 1] = f"{checksum:010d}"[::-1].encode()
    path.write_bytes(data)
