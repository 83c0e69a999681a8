# SPDX-License-Identifier: LGPL-2.1-or-later
"""Schedules: timers of systemd that knock, also for what was missed while the server was off; and what is kept of what they make."""

import json
import time

import pytest

from fleet import query
from instances import settled
from test_backup_life import backups, expected_files, files, make, path
from workers import holding, pausing_at, resume_worker, stands_still

SLUGS = ('oslo', 'bergen', 'tromso', 'molde')
EVERY_FEW_SECONDS = '*:*:0/4'
STAMP = '/var/lib/systemd/timers/stamp-ccp-schedule@daily.timer'


@pytest.fixture(scope='module')
def fleet(server):
    # What waits for nobody in a test.
    server.write('/etc/systemd/system/ccp-schedule@.timer.d/test.conf', '[Timer]\nRandomizedDelaySec=0\nAccuracySec=1us\n')
    server.sh('systemctl daemon-reload')
    for slug in SLUGS:
        server.ccpctl('create', slug, '--blueprint', 'hello', '--domain', f'{slug}.example.org', '--quiet')
    for slug in SLUGS:
        settled(server, slug)


def timers(server):
    return server.sh("systemctl list-units --plain --no-legend 'ccp-schedule@*.timer' | cut -d' ' -f1").split()


def set_schedule(server, expression):
    server.ccpctl('settings', 'set', f'backup_schedule={expression}')


def off(server):
    """No timer, and all is done that one of them asked for."""
    set_schedule(server, 'off')
    server.wait(lambda: not timers(server), what='the end of the timers')
    # One that is just being made is not on the list yet: so twice, in one look at all states.
    for _ in range(2):
        server.wait(lambda: all(job['finished_at'] for job in server.json('job', 'list', '--lines=500')), what='the last jobs')
        time.sleep(0.5)


def firing(server, slug):
    return {row['rule'] for row in server.json('alert', 'list') if row['instance'] == slug}


def test_a_timer_knocks_and_all_are_backed_up(server, fleet):
    set_schedule(server, EVERY_FEW_SECONDS)
    server.wait(lambda: len(timers(server)) == 1, what='the timer')
    assert timers(server) == [server.sh(f"systemd-escape --template=ccp-schedule@.timer '{EVERY_FEW_SECONDS}'")]
    server.wait(lambda: all(len(backups(server, slug)) > 1 for slug in SLUGS), 300, 'two backups of each')
    off(server)
    jobs = [job for job in server.json('job', 'list', '--lines=500') if job['kind'] == 'backup']
    other = [job for job in jobs if (job['state'], job['started_by'], job['reason']) != ('succeeded', 'ccpd', 'schedule')]
    assert len(jobs) >= 2 * len(SLUGS) and other == []
    # Never more than two at a time, and never two of one instance.
    for job in jobs:
        beside = [other for other in jobs if other['started_at'] <= job['started_at'] < other['finished_at']]
        assert len(beside) <= 2 and len({other['instance'] for other in beside}) == len(beside)
    server.wait(lambda: server.json('show', 'oslo')['last_backup_at'] == backups(server, 'oslo')[0]['created_at'], what='its time')
    assert files(server) == expected_files(server)


@pytest.mark.allow_journal(r'ccp-schedule@.*(Failed to parse calendar specification|Timer unit lacks value|bad unit file setting|has a bad unit)')
def test_what_systemd_does_not_take_is_refused_with_its_reason(server, fleet):
    for command in (('settings', 'set'), ('set', 'oslo')):
        result = server.ccpctl(*command, 'backup_schedule=every full moon', check=False)
        assert result.returncode == 2 and 'is no calendar expression that systemd takes' in result.stderr, result.stderr
    assert server.json('settings', 'show')['backup_schedule'] == 'off' and timers(server) == []
    server.ccpctl('set', 'oslo', 'backup_schedule=Mon..Fri *-*-* 02:30:00 Europe/Oslo')
    assert 'Mon..Fri' in server.ccpctl('status', 'oslo').stdout
    server.wait(lambda: len(timers(server)) == 1, what='the timer')
    server.ccpctl('set', 'oslo', 'backup_schedule=default')
    server.wait(lambda: timers(server) == [], what='its end')


