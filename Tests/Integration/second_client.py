"""The second client that we did not write, in a process of its own: `rocketmq-python-cvs` 2.1.0.3, which wraps the official C++ client
2.1.0. Its package has the name of the first client's, so the two never share a process.

second_client.py FOLDER

FOLDER is where it was installed. Requests come as lines of JSON on standard input, answers and events leave on standard output:
a request names what to `do` and has an `id`, its answer has the same `id` and `ok` or `error`; whatever comes by callback is an `event`.
Bodies are base64. `second.py` is the other end.

The wrapper covers one part of the C interface. Transactions, sharding keys, bodies with NUL bytes and message traces are called here
through `ctypes`, by the signatures of CProducer.h, CMessage.h, CPushConsumer.h and CTransactionStatus.h of that client.
"""

import base64
import ctypes
import json
import os
import sys
import threading
import time
import traceback

sys.path.insert(0, sys.argv[1])

from rocketmq.client import Message, Producer, PullConsumer, PushConsumer, RecvMessage  # noqa: E402
from rocketmq.exceptions import ffi_check  # noqa: E402
from rocketmq.ffi import MessageModel, _CMQException, _CPullStatus, _CSendResult, _CMessageQueue, dll  # noqa: E402

CHECKER = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p)
# The wrapper declares a pointer where the client passes the structure itself; these are the header's.
ON_SUCCESS = ctypes.CFUNCTYPE(None, _CSendResult, ctypes.c_void_p, ctypes.c_void_p)
ON_FAILURE = ctypes.CFUNCTYPE(None, _CMQException, ctypes.c_void_p, ctypes.c_void_p)

for name, result, arguments in [
    ("CreateTransactionProducer", ctypes.c_void_p, [ctypes.c_char_p, CHECKER, ctypes.c_void_p]),
    ("SendMessageTransaction", ctypes.c_int, [ctypes.c_void_p, ctypes.c_void_p, CHECKER, ctypes.c_void_p, ctypes.c_void_p]),
    ("SendMessageOrderlyByShardingKey", ctypes.c_int, [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]),
    ("SendAsync", ctypes.c_int, [ctypes.c_void_p, ctypes.c_void_p, ON_SUCCESS, ON_FAILURE, ctypes.c_void_p]),
    ("SetProducerMessageTrace", ctypes.c_int, [ctypes.c_void_p, ctypes.c_int]),
    ("SetPushConsumerMessageTrace", ctypes.c_int, [ctypes.c_void_p, ctypes.c_int]),
    ("GetOriginMessageProperty", ctypes.c_char_p, [ctypes.c_void_p, ctypes.c_char_p]),
    ("ShowProducerVersion", ctypes.c_char_p, [ctypes.c_void_p]),
    # Not as a C string: that ends at the first NUL byte.
    ("GetMessageBody", ctypes.c_void_p, [ctypes.c_void_p]),
]:
    function = getattr(dll, name)
    function.restype, function.argtypes = result, arguments

STATES = {"commit": 0, "rollback": 1, "unknown": 2}
TRACE_IS_ON = 0

lock = threading.Lock()
clients = {}
# What the client calls later must stay alive.
kept = []


def tell(**values):
    with lock:
        sys.stdout.write(json.dumps(values) + "\n")
        sys.stdout.flush()


def text(value):
    return None if value is None else value.decode("utf-8", "replace")


def body_of(handle):
    """The body with what follows a NUL byte, when the sender told its length; the C interface does not."""
    address = dll.GetMessageBody(handle)
    length = text(dll.GetMessageProperty(handle, b"length"))
    return ctypes.string_at(address, int(length)) if length else ctypes.string_at(address)


def row(handle, names=()):
    """What is worth telling of a received message."""
    m = RecvMessage(handle)
    return {
        "topic": m.topic, "body": base64.b64encode(body_of(handle)).decode(), "tags": text(m.tags), "keys": text(m.keys),
        "id": m.id, "queue": m.queue_id, "offset": m.queue_offset, "attempts": m.reconsume_times, "born": m.born_timestamp,
        "stored": m.store_timestamp, "size": m.store_size, "delay": m.delay_time_level,
        "properties": {name: text(m[name]) for name in names},
    }


