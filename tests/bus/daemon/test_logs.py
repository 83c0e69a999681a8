# SPDX-License-Identifier: LGPL-2.1-or-later
"""OpenLogs and ReadLogs, with a stand-in for ccp-logs at the end of ccpd's connection."""

import json
import os
import select
import socket
import threading
import time

import dbus
import pytest
from conftest import NAME, instance_path, wait_for
from test_authorization import grant, revoke

READY = {"status": "ready"}
OPTIONS = dbus.Dictionary({}, signature="sv")


def entry(n, **more):
    return dict({"time": 1700000000000000 + n, "cursor": f"s=1;i={n}", "source": "container", "service": "web", "priority": 6,
                 "message": f"line {n}"}, **more)


def end(cursor="s=1;i=9", why="complete"):
    return {"end": why, "cursor": cursor}


class Reader:
    """One connection, as ccp-logs has it: the request was read."""

    def __init__(self, connection):
        self.connection = connection
        data, fds, _, _ = socket.recv_fds(connection, 65536, 4)
        while not data.endswith(b"\n"):
            data += connection.recv(65536)
        self.request = json.loads(data)
        assert len(fds) == 1
        self.life = socket.socket(fileno=fds[0])

    def say(self, *lines):
        for line in lines:
            self.connection.sendall(line if isinstance(line, bytes) else json.dumps(line).encode() + b"\n")

    def wait_for_go(self):
        """Until ccpd has closed its side; nothing may come before."""
        self.connection.settimeout(10)
        assert self.connection.recv(1) == b""

    def gone(self):
        """True when the other end of the connection is closed."""
        poll = select.poll()
        poll.register(self.connection, 0)
        return bool(poll.poll(0))

    def told_to_end(self):
        self.life.settimeout(10)
        return self.life.recv(16)

    def close(self):
        self.connection.close()
        self.life.close()


class Socket:
    def __init__(self, path):
        self.path, self.readers = path, []
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(path)
        self.listener.listen(256)
        self.listener.settimeout(10)

    def accept(self):
        self.readers.append(Reader(self.listener.accept()[0]))
        return self.readers[-1]

    def serve(self, *lines):
        """Answers the next connection in the background: says that it is ready and, when it is to go on, these lines."""
        def run():
            reader = self.accept()
            reader.say(READY)
            reader.wait_for_go()
            reader.say(*lines)
            reader.close()

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        return thread

    def close(self):
        for reader in self.readers:
            reader.close()
        self.listener.close()


@pytest.fixture
def alpha(ccpd):
    ccpd.create("alpha")
    ccpd.create("beta")
    ccpd.path = instance_path("alpha")
    ccpd.id = str(ccpd.get(ccpd.path, "Instance", "Id"))
    ccpd.logs = Socket(f"{ccpd.folder}/logs")
    yield ccpd
    ccpd.logs.close()


def options(**values):
    types = {int: dbus.UInt64, bool: dbus.Boolean}
    return dbus.Dictionary({k: types.get(type(v), dbus.String)(v) for k, v in values.items()}, signature="sv")


def read(ccpd, *services, **values):
    return ccpd.call("Instance", "ReadLogs", dbus.Array(services, signature="s"), options(**values), path=ccpd.path)


def call_async(ccpd, method, values, path=None):
    """Calls, and gathers the answers in a list."""
    answers = []

    def run():
        try:
            bus = dbus.bus.BusConnection(ccpd.address)
            answers.append(ccpd.call("Instance", method, dbus.Array([], signature="s"), values, path=path or ccpd.path, bus=bus))
            if method == "OpenLogs":
                answers[0] = answers[0].take()
            bus.close()
        except dbus.DBusException as e:
            answers.append(e)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return answers, thread


def error_of(function, *args, **kwargs):
    with pytest.raises(dbus.DBusException) as caught:
        function(*args, **kwargs)
    return caught.value.get_dbus_name().removeprefix(f"{NAME}.Error."), caught.value.get_dbus_message()


