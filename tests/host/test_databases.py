# SPDX-License-Identifier: LGPL-2.1-or-later
"""Backups of each kind of database but PostgreSQL, by its own tools: MariaDB, Redis and SQLite are real. MySQL's tools are stood in for
before a MariaDB, and MongoDB is a stand-in (tests/images/databases)."""

import json
import re

import pytest

from fleet import put_blueprints, query
from instances import containers, settled
from workers import kill_worker, pausing_at, resume_worker

IMAGES = 'databases'
SLUG = 'lund'
FAILS = pytest.mark.allow_journal(r'(Turning back|The job failed): ')
BACKUPS = '/var/lib/ccpd/backups'
STAND_IN = ['python3', '/usr/local/lib/stand-in/stand_in.py']

# Names, texts and bytes that a dump could stumble over; all that is no table; and as many rows as need more than one statement.
SQL = r"""
CREATE TABLE people (id INT PRIMARY KEY AUTO_INCREMENT, name VARCHAR(200), note TEXT, letters INT GENERATED ALWAYS AS (CHAR_LENGTH(name)) STORED,
                     born DATE, at TIMESTAMP NULL, worth DECIMAL(20,6), ratio DOUBLE, data JSON) CHARACTER SET utf8mb4;
INSERT INTO people (name, note, born, at, worth, ratio, data) VALUES
    ('O''Brien; DROP', 'tab\tnew\nline \\ "quote" `tick` ); (', '1970-01-02', '2020-02-03 04:05:06', 12345678901234.567891, 0.1, '{"a": [1, "}"]}'),
    ('😀 Ångström 日本語', NULL, NULL, NULL, NULL, NULL, NULL), ('', '-- no comment', '0001-01-01', NULL, -0.000001, 1e300, '[]');
CREATE TABLE `odd ``name; (` (`a b` INT, `VALUES` VARCHAR(20), PRIMARY KEY (`a b`));
INSERT INTO `odd ``name; (` VALUES (1, 'VALUES ('), (2, '\\'), (3, ''');');
CREATE TABLE bytes (id INT PRIMARY KEY, b LONGBLOB, v VARBINARY(300), flag BIT(3));
INSERT INTO bytes VALUES (1, UNHEX('00ff0a0d5c27221a25'), UNHEX('5c'), b'101'), (2, REPEAT(UNHEX('00e228a1'), 300000), '', b'0'), (3, '', NULL, NULL);
CREATE TABLE empty (n INT);
CREATE TABLE children (id INT PRIMARY KEY, parent INT, FOREIGN KEY (parent) REFERENCES people (id) ON DELETE CASCADE);
INSERT INTO children VALUES (1, 1), (2, 1), (3, NULL);
CREATE TABLE many (n INT, h CHAR(32));
INSERT INTO many SELECT seq, MD5(seq) FROM seq_1_to_40000;
INSERT INTO many SELECT * FROM many WHERE n <= 10;
CREATE TABLE log (n INT, what TEXT);
CREATE VIEW elders AS SELECT id, name FROM people WHERE id < 3;
CREATE VIEW a_view_of_a_view AS SELECT name FROM elders;
DELIMITER //
CREATE TRIGGER seen AFTER INSERT ON people FOR EACH ROW BEGIN
  INSERT INTO log VALUES (NEW.id, 'it''s; new');
END//
CREATE FUNCTION double_it (n INT) RETURNS INT DETERMINISTIC RETURN n * 2//
CREATE PROCEDURE clean () BEGIN
  DELETE FROM log;
  SELECT ';' AS x;
END//
CREATE EVENT nightly ON SCHEDULE EVERY 1 DAY STARTS '2040-01-01 00:00:00' DO DELETE FROM log//
DELIMITER ;
"""
REDIS = '''
local function put(...) redis.call(...) end
for n = 1, 3000 do put("SET", "key:" .. n, "value " .. n) end
put("SET", "odd\\n\\0\\255 key", "\\0\\1\\255\\r\\n")
put("SET", "number", 42)
put("SET", "later", "x", "PXAT", 4102444800123)
for n = 1, 500 do put("RPUSH", "list", n % 7); put("SADD", "set", "m" .. n); put("HSET", "hash", "f" .. n, n); put("ZADD", "zset", n / 3, "z" .. n) end
put("SADD", "numbers", 1, 2, 3)
put("HSET", "small", "a", "", "b", "2")
put("HPEXPIREAT", "small", 4102444800456, "FIELDS", 1, "b")
put("PEXPIREAT", "hash", 4102444800789)
put("XADD", "stream", "1-1", "a", "1")
put("XADD", "stream", "2-1", "b", "2")
put("XGROUP", "CREATE", "stream", "readers", "0")
put("XREADGROUP", "GROUP", "readers", "me", "COUNT", "1", "STREAMS", "stream", ">")
put("PFADD", "visitors", "a", "b", "c")
put("GEOADD", "places", 13.19, 55.7, "Lund")
return 1
'''
# What is there, without a word of ours: each key by what reads its type.
REDIS_DATA = '''
local found = {}
local readers = { string = {"GET"}, list = {"LRANGE", 0, -1}, set = {"SMEMBERS"}, hash = {"HGETALL"}, zset = {"ZRANGE", 0, -1, "WITHSCORES"},
                  stream = {"XINFO", "STREAM", "", "FULL"} }
local function flat(v, out)
  if type(v) == "table" then for _, x in ipairs(v) do flat(x, out) end else out[#out + 1] = tostring(v) end
  return out
end
for _, key in ipairs(redis.call("KEYS", "*")) do
  local kind = redis.call("TYPE", key).ok
  local r, argv = readers[kind], {}
  if kind == "stream" then argv = {"XRANGE", key, "-", "+"} else argv = {r[1], key, r[2], r[3], r[4]} end
  local value = flat(redis.call(unpack(argv)), {})
  if kind == "stream" then flat(redis.call("XPENDING", key, "readers"), value) end
  if kind == "set" or kind == "hash" then table.sort(value) end
  if kind == "hash" then for _, f in ipairs(redis.call("HKEYS", key)) do value[#value + 1] = f .. flat(redis.call("HPEXPIRETIME", key, "FIELDS", 1, f), {})[1] end table.sort(value) end
  found[#found + 1] = redis.sha1hex(key) .. " " .. kind .. " " .. redis.call("PEXPIRETIME", key) .. " " .. redis.sha1hex(table.concat(value, "|"))
end
table.sort(found)
return found
'''
NOTES = r'''
PRAGMA journal_mode = WAL; PRAGMA user_version = 7; PRAGMA application_id = 4711;
CREATE TABLE notes (id INTEGER PRIMARY KEY, text TEXT, data BLOB);
INSERT INTO notes VALUES (1, 'it''s; \', x'00ff'), (2, 'two
lines (', NULL), (3, '😀', zeroblob(100000));
CREATE TABLE "odd ""name" (a, b, PRIMARY KEY (a)) WITHOUT ROWID;
INSERT INTO "odd ""name" VALUES (1, 2.5), ('x', NULL);
CREATE TABLE empty (n);
CREATE VIEW few AS SELECT text FROM notes WHERE id < 3;
CREATE TABLE log (n);
CREATE TRIGGER seen AFTER INSERT ON notes BEGIN INSERT INTO log VALUES (new.id); END;
WITH RECURSIVE c (n) AS (SELECT 10 UNION ALL SELECT n + 1 FROM c WHERE n < 5000) INSERT INTO notes SELECT n, 'note ' || n, NULL FROM c;
'''


