# SPDX-License-Identifier: LGPL-2.1-or-later
"""Restores of Changemaker Lite, with a real PostgreSQL and real volumes: in place while it serves, undone, killed, spoiled."""

import json
import re

import pytest

from instances import settled
from test_changemaker import put_source, state
from users import add_user, grant
from workers import kill_worker, pausing_at, resume_worker

IMAGES = 'changemaker-lite'
SLUG = 'bergen'
PROJECT = f'{SLUG}_ccp'
DATABASE = f'{PROJECT}-v2-postgres-1'
# An attribute, and an access list: somebody else may read it.
ATTRIBUTES = '''
import os, struct, sys
path = sys.argv[1] + '/noise'
os.setxattr(path, 'user.note', b'yes')
entries = [(1, 6, -1), (2, 4, 4321), (4, 4, -1), (16, 4, -1), (32, 4, -1)]
os.setxattr(path, 'system.posix_acl_access', struct.pack('<I', 2) + b''.join(struct.pack('<HHi', *e) for e in entries))
'''
# All that a volume is: names, kinds, owners, modes, times, links, attributes, contents.
INVENTORY = '''
import hashlib, os, sys
found = []
for root, folders, files in os.walk(sys.argv[1]):
    for name in ['.'] + folders + files:
        path = os.path.join(root, name)
        st = os.lstat(path)
        link = os.readlink(path) if os.path.islink(path) else ''
        attributes = sorted((a, os.getxattr(path, a, follow_symlinks=False).hex()) for a in os.listxattr(path, follow_symlinks=False))
        content = ''
        if os.path.isfile(path) and not link and st.st_size < 1 << 30:
            content = hashlib.sha256(open(path, 'rb').read()).hexdigest()
        size = st.st_size if content or link else 0
        holes = st.st_size > 1 << 30 and st.st_blocks < 100
        links = st.st_nlink if content else 0
        found.append((os.path.relpath(path, sys.argv[1]), st.st_mode, st.st_uid, st.st_gid, size, links, st.st_mtime_ns, link, attributes, content, holes))
print(hashlib.sha256(repr(sorted(found)).encode()).hexdigest())
'''
FAILS = pytest.mark.allow_journal(r'(Turning back|The job failed): ')


@pytest.fixture(scope='module')
def instance(server):
    put_source(server)
    server.ccpctl('create', SLUG, '--blueprint', 'changemaker-lite', '--domain', f'{SLUG}.example.org', '--source', '/srv/campaign',
                  timeout=600)
    sql(server, "CREATE TABLE signatures AS SELECT n, md5(n::text) AS name, E'a\\tb\\\\c\\n' AS odd FROM generate_series(1, 20000) AS n;"
                'ALTER TABLE signatures ADD PRIMARY KEY (n); CREATE SEQUENCE counted; SELECT setval(\'counted\', 4711);'
                'CREATE VIEW few AS SELECT * FROM signatures WHERE n < 10')
    server.sh(f'''cd {volume(server, 'uploads')}
                  mkdir -p deep/er; printf 'odd' >'deep/a
b'; ln -s ../x deep/er/link; ln 'deep/a
b' deep/hard; head -c 3000000 /dev/urandom >noise; truncate -s 5G hole; chown -R 1234:5678 deep; touch -d '1999-12-31 23:59:59.123456789' deep/er''')
    server.run(['python3', '-', volume(server, 'uploads')], input=ATTRIBUTES)
    return settled(server, SLUG)


@pytest.fixture(scope='module')
def backup(server, instance):
    server.ccpctl('backup', 'create', SLUG, '--consistency=paused', timeout=300)
    return {'id': server.json('backup', 'list')[0]['id'], 'data': data(server)}


def sql(server, text):
    return server.run(['docker', 'exec', '-i', DATABASE, 'psql', '-qAtU', 'changemaker', 'changemaker'], input=text).stdout.strip()


def volume(server, key, slug=SLUG):
    """Where the volume lies that the instance uses now."""
    found = json.loads(server.sh(f"docker ps -aq --filter label=ccp.instance={slug} | xargs docker inspect"))
    names = {mount['Name'] for c in found for mount in c['Mounts'] if mount['Type'] == 'volume' and f'_{key}' in mount['Name']}
    assert len(names) == 1, names
    return server.sh(f"docker volume inspect -f '{{{{.Mountpoint}}}}' {names.pop()}")


def data(server, slug=SLUG):
    """The database by its sorted dump, but for where the application counts its starts, and the uploads by all that they are."""
    dump = server.sh(f'docker exec {slug}_ccp-v2-postgres-1 pg_dump --inserts -U changemaker changemaker | grep -v -e restrict -e boots | sort').splitlines()
    inventory = server.run(['python3', '-', volume(server, 'uploads', slug)], input=INVENTORY).stdout.strip()
    return dump, inventory


