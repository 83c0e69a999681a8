#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""A ccpd that only has the bus API: for tests of its clients on a private bus.

Its state is a JSON file, so that it can be killed and started again. What a job is doing is a function of
the time since it was queued and of a plan that the slug or the environment chooses.

The logs of all instances are what is in the file STATE.logs, a JSON object a line, that is read each time; a cursor is a number
of lines. With a file STATE.cut a stream of them ends, as when ccpd ends, and with STATE.again because it is to be asked for anew;
with STATE.early that happens once before anything was read.

As ccpd does, it sends signals to those connections only that have subscribed. In the environment:
  MOCK_OLD             it knows no subscriptions yet, and broadcasts
  MOCK_DENY            refuses these methods, and reading the properties of these interfaces: "ListPorts,Manager"
                       (so does a file STATE.deny, from then on)
  MOCK_ASK             asks polkit before it deletes or reveals
  MOCK_LOAD_MS         knows its jobs after that time only
  MOCK_AUDIT           has that many entries in its record to begin with
  MOCK_AUDIT_PAGE      gives that many of them with one call at most
  MOCK_FAULT           what it finds wrong with them, "changed 7"
  MOCK_LOGS_PAGE       gives that many lines of logs with one call at most
  MOCK_TWO_BLUEPRINTS  has a second one
  MOCK_SICK            finds Docker missing
