# SPDX-License-Identifier: Apache-2.0
# What the stories about client certificates share, above authz/lib.sh.
#
# authority CA makes CA.crt and CA.key; client NAME CA SAN makes NAME.crt and NAME.key, signed by CA.
. "${SALLYPORT_TOP:-$top}/reg-tests/authz/lib.sh"

: "${https:=8443}"

authority() {
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj "/CN=$1" \
		-addext keyUsage=critical,keyCertSign,cRLSign -keyout "$1.key" -out "$1.crt" 2>/dev/null
	: >"$1.index"
	echo 1000 >"$1.serial"
	cat >"$1.cnf" <<-END
		[ca]
		default_ca = a
		[a]
		database = $1.index
		serial = $1.serial
		new_certs_dir = .
		certificate = $1.crt
		private_key = $1.key
		default_md = sha256
		default_days = 30
		default_crl_days = 30
		policy = p
		copy_extensions = copy
		unique_subject = no
		[p]
		commonName = supplied
		organizationName = optional
	END
}

# client NAME CA SAN [openssl ca options]
client() {
	name=$1 ca=$2 san=$3
	shift 3
	openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/O=shop/CN=$name" \
		-addext "subjectAltName=$san" -keyout "$name.key" -out "$name.csr" 2>/dev/null
	openssl ca -batch -notext -config "$ca.cnf" -in "$name.csr" -out "$name.crt" "$@" 2>/dev/null
	chmod 600 "$name.key"
}

revocations() { # CA: CA.crl with what was revoked by now
	openssl ca -config "$1.cnf" -gencrl -out "$1.crl" 2>/dev/null
}
revoke() { # NAME CA
	openssl ca -config "$2.cnf" -revoke "$1.crt" 2>/dev/null
}

# with NAME URL [curl options]: asks and shows this certificate.
with() {
	name=$1
	shift
	ask "$@" --cert "$name.crt" --key "$name.key"
}

# refused command …: the handshake fails, with TLS 1.3 as late as at the first read; curl has a number of
# its own for the alerts about certificates.
refused() {
	found=$("$@")
	case $found in
	'curl 35' | 'curl 55' | 'curl 56' | 'curl 60') ;;
	*) fail "$*: not refused but $found" ;;
	esac
}

# alert VERSION HOST [s_client options]: the number of the alert that the client gets, or "served".
alert() {
	version=$1 host=$2
	shift 2
	printf 'GET / HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n' "$host" |
		openssl s_client -connect "$ip:$https" -servername "$host" "-$version" -ign_eof "$@" \
			>alert.out 2>&1 || true
	number=$(sed -n 's/.*SSL alert number \([0-9]*\).*/\1/p' alert.out | tail -n 1)
	if [ -n "$number" ]; then
		echo "$number"
	elif grep -q '^HTTP/1.1 200' alert.out; then
		echo served
	else
		cat alert.out
	fi
}

# session HOST VERSION [options]: "New" or "Reused".
session() {
	host=$1 version=$2
	shift 2
	printf 'GET / HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n' "$host" |
		openssl s_client -connect "$ip:$https" -servername "$host" "-$version" -ign_eof "$@" 2>/dev/null |
		sed -n 's/^\(New\|Reused\), TLS.*/\1/p'
}

# place FILE SECRET KEY: as writers of secrets do, by rename.
place() {
	mkdir -p "secrets/istio-system/$2"
	cp "$1" "secrets/istio-system/$2/.new"
	mv "secrets/istio-system/$2/.new" "secrets/istio-system/$2/$3"
}
