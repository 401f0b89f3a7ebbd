# SPDX-License-Identifier: Apache-2.0
# What the stories of retries share, beside reg-tests/lib.sh: one proxy in front of the origins of failing.py,
# a host for each policy. A request that has the header `x-up: h2` goes to its origin over HTTP/2.

# edge: the proxy and its socket, to stdout; more settings of `limits` in $limits.
edge() {
	fill - <<-END
		apiVersion: sallyport.io/v1
		kind: Proxy
		metadata: {name: edge, namespace: istio-system}
		spec:
		  workers: 1
		  admin: {socket: "@tmp@/admin.sock"}
		  accessLog: {path: "@tmp@/access.log", format: json}
		  limits: {${limits:-}}
		---
		apiVersion: networking.istio.io/v1
		kind: Gateway
		metadata: {name: edge, namespace: istio-system}
		spec:
		  servers:
		    - port: {number: 0, name: http, protocol: HTTP}
		      bind: unix://@tmp@/edge.sock
		      hosts: ["*.example"]
	END
}

# policy NAME [RETRIES [TIMEOUT [UPSTREAM]]]: the host NAME.example.
policy() {
	cat <<-END
		---
		apiVersion: networking.istio.io/v1
		kind: VirtualService
		metadata: {name: $1, namespace: istio-system}
		spec:
		  hosts: [$1.example]
		  gateways: [edge]
		  http:
		    - match: [{headers: {x-up: {exact: h2}}}]
		      headers: {request: {add: {x-added: once}}}
		      route: [{destination: {host: ${4:-up}.svc.example, port: {number: 81}}}]
		      ${2:+retries: {$2\}}
		      ${3:+timeout: $3}
		    - headers: {request: {add: {x-added: once}}}
		      route: [{destination: {host: ${4:-up}.svc.example, port: {number: 80}}}]
		      ${2:+retries: {$2\}}
		      ${3:+timeout: $3}
	END
}

# upstream NAME 'TRAFFIC POLICY' ORIGIN ...: an HTTP/1.1 port 80 and an HTTP/2 port 81 of the same endpoints.
upstream() {
	name=$1 traffic=$2
	shift 2
	cat <<-END
		---
		apiVersion: networking.istio.io/v1
		kind: DestinationRule
		metadata: {name: $name, namespace: istio-system}
		spec: {host: $name.svc.example, trafficPolicy: {$traffic}}
		---
		apiVersion: networking.istio.io/v1
		kind: ServiceEntry
		metadata: {name: $name, namespace: istio-system}
		spec:
		  hosts: [$name.svc.example]
		  resolution: STATIC
		  ports: [{number: 80, name: http, protocol: HTTP}, {number: 81, name: http2, protocol: HTTP2}]
		  endpoints:
	END
	for origin in "$@"; do
		eval "port=\$$origin"
		echo "    - {address: 127.0.0.1, ports: {http: $port, http2: $port}}"
	done
}

# send HOST PATH [curl options]: the body in the file $out, or `body`; prints the status, or what curl says.
send() {
	host=$1 path=$2
	shift 2
	curl -s --max-time 30 --unix-socket edge.sock -o ${out:-body} -w '%{http_code} %{exitcode}' -H 'Expect:' "$@" \
		"http://$host.example$path" | sed 's/ 0$//; s/^[0-9]* \([0-9]*\)$/curl \1/'
}

# tries ID: how many requests came to the origins.
tries() {
	grep -c "^[^ ]* $1 " failing.log
}

# counter NAME
counter() {
	sallyctl show counters | sed -n "s/^$1: //p"
}
