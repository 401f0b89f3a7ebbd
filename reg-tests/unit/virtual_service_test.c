/* SPDX-License-Identifier: Apache-2.0
 *
 * VirtualService: what a spec decodes to, and every rule of spec/virtual-service.md 3. */
#include "document_check.h"
#include "sallyport/resource/virtual_service.h"

static void *decode(struct decoder *d, const struct node *spec, const struct meta *meta)
{
	return virtual_service_decode(d, spec, meta);
}

/* Indentation of what the rows below leave out. */
#define AT	"VirtualService shop/web: "
#define LATER	": is accepted but not obeyed yet\n"
#define TO	"route: [{destination: {host: cart.shop.svc}}]"
#define HEAD	"hosts: [shop.example]\ngateways: [edge]\n"

/* What a row shows of a document. */
#define ROUTES(list)	HEAD "http:\n" list
#define ROUTE(rest)	ROUTES("- " rest "\n")
#define MATCH(item)	ROUTE("match:\n  - " item "\n  " TO)
#define HEADERS(rest)	ROUTE("headers: " rest "\n  " TO)
#define TLSR(rest)	HEAD "tls:\n- " rest "\n"
#define TCP(rest)	HEAD "tcp:\n- " rest "\n"

static const struct document_row rules[] = {
	/* 3.1 the document */
	{ "V01", "hosts: [a.b]\ngateways: [edge]\n", "1:1: " AT "spec: no routes: give http, tls or tcp\n" },
	{ "V02", "gateways: [edge]\nhttp: [{" TO "}]\n", "1:11: " AT "spec: without hosts this is a delegate, which must not name gateways\n" },
	{ "V03", "tls: [{match: [{sniHosts: [a.b]}], " TO "}]\n",
	  "1:6: " AT "spec: without hosts this is a delegate, which must not have tls routes\n" },
	{ "V04", "tcp: [{" TO "}]\n", "1:6: " AT "spec: without hosts this is a delegate, which must not have tcp routes\n" },
	{ "V05", "hosts: [\"\"]\ngateways: [edge]\nhttp: [{" TO "}]\n", "1:9: " AT "spec.hosts[0]: an empty host\n" },
	{ "V06", "hosts: [a_b.example]\ngateways: [edge]\nhttp: [{" TO "}]\n", "*1:9: " AT "spec.hosts[0]: host \"a_b.example\"" },
	{ "V06 ip", "hosts: [10.1.2.3]\ngateways: [edge]\nhttp: [{" TO "}]\n", "" },
	{ "V07", "hosts: [\"*\"]\nhttp: [{" TO "}]\n",
	  "1:1: warning: " AT "spec: has no effect at the edge: no Gateway is named in gateways\n"
	  "1:9: " AT "spec.hosts[0]: \"*\" needs a gateway-only VirtualService: name the Gateway in gateways, without mesh\n" },
	{ "V08", "hosts: [\"*.a.com\", x.a.com]\ngateways: [edge]\nhttp: [{" TO "}]\n",
	  "1:20: " AT "spec.hosts: overlapping hosts: \"x.a.com\" and \"*.a.com\" of line 1\n" },
	{ "V08 equal", "hosts: [x.a.com, X.a.com.]\ngateways: [edge]\nhttp: [{" TO "}]\n",
	  "1:18: " AT "spec.hosts: overlapping hosts: \"x.a.com\" and \"x.a.com\" of line 1\n" },
	{ "V08 apart", "hosts: [\"*.a.com\", a.com]\ngateways: [edge]\nhttp: [{" TO "}]\n", "" },
	{ "V09", "hosts: [a.b]\ngateways: [\"*/x\"]\nhttp: [{" TO "}]\n", "2:12: " AT "spec.gateways[0]: invalid gateway reference \"*/x\", write name, namespace/name or mesh\n" },
	{ "V10", "hosts: [a.b]\ngateways: [a_b]\nhttp: [{" TO "}]\n", "2:12: " AT "spec.gateways[0]: invalid gateway reference \"a_b\", write name, namespace/name or mesh\n" },
	{ "V11", "hosts: [a.b]\ngateways: [edge.infra]\nhttp: [{" TO "}]\n", "2:12: warning: " AT "spec.gateways[0]: \"edge.infra\" is an old form of a gateway reference, write infra/edge\n" },
	{ "V12", "hosts: [a.b]\ngateways: [edge, shop/edge]\nhttp: [{" TO "}]\n", "2:18: warning: " AT "spec.gateways[1]: duplicate gateway\n" },
	{ "V13", HEAD "exportTo: [\"~\"]\nhttp: [{" TO "}]\n", "3:12: " AT "spec.exportTo[0]: bad exportTo value \"~\", use \".\", \"*\" or a namespace\n" },
	{ "V14", HEAD "exportTo: [\".\", shop]\nhttp: [{" TO "}]\n", "3:17: " AT "spec.exportTo[1]: duplicate exportTo value \"shop\": \".\" is the resource's own namespace\n" },
	{ "V15", HEAD "exportTo: [\"*\", shop]\nhttp: [{" TO "}]\n", "3:11: " AT "spec.exportTo: \"*\" must stand alone\n" },
	{ "V16", HEAD "http:\n- null\n", "*4:3: " AT "spec.http[0]: is null" },
	{ "mesh beside a Gateway", "hosts: [a.b]\ngateways: [edge, mesh]\nhttp: [{" TO "}]\n",
	  "2:18: note: " AT "spec.gateways[1]: mesh is ignored: there are no sidecars at the edge\n" },
	{ "mesh in a match", MATCH("gateways: [mesh]"),
	  "*5:16: note: " AT "spec.http[0].match[0].gateways[0]: mesh is ignored" },
	{ "4.1 a match beyond the document", MATCH("gateways: [other]"),
	  "5:16: warning: " AT "spec.http[0].match[0]: never used: none of these gateways is among those of the VirtualService, which they can only narrow\n" },
	{ "4.1 a match within", MATCH("gateways: [other, edge]"), "" },
	{ "4.1 tcp", "hosts: [a.b]\ngateways: [edge]\ntcp:\n- match: [{gateways: [infra/edge]}]\n  " TO "\n",
	  "4:23: warning: " AT "spec.tcp[0].match[0]: never used: none of these gateways is among those of the VirtualService, which they can only narrow\n" },
	{ "V17", "hosts: [a.b]\ngateways: [mesh]\nhttp: [{" TO "}]\n", "2:11: warning: " AT "spec: has no effect at the edge: no Gateway is named in gateways\n" },
	{ "unknown", HEAD "http:\n- matches: []\n  " TO "\n", "4:3: " AT "spec.http[0]: unknown field \"matches\", did you mean \"match\"?\n" },

	/* 3.2 actions */
	{ "V20", ROUTE("{delegate: {name: x}, " TO "}"),
	  "4:3: " AT "spec.http[0]: delegate excludes route\n" },
	{ "V21", "http:\n- delegate: {name: x}\n",
	  "2:13: " AT "spec.http[0]: delegates cannot be chained: this VirtualService has no hosts, so it is one itself\n" },
	{ "V22", ROUTE("{redirect: {uri: /x}, " TO ", directResponse: {status: 200}}"),
	  "4:3: " AT "spec.http[0]: redirect excludes route\n"
	  "4:3: " AT "spec.http[0]: redirect excludes directResponse\n"
	  "4:3: " AT "spec.http[0]: directResponse excludes route\n" },
	{ "V23", ROUTE("{directResponse: {status: 200}, rewrite: {uri: /x}}"), "4:3: " AT "spec.http[0]: directResponse excludes rewrite\n" },
	{ "V24", ROUTE("name: x"), "4:3: " AT "spec.http[0]: needs an action: route, redirect or directResponse\n" },
	{ "V25", ROUTE("{" TO ", mirror: {host: a.b}, mirrors: [{destination: {host: a.b}}]}"), "*4:3: " AT "spec.http[0]: mirror excludes mirrors" },
	{ "V26", ROUTE("delegate: {namespace: shop}"), "4:13: " AT "spec.http[0].delegate: missing required field \"name\"\n" },
	{ "V26 name", ROUTE("delegate: {name: a.b}"), "4:20: " AT "spec.http[0].delegate.name: \"a.b\" is no name of a VirtualService\n" },
	{ "V27", ROUTE("{redirect: {uri: /x}, timeout: 1s}"), "4:34: warning: " AT "spec.http[0]: timeout has no effect with redirect\n" },

	/* 3.3 matches */
	{ "V30", MATCH("headers: {\"a b\": {exact: x}}"),
	  "5:15: " AT "spec.http[0].match[0].headers.a b: \"a b\" is no header name, pseudo header or claim (@request.auth.claims.name)\n" },
	{ "V30 claim prefix", MATCH("headers: {\"@request.auth.claims\": {exact: x}}"),
	  "5:15: " AT "spec.http[0].match[0].headers.@request.auth.claims: \"@request.auth.claims\" is no header name, pseudo header or claim (@request.auth.claims.name)\n" },
	{ "V30 claim end", MATCH("headers: {\"@request.auth.claims.\": {exact: x}}"),
	  "5:15: " AT "spec.http[0].match[0].headers.@request.auth.claims.: \"@request.auth.claims.\" is no header name, pseudo header or claim (@request.auth.claims.name)\n" },
	{ "V30 claim dash", MATCH("headers: {\"@request.auth.claims-x\": {exact: x}}"),
	  "5:15: " AT "spec.http[0].match[0].headers.@request.auth.claims-x: \"@request.auth.claims-x\" is no header name, pseudo header or claim (@request.auth.claims.name)\n" },
	{ "V30 pseudo", MATCH("headers: {\":path\": {prefix: /x}, \":Path\": {exact: x}}"),
	  "5:38: " AT "spec.http[0].match[0].headers.:Path: \":Path\" is no header name, pseudo header or claim (@request.auth.claims.name)\n" },
	{ "V31", MATCH("queryParams: {k: null}"),
	  "5:19: " AT "spec.http[0].match[0].queryParams.k: has no condition, write {} for \"present, whatever its value\"\n" },
	{ "V31 without", MATCH("withoutHeaders: {k: null, l: {}, m: {regex: \"*\"}}"),
	  "" },
	{ "V32", "hosts: [a.b]\ngateways: [edge, mesh]\nhttp:\n- match: [{headers: {\"@request.auth.claims.sub\": {exact: x}}}]\n  " TO "\n",
	  "2:18: note: " AT "spec.gateways[1]: mesh is ignored: there are no sidecars at the edge\n"
	  "4:22: " AT "spec.http[0].match[0]: claims can be matched at gateways only: name them in gateways, without mesh\n" },
	{ "claims", MATCH("headers: {\"@Request.Auth.Claims[a][b.c]\": {exact: x}}"), "" },
	{ "V30 claim, empty brackets", MATCH("headers: {\"@request.auth.claims[]\": {exact: x}}"),
	  "5:15: " AT "spec.http[0].match[0].headers.@request.auth.claims[]: \"@request.auth.claims[]\" is no header name, pseudo header or claim (@request.auth.claims.name)\n" },
	{ "V30 claim, open bracket", MATCH("headers: {\"@request.auth.claims[a\": {exact: x}}"),
	  "5:15: " AT "spec.http[0].match[0].headers.@request.auth.claims[a: \"@request.auth.claims[a\" is no header name, pseudo header or claim (@request.auth.claims.name)\n" },
	{ "V30 claim, names without an end", MATCH("headers: {\"@request.auth.claims.a.b.c.d.e.f.g.h.i.j.k.l.m.n.o.p.q\": {exact: x}}"),
	  "5:15: " AT "spec.http[0].match[0].headers.@request.auth.claims.a.b.c.d.e.f.g.h.i.j.k.l.m.n.o.p.q: \"@request.auth.claims.a.b.c.d.e.f.g.h.i.j.k.l.m.n.o.p.q\" is no header name, pseudo header or claim (@request.auth.claims.name)\n" },
	{ "V33", MATCH("{method: {prefix: \"\"}, uri: {prefix: \"\"}}"),
	  "5:23: " AT "spec.http[0].match[0].method: an empty prefix, write {} for \"present, whatever its value\"\n" },
	{ "V34", MATCH("uri: {regex: \"\"}"),
	  "5:18: " AT "spec.http[0].match[0].uri.regex: an empty regex, write .* for any value\n" },
	{ "V35", MATCH("uri: {regex: \"/a(?=b)\"}"),
	  "5:18: " AT "spec.http[0].match[0].uri.regex: bad regex \"/a(?=b)\" at offset 2: (?= (look-ahead) is not in RE2 syntax\n" },
	{ "V35 unbalanced", MATCH("headers: {x: {regex: \"(a\"}}"),
	  "5:26: " AT "spec.http[0].match[0].headers.x.regex: bad regex \"(a\" at offset 2: missing closing parenthesis\n" },
	{ "V36", MATCH("headers: {x: {regex: \"*\"}}"),
	  "5:26: " AT "spec.http[0].match[0].headers.x.regex: regex \"*\" repeats nothing, write .* for any value\n" },
	{ "V37", MATCH("uri: {exact: /a, prefix: /b}"),
	  "5:10: " AT "spec.http[0].match[0].uri: more than one of exact, prefix and regex: choose one\n" },
	{ "V37 scalar", MATCH("uri: /api"),
	  "5:10: " AT "spec.http[0].match[0].uri: must be a mapping, write {exact: \"/api\"}, {prefix: …} or {regex: …}\n" },
	{ "V37 number", MATCH("headers: {x: {exact: 2.0}}"),
	  "5:26: " AT "spec.http[0].match[0].headers.x.exact: must be a string, found the number 2.0: write \"2.0\"\n" },
	{ "V38", MATCH("port: 65536"),
	  "5:11: " AT "spec.http[0].match[0].port: 65536 is out of range 0..65535\n" },
	{ "V38 unset", MATCH("port: 0"),
	  "" },
	{ "V39", MATCH("sourceLabels: {\"a b\": \"x_\"}"),
	  "5:20: " AT "spec.http[0].match[0].sourceLabels: bad label key \"a b\": letters, digits, -, _ and . up to 63 characters, with or without a domain and / before them\n"
	  "5:20: " AT "spec.http[0].match[0].sourceLabels: bad value \"x_\" of label a b: letters, digits, -, _ and . up to 63 characters\n" },
	{ "V40", MATCH("sourceNamespace: a.b"),
	  "5:22: " AT "spec.http[0].match[0].sourceNamespace: \"a.b\" is no namespace\n" },
	{ "V41", MATCH("gateways: [a/b/c]"),
	  "5:16: " AT "spec.http[0].match[0].gateways[0]: invalid gateway reference \"a/b/c\", write name, namespace/name or mesh\n" },
	{ "V42", MATCH("uri: {regex: /api}"),
	  "5:10: warning: " AT "spec.http[0].match[0].uri: regex \"/api\" has to match the whole path, so it equals exact; write /api.* for everything that begins with it\n" },
	{ "real header", MATCH("headers: {uri: {exact: /x}}"),
	  "5:15: warning: " AT "spec.http[0].match[0].headers.uri: asks for a header field named \"uri\"; for the uri of the request write match[].uri\n" },
	{ "null item", ROUTE("match: [null]\n  " TO),
	  "" },

	/* 3.4 header operations */
	{ "V50", HEADERS("{request: {set: {\"\": x}}}"),
	  "4:29: " AT "spec.http[0].headers.request.set.: an empty header name\n" },
	{ "V51", HEADERS("{request: {set: {\":authority\": a.b}, add: {\":path\": /x}}}"),
	  "4:55: " AT "spec.http[0].headers.request.add.:path: \":path\" cannot be changed here, of the pseudo headers only :authority\n" },
	{ "V52", HEADERS("{request: {remove: [Host, \":path\", x-ok]}}"),
	  "4:32: " AT "spec.http[0].headers.request.remove[0]: \"Host\" cannot be removed from a request\n"
	  "4:38: " AT "spec.http[0].headers.request.remove[1]: \":path\" cannot be removed from a request\n" },
	{ "V53", HEADERS("{response: {set: {Host: a}, add: {\":status\": \"200\"}, remove: [\":authority\"]}}"),
	  "4:30: " AT "spec.http[0].headers.response.set.Host: \"Host\" cannot be changed in a response\n"
	  "4:46: " AT "spec.http[0].headers.response.add.:status: \":status\" cannot be changed in a response\n"
	  "4:74: " AT "spec.http[0].headers.response.remove[0]: \":authority\" cannot be removed from a response\n" },
	{ "V54", HEADERS("{request: {set: {x: \"a\\rb\", y: \"a\\tb\"}}}"),
	  "4:32: " AT "spec.http[0].headers.request.set.x: control character 0x0d in a header value\n" },
	{ "V55", HEADERS("{request: {set: {x: \"abc%123\"}, add: {y: \"%START_TIME%%\"}}}"),
	  "4:32: " AT "spec.http[0].headers.request.set.x: at offset 3: \"%\" begins no operator: write %% for a percent sign, or %NAME%\n"
	  "4:53: " AT "spec.http[0].headers.request.add.y: at offset 12: \"%\" begins no operator: write %% for a percent sign, or %NAME%\n" },
	{ "V56", HEADERS("{request: {set: {x: \"%REQUEST(a)%\", y: \"%REQ(a b)%\"}}}"),
	  "4:32: " AT "spec.http[0].headers.request.set.x: at offset 0: unknown operator %REQUEST%\n"
	  "4:51: " AT "spec.http[0].headers.request.set.y: at offset 5: \"a b\" is no header name\n" },
	{ "V57", ROUTE("{" TO ", rewrite: {authority: x.y}, headers: {request: {set: {Host: z.y}}}}"),
	  "4:3: " AT "spec.http[0]: the authority is given 2 times: keep one of rewrite.authority, headers.request.set and headers.request.add\n" },
	{ "V58", HEADERS("{request: {set: {x: \"\"}}}"),
	  "4:32: warning: " AT "spec.http[0].headers.request.set.x: an empty value does nothing; to delete a header use remove\n" },
	{ "framing", HEADERS("{response: {set: {Content-Length: \"1\"}}, request: {add: {connection: close}}}"),
	  "4:30: " AT "spec.http[0].headers.response.set.Content-Length: \"Content-Length\" belongs to the message's framing, which is the proxy's\n"
	  "4:69: " AT "spec.http[0].headers.request.add.connection: \"connection\" belongs to the message's framing, which is the proxy's\n" },
	{ "value type", HEADERS("{request: {set: {x: 1}}}"),
	  "4:32: " AT "spec.http[0].headers.request.set.x: must be a string, found the number 1: write \"1\"\n" },
	{ "level", HEADERS("{set: {x: y}}"),
	  "4:13: " AT "spec.http[0].headers: unknown field \"set\"; there are: request, response\n" },

	/* 3.5 destinations */
	{ "V60 none", ROUTE("route: [{weight: 1}]"),
	  "4:11: " AT "spec.http[0].route[0]: missing required field \"destination\"\n" },
	{ "V60 empty", ROUTE("route: [{destination: {host: \"\"}}]"),
	  "4:32: " AT "spec.http[0].route[0].destination.host: an empty host\n" },
	{ "V60 star", ROUTE("route: [{destination: {host: \"*\"}}]"),
	  "4:32: " AT "spec.http[0].route[0].destination.host: \"*\" is no destination, name the host of a service\n" },
	{ "V60 address", ROUTE("route: [{destination: {host: 10.0.0.5}}]"),
	  "4:32: " AT "spec.http[0].route[0].destination.host: \"10.0.0.5\" is an address: declare it through a ServiceEntry (resolution: STATIC) and name that host\n" },
	{ "V60 bad", ROUTE("route: [{destination: {host: a..b}}]"),
	  "4:32: " AT "spec.http[0].route[0].destination.host: host \"a..b\" is not a valid host\n" },
	{ "V61", ROUTE("route: [{destination: {host: a.b, subset: v_1}}]"),
	  "4:45: " AT "spec.http[0].route[0].destination.subset: \"v_1\" is no subset name: letters, digits and inner hyphens, at most 63\n" },
	{ "V62", ROUTE("route: [{destination: {host: a.b, port: {number: 0}}}]"),
	  "4:52: " AT "spec.http[0].route[0].destination.port.number: 0 is out of range 1..65535\n" },
	{ "V62 large", ROUTE("route: [{destination: {host: a.b, port: {number: 65536}}}]"),
	  "4:52: " AT "spec.http[0].route[0].destination.port.number: 65536 is out of range 1..65535\n" },
	{ "V62 empty", ROUTE("route: [{destination: {host: a.b, port: {}}}]"),
	  "4:43: " AT "spec.http[0].route[0].destination.port: missing required field \"number\"\n" },
	{ "V63", ROUTE("route: [{destination: {host: a.b}, weight: -1}]"),
	  "4:46: " AT "spec.http[0].route[0].weight: a weight of -1, write 0 or more\n" },
	{ "V64", ROUTE("route: [{destination: {host: a.b}}, {destination: {host: c.d}}]"),
	  "4:10: " AT "spec.http[0].route: several destinations and no weight: every share is 0\n" },
	{ "V65", ROUTE("{" TO ", mirror: {host: m.n}, mirror_percent: 10}"),
	  "4:88: warning: " AT "spec.http[0].mirror_percent: is deprecated, write mirrorPercentage: {value: 10}\n" },
	{ "V65 large", ROUTE("{" TO ", mirror: {host: m.n}, mirrorPercent: 101}"),
	  "4:87: " AT "spec.http[0].mirrorPercent: 101 percent, write 0 to 100\n" },
	{ "V66", ROUTE("{" TO ", mirror: {host: m.n}, mirrorPercentage: {value: -0.5}}"),
	  "4:90: " AT "spec.http[0].mirrorPercentage: -0.5 percent, write 0 to 100\n" },
	{ "V67", ROUTE("{" TO ", mirrors: [null, {percentage: {value: 1}}]}"),
	  "4:61: " AT "spec.http[0].mirrors[0]: is null: write a value or remove the item\n"
	  "4:67: " AT "spec.http[0].mirrors[1]: missing required field \"destination\"\n" },
	{ "V68", ROUTE("route: [{destination: {host: a.b}, weight: 2147483647}, {destination: {host: c.d}, weight: 2147483647}, {destination: {host: e.f}, weight: 2}]"),
	  "4:10: " AT "spec.http[0].route: the weights add up to 4294967296, at most 4294967295 are allowed\n" },
	{ "V69", ROUTE("route: [{destination: {host: a.b}, weight: 1}, {destination: {host: c.d}}]"),
	  "4:50: warning: " AT "spec.http[0].route[1]: gets no requests: its weight is 0\n" },

	/* 3.6 redirect, direct response, rewrite */
	{ "V70", ROUTE("redirect: {uri: /a, prefixRewrite: /b}"),
	  "4:13: " AT "spec.http[0].redirect: uri and prefixRewrite both: choose one\n" },
	{ "V71", ROUTE("{match: [{uri: {prefix: /a}}, {port: 80}, {uri: {exact: /b}}], redirect: {prefixRewrite: /c}}"),
	  "4:51: " AT "spec.http[0]: redirect.prefixRewrite needs a uri.prefix to rewrite, in every match\n" },
	{ "V72", ROUTE("redirect: {redirectCode: 302}"),
	  "4:13: " AT "spec.http[0].redirect: redirects to where it came from: give uri, prefixRewrite, authority, scheme, port or derivePort\n" },
	{ "V73", ROUTE("redirect: {uri: /a, redirectCode: 300}"),
	  "4:37: " AT "spec.http[0].redirect.redirectCode: 300 is no redirect, use 301, 302, 303, 307 or 308\n" },
	{ "V74", ROUTE("redirect: {scheme: ftp}"),
	  "4:22: " AT "spec.http[0].redirect.scheme: scheme \"ftp\", write http or https\n" },
	{ "V75", ROUTE("redirect: {port: 70000}"),
	  "4:20: " AT "spec.http[0].redirect.port: 70000 is out of range 0..65535\n" },
	{ "ports", ROUTE("redirect: {port: 80, derivePort: FROM_REQUEST_PORT}"),
	  "4:13: " AT "spec.http[0].redirect: port and derivePort both: choose one\n" },
	{ "V76", ROUTE("directResponse: {status: 600}"),
	  "4:28: " AT "spec.http[0].directResponse.status: status 600, write 200 to 599\n" },
	{ "V76 none", ROUTE("directResponse: {body: {string: x}}"),
	  "4:19: " AT "spec.http[0].directResponse: missing required field \"status\"\n" },
	{ "body both", ROUTE("directResponse: {status: 200, body: {string: x, bytes: eA==}}"),
	  "4:39: " AT "spec.http[0].directResponse.body: string and bytes both: choose one\n" },
	{ "body bytes", ROUTE("directResponse: {status: 200, body: {bytes: \"e!\"}}"),
	  "4:47: " AT "spec.http[0].directResponse.body: is no base64 (standard alphabet, padded with =)\n" },
	{ "V78", ROUTE("{" TO ", rewrite: {}}"),
	  "4:60: " AT "spec.http[0].rewrite: rewrites nothing: give uri, authority or uriRegexRewrite\n" },
	{ "V78 both", ROUTE("{" TO ", rewrite: {uri: /a, uriRegexRewrite: {match: a, rewrite: b}}}"),
	  "4:60: " AT "spec.http[0].rewrite: uri and uriRegexRewrite both: choose one\n" },
	{ "V79", ROUTE("{" TO ", rewrite: {uriRegexRewrite: {match: \"\", rewrite: b}}}"),
	  "4:86: " AT "spec.http[0].rewrite.uriRegexRewrite.match: an empty regex, write .* for any value\n" },
	{ "V79 regex", ROUTE("{" TO ", rewrite: {uriRegexRewrite: {match: \"(a)\\\\1\", rewrite: b}}}"),
	  "4:86: " AT "spec.http[0].rewrite.uriRegexRewrite.match: bad regex \"(a)\\1\" at offset 3: back-reference \\1 is not in RE2 syntax\n" },
	{ "V79 group", ROUTE("{" TO ", rewrite: {uriRegexRewrite: {match: (a), rewrite: '\\2'}}}"),
	  "4:100: " AT "spec.http[0].rewrite.uriRegexRewrite.rewrite: \"\\2\" at offset 1: \\2, but the expression has 1 group\n" },
	{ "V79 escape", ROUTE("{" TO ", rewrite: {uriRegexRewrite: {match: (a), rewrite: '\\n'}}}"),
	  "4:100: " AT "spec.http[0].rewrite.uriRegexRewrite.rewrite: \"\\n\" at offset 1: a backslash stands before a digit or a backslash only\n" },
	{ "V79 empty", ROUTE("{" TO ", rewrite: {uriRegexRewrite: {match: (a), rewrite: \"\"}}}"),
	  "4:100: " AT "spec.http[0].rewrite.uriRegexRewrite.rewrite: is empty, write what replaces the match, such as /\\1\n" },
	{ "V80", ROUTE("redirect: {uri: \"/a\\nb\"}"),
	  "4:19: " AT "spec.http[0].redirect.uri: CR, LF or NUL in it, write a single line\n" },
	{ "double slash", ROUTE("{match: [{uri: {prefix: /api}}], " TO ", rewrite: {uri: /}}"),
	  "4:18: warning: " AT "spec.http[0]: rewrite.uri \"/\" makes \"/api/x\" start with \"//x\": match \"/api/\" and \"/api\" in two items\n" },

	/* 3.7 timeout, retries, fault */
	{ "V90", ROUTE("{" TO ", retries: {attempts: -1}}"),
	  "4:71: " AT "spec.http[0].retries.attempts: -1 attempts, write 0 or more\n" },
	{ "V91", ROUTE("{" TO ", retries: {retryOn: 5xx}}"),
	  "4:60: " AT "spec.http[0].retries: no attempts: give attempts, or drop perTryTimeout, retryOn and retryRemoteLocalities\n" },
	{ "V91 off", ROUTE("{" TO ", retries: {attempts: 0}}"),
	  "" },
	{ "V92 zero", ROUTE("{" TO ", timeout: 0s}"),
	  "4:60: " AT "spec.http[0].timeout: \"0s\" is too short: at least 1ms; for no limit omit the field\n" },
	{ "V92 unit", ROUTE("{" TO ", timeout: 5}"),
	  "4:60: " AT "spec.http[0].timeout: \"5\" is no duration: it needs a unit, such as 5s\n" },
	{ "V92 negative", ROUTE("{" TO ", timeout: -1s}"),
	  "4:60: " AT "spec.http[0].timeout: \"-1s\" is negative: a duration must be 1ms or more\n" },
	{ "V92 precision", ROUTE("{" TO ", retries: {attempts: 1, backoff: 1.5ms}}"),
	  "4:83: " AT "spec.http[0].retries.backoff: \"1.5ms\" is no whole number of milliseconds\n" },
	{ "V93", ROUTE("{" TO ", retries: {attempts: 1, retryOn: \"5xx, reset\"}}"),
	  "4:83: " AT "spec.http[0].retries.retryOn: unknown condition \" reset\": write no blanks around the comma\n" },
	{ "V93 near", ROUTE("{" TO ", retries: {attempts: 1, retryOn: \"gateway-eror,999,,503\"}}"),
	  "4:83: " AT "spec.http[0].retries.retryOn: unknown condition \"gateway-eror\", did you mean \"gateway-error\"?\n"
	  "4:83: " AT "spec.http[0].retries.retryOn: unknown condition \"999\", write names such as 5xx, reset, connect-failure, or HTTP status codes\n"
	  "4:83: " AT "spec.http[0].retries.retryOn: an empty item between commas\n" },
	{ "V94", ROUTE("{" TO ", retries: {attempts: 1, retryOn: retriable-headers}}"),
	  "4:83: warning: " AT "spec.http[0].retries.retryOn: \"retriable-headers\" has no effect\n" },
	{ "remote localities", ROUTE("{" TO ", retries: {attempts: 1, retryRemoteLocalities: true}}"),
	  "4:97: warning: " AT "spec.http[0].retries: retryRemoteLocalities is accepted but not obeyed yet\n" },
	{ "V95", ROUTE("{" TO ", timeout: 1s, retries: {attempts: 1, perTryTimeout: 2s}}"),
	  "4:73: warning: " AT "spec.http[0]: retries.perTryTimeout is not shorter than timeout: ignored\n" },
	{ "V96", ROUTE("{" TO ", fault: {}}"),
	  "4:58: " AT "spec.http[0].fault: neither delay nor abort\n" },
	{ "V97", ROUTE("{" TO ", fault: {abort: {httpStatus: 418, percentage: {value: 0.00001}}}}"),
	  "4:96: " AT "spec.http[0].fault.abort.percentage: 1e-05 percent, write 0 or 0.0001 to 100\n" },
	{ "V98", ROUTE("{" TO ", fault: {abort: {percentage: {value: 1}}}}"),
	  "4:66: " AT "spec.http[0].fault.abort: with what? give httpStatus or grpcStatus\n" },
	{ "V98 status", ROUTE("{" TO ", fault: {abort: {httpStatus: 600}}}"),
	  "4:79: " AT "spec.http[0].fault.abort.httpStatus: status 600, write 200 to 599\n" },
	{ "V98 http2", ROUTE("{" TO ", fault: {abort: {http2Error: REFUSED}}}"),
	  "4:79: " AT "spec.http[0].fault.abort.http2Error: is not supported, use httpStatus or grpcStatus\n" },
	{ "V98 grpc", ROUTE("{" TO ", fault: {abort: {grpcStatus: UNAVAILABEL, percentage: {value: 1}}}}"),
	  "4:79: " AT "spec.http[0].fault.abort.grpcStatus: bad value \"UNAVAILABEL\", did you mean \"UNAVAILABLE\"?\n" },
	{ "V98 both", ROUTE("{" TO ", fault: {abort: {grpcStatus: OK, httpStatus: 503, percentage: {value: 1}}}}"),
	  "4:66: " AT "spec.http[0].fault.abort: httpStatus and grpcStatus both: choose one\n" },
	{ "V99", ROUTE("{" TO ", fault: {delay: {percentage: {value: 1}}}}"),
	  "4:66: " AT "spec.http[0].fault.delay: missing required field \"fixedDelay\"\n" },
	{ "V99 exponential", ROUTE("{" TO ", fault: {delay: {fixedDelay: 1s, exponentialDelay: 1s, percentage: {value: 1}}}}"),
	  "4:101: " AT "spec.http[0].fault.delay.exponentialDelay: is not supported, use fixedDelay\n" },
	{ "V100", ROUTE("{" TO ", fault: {abort: {httpStatus: 418}, delay: {fixedDelay: 1s, percent: 0}}}"),
	  "4:66: warning: " AT "spec.http[0].fault.abort: aborts nothing: give percentage: {value: 100}\n"
	  "4:92: warning: " AT "spec.http[0].fault.delay: delays nothing: give percentage: {value: 100}\n"
	  "4:118: warning: " AT "spec.http[0].fault.delay.percent: is deprecated, write percentage: {value: 0}\n" },

	/* 3.8 CORS */
	{ "V110", ROUTE("{" TO ", corsPolicy: {allowOrigins: [{}, {exact: \"\"}, {regex: \"(\"}]}}"),
	  "4:79: " AT "spec.http[0].corsPolicy.allowOrigins[0]: needs a non-empty exact, prefix or regex\n"
	  "4:83: " AT "spec.http[0].corsPolicy.allowOrigins[1]: needs a non-empty exact, prefix or regex\n"
	  "4:104: " AT "spec.http[0].corsPolicy.allowOrigins[2].regex: bad regex \"(\" at offset 1: missing closing parenthesis\n" },
	{ "V111", ROUTE("{" TO ", corsPolicy: {allowOrigins: [{exact: a}], allowMethods: [GET, get]}}"),
	  "4:112: " AT "spec.http[0].corsPolicy.allowMethods[1]: \"get\" is no method, use GET HEAD POST PUT PATCH DELETE CONNECT OPTIONS TRACE or *\n" },
	{ "V112", ROUTE("{" TO ", corsPolicy: {allowOrigins: [{exact: a}], allowHeaders: [\"a b\"], exposeHeaders: [\"*\", \"x,y\"]}}"),
	  "4:107: " AT "spec.http[0].corsPolicy.allowHeaders[0]: \"a b\" is no header name or *\n"
	  "4:136: " AT "spec.http[0].corsPolicy.exposeHeaders[1]: \"x,y\" is no header name or *\n" },
	{ "V113", ROUTE("{" TO ", corsPolicy: {allowOrigins: [{exact: a}], maxAge: 1500ms}}"),
	  "4:100: " AT "spec.http[0].corsPolicy.maxAge: \"1500ms\" is no whole number of seconds\n" },
	{ "V113 D11", ROUTE("{" TO ", corsPolicy: {allowOrigins: [{exact: a}], maxAge: 0s}}"),
	  "" },
	{ "V114", ROUTE("{" TO ", corsPolicy: {}}"),
	  "4:63: warning: " AT "spec.http[0].corsPolicy: allows no origin: give allowOrigins\n" },
	{ "V115", ROUTE("{" TO ", corsPolicy: {allowOrigins: [{regex: \".*\"}], allowCredentials: true}}"),
	  "4:79: warning: " AT "spec.http[0].corsPolicy: every site is allowed, with credentials\n" },
	{ "V116", ROUTE("{" TO ", corsPolicy: {allowOrigin: [\"https://a.b/\"]}}"),
	  "4:77: warning: " AT "spec.http[0].corsPolicy.allowOrigin: is deprecated, write allowOrigins: [{exact: …}]\n"
	  "4:78: warning: " AT "spec.http[0].corsPolicy: origin \"https://a.b/\" ends in \"/\", which no browser sends\n" },

	/* 3.9 tls and tcp */
	{ "V120", TLSR("{" TO "}"),
	  "4:3: " AT "spec.tls[0]: missing required field \"match\"\n" },
	{ "V120 null", TLSR("{match: [null], " TO "}"),
	  "4:12: " AT "spec.tls[0].match[0]: is null: write a value or remove the item\n" },
	{ "V121", TLSR("{match: [{port: 443}], " TO "}"),
	  "4:12: " AT "spec.tls[0].match[0]: missing required field \"sniHosts\"\n" },
	{ "V121 empty", TLSR("{match: [{sniHosts: []}], " TO "}"),
	  "4:23: " AT "spec.tls[0].match[0].sniHosts: no SNI hosts\n" },
	{ "V121 host", TLSR("{match: [{sniHosts: [\"\", a_b]}], " TO "}"),
	  "4:24: " AT "spec.tls[0].match[0].sniHosts[0]: an empty SNI host\n"
	  "4:28: " AT "spec.tls[0].match[0].sniHosts[1]: SNI host \"a_b\" is not a valid host\n" },
	{ "V122", TLSR("{match: [{sniHosts: [10.0.0.1]}], " TO "}"),
	  "4:24: warning: " AT "spec.tls[0].match[0].sniHosts[0]: \"10.0.0.1\" is an address: clients never send one as SNI\n"
	  "4:24: " AT "spec.tls[0].match[0]: sniHosts: \"10.0.0.1\" is not within the hosts of this VirtualService\n" },
	{ "V123", TLSR("{match: [{sniHosts: [b.com]}], " TO "}"),
	  "4:24: " AT "spec.tls[0].match[0]: sniHosts: \"b.com\" is not within the hosts of this VirtualService\n" },
	{ "V124", TLSR("{match: [{sniHosts: [\"*-a.shop.example\"]}], " TO "}"),
	  "4:24: " AT "spec.tls[0].match[0].sniHosts[0]: \"*-a.shop.example\": a wildcard stands for whole labels, write *.example.com\n" },
	{ "V125", TCP("{match: [{destinationSubnets: [10.0.0.0/33]}], " TO "}"),
	  "4:33: warning: " AT "spec.tcp[0].match[0].destinationSubnets: is not evaluated at a gateway; for rules on the source write an AuthorizationPolicy\n"
	  "4:34: " AT "spec.tcp[0].match[0].destinationSubnets[0]: \"10.0.0.0/33\" is neither an address nor a block such as 10.0.0.0/8\n" },
	{ "V126", TCP("{match: [{port: 65536, sourceNamespace: a.b, gateways: [a/b/c]}], " TO "}"),
	  "4:19: " AT "spec.tcp[0].match[0].port: 65536 is out of range 0..65535\n"
	  "4:43: warning: " AT "spec.tcp[0].match[0].sourceNamespace: is not evaluated at a gateway; for rules on the source write an AuthorizationPolicy\n"
	  "4:43: " AT "spec.tcp[0].match[0].sourceNamespace: \"a.b\" is no namespace\n"
	  "4:59: " AT "spec.tcp[0].match[0].gateways[0]: invalid gateway reference \"a/b/c\", write name, namespace/name or mesh\n" },
	{ "V127", TCP("{match: [{port: 80}]}"),
	  "4:3: " AT "spec.tcp[0]: missing required field \"route\"\n" },
	{ "V127 empty", TCP("{route: []}"),
	  "4:11: " AT "spec.tcp[0].route: no destination\n" },
	{ "V127 headers", TCP("{route: [{destination: {host: a.b}, headers: {}}]}"),
	  "4:39: " AT "spec.tcp[0].route[0]: unknown field \"headers\"; there are: destination, weight\n" },
	{ "V128", TCP("{match: [null], " TO "}"),
	  "4:12: " AT "spec.tcp[0].match[0]: is null: write a value or remove the item\n" },
	{ "outbound", "hosts: [outbound_.80_._.a.b]\ngateways: [edge]\ntls: [{match: [{sniHosts: [outbound_.80_._.a.b]}], " TO "}]\n", "" },
	{ "outbound bad", "hosts: [outbound_.x_._.a.b]\ngateways: [edge]\ntls: [{match: [{sniHosts: [outbound_.x_._.a.b]}], " TO "}]\n",
	  "1:9: " AT "spec.hosts[0]: invalid host \"outbound_.x_._.a.b\", write outbound_.PORT_.SUBSET_.HOST\n" },

	/* 3.10 reachability */
	{ "V130", ROUTES("- {name: a, " TO "}\n- {name: b, " TO "}\n"),
	  "5:3: warning: " AT "spec.http[1]: never reached: the route at line 4 has no match and takes everything; only the last route may lack a match\n" },
	{ "V131", ROUTES("- {name: a, " TO "}\n- {name: b, match: [{uri: {prefix: /b}}], " TO "}\n"),
	  "5:3: warning: " AT "spec.http[1]: never reached: the route at line 4 has no match and takes everything\n" },
	{ "V132", ROUTES("- {match: [{name: x, uri: {exact: /a}}], " TO "}\n- {match: [{name: y, uri: {exact: /a}}, {uri: {exact: /b}}], " TO "}\n"),
	  "5:12: warning: " AT "spec.http[1].match[0]: never reached: the same as the match at line 4\n" },
	{ "V133", ROUTES("- {match: [{headers: {a: {exact: x}, b: {}}}], " TO "}\n- {match: [{headers: {b: {}, A: {exact: x}}}], " TO "}\n"),
	  "5:3: warning: " AT "spec.http[1]: route is never used: earlier routes have all its matches\n"
	  "5:12: warning: " AT "spec.http[1].match[0]: never reached: the same as the match at line 4\n" },
	{ "V134", ROUTES("- {match: [{uri: {prefix: /a}}], " TO "}\n- {match: [{uri: {prefix: /a/b}, method: {exact: GET}}], " TO "}\n"),
	  "5:12: warning: " AT "spec.http[1].match[0]: never reached: prefix \"/a\" at line 4 takes everything first\n" },
	{ "V134 other", ROUTES("- {match: [{uri: {prefix: /a}, method: {exact: GET}}], " TO "}\n- {match: [{uri: {prefix: /a/b}}], " TO "}\n"),
	  "" },
	{ "V134 port", ROUTES("- {match: [{uri: {prefix: /a}, port: 80}], " TO "}\n- {match: [{uri: {prefix: /a/b}, port: 81}], " TO "}\n"),
	  "" },
	{ "V135", ROUTES("- {match: [{uri: {prefix: /}}], " TO "}\n- {match: [{uri: {exact: /a}}], " TO "}\n"),
	  "5:3: warning: " AT "spec.http[1]: never reached: the match at line 4 takes everything\n" },
	{ "V135 static", ROUTES("- {match: [{uri: {prefix: /}, port: 80}], " TO "}\n- {match: [{uri: {exact: /a}}], " TO "}\n"),
	  "" },
	{ "V130 tcp", "hosts: [a.b]\ngateways: [edge]\ntcp:\n- {" TO "}\n- {" TO "}\n",
	  "5:3: warning: " AT "spec.tcp[1]: never reached: the route at line 4 has no match and takes everything\n" },
	{ "V132 tls", "hosts: [a.b]\ngateways: [edge]\ntls:\n- {match: [{sniHosts: [a.b]}], " TO "}\n- {match: [{sniHosts: [A.b]}], " TO "}\n",
	  "5:3: warning: " AT "spec.tls[1]: route is never used: earlier routes have all its matches\n"
	  "5:12: warning: " AT "spec.tls[1]: never reached: the same as the match at line 4\n" },
};