def name(service, slug=SLUG):
    return f'{slug}_ccp-{service}-1'


def execute(server, service, *argv, slug=SLUG, **options):
    return server.run(['docker', 'exec', '-i', name(service, slug), *argv], **options).stdout


def secret(server, which, slug=SLUG):
    return server.ccpctl('secret', 'reveal', slug, which).stdout.strip()


def sql(server, service, text, slug=SLUG):
    """As root, for MariaDB's recipe; or as the application's user, which has all rights on its database, for MySQL's."""
    user, which = {'mariadb': ('root', 'ROOT_PASSWORD'), 'mysql': ('app', 'APP_PASSWORD')}[service]
    return server.run(['docker', 'exec', '-i', '-e', f'MYSQL_PWD={secret(server, which, slug)}', name(service, slug), 'mariadb', '-N',
                       f'--user={user}', '--default-character-set=utf8mb4', 'app'], input=text).stdout


def sql_data(server, service, slug=SLUG):
    dump = server.run(['docker', 'exec', '-e', f'MYSQL_PWD={secret(server, "ROOT_PASSWORD", slug)}', name(service, slug), 'mariadb-dump', '--user=root',
                       '--single-transaction', '--routines', '--triggers', '--events', '--hex-blob', '--skip-extended-insert', '--skip-dump-date',
                       '--default-character-set=utf8mb4', 'app'], timeout=60).stdout
    return sorted(dump.splitlines())


