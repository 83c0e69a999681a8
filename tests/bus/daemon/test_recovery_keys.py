# SPDX-License-Identifier: LGPL-2.1-or-later
"""Recovery keys: who enrolls one shows that he has it; what is known of them, and what is left when one is forgotten."""

import json
import os
import pathlib
import re
import subprocess
import sys

import dbus
import pytest
from conftest import NAME, ROOT, wait_for
from test_authorization import ASK, PROPERTIES, grant
from test_backup_life import make_backup
from test_daemon import error_of
from watcher import running

PROGRAMS = pathlib.Path(os.environ["CCPD"]).parents[1]
EXTRACT = os.environ.get("CCP_EXTRACT") or str(PROGRAMS / "archive/ccp-backup-extract")
CCPCTL = os.environ.setdefault("CCPCTL", str(PROGRAMS / "ctl/ccpctl"))
TESTS = pathlib.Path(__file__).parents[2]
sys.path[:0] = [str(TESTS / "host/lib"), str(TESTS / "bus/ctl")]
import harness  # noqa: E402
import recovery  # noqa: E402

NONE = dbus.Dictionary({}, "sv")
# As ccpd counts.
OF_USER_MAX, CHALLENGES_MAX, KEYS_MAX = 4, 16, 16


class Key:
    def __init__(self):
        self.secret, public = recovery.make_recovery_key()
        self.public = recovery.text("CCPP1", bytes.fromhex(public))

    def answer(self, challenge, check=True):
        """As somebody does who has the secret half, and nothing of ccpd's."""
        result = subprocess.run([EXTRACT, "answer", "--key=-", challenge], input=self.secret, capture_output=True, text=True, check=False)
        assert result.returncode == 0 or not check, result
        return result.stdout.strip() or result.stderr


def begin(ccpd, key, **options):
    return [str(s) for s in ccpd.manager("EnrollRecoveryKey", key.public, dbus.Dictionary(options, "sv"))]


def confirm(ccpd, challenge, answer):
    return str(ccpd.manager("ConfirmRecoveryKey", challenge, answer, NONE))


def enroll(ccpd, key):
    challenge, text = begin(ccpd, key)
    return confirm(ccpd, challenge, key.answer(text))


def keys(ccpd):
    return [{str(k): str(v) for k, v in row.items()} for row in ccpd.manager("ListRecoveryKeys")]


def ready(ccpd):
    return bool(ccpd.get(ROOT, "Manager", "DisasterReady"))


def entries(ccpd):
    rows = ccpd.postgres.sql("SELECT action, outcome, user_name, details FROM ccpd_audit.entries WHERE action LIKE 'KEY%' ORDER BY seq")
    return [(action, outcome, user, json.loads(details)) for action, outcome, user, details in rows]


def doctor(ccpd):
    return [(verdict, advice) for check, verdict, _, advice in ccpd.manager("Doctor") if check == "recovery-key"]


def test_a_key_is_enrolled_by_who_has_it(ccpd):
    key = Key()
    assert (keys(ccpd), ready(ccpd)) == ([], False)
    assert doctor(ccpd)[0][0] == "warning"
    ccpd.create("alpha")
    (verdict, advice), = doctor(ccpd)
    assert verdict == "failed" and "ccpctl key enroll-recovery" in advice
    name = enroll(ccpd, key)
    (row,) = keys(ccpd)
    assert (row["Id"], row["Public"], row["EnrolledBy"]) == (name, key.public, "root") and int(row["EnrolledAt"]) > 0
    assert ready(ccpd) and doctor(ccpd) == [("ok", "")]
    assert entries(ccpd) == [("KEY_ENROLL", "succeeded", "root", {"key": name, "keys": 1})]
    # What the headers of backups call it.
    assert ccpd.postgres.sql("SELECT id, length(public) FROM recovery_keys") == [[name, "32"]]
    # The same once more changes nothing, and nothing is on record of it.
    assert enroll(ccpd, key) == name
    assert len(keys(ccpd)) == 1 and len(entries(ccpd)) == 1


