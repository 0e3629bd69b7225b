"""Access control: the C++ client's signatures, raw frames, and the command line against a real process."""

import contextlib
import json
import os
import stat
import subprocess
import time

import pytest

from apus import Server, binary, eventually
from remoting import Connection, frame
from second import Refused, message
from signing import Signed, sign

ACCOUNTS = """\
globalWhiteRemoteAddresses:
accounts:
- accessKey: sender-1
  secretKey: secret-of-sender
  whiteRemoteAddress:
  admin: false
  defaultTopicPerm: DENY
  defaultGroupPerm: DENY
  topicPerms:
  - Open=PUB|SUB
  - ReadOnly=SUB
  groupPerms:
  - readers=SUB
- accessKey: operator
  secretKey: secret-of-operator
  admin: true
"""

SENDER = ("sender-1", "secret-of-sender")
OPERATOR = ("operator", "secret-of-operator")


def send_fields(topic):
    return {
        "a": "PG", "b": topic, "c": "TBW102", "d": "4", "e": "0", "f": "0", "g": str(int(time.time() * 1000)), "h": "0",
        "i": "", "j": "0", "k": "false", "m": "false",
    }


@pytest.fixture
def accounts(tmp_path):
    path = tmp_path / "plain_acl.yml"
    path.write_text(ACCOUNTS)
    path.chmod(0o600)
    return path


@pytest.fixture
def guarded(own_server, accounts):
    server = own_server("aclEnable=true", f"aclFile={accounts}")
    with Signed(server.broker_port, *OPERATOR) as connection:
        for topic in "Open", "ReadOnly":
            fields = {
                "topic": topic, "defaultTopic": "TBW102", "readQueueNums": "4", "writeQueueNums": "4", "perm": "6",
                "topicFilterType": "SINGLE_TAG", "order": "false",
            }
            assert connection.request(17, fields)[0]["code"] == 0
    return server


def producer(clients, server, credentials):
    from rocketmq.client import Producer

    made = Producer("PG", timeout=3000)
    made.set_namesrv_addr(server.name_server)
    if credentials:
        made.set_session_credentials(*credentials, "ALIYUN")
    made.start()
    return made


def test_the_cpp_client_sends_and_consumes_with_its_key(guarded, clients, tmp_path):
    from rocketmq.client import Message, PushConsumer

    sender = producer(clients, guarded, SENDER)
    message = Message("Open")
    message.set_body("grüße 1")
    message.set_keys("a key")
    message.set_tags("t")
    assert sender.send_sync(message).offset == 0
    sender.shutdown()

    received = []
    consumer = PushConsumer("readers")
    consumer.set_namesrv_addr(guarded.name_server)
    consumer.set_session_credentials(*SENDER, "ALIYUN")
    consumer.subscribe("Open", lambda message: received.append(message.body.decode()))
    consumer.start()
    try:
        eventually(lambda: received == ["grüße 1"], what="the message")
    finally:
        consumer.shutdown()


@pytest.mark.parametrize("credentials", [None, ("sender-1", "another secret"), ("nobody-1", "secret-of-sender")])
def test_the_cpp_client_is_refused_without_the_right_key(guarded, clients, credentials):
    from rocketmq.client import Message

    sender = producer(clients, guarded, credentials)
    message = Message("Open")
    message.set_body("no")
    with pytest.raises(Exception):
        sender.send_sync(message)
    sender.shutdown()
    log = guarded.log.read_text()
    assert "request refused" in log
    assert "secret" not in log


def test_the_second_client_sends_consumes_and_ends_transactions_with_its_key(guarded, own_second, group):
    client = own_second(guarded)
    sender = client.producer("PG", credentials=SENDER, meets="Open")
    texts = ["grüße", "all kinds \0 of bytes", "x" * 10_000]
    for text in texts:
        m = message("Open", text, told=True, tags="t", keys="a key", properties={"colour": "ünlü"})
        assert client.call("send", name=sender, message=m)["status"] == 0
    # Half messages, their ends and the answer to the broker's question are signed too.
    transactions = client.producer("TX", credentials=SENDER, transactions=True)
    soon = {"CHECK_IMMUNITY_TIME_IN_SECONDS": "1", "answers": "commit"}
    for outcome in "commit", "rollback", "unknown":
        client.call("send_in_transaction", name=transactions, message=message("Open", outcome, properties=soon), outcome=outcome)
    consumer = client.push("readers", "Open", credentials=SENDER)
    client.expect(consumer, ["met", *texts, "commit", "unknown"])
    with pytest.raises(Refused):
        client.call("send", name=sender, message=message("ReadOnly", "no"))


