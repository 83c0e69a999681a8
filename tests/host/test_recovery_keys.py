# SPDX-License-Identifier: LGPL-2.1-or-later
"""Recovery keys on a booted server: a person enrolls one, with the real polkit, and what is backed up then is opened with it alone."""

import json
import re

import pytest

from instances import settled
from recovery import make_recovery_key, text
from terminal import Terminal
from users import add_user, enable_ssh, grant

PASSWORD = 'Tr0ub4dor and three'
BACKUPS = '/var/lib/ccpd/backups'
KEY = r'CCPR1(-[0-9A-F]{4}){17}'
CHALLENGE = r'CCPC1(-[0-9A-F]{4}){37}'


@pytest.fixture(scope='module')
def instance(server):
    server.ccpctl('create', 'hello', '--blueprint', 'hello', '--domain', 'hello.example.org', '--quiet')
    return settled(server, 'hello')


def back_up(server):
    """The path of a new backup."""
    server.ccpctl('backup', 'create', 'hello', '--quiet', timeout=300)
    latest = server.json('backup', 'list')[0]
    assert latest['state'] == 'verified'
    return f'{BACKUPS}/{latest["instance_id"]}/{latest["file"]}'


def opens(server, secret, file, folder='/srv/opened'):
    """Whether what ccp-backup-extract gets out of it, with nothing but the key, is what the instance has."""
    server.sh(f'rm -rf {folder}')
    result = server.run(['ccp-backup-extract', 'extract', '--key=-', f'--directory={folder}', file], input=secret, check=False)
    if result.returncode:
        assert 'key' in result.stderr and not server.exists(folder), result
        return False
    assert json.loads(server.file(f'{folder}/manifest.json'))['instance']['slug'] == 'hello'
    server.sh(f'mkdir {folder}/files; tar -C {folder}/files -xpf {folder}/folder.tar')
    assert server.sh(f'find {folder}/files -name docker-compose.yml | wc -l') != '0'
    return True


def finding(server):
    result = server.ccpctl('doctor', '--json=short', check=False)
    (row,) = [row for row in json.loads(result.stdout) if row['check'] == 'recovery-key']
    return row['verdict'], row['advice'], result.returncode


def echo_is_off(server):
    """Whether polkit's agent has switched off the echo of its terminal: what is typed before that is thrown away."""
    shown = server.sh('for tty in $(ps -C pkttyagent -o tty=); do stty -F "/dev/$tty" -a || true; done')
    return re.search(r'(?m)(^|\s)-echo(\s|$)', shown)


def test_before_there_is_one_everything_says_so(server, instance):
    verdict, advice, status = finding(server)
    assert (verdict, status) == ('failed', 1) and 'ccpctl key enroll-recovery' in advice
    assert 'no recovery key: if this server is lost, no backup can be opened' in server.ccpctl().stdout
    assert 'no backup can be opened' in server.ccpctl('key', 'status').stdout
    assert server.json('key', 'list') == []


def test_a_person_enrolls_one_and_opens_a_backup_with_it(server, instance):
    before = back_up(server)
    with Terminal(server, 'ccpctl', 'key', 'enroll-recovery') as t:
        secret = re.search(KEY, t.expect(f'(?s){KEY}.*where you keep it: '))[0]
        t.type(secret[:-4] + 'ZZZZ')
        t.expect('where you keep it: ')
        assert server.json('key', 'list') == []
        t.type(secret)
        assert t.end() == 0
    (key,) = server.json('key', 'list')
    assert key['enrolled_by'] == 'root' and key['public'].startswith('CCPP1-')
    status = server.json('key', 'status')
    assert status['disaster_ready'] is True and status['recovery_keys'] == [key]
    assert 'no recovery key' not in server.ccpctl().stdout
    # It opens nothing yet.
    assert finding(server)[0] == 'failed' and 'newest backup of: hello.' in server.ccpctl('doctor', check=False).stdout
    assert 'Opened by: no recovery key' in server.ccpctl('backup', 'show', server.json('backup', 'list')[0]['id']).stdout

    after = back_up(server)
    assert finding(server)[0] == 'ok'
    shown = server.json('backup', 'show', server.json('backup', 'list')[0]['id'])
    assert shown['recovery_keys'] == [key['id']]
    assert f'Opened by: {key["id"]}\n' in server.run(['ccp-backup-extract', 'info', after]).stdout
    assert opens(server, secret, after)
    # What was made before is not for it; nor is anything for another key.
    assert not opens(server, secret, before)
    assert not opens(server, make_recovery_key()[0], after)
    # It is nowhere on the server.
    for place in ('/var/lib/ccpd', '/var/log/journal', '/run/ccpd'):
        assert server.run(['grep', '-raqF', secret, place], check=False).returncode == 1, place
    dump = server.run(['runuser', '-u', 'postgres', '--', 'pg_dump', 'ccpd']).stdout
    assert secret not in dump and key['id'] in dump