# Where its log goes is settled by the first line of it, which constructors of consumers write; else it is /logs/rocketmq-client.
logger = Producer("logger")
logger.set_log_root_path(os.environ["HOME"])


def made(spec):
    message = Message(spec["topic"])
    body = base64.b64decode(spec["body"])
    ffi_check(dll.SetByteMessageBody(message, body, len(body)))
    if spec.get("tags"):
        message.set_tags(spec["tags"])
    if spec.get("keys"):
        message.set_keys(spec["keys"])
    if spec.get("delay"):
        message.set_delay_time_level(spec["delay"])
    for name, value in spec.get("properties", {}).items():
        message.set_property(name, value)
    return message


def prepare(client, request, set_instance=None):
    """Parts of one process share their connections and their heartbeat, unless they are given instance names."""
    client.set_namesrv_addr(request["namesrv"])
    if request.get("instance"):
        ffi_check(set_instance(client._handle, request["instance"].encode()))
    if request.get("credentials"):
        client.set_session_credentials(*request["credentials"], "ALIYUN")


def producer(name, group, timeout=None, max_message_size=None, transactions=False, trace=False, **request):
    if transactions:
        made_producer = Producer.__new__(Producer)
        checker = CHECKER(lambda _, message, __: check(name, message))
        kept.append(checker)
        made_producer._handle = dll.CreateTransactionProducer(group.encode(), checker, None)
        made_producer._callback_refs = []
        if max_message_size:
            made_producer.set_max_message_size(max_message_size)
    else:
        made_producer = Producer(group, timeout=timeout, max_message_size=max_message_size)
    prepare(made_producer, request, dll.SetProducerInstanceName)
    if trace:
        ffi_check(dll.SetProducerMessageTrace(made_producer._handle, TRACE_IS_ON))
    made_producer.start()
    clients[name] = made_producer
    return text(dll.ShowProducerVersion(made_producer._handle))


def result(sent):
    return {"status": int(sent.status), "id": sent.msg_id, "offset": sent.offset}


def plain(structure):
    return {"status": structure.sendStatus, "id": structure.msgId.decode(), "offset": structure.offset}


def send(name, message):
    return result(clients[name].send_sync(made(message)))


def send_all(name, messages):
    """Many in one request."""
    return [result(clients[name].send_sync(made(message))) for message in messages]


def send_async(name, messages):
    """Each is told by an event once it is answered."""
    for message in messages:
        body = message["body"]
        succeeded = ON_SUCCESS(lambda sent, _, __, body=body: tell(event="sent", name=name, body=body, **plain(sent)))
        failed = ON_FAILURE(lambda error, _, __, body=body: tell(event="failed", name=name, body=body, error=text(error.msg)))
        whole = made(message)
        kept.append((succeeded, failed, whole))
        ffi_check(dll.SendAsync(clients[name]._handle, whole, succeeded, failed, None))


def send_oneway(name, messages):
    for message in messages:
        clients[name].send_oneway(made(message))


def send_orderly(name, messages, number):
    return [result(clients[name].send_orderly(made(message), number)) for message in messages]


def send_sharded(name, messages, key):
    rows = []
    for message in messages:
        sent = _CSendResult()
        ffi_check(dll.SendMessageOrderlyByShardingKey(clients[name]._handle, made(message), key.encode(), ctypes.byref(sent)))
        rows.append(plain(sent))
    return rows


def send_batch(name, messages):
    return result(clients[name].send_batch([made(message) for message in messages]))


def send_in_transaction(name, message, outcome):
    """`outcome` is what the local transaction ends with; "held" leaves it open until `end` says more."""
    whole, sent = made(message), _CSendResult()

    def execute(_, __, ___):
        # The half message is stored by now, and not ended.
        tell(event="executed", name=name, body=message["body"])
        if outcome != "held":
            return STATES[outcome]
        held[message["body"]].acquire()
        return STATES[ends[message["body"]]]

    if outcome == "held":
        held[message["body"]] = threading.Semaphore(0)

    executor = CHECKER(execute)
    kept.append((executor, whole))
    ffi_check(dll.SendMessageTransaction(clients[name]._handle, whole, executor, None, ctypes.byref(sent)))
    return plain(sent)


held, ends, asked = {}, {}, {}


def end(message, outcome):
    """Ends what was held."""
    ends[message["body"]] = outcome
    held[message["body"]].release()