static void every_rule_is_told(void **state)
{
	(void)state;
	check_documents(decode, "VirtualService", rules, COUNT_OF(rules));
}

static const struct http_route *first_route(const struct document *doc)
{
	const struct virtual_service *vs = doc->object;

	assert_int_equal(doc->problems.errors, 0);
	assert_true(vs->http.count > 0);
	return &vs->http.items[0];
}

#define assert_slice(s, text)	assert_true(slice_eq((s), slice_of(text)))

static void the_document_decodes(void **state)
{
	struct document doc;
	const struct virtual_service *vs;

	(void)state;
	document_open(&doc, decode, "VirtualService",
		      "hosts: [Shop.Example., \"*.a.b\"]\n"
		      "gateways: [edge, infra/public, old.ns, mesh]\n"
		      "exportTo: [\".\", infra]\n"
		      "http:\n- name: first\n  " TO "\n");
	vs = doc.object;
	assert_int_equal(doc.problems.errors, 0);
	assert_int_equal(vs->hosts.count, 2);
	assert_slice(vs->hosts.items[0].text, "shop.example");
	assert_int_equal(vs->gateways.count, 4);
	assert_true(gateway_refs_name(vs->gateways.items, 4, SLICE("shop"), SLICE("edge")));
	assert_true(gateway_refs_name(vs->gateways.items, 4, SLICE("infra"), SLICE("public")));
	assert_true(gateway_refs_name(vs->gateways.items, 4, SLICE("ns"), SLICE("old")));
	assert_false(gateway_refs_name(vs->gateways.items, 4, SLICE("shop"), SLICE("mesh")));
	assert_true(vs->gateways.items[3].mesh);
	assert_true(export_to_visible(&vs->export_to, SLICE("shop"), SLICE("shop")));
	assert_true(export_to_visible(&vs->export_to, SLICE("shop"), SLICE("infra")));
	assert_false(export_to_visible(&vs->export_to, SLICE("shop"), SLICE("other")));
	assert_slice(vs->http.items[0].name, "first");
	assert_int_equal(vs->http.items[0].where.line, 5);
	assert_int_equal(vs->http.items[0].match.count, 0);
	assert_slice(vs->http.items[0].route.items[0].destination.host, "cart.shop.svc");
	document_close(&doc);
}