def test_what_is_kept_and_what_goes(server, fleet):
    none = [f'backup_keep_{what}=0' for what in ('daily', 'weekly', 'monthly')]
    server.ccpctl('settings', 'set', 'backup_keep_last=2', *none)
    make(server, 'oslo'), make(server, 'oslo')
    rows = server.json('backup', 'prune', 'oslo', '--dry-run')
    kept = [row['id'] for row in rows if row['kept']]
    assert kept == [row['id'] for row in backups(server, 'oslo')[:2]] and len(rows) == len(backups(server, 'oslo')) > 2
    assert files(server) == expected_files(server)
    # The schedule may have had some deleted, too.
    earlier = json.loads(server.ccpctl('audit', '--action=BACKUP_DELETE', '--lines=20', '--json=short').stdout)
    # To be asked there must be somebody.
    assert server.ccpctl('backup', 'prune', 'oslo', check=False).returncode == 2
    server.ccpctl('backup', 'prune', 'oslo', '--yes')
    assert [row['id'] for row in backups(server, 'oslo')] == kept and files(server) == expected_files(server)
    entry = json.loads(server.ccpctl('audit', '--action=BACKUP_DELETE', '--lines=20', '--json=short').stdout)
    assert {row['id'] for row in rows} - set(kept) == {
        e['details']['backup'] for e in entry if 'backup' in e['details'] and e not in earlier}

    # With each backup of the schedule, by itself; each of them on record.
    server.ccpctl('set', 'oslo', 'backup_keep_last=1')
    since = server.cursor()
    set_schedule(server, EVERY_FEW_SECONDS)
    server.wait(lambda: server.journal('CCP_ACTION=BACKUP_DELETE', 'CCP_INSTANCE=oslo', since=since), what='the deletion')
    # It may have had more, and its turn may be later.
    server.wait(lambda: len(backups(server, 'bergen')) == 2, what='the end of the others')
    off(server)
    assert len(backups(server, 'oslo')) == 1 and len(backups(server, 'bergen')) == 2
    assert files(server) == expected_files(server)
    entry = json.loads(server.ccpctl('audit', '--action=BACKUP_DELETE', '--instance=oslo', '--lines=1', '--json=short').stdout)[0]
    assert entry['user'] == 'ccpd' and entry['details']['schedule'] == EVERY_FEW_SECONDS and entry['outcome'] == 'succeeded'


@pytest.mark.allow_journal(r'The job was cancelled')
def test_a_backup_that_is_cancelled_while_old_ones_are_chosen_keeps_them(server, fleet):
    """oslo keeps one."""
    for _ in range(2):
        make(server, 'oslo')
    before = {row['id'] for row in backups(server, 'oslo')}
    with pausing_at(server, 'retention') as paused:
        when = server.sh("date -d '+12 seconds' '+%Y-%m-%d %H:%M:%S'")
        server.ccpctl('set', 'oslo', f'backup_schedule={when}')
        paused()
        [new] = [row for row in backups(server, 'oslo') if row['id'] not in before]
        with holding(server, f"backups WHERE id = {min(before, key=int)}"):
            resume_worker(server)
            stands_still(server)
            # The others are on their way out already.
            assert {row['id'] for row in backups(server, 'oslo')} == {new['id'], min(before, key=int)}
            server.ccpctl('job', 'cancel', new['job'], check=False, timeout=120)
    server.wait(lambda: server.json('job', 'show', new['job'])['state'] == 'cancelled', what='the end of the job')
    assert {row['id'] for row in backups(server, 'oslo')} == before | {new['id']} and files(server) == expected_files(server)
    server.ccpctl('set', 'oslo', 'backup_schedule=default')
    server.ccpctl('backup', 'prune', 'oslo', '--yes')


