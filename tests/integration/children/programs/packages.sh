# The scripts of a package, by hand and by dpkg. Its database is on a volume: what dpkg runs lies there.
set -e
mkdir -p /tmp/etc/alternatives /tmp/alternatives /tmp/bin /tmp/var/lib
cp /etc/passwd /etc/group /tmp/etc
sh /postinst.sh configure 1.5
sh /postinst.sh unknown 2>&1 || echo "refused: $?"
cat /tmp/etc/server.conf
tail -1 /tmp/etc/group
readlink /tmp/bin/editor /tmp/etc/alternatives/editor
stat -c '%a %u:%g' /tmp/var/lib/server /tmp/etc/server.conf

mkdir -p /build/dpkg/info /build/dpkg/updates /build/package/DEBIAN /build/package/tmp/greeting
touch /build/dpkg/status
cat > /build/package/DEBIAN/control <<'X'
Package: greeting
Version: 1.0
Architecture: all
Maintainer: Nobody <nobody@example.org>
Description: greets
X
for script in preinst postinst prerm postrm; do
    printf '#!/bin/sh\nset -e\necho "%s $*"\n' "$script" > "/build/package/DEBIAN/$script"
    chmod 755 "/build/package/DEBIAN/$script"
done
echo hello > /build/package/tmp/greeting/file
dpkg-deb --root-owner-group --build /build/package /build/greeting.deb > /dev/null
dpkg-deb --contents /build/greeting.deb | wc -l
dpkg="dpkg --admindir=/build/dpkg --log=/dev/null --force-not-root --force-bad-path"
$dpkg --unpack /build/greeting.deb | grep -v '^(Reading'
cat /tmp/greeting/file
$dpkg --configure greeting
$dpkg --status greeting | grep Status
$dpkg --purge greeting | grep -v '^(Reading'
ls /tmp/greeting 2>/dev/null || echo gone
