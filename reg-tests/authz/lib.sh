# SPDX-License-Identifier: Apache-2.0
# What the stories about tokens, policies and the agent share, above reg-tests/lib.sh.
#
# A token stands in a file of its own, named as it is spoken of: `bearer expired $shop/`. The edge of
# authz/edge.yaml serves the host shop.example on port 8080 of the test's own address.
. "${SALLYPORT_TOP:-$top}/reg-tests/lib.sh"

shop=http://shop.example
issuer=https://issuer.example
: "${http:=8080}"

# edge FILE …: authz/edge.yaml and these documents are the configuration, as conf/edge.yaml.
edge() {
	set_var jwks "$(cat issuer.jwks 2>/dev/null || echo '{}')"
	fill "$top/reg-tests/authz/edge.yaml" "$@" >conf/edge.new
	mv conf/edge.new conf/edge.yaml
}

# token NAME [MEMBERS [KEY [ALG [KID]]]]: a token that is good for 10 minutes, but for the members given.
# Without a KEY `issuer` signs, without a KID the key's name is the one.
token() {
	jwt_tool mint --key "${3:-issuer}.pem" --alg "${4:-RS256}" --kid "${5:-${3:-issuer}}" \
		--claims "{\"iss\":\"$issuer\",\"sub\":\"ann\",\"exp\":\"+600\"${2:+,$2}}" >"$1.jwt"
}

# bearer NAME URL [curl options]: asks with this token where tokens usually are.
bearer() {
	name=$1
	shift
	ask "$@" -H "Authorization: Bearer $(cat "$name.jwt")"
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

# upstream_head NAME URL [curl options]: the field NAME as the upstream got it; the path begins /head/.
upstream_head() {
	field=$1
	shift
	ask "$@" | sed 's/^200 //' | sed -n "s/^$field: //Ip"
}

# logged TEXT: the access log has a line with this text.
logged() {
	await grep -q -F -e "$1" access.log
}

# counter NAME: of the proxy.
counter() {
	sallyctl show counters | sed -n "s/^$1: //p"
}

# segment TEXT | segment <FILE: base64url without padding.
segment() {
	if [ $# -gt 0 ]; then printf '%s' "$1"; else cat; fi | openssl base64 -A | tr '+/' '-_' | tr -d '='
}

# agent_pid: of the agent that the proxy runs; fails while there is none.
agent_pid() {
	pid=$(sallyctl show info | sed -n 's/^Agent_pid: //p')
	[ "${pid:-0}" -gt 0 ] && echo "$pid"
}

# counted REPORT KIND STATUS: of kinds.py's report; 0 where it has no such line.
counted() {
	n=$(sed -n "s/^$2 $3 //p" "$1")
	echo "${n:-0}"
}

# nothing_slipped REPORT KIND …: no request of these kinds had any answer but a refusal, if any.
nothing_slipped() {
	report=$1
	shift
	for kind in "$@"; do
		! grep "^$kind " "$report" | grep -v -E "^$kind (401|403|503|lost|gap_ms) " ||
			fail "requests of the kind $kind were not refused: $(cat "$report")"
		[ "$(counted "$report" "$kind" 401)" -gt 0 ] || [ "$(counted "$report" "$kind" 403)" -gt 0 ] ||
			fail "no request of the kind $kind was judged: $(cat "$report")"
	done
}

# use_agents TIMEOUT NAME …: the edge asks the agents at NAME.sock; without any it runs its own.
use_agents() {
	spec="timeout: $1" list=
	shift
	for name in "$@"; do list="$list\"unix:$PWD/$name.sock\", "; done
	[ $# -eq 0 ] || spec="$spec, addresses: [${list%, }]"
	sed "/^  authz: /d; s|^  workers: .*|&\n  authz: {$spec}|" conf/edge.yaml >conf/edge.new
	mv conf/edge.new conf/edge.yaml
}

# agent_field NAME FIELD: of the agent at NAME.sock, in `show agents`.
agent_field() {
	sallyctl -o json show agents | jq -r ".[] | select(.agent == \"unix:$PWD/$1.sock\") | .$2"
}
agent_counter() {
	n=$(agent_field "$1" "$2")
	echo "${n:-0}"
}

# agents NAME …: these are asked, all of them are up, and no others.
agents() {
	for name in "$@"; do echo "unix:$PWD/$name.sock UP"; done >agents.expected
	await same "$(cat agents.expected)" sh -c "sallyctl -o json show agents | jq -r '.[] | .agent + \" \" + .state'"
}

# use_agent ADDRESS: the edge asks the agent there and starts none.
use_agent() {
	sed -i "s,^  workers: .*,&\n  authz: {address: \"$1\"}," conf/edge.yaml
}