def test_all_at_once_by_hand(server, fleet):
    server.ccpctl('stop', 'molde', '--quiet')
    before = {slug: len(backups(server, slug)) for slug in SLUGS}
    server.ccpctl('backup', 'create', '--all', '--quiet', timeout=200)
    assert {slug: len(backups(server, slug)) - before[slug] for slug in SLUGS} == {'oslo': 1, 'bergen': 1, 'tromso': 1, 'molde': 0}
    assert server.ccpctl('backup', 'create', check=False).returncode == 2
    assert server.ccpctl('backup', 'create', 'oslo', '--all', check=False).returncode == 2


def test_what_is_stopped_waits_until_it_runs(server, fleet):
    """molde is stopped."""
    before, since = len(backups(server, 'molde')), server.cursor()
    set_schedule(server, EVERY_FEW_SECONDS)
    server.wait(lambda: any('is left out, and made when it runs again' in line['MESSAGE']
                            for line in server.journal(since=since, unit='ccpd.service')), what='the note')
    off(server)
    assert len(backups(server, 'molde')) == before
    # Nothing goes by that knock any more.
    server.ccpctl('start', 'molde', '--quiet')
    settled(server, 'molde')
    assert len(backups(server, 'molde')) == before


@pytest.mark.allow_journal(r'Turning back: ', r'The job failed: ')
def test_what_is_found_damaged_or_fails_raises_an_alert(server, fleet):
    make(server, 'tromso')
    damaged = backups(server, 'tromso')[1]
    server.sh(f'printf X | dd of={path(damaged)} bs=1 seek=1500 conv=notrunc status=none')
    assert server.ccpctl('backup', 'verify', damaged['id'], check=False).returncode == 6
    server.wait(lambda: 'backup-damaged' in firing(server, 'tromso'), what='the alert')
    # Pruning does not hide it: a person sees to it.
    server.ccpctl('backup', 'prune', 'tromso', '--yes')
    assert damaged['id'] in {row['id'] for row in backups(server, 'tromso')}
    server.ccpctl('backup', 'delete', damaged['id'], '--yes')
    server.wait(lambda: 'backup-damaged' not in firing(server, 'tromso'), what='its end')

    server.sh('chmod 0 /var/lib/ccpd/backups; chown root /var/lib/ccpd/backups')
    try:
        assert server.ccpctl('backup', 'create', 'tromso', check=False, timeout=120).returncode == 6
    finally:
        server.sh('chown ccpd: /var/lib/ccpd/backups; chmod 700 /var/lib/ccpd/backups')
    server.wait(lambda: 'backup-failed' in firing(server, 'tromso'), what='the alert')
    make(server, 'tromso')
    server.wait(lambda: 'backup-failed' not in firing(server, 'tromso'), what='its end')


# --- drills ---


def drills(server):
    """Of schedules, oldest first."""
    return sorted((job for job in server.json('job', 'list', '--lines=500') if job['kind'] == 'drill' and job['reason'] == 'schedule'),
                  key=lambda job: int(job['id']))


def nothing_of_drills(server):
    return server.sh('docker ps -aq --filter name=^ccp-; docker network ls -q --filter name=^ccp-job; docker volume ls -q --filter name=^ccp-job; '
                     'docker image ls -q ccp-helper; find /var/lib/ccpd/instances -name "*aside*"') == ''


@pytest.fixture
def two_to_drill(server, fleet):
    """oslo and bergen alone; bergen was drilled a moment ago."""
    others = [slug for slug in SLUGS if slug not in ('oslo', 'bergen')]
    for slug in others:
        server.ccpctl('stop', slug, '--quiet')
    for slug in ('oslo', 'bergen'):
        make(server, slug)
    server.ccpctl('backup', 'drill', backups(server, 'bergen')[0]['id'], timeout=300)
    yield others
    server.ccpctl('settings', 'set', 'drill_schedule=off')
    for slug in others:
        server.ccpctl('start', slug, '--quiet')
        settled(server, slug)


