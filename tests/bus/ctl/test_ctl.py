#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""ccpctl's verbs, run for real against a mock of ccpd on a private bus."""

import re

import dbus.lowlevel

from harness import *


class Lists(BusTest):
    def setUp(self):
        super().setUp()
        for slug in ("alpha", "beta", "gamma", "4ever", "d-e"):
            self.create(slug, "--quiet")

    def test_list_pages_through_all_instances(self):
        r = self.ctl("list")
        self.assertRegex(r.out, r"(?m)^SLUG +STATE +HEALTH +DOMAIN")
        self.assertEqual(r.out.count("example.org"), 5)
        self.assertIn("5 instances listed.", r.out)

    def test_list_filters(self):
        self.ctl("stop", "beta")
        self.assertEqual([i["slug"] for i in self.ctl("list", "--state=stopped", "--json=short").json()], ["beta"])
        self.assertEqual([i["slug"] for i in self.ctl("list", "--health=healthy", "--json=short", "a*").json()],
                         ["alpha"])
        self.assertEqual([i["slug"] for i in self.ctl("list", "al*", "gam?a", "--json=short").json()],
                         ["alpha", "gamma"])
        self.assertEqual(self.ctl("list", "--blueprint=none", "--json=short").json(), [])

    def test_list_json_has_the_ports_as_an_object(self):
        first = self.ctl("list", "--json=pretty").json()[0]
        self.assertEqual(list(first), ["path", "slug", "name", "domain", "blueprint", "state", "state_changed_at", "health",
                                       "health_reason", "health_since", "error", "subnet", "last_backup_at", "ports"])
        self.assertEqual(first["ports"], {"web": 10003, "db": 15403})

    def test_one_is_not_many(self):
        self.assertIn("1 instance listed.", self.ctl("list", "alpha").out)
        self.assertIn("1 job listed.", self.ctl("job", "list", "--instance=beta").out)
        self.assertIn("0 instances listed.", self.ctl("list", "nothing").out)

    def test_list_without_legend_is_for_scripts(self):
        r = self.ctl("list", "--no-legend")
        self.assertEqual([line.split()[0] for line in r.out.splitlines()],
                         ["4ever", "alpha", "beta", "d-e", "gamma"])

    def test_overview(self):
        r = self.ctl()
        self.assertIn("5 instances, 5 running, 5 healthy; 0 jobs", r.out)
        self.assertIn("store available, engine available", r.out)
        o = self.ctl("--json=short").json()
        self.assertEqual(o["n_instances"], 5)
        self.assertEqual(len(o["instances"]), 5)
        self.assertEqual(o["jobs"], [])
        self.assertEqual(o["instances"][0]["use"]["tasks"], 31)

    def test_what_wants_somebody_comes_first_with_its_reason(self):
        self.assertNotIn("REASON", self.ctl().out)
        self.assertRegex(self.ctl().out, r"(?m)^alpha +running +healthy +.* ago +256M +5\.0G +.* ago +alpha")
        self.create("sick", "--quiet")
        r = self.ctl()
        table = r.out[r.out.index("SLUG"):].splitlines()
        self.assertRegex(table[0], "^SLUG +STATE +HEALTH +SINCE +MEMORY +DISK +BACKUP +DOMAIN +REASON$")
        self.assertEqual([line.split()[0] for line in table[1:]], ["sick", "4ever", "alpha", "beta", "d-e", "gamma"])
        self.assertRegex(table[1], r"degraded .* mail: does not \\x1b\[31manswer$")

    def test_alerts_and_what_a_start_of_the_server_came_to_are_in_the_overview(self):
        self.assertNotIn("alert", self.ctl().out)
        with open(self.state + ".manager", "w") as f:
            json.dump({"NAlerts": 2, "Recovery": {"Reason": "boot", "BegunAt": 1795176000000000, "EndedAt": 1795176000000001,
                                                  "Total": 40, "Healthy": 38, "Pending": 0, "Failed": ["beta", "gamma"]}}, f)
        r = self.ctl()
        self.assertIn("  2 alerts: ccpctl alert list\n", r.out)
        self.assertRegex(r.out, r"  after the start of the server .* ago: 38 of 40 healthy; not healthy then: beta,? gamma\n")

    def test_that_no_backup_could_be_opened_elsewhere_is_in_the_overview(self):
        self.assertNotIn("recovery key", self.ctl().out)
        with open(self.state + ".manager", "w") as f:
            json.dump({"DisasterReady": False}, f)
        self.assertIn("  no recovery key: if this server is lost, no backup can be opened; ccpctl key enroll-recovery\n", self.ctl().out)
        self.assertIs(self.ctl("--json=short").json()["disaster_ready"], False)

    def test_ports(self):
        r = self.ctl("port", "list")
        self.assertRegex(r.out, r"(?m)^alpha +10000  web +localhost")
        self.assertEqual(self.ctl("port", "list", "--json=short").json()[0],
                         {"instance": "4ever", "number": 10003, "name": "web", "host": "localhost"})

    def test_job_list(self):
        r = self.ctl("job", "list")
        self.assertEqual([line.split()[0] for line in r.out.splitlines()[1:6]], ["5", "4", "3", "2", "1"])
        self.assertEqual([j["id"] for j in self.ctl("job", "list", "--instance=beta", "--json=short").json()], ["2"])
        self.assertIn("--lines=all", self.ctl("job", "list", "-n", "2").out)
        self.assertEqual(len(self.ctl("job", "list", "--lines=all", "--kind=create", "--json=short").json()), 5)

    def test_slugs_that_bus_paths_escape(self):
        self.assertEqual(self.ctl("show", "4ever", "-p", "Slug", "--value").out, "4ever\n")
        self.assertEqual(self.ctl("show", "d-e", "-p", "slug").out, "Slug=d-e\n")


