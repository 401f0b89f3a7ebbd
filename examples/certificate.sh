#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Makes a self-signed certificate for the examples, as files that Sallyport reads in place of a Secret:
#   examples/certificate.sh NAME HOST ...
# writes tls.crt and tls.key to /tmp/sallyport-examples/secrets/istio-system/NAME/. A running Sallyport
# serves them within a second.
set -eu
if [ $# -lt 2 ]; then
	echo "usage: $0 NAME HOST ..." >&2
	exit 2
fi
name=$1
shift
top=/tmp/sallyport-examples
folder=$top/secrets/istio-system/$name
names=$(printf ',DNS:%s' "$@")
umask 077
mkdir -p "$folder"
openssl req -x509 -newkey rsa:2048 -nodes -days 365 -subj "/CN=$1" -addext "subjectAltName=${names#,}" \
	-keyout "$folder/.tls.key" -out "$folder/.tls.crt" 2>/dev/null
# Moved into place whole: the key first, since a pair is read when its certificate is there.
mv "$folder/.tls.key" "$folder/tls.key"
mv "$folder/.tls.crt" "$folder/tls.crt"
echo "$folder/tls.crt"
