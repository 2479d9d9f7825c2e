#!/bin/sh
# SPDX-License-Identifier: MIT
# `tcpx ext test` runs this while connections of its two hosts are there: v4 and v6, from the client to the server.
# $TCPX_SEEN is a file with what was seen of them; docs/extend.md says what else is there.
set -eu

expect() {
  grep -qxF "$1" "$TCPX_SEEN" || { echo "not seen: $1" && exit 1; }
}

# kind 254, 6 bytes, the identifier, the tag: said, taken, and the mark of the server's socket
for family in v4 v6; do
  expect "$family syn fe067d200007"
  expect "$family syn-ack fe067d200007"
  expect "$family server mark 7"
done
