#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Installs tcpx: as ./install.sh of a checkout it builds from source, as `curl -fsSL URL | sh` it downloads a release.
# `./install.sh --help` has the rest. Functions only: a download that breaks off runs nothing.
# shellcheck disable=SC2012 # owner and mode: POSIX has nothing but ls for them

set -eu

usage() {
	cat <<'EOF'
Usage: ./install.sh [--prefix DIR] [--dev | --version VERSION] [--downgrade]
       curl -fsSL URL/install.sh | sh -s -- [--prefix DIR] [--version VERSION]
                                            [--downgrade]
       ./install.sh --uninstall [--prefix DIR] [--reset]

Installs tcpx as DIR/bin/tcpx, with its manual page and the completions for
bash, zsh and fish below DIR/share. All of it is prepared first, then renamed
into place, over a running tcpx too; what fails changes nothing. Running it
again changes only what is out of date.

Called by its path in a checkout (./install.sh, or sh ./install.sh) it builds
tcpx. What the build needs and is missing is installed with apt-get (Debian 12,
Ubuntu 24.04, or newer). Elsewhere, or with --version, it downloads a release
for this system (x86_64 or aarch64, glibc or musl) with curl or wget, from the
URL that the script was published with or that TCPX_BASE_URL names, and compares
its SHA-256 sums.

What it runs, and the folders that it writes to, must belong to root, to you, or
to who called sudo (SUDO_UID), and nobody else may be able to change them: a
checkout, the cache, DIR. What others can change is refused; of PATH and HOME it
is left out.

  --prefix DIR       where to install (default /usr/local; TCPX_PREFIX)
  --version VERSION  the release to download (default: the latest; TCPX_VERSION)
  --downgrade        replace a newer tcpx in DIR, too (TCPX_DOWNGRADE=1)
  --dev              in a checkout: also install what the tests and the release
                     need, keep node_modules, and put bun into DIR/bin if there
                     is none (TCPX_DEV=1)
  --uninstall        remove what an earlier run installed below DIR; packages of
                     apt stay. On a terminal it asks about rules that tcpx still
                     has on this host. What `tcpx persist on` has enabled with
                     this executable ends, too; /etc/tcpx/policy.toml stays
  --reset            with --uninstall: end those rules first, with `tcpx reset`
  --help             this text

Needs root, or sudo, for apt-get and for a DIR that is not yours; sudo may ask
for a password where there is a terminal, nothing else is asked. To build, Bun
is used in the version that package.json names, from npm, and kept in
${TCPX_CACHE_DIR:-~/.cache/tcpx}/bun unless that very version is on the PATH.
For a checkout of somebody else's that you trust, mounted into a container for
example, root says whose it is with SUDO_UID.
EOF
}

# Names, files and servers have their say in messages; a terminal obeys control characters.
say() {
	said=$*
	# of names that others choose: a terminal takes more than ASCII's control characters for commands
	case $said in
	*[!\ -~]*) said=$(printf '%s' "$said" | LC_ALL=C tr -c '\040-\176' '?') ;;
	esac
	printf 'install: %s\n' "$said" >&2
}

die() {
	say "error: $*"
	exit 1
}

have() {
	command -v "$1" >/dev/null 2>&1
}

# --- who could change what -------------------------------------------------------------

# The users who may: root, who calls this, and for root who called sudo. In a user namespace what is
# root's outside has another owner, that of /.
find_ours() {
	OURS=" 0 $(id -u) $(LC_ALL=C ls -ldn / | sed 's/^[^ ]*  *[^ ]*  *\([0-9]*\) .*/\1/') "
	[ "$(id -u)" = 0 ] || return 0
	case ${SUDO_UID:-} in
	'' | *[!0-9]*) ;;
	*) OURS="$OURS$SUDO_UID " ;;
	esac
}

is_ours() {
	case ${1:+$OURS} in
	*" $1 "*) ;;
	*) return 1 ;;
	esac
}