class Things(BusTest):
    def test_show_prints_every_property(self):
        self.create("alpha", "--name=Älpha Site", "--feature=media")
        r = self.ctl("show", "alpha")
        self.assertIn("Slug=alpha\n", r.out)
        self.assertIn("Name=Älpha Site\n", r.out)
        self.assertIn("Ports=web=10000 db=15400\n", r.out)
        self.assertIn("Parameters=owner=Ann\\nBob\n", r.out)
        self.assertIn("\nError=\n", r.out)
        self.assertRegex(r.out, r"(?m)^CreatedAt=\w{3} \d{4}-\d\d-\d\d ")

    def test_show_as_json(self):
        self.create("alpha")
        self.create("beta")
        o = self.ctl("show", "alpha", "--json=short").json()
        self.assertEqual(o["ports"], {"web": 10000, "db": 15400})
        self.assertEqual(o["error"], {"name": "", "message": ""})
        self.assertEqual(set(o["services"][0]), {"service", "kind", "state", "health", "container", "since", "started_at",
                                                  "restarts", "exit_code", "oom_killed", "image", "image_id"})
        self.assertEqual(o["parameters"], {"owner": "Ann\nBob"})
        self.assertIsInstance(o["created_at"], int)
        self.assertEqual([i["slug"] for i in self.ctl("show", "alpha", "beta", "--json=short").json()],
                         ["alpha", "beta"])

    def test_show_selected_properties(self):
        self.create("alpha")
        self.assertEqual(self.ctl("show", "alpha", "-p", "State,Revision").out, "State=running\nRevision=1\n")
        self.assertEqual(self.ctl("show", "alpha", "--property=created_at", "--json=short").json().keys(),
                         {"created_at"})
        self.ctl("show", "alpha", "-p", "Colour", code=2)

    def test_status_is_for_people(self):
        self.create("alpha", "--name=Alpha Site")
        r = self.ctl("status", "alpha")
        self.assertIn("● alpha - Alpha Site\n", r.out)
        self.assertIn("State: running since ", r.out)
        self.assertIn("https://alpha.example.org/", r.out)
        self.assertIn("http://127.0.0.1:10000/ (web)", r.out)
        self.assertNotIn("15400/", r.out)
        self.assertIn("web 1.2, revision 1", r.out)
        self.assertRegex(r.out, r"(?m)^postgres +service +running +healthy +0 +abcdef012345 ")
        self.assertRegex(r.out, r"Job: 1 create, succeeded")
        self.assertRegex(r.out, r"Health: healthy since .* ago\n")
        self.assertIn("Use: CPU 12.3s, memory 256M of 1.0G, 31 tasks, disk 5.0G\n", r.out)
        self.assertRegex(r.out, r"Backup: .* ago; daily\n")
        self.assertRegex(r.out, r"Drilled: .* ago\n")
        self.assertRegex(r.out, r"Restored: .* ago, from backup 7; kept until .*: ccpctl restore undo alpha\n"
                                r" +what others replaced before is kept, too: ccpctl restore list alpha\n")

    def test_what_restores_replaced_is_listed_undone_and_discarded_by_its_number(self):
        self.create("alpha")
        lines = self.ctl("restore", "list", "alpha").out.splitlines()
        self.assertRegex(lines[0], r"^ *ID +AS IT WAS UNTIL +REPLACED BY +KEPT UNTIL$")
        self.assertRegex(lines[1], r"^ *3 +\S.* +backup 7 +\S")
        self.assertRegex(lines[2], r"^ *2 +\S.* +an undo +\S")
        rows = json.loads(self.ctl("restore", "list", "alpha", "--json=short").out)
        self.assertEqual([(row["id"], row["backup"], row["keep_until"] - row["switched_at"]) for row in rows],
                         [("3", "7", 3600000000), ("2", "", 1801000000)])
        self.ctl("restore", "undo", "alpha", "2")
        self.ctl("restore", "undo", "alpha")
        self.assertEqual(self.calls("undo-restore"), [["undo-restore", "alpha", {"restore": "2"}], ["undo-restore", "alpha", {}]])
        for args, what in ((("alpha",), "what 'alpha' had before each of 2 restores"), (("alpha", "3"), r"what 'alpha' had until \S.* \(restore 3\)")):
            self.assertRegex(self.ctl("restore", "discard", *args, code=2).err, what + ", say --yes")
        self.assertIn("ccpctl restore list alpha", self.ctl("restore", "discard", "alpha", "4", code=1).err)
        self.assertEqual(self.calls("discard-restore"), [])
        self.ctl("restore", "discard", "alpha", "3", "--yes")
        self.ctl("restore", "discard", "alpha", "--yes")
        self.assertEqual(self.calls("discard-restore"), [["discard-restore", "alpha", {"restore": "3"}], ["discard-restore", "alpha", {}]])

    def test_status_has_the_newest_lines_of_the_logs(self):
        self.create("alpha")
        with open(self.state + ".logs", "w") as f:
            for n in range(20):
                f.write(json.dumps({"time": 1795176000000000 + n, "source": "container", "service": "app", "priority": 6,
                                    "message": "line %d." % n}) + "\n")
        r = self.ctl("status", "alpha")
        self.assertEqual(re.findall(r"line \d+\.", r.out), ["line %d." % n for n in range(10, 20)])
        self.assertEqual(re.findall(r"line \d+\.", self.ctl("status", "alpha", "-n2").out), ["line 18.", "line 19."])
        self.assertNotIn("line", self.ctl("status", "alpha", "--lines=0").out)

    def test_status_of_a_failed_instance_says_what_to_do(self):
        self.create("bad", code=6)
        r = self.ctl("status", "bad")
        self.assertIn("1 create, failed at step 12 of 13 (infrastructure)", r.out)
        self.assertIn("postgres did not become healthy.", r.out)
        self.assertIn("ccpctl job show 1; journalctl CCP_JOB=1; to try again: ccpctl job retry 1", r.out)

    def test_status_goes_on_after_one_that_is_not_there(self):
        self.create("alpha")
        r = self.ctl("status", "nobody", "alpha", code=3)
        self.assertIn("There is no instance 'nobody'.", r.err)
        self.assertIn("● alpha", r.out)

    def test_blueprints(self):
        self.assertRegex(self.ctl("blueprint", "list").out, r"(?m)^web +1\.2 +A web site")
        r = self.ctl("blueprint", "show", "web")
        self.assertRegex(r.out, r"(?m)^owner +string +\(required\)")
        self.assertRegex(r.out, r"(?m)^smtp_password +string +\(secret\)")
        o = self.ctl("blueprint", "show", "web", "--json=short").json()
        self.assertEqual(o["features"][0], {"name": "media", "title": "Media Manager", "help": "Photos and films",
                                            "default": False})
        self.assertEqual(o["ports"], [{"name": "web", "range": "nginx"}, {"name": "db", "range": "postgres"}])
        self.assertEqual(o["parameters"][0]["pattern"], "[a-z0-9.]{1,20}")
        self.ctl("blueprint", "show", "nothing", code=3)

    def test_settings(self):
        self.assertIn("job_concurrency=4\n", self.ctl("settings", "show").out)
        self.ctl("settings", "set", "job_concurrency=8", "port_range_nginx=11000-11999")
        o = self.ctl("settings", "show", "--json=short").json()
        self.assertEqual((o["job_concurrency"], o["port_range_nginx"]), (8, "11000-11999"))
        self.ctl("settings", "set", "job_concurrency=many", code=2)
        self.ctl("settings", "set", "nonsense=1", code=2)
        self.ctl("settings", "set", "nonsense", code=2)

    def test_job_show(self):
        self.create("bad", code=6)
        r = self.ctl("job", "show", "1")
        self.assertIn("● job 1 - create bad", r.out)
        self.assertRegex(r.out, r"(?m)^ +12  infrastructure +failed +\S+ +Infrastructure it +postgres exited with 1")
        self.assertIn("ccpctl job retry 1", r.out)
        o = self.ctl("job", "show", "1", "--json=short").json()
        self.assertEqual(o["id"], "1")
        self.assertEqual(o["error"]["name"], "org.changemaker.ccp1.Error.Unhealthy")
        self.assertEqual(o["steps"][11]["state"], "failed")
        self.assertEqual(set(o["steps"][0]), {"number", "name", "state", "started_at", "finished_at", "title",
                                              "detail"})
        self.assertEqual(o["started_by_uid"], 0)
        # An import keeps nothing that another job could go on with.
        self.change_state(lambda state: state["jobs"]["1"].update(kind="import", fail_at=1))
        r = self.ctl("job", "show", "1")
        self.assertIn("To try again: ccpctl backup import\n", r.out)

    def test_old_jobs_come_from_the_history(self):
        self.create("alpha")
        self.stop_mock()
        with open(self.state) as f:
            data = json.load(f)
        data["jobs"]["1"]["old"] = True
        with open(self.state, "w") as f:
            json.dump(data, f)
        self.start_mock()
        self.assertIn("● job 1 - create alpha", self.ctl("job", "show", "1").out)
        self.assertIn("Job 1 has succeeded.", self.ctl("job", "follow", "1").out)
        self.ctl("job", "show", "77", code=3)

    def test_terminal_sequences_in_names_are_shown_not_sent(self):
        self.create("alpha", "--name=evil\x1b[31m")
        self.assertIn("evil\\x1b[31m", self.ctl("status", "alpha").out)
        self.assertIn("evil\\x1b[31m", self.ctl("list").out)


