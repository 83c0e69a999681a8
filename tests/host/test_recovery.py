# SPDX-License-Identifier: LGPL-2.1-or-later
"""What brings instances back: after a restart, a crash or a hang of Docker, after a reboot and a power cut, and when somebody
stopped, paused or removed containers behind ccpd's back. And starting and stopping single services."""

import json
import re
import time

import pytest

from fleet import ROOT, answers, get, put_blueprints, query
from instances import containers
from workers import holding

# What goes away is missed. After a power cut Docker tries to start what ran, and systemd says that it does not let it.
pytestmark = pytest.mark.allow_journal(
    r'PostgreSQL is not available', r'Docker Engine', r'Failed to read the records', r'After the start of .* are healthy; not: ',
    r'ccp.*\.slice', r'The job failed: ', r'Turning back: ', r'Job \d+ .*failed', r'ccp-watch\.service: (Main process|Failed)',
    r"did not come back", r'ccpd\.service: (Main process exited|Failed with result)', r'Cannot stop (all|the) instances')

BLUEPRINT = {
    'blueprint.yaml': '''
name: staged
title: Staged
version: "1.0"
files:
  - { template: docker-compose.yml.hbs, target: docker-compose.yml, format: yaml }
services:
  db: { stage: infrastructure, timeout: 60s }
  migrate: { kind: oneshot, stage: application, timeout: 60s }
  app: { stage: application, timeout: 60s }
  extra: { stage: rest, timeout: 60s }
''',
    # It takes a moment to become healthy, and does not at all while there is a file 'broken'. It is looked at rarely once it is:
    # an Engine that is killed in the middle of a check loses track of the container for good (moby #48912).
    'docker-compose.yml.hbs': '''
services:
  db:
    image: busybox:1.37
    init: true
    command: [sh, -c, "test ! -e /data/broken || exit 3; sleep 1; touch /tmp/ready; exec sleep infinity"]
    healthcheck: { test: [CMD, test, -e, /tmp/ready, -a, "!", -e, /tmp/sick], interval: 10m, start_interval: 1s, retries: 1,
                   start_period: 20s }
    volumes: ["data:/data"]
  migrate:
    image: busybox:1.37
    command: [sh, -c, "date >>/data/migrations"]
    volumes: ["data:/data"]
  app:
    image: busybox:1.37
    init: true
    command: [sleep, infinity]
  extra:
    image: busybox:1.37
    init: true
    command: [sleep, infinity]
volumes:
  data: {}
''',
}
# The same, looked at often.
WATCHED = BLUEPRINT | {file: text.replace('staged', 'watched').replace('interval: 10m', 'interval: 1s')
                       for file, text in BLUEPRINT.items()}
SLUGS = [f'i{n}' for n in range(5)]


@pytest.fixture(scope='module', autouse=True)
def fleet(server):
    put_blueprints(server, staged=BLUEPRINT, watched=WATCHED)
    # These tests stop and start it more often than PID 1 would put up with.
    server.write('/etc/systemd/system/docker.service.d/limit.conf', '[Unit]\nStartLimitIntervalSec=0\n')
    server.sh('systemctl daemon-reload')
    for slug in [*SLUGS, 'resting']:
        server.ccpctl('create', slug, '--blueprint', 'staged', '--domain', f'{slug}.example.org', '--quiet')
    server.ccpctl('stop', 'resting', '--quiet')


@pytest.fixture(autouse=True)
def all_well(server, fleet):
    """Each test begins with a fleet that runs."""
    server.sh('systemctl start postgresql docker.socket docker ccpd')
    server.wait(lambda: answers(server) and get(server, ROOT, 'Manager', 'EngineState') == 'available', what='Docker')
    server.wait(lambda: not query(server, 'SELECT 1 FROM jobs WHERE finished_at IS NULL'), 120, 'the end of all jobs')
    for slug in SLUGS:
        server.ccpctl('set', slug, 'repair=default')
        if query(server, f"SELECT 1 FROM instances WHERE slug = '{slug}' AND (state <> 'running' OR stopped_services <> '{{}}')"):
            server.ccpctl('start', slug, '--quiet')
    server.wait(lambda: healthy(server) == set(SLUGS), what='the health of all')
    yield


def healthy(server):
    return {i['slug'] for i in server.json('list') if i['health'] == 'healthy'}


def recovery(server):
    """The summary: the row, and what the bus says."""
    row = json.loads(query(server, 'SELECT row_to_json(r) FROM recoveries r ORDER BY id DESC LIMIT 1'))
    return row, {key: value['data'] for key, value in get(server, ROOT, 'Manager', 'Recovery').items()}


