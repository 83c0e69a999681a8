# SPDX-License-Identifier: LGPL-2.1-or-later
"""What people type, on a real server: either it is refused by a sentence that names it, with a status that says what kind of
mistake it is, and nothing is changed; or it arrives unchanged in the container."""

import json

import pytest

from fleet import put_blueprints
from instances import containers

INSTANCES = '/var/lib/ccpd/instances'

# Jobs that fail say so.
pytestmark = pytest.mark.allow_journal(r'ccp-job.*(The job failed|Turning back)')

# One value in every place of an .env and a YAML file where a value can stand, and in files of other formats.
VALUES = {
    'blueprint.yaml': '''
name: values
title: Values
version: "1.0"
parameters:
  line: { type: string, default: "", max_length: 4096 }
  text: { type: string, default: "", multiline: true, max_length: 65536 }
  single: { type: string, default: "" }
  code: { type: string, default: "abc", pattern: "[a-z]{3}" }
  count: { type: integer, default: 1, minimum: 0, maximum: 9 }
  flag: { type: boolean, default: false }
  colour: { type: enum, values: [red, green], default: red }
  hidden: { type: string, default: "none", secret: true }
features:
  extra: { title: "Extra" }
files:
  - { template: docker-compose.yml.hbs, target: docker-compose.yml, format: yaml }
  - { template: env.hbs, target: .env, format: dotenv, mode: "0600" }
  - { template: value.json.hbs, target: files/value.json, format: json }
  - { template: value.txt.hbs, target: files/value.txt, format: text }
services:
  main: { stage: application, timeout: 30s, health: { type: command, command: ["true"] } }
''',
    'env.hbs': '''BARE={{parameters.text}}
DOUBLE="{{parameters.text}}"
LINE_BARE={{parameters.line}}
LINE_DOUBLE="{{parameters.line}}"
SINGLE='{{parameters.single}}'
AROUND="<{{parameters.line}}>"
''',
    'docker-compose.yml.hbs': '''
services:
  main:
    image: busybox:1.37
    init: true
    command: [sleep, infinity]
    environment:
      PLAIN: {{parameters.text}}
      QUOTED: "{{parameters.text}}"
      BARE: ${BARE}
      DOUBLE: ${DOUBLE}
      LINE_PLAIN: {{parameters.line}}
      LINE_QUOTED: "{{parameters.line}}"
      LINE_SINGLE_QUOTED: '{{parameters.line}}'
      LINE_BARE: ${LINE_BARE}
      LINE_DOUBLE: ${LINE_DOUBLE}
      SINGLE: ${SINGLE}
      LINE_AROUND: ${AROUND}
    labels:
      org.example.value: "{{parameters.line}}"
    volumes: ["./files:/files:ro"]
''',
    'value.json.hbs': '{ "text": "{{parameters.text}}", "line": "{{parameters.line}}" }\n',
    'value.txt.hbs': '{{parameters.line}}\n',
}

BROKEN = {
    'blueprint.yaml': '''name: broken
title: Broken
version: "1.0"
colour: blue
''',
}
# Its description is right, its template is not.
BROKEN_TEMPLATE = {
    'blueprint.yaml': '''name: broken-template
title: Broken template
version: "1.0"
files:
  - { template: docker-compose.yml.hbs, target: docker-compose.yml, format: yaml }
services:
  main: { stage: application, health: { type: container } }
''',
    'docker-compose.yml.hbs': 'services:\n  main:\n    image: {{#if domain}}busybox:1.37\n',
}

# Everything that has a meaning somewhere on the way to a container.
LINE = ''' it's "quoted" `x` $HOME ${HOME:-x} $$ {{slug}} {{{slug}}} {{#if}} #hash # comment \\ \\n \\" \\' %s & <b> | ; ! * ~ [a] {b: c} - ? é 中 😀 = : '''
TEXT = f'first\n{LINE}\n\tthird: "x"\n\n- last'


@pytest.fixture(scope='module', autouse=True)
def blueprints(server):
    put_blueprints(server, 'trivial', 'oneshot', 'wants-etc', 'wants-privileged', 'wants-socket', values=VALUES, broken=BROKEN,
                   broken_template=BROKEN_TEMPLATE)


@pytest.fixture(autouse=True)
def clean(server):
    yield
    for slug in server.sh(f'ls -A {INSTANCES}').split():
        server.ccpctl('delete', slug, '--yes', '--quiet')


