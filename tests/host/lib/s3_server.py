# SPDX-License-Identifier: LGPL-2.1-or-later
"""A storage that speaks as much S3 as is needed: s3_server.py FOLDER PORT. Runs in the server, and verifies each signature. Objects
are files in FOLDER/objects, named as their keys with ":" for "/"; FOLDER/mode is JSON, and says what goes wrong:
    delete      "deny": it keeps what it has
    fail        [[METHOD, from, to, status, code], …]: the n-th request of a method, counted from 0, is answered by this (503
                SlowDown, where no more is said)
    hold        [[METHOD, from, to], …]: these are not answered while the mode says so
    slow        seconds that each part of an object takes
Each request is a line of FOLDER/requests: METHOD, path, query, status. FOLDER/uploads has the keys of the uploads in parts that
were begun and not ended."""

import hashlib
import json
import os
import pathlib
import socket
import sys
import threading
import time
import urllib.parse

FOLDER, PORT = pathlib.Path(sys.argv[1]), int(sys.argv[2])
BUCKET, REGION = 'backups', 'us-east-1'
KEYS = {'ACCESSKEYOFCCPD': 'secret/key+of/ccpd'}
OBJECTS = FOLDER / 'objects'
uploads, counts, lock = {}, {}, threading.Lock()


class Refused(Exception):
    def __init__(self, status, code):
        self.status, self.code = status, code


def mode():
    try:
        return json.loads((FOLDER / 'mode').read_text())
    except (OSError, ValueError):
        return {}


def read_head(connection):
    data = b''
    while b'\r\n\r\n' not in data:
        more = connection.recv(65536)
        if not more:
            raise ConnectionError
        data += more
    head, _, body = data.partition(b'\r\n\r\n')
    first, *lines = head.decode().split('\r\n')
    method, target, _ = first.split(' ')
    path, _, query = target.partition('?')
    return method, path, query, {k.lower(): v.strip() for k, v in (line.split(':', 1) for line in lines)}, body


def read_body(connection, headers, body):
    size = int(headers.get('content-length', 0))
    if headers.get('expect', '').lower() == '100-continue' and len(body) < size:
        connection.sendall(b'HTTP/1.1 100 Continue\r\n\r\n')
    body = bytearray(body)
    while len(body) < size:
        more = connection.recv(1 << 20)
        if not more:
            raise ConnectionError
        body += more
        if mode().get('slow'):
            time.sleep(mode()['slow'])
    return bytes(body)


def hmac(key, text):
    """The server has no module for it."""
    key = key.ljust(64, b'\0')
    inner = hashlib.sha256(bytes(byte ^ 0x36 for byte in key) + text.encode()).digest()
    return hashlib.sha256(bytes(byte ^ 0x5c for byte in key) + inner).digest()


def sign(secret, scope, text):
    key = b'AWS4' + secret.encode()
    for part in scope:
        key = hmac(key, part)
    return hmac(key, text).hex()


def verify(method, path, query, headers, body):
    given = dict(part.strip().split('=', 1) for part in headers['authorization'].partition(' ')[2].split(','))
    access, *scope = given['Credential'].split('/')
    if access not in KEYS:
        raise Refused(403, 'InvalidAccessKeyId')
    digest = headers['x-amz-content-sha256']
    if digest != 'UNSIGNED-PAYLOAD' and digest != hashlib.sha256(body).hexdigest():
        raise Refused(400, 'XAmzContentSHA256Mismatch')
    signed = given['SignedHeaders'].split(';')
    canonical = '\n'.join([method, path, query, *(f'{name}:{headers[name]}' for name in signed), '', ';'.join(signed), digest])
    text = '\n'.join(['AWS4-HMAC-SHA256', headers['x-amz-date'], '/'.join(scope), hashlib.sha256(canonical.encode()).hexdigest()])
    if scope[1:] != [REGION, 's3', 'aws4_request'] or sign(KEYS[access], scope, text) != given['Signature']:
        raise Refused(403, 'SignatureDoesNotMatch')


def file_of(key):
    return OBJECTS / key.replace('/', ':')


def etag(data):
    return f'"{hashlib.md5(data).hexdigest()}"'


def xml(name, content):
    return f'<?xml version="1.0" encoding="UTF-8"?><{name}>{content}</{name}>'.encode()


def moment(seconds):
    return time.strftime('%Y-%m-%dT%H:%M:%S.000Z', time.gmtime(seconds))


def get(key, headers, head):
    if not file_of(key).exists():
        raise Refused(404, 'NoSuchKey')
    data = file_of(key).read_bytes()
    answer = {'ETag': etag(data), 'Last-Modified': time.strftime('%a, %d %b %Y %H:%M:%S GMT', time.gmtime())}
    if headers.get('if-match', answer['ETag']) != answer['ETag']:
        raise Refused(412, 'PreconditionFailed')
    if head:
        return 200, answer | {'Content-Length': len(data)}, b''
    if 'range' not in headers:
        return 200, answer, data
    first, _, last = headers['range'].removeprefix('bytes=').partition('-')
    first, last = int(first), min(int(last or len(data) - 1), len(data) - 1)
    return 206, answer | {'Content-Range': f'bytes {first}-{last}/{len(data)}'}, data[first:last + 1]