def redis(server, *argv, slug=SLUG, **options):
    return server.run(['docker', 'exec', '-i', '-e', f'REDISCLI_AUTH={secret(server, "APP_PASSWORD", slug)}', name('redis', slug),
                       'redis-cli', '-e', *map(str, argv)], **options).stdout


def redis_data(server, slug=SLUG):
    keyspace = [line.split(',avg_ttl')[0] for line in redis(server, 'info', 'keyspace', slug=slug).splitlines()]
    return [redis(server, '-n', n, 'eval', REDIS_DATA, 0, slug=slug).splitlines() for n in (0, 3, 15)] + [
        keyspace, redis(server, 'function', 'list', 'withcode', slug=slug)]


def notes(server, text, file='/data/notes.db', slug=SLUG):
    return execute(server, 'notes', 'sqlite3', '-batch', '-bail', file, slug=slug, input=text)


def notes_data(server, slug=SLUG):
    ask = '.dump\nPRAGMA user_version; PRAGMA application_id; PRAGMA journal_mode; PRAGMA integrity_check;'
    return [notes(server, ask, file, slug).splitlines() for file in ('/data/notes.db', '/other/deep/fresh.db')] + [
        execute(server, 'notes', 'stat', '-c', '%u:%g', '/other/deep/fresh.db', slug=slug),
        execute(server, 'notes', 'stat', '-c', '%a %u:%g', '/data/notes.db', slug=slug)]


def data(server, slug=SLUG):
    return {'mariadb': sql_data(server, 'mariadb', slug), 'mysql': sql_data(server, 'mysql', slug), 'redis': redis_data(server, slug),
            'mongo': execute(server, 'mongo', *STAND_IN, 'list', 'app', slug=slug).splitlines(), 'notes': notes_data(server, slug)}


def assert_same(server, wanted, slug=SLUG):
    found = data(server, slug)
    for kind, value in wanted.items():
        assert found[kind] == value, kind


@pytest.fixture(scope='module')
def instance(server):
    put_blueprints(server, 'databases')
    server.ccpctl('create', SLUG, '--blueprint', 'databases', '--domain', f'{SLUG}.example.org', timeout=300)
    for service in ('mariadb', 'mysql'):
        sql(server, service, SQL)
    for n in (0, 3):
        redis(server, '-n', n, 'eval', REDIS, 0)
    redis(server, '-n', 15, 'set', 'alone', '1')
    redis(server, 'function', 'load', "#!lua name=mine\nredis.register_function('one', function() return 1 end)")
    for n in ('1', '2', '3'):
        execute(server, 'mongo', *STAND_IN, 'insert', 'app', 'people', n, f'person {n} Ångström')
    execute(server, 'mongo', *STAND_IN, 'insert', 'app', 'things', '1', 'x' * 100000)
    execute(server, 'mongo', *STAND_IN, 'insert', 'app', 'empty')
    execute(server, 'notes', 'mkdir', '/other/deep')
    notes(server, NOTES)
    execute(server, 'notes', 'chmod', '640', '/data/notes.db')
    notes(server, 'CREATE TABLE t (n); INSERT INTO t VALUES (1), (2);', '/other/deep/fresh.db')
    return settled(server, SLUG)


