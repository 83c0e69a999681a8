# SPDX-License-Identifier: LGPL-2.1-or-later
"""What ccp-setup makes in PostgreSQL: again, after an upgrade, and against who would have it otherwise; and what is on record
in it and in the journal."""

import contextlib
import pathlib

import pytest

from fleet import answers

MIGRATIONS = pathlib.Path(__file__).parents[2] / 'src/store/migrations'
SETUP = ['/usr/lib/ccpd/ccp-setup', '--database']

ACCEPTED = 'a5df4970790447f190e7cb44a178e424'
SUCCEEDED = '070a290e852a4e1ea72fe82fb6145000'


def sql(server, text, user='postgres', database='ccpd', check=True):
    """What a statement gives, as text."""
    return server.run(['psql', '-XAtq', '-v', 'ON_ERROR_STOP=1', '-d', database, '-c', text], user=user, check=check)


def rows(server, text, **options):
    return sql(server, text, **options).stdout.strip()


def store_state(server):
    return server.run(['busctl', 'get-property', 'org.changemaker.ccp1', '/org/changemaker/ccp1', 'org.changemaker.ccp1.Manager',
                       'StoreState']).stdout


def wait_for_store(server, available=True):
    server.wait(lambda: ('"available"' in store_state(server)) == available, what=f'the records to be available: {available}')


@contextlib.contextmanager
def no_sweeps(server):
    """Nothing that a timer of ccpd's starts opens the records meanwhile, and says in the journal what it stumbles over."""
    timer = server.sh("systemctl list-units --plain --no-legend 'ccp-health@*.timer' | cut -d' ' -f1")
    server.sh(f'systemctl stop {timer} ccp-health.service')
    try:
        yield
    finally:
        server.sh(f'systemctl start {timer}')


def test_a_job_is_on_record_and_in_the_journal(server):
    server.ccpctl('create', 'first', '--blueprint', 'hello', '--domain', 'first.example')
    assert rows(server, 'SELECT seq, action, outcome, instance, user_name FROM ccpd_audit.entries ORDER BY seq') == (
        '1|INSTANCE_CREATE|accepted|first|root\n2|INSTANCE_CREATE|succeeded|first|root')
    for message_id, seq, outcome, unit in ((ACCEPTED, '1', 'accepted', 'ccpd.service'),
                                           (SUCCEEDED, '2', 'succeeded', 'ccp-job@1.service')):
        # The journal hears of it after the records, and so after who waits for the job.
        (entry,) = server.wait(lambda: server.journal(f'MESSAGE_ID={message_id}'), what=f'the line that it is {outcome}')
        assert entry['MESSAGE'] == f'root created first: {outcome} (job 1).'
        assert (entry['PRIORITY'], entry['_SYSTEMD_UNIT']) == ('5', unit)
        assert {key: entry[key] for key in ('CCP_ACTION', 'CCP_OUTCOME', 'CCP_INSTANCE', 'CCP_USER', 'CCP_UID', 'CCP_JOB',
                                            'CCP_AUDIT_SEQ')} == {
            'CCP_ACTION': 'INSTANCE_CREATE', 'CCP_OUTCOME': outcome, 'CCP_INSTANCE': 'first', 'CCP_USER': 'root',
            'CCP_UID': '0', 'CCP_JOB': '1', 'CCP_AUDIT_SEQ': seq}
        assert entry['CCP_AUDIT_HASH'] == rows(server, f"SELECT encode(hash, 'hex') FROM ccpd_audit.entries WHERE seq = {seq}")
        assert entry['CCP_ID'] == rows(server, 'SELECT id FROM instances')


def test_the_daemon_can_not_take_it_back(server):
    for text in ('DELETE FROM ccpd_audit.entries', 'UPDATE ccpd_audit.entries SET uid = 1', 'TRUNCATE ccpd_audit.entries',
                 'DROP SCHEMA ccpd_audit CASCADE', 'ALTER TABLE ccpd_audit.entries OWNER TO ccpd', 'SET ROLE ccpd_audit'):
        result = sql(server, text, user='ccpd', check=False)
        assert result.returncode != 0 and ('permission denied' in result.stderr or 'must be owner' in result.stderr), text
    result = sql(server, 'DROP DATABASE ccpd', user='ccpd', database='postgres', check=False)
    assert result.returncode != 0
    assert rows(server, 'SELECT count(*) FROM ccpd_audit.entries') == '2'


def test_again_it_says_and_changes_nothing(server):
    before = rows(server, 'SELECT * FROM ccpd_audit.versions; SELECT * FROM ccpd_audit.head; SELECT datacl FROM pg_database')
    result = server.run(SETUP)
    assert (result.stdout, result.stderr) == ('', '')
    assert rows(server, 'SELECT * FROM ccpd_audit.versions; SELECT * FROM ccpd_audit.head; '
                        'SELECT datacl FROM pg_database') == before


