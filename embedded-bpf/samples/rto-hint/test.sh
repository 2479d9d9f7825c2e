#!/bin/sh
# SPDX-License-Identifier: MIT
# `tcpx ext test` runs this while connections of its two hosts are there: v4 and v6, from the client to the server.
# $TCPX_SEEN is a file with what was seen of them; docs/extend.md says what else is there.
set -eu

expect() {
  grep -qxF "$1" "$TCPX_SEEN" || { echo "not seen: $1" && exit 1; }
}

# kind 254, 6 bytes, the identifier, 10 ms; the server need not say anything
for family in v4 v6; do
  expect "$family syn fe067d21000a"
done
