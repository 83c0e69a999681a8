# SPDX-License-Identifier: LGPL-2.1-or-later
# Stand-ins for the images of databases: Debian's own MariaDB, Redis and sqlite3 under the names, users, folders and variables of the
# official images. Debian has neither MySQL nor MongoDB: MySQL's tools are stood in for by scripts before those of MariaDB, and
# MongoDB by programs of ours that have the documented options of its tools and write the format of its archives.
# shellcheck shell=bash

install_packages mariadb-server-core mariadb-client-core mariadb-client redis-server redis-tools sqlite3 python3.13 util-linux

begin_image
add_packages mariadb-server-core mariadb-client-core mariadb-client mariadb-common
rm -rf "$ROOT"/etc/mysql
echo ./usr/bin/setpriv | add_files
add_user mysql 999 999 /var/lib/mysql
install -d -o 999 -g 999 "$ROOT/var/lib/mysql" "$ROOT/run/mysqld"
install -m 0755 -t "$ROOT/usr/local/bin" -D "$SET"/mysql/*
add_entrypoint mariadb
end_image mariadb mariadb:11 mysql:8 <<'CHANGES'
ENV PATH=/usr/local/bin:/usr/sbin:/usr/bin
VOLUME /var/lib/mysql
EXPOSE 3306
ENTRYPOINT ["docker-entrypoint.sh"]
CMD ["mariadbd"]
CHANGES

begin_image
printf './usr/bin/%s\n' redis-server redis-check-rdb redis-cli | add_files
add_user redis 999 1000 /data
install -d -o 999 -g 1000 "$ROOT/data"
end_image redis redis:8 <<'CHANGES'
ENV PATH=/usr/local/bin:/usr/sbin:/usr/bin
USER redis
VOLUME /data
WORKDIR /data
EXPOSE 6379
CMD ["redis-server"]
CHANGES

# An application that has its data in a file.
begin_image
add_packages sqlite3
add_user notes 1500 1500 /data
install -d -o 1500 -g 1500 "$ROOT/data" "$ROOT/other"
end_image notes notes:1 <<'CHANGES'
ENV PATH=/usr/local/bin:/usr/sbin:/usr/bin
USER notes
CMD ["sleep", "infinity"]
CHANGES

begin_image
add_packages python3.13 python3.13-minimal libpython3.13-minimal libpython3.13-stdlib
ln -s python3.13 "$ROOT/usr/bin/python3"
install -d "$ROOT/data/db" "$ROOT/usr/local/bin" "$ROOT/usr/local/lib/stand-in"
install -m 0644 -t "$ROOT/usr/local/lib/stand-in" "$SET"/mongo/stand_in.py
for tool in mongod mongosh mongodump mongorestore; do
    printf '#!/bin/sh\nexec python3 /usr/local/lib/stand-in/stand_in.py %s "$@"\n' "$tool" >"$ROOT/usr/local/bin/$tool"
    chmod 0755 "$ROOT/usr/local/bin/$tool"
done
end_image mongo mongo:7 <<'CHANGES'
ENV PATH=/usr/local/bin:/usr/sbin:/usr/bin
ENV PYTHONDONTWRITEBYTECODE=1
VOLUME /data/db
EXPOSE 27017
CMD ["mongod"]
CHANGES
