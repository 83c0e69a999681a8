# SPDX-License-Identifier: LGPL-2.1-or-later
"""Drives s3-tool against moto, a storage that others wrote, which verifies the signatures."""

import contextlib
import hashlib
import json
import os
import socket
import ssl
import subprocess
import sys
import tempfile
import time
import unittest
import urllib.request

SKIP = 77
TOOL = sys.argv.pop(1)
BUCKET = 'backups'
MIB = 1024 * 1024
START_TIMEOUT = 60

try:
    import boto3
    import flask_cors  # noqa: F401, what moto's server needs besides moto
    import moto.server  # noqa: F401
except ImportError as e:
    print(f'moto is not there: {e}')
    sys.exit(SKIP)


def free_port():
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0))
        return s.getsockname()[1]


class Server:
    """A server of moto; with a certificate for 127.0.0.1 over TLS."""

    def __init__(self, folder, certificate=None):
        port = free_port()
        command = [sys.executable, '-m', 'moto.server', '-H', '127.0.0.1', '-p', str(port)]
        if certificate:
            command += ['-c', certificate + '.pem', '-k', certificate + '.key']
        self.certificate = certificate + '.pem' if certificate else None
        self.endpoint = f'http{"s" if certificate else ""}://127.0.0.1:{port}'
        self.log = open(os.path.join(folder, f'moto-{port}.log'), 'w+', encoding='utf-8')
        self.process = subprocess.Popen(command, stdout=self.log, stderr=self.log)
        try:
            self.wait(port)
        except BaseException:
            self.stop()
            raise

    def wait(self, port):
        deadline = time.monotonic() + START_TIMEOUT
        while True:
            with contextlib.suppress(OSError), socket.create_connection(('127.0.0.1', port), timeout=1):
                return
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.log.seek(0)
                raise RuntimeError(f'moto does not start: {self.log.read()}')
            time.sleep(0.1)

    def stop(self):
        self.process.terminate()
        self.process.wait()
        self.log.close()

    def client(self, service, key='test', secret='test'):
        return boto3.client(service, endpoint_url=self.endpoint, region_name='us-east-1', aws_access_key_id=key,
                            aws_secret_access_key=secret, verify=self.certificate)

    def completes_as_documented(self):
        """Whether the end of an upload in parts is answered by the element that S3 has for it; see moto's issue 10055."""
        answers = []
        s3 = self.client('s3')
        s3.meta.events.register('after-call.s3.CompleteMultipartUpload',
                                lambda http_response, **_: answers.append(http_response.content))
        s3.create_bucket(Bucket='probe')
        upload = s3.create_multipart_upload(Bucket='probe', Key='x')['UploadId']
        part = s3.upload_part(Bucket='probe', Key='x', UploadId=upload, PartNumber=1, Body=b'x')
        s3.complete_multipart_upload(Bucket='probe', Key='x', UploadId=upload,
                                     MultipartUpload={'Parts': [{'PartNumber': 1, 'ETag': part['ETag']}]})
        return b'<CompleteMultipartUploadResult' in answers[0]

    def prepare(self, actions):
        """Makes the bucket, and a user who may do these things with it; from then on moto looks at signatures."""
        self.parts = self.completes_as_documented()
        self.client('s3').create_bucket(Bucket=BUCKET)
        iam = self.client('iam')
        iam.create_user(UserName='ccpd')
        policy = {'Version': '2012-10-17', 'Statement': [{'Effect': 'Allow', 'Action': actions, 'Resource': '*'}]}
        iam.put_user_policy(UserName='ccpd', PolicyName='backups', PolicyDocument=json.dumps(policy))
        key = iam.create_access_key(UserName='ccpd')['AccessKey']
        # After so many calls moto begins to look.
        request = urllib.request.Request(self.endpoint + '/moto-api/reset-auth', data=b'0', method='POST',
                                         headers={'Content-Type': 'text/plain'})
        context = ssl.create_default_context(cafile=self.certificate) if self.certificate else None
        with urllib.request.urlopen(request, context=context):
            pass
        return key['AccessKeyId'], key['SecretAccessKey']