@pytest.mark.parametrize("credentials", [None, ("sender-1", "another secret"), ("nobody-1", "secret-of-sender")])
def test_the_second_client_is_refused_without_the_right_key(guarded, own_second, credentials):
    right, wrong = own_second(guarded), own_second(guarded)
    sender = right.producer("PG", credentials=SENDER, meets="Open")
    with admin_offset(guarded) as stored:
        liar = wrong.producer("PG", credentials=credentials, meets=None)
        for action, options in ("send", {"message": message("Open", "no")}), ("send_batch", {"messages": [message("Open", "no")]}):
            with pytest.raises(Refused):
                wrong.call(action, name=liar, **options)
        wrong.call("send_oneway", name=liar, messages=[message("Open", "no")])
        thief = wrong.push("readers", "Open", credentials=credentials)
        reader = right.push("readers", "Open", credentials=SENDER)
        right.call("send", name=sender, message=message("Open", "second"))
        right.expect(reader, ["met", "second"])
        assert stored() == 1 and not wrong.received(thief)
    log = guarded.log.read_text()
    assert "request refused" in log
    assert "secret" not in log


def test_no_key_a_wrong_key_and_a_forbidden_topic(guarded):
    with Connection(guarded.broker_port) as stranger:
        header, _ = stranger.request(310, send_fields("Open"), b"m")
        assert (header["code"], header["remark"]) == (16, "No accessKey is configured")
    with Signed(guarded.broker_port, "sender-1", "wrong secret") as liar:
        header, _ = liar.request(310, send_fields("Open"), b"m")
        assert (header["code"], header["remark"]) == (16, "Check signature failed for accessKey=sender-1")
    with Signed(guarded.broker_port, *SENDER) as sender:
        assert sender.request(310, send_fields("Open"), b"m")[0]["code"] == 0
        # 320 and 325 are those for which RocketMQ 4.9 forgets the topic.
        for code in 310, 320, 325:
            header, _ = sender.request(code, send_fields("ReadOnly"), b"m")
            assert (header["code"], header["remark"]) == (16, "No default permission for topic:ReadOnly")
        header, _ = sender.request(215, {"topic": "Open"})
        assert header["code"] == 16 and header["remark"].startswith("Need admin permission")
    with Signed(guarded.ready["namesrv"], *SENDER) as sender:
        assert sender.request(100, {"namespace": "n", "key": "k", "value": "v"})[0]["code"] == 16
        assert sender.request(105, {"topic": "Open"})[0]["code"] == 0
    with Signed(guarded.ready["namesrv"], *OPERATOR) as operator:
        assert operator.request(100, {"namespace": "n", "key": "k", "value": "v"})[0]["code"] == 0


def test_a_captured_frame_can_be_sent_again_and_cannot_be_changed(guarded):
    """The protocol has no number that is used once: over plain TCP a replay works, and docs/security.md says so."""
    with Signed(guarded.broker_port, *SENDER) as sender:
        captured = sender.signed_frame(310, send_fields("Open"), b"ten euros")
        sender.send(captured)
        assert sender.answer()[0]["code"] == 0
    with Connection(guarded.broker_port) as thief:
        thief.send(captured)
        assert thief.answer()[0]["code"] == 0
    with Connection(guarded.broker_port) as thief:
        thief.send(captured.replace(b"ten euros", b"all euros"))
        assert thief.answer()[0]["code"] == 16
        thief.send(captured.replace(b'"Open"', b'"Shut"'))
        assert thief.answer()[0]["code"] == 16


