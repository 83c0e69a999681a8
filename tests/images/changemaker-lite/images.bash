# SPDX-License-Identifier: LGPL-2.1-or-later
# Stand-ins for the images that the blueprint changemaker-lite asks for: the real PostgreSQL, Redis and nginx of Debian 13 under
# the names, users, folders and variables of the official images, and Python, which the stand-in source is built from.
# shellcheck shell=bash

install_packages postgresql-17 postgresql-client-17 redis-server redis-tools nginx python3.13 util-linux tzdata

begin_image
add_packages postgresql-17 postgresql-client-17 tzdata
echo ./usr/bin/setpriv | add_files
sed -i "s/^#listen_addresses = .*/listen_addresses = '*'/" "$ROOT/usr/share/postgresql/17/postgresql.conf.sample"
add_user postgres 70 70 /var/lib/postgresql
install -d -o 70 -g 70 -m 0700 "$ROOT/var/lib/postgresql" "$ROOT/var/lib/postgresql/data"
install -d -o 70 -g 70 -m 3777 "$ROOT/run/postgresql"
install -d "$ROOT/docker-entrypoint-initdb.d"
add_entrypoint postgres
end_image postgres postgres:16-alpine <<'CHANGES'
ENV PATH=/usr/lib/postgresql/17/bin:/usr/local/bin:/usr/sbin:/usr/bin
ENV PGDATA=/var/lib/postgresql/data
ENV LANG=C.UTF-8
VOLUME /var/lib/postgresql/data
EXPOSE 5432
STOPSIGNAL SIGINT
ENTRYPOINT ["docker-entrypoint.sh"]
CMD ["postgres"]
CHANGES

begin_image
printf './usr/bin/%s\n' redis-server redis-check-rdb redis-cli setpriv | add_files
add_user redis 999 1000 /data
install -d -o 999 -g 1000 "$ROOT/data"
add_entrypoint redis
end_image redis redis:7-alpine <<'CHANGES'
ENV PATH=/usr/local/bin:/usr/sbin:/usr/bin
VOLUME /data
WORKDIR /data
EXPOSE 6379
ENTRYPOINT ["docker-entrypoint.sh"]
CMD ["redis-server"]
CHANGES

begin_image
add_packages nginx nginx-common
rm -rf "$ROOT"/etc/{init.d,logrotate.d,default,ufw} "$ROOT"/etc/nginx/{conf.d,modules-*,sites-*,snippets}
cp -r "$SET/nginx/." "$ROOT/etc/nginx/"
add_user nginx 101 101 /var/cache/nginx
install -d "$ROOT/var/lib/nginx" "$ROOT/var/log/nginx" "$ROOT/var/cache/nginx"
ln -s /dev/stdout "$ROOT/var/log/nginx/access.log"
ln -s /dev/stderr "$ROOT/var/log/nginx/error.log"
end_image nginx nginx:1.27-alpine <<'CHANGES'
ENV PATH=/usr/local/bin:/usr/sbin:/usr/bin
EXPOSE 80
STOPSIGNAL SIGQUIT
CMD ["nginx", "-g", "daemon off;"]
CHANGES

begin_image
add_packages python3.13 python3.13-minimal libpython3.13-minimal libpython3.13-stdlib postgresql-client-17
ln -s python3.13 "$ROOT/usr/bin/python3"
end_image python python:3.13-alpine <<'CHANGES'
ENV PATH=/usr/lib/postgresql/17/bin:/usr/local/bin:/usr/sbin:/usr/bin
ENV LANG=C.UTF-8
ENV PYTHONUNBUFFERED=1
CMD ["python3"]
CHANGES