def test_what_is_asked_for_is_asked_of_the_reader(alpha):
    alpha.logs.serve(end())
    read(alpha)
    assert alpha.logs.readers[0].request == {"id": alpha.id, "lines": 100, "audit": True, "limit": 1000, "size": 1 << 20,
                                             "message": 1 << 18}
    alpha.logs.serve(end())
    read(alpha, "web", since=5, until=7, cursor="s=1", pattern="a|b", all=True, limit=3, timeout=1000000)
    assert alpha.logs.readers[1].request == {
        "id": alpha.id, "services": ["web"], "since": 5, "until": 7, "cursor": "s=1", "pattern": "a|b", "all": True, "audit": True,
        "limit": 3, "size": 1 << 20, "message": 1 << 18, "wait": 1000000}
    alpha.logs.serve(end())
    read(alpha, lines=0, since=5)
    assert alpha.logs.readers[2].request["lines"] == 0


def test_lines_are_collected(alpha):
    text = "a\t\u001b[31m\"ü\u0007 " + "x" * (1 << 20)
    of_job = entry(3, source="job")
    del of_job["service"]
    alpha.logs.serve(entry(1), entry(2, message=text, truncated=True, priority=3), of_job, end("s=1;i=3"))
    rows, cursor = read(alpha)
    assert cursor == "s=1;i=3"
    assert [dict(row) for row in rows] == [
        {"Time": 1700000000000001, "Cursor": "s=1;i=1", "Source": "container", "Service": "web", "Priority": 6, "Message": "line 1"},
        {"Time": 1700000000000002, "Cursor": "s=1;i=2", "Source": "container", "Service": "web", "Priority": 3, "Message": text,
         "Truncated": True},
        {"Time": 1700000000000003, "Cursor": "s=1;i=3", "Source": "job", "Priority": 6, "Message": "line 3"}]


def test_an_answer_in_pieces_is_put_together(alpha):
    def run():
        reader = alpha.logs.accept()
        data = b"".join(json.dumps(line).encode() + b"\n" for line in (READY, entry(1, message="ü" * 100), end()))
        first = data.index(b"\n") + 1
        for byte in range(first):
            reader.say(data[byte:byte + 1])
        reader.wait_for_go()
        for byte in range(first, len(data)):
            reader.say(data[byte:byte + 1])
        reader.close()

    threading.Thread(target=run, daemon=True).start()
    rows, _ = read(alpha)
    assert rows[0]["Message"] == "ü" * 100


def test_the_connection_is_handed_over(alpha):
    answers, thread = call_async(alpha, "OpenLogs", options(follow=True, lines=7))
    reader = alpha.logs.accept()
    assert reader.request == {"id": alpha.id, "lines": 7, "follow": True, "audit": True}
    time.sleep(0.1)
    assert not answers, "the call was answered before the reader accepted the request"
    reader.say(READY)
    reader.wait_for_go()
    thread.join(10)
    stream = socket.socket(fileno=answers[0])
    reader.say(entry(1))
    assert json.loads(stream.makefile().readline())["message"] == "line 1"
    # The caller can say nothing, and ccpd does not keep it open.
    with pytest.raises(OSError):
        stream.send(b"x")
    assert not reader.gone()
    stream.close()
    wait_for(reader.gone, what="the end of the connection")


ODD_ANSWERS = {
    "nothing": b"", "nonsense": b"nonsense\n", "an end": b'{"end":"complete","cursor":""}\n',
    "ready twice": b'{"status":"ready"}\n' * 2, "an entry": json.dumps(entry(1)).encode() + b"\n", "too much": b"\0" * (3 << 20)}


@pytest.mark.parametrize("answer", ODD_ANSWERS)
def test_a_reader_that_fails_is_said(alpha, answer):
    def run():
        reader = alpha.logs.accept()
        try:
            reader.say(ODD_ANSWERS[answer])
            reader.connection.settimeout(2)
            reader.connection.recv(1)
        except OSError:
            pass
        reader.close()

    threading.Thread(target=run, daemon=True).start()
    name, message = error_of(read, alpha)
    assert name == "Internal" and "systemctl status ccp-logs.socket" in message


def test_a_reader_that_ends_amid_its_answer_is_said(alpha):
    alpha.logs.serve(entry(1))
    assert "ended too early" in error_of(read, alpha)[1]


@pytest.mark.parametrize("method", ["ReadLogs", "OpenLogs"])
def test_what_the_reader_refuses_is_an_ordinary_error(alpha, method):
    answers, thread = call_async(alpha, method, options(pattern="("))
    reader = alpha.logs.accept()
    reader.say({"error": f"{NAME}.Error.InvalidArgument", "message": "The pattern cannot be used."})
    reader.close()
    thread.join(10)
    assert answers[0].get_dbus_name() == f"{NAME}.Error.InvalidArgument"
    assert answers[0].get_dbus_message() == "The pattern cannot be used."


