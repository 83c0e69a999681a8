# SPDX-License-Identifier: LGPL-2.1-or-later
"""Changemaker Lite with a real PostgreSQL, Redis and nginx, built from a source tree and run for two tenants on one server."""

import io
import json
import pathlib
import re
import tarfile

import pytest

from instances import containers, settled

IMAGES = 'changemaker-lite'

SLUG = 'north-shore'
DOMAIN = 'north-shore.example.org'
NAME = 'Côte-Nord "chapter" $HOME #1'
FOLDER = f'/var/lib/ccpd/instances/{SLUG}'
SOURCE = '/srv/campaign'
SMTP_PASSWORD = 'p\'a"s$s {{word}} #1 \\n'
OTHER = 'south'

SERVICES = {'v2-postgres', 'redis', 'api', 'media-api', 'admin', 'nginx'}
FILES = {'docker-compose.yml', '.env', 'nginx/conf.d/api.conf', 'nginx/conf.d/app.conf', 'nginx/conf.d/media.conf',
         'pangolin/resources.yml', 'prometheus/prometheus.yml'}
SECRETS = {
    'POSTGRES_PASSWORD', 'REDIS_PASSWORD', 'JWT_ACCESS_SECRET', 'JWT_REFRESH_SECRET', 'ENCRYPTION_KEY', 'SERVICE_PASSWORD_SALT',
    'GITEA_SSO_SECRET', 'INITIAL_ADMIN_PASSWORD', 'LISTMONK_ADMIN_PASSWORD', 'ROCKETCHAT_ADMIN_PASSWORD', 'GANCIO_ADMIN_PASSWORD',
    'JITSI_APP_SECRET', 'SMS_WEBHOOK_SECRET', 'GRAFANA_ADMIN_PASSWORD'}
RANGES = {'api': (14000, 14999), 'admin': (13000, 13999), 'postgres': (15400, 16399), 'nginx': (10000, 10999)}


def put_source(server):
    """The stand-in source, with what must not be copied in it."""
    folder = pathlib.Path(__file__).parent / 'sources/changemaker-lite'
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode='w') as archive:
        for name in sorted(folder.iterdir()):
            archive.add(name, name.name, filter=lambda entry: None if '__pycache__' in entry.name else entry)
    server.run(['sh', '-euc', f'mkdir -p {SOURCE} && tar -xC {SOURCE} --no-same-owner'], input=data.getvalue(), text=False)
    for bait in ('.git/config', '.env', 'api/node_modules/left-pad/index.js'):
        server.write(f'{SOURCE}/{bait}', 'must not be copied')


def environment(container):
    return dict(entry.split('=', 1) for entry in container['Config']['Env'])


def env_file(server, slug):
    """The rendered .env, as Compose reads it."""
    folder = f'/var/lib/ccpd/instances/{slug}/current'
    names = re.findall(r'^([A-Z_0-9]+)=', server.file(f'{folder}/.env'), re.MULTILINE)
    # A mapping in a service's environment makes Compose itself say what it reads.
    compose = 'services: {x: {image: x, environment: {%s}}}' % ', '.join(f'{name}: "${{{name}}}"' for name in names)
    output = server.run(['docker', 'compose', '-f', '-', '--env-file', f'{folder}/.env', '-p', 'probe', 'config', '--format', 'json'],
                        input=compose).stdout
    # What config prints has every $ doubled again.
    return {name: value.replace('$$', '$') for name, value in json.loads(output)['services']['x']['environment'].items()}


def fetch(server, instance, host, path='/', *options):
    """(status, headers, body) of a request through the instance's nginx."""
    output = server.run(['curl', '-sS', '-i', '--max-time', '10', '-H', f'Host: {host}', *options,
                         f'http://127.0.0.1:{instance["ports"]["nginx"]}{path}']).stdout
    head, _, body = output.replace('\r\n', '\n').partition('\n\n')
    lines = head.split('\n')
    return int(lines[0].split()[1]), {key.lower(): value for key, value in (line.split(': ', 1) for line in lines[1:])}, body


