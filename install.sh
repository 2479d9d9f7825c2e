#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Installs tcpx. In a checkout it builds from source; `./install.sh --help` has the rest.
# Functions only: a download that breaks off runs nothing.

set -eu

usage() {
	cat <<'EOF'
Usage: ./install.sh [--prefix DIR] [--dev] [--uninstall] [--help]

Builds tcpx in this checkout and installs it as DIR/bin/tcpx, with its manual page and the
completions for bash, zsh and fish below DIR/share. What the build needs and is missing is
installed with apt-get (Debian 12, Ubuntu 24.04, or newer). It asks nothing, and running it
again changes only what is out of date.

  --prefix DIR   where to install (default /usr/local; TCPX_PREFIX)
  --dev          also install what the tests need, keep node_modules, and put bun into
                 DIR/bin if there is none, for `bun run test` (TCPX_DEV=1)
  --uninstall    remove what an earlier run installed below DIR; packages of apt stay
  --help         this text

Needs root, or sudo without a password, for apt-get and for a DIR that is not yours.
Bun is used in the version that package.json names, from npm, and kept in
${TCPX_CACHE_DIR:-~/.cache/tcpx}/bun unless that very version is on the PATH.
EOF
}

say() {
	printf 'install: %s\n' "$*" >&2
}

die() {
	say "error: $*"
	exit 1
}

have() {
	command -v "$1" >/dev/null 2>&1
}

# --- running things --------------------------------------------------------------------

cleanup() {
	[ -z "$LOG" ] || rm -f "$LOG"
	[ -z "$POLICY" ] || as_root rm -f "$POLICY"
	[ -z "$STAGED" ] || in_prefix rm -f "$STAGED"
	[ -z "$DROP_MODULES" ] || rm -rf "$ROOT/node_modules"
}

# Output goes to a log that is shown only when the command fails.
quietly() {
	if "$@" >"$LOG" 2>&1 </dev/null; then
		return 0
	fi
	tail -n 40 "$LOG" >&2
	return 1
}

as_root() {
	if [ "$(id -u)" = 0 ]; then
		"$@"
	else
		sudo -n "$@"
	fi
}

# $1: what root is needed for.
require_root() {
	[ "$(id -u)" = 0 ] && return 0
	have sudo || die "$1 needs root: run this as root (there is no sudo)"
	sudo -n true 2>/dev/null || die "$1 needs root, and sudo wants a password: run \`sudo -v\` first, or run this as root"
}

# Whether this user may write where $PREFIX is or will be.
prefix_is_ours() {
	dir=$PREFIX
	while [ ! -e "$dir" ]; do
		dir=$(dirname "$dir")
	done
	for dir in "$dir" "$PREFIX/bin" "$PREFIX/share" "$PREFIX/share/tcpx" \
		"$PREFIX/${BASH_SCRIPT%/*}" "$PREFIX/${ZSH_SCRIPT%/*}" "$PREFIX/${FISH_SCRIPT%/*}" \
		"$PREFIX/${MAN_PAGE%/*}"; do
		while [ ! -e "$dir" ]; do
			dir=$(dirname "$dir")
		done
		[ -w "$dir" ] || return 1
	done
}

in_prefix() {
	if prefix_is_ours; then
		"$@"
	else
		as_root "$@"
	fi
}

# --- packages --------------------------------------------------------------------------