/* V77: at the edges of both bounds, as text and in base64. */
static void bodies_are_bounded(void **state)
{
	static const struct { size_t bytes; const char *told; } table[] = {
		{ 102400, "" },
		{ 102401, "warning: " AT "spec.http[0].directResponse.body: a body of 102401 bytes is kept in memory" },
		{ 1048576, "warning: " AT "spec.http[0].directResponse.body: a body of 1048576 bytes is kept in memory" },
		{ 1048577, ": " AT "spec.http[0].directResponse.body: a body of 1048577 bytes, at most 1048576 are allowed" },
	};

	(void)state;
	for (size_t i = 0; i < 2 * COUNT_OF(table); i++) {
		size_t bytes = table[i / 2].bytes, units = i % 2 == 0 ? bytes : (bytes + 2) / 3 * 4;
		struct document doc;
		struct text t;

		text_init(&t);
		text_printf(&t, HEAD "http:\n- directResponse:\n    status: 200\n    body: {%s: ", i % 2 == 0 ? "string" : "bytes");
		for (size_t k = 0; k < units; k++)
			text_add_char(&t, 'A');
		for (size_t k = 0; i % 2 == 1 && k < (3 - bytes % 3) % 3; k++)
			t.at[t.len - 1 - k] = '=';
		text_printf(&t, "}\n");
		document_open(&doc, decode, "VirtualService", t.at);
		if ((table[i / 2].told[0] == '\0') != (doc.text.len == 0) ||
		    (doc.text.len > 0 && strstr(doc.text.at, table[i / 2].told) == NULL))
			fail_msg("%zu: %s", bytes, doc.text.len > 0 ? doc.text.at : "nothing");
		document_close(&doc);
		text_fini(&t);
	}
}

