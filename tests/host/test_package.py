# SPDX-License-Identifier: LGPL-2.1-or-later
"""The Debian packages: installed, upgraded, removed and purged with apt, on a server that did not have them."""

import re
import os
import pathlib
import subprocess

import pytest

from server import DEV, Server

PACKAGES = False

KEY = '/etc/credstore.encrypted/ccpd.master-key'
APT = ['env', 'DEBIAN_FRONTEND=noninteractive', 'apt-get', '-q', '-y', '-o', 'Dpkg::Use-Pty=0']


@pytest.fixture(scope='module')
def debs():
    """The packages of this checkout."""
    subprocess.run([DEV, 'deb'], check=True, capture_output=True)
    found = sorted(pathlib.Path(DEV).parent.joinpath('dist').glob('*.deb'))
    assert [path.name.split('_')[0] for path in found] == ['ccpctl', 'ccpd']
    return found


def copy(server, debs):
    server.run(['rm', '-rf', '/root/debs'])
    for path in debs:
        server.run(['sh', '-euc', 'mkdir -p /root/debs; cat >"/root/debs/$1"', 'sh', path.name], input=path.read_bytes(), text=False)


def install(server, debs):
    copy(server, debs)
    return server.run([*APT, 'install', '--allow-downgrades', *(f'/root/debs/{path.name}' for path in debs)], timeout=600)


def later(server, suffix):
    """The same packages with a higher version, made of those that were copied to the server."""
    server.sh(f'''
        cd /root/debs
        for package in ccpctl ccpd; do
            dpkg-deb --raw-extract "$package"_*.deb new
            sed -i -e 's/^Version: .*/&{suffix}/' -e 's/\\(ccpctl (= [^)]*\\)/\\1{suffix}/' new/DEBIAN/control
            rm "$package"_*.deb
            dpkg-deb --build new "${{package}}_later.deb" >/dev/null
            rm -r new
        done''')
    return server.run([*APT, 'install', '/root/debs/ccpctl_later.deb', '/root/debs/ccpd_later.deb'], timeout=600)


def pid(server, unit):
    return server.sh(f'systemctl show --property=MainPID --value {unit}')


@pytest.fixture(scope='module')
def installed(server, debs):
    install(server, debs)
    return server


def test_install_starts_the_services(installed):
    for unit in ('ccpd.service', 'ccp-watch.service', 'ccpd-notify.socket', 'ccp-logs.socket'):
        assert installed.sh(f'systemctl is-active {unit}') == 'active'
        assert installed.sh(f'systemctl is-enabled {unit}') == 'enabled'
    assert installed.sh('systemctl is-system-running') == 'running'
    for unit in ('ccpd.service', 'ccp-watch.service'):
        assert installed.sh(f'systemctl show --property=NRestarts --value {unit}') == '0'


def test_an_instance_can_be_created_right_after_the_installation(installed):
    installed.ccpctl('create', 'first', '--blueprint', 'hello', '--domain', 'first.example')
    assert installed.json('show', 'first')['state'] == 'running'
    installed.ccpctl('delete', 'first', '--yes')


def test_install_makes_the_user_without_a_shell(installed):
    fields = installed.sh('getent passwd ccpd').split(':')
    assert int(fields[2]) < 1000
    assert fields[5] == '/var/lib/ccpd'
    assert fields[6].endswith('nologin')
    # The socket of Docker is as good as root: units that need it are given the group, the user is not.
    assert 'docker' not in installed.sh('id -nG ccpd').split()


def test_install_makes_the_database(installed):
    assert installed.run(['psql', '-XAtqc', 'SELECT current_user', 'ccpd'], user='ccpd').stdout.strip() == 'ccpd'
    role = installed.run(['psql', '-XAtqc', "SELECT rolsuper, rolcreatedb, rolcreaterole FROM pg_roles WHERE rolname = 'ccpd'"],
                         user='postgres').stdout.strip()
    assert role == 'f|f|f'
    installed.sh('useradd outsider')
    installed.run(['createuser', 'outsider'], user='postgres')
    result = installed.run(['psql', '-XAtqc', 'SELECT 1', 'ccpd'], user='outsider', check=False)
    assert result.returncode != 0 and 'permission denied' in result.stderr


