# SPDX-License-Identifier: LGPL-2.1-or-later
"""The smallest blueprint, from its creation to its end: what ccpctl, systemd, Docker and the instance itself say of it."""

import json

import pytest

from instances import containers, settled

SLUG = 'north-shore'
DOMAIN = 'north-shore.example.org'
NAME = 'Côte-Nord <b>"chapter"</b> $HOME'
GREETING = f'Hello from {NAME}, at {DOMAIN}.'
FOLDER = f'/var/lib/ccpd/instances/{SLUG}'


def get(server, port):
    return server.run(['curl', '-fsS', '--max-time', '5', f'http://127.0.0.1:{port}/'], check=False)


@pytest.fixture(scope='module')
def hello(server):
    server.ccpctl('create', SLUG, '--blueprint', 'hello', '--domain', DOMAIN, '--name', NAME)
    return settled(server, SLUG)


def test_a_dry_run_makes_nothing(server):
    server.ccpctl('create', 'dry', '--blueprint', 'hello', '--domain', 'dry.example.org', '--dry-run')
    assert server.ccpctl('show', 'dry', check=False).returncode == 3
    assert not server.exists('/var/lib/ccpd/instances/dry')


def test_it_is_created_and_answers(server, hello):
    assert (hello['slug'], hello['name'], hello['domain']) == (SLUG, NAME, DOMAIN)
    assert (hello['state'], hello['health'], hello['revision']) == ('running', 'healthy', 1)
    assert 10000 <= hello['ports']['web'] <= 10999
    result = get(server, hello['ports']['web'])
    assert result.returncode == 0 and result.stdout == f'{GREETING}\n'


def test_the_page_is_plain_text(server, hello):
    headers = server.sh(f'curl -fsSI http://127.0.0.1:{hello["ports"]["web"]}/').lower()
    assert 'content-type: text/plain' in headers


def test_the_job_went_through_thirteen_steps(server, hello):
    jobs = [job for job in server.json('job', 'list') if job['instance'] == SLUG]
    assert [(job['kind'], job['state']) for job in jobs] == [('create', 'succeeded')]
    steps = server.json('job', 'show', jobs[0]['id'])['steps']
    assert [step['name'] for step in steps] == ['validate', 'allocate', 'secrets', 'record', 'folder', 'source', 'context', 'render',
                                                'static', 'pull', 'build', 'infrastructure', 'application']
    assert {step['state'] for step in steps} <= {'done', 'skipped'}


def test_its_files_are_closed_to_others(server, hello):
    assert server.sh(f'stat -c "%U %a" {FOLDER}') == 'ccpd 700'
    assert server.sh(f'stat -c "%U %a" {FOLDER}/current/.env') == 'ccpd 600'
    assert server.run(['cat', f'{FOLDER}/current/.env'], user='nobody', check=False).returncode != 0
    # The blueprint's files, the override, and the blueprint as it was.
    assert server.sh(f'cd {FOLDER}/current/ && find . -type f -printf "%P\\n" | sort').split() == [
        '.ccp-blueprint.yaml', '.env', 'ccp.override.yml', 'docker-compose.yml', 'httpd.conf', 'index.txt']
    assert server.sh(f'readlink {FOLDER}/current') in ('revisions/1', f'{FOLDER}/revisions/1')


def test_its_secret_is_in_env_and_nowhere_else(server, hello):
    token = server.sh(f"sed -n 's/^ADMIN_TOKEN=//p' {FOLDER}/current/.env").strip('\'"')
    assert len(token) == 32
    container = containers(server, SLUG)['web']
    assert f'ADMIN_TOKEN={token}' in container['Config']['Env']
    assert token not in json.dumps(hello)
    assert token not in server.ccpctl('status', SLUG).stdout
    files = server.run(['grep', '-rlF', '--', token, FOLDER, '/run/ccpd', '/var/log'], check=False).stdout.split()
    assert files and all(file.endswith('/revisions/1/.env') for file in files)
    assert token not in server.run(['journalctl', '--boot', '--all', '--output=export'], text=False).stdout.decode(errors='replace')


