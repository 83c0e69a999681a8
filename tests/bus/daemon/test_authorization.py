# SPDX-License-Identifier: LGPL-2.1-or-later
"""Who may do what, and who learns what: ccpd with a stand-in for polkit, and callers who are not root."""

import dbus
import pytest
from conftest import NAME, ROOT, instance_path, wait_for
from test_backup_life import make_backup
from watcher import running

PROPERTIES = "org.freedesktop.DBus.Properties"
INTROSPECTABLE = "org.freedesktop.DBus.Introspectable"
OBJECT_MANAGER = "org.freedesktop.DBus.ObjectManager"
ASK = "org.freedesktop.DBus.Error.InteractiveAuthorizationRequired"


def grant(ccpd, role, kind, name, instance=""):
    ccpd.manager("GrantRole", role, kind, name, instance, dbus.Dictionary({}, signature="sv"))


def revoke(ccpd, kind, name, instance=""):
    ccpd.manager("RevokeRole", kind, name, instance, dbus.Dictionary({}, signature="sv"))


def wait_dialogue(fleet):
    wait_for(lambda: any(q[1].endswith(".delete") and q[5] == "1" for q in fleet.polkit("Questions")), what="the dialogue")


@pytest.fixture
def fleet(ccpd):
    """Two instances, as their creation left them."""
    ccpd.create("alpha")
    ccpd.create("beta")
    return ccpd


def reads(person, slug):
    """All ways to look at one instance."""
    path = instance_path(slug)
    return [
        person.call("GetInstance", "s", slug),
        person.call("GetAll", "s", f"{NAME}.Instance", path=path, interface=PROPERTIES),
        person.call("Get", "ss", f"{NAME}.Instance", "State", path=path, interface=PROPERTIES),
        person.call("Introspect", path=path, interface=INTROSPECTABLE),
    ]


def test_nobody_but_root_may_on_a_fresh_install(fleet):
    somebody = fleet.person("daemon")
    for member in ("ListInstances", "ListJobs"):
        assert somebody.error(member, "a{sv}tt", {}, 0, 10) == "NotAuthorized"
    assert somebody.error("ListBlueprints") == "NotAuthorized"
    assert somebody.error("GetManagedObjects", interface=OBJECT_MANAGER) == "NotAuthorized"
    assert fleet.manager("ListRoles") == []


def test_who_has_no_role_learns_not_even_that_a_slug_exists(fleet):
    somebody = fleet.person("daemon")
    for there, absent in zip(reads(somebody, "alpha"), reads(somebody, "gamma")):
        assert there["error"] == absent["error"] == f"{NAME}.Error.NotAuthorized"
        assert there["message"].replace("alpha", "gamma") == absent["message"]
    there, absent = (somebody.call("GetJob", "s", i) for i in ("1", "4711"))
    assert there == absent


def test_a_client_sees_his_own_instance_and_no_other(fleet):
    grant(fleet, "client", "user", "daemon", "alpha")
    client = fleet.person("daemon")

    assert [row["Slug"] for row in client.value("ListInstances", "a{sv}tt", {}, 0, 10)] == ["alpha"]
    objects = client.value("GetManagedObjects", interface=OBJECT_MANAGER)
    jobs = {str(v[f"{NAME}.Job"]["Instance"]) for v in objects.values() if f"{NAME}.Job" in v}
    assert [p for p in objects if "/instance/" in p] == [instance_path("alpha")] and jobs == {"alpha"}
    assert not [p for p in objects if "/blueprint/" in p]
    assert "alpha" in client.value("Introspect", path=f"{ROOT}/instance", interface=INTROSPECTABLE)
    assert "beta" not in client.value("Introspect", path=f"{ROOT}/instance", interface=INTROSPECTABLE)
    assert client.value("Get", "ss", f"{NAME}.Manager", "NInstances", interface=PROPERTIES) == 1
    assert client.value("Get", "ss", f"{NAME}.Manager", "NJobs", interface=PROPERTIES) == 1
    assert {row["Instance"] for row in client.value("ListJobs", "a{sv}tt", {}, 0, 10)} == {"alpha"}
    for other, absent in zip(reads(client, "beta"), reads(client, "gamma")):
        assert other["error"] == absent["error"] == f"{NAME}.Error.NotAuthorized"
        assert other["message"].replace("beta", "gamma") == absent["message"]