def test_the_doctor_names_the_instances_whose_newest_backup_no_key_opens(ccpd):
    running(ccpd, "alpha")
    running(ccpd, "beta")
    first = enroll(ccpd, Key())

    def open_with(slug, *keys):
        """A new backup, for these keys."""
        ccpd.postgres.sql(f"UPDATE backups SET recovery_keys = '{json.dumps(keys)}' WHERE id = {make_backup(ccpd, slug)}")
        ccpd.postgres.sql("UPDATE instances SET name = slug || '.'")

    def told():
        ((verdict, message, advice),) = [found[1:] for found in map(list, ccpd.manager("Doctor")) if found[0] == "recovery-key"]
        assert verdict == "ok" or "ccpctl backup create --all" in advice
        return str(verdict), str(message)

    # Of one without any backup other rules tell, and of one that was never read since, nothing is known.
    make_backup(ccpd, "beta")
    open_with("alpha")
    wait_for(lambda: told() == ("failed", "No recovery key opens the newest backup of: alpha."), what="the backup")
    open_with("beta", "0123456789abcdef")
    wait_for(lambda: told() in [("failed", f"No recovery key opens the newest backup of: {slugs}.") for slugs in ("alpha, beta", "beta, alpha")],
             what="the other")
    for slug in ("alpha", "beta"):
        open_with(slug, "0123456789abcdef", first)
    wait_for(lambda: told() == ("ok", "Backups can be opened elsewhere, with 1 recovery key."), what="a key for all")
    # Who has the second one relies on that.
    second = enroll(ccpd, Key())
    open_with("beta", first, second)
    wait_for(lambda: told() == ("warning", f"The recovery key {second} does not open the newest backup of: alpha."), what="the second")
    open_with("alpha", second)
    wait_for(lambda: told() == ("warning", f"The recovery key {first} does not open the newest backup of: alpha."), what="the first")


def test_what_was_told_is_there_after_a_restart(ccpd):
    name = enroll(ccpd, Key())
    ccpd.stop()
    ccpd.start()
    wait_for(lambda: ready(ccpd), what="the records")
    assert [row["Id"] for row in keys(ccpd)] == [name]


def test_reads_go_on_without_postgresql_and_nothing_is_begun(ccpd):
    enroll(ccpd, Key())
    ccpd.postgres.kill()
    try:
        wait_for(lambda: ccpd.get(ROOT, "Manager", "StoreState") == "unavailable", what="the loss")
        assert ready(ccpd) and len(keys(ccpd)) == 1
        assert error_of(ccpd.manager, "EnrollRecoveryKey", Key().public, NONE)[0] == "StoreUnavailable"
    finally:
        ccpd.postgres.start()


def test_a_wrong_answer_ends_the_challenge(ccpd):
    key, other = Key(), Key()
    challenge, text = begin(ccpd, key)
    _, text_of_another = begin(ccpd, key)
    # An answer to another challenge, though with the right key.
    assert error_of(confirm, ccpd, challenge, key.answer(text_of_another))[0] == "KeyMissing"
    assert error_of(confirm, ccpd, challenge, key.answer(text))[0] == "NoSuchChallenge"
    assert "not made for this recovery key" in other.answer(text, check=False)
    assert (keys(ccpd), entries(ccpd)) == ([], [])


def test_a_typing_mistake_does_not(ccpd):
    key = Key()
    challenge, text = begin(ccpd, key)
    answer = key.answer(text)
    for wrong in ("", "nonsense", answer[:-1], answer[:-1] + ("0" if answer[-1] != "0" else "1"), key.public, text):
        assert error_of(confirm, ccpd, challenge, wrong)[0] == "InvalidArgument", wrong
    # Nor does it matter how it is typed.
    assert confirm(ccpd, challenge, f"  {answer.lower().replace('-', ' ')}\n")
    # It was answered.
    assert error_of(confirm, ccpd, challenge, answer)[0] == "NoSuchChallenge"


def test_a_challenge_ends_with_its_time(ccpd):
    key = Key()
    challenge, text = begin(ccpd, key, timeout=dbus.UInt64(1))
    assert error_of(confirm, ccpd, challenge, key.answer(text))[0] == "NoSuchChallenge"
    for timeout in (0, 3600 * 10**6 + 1, 2**64 - 1):
        assert error_of(begin, ccpd, key, timeout=dbus.UInt64(timeout))[0] == "InvalidArgument"
    assert keys(ccpd) == []


def test_a_challenge_is_of_use_to_its_caller_alone(ccpd):
    key = Key()
    challenge, text = begin(ccpd, key)
    answer = key.answer(text)
    grant(ccpd, "admin", "user", "daemon")
    other, same = ccpd.person("daemon"), ccpd.person("root")
    for person in (other, same):
        assert person.error("ConfirmRecoveryKey", "ssa{sv}", challenge, answer, {}) == "NoSuchChallenge"
    assert keys(ccpd) == []
    assert confirm(ccpd, challenge, answer)


