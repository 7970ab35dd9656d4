#!/bin/sh
# `docker run redis -a`, and `redis some.conf`: what follows is for the server. As root it gives the folder away and steps down.
set -e
if [ "${1#-}" != "$1" ] || [ "${1%.conf}" != "$1" ]; then
	set -- redis-server "$@"
fi
if [ "$1" = 'redis-server' ] && [ "$(id -u)" = '0' ]; then
	find . -xdev \! -user redis -exec chown -h redis '{}' + # -h: a link may lead anywhere, /proc to the host
	exec setpriv --reuid=redis --regid=redis --clear-groups "$0" "$@"
fi
um="$(umask)"
if [ "$um" = '0022' ]; then umask 0077; fi
exec "$@"