def last_recovery(server):
    return int(query(server, 'SELECT coalesce(max(id), 0) FROM recoveries') or 0)


def wait_recovered(server, after, timeout=300):
    server.wait(lambda: answers(server), what='ccpd')
    server.wait(lambda: query(server, f'SELECT 1 FROM recoveries WHERE id > {after} AND ended_at IS NOT NULL AND total > 0'), timeout,
                'the end of the recovery')
    # What ccpd says of it follows the record.
    ended = query(server, 'SELECT (extract(epoch FROM ended_at) * 1000000)::bigint FROM recoveries ORDER BY id DESC LIMIT 1')
    server.wait(lambda: str(recovery(server)[1].get('EndedAt')) == ended, what='the news of it')
    return recovery(server)


def own_jobs(server, reason):
    """When the last jobs that ccpd made by itself ran, by instance."""
    rows = query(server, "SELECT json_agg(json_build_object('slug', slug, 'begin', extract(epoch FROM started_at), 'end', "
                 f"extract(epoch FROM finished_at), 'state', state) ORDER BY id) FROM jobs WHERE spec->>'reason' = '{reason}' AND "
                 'queued_at > (SELECT max(begun_at) FROM recoveries)')
    return json.loads(rows or '[]') or []


def most_at_once(jobs):
    return max(sum(a['begin'] <= b['begin'] < a['end'] for a in jobs) for b in jobs)


def started(server, slug):
    """When the containers of an instance were started, by service."""
    return {name: c['State']['StartedAt'] for name, c in containers(server, slug).items()}


def health_of(server, slug, service):
    return next(s['health'] for s in server.json('show', slug)['services'] if s['service'] == service)


def drift(server, slug):
    return [(d['kind'], d['subject']) for d in server.json('show', slug)['drift']]


def assert_brought_back(server, after, reason, since, cursor=None):
    """All came back, in their stages, two at a time; and it is on record everywhere."""
    row, shown = wait_recovered(server, after)
    assert (row['reason'], row['total'], row['healthy'], row['failed']) == (reason, len(SLUGS), len(SLUGS), []), row
    assert (shown['Reason'], shown['Total'], shown['Healthy'], shown['Pending'], shown['Failed']) == (
        reason, len(SLUGS), len(SLUGS), 0, [])
    jobs = own_jobs(server, reason)
    assert sorted(job['slug'] for job in jobs) == SLUGS and {job['state'] for job in jobs} == {'succeeded'}
    assert most_at_once(jobs) == 2, jobs
    for slug in SLUGS:
        times = started(server, slug)
        assert since < times['db'] < times['app'] < times['extra'], times
        # The first stage was healthy, which takes a second, before the second one began.
        assert seconds(times['app']) - seconds(times['db']) >= 1, times
        # Its work is done for this revision.
        assert times['migrate'] < since
    assert all(c['State']['Status'] == 'exited' for c in containers(server, 'resting').values())
    said = [e for e in server.journal(since=cursor, unit='ccpd') if 'CCP_HEALTHY' in e]
    assert said[-1]['CCP_HEALTHY'] == said[-1]['CCP_TOTAL'] == str(len(SLUGS)) and said[-1]['CCP_REASON'] == reason
    assert f'{len(SLUGS)} of {len(SLUGS)} instances are healthy' in said[-1]['MESSAGE']
    assert 'brought back' in server.sh(f'journalctl --dump-catalog {said[-1]["MESSAGE_ID"]}')
    entry = server.json('audit', '--action', 'FLEET_RECOVER', '--lines', '1')[0]
    assert (entry['user'], entry['outcome']) == ('ccpd', 'succeeded')
    entry = server.json('audit', '--action', 'INSTANCE_START', '--lines', '1')[0]
    assert entry['user'] == 'ccpd'


def seconds(stamp):
    whole, _, fraction = stamp.rstrip('Z').partition('.')
    return time.mktime(time.strptime(whole, '%Y-%m-%dT%H:%M:%S')) + float(f'0.{fraction[:6] or 0}')


def now(server):
    return server.sh('date -u +%Y-%m-%dT%H:%M:%S.%NZ')


# --- Docker ---


def test_a_restart_of_docker(server):
    after, since, cursor = last_recovery(server), now(server), server.cursor()
    # Right after it, Docker itself has started nothing. ccpd begins with the first ones at once: it is asked right there.
    assert server.sh('systemctl restart docker; '
                     'for slug in i3 i4; do docker ps --quiet --filter label=ccp.instance=$slug; done') == ''
    assert_brought_back(server, after, 'engine', since, cursor)


