# SPDX-License-Identifier: LGPL-2.1-or-later
"""Alerts on a booted server: an instance that gets unwell, and Docker and PostgreSQL that go away, are told to a webhook and by
mail; neither is there all the time."""

import hashlib
import hmac
import json
import pathlib
import re

import pytest

from fleet import ROOT, get, main_pid, query
from instances import settled

pytestmark = pytest.mark.allow_journal(r'ccp-alert', r'PostgreSQL is not available', r'[Tt]he Docker Engine', r'Failed to read the records')

NAMES = (pathlib.Path(__file__).parents[2] / 'include/ccp/names.h').read_text()
FIRING, RESOLVED = (re.search(rf'CCP_MESSAGE_ALERT_{name} "([0-9a-f]+)"', NAMES).group(1) for name in ('FIRING', 'RESOLVED'))
HOOK = (pathlib.Path(__file__).parent / 'lib/hook.py').read_text()
FOLDER, PORT = '/run/hook', 8099
URL = f'http://127.0.0.1:{PORT}/in/secret-path?key=secret-query'
SENDMAIL = '/usr/sbin/sendmail'
DISPLAY_NAME = 'Zoë\u202e "x" =?utf-8?q?y?= Bcc: <victim@example.org>'


class Hook:
    """The webhook in the server."""

    def __init__(self, server):
        self.server = server
        server.write(f'{FOLDER}/hook.py', HOOK)
        self.answers('200')
        self.forget()
        self.process = None

    def up(self):
        self.process = self.server.start(['python3', f'{FOLDER}/hook.py', FOLDER, PORT])
        self.server.wait(lambda: f':{PORT} ' in self.server.sh('ss -ltn'), what='the webhook')

    def down(self):
        if self.process:
            self.process.kill()
            self.process.wait()
            self.process = None
            self.server.wait(lambda: f':{PORT} ' not in self.server.sh('ss -ltn'), what='the end of the webhook')

    def answers(self, mode):
        self.server.write(f'{FOLDER}/mode', mode)

    def forget(self):
        self.server.write(f'{FOLDER}/requests', '')

    def requests(self):
        return [json.loads(line) | {'json': json.loads(json.loads(line)['body'])}
                for line in self.server.file(f'{FOLDER}/requests').splitlines()]

    def told(self, mode='200'):
        """What was told and answered so: (status, alert, instance)."""
        return [(a['status'], a['rule'], a['instance']) for r in self.requests() if r['mode'] == mode for a in r['json']['alerts']]


@pytest.fixture(scope='module')
def hook(server):
    made = Hook(server)
    made.up()
    yield made
    made.down()


@pytest.fixture(scope='module')
def hello(server):
    server.ccpctl('create', 'hello', '--blueprint', 'hello', '--domain', 'hello.example.org', '--name', DISPLAY_NAME, '--quiet')
    return settled(server, 'hello')


@pytest.fixture(autouse=True)
def calm(server, hook, hello):
    """All is well and told before the next test."""
    settings(server, alert_webhook_url=URL, alert_health_minutes=0)
    yield
    server.sh('systemctl start postgresql docker.socket docker ccpd')
    if not hook.process:
        hook.up()
    hook.answers('200')
    server.wait(lambda: get(server, ROOT, 'Manager', 'StoreState') == 'available', what='the records')
    server.sh('docker start hello_ccp-web-1 >&2')
    for silence in server.json('alert', 'silences'):
        server.ccpctl('alert', 'unsilence', silence['id'], '--quiet')
    settings(server, alert_disk_percent='', alert_mail_to='', alert_webhook_url=URL)
    server.wait(lambda: not fires(server), 240, 'the end of all alerts')
    server.ccpctl('alert', 'test', 'webhook', '--quiet')
    server.wait(lambda: query(server, "SELECT count(*) FROM alert_messages WHERE state = 'queued'") == '0'
                and query(server, 'SELECT count(*) FROM alert_deliveries WHERE sent_in IS NULL') == '0',
                180, 'the end of the queue')
    hook.forget()


def settings(server, **values):
    server.ccpctl('settings', 'set', *(f'{key}={value}' for key, value in values.items()), '--quiet')


def fires(server):
    return {alert['rule'] for alert in server.json('alert', 'list')}


def stop(server):
    """The instance's only container ends."""
    server.sh('docker stop --time 0 hello_ccp-web-1 >&2')


def wait_told(server, hook, *expected, timeout=180):
    server.wait(lambda: hook.told() == list(expected), timeout, f'{expected} in {hook.told()}', interval=0.5)