def differences(server, wanted, slug=SLUG):
    dump, inventory = data(server, slug)
    lines = sorted(set(dump) ^ set(wanted[0]))
    return lines[:20] + ([] if len(dump) == len(wanted[0]) else [f'{len(dump)} lines, not {len(wanted[0])}']) + (
        [] if inventory == wanted[1] else ['the uploads'])


def spoil(server):
    sql(server, "DELETE FROM signatures WHERE n % 2 = 0; INSERT INTO signatures VALUES (-1, 'later', ''); SELECT setval('counted', 9)")
    server.sh(f"cd {volume(server, 'uploads')}; rm noise; echo new >new; chmod 700 deep")


def leftovers(server):
    return server.sh("docker ps -a --filter name=^ccp- --format '{{.Names}}'; docker network ls --filter name=^ccp-job --format '{{.Name}}'; "
                     f'docker image ls -q ccp-helper; ls -A /var/lib/ccpd/instances/{SLUG} | grep aside || true')


def volumes(server):
    return set(server.sh(f"docker volume ls -q --filter label=ccp.instance={SLUG}").split())


def revisions(server):
    return sorted(server.sh(f'ls /var/lib/ccpd/instances/{SLUG}/revisions').split()), server.sh(f'readlink /var/lib/ccpd/instances/{SLUG}/current')


def restore_until(server, backup, step, act, *arguments, verb='restore'):
    """Lets a restore stop before a step, and does something to it there."""
    with pausing_at(server, step) as paused:
        server.ccpctl('backup', verb, backup['id'], *arguments, '--no-wait')
        paused()
        act()


def last_job(server):
    return server.json('job', 'list', '--lines=1')[0]


def test_a_restore_gives_back_what_was_backed_up(server, instance, backup):
    spoil(server)
    spoiled = data(server)
    assert spoiled[0] != backup['data'][0] and spoiled[1] != backup['data'][1]
    before = volumes(server)

    result = server.ccpctl('backup', 'restore', backup['id'], timeout=600)
    assert f'ccpctl restore undo {SLUG}' in result.stderr
    assert differences(server, backup['data']) == []
    assert settled(server, SLUG)['state'] == 'running'
    assert state(server, instance)
    assert leftovers(server) == ''
    # What it had before is there.
    assert before < volumes(server) and len(volumes(server)) == 2 * len(before)
    steps = {step['name']: step for step in server.json('job', 'show', last_job(server)['id'])['steps']}
    assert 'rows' in steps['databases']['detail']
    assert revisions(server) == (['1', '2'], 'revisions/2')
    entry = json.loads(server.ccpctl('audit', '--action=INSTANCE_RESTORE', '--lines=1', '--json=short').stdout)[0]
    assert entry['outcome'] == 'succeeded'

    # Who looks sees it, and until when it can be undone.
    shown = server.json('show', SLUG)
    [kept] = shown['restores']
    assert kept['backup'] == str(backup['id']) and kept['keep_until'] == kept['switched_at'] + 72 * 3600 * 10**6
    assert re.search(rf'Restored: .* from backup {backup["id"]}; kept until .*: ccpctl restore undo {SLUG}\n', server.ccpctl('status', SLUG).stdout)

    # It is the same instance: it is backed up, stopped and started as before.
    server.ccpctl('backup', 'create', SLUG, timeout=300)
    server.ccpctl('stop', SLUG, timeout=120)
    server.ccpctl('start', SLUG, timeout=300)
    assert differences(server, backup['data']) == []

    # And back, twice.
    server.ccpctl('restore', 'undo', SLUG, timeout=600)
    assert differences(server, spoiled) == []
    server.ccpctl('restore', 'undo', SLUG, timeout=600)
    assert differences(server, backup['data']) == []
    assert leftovers(server) == ''

    server.ccpctl('restore', 'discard', SLUG, '--yes', timeout=120)
    assert len(volumes(server)) == len(before)
    assert differences(server, backup['data']) == []
    assert server.json('show', SLUG)['restores'] == [] and 'Restored:' not in server.ccpctl('status', SLUG).stdout
    result = server.ccpctl('restore', 'undo', SLUG, check=False, timeout=120)
    assert result.returncode == 1 and 'Nothing is kept' in result.stderr


test_a_restore_gives_back_what_was_backed_up = FAILS(test_a_restore_gives_back_what_was_backed_up)


