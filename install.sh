#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Installs tcpx: in a checkout it builds from source, as `curl -fsSL URL | sh` it downloads a release.
# `./install.sh --help` has the rest. Functions only: a download that breaks off runs nothing.

set -eu

usage() {
	cat <<'EOF'
Usage: ./install.sh [--prefix DIR] [--dev | --version VERSION]
       curl -fsSL URL/install.sh | sh -s -- [--prefix DIR] [--version VERSION]
       ./install.sh --uninstall [--prefix DIR] [--reset]

Installs tcpx as DIR/bin/tcpx, with its manual page and the completions for bash, zsh and fish
below DIR/share. All of it is prepared first, then renamed into place, over a running tcpx too;
what fails changes nothing. Running it again changes only what is out of date.

In a checkout it builds tcpx. What the build needs and is missing is installed with apt-get
(Debian 12, Ubuntu 24.04, or newer). Elsewhere, or with --version, it downloads a release for
this system (x86_64 or aarch64, glibc or musl) with curl or wget, from the URL that the script
was published with or that TCPX_BASE_URL names, and compares its SHA-256 sums.

  --prefix DIR       where to install (default /usr/local; TCPX_PREFIX)
  --version VERSION  the release to download (default: the latest; TCPX_VERSION)
  --dev              in a checkout: also install what the tests and the release need, keep
                     node_modules, and put bun into DIR/bin if there is none (TCPX_DEV=1)
  --uninstall        remove what an earlier run installed below DIR; packages of apt stay.
                     On a terminal it asks about rules that tcpx still has on this host.
                     What `tcpx persist on` has enabled with this executable ends, too;
                     /etc/tcpx/policy.toml stays
  --reset            with --uninstall: end those rules first, with `tcpx reset`
  --help             this text

Needs root, or sudo, for apt-get and for a DIR that is not yours; sudo may ask for a password
where there is a terminal, nothing else is asked. To build, Bun is used in the version that
package.json names, from npm, and kept in ${TCPX_CACHE_DIR:-~/.cache/tcpx}/bun unless that very
version is on the PATH.
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
	[ -z "$STAGED$MADE" ] || unstage
	[ -z "$POLICY" ] || as_root rm -f "$POLICY"
	[ -z "$WORK" ] || rm -rf "$WORK"
	[ -z "$DROP_MODULES" ] || rm -rf "$ROOT/node_modules"
}

# What a command that failed has said last, for an error of one line.
reason() {
	grep '[^[:space:]]' "$LOG" | tail -n 1 | cut -c 1-200
}

make_work() {
	WORK=$(mktemp -d 2>/dev/null) || die "cannot make a temporary folder in ${TMPDIR:-/tmp}; TMPDIR names another place"
	LOG=$WORK/log
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
	sudo -n true 2>/dev/null && return 0
	! has_terminal || ! sudo -v || return 0
	die "$1 needs root, and sudo wants a password: run \`sudo -v\` first, or run this as root"
}