def valid(request, secret):
    """Whether the signature is by the secret."""
    parts = [part.split('=', 1) for part in request['headers']['CCP-Signature'].split(',')]
    seconds = next(value for key, value in parts if key == 't')
    mac = hmac.new(secret.encode(), f'{seconds}.{request["body"]}'.encode(), hashlib.sha256).hexdigest()
    return abs(int(seconds) - request['time']) < 60 and ('v1', mac) in [tuple(part) for part in parts]


UNHEALTHY = ('firing', 'instance-unhealthy', 'hello')
WELL = ('resolved', 'instance-unhealthy', 'hello')


def test_what_gets_unwell_is_told_after_a_while_and_so_is_its_end(server, hook):
    settings(server, alert_health_minutes=1)
    cursor, began = server.cursor(), int(server.sh('date +%s'))
    stop(server)
    server.wait(lambda: get(server, f'{ROOT}/instance/hello', 'Instance', 'Health') == 'unhealthy', what='the news of the death')
    assert fires(server) == set()
    server.wait(lambda: fires(server) == {'instance-unhealthy'}, 180, 'the alert')
    assert int(server.sh('date +%s')) - began >= 60
    wait_told(server, hook, UNHEALTHY)

    [line] = server.journal(f'MESSAGE_ID={FIRING}', since=cursor)
    assert (line['PRIORITY'], line['CCP_RULE'], line['CCP_INSTANCE'], line['CCP_SEVERITY'], line['_SYSTEMD_UNIT']) == (
        '3', 'instance-unhealthy', 'hello', 'error', 'ccpd.service')
    assert line['CCP_ID'] == server.json('show', 'hello')['id'] and 'hello is unhealthy: web has ended' in line['MESSAGE']
    catalog = server.run(['journalctl', '--no-pager', '--catalog', '-n', '1', f'MESSAGE_ID={FIRING}']).stdout
    assert 'Subject: An alert fires: instance-unhealthy' in catalog and '@CCP' not in catalog

    [request] = hook.requests()
    secret = server.ccpctl('alert', 'secret').stdout
    assert valid(request, secret) and not valid(request, secret + 'x')
    assert request['headers']['CCP-Delivery'] == request['json']['id']
    [alert] = request['json']['alerts']
    assert alert['name'] == DISPLAY_NAME and alert['repeated'] == 0
    # The hook is told first, and it is put on record then.
    server.wait(lambda: 'webhook delivered' in server.ccpctl('alert', 'list').stdout, what='the record of the delivery')
    shown = server.ccpctl('alert', 'list').stdout
    assert all(text in shown for text in ('instance-unhealthy', 'hello is unhealthy: web has ended', 'ccpctl status hello', 'webhook delivered'))
    assert get(server, ROOT, 'Manager', 'NAlerts') == 1

    server.sh('docker start hello_ccp-web-1 >&2')
    # Half a minute until a sweep has seen that it answers, a minute in which it stays so, and what the message takes.
    wait_told(server, hook, UNHEALTHY, WELL, timeout=300)
    [line] = server.journal(f'MESSAGE_ID={RESOLVED}', since=cursor)
    assert line['PRIORITY'] == '5' and fires(server) == set()
    # Nothing of the address is anywhere.
    text = server.run(['journalctl', '--boot', '--all', '--output=export'], text=False).stdout.decode(errors='replace')
    assert 'secret-query' not in text and 'secret-path' not in text and secret not in text
    assert 'secret' not in server.ccpctl('settings', 'show').stdout.replace('alert_secret_age_days', '')
    # The workers do not stay.
    server.wait(lambda: main_pid(server, 'ccp-alert-webhook.service') == '0', what='the end of the worker')


def test_a_webhook_that_is_down_gets_all_in_order_once(server, hook):
    hook.down()
    stop(server)
    server.wait(lambda: fires(server) == {'instance-unhealthy'}, what='the alert')
    number = server.json('alert', 'list')[0]['id']

    def delivery():
        return server.json('alert', 'show', number)['deliveries'][0]

    server.wait(lambda: delivery()['attempts'] >= 2, 180, 'two attempts', interval=1)
    assert 'cannot be reached' in delivery()['error'] and delivery()['state'] in ('queued', 'failed')
    assert 'the next is in' in server.ccpctl('alert', 'list').stdout
    server.sh('systemctl restart ccpd')
    server.sh('docker start hello_ccp-web-1 >&2')
    server.wait(lambda: fires(server) == set(), what='the end of the alert')
    server.wait(lambda: delivery()['status'] == 'resolved', what='the notice of the end')
    # What is sent and not noted is sent again, under the same id.
    hook.answers('hang')
    hook.up()
    query(server, 'UPDATE alert_messages SET due_at = now()')
    server.sh('systemctl restart ccpd')
    server.wait(hook.requests, what='the attempt')
    server.sh('systemctl kill --signal=KILL ccp-alert-webhook.service; systemctl restart ccpd')
    hook.answers('200')
    server.wait(lambda: main_pid(server, 'ccp-alert-webhook.service') == '0', what='the end of the worker')
    server.ccpctl('alert', 'test', 'webhook')
    server.wait(lambda: len(hook.told()) >= 3, what='the messages')
    assert [told for told in hook.told() if told[0] != 'test'] == [UNHEALTHY, WELL]
    first = [r for r in hook.requests() if ('firing', 'instance-unhealthy') in {(a['status'], a['rule']) for a in r['json']['alerts']}]
    assert len(first) >= 2 and len({(r['json']['id'], r['body']) for r in first}) == 1


