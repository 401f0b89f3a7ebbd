#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Runs the unit tests and the .vtc files and ends with the line `N passed, N failed`.
#   BUILD=build reg-tests/run.sh [--unit | --vtc] [file.vtc …]
set -u
cd "$(dirname "$0")/.." || exit 1
: "${BUILD:=build}"
mode=all
case "${1:-}" in --unit | --vtc) mode=${1#--}; shift ;; esac

logs=$BUILD/test-logs
mkdir -p "$logs"
passed=0 failed=0
report() { # status name log
	if [ "$1" -eq 0 ]; then
		passed=$((passed + 1))
		printf '  ok    %s\n' "$2"
	else
		failed=$((failed + 1))
		printf '  FAIL  %s (%s)\n' "$2" "$3"
		tail -n 60 "$3" | sed 's/^/        /'
	fi
}

export ASAN_OPTIONS="${ASAN_OPTIONS:-detect_leaks=1:abort_on_error=0:exitcode=99}"
export UBSAN_OPTIONS="${UBSAN_OPTIONS:-print_stacktrace=1}"
export TSAN_OPTIONS="${TSAN_OPTIONS:-halt_on_error=1:exitcode=66:suppressions=$PWD/reg-tests/tsan.supp}"

if [ "$mode" != vtc ] && [ $# -eq 0 ]; then
	for test in "$BUILD"/unit/*_test; do
		[ -x "$test" ] || continue
		name=$(basename "$test")
		timeout 300 "$test" >"$logs/$name.log" 2>&1
		report $? "unit/${name%_test}" "$logs/$name.log"
	done
fi

if [ "$mode" != unit ]; then
	export SALLYPORT_TOP=$PWD SALLYPORT_BUILD=$PWD/$BUILD	# for reg-tests/lib.sh
	if [ $# -gt 0 ]; then files=("$@"); else mapfile -t files < <(find reg-tests -name '*.vtc' | sort); fi
	results=$(mktemp)
	printf '%s\n' "${files[@]}" | BUILD=$BUILD logs=$logs xargs -r -P "$(nproc)" -I{} bash -c '
		file={}; name=${file#reg-tests/}; log=$logs/$(echo "${name%.vtc}" | tr / _).log
		varnishtest -l -t 90 -Dbuild="$PWD/$BUILD" -Dsallyport="$PWD/$BUILD/sallyport" \
			-Dauthz="$PWD/$BUILD/sallyport-authz" -Dsallyctl="$PWD/$BUILD/sallyctl" \
			-Dtop="$PWD" "$file" >"$log" 2>&1
		echo "$? $name $log"' >"$results"
	while read -r status name log; do
		# 77: varnishtest says that a feature is missing here.
		if [ "$status" -eq 77 ]; then
			printf '  skip  %s (its first lines say what it needs)\n' "$name"
		else
			report "$status" "$name" "$log"
		fi
	done < <(sort -k2 "$results")
	rm -f "$results"
fi
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