# need PACKAGE COMMAND-OR-FILE: remembers the package when that is not there.
need() {
	case $2 in
	/*) [ -e "$2" ] && return 0 ;;
	*) have "$2" && return 0 ;;
	esac
	MISSING="$MISSING $1"
}

apt() {
	as_root env DEBIAN_FRONTEND=noninteractive NEEDRESTART_SUSPEND=1 apt-get -q \
		-o DPkg::Lock::Timeout=300 -o Dpkg::Options::=--force-confdef \
		-o Dpkg::Options::=--force-confold "$@"
}

packaged() {
	apt-cache policy "$1" 2>/dev/null | grep -q '^  Candidate: [^(]'
}

# A real package in Debian and in newer Ubuntu; before, a part of the kernel's tools.
bpftool_package() {
	if packaged bpftool; then
		echo bpftool
	else
		echo linux-tools-generic
	fi
}

list_missing() {
	MISSING=
	need clang clang
	need llvm llvm-strip
	need libbpf-dev /usr/include/bpf/bpf_helpers.h
	need gcc gcc
	need libc6-dev /usr/include/stdio.h
	need dpkg-dev dpkg-source
	need xz-utils xz
	need ca-certificates /etc/ssl/certs/ca-certificates.crt
	need iproute2 ip
	bpftool_works || MISSING="$MISSING bpftool"
	if ! find_bun && ! have npm; then
		need nodejs node
		MISSING="$MISSING npm"
	fi
	[ -n "$DEV" ] || return 0
	need clang-format clang-format
	need shellcheck shellcheck
	need tcpdump tcpdump
	need tshark tshark
	need iperf3 iperf3
	need nftables nft
	need iptables iptables
	need python3 python3
	need python3-prometheus-client /usr/lib/python3/dist-packages/prometheus_client
	need curl curl
	need nginx-light nginx
	need apache2-utils ab
	need procps ps
	need ethtool ethtool
	need git git
	need zsh zsh
	need fish fish
	need groff-base groff
	need mandoc mandoc
	# The VM ring boots kernels of this architecture only.
	[ "$(uname -m)" = x86_64 ] || return 0
	need qemu-system-x86 qemu-system-x86_64
	need busybox-static busybox
	need cpio cpio
	need zstd zstd
}

# No daemon of a package starts now; nginx, which only the tests use, not at boot either.
install_packages() {
	list_missing
	[ -n "$MISSING" ] || return 0
	have apt-get || die "missing:$MISSING; there is no apt-get here (Debian 12, Ubuntu 24.04 or newer is needed to build)"
	require_root "installing$MISSING"
	say "apt-get update"
	quietly apt update || die "apt-get update failed"
	case "$MISSING " in
	*" bpftool "*) MISSING="$(echo "$MISSING" | sed 's/ bpftool//') $(bpftool_package)" ;;
	esac
	say "apt-get install$MISSING"
	if [ ! -e /usr/sbin/policy-rc.d ]; then
		POLICY=/usr/sbin/policy-rc.d
		printf '#!/bin/sh\nexit 101\n' | as_root tee "$POLICY" >/dev/null
		as_root chmod 755 "$POLICY"
	fi
	# shellcheck disable=SC2086 # a list of words
	quietly apt install -y --no-install-recommends $MISSING || die "apt-get install failed"
	if [ -n "$POLICY" ]; then
		as_root rm -f "$POLICY"
		POLICY=
	fi
	case $MISSING in
	*nginx*) ! have systemctl || as_root systemctl disable nginx.service >/dev/null 2>&1 || true ;;
	esac
	expose_bpftool
}

bpftool_works() {
	have bpftool && bpftool version >/dev/null 2>&1
}

# Ubuntu's /usr/sbin/bpftool is a script that wants the tools of the running kernel; any
# version will do here.
expose_bpftool() {
	bpftool_works && return 0
	for tool in /usr/lib/linux-tools/*/bpftool /usr/lib/linux-tools-*/bpftool; do
		"$tool" version >/dev/null 2>&1 || continue
		mkdir -p "$CACHE/tools"
		ln -sf "$tool" "$CACHE/tools/bpftool"
		PATH=$CACHE/tools:$PATH
		return 0
	done
	die "no bpftool that runs; the package $(bpftool_package) should have brought one"
}

# --- bun -------------------------------------------------------------------------------

is_bun() {
	[ "$("$1" --version 2>/dev/null)" = "$BUN_VERSION" ]
}

# Sets BUN to a bun of the pinned version, if there is one.
find_bun() {
	for BUN in "$(command -v bun || :)" "$PREFIX/bin/bun" "$CACHE/bun/$BUN_VERSION/bun"; do
		[ -n "$BUN" ] && is_bun "$BUN" && return 0
	done
	BUN=
	return 1
}