def check(name, handle):
    """The broker asks: the message carries the answers as a property, one for each time it is asked; the last one holds on."""
    try:
        told = row(handle, ["answers", "UNIQ_KEY", "PGROUP", "TRAN_MSG"])
        with lock:
            asked[told["body"]] = asked.get(told["body"], 0) + 1
            times = asked[told["body"]]
        answers = (told["properties"]["answers"] or "unknown").split(",")
        answer = answers[min(times, len(answers)) - 1]
        tell(event="checked", name=name, times=times, answer=answer, **told)
        return STATES[answer]
    except Exception:
        traceback.print_exc()
        return STATES["unknown"]


def push(
    name, group, topics, expression="*", orderly=False, broadcasting=False, fails=0, pause=0, properties=(), trace=False, threads=None,
    **request,
):
    """Each message is told by an event, before it is answered for. The first `fails` attempts of each say "later"."""
    model = MessageModel.BROADCASTING if broadcasting else MessageModel.CLUSTERING
    consumer = PushConsumer(group, orderly=orderly, message_model=model)
    prepare(consumer, request, dll.SetPushConsumerInstanceName)
    if threads:
        consumer.set_thread_count(threads)
    if trace:
        ffi_check(dll.SetPushConsumerMessageTrace(consumer._handle, TRACE_IS_ON))
    for topic in topics:
        ffi_check(dll.Subscribe(consumer._handle, topic.encode(), expression.encode()))

    def on_message(_, handle):
        begin = time.monotonic_ns()
        told = row(handle, properties)
        if pause:
            time.sleep(pause)
        tell(event="message", name=name, begin=begin, end=time.monotonic_ns(), **told)
        # The wrapper's own `subscribe` says "later" by an exception, which `ctypes` does not turn into any status for certain.
        return 1 if told["attempts"] < fails else 0

    consumer._register_callback(on_message)
    consumer.start()
    clients[name] = consumer


def pull_consumer(name, group, **request):
    consumer = PullConsumer(group)
    consumer.offset_table = {}
    prepare(consumer, request)
    consumer.start()
    clients[name] = consumer


def pull(name, topic, expression="*", offset=0, maximum=32, properties=()):
    """Every queue from `offset` to its end, by the C interface: rows and where each queue ended."""
    queues, count = ctypes.POINTER(_CMessageQueue)(), ctypes.c_int()
    handle = clients[name]._handle
    ffi_check(dll.FetchSubscriptionMessageQueues(handle, topic.encode(), ctypes.pointer(queues), ctypes.pointer(count)))
    rows, ends, sizes = [], {}, []
    for index in range(count.value):
        queue, at = queues[index], offset
        for _ in range(1000):
            answer = dll.Pull(handle, ctypes.pointer(queue), expression.encode(), at, maximum)
            found = [row(answer.msgFoundList[i], properties) for i in range(answer.size)] if answer.pullStatus == _CPullStatus.FOUND else []
            status, following = answer.pullStatus, answer.nextBeginOffset
            ends[queue.queueId] = {"status": status, "next": following, "min": answer.minOffset, "max": answer.maxOffset}
            dll.ReleasePullResult(answer)
            rows += found
            sizes.append(len(found))
            if status not in (_CPullStatus.FOUND, _CPullStatus.NO_MATCHED_MSG) or following == at:
                break
            at = following
    ffi_check(dll.ReleaseSubscriptionMessageQueue(queues))
    return {"rows": rows, "ends": ends, "largest": max(sizes, default=0)}


def shutdown(name):
    clients[name].shutdown()


ACTIONS = {
    function.__name__: function
    for function in (
        producer, send, send_all, send_async, send_oneway, send_orderly, send_sharded, send_batch, send_in_transaction, end, push,
        pull_consumer, pull, shutdown,
    )
}


def handle(request):
    number, action = request.pop("id"), request.pop("do")
    try:
        tell(id=number, ok=ACTIONS[action](**request))
    except Exception as error:
        tell(id=number, error=f"{type(error).__name__}: {error}")


for line in sys.stdin:
    # One thread each, so that a request that waits holds up nothing else.
    threading.Thread(target=handle, args=[json.loads(line)], daemon=True).start()
# The client's own threads do not always end; everything is said by now.
os._exit(0)
