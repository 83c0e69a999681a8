"""The admin GUI: the files that the build made."""

import os
import signal
import sys
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

if __name__ == '__main__':
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    print(f'listening on {os.environ["PORT"]}')
    ThreadingHTTPServer(('', int(os.environ['PORT'])), partial(SimpleHTTPRequestHandler, directory='dist')).serve_forever()