def test_too_many_challenges_are_refused_until_their_callers_are_gone(ccpd):
    grant(ccpd, "admin", "user", "daemon")
    key = Key()
    people = [ccpd.person("daemon") for _ in range(2)]
    for n in range(OF_USER_MAX):
        people[n % 2].value("EnrollRecoveryKey", "sa{sv}", key.public, {})
    third = ccpd.person("daemon")
    assert third.error("EnrollRecoveryKey", "sa{sv}", key.public, {}) == "LimitExceeded"
    # Others are not in his way, up to the whole.
    for user in ("bin", "sys", "games"):
        grant(ccpd, "admin", "user", user)
        person = ccpd.person(user)
        for _ in range(OF_USER_MAX):
            person.value("EnrollRecoveryKey", "sa{sv}", key.public, {})
    assert 4 * OF_USER_MAX == CHALLENGES_MAX
    assert error_of(begin, ccpd, key)[0] == "LimitExceeded"
    people[0].leave()
    ccpd.people.remove(people[0])
    wait_for(lambda: "value" in third.call("EnrollRecoveryKey", "sa{sv}", key.public, {}), what="room")


def test_what_is_no_key_is_refused(ccpd):
    key = Key()
    for wrong in ("", "nonsense", key.secret, key.public[:-1], key.public[:-1] + ("0" if key.public[-1] != "0" else "1"), "CCPP1-" + "0" * 100000,
                  # Points of small order: what is sealed for them everybody opens.
                  recovery.text("CCPP1", bytes(32)), recovery.text("CCPP1", b"\1" + bytes(31))):
        assert error_of(ccpd.manager, "EnrollRecoveryKey", wrong, NONE)[0] == "InvalidArgument", wrong[:100]
    assert error_of(begin, ccpd, key, nonsense="x")[0] == "InvalidArgument"
    # What people take for a public key, and is the other half, is on no record.
    assert key.secret not in (ccpd.folder / "ccpd.log").read_text(errors="replace")


def test_there_is_an_end_of_keys(ccpd):
    for _ in range(KEYS_MAX - 1):
        enroll(ccpd, Key())
    late = Key()
    challenge, text = begin(ccpd, late)
    last = Key()
    enroll(ccpd, last)
    # Before somebody writes it down; and where two were at it at once.
    assert error_of(begin, ccpd, Key())[0] == "LimitExceeded"
    assert error_of(confirm, ccpd, challenge, late.answer(text))[0] == "LimitExceeded"
    assert len(keys(ccpd)) == KEYS_MAX
    # One that is there is no further one.
    enroll(ccpd, last)


def forget(ccpd, key, **options):
    ccpd.manager("ForgetRecoveryKey", key, dbus.Dictionary(options, "sv"))


def test_the_last_key_is_forgotten_on_demand_only(ccpd):
    first, second = enroll(ccpd, Key()), enroll(ccpd, Key())
    assert [row["Id"] for row in keys(ccpd)] == [first, second]
    forget(ccpd, first)
    assert [row["Id"] for row in keys(ccpd)] == [second] and ready(ccpd)
    name, message = error_of(forget, ccpd, second)
    assert name == "WrongState" and f"--last {second}" in message
    assert error_of(forget, ccpd, first)[0] == "NoSuchKey"
    assert error_of(forget, ccpd, "x'; DROP TABLE recovery_keys")[0] == "NoSuchKey"
    assert ready(ccpd)
    forget(ccpd, second, last=True)
    assert (keys(ccpd), ready(ccpd)) == ([], False)
    assert entries(ccpd)[2:] == [("KEY_FORGET", "succeeded", "root", {"key": first, "keys": 1}),
                                 ("KEY_FORGET", "succeeded", "root", {"key": second, "keys": 0})]


def test_subscribers_hear_of_it(ccpd):
    grant(ccpd, "viewer", "user", "daemon")
    viewer = ccpd.person("daemon")
    viewer.value("Subscribe")

    def told():
        return [s[2][1]["DisasterReady"] for s in viewer.signals() if s[0] == "PropertiesChanged" and "DisasterReady" in s[2][1]]

    name = enroll(ccpd, Key())
    assert wait_for(told, what="the signal") == [True]
    assert viewer.value("Get", "ss", f"{NAME}.Manager", "DisasterReady", interface=PROPERTIES) is True
    other = enroll(ccpd, Key())
    forget(ccpd, other)
    forget(ccpd, name, last=True)
    assert wait_for(told, what="the signal") == [False]


