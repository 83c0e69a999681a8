# SPDX-License-Identifier: LGPL-2.1-or-later
"""A webhook: hook.py FOLDER PORT. Runs in the server. Each request is a line of JSON in FOLDER/requests; FOLDER/mode says how it
is answered: 200, 500 or any other status, "redirect", "big" (ten megabytes), "hang" (no answer)."""

import json
import pathlib
import socket
import sys
import threading
import time

FOLDER, PORT = pathlib.Path(sys.argv[1]), int(sys.argv[2])


def read_request(connection):
    data = b''
    while b'\r\n\r\n' not in data:
        data += connection.recv(65536) or sys.exit('no request')
    head, _, body = data.partition(b'\r\n\r\n')
    first, *lines = head.decode().split('\r\n')
    headers = dict(line.split(': ', 1) for line in lines)
    while len(body) < int(headers.get('Content-Length', 0)):
        body += connection.recv(65536)
    return {'request': first, 'headers': headers, 'body': body.decode(), 'time': time.time()}


def answer(connection, mode):
    if mode == 'hang':
        time.sleep(60)
    elif mode == 'redirect':
        connection.sendall(f'HTTP/1.1 307 No\r\nLocation: http://127.0.0.1:{PORT}/redirected\r\nContent-Length: 0\r\n\r\n'.encode())
    elif mode == 'big':
        connection.sendall(b'HTTP/1.1 200 OK\r\nContent-Length: 10000000\r\n\r\n')
        for _ in range(1000):
            connection.sendall(b'x' * 10000)
    else:
        connection.sendall(f'HTTP/1.1 {mode} Answer\r\nContent-Length: 0\r\n\r\n'.encode())


def serve(connection):
    with connection:
        try:
            request = read_request(connection)
            mode = (FOLDER / 'mode').read_text().strip()
            with open(FOLDER / 'requests', 'a', encoding='utf-8') as f:
                f.write(json.dumps(request | {'mode': mode}) + '\n')
            answer(connection, mode)
        except OSError:
            pass


listener = socket.create_server(('127.0.0.1', PORT))
while True:
    threading.Thread(target=serve, args=[listener.accept()[0]], daemon=True).start()