def assert_as_before(server, before, state='failed'):
    assert last_job(server)['kind'] == 'restore' and last_job(server)['state'] == state
    assert differences(server, before[0]) == []
    assert (volumes(server), revisions(server)) == before[1:]
    assert leftovers(server) == ''
    assert settled(server, SLUG)['state'] == 'running'


def present(server):
    return data(server), volumes(server), revisions(server)


@FAILS
def test_it_serves_until_it_is_switched_over(server, instance, backup):
    before = present(server)
    started = server.sh(f"docker inspect -f '{{{{.State.StartedAt}}}}' {DATABASE}")

    def serves():
        assert server.sh(f"docker inspect -f '{{{{.State.StartedAt}}}}' {DATABASE}") == started
        assert settled(server, SLUG)['health'] == 'healthy'
        server.ccpctl('job', 'cancel', last_job(server)['id'], '--no-wait')
    restore_until(server, backup, 'switch', serves)
    server.wait(lambda: last_job(server)['state'] == 'cancelled', 120, 'the end')
    assert server.sh(f"docker inspect -f '{{{{.State.StartedAt}}}}' {DATABASE}") == started
    assert_as_before(server, before, 'cancelled')


@pytest.mark.allow_journal(r'ccp-job', r'Main process exited', r'Failed with result')
@pytest.mark.parametrize('step', ['open', 'volumes', 'databases', 'render', 'switch', 'infrastructure', 'application'])
def test_a_killed_restore_goes_on(server, instance, backup, step):
    spoil_again = f"INSERT INTO signatures VALUES (-2, '{step}', '')"
    sql(server, spoil_again)
    restore_until(server, backup, step, lambda: kill_worker(server))
    server.wait(lambda: last_job(server)['state'] in ('succeeded', 'failed'), 300, 'the end')
    assert (last_job(server)['kind'], last_job(server)['state'], last_job(server)['attempt']) == ('restore', 'succeeded', 2)
    assert differences(server, backup['data']) == []
    assert leftovers(server) == ''
    assert settled(server, SLUG)['state'] == 'running'
    server.ccpctl('restore', 'discard', SLUG, '--yes', timeout=120)


@FAILS
@pytest.mark.parametrize('step', ['volumes', 'databases', 'render', 'infrastructure', 'application'])
def test_a_cancelled_restore_leaves_the_instance_as_it_was(server, instance, backup, step):
    before = present(server)

    def cancel():
        server.ccpctl('job', 'cancel', last_job(server)['id'], '--no-wait')
    restore_until(server, backup, step, cancel)
    server.wait(lambda: last_job(server)['state'] == 'cancelled', 300, 'the end')
    assert_as_before(server, before, 'cancelled')


@FAILS
def test_an_application_that_does_not_get_well_gets_its_data_back(server, instance, backup):
    before = present(server)

    def spoil_volume():
        # After the checks, before anybody uses it: the database does not even start.
        server.sh(f"find /var/lib/docker/volumes/{PROJECT}_*.r{last_job(server)['id']} -name pg_control -delete -print | grep .")
        resume_worker(server)
    restore_until(server, backup, 'infrastructure', spoil_volume)
    server.wait(lambda: last_job(server)['state'] == 'failed', 400, 'the end')
    assert_as_before(server, before)


@FAILS
def test_a_damaged_backup_touches_nothing(server, instance, backup):
    before = present(server)
    [row] = [row for row in server.json('backup', 'list') if row['id'] == backup['id']]
    file = f'/var/lib/ccpd/backups/{instance["id"]}/{row["file"]}'
    server.sh(f'cp -a {file} /srv/whole; printf X | dd of={file} bs=1 seek=1000000 conv=notrunc status=none')
    try:
        result = server.ccpctl('backup', 'restore', backup['id'], check=False, timeout=300)
        assert result.returncode == 6 and 'damaged' in result.stderr
        # Whoever deletes by the list must not keep this one.
        [row] = [row for row in server.json('backup', 'list') if row['id'] == backup['id']]
        assert row['state'] == 'damaged' and 'damaged at byte' in row['error']
        server.wait(lambda: 'backup-damaged' in {alert['rule'] for alert in server.json('alert', 'list')}, what='the alert')
    finally:
        server.sh(f'mv /srv/whole {file}')
    assert_as_before(server, before)
    server.ccpctl('backup', 'verify', backup['id'], '--quiet', timeout=300)


def test_what_is_kept_is_not_discarded_unasked(server, instance):
    result = server.ccpctl('restore', 'discard', SLUG, check=False)
    assert result.returncode == 2 and f"what '{SLUG}' had before" in result.stderr and '--yes' in result.stderr


