# bash completion for tcpx, written by `tcpx completion bash`
# SPDX-License-Identifier: MIT
# tcpx itself says what may stand at the cursor: cli/completion/answer.ts. For bash 4.3 and newer.

# _tcpx_program INDEX: completes another program's command line, which begins there in COMP_WORDS
_tcpx_program() {
    if declare -F _comp_command_offset >/dev/null; then
        _comp_command_offset "$1"
    elif declare -F _command_offset >/dev/null; then
        _command_offset "$1"
    elif ((COMP_CWORD == $1)); then
        mapfile -t COMPREPLY < <(compgen -c -- "${COMP_WORDS[COMP_CWORD]}")
    else
        compopt -o filenames 2>/dev/null
        mapfile -t COMPREPLY < <(compgen -f -- "${COMP_WORDS[COMP_CWORD]}")
    fi
}

_tcpx() {
    local IFS=$' \t\n' program=tcpx line answer=()
    COMPREPLY=()
    [[ ${COMP_WORDS[0]} != */* || ! -x ${COMP_WORDS[0]} ]] || program=${COMP_WORDS[0]}
    mapfile -t answer < <("$program" internal-complete -- bash "${COMP_LINE:0:COMP_POINT}" \
        "${COMP_WORDS[@]:0:COMP_CWORD+1}" 2>/dev/null </dev/null)
    for line in "${answer[@]}"; do
        case $line in
        'w '*) COMPREPLY+=("${line:2}") ;;
        'p '*)
            compopt -o nospace 2>/dev/null
            COMPREPLY+=("${line:2}")
            ;;
        'f '* | 'd '*)
            compopt -o filenames 2>/dev/null
            mapfile -t -O ${#COMPREPLY[@]} COMPREPLY < <(compgen "-${line:0:1}" -- "${line:2}")
            ;;
        'c '*) _tcpx_program "${line:2}" ;;
        esac
    done
}

complete -F _tcpx tcpx