# A group of one of these users alone, named like the user, who is its only member. Debian gives what is
# below /usr/local to a group staff, whose members it trusts like root.
group_is_ours() {
	[ "$1" != 0 ] || return 0
	group=$(getent group "$1" 2>/dev/null) || return 1
	case $group in
	staff:*:50:*) return 0 ;;
	esac
	user=${group%%:*}
	is_ours "$(getent passwd "$user" | cut -d : -f 3)" || return 1
	for member in $(echo "${group##*:}" | sed 's/,/ /g') \
		$(getent passwd | sed -n "s/^\([^:]*\):[^:]*:[^:]*:$1:.*/\1/p"); do
		[ "$member" = "$user" ] || return 1
	done
}

# judge MODE UID GID NAME, as ls -ln has them: says who else could change it, or nothing.
judge() {
	if ! is_ours "$2"; then
		user=$(LC_ALL=C ls -ld "$4" 2>/dev/null | sed 's/^[^ ]*  *[^ ]*  *\([^ ]*\) .*/\1/')
		echo "$4 belongs to ${user:-user} ($2)"
		return
	fi
	case $1 in
	l*) ;;
	????????w*) echo "everybody may write to $4" ;;
	?????w????+*) echo "an access control list lets others write to $4" ;;
	?????w*) group_is_ours "$3" || echo "the group $3 may write to $4" ;;
	esac
}

# The path without symbolic links.
physical() {
	if [ -d "$1" ]; then
		(cd -P "$1" && pwd -P) 2>/dev/null
	else
		readlink -f "$1"
	fi
}