@FAILS
def test_a_foreign_backup_is_refused(server, instance, backup):
    before = present(server)
    assert server.ccpctl('backup', 'restore', '999999', check=False).returncode == 3
    server.run(['runuser', '-u', 'ccpd', '--', 'psql', '-Xq', 'ccpd', '-c',
                f"UPDATE backups SET blueprint_version = '0.0.1' WHERE id = {backup['id']}"])
    try:
        result = server.ccpctl('backup', 'restore', backup['id'], check=False, timeout=300)
        assert result.returncode == 6 and '--any-version' in result.stderr
        assert_as_before(server, before)
    finally:
        server.run(['runuser', '-u', 'ccpd', '--', 'psql', '-Xq', 'ccpd', '-c',
                    f"UPDATE backups SET blueprint_version = '{row_version(server)}' WHERE id = {backup['id']}"])


def row_version(server):
    return server.json('show', SLUG)['blueprint_version']


@FAILS
def test_a_stopped_instance_is_restored_and_runs(server, instance, backup):
    sql(server, 'DROP TABLE signatures CASCADE')
    server.ccpctl('stop', SLUG, timeout=120)
    server.ccpctl('backup', 'restore', backup['id'], timeout=600)
    assert settled(server, SLUG)['state'] == 'running'
    assert differences(server, backup['data']) == []


def test_what_was_before_goes_when_its_time_is_over(server, instance, backup):
    server.ccpctl('restore', 'discard', SLUG, '--yes', check=False)
    server.ccpctl('settings', 'set', 'restore_keep_hours=0')
    try:
        server.ccpctl('backup', 'restore', backup['id'], timeout=600)
        # ccpd looks when it starts, and every hour.
        server.sh('systemctl restart ccpd')
        server.wait(lambda: last_job(server)['kind'] == 'discard-restore' and last_job(server)['state'] == 'succeeded', what='the removal')
    finally:
        server.ccpctl('settings', 'set', 'restore_keep_hours=72')
    assert len(volumes(server)) == 3
    assert differences(server, backup['data']) == []
    assert server.json('audit', '--action=RESTORE_DISCARD')[-1]['user'] == 'ccpd'


def assert_nothing_of_the_drill(server):
    assert server.sh("docker ps -aq --filter name=^ccp-; docker network ls -q --filter name=^ccp-job; docker volume ls -q --filter name=^ccp-job; "
                     f'docker image ls -q ccp-helper; ls -A /var/lib/ccpd/instances/{SLUG} | grep aside || true') == ''


def test_a_drill_proves_a_backup_and_leaves_nothing(server, instance, backup):
    before = present(server)
    started = server.sh(f"docker inspect -f '{{{{.State.StartedAt}}}}' {DATABASE}")
    server.ccpctl('backup', 'drill', backup['id'], timeout=600)
    [row] = [row for row in server.json('backup', 'list') if row['id'] == backup['id']]
    assert row['drilled_at'] > row['verified_at'] and 1_000_000 < row['drill_took'] < 300_000_000
    assert 'Drilled' in server.ccpctl('backup', 'show', backup['id']).stdout
    steps = {step['name']: step for step in server.json('job', 'show', last_job(server)['id'])['steps']}
    assert 'rows' in steps['databases']['detail']
    assert present(server) == before
    assert server.sh(f"docker inspect -f '{{{{.State.StartedAt}}}}' {DATABASE}") == started
    assert_nothing_of_the_drill(server)


@FAILS
@pytest.mark.parametrize('step', ['infrastructure', 'application'])
def test_nobody_reaches_what_a_drill_runs(server, instance, backup, step):
    def look():
        job = last_job(server)['id']
        found = json.loads(server.sh(f"docker ps -aq --filter name=^ccp-job-{job} | xargs -r docker inspect") or '[]')
        assert len(found) >= (1 if step == 'application' else 0)
        for container in found:
            assert not [port for ports in container['NetworkSettings']['Ports'].values() for port in ports or []]
            assert container['Config']['Labels']['ccp.id'] != instance['id']
        for network in server.sh(f"docker network ls -q --filter name=^ccp-job-{job}").split():
            assert json.loads(server.sh(f'docker network inspect {network}'))[0]['Internal']
        assert settled(server, SLUG)['health'] == 'healthy'
        server.ccpctl('job', 'cancel', job, '--no-wait')
    restore_until(server, backup, step, look, verb='drill')
    server.wait(lambda: last_job(server)['state'] == 'cancelled', 300, 'the end')
    assert_nothing_of_the_drill(server)