def state(server, instance):
    return json.loads(fetch(server, instance, f'api.{instance["domain"]}', '/api/state')[2])


@pytest.fixture(scope='module')
def changemaker(server):
    put_source(server)
    server.write('/root/smtp-password', SMTP_PASSWORD, mode='0600')
    server.ccpctl('create', SLUG, '--blueprint', 'changemaker-lite', '--domain', DOMAIN, '--name', NAME, '--source', SOURCE,
                  '--feature', 'media', '--feature', 'sms', '--set', 'use_mailhog=false', '--set', 'smtp_host=mail.example.org',
                  '--set-file', 'smtp_password=/root/smtp-password', timeout=600)
    return settled(server, SLUG)


@pytest.fixture(scope='module')
def other(server, changemaker):
    server.ccpctl('create', OTHER, '--blueprint', 'changemaker-lite', '--domain', 'south.example.org', '--source', SOURCE, timeout=600)
    return settled(server, OTHER)


def test_all_services_are_healthy(server, changemaker):
    assert (changemaker['state'], changemaker['health']) == ('running', 'healthy')
    # The one of the blueprint is by what it looks at; those of the containers come at their own intervals.
    server.wait(lambda: {service['service']: service['health'] for service in server.json('show', SLUG)['services']} ==
                dict.fromkeys(SERVICES, 'healthy'), 180, what='the health checks of the containers')
    assert set(containers(server, SLUG)) == SERVICES


def test_all_thirteen_steps_were_done(server, changemaker):
    [job] = [job for job in server.json('job', 'list') if job['instance'] == SLUG]
    steps = server.json('job', 'show', job['id'])['steps']
    assert len(steps) == 13
    # Nothing can be pulled here, and nothing has to be: the images are on the server.
    assert {step['name']: step['state'] for step in steps if step['state'] != 'done'} in ({}, {'pull': 'failed'}, {'pull': 'skipped'})


def test_seven_files_are_rendered_and_one_is_copied(server, changemaker):
    found = set(server.sh(f'cd {FOLDER}/current/ && find . -type f -printf "%P\n"').split())
    assert found == FILES | {'nginx/nginx.conf', 'ccp.override.yml', '.ccp-blueprint.yaml'}


def test_the_source_is_copied_without_what_does_not_belong_to_it(server, changemaker):
    files = server.sh(f'cd {FOLDER}/source && find . -type f').split()
    assert './api/Dockerfile' in files and './admin/VERSION' in files
    assert not [file for file in files if '.git/' in file or 'node_modules' in file or file.endswith('/.env')]


def test_all_secrets_are_there_and_closed_to_others(server, changemaker):
    assert server.sh(f'stat -c "%U %a" {FOLDER}') == 'ccpd 700'
    assert server.sh(f'stat -c "%U %a" {FOLDER}/current/.env') == 'ccpd 600'
    values = env_file(server, SLUG)
    assert SECRETS <= set(values) and len(SECRETS) == 14
    assert len({values[name] for name in SECRETS}) == 14
    assert all(len(values[name]) >= 32 for name in SECRETS)
    assert re.fullmatch('[0-9a-f]{64}', values['ENCRYPTION_KEY'])


def test_the_secrets_are_in_env_and_nowhere_else(server, changemaker):
    values = env_file(server, SLUG)
    secrets = [values[name] for name in SECRETS] + [SMTP_PASSWORD]
    server.write('/root/secrets', ''.join(f'{secret}\n' for secret in secrets), mode='0600')
    files = server.run(['grep', '-rlF', '--file=/root/secrets', FOLDER, '/run/ccpd', '/var/log'], check=False).stdout.split()
    assert set(files) == {f'{FOLDER}/revisions/1/.env'}
    seen = {
        'arguments of processes': server.sh("cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' ' ' || true"),
        'properties': json.dumps(changemaker),
        'status': server.ccpctl('status', SLUG).stdout,
        'jobs': json.dumps(server.json('job', 'list')),
        'journal': server.run(['journalctl', '--boot', '--all', '--output=export'], text=False).stdout.decode(errors='replace'),
    }
    assert {place for place, text in seen.items() if any(secret in text for secret in secrets)} == set()
    assert 'smtp_password' not in changemaker['parameters']


