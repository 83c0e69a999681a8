#!/bin/sh
# The API listens only when the database is migrated and seeded.
set -eu
python3 migrate.py
exec python3 server.py
