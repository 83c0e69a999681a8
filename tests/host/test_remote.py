# SPDX-License-Identifier: LGPL-2.1-or-later
"""ccpctl from elsewhere: -H reaches the bus of another machine over ssh, and asks the five pages on a terminal."""

import json
import os

from terminal import Terminal
from users import enable_ssh


def test_a_host_option_goes_over_ssh(server):
    enable_ssh(server)
    assert json.loads(server.ccpctl('-H', 'root@127.0.0.1', 'list', '--json=short').stdout) == []
    assert server.ccpctl('-H', 'root@127.0.0.1', 'show', 'nobody', check=False).returncode == 3
    assert server.ccpctl('-H', 'nobody-there@127.0.0.1', 'list', check=False).returncode not in (0, 3)


def test_create_alone_asks_for_everything(server):
    terminal = Terminal(server, 'ccpctl', 'create')
    terminal.expect(r'Step 1 of 5')
    terminal.expect(r'Blueprint.*: ')
    terminal.type('nonsense')
    terminal.expect(r'Blueprint.*: ')
    terminal.type('hello')
    terminal.expect(r'Name.*: ')
    terminal.type('Edmonton Chapter')
    terminal.expect(r'Slug \[edmonton-chapter\]: ')
    terminal.type('Not A Slug')
    terminal.expect(r'lower-case')
    terminal.expect(r'Slug.*: ')
    terminal.type('edmonton')
    terminal.expect(r'Domain.*: ')
    terminal.type('edmonton.example.org')
    for page in ('Step 2 of 5: Features', 'Step 3 of 5: E-mail', 'Step 4 of 5: Tunnel', 'Step 5 of 5: Review', r'web=\d+', r'Create it\?'):
        terminal.expect(page)
    terminal.type('y')
    terminal.expect(r'edmonton was created and is running', 240)
    assert terminal.end() == 0
    assert server.json('show', 'edmonton')['name'] == 'Edmonton Chapter'


def test_leaving_the_questions_makes_nothing(server):
    terminal = Terminal(server, 'ccpctl', 'create')
    terminal.expect(r'Blueprint.*: ')
    os.write(terminal.fd, b'\x04')
    assert terminal.end() != 0
    assert [i['slug'] for i in server.json('list')] in ([], ['edmonton'])