def test_a_docker_that_is_killed(server):
    after, since, cursor = last_recovery(server), now(server), server.cursor()
    server.sh('systemctl kill -s KILL docker')
    assert_brought_back(server, after, 'engine', since, cursor)


def test_jobs_of_people_do_not_wait_meanwhile(server):
    after = last_recovery(server)
    server.ccpctl('settings', 'set', 'job_concurrency=1')
    server.sh('systemctl restart docker')
    server.wait(lambda: query(server, f'SELECT 1 FROM recoveries WHERE id > {after}'), what='the recovery')
    # One of its jobs goes on for as long as that of the person, however long this takes.
    own = server.wait(lambda: query(server, "SELECT max(id) FROM jobs WHERE spec ? 'reason' AND finished_at IS NULL"),
                      what='a job of it')
    with holding(server, f'job_steps WHERE job = {own} ORDER BY number DESC LIMIT 1'):
        server.ccpctl('start', 'resting', '--quiet')
        active = query(server, f'SELECT count(*) FROM recoveries WHERE id > {after} AND ended_at IS NULL')
        assert active == '1', 'it was too fast to tell'
    server.ccpctl('stop', 'resting', '--quiet')
    server.ccpctl('settings', 'set', 'job_concurrency=')
    wait_recovered(server, after)


def test_a_service_that_was_stopped_on_purpose_stays_so(server):
    server.ccpctl('stop', 'i0', 'extra', '--quiet')
    after = last_recovery(server)
    server.sh('systemctl restart docker')
    row, _ = wait_recovered(server, after)
    assert row['healthy'] == len(SLUGS)
    states = {name: c['State']['Status'] for name, c in containers(server, 'i0').items()}
    assert states == {'db': 'running', 'app': 'running', 'migrate': 'exited', 'extra': 'exited'}
    assert drift(server, 'i0') == []


def test_a_docker_that_hangs_is_found_out(server):
    after, times = last_recovery(server), started(server, 'i0')
    server.sh('systemctl kill -s STOP docker')
    try:
        server.wait(lambda: get(server, ROOT, 'Manager', 'EngineState') == 'unavailable', 110, 'the notice')
        assert server.json('show', 'i0')['health'] == 'unknown'
        assert server.ccpctl('stop', 'i0', check=False).returncode == 5
    finally:
        server.sh('systemctl kill -s CONT docker')
    server.wait(lambda: healthy(server) == set(SLUGS), what='the health of all')
    # It is the same one, and nothing had to be brought back.
    assert last_recovery(server) == after and started(server, 'i0') == times


def test_one_that_does_not_come_back_is_told_and_tried_again(server):
    server.sh('docker exec i1_ccp-db-1 touch /data/broken')
    after = last_recovery(server)
    server.sh('systemctl restart docker')
    row, shown = wait_recovered(server, after)
    assert (row['total'], row['healthy'], row['failed']) == (len(SLUGS), len(SLUGS) - 1, ['i1'])
    assert shown['Failed'] == ['i1']

    def waits():
        instance = server.json('show', 'i1')
        return instance['state'] == 'failed' and instance['recovery']['attempts'] >= 1 and instance['recovery']['next'] > 0

    # The second attempt begins a minute after the first one, and may be under way by now.
    server.wait(waits, what='the time until the next attempt')
    server.wait(lambda: re.search(r'Recovery: started \d times? by ccpd after the start of Docker; again at',
                                  ' '.join(server.ccpctl('status', 'i1').stdout.split())), what='the status between two attempts')
    assert server.json('audit', '--action', 'FLEET_RECOVER', '--lines', '1')[0]['outcome'] == 'failed'
    # It lost nothing, and is back with the next attempt that finds it mended, which begins now rather than in some minutes.
    server.sh('docker run --rm --volumes-from i1_ccp-db-1 busybox:1.37 rm /data/broken')
    query(server, "UPDATE instances SET recovery_at = recovery_at - interval '1 hour' WHERE slug = 'i1'")
    server.wait(lambda: server.json('show', 'i1')['state'] == 'running', 120, 'the second attempt')
    server.wait(lambda: healthy(server) == set(SLUGS), what='the health of all')
    assert server.sh('docker exec i1_ccp-db-1 cat /data/migrations | wc -l') == '1'
    assert server.json('show', 'i1')['recovery']['attempts'] == 0