static void omitted_gateways_are_the_mesh(void **state)
{
	struct document doc;
	const struct virtual_service *vs;

	(void)state;
	document_open(&doc, decode, "VirtualService", "hosts: [a.b]\nhttp: [{" TO "}]\n");
	vs = doc.object;
	assert_int_equal(vs->gateways.count, 1);
	assert_true(vs->gateways.items[0].mesh);
	document_close(&doc);
	document_open(&doc, decode, "VirtualService", "http: [{" TO "}]\n");
	vs = doc.object;
	assert_int_equal(vs->gateways.count, 0);
	assert_int_equal(doc.problems.count, 0);
	document_close(&doc);
}

static void matches_decode(void **state)
{
	struct document doc;
	const struct http_match *m;

	(void)state;
	document_open(&doc, decode, "VirtualService",
		      MATCH("{name: n, uri: {prefix: /A}, ignoreUriCase: true, scheme: {exact: https}, method: {regex: GET|PUT},\n"
			    "     authority: {exact: \"a.b:80\"}, headers: {X-A: {exact: v}, Host: {}, cookie: {regex: .*}},\n"
			    "     withoutHeaders: {X-B: null, x-c: {regex: \"*\"}, x-d: {exact: d}}, queryParams: {K: {prefix: p}},\n"
			    "     port: 8443, sourceLabels: {app: web}, sourceNamespace: infra, gateways: [edge], statPrefix: s}"));
	m = first_route(&doc)->match.items;
	assert_slice(m->name, "n");
	assert_int_equal(m->uri.kind, MATCH_PREFIX);
	assert_slice(m->uri.text, "/A");
	assert_true(m->ignore_uri_case);
	assert_int_equal(m->scheme.kind, MATCH_EXACT);
	assert_int_equal(m->method.kind, MATCH_REGEX);
	assert_slice(m->authority.text, "a.b:80");
	assert_int_equal(m->headers.count, 3);
	assert_slice(m->headers.items[0].name, "x-a");
	assert_slice(m->headers.items[1].name, ":authority");
	assert_int_equal(m->headers.items[1].value.kind, MATCH_PRESENT);
	assert_int_equal(m->without_headers.items[0].value.kind, MATCH_PRESENT);
	assert_int_equal(m->without_headers.items[1].value.kind, MATCH_PRESENT);
	assert_int_equal(m->without_headers.items[2].value.kind, MATCH_EXACT);
	assert_slice(m->query_params.items[0].name, "K");
	assert_int_equal(m->port, 8443);
	assert_slice(m->source_labels.items[0].value, "web");
	assert_slice(m->source_namespace, "infra");
	assert_slice(m->gateways.items[0].ns, "shop");
	assert_false(http_match_is_catch_all(m));
	document_close(&doc);
}