def test_install_makes_the_master_key(installed):
    assert installed.sh(f'stat -c "%a %U:%G" {KEY}') == '600 root:root'
    assert installed.sh(f'systemd-creds decrypt --name=ccpd.master-key {KEY} - | wc -c') == '32'
    # The credential is bound to its name.
    assert installed.run(['systemd-creds', 'decrypt', '--name=other', KEY, '-'], check=False).returncode != 0


def test_setup_again_changes_nothing(installed):
    before = installed.sh(f'sha256sum {KEY}')
    result = installed.run(['/usr/lib/ccpd/ccp-setup'])
    assert result.stderr == ''
    assert installed.sh(f'sha256sum {KEY}') == before


def test_setup_is_for_root(installed):
    result = installed.run(['/usr/lib/ccpd/ccp-setup'], user='nobody', check=False)
    assert result.returncode == 1 and 'root' in result.stderr
    assert installed.run(['/usr/lib/ccpd/ccp-setup', '--nonsense'], check=False).returncode == 2


def test_files_lie_where_they_should(installed):
    files = set(installed.sh('dpkg-query -L ccpd ccpctl').splitlines())
    assert {'/usr/lib/ccpd/ccpd', '/usr/lib/ccpd/ccp-job', '/usr/lib/ccpd/ccp-logs', '/usr/lib/ccpd/ccp-watch', '/usr/bin/ccpctl',
            '/usr/lib/systemd/system/ccpd.service', '/usr/lib/systemd/system/ccp-job@.service',
            '/usr/lib/systemd/system/ccp-logs.service', '/usr/lib/systemd/system/docker.service.d/50-ccpd-logs.conf',
            '/usr/share/dbus-1/system.d/org.changemaker.ccp1.conf', '/usr/share/ccpd/templates',
            '/usr/share/polkit-1/actions/org.changemaker.ccp1.policy', '/usr/share/polkit-1/rules.d/50-ccpd.rules',
            '/usr/lib/systemd/catalog/ccpd.catalog'} <= files
    assert not [path for path in files if path.startswith(('/usr/local', '/opt', '/home', '/etc/systemd'))]
    assert installed.run(['dpkg', '--verify', 'ccpd', 'ccpctl']).stdout == ''


def test_systemd_understands_every_line_of_the_units(installed):
    units = [path for path in installed.sh('dpkg-query -L ccpd').splitlines()
             if path.startswith('/usr/lib/systemd/system/') and '.' in path.rpartition('/')[2]
             and not re.search(r'\.(service|slice)\.d', path)]
    assert len(units) >= 5
    # A schedule's name is a calendar expression.
    names = [path.replace('ccp-schedule@.', 'ccp-schedule@daily.').replace('@.', '@1.') for path in units]
    result = installed.run(['systemd-analyze', 'verify', '--man=no', *names], check=False)
    said = [text for text in result.stderr.splitlines() if 'ccp' in text]
    assert (said, result.returncode) == ([], 0)


def test_binaries_are_hardened(installed):
    for program in ('/usr/lib/ccpd/ccpd', '/usr/lib/ccpd/ccp-job', '/usr/lib/ccpd/ccp-logs', '/usr/lib/ccpd/ccp-watch',
                    '/usr/bin/ccpctl'):
        # A position-independent executable is of type 3 (ET_DYN) in its ELF header.
        assert installed.sh(f'od -An -tu2 -j16 -N2 {program}').strip() == '3', program


def test_upgrade_restarts_the_daemon_and_no_job(installed, debs):
    copy(installed, debs)
    # A stand-in for a job that runs: an upgrade must not end units of this template. It tells no watchdog that it lives.
    installed.sh('mkdir -p "/run/systemd/system/ccp-job@1.service.d"; '
                 'printf "[Service]\\nType=exec\\nWatchdogSec=0\\nExecStart=\\nExecStart=sleep 600\\nExecStopPost=\\n" '
                 '>"/run/systemd/system/ccp-job@1.service.d/sleep.conf"; systemctl daemon-reload; systemctl start ccp-job@1.service')
    installed.sh('docker run -d --name tenant --label ccp.instance=tenant busybox:1.37 sleep 600')
    job, daemon, watch, key = (pid(installed, 'ccp-job@1'), pid(installed, 'ccpd'), pid(installed, 'ccp-watch'),
                               installed.sh(f'sha256sum {KEY}'))
    container = installed.sh('docker inspect -f "{{.State.Pid}}" tenant')
    later(installed, '+1')
    assert installed.sh("dpkg-query -W -f '${Version}' ccpd").endswith('+1')
    assert pid(installed, 'ccp-job@1') == job
    assert pid(installed, 'ccpd') not in ('0', daemon)
    installed.wait(lambda: pid(installed, 'ccp-watch') not in ('0', watch), what='ccp-watch')
    assert installed.sh('docker inspect -f "{{.State.Pid}}" tenant') == container
    assert installed.sh(f'sha256sum {KEY}') == key
    installed.sh('systemctl stop ccp-job@1.service; rm -r "/run/systemd/system/ccp-job@1.service.d"; systemctl daemon-reload')