def store(key, headers, body):
    if headers.get('if-none-match') == '*' and file_of(key).exists():
        raise Refused(412, 'PreconditionFailed')
    part = OBJECTS.parent / f'.{os.urandom(8).hex()}'
    part.write_bytes(body)
    part.rename(file_of(key))
    return etag(body)


def list_objects(query):
    found = ''.join(
        f'<Contents><Key>{key}</Key><LastModified>{moment(p.stat().st_mtime)}</LastModified><Size>{p.stat().st_size}</Size></Contents>'
        for p in sorted(OBJECTS.iterdir()) if (key := p.name.replace(':', '/')).startswith(query.get('prefix', '')))
    return 200, {}, xml('ListBucketResult', f'<IsTruncated>false</IsTruncated>{found}')


def list_uploads(query):
    found = ''.join(f'<Upload><Key>{u["key"]}</Key><UploadId>{i}</UploadId><Initiated>{moment(u["at"])}</Initiated></Upload>'
                    for i, u in uploads.items() if u['key'].startswith(query.get('prefix', '')))
    return 200, {}, xml('ListMultipartUploadsResult', f'<IsTruncated>false</IsTruncated>{found}')


def tell_uploads():
    (FOLDER / 'uploads').write_text(''.join(f'{u["key"]}\n' for u in list(uploads.values())))


def upload(method, key, query, headers, body):
    """What belongs to an upload in parts."""
    if 'uploads' in query and method == 'POST':
        identifier = os.urandom(8).hex()
        uploads[identifier] = {'key': key, 'at': time.time(), 'parts': {}}
        tell_uploads()
        return 200, {}, xml('InitiateMultipartUploadResult', f'<UploadId>{identifier}</UploadId>')
    if query['uploadId'] not in uploads:
        raise Refused(404, 'NoSuchUpload')
    if method == 'PUT':
        uploads[query['uploadId']]['parts'][int(query['partNumber'])] = body
        return 200, {'ETag': etag(body)}, b''
    if method == 'POST':
        parts = uploads[query['uploadId']]['parts']
        tag = store(key, headers, b''.join(parts[n] for n in sorted(parts)))
        del uploads[query['uploadId']]
        tell_uploads()
        return 200, {}, xml('CompleteMultipartUploadResult', f'<ETag>{tag}</ETag>')
    del uploads[query['uploadId']]
    tell_uploads()
    return 204, {}, b''


def named(what, method, n):
    """What the mode says of the n-th request of a method; None: nothing."""
    return next((more for m, first, last, *more in mode().get(what, []) if m == method and first <= n < last), None)


def handle(method, path, query, headers, body):
    verify(method, path, query, headers, body)
    with lock:
        n = counts[method] = counts.get(method, -1) + 1
    while named('hold', method, n) is not None:
        time.sleep(0.1)
    failure = named('fail', method, n)
    if failure is not None:
        raise Refused(*(failure or (503, 'SlowDown')))
    query = dict(urllib.parse.parse_qsl(query, keep_blank_values=True))
    bucket, _, key = urllib.parse.unquote(path).removeprefix('/').partition('/')
    if bucket != BUCKET:
        raise Refused(404, 'NoSuchBucket')
    if not key:
        return list_uploads(query) if 'uploads' in query else list_objects(query)
    if 'uploads' in query or 'uploadId' in query:
        return upload(method, key, query, headers, body)
    if method in ('GET', 'HEAD'):
        return get(key, headers, method == 'HEAD')
    if method == 'PUT':
        return 200, {'ETag': store(key, headers, body)}, b''
    if mode().get('delete') == 'deny':
        raise Refused(403, 'AccessDenied')
    file_of(key).unlink(missing_ok=True)
    return 204, {}, b''


def serve(connection):
    with connection:
        try:
            method, path, query, headers, body = read_head(connection)
            body = read_body(connection, headers, body)
        except (ConnectionError, ValueError):
            return
        try:
            status, answer, content = handle(method, path, query, headers, body)
        except Refused as refused:
            status, answer = refused.status, {}
            content = b'' if method == 'HEAD' else xml('Error', f'<Code>{refused.code}</Code><Message>It is so.</Message>')
        with lock, (FOLDER / 'requests').open('a') as log:
            log.write(f'{method} {path} {query} {status}\n')
        answer = {'Content-Length': len(content), 'Connection': 'close',
                  'Date': time.strftime('%a, %d %b %Y %H:%M:%S GMT', time.gmtime())} | answer
        head = f'HTTP/1.1 {status} Answer\r\n' + ''.join(f'{k}: {v}\r\n' for k, v in answer.items()) + '\r\n'
        try:
            connection.sendall(head.encode())
            step = 1 << 16 if mode().get('slow') else 1 << 30
            for at in range(0, len(content), step):
                connection.sendall(content[at:at + step])
                time.sleep(mode().get('slow', 0))
        except OSError:
            pass


OBJECTS.mkdir(parents=True, exist_ok=True)
tell_uploads()
listener = socket.create_server(('127.0.0.1', PORT))
while True:
    threading.Thread(target=serve, args=[listener.accept()[0]], daemon=True).start()