# others PATH [later]: who else could change what is at this absolute path, a folder above it, or a symbolic link on
# the way: says so, or nothing. What is not there yet is judged by the folder where it would be; with
# `later` it is looked at again when it is there. Where the sticky bit is set, only the owner of a name can change it.
others() {
	path=$1
	last=1
	while [ ! -e "$path" ] && [ -n "${path%/}" ]; do
		path=${path%/*}
		last=${2:+0}
	done
	case $1 in
	*[[:cntrl:]]*) path= ;;
	/*) path=${path:-/} ;;
	*) path= ;;
	esac
	[ -n "$path" ] || { echo "$1 cannot be looked at" && return; }
	later=${2:-}
	set -- "$path"
	while [ -n "${1%/}" ]; do
		path=${1%/*}
		set -- "${path:-/}" "$@"
	done
	# ls sorts them as they are here: what is above comes first.
	LC_ALL=C ls -ldn "$@" 2>/dev/null | {
		why=
		while [ -z "$why" ] && read -r mode _ uid gid _; do
			name=$1
			shift
			if [ $# != 0 ] || [ "$last" = 0 ]; then
				case $mode in
				?????????[tT]*) mode=d--------- ;;
				esac
			fi
			why=$(judge "$mode" "$uid" "$gid" "$name")
			case $why$mode in
			l*)
				target=$(readlink "$name")
				[ "${target#/}" != "$target" ] || target=${name%/*}/$target
				why=$(others "$target" ${later:+later})
				;;
			esac
		done
		[ $# = 0 ] || why=${why:-$1 cannot be looked at}
		echo "$why"
	}
}

may_use() {
	case $1 in
	/*) [ -z "$(others "$1")" ] ;;
	*) return 1 ;;
	esac
}

# A program that may be run.
is_program() {
	[ -f "$1" ] && [ -x "$1" ] && may_use "$1"
}

# only_ours PATH WHAT
only_ours() {
	why=$(others "$1")
	[ -z "$why" ] || die "$2: $why; nobody but root and you may be able to change it"
}

# Reads what ls -ln says of many files.
others_in_list() {
	LC_ALL=C sort -u -k 1,1 -k 3,4 | while read -r mode _ uid gid _ _ _ _ name; do
		judge "$mode" "$uid" "$gid" "${name%% -> *}"
	done | head -n 1
}

# Nothing of .git is run.
others_in_checkout() {
	why=$(others "$1")
	have find || why="there is no find to look at it"
	[ -n "$why" ] || why=$(find "$1" -name .git -prune -o -exec env LC_ALL=C ls -ldn {} + 2>/dev/null | others_in_list)
	echo "$why"
}

# Leaves in PATH what is absolute and nobody else's, without symbolic links that others may change.
clean_path() {
	USER_PATH=$PATH
	PATH=/usr/bin:/bin
	kept='' left_out=''
	rest=$USER_PATH:/usr/sbin:/sbin:
	while [ -n "$rest" ]; do
		case $rest in
		/*) PATH=$PATH:${rest%%:*} ;;
		esac
		rest=${rest#*:}
	done
	find_ours
	rest=$USER_PATH:/usr/sbin:/sbin:
	while [ -n "$rest" ]; do
		dir=${rest%%:*}
		rest=${rest#*:}
		[ -d "${dir:-.}" ] || continue
		if may_use "$dir"; then
			dir=$(physical "$dir")
			case :$kept in
			*":$dir:"*) ;;
			*) kept=$kept$dir: ;;
			esac
		else
			left_out="$left_out ${dir:-.}"
		fi
	done
	[ -n "$kept" ] || die "no folder of PATH is used, because others may change all of them: $USER_PATH"
	PATH=${kept%:}
	export PATH
	[ -z "$left_out" ] || say "left out of PATH, because others may change it:$left_out"
}

# --- running things --------------------------------------------------------------------

cleanup() {
	[ -z "$STAGED$MADE" ] || unstage
	[ -z "$POLICY" ] || as_root rm -f "$POLICY"
	[ -z "$WORK" ] || rm -rf "$WORK"
	[ -z "$MODULES" ] || rm -rf "$MODULES"
	[ -z "$DROP_MODULES" ] || rm -rf "$ROOT/node_modules"
}

# What a command that failed has said last, for an error of one line.
reason() {
	grep '[^[:space:]]' "$LOG" | tail -n 1 | cut -c 1-200
}

make_work() {
	WORK=$(mktemp -d 2>/dev/null) || die "cannot make a temporary folder in ${TMPDIR:-/tmp}; TMPDIR names another place"
	WORK=$(physical "$WORK")
	LOG=$WORK/log
	only_ours "$WORK" "TMPDIR names no place for temporary files"
	# What curl, wget, npm and bun read there says what they do.
	if [ ! -d "${HOME:-}" ] || ! may_use "$HOME"; then
		HOME=$WORK
		export HOME
	fi
	for name in XDG_CONFIG_HOME XDG_CACHE_HOME CURL_HOME BUN_INSTALL; do
		eval "dir=\${$name:-/}"
		may_use "$dir" || unset "$name"
	done
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

# each_folder COMMAND: with every folder below $PREFIX that is written to.
each_folder() {
	for folder in bin share share/tcpx "${BASH_SCRIPT%/*}" "${ZSH_SCRIPT%/*}" "${FISH_SCRIPT%/*}" "${MAN_PAGE%/*}"; do
		"$1" "$PREFIX/$folder" || return 1
	done
}

# Whether this user may write where this is or will be.
may_write() {
	dir=$1
	while [ ! -e "$dir" ]; do
		dir=$(dirname "$dir")
	done
	[ -w "$dir" ]
}

prefix_is_ours() {
	each_folder may_write
}

folder_is_safe() {
	why=$(others "$1" "${2:-}")
	[ -z "$why" ] || die "cannot use the prefix $PREFIX: $why; nobody but root and you may be able to change it"
}

will_be_safe() {
	folder_is_safe "$1" later
}

# $1: what is done there. Before anything else is.
require_prefix() {
	each_folder will_be_safe
	prefix_is_ours || require_root "$1 $PREFIX"
}

in_prefix() {
	if prefix_is_ours; then
		"$@"
	else
		as_root "$@"
	fi
}

# --- limits ----------------------------------------------------------------------------

# least_of VERSION-1-CONTROLLER FILE FILE-OF-VERSION-1: the least number that the cgroups which we are in have there.
least_of() {
	least=
	[ -r /proc/self/cgroup ] || return 0
	while IFS=: read -r _ names cgroup; do
		case ,$names, in
		,,) roots="/sys/fs/cgroup /sys/fs/cgroup/unified" file=$2 ;;
		*",$1,"*) roots=/sys/fs/cgroup/$1 file=$3 ;;
		*) continue ;;
		esac
		for root in $roots; do
			path=$cgroup
			while :; do
				number=$(cat "$root$path/$file" 2>/dev/null) || number=
				case $number in
				'' | *[!0-9]*) ;;
				*) [ -n "$least" ] && [ "$number" -ge "$least" ] || least=$number ;;
				esac
				[ -n "${path%/}" ] || break
				path=${path%/*}
			done
		done
	done </proc/self/cgroup
	echo "$least"
} 2>/dev/null

# The number that the soft limit is, if it is one.
own_limit() {
	sed -n "s/^Max $1 *\([0-9]*\) .*/\1/p" /proc/self/limits 2>/dev/null || :
}

# The runtime in tcpx does not start with less, nor does the one that builds it (native-loader/start/start.h).
require_limits() {
	space=$(own_limit "address space")
	[ "${space:-3460300800}" -ge 3460300800 ] || die "address space is limited to $((space / 1024 / 1024)) MB (ulimit -v): tcpx needs 3300 MB"
	tasks=$(least_of pids pids.max pids.max)
	[ "$(id -u)" = 0 ] || tasks="$tasks $(own_limit processes)"
	for number in $tasks; do
		[ "$number" -ge 20 ] || die "processes are limited to $number (ulimit -u, pids.max): tcpx needs 20"
	done
	memory=$(least_of memory memory.max memory.limit_in_bytes)
	# version 1 says no limit with a number that some shells cannot count to
	case $memory in
	'' | ????????????*) ;;
	*) [ "$memory" -ge $((32 * 1024 * 1024)) ] || die "memory is limited to $((memory / 1024 / 1024)) MB by a cgroup (memory.max): tcpx needs 32 MB" ;;
	esac
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
	need binutils readelf
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
	need minisign minisign
	need tcpdump tcpdump
	need tshark tshark
	need iperf3 iperf3
	need nftables nft
	need iptables iptables-legacy
	need iptables iptables-nft
	need iptables iptables
	need python3 python3
	need python3-prometheus-client /usr/lib/python3/dist-packages/prometheus_client
	need curl curl
	need nginx-light nginx
	need apache2-utils ab
	need procps ps
	need ethtool ethtool
	need git git
	need strace strace
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
	need mount mount
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
	is_program "$1" && [ "$("$1" --version 2>/dev/null)" = "$BUN_VERSION" ]
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
	folder_is_safe "$(dirname "$PREFIX/$1")" # somebody else may have been first
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
	found=$(
		# shellcheck disable=SC2030 # only here
		PATH=$USER_PATH
		command -v tcpx || :
	)
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
	if [ -z "$found" ] || [ "$found" = "$(physical "$PREFIX/bin")/bun" ]; then
		stage bin/bun 755 <"$BUN"
		have bun || say "add $PREFIX/bin to your PATH for bun"
	elif ! is_bun "$found"; then
		say "bun on the PATH, $found, is not $BUN_VERSION, which the tests want: use $BUN"
	fi
}