def test_a_timer_knocks_and_all_are_drilled_one_after_the_other(server, two_to_drill):
    """The one first that was not drilled for longer; also if ccpd is started anew in the middle."""
    since = server.cursor()
    before, known = server.json('show', 'bergen')['last_drilled_at'], {job['id'] for job in drills(server)}
    assert before > 0 and server.json('show', 'oslo')['last_drilled_at'] < before
    with pausing_at(server, 'remove') as paused:
        # Once, soon; the year keeps it from coming again.
        when = server.sh("date -d '+12 seconds' '+%Y-%m-%d %H:%M:%S'")
        server.ccpctl('settings', 'set', f'drill_schedule={when}')
        server.wait(lambda: len(timers(server)) == 1, what='the timer')
        paused()
        [first] = [job for job in drills(server) if job['id'] not in known]
        assert (first['instance'], first['started_by']) == ('oslo', 'ccpd')
        server.sh('systemctl restart ccpd')
        server.wait(lambda: server.ccpctl('settings', 'show', check=False).returncode == 0, what='ccpd')
        assert [job['id'] for job in drills(server) if job['id'] not in known] == [first['id']]
    resume_worker(server)
    server.wait(lambda: len(drills(server)) == len(known) + 2 and drills(server)[-1]['state'] == 'succeeded', 300, 'both drills')
    first, second = drills(server)[-2:]
    assert (first['instance'], second['instance']) == ('oslo', 'bergen')
    assert first['state'] == second['state'] == 'succeeded' and first['finished_at'] <= second['queued_at']
    server.wait(lambda: all(server.json('show', slug)['last_drilled_at'] == backups(server, slug)[0]['drilled_at'] for slug in ('oslo', 'bergen')),
                what='the times of the drills')
    assert server.json('show', 'bergen')['last_drilled_at'] > server.json('show', 'oslo')['last_drilled_at'] > before
    assert 'Drilled' in server.ccpctl('status', 'oslo').stdout
    assert nothing_of_drills(server)
    for slug in two_to_drill:
        assert len([line for line in server.journal(since=since, unit='ccpd.service')
                    if line['MESSAGE'] == f"'{slug}' does not run: this round of drills leaves it out."]) == 1
    assert 'drill-failed' not in firing(server, 'oslo') | firing(server, 'bergen')


def test_a_knock_while_ccpd_is_away_is_not_lost(server, fleet):
    set_schedule(server, 'daily')
    server.wait(lambda: timers(server) == ['ccp-schedule@daily.timer'], what='the timer')
    before = backups(server, 'bergen')[0]['id']
    server.sh('systemctl stop ccpd; systemctl start ccp-schedule@daily.service; systemctl start ccpd')
    server.wait(lambda: backups(server, 'bergen')[0]['id'] != before, what='the backup')
    off(server)


def test_what_was_missed_while_the_server_was_off_is_made_up_for(server, fleet):
    # It is due once more at midnight.
    server.wait(lambda: server.sh('date +%H%M') < '2345', 1200, 'midnight', interval=5)
    set_schedule(server, 'daily')
    server.wait(lambda: timers(server) == ['ccp-schedule@daily.timer'], what='the timer')
    server.wait(lambda: server.exists(STAMP), what='the stamp')
    before = {slug: backups(server, slug)[0]['id'] for slug in SLUGS}
    count = "SELECT count(*) FROM jobs WHERE spec ->> 'schedule' = 'daily'"
    jobs = int(query(server, count))
    # It was due yesterday and the day before, and the server was off.
    server.sh(f"touch -d '3 days ago' {STAMP}")
    server.reboot()
    server.wait(lambda: server.ccpctl('settings', 'show', check=False).returncode == 0, what='ccpd')
    server.wait(lambda: all(backups(server, slug)[0]['id'] != before[slug] for slug in SLUGS), 300, 'the backups')
    # Once, whatever was missed.
    off(server)
    assert int(query(server, count)) == jobs + len(SLUGS)
    # And not again by another start.
    set_schedule(server, 'daily')
    server.wait(lambda: timers(server) == ['ccp-schedule@daily.timer'], what='the timer')
    server.reboot()
    server.wait(lambda: server.ccpctl('settings', 'show', check=False).returncode == 0, what='ccpd')
    server.wait(lambda: timers(server) == ['ccp-schedule@daily.timer'], what='the timer')
    for slug in SLUGS:
        settled(server, slug)
    assert int(query(server, count)) == jobs + len(SLUGS)
    off(server)
