# SPDX-License-Identifier: Apache-2.0
# What the .vtc stories share. Sourced by their shell blocks, which run in the test's own folder:
#
#	shell {
#		. ${top}/reg-tests/lib.sh
#		is '200 shop GET /' ask http://shop.example.com/
#	}
#
# Addresses   every test has a loopback address of its own, so that ports cannot collide: $ip.
# Documents   stand in the folder `conf`.
# Variables   NAME=value lines in the file `vars` become @NAME@ in `fill`, and are set here.
# Failure     the first command that fails ends the block, and with it the test.
set -eu

: "${log:=p1/stderr}"	# what the proxy says
: "${TRIES:=500}"	# of `await`, 20 ms apart; sanitizers are slow
: "${top:=$SALLYPORT_TOP}" "${build:=$SALLYPORT_BUILD}"
PATH=$build:$build/tools:$top/reg-tests/tools:$PATH
SALLYPORT_SOCKET=$PWD/admin.sock
export PATH SALLYPORT_SOCKET

# What a failed block left running would hold its output open.
trap '[ $? -eq 0 ] || { jobs -p >jobs.out; kill $(cat jobs.out); } 2>/dev/null' EXIT

# 127.a.b.c from the digits that varnishtest draws for this test's folder.
own_address() {
	hash=$(pwd | cksum | cut -d ' ' -f 1)
	echo "127.$((hash % 250 + 2)).$((hash / 250 % 250 + 1)).$((hash / 62500 % 250 + 1))"
}
ip=$(own_address)
mkdir -p conf
touch vars
. ./vars

fail() { # words …
	echo "FAILED: $*"
	[ ! -f $log ] || tail -n 20 $log
	exit 1
}

# set_var NAME VALUE: for `fill`, and for the blocks that follow.
set_var() {
	echo "$1='$2'" >>vars
	eval "$1=\$2"
}

# fill FILE …: the files with @tmp@, @ip@ and every @NAME@ of `vars` filled in, to stdout.
fill() {
	sed "s,^\([a-zA-Z0-9_]*\)='\(.*\)'\$,s|@\1@|\2|g," vars >vars.sed
	printf 's|@tmp@|%s|g\ns|@ip@|%s|g\ns|@top@|%s|g\n' "$PWD" "$ip" "$top" >>vars.sed
	sed -f vars.sed "$@"
}

# services NAME …: a ServiceEntry NAME.shop.svc.cluster.local for each of these origins, in conf.
services() {
	for name in "$@"; do
		cat <<-END
			---
			apiVersion: networking.istio.io/v1
			kind: ServiceEntry
			metadata: {name: $name, namespace: shop}
			spec:
			  hosts: [$name.shop.svc.cluster.local]
			  resolution: STATIC
			  ports: [{number: 80, name: http, protocol: HTTP, targetPort: @$name@}]
			  endpoints: [{address: 127.0.0.1}]
		END
	done | fill - >conf/services.yaml
}

# await command …: until it succeeds.
await() {
	tries=$TRIES
	until "$@" >await.out 2>&1; do
		tries=$((tries - 1))
		[ "$tries" -gt 0 ] || fail "never came true: $* ($(tail -n 3 await.out))"
		sleep 0.02
	done
}

# said TEXT [TIMES]: the proxy's log has this text, so many times.
said() {
	[ "$(grep -c -e "$1" $log)" -ge "${2:-1}" ]
}

# ready: the proxy serves. Ends at once, with its log, when the proxy has ended instead.
ready() {
	tries=$TRIES
	until said 'proxy.ready: '; do
		! said 'not started' || fail 'not started'
		tries=$((tries - 1))
		[ "$tries" -gt 0 ] || fail 'never ready'
		sleep 0.02
	done
}

# is EXPECTED command …: the output is this, to the letter.
is() {
	expected=$1
	shift
	found=$("$@" 2>&1) || true
	[ "$found" = "$expected" ] || fail "$*
	expected: $expected
	found:    $found"
}

# matches REGEX command …: the output has a line like this.
matches() {
	expected=$1
	shift
	"$@" >matches.out 2>&1 || true
	grep -E -q -e "$expected" matches.out || fail "$*
	expected: $expected
	found:    $(cat matches.out)"
}

# exits STATUS command …: output in the file `out`.
exits() {
	expected=$1
	shift
	status=0
	"$@" >out 2>&1 || status=$?
	[ "$status" -eq "$expected" ] || fail "$* exits with $status and not $expected: $(cat out)"
}

# ask URL [curl options]: "STATUS [-> LOCATION] BODY". The default ports 80 and 443 of a URL go to $http
# and $https of `vars`; head in the file `head`. A connection that fails says "curl NUMBER".
ask() {
	answer=$(curl -sk --max-time 20 --noproxy '*' -o body -D head -w '%{http_code} %header{location}' \
		--connect-to "::${to:-$ip}:$(case $1 in https:*) echo "${https:-}" ;; *) echo "${http:-}" ;; esac)" "$@") ||
		{ echo "curl $?"; return 0; }
	printf '%s' "${answer%% *}"
	[ -z "${answer#* }" ] || printf ' -> %s' "${answer#* }"
	[ ! -s body ] || { printf ' '; cat body; rm -f body; }
	echo
}

# head_of NAME: this field of the last response to `ask`.
head_of() {
	sed -n "s/^$1: \(.*\)\$/\1/Ip" head | tr -d '\r'
}

# more N: so many more answers have come to load.py.
more() {
	goal=$(($(cat load.count 2>/dev/null || echo 0) + $1))
	await eval '[ "$(cat load.count)" -ge $goal ]'
}

# loaded FIELD: of what load.py found out, once it has ended.
loaded() {
	jq -c ".$1" load.json
}

# free_port NAME …: ports below those that the kernel gives to clients, free on every address.
free_port() {
	for name in "$@"; do
		set_var "$name" "$(python3 - <<-'END'
			import random, socket
			while True:
			    port = random.SystemRandom().randrange(10000, 32000)
			    with socket.socket(socket.AF_INET6) as s:
			        s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
			        try:
			            s.bind(("::", port))
			        except OSError:
			            continue
			    print(port)
			    break
		END
		)"
	done
}

# certificate FOLDER HOST …: a self-signed one for these hosts as FOLDER/tls.crt and tls.key.
certificate() {
	folder=$1 names=
	shift
	mkdir -p "$folder"
	for name in "$@"; do names=$names${names:+,}DNS:$name; done
	openssl req -x509 -newkey "${key:-ec}" -pkeyopt "${key_option:-ec_paramgen_curve:P-256}" -nodes -days 30 \
		-subj "/CN=$1" -addext "subjectAltName=$names" -keyout "$folder/tls.key" -out "$folder/tls.crt" \
		2>/dev/null
	chmod 600 "$folder/tls.key"
}

# serial_of FILE | serial_at HOST [s_client options]: of a certificate, kept or served.
serial_of() {
	openssl x509 -noout -serial -in "$1"
}
serial_at() {
	host=$1
	shift
	openssl s_client -connect "$ip:$https" -servername "$host" "$@" </dev/null 2>/dev/null |
		openssl x509 -noout -serial
}

# mint KEY CLAIMS: a token signed with the key that `jwt_tool keygen RS256 KEY` made.
mint() {
	jwt_tool mint --key "$1.pem" --alg RS256 --kid "$1" --claims "$2"
}
