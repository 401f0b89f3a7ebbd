#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The one place that names packages: installs what building, testing and measuring need on Debian 12.
#   contrib/install-deps.sh          install whatever is missing
#   contrib/install-deps.sh --check  exit 0 when nothing is missing, else name it and exit 1
set -eu

build='gcc libc6-dev make pkg-config libevent-dev libssl-dev libyaml-dev libnghttp2-dev libjwt-dev
libjansson-dev libcurl4-openssl-dev libprotobuf-c-dev protobuf-c-compiler libpcre2-dev libxxhash-dev
uthash-dev libsystemd-dev'
tests='varnish libcmocka-dev curl openssl nghttp2-client nghttp2-server haproxy nginx-light libnginx-mod-stream wrk jq python3 python3-grpcio clang libclang-rt-14-dev
postgresql redis-server redis-tools procps iproute2 python3-websockets python3-h2 chromium'

missing=''
for package in $build $tests; do
	status=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)
	[ "$status" = installed ] || missing="$missing $package"
done
[ -n "$missing" ] || exit 0
if [ "${1:-}" = --check ]; then
	echo "missing packages:$missing" >&2
	exit 1
fi

sudo=''
[ "$(id -u)" -eq 0 ] || sudo='sudo'
# Debian starts services on installation; the peers we only run by hand must not take ports.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
	printf '#!/bin/sh\nexit 101\n' | $sudo tee "$policy" >/dev/null
	$sudo chmod 755 "$policy"
	trap '$sudo rm -f "$policy"' EXIT
fi
echo "installing:$missing" >&2
$sudo apt-get update -qq
# shellcheck disable=SC2086
DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y -qq --no-install-recommends $missing >&2