def test_what_lies_in_the_way_is_not_run_by_the_superuser(server):
    with no_sweeps(server):
        sql(server, '''
            CREATE FUNCTION public.to_regclass(text) RETURNS regclass LANGUAGE plpgsql AS
                $$ BEGIN ALTER ROLE ccpd SUPERUSER; RETURN NULL; END $$;
            CREATE FUNCTION public.format(text, name) RETURNS text LANGUAGE plpgsql AS
                $$ BEGIN ALTER ROLE ccpd SUPERUSER; RETURN 'SELECT 1'; END $$;
            CREATE FUNCTION public.eq(name, text) RETURNS boolean LANGUAGE plpgsql AS
                $$ BEGIN ALTER ROLE ccpd SUPERUSER; RETURN false; END $$;
            CREATE OPERATOR public.= (FUNCTION = public.eq, LEFTARG = name, RIGHTARG = text);
            ALTER ROLE ccpd IN DATABASE ccpd SET search_path = public, pg_catalog''', user='ccpd')
        assert server.run(SETUP).stderr == ''
        assert rows(server, "SELECT rolsuper FROM pg_roles WHERE rolname = 'ccpd'") == 'f'
        sql(server, '''DROP OPERATOR public.= (name, text); DROP FUNCTION public.to_regclass, public.format, public.eq;
                       ALTER ROLE ccpd IN DATABASE ccpd RESET search_path''', user='ccpd')


@pytest.mark.allow_journal('PostgreSQL is not available', 'terminating connection')
def test_a_database_of_the_first_version_is_brought_up_to_date(server):
    # As it was then: the role is the owner, and there is neither a record nor a table of roles. A job is under way.
    with no_sweeps(server):
        server.run(['systemctl', 'stop', 'ccpd.service', 'ccp-watch.service'])
        sql(server, '''
            ALTER DATABASE ccpd OWNER TO ccpd;
            DROP SCHEMA ccpd_audit CASCADE;
            DROP TABLE roles, health_sweeps, health_probes, health_current, health_samples, health_hours, health_rolled_up, alerts,
                    alert_messages, alert_deliveries, alert_silences, alert_secrets, disk_use, recoveries, backups, backup_keys,
                    recovery_keys, restores, schedules, storage, doomed_copies CASCADE;
            DROP SEQUENCE schedule_knocks CASCADE;
            DROP TRIGGER notify_backup ON jobs;
            DROP FUNCTION notify_role, notify_use, notify_backup, notify_schedule, forget_backup_key, notify_storage, doom_copy,
                    wait_left;
            DROP INDEX jobs_backup, jobs_drill, jobs_replicate, jobs_one_replicates, jobs_one_waiting;
            ALTER TABLE jobs DROP COLUMN turn, DROP COLUMN turn_at;
            ALTER TABLE instances DROP COLUMN limits, DROP COLUMN stopped_services, DROP COLUMN repair, DROP COLUMN changed_files,
                    DROP COLUMN changed_files_at, DROP COLUMN recovery_reason, DROP COLUMN recovery_run,
                    DROP COLUMN recovery_attempts, DROP COLUMN recovery_at, DROP COLUMN backup_sequence,
                    DROP COLUMN backup_settings, DROP COLUMN backup_knock, DROP COLUMN backup_scheduled_at,
                    DROP COLUMN drill_knock, DROP COLUMN drill_scheduled_at, DROP COLUMN drilled_at;
            ALTER TABLE revisions DROP COLUMN volumes;
            DELETE FROM schema_migrations WHERE version > 1;
            REVOKE USAGE, CREATE ON SCHEMA public FROM ccpd;
            DROP ROLE ccpd_audit''')
        assert rows(server, "SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = 'ccpd'") == 'ccpd'
        server.run(['systemctl', 'start', 'ccpd.service', 'ccp-watch.service'])
        wait_for_store(server, available=False)
        result = server.ccpctl('restart', 'first', check=False)
        assert result.returncode == 5
        assert 'audit record' in result.stderr and '/usr/lib/ccpd/ccp-setup --database' in result.stderr

        result = server.run(SETUP)
        assert 'made the audit record' in result.stderr
        assert rows(server, "SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = 'ccpd'") == 'postgres'
        assert rows(server, "SELECT pg_get_userbyid(nspowner) FROM pg_namespace WHERE nspname = 'ccpd_audit'") == 'ccpd_audit'

        # It is noticed without a restart, and all that was there is. When the records are available they are yet to be read.
        wait_for_store(server)
        server.wait(lambda: answers(server), what='the records')
    assert server.json('show', 'first')['state'] == 'running'
    server.ccpctl('restart', 'first')
    # ccpd looks at the fleet too, which it does once for each start of the Engine that it has no record of.
    assert rows(server, "SELECT outcome FROM ccpd_audit.entries WHERE action <> 'FLEET_RECOVER' ORDER BY seq") == 'accepted\nsucceeded'
    assert rows(server, "SELECT DISTINCT action FROM ccpd_audit.entries WHERE action <> 'FLEET_RECOVER'") == 'INSTANCE_RESTART'
    assert rows(server, 'SELECT min(seq) FROM ccpd_audit.entries') == '1'
    assert rows(server, 'SELECT max(version) FROM schema_migrations') == str(len(list(MIGRATIONS.glob('*.sql'))))


def test_a_schema_that_somebody_else_made_is_not_taken_for_ours(server):
    sql(server, 'ALTER SCHEMA ccpd_audit OWNER TO ccpd')
    result = server.run(SETUP, check=False)
    assert result.returncode == 1 and 'somebody else made it' in result.stderr
    sql(server, 'ALTER SCHEMA ccpd_audit OWNER TO ccpd_audit')
    assert server.run(SETUP).stderr == ''
    server.ccpctl('delete', 'first', '--yes')
