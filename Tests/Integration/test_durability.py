"""Messages, topics and progress outlive the process: after a clean stop and after kill -9, in both flush modes."""

import json
import pathlib
import subprocess
import sys
import threading
import time

import pytest

from apus import eventually
from messages import bodies, message

FOLDER = pathlib.Path(__file__).parent


def run_client(*words, **options):
    """A client in a process of its own, for tests in which the server goes away under it."""
    return subprocess.Popen(
        [sys.executable, str(FOLDER / "client.py"), *words], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        stdin=subprocess.DEVNULL, text=True, **options,
    )


def lines(process, within):
    output, _ = process.communicate(timeout=within)
    return [json.loads(line) for line in output.splitlines() if line.startswith("{")]


def consume(server, group, topic, count, within=60):
    """What a push consumer of its own process gets until it has `count` messages or the time is over."""
    process = run_client("push", server.name_server, group, topic, str(count), str(within))
    return sorted(row["body"] for row in lines(process, within + 30))


def test_messages_and_topics_survive_a_clean_stop(own_server, clients, topic, group):
    server = own_server()
    sent = run_client("send", server.name_server, group(), topic, "50")
    acknowledged = sorted(row["body"] for row in lines(sent, 60))
    assert len(acknowledged) == 50
    server.restart()
    assert bodies(clients.pull(server, group()), topic) == [body.encode() for body in acknowledged]


def test_a_group_goes_on_where_it_was(own_server, topic, group):
    server = own_server()
    name = group()
    first = lines(run_client("send", server.name_server, group(), topic, "20"), 60)
    assert consume(server, name, topic, 20) == sorted(row["body"] for row in first)
    server.restart()
    second = lines(run_client("send", server.name_server, group(), topic, "20", "later"), 60)
    assert consume(server, name, topic, 20) == sorted(row["body"] for row in second)


@pytest.mark.parametrize("flush", ["ASYNC_FLUSH", "SYNC_FLUSH"])
def test_nothing_acknowledged_is_lost_by_kill_9(own_server, clients, topic, group, flush):
    server = own_server(f"flushDiskType={flush}")
    process = run_client("send-until-failure", server.name_server, group(), topic)
    # Some messages are acknowledged, and the next ones are on their way when the process dies.
    acknowledged = []
    watchdog = threading.Timer(120, process.kill)
    watchdog.start()
    for line in process.stdout:
        if line.startswith("{"):
            acknowledged.append(json.loads(line)["body"])
        if len(acknowledged) == 500 and server.is_alive():
            server.kill()
    watchdog.cancel()
    assert not server.is_alive(), "the sender ended too early"
    server.start()
    stored = [body.decode() for body in bodies(clients.pull(server, group()), topic)]
    assert set(acknowledged) <= set(stored), f"lost: {sorted(set(acknowledged) - set(stored))[:10]}"
    # One send was open at the kill; the client may have repeated it.
    assert len(stored) <= len(acknowledged) + 4


def test_a_crash_while_nothing_happens_costs_nothing(own_server, clients, topic, group):
    server = own_server()
    sent = lines(run_client("send", server.name_server, group(), topic, "10"), 60)
    for _ in range(3):
        server.kill()
        server.start()
    assert bodies(clients.pull(server, group()), topic) == sorted(row["body"].encode() for row in sent)


def test_two_processes_do_not_share_a_store(own_server):
    from apus import Server

    server = own_server()
    second = Server(server.folder)
    with pytest.raises(AssertionError, match="ended with"):
        second.start()
    assert server.is_alive()


def test_members_of_a_group_share_the_messages(own_server, clients, topic, group):
    server = own_server()
    name = group()
    sent = lines(run_client("send", server.name_server, group(), topic, "1", "warm"), 60)
    members = [run_client("push", server.name_server, name, topic, "100000", "45") for _ in range(2)]
    # Only messages sent while both are members are shared; until then one of them has all queues.
    producer = clients.producer(server, group())
    end = time.monotonic() + 40
    count = 0
    while time.monotonic() < end:
        producer.send_sync(message(topic, f"shared {count}"))
        count += 1
        time.sleep(0.05)
    outputs = [[row["body"] for row in lines(member, 90)] for member in members]
    received = sorted(outputs[0] + outputs[1])
    assert len(sent) == 1
    assert set(received) == {"warm 0"} | {f"shared {i}" for i in range(count)}
    assert outputs[0] and outputs[1], "one member got everything"
