# SPDX-License-Identifier: LGPL-2.1-or-later
"""Scrubs: backups that were not read for long are read again by a timer, and damage shows before they are needed."""

import pytest

from instances import settled
from test_audit import psql
from test_backup_life import backups, expected_files, files, make, path

SLUG = 'oslo'
UNIT = 'ccp-scrub.service'
FOUND = pytest.mark.allow_journal(r'is damaged: ')
UNREAD = pytest.mark.allow_journal(r'cannot be read: ', r'could not be read; ', r'status=3', r"Failed with result 'exit-code'", r'Failed to start ')
DROP_IN = '/run/systemd/system/ccp-scrub.timer.d/test.conf'


@pytest.fixture(scope='module')
def instance(server):
    # PID 1 has a limit for those who start a unit as often as this.
    server.write('/run/systemd/system/ccp-scrub.service.d/test.conf', '[Unit]\nStartLimitIntervalSec=0\n')
    server.sh('systemctl daemon-reload')
    server.ccpctl('create', SLUG, '--blueprint', 'hello', '--domain', f'{SLUG}.example.org')
    return settled(server, SLUG)


def row(server, backup):
    [found] = [row for row in server.json('backup', 'list') if row['id'] == backup['id']]
    return found


def age(server, *rows, days=15):
    """As if they had been read so long ago."""
    for backup in rows:
        psql(server, f"UPDATE backups SET read_at = now() - interval '{days} days' WHERE id = {backup['id']}")


def flip(server, backup, at=1500):
    """Changes one byte of its file, whatever it is."""
    server.sh(f'byte=$(od -An -tu1 -j{at} -N1 {path(backup)}); printf "\\\\$(printf %o $((byte ^ 1)))" '
              f'| dd of={path(backup)} bs=1 seek={at} conv=notrunc status=none')


def scrub(server):
    """What it says at its end."""
    since = server.cursor()
    server.sh(f'systemctl start {UNIT}')
    return said(server, since)


def said(server, since):
    [last] = [line['MESSAGE'] for line in server.journal('SYSLOG_IDENTIFIER=ccp-scrub', since=since)
              if line['MESSAGE'].startswith(('No backup', 'Backups are not', 'Read '))]
    return last


def firing(server):
    return {alert['rule'] for alert in server.json('alert', 'list')}


def test_what_was_read_lately_is_left_alone(server, instance):
    assert server.sh('systemctl is-enabled ccp-scrub.timer; systemctl is-active ccp-scrub.timer') == 'enabled\nactive'
    backup = make(server)
    assert backup['read_at'] == backup['verified_at'] > 0
    assert scrub(server) == 'No backup is to be read again yet.'
    assert row(server, backup)['read_at'] == backup['read_at']


def test_what_was_not_read_for_long_is_read_again(server, instance):
    backup = backups(server)[0]
    age(server, backup)
    jobs = len(server.json('job', 'list'))
    assert scrub(server).startswith('Read 1 of 1 backups again, ')
    again = row(server, backup)
    assert again['read_at'] > backup['read_at'] and again['verified_at'] == backup['verified_at']
    assert again['state'] == 'verified' and 'Read: ' in server.ccpctl('backup', 'show', backup['id']).stdout
    # Nobody had to wait for it.
    assert len(server.json('job', 'list')) == jobs
    assert scrub(server) == 'No backup is to be read again yet.'