# Whether `bun install` may go on above the checkout: it takes the next package.json there that has workspaces
# for the one to begin with, and runs its scripts.
above_is_ours() {
	dir=$ROOT
	while [ "$dir" != / ]; do
		dir=$(dirname "$dir")
		[ -z "$(others "$dir")" ] || return 1
	done
}

# Where others may write above the checkout (/tmp): below a package.json that ends the search.
install_modules() {
	say "bun install"
	if above_is_ours; then
		quietly "$BUN" install --frozen-lockfile --ignore-scripts || die "bun install failed"
		return
	fi
	MODULES=$(mktemp -d "$ROOT/.install.XXXXXX")
	echo '{ "workspaces": [] }' >"$MODULES/package.json"
	mkdir "$MODULES/below"
	for name in package.json bun.lock bunfig.toml .npmrc; do
		[ ! -e "$name" ] || cp "$name" "$MODULES/below"
	done
	cd "$MODULES/below"
	quietly "$BUN" install --frozen-lockfile --ignore-scripts || die "bun install failed"
	cd "$ROOT"
	if [ -e "$MODULES/below/node_modules" ]; then
		rm -rf node_modules
		mv "$MODULES/below/node_modules" node_modules
	fi
	rm -rf "$MODULES"
	MODULES=
}

