"""Transactions with a client that we did not write: the official C++ client 2.1.0 sends half messages, ends them, and is asked
(`second_client.py`). What a client cannot show, test_transactions.py does by hand."""

import random

import pytest

from apus import Server, eventually
from second import SecondClient, body, message

SETTINGS = ("transactionTimeOut=1000", "transactionCheckInterval=1000", "transactionCheckMax=3")


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """Asks after one second, and every second, three times."""
    server = Server(tmp_path_factory.mktemp("transactions"), *SETTINGS).start()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def shared(server, tmp_path_factory):
    client = SecondClient(server, tmp_path_factory.mktemp("second"))
    yield client
    client.kill()


def transaction_producer(client, group, topic, **options):
    """A producer that the broker knows at once, its topic with a first message, and the plain producer that sent it. This client's first
    heartbeat goes to the brokers that it has met by then, the next one thirty seconds later: the plain producer meets the broker first."""
    plain = client.producer(f"plain-{group}")
    client.call("send", name=plain, message=message(topic, "first"))
    return client.producer(group, transactions=True, **options), plain


def begin(client, producer, topic, text, outcome, **fields):
    return client.call("send_in_transaction", name=producer, message=message(topic, text, **fields), outcome=outcome)


def checks(client, text):
    return [row for row in client.events("checked") if body(row) == text.encode()]


def test_committed_is_received_and_rolled_back_is_not(shared, topic, group):
    name = group("tx")
    producer, _ = transaction_producer(shared, name, topic)
    consumer = shared.push(group(), topic, properties=["TRAN_MSG", "PGROUP", "UNIQ_KEY", "colour"])
    sent = begin(shared, producer, topic, "commit", "commit", tags="t", keys="k", properties={"colour": "red"})
    assert sent["status"] == 0 and len(sent["id"]) == 32
    begin(shared, producer, topic, "rollback", "rollback")
    # Ends are one-way: what comes behind them on the same connection says that they were taken in.
    begin(shared, producer, topic, "last", "commit")
    shared.expect(consumer, ["first", "commit", "last"])
    [row] = [row for row in shared.received(consumer) if body(row) == b"commit"]
    assert (row["topic"], row["tags"], row["keys"], row["id"]) == (topic, "t", "k", sent["id"])
    assert row["properties"] == {"TRAN_MSG": "true", "PGROUP": name, "UNIQ_KEY": sent["id"], "colour": "red"}
    assert shared.pulled_bodies(topic, group()) == [b"commit", b"first", b"last"]
    assert not [row for text in ("commit", "rollback", "last") for row in checks(shared, text)], "asked though it was ended"


def test_nobody_sees_a_message_before_its_end(shared, topic, group):
    producer, plain = transaction_producer(shared, group("tx"), topic)
    consumer = shared.push(group(), topic)
    for outcome in "commit", "rollback":
        held = message(topic, f"held, then {outcome}", properties={"answers": "unknown"})
        answer = shared.start("send_in_transaction", name=producer, message=held, outcome="held")
        eventually(lambda: [row for row in shared.events("executed", producer) if row["body"] == held["body"]], what="the half message")
        # A plain message that comes later is there; the half message is not, at this consumer nor at a new one.
        shared.call("send", name=plain, message=message(topic, f"after {outcome}"))
        eventually(lambda: f"after {outcome}".encode() in shared.bodies(consumer), what="the plain message")
        assert held["body"] not in {row["body"] for row in shared.received(consumer) + shared.pulled(topic, group())}
        shared.call("end", message=held, outcome=outcome)
        assert answer()["status"] == 0
    begin(shared, producer, topic, "last", "commit")
    shared.expect(consumer, ["first", "after commit", "held, then commit", "after rollback", "last"])


def test_who_does_not_know_is_asked_until_it_knows(shared, topic, group):
    name = group("tx")
    producer, _ = transaction_producer(shared, name, topic)
    consumer = shared.push(group(), topic)
    texts = {text: f"{topic} {text}" for text in ("unknown,unknown,commit", "unknown,rollback", "commit")}
    ids = {
        text: begin(shared, producer, topic, text, "unknown", tags="t", keys="k", properties={"answers": answers})["id"]
        for answers, text in texts.items()
    }
    shared.expect(consumer, ["first", texts["unknown,unknown,commit"], texts["commit"]])
    eventually(lambda: len(checks(shared, texts["unknown,rollback"])) == 2, what="the second question")
    for answers, text in texts.items():
        asked = checks(shared, text)
        assert [row["answer"] for row in asked] == answers.split(",")
        # It is asked with the whole message, as it was sent to its topic, and by the name that it gave the message.
        for row in asked:
            assert (row["topic"], row["tags"], row["keys"], row["id"], row["name"]) == (topic, "t", "k", ids[text], producer)
            assert row["properties"] == {"answers": answers, "UNIQ_KEY": ids[text], "PGROUP": name, "TRAN_MSG": "true"}
    # The one that was committed with the third answer came last, so every end was taken in; nothing came twice.
    assert shared.pulled_bodies(topic, group()) == sorted(
        data.encode() for data in ("first", texts["unknown,unknown,commit"], texts["commit"])
    )