def test_a_backup_of_another_is_as_one_that_is_not_there(ccpd):
    for slug in ("alpha", "beta"):
        running(ccpd, slug)
    own, other = make_backup(ccpd, "alpha"), make_backup(ccpd, "beta")
    wait_for(lambda: ccpd.get(instance_path("beta"), "Instance", "LastBackupAt") > 0, what="the backup")
    absent = "4711"
    ccpd.postgres.sql("INSERT INTO backups (instance, slug, job, sequence, state, consistency, blueprint, blueprint_version, file, "
                       "archive, size, verified_at) SELECT gen_random_uuid(), 'gone', 9999, 1, 'verified', 'live', 'x', '1', 'f', "
                       "gen_random_uuid(), 1, now()")
    ((gone,),) = ccpd.postgres.sql("SELECT id FROM backups WHERE slug = 'gone'")

    def told(person, number, member, signature="sa{sv}", **more):
        answer = person.call(member, signature, number, {}, **more)
        return answer.get("error"), answer.get("message", "").replace(number, "N")

    grant(ccpd, "admin", "user", "daemon", "alpha")
    admin = ccpd.person("daemon")
    restore = {"path": instance_path("alpha"), "interface": f"{NAME}.Instance"}
    for number in (other, gone):
        assert told(admin, number, "Restore", **restore) == told(admin, absent, "Restore", **restore)
        assert told(admin, number, "Restore", **restore)[0] == f"{NAME}.Error.NoSuchBackup"
        for member in ("VerifyBackup", "DrillBackup", "DeleteBackup", "ExportBackup", "FetchBackup", "ReplicateBackup"):
            assert told(admin, number, member) == told(admin, absent, member), member
            assert told(admin, number, member)[0] == f"{NAME}.Error.NotAuthorized", member
        assert admin.value("ListBackups", "a{sv}tt", {"id": number}, 0, 9) == []
    # Who sees the other instance, too, is told; so is who sees the fleet.
    grant(ccpd, "client", "user", "daemon", "beta")
    error, message = told(admin, other, "Restore", **restore)
    assert error == f"{NAME}.Error.WrongState" and "'beta'" in message
    assert told(admin, gone, "Restore", **restore)[0] == f"{NAME}.Error.NoSuchBackup"
    with pytest.raises(dbus.DBusException, match="'gone'"):
        ccpd.call("Instance", "Restore", gone, dbus.Dictionary({}, "sv"), path=instance_path("alpha"))
    # Whom polkit lets restore without a role restores what is of the instance.
    ccpd.polkit("Answer", "restore", "yes")
    nobody = ccpd.person("bin")
    assert told(nobody, other, "Restore", **restore)[0] == f"{NAME}.Error.NoSuchBackup"
    assert told(nobody, own, "Restore", **restore)[0] is None


def test_what_polkit_is_told(fleet):
    grant(fleet, "operator", "user", "daemon", "alpha")
    operator = fleet.person("daemon")
    fleet.polkit("Questions")
    operator.instance("alpha", "Restart", "asa{sv}", ["nonsense"], {}, interactive=True)
    operator.instance("beta", "Stop", "asa{sv}", [], {})
    assert [list(map(str, q)) for q in fleet.polkit("Questions")] == [
        [operator.name, f"{NAME}.operate", "alpha", "operator", "restart", "0"],
        [operator.name, f"{NAME}.operate", "beta", "", "stop", "0"]]


def test_somebody_is_asked_only_where_that_is_needed(fleet):
    grant(fleet, "admin", "user", "daemon")
    admin = fleet.person("daemon")
    fleet.polkit("Answer", "delete", "ask")
    fleet.polkit("Questions")
    admin.send("Delete", "a{sv}", {"nonsense": "x"}, path=instance_path("alpha"), interface=f"{NAME}.Instance", interactive=True)
    wait_for(lambda: fleet.polkit("Release", True) == 1, what="the dialogue")
    assert admin.answer()["error"] == f"{NAME}.Error.InvalidArgument"
    assert [str(q[5]) for q in fleet.polkit("Questions")] == ["0", "1"]
    # Allowed anyway: however many there are at once, none takes the place of a dialogue.
    people = [fleet.person("daemon") for _ in range(12)]
    for p in people:
        p.send("Restart", "asa{sv}", ["nonsense"], {}, path=instance_path("alpha"), interface=f"{NAME}.Instance", interactive=True)
    assert {p.answer()["error"] for p in people} == {f"{NAME}.Error.InvalidArgument"}