# npm's `bun` package puts its binary in place by an install script, which npm may be told
# not to run, so the package with the binary itself is asked for. Which of them runs depends
# on the CPU (the baseline one does without AVX2) and on the C library.
ensure_bun() {
	find_bun && return 0
	case $(uname -m) in
	x86_64) kinds="x64 x64-baseline x64-musl" ;;
	aarch64) kinds="aarch64 aarch64-musl" ;;
	esac
	home=$CACHE/bun/$BUN_VERSION
	for kind in $kinds; do
		say "npm: bun $BUN_VERSION ($kind)"
		rm -rf "$home.new"
		mkdir -p "$home.new"
		if quietly npm install --prefix "$home.new" --no-save --no-audit --no-fund --force \
			"@oven/bun-linux-$kind@$BUN_VERSION" &&
			is_bun "$home.new/node_modules/@oven/bun-linux-$kind/bin/bun"; then
			mv "$home.new/node_modules/@oven/bun-linux-$kind/bin/bun" "$home.new/bun"
			rm -rf "$home.new/node_modules" "$home"
			mv "$home.new" "$home"
			BUN=$home/bun
			return 0
		fi
	done
	rm -rf "$home.new"
	die "npm brought no bun $BUN_VERSION that runs here; with that version on the PATH this goes on without npm"
}

# --- installing ------------------------------------------------------------------------

# put FILE NAME MODE: installs it as $PREFIX/NAME, in one step; nothing when it is there.
put() {
	if ! cmp -s "$1" "$PREFIX/$2"; then
		in_prefix mkdir -p "$(dirname "$PREFIX/$2")"
		STAGED=$(dirname "$PREFIX/$2")/.install.$$
		in_prefix cp "$1" "$STAGED"
		in_prefix chmod "$3" "$STAGED"
		# The right one, but does it run where it will be?
		case $2 in
		bin/*) "$STAGED" "${4:---version}" >/dev/null || die "$1 does not run as $STAGED" ;;
		esac
		in_prefix mv -f "$STAGED" "$PREFIX/$2"
		STAGED=
		say "installed $PREFIX/$2"
	fi
	record "$2"
}

record() {
	grep -qxF "$1" "$PREFIX/$MANIFEST" 2>/dev/null && return 0
	in_prefix mkdir -p "$(dirname "$PREFIX/$MANIFEST")"
	echo "$1" | in_prefix tee -a "$PREFIX/$MANIFEST" >/dev/null
}

# put_text NAME ARGUMENT...: installs what the installed executable prints, so that both are of one version.
put_text() {
	name=$1
	shift
	"$PREFIX/bin/tcpx" "$@" >"$LOG" || die "tcpx $* failed"
	put "$LOG" "$name" 644
}

put_extras() {
	put_text "$BASH_SCRIPT" completion bash
	put_text "$ZSH_SCRIPT" completion zsh
	put_text "$FISH_SCRIPT" completion fish
	put_text "$MAN_PAGE" internal-man
}

# For `bun run build` and `bun run test` without this script.
put_tools() {
	[ ! -x "$CACHE/tools/bpftool" ] || put "$CACHE/tools/bpftool" bin/bpftool 755 version
	found=$(command -v bun || :)
	if [ -z "$found" ] || [ "$found" = "$PREFIX/bin/bun" ]; then
		put "$BUN" bin/bun 755
		have bun || say "add $PREFIX/bin to your PATH for bun"
	elif ! is_bun "$found"; then
		say "bun on the PATH is $(bun --version), the tests want $BUN_VERSION: use $BUN"
	fi
}

install_checkout() {
	cd "$ROOT"
	BUN_VERSION=$(sed -n 's/.*"packageManager": *"bun@\([^"]*\)".*/\1/p' package.json)
	[ -n "$BUN_VERSION" ] || die "package.json names no bun version in packageManager"
	prefix_is_ours || require_root "installing into $PREFIX"
	[ ! -x "$CACHE/tools/bpftool" ] || PATH=$CACHE/tools:$PATH
	install_packages
	ensure_bun
	user_path=$PATH
	PATH=$(dirname "$BUN"):$PATH
	[ -n "$DEV" ] || [ -e node_modules ] || DROP_MODULES=1
	say "bun install"
	quietly "$BUN" install --frozen-lockfile || die "bun install failed"
	say "bun run build"
	quietly "$BUN" run build || die "the build failed"
	[ -x dist/tcpx ] || die "the build made no dist/tcpx"
	PATH=$user_path
	put dist/tcpx bin/tcpx 755 version
	put build/licences.txt share/tcpx/licences.txt 644
	put_extras
	[ -z "$DEV" ] || put_tools
	"$PREFIX/bin/tcpx" version >&2 || die "$PREFIX/bin/tcpx does not run"
}