@pytest.mark.allow_journal(r'ccp-job', r'Main process exited', r'Failed with result')
@pytest.mark.parametrize('step', ['volumes', 'databases', 'remove'])
def test_a_killed_drill_goes_on(server, instance, backup, step):
    restore_until(server, backup, step, lambda: kill_worker(server), verb='drill')
    server.wait(lambda: last_job(server)['state'] in ('succeeded', 'failed'), 300, 'the end')
    assert (last_job(server)['kind'], last_job(server)['state'], last_job(server)['attempt']) == ('drill', 'succeeded', 2)
    assert_nothing_of_the_drill(server)


@pytest.mark.allow_journal(r'(olga|otto) tried to (restore|undo)')
def test_who_may(server, instance, backup):
    add_user(server, 'olga')
    grant(server, 'operator', user='olga')
    assert server.ccpctl('backup', 'restore', backup['id'], user='olga', check=False).returncode == 4
    assert server.ccpctl('restore', 'undo', SLUG, user='olga', check=False).returncode == 4


@FAILS
def test_a_backup_becomes_a_new_instance(server, instance, backup):
    assert server.ccpctl('backup', 'restore', backup['id'], '--as=voss', check=False, timeout=300).returncode == 2
    result = server.ccpctl('backup', 'restore', backup['id'], '--as=voss', f'--domain={SLUG}.example.org', check=False, timeout=300)
    assert result.returncode == 1 and SLUG in result.stderr

    # The source tree is in the backup.
    server.sh('mv /srv/campaign /srv/elsewhere')
    try:
        server.ccpctl('backup', 'restore', backup['id'], '--as=voss', '--domain=voss.example.org', timeout=600)
    finally:
        server.sh('mv /srv/elsewhere /srv/campaign')
    new, old = settled(server, 'voss'), server.json('show', SLUG)
    assert (new['state'], new['health'], new['domain']) == ('running', 'healthy', 'voss.example.org')
    assert not set(new['ports'].values()) & set(old['ports'].values()) and new['subnet'] != old['subnet']
    assert (new['blueprint'], new['parameters'], new['features']) == (old['blueprint'], old['parameters'], old['features'])
    # The application makes an administrator for its domain at its start.
    others = [line for line in differences(server, backup['data'], 'voss') if 'voss.example.org' not in line and ' lines, not ' not in line]
    assert others == []

    def secret(slug, name):
        return server.ccpctl('secret', 'reveal', slug, name).stdout
    for name in ('ENCRYPTION_KEY', 'SERVICE_PASSWORD_SALT', 'REDIS_PASSWORD'):
        assert secret('voss', name) == secret(SLUG, name)
    for name in ('POSTGRES_PASSWORD', 'JWT_ACCESS_SECRET'):
        assert secret('voss', name) != secret(SLUG, name)

    # It is an instance like others.
    server.ccpctl('backup', 'create', 'voss', timeout=300)
    server.ccpctl('delete', 'voss', '--yes', timeout=300)
    assert server.sh('docker ps -aq --filter label=ccp.instance=voss; docker volume ls -q --filter label=ccp.instance=voss; '
                     'ls -d /var/lib/ccpd/instances/voss 2>/dev/null || true') == ''


@FAILS
@pytest.mark.parametrize('step', ['source', 'adopt', 'volumes', 'databases'])
def test_a_cancelled_new_instance_leaves_nothing(server, instance, backup, step):
    def cancel():
        server.ccpctl('job', 'cancel', last_job(server)['id'], '--no-wait')
    restore_until(server, backup, step, cancel, '--as=voss', '--domain=voss.example.org')
    server.wait(lambda: last_job(server)['state'] == 'cancelled', 300, 'the end')
    # The list of jobs comes from the records: ccpd itself hears of their change a moment later.
    server.wait(lambda: server.ccpctl('show', 'voss', check=False).returncode == 3, what='the end of the new instance')
    assert server.sh('docker ps -aq --filter label=ccp.instance=voss; docker volume ls -q --filter label=ccp.instance=voss; '
                     'ls -d /var/lib/ccpd/instances/voss 2>/dev/null || true; docker ps -aq --filter name=^ccp-') == ''


def test_what_is_left_of_a_deleted_instance_lives_again(server, instance, backup):
    server.ccpctl('delete', SLUG, '--yes', timeout=300)
    server.ccpctl('backup', 'restore', backup['id'], f'--as={SLUG}', f'--domain={SLUG}.example.org', timeout=600)
    assert differences(server, backup['data']) == []
    assert settled(server, SLUG)['id'] != instance['id']
    # It is another instance with the same name.
    assert server.ccpctl('backup', 'restore', backup['id'], check=False, timeout=300).returncode == 1