@pytest.fixture(scope='module')
def backup(server, instance):
    before = data(server)
    server.ccpctl('backup', 'create', SLUG, timeout=300)
    return {'id': server.json('backup', 'list')[0]['id'], 'data': before}


def spoil(server):
    for service in ('mariadb', 'mysql'):
        sql(server, service, "DROP TABLE children, bytes; DROP VIEW a_view_of_a_view, elders; DROP TRIGGER seen; DROP PROCEDURE clean; DROP EVENT nightly; "
                             "DELETE FROM many WHERE n % 2 = 0; INSERT INTO many VALUES (-1, 'new'); CREATE TABLE later (n INT)")
    redis(server, 'flushall')
    redis(server, 'function', 'flush')
    redis(server, '-n', 7, 'set', 'later', '1')
    execute(server, 'mongo', 'sh', '-c', 'rm /data/db/app.things.bson')
    execute(server, 'mongo', *STAND_IN, 'insert', 'app', 'people', '4711', 'later')
    notes(server, "DELETE FROM notes WHERE id < 100; INSERT INTO notes VALUES (-1, 'later', NULL); DROP TABLE empty; PRAGMA user_version = 8;")
    execute(server, 'notes', 'rm', '/other/deep/fresh.db')


def last_job(server, kind=None):
    """Of that kind: ccpd may have begun one of another meanwhile."""
    return next(job for job in server.json('job', 'list', '--lines=20') if kind in (None, job['kind']))


def steps(server):
    return {step['name']: step for step in server.json('job', 'show', last_job(server)['id'])['steps']}


def leftovers(server):
    return server.sh("docker ps -a --filter name=^ccp- --format '{{.Names}}'; docker ps -a --filter label=com.docker.compose.oneoff=True "
                     "--format '{{.Names}}'; docker network ls --filter name=^ccp-job --format '{{.Name}}'; docker image ls -q ccp-helper; "
                     'find /var/lib/docker/volumes -name "*.ccp*" -o -name .ccp')


def test_each_database_is_in_a_backup(server, instance, backup):
    contents = {entry['name'] for entry in server.json('backup', 'list')[0]['contents'] if entry['kind'] == 'database'}
    assert contents == {'databases/mariadb/app.sql', 'databases/mysql/app.sql', 'databases/redis/redis.rdb', 'databases/mongo/app.archive',
                        'databases/notes/sqlite.sqlite', 'databases/notes/fresh.sqlite'}
    assert leftovers(server) == ''
    server.ccpctl('backup', 'verify', backup['id'], timeout=60)
    # No password stood in arguments, which every user of the server could read, nor stands in the journal.
    journal = json.dumps(server.journal())
    for which in ('ROOT_PASSWORD', 'APP_PASSWORD'):
        assert secret(server, which) not in journal


def data_of_spoiled(server):
    return sql_data(server, 'mariadb'), redis(server, '-n', 7, 'keys', '*'), redis(server, 'info', 'keyspace'), notes(server, '.dump')


def restore_until(server, backup, step, act, *arguments, verb='restore'):
    """Lets a restore stop before a step, and does something to it there."""
    with pausing_at(server, step) as paused:
        server.ccpctl('backup', verb, backup['id'], *arguments, '--no-wait')
        paused()
        act()