class ExitCodes(BusTest):
    def test_no_such_thing_is_3(self):
        self.assertEqual(self.ctl("show", "nobody", code=3).err, "There is no instance 'nobody'.\n")
        self.ctl("start", "nobody", code=3)
        self.ctl("job", "follow", "99", code=3)
        self.create("x", "--blueprint=nothing", code=3)

    def test_not_allowed_is_4(self):
        self.create("forbidden", code=4)
        self.assertIn("sudo", self.ctl("show", "denied", code=4).err)

    def test_store_away_is_5(self):
        self.assertEqual(self.create("nostore", code=5).err, "PostgreSQL is away.\n")

    def test_daemon_away_is_5(self):
        self.stop_mock()
        r = self.ctl("list", code=5)
        self.assertIn("systemctl status ccpd", r.err)

    def test_daemon_that_dies_while_it_is_asked_is_5(self):
        self.assertIn("systemctl status ccpd", self.ctl("show", "hang-up", code=5).err)

    def test_no_bus_is_5(self):
        r = self.ctl("list", code=5, env={"DBUS_SYSTEM_BUS_ADDRESS": "unix:path=/nonexistent"})
        self.assertIn("Cannot connect to the system bus", r.err)

    def test_other_failures_are_1(self):
        self.assertIn("range nginx", self.create("full", code=1).err)
        self.create("busy")
        self.assertIn("Job 99", self.ctl("stop", "busy", code=1).err)

    def test_usage_is_2(self):
        for args, hint in ((["lisst"], "'list'"), (["job", "folow", "1"], "'job follow'"), (["--jsn=short"], "'--json'"),
                           (["job"], "list, show, follow"), (["show"], "ccpctl show SLUG"),
                           (["list", "--domain=x"], "--domain"), (["delete", "a", "b"], "Too many"),
                           (["job", "show", "x1"], "number"), (["--json=xml"], "pretty"), (["list", "--state"], "--state="),
                           (["list", "--quiet=1"], "no value"), (["-Z"], "-Z"), (["job", "list", "-n0"], "above 0"),
                           (["blueprint", "render", "x"], "--context")):
            with self.subTest(args=args):
                self.assertIn(hint, self.ctl(*args, code=2).err)

    def test_arguments_must_be_utf8(self):
        p = subprocess.run([CCPCTL, "show", b"\xff"], env=self.env, capture_output=True)
        self.assertEqual(p.returncode, 2)
        self.assertIn(b"Argument 2 is not valid UTF-8", p.stderr)

    def test_a_full_disk_is_a_failure(self):
        with open("/dev/full", "w") as full:
            p = subprocess.run([CCPCTL, "--help"], env=self.env, stdout=full, stderr=subprocess.PIPE)
        self.assertEqual(p.returncode, 1)

    def test_help_and_version(self):
        self.assertIn("job follow ID", self.ctl("--help").out)
        self.assertIn("--set-file", self.ctl("create", "--help").out)
        self.assertIn("job cancel", self.ctl("help", "job").out)
        self.assertRegex(self.ctl("--version").out, r"^ccpctl \d")


