#!/bin/sh
# SPDX-License-Identifier: MIT
# `tcpx ext test` runs this while connections of its two hosts are there: v4 and v6, from the client to the server.
# $TCPX_SEEN is a file with what was seen of them; docs/extend.md says what else is there.
set -eu

expect() {
  grep -qxF "$1" "$TCPX_SEEN" || { echo "not seen: $1" && exit 1; }
}

# both ends use it, and it lets the window of the end that sends grow
for family in v4 v6; do
  expect "$family client congestion aimd"
  expect "$family server congestion aimd"
  cwnd=$(sed -n "s/^$family server cwnd //p" "$TCPX_SEEN")
  [ "$cwnd" -gt 10 ] || { echo "$family: the window is still $cwnd" && exit 1; }
done