def test_no_request_talks_its_way_past_the_signature(guarded):
    """Downgrades: less of a signature than there should be, or a request that does not look like one."""
    fields = send_fields("Open")
    signature = sign({**fields, "AccessKey": SENDER[0]}, b"m", SENDER[1])
    without_body = sign({**fields, "AccessKey": SENDER[0]}, b"", SENDER[1])
    attempts = [
        {}, {"Signature": ""}, {"Signature": signature[:-1]}, {"Signature": signature + "="}, {"Signature": signature.lower()},
        {"Signature": without_body}, {"signature": signature}, {"Signature": signature, "SecurityToken": "token"},
        {"Signature": signature, "_UNIQUE_KEY_QUERY": "x", "k2": ""}, {"Signature": signature, "AccessKey": OPERATOR[0]},
    ]
    refused = 0
    for attempt in attempts:
        with Connection(guarded.broker_port) as stranger:
            refused += stranger.request(310, {**fields, "AccessKey": SENDER[0], **attempt}, b"m")[0]["code"] == 16
    # Empty values add nothing to what is signed, and that field's name is left out: this one is as good as signed.
    assert refused == len(attempts) - 1
    with Connection(guarded.broker_port) as stranger:
        assert stranger.request(310, {**fields, "AccessKey": SENDER[0], "Signature": signature}, b"m")[0]["code"] == 0
    # What says that it is an answer, or wants none, is handled no more than any other.
    with admin_offset(guarded) as before:
        for flag in 1, 2, 3:
            with Connection(guarded.broker_port) as stranger:
                stranger.opaque += 1
                stranger.send(frame({"code": 310, "opaque": 1, "flag": flag, "extFields": {**fields, "AccessKey": SENDER[0]}}, b"m"))
                assert stranger.request(310, fields)[0]["code"] == 16
        assert before() == 0


@contextlib.contextmanager
def admin_offset(server):
    """How many messages came to Open meanwhile."""
    with Signed(server.broker_port, *OPERATOR) as operator:

        def count():
            answers = [operator.request(30, {"topic": "Open", "queueId": str(queue)})[0] for queue in range(4)]
            return sum(int(answer["extFields"]["offset"]) for answer in answers)

        begin = count()
        yield lambda: count() - begin


def test_accounts_are_read_again_when_their_file_changes(guarded, accounts):
    with Signed(guarded.broker_port, *SENDER) as sender:
        def code():
            return sender.request(310, send_fields("ReadOnly"), b"m")[0]["code"]

        assert code() == 16
        accounts.write_text(ACCOUNTS.replace("ReadOnly=SUB", "ReadOnly=PUB"))
        eventually(lambda: code() == 0, what="the new permission")
        accounts.write_text(ACCOUNTS.replace("  admin: false", "  admni: false"))
        eventually(lambda: "unknown key admni" in guarded.log.read_text(), what="the complaint")
        assert code() == 0
        accounts.write_text(ACCOUNTS)
        eventually(lambda: code() == 16, what="the old permission")
    assert "secret" not in guarded.log.read_text()


def test_the_command_line_signs(guarded, tmp_path):
    def run(*words, environment={}):
        return subprocess.run(
            [str(binary()), *words], capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL,
            env={**os.environ, "NAMESRV_ADDR": guarded.name_server, **environment},
        )

    credentials = tmp_path / "operator"
    credentials.write_text("accessKey: operator\nsecretKey: secret-of-operator\n")
    assert run("topic", "create", "Made", "--credentials", str(credentials)).returncode == 0
    by_environment = {"APUS_ACCESS_KEY": SENDER[0], "APUS_SECRET_KEY": SENDER[1]}
    assert run("send", "Open", 'a "quoted" ü', environment=by_environment).returncode == 0
    consumed = run(
        "consume", "Open", "--group", "readers", "--from", "first", "--count", "1", environment=by_environment
    )
    assert consumed.returncode == 0 and 'a "quoted" ü' in consumed.stdout
    refused = run("topic", "create", "Other", environment=by_environment)
    assert refused.returncode != 0 and "Need admin permission" in refused.stderr
    assert run("topic", "create", "Other").returncode != 0
    wrong = tmp_path / "wrong"
    wrong.write_text("accessKey: operator\n")
    assert "no secretKey" in run("topic", "list", "--credentials", str(wrong)).stderr


def test_a_server_without_usable_accounts_does_not_start(tmp_path):
    with pytest.raises(AssertionError, match="aclFile"):
        Server(tmp_path / "a", "aclEnable=true").start()
    broken = tmp_path / "broken.yml"
    broken.write_text("accounts:\n- accessKey: sender-1\n")
    with pytest.raises(AssertionError, match="line 2: an account needs secretKey"):
        Server(tmp_path / "b", "aclEnable=true", f"aclFile={broken}").start()


def test_a_file_that_everybody_may_read_is_reported(own_server, accounts):
    accounts.chmod(stat.S_IRUSR | stat.S_IWUSR | stat.S_IROTH)
    server = own_server("aclEnable=true", f"aclFile={accounts}")
    assert "can be read by every user" in server.log.read_text()