def test_without_the_socket_it_is_said_what_to_look_at(alpha):
    os.unlink(alpha.logs.path)
    name, message = error_of(read, alpha)
    assert name == "Internal" and "ccp-logs.socket" in message


def test_what_makes_no_sense_is_refused_before_anybody_is_started(alpha):
    for services, values, name, hint in (
            (["nginx"], {}, "NoSuchService", "only: web."), (["\x1b[2J"], {}, "NoSuchService", "only: web."),
            ([], {"cursor": "\n"}, "InvalidArgument", "cursor"), ([], {"cursor": "c" * 513}, "InvalidArgument", "cursor"),
            ([], {"pattern": ""}, "InvalidArgument", "pattern"), ([], {"pattern": "x" * 1025}, "InvalidArgument", "pattern"),
            ([], {"since": 2, "until": 1}, "InvalidArgument", "since"), ([], {"limit": 0}, "InvalidArgument", "1 to 1000"),
            ([], {"limit": 1001}, "InvalidArgument", "1 to 1000"), ([], {"timeout": 60000001}, "InvalidArgument", "60 seconds"),
            ([], {"follow": True}, "InvalidArgument", "Unknown option"), ([], {"lines": "7"}, "InvalidArgument", "type")):
        found = error_of(read, alpha, *services, **values)
        assert found[0] == name and hint in found[1], found
        assert "\x1b" not in found[1]
    name, message = error_of(alpha.call, "Instance", "OpenLogs", dbus.Array([], signature="s"), options(follow=True, until=5),
                             path=alpha.path)
    assert name == "InvalidArgument" and "follow" in message
    assert alpha.logs.readers == []


def test_who_leaves_ends_his_reader(alpha):
    somebody = alpha.person("daemon")
    grant(alpha, "client", "user", "daemon", "alpha")
    somebody.send("ReadLogs", "asa{sv}", [], {}, path=alpha.path, interface=f"{NAME}.Instance")
    reader = alpha.logs.accept()
    reader.say(READY)
    reader.wait_for_go()
    assert not reader.gone()
    somebody.leave()
    alpha.people.remove(somebody)
    wait_for(reader.gone, what="the end of the connection")


def test_a_reader_that_nobody_waits_for_counts_until_it_has_ended(alpha):
    """Else whoever asks and leaves again has as many programs as he likes."""
    grant(alpha, "client", "user", "daemon", "alpha")
    somebody = alpha.person("daemon")
    for _ in range(4):
        somebody.send("ReadLogs", "asa{sv}", [], {}, path=alpha.path, interface=f"{NAME}.Instance")
        alpha.logs.accept().say(READY)
    somebody.leave()
    alpha.people.remove(somebody)
    for reader in alpha.logs.readers:
        assert reader.told_to_end()
    somebody = alpha.person("daemon")
    answer = somebody.instance("alpha", "ReadLogs", "asa{sv}", [], {})
    assert answer["error"] == f"{NAME}.Error.LimitExceeded" and "4 answers of ReadLogs" in answer["message"]
    alpha.logs.readers[0].close()
    alpha.logs.serve(end())
    assert wait_for(lambda: "value" in somebody.instance("alpha", "ReadLogs", "asa{sv}", [], {}), what="a reader")


def test_clients_cannot_have_all_readers(alpha):
    users = ("daemon", "bin", "sys", "games", "man", "lp")
    for user in users:
        grant(alpha, "client", "user", user, "alpha")
        somebody = alpha.person(user)
        for _ in range(16):
            somebody.send("OpenLogs", "asa{sv}", [], {"follow": True}, path=alpha.path, interface=f"{NAME}.Instance")
            alpha.logs.accept()
    grant(alpha, "client", "user", "mail", "alpha")
    grant(alpha, "viewer", "user", "news")
    answer = alpha.person("mail").instance("alpha", "ReadLogs", "asa{sv}", [], {})
    assert answer["error"] == f"{NAME}.Error.LimitExceeded" and answer["message"].startswith("96 logs")
    for ask in (lambda: read(alpha)[1] == "s=1;i=9",
                lambda: "value" in alpha.person("news").instance("alpha", "ReadLogs", "asa{sv}", [], {})):
        alpha.logs.serve(end())
        assert ask()