def kept(server):
    return (server.sh(f'sha256sum {KEY}'), server.file('/var/lib/ccpd/instances/kept'),
            server.run(['psql', '-XAtqc', 'SELECT * FROM kept', 'ccpd'], user='postgres').stdout)


def test_remove_and_purge_keep_what_belongs_to_tenants(installed, debs):
    installed.sh('echo data >/var/lib/ccpd/instances/kept')
    installed.run(['psql', '-qc', 'CREATE TABLE kept AS SELECT 1', 'ccpd'], user='ccpd')
    before = kept(installed)
    # As on a server where apt brought them for ccpd.
    installed.sh('apt-mark auto docker.io postgresql')
    result = installed.run([*APT, 'remove', 'ccpd'], timeout=600)
    assert 'apt-mark manual docker.io postgresql' in result.stderr + result.stdout
    installed.sh('apt-mark manual docker.io postgresql')
    assert not installed.exists('/usr/lib/ccpd/ccpd')
    assert installed.run(['systemctl', 'is-active', 'ccpd.service'], check=False).returncode != 0
    assert installed.sh('docker inspect -f "{{.State.Running}}" tenant') == 'true'
    assert kept(installed) == before
    result = installed.run([*APT, 'purge', 'ccpd'], timeout=600)
    assert 'kept /var/lib/ccpd' in result.stderr + result.stdout
    assert kept(installed) == before
    # A later installation goes on with it.
    install(installed, debs)
    assert kept(installed) == before
    assert installed.sh('systemctl is-active ccpd.service') == 'active'


def test_purge_deletes_only_what_was_asked_for(installed):
    def purge():
        installed.sh('echo "ccpd ccpd/purge-data boolean true" | debconf-set-selections')
        # The question is asked anew at each purge; with this frontend the answer given beforehand counts.
        return installed.run([*APT, 'purge', 'ccpd'], timeout=600)

    # While containers of instances exist, not even a yes deletes their data.
    result = purge()
    assert 'containers of instances still exist' in result.stderr + result.stdout
    assert installed.exists(KEY) and installed.exists('/var/lib/ccpd/instances/kept')
    installed.sh('docker rm -f tenant')
    install(installed, sorted(pathlib.Path(DEV).parent.joinpath('dist').glob('*.deb')))
    purge()
    assert not installed.exists(KEY) and not installed.exists('/var/lib/ccpd')
    assert installed.run(['psql', '-XAtqc', "SELECT count(*) FROM pg_database WHERE datname = 'ccpd'"],
                         user='postgres').stdout.strip() == '0'
    assert installed.run(['psql', '-XAtqc', "SELECT count(*) FROM pg_roles WHERE rolname LIKE 'ccpd%'"],
                         user='postgres').stdout.strip() == '0'


def test_install_without_postgresql_says_what_to_do(debs):
    with Server(f'test-nodb-{os.getpid()}', packages=False, images=None) as server:
        server.sh('systemctl stop postgresql.service postgresql@17-main.service')
        result = install(server, debs)
        assert 'ccp-setup --database' in result.stderr + result.stdout
        assert server.sh("dpkg-query -W -f '${db:Status-Status}' ccpd") == 'installed'
        server.sh('systemctl start postgresql@17-main.service')
        server.run(['/usr/lib/ccpd/ccp-setup'])
        assert server.run(['psql', '-XAtqc', 'SELECT current_user', 'ccpd'], user='ccpd').stdout.strip() == 'ccpd'