def test_its_container_bears_what_ccpd_puts_on_it(server, hello):
    container = containers(server, SLUG)['web']
    labels = container['Config']['Labels']
    assert (labels['ccp.instance'], labels['ccp.id'], labels['ccp.revision'], labels['ccp.service']) == (SLUG, hello['id'], '1', 'web')
    assert labels['com.docker.compose.project'] == f'{SLUG}_ccp'
    assert container['HostConfig']['CgroupParent'] == r'ccp-north\x2dshore.slice' == hello['slice']
    assert container['HostConfig']['LogConfig']['Type'] == 'journald'
    assert [binding['HostIp'] for bindings in container['HostConfig']['PortBindings'].values() for binding in bindings] == ['127.0.0.1']


def test_list_status_and_the_overview_know_it(server, hello):
    [entry] = server.json('list')
    assert {key: entry[key] for key in ('slug', 'domain', 'blueprint', 'state', 'health', 'subnet')} == {
        'slug': SLUG, 'domain': DOMAIN, 'blueprint': 'hello', 'state': 'running', 'health': 'healthy', 'subnet': hello['subnet']}
    status = server.ccpctl('status', SLUG).stdout
    assert all(text in status for text in (SLUG, DOMAIN, 'running', 'healthy', str(hello['ports']['web'])))
    assert SLUG in server.ccpctl().stdout
    assert server.json('list', '--state', 'stopped') == []


def test_it_stops_and_starts_with_the_same_ports(server, hello):
    port = hello['ports']['web']
    server.ccpctl('stop', SLUG)
    stopped = server.json('show', SLUG)
    assert stopped['state'] == 'stopped' and stopped['ports'] == hello['ports']
    assert get(server, port).returncode != 0
    server.ccpctl('start', SLUG)
    started = settled(server, SLUG)
    assert (started['state'], started['health'], started['ports']) == ('running', 'healthy', hello['ports'])
    assert get(server, port).stdout == f'{GREETING}\n'


def test_it_restarts(server, hello):
    before = containers(server, SLUG)['web']
    server.ccpctl('restart', SLUG)
    after = containers(server, SLUG)['web']
    assert before['State']['StartedAt'] < after['State']['StartedAt']
    assert settled(server, SLUG)['health'] == 'healthy'
    assert get(server, hello['ports']['web']).stdout == f'{GREETING}\n'


def test_slug_and_domain_are_taken(server, hello):
    for slug, domain, error in ((SLUG, 'other.example.org', 'SlugTaken'), ('other', DOMAIN, 'DomainTaken')):
        result = server.run(['busctl', 'call', 'org.changemaker.ccp1', '/org/changemaker/ccp1', 'org.changemaker.ccp1.Manager',
                             'CreateInstance', 'ssa{sv}', slug, 'hello', '1', 'domain', 's', domain], check=False)
        assert result.returncode != 0, error
    assert [entry['slug'] for entry in server.json('list')] == [SLUG]


def test_its_tenant_does_not_need_the_daemon(server, hello):
    server.run(['systemctl', 'stop', 'ccpd.service'])
    try:
        assert get(server, hello['ports']['web']).stdout == f'{GREETING}\n'
    finally:
        server.run(['systemctl', 'start', 'ccpd.service'])
    assert server.json('show', SLUG)['state'] == 'running'


def test_deleting_leaves_nothing(server, hello):
    server.ccpctl('delete', SLUG, '--yes')
    assert server.ccpctl('show', SLUG, check=False).returncode == 3
    assert server.json('list') == []
    assert containers(server, SLUG) == {}
    for kind in ('volume', 'network'):
        assert server.sh(f'docker {kind} ls --quiet --filter label=ccp.instance={SLUG}') == ''
        assert server.sh(f'docker {kind} ls --quiet --filter label=com.docker.compose.project={SLUG}_ccp') == ''
    assert not server.exists(FOLDER)
    assert get(server, hello['ports']['web']).returncode != 0
    assert server.json('port', 'list') == []
    slices = server.sh(r"systemctl list-units --all --plain --no-legend 'ccp-north*.slice'")
    assert 'active running' not in slices
    # What it had is free again.
    server.ccpctl('create', SLUG, '--blueprint', 'hello', '--domain', DOMAIN)
    assert server.json('show', SLUG)['ports'] == hello['ports']
    server.ccpctl('delete', SLUG, '--yes')
