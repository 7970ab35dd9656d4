#!/bin/sh
# What maintainer scripts of Debian packages do: users, alternatives, configuration, permissions.
set -e

add_system_user() {
    if getent passwd "$1" > /dev/null; then return 0; fi
    group=$(cut -d: -f3 /tmp/etc/group | sort -n | tail -1)
    echo "$1:x:$((group + 1)):" >> /tmp/etc/group
    echo "$1:x:$((group + 1)):$((group + 1))::/nonexistent:/usr/sbin/nologin" >> /tmp/etc/passwd
}

case "$1" in
configure)
    add_system_user _server
    for tool in one two; do
        update-alternatives --quiet --altdir /tmp/etc/alternatives --admindir /tmp/alternatives \
            --install /tmp/bin/editor editor "/parts/$tool" $((10 + ${#tool}))
    done
    update-alternatives --altdir /tmp/etc/alternatives --admindir /tmp/alternatives --set editor /parts/two > /dev/null
    if dpkg --compare-versions "$2" lt 2.0; then
        cat > /tmp/etc/server.conf <<X
# written for $(uname -s) by version $2
user = $(tail -1 /tmp/etc/passwd | cut -d: -f1)
X
    fi
    install -d -m 0750 -o 65534 -g 65534 /tmp/var/lib/server
    chmod --reference=/tmp/var/lib/server /tmp/etc/server.conf
    ;;
abort-upgrade | abort-remove) ;;
*)
    echo "postinst called with unknown argument \`$1'" >&2
    exit 1
    ;;
esac
