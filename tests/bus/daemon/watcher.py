# SPDX-License-Identifier: LGPL-2.1-or-later
"""What ccp-watch tells ccpd, made up; and instances as a worker leaves them."""

import select
import socket

from conftest import wait_for


def finish(ccpd, job, state="succeeded", instance_state="running"):
    """What a worker writes at its end."""
    number = job.rsplit("/", 1)[1]
    ccpd.postgres.sql(f"BEGIN; UPDATE job_steps SET state = 'done', finished_at = now() WHERE job = {number};"
                      f"UPDATE jobs SET state = '{state}', attempt = 1, finished_at = now() WHERE id = {number};"
                      f"UPDATE instances SET state = '{instance_state}' WHERE id = (SELECT instance FROM jobs WHERE id = {number});"
                      "COMMIT")
    kind = ccpd.postgres.sql(f"SELECT kind FROM jobs WHERE id = {number}")[0][0]
    ccpd.systemd("EndUnit", f"ccp-{'transfer' if kind in ('replicate', 'fetch') else 'job'}@{number}.service")


def running(ccpd, slug, blueprint="trivial"):
    """An instance that runs, and its path."""
    path, job = ccpd.create(slug, blueprint)
    finish(ccpd, job)
    wait_for(lambda: ccpd.get(path, "Instance", "State") == "running", what=f"{slug} to run")
    idle(ccpd, path)
    return str(path)


def idle(ccpd, path):
    """ccpd has heard that its job ended, too: until then it refuses another one, and the two are read one after the other."""
    wait_for(lambda: ccpd.get(path, "Instance", "Job") == "/", what=f"the end of the job of {path}")


def recovered(ccpd):
    """Once the first list was there, ccpd brings back what should run: what ends before that is started again."""
    wait_for(lambda: ccpd.get("/org/changemaker/ccp1", "Manager", "Recovery").get("EndedAt"), what="the end of the recovery")


class Watcher:
    """Sends like ccp-watch: while ccpd's queue is full it waits, and loses nothing."""

    def __init__(self, ccpd):
        self.ccpd = ccpd
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.connect(str(ccpd.folder / "notify"))
        self.socket.setblocking(False)
        self.ids = {}

    def send(self, text):
        while True:
            try:
                self.socket.send(text.encode())
                return
            except BlockingIOError:
                select.select([], [self.socket], [])

    def engine(self, started=None):
        """It is there, and started then (0: nobody knows when, so that nothing has to be brought back); or it is not."""
        self.send("ENGINE=unavailable\n" if started is None else
                  "ENGINE=available\n" + (f"STARTED={started}\n" if started else ""))

    def list(self, *containers):
        """All containers that there are, each a dict of container()'s arguments."""
        self.send("LIST=begin\n")
        for c in containers:
            self.container(**c)
        self.send("LIST=end\n")

    def container(self, slug, service="web", state="running", health="healthy", container=None, **fields):
        if slug not in self.ids:
            self.ids[slug] = self.ccpd.postgres.sql(f"SELECT id FROM instances WHERE slug = '{slug}'")[0][0]
        fields = {"SINCE": 1, "STARTED": 1} | {k.upper(): v for k, v in fields.items()}
        self.send(f"INSTANCE={slug}\nID={self.ids[slug]}\nSERVICE={service}\nCONTAINER={container or f'{slug}-{service}'}\n"
                  f"STATE={state}\nHEALTH={health}\n" + "".join(f"{k}={v}\n" for k, v in fields.items()))

    def close(self):
        self.socket.close()