# For `curl | sh`, once there are releases to download.
install_release() {
	die "this is no checkout of tcpx, and downloading a release is not available yet; clone the repository and run ./install.sh in it"
}

uninstall() {
	if [ ! -f "$PREFIX/$MANIFEST" ]; then
		say "nothing to remove: no $PREFIX/$MANIFEST"
		return 0
	fi
	prefix_is_ours || require_root "removing from $PREFIX"
	if [ -e /sys/fs/bpf/tcpx ]; then
		say "tcpx still has rules in /sys/fs/bpf/tcpx; they stay until \`tcpx reset\` of another copy, or a reboot"
	fi
	while IFS= read -r name; do
		case $name in
		bin/* | share/tcpx/* | "$BASH_SCRIPT" | "$ZSH_SCRIPT" | "$FISH_SCRIPT" | "$MAN_PAGE") ;;
		*) continue ;;
		esac
		case /$name/ in
		*/../*) continue ;;
		esac
		[ -e "$PREFIX/$name" ] || continue
		in_prefix rm -f "$PREFIX/$name"
		say "removed $PREFIX/$name"
	done <"$PREFIX/$MANIFEST"
	in_prefix rm -f "$PREFIX/$MANIFEST"
	in_prefix rmdir "$(dirname "$PREFIX/$MANIFEST")" 2>/dev/null || true
	if [ -d "$CACHE/bun" ]; then
		rm -rf "$CACHE/bun"
		say "removed $CACHE/bun"
	fi
	[ ! -d "$CACHE" ] || say "kept the build cache $CACHE"
}

main() {
	PREFIX=${TCPX_PREFIX:-/usr/local}
	DEV=${TCPX_DEV:-}
	[ "$DEV" != 0 ] || DEV=
	ACTION=install
	while [ $# -gt 0 ]; do
		case $1 in
		--prefix)
			[ $# -gt 1 ] || die "--prefix needs a directory"
			PREFIX=$2
			shift
			;;
		--prefix=*) PREFIX=${1#--prefix=} ;;
		--dev) DEV=1 ;;
		--uninstall) ACTION=uninstall ;;
		--help | -h)
			usage
			exit 0
			;;
		*) die "unknown argument $1 (--help lists them)" ;;
		esac
		shift
	done
	case $PREFIX in
	/*) ;;
	'') die "--prefix needs a directory" ;;
	*) PREFIX=$PWD/$PREFIX ;;
	esac
	CACHE=${TCPX_CACHE_DIR:-${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/tcpx}
	MANIFEST=share/tcpx/manifest
	# Where these look below /usr and /usr/local.
	BASH_SCRIPT=share/bash-completion/completions/tcpx
	ZSH_SCRIPT=share/zsh/site-functions/_tcpx
	FISH_SCRIPT=share/fish/vendor_completions.d/tcpx.fish
	MAN_PAGE=share/man/man1/tcpx.1
	PATH=$PATH:/usr/sbin:/sbin
	export PATH
	LOG='' POLICY='' STAGED='' DROP_MODULES='' BUN='' MISSING=''
	trap cleanup EXIT
	trap 'exit 129' HUP
	trap 'exit 130' INT
	trap 'exit 143' TERM
	if [ "$ACTION" = uninstall ]; then
		uninstall
		return
	fi
	ROOT=
	# Piped into sh, $0 is the shell.
	if [ -f "$0" ] && grep -q '"name": "tcpx"' "$(dirname "$0")/package.json" 2>/dev/null; then
		ROOT=$(cd "$(dirname "$0")" && pwd)
	fi
	[ -n "$ROOT" ] || install_release
	case $(uname -s)-$(uname -m) in
	Linux-x86_64 | Linux-aarch64) ;;
	*) die "tcpx runs on Linux on x86_64 and aarch64, not on $(uname -s) on $(uname -m)" ;;
	esac
	LOG=$(mktemp)
	install_checkout
}

main "$@"