def test_a_delay_begins_with_the_commit(shared, topic, group):
    """The Java client takes the level away; this one sends it along, and RocketMQ delays what was committed."""
    producer, _ = transaction_producer(shared, group("tx"), topic)
    consumer = shared.push(group(), topic, properties=["DELAY"])
    for outcome in "commit", "rollback", "unknown":
        begin(shared, producer, topic, f"{topic} {outcome}", outcome, delay=1, properties={"answers": "commit"})
    shared.expect(consumer, ["first", f"{topic} commit", f"{topic} unknown"])
    for row in shared.received(consumer):
        # The one that was not known is asked about after a second, and waits one more.
        least = {"commit": 1000, "unknown": 2000}.get(body(row).decode().split()[-1], 0)
        assert least - 50 <= row["stored"] - row["born"] < least + 10_000, row
    assert not [row for row in shared.received(consumer) + shared.events("checked") if body(row) == f"{topic} rollback".encode()]


def test_large_messages_with_nul_bytes_are_asked_about_and_committed_whole(shared, topic, group):
    producer, _ = transaction_producer(shared, group("tx"), topic, max_message_size=4 * 1024 * 1024)
    data = [bytes(range(256)) * 4096, random.Random(5).randbytes(100_000)]
    for each in data:
        fields = {"length": str(len(each)), "answers": "commit"}
        shared.call("send_in_transaction", name=producer, message=message(topic, each, properties=fields), outcome="unknown")
    consumer = shared.push(group(), topic)
    shared.expect(consumer, [b"first", *data])


def test_many_transactions_at_once_end_each_as_it_should(shared, topic, group):
    producer, _ = transaction_producer(shared, group("tx"), topic)
    consumer = shared.push(group(), topic)
    random_numbers, expected, answers = random.Random(4), ["first"], []
    for number in range(150):
        outcome = random_numbers.choice(["commit", "rollback", "unknown"])
        later = random_numbers.choice(["commit", "rollback", "unknown,commit"])
        text = f"{topic} {number}"
        if outcome == "commit" or outcome == "unknown" and later != "rollback":
            expected.append(text)
        m = message(topic, text, properties={"answers": later})
        answers.append(shared.start("send_in_transaction", name=producer, message=m, outcome=outcome))
        if len(answers) == 10:
            # Ten at a time.
            assert [answer()["status"] for answer in answers] == [0] * 10
            answers.clear()
    shared.expect(consumer, expected)
    assert shared.pulled_bodies(topic, group()) == sorted(text.encode() for text in expected)


def test_what_a_producer_left_open_is_asked_of_another_of_its_group(own_second, server, topic, group):
    name = group("tx")
    one, other = own_second(server), own_second(server)
    producer, _ = transaction_producer(one, name, topic)
    open_message = message(topic, f"{topic} left open", properties={"answers": "commit"})
    one.start("send_in_transaction", name=producer, message=open_message, outcome="held")
    eventually(lambda: one.events("executed", producer), what="the half message")
    one.kill()
    transaction_producer(other, name, topic)
    eventually(lambda: checks(other, f"{topic} left open"), what="the question")
    consumer = other.push(group(), topic)
    other.expect(consumer, ["first", "first", f"{topic} left open"])


def test_an_open_transaction_outlives_a_kill_of_the_broker(own_second, own_server, topic, group):
    server = own_server(*SETTINGS)
    name = group("tx")
    one = own_second(server)
    producer, _ = transaction_producer(one, name, topic)
    begin(one, producer, topic, "committed", "commit")
    begin(one, producer, topic, "rolled back", "rollback")
    begin(one, producer, topic, "open", "unknown", properties={"answers": "unknown"})
    # What was committed before is in the log by then; of the open one nobody says more before the end.
    begin(one, producer, topic, "last", "commit")
    eventually(lambda: b"last" in one.pulled_bodies(topic, group()), what="the last commit")
    one.kill()
    server.kill()
    server.start()
    other = own_second(server)
    transaction_producer(other, name, topic)
    eventually(lambda: checks(other, "open"), what="the question after the restart")
    assert not [row for row in other.events("checked") if body(row) != b"open"], "asked about what was ended"
    assert other.pulled_bodies(topic, group()) == sorted([b"first", b"first", b"committed", b"last"])


def test_what_nobody_ever_knows_is_given_up_and_kept_for_operators(shared, server, topic, group):
    producer, _ = transaction_producer(shared, group("tx"), topic)
    begin(shared, producer, topic, f"{topic} forever", "unknown", properties={"answers": "unknown"})

    def given_up():
        if "TRANS_CHECK_MAX_TIME_TOPIC" not in server.run("topic", "list", "--all"):
            return []
        return [data.decode() for data in shared.pulled_bodies("TRANS_CHECK_MAX_TIME_TOPIC", group())]

    eventually(lambda: f"{topic} forever" in given_up(), what="the message that was given up")
    assert len(checks(shared, f"{topic} forever")) == 3
    assert shared.pulled_bodies(topic, group()) == [b"first"]