def test_one_in_a_file(server, instance):
    server.ccpctl('key', 'enroll-recovery', '--output=/root/key')
    assert server.sh('stat -c "%U %a" /root/key') == 'root 600'
    assert opens(server, server.file('/root/key'), back_up(server))
    assert len(server.json('key', 'list')) == 2


def test_one_whose_secret_half_never_was_here(server, instance):
    secret, public = make_recovery_key()
    public = text('CCPP1', bytes.fromhex(public))
    with Terminal(server, 'ccpctl', 'key', 'enroll-recovery', f'--public={public}') as t:
        challenge = re.search(CHALLENGE, t.expect('(?s)CCPC1.*The answer: ').replace('\r\n', ''))[0]
        # Somewhere else, with another key first.
        other = server.run(['ccp-backup-extract', 'answer', '--key=-', challenge], input=make_recovery_key()[0], check=False)
        assert other.returncode == 1 and 'not made for this recovery key' in other.stderr
        answer = server.run(['ccp-backup-extract', 'answer', '--key=-', challenge], input=secret).stdout.strip()
        t.type(answer)
        assert t.end() == 0
    assert server.json('key', 'list')[-1]['public'] == public
    assert opens(server, secret, back_up(server))


@pytest.mark.allow_journal(r' tried to enroll a recovery key: denied')
def test_an_admin_types_his_password_once(server, instance):
    """Two calls, and one question; and none at all for who is no admin."""
    add_user(server, 'adam', password=PASSWORD)
    add_user(server, 'olga')
    grant(server, 'admin', user='adam')
    grant(server, 'operator', user='olga')
    secret, _ = make_recovery_key()
    server.write('/srv/key', secret, mode='0644')
    assert server.ccpctl('key', 'enroll-recovery', '--recovery-key-file=/srv/key', user='olga', check=False).returncode == 4
    # Nobody can be asked here.
    assert server.ccpctl('key', 'enroll-recovery', '--recovery-key-file=/srv/key', user='adam', check=False).returncode == 4
    # polkit heeds an agent of last resort, which is what ccpctl starts, only in a session.
    enable_ssh(server, 'adam')
    with Terminal(server, 'ssh', '-tt', 'adam@127.0.0.1', 'ccpctl key enroll-recovery --recovery-key-file=/srv/key') as t:
        shown = t.expect('assword: ')
        assert 'or to change which recovery keys open' in shown and 'manage-keys' in shown
        server.wait(lambda: echo_is_off(server), what='the end of the echo')
        t.type(PASSWORD)
        assert 'assword: ' not in t.expect('is enrolled')
        assert t.end() == 0
    assert server.json('key', 'list')[-1]['enrolled_by'] == 'adam'
    server.sh('rm /srv/key')


def test_a_key_that_is_forgotten_opens_what_it_opened_and_no_more(server, instance):
    secret = server.file('/root/key')
    old = back_up(server)
    keys = [row['id'] for row in server.json('key', 'list')]
    for key in keys[:-1]:
        server.ccpctl('key', 'forget', key)
    assert finding(server)[0] == 'ok'
    refusal = server.ccpctl('key', 'forget', keys[-1], check=False)
    assert refusal.returncode == 1 and f'ccpctl key forget --last {keys[-1]}' in refusal.stderr
    server.ccpctl('key', 'forget', '--last', keys[-1])
    assert finding(server)[0] == 'failed' and server.json('key', 'status')['disaster_ready'] is False
    assert opens(server, secret, old)
    assert not opens(server, secret, back_up(server))
    entries = [(entry['action'], entry['outcome']) for entry in server.json('audit', '--lines=all') if entry['action'].startswith('KEY_')]
    assert entries.count(('KEY_FORGET', 'succeeded')) == len(keys) and entries.count(('KEY_ENROLL', 'succeeded')) == len(keys)