static void claim_keys_become_paths(void **state)
{
	struct document doc;
	const struct http_match *m;

	(void)state;
	document_open(&doc, decode, "VirtualService",
		      MATCH("{headers: {\"@request.auth.claims.a.b\": {exact: x}}, withoutHeaders: {\"@request.auth.claims[a][b.c]\": {}}}"));
	m = first_route(&doc)->match.items;
	assert_int_equal(m->headers.count + m->without_headers.count, 0);
	assert_int_equal(m->claims.items[0].path.count, 2);
	assert_slice(m->claims.items[0].path.items[1], "b");
	assert_slice(m->without_claims.items[0].path.items[0], "a");
	assert_slice(m->without_claims.items[0].path.items[1], "b.c");
	assert_int_equal(m->without_claims.items[0].value.kind, MATCH_PRESENT);
	assert_false(http_match_is_catch_all(m));
	document_close(&doc);
}

static void catch_all_items_are_known(void **state)
{
	static const struct {
		const char *spec;
		bool catch_all;
	} rows[] = {
		{ MATCH("{}"), true },				{ MATCH("uri: {}"), true },
		{ MATCH("uri: {prefix: /}"), true },		{ MATCH("uri: {regex: .*}"), true },
		{ MATCH("{uri: {prefix: /}, port: 80}"), true },	{ MATCH("{port: 80, gateways: [edge]}"), true },
		{ MATCH("uri: {prefix: \"\"}"), false },	{ MATCH("uri: {regex: /.*}"), false },
		{ MATCH("uri: {regex: ^.*$}"), false },		{ MATCH("method: {}"), false },
		{ MATCH("headers: {a: {}}"), false },		{ MATCH("queryParams: {a: {}}"), false },
		{ MATCH("uri: {exact: /}"), false },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct document doc;

		document_open(&doc, decode, "VirtualService", rows[i].spec);
		if (http_match_is_catch_all(first_route(&doc)->match.items) != rows[i].catch_all)
			fail_msg("%s", rows[i].spec);
		document_close(&doc);
	}
}