class Creating(BusTest):
    def test_create_sends_what_was_said(self):
        self.ctl("create", "alpha", "--blueprint=web", "--domain=alpha.example.org", "--name=Alpha",
                 "--feature=media", "--feature=chat=no", "--set", "owner=Ann", "--set", "image_tag=v=1")
        _, slug, blueprint, options = self.calls("create")[0]
        self.assertEqual((slug, blueprint), ("alpha", "web"))
        self.assertEqual(options, {"name": "Alpha", "domain": "alpha.example.org", "features": ["media", "chat=no"],
                                   "parameters": {"owner": "Ann", "image_tag": "v=1"}})

    def test_values_from_files(self):
        path = os.path.join(self.folder.name, "value")
        with open(path, "w") as f:
            f.write("two\nlines\n")
        self.create("alpha", "--set-file", "owner=" + path)
        self.assertEqual(self.calls("create")[0][3]["parameters"], {"owner": "two\nlines"})
        self.ctl("create", "beta", "--blueprint=web", "--domain=b.example.org", "--set-file=smtp_password=-",
                 input="s3cret\n")
        self.assertEqual(self.calls("create")[1][3]["parameters"], {"smtp_password": "s3cret"})

    def test_unfit_files_are_refused(self):
        path = os.path.join(self.folder.name, "value")
        for data, hint in ((b"a\0b", "NUL"), (b"\xff", "UTF-8"), (b"x" * 65537, "64 KiB")):
            with open(path, "wb") as f:
                f.write(data)
            self.assertIn(hint, self.create("alpha", "--set-file=owner=" + path, code=2).err)
        self.create("alpha", "--set-file=owner=/nonexistent", code=1)
        with open(path, "wb") as f:
            f.write(b"x" * 65536)
        self.create("alpha", "--set-file=owner=" + path)

    def test_secrets_are_refused_as_arguments(self):
        r = self.create("alpha", "--set", "smtp_password=s3cret", code=2)
        self.assertIn("--set-file smtp_password=", r.err)
        self.assertNotIn("s3cret", r.err)
        self.assertEqual(self.calls("create"), [])

    def test_source_is_made_absolute(self):
        self.create("alpha", "--source", os.path.relpath(self.folder.name))
        self.assertEqual(self.calls("create")[0][3]["source"], os.path.realpath(self.folder.name))
        self.create("beta", "--source=/nonexistent", code=1)

    def test_dry_run_creates_nothing(self):
        r = self.create("alpha", "--dry-run")
        self.assertIn("web=10007", r.out)
        o = self.create("alpha", "--dry-run", "--json=short").json()
        self.assertEqual(o["ports"], {"web": 10007, "db": 15407})
        self.assertEqual(self.saved()["instances"], {})

    def test_without_a_terminal_nothing_is_asked(self):
        self.assertIn("--blueprint=NAME", self.ctl("create", code=2).err)
        self.assertIn("--domain", self.ctl("create", "x", "--blueprint=web", code=2).err)