@pytest.mark.parametrize('mode, error', [('redirect', 'a redirection'), ('404', 'answered 404'), ('500', 'answered 500'),
                                         ('hang', 'cannot be reached')])
def test_a_webhook_that_answers_wrongly(server, hook, mode, error):
    hook.answers(mode)
    result = server.ccpctl('alert', 'test', 'webhook', check=False, timeout=90)
    assert result.returncode == 1 and error in result.stderr and 'secret' not in result.stderr, result
    assert not [r for r in hook.requests() if 'redirected' in r['request']]


def test_a_long_answer_is_as_good_as_a_short_one(server, hook):
    hook.answers('big')
    assert 'delivered' in server.ccpctl('alert', 'test', 'webhook', timeout=90).stdout


def test_a_certificate_that_nobody_signed(server):
    server.sh('cd /run/hook; openssl req -x509 -newkey rsa:2048 -nodes -keyout key -out cert -days 2 -subj /CN=127.0.0.1 2>/dev/null')
    process = server.start(['openssl', 's_server', '-quiet', '-accept', '8443', '-cert', f'{FOLDER}/cert', '-key', f'{FOLDER}/key', '-www'])
    try:
        server.wait(lambda: ':8443 ' in server.sh('ss -ltn'), what='the server')
        settings(server, alert_webhook_url='https://127.0.0.1:8443/')
        result = server.ccpctl('alert', 'test', 'webhook', check=False, timeout=90)
        assert result.returncode == 1 and 'certificate' in result.stderr, result
    finally:
        process.kill()


def test_addresses_that_are_refused(server):
    for url, advice in (('https://user:password@example.org/', 'ccpctl alert secret'), ('ftp://example.org/', 'https://'), ('https://a b/', 'https://')):
        result = server.ccpctl('settings', 'set', f'alert_webhook_url={url}', check=False)
        assert result.returncode == 2 and advice in result.stderr and 'password@' not in result.stderr, result
    result = server.ccpctl('settings', 'set', 'alert_mail_to=-oQ/tmp', check=False)
    assert result.returncode == 2 and 'USER@DOMAIN' in result.stderr


def test_silence_and_its_end(server, hook):
    server.ccpctl('alert', 'silence', '--instance', 'hello', '--for', '1h', '--reason', 'we move')
    [silence] = server.json('alert', 'silences')
    assert (silence['instance'], silence['reason'], silence['by']) == ('hello', 'we move', 'root')
    cursor = server.cursor()
    stop(server)
    server.wait(lambda: fires(server) == {'instance-unhealthy'}, what='the alert')
    assert len(server.journal(f'MESSAGE_ID={FIRING}', since=cursor)) == 1
    assert 'silenced' in server.ccpctl('alert', 'list').stdout
    assert get(server, ROOT, 'Manager', 'NAlerts') == 0
    assert hook.told() == [] and query(server, 'SELECT count(*) FROM alert_deliveries WHERE sent_in IS NULL') == '0'
    server.ccpctl('alert', 'unsilence', silence['id'])
    wait_told(server, hook, UNHEALTHY)


def test_what_goes_on_is_told_again(server, hook):
    stop(server)
    wait_told(server, hook, UNHEALTHY)
    server.sh('systemctl stop ccpd')
    query(server, "UPDATE alerts SET notified_at = now() - interval '25 hours' WHERE state = 'firing'")
    server.sh('systemctl start ccpd')
    wait_told(server, hook, UNHEALTHY, UNHEALTHY)
    assert [a['repeated'] for r in hook.requests() for a in r['json']['alerts']] == [0, 1]
    assert server.json('alert', 'list')[0]['notifications'] == 2


def test_docker_that_is_away_is_one_alert(server, hook):
    server.sh('systemctl stop docker.socket docker')
    server.wait(lambda: 'engine-unavailable' in fires(server), 240, 'the alert')
    assert fires(server) == {'engine-unavailable'}
    wait_told(server, hook, ('firing', 'engine-unavailable', None))
    server.sh('systemctl start docker.socket docker')
    server.wait(lambda: 'engine-unavailable' not in fires(server), what='its end')
    server.wait(lambda: ('resolved', 'engine-unavailable', None) in hook.told(), what='the notice')