def test_a_restore_gives_each_database_back_whatever_its_volume_has(server, instance, backup):
    spoil(server)
    spoiled = data_of_spoiled(server)

    def put_other_data():
        """What the instance has now, which is not what the dumps have, into volumes that the restore filled."""
        job = last_job(server)['id']
        for key in ('redis-data', 'notes-data'):
            used = {m['Destination']: m['Name'] for m in containers(server, SLUG)[key.removesuffix('-data')]['Mounts']}['/data']
            server.sh(f'cd /var/lib/docker/volumes; find {SLUG}_ccp_{key}.r{job}/_data -mindepth 1 -delete; '
                      f'cp -a {used}/_data/. {SLUG}_ccp_{key}.r{job}/_data/; ls {SLUG}_ccp_{key}.r{job}/_data | grep -e notes.db -e appendonlydir')
        server.sh(f'echo stale >/var/lib/docker/volumes/{SLUG}_ccp_notes-data.r{job}/_data/notes.db-wal')
        resume_worker(server)

    restore_until(server, backup, 'databases', put_other_data)
    server.wait(lambda: last_job(server)['state'] in ('succeeded', 'failed'), 180, 'the end')
    assert last_job(server)['state'] == 'succeeded'
    assert_same(server, backup['data'])
    assert settled(server, SLUG)['health'] == 'healthy'
    assert leftovers(server) == ''
    # Of MariaDB and what stands for MySQL, of three databases of Redis, of MongoDB's stand-in, of two files of SQLite.
    rows = 2 * (3 + 3 + 3 + 3 + 40010) + (3012 + 3012 + 1) + 4 + (4994 + 2 + 4991) + 2
    assert steps(server)['databases']['detail'] == f'{rows} rows'
    # They are what they were: what is in a database acts, and what is written stays.
    for service in ('mariadb', 'mysql'):
        assert sql(server, service, "INSERT INTO people (name) VALUES ('new'); SELECT n, what FROM log; SELECT double_it(4)").split('\n')[:2] == [
            "4\tit's; new", '8']
    notes(server, "INSERT INTO notes VALUES (-5, 'new', NULL)")
    assert notes(server, 'SELECT max(n), min(n) FROM log').strip() == '5000|-5'
    redis(server, 'set', 'new', 1)
    for service in ('redis', 'mariadb'):
        server.sh(f'docker restart {name(service)}')
    settled(server, SLUG)
    redis(server, 'del', 'new')
    assert redis_data(server) == backup['data']['redis']

    server.ccpctl('restore', 'undo', SLUG, timeout=300)
    assert data_of_spoiled(server) == spoiled
    server.ccpctl('restore', 'undo', SLUG, timeout=300)
    assert redis_data(server) == backup['data']['redis']


PROGRAMS = {'mariadb': 'mariadbd', 'mysql': 'mysqld', 'redis': 'redis-cli', 'mongo': 'mongod', 'notes': 'sqlite3'}


def test_a_backup_says_the_version_of_each_database(server, instance, backup):
    contents = [entry for entry in server.json('backup', 'show', backup['id'])['contents'] if entry['kind'] == 'database']
    for entry in contents:
        said = execute(server, entry['service'], PROGRAMS[entry['service']], '--version')
        assert entry['version'] == re.search(r'\d+(\.\d+)+', said).group(), said
    shown = server.ccpctl('backup', 'show', backup['id']).stdout
    assert f"mongodb {dict((e['service'], e['version']) for e in contents)['mongo']}" in shown


@FAILS
def test_a_dump_of_a_newer_database_is_not_loaded(server, instance, backup):
    before = data(server)
    # What the server was, by what its program says; the image has what it had.
    server.run(['docker', 'exec', '-u', '0', name('mariadb'), 'sh', '-euc', 'mv /usr/sbin/mariadbd /usr/sbin/mariadbd.real; '
                'printf "#!/bin/sh\\necho mariadbd  Ver 99.1.2-MariaDB\\n" >/usr/sbin/mariadbd; chmod 755 /usr/sbin/mariadbd'])
    try:
        server.ccpctl('backup', 'create', SLUG, timeout=120)
        newer = server.json('backup', 'list')[0]
    finally:
        server.run(['docker', 'exec', '-u', '0', name('mariadb'), 'mv', '/usr/sbin/mariadbd.real', '/usr/sbin/mariadbd'])
    assert 'mariadb 99.1.2' in server.ccpctl('backup', 'show', newer['id']).stdout
    result = server.ccpctl('backup', 'restore', newer['id'], check=False, timeout=300)
    assert result.returncode == 6 and '99.1.2 of mariadb' in result.stderr and '--any-version' in result.stderr, result.stderr
    assert leftovers(server) == ''
    assert_same(server, before)
    server.ccpctl('backup', 'restore', newer['id'], '--any-version', timeout=300)
    assert_same(server, before)
    server.ccpctl('backup', 'delete', newer['id'], '--yes', timeout=60)


