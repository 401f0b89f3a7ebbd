# SPDX-License-Identifier: Apache-2.0
# What the stories about relayed connections share, above authz/lib.sh.
. "${SALLYPORT_TOP:-$top}/reg-tests/authz/lib.sh"

at=127.0.0.1

# line REGEX [TIMES]: the access log comes to have so many lines like this.
line() {
	await has_lines "$1" "${2:-1}"
}
has_lines() {
	[ "$(grep -c -E -e "$1" access.log)" = "$2" ]
}

# serial_through NAME: of the certificate that this server name gets on the port $https.
serial_through() {
	openssl s_client -connect $at:$https -servername "$1" </dev/null 2>/dev/null | openssl x509 -noout -serial
}
