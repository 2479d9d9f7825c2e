#!/bin/sh
# SPDX-License-Identifier: MIT
# `tcpx ext test` and `tcpx ext dev` run this while connections of their two hosts are there: v4 and v6, from
# the client to the server. Exit code 0: all is well. It has
#
#   TCPX                  this tcpx, as it is in here: with the program
#   TCPX_CLIENT           what runs the command behind it at the client: $TCPX_CLIENT ping -c 1 "$TCPX_SERVER_ADDRESS"
#   TCPX_SERVER           the same at the server
#   TCPX_CLIENT_ADDRESS   and TCPX_SERVER_ADDRESS; with a 6 behind it that of IPv6
#   TCPX_PORT             where the server listens
#   TCPX_SEEN             a file: a line for each thing that was seen of a connection, as "v4 client cwnd 10"
#   TCPX_TMP              an empty folder, which is removed
#
# /etc/tcpx, /run, bpffs and the cgroups are its own: nothing that is changed here is changed on the host.
set -eu

expect() {
  grep -qxF "$1" "$TCPX_SEEN" || { echo "not seen: $1" && exit 1; }
}

# both ends use it, and it lets the window of who sends grow
for family in v4 v6; do
  expect "$family client congestion @CONTROL@"
  expect "$family server congestion @CONTROL@"
  cwnd=$(sed -n "s/^$family server cwnd //p" "$TCPX_SEEN")
  [ "$cwnd" -gt 10 ] || { echo "$family: the window is still $cwnd" && exit 1; }
done