class Jobs(BusTest):
    def test_waiting_prints_a_line_when_a_step_begins_and_ends(self):
        r = self.create("slow-a")
        self.assertIn("Job 1: create slow-a\n", r.err)
        self.assertRegex(r.err, r"\[ 1/13\] Validate it: begins\n\[ 1/13\] Validate it: done after \d+ms\n")
        self.assertRegex(r.err, r"\[13/13\] Application it: done after")
        self.assertRegex(r.out, r"^slow-a was created and is running \(job 1, \S+\)\.\n")

    def test_quiet_prints_nothing(self):
        r = self.create("alpha", "--quiet")
        self.assertEqual((r.out, r.err), ("", ""))

    def test_json_is_the_job_that_ended(self):
        o = self.create("alpha", "--json=short").json()
        self.assertEqual((o["kind"], o["instance"], o["state"], o["progress"]), ("create", "alpha", "succeeded", 1.0))

    def test_a_failed_job_is_6(self):
        r = self.create("bad", code=6)
        self.assertIn("Job 1 (create bad) failed at step 12, infrastructure: postgres did not become healthy.", r.err)
        self.assertIn("What it had done has been undone.", r.err)
        self.assertIn("ccpctl job show 1", r.err)
        self.assertIn("Infrastructure it: failed after", r.err)
        self.assertRegex(r.err, r"\[13/13\] Application it: not reached\n\[11/13\] .*: undone\n\[10/13\] .*: undone\n")
        self.assertRegex(r.err, r"\[ 2/13\] .*: undone\n\[ 1/13\] Validate it: undone\nJob 1 ")

    def test_not_waiting(self):
        r = self.create("slow-a", "--no-wait")
        self.assertIn("ccpctl job follow 1", r.out)
        self.assertEqual(self.ctl("job", "show", "1", "--json=short").json()["state"], "running")
        o = self.create("slow-b", "--no-wait", "--json=short").json()
        self.assertEqual((o["id"], o["state"]), ("2", "running"))
        self.ctl("job", "follow", "1")

    def test_start_stop_restart_delete(self):
        self.create("alpha")
        self.assertIn("alpha has stopped", self.ctl("stop", "alpha").out)
        self.assertIn("alpha is running", self.ctl("start", "alpha").out)
        for verb, sentence in (("stop", "has stopped"), ("start", "is running"), ("restart", "was restarted")):
            self.assertIn(f"alpha: app postgres {sentence}", self.ctl(verb, "alpha", "app", "postgres").out)
            self.assertEqual(self.calls(verb)[-1][2], ["app", "postgres"])
        self.assertIn("alpha was restarted", self.ctl("restart", "alpha").out)
        self.assertIn("alpha was deleted", self.ctl("delete", "alpha", "--yes").out)
        self.assertEqual(self.saved()["instances"], {})

    def test_a_backup_that_was_made_is_told_with_its_number(self):
        self.create("alpha")
        r = self.ctl("backup", "create", "alpha")
        self.assertRegex(r.out, r"^alpha was backed up as backup 17, 12M, verified \(job 2, \S+\)\.\n$")
        self.assertEqual(self.calls("list-backups")[0][1], {"instance": "alpha"})
        asked = len(self.calls("list-backups"))
        self.assertEqual(self.ctl("backup", "create", "alpha", "--quiet").out, "")
        self.assertEqual(self.ctl("backup", "create", "alpha", "--json=short").json()["state"], "succeeded")
        self.assertEqual(len(self.calls("list-backups")), asked)
        # Also one that somebody else waits for.
        job = self.ctl("backup", "create", "alpha", "--no-wait", "--json=short").json()["id"]
        self.assertRegex(self.ctl("job", "follow", job).out, r"^alpha was backed up as backup 23, 12M, verified \(job %s, " % job)

    def test_backups_of_all_wait_for_their_turn(self):
        for slug in ("alpha", "bad", "gamma"):
            self.create(slug, "--quiet", code=6 if slug == "bad" else 0)
        r = self.ctl("backup", "create", "--all", "--consistency=live", code=6)
        self.assertEqual(self.calls("backup-all"), [["backup-all", {"consistency": "live"}]])
        self.assertIn("Job 4: backup alpha\n", r.err)
        self.assertIn("Job 5: backup bad, waiting for its turn\n", r.err)
        self.assertRegex(r.err, r"(?s)Job 5 .*Job 6: backup gamma, waiting for its turn\n.*\[ 1/2\] Open it: begins\n")
        self.assertRegex(r.out, r"(?s)^alpha was backed up .*gamma was backed up ")

        out = self.ctl("backup", "create", "--all", "--no-wait").out
        self.assertIn("Job 9 was accepted. To see how it goes: ccpctl job follow 9.", out)
        self.change_state(lambda state: state["jobs"]["9"].update(wait_ms=60000))
        self.assertRegex(self.ctl("job", "list", "--state=waiting").out, r"(?m)^ *9 +backup +gamma +waiting +- +0% ")
        self.assertRegex(self.ctl().out, r"(?m)^ *9 +backup +gamma +waiting ")
        self.assertIn("State: waiting for its turn, 0%", self.ctl("job", "show", "9").out)
        r = self.ctl("status", "gamma")
        self.assertIn("Job: 9 backup, waiting for its turn\n", r.out)
        self.ctl("job", "cancel", "9")
        self.assertEqual(self.ctl("job", "show", "9", "--json=short").json()["state"], "cancelled")

    def test_a_backup_of_all_where_nothing_runs_says_so(self):
        r = self.ctl("backup", "create", "--all")
        self.assertEqual(r.out, "No instance runs: nothing was backed up. Of one that is stopped: ccpctl backup create SLUG\n")
        self.assertEqual(self.ctl("backup", "create", "--all", "--quiet").out, "")

    def test_files_of_backups_do_not_go_to_another_host(self):
        r = self.ctl("-H", "ann@server", "backup", "export", "17", "--output=/nonexistent/file", code=2)
        self.assertIn("ssh ann@server ccpctl backup export 17 >FILE", r.err)
        r = self.ctl("-H", "ann@server", "backup", "import", "file", "--recovery-key-file=key", code=2)
        self.assertIn("ssh -t ann@server ccpctl backup import ", r.err)

    def test_what_is_at_work_on_an_instance_is_told_before_what_waits(self):
        self.create("slow")
        self.ctl("restart", "slow", "--no-wait", "--quiet")
        self.ctl("backup", "create", "--all", "--no-wait", "--quiet")

        def go_on(state):
            state["jobs"]["2"].update(step_ms=60000)
            state["jobs"]["3"].update(wait_ms=60000)

        self.change_state(go_on)
        self.assertRegex(self.ctl("status", "slow").out, r"Job: 2 restart, running.*\n +Job: 3 backup, waiting for its turn\n")

    def test_what_was_done_while_a_job_waits_is_the_last_one(self):
        self.create("alpha")
        self.ctl("backup", "create", "--all", "--no-wait", "--quiet")
        self.change_state(lambda state: state["jobs"]["2"].update(wait_ms=60000))
        self.ctl("restart", "alpha", "--quiet")
        self.assertRegex(self.ctl("status", "alpha").out, r"Job: 3 restart, succeeded; .*\n +Job: 2 backup, waiting for its turn\n")
        self.change_state(lambda state: state["jobs"]["2"].update(wait_ms=0))
        self.assertRegex(self.ctl("status", "alpha").out, r"Job: 3 restart, succeeded; ")

    def test_a_backup_is_made_though_its_number_cannot_be_seen(self):
        self.create("alpha")
        with open(self.state + ".deny", "w") as f:
            f.write("ListBackups")
        r = self.ctl("backup", "create", "alpha")
        self.assertRegex(r.out, r"^alpha was backed up, verified \(job 2, \S+\)\.\n$")
        self.assertNotIn("You may not", r.err)

    def test_each_job_about_a_backup_says_what_it_did(self):
        self.create("alpha")
        self.have_backups({"Id": "18"}, {"Id": "17"})
        for args, sentence in ((("backup", "verify", "17"), "alpha's backup 17 was read again and is as it was written"),
                               (("backup", "drill", "17"), "alpha's backup 17 was restored to nowhere, and all of it was there"),
                               (("backup", "replicate", "17"), "alpha's backup 17 was copied to the storage"),
                               (("backup", "fetch", "17"), "alpha's backup 17 was brought back from the storage, verified"),
                               (("backup", "delete", "17", "--yes"), "alpha's backup 17 was deleted"),
                               (("backup", "restore", "17"), "alpha was restored from backup 17 and is running"),
                               (("backup", "restore", "17", "--as=beta"), "beta was created from backup 17 and is running"),
                               (("restore", "undo", "alpha"), "alpha has what it had before, and is running"),
                               (("restore", "discard", "alpha", "--yes"), "alpha: what was to be kept no longer from before a restore was removed")):
            r = self.ctl(*args)
            self.assertRegex(r.out, "^" + re.escape(sentence) + r" \(job \d+, \S+\)\.\n$")
            self.assertEqual("To go back: ccpctl restore undo alpha" in r.err, args == ("backup", "restore", "17"), r)
            self.assertEqual(self.ctl(*args, "--quiet").out, "")
            self.assertEqual(self.ctl(*args, "--json=short").json()["state"], "succeeded")
        self.assertEqual([line.split(" (")[0] for line in self.ctl("backup", "verify", "17", "18").out.splitlines()],
                         ["alpha's backup %d was read again and is as it was written" % n for n in (17, 18)])
        # The number is not known of one that somebody else began.
        job = self.ctl("backup", "verify", "17", "--no-wait", "--json=short").json()["id"]
        self.assertRegex(self.ctl("job", "follow", job).out, r"^alpha's backup was read again and is as it was written \(job ")

    def test_what_a_prune_deletes_has_no_number(self):
        self.create("alpha")
        self.have_backups({"Id": "17"})
        job = self.ctl("backup", "delete", "17", "--yes", "--no-wait", "--json=short").json()["id"]
        self.assertRegex(self.ctl("job", "follow", job).out, r"^alpha's backups that were to go were deleted \(job ")

    def test_an_imported_backup_is_told_with_its_number(self):
        self.create("alpha")
        self.change_state(lambda state: state["jobs"]["1"].update(kind="import"))
        self.assertRegex(self.ctl("job", "retry", "1").out, r"^alpha's backup was imported as backup 17, 12M, verified \(job 2, \S+\)\.\n$")

    def test_a_backup_that_is_damaged_is_a_failure(self):
        self.create("bad", code=6)
        self.have_backups({"Instance": "bad"})
        r = self.ctl("backup", "verify", "17", code=6)
        self.assertEqual(r.out, "")
        self.assertIn("Job 2 (verify bad) failed at step 1, open", r.err)

    def test_what_differs_is_told_with_what_to_do(self):
        for slug, lines, advice in (
                ("adrift", ["Drift: the container of 'app' was stopped; ", "the container of 'app' is of another image; ",
                            "the container of 'postgres' was paused; "], "ccpctl start adrift; to have that done: ccpctl set adrift"),
                ("edited", ["Drift: the file '.env' was changed; ", "the file 'a\\nb' is missing; "], "/edited/current/"),
                ("crowded", ["Drift: there is a container of 'miner', which the instance does not have; "],
                 "docker ps --all --filter label=ccp.instance=crowded")):
            self.create(slug)
            out = self.ctl("status", slug).out
            for line in [*lines, advice]:
                self.assertIn(line, out)
        self.create("tired")
        self.assertRegex(self.ctl("status", "tired").out, "Recovery: started 2 times by ccpd after the start of the server; again at ")
        self.create("alpha")
        self.assertNotRegex(self.ctl("status", "alpha").out, "Drift|Recovery")

    def test_settings_of_an_instance(self):
        self.create("alpha")
        self.assertEqual(self.ctl("set", "alpha", "repair=on").out, "")
        self.assertEqual(self.ctl("show", "alpha", "-p", "repair", "--value").out, "on\n")
        self.assertIn("off, on or default", self.ctl("set", "alpha", "repair=maybe", code=2).err)
        self.assertIn("ccpctl set SLUG", self.ctl("set", "alpha", code=2).err)

    def test_delete_without_a_terminal_needs_yes(self):
        self.create("alpha")
        self.assertIn("--yes", self.ctl("delete", "alpha", code=2).err)

    def test_cancel_and_retry(self):
        self.create("slow-a", "--no-wait")
        self.assertIn("Job 1 was cancelled.", self.ctl("job", "cancel", "1").out)
        r = self.ctl("job", "follow", "1", code=6)
        self.assertIn("Job 1 (create slow-a) was cancelled", r.err)
        self.ctl("job", "cancel", "1", code=1)
        self.assertIn("was created", self.ctl("job", "retry", "1").out)
        self.assertEqual(self.ctl("job", "list", "--json=short").json()[0]["id"], "2")

    def test_following_a_job_that_is_cancelled_elsewhere_is_6(self):
        p = self.popen("create", "slow-a", "--blueprint=web", "--domain=a.example.org")
        self.assertIn("Job 1", p.stderr.readline())
        self.ctl("job", "cancel", "1", "--no-wait")
        _, err = p.communicate(timeout=20)
        self.assertEqual(p.returncode, 6)
        self.assertIn("was cancelled", err)

    def test_a_restart_of_ccpd_does_not_end_the_waiting(self):
        for delay in ("0", "1500"):
            with self.subTest(delay=delay):
                slug = "slow-" + delay
                p = self.popen("create", slug, "--blueprint=web", "--domain=" + slug + ".example.org")
                self.assertIn("Job", p.stderr.readline())
                self.stop_mock()
                self.assertTrue(any("waiting for ccpd to come back" in line for line in iter(p.stderr.readline, "")))
                # With a delay ccpd has its name before it knows its jobs.
                self.start_mock(MOCK_LOAD_MS=delay)
                out, _ = p.communicate(timeout=20)
                self.assertEqual(p.returncode, 0)
                self.assertIn("was created", out)

    def test_interrupting_leaves_the_job_running(self):
        p = self.popen("create", "slow-a", "--blueprint=web", "--domain=a.example.org")
        self.assertIn("Job 1", p.stderr.readline())
        p.send_signal(signal.SIGINT)
        _, err = p.communicate(timeout=20)
        self.assertEqual(p.returncode, -signal.SIGINT)
        self.assertIn("ccpctl job follow 1", err)
        self.assertIn("ccpctl job cancel 1", err)
        self.ctl("job", "follow", "1")

    def test_interrupting_the_call_says_that_it_may_have_been_accepted(self):
        for n, (sig, *args) in enumerate(((signal.SIGINT,), (signal.SIGTERM,), (signal.SIGINT, "--no-wait"))):
            with self.subTest(args=args, sig=sig):
                p = self.popen("create", "unanswered", "--blueprint=web", "--domain=a.example.org", *args)
                self.wait_for(lambda: len(self.calls("create")) > n)
                p.send_signal(sig)
                _, err = p.communicate(timeout=20)
                self.assertEqual(p.returncode, -sig)
                self.assertIn("The job may have been accepted all the same. To see: ccpctl job list", err)

    def test_ctrl_c_that_is_ignored_stays_ignored(self):
        p = self.popen("create", "unanswered", "--blueprint=web", "--domain=a.example.org",
                       preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN))
        self.wait_for(lambda: self.calls("create"))
        p.send_signal(signal.SIGINT)
        time.sleep(0.3)
        self.assertIsNone(p.poll())
        p.kill()
        p.communicate()

    def test_waiting_subscribes_and_does_so_again_after_a_restart(self):
        p = self.popen("create", "slow-a", "--blueprint=web", "--domain=a.example.org")
        self.assertIn("Job 1", p.stderr.readline())
        self.assertEqual([c[0] for c in self.saved()["calls"]], ["subscribe", "create"])
        self.stop_mock()
        self.start_mock()
        p.communicate(timeout=20)
        self.assertEqual([c[0] for c in self.saved()["calls"]], ["subscribe", "create", "subscribe"])
        self.assertEqual(p.returncode, 0)

    def test_a_signal_of_somebody_else_is_not_believed(self):
        p = self.popen("create", "slow-a", "--blueprint=web", "--domain=a.example.org")
        self.assertIn("Job 1", p.stderr.readline())
        bus = dbus.bus.BusConnection(self.address)
        for name in bus.list_names():
            if name.startswith(":") and name != bus.get_unique_name():
                m = dbus.lowlevel.SignalMessage("/org/changemaker/ccp1/job/1", "org.freedesktop.DBus.Properties",
                                                "PropertiesChanged")
                m.append("org.changemaker.ccp1.Job", {"State": "failed"}, [], signature="sa{sv}as")
                m.set_destination(name)
                bus.send_message(m)
        bus.flush()
        _, err = p.communicate(timeout=20)
        self.assertEqual(p.returncode, 0, err)
        bus.close()

    def test_the_bus_going_away_ends_the_waiting(self):
        p = self.popen("create", "slow-a", "--blueprint=web", "--domain=a.example.org")
        self.assertIn("Job 1", p.stderr.readline())
        self.bus.kill()
        p.communicate(timeout=20)
        self.assertEqual(p.returncode, 5)