class Case(unittest.TestCase):
    folder: str
    server: Server

    def tool(self, *args, ok=True, **environment):
        env = {
            **os.environ, 'S3_ENDPOINT': self.server.endpoint, 'S3_BUCKET': BUCKET, 'S3_PREFIX': 'host',
            'S3_ACCESS_KEY': self.key, 'S3_SECRET_KEY': self.secret, **environment,
        }
        run = subprocess.run([TOOL, *map(str, args)], env=env, capture_output=True, timeout=300, check=False)
        self.assertEqual(run.returncode == 0, ok, (args, run.stderr))
        self.assertNotIn(self.secret.encode(), run.stderr)
        return run.stdout if ok else run.stderr.decode()

    def file(self, size):
        path = os.path.join(self.folder, f'file-{size}')
        if not os.path.exists(path):
            with open(path, 'wb') as f:
                for i in range(0, size, 32):
                    f.write(hashlib.sha256(b'%d' % i).digest()[:size - i])
        return path

    def content(self, size):
        with open(self.file(size), 'rb') as f:
            return f.read()


    def s3(self):
        return self.server.client('s3', self.key, self.secret)

    def need_parts(self):
        if not self.server.parts:
            self.skipTest('this moto answers with an element that S3 does not have')


class Signed(Case):
    @classmethod
    def setUpClass(cls):
        cls.scratch = tempfile.TemporaryDirectory()
        cls.folder = cls.scratch.name
        cls.addClassCleanup(cls.scratch.cleanup)
        cls.server = Server(cls.folder)
        cls.addClassCleanup(cls.server.stop)
        cls.key, cls.secret = cls.server.prepare(['s3:*'])

    def test_one_piece(self):
        self.tool('put', 'one/piece.ccpb', self.file(100000))
        self.assertEqual(self.tool('get', 'one/piece.ccpb', 0, 'all', '-'), self.content(100000))
        size, etag = self.tool('head', 'one/piece.ccpb').split()
        self.assertEqual(size, b'100000')
        self.assertEqual(self.tool('get', 'one/piece.ccpb', 17, 1000, etag.decode()), self.content(100000)[17:1017])
        self.assertEqual(self.tool('get', 'one/piece.ccpb', 99990, 'all', '-'), self.content(100000)[99990:])
        self.assertIn('replaced', self.tool('get', 'one/piece.ccpb', 17, 10, '"other"', ok=False))
        self.assertIn('StorageFailed', self.tool('get', 'one/piece.ccpb', 99999, 2, '-', ok=False))

        # What is there stays: the same is a success, something else is not.
        self.tool('put', 'one/piece.ccpb', self.file(100000))
        self.assertIn('already something else', self.tool('put', 'one/piece.ccpb', self.file(5), ok=False))
        self.assertEqual(self.tool('get', 'one/piece.ccpb', 0, 'all', '-'), self.content(100000))

        self.tool('delete', 'one/piece.ccpb')
        self.assertIn('NoSuchBackup', self.tool('head', 'one/piece.ccpb', ok=False))
        self.assertIn('NoSuchBackup', self.tool('get', 'one/piece.ccpb', 0, 'all', '-', ok=False))
        self.tool('delete', 'one/piece.ccpb')

    def test_nothing(self):
        self.tool('put', 'nothing', self.file(0))
        self.assertEqual(self.tool('get', 'nothing', 0, 'all', '-'), b'')

    def test_parts(self):
        self.need_parts()
        size = 40 * MIB + 1
        self.tool('put', 'parts.ccpb', self.file(size))
        self.assertEqual(self.tool('get', 'parts.ccpb', 0, 'all', '-'), self.content(size))
        size_, etag = self.tool('head', 'parts.ccpb').split()
        self.assertEqual(int(size_), size)
        self.assertTrue(etag.endswith(b'-3"'), etag)
        self.assertEqual(self.tool('get', 'parts.ccpb', 16 * MIB - 5, 10, etag.decode()),
                         self.content(size)[16 * MIB - 5:16 * MIB + 5])
        self.tool('put', 'parts.ccpb', self.file(size))
        self.assertIn('already something else', self.tool('put', 'parts.ccpb', self.file(20 * MIB), ok=False))
        self.assertEqual(self.s3().list_multipart_uploads(Bucket=BUCKET).get('Uploads', []), [])

    def test_wrong_credentials(self):
        error = self.tool('put', 'never', self.file(5), ok=False, S3_SECRET_KEY=self.secret[::-1])
        self.assertIn('SignatureDoesNotMatch', error)
        self.assertIn('Correct the secret key', error)
        error = self.tool('list', '', ok=False, S3_ACCESS_KEY='AKIAOFNOBODYATALL000')
        self.assertIn('Correct the access key', error)
        self.assertIn('NoSuchBackup', self.tool('head', 'never', ok=False))

    def test_short_list(self):
        self.tool('put', 'short/1', self.file(5), S3_PREFIX='')
        self.assertEqual(self.tool('list', 'short', S3_PREFIX='').split()[:2], [b'short/1', b'5'])

    def test_no_bucket(self):
        self.assertIn('NoSuchBucket', self.tool('put', 'x', self.file(5), ok=False, S3_BUCKET='not-there'))