def everything(server):
    """What there is of instances: rows but those of jobs that ended, folders, objects of the Engine."""
    return server.sh(f"""
        runuser -u postgres -- psql -tAX -d ccpd -c "SELECT (SELECT count(*) FROM instances), (SELECT count(*) FROM ports),
            (SELECT count(*) FROM subnets), (SELECT count(*) FROM secrets), (SELECT count(*) FROM revisions),
            (SELECT count(*) FROM jobs WHERE finished_at IS NULL)"
        ls -A {INSTANCES}; docker ps --all --quiet; docker network ls --quiet --filter label=ccp.instance; docker volume ls --quiet""")


NOTHING = '0|0|0|0|0|0'


def create(server, *options, slug='alpha', blueprint='values', domain='alpha.example.org', **rest):
    return server.ccpctl('create', slug, '--blueprint', blueprint, '--domain', domain, *options, check=False, **rest)


def refused(server, result, status, *words):
    if isinstance(result.stdout, bytes):
        result.stdout, result.stderr = result.stdout.decode(), result.stderr.decode()
    assert (result.returncode, result.stdout) == (status, ''), result
    assert all(word in result.stderr for word in words), result.stderr
    # One sentence, not the inside of the program.
    assert len(result.stderr.splitlines()) <= 2 and 'rrno' not in result.stderr, result.stderr
    assert everything(server) == NOTHING


# --- refused ---


@pytest.mark.parametrize('slug', ['../x', 'a..b', 'x' * 64, 'x' * 33, 'Upper', 'a_b', '-a', 'a-', 'a b', 'ä', 'a/b', '', 'a\nb', '$(id)'])
def test_a_slug_that_cannot_be_is_refused(server, slug):
    result = server.ccpctl('create', '--blueprint', 'values', '--domain', 'a.example.org', '--', slug, check=False)
    refused(server, result, 2, 'slug')


@pytest.mark.parametrize('domain', ['', 'localhost', 'a b.example.org', '-a.example.org', 'a..org', '1.2.3.4', 'ä.example.org', 'a.org;x',
                                    'a.example.org\nx', f'{"x" * 64}.org', f'{"x." * 130}org', '../etc', '$(id).org', '{{slug}}.org'])
def test_a_domain_that_cannot_be_is_refused(server, domain):
    refused(server, create(server, domain=domain), 2, 'domain')


@pytest.mark.parametrize('options, words', [
    (['--set', 'nonsense=1'], ['nonsense', 'count']),
    (['--set', 'count=10'], ['count', '9']),
    (['--set', 'count=many'], ['count', 'many']),
    (['--set', 'count=1e3'], ['count']),
    (['--set', 'count=99999999999999999999'], ['count']),
    (['--set', 'flag=perhaps'], ['flag', 'perhaps']),
    (['--set', 'colour=blue'], ['colour', 'blue', 'green']),
    (['--set', 'code=abcd'], ['code', 'abcd']),
    (['--set', 'code=ab\nc'], ['code']),
    (['--set', 'line=a\nb'], ['line']),
    (['--set', 'line=a\x1bb'], ['line']),
    (['--set', 'line'], ['line', 'KEY=VALUE']),
    (['--set', '=x'], ['KEY=VALUE']),
    (['--set', 'hidden=x'], ['hidden', '--set-file']),
    (['--set', 'line=' + 'x' * 4097], ['line', '4096', '4097']),
    (['--feature', 'nonsense'], ['nonsense', 'extra']),
    (['--feature', 'extra=perhaps'], ['extra']),
    (['--name', 'a\nb'], ['name']),
    (['--name', 'x' * 101], ['name', '100']),
    (['--set-file', 'text=/nonexistent'], ['/nonexistent']),
    (['--set-file', 'text=/etc'], ['/etc']),
    (['--source', '/nonexistent'], ['/nonexistent']),
    (['--nonsense'], ['--nonsense']),
    (['extra-word'], ['arguments']),
    (['--json=loud'], ['loud']),
], ids=lambda value: ' '.join(value)[:40] if isinstance(value, list) else None)
def test_an_option_that_cannot_be_is_refused_by_name(server, options, words):
    refused(server, create(server, *options), 1 if options[-1] in ('text=/nonexistent', 'text=/etc', '/nonexistent') else 2, *words)


