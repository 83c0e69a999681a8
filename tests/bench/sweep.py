# SPDX-License-Identifier: LGPL-2.1-or-later
"""A fleet for the bench of the sweeps, straight through the Engine's API: jobs would take an hour to make it. Runs outside of the
server, whose root is the first argument: the small Python in it has no json.

make IMAGE      reads lines "SLUG UUID PORT"; makes and starts three containers of each, the first of which answers HTTP on PORT"""

import json
import sys

from containers import Engine

# What it does: a web server, a database that listens for nobody, a worker.
SERVICES = {'web': ['httpd', '-f', '-p', '8080', '-h', '/etc'], 'db': ['sleep', '1000000'], 'worker': ['sleep', '1000000']}


def make(image):
    engine = Engine()
    for line in sys.stdin:
        slug, uuid, port = line.split()
        for service, command in SERVICES.items():
            published = {'8080/tcp': [{'HostIp': '127.0.0.1', 'HostPort': port}]} if service == 'web' else {}
            made = engine.call('POST', f'/containers/create?name={slug}_ccp-{service}-1', {
                'Image': image, 'Entrypoint': command[:1], 'Cmd': command[1:], 'ExposedPorts': {key: {} for key in published},
                'HostConfig': {'NetworkMode': 'bridge' if published else 'none', 'Init': True, 'PortBindings': published},
                'Labels': {'ccp.instance': slug, 'ccp.id': uuid, 'ccp.service': service, 'ccp.revision': '1',
                           'com.docker.compose.project': f'{slug}_ccp', 'com.docker.compose.service': service,
                           'com.docker.compose.oneoff': 'False', 'com.docker.compose.container-number': '1',
                           'com.docker.compose.config-hash': '0' * 64}})
            engine.call('POST', f'/containers/{made["Id"]}/start')
    containers = json.dumps(len(engine.call('GET', '/containers/json?filters={"label":["ccp.instance"]}')))
    print(f'{containers} containers run')


if __name__ == '__main__':
    {'make': make}[sys.argv[2]](*sys.argv[3:])
