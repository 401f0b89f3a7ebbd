# SPDX-License-Identifier: Apache-2.0
# What the stories about gRPC share, above reg-tests/lib.sh: grpc_echo.py behind grpc/edge.yaml.
. "${SALLYPORT_TOP:-$top}/reg-tests/lib.sh"

# edge FILE …: grpc/edge.yaml and these documents are the configuration. The server of `echo` listens.
edge() {
	await test -s echo.port
	set_var echo "$(cat echo.port)"
	: "${refused:=1}" "${html:=1}"
	set_var refused "$refused"
	set_var html "$html"
	certificate secrets/istio-system/grpc grpc.example
	fill "$top/reg-tests/grpc/edge.yaml" "$@" >conf/edge.yaml
}

# call PORT [grpc_call.py arguments]
call() {
	port=$1
	shift
	grpc_call.py "$ip:$port" --authority grpc.example "$@"
}

# counter NAME: of the proxy.
counter() {
	sallyctl show counters | sed -n "s/^$1: //p"
}

# becomes EXPECTED command …: after a while the output is this.
becomes() {
	await same "$@"
}
same() {
	expected=$1
	shift
	[ "$("$@" 2>&1)" = "$expected" ]
}

# logged TEXT: the access log has a line with this text.
logged() {
	await grep -q -F -e "$1" access.log
}