def test_values_arrive_as_they_were_given(server, changemaker):
    api = environment(containers(server, SLUG)['api'])
    assert api['INSTANCE_LABEL'] == NAME
    assert api['SMTP_PASSWORD'] == SMTP_PASSWORD
    assert (api['SMTP_HOST'], api['SMTP_PORT'], api['EMAIL_TEST_MODE']) == ('mail.example.org', '587', 'false')
    assert api['EMAIL_FROM'] == f'noreply@{DOMAIN}'


def test_features_reach_the_application_and_compose(server, changemaker):
    features = json.loads(fetch(server, changemaker, f'api.{DOMAIN}', '/api/features')[2])
    assert {name for name, value in features.items() if value == 'true'} == {'ENABLE_MEDIA', 'ENABLE_SMS'}
    assert len(features) == 7 and set(features.values()) == {'true', 'false'}
    assert set(env_file(server, SLUG)['COMPOSE_PROFILES'].split(',')) == {'media', 'sms'}
    assert set(changemaker['features']) == {'media', 'sms'}


def test_the_generated_password_opens_the_database(server, changemaker):
    password = env_file(server, SLUG)['POSTGRES_PASSWORD']
    login = (f'psql -h 127.0.0.1 -p {changemaker["ports"]["postgres"]} -U changemaker -d changemaker -XAtqc '
             "'SELECT current_user' 2>&1")
    server.write('/root/pgpass', f'*:*:*:*:{password}\n', mode='0600')
    assert server.sh(f'PGPASSFILE=/root/pgpass {login}') == 'changemaker'
    server.write('/root/pgpass', '*:*:*:*:wrong\n', mode='0600')
    assert 'password authentication failed' in server.sh(f'PGPASSFILE=/root/pgpass {login} || true')
    # From another service of the instance, as the application reaches it.
    api = containers(server, SLUG)['api']['Id']
    assert server.sh(f'docker exec {api} python3 -c "from store import psql; print(psql(\'SELECT version()\'))"').startswith('PostgreSQL')


def test_redis_wants_the_generated_password(server, changemaker):
    redis = containers(server, SLUG)['redis']['Id']
    assert server.sh(f'docker exec {redis} redis-cli ping') == 'NOAUTH Authentication required.'
    assert server.sh(f"docker exec {redis} sh -c 'REDISCLI_AUTH=$REDIS_PASSWORD redis-cli ping'") == 'PONG'
    assert environment(containers(server, SLUG)['redis'])['REDIS_PASSWORD'] == env_file(server, SLUG)['REDIS_PASSWORD']


def test_migrations_and_seed_ran_once(server, changemaker):
    found = state(server, changemaker)
    assert (found['migrations'], found['boots'], found['users']) == (2, 1, [f'admin@{DOMAIN}'])


@pytest.mark.parametrize('host, path, text', [
    ('api.', '/api/health', '"status": "ok"'), ('media.', '/health', '"status": "ok"'),
    ('app.', '/', 'Admin GUI, version 2.5.0'), ('', '/', 'Admin GUI, version 2.5.0')])
def test_nginx_routes_by_subdomain(server, changemaker, host, path, text):
    status, headers, body = fetch(server, changemaker, f'{host}{DOMAIN}', path)
    assert status == 200 and text in body
    assert (headers['x-content-type-options'], headers['x-frame-options']) == ('nosniff', 'SAMEORIGIN')
    assert 'strict-transport-security' not in headers


def test_nginx_routes_no_other_host(server, changemaker):
    for host in ('localhost', 'example.org', f'evil-{DOMAIN}', f'other.{DOMAIN}'):
        assert fetch(server, changemaker, host)[0] == 404


def test_nginx_tells_the_application_who_asked(server, changemaker):
    _, headers, body = fetch(server, changemaker, f'api.{DOMAIN}', '/api/request', '-H', 'X-Forwarded-Proto: https')
    request = json.loads(body)
    assert (request['host'], request['x-forwarded-proto']) == (f'api.{DOMAIN}', 'https')
    assert request['x-real-ip'] == request['x-forwarded-for']
    assert headers['strict-transport-security'].startswith('max-age=')