# Not `bun run`: that looks for programs in the node_modules of every folder above, first.
build() {
	say "bun run build"
	script=$("$BUN" -p 'require("./package.json").scripts.build' 2>"$LOG") || die "the build failed: $(reason)"
	quietly sh -c "$script" || die "the build failed"
	[ -x dist/tcpx ] || die "the build made no dist/tcpx"
}

# The cache and all that is run or built from it, as far as others could come.
require_cache() {
	mkdir -p "$CACHE" 2>"$LOG" || die "cannot create the cache $CACHE: $(reason); TCPX_CACHE_DIR names another place"
	why=$(others "$CACHE")
	[ -n "$why" ] || why=$(LC_ALL=C ls -ldn "$CACHE"/* "$CACHE"/*/* 2>/dev/null | others_in_list)
	[ -z "$why" ] || die "the cache is not used: $why; TCPX_CACHE_DIR names another place"
	TCPX_CACHE_DIR=$CACHE
	export TCPX_CACHE_DIR
}

read_package() {
	value=$(sed -n 's/.*"packageManager": *"\([^"]*\)".*/\1/p' package.json)
	BUN_VERSION=${value#bun@}
	case $value in
	bun@*+*) false ;;
	bun@*) check_version "$BUN_VERSION" ;;
	*) false ;;
	esac || die "package.json must name bun@N.N.N in packageManager, and has ${value:-none}"
	VERSION=$(sed -n 's/.*"version": *"\([^"]*\)".*/\1/p' package.json | head -n 1)
}

install_checkout() {
	cd "$ROOT"
	read_package
	require_prefix "installing into"
	! check_version "$VERSION" || refuse_older "$VERSION"
	require_cache
	# shellcheck disable=SC2031
	[ ! -x "$CACHE/tools/bpftool" ] || PATH=$CACHE/tools:$PATH
	install_packages
	ensure_bun
	safe_path=$PATH
	PATH=$(dirname "$BUN"):$PATH
	[ -n "$DEV" ] || [ -e node_modules ] || DROP_MODULES=1
	install_modules
	build
	PATH=$safe_path
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
		curl -gfsSL --proto-redir "$redirect" --connect-timeout 30 --speed-limit 1 --speed-time 60 \
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

# A version as semver.org has them: N.N.N, -PRE.RELEASE and +BUILD may follow. Versions become paths and URLs.
check_version() {
	[ ${#1} -le 64 ] || return 1
	main=${1%%+*}
	numbers=${main%%-*}
	case $1 in
	*[!0-9A-Za-z.+-]* | *..* | *. | *+ | *+.* | *+*+*) return 1 ;;
	esac
	case ${main#"$numbers"} in
	- | -.* | -*.) return 1 ;;
	esac
	case .$numbers. in
	*[!0-9.]* | *..* | *.0[0-9]* | *.*.*.*.*.*) return 1 ;;
	*.*.*.*.) ;;
	*) return 1 ;;
	esac
}

# For sorting by characters: a number comes before any other word, a short one before a long one.
sort_key() {
	case $1 in
	*[!0-9]*) echo "word $1" ;;
	*)
		digits=${1#"${1%%[!0]*}"}
		printf 'number %02d %s\n' "${#digits}" "$digits"
		;;
	esac
}