@FOUND
def test_one_flipped_bit_is_found_and_told(server, instance):
    torn, whole = make(server), make(server)
    flip(server, torn, torn['size'] // 2)
    age(server, torn, whole)
    assert scrub(server).endswith(': 1 of them is damaged.')
    assert [row(server, backup)['state'] for backup in (torn, whole)] == ['damaged', 'verified']
    assert 'damaged at byte' in server.ccpctl('backup', 'show', torn['id']).stdout
    server.wait(lambda: 'backup-damaged' in firing(server), what='the alert')
    # It is not read every day from then on; what heals it is a verification.
    assert scrub(server) == 'No backup is to be read again yet.'
    flip(server, torn, torn['size'] // 2)
    server.ccpctl('backup', 'verify', torn['id'])
    assert row(server, torn)['state'] == 'verified'
    server.wait(lambda: 'backup-damaged' not in firing(server), what='its end')


@FOUND
def test_a_file_that_is_cut_gone_or_another_one_is_found(server, instance):
    cut, gone, other, good = (make(server) for _ in range(4))
    server.sh(f'truncate -s -1 {path(cut)}; rm {path(gone)}; cp -p {path(good)} {path(other)}')
    age(server, cut, gone, other)
    assert scrub(server).endswith(': 3 of them are damaged.')
    assert 'longer or shorter' in row(server, cut)['error'] or 'cut off' in row(server, cut)['error']
    assert 'is gone' in row(server, gone)['error'] and 'Another file' in row(server, other)['error']
    # Retention keeps them as long as whole ones: of four the last three. They take the place of none.
    server.ccpctl('backup', 'prune', SLUG, '--yes')
    kept = {backup['id']: backup['state'] for backup in backups(server)}
    assert cut['id'] not in kept and kept[good['id']] == 'verified'
    assert kept[gone['id']] == kept[other['id']] == 'damaged' and list(kept.values()).count('verified') == 3
    for backup in (gone, other):
        server.ccpctl('backup', 'delete', backup['id'], '--yes')
    assert files(server) == expected_files(server)


@UNREAD
@pytest.mark.allow_journal(r'The job failed: ', r'Turning back: ')
def test_a_file_system_that_is_not_mounted_damages_nothing(server, instance):
    backup = backups(server)[0]
    folder = path(backup).rsplit('/', 1)[0]
    before = {row['id']: row['state'] for row in backups(server)}
    age(server, *backups(server))
    server.sh(f'mv {folder} /srv/away')
    try:
        since = server.cursor()
        assert server.run(['systemctl', 'start', UNIT], check=False).returncode == 1
        assert any('is that mounted?' in line['MESSAGE'] for line in server.journal('SYSLOG_IDENTIFIER=ccp-scrub', since=since))
        assert server.sh(f'systemctl show -p ExecMainStatus --value {UNIT}') == '3'
        # Nor does a backup begin where it would lie in the way of the others, a verification take them for lost, or a deletion
        # forget what it leaves there.
        for verb in (['create', SLUG], ['verify', backup['id']], ['delete', backup['id'], '--yes']):
            result = server.ccpctl('backup', *verb, check=False, timeout=120)
            assert result.returncode == 6 and 'is that mounted?' in result.stderr, result
        assert not server.exists(folder)
        assert {row['id']: row['state'] for row in backups(server)} == before
    finally:
        server.sh(f'mv /srv/away {folder}; systemctl reset-failed {UNIT}')
    whole = list(before.values()).count('verified')
    assert scrub(server).startswith(f'Read {whole} of {whole} backups again')


@FOUND
@UNREAD
@pytest.mark.allow_journal(r'in a row are damaged: ')
def test_a_disk_that_gives_nothing_does_not_cost_all_backups(server, instance):
    """As where an empty folder lies in the place of the one that should be mounted."""
    rows = [make(server) for _ in range(10)]
    folder = path(rows[0]).rsplit('/', 1)[0]
    age(server, *rows)
    server.sh(f'mv {folder} /srv/away; install -d -o ccpd -g ccpd -m 700 {folder}')
    try:
        since = server.cursor()
        assert server.run(['systemctl', 'start', UNIT], check=False).returncode == 1
        assert any('8 backups in a row are damaged' in line['MESSAGE'] for line in server.journal('SYSLOG_IDENTIFIER=ccp-scrub', since=since))
    finally:
        server.sh(f'rmdir {folder}; mv /srv/away {folder}; systemctl reset-failed {UNIT}')
    states = {backup['id']: row(server, backup)['state'] for backup in rows}
    assert sorted(states.values()) == 8 * ['damaged'] + 2 * ['verified']
    # All are as they were once somebody has looked.
    server.ccpctl('backup', 'verify', *(number for number, state in states.items() if state == 'damaged'), timeout=120)
    assert {row(server, backup)['state'] for backup in rows} == {'verified'}
    assert scrub(server).startswith('Read 2 of 2 backups again, ')


@FOUND
def test_backups_of_what_is_gone_are_read_too(server, instance):
    server.ccpctl('create', 'other', '--blueprint', 'hello', '--domain', 'other.example.org', '--quiet')
    settled(server, 'other')
    torn, _ = make(server, 'other'), make(server, 'other')
    server.ccpctl('delete', 'other', '--yes')
    flip(server, torn)
    age(server, torn)
    assert scrub(server).endswith(': 1 of them is damaged.')
    alert = server.wait(lambda: [alert for alert in server.json('alert', 'list') if alert['rule'] == 'gone-backup-damaged'], what='the alert')[0]
    assert alert['message'] == f"a backup of an instance that is gone is damaged: 1 of 2, backup {torn['id']}"
    server.ccpctl('backup', 'delete', torn['id'], '--yes')
    server.wait(lambda: 'gone-backup-damaged' not in firing(server), what='its end')


def test_the_setting_says_how_often(server, instance):
    backup = backups(server)[0]
    age(server, backup, days=3)
    server.ccpctl('settings', 'set', 'scrub_days=0')
    assert scrub(server) == 'Backups are not read again: scrub_days is 0.'
    server.ccpctl('settings', 'set', 'scrub_days=2')
    try:
        assert scrub(server).startswith('Read 1 of 1 backups again, ')
    finally:
        server.ccpctl('settings', 'set', 'scrub_days=14')
    assert server.ccpctl('settings', 'set', 'scrub_days=366', check=False).returncode == 2


def test_its_timer_starts_it(server, instance):
    backup = backups(server)[0]
    age(server, backup)
    before = row(server, backup)['read_at']
    server.write(DROP_IN, '[Timer]\nOnCalendar=\nOnCalendar=*:*:0/2\nRandomizedDelaySec=0\nAccuracySec=1us\n')
    server.sh('systemctl daemon-reload; systemctl restart ccp-scrub.timer')
    try:
        server.wait(lambda: row(server, backup)['read_at'] > before, what='the scrub')
    finally:
        server.sh(f'rm -r {DROP_IN.rsplit("/", 1)[0]}; systemctl daemon-reload; systemctl restart ccp-scrub.timer')
        server.wait(lambda: server.sh(f'systemctl show -p ActiveState --value {UNIT}') == 'inactive', what='its end')


def test_who_stops_it_loses_nothing(server, instance):
    """A scrub that is ended while it reads: the unit is no failure, and no backup is called damaged."""
    backup = backups(server)[0]
    age(server, backup)
    # PostgreSQL holds it up where it would put the result on record.
    server.sh("cd /; (runuser -u postgres -- psql -qX -d ccpd -c "
              f"\"BEGIN; SELECT FROM backups WHERE id = {backup['id']} FOR UPDATE; SELECT pg_sleep(600)\" >/dev/null 2>&1 &)")
    server.wait(lambda: psql(server, "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(600)%' AND state = 'active' "
                                     "AND pid <> pg_backend_pid()").stdout.strip() == '1', what='the lock')
    server.sh(f'systemctl start --no-block {UNIT}')
    server.wait(lambda: psql(server, "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE 'UPDATE backups SET read_at%'"
                             ).stdout.strip() == '1', what='the scrub')
    assert f"Reading backup {backup['id']} of '{SLUG}'" in server.sh(f'systemctl show -p StatusText --value {UNIT}')
    server.sh(f'systemctl stop {UNIT}')
    assert server.sh(f'systemctl show -p ActiveState -p Result --value {UNIT}').split() == ['success', 'inactive']
    # What PostgreSQL has of it already it would still do, and it would be true. That one has to be gone before the lock is.
    for query in 'UPDATE backups SET read_at%', '%pg_sleep(600)%':
        psql(server, f"SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity WHERE query LIKE '{query}' "
                     'AND pid <> pg_backend_pid()')
    assert row(server, backup)['state'] == 'verified'
    assert scrub(server).startswith('Read 1 of 1 backups again, ')
