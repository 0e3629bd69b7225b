import itertools
import sys
import pathlib

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))

from apus import Server  # noqa: E402

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def shared_server(tmp_path_factory):
    """One server for all tests that neither stop it nor need settings of their own."""
    server = Server(tmp_path_factory.mktemp("apus"))
    server.start()
    yield server
    server.stop()


@pytest.fixture
def server(shared_server):
    """The shared server, which must outlive every test: one that ends it has found a bug."""
    assert shared_server.is_alive(), f"the server is gone:\n{shared_server.tail()}"
    yield shared_server
    assert shared_server.is_alive(), f"the test ended the server:\n{shared_server.tail()}"


@pytest.fixture
def own_server(tmp_path):
    """A function that makes a server with settings (`own_server("flushDiskType=SYNC_FLUSH")`); stopped after the test."""
    servers = []

    def make(*settings):
        server = Server(tmp_path / f"server{len(servers)}", *settings)
        servers.append(server)
        return server.start()

    yield make
    for server in servers:
        if server.process is not None:
            server.kill()


@pytest.fixture
def topic():
    """A topic name that no other test uses."""
    return f"topic-{next(_numbers)}"


@pytest.fixture
def group():
    """A function that makes group names that no other test uses."""
    return lambda word="group": f"{word}-{next(_numbers)}"


@pytest.fixture
def clients():
    """Starts producers and consumers of the C++ client and shuts them down after the test, last one first."""
    started = []

    class Clients:
        def producer(self, server, group, **options):
            from rocketmq.client import Producer

            producer = Producer(group, **options)
            producer.set_namesrv_addr(server.name_server)
            producer.start()
            started.append(producer)
            return producer

        def push(self, server, group, topic, callback, expression="*", orderly=False, prepare=None, **options):
            from rocketmq.client import PushConsumer

            consumer = PushConsumer(group, orderly=orderly, **options)
            consumer.set_namesrv_addr(server.name_server)
            consumer.subscribe(topic, callback, expression)
            if prepare is not None:
                prepare(consumer)
            consumer.start()
            started.append(consumer)
            return consumer

        def pull(self, server, group):
            from rocketmq.client import PullConsumer

            consumer = PullConsumer(group)
            # The class keeps offsets for all consumers in one dictionary; each test begins at 0.
            consumer.offset_table = {}
            consumer.set_namesrv_addr(server.name_server)
            consumer.start()
            started.append(consumer)
            return consumer

    yield Clients()
    for client in reversed(started):
        client.shutdown()


@pytest.fixture
def own_second(tmp_path):
    """A function that starts processes of the second client (`own_second(server)`); they are killed after the test."""
    from second import SecondClient

    started = []

    def make(server):
        started.append(SecondClient(server, tmp_path))
        return started[-1]

    yield make
    for client in started:
        client.kill()
