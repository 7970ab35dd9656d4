#!/bin/bash
# Prepares a data folder as root, then steps down; the first start makes it by a server that only this container can reach.
set -eo pipefail
shopt -s nullglob

note() { printf '[Note] [Entrypoint]: %s\n' "$*"; }
fail() { printf '[ERROR] [Entrypoint]: %s\n' "$*" >&2; exit 1; }

# As in official images: NAME, or the content of the file NAME_FILE.
from_file() {
	local name="$1" file="${1}_FILE" value="${2:-}"
	if [ -n "${!name:-}" ] && [ -n "${!file:-}" ]; then fail "both $name and $file are set"; fi
	if [ -n "${!name:-}" ]; then value="${!name}"; elif [ -n "${!file:-}" ]; then value="$(< "${!file}")"; fi
	export "$name"="$value"
	unset "$file"
}

# What the server would take, with options that only it knows, without a start of it.
setting() {
	local name="$1"; shift
	"$@" --verbose --help --log-bin-index="$(mktemp -u)" 2>/dev/null | sed -n "s/^$name  *//p" | head -n 1
}

check_configuration() {
	local errors
	if ! errors="$("$@" --verbose --help --log-bin-index="$(mktemp -u)" 2>&1 > /dev/null)"; then
		fail "the server refuses its configuration: $errors"
	fi
}

query() { mariadb --protocol=socket --socket="$SOCKET" -uroot -hlocalhost "$@"; }

start_temporary_server() {
	"$@" --skip-networking --default-time-zone=SYSTEM --socket="$SOCKET" --loose-innodb_buffer_pool_load_at_startup=0 &
	SERVER=$!
	local left
	for left in {600..0}; do
		if query --database=mysql <<< 'SELECT 1' &> /dev/null; then return; fi
		if ! kill -0 "$SERVER" 2> /dev/null; then fail 'the temporary server has ended'; fi
		sleep 0.1
	done
	fail 'the temporary server does not start'
}

make_accounts() {
	query --database=mysql --binary-mode <<-EOSQL
		SET @@SESSION.SQL_LOG_BIN=0;
		CREATE DATABASE IF NOT EXISTS \`$MYSQL_DATABASE\`;
		CREATE USER '$MYSQL_USER'@'%' IDENTIFIED BY '$MYSQL_PASSWORD';
		GRANT ALL ON \`$MYSQL_DATABASE\`.* TO '$MYSQL_USER'@'%';
		CREATE TABLE \`$MYSQL_DATABASE\`.made (who INT, what TEXT) ENGINE=InnoDB;
	EOSQL
}

run_once() {
	local file
	for file in /docker-entrypoint-initdb.d/*.sh; do
		note "sourcing $file"
		. "$file"
	done
}

prepare() {
	mkdir -p "$DATADIR"
	note 'making the data folder'
	mariadb-install-db --rpm --auth-root-authentication-method=normal --skip-test-db "${@:2}" > /dev/null
	start_temporary_server "$@"
	make_accounts
	run_once
	kill "$SERVER"
	wait "$SERVER"
	note 'the data folder is ready for its first start'
}

main() {
	if [ "${1:0:1}" = '-' ]; then set -- mariadbd "$@"; fi
	if [ "$1" = 'mariadbd' ]; then
		check_configuration "$@"
		DATADIR="$(setting datadir "$@")" SOCKET="$(setting socket "$@")"
		if [ "$(id -u)" = '0' ]; then
			mkdir -p "$DATADIR" "${SOCKET%/*}"
			find "$DATADIR" "${SOCKET%/*}" \! -user mysql -exec chown mysql: '{}' +
			exec gosu mysql "${BASH_SOURCE[0]}" "$@"
		fi
		from_file MYSQL_PASSWORD
		from_file MYSQL_USER app
		from_file MYSQL_DATABASE app
		if [ -d "$DATADIR/mysql" ]; then note 'there is a data folder already'; else prepare "$@"; fi
	fi
	exec "$@"
}

main "$@"
