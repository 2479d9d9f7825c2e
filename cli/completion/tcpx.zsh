#compdef tcpx
# zsh completion for tcpx, written by `tcpx completion zsh`
# SPDX-License-Identifier: MIT
# tcpx itself says what may stand at the cursor: cli/completion/answer.ts.

_tcpx() {
    local program=tcpx line result=1
    local -a answer ends goes
    [[ $words[1] != */* || ! -x $words[1] ]] || program=$words[1]
    answer=("${(@f)$("$program" internal-complete -- zsh "${(Q)PREFIX}" "${(@Q)words[2,CURRENT-1]}" 2>/dev/null </dev/null)}")
    for line in "$answer[@]"; do
        case $line in
            ('h '*) compset -P "${(b)line[3,-1]}" ;;
            ('w '*) ends+=("$line[3,-1]") ;;
            ('p '*) goes+=("$line[3,-1]") ;;
            (f*) _files && result=0 ;;
            (d*) _files -/ && result=0 ;;
            ('c '*)
                words=("${(@)words[${line[3,-1]},-1]}")
                (( CURRENT -= ${line[3,-1]} - 1 ))
                _normal
                return
                ;;
        esac
    done
    (( $#ends + $#goes )) || return result
    _describe -t tcpx tcpx ends -- goes -S '' || return result
}

if [[ $funcstack[1] == _tcpx ]]; then
    _tcpx "$@"
else
    compdef _tcpx tcpx
fi