# Piped into sh, standard input is the script; a person is at /dev/tty.
has_terminal() {
	[ -t 2 ] && (: </dev/tty) 2>/dev/null
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

# A path where there is one.
fuzzer_runtime() {
	clang "-print-file-name=libclang_rt.fuzzer-$(uname -m).a" 2>/dev/null || :
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
	need libclang-rt-dev "$(fuzzer_runtime)"
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
	need sudo sudo
	need ansible-core ansible-playbook
	need wget wget
	need busybox-static busybox
	need util-linux unshare
	need bsdutils script
	# The VM ring boots kernels of this architecture only, and releases are made on it.
	[ "$(uname -m)" = x86_64 ] || return 0
	need gcc-aarch64-linux-gnu aarch64-linux-gnu-gcc
	need libc6-dev-arm64-cross /usr/aarch64-linux-gnu/include/stdio.h
	need libstdc++6-arm64-cross /usr/aarch64-linux-gnu/lib/libstdc++.so.6
	need qemu-user-static qemu-aarch64-static
	need qemu-system-x86 qemu-system-x86_64
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

# NAMEs are relative to $PREFIX and ours: they have no blanks. $PREFIX may have some.
staged_path() {
	echo "$PREFIX/${1%/*}/.install.$$.${1##*/}"
}

# Like mkdir -p, and remembers what was not there.
make_dir() {
	[ ! -d "$1" ] || return 0
	make_dir "$(dirname "$1")"
	if in_prefix mkdir "$1" 2>"$LOG"; then
		MADE="$1
$MADE"
	elif [ ! -d "$1" ]; then # or another installer was first
		die "cannot create $1: $(reason)"
	fi
}

# write_staged NAME MODE <content
write_staged() {
	# shellcheck disable=SC2016 # for the shell that may be root's
	in_prefix sh -c 'cat >"$1" && chmod "$2" "$1"' sh "$(staged_path "$1")" "$2" 2>"$LOG" ||
		die "cannot write $PREFIX/$1: $(reason)"
}

begin_stage() {
	make_dir "$(dirname "$PREFIX/$1")"
	NAMES="$NAMES $1"
	STAGED="$STAGED $1"
}

# stage NAME MODE <content: a file beside where it will be; none when it is there already.
stage() {
	begin_stage "$1"
	write_staged "$1" "$2"
	cmp -s "$(staged_path "$1")" "$PREFIX/$1" 2>/dev/null || return 0
	in_prefix rm -f "$(staged_path "$1")"
	STAGED=${STAGED%" $1"}
}

# Where the executable of this run is before, and after, it is in place.
program() {
	case $STAGED in
	*' bin/tcpx'*) staged_path bin/tcpx ;;
	*) echo "$PREFIX/bin/tcpx" ;;
	esac
}

# stage_text NAME ARGUMENT...: stages what the new executable prints, so that all is of one version.
stage_text() {
	name=$1
	shift
	"$(program)" "$@" >"$WORK/text" 2>"$LOG" || die "tcpx $* failed: $(reason)"
	stage "$name" 644 <"$WORK/text"
}

stage_extras() {
	stage_text "$BASH_SCRIPT" completion bash
	stage_text "$ZSH_SCRIPT" completion zsh
	stage_text "$FISH_SCRIPT" completion fish
	stage_text "$MAN_PAGE" internal-man
	stage_text share/tcpx/licences.txt version --licences
}

# Does it run where it will be? $1: what is said if not.
require_program() {
	"$(program)" version >"$WORK/version" 2>"$LOG" || die "$1: $(reason)"
}