def test_a_drill_proves_each_database(server, instance, backup):
    before = data(server)
    server.ccpctl('backup', 'drill', backup['id'], timeout=300)
    assert 'rows' in steps(server)['databases']['detail'] and 'rows' in steps(server)['volumes']['detail']
    assert leftovers(server) == ''
    assert_same(server, before)


def recovered(server):
    """Docker was started anew, and ccpd does no more because of that: a job of its own would be in the way of the next one."""
    server.wait(lambda: query(server, 'SELECT ended_at IS NOT NULL FROM recoveries ORDER BY id DESC LIMIT 1') == 't',
                what='the end of the recovery')


@pytest.mark.allow_journal(r'[Tt]he Docker Engine', r'Docker does not answer', r'after a restart of the engine')
@pytest.mark.parametrize('verb, step', [('drill', 'open'), ('drill', 'volumes'), ('drill', 'databases'), ('restore', 'volumes')])
def test_it_goes_on_though_the_engine_is_restarted(server, instance, backup, verb, step):
    before, since = data(server), server.cursor()

    def restart():
        if step == 'volumes':
            # In the middle of it: there is a container for SQLite's file, which holds the volumes.
            resume_worker(server)
            server.wait(lambda: server.sh('docker ps -q --filter label=com.docker.compose.oneoff=True'), what='the container', interval=0.02)
            server.sh('systemctl restart docker.service')
        else:
            # Neither the instance's databases run any more, nor those of the drill.
            server.sh('systemctl restart docker.service')
            assert server.sh('docker ps --quiet') == ''
            resume_worker(server)
    restore_until(server, backup, step, restart, verb=verb)
    server.wait(lambda: last_job(server, verb)['state'] in ('succeeded', 'failed'), 180, 'the end')
    job = last_job(server, verb)
    assert (job['state'], job['attempt']) == ('succeeded', 1)
    # Nobody else may start the instance meanwhile, whether the worker saw the engine before or not.
    said = [entry['MESSAGE'] for entry in server.journal(f'CCP_JOB={job["id"]}', since=since)]
    assert 'The engine was restarted: starting what ran before.' in said, said
    server.wait(lambda: server.json('show', SLUG)['health'] == 'healthy', what='the health')
    recovered(server)
    assert_same(server, before if verb == 'drill' else backup['data'])
    assert leftovers(server) == ''


@pytest.mark.allow_journal(r'[Tt]he Docker Engine', r'Docker does not answer', r'after a restart of the engine', r'ccp-job', r'Main process exited', r'Failed with result')
@pytest.mark.parametrize('step, attempts', [('volumes', 2), ('databases', 1)], ids=['its-worker-is-killed', 'the-engine-is-restarted'])
def test_a_backup_becomes_a_new_instance_though(server, instance, backup, step, attempts):
    def restart():
        # The servers ran already, with nothing in them.
        server.sh('systemctl restart docker.service; pkill -CONT -x ccp-job')

    def kill():
        # A container for SQLite's file is there, and holds the volumes.
        resume_worker(server)
        server.wait(lambda: server.sh('docker ps -q --filter label=com.docker.compose.oneoff=True --filter label=ccp.instance=malmo'), 60,
                    'the container', interval=0.02)
        kill_worker(server)
    restore_until(server, backup, step, kill if step == 'volumes' else restart, '--as=malmo', '--domain=malmo.example.org')
    server.wait(lambda: last_job(server, 'clone')['state'] in ('succeeded', 'failed'), 240, 'the end')
    assert (last_job(server, 'clone')['state'], last_job(server, 'clone')['attempt']) == ('succeeded', attempts)
    assert settled(server, 'malmo')['health'] == 'healthy'
    recovered(server)
    assert secret(server, 'ROOT_PASSWORD', 'malmo') != secret(server, 'ROOT_PASSWORD')
    assert_same(server, backup['data'], 'malmo')
    assert leftovers(server) == ''
    # Redis is nobody's replica, and would ask its peers for what it would have asked them before.
    assert 'role:master' in redis(server, 'info', 'replication', slug='malmo')
    assert redis(server, 'config', 'get', 'masterauth', slug='malmo').split()[1] == secret(server, 'APP_PASSWORD', 'malmo')
    server.ccpctl('delete', 'malmo', '--yes', timeout=120)