def test_postgresql_that_is_away_is_in_the_journal_and_told_later(server, hook):
    cursor = server.cursor()
    server.sh('systemctl stop postgresql')
    server.wait(lambda: server.journal(f'MESSAGE_ID={FIRING}', since=cursor), 240, 'the line of the journal', interval=1)
    [line] = server.journal(f'MESSAGE_ID={FIRING}', since=cursor)
    assert (line['CCP_RULE'], line['PRIORITY']) == ('store-unavailable', '2') and 'CCP_INSTANCE' not in line
    # Reads go on.
    assert fires(server) == {'store-unavailable'}
    server.sh('systemctl start postgresql')
    server.wait(lambda: ('resolved', 'store-unavailable', None) in hook.told(), 120, 'the notices', interval=1)
    assert hook.told() == [('firing', 'store-unavailable', None), ('resolved', 'store-unavailable', None)]


def test_a_disk_that_is_nearly_full(server, hook):
    settings(server, alert_disk_percent=1)
    server.wait(lambda: fires(server) == {'disk-space'}, what='the alert')
    alert = server.json('alert', 'list')[0]
    assert alert['subject'].startswith('/var') and '% of its' in alert['message']
    server.wait(lambda: hook.told(), what='the notice')


@pytest.fixture
def sendmail(server):
    """A sendmail that does what /run/mail/script says, and a program that gains the group mail like postdrop."""
    server.sh('mkdir -p /run/mail; chmod 1777 /run/mail; install -m 2755 -g mail /usr/bin/id /usr/local/lib/mail-id')
    server.write(SENDMAIL, '#!/bin/sh\nprintf "%s\\n" "$*" >>/run/mail/arguments; . /run/mail/script\n', mode='0755')
    yield
    server.sh(f'rm -rf {SENDMAIL} /run/mail /usr/local/lib/mail-id')


def test_mail_reaches_a_sendmail_that_comes_back(server, sendmail):
    """And names that would like to be headers stay where they are."""
    server.write('/run/mail/script', 'echo "the queue is full" >&2; exit 75')
    settings(server, alert_mail_to='root, ops@example.org', alert_webhook_url='')
    stop(server)
    server.wait(lambda: fires(server) == {'instance-unhealthy'}, what='the alert')
    number = server.json('alert', 'list')[0]['id']
    server.wait(lambda: 'status 75: "the queue is full"' in server.ccpctl('alert', 'show', number).stdout, what='the failure')
    server.write('/run/mail/script', 'cat >/run/mail/got.$$; /usr/local/lib/mail-id -gn >/run/mail/group; grep NoNewPrivs /proc/self/status >>/run/mail/group')
    assert 'delivered' in server.ccpctl('alert', 'test', 'mail', timeout=90).stdout
    server.wait(lambda: 'delivered' in server.ccpctl('alert', 'show', number).stdout, 180, 'the delivery')

    assert set(server.file('/run/mail/arguments').splitlines()) == {'-i -- root ops@example.org'}
    assert server.file('/run/mail/group').split() == ['mail', 'NoNewPrivs:', '0']
    name = server.sh('grep -l "^Subject: .ccpd server. firing: hello is unhealthy" /run/mail/got.*')
    mail = server.file(name)
    assert mail.isascii() and 'To: root,\n ops@example.org\n' in mail and 'Auto-Submitted: auto-generated' in mail
    head, _, body = mail.partition('\n\n')
    assert 'Bcc' not in head and '\nBcc' not in body
    decoded = server.run(['python3', '-c', 'import sys, quopri; sys.stdout.buffer.write(quopri.decodestring(sys.stdin.buffer.read()))'],
                         input=body, check=False)
    if decoded.returncode == 0:
        assert DISPLAY_NAME in decoded.stdout and 'ccpctl status hello' in decoded.stdout
    # It cannot see what is the tenants'.
    server.write('/run/mail/script', 'cat >/dev/null; ls /var/lib/ccpd/instances >/run/mail/seen 2>&1; ls /run/ccpd >>/run/mail/seen 2>&1; exit 0')
    server.ccpctl('alert', 'test', 'mail', timeout=90)
    assert server.file('/run/mail/seen').count('Permission denied') == 2


def test_mail_without_a_sendmail(server):
    settings(server, alert_mail_to='root')
    result = server.ccpctl('alert', 'test', 'mail', check=False, timeout=90)
    assert result.returncode == 1 and 'install a mail server' in result.stderr
    assert server.ccpctl('alert', 'test', 'pigeon', check=False).returncode == 2
