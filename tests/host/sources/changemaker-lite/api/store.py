"""PostgreSQL and Redis, as DATABASE_URL and REDIS_URL name them."""

import os
import socket
import subprocess
from urllib.parse import unquote, urlsplit


def psql(sql, **variables):
    """Runs SQL in one transaction, returns what it printed. The password goes by the environment, not by the arguments."""
    url = urlsplit(os.environ['DATABASE_URL'])
    login = {'PGHOST': url.hostname, 'PGPORT': str(url.port or 5432), 'PGUSER': unquote(url.username),
             'PGPASSWORD': unquote(url.password), 'PGDATABASE': url.path[1:], 'PGCONNECT_TIMEOUT': '3'}
    settings = [f'--set={name}={value}' for name, value in variables.items()]
    result = subprocess.run(['psql', '-XqAt', '--single-transaction', '--set=ON_ERROR_STOP=1', *settings], input=sql, text=True,
                            capture_output=True, timeout=60, env={**os.environ, **login})
    if result.returncode != 0:
        raise ConnectionError(result.stderr.strip())
    return result.stdout.strip()


def redis(*words):
    """Sends one command after AUTH, returns the first line of its answer."""
    url = urlsplit(os.environ['REDIS_URL'])
    with socket.create_connection((url.hostname, url.port or 6379), timeout=3) as connection:
        stream = connection.makefile('rwb')
        for command in (['AUTH', unquote(url.password)], list(words)):
            stream.write(b'*%d\r\n' % len(command))
            for word in command:
                data = str(word).encode()
                stream.write(b'$%d\r\n%s\r\n' % (len(data), data))
            stream.flush()
            answer = stream.readline().decode().strip()
            if answer.startswith('-') or not answer:
                raise ConnectionError(f'Redis: {answer or "connection closed"}')
        return answer
