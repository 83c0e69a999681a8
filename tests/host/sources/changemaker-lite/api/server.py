"""The main API: its health, what it knows of its start, what reached it, and a WebSocket that greets."""

import base64
import datetime
import hashlib
import json
import os
import signal
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from store import psql, redis

WEBSOCKET = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11'
COUNTS = """SELECT json_build_object('migrations', (SELECT count(*) FROM migrations), 'boots', (SELECT count(*) FROM boots),
                                     'users', (SELECT json_agg(email) FROM users))"""


class Handler(BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'

    def do_GET(self):
        if self.path == '/api/health':
            self.health()
        elif self.path == '/api/state':
            self.answer(200, json.loads(psql(COUNTS)) | {'requests': int(redis('INCR', 'requests')[1:])})
        elif self.path == '/api/request':
            self.answer(200, {name.lower(): value for name, value in self.headers.items()})
        elif self.path == '/api/features':
            self.answer(200, {name: value for name, value in os.environ.items() if name.startswith('ENABLE_')})
        elif self.path == '/api/chat' and self.headers.get('Upgrade', '').lower() == 'websocket':
            self.greet()
        else:
            self.answer(404, {'error': 'not found'})

    do_HEAD = do_GET

    def health(self):
        try:
            psql('SELECT count(*) FROM migrations')
            redis('PING')
        except (OSError, ValueError) as error:
            self.answer(503, {'status': 'unavailable', 'error': str(error)})
        else:
            self.answer(200, {'status': 'ok', 'timestamp': datetime.datetime.now(datetime.UTC).isoformat()})

    def greet(self):
        key = self.headers['Sec-WebSocket-Key'] + WEBSOCKET
        self.send_response(101)
        self.send_header('Upgrade', 'websocket')
        self.send_header('Connection', 'Upgrade')
        self.send_header('Sec-WebSocket-Accept', base64.b64encode(hashlib.sha1(key.encode()).digest()).decode())
        self.end_headers()
        self.wfile.write(b'\x81\x05hello\x88\x00')
        self.close_connection = True

    def answer(self, status, content):
        body = json.dumps(content).encode() + b'\n'
        self.send_response(status)
        self.send_header('Content-Type', 'application/json')
        self.send_header('Content-Length', str(len(body)))
        self.end_headers()
        if self.command != 'HEAD':
            self.wfile.write(body)


if __name__ == '__main__':
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    print(f'listening on {os.environ["PORT"]}')
    ThreadingHTTPServer(('', int(os.environ['PORT'])), Handler).serve_forever()