def test_a_cold_backup_has_each_database(server, instance, backup):
    """SQLite's service is an application, and stopped like one."""
    server.ccpctl('backup', 'create', SLUG, '--consistency=cold', '--quiet', timeout=300)
    cold = server.json('backup', 'list')[0]
    assert cold['consistency'] == 'cold' and {entry['name'] for entry in cold['contents']} == {
        entry['name'] for entry in server.json('backup', 'show', backup['id'])['contents']}
    assert leftovers(server) == ''
    server.wait(lambda: server.json('show', SLUG)['health'] == 'healthy', what='the health')


def idle_container(server):
    return server.sh("docker ps -q --filter name=^ccp-idle-")


@pytest.mark.allow_journal(r'ccp-job', r'Main process exited', r'Failed with result')
@pytest.mark.parametrize('act', ['cancel', 'kill'])
def test_what_is_stopped_stays_so_whatever_becomes_of_its_backup(server, instance, backup, act):
    server.ccpctl('stop', SLUG)
    known = len(server.json('backup', 'list'))
    server.ccpctl('backup', 'create', SLUG, '--no-wait')
    job = last_job(server)['id']
    server.wait(lambda: idle_container(server), what='the container for the file of a database', interval=0.02)
    if act == 'cancel':
        server.ccpctl('job', 'cancel', job)
    else:
        kill_worker(server)
    server.wait(lambda: last_job(server)['state'] in ('succeeded', 'failed', 'cancelled'), 180, 'the end')
    assert last_job(server)['state'] == ('cancelled' if act == 'cancel' else 'succeeded')
    assert len(server.json('backup', 'list')) == known + (act == 'kill')
    assert server.sh(f'docker ps -q --filter label=ccp.instance={SLUG}') == '' and leftovers(server) == ''
    server.ccpctl('start', SLUG, timeout=120)


def test_what_is_stopped_is_backed_up_and_comes_back(server, instance, backup):
    before = data(server)
    server.ccpctl('stop', SLUG)
    server.ccpctl('backup', 'create', SLUG, timeout=300)
    assert server.json('show', SLUG)['state'] == 'stopped'
    assert server.sh(f'docker ps -q --filter label=ccp.instance={SLUG}') == '' and leftovers(server) == ''
    cold = server.json('backup', 'list')[0]
    assert cold['consistency'] == 'cold' and {entry['name'] for entry in cold['contents']} == {
        entry['name'] for entry in server.json('backup', 'show', backup['id'])['contents']}
    server.ccpctl('start', SLUG, timeout=120)
    settled(server, SLUG)
    spoil(server)
    server.ccpctl('backup', 'restore', cold['id'], '--quiet', timeout=300)
    assert_same(server, before)
    assert leftovers(server) == ''


TOOLS = {
    'mariadb': '/usr/bin/mariadb-dump', 'mysql': '/usr/local/bin/mysqldump', 'redis': '/usr/bin/redis-cli', 'mongo': '/usr/local/bin/mongodump',
    'notes': '/usr/bin/sqlite3'}