def test_polkit_has_the_last_word(fleet):
    grant(fleet, "admin", "user", "daemon")
    admin = fleet.person("daemon")
    fleet.polkit("Answer", "delete", "no")
    assert admin.instance("alpha", "Delete", "a{sv}", {})["error"] == f"{NAME}.Error.NotAuthorized"
    fleet.polkit("Answer", "operate", "yes")
    nobody = fleet.person("bin")
    assert nobody.instance("alpha", "Restart", "asa{sv}", ["nonsense"], {})["error"] == f"{NAME}.Error.InvalidArgument"


def test_the_loop_goes_on_while_somebody_types_a_password(fleet):
    grant(fleet, "admin", "user", "daemon")
    admin, other = fleet.person("daemon"), fleet.person("daemon")
    fleet.polkit("Answer", "delete", "ask")
    admin.send("Delete", "a{sv}", {"nonsense": "x"}, path=instance_path("alpha"), interface=f"{NAME}.Instance",
               interactive=True)
    wait_dialogue(fleet)
    assert other.value("GetInstance", "s", "alpha") == instance_path("alpha")
    assert fleet.manager("GetInstance", "beta") == instance_path("beta")
    assert fleet.polkit("Release", True) == 1
    assert admin.answer()["error"] == f"{NAME}.Error.InvalidArgument"


def test_who_may_not_be_asked_is_told_so(fleet):
    grant(fleet, "admin", "user", "daemon")
    fleet.polkit("Answer", "delete", "ask")
    assert fleet.person("daemon").instance("alpha", "Delete", "a{sv}", {})["error"] == ASK


def test_a_role_that_is_revoked_while_polkit_is_asked_counts_no_more(fleet):
    grant(fleet, "admin", "user", "daemon")
    admin = fleet.person("daemon")
    fleet.polkit("Answer", "delete", "ask")
    admin.send("Delete", "a{sv}", {}, path=instance_path("alpha"), interface=f"{NAME}.Instance", interactive=True)
    wait_dialogue(fleet)
    revoke(fleet, "user", "daemon")
    fleet.polkit("Release", True)
    answer = admin.answer()
    assert answer["error"] == f"{NAME}.Error.NotAuthorized" and "changed" in answer["message"]


def test_an_instance_that_was_made_anew_meanwhile_is_another(fleet):
    grant(fleet, "admin", "user", "daemon")
    admin = fleet.person("daemon")
    fleet.polkit("Answer", "delete", "ask")
    admin.send("Delete", "a{sv}", {}, path=instance_path("alpha"), interface=f"{NAME}.Instance", interactive=True)
    wait_dialogue(fleet)
    fleet.postgres.sql("DELETE FROM jobs WHERE slug = 'alpha'; DELETE FROM instances WHERE slug = 'alpha'")
    wait_for(lambda: "alpha" not in [r["Slug"] for r in fleet.manager("ListInstances", dbus.Dictionary({}, signature="sv"),
                                                                 dbus.UInt64(0), dbus.UInt64(9))], what="its end")
    fleet.create("alpha")
    fleet.polkit("Release", True)
    assert admin.answer()["error"] == f"{NAME}.Error.NotAuthorized"
    assert fleet.get(instance_path("alpha"), "Instance", "State") == "provisioning"


def test_a_caller_who_leaves_is_forgotten_and_his_dialogue_closed(fleet):
    grant(fleet, "admin", "user", "daemon")
    admin = fleet.person("daemon")
    fleet.polkit("Answer", "delete", "ask")
    admin.send("Delete", "a{sv}", {}, path=instance_path("alpha"), interface=f"{NAME}.Instance", interactive=True)
    wait_dialogue(fleet)
    fleet.people.remove(admin)
    admin.leave()
    wait_for(lambda: len(fleet.polkit("Cancelled")) == 1, what="the end of the dialogue")
    fleet.polkit("Release", True)
    assert fleet.get(instance_path("alpha"), "Instance", "State") == "provisioning"