def test_a_websocket_goes_through(server, changemaker):
    output = server.run(['curl', '-sS', '-i', '--max-time', '5', '-H', f'Host: api.{DOMAIN}', '-H', 'Connection: Upgrade', '-H',
                         'Upgrade: websocket', '-H', 'Sec-WebSocket-Version: 13', '-H', 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==',
                         f'http://127.0.0.1:{changemaker["ports"]["nginx"]}/api/chat'], text=False, check=False).stdout
    assert output.startswith(b'HTTP/1.1 101 ')
    assert b'Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=' in output and b'hello' in output


def test_ports_are_of_their_ranges_and_on_the_loopback_address(server, changemaker):
    assert set(changemaker['ports']) == set(RANGES)
    assert all(first <= changemaker['ports'][name] <= last for name, (first, last) in RANGES.items())
    listening = [line.split()[3] for line in server.sh('ss -Hltn').splitlines()]
    for port in changemaker['ports'].values():
        assert [address for address in listening if address.endswith(f':{port}')] == [f'127.0.0.1:{port}']
    published = {(binding['HostIp'], int(binding['HostPort'])) for container in containers(server, SLUG).values()
                 for bindings in (container['HostConfig']['PortBindings'] or {}).values() for binding in bindings}
    assert published == {('127.0.0.1', port) for port in changemaker['ports'].values()}


def test_containers_bear_labels_slice_and_logging(server, changemaker):
    for service, container in containers(server, SLUG).items():
        labels, host = container['Config']['Labels'], container['HostConfig']
        assert {key: labels[f'ccp.{key}'] for key in ('instance', 'id', 'revision', 'service')} == {
            'instance': SLUG, 'id': changemaker['id'], 'revision': '1', 'service': service}
        assert host['CgroupParent'] == r'ccp-north\x2dshore.slice'
        assert host['LogConfig']['Type'] == 'journald'
        assert not host['Privileged'] and not host['CapAdd'] and host['NetworkMode'] == f'{SLUG}_ccp_default'
        assert r'/ccp.slice/ccp-north\x2dshore.slice/' in server.file(f'/proc/{container["State"]["Pid"]}/cgroup')
    for kind, count in (('volume', 3), ('network', 1)):
        assert len(server.sh(f'docker {kind} ls --quiet --filter label=ccp.instance={SLUG}').split()) == count


def test_logs_are_in_the_journal_by_instance_and_service(server, changemaker):
    entries = server.journal(f'CCP_INSTANCE={SLUG}', 'CCP_SERVICE=api')
    assert any(entry['MESSAGE'] == 'listening on 4000' for entry in entries)
    assert {entry['CCP_INSTANCE'] for entry in entries} == {SLUG}
    assert server.journal(f'CCP_INSTANCE={SLUG}', 'CCP_SERVICE=v2-postgres')


def test_the_network_has_the_allocated_subnet(server, changemaker):
    network = json.loads(server.sh(f'docker network inspect {SLUG}_ccp_default'))[0]
    assert [pool['Subnet'] for pool in network['IPAM']['Config']] == [changemaker['subnet']]
    assert changemaker['subnet'].endswith('/26')


def test_two_instances_share_nothing(server, changemaker, other):
    assert other['health'] == 'healthy'
    assert not set(other['ports'].values()) & set(changemaker['ports'].values())
    assert other['subnet'] != changemaker['subnet'] and other['id'] != changemaker['id']
    ours, theirs = env_file(server, SLUG), env_file(server, OTHER)
    assert not {ours[name] for name in SECRETS} & {theirs[name] for name in SECRETS}
    for service in ('api', 'media-api', 'admin'):
        names = {containers(server, slug)[service]['Config']['Image'] for slug in (SLUG, OTHER)}
        assert len(names) == 2
    assert state(server, other)['users'] == ['admin@south.example.org']
    assert fetch(server, other, f'api.{DOMAIN}', '/api/health')[0] == 404
    # One tenant's container cannot reach into the other's network.
    address = containers(server, OTHER)['v2-postgres']['NetworkSettings']['Networks'][f'{OTHER}_ccp_default']['IPAddress']
    api = containers(server, SLUG)['api']['Id']
    assert server.run(['docker', 'exec', api, 'python3', '-c',
                       f'import socket; socket.create_connection(("{address}", 5432), 3)'], check=False).returncode != 0


