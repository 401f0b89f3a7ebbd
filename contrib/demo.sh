#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The main job in a minute: certificates, two upstreams, an issuer, Sallyport on
# examples/quickstart.yaml, and curl trying it as a person would. Leaves all of it running and says
# what to try next; DEMO_ONCE=1 stops everything and exits with the status instead.
#   BUILD=build contrib/demo.sh [stop]
set -u
cd "$(dirname "$0")/.." || exit 1
: "${BUILD:=build}"
run=/tmp/sallyport-demo
ports='8080 8443 9001 9002 9003'

stop() {
	[ -f "$run/pids" ] || return 0
	while read -r pid name; do
		# Only what this demo started: a number may belong to another process by now.
		tr '\0' ' ' 2>/dev/null <"/proc/$pid/cmdline" | grep -q "$name" && kill "$pid" 2>/dev/null
	done <"$run/pids"
	rm -f "$run/pids"
}
if [ "${1:-}" = stop ]; then
	stop
	echo "stopped"
	exit 0
fi
stop
rm -rf "$run"
mkdir -p "$run/secrets/istio-system/example-cert"
chmod 700 "$run"

taken=$(ss -ltnH 2>/dev/null | awk '$4 ~ /^(\*|0\.0\.0\.0|\[::\]|127\.0\.0\.1):/ {print $4}' | sed 's/.*://' | sort -u)
for port in $ports; do
	if printf '%s\n' "$taken" | grep -qx "$port"; then
		echo "port $port is in use; the demo needs $ports" >&2
		exit 1
	fi
done

start() { # name-in-cmdline log command …
	local name=$1 log=$2
	shift 2
	"$@" >"$run/$log" 2>&1 </dev/null &
	echo "$! $name" >>"$run/pids"
}
await() { # what seconds command …
	local what=$1 tries=$(($2 * 20))
	shift 2
	until "$@" >/dev/null 2>&1; do
		tries=$((tries - 1))
		if [ "$tries" -le 0 ]; then
			echo "$what did not come up; see $run/*.log" >&2
			tail -n 20 "$run"/*.log >&2
			stop
			exit 1
		fi
		sleep 0.05
	done
}

echo '== certificates, upstreams and an issuer'
openssl req -x509 -newkey rsa:2048 -nodes -days 30 -subj '/CN=Sallyport demo CA' \
	-keyout "$run/ca.key" -out "$run/ca.crt" 2>/dev/null
openssl req -newkey rsa:2048 -nodes -subj '/CN=example.com' -keyout "$run/secrets/istio-system/example-cert/tls.key" \
	-addext 'subjectAltName=DNS:shop.example.com,DNS:api.example.com' -out "$run/server.csr" 2>/dev/null
openssl x509 -req -in "$run/server.csr" -CA "$run/ca.crt" -CAkey "$run/ca.key" -CAcreateserial -days 30 \
	-copy_extensions copy -out "$run/secrets/istio-system/example-cert/tls.crt" 2>/dev/null
chmod 600 "$run/secrets/istio-system/example-cert/tls.key"
"$BUILD/tools/jwt_tool" keygen RS256 "$run/issuer" >/dev/null || exit 1
"$BUILD/tools/jwt_tool" keygen RS256 "$run/stranger" >/dev/null || exit 1
start upstream.py shop.log python3 contrib/demo/upstream.py shop 9001
start upstream.py api.log python3 contrib/demo/upstream.py api 9002
start issuer.py issuer.log python3 reg-tests/tools/issuer.py --port 9003 "$run/issuer.jwks"
await 'the issuer' 10 curl -sf http://127.0.0.1:9003/keys
await 'the upstreams' 10 sh -c 'curl -sf http://127.0.0.1:9001/ && curl -sf http://127.0.0.1:9002/'

echo '== sallyport -f examples/quickstart.yaml'
start sallyport sallyport.log "$BUILD/sallyport" -f examples/quickstart.yaml
await sallyport 15 grep -q 'proxy.ready: ' "$run/sallyport.log"

mint() { # key-name expiry-in-seconds
	"$BUILD/tools/jwt_tool" mint --key "$run/$1.pem" --alg RS256 --kid "$(jq -r '.keys[0].kid' "$run/issuer.jwks")" \
		--claims "{\"iss\":\"https://issuer.example.com\",\"sub\":\"ada\",\"exp\":$(($(date +%s) + $2))}"
}
good=$(mint issuer 3600)
bad=$(mint stranger 3600)
old=$(mint issuer -3600)
printf '%s\n' "$good" >"$run/token"

wrong=0
try() { # expected-status what curl-arguments …
	local expected=$1 what=$2 answer status body
	shift 2
	answer=$(curl -s -o "$run/body" -w '%{http_code} %{redirect_url}' --cacert "$run/ca.crt" \
		--resolve shop.example.com:8443:127.0.0.1 --resolve api.example.com:8443:127.0.0.1 \
		--resolve shop.example.com:8080:127.0.0.1 --resolve other.example.com:8080:127.0.0.1 "$@")
	status=${answer%% *}
	body=$(head -n 1 "$run/body" 2>/dev/null)
	[ -n "${answer#* }" ] && body="-> ${answer#* }"
	if [ "$status" = "$expected" ]; then mark=ok; else mark="WRONG, expected $expected" wrong=1; fi
	printf '  %-34s %s %-46s [%s]\n' "$what" "$status" "$body" "$mark"
}
echo '== as a client sees it'
try 301 'http goes to https' http://shop.example.com:8080/cart?id=7
try 404 'a host that nobody serves' http://other.example.com:8080/
try 200 'the shop' https://shop.example.com:8443/cart
try 403 'the api without a token' https://api.example.com:8443/v1/orders
try 401 'the api with a forged token' -H "Authorization: Bearer $bad" https://api.example.com:8443/v1/orders
try 401 'the api with an expired token' -H "Authorization: Bearer $old" https://api.example.com:8443/v1/orders
try 200 'the api with a good token' -H "Authorization: Bearer $good" https://api.example.com:8443/v1/orders
try 404 'the api where it has no route' -H "Authorization: Bearer $good" https://api.example.com:8443/v2/

if [ -n "${DEMO_ONCE:-}" ]; then
	stop
	[ "$wrong" -eq 0 ] && echo 'demo: all as expected'
	exit "$wrong"
fi
cat <<END

It runs on. Try:
  curl -i --cacert $run/ca.crt --resolve shop.example.com:8443:127.0.0.1 https://shop.example.com:8443/
  curl -i --cacert $run/ca.crt --resolve api.example.com:8443:127.0.0.1 \\
       -H "Authorization: Bearer \$(cat $run/token)" https://api.example.com:8443/v1/orders
  $BUILD/sallyctl -s $run/admin.sock show routes
  edit examples/quickstart.yaml, then  $BUILD/sallyctl -s $run/admin.sock reload
  tail -f $run/access.log $run/sallyport.log
  contrib/demo.sh stop
END
exit "$wrong"