def test_an_answer_that_was_ended_before_its_first_line_is_none(alpha):
    alpha.logs.serve(end("", "again"))
    name, message = error_of(read, alpha)
    assert name == "Cancelled" and "Ask again" in message
    alpha.logs.serve(entry(1), end("s=1;i=1", "again"))
    rows, cursor = read(alpha)
    assert len(rows) == 1 and cursor == "s=1;i=1"


def test_a_client_reads_his_own_and_what_is_on_record_is_not_among_it(alpha):
    somebody = alpha.person("daemon")
    grant(alpha, "client", "user", "daemon", "alpha")
    alpha.logs.serve(entry(1), end())
    answer = somebody.instance("alpha", "ReadLogs", "asa{sv}", [], {})
    assert answer["value"][0][0]["Message"] == "line 1"
    assert "audit" not in alpha.logs.readers[0].request
    for slug in ("beta", "nobody"):
        for method in ("ReadLogs", "OpenLogs"):
            assert somebody.instance(slug, method, "asa{sv}", [], {})["error"] == f"{NAME}.Error.NotAuthorized"
    stranger = alpha.person("nobody")
    assert stranger.instance("alpha", "ReadLogs", "asa{sv}", [], {})["error"] == f"{NAME}.Error.NotAuthorized"
    alpha.polkit("Answer", "view-logs", "no")
    assert somebody.instance("alpha", "ReadLogs", "asa{sv}", [], {})["error"] == f"{NAME}.Error.NotAuthorized"
    assert len(alpha.logs.readers) == 1


def open_stream(alpha, path=None):
    answers, thread = call_async(alpha, "OpenLogs", options(follow=True), path)
    reader = alpha.logs.accept()
    reader.say(READY)
    reader.wait_for_go()
    thread.join(10)
    return reader, socket.socket(fileno=answers[0])


def test_a_stream_is_ended_when_roles_or_rules_change(alpha):
    for change in (lambda: grant(alpha, "viewer", "user", "daemon"), lambda: revoke(alpha, "user", "daemon"),
                   lambda: alpha.polkit("Answer", "view", "yes")):
        reader, stream = open_stream(alpha)
        change()
        assert reader.told_to_end()
        stream.close()


def test_a_stream_is_ended_when_its_instance_is_gone(alpha):
    reader, stream = open_stream(alpha)
    other, other_stream = open_stream(alpha, instance_path("beta"))
    alpha.postgres.sql(f"DELETE FROM instances WHERE id = '{alpha.id}'")
    alpha.postgres.sql(f"NOTIFY ccpd_instance, '{alpha.id}'")
    assert reader.told_to_end()
    poll = select.poll()
    poll.register(other.life, select.POLLIN)
    assert not poll.poll(200)
    stream.close()
    other_stream.close()


def test_a_stream_ends_with_the_daemon(alpha):
    reader, stream = open_stream(alpha)
    assert alpha.stop() == 0
    assert reader.told_to_end() == b""
    alpha.start()
    stream.close()


def test_one_user_cannot_have_all_readers(alpha):
    streams = [open_stream(alpha) for _ in range(16)]
    name, message = error_of(read, alpha)
    assert name == "LimitExceeded" and "16" in message
    # Another one can, and when one ends the next can begin.
    somebody = alpha.person("daemon")
    grant(alpha, "client", "user", "daemon", "alpha")
    alpha.logs.serve(end())
    assert "value" in somebody.instance("alpha", "ReadLogs", "asa{sv}", [], {})
    for reader, stream in streams[:8]:
        stream.close()
        reader.close()

    def reads():
        try:
            alpha.logs.serve(end())
            return read(alpha)
        except dbus.DBusException:
            # Nobody connected.
            alpha.logs.listener.settimeout(0.01)
            time.sleep(0.05)
            alpha.logs.listener.settimeout(10)
            return None

    assert wait_for(reads, what="a reader")[1] == "s=1;i=9"


def test_the_loop_goes_on_while_logs_are_read(alpha):
    answers, thread = call_async(alpha, "ReadLogs", options(timeout=5000000))
    reader = alpha.logs.accept()
    reader.say(READY)
    begin = time.monotonic()
    for _ in range(50):
        alpha.manager("GetInstance", "alpha")
    assert time.monotonic() - begin < 5
    reader.wait_for_go()
    reader.say(entry(1), end())
    thread.join(10)
    assert answers[0][0][0]["Message"] == "line 1"