@FAILS
@pytest.mark.parametrize('service', list(TOOLS))
def test_a_tool_that_fails_after_some_output_makes_no_backup(server, instance, backup, service):
    before = server.json('backup', 'list')
    tool = TOOLS[service]
    try:
        # One fails and one is killed; others end well, and wrote no whole dump, or nothing. sqlite3 writes to a file.
        for script, words in ((f'{tool}.real "$@" | head -c 20000; exit 1', 'ended with 1'),
                              (f'{tool}.real "$@" | head -c 20000; kill -KILL $$', 'ended with 137: it was killed'),
                              (f'{tool}.real "$@" | head -c 20000', 'no whole dump'), (':', 'no whole dump'))[:2 if service == 'notes' else 4]:
            server.run(['docker', 'exec', '-u', '0', name(service), 'sh', '-euc',
                        f'[ -e {tool}.real ] || mv {tool} {tool}.real; printf "#!/bin/sh\\n%s\\n" "$1" >{tool}; chmod 755 {tool}', 'sh', script])
            result = server.ccpctl('backup', 'create', SLUG, check=False, timeout=120)
            assert result.returncode == 6 and f"'{service}'" in result.stderr and words in result.stderr, result.stderr
            assert server.json('backup', 'list') == before
    finally:
        server.run(['docker', 'exec', '-u', '0', name(service), 'mv', f'{tool}.real', tool])
    assert server.sh(f'find {BACKUPS} -name "*.part"') == ''


@FAILS
def test_a_wrong_password_is_said(server, instance, backup):
    def refused(words):
        result = server.ccpctl('backup', 'create', SLUG, check=False, timeout=120)
        assert result.returncode == 6 and words in result.stderr, result.stderr
        assert secret(server, 'ROOT_PASSWORD') not in result.stderr and secret(server, 'APP_PASSWORD') not in result.stderr

    user = execute(server, 'mongo', 'cat', '/data/db/user')
    execute(server, 'mongo', 'sh', '-c', 'echo root:other >/data/db/user')
    try:
        refused('AuthenticationFailed')
    finally:
        server.run(['docker', 'exec', '-i', name('mongo'), 'sh', '-c', 'cat >/data/db/user'], input=user)
    redis(server, 'config', 'set', 'requirepass', 'other')
    try:
        refused('WRONGPASS')
    finally:
        server.run(['docker', 'exec', '-e', 'REDISCLI_AUTH=other', name('redis'), 'redis-cli', 'config', 'set', 'requirepass',
                    secret(server, 'APP_PASSWORD')])
    sql(server, 'mariadb', "ALTER USER root@localhost IDENTIFIED BY 'other'")
    try:
        refused('Access denied')
    finally:
        server.run(['docker', 'exec', '-i', '-e', 'MYSQL_PWD=other', name('mariadb'), 'mariadb', '--user=root'],
                   input=f"ALTER USER root@localhost IDENTIFIED BY '{secret(server, 'ROOT_PASSWORD')}'")


@FAILS
def test_what_sqlite_lacks_is_said(server, instance, backup):
    def refused(words):
        result = server.ccpctl('backup', 'create', SLUG, check=False, timeout=120)
        assert result.returncode == 6 and words in result.stderr, result.stderr

    server.run(['docker', 'exec', '-u', '0', name('notes'), 'mv', '/usr/bin/sqlite3', '/usr/bin/elsewhere'])
    try:
        refused('no program sqlite3 in the image of this service. Add it there')
    finally:
        server.run(['docker', 'exec', '-u', '0', name('notes'), 'mv', '/usr/bin/elsewhere', '/usr/bin/sqlite3'])
    execute(server, 'notes', 'mv', '/data/notes.db', '/data/moved')
    try:
        refused('no file /data/notes.db')
        execute(server, 'notes', 'sh', '-euc', 'cp /data/moved /data/notes.db; dd if=/dev/urandom of=/data/notes.db bs=1000 seek=20 count=3 conv=notrunc')
        refused('notes')
    finally:
        execute(server, 'notes', 'mv', '/data/moved', '/data/notes.db')
    assert leftovers(server) == ''