def test_a_restart_of_ccpd_in_the_middle(server):
    after = last_recovery(server)
    server.sh('systemctl restart docker')
    server.wait(lambda: query(server, f'SELECT 1 FROM jobs j, recoveries r WHERE r.id > {after} AND j.queued_at > r.begun_at '
                              "AND j.spec ? 'reason' AND j.state = 'succeeded'"), 240, 'the first to be back')
    server.sh('systemctl kill -s KILL ccpd')
    row, _ = wait_recovered(server, after)
    assert row['healthy'] == len(SLUGS) and last_recovery(server) == row['id'] == after + 1
    assert sorted(job['slug'] for job in own_jobs(server, 'engine')) == SLUGS


# --- the server ---


@pytest.mark.parametrize('hard', [False, True], ids=['in-order', 'power-cut'])
def test_a_reboot(server, hard):
    after, since = last_recovery(server), now(server)
    server.reboot(hard=hard)
    assert_brought_back(server, after, 'boot', since)
    # What was stopped in order Docker does not even try to start.
    tried = 'Assertion failed for ccp-' in server.sh('journalctl --boot --no-pager _PID=1')
    assert tried == hard


def test_a_boot_without_records(server):
    after = last_recovery(server)
    server.sh('systemctl mask postgresql.service postgresql@.service')
    server.reboot()
    server.wait(lambda: get(server, ROOT, 'Manager', 'EngineState') == 'available' or
                get(server, ROOT, 'Manager', 'StoreState') == 'unavailable', 60, 'ccpd')
    time.sleep(5)
    assert server.sh('docker ps --quiet') == ''
    server.sh('systemctl unmask postgresql.service postgresql@.service; systemctl start postgresql')
    row, _ = wait_recovered(server, after)
    assert (row['reason'], row['healthy']) == ('boot', len(SLUGS))


def test_an_upgrade_of_the_package_stops_nothing(server):
    times = {slug: started(server, slug) for slug in SLUGS}
    after = last_recovery(server)
    server.sh('cd /root/debs && dpkg --install --force-confold ./*.deb >&2', timeout=300)
    server.wait(lambda: answers(server), what='ccpd')
    server.wait(lambda: healthy(server) == set(SLUGS), what='the health of all')
    assert {slug: started(server, slug) for slug in SLUGS} == times and last_recovery(server) == after
    server.sh('systemctl restart ccp-gate')
    assert {slug: started(server, slug) for slug in SLUGS} == times and server.exists('/run/ccp-gate/open')


# --- what containers do, live ---


def test_a_container_that_crashes_is_started_again_by_docker(server):
    server.sh('kill -9 $(docker inspect -f "{{.State.Pid}}" i2_ccp-app-1)')
    server.wait(lambda: next(s for s in server.json('show', 'i2')['services'] if s['service'] == 'app')['restarts'] == 1,
                what='the restart')
    server.wait(lambda: healthy(server) == set(SLUGS), what='the health')
    assert drift(server, 'i2') == []


def test_an_unhealthy_container_is_seen(server):
    server.ccpctl('create', 'watched', '--blueprint', 'watched', '--domain', 'watched.example.org', '--quiet')
    server.sh('docker exec watched_ccp-db-1 touch /tmp/sick')
    server.wait(lambda: health_of(server, 'watched', 'db') == 'unhealthy', what='the health')
    assert server.json('show', 'watched')['health'] == 'degraded' and drift(server, 'watched') == []
    server.sh('docker exec watched_ccp-db-1 rm /tmp/sick')
    server.wait(lambda: server.json('show', 'watched')['health'] == 'healthy', what='the health')
    server.ccpctl('delete', 'watched', '--yes', '--quiet')


def test_a_watcher_that_is_killed(server):
    server.sh('systemctl kill -s KILL ccp-watch; docker pause i2_ccp-app-1 >&2')
    server.wait(lambda: drift(server, 'i2') == [('paused', 'app')], what='the drift')
    server.sh('docker unpause i2_ccp-app-1 >&2')
    server.wait(lambda: drift(server, 'i2') == [], what='its end')


# --- drift ---