def test_without_polkit_only_root_may(fleet):
    grant(fleet, "admin", "user", "daemon")
    admin = fleet.person("daemon")
    assert admin.value("GetInstance", "s", "alpha")
    fleet.polkit_process.terminate()
    fleet.polkit_process.wait()
    wait_for(lambda: admin.call("GetInstance", "s", "alpha").get("error") == f"{NAME}.Error.NotAuthorized",
             what="the refusal")
    assert fleet.manager("GetInstance", "alpha") == instance_path("alpha")
    fleet.start_polkit()
    assert admin.value("GetInstance", "s", "alpha")


@pytest.mark.parametrize("answer", ["error", "challenge"])
def test_whatever_is_no_yes_is_a_no(fleet, answer):
    grant(fleet, "admin", "user", "daemon")
    fleet.polkit("Answer", "operate", answer)
    name = fleet.person("daemon").instance("alpha", "Stop", "asa{sv}", [], {})["error"]
    assert name == (ASK if answer == "challenge" else f"{NAME}.Error.NotAuthorized")
    assert fleet.get(instance_path("alpha"), "Instance", "State") == "provisioning"


def test_polkit_that_hangs_holds_up_nobody_else(fleet):
    grant(fleet, "admin", "user", "daemon")
    admin = fleet.person("daemon")
    fleet.polkit("Answer", "operate", "hang")
    admin.send("Stop", "asa{sv}", [], {}, path=instance_path("alpha"), interface=f"{NAME}.Instance")
    assert fleet.manager("GetInstance", "alpha") == instance_path("alpha")
    # Ten seconds are enough for rules.
    assert admin.answer()["error"] == f"{NAME}.Error.NotAuthorized"


def test_an_answer_of_polkits_that_is_lost_is_asked_for_again(fleet):
    grant(fleet, "admin", "user", "daemon")
    fleet.polkit("Answer", "operate", "lose")
    answer = fleet.person("daemon").instance("alpha", "Restart", "asa{sv}", ["nonsense"], {})
    assert answer["error"] == f"{NAME}.Error.InvalidArgument"


def test_roles_are_effective_at_once_for_who_is_connected(fleet):
    somebody = fleet.person("daemon")
    assert somebody.error("GetInstance", "s", "alpha") == "NotAuthorized"
    grant(fleet, "viewer", "user", "daemon")
    assert somebody.value("GetInstance", "s", "alpha") == instance_path("alpha")
    revoke(fleet, "user", "daemon")
    assert somebody.error("GetInstance", "s", "alpha") == "NotAuthorized"


def test_a_role_of_a_group_is_each_members(fleet):
    grant(fleet, "viewer", "group", "games")
    assert fleet.person("daemon", groups=("games",)).value("GetInstance", "s", "alpha")
    assert fleet.person("daemon", groups=("mail",)).error("GetInstance", "s", "alpha") == "NotAuthorized"


def test_a_number_that_was_given_to_somebody_else_has_no_role(fleet):
    """The grant is to one who had daemon's number before."""
    fleet.postgres.sql("INSERT INTO roles (subject, id, name, role, granted_by) VALUES ('user', 1, 'gone', 'admin', 'root')")
    wait_for(lambda: len(fleet.manager("ListRoles")) == 1, what="the grant")
    assert fleet.person("daemon").error("GetInstance", "s", "alpha") == "NotAuthorized"


@pytest.mark.parametrize("change, error", [
    (("emperor", "user", "daemon", ""), "InvalidArgument"),
    (("viewer", "robot", "daemon", ""), "InvalidArgument"),
    (("viewer", "user", "no-such-user", ""), "InvalidArgument"),
    (("viewer", "user", "", ""), "InvalidArgument"),
    (("viewer", "user", "x" * 300, ""), "InvalidArgument"),
    (("admin", "user", "root", ""), "InvalidArgument"),
    (("client", "user", "daemon", ""), "InvalidArgument"),
    (("client", "user", "daemon", "gamma"), "NoSuchInstance"),
])
def test_a_grant_that_makes_no_sense_is_refused(fleet, change, error):
    with pytest.raises(dbus.DBusException) as e:
        grant(fleet, *change)
    assert e.value.get_dbus_name() == f"{NAME}.Error.{error}"
    assert fleet.manager("ListRoles") == []


def test_only_who_was_granted_can_be_revoked(fleet):
    with pytest.raises(dbus.DBusException) as e:
        revoke(fleet, "user", "daemon")
    assert e.value.get_dbus_name() == f"{NAME}.Error.NoSuchRole"