# older_words A B: whether A comes before B, word by word between dots.
older_words() {
	a=$1. b=$2.
	while [ -n "$a" ] && [ -n "$b" ] && [ "${a%%.*}" = "${b%%.*}" ]; do
		a=${a#*.} b=${b#*.}
	done
	[ -n "$b" ] || return 1
	[ -n "$a" ] || return 0
	a=$(sort_key "${a%%.*}") b=$(sort_key "${b%%.*}")
	[ "$a" != "$b" ] && [ "$(printf '%s\n' "$a" "$b" | LC_ALL=C sort | head -n 1)" = "$a" ]
}

# older A B: whether version A comes before B, in the order of semver.org; +BUILD has no say there.
older() {
	one=${1%%+*} two=${2%%+*}
	if [ "${one%%-*}" != "${two%%-*}" ]; then
		older_words "${one%%-*}" "${two%%-*}"
		return
	fi
	case $one/$two in
	*-*/*-*) older_words "${one#*-}" "${two#*-}" ;;
	*-*/*) return 0 ;;
	*) return 1 ;;
	esac
}

# An older release has the faults that a newer one mended, and who serves it may want just that.
refuse_older() {
	[ -z "$DOWNGRADE" ] && is_program "$PREFIX/bin/tcpx" || return 0
	installed=$("$PREFIX/bin/tcpx" version 2>/dev/null </dev/null | sed -n '1s/^tcpx //p') || return 0
	check_version "$installed" && older "$1" "$installed" || return 0
	die "$PREFIX/bin/tcpx is $installed, newer than $1; --downgrade (TCPX_DOWNGRADE=1) installs the older one"
}

choose_version() {
	if [ -z "$VERSION" ]; then
		fetch "$BASE_URL/latest" "$WORK/latest"
		VERSION=$(head -n 1 "$WORK/latest" | cut -c 1-100)
		check_version "$VERSION" || die "$BASE_URL/latest does not hold a version; is this where the releases of tcpx are?"
	fi
}

