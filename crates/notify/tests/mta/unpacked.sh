# Runs OpenSMTPD out of a folder. Nothing of this is seen outside of the mount namespace that it is started in.
# usage: unshare --mount sh unpacked.sh FOLDER-OF-THE-PACKAGE FOLDER-OF-THIS-RUN
set -eu
package=$1 run=$2

mkdir -p "$run/lib/opensmtpd/empty"
{ cat /etc/passwd; printf '%s\n' opensmtpd:x:60601:60601::/nonexistent:/bin/false opensmtpq:x:60602:60602::/nonexistent:/bin/false; } >"$run/passwd"
{ cat /etc/group; printf '%s\n' opensmtpd:x:60601: opensmtpq:x:60602:; } >"$run/group"
mount --bind "$run/passwd" /etc/passwd
mount --bind "$run/group" /etc/group
mount -t overlay -o "lowerdir=$run/lib:/var/lib" overlay /var/lib
mount -t overlay -o "lowerdir=$package/usr:/usr" overlay /usr
mount -t tmpfs tmpfs /run
mount -t tmpfs -o mode=755 tmpfs /var/spool
mkdir -m 711 /var/spool/smtpd

exec /usr/sbin/smtpd -d -v -f "$run/smtpd.conf" >"$run/log" 2>&1