class Unsigned(Case):
    """moto looks at a query after it was decoded, so that none with a slash in it has the right signature."""

    @classmethod
    def setUpClass(cls):
        cls.scratch = tempfile.TemporaryDirectory()
        cls.folder = cls.scratch.name
        cls.addClassCleanup(cls.scratch.cleanup)
        cls.server = Server(cls.folder)
        cls.addClassCleanup(cls.server.stop)
        cls.key, cls.secret = 'key', 'secret-of-nobody'
        cls.server.client('s3').create_bucket(Bucket=BUCKET)

    def test_list(self):
        s3 = self.s3()
        names = [f'list/{i:04}' for i in range(1005)]
        for name in names:
            s3.put_object(Bucket=BUCKET, Key='host/' + name, Body=b'abc')
        s3.put_object(Bucket=BUCKET, Key='host/list/foreign & <odd>\u00e4', Body=b'abc')
        s3.put_object(Bucket=BUCKET, Key='elsewhere/list/1', Body=b'abc')
        lines = [line.split() for line in self.tool('list', 'list/').decode().splitlines()]
        self.assertEqual([line[0] for line in lines], names)
        self.assertEqual({line[1] for line in lines}, {'3'})
        now = time.time()
        self.assertTrue(all(now - 3600 < int(line[2]) < now + 60 for line in lines))
        self.assertEqual(self.tool('list', 'list/0001').split()[0], b'list/0001')
        self.assertEqual(self.tool('list', 'none'), b'')

    def test_no_bucket(self):
        self.assertIn('Make the bucket', self.tool('list', '', ok=False, S3_BUCKET='not-there'))

    def test_sweep(self):
        s3 = self.s3()
        for key in ('host/sweep/1', 'host/sweep/2', 'elsewhere/sweep'):
            s3.create_multipart_upload(Bucket=BUCKET, Key=key)
        # moto says of every upload that it began in November 2010.
        self.assertEqual(self.tool('sweep', int(time.time()) - 1262304000), b'0\n')
        self.assertEqual(self.tool('sweep', int(time.time()) - 1293840000), b'2\n')
        left = s3.list_multipart_uploads(Bucket=BUCKET).get('Uploads', [])
        self.assertEqual([upload['Key'] for upload in left], ['elsewhere/sweep'])


class Tls(Case):
    """Over TLS, by somebody who may not delete."""

    @classmethod
    def setUpClass(cls):
        cls.scratch = tempfile.TemporaryDirectory()
        cls.folder = cls.scratch.name
        cls.addClassCleanup(cls.scratch.cleanup)
        name = os.path.join(cls.folder, 'server')
        subprocess.run(['openssl', 'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes',
                        '-subj', '/CN=127.0.0.1', '-addext', 'subjectAltName=IP:127.0.0.1', '-days', '2',
                        '-keyout', name + '.key', '-out', name + '.pem'], check=True, capture_output=True)
        cls.server = Server(cls.folder, certificate=name)
        cls.addClassCleanup(cls.server.stop)
        cls.key, cls.secret = cls.server.prepare(['s3:PutObject', 's3:GetObject', 's3:ListBucket'])

    def test_without_deleting(self):
        trust = {'S3_CA_FILE': self.server.certificate}
        self.tool('put', 'small', self.file(1000), **trust)
        self.assertEqual(self.tool('get', 'small', 0, 'all', '-', **trust), self.content(1000))
        self.assertIn('AccessDenied', self.tool('delete', 'small', ok=False, **trust))
        self.need_parts()
        self.tool('put', 'large', self.file(17 * MIB), **trust)
        self.assertEqual(self.tool('get', 'large', 0, 'all', '-', **trust), self.content(17 * MIB))

    def test_unknown_certificate(self):
        self.assertIn('certificate', self.tool('head', 'small', ok=False))


if __name__ == '__main__':
    unittest.main(verbosity=2)