def test_signals_go_to_subscribers_and_tell_each_his_own(fleet):
    grant(fleet, "client", "user", "daemon", "alpha")
    grant(fleet, "viewer", "user", "bin")
    client, viewer, stranger, deaf = (fleet.person(u) for u in ("daemon", "bin", "sys", "bin"))
    client.value("Subscribe")
    viewer.value("Subscribe")
    assert stranger.error("Subscribe") == "NotAuthorized"
    fleet.create("gamma")

    wait_for(lambda: any(s[0] == "InterfacesAdded" and s[2][0] == instance_path("gamma") for s in viewer.signals()),
             what="the signal")
    told = client.signals()
    assert "gamma" not in str(told)
    changed = [s[2][1] for s in told if s[0] == "PropertiesChanged" and s[1] == ROOT]
    assert all(c["NInstances"] == 1 for c in changed)
    assert stranger.signals() == [] and deaf.signals() == []


def test_a_subscriber_is_told_what_a_grant_shows_him_and_a_revocation_takes(fleet):
    grant(fleet, "client", "user", "daemon", "alpha")
    client = fleet.person("daemon")
    client.value("Subscribe")
    grant(fleet, "client", "user", "daemon", "beta")
    added = wait_for(lambda: [s[2][0] for s in client.signals() if s[0] == "InterfacesAdded"], what="the signal")
    assert instance_path("beta") in added
    revoke(fleet, "user", "daemon", "beta")
    removed = wait_for(lambda: [s[2][0] for s in client.signals() if s[0] == "InterfacesRemoved"], what="the signal")
    assert instance_path("beta") in removed


def test_a_subscriber_whom_new_rules_refuse_is_told_no_more(fleet):
    grant(fleet, "viewer", "user", "daemon")
    viewer = fleet.person("daemon")
    viewer.value("Subscribe")
    fleet.polkit("Answer", "view", "no")
    wait_for(lambda: any(q[4] == "subscribe" for q in fleet.polkit("Questions")), what="the question")
    wait_for(lambda: viewer.call("ListPorts").get("error"), what="the refusal")
    viewer.signals()
    fleet.create("gamma")
    assert viewer.signals() == []


def test_reading_again_does_not_ask_again(fleet):
    grant(fleet, "viewer", "user", "daemon")
    viewer = fleet.person("daemon")
    fleet.polkit("Questions")
    for _ in range(20):
        viewer.value("GetInstance", "s", "alpha")
    assert len(fleet.polkit("Questions")) == 1


def test_arguments_that_are_too_long_are_refused_before_anything_is_asked(fleet):
    somebody = fleet.person("daemon")
    fleet.polkit("Questions")
    assert somebody.error("GetInstance", "s", "x" * 30_000_000) == "LimitExceeded"
    assert fleet.polkit("Questions") == []


def test_a_pattern_costs_little_and_tells_nothing_of_others(fleet):
    grant(fleet, "client", "user", "daemon", "alpha")
    client = fleet.person("daemon")
    assert client.value("ListInstances", "a{sv}tt", {"pattern": "b*"}, 0, 10) == []
    # Matching it would take long where the slug begins with it, and be over at once elsewhere.
    assert client.error("ListInstances", "a{sv}tt", {"pattern": "b" + "*" * 1_000_000 + "x"}, 0, 10) == "InvalidArgument"


def test_a_flood_is_refused_and_root_is_served(fleet):
    somebody = fleet.person("daemon")
    somebody.send("GetInstance", "s", "alpha", repeat=5000)
    for _ in range(20):
        assert fleet.manager("GetInstance", "alpha", timeout=2) == instance_path("alpha")
    errors = somebody.answer()["value"]
    assert errors[f"{NAME}.Error.LimitExceeded"] > 2000
    # The last is the bus's own, for calls that wait for an answer.
    assert set(errors) <= {f"{NAME}.Error.LimitExceeded", f"{NAME}.Error.NotAuthorized",
                           "org.freedesktop.DBus.Error.LimitsExceeded"}


def test_dialogues_are_limited_for_each_user(fleet):
    grant(fleet, "admin", "user", "daemon")
    fleet.polkit("Answer", "delete", "ask")
    people = [fleet.person("daemon") for _ in range(6)]
    for i, p in enumerate(people):
        p.send("Delete", "a{sv}", {}, path=instance_path("alpha"), interface=f"{NAME}.Instance", interactive=True)
        if i < 4:
            wait_dialogue(fleet)
    assert {people[4].answer()["error"], people[5].answer()["error"]} == {f"{NAME}.Error.LimitExceeded"}
    assert fleet.polkit("Release", False) == 4


