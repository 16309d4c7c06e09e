#!/bin/sh
# Runs a command in a network of its own, with an address beside loopback: Firefox connects to no
# 127.0.0.1. Needs util-linux and iproute2; as an ordinary user also user namespaces.
#   test/harness/namespace.sh bun test test/e2e/firefox.netns.test.ts
set -eu
ONEPULL_TEST_ADDRESS=10.77.0.1
export ONEPULL_TEST_ADDRESS
own=--map-root-user
[ "$(id -u)" = 0 ] && own=
exec unshare --net $own sh -euc '
  ip link set lo up
  ip link add test0 type veth peer name test1
  ip addr add "$ONEPULL_TEST_ADDRESS/24" dev test0
  ip link set test0 up
  ip link set test1 up
  # It leads nowhere; browsers gather the address that has a default route.
  ip route add default dev test0
  exec "$@"' sh "$@"
