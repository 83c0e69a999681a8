"""The media API: keeps what is uploaded, and is healthy if the database that it shares with the main API answers."""

import json
import os
import pathlib
import signal
import subprocess
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

UPLOADS = pathlib.Path('uploads')


def database_answers():
    url = urlsplit(os.environ['DATABASE_URL'])
    login = {'PGHOST': url.hostname, 'PGPORT': str(url.port or 5432), 'PGUSER': unquote(url.username),
             'PGPASSWORD': unquote(url.password), 'PGDATABASE': url.path[1:], 'PGCONNECT_TIMEOUT': '3'}
    return subprocess.run(['psql', '-XqAt', '-c', 'SELECT 1'], capture_output=True, env={**os.environ, **login}).returncode == 0


class Handler(BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'

    def do_GET(self):
        if self.path == '/health':
            ok = database_answers()
            self.answer(200 if ok else 503, {'status': 'ok' if ok else 'unavailable'})
        elif (file := UPLOADS / pathlib.PurePosixPath(self.path).name).is_file():
            self.answer(200, {'bytes': file.stat().st_size})
        else:
            self.answer(404, {'error': 'not found'})

    do_HEAD = do_GET

    def do_PUT(self):
        data = self.rfile.read(int(self.headers['Content-Length']))
        (UPLOADS / pathlib.PurePosixPath(self.path).name).write_bytes(data)
        self.answer(201, {'bytes': len(data)})

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
