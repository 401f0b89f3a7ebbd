#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# keep.sh NAME COMMAND …: runs the command, and again whenever it has ended. Its process id is in NAME.pid,
# what it says in NAME.log. While the file NAME.away exists it stays away.
name=$1
shift
# One that a failed story has left stopped hears of it as well.
trap 'kill $pid; kill -CONT $pid; exit 0' TERM
while :; do
	if [ -e "$name.away" ]; then
		sleep 0.02
		continue
	fi
	"$@" >>"$name.log" 2>&1 &
	pid=$!
	echo $pid >"$name.pid"
	wait $pid
done