"""

import fcntl
import fnmatch
import json
import os
import socket
import sys
import time

import dbus
import dbus.lowlevel
import dbus.mainloop.glib
import dbus.service
from gi.repository import GLib

NAME = "org.changemaker.ccp1"
ROOT = "/org/changemaker/ccp1"
PROPERTIES = "org.freedesktop.DBus.Properties"

STEPS = {
    "create": ["validate", "allocate", "secrets", "record", "folder", "source", "context", "render", "static",
               "pull", "build", "infrastructure", "application"],
    "start": ["prepare", "start", "check"],
    "stop": ["prepare", "stop"],
    "restart": ["prepare", "restart", "check"],
    "delete": ["prepare", "stop", "remove", "forget"],
    "clone": ["validate", "open", "application"],
    "import": ["copy", "verify"],
}
STEPS.update({kind: ["open", "work"] for kind in ("backup", "verify", "drill", "delete-backup", "replicate", "fetch", "restore",
                                                  "undo-restore", "discard-restore")})
FINAL = ("succeeded", "failed", "cancelled")


class CcpError(dbus.DBusException):
    def __init__(self, name, message):
        super().__init__(message, name=NAME + ".Error." + name)


def escape(s):
    """What sd_bus_path_encode() does."""
    return "".join(c if c.isascii() and c.isalnum() and not (i == 0 and c.isdigit()) else "_%02x" % ord(c)
                   for i, c in enumerate(s)) or "_"


def now():
    return int(time.time() * 1000000)


class State:
    def __init__(self, path):
        self.path = path
        try:
            with open(path) as f:
                self.data = json.load(f)
        except FileNotFoundError:
            self.data = {"instances": {}, "jobs": {}, "next_job": 1, "settings": {
                "port_range_nginx": "10000-10999", "port_range_api": "14000-14999",
                "subnet_pool": "10.200.0.0/15", "bind_address": "127.0.0.1", "job_concurrency": 4}, "calls": []}
            self.save()

    def save(self):
        with open(self.path + ".new", "w") as f:
            json.dump(self.data, f)
        os.rename(self.path + ".new", self.path)


# What instances of these names have of it.
DRIFT = {
    "adrift": [("stopped", "app"), ("image", "app"), ("paused", "postgres")],
    "edited": [("file-changed", ".env"), ("file-missing", "a\nb"), ("stopped", "app")],
    "crowded": [("extra", "miner")],
}
SECRETS = {"POSTGRES_PASSWORD": b"s3cret of %s", "JWT_SECRET": b"", "TWO_LINES": b"one\ntwo\n", "RAW": b"\xff\x00"}


def sealed(value, seals=0xf):
    """A secret as ccpd hands it over."""
    fd = os.memfd_create("secret", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.write(fd, value)
    if seals:
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, seals)
    handle = dbus.types.UnixFd(fd)
    os.close(fd)
    return handle


def delivery(channel, status, state, error, attempts=1):
    return dbus.Dictionary({"Channel": channel, "Status": status, "State": state, "Number": dbus.UInt32(0),
                            "Attempts": dbus.UInt32(attempts), "Error": error,
                            "Time": dbus.UInt64(now() + (60000000 if state == "queued" else -1000000))}, signature="sv")


def alert(number, rule, state, instance, *deliveries, **more):
    t = now() - 600 * 1000000
    fields = {"Id": number, "Rule": rule, "Severity": "error", "State": state, "Instance": instance, "InstanceId": "", "Name": "",
              "Subject": "", "Message": "%s is unhealthy: db \x1b[31mhas ended" % instance, "NextStep": "ccpctl status " + instance,
              "Since": dbus.UInt64(t), "FiredAt": dbus.UInt64(t), "ResolvedAt": dbus.UInt64(0 if state == "firing" else t + 9),
              "NotifiedAt": dbus.UInt64(t), "Notifications": dbus.UInt32(2), "Silence": "", "SilencedUntil": dbus.UInt64(0),
              "Deliveries": dbus.Array(deliveries, signature="a{sv}")}
    return dbus.Dictionary(dict(fields, **more), signature="sv")


ALERTS = [
    alert("12", "instance-unhealthy", "firing", "alpha", delivery("mail", "firing", "delivered", ""),
          delivery("webhook", "firing", "queued", "hooks.example.org answered 500.", attempts=4)),
    alert("11", "disk-space", "firing", "", Subject="/var/lib/docker", Message="the file system of /var/lib/docker is nearly full",
          NextStep="df /var/lib/docker", Silence="3", SilencedUntil=dbus.UInt64(now() + 3600 * 1000000)),
    alert("9", "instance-failed", "resolved", "beta", delivery("webhook", "resolved", "failed", "hooks.example.org answered 404.")),
]


def entry(seq, action="INSTANCE_STOP", outcome="accepted", instance="alpha", user="ann", **more):
    """An entry of the record; time goes on by a second with each that was there from the beginning."""
    return dict({
        "Seq": str(seq), "Time": 1795176000000000 + seq * 1000000, "Action": action, "Outcome": outcome,
        "Instance": instance, "InstanceId": "0b0e7c5a-0000-4000-8000-000000000001", "UID": 1000, "User": user,
        "LoginUID": "1000", "PID": 4711, "Process": "ccpctl", "Unit": "session-3.scope", "Session": "3",
        "RemoteHost": "", "Job": "", "ErrorName": "", "Details": "{}", "Previous": "%064x" % (seq - 1),
        "Hash": "%064x" % seq}, **more)


def beginning(n):
    """What happens again and again: a stop, done by root for ann, and a delete that bob may not do."""
    for seq in range(1, n + 1):
        if seq % 3 == 1:
            yield entry(seq, Job=str(seq), RemoteHost="192.0.2.7", Details='{"services": ["app"], "n": 1}')
        elif seq % 3 == 2:
            yield entry(seq, outcome="succeeded", user="root", UID=0, Job=str(seq - 1))
        else:
            yield entry(seq, action="INSTANCE_DELETE", outcome="denied", instance="beta", user="bob", UID=1001,
                        LoginUID="", ErrorName=NAME + ".Error.NotAuthorized", Details="not JSON")


def marshal_entry(row):
    types = {"Time": dbus.UInt64, "UID": dbus.UInt32, "PID": dbus.UInt32}
    return dbus.Dictionary({k: types.get(k, dbus.String)(v) for k, v in row.items()}, signature="sv")


BLUEPRINTS = {
    "web": {
        "title": "A web site", "version": "1.2", "description": "A page and a database",
        "parameters": [
            {"name": "image_tag", "type": "string", "default": "latest", "help": "Tag of the images",
             "pattern": "[a-z0-9.]{1,20}", "group": "general"},
            {"name": "owner", "type": "string", "required": True, "group": "general", "title": "Owner"},
            {"name": "use_mailhog", "type": "boolean", "default": "yes", "group": "email",
             "title": "Use MailHog"},
            {"name": "smtp_port", "type": "integer", "default": "587", "minimum": 1, "maximum": 65535,
             "group": "email", "title": "SMTP port"},
            {"name": "smtp_security", "type": "enum", "values": ["none", "tls"], "default": "tls",
             "group": "email", "title": "SMTP security"},
            {"name": "smtp_password", "type": "string", "default": "", "secret": True, "group": "email",
             "title": "SMTP password"},
            {"name": "tunnel_url", "type": "string", "default": "", "group": "tunnel", "title": "Tunnel URL"},
        ],
        "features": [["media", "Media Manager", "Photos and films", False],
                     ["chat", "Chat", "", True]],
        "ports": [["web", "nginx"], ["db", "postgres"]],
        "secrets": ["POSTGRES_PASSWORD", "JWT_SECRET"],
        "services": [["postgres", "service", "infrastructure"], ["app", "service", "application"]],
        "files": ["docker-compose.yml", ".env"],
    },
}
if os.environ.get("MOCK_TWO_BLUEPRINTS"):
    BLUEPRINTS["empty"] = {"title": "Nothing", "version": "0", "description": "", "parameters": [],
                           "features": [], "ports": [], "secrets": [], "services": [], "files": []}


def variant_of(v):
    if isinstance(v, bool):
        return dbus.Boolean(v)
    if isinstance(v, int):
        return dbus.Int64(v)
    if isinstance(v, list):
        return dbus.Array(v, signature="s")
    return v


class Job:
    """What a job is at a moment: a function of its record and the time."""

    def __init__(self, record):
        self.record = record

    def view(self):
        r = self.record
        names = STEPS[r["kind"]]
        length = r["step_ms"] * 1000
        began = r["queued"] + r.get("wait_ms", 0) * 1000
        elapsed = max(0, now() - began)
        steps, state, current = [], "running", 0
        ended = None
        if r.get("frozen"):
            return r["frozen"]
        limit = r["fail_at"] if r["fail_at"] else len(names) + 1
        for i, name in enumerate(names, 1):
            begin, end = (i - 1) * length, i * length
            if i > limit or elapsed < begin:
                steps.append((i, name, "pending", 0, 0, ""))
            elif elapsed < end:
                steps.append((i, name, "running", began + begin, 0, ""))
                current = i
            else:
                bad = i == limit
                steps.append((i, name, "failed" if bad else "done", began + begin, began + end,
                              "postgres exited with 1" if bad else ""))
                current = i
                if bad:
                    state, ended = "failed", began + end
        if state == "failed":
            steps = [(i, n, {"done": "undone", "pending": "skipped"}.get(s, s), b, e, d) for i, n, s, b, e, d in steps]
        elif elapsed >= len(names) * length:
            state, ended = "succeeded", began + len(names) * length
        if now() < began:
            state, current, steps = "waiting", 0, [(i, name, "pending", 0, 0, "") for i, name in enumerate(names, 1)]
        if r.get("cancelled"):
            state, ended = "cancelled", r["cancelled"]
            steps = [(i, n, "undone" if s in ("done", "running") else "skipped", b, e or ended if b else 0, d)
                     for i, n, s, b, e, d in steps]
        done = sum(1 for s in steps if s[2] == "done")
        return {"state": state, "steps": steps, "step": current, "finished": ended or 0,
                "progress": 1.0 if state == "succeeded" else done / len(names)}

    def properties(self):
        r, v = self.record, self.view()
        error = ("", "")
        if v["state"] == "failed":
            error = (NAME + ".Error.Unhealthy", "postgres did not become healthy. See its log.")
        if v["state"] == "cancelled":
            error = (NAME + ".Error.Cancelled", "root cancelled it.")
        path = ROOT + "/instance/" + escape(r["instance"])
        return dbus.Dictionary({
            "Id": str(r["id"]), "Kind": r["kind"], "Instance": r["instance"],
            "InstancePath": dbus.ObjectPath(path), "Services": dbus.Array(r.get("services", []), signature="s"), "Reason": "",
            "State": v["state"], "Step": dbus.UInt32(v["step"]),
            "Steps": dbus.Array([dbus.Struct((dbus.UInt32(i), n, s, dbus.UInt64(b), dbus.UInt64(e),
                                              n.capitalize() + " it", d), signature="ussttss")
                                 for i, n, s, b, e, d in v["steps"]], signature="(ussttss)"),
            "Progress": float(v["progress"]), "Message": "pulling postgres" if v["state"] == "running" else "",
            "Error": dbus.Struct(error, signature="ss"), "StartedBy": "root", "StartedByUID": dbus.UInt32(0),
            "Unit": "ccp-job@%d.service" % r["id"], "Attempt": dbus.UInt32(1),
            "Cancelable": dbus.Boolean(v["state"] not in FINAL), "QueuedAt": dbus.UInt64(r["queued"]),
            "StartedAt": dbus.UInt64(r["queued"]), "FinishedAt": dbus.UInt64(v["finished"]),
        }, signature="sv")


class Mock:
    def __init__(self, bus, state):
        self.bus, self.state = bus, state
        self.jobs, self.instances = {}, {}
        self.known = {}
        self.subscribers = set()
        self.audit = state.data.setdefault("audit", list(beginning(int(os.environ.get("MOCK_AUDIT", "0")))))
        bus.add_message_filter(self.refuse)
        self.manager = Manager(self)
        for name in BLUEPRINTS:
            Blueprint(self, name)
        delay = int(os.environ.get("MOCK_LOAD_MS", "0"))
        if delay and state.data["jobs"]:
            GLib.timeout_add(delay, self.load)
        else:
            self.load()
        GLib.timeout_add(20, self.tick)

    def load(self):
        for slug in self.state.data["instances"]:
            self.instances[slug] = Instance(self, slug)
        for i in self.state.data["jobs"]:
            self.export_job(i)
        return False

    def refuse(self, bus, message):
        """What polkit would refuse is refused before anything else is looked at."""
        member, arguments = message.get_member(), message.get_args_list()
        if member == "GetAll":
            member = arguments[0].split(".")[-1]
        denied = os.environ.get("MOCK_DENY", "").split(",")
        if os.path.exists(self.state.path + ".deny"):
            with open(self.state.path + ".deny") as f:
                denied += f.read().split(",")
        if message.get_type() != dbus.lowlevel.MESSAGE_TYPE_METHOD_CALL or member not in denied:
            return dbus.lowlevel.HANDLER_RESULT_NOT_YET_HANDLED
        bus.send_message(dbus.lowlevel.ErrorMessage(message, NAME + ".Error.NotAuthorized",
                                                    "You may not do this (%s)." % member))
        return dbus.lowlevel.HANDLER_RESULT_HANDLED

    def authorize(self, sender, action, work, reply, fail):
        """Answers with what work() returns, or with its error, once polkit has agreed."""
        def finish(result=(True,)):
            try:
                if not result[0]:
                    raise CcpError("NotAuthorized", "polkit said no.")
                reply(work())
            except dbus.DBusException as e:
                fail(e)

        if not os.environ.get("MOCK_ASK"):
            finish()
            return
        subject = ("system-bus-name", dbus.Dictionary({"name": sender}, signature="sv"))
        self.bus.call_async(
            "org.freedesktop.PolicyKit1", "/org/freedesktop/PolicyKit1/Authority",
            "org.freedesktop.PolicyKit1.Authority", "CheckAuthorization", "(sa{sv})sa{ss}us",
            (subject, NAME + "." + action, dbus.Dictionary({}, signature="ss"), dbus.UInt32(1), ""),
            finish, fail)

    def subscribe(self, sender):
        if os.environ.get("MOCK_OLD"):
            raise dbus.DBusException("Unknown method Subscribe.", name="org.freedesktop.DBus.Error.UnknownMethod")
        self.call("subscribe")
        self.subscribers.add(sender)
        self.bus.watch_name_owner(sender, lambda owner: owner or self.subscribers.discard(sender))

    def append(self, **entry_of):
        seq = len(self.audit) + 1
        self.audit.append(entry(seq, Time=now(), **entry_of))
        self.state.save()
        self.emit(ROOT, NAME + ".Manager", "AuditAppended", "t", dbus.UInt64(seq))

    def emit(self, path, interface, member, signature, *arguments):
        for destination in [None] if os.environ.get("MOCK_OLD") else self.subscribers:
            m = dbus.lowlevel.SignalMessage(path, interface, member)
            m.append(signature=signature, *arguments)
            if destination:
                m.set_destination(destination)
            self.bus.send_message(m)

    def call(self, *what):
        self.state.data["calls"].append(what)
        self.state.save()

    def export_job(self, i):
        if not self.state.data["jobs"][i].get("old"):
            self.jobs[i] = JobObject(self, i)

    def new_job(self, kind, slug, services=()):
        n = self.state.data["next_job"]
        self.state.data["next_job"] = n + 1
        bad = slug.startswith("bad")
        record = {"id": n, "kind": kind, "instance": slug, "queued": now(),
                  "services": [str(s) for s in services], "step_ms": 300 if slug.startswith("slow") else 30,
                  "fail_at": len(STEPS[kind]) - 1 if bad else 0}
        self.state.data["jobs"][str(n)] = record
        self.state.save()
        self.export_job(str(n))
        path = ROOT + "/job/%d" % n
        self.emit(ROOT, NAME + ".Manager", "JobNew", "so", str(n), dbus.ObjectPath(path))
        return dbus.ObjectPath(path)

    def tick(self):
        for i, record in self.state.data["jobs"].items():
            if i not in self.jobs:
                continue
            properties = Job(record).properties()
            last = self.known.get(i)
            if last == properties:
                continue
            self.known[i] = properties
            if last is None and properties["State"] in FINAL and record.get("told"):
                continue
            changed = {k: v for k, v in properties.items() if last is None or last[k] != v}
            self.emit(ROOT + "/job/" + i, PROPERTIES, "PropertiesChanged", "sa{sv}as", NAME + ".Job", changed, [])
            if properties["State"] in FINAL and not record.get("told"):
                record["told"] = True
                self.settle(record, properties["State"])
                self.emit(ROOT, NAME + ".Manager", "JobRemoved", "sos", i, dbus.ObjectPath(ROOT + "/job/" + i),
                          properties["State"])
        return True

    def add_backup(self, slug, **more):
        rows = self.state.data.setdefault("backups", [])
        rows.insert(0, {"Id": str(17 + len(rows)), "Instance": slug, "InstanceId": INSTANCE_ID, "State": "verified", "Job": "",
                        "CreatedAt": now(), "Size": 12 << 20, **more})

    def find_backup(self, number):
        for row in self.state.data.get("backups", []):
            if row["Id"] == number:
                return row
        raise CcpError("NoSuchBackup", "There is no backup %s." % number)

    def settle(self, record, state):
        """What a job did is there when it is seen to have ended, by whomever."""
        if state in FINAL and not record.get("settled"):
            record["settled"] = True
            self.job_ended(record, state)

    def job_ended(self, record, state):
        instance = self.state.data["instances"].get(record["instance"])
        kind = record["kind"]
        if state == "succeeded" and kind in ("backup", "import"):
            self.add_backup(record["instance"], Job=str(record["id"]))
            # Made by something else, and by nobody's job.
            self.add_backup(record["instance"])
        if instance and state == "succeeded":
            if kind == "delete":
                del self.state.data["instances"][record["instance"]]
                self.instances.pop(record["instance"]).remove_from_connection()
            else:
                instance["state"] = "stopped" if kind == "stop" else "running"
                instance["health"] = "unknown" if kind == "stop" else "degraded" if record["instance"].startswith("sick") else "healthy"
        elif instance and kind == "create":
            instance["state"] = "failed"
        self.state.save()


class Base(dbus.service.Object):
    """An object whose properties are those that get_properties() returns."""

    interface = None

    def __init__(self, mock, path):
        super().__init__(mock.bus, path)
        self.mock = mock

    @dbus.service.method(PROPERTIES, in_signature="s", out_signature="a{sv}")
    def GetAll(self, interface):
        if interface not in ("", self.interface):
            raise dbus.DBusException("no such interface", name="org.freedesktop.DBus.Error.UnknownInterface")
        return self.get_properties()


INSTANCE_ID = "0b0e7c5a-0000-4000-8000-000000000001"


class Manager(Base):
    interface = NAME + ".Manager"

    def __init__(self, mock):
        super().__init__(mock, ROOT)

    def get_properties(self):
        instances = list(self.mock.state.data["instances"].values())
        jobs = [Job(j).view() for j in self.mock.state.data["jobs"].values()]
        count = lambda key, value: dbus.UInt32(sum(1 for i in instances if i[key] == value))
        return dbus.Dictionary({
            "Version": "0.1.0", "StoreState": "available", "EngineState": "available",
            "NInstances": dbus.UInt32(len(instances)), "NRunning": count("state", "running"),
            "NHealthy": count("health", "healthy"), "NDegraded": count("health", "degraded"),
            "NUnhealthy": count("health", "unhealthy"), "NStopped": count("state", "stopped"),
            "NFailed": count("state", "failed"),
            "NJobs": dbus.UInt32(sum(1 for j in jobs if j["state"] not in FINAL)), **self.more(),
        }, signature="sv")

    def more(self):
        """What a test wants to be so."""
        try:
            with open(self.mock.state.path + ".manager") as f:
                more = json.load(f)
        except FileNotFoundError:
            more = {}
        more = {"NAlerts": 0, "Recovery": {}, "DisasterReady": True} | more
        recovery = {k: dbus.Array(v, signature="s") if k == "Failed" else v if k == "Reason" else
                    dbus.UInt64(v) if k.endswith("At") else dbus.UInt32(v) for k, v in more["Recovery"].items()}
        return {"NAlerts": dbus.UInt32(more["NAlerts"]), "DisasterReady": more["DisasterReady"], "Recovery": dbus.Dictionary(recovery, signature="sv")}

    def check(self, slug, blueprint, options):
        unknown = set(options) - {"name", "domain", "features", "parameters", "source"}
        if unknown:
            raise CcpError("InvalidArgument", "There is no option '%s'." % unknown.pop())
        if blueprint not in BLUEPRINTS:
            raise CcpError("NoSuchBlueprint", "There is no blueprint '%s'." % blueprint)
        if slug in self.mock.state.data["instances"]:
            raise CcpError("SlugTaken", "There is an instance '%s' already." % slug)
        if slug == "full":
            raise CcpError("PortsExhausted", "All ports of the range nginx are taken.")
        if slug == "forbidden":
            raise CcpError("NotAuthorized", "You may not create instances.")
        if slug == "nostore":
            raise CcpError("StoreUnavailable", "PostgreSQL is away.")
        if any(i["domain"] == options["domain"] for i in self.mock.state.data["instances"].values()):
            raise CcpError("DomainTaken", "The domain %s is taken." % options["domain"])
        if options["domain"] == "refused.example.org":
            raise CcpError("InvalidArgument", "The domain refused.example.org is reserved.")

    @dbus.service.method(NAME + ".Manager", in_signature="ssa{sv}", out_signature="oo",
                         async_callbacks=("reply", "fail"))
    def CreateInstance(self, slug, blueprint, options, reply, fail):
        try:
            self.check(slug, blueprint, options)
        except dbus.DBusException as e:
            fail(e)
            return
        self.mock.call("create", slug, blueprint, json.loads(json.dumps(options)))
        if slug == "unanswered":
            return
        n = len(self.mock.state.data["instances"])
        self.mock.state.data["instances"][slug] = {
            "name": options.get("name", slug), "domain": options["domain"], "blueprint": blueprint,
            "state": "provisioning", "health": "unknown", "subnet": "10.200.0.%d/26" % (64 * n),
            "ports": {"web": 10000 + n, "db": 15400 + n}, "features": list(options.get("features", [])),
            "created": now()}
        self.mock.state.save()
        self.mock.instances[slug] = Instance(self.mock, slug)
        reply(dbus.ObjectPath(ROOT + "/instance/" + escape(slug)), self.mock.new_job("create", slug))

    @dbus.service.method(NAME + ".Manager", in_signature="ssa{sv}", out_signature="a{sv}")
    def PlanInstance(self, slug, blueprint, options):
        self.check(slug, blueprint, options)
        self.mock.call("plan", slug, blueprint, json.loads(json.dumps(options)))
        return dbus.Dictionary({
            "ports": dbus.Dictionary({"web": dbus.UInt16(10007), "db": dbus.UInt16(15407)}, signature="sq"),
            "subnet": "10.200.1.0/26", "files": dbus.Array(["docker-compose.yml", ".env"], signature="s"),
            "services": dbus.Array(["postgres", "app"], signature="s"),
            "steps": dbus.Array(STEPS["create"], signature="s")}, signature="sv")

    @dbus.service.method(NAME + ".Manager", in_signature="s", out_signature="o")
    def GetInstance(self, slug):
        if slug == "denied":
            raise dbus.DBusException("no", name="org.freedesktop.DBus.Error.AccessDenied")
        if slug == "hang-up":
            os._exit(1)
        if slug not in self.mock.instances:
            raise CcpError("NoSuchInstance", "There is no instance '%s'." % slug)
        return dbus.ObjectPath(ROOT + "/instance/" + escape(slug))

    @dbus.service.method(NAME + ".Manager", in_signature="s", out_signature="o")
    def GetJob(self, i):
        if i not in self.mock.jobs:
            raise CcpError("NoSuchJob", "There is no job '%s'." % i)
        return dbus.ObjectPath(ROOT + "/job/" + i)

    @dbus.service.method(NAME + ".Manager", in_signature="s", out_signature="o")
    def GetBlueprint(self, name):
        if name not in BLUEPRINTS:
            raise CcpError("NoSuchBlueprint", "There is no blueprint '%s'." % name)
        return dbus.ObjectPath(ROOT + "/blueprint/" + escape(name))

    @dbus.service.method(NAME + ".Manager", in_signature="a{sv}tt", out_signature="aa{sv}")
    def ListInstances(self, filters, offset, limit):
        keys = {"state": "State", "health": "Health", "blueprint": "Blueprint"}
        rows = [dict(i.get_properties(), Path=dbus.ObjectPath(ROOT + "/instance/" + escape(slug)))
                for slug, i in sorted(self.mock.instances.items())]
        rows = [dbus.Dictionary({k: r[k] for k in LISTED}, signature="sv") for r in rows
                if all(r[keys[k]] == v for k, v in filters.items() if k in keys)
                and fnmatch.fnmatchcase(r["Slug"], filters.get("pattern", "*"))]
        # fewer than asked for, as a daemon with a cap of its own does
        return dbus.Array(rows[offset:offset + min(limit, 3)], signature="a{sv}")

    @dbus.service.method(NAME + ".Manager", in_signature="a{sv}", out_signature="aa{sv}")
    def GetUse(self, _options):
        return [use(slug) for slug in sorted(self.mock.instances)]

    @dbus.service.method(NAME + ".Manager", in_signature="a{sv}tt", out_signature="aa{sv}")
    def ListJobs(self, filters, offset, limit):
        keys = {"instance": "Instance", "state": "State", "kind": "Kind"}
        rows = [Job(r).properties() for r in reversed(self.mock.state.data["jobs"].values())]
        rows = [r for r in rows if all(r[keys[k]] == v for k, v in filters.items())]
        return dbus.Array(rows[offset:offset + limit], signature="a{sv}")

    @dbus.service.method(NAME + ".Manager", out_signature="a(sssso)")
    def ListBlueprints(self):
        return [(n, b["title"], b["version"], "/usr/share/ccpd/templates/" + n,
                 dbus.ObjectPath(ROOT + "/blueprint/" + escape(n))) for n, b in BLUEPRINTS.items()]

    @dbus.service.method(NAME + ".Manager", out_signature="a(ssss)")
    def Doctor(self):
        found = [("store", "ok", "PostgreSQL answers, all records were read.", ""),
                 ("disk", "warning", "/var/lib/\x1b[31mccpd: 91 % used.", "Make room.")]
        return found + [("engine", "failed", "Docker does not answer.", "See: systemctl status docker")] * ("MOCK_SICK" in os.environ)

    @dbus.service.method(NAME + ".Manager", out_signature="a(sqss)")
    def ListPorts(self):
        return [(slug, number, name, "localhost") for slug, i in sorted(self.mock.state.data["instances"].items())
                for name, number in i["ports"].items()]

    @dbus.service.method(NAME + ".Manager", out_signature="a{sv}")
    def GetSettings(self):
        return dbus.Dictionary({k: dbus.UInt64(v) if isinstance(v, int) else v
                                for k, v in self.mock.state.data["settings"].items()}, signature="sv")

    @dbus.service.method(NAME + ".Manager", in_signature="a{sv}")
    def SetSettings(self, settings):
        for k, v in settings.items():
            if k not in self.mock.state.data["settings"]:
                raise CcpError("InvalidArgument", "There is no setting '%s'." % k)
            if k == "job_concurrency" and not isinstance(v, dbus.UInt64):
                raise CcpError("InvalidArgument", "job_concurrency is a number.")
        self.mock.state.data["settings"].update(json.loads(json.dumps(settings)))
        self.mock.state.save()

    def check_grantee(self, kind, name, instance, options):
        if options or kind not in ("user", "group"):
            raise CcpError("InvalidArgument", "That is no way to call this.")
        if name.startswith("no-such"):
            raise CcpError("InvalidArgument", "There is no %s '%s'." % (kind, name))
        if instance and instance not in self.mock.state.data["instances"]:
            raise CcpError("NoSuchInstance", "There is no instance '%s'." % instance)

    @dbus.service.method(NAME + ".Manager", in_signature="ssssa{sv}")
    def GrantRole(self, role, kind, name, instance, options):
        self.check_grantee(kind, name, instance, options)
        if role not in ("admin", "operator", "viewer", "client"):
            raise CcpError("InvalidArgument", "There is no role '%s'." % role)
        roles = self.mock.state.data.setdefault("roles", {})
        roles["%s %s %s" % (kind, name, instance)] = (role, kind, name, str(1000 + len(roles)), instance, now(), "root")
        self.mock.call("grant", role, kind, name, instance)
        self.mock.append(action="USER_CREATE", outcome="succeeded", instance=instance, user="root",
                         Details=json.dumps({"role": role, kind: name}))

    @dbus.service.method(NAME + ".Manager", in_signature="sssa{sv}")
    def RevokeRole(self, kind, name, instance, options):
        self.check_grantee(kind, name, instance, options)
        if not self.mock.state.data.get("roles", {}).pop("%s %s %s" % (kind, name, instance), None):
            raise CcpError("NoSuchRole", "The %s %s has no role there." % (kind, name))
        self.mock.call("revoke", kind, name, instance)
        self.mock.append(action="USER_DELETE", outcome="succeeded", instance=instance, user="root")

    @dbus.service.method(NAME + ".Manager", in_signature="a{sv}t", out_signature="aa{sv}")
    def QueryAudit(self, filters, limit):
        if os.path.exists(self.mock.state.path + ".nostore"):
            raise CcpError("StoreUnavailable", "PostgreSQL is away.")
        if not 1 <= limit <= 1000:
            raise CcpError("InvalidArgument", "The limit is 1 to 1000.")
        for key, value in filters.items():
            known = {"instance": dbus.String, "user": dbus.String, "action": dbus.String, "outcome": dbus.String,
                     "oldest-first": dbus.Boolean}
            if key not in set(known) | {"since", "until", "before", "after"} or \
                    not isinstance(value, known.get(key, dbus.UInt64)):
                raise CcpError("InvalidArgument", "There is no filter '%s'." % key)
        self.mock.call("query", json.loads(json.dumps(filters)), int(limit))
        rows = [r for r in self.mock.audit
                if all(r[k.capitalize()] == filters[k] for k in ("instance", "user", "action", "outcome") if k in filters)
                and filters.get("since", 0) <= r["Time"] < filters.get("until", 1 << 64)
                and filters.get("after", 0) < int(r["Seq"]) < filters.get("before", 1 << 64)]
        if not filters.get("oldest-first"):
            rows.reverse()
        limit = min(limit, int(os.environ.get("MOCK_AUDIT_PAGE", "1000")))
        return dbus.Array([marshal_entry(r) for r in rows[:limit]], signature="a{sv}")

    @dbus.service.method(NAME + ".Manager", out_signature="a{sv}")
    def VerifyAudit(self):
        n = len(self.mock.audit)
        fault, seq = os.environ.get("MOCK_FAULT", "none 0").split()
        return dbus.Dictionary({
            "Fault": fault, "Seq": "" if fault == "none" else seq, "First": "1" if n else "", "Last": str(n or ""),
            "Verified": str(n if fault == "none" else int(seq) - 1), "Head": "%064x" % n}, signature="sv")

    @dbus.service.method(NAME + ".Manager", in_signature="a{sv}tt", out_signature="aa{sv}")
    def ListAlerts(self, filters, offset, limit):
        keys = {"id": "Id", "instance": "Instance", "rule": "Rule", "state": "State"}
        tests = [alert("77", "test", "resolved", "", delivery("webhook", "test", *t)) for t in self.mock.state.data.get("tests", [])]
        rows = [r for r in ALERTS + tests[-1:] if all(r[keys[k]] == v for k, v in filters.items())]
        return dbus.Array(rows[offset:offset + limit], signature="a{sv}")

    @dbus.service.method(NAME + ".Manager", in_signature="s", out_signature="s")
    def TestAlert(self, channel):
        if channel not in ("webhook", "mail"):
            raise CcpError("InvalidArgument", "Alerts are delivered to 'webhook' and 'mail'.")
        state = os.environ.get("MOCK_TEST", "delivered")
        self.mock.state.data.setdefault("tests", []).append([state, "" if state == "delivered" else "example.org answered 500."])
        return "77"

    @dbus.service.method(NAME + ".Manager", in_signature="a{sv}", out_signature="a{sv}")
    def GetStorage(self, options):
        s = self.mock.state.data.get("storage")
        return dbus.Dictionary({
            "Endpoint": s["endpoint"], "Region": s.get("region", "us-east-1"), "Bucket": s["bucket"], "Prefix": s.get("prefix", ""),
            "PathStyle": dbus.Boolean(s.get("path-style", False)), "CaFile": s.get("ca-file", ""), "SetAt": dbus.UInt64(now()), "ComparedAt": dbus.UInt64(now()),
            "Copied": dbus.UInt64(12), "Missing": dbus.UInt64(1), "Error": "It is \x1b[31mfull.",
        } if s else {}, signature="sv")

    @dbus.service.method(NAME + ".Manager", in_signature="a{sv}")
    def SetStorage(self, options):
        self.mock.state.data["storage"] = json.loads(json.dumps(options))
        self.mock.state.save()

    @dbus.service.method(NAME + ".Manager", in_signature="a{sv}")
    def ForgetStorage(self, options):
        self.mock.state.data["storage"] = None
        self.mock.state.save()

    @dbus.service.method(NAME + ".Manager", in_signature="a{sv}", out_signature="a(ssss)")
    def TestStorage(self, options):
        verdict = os.environ.get("MOCK_STORAGE", "ok")
        return dbus.Array([dbus.Struct(("write", verdict, "It answered.", "" if verdict == "ok" else "Mend it."), signature="ssss")],
                          signature="(ssss)")

    @dbus.service.method(NAME + ".Manager", in_signature="a{sv}tt", out_signature="aa{sv}")
    def ListStorage(self, filters, offset, limit):
        rows = [dbus.Dictionary({
            "Key": "id/%s-20261120T031507Z.archive.ccpb" % slug, "Instance": slug, "InstanceId": "id", "Archive": "archive",
            "Backup": backup, "CreatedAt": dbus.UInt64(now()), "CopiedAt": dbus.UInt64(now()), "Size": dbus.UInt64(4096),
        }, signature="sv") for slug, backup in (("alpha", "7"), ("elsewhere", "")) if filters.get("instance", slug) == slug]
        return dbus.Array(rows[offset:offset + limit], signature="a{sv}")

    @dbus.service.method(NAME + ".Manager", in_signature="a{sv}tt", out_signature="aa{sv}")
    def ListBackups(self, filters, offset, limit):
        self.mock.call("list-backups", json.loads(json.dumps(filters)), int(limit))
        keys = {"instance": "Instance", "id": "Id"}
        rows = [r for r in self.mock.state.data.get("backups", []) if all(r[keys[k]] == v for k, v in filters.items())]
        return dbus.Array([dbus.Dictionary({k: dbus.UInt64(v) if isinstance(v, int) else v for k, v in r.items()}, signature="sv")
                           for r in rows[offset:offset + limit]], signature="a{sv}")

    def backup_job(self, kind, number, options):
        self.mock.call(kind, number, json.loads(json.dumps(options)))
        return self.mock.new_job(kind, self.mock.find_backup(number)["Instance"])

    @dbus.service.method(NAME + ".Manager", in_signature="a{sv}", out_signature="ao")
    def BackupAll(self, options):
        """The second waits for the first, and so on."""
        self.mock.state.data["calls"].append(["backup-all", {str(k): str(v) for k, v in options.items()}])
        paths = [self.mock.new_job("backup", slug) for slug in sorted(self.mock.state.data["instances"])]
        for i, path in enumerate(paths):
            self.mock.state.data["jobs"][path.split("/")[-1]]["wait_ms"] = i * 2000
        self.mock.state.save()
        return dbus.Array(paths, signature="o")

    @dbus.service.method(NAME + ".Manager", in_signature="sa{sv}", out_signature="o")
    def VerifyBackup(self, number, options):
        return self.backup_job("verify", number, options)

    @dbus.service.method(NAME + ".Manager", in_signature="sa{sv}", out_signature="o")
    def DrillBackup(self, number, options):
        return self.backup_job("drill", number, options)

    @dbus.service.method(NAME + ".Manager", in_signature="sa{sv}", out_signature="o")
    def ReplicateBackup(self, number, options):
        return self.backup_job("replicate", number, options)

    @dbus.service.method(NAME + ".Manager", in_signature="sa{sv}", out_signature="o")
    def FetchBackup(self, number, options):
        return self.backup_job("fetch", number, options)

    @dbus.service.method(NAME + ".Manager", in_signature="sa{sv}", out_signature="o")
    def DeleteBackup(self, number, options):
        return self.backup_job("delete-backup", number, options)

    @dbus.service.method(NAME + ".Manager", in_signature="ssa{sv}", out_signature="oo")
    def RestoreInstance(self, slug, number, options):
        self.mock.find_backup(number)
        return dbus.ObjectPath(ROOT + "/instance/" + escape(slug)), self.mock.new_job("clone", slug)

    @dbus.service.method(NAME + ".Manager", out_signature="aa{sv}")
    def ListSilences(self):
        rows = self.mock.state.data.get("silences", [])
        return dbus.Array([dbus.Dictionary({k: dbus.UInt64(v) if isinstance(v, int) else v for k, v in r.items()}, signature="sv")
                           for r in rows], signature="a{sv}")

    @dbus.service.method(NAME + ".Manager", in_signature="sa{sv}", out_signature="s")
    def SilenceAlerts(self, instance, options):
        rows = self.mock.state.data.setdefault("silences", [])
        rows.append({"Id": str(len(rows) + 1), "Instance": str(instance), "Rule": str(options.get("rule", "")),
                     "Until": int(options["until"]), "Reason": str(options.get("reason", "")), "By": "root", "CreatedAt": now()})
        self.mock.state.save()
        return rows[-1]["Id"]

    @dbus.service.method(NAME + ".Manager", in_signature="s")
    def UnsilenceAlerts(self, silence):
        rows = self.mock.state.data.get("silences", [])
        if silence not in [r["Id"] for r in rows]:
            raise CcpError("NoSuchAlert", "There is no silence '%s'." % silence)
        self.mock.state.data["silences"] = [r for r in rows if r["Id"] != silence]
        self.mock.state.save()

    @dbus.service.method(NAME + ".Manager", in_signature="a{sv}", out_signature="h")
    def RevealAlertSecret(self, _options):
        return sealed(b"hook-s3cret")

    @dbus.service.method(NAME + ".Manager", in_signature="a{sv}")
    def RotateAlertSecret(self, _options):
        self.mock.call("rotate")

    @dbus.service.method(NAME + ".Manager", out_signature="a(sssssts)")
    def ListRoles(self):
        return [dbus.Struct(row, signature="sssssts") for row in self.mock.state.data.get("roles", {}).values()]

    @dbus.service.method("org.freedesktop.DBus.ObjectManager", out_signature="a{oa{sa{sv}}}")
    def GetManagedObjects(self):
        return {dbus.ObjectPath(ROOT + "/instance/" + escape(slug)): {Instance.interface: i.get_properties()}
                for slug, i in self.mock.instances.items()}

    @dbus.service.method(NAME + ".Manager", in_signature="a{sv}", out_signature="aa{sv}")
    def QueryHealth(self, options):
        self.mock.call("fleet-health", json.loads(json.dumps(options)))
        return [health_period(options["since"], options["until"], slug, Slug=slug) for slug in self.mock.instances]

    @dbus.service.method(NAME + ".Manager", sender_keyword="sender")
    def Subscribe(self, sender=None):
        self.mock.subscribe(sender)


# What ListInstances tells of each.
LISTED = ("Path", "Slug", "Name", "Domain", "Blueprint", "State", "StateChangedAt", "Health", "HealthReason", "HealthSince", "Error",
          "Subnet", "LastBackupAt")


def use(slug):
    return dbus.Dictionary({"Slug": slug, "Time": dbus.UInt64(now()), "CPUUsec": dbus.UInt64(12345678),
                            "Memory": dbus.UInt64(300 << 20), "MemoryCache": dbus.UInt64(44 << 20),
                            "MemoryMax": dbus.UInt64(1 << 30), "Tasks": dbus.UInt64(31), "Disk": dbus.UInt64(5 << 30)}, signature="sv")


def health_period(since, until, slug, n=0, **more):
    """Half of what is sick was down; of every third period nothing is known."""
    known = n % 3 != 2
    values = {"Since": dbus.UInt64(since), "Until": dbus.UInt64(until), "Healthy": dbus.UInt64(10 if known else 0),
              "Degraded": dbus.UInt64(0), "Unhealthy": dbus.UInt64(10 if slug.startswith("sick") and known else 0),
              "Starting": dbus.UInt64(0), "Unknown": dbus.UInt64(0 if known else 1)}
    if known:
        values.update(Uptime=0.5 if slug.startswith("sick") else 0.99996, P50=dbus.UInt64(1234), P95=dbus.UInt64(45678),
                      P99=dbus.UInt64(4567890))
    return dbus.Dictionary({**values, **more}, signature="sv")


class Instance(Base):
    interface = NAME + ".Instance"

    def __init__(self, mock, slug):
        super().__init__(mock, ROOT + "/instance/" + escape(slug))
        self.slug = slug

    def get_properties(self):
        i = self.mock.state.data["instances"][self.slug]
        running = i["state"] == "running"
        return dbus.Dictionary({
            "Id": INSTANCE_ID, "Slug": self.slug, "Name": i["name"],
            "Domain": i["domain"], "Blueprint": i["blueprint"], "BlueprintVersion": "1.2",
            "Engine": "compose", "State": i["state"], "StateChangedAt": dbus.UInt64(i["created"]),
            "Health": i["health"], "HealthReason": "mail: does not \x1b[31manswer" if i["health"] == "degraded" else "",
            "HealthSince": dbus.UInt64(i["created"]),
            "Ports": dbus.Dictionary({k: dbus.UInt16(v) for k, v in i["ports"].items()}, signature="sq"),
            "Subnet": i["subnet"], "BindAddress": "127.0.0.1",
            "LastBackupAt": dbus.UInt64(i["created"]), "BackupSchedule": "daily",
            "LastDrilledAt": dbus.UInt64(i["created"]), "LastReplicatedAt": dbus.UInt64(0),
            "Restores": dbus.Array([("3", "7", dbus.UInt64(i["created"]), dbus.UInt64(i["created"] + 3600000000)),
                                    ("2", "", dbus.UInt64(i["created"] - 1000000), dbus.UInt64(i["created"] + 1800000000))],
                                   signature="(sstt)"),
            "Features": dbus.Array(i["features"], signature="s"),
            "Parameters": dbus.Dictionary({"owner": "Ann\nBob"}, signature="ss"), "Revision": dbus.UInt64(1),
            "Directory": "/var/lib/ccpd/instances/" + self.slug, "Project": self.slug + "_ccp",
            "Slice": "ccp-%s.slice" % self.slug, "Job": dbus.ObjectPath("/"),
            "Error": dbus.Struct(("", ""), signature="ss"), "CreatedAt": dbus.UInt64(i["created"]),
            "Services": dbus.Array([dbus.Struct((s, "service", "running" if running else "exited",
                                                 "healthy" if running else "none", "abcdef0123456789",
                                                 dbus.UInt64(i["created"]), dbus.UInt64(i["created"]),
                                                 dbus.UInt32(0), dbus.Int32(-1), False, "postgres:17",
                                                 "sha256:" + "ab" * 32), signature="sssssttuibss")
                                    for s in ("postgres", "app")], signature="(sssssttuibss)"),
            "StoppedServices": dbus.Array([], signature="s"), "Repair": i.get("repair", "default"),
            "Drift": dbus.Array([dbus.Struct((k, s, dbus.UInt64(i["created"])), signature="sst") for k, s in DRIFT.get(self.slug, [])],
                                signature="(sst)"),
            "Recovery": dbus.Struct(("boot", dbus.UInt32(2), dbus.UInt64(1795176000000000)) if self.slug == "tired" else
                                    ("", dbus.UInt32(0), dbus.UInt64(0)), signature="sut"),
        }, signature="sv")

    def job(self, kind, options, services=()):
        if options:
            raise CcpError("InvalidArgument", "There is no option '%s'." % list(options)[0])
        if self.slug.startswith("busy"):
            raise CcpError("Busy", "Job 99 is at work on '%s'." % self.slug)
        return self.mock.new_job(kind, self.slug, services)

    @dbus.service.method(NAME + ".Instance", in_signature="a{sv}", out_signature="a{sv}")
    def CheckHealth(self, options):
        self.mock.call("check-health", self.slug)
        i = self.mock.state.data["instances"][self.slug]
        if i["state"] != "running":
            raise CcpError("WrongState", "'%s' is %s: there is nothing to look at." % (self.slug, i["state"]))
        sick = i["health"] != "healthy"
        services = [("postgres", "service", "healthy", "", 0), ("app", "service", "healthy", "", 2345),
                    ("mail", "optional", "failed" if sick else "healthy", "does not \x1b[31manswer" if sick else "", 120000)]
        return dbus.Dictionary({
            "Health": i["health"], "HealthReason": "", "HealthSince": dbus.UInt64(i["created"]), "CheckedAt": dbus.UInt64(now()),
            "Services": dbus.Array([dbus.Dictionary({
                "Service": name, "Kind": kind, "Verdict": verdict, "Reason": reason, "Latency": dbus.UInt64(latency),
                "CheckedAt": dbus.UInt64(now())}, signature="sv") for name, kind, verdict, reason, latency in services],
                signature="a{sv}")}, signature="sv")

    @dbus.service.method(NAME + ".Instance", in_signature="a{sv}", out_signature="aa{sv}")
    def QueryHealth(self, options):
        self.mock.call("health", self.slug, json.loads(json.dumps(options)))
        since, until = options["since"], options["until"]
        step = options.get("step", until - since)
        return [health_period(t, min(t + step, until), self.slug, n)
                for n, t in enumerate(range(since, until, step))]

    @dbus.service.method(NAME + ".Instance", in_signature="a{sv}", out_signature="a{sv}")
    def GetUse(self, _options):
        return use(self.slug)

    @dbus.service.method(NAME + ".Instance", in_signature="asa{sv}", out_signature="o")
    def Start(self, services, options):
        self.mock.call("start", self.slug, list(services))
        return self.job("start", options, services)

    @dbus.service.method(NAME + ".Instance", in_signature="asa{sv}", out_signature="o")
    def Stop(self, services, options):
        self.mock.call("stop", self.slug, list(services))
        return self.job("stop", options, services)

    @dbus.service.method(NAME + ".Instance", in_signature="asa{sv}", out_signature="o")
    def Restart(self, services, options):
        self.mock.call("restart", self.slug, list(services))
        return self.job("restart", options, services)

    @dbus.service.method(NAME + ".Instance", in_signature="a{sv}", out_signature="o")
    def UndoRestore(self, options):
        self.mock.call("undo-restore", self.slug, {str(k): str(v) for k, v in options.items()})
        return self.job("undo-restore", {})

    @dbus.service.method(NAME + ".Instance", in_signature="a{sv}", out_signature="o", sender_keyword="sender",
                         async_callbacks=("reply", "fail"))
    def Delete(self, options, reply, fail, sender=None):
        self.mock.authorize(sender, "delete", lambda: self.job("delete", options), reply, fail)

    @dbus.service.method(NAME + ".Instance", in_signature="a{sv}", out_signature="o")
    def Backup(self, options):
        return self.job("backup", options)

    @dbus.service.method(NAME + ".Instance", in_signature="sa{sv}", out_signature="o")
    def Restore(self, number, options):
        self.mock.find_backup(number)
        return self.job("restore", options)

    @dbus.service.method(NAME + ".Instance", in_signature="a{sv}", out_signature="o")
    def DiscardRestore(self, options):
        self.mock.call("discard-restore", self.slug, {str(k): str(v) for k, v in options.items()})
        return self.job("discard-restore", {})

    def find_lines(self, services, options, begin):
        """Those after a cursor, or the newest: pairs of cursor and entry."""
        try:
            with open(self.mock.state.path + ".logs") as f:
                rows = list(enumerate(map(json.loads, f), 1))
        except FileNotFoundError:
            rows = []
        for service in services:
            if service not in ("postgres", "app"):
                raise CcpError("NoSuchService", "'%s' has no service '%s', only: postgres, app." % (self.slug, service))
        rows = [r for r in rows if (not services or r[1].get("service") in services)
                and options.get("pattern", "") in r[1]["message"] and (options.get("all") or r[1]["source"] != "job")
                and options.get("since", 0) <= r[1]["time"] <= options.get("until", 1 << 62)]
        if begin:
            return [r for r in rows if r[0] > int(begin.removeprefix("n="))]
        lines = options.get("lines", 100)
        return rows[max(0, len(rows) - lines):] if lines > 0 else []

    def count_lines(self):
        try:
            with open(self.mock.state.path + ".logs") as f:
                return len(f.readlines())
        except FileNotFoundError:
            return 0

    def ends_early(self):
        try:
            os.unlink(self.mock.state.path + ".early")
            return True
        except FileNotFoundError:
            return False

    @dbus.service.method(NAME + ".Instance", in_signature="asa{sv}", out_signature="h")
    def OpenLogs(self, services, options):
        ours, theirs = socket.socketpair()
        handle = dbus.types.UnixFd(theirs)
        theirs.close()
        if self.ends_early():
            self.mock.call("open-logs", self.slug, list(services), dict(options))
            ours.sendall(b'{"end": "again", "cursor": ""}\n')
            ours.close()
            return handle
        last = [options.get("cursor", "")]

        def say(row):
            ours.sendall(json.dumps(row).encode() + b"\n")

        def show():
            rows = self.find_lines(services, options, last[0])
            for cursor, row in rows:
                say(dict(row, cursor="n=%d" % cursor))
            last[0] = "n=%d" % self.count_lines() if rows or not last[0] else last[0]

        def go_on():
            path = self.mock.state.path
            if os.path.exists(path + ".cut"):
                os.unlink(path + ".cut")
                ours.close()
                return False
            try:
                show()
            except OSError:
                self.mock.call("closed")
                ours.close()
                return False
            if os.path.exists(path + ".again"):
                os.unlink(path + ".again")
                say({"end": "again", "cursor": last[0]})
                ours.close()
                return False
            return True

        show()
        # Whoever saw this call may write lines that are new.
        self.mock.call("open-logs", self.slug, list(services), dict(options))
        if options.get("follow"):
            GLib.timeout_add(20, go_on)
        else:
            say({"end": "complete", "cursor": last[0]})
            ours.close()
        return handle

    @dbus.service.method(NAME + ".Instance", in_signature="asa{sv}", out_signature="aa{sv}s", async_callbacks=("reply", "fail"))
    def ReadLogs(self, services, options, reply, fail):
        self.mock.call("read-logs", self.slug, list(services), dict(options))
        if self.ends_early():
            fail(CcpError("Cancelled", "Roles have changed. Ask again."))
            return
        page = int(os.environ.get("MOCK_LOGS_PAGE", "1000"))
        begin = options.get("cursor", "")
        end = time.monotonic() + options.get("timeout", 0) / 1000000

        def answer():
            rows = self.find_lines(services, options, begin)[:page]
            if not rows and time.monotonic() < end:
                return True
            cursor = "n=%d" % rows[-1][0] if rows else begin or "n=%d" % self.count_lines()
            types = {"time": dbus.UInt64, "priority": dbus.UInt32, "truncated": dbus.Boolean}
            reply([dbus.Dictionary({k.capitalize(): types.get(k, dbus.String)(v) for k, v in dict(row, cursor="n=%d" % n).items()},
                                   signature="sv") for n, row in rows], cursor)
            return False

        try:
            if answer():
                GLib.timeout_add(20, answer)
        except dbus.DBusException as e:
            fail(e)
    @dbus.service.method(NAME + ".Instance", in_signature="a{sv}")
    def SetSettings(self, settings):
        for key, value in settings.items():
            if key != "repair" or value not in ("on", "off", "default"):
                raise CcpError("InvalidArgument", "The setting 'repair' has to be off, on or default.")
            self.mock.state.data["instances"][self.slug]["repair"] = str(value)
        self.mock.state.save()

    @dbus.service.method(NAME + ".Instance", out_signature="a(sut)")
    def ListSecrets(self):
        return [(name, dbus.UInt32(i), dbus.UInt64(1795176000000000)) for i, name in enumerate(SECRETS, 1)]

    @dbus.service.method(NAME + ".Instance", in_signature="sa{sv}", out_signature="h", sender_keyword="sender",
                         async_callbacks=("reply", "fail"))
    def RevealSecret(self, name, options, reply, fail, sender=None):
        self.mock.authorize(sender, "reveal-secret", lambda: self.secret(name, options), reply, fail)

    def secret(self, name, options):
        if options:
            raise CcpError("InvalidArgument", "There is no option '%s'." % list(options)[0])
        if name not in SECRETS and name != "UNSEALED":
            raise CcpError("NoSuchSecret", "'%s' has no secret '%s'." % (self.slug, name))
        value = SECRETS.get(name, b"")
        handle = sealed(value % self.slug.encode() if b"%" in value else value, 0 if name == "UNSEALED" else 0xf)
        self.mock.append(action="SECRET_REVEAL", outcome="succeeded", instance=self.slug, user="root",
                         Details=json.dumps({"name": name}))
        return handle


class JobObject(Base):
    interface = NAME + ".Job"

    def __init__(self, mock, i):
        super().__init__(mock, ROOT + "/job/" + i)
        self.i = i

    def record(self):
        return self.mock.state.data["jobs"][self.i]

    def get_properties(self):
        properties = Job(self.record()).properties()
        self.mock.settle(self.record(), properties["State"])
        return properties

    @dbus.service.method(NAME + ".Job", in_signature="a{sv}")
    def Cancel(self, options):
        if Job(self.record()).view()["state"] in FINAL:
            raise CcpError("WrongState", "Job %s has ended." % self.i)
        self.record()["cancelled"] = now()
        self.mock.state.save()

    @dbus.service.method(NAME + ".Job", in_signature="a{sv}", out_signature="o")
    def Retry(self, options):
        path = self.mock.new_job(self.record()["kind"], self.record()["instance"])
        self.mock.state.data["jobs"][path.split("/")[-1]]["fail_at"] = 0
        return path


class Blueprint(Base):
    interface = NAME + ".Blueprint"

    def __init__(self, mock, name):
        super().__init__(mock, ROOT + "/blueprint/" + escape(name))
        self.name = name

    def get_properties(self):
        b = BLUEPRINTS[self.name]
        return dbus.Dictionary({
            "Name": self.name, "Title": b["title"], "Version": b["version"], "Description": b["description"],
            "Folder": "/usr/share/ccpd/templates/" + self.name,
            "Parameters": dbus.Array([dbus.Dictionary({k: variant_of(v) for k, v in p.items()}, signature="sv")
                                      for p in b["parameters"]], signature="a{sv}"),
            "Features": dbus.Array([dbus.Struct(f, signature="sssb") for f in b["features"]],
                                   signature="(sssb)"),
            "Ports": dbus.Array([dbus.Struct(p, signature="ss") for p in b["ports"]], signature="(ss)"),
            "SecretNames": dbus.Array(b["secrets"], signature="s"),
            "Services": dbus.Array([dbus.Struct(s, signature="sss") for s in b["services"]],
                                   signature="(sss)"),
            "Files": dbus.Array(b["files"], signature="s"),
        }, signature="sv")


def main():
    dbus.mainloop.glib.DBusGMainLoop(set_as_default=True)
    bus = dbus.bus.BusConnection(os.environ["DBUS_SYSTEM_BUS_ADDRESS"])
    name = dbus.service.BusName(NAME, bus, do_not_queue=True)
    mock = Mock(bus, State(sys.argv[1]))
    print("ready", flush=True)
    GLib.MainLoop().run()
    del name, mock


if __name__ == "__main__":
    main()