@pytest.mark.parametrize('command, kind, sentence', [
    ('docker stop -t 1 i3_ccp-app-1', 'stopped', "the container of 'app' was stopped"),
    ('docker kill i3_ccp-app-1', 'stopped', "the container of 'app' was stopped"),
    ('docker pause i3_ccp-app-1', 'paused', "the container of 'app' was paused"),
    ('docker rm -f i3_ccp-app-1', 'removed', "the container of 'app' was removed"),
])
def test_what_is_done_to_a_container_is_shown_and_put_right(server, command, kind, sentence):
    server.sh(f'{command} >&2')
    server.wait(lambda: drift(server, 'i3') == [(kind, 'app')], what='the drift')
    shown = server.ccpctl('status', 'i3').stdout
    assert sentence in shown and 'ccpctl start i3' in shown
    # Nothing is done about it unless somebody says so.
    assert server.json('show', 'i3')['state'] == 'running'
    assert query(server, "SELECT count(*) FROM jobs WHERE slug = 'i3' AND spec->>'reason' = 'drift'") == '0'
    server.ccpctl('start', 'i3', '--quiet')
    server.wait(lambda: drift(server, 'i3') == [] and server.json('show', 'i3')['health'] == 'healthy', what='its end')


def test_a_container_of_another_image_and_one_too_many(server):
    labels = server.sh("docker inspect i3_ccp-app-1 --format '{{range $k, $v := .Config.Labels}}{{printf \"--label=%s=%s\\n\" $k $v}}"
                       "{{end}}'").splitlines()
    server.sh('docker commit i3_ccp-app-1 other:1 >&2; docker rm -f i3_ccp-app-1 >&2')
    server.run(['docker', 'run', '--detach', '--name', 'i3_ccp-app-1', *labels, 'other:1'])
    server.wait(lambda: drift(server, 'i3') == [('image', 'app')], what='the drift')
    assert 'is of another image' in server.ccpctl('status', 'i3').stdout
    extra = [label.replace('compose.service=app', 'compose.service=miner') for label in labels]
    server.run(['docker', 'run', '--detach', '--name', 'miner', *extra, 'busybox:1.37', 'sleep', 'infinity'])
    server.wait(lambda: drift(server, 'i3') == [('image', 'app'), ('extra', 'miner')], what='the drift')
    server.sh('docker rm -f miner i3_ccp-app-1 >&2')
    server.ccpctl('start', 'i3', '--quiet')
    server.wait(lambda: drift(server, 'i3') == [], what='its end')


def test_drift_is_repaired_where_somebody_wants_it(server):
    def is_well():
        shown = server.json('show', 'i4')
        return (shown['drift'], shown['health'], shown['job']) == ([], 'healthy', '/')

    server.ccpctl('set', 'i4', 'repair=on')
    for command in ('docker stop -t 1 i4_ccp-app-1', 'docker pause i4_ccp-app-1'):
        began = time.monotonic()
        server.sh(f'{command} >&2')
        server.wait(lambda: drift(server, 'i4') != [], what='the drift')
        query(server, "UPDATE instances SET recovery_at = recovery_at - interval '10 minutes' WHERE slug = 'i4' AND "
              'recovery_attempts > 0')
        server.wait(is_well, what='the repair')
        # An administrator may be at it: not at once.
        assert time.monotonic() - began > 8
    jobs = server.json('job', 'list', '--instance', 'i4')
    assert [job['reason'] for job in jobs[:2]] == ['drift', 'drift'] and jobs[0]['started_by'] == 'ccpd'
    entry = server.json('audit', '--instance', 'i4', '--action', 'INSTANCE_UPDATE', '--lines', '1')[0]
    assert entry['user'] == 'root' and entry['details'] == {'repair': 'on'}


# --- single services ---


def test_services_are_started_and_stopped_one_by_one(server):
    times = started(server, 'i0')
    assert 'i0: app extra has stopped' in server.ccpctl('stop', 'i0', 'app', 'extra').stdout
    shown = server.json('show', 'i0')
    assert (shown['state'], shown['health'], shown['stopped_services'], shown['drift']) == (
        'running', 'healthy', ['app', 'extra'], [])
    assert started(server, 'i0')['db'] == times['db']
    # Whatever runs is restarted, the others stay.
    server.ccpctl('restart', 'i0', '--quiet')
    states = {name: c['State']['Status'] for name, c in containers(server, 'i0').items()}
    assert states == {'db': 'running', 'app': 'exited', 'migrate': 'exited', 'extra': 'exited'}
    server.ccpctl('start', 'i0', 'app', '--quiet')
    assert server.json('show', 'i0')['stopped_services'] == ['extra']
    server.ccpctl('start', 'i0', '--quiet')
    assert server.json('show', 'i0')['stopped_services'] == []
    server.wait(lambda: server.json('show', 'i0')['health'] == 'healthy', what='the health')
    result = server.ccpctl('stop', 'i0', 'nonsense', check=False)
    assert result.returncode == 2 and 'nonsense' in result.stderr
    result = server.ccpctl('start', 'resting', 'app', check=False)
    assert result.returncode == 1 and 'ccpctl start resting' in result.stderr
