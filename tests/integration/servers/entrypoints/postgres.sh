#!/usr/bin/env bash
# Prepares a data folder as root, then steps down; the first start makes the cluster and runs what is to be run once.
set -Eeo pipefail

is_sourced() {
	[ "${#FUNCNAME[@]}" -ge 2 ] && [ "${FUNCNAME[0]}" = 'is_sourced' ] && [ "${FUNCNAME[1]}" = 'source' ]
}

# As in official images: NAME, or the content of the file NAME_FILE.
from_file() {
	local name="$1" file="${1}_FILE" default="${2:-}"
	if [ "${!name:-}" ] && [ "${!file:-}" ]; then
		printf >&2 'error: both %s and %s are set\n' "$name" "$file"
		exit 1
	fi
	local value="$default"
	if [ "${!name:-}" ]; then value="${!name}"; elif [ "${!file:-}" ]; then value="$(< "${!file}")"; fi
	export "$name"="$value"
	unset "$file"
}

make_folders() {
	local user; user="$(id -u)"
	mkdir -p "$PGDATA" /run/postgresql
	chmod 00700 "$PGDATA" || :
	chmod 03775 /run/postgresql || :
	if [ "$user" = '0' ]; then
		find "$PGDATA" \! -user postgres -exec chown postgres '{}' +
		find /run/postgresql \! -user postgres -exec chown postgres '{}' +
	fi
}

make_cluster() {
	eval 'initdb --username="$POSTGRES_USER" --pwfile=<(printf "%s\n" "$POSTGRES_PASSWORD") --auth=trust --no-sync '"$POSTGRES_INITDB_ARGS"' > /dev/null'
	cat >> "$PGDATA/pg_hba.conf" <<-EOF

		host all all all trust
	EOF
}

# A server that only this container can reach, for what is to be done once.
once() {
	set -- -p 6543 -c listen_addresses=''
	PGUSER="${PGUSER:-$POSTGRES_USER}" pg_ctl -D "$PGDATA" -o "$(printf '%q ' "$@")" -w -s -l /dev/null start
	local query=( psql -p 6543 -h /run/postgresql -v ON_ERROR_STOP=1 --no-psqlrc --username "$POSTGRES_USER" )
	"${query[@]}" --dbname postgres --set db="$POSTGRES_DB" --tuples-only <<-'EOSQL' > /dev/null
		CREATE DATABASE :"db" ;
	EOSQL
	local file
	for file in /docker-entrypoint-initdb.d/*; do
		case "$file" in
			*.sql) printf '%s: running %s\n' "$0" "$file"; "${query[@]}" --dbname "$POSTGRES_DB" -f "$file" ;;
			*.sh) printf '%s: sourcing %s\n' "$0" "$file"; . "$file" ;;
		esac
	done
	PGUSER="${PGUSER:-$POSTGRES_USER}" pg_ctl -D "$PGDATA" -m fast -w -s stop
}

main() {
	if [ "${1:0:1}" = '-' ]; then set -- postgres "$@"; fi
	from_file POSTGRES_PASSWORD
	from_file POSTGRES_USER postgres
	from_file POSTGRES_DB app
	from_file POSTGRES_INITDB_ARGS
	if [ "$1" = 'postgres' ]; then
		make_folders
		if [ "$(id -u)" = '0' ]; then exec gosu postgres "$BASH_SOURCE" "$@"; fi
		if [ ! -s "$PGDATA/PG_VERSION" ]; then
			make_cluster
			once
			echo 'the cluster is ready for its first start'
		else
			echo 'there is a cluster already'
		fi
	fi
	exec "$@"
}

if ! is_sourced; then main "$@"; fi