static void header_operations_decode_in_order(void **state)
{
	struct document doc;
	const struct headers_policy *h;

	(void)state;
	document_open(&doc, decode, "VirtualService",
		      HEADERS("{request: {set: {X-B: b, x-a: \"%REQ(y)%\", HOST: h.i}, remove: [X-Gone]}, response: {add: {Server: s}}}"));
	h = first_route(&doc)->headers;
	assert_int_equal(h->request.set.count, 3);
	assert_slice(h->request.set.items[0].name, ":authority");
	assert_slice(h->request.set.items[1].name, "x-a");
	assert_int_equal(h->request.set.items[1].format.items[0].op, FORMAT_REQ);
	assert_slice(h->request.set.items[2].name, "x-b");
	assert_slice(h->request.set.items[2].value, "b");
	assert_slice(h->request.remove.items[0], "x-gone");
	assert_int_equal(h->request.add.count, 0);
	assert_slice(h->response.add.items[0].name, "server");
	document_close(&doc);
}

static void destinations_decode(void **state)
{
	struct document doc;
	const struct http_route *r;

	(void)state;
	document_open(&doc, decode, "VirtualService",
		      ROUTE("route: [{destination: {host: Cart, subset: v1, port: {number: 81}}, weight: 3},"
			    " {destination: {host: \"*.x.y\"}, weight: 1, headers: {request: {set: {a: b}}}}]"));
	r = first_route(&doc);
	assert_slice(r->route.items[0].destination.host, "cart");
	assert_slice(r->route.items[0].destination.subset, "v1");
	assert_int_equal(r->route.items[0].destination.port, 81);
	assert_int_equal(r->route.items[0].weight, 3);
	assert_int_equal(r->route.items[0].destination.where.column, 25);
	assert_null(r->route.items[1].destination.subset.at);
	assert_int_equal(r->route.items[1].headers.request.set.count, 1);
	document_close(&doc);
}