@pytest.mark.parametrize('content, status, words', [
    (b'a\0b', 2, ['NUL']),
    (b'a\xffb', 2, ['UTF-8']),
    (b'x' * 1024 * 1024, 2, ['64 KiB']),
    (b'x' * (64 * 1024 + 1), 2, ['64 KiB']),
], ids=['NUL', 'no text', '1 MB', '64 KiB and a byte'])
def test_a_file_that_cannot_be_a_value_is_refused(server, content, status, words):
    server.run(['sh', '-euc', 'cat >/root/value'], input=content, text=False)
    refused(server, create(server, '--set-file', 'text=/root/value'), status, '/root/value', *words)
    # From its standard input as well.
    refused(server, create(server, '--set-file', 'text=-', input=content, text=False), status, *words)


def test_what_ccpctl_would_not_send_is_refused_by_ccpd(server):
    def call(*words):
        result = server.run(['busctl', 'call', 'org.changemaker.ccp1', '/org/changemaker/ccp1', 'org.changemaker.ccp1.Manager',
                             'CreateInstance', 'ssa{sv}', *words], check=False)
        assert result.returncode != 0 and everything(server) == NOTHING
        return result.stderr
    assert 'colour' in call('alpha', 'values', '1', 'colour', 's', 'red')
    assert 'domain' in call('alpha', 'values', '1', 'domain', 'u', '7')
    assert 'domain' in call('alpha', 'values', '0')
    assert 'slug' in call('../x', 'values', '1', 'domain', 's', 'a.example.org')
    big = server.sh('x=$(head -c 120000 /dev/zero | tr "\\0" x); busctl call org.changemaker.ccp1 /org/changemaker/ccp1 '
                    'org.changemaker.ccp1.Manager CreateInstance "ssa{sv}" alpha values 2 domain s a.example.org parameters "a{ss}" 10 '
                    + ' '.join(f'k{n} $x' for n in range(10)) + ' 2>&1 || true')
    assert 'bytes' in big and len(big) < 1000 and everything(server) == NOTHING


@pytest.mark.parametrize('blueprint, status, words', [
    ('nonsense', 3, ['nonsense', 'blueprint list']),
    ('../values', 2, ['blueprint']),
    ('broken', 1, ['blueprint.yaml:4:1', 'colour']),
])
def test_a_blueprint_that_cannot_be_used_is_refused(server, blueprint, status, words):
    refused(server, create(server, blueprint=blueprint), status, *words)


def test_a_broken_blueprint_hinders_no_other(server):
    listed = server.ccpctl('blueprint', 'list').stdout
    assert 'values' in listed and 'trivial' in listed
    assert any('blueprint.yaml:4:1' in line and line.startswith('broken ') for line in listed.splitlines()), listed
    lint = server.ccpctl('blueprint', 'lint', 'broken', check=False)
    assert lint.returncode == 1 and '/etc/ccpd/templates/broken/blueprint.yaml:4:1' in lint.stdout + lint.stderr
    server.ccpctl('create', 'alpha', '--blueprint', 'trivial', '--domain', 'a.example.org', '--quiet')


def test_a_broken_template_is_told_with_its_place(server):
    result = create(server, blueprint='broken-template')
    assert result.returncode in (1, 6) and 'docker-compose.yml.hbs:3:12' in result.stderr, result
    assert everything(server) == NOTHING


@pytest.mark.parametrize('blueprint, key', [('wants-etc', 'volumes'), ('wants-privileged', 'privileged'), ('wants-socket', 'volumes')])
def test_what_the_policy_refuses_is_named(server, blueprint, key):
    result = create(server, blueprint=blueprint)
    assert result.returncode == 6 and 'main' in result.stderr and key in result.stderr, result
    assert everything(server) == NOTHING
    job = server.json('job', 'list', '--lines', '1')[0]
    assert job['error']['name'] == 'org.changemaker.ccp1.Error.PolicyViolation'


# --- exit statuses ---