@pytest.mark.parametrize("role", ["operator", "viewer"])
def test_who_may_not_changes_nothing_and_is_on_record(ccpd, role):
    """That it takes an admin, the shipped rules say: tests/unit/check-polkit.py, tests/host/test_roles.py."""
    name = enroll(ccpd, Key())
    grant(ccpd, role, "user", "daemon")
    ccpd.polkit("Answer", "manage-keys", "no")
    person, key = ccpd.person("daemon"), Key()
    assert person.error("EnrollRecoveryKey", "sa{sv}", key.public, {}) == "NotAuthorized"
    assert person.error("ConfirmRecoveryKey", "ssa{sv}", "0" * 16, "CCPA1", {}) == "NotAuthorized"
    assert person.error("ForgetRecoveryKey", "sa{sv}", name, {"last": True}) == "NotAuthorized"
    assert [row["Id"] for row in person.value("ListRecoveryKeys")] == [name]
    assert [entry[:3] for entry in entries(ccpd)[1:]] == [
        ("KEY_ENROLL", "denied", "daemon"), ("KEY_ENROLL", "denied", "daemon"), ("KEY_FORGET", "denied", "daemon")]
    assert len(keys(ccpd)) == 1


def test_polkit_is_asked_about_the_keys(ccpd):
    grant(ccpd, "admin", "user", "daemon")
    admin, key = ccpd.person("daemon"), Key()
    ccpd.polkit("Questions")
    challenge, text = admin.value("EnrollRecoveryKey", "sa{sv}", key.public, {})
    admin.value("ConfirmRecoveryKey", "ssa{sv}", challenge, key.answer(text), {})
    assert [list(map(str, q))[1:5] for q in ccpd.polkit("Questions")] == [
        [f"{NAME}.manage-keys", "", "admin", "enroll-recovery-key"], [f"{NAME}.manage-keys", "", "admin", "confirm-recovery-key"]]
    assert keys(ccpd)[0]["EnrolledBy"] == "daemon"
    ccpd.polkit("Answer", "manage-keys", "ask")
    assert admin.error("EnrollRecoveryKey", "sa{sv}", key.public, {}) == ASK


def test_answers_and_challenges_are_in_no_log(ccpd):
    key = Key()
    challenge, text = begin(ccpd, key)
    answer = key.answer(text)
    confirm(ccpd, challenge, answer)
    log = (ccpd.folder / "ccpd.log").read_text(errors="replace") + ccpd.postgres.psql("-c", "SELECT * FROM ccpd_audit.entries")
    assert answer not in log and text not in log and key.secret not in log


# --- ccpctl ---


def ccpctl(ccpd, *args, **options):
    return subprocess.run([CCPCTL, "key", *args], env=ccpd.environment, capture_output=True, text=True, check=False, timeout=60,
                          **{"stdin": subprocess.DEVNULL} | options)


def terminal(ccpd, *args):
    return harness.Terminal(("key", *args), ccpd.environment)


def test_ccpctl_shows_a_key_once_and_has_it_typed_back(ccpd):
    t = terminal(ccpd, "enroll-recovery")
    t.expect("CCPR1-")
    t.expect("paste it from where you keep it: ")
    secret = re.search(r"CCPR1(-[0-9A-F]{4}){17}", t.text)[0]
    assert keys(ccpd) == []
    for wrong, said in (("", "begins with CCPR1"), (secret[:-1] + ("0" if secret[-1] != "0" else "1"), "a mistake"), (Key().secret, "another")):
        t.type(wrong + "\n")
        t.expect(said)
        t.expect("paste it from where you keep it: ")
    assert keys(ccpd) == []
    t.type(secret.lower().replace("-", " ") + "\n")
    assert t.wait() == 0 and "is enrolled" in t.text
    # Beside what was typed it was on the screen once.
    assert t.text.count(secret) == 1
    (row,) = keys(ccpd)
    # It is the one whose public half ccpd has.
    result = ccpctl(ccpd, "enroll-recovery", "--recovery-key-file=-", stdin=None, input=secret)
    assert result.returncode == 0 and row["Id"] in result.stdout and len(keys(ccpd)) == 1


