"""What operators type, against a server that a client which is not ours has used."""

import csv
import io

from messages import message


def rows(text):
    return list(csv.DictReader(io.StringIO(text)))


def test_status_tells_what_the_broker_did(own_server, clients, topic, group):
    server = own_server()
    producer = clients.producer(server, group())
    for number in range(5):
        producer.send_sync(message(topic, f"body {number}"))
    values = {row["name"]: row["value"] for row in rows(server.run("status", "--output", "csv"))}
    assert values["msgPutTotalTodayNow"] == "5"
    assert int(values["loopTurns"]) > 5
    assert int(values["loopTurnMicrosMax"]) >= int(values["loopTurnMicrosP50"])
    one = rows(server.run("status", "--name", "brokerVersionDesc", "--output", "csv"))
    assert [row["value"] for row in one] == ["V4_9_8"]