require_release_tools() {
	have curl || have wget || die "curl or wget is needed to download a release"
	have sha256sum || have shasum || have openssl || die "sha256sum, shasum or openssl is needed to check a download"
	have gzip || die "gzip is needed to unpack a release"
	case $BASE_URL in
	'') die "not called by the path of a checkout's install.sh, and no URL of releases is known; set TCPX_BASE_URL" ;;
	*[!]A-Za-z0-9._~:/%@\!\$\&\'\(\)*+,\;=[-]*) die "TCPX_BASE_URL has characters that a URL does not have, and is $BASE_URL" ;;
	http://?* | https://?*) ;;
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
	require_prefix "installing into"
	detect_target
	choose_version
	refuse_older "$VERSION"
	fetch "$BASE_URL/$VERSION/SHA256SUMS" "$WORK/SHA256SUMS"
	wanted=$(sum_of "tcpx-$TARGET")
	[ -n "$wanted" ] || die "SHA256SUMS of $VERSION does not list tcpx-$TARGET"
	if is_program "$PREFIX/bin/tcpx" && [ "$(sha256 "$PREFIX/bin/tcpx")" = "$wanted" ]; then
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
		only_ours "$PREFIX/bin/tcpx" "$PREFIX/bin/tcpx is not run"
		require_root "tcpx reset"
		as_root "$PREFIX/bin/tcpx" reset >&2 </dev/null || die "tcpx reset failed; nothing was removed"
		return 0
	fi
	[ -e /sys/fs/bpf/tcpx ] || return 0
	if is_program "$PREFIX/bin/tcpx" && has_terminal; then
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
	if is_program "$PREFIX/bin/tcpx" && as_root "$PREFIX/bin/tcpx" persist off >/dev/null 2>&1 </dev/null; then
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
	require_prefix "removing from"
	end_rules
	end_persist
	while IFS= read -r name; do
		known=
		case $name in
		*/./* | */../* | */. | */.. | */) ;;
		bin/*/* | share/tcpx/*/*) ;;
		bin/* | share/tcpx/* | "$BASH_SCRIPT" | "$ZSH_SCRIPT" | "$FISH_SCRIPT" | "$MAN_PAGE") known=1 ;;
		esac
		[ -n "$known" ] || { say "left alone, because no tcpx installs it: $name" && continue; }
		[ -e "$PREFIX/$name" ] || continue
		in_prefix rm -f "$PREFIX/$name"
		say "removed $PREFIX/$name"
	done <"$PREFIX/$MANIFEST"
	in_prefix rm -f "$PREFIX/$MANIFEST"
	in_prefix rmdir "$(dirname "$PREFIX/$MANIFEST")" 2>/dev/null || true
	if [ -d "$CACHE/bun" ] && may_use "$CACHE"; then
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
	DOWNGRADE=${TCPX_DOWNGRADE:-}
	[ "$DOWNGRADE" != 0 ] || DOWNGRADE=
	ACTION=install
	MANIFEST=share/tcpx/manifest
	# Where these look below /usr and /usr/local.
	BASH_SCRIPT=share/bash-completion/completions/tcpx
	ZSH_SCRIPT=share/zsh/site-functions/_tcpx
	FISH_SCRIPT=share/fish/vendor_completions.d/tcpx.fish
	MAN_PAGE=share/man/man1/tcpx.1
	CACHE=${TCPX_CACHE_DIR:-${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/tcpx}
	LOG='' WORK='' POLICY='' STAGED='' NAMES='' MADE='' DROP_MODULES='' MODULES='' BUN='' MISSING='' RESET='' INSTALLS='' ROOT=''
	CDPATH=''
	umask 022
}

read_arguments() {
	while [ $# -gt 0 ]; do
		case $1 in
		--prefix | --version)
			[ $# -gt 1 ] || die "$1 needs a value"
			case $1 in
			--prefix) PREFIX=$2 ;;
			*) VERSION=$2 INSTALLS=$1 ;;
			esac
			shift
			;;
		--prefix=*) PREFIX=${1#--prefix=} ;;
		--version=*) VERSION=${1#--version=} INSTALLS=--version ;;
		--dev) DEV=1 INSTALLS=$1 ;;
		--downgrade) DOWNGRADE=1 INSTALLS=$1 ;;
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
	case $CACHE in
	/*) ;;
	*) CACHE=$PWD/$CACHE ;;
	esac
	case $PREFIX in
	*[[:cntrl:]]*) die "--prefix wants a directory without control characters, not $PREFIX" ;;
	/*) ;;
	'') die "--prefix needs a directory" ;;
	*) PREFIX=$PWD/$PREFIX ;;
	esac
	[ -z "$RESET" ] || [ "$ACTION" = uninstall ] || die "--reset goes with --uninstall"
	[ -z "$INSTALLS" ] || [ "$ACTION" != uninstall ] || die "$INSTALLS goes with installing, not with --uninstall"
	[ -z "$VERSION" ] || check_version "$VERSION" || die "--version wants one such as 0.1.0, not $VERSION"
}

# has_line TEXT FILE: a file, and nothing that waits to be read.
has_line() {
	[ -f "$2" ] && grep -qF "$1" "$2" 2>/dev/null
}

# Sets ROOT where this was called by its path in a checkout. Piped into a shell, $0 is how that was called, and a
# file of the same name may be anybody's.
find_checkout() {
	case $0 in
	*/*) folder=${0%/*}/ ;;
	install.sh) folder=./ ;;
	*) return 0 ;;
	esac
	has_line '# Installs tcpx: as ./install.sh of a checkout' "$folder${0##*/}" || return 0
	has_line '"name": "tcpx"' "${folder}package.json" || return 0
	otherwise="--version VERSION downloads a release instead"
	[ "$0" != install.sh ] || die "a checkout is built when its install.sh is called by a path, as ./install.sh, not as install.sh; $otherwise"
	case $folder in
	/*) ;;
	*) folder=$PWD/$folder ;;
	esac
	ROOT=$(physical "$folder") || die "cannot find the folder of $0"
	why=$(others_in_checkout "$ROOT")
	[ -n "$why" ] || why=$(others "$ROOT/${0##*/}")
	[ -z "$why" ] || die "the checkout $ROOT is not built: $why, and only root, you and who called sudo may be able to change it; $otherwise"
}

main() {
	settings
	clean_path
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
	require_limits
	[ -n "$VERSION" ] || find_checkout
	make_work
	if [ -n "$ROOT" ]; then
		install_checkout
	else
		install_release
	fi
}

# A download that ends anywhere before the last letter is a syntax error, which runs nothing.
if :; then main "$@"; fi