@pytest.mark.parametrize("leave", ["\x03", "\x04"], ids=["interrupt", "end of file"])
def test_who_leaves_has_enrolled_nothing(ccpd, leave):
    t = terminal(ccpd, "enroll-recovery")
    t.expect("paste it from where you keep it: ")
    t.type(leave)
    assert t.wait() == 1 and "Nothing was enrolled." in t.text
    assert (keys(ccpd), entries(ccpd)) == ([], [])


def test_a_key_is_not_shown_where_nobody_looks(ccpd):
    result = ccpctl(ccpd, "enroll-recovery")
    assert result.returncode == 2 and "--output=FILE" in result.stderr and "CCPR1" not in result.stdout
    assert ccpctl(ccpd, "enroll-recovery", "--output=/x", "--public=x").returncode == 2


def test_ccpctl_writes_a_key_to_a_new_file(ccpd):
    file = ccpd.folder / "key"
    result = ccpctl(ccpd, "enroll-recovery", f"--output={file}")
    assert result.returncode == 0 and "CCPR1" not in result.stdout, result
    assert file.stat().st_mode & 0o777 == 0o600
    text = file.read_text()
    assert re.fullmatch(r"CCPR1(-[0-9A-F]{4}){17}\n", text) and len(keys(ccpd)) == 1
    # What is there stays, and nothing is enrolled that was not kept.
    assert ccpctl(ccpd, "enroll-recovery", f"--output={file}").returncode == 1
    assert ccpctl(ccpd, "enroll-recovery", "--output=/dev/full").returncode == 1
    assert file.read_text() == text and len(keys(ccpd)) == 1
    # The same key once more, by its file.
    assert ccpctl(ccpd, "enroll-recovery", f"--recovery-key-file={file}").returncode == 0
    assert len(keys(ccpd)) == 1
    for wrong in ("", "nonsense", text[:-2], text.replace("CCPR1", "CCPP1")):
        file.write_text(wrong)
        assert ccpctl(ccpd, "enroll-recovery", f"--recovery-key-file={file}").returncode == 2
    assert ccpctl(ccpd, "enroll-recovery", "--recovery-key-file=/nowhere").returncode == 1


def test_a_key_that_is_elsewhere_stays_there(ccpd):
    key = Key()
    t = terminal(ccpd, "enroll-recovery", f"--public={key.public}")
    t.expect("The answer: ")
    challenge = re.search(r"CCPC1(-[0-9A-F]{4}){37}", t.text.replace("\r\n", ""))[0]
    t.type("CCPA1-0000\n")
    t.expect("That is no answer")
    t.type(key.answer(challenge) + "\n")
    assert t.wait() == 0 and "is enrolled" in t.text
    assert [row["Public"] for row in keys(ccpd)] == [key.public]
    assert ccpctl(ccpd, "enroll-recovery", "--public=CCPP1-0000").returncode == 2


def test_ccpctl_tells_of_keys_and_forgets_them(ccpd):
    result = ccpctl(ccpd, "status")
    assert result.returncode == 0 and "no backup can be opened" in result.stdout and "ccpctl key enroll-recovery" in result.stdout
    status = json.loads(ccpctl(ccpd, "status", "--json=short").stdout)
    assert (status["disaster_ready"], status["recovery_keys"]) == (False, [])
    key = Key()
    name = enroll(ccpd, key)
    status = json.loads(ccpctl(ccpd, "status", "--json=short").stdout)
    (row,) = status["recovery_keys"]
    assert status["disaster_ready"] is True and (row["id"], row["public"], row["enrolled_by"]) == (name, key.public, "root")
    assert json.loads(ccpctl(ccpd, "list", "--json=short").stdout) == [row]
    shown = ccpctl(ccpd, "status").stdout
    assert name in shown and "by root" in shown
    assert key.public in ccpctl(ccpd, "list").stdout
    result = ccpctl(ccpd, "forget", name)
    assert result.returncode == 1 and f"ccpctl key forget --last {name}" in result.stderr
    assert ccpctl(ccpd, "forget", "0123456789abcdef").returncode == 3
    result = ccpctl(ccpd, "forget", "--last", name)
    assert result.returncode == 0 and "still opens" in result.stdout
    assert keys(ccpd) == []