static void actions_decode(void **state)
{
	struct document doc;
	const struct http_route *r;

	(void)state;
	document_open(&doc, decode, "VirtualService",
		      ROUTE("redirect: {uri: \"\", authority: \"a:1\", derivePort: FROM_REQUEST_PORT, scheme: https}"));
	r = first_route(&doc);
	assert_null(r->redirect->uri.at);
	assert_slice(r->redirect->authority, "a:1");
	assert_int_equal(r->redirect->derive_port, DERIVE_PORT_REQUEST);
	assert_int_equal(r->redirect->code, 301);
	document_close(&doc);

	document_open(&doc, decode, "VirtualService", ROUTE("directResponse: {status: 503, body: {bytes: AAEC/w==}}"));
	r = first_route(&doc);
	assert_int_equal(r->direct_response->status, 503);
	assert_int_equal(r->direct_response->body.len, 4);
	assert_memory_equal(r->direct_response->body.at, "\x00\x01\x02\xff", 4);
	document_close(&doc);

	document_open(&doc, decode, "VirtualService",
		      ROUTE("{timeout: 1m30s, rewrite: {authority: c.d, uriRegexRewrite: {match: ^/a/(.*)$, rewrite: '/\\1'}}, " TO "}"));
	r = first_route(&doc);
	assert_int_equal(r->timeout_ms, 90000);
	assert_slice(r->rewrite->authority, "c.d");
	assert_slice(r->rewrite->regex_match, "^/a/(.*)$");
	assert_slice(r->rewrite->regex_rewrite, "/\\1");
	assert_null(r->rewrite->uri.at);
	assert_null(r->retries);
	document_close(&doc);
}

