# SPDX-License-Identifier: LGPL-2.1-or-later
"""Instances, as host tests look at them."""

import json


def containers(server, slug):
    """What docker inspect says of an instance's containers, by service."""
    ids = server.sh(f'docker ps --all --quiet --filter label=ccp.instance={slug}').split()
    found = json.loads(server.run(['docker', 'inspect', *ids]).stdout) if ids else []
    return {container['Config']['Labels']['com.docker.compose.service']: container for container in found}


def settled(server, slug):
    """What `ccpctl show` says of one that runs, once ccpd and the containers' own healthchecks have caught up with what the job
    has seen: what a new container is made of, ccp-watch asks the Engine a moment after its start."""
    def caught_up():
        shown = server.json('show', slug)
        return shown if shown['health'] == 'healthy' and all(service['image_id'] for service in shown['services']) else None
    return server.wait(caught_up, timeout=120, what=f'the health of {slug}')