@pytest.mark.parametrize('status, argv', [
    (0, ['list']), (0, ['--version']), (0, ['--help']), (0, ['help', 'create']), (0, []),
    (2, ['nonsense']), (2, ['--nonsense']), (2, ['list', '--state', 'nonsense']), (2, ['show']), (2, ['create', 'alpha']),
    (2, ['settings', 'set', 'nonsense=1']), (2, ['settings', 'set', 'port_range_api=5']), (2, ['settings', 'set', 'job_concurrency=0']),
    (2, ['settings', 'set', 'subnet_pool=8.8.8.0/24']), (2, ['job', 'show', '-1']), (2, ['job', 'show', 'x']), (2, ['delete', 'alpha']),
    (3, ['show', 'alpha']), (3, ['status', 'alpha']), (3, ['start', 'alpha']), (3, ['delete', 'alpha', '--yes']),
    (3, ['job', 'show', '999999']), (3, ['job', 'cancel', '999999']), (3, ['blueprint', 'show', 'nonsense']),
], ids=lambda value: ' '.join(value) if isinstance(value, list) else str(value))
def test_the_exit_status_says_what_kind_of_failure_it_is(server, status, argv):
    result = server.ccpctl(*argv, check=False)
    assert result.returncode == status, result
    assert (result.stderr == '') == (status == 0)


def test_a_job_that_fails_is_another_status_than_a_call_that_fails(server):
    assert create(server, '--set', 'status=3', blueprint='oneshot').returncode == 6
    server.ccpctl('create', 'alpha', '--blueprint', 'trivial', '--domain', 'a.example.org', '--quiet')
    assert create(server, domain='b.example.org').returncode == 1
    assert create(server, slug='beta', domain='a.example.org').returncode == 1
    assert server.ccpctl('start', 'alpha', check=False).returncode in (0, 1)
    assert server.ccpctl('restart', 'alpha', 'nonsense', check=False).returncode == 2


# --- unchanged ---


def environment(server, slug='alpha'):
    """What the process in the container has, not what was asked for."""
    output = server.run(['docker', 'exec', f'{slug}_ccp-main-1', 'cat', '/proc/1/environ'], text=False).stdout
    return dict(entry.split('=', 1) for entry in output.decode().split('\0') if entry)


def assert_arrived(server, line, text):
    seen = environment(server)
    for name in ('PLAIN', 'QUOTED', 'BARE', 'DOUBLE'):
        assert seen[name] == text, name
    for name in ('PLAIN', 'QUOTED', 'SINGLE_QUOTED', 'BARE', 'DOUBLE'):
        assert seen[f'LINE_{name}'] == line, name
    assert seen['LINE_AROUND'] == f'<{line}>'
    assert containers(server, 'alpha')['main']['Config']['Labels']['org.example.value'] == line
    files = server.run(['docker', 'exec', 'alpha_ccp-main-1', 'cat', '/files/value.json']).stdout
    assert json.loads(files) == {'text': text, 'line': line}
    assert server.file(f'{INSTANCES}/alpha/current/files/value.txt') == f'{line}\n'
    parameters = server.json('show', 'alpha')['parameters']
    assert (parameters['line'], parameters['text']) == (line, text)


def test_odd_values_arrive_unchanged_in_the_container(server):
    server.write('/root/value', TEXT)
    single = """it's "quoted" $HOME ${HOME:-x} $$ {{slug}} # comment \\n é"""
    server.ccpctl('create', 'alpha', '--blueprint', 'values', '--domain', 'a.example.org', '--set', f'line={LINE}', '--set-file',
                  'text=/root/value', '--set', f'single={single}', '--quiet')
    assert_arrived(server, LINE, TEXT)
    assert environment(server)['SINGLE'] == single


def test_a_value_that_its_place_cannot_hold_is_refused_with_the_place(server):
    # In single quotes of an .env nothing stands for a backslash before the quote.
    result = create(server, '--set', 'single=a\\')
    assert result.returncode == 6 and 'env.hbs:5:9' in result.stderr and 'parameters.single' in result.stderr, result
    assert everything(server) == NOTHING


@pytest.mark.parametrize('line, text', [
    ('', ''),
    ('yes', 'null'),
    ('0x10', '1_000'),
    ("'", '"'),
    ('\\', '\n'),
    ('$', '${'),
    ('&anchor', '*alias'),
    ('a' * 4096, 'b' * 65535),
], ids=['empty', 'words of YAML', 'numbers', 'quotes', 'ends', 'dollars', 'anchors', 'long'])
def test_values_that_look_like_something_else_arrive_unchanged(server, line, text):
    # One newline at the end of a file is that of the editor.
    server.write('/root/line', f'{line}\n')
    server.write('/root/text', f'{text}\n')
    server.ccpctl('create', 'alpha', '--blueprint', 'values', '--domain', 'a.example.org', '--set-file', 'line=/root/line', '--set-file',
                  'text=/root/text', '--quiet')
    assert_arrived(server, line, text)