static void retries_decode(void **state)
{
	struct document doc;
	const struct retry_policy *r;

	(void)state;
	document_open(&doc, decode, "VirtualService",
		      ROUTE("{retries: {attempts: 3, perTryTimeout: 2s, retryOn: \"5xx,503,reset,504\", retryIgnorePreviousHosts: false}, " TO "}"));
	r = first_route(&doc)->retries;
	assert_int_equal(r->attempts, 3);
	assert_int_equal(r->per_try_timeout_ms, 2000);
	assert_int_equal(r->on, RETRY_ON_5XX | RETRY_ON_RESET | RETRY_ON_RETRIABLE_STATUS_CODES);
	assert_int_equal(r->statuses.count, 2);
	assert_int_equal(r->statuses.items[1], 504);
	assert_true(r->ignore_previous_hosts_set);
	assert_false(r->ignore_previous_hosts);
	assert_int_equal(r->backoff_ms, 25);
	document_close(&doc);
	document_open(&doc, decode, "VirtualService", ROUTE("{retries: {attempts: 2}, " TO "}"));
	r = first_route(&doc)->retries;
	assert_int_equal(r->on, RETRY_ON_DEFAULT);
	assert_false(r->ignore_previous_hosts_set);
	document_close(&doc);
}

static void fault_mirror_and_cors_decode(void **state)
{
	struct document doc;
	const struct http_route *r;

	(void)state;
	document_open(&doc, decode, "VirtualService",
		      ROUTE("{fault: {delay: {fixedDelay: 5s, percentage: {value: 0.1}}, abort: {grpcStatus: UNAVAILABLE, percentage: {value: 0.29}}},"
			    " mirror: {host: m.n}, mirrorPercent: 20, mirrorPercentage: {value: 12.5},"
			    " corsPolicy: {allowOrigins: [{prefix: \"https://a\"}, {regex: .*}], allowMethods: [GET, PUT], allowHeaders: [\"*\"],"
			    " maxAge: 24h, allowCredentials: false, unmatchedPreflights: IGNORE}, " TO "}"));
	r = first_route(&doc);
	assert_int_equal(r->fault->delay_ms, 5000);
	assert_int_equal(r->fault->delay_per_million, 1000);
	assert_int_equal(r->fault->abort, ABORT_GRPC);
	assert_int_equal(r->fault->abort_status, 14);
	assert_int_equal(r->fault->abort_per_million, 2900);
	assert_int_equal(http_route_mirror_share(r), 125000);
	assert_int_equal(r->cors->allow_origins.count, 2);
	assert_slice(r->cors->allow_methods, "GET,PUT");
	assert_slice(r->cors->allow_headers, "*");
	assert_null(r->cors->expose_headers.at);
	assert_int_equal(r->cors->max_age_s, 86400);
	assert_int_equal(r->cors->unmatched_preflights, PREFLIGHTS_IGNORE);
	document_close(&doc);

	document_open(&doc, decode, "VirtualService",
		      ROUTE("{mirrors: [{destination: {host: m.n}}, {destination: {host: o.p}, percentage: {}}],"
			    " corsPolicy: {allowOrigin: [\"https://a.b\"], maxAge: 0s}, " TO "}"));
	r = first_route(&doc);
	assert_false(r->mirrors.items[0].percentage.set);
	assert_true(r->mirrors.items[1].percentage.set);
	assert_int_equal(r->mirrors.items[1].percentage.per_million, 0);
	assert_int_equal(r->cors->allow_origins.items[0].kind, MATCH_EXACT);
	assert_slice(r->cors->allow_origins.items[0].text, "https://a.b");
	assert_int_equal(r->cors->max_age_s, 0);
	document_close(&doc);
}

static void delegates_and_connections_decode(void **state)
{
	struct document doc;
	const struct virtual_service *vs;

	(void)state;
	document_open(&doc, decode, "VirtualService",
		      HEAD "http:\n- {delegate: {name: child}}\n- {delegate: {name: other, namespace: infra}}\n"
		      "tls:\n- {match: [{sniHosts: [SHOP.example], port: 443}], " TO "}\n"
		      "tcp:\n- {match: [{destinationSubnets: [10.0.0.0/8, \"fd00::1\"]}], " TO "}\n");
	vs = doc.object;
	assert_int_equal(doc.problems.errors, 0);
	assert_slice(vs->http.items[0].delegate->ns, "shop");
	assert_slice(vs->http.items[1].delegate->ns, "infra");
	assert_slice(vs->tls.items[0].match.items[0].sni_hosts.items[0].text, "shop.example");
	assert_int_equal(vs->tls.items[0].match.items[0].port, 443);
	assert_int_equal(vs->tcp.items[0].match.items[0].destination_subnets.count, 2);
	assert_int_equal(vs->tcp.items[0].route.count, 1);
	document_close(&doc);
}

/* 10 000 routes are compared with no more than a fixed number of earlier ones. */
static void large_documents_are_checked_in_time(void **state)
{
	struct document doc;
	struct text spec;

	(void)state;
	text_init(&spec);
	text_printf(&spec, HEAD "http:\n");
	for (int i = 0; i < 10000; i++)
		text_printf(&spec, "- {match: [{uri: {prefix: /p%05d}}], " TO "}\n", i);
	document_open(&doc, decode, "VirtualService", text_slice(&spec).at);
	assert_int_equal(doc.problems.count, 0);
	assert_int_equal(((struct virtual_service *)doc.object)->http.count, 10000);
	document_close(&doc);
	text_fini(&spec);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_rule_is_told),
		cmocka_unit_test(the_document_decodes),
		cmocka_unit_test(bodies_are_bounded),
		cmocka_unit_test(omitted_gateways_are_the_mesh),
		cmocka_unit_test(matches_decode),
		cmocka_unit_test(claim_keys_become_paths),
		cmocka_unit_test(catch_all_items_are_known),
		cmocka_unit_test(header_operations_decode_in_order),
		cmocka_unit_test(destinations_decode),
		cmocka_unit_test(actions_decode),
		cmocka_unit_test(retries_decode),
		cmocka_unit_test(fault_mirror_and_cors_decode),
		cmocka_unit_test(delegates_and_connections_decode),
		cmocka_unit_test(large_documents_are_checked_in_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
