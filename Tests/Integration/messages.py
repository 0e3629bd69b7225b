"""Messages for the C++ client. Its bodies end at the first NUL byte, so none is sent here."""

from rocketmq.client import Message


def message(topic, body, tags=None, keys=None, properties=None):
    result = Message(topic)
    result.set_body(body)
    if tags is not None:
        result.set_tags(tags)
    if keys is not None:
        result.set_keys(keys)
    for name, value in (properties or {}).items():
        result.set_property(name, value)
    return result


def pull_all(consumer, topic, expression="*"):
    """Every message of the topic: (body, tags, keys, queue, queue offset), copied before the client frees it."""
    return [
        (m.body, m.tags, m.keys, m.queue_id, m.queue_offset) for m in consumer.pull(topic, expression)
    ]


def bodies(consumer, topic, expression="*"):
    return sorted(row[0] for row in pull_all(consumer, topic, expression))