# Renames everything into place, first the manifest: what was installed, now or before.
commit() {
	{
		cat "$PREFIX/$MANIFEST" 2>/dev/null || :
		for name in $NAMES; do echo "$name"; done
	} | sort -u >"$WORK/manifest"
	files=$STAGED
	stage "$MANIFEST" 644 <"$WORK/manifest"
	[ "$STAGED" = "$files" ] || STAGED=" $MANIFEST$files"
	for name in $STAGED; do
		in_prefix mv -f "$(staged_path "$name")" "$PREFIX/$name" 2>"$LOG" ||
			die "cannot put $PREFIX/$name in place: $(reason)"
		STAGED=${STAGED#" $name"}
		MADE=
		[ "$name" = "$MANIFEST" ] || say "installed $PREFIX/$name"
	done
}

unstage() {
	for name in $STAGED; do
		in_prefix rm -f "$(staged_path "$name")" || :
	done
	printf '%s' "$MADE" | while IFS= read -r dir; do
		in_prefix rmdir "$dir" 2>/dev/null || :
	done
}

# Which tcpx the user's shell will find.
say_path() {
	found=$(command -v tcpx || :)
	if [ -z "$found" ]; then
		say "add $PREFIX/bin to your PATH"
	elif [ "$found" != "$PREFIX/bin/tcpx" ]; then
		say "on your PATH, $found comes before $PREFIX/bin/tcpx"
	fi
}

# For `bun run build` and `bun run test` without this script.
stage_tools() {
	[ ! -x "$CACHE/tools/bpftool" ] || stage bin/bpftool 755 <"$CACHE/tools/bpftool"
	found=$(command -v bun || :)
	if [ -z "$found" ] || [ "$found" = "$PREFIX/bin/bun" ]; then
		stage bin/bun 755 <"$BUN"
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
	stage bin/tcpx 755 <dist/tcpx
	require_program "the tcpx that was built does not run in $PREFIX/bin"
	stage_extras
	[ -z "$DEV" ] || stage_tools
	commit
	cat "$WORK/version" >&2
	say_path
}

# --- a release -------------------------------------------------------------------------

# A host may have files of both; what its own programs use is what ldd belongs to.
detect_libc() {
	case $(ldd --version 2>&1 || :) in
	*musl*) echo musl && return 0 ;;
	*GLIBC* | *'GNU libc'*) echo glibc && return 0 ;;
	esac
	for file in /lib64/ld-linux-x86-64.so.2 /lib/ld-linux-aarch64.so.1; do
		[ ! -e "$file" ] || { echo glibc && return 0; }
	done
	for file in /lib/ld-musl-*.so.1; do
		[ ! -e "$file" ] || { echo musl && return 0; }
	done
	return 1
}

detect_target() {
	case $(uname -m) in
	x86_64) TARGET=linux-x64 ;;
	aarch64) TARGET=linux-arm64 ;;
	esac
	libc=$(detect_libc) || die "neither glibc nor musl found; tcpx needs one of them"
	[ "$libc" = glibc ] || TARGET=$TARGET-musl
}

# fetch URL FILE
fetch() {
	if have curl; then
		# Once https, always https.
		case $1 in
		https:*) redirect='=https' ;;
		*) redirect='=http,https' ;;
		esac
		curl -fsSL --proto-redir "$redirect" --connect-timeout 30 --speed-limit 1 --speed-time 60 \
			-o "$2" "$1" >"$LOG" 2>&1 </dev/null && return 0
	else
		# GNU's would try 20 times; busybox has no -t, and Debian's crashes on -T.
		flags=
		! wget --version 2>/dev/null | grep -q GNU || flags='-nv -t 2 -T 60'
		# shellcheck disable=SC2086 # words, or none
		wget $flags -O "$2" "$1" >"$LOG" 2>&1 </dev/null && return 0
	fi
	die "cannot download $1: $(reason)"
}

sha256() {
	if have sha256sum; then
		sha256sum <"$1" | cut -d ' ' -f 1
	elif have shasum; then
		shasum -a 256 <"$1" | cut -d ' ' -f 1
	else
		openssl dgst -sha256 -r <"$1" | cut -d ' ' -f 1
	fi
}

# The sum that SHA256SUMS gives for this name; nothing when it does not have exactly one.
sum_of() {
	found=$(grep -E "^[0-9a-f]{64}  $1\$" "$WORK/SHA256SUMS" | cut -d ' ' -f 1) || :
	case $found in
	*[!0-9a-f]*) ;;
	*) echo "$found" ;;
	esac
}

check_version() {
	case $1 in
	'' | [!0-9]* | *[!0-9A-Za-z.+-]*) return 1 ;;
	esac
}

choose_version() {
	if [ -z "$VERSION" ]; then
		fetch "$BASE_URL/latest" "$WORK/latest"
		VERSION=$(head -n 1 "$WORK/latest" | cut -c 1-40)
		check_version "$VERSION" || die "$BASE_URL/latest does not hold a version; is this where the releases of tcpx are?"
	fi
}