def test_one_service_restarts_alone(server, changemaker):
    before, boots = containers(server, SLUG), state(server, changemaker)['boots']
    server.ccpctl('restart', SLUG, 'api')
    after = containers(server, SLUG)
    changed = {service for service in SERVICES if before[service]['State']['StartedAt'] != after[service]['State']['StartedAt']}
    assert changed == {'api'}
    assert state(server, changemaker)['boots'] == boots + 1
    assert settled(server, SLUG)['health'] == 'healthy'


def test_stopping_and_starting_keeps_the_data(server, changemaker):
    upload = ('-X', 'PUT', '--data-binary', 'x' * 1000)
    assert fetch(server, changemaker, f'media.{DOMAIN}', '/video', *upload)[0] == 201
    before = state(server, changemaker)

    server.ccpctl('stop', SLUG, timeout=180)
    assert server.json('show', SLUG)['state'] == 'stopped'
    assert not any(container['State']['Running'] for container in containers(server, SLUG).values())
    assert not [line for line in server.sh('ss -Hltn').splitlines() if f':{changemaker["ports"]["api"]} ' in line]

    server.ccpctl('start', SLUG, timeout=180)
    instance = settled(server, SLUG)
    assert (instance['state'], instance['health'], instance['ports']) == ('running', 'healthy', changemaker['ports'])
    after = state(server, changemaker)
    assert (after['migrations'], after['users']) == (before['migrations'], before['users'])
    assert after['boots'] == before['boots'] + 1
    # Redis kept its counter as well.
    assert after['requests'] > before['requests']
    assert json.loads(fetch(server, changemaker, f'media.{DOMAIN}', '/video')[2]) == {'bytes': 1000}


def test_deleting_takes_what_is_ours_and_nothing_else(server, changemaker, other):
    foreign = 'services: {web: {image: "busybox:1.37", command: [sleep, infinity], init: true, volumes: ["data:/data"]}}\nvolumes: {data: {}}\n'
    for project in (SLUG, f'{SLUG}-2_ccp', 'north_ccp'):
        server.run(['docker', 'compose', '-p', project, '-f', '-', 'up', '-d'], input=foreign)
    # Of our project by its name alone.
    server.run(['docker', 'volume', 'create', f'{SLUG}_ccp_mine'])
    server.run(['docker', 'tag', 'busybox:1.37', f'{SLUG}_ccp-mine:latest'])

    server.ccpctl('delete', SLUG, '--yes', timeout=180)

    assert server.ccpctl('show', SLUG, check=False).returncode == 3
    assert containers(server, SLUG) == {} and not server.exists(FOLDER)
    for kind in ('volume', 'network'):
        assert server.sh(f'docker {kind} ls --quiet --filter label=ccp.instance={SLUG}') == ''
    for project in (SLUG, f'{SLUG}-2_ccp', 'north_ccp'):
        assert server.sh(f'docker ps --quiet --filter label=com.docker.compose.project={project} --filter status=running')
        assert server.exists(f'/var/lib/docker/volumes/{project}_data')
    assert server.exists(f'/var/lib/docker/volumes/{SLUG}_ccp_mine')
    images = server.sh("docker images --format '{{.Repository}}'").split()
    assert f'{SLUG}_ccp-mine' in images and f'{OTHER}_ccp-api' in images
    assert not {f'{SLUG}_ccp-api', f'{SLUG}_ccp-media-api', f'{SLUG}_ccp-admin'} & set(images)
    assert server.exists(f'{SOURCE}/api/Dockerfile')
    assert server.json('show', OTHER)['health'] == 'healthy'
    assert state(server, other)['users'] == ['admin@south.example.org']
    assert {port['instance'] for port in server.json('port', 'list')} == {OTHER}