# MARK: without access control


def other_address():
    """An address of this machine that is no loopback one, so that a peer on another one looks like another machine; or None."""
    result = subprocess.run(["hostname", "-I"], capture_output=True, text=True)
    return next((word for word in result.stdout.split() if "." in word and not word.startswith("127.")), None)


def test_administration_over_loopback_needs_nothing(server, topic):
    with Connection(server.broker_port) as connection:
        fields = {
            "topic": topic, "defaultTopic": "TBW102", "readQueueNums": "32", "writeQueueNums": "32", "perm": "6",
            "topicFilterType": "SINGLE_TAG", "order": "false",
        }
        assert connection.request(17, fields)[0]["code"] == 0


@pytest.mark.parametrize("allowed", [False, True])
def test_administration_from_elsewhere_is_refused_unless_it_is_allowed(tmp_path, allowed):
    elsewhere = other_address()
    if elsewhere is None:
        pytest.skip("this machine has only loopback")
    settings = ["allowRemoteAdministration=true"] if allowed else []
    server = Server(tmp_path, *settings)
    server.bind = "0.0.0.0"
    server.start()
    try:
        for port, code, fields in [
            (server.ready["broker"], 215, {"topic": "None"}), (server.ready["namesrv"], 100, {"namespace": "n", "key": "k", "value": "v"}),
        ]:
            # From an address that is neither loopback nor the one that is connected to: another machine, for all that is known.
            with Connection(port, source=elsewhere) as connection:
                header, _ = connection.request(code, fields)
                if allowed:
                    assert header["code"] != 16
                else:
                    assert header["code"] == 16 and "allowRemoteAdministration=true" in header["remark"]
                # Everything else is served.
                assert connection.request(29_999)[0]["code"] == 3
            # Over loopback, and from the machine's address to itself, as a tool here that was told that address by the name server.
            for ends in {}, {"host": elsewhere, "source": elsewhere}:
                with Connection(port, **ends) as connection:
                    assert connection.request(code, fields)[0]["code"] != 16
        with Connection(server.ready["broker"], source=elsewhere) as connection:
            assert connection.request(310, send_fields("MadeBySending"), b"m")[0]["code"] == 0
    finally:
        server.kill()


# MARK: brokers among themselves


def test_brokers_sign_what_they_tell_each_other(tmp_path, own_server, accounts):
    """A topic that one broker makes on first use is made by the other too, which demands an administrator's signature."""
    credentials = tmp_path / "broker.credentials"
    credentials.write_text("accessKey: operator\nsecretKey: secret-of-operator\n")
    accounts.write_text(ACCOUNTS.replace("  - ReadOnly=SUB", "  - ReadOnly=SUB\n  - Spread=PUB\n  - Kept=PUB"))
    first = own_server("aclEnable=true", f"aclFile={accounts}", f"credentialsFile={credentials}", "brokerName=first")
    ready = tmp_path / "second.json"
    log = open(tmp_path / "second.log", "wb")
    second = subprocess.Popen(
        [
            str(binary()), "broker", "--name-server", first.name_server, "--store", str(tmp_path / "second"), "--bind", "127.0.0.1",
            "--broker-ip", "127.0.0.1", "--listen-port", "0", "--ready-file", str(ready), "--set", "aclEnable=true",
            "--acl-file", str(accounts), "--set", "brokerName=second",
        ],
        stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
    )
    try:
        eventually(ready.exists, what="the second broker")
        port = json.loads(ready.read_text())["broker"]

        def has(port, topic):
            with Signed(port, *OPERATOR) as connection:
                return connection.request(202, {"topic": topic})[0]["code"] == 0

        with Signed(first.broker_port, *SENDER) as sender:
            assert sender.request(310, send_fields("Spread"), b"m")[0]["code"] == 0
        eventually(lambda: has(port, "Spread"), what="the topic on the second broker")
        # The second one has no credentials, so the first one refuses.
        with Signed(port, *SENDER) as sender:
            assert sender.request(310, send_fields("Kept"), b"m")[0]["code"] == 0
        eventually(lambda: "No accessKey is configured" in first.log.read_text(), what="the refusal")
        assert not has(first.broker_port, "Kept")
    finally:
        second.kill()
        second.wait()
        log.close()