require_release_tools() {
	have curl || have wget || die "curl or wget is needed to download a release"
	have sha256sum || have shasum || have openssl || die "sha256sum, shasum or openssl is needed to check a download"
	have gzip || die "gzip is needed to unpack a release"
	case $BASE_URL in
	http://?* | https://?*) ;;
	'') die "this is no checkout of tcpx, and no URL of releases is known; set TCPX_BASE_URL" ;;
	*) die "TCPX_BASE_URL must begin with https:// or http://, and is $BASE_URL" ;;
	esac
}

# $1: the file's name without .gz, $2: its sum. Nothing is unpacked that is not what SHA256SUMS says.
stage_download() {
	wanted=$(sum_of "$1.gz")
	[ -n "$wanted" ] || die "SHA256SUMS of $VERSION does not list $1.gz"
	say "downloading $BASE_URL/$VERSION/$1.gz"
	fetch "$BASE_URL/$VERSION/$1.gz" "$WORK/$1.gz"
	[ "$(sha256 "$WORK/$1.gz")" = "$wanted" ] ||
		die "$1.gz is not the file that SHA256SUMS of $VERSION describes: damaged on the way, or changed by somebody"
	begin_stage bin/tcpx
	gzip -dc "$WORK/$1.gz" 2>"$WORK/gzip" | write_staged bin/tcpx 755
	[ "$(sha256 "$(program)")" = "$2" ] || die "$1.gz could not be unpacked: $(tail -n 1 "$WORK/gzip")"
}

install_release() {
	require_release_tools
	[ -z "$DEV" ] || die "--dev is for a checkout of tcpx"
	prefix_is_ours || require_root "installing into $PREFIX"
	detect_target
	choose_version
	fetch "$BASE_URL/$VERSION/SHA256SUMS" "$WORK/SHA256SUMS"
	wanted=$(sum_of "tcpx-$TARGET")
	[ -n "$wanted" ] || die "SHA256SUMS of $VERSION does not list tcpx-$TARGET"
	if [ -f "$PREFIX/bin/tcpx" ] && [ "$(sha256 "$PREFIX/bin/tcpx")" = "$wanted" ]; then
		say "$PREFIX/bin/tcpx is tcpx $VERSION already"
		NAMES=" bin/tcpx"
	else
		stage_download "tcpx-$TARGET" "$wanted"
	fi
	case $TARGET in
	*-musl) require_program "tcpx does not run here (on Alpine it needs: apk add libstdc++)" ;;
	*) require_program "tcpx does not run here" ;;
	esac
	[ "$(head -n 1 "$WORK/version")" = "tcpx $VERSION" ] ||
		die "the release $VERSION holds $(head -n 1 "$WORK/version")"
	stage_extras
	commit
	say_path
}

# --- removing --------------------------------------------------------------------------

# Rules outlive the executable; without one there is nothing to take them back with.
end_rules() {
	if [ -n "$RESET" ]; then
		[ -x "$PREFIX/bin/tcpx" ] || die "--reset needs $PREFIX/bin/tcpx, which is not there"
		require_root "tcpx reset"
		as_root "$PREFIX/bin/tcpx" reset >&2 </dev/null || die "tcpx reset failed; nothing was removed"
		return 0
	fi
	[ -e /sys/fs/bpf/tcpx ] || return 0
	if [ -x "$PREFIX/bin/tcpx" ] && has_terminal; then
		printf 'install: tcpx still has rules on this host. End them, with "tcpx reset"? [y/N] ' >&2
		read -r answer </dev/tty || answer=
		case $answer in
		[yY] | [yY][eE][sS])
			RESET=1
			end_rules
			return 0
			;;
		esac
	fi
	say "tcpx still has rules in /sys/fs/bpf/tcpx; they stay until \`tcpx reset\` of another copy, or a reboot (--reset ends them first)"
}

