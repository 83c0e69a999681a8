# SPDX-License-Identifier: LGPL-2.1-or-later
"""All that a change could change, to see that nothing did."""

# What sweeps see, and what is measured, goes on being written.
DUMP = ("cd /; runuser -u postgres -- pg_dump --data-only --column-inserts --schema=public --exclude-table='health_*' "
        '--exclude-table=disk_use ccpd')


def state(server, records=True):
    """Rows, files, containers, networks and volumes, each as a sorted list of lines. The record of what happened is not among the
    rows: it has a schema of its own."""
    parts = {
        'files': "find /var/lib/ccpd -printf '%y %m %u:%g %s %T@ %p\\n'",
        'containers': "docker ps --all --no-trunc --format '{{.ID}} {{.Names}} {{.State}}'",
        'networks': 'docker network ls --quiet --no-trunc',
        'volumes': 'docker volume ls --quiet',
    }
    if records:
        # Neither comments nor the values of sequences, which a change that was taken back moves too.
        parts['rows'] = f"{DUMP} | grep '^INSERT'"
    return {name: sorted(server.sh(script).splitlines()) for name, script in parts.items()}