def test_a_method_that_is_not_in_the_table_cannot_be_called_by_root_either(ccpd):
    with pytest.raises(dbus.DBusException) as e:
        ccpd.manager("Emit")
    assert e.value.get_dbus_name() == "org.freedesktop.DBus.Error.UnknownMethod"


def test_every_method_of_ours_is_in_the_table(fleet):
    """One that is not would be answered like one that does not exist."""
    for path, interface in ((ROOT, "Manager"), (instance_path("alpha"), "Instance"), (f"{ROOT}/job/1", "Job")):
        xml = fleet.call(INTROSPECTABLE, "Introspect", path=path)
        part = xml.split(f'<interface name="{NAME}.{interface}">')[1].split("</interface>")[0]
        members = [line.split('"')[1] for line in part.splitlines() if "<method " in line]
        assert members
        for member in members:
            # Arguments that no method takes: what it says to that is its own.
            try:
                fleet.call(interface, member, dbus.Byte(1), dbus.Byte(2), path=path)
            except dbus.DBusException as e:
                assert e.get_dbus_name() == "org.freedesktop.DBus.Error.InvalidArgs", member
            else:
                raise AssertionError(member)


def test_the_log_control_is_roots(fleet):
    grant(fleet, "admin", "user", "daemon")
    admin = fleet.person("daemon")
    control = {"path": "/org/freedesktop/LogControl1", "interface": PROPERTIES}
    assert admin.error("Get", "ss", "org.freedesktop.LogControl1", "LogLevel", **control) == "NotAuthorized"
    assert fleet.call(PROPERTIES, "Get", "org.freedesktop.LogControl1", "LogLevel",
                      path="/org/freedesktop/LogControl1") == "debug"


def test_a_secret_is_handed_over_and_on_record(fleet):
    grant(fleet, "admin", "user", "daemon")
    admin, viewer = fleet.person("daemon"), fleet.person("bin")
    grant(fleet, "viewer", "user", "bin")
    names = [s[0] for s in admin.instance("alpha", "ListSecrets")["value"]]
    assert names
    secret = admin.instance("alpha", "RevealSecret", "sa{sv}", names[0], {})["value"]
    assert len(secret) >= 16
    assert admin.instance("alpha", "RevealSecret", "sa{sv}", "none", {})["error"] == f"{NAME}.Error.NoSuchSecret"
    fleet.polkit("Answer", "reveal-secret", "no")
    assert viewer.instance("alpha", "RevealSecret", "sa{sv}", names[0], {})["error"] == f"{NAME}.Error.NotAuthorized"

    entries = fleet.manager("QueryAudit", dbus.Dictionary({"action": "SECRET_REVEAL"}, signature="sv"), dbus.UInt64(10))
    assert [(str(e["Outcome"]), str(e["User"]), str(e["Instance"])) for e in entries] == [
        ("denied", "bin", "alpha"), ("succeeded", "daemon", "alpha")]
    assert secret not in str(entries)


def test_what_is_denied_is_on_record_and_a_flood_of_it_counted(fleet):
    somebody = fleet.person("daemon")
    for _ in range(60):
        assert somebody.instance("alpha", "Stop", "asa{sv}", [], {})["error"] == f"{NAME}.Error.NotAuthorized"
    query = dbus.Dictionary({"user": "daemon", "outcome": "denied"}, signature="sv")
    entries = fleet.manager("QueryAudit", query, dbus.UInt64(100))
    assert 20 <= len(entries) < 40
    assert {str(e["Action"]) for e in entries} == {"INSTANCE_STOP"} and {str(e["Instance"]) for e in entries} == {"alpha"}


def test_the_record_verifies(fleet):
    grant(fleet, "viewer", "user", "daemon")
    verdict = fleet.manager("VerifyAudit")
    assert verdict["Fault"] == "none" and int(verdict["Verified"]) >= 3
    actions = [str(e["Action"]) for e in fleet.manager("QueryAudit", dbus.Dictionary({}, signature="sv"), dbus.UInt64(10))]
    assert actions == ["USER_CREATE", "INSTANCE_CREATE", "INSTANCE_CREATE"]