# The unit of `tcpx persist on`, when it is this executable that it starts.
end_persist() {
	unit=/etc/systemd/system/tcpx.service
	[ -d "$PREFIX/bin" ] || return 0
	grep -qF "ExecStart=\"$(cd "$PREFIX/bin" && pwd -P)/tcpx\" " "$unit" 2>/dev/null || return 0
	if as_root "$PREFIX/bin/tcpx" persist off >/dev/null 2>&1 </dev/null; then
		say "removed $unit; /etc/tcpx/policy.toml stays"
	else
		say "$unit stays, and fails at every start without $PREFIX/bin/tcpx; as root: systemctl disable tcpx.service; rm $unit"
	fi
}

uninstall() {
	if [ ! -f "$PREFIX/$MANIFEST" ]; then
		say "nothing to remove: no $PREFIX/$MANIFEST"
		return 0
	fi
	prefix_is_ours || require_root "removing from $PREFIX"
	end_rules
	end_persist
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

# `bun run release --base-url URL` writes the URL into the copy that is published.
settings() {
	RELEASES_URL=''
	BASE_URL=${TCPX_BASE_URL:-$RELEASES_URL}
	BASE_URL=${BASE_URL%/}
	PREFIX=${TCPX_PREFIX:-/usr/local}
	VERSION=${TCPX_VERSION:-}
	DEV=${TCPX_DEV:-}
	[ "$DEV" != 0 ] || DEV=
	ACTION=install
	MANIFEST=share/tcpx/manifest
	# Where these look below /usr and /usr/local.
	BASH_SCRIPT=share/bash-completion/completions/tcpx
	ZSH_SCRIPT=share/zsh/site-functions/_tcpx
	FISH_SCRIPT=share/fish/vendor_completions.d/tcpx.fish
	MAN_PAGE=share/man/man1/tcpx.1
	CACHE=${TCPX_CACHE_DIR:-${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/tcpx}
	PATH=$PATH:/usr/sbin:/sbin
	export PATH
	LOG='' WORK='' POLICY='' STAGED='' NAMES='' MADE='' DROP_MODULES='' BUN='' MISSING='' RESET='' ROOT=''
}

read_arguments() {
	while [ $# -gt 0 ]; do
		case $1 in
		--prefix | --version)
			[ $# -gt 1 ] || die "$1 needs a value"
			case $1 in
			--prefix) PREFIX=$2 ;;
			*) VERSION=$2 ;;
			esac
			shift
			;;
		--prefix=*) PREFIX=${1#--prefix=} ;;
		--version=*) VERSION=${1#--version=} ;;
		--dev) DEV=1 ;;
		--uninstall) ACTION=uninstall ;;
		--reset) RESET=1 ;;
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
	[ -z "$RESET" ] || [ "$ACTION" = uninstall ] || die "--reset goes with --uninstall"
	[ -z "$VERSION" ] || check_version "$VERSION" || die "--version wants one such as 0.1.0, not $VERSION"
}

main() {
	settings
	read_arguments "$@"
	trap cleanup EXIT
	trap 'exit 129' HUP
	trap 'exit 130' INT
	trap 'exit 143' TERM
	if [ "$ACTION" = uninstall ]; then
		uninstall
		return
	fi
	case $(uname -s)-$(uname -m) in
	Linux-x86_64 | Linux-aarch64) ;;
	*) die "tcpx runs on Linux on x86_64 and aarch64, not on $(uname -s) on $(uname -m)" ;;
	esac
	# Piped into sh, $0 is the shell.
	if [ -z "$VERSION" ] && [ -f "$0" ] && grep -q '"name": "tcpx"' "$(dirname "$0")/package.json" 2>/dev/null; then
		ROOT=$(cd "$(dirname "$0")" && pwd)
	fi
	make_work
	if [ -n "$ROOT" ]; then
		install_checkout
	else
		install_release
	fi
}

# A download that ends anywhere before the last letter is a syntax error, which runs nothing.
if :; then main "$@"; fi