class OlderCcpd(BusTest):
    mock_environment = {"MOCK_OLD": "1"}

    def test_one_without_subscriptions_is_waited_for_all_the_same(self):
        p = self.popen("create", "slow-a", "--blueprint=web", "--domain=a.example.org")
        self.assertIn("Job 1", p.stderr.readline())
        self.stop_mock()
        self.start_mock()
        out, _ = p.communicate(timeout=20)
        self.assertIn("was created", out)


class Completion(BusTest):
    def complete(self, line):
        """What bash offers for a line; the words are cut as bash cuts them."""
        words = []
        for word in line.split(" "):
            words += re.split("(=)", word, maxsplit=1) if word.startswith("--") else [word]
        if words[-1] == "" and len(words) > 1 and words[-2] == "=":
            words.pop()
        script = 'source "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _ccpctl; printf "%s\\n" "${COMPREPLY[@]}"'
        tools = os.path.join(self.folder.name, "bin")
        os.makedirs(tools, exist_ok=True)
        if not os.path.exists(os.path.join(tools, "ccpctl")):
            os.symlink(CCPCTL, os.path.join(tools, "ccpctl"))
        p = subprocess.run(["bash", "-uc", script, "bash", os.environ["COMPLETION"], *words], capture_output=True,
                           text=True, env=dict(self.env, PATH=tools + ":" + self.env["PATH"]))
        self.assertEqual(p.stderr, "")
        return p.stdout.split()

    def test_verbs(self):
        self.assertEqual(self.complete("ccpctl st"), ["start", "status", "stop", "storage"])
        self.assertEqual(self.complete("ccpctl job "), ["cancel", "follow", "list", "retry", "show"])
        self.assertIn("blueprint", self.complete("ccpctl --json=short "))
        self.assertEqual(self.complete("ccpctl help se"), ["secret", "set", "settings"])

    def test_options_and_their_values(self):
        self.assertEqual(self.complete("ccpctl --no-"), ["--no-legend", "--no-pager", "--no-ask-password", "--no-wait"])
        self.assertEqual(self.complete("ccpctl create x --d"), ["--domain=", "--dry-run"])
        self.assertEqual(self.complete("ccpctl list --json=p"), ["pretty"])
        self.assertEqual(self.complete("ccpctl list --json="), ["short", "pretty", "off"])
        self.assertEqual(self.complete("ccpctl list --state un"), [])
        self.assertEqual(self.complete("ccpctl job list --state=und"), ["undoing"])
        self.assertEqual(self.complete("ccpctl job list --state=w"), ["waiting"])
        self.assertEqual(self.complete("ccpctl show x -p Sub"), ["Subnet"])

    def test_what_there_is(self):
        for slug in ("alpha", "beta", "bad"):
            self.create(slug, "--quiet", code=6 if slug == "bad" else 0)
        self.assertEqual(self.complete("ccpctl status b"), ["bad", "beta"])
        self.assertEqual(self.complete("ccpctl -q stop "), ["alpha", "bad", "beta"])
        self.assertEqual(self.complete("ccpctl delete alpha "), [])
        self.assertEqual(self.complete("ccpctl set alpha re"), ["repair=on", "repair=off", "repair=default"])
        for verb in ("start", "stop", "restart"):
            self.assertEqual(self.complete(f"ccpctl {verb} alpha "), ["postgres", "app"])
        self.assertEqual(self.complete("ccpctl job show "), ["3", "2", "1"])
        self.assertEqual(self.complete("ccpctl job retry "), ["3"])
        self.assertEqual(self.complete("ccpctl create x --blueprint="), ["web"])
        self.assertEqual(self.complete("ccpctl create x --blueprint=web --feature="), ["media", "chat"])
        self.assertEqual(self.complete("ccpctl create x --blueprint web --set smtp_p"), ["smtp_port=", "smtp_password="])
        self.assertEqual(self.complete("ccpctl settings set job"), ["job_concurrency="])

    def test_roles_and_who_may_have_them(self):
        self.create("alpha", "--quiet")
        self.assertEqual(self.complete("ccpctl role "), ["grant", "list", "revoke"])
        self.assertEqual(self.complete("ccpctl role grant "), ["admin", "operator", "viewer", "client"])
        self.assertEqual(self.complete("ccpctl role grant admin "), [])
        self.assertIn("nobody", self.complete("ccpctl role grant admin --user=nob"))
        self.assertIn("root", self.complete("ccpctl role revoke --group roo"))
        self.assertEqual(self.complete("ccpctl role grant admin --user ann --instance="), ["alpha"])

    def test_the_record_and_its_filters(self):
        self.assertEqual(self.complete("ccpctl aud"), ["audit"])
        self.assertEqual(self.complete("ccpctl audit "), ["export", "verify"])
        self.assertEqual(self.complete("ccpctl audit verify "), [])
        self.assertEqual(self.complete("ccpctl audit --action=INSTANCE_ST"), ["INSTANCE_START", "INSTANCE_STOP"])
        self.assertEqual(self.complete("ccpctl audit --outcome de"), ["denied"])
        self.assertEqual(self.complete("ccpctl audit --since=y"), ["yesterday"])
        self.assertEqual(self.complete("ccpctl audit --fo"), ["--follow"])
        self.assertNotIn("--follow", self.complete("ccpctl audit verify --"))

    def test_secrets(self):
        self.create("alpha", "--quiet")
        self.assertEqual(self.complete("ccpctl secret "), ["list", "reveal"])
        self.assertEqual(self.complete("ccpctl secret reveal "), ["alpha"])
        self.assertEqual(self.complete("ccpctl secret reveal alpha POST"), ["POSTGRES_PASSWORD"])
        self.assertEqual(self.complete("ccpctl secret list alpha "), [])

    def test_without_ccpd_nothing_is_offered(self):
        self.stop_mock()
        self.assertEqual(self.complete("ccpctl status "), [])


