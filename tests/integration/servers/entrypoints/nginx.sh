#!/bin/sh
# Runs what lies in a folder, which makes configurations of templates, then becomes the server.
set -e
say() { [ -n "${NGINX_ENTRYPOINT_QUIET_LOGS:-}" ] || echo "$@"; }
if [ "$1" = "nginx" ]; then
	if find /docker-entrypoint.d/ -mindepth 1 -maxdepth 1 -type f -print -quit 2>/dev/null | read -r first; then
		find /docker-entrypoint.d/ -follow -type f -print | sort -V | while read -r file; do
			case "$file" in
			*.sh)
				if [ -x "$file" ]; then say "$0: launching $file"; "$file"; else say "$0: $file is not executable"; fi ;;
			*) say "$0: ignoring $file" ;;
			esac
		done
	fi
fi
exec "$@"