class Blueprints(BusTest):
    """The verbs that need no ccpd."""

    def setUp(self):
        super().setUp()
        self.stop_mock()
        self.blueprint = os.path.join(self.folder.name, "demo")
        os.mkdir(self.blueprint)
        self.write("blueprint.yaml", "name: demo\ntitle: Demo\nversion: '1'\n"
                   "parameters:\n  tag: { type: string, default: latest }\n"
                   "files:\n  - { template: docker-compose.yml.hbs, target: docker-compose.yml, format: yaml }\n"
                   "  - { template: env.hbs, target: .env, format: dotenv }\n"
                   "services:\n  app: { kind: service }\n")
        self.write("docker-compose.yml.hbs", 'services:\n  app:\n    image: "{{parameters.tag}}"\n')
        self.write("env.hbs", "TAG={{parameters.tag}}\n")
        self.write("context.json", '{ "parameters": { "tag": "a$b\\"c" } }')

    def write(self, name, text):
        with open(os.path.join(self.blueprint, name), "w") as f:
            f.write(text)

    def render(self, name, *args, code=0):
        return self.ctl("blueprint", "render", os.path.join(self.blueprint, name),
                        "--context", os.path.join(self.blueprint, "context.json"), *args, code=code)

    def test_a_good_blueprint_has_no_problems(self):
        self.assertEqual(self.ctl("blueprint", "lint", self.blueprint).out,
                         "demo 1: no problems in 2 templates and 0 static files.\n")
        self.assertEqual(self.ctl("blueprint", "lint", self.blueprint, "--json=short").json()["problems"], [])

    def test_all_problems_of_the_description_are_listed(self):
        self.write("blueprint.yaml", "name: demo\ntitle: Demo\nversion: '1'\ncolour: red\nparameters:\n  a: { type: x }\n")
        r = self.ctl("blueprint", "lint", self.blueprint, code=1)
        self.assertRegex(r.out, r"(?m)blueprint\.yaml:4:1: .*'colour'")
        self.assertRegex(r.out, r"(?m)blueprint\.yaml:6:14: ")
        self.assertIn("problems.\n", r.out)

    def test_problems_of_templates_are_listed(self):
        self.write("docker-compose.yml.hbs", "{{#if x}")
        self.write("env.hbs", "{{/if}}")
        r = self.ctl("blueprint", "lint", self.blueprint, code=1)
        self.assertIn("docker-compose.yml.hbs:1:", r.out)
        self.assertIn("env.hbs:1:", r.out)
        os.unlink(os.path.join(self.blueprint, "env.hbs"))
        self.assertIn("env.hbs", self.ctl("blueprint", "lint", self.blueprint, code=1).out)

    def test_what_is_not_there_is_3(self):
        self.ctl("blueprint", "lint", "no-such-blueprint", code=3)
        self.ctl("blueprint", "lint", "/no/such/folder", code=3)

    def test_values_are_escaped_for_the_format(self):
        self.assertEqual(self.render("docker-compose.yml.hbs").out,
                         'services:\n  app:\n    image: "a$$b\\"c"\n')
        self.assertEqual(self.render("env.hbs").out, self.render("env.hbs", "--format=dotenv").out)
        self.render("env.hbs", "--format=html", code=2)

    def test_rendering_errors_say_where(self):
        self.write("context.json", "{}")
        self.assertIn("docker-compose.yml.hbs:3:", self.render("docker-compose.yml.hbs", code=1).err)
        self.write("context.json", "{,")
        self.assertIn("context.json:1:", self.render("env.hbs", code=2).err)
        self.write("context.json", "[]")
        self.assertIn("not a JSON object", self.render("env.hbs", code=2).err)


if __name__ == "__main__":
    unittest.main(verbosity=2)
