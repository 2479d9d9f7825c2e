// SPDX-License-Identifier: MIT
// Completion for bash 4.3 and newer, with or without the package bash-completion.

import { PIDS, placesOf, quoted, UNITS, valueWords } from "./shell.ts";
import { askedNodes, type Flag, type Node, spellings } from "./tree.ts";

/** "--quiet|-q", or "--cgroup= directory": spellings, and what the value is. */
function flagWord(flag: Flag): string {
  const names = spellings(flag).join("|");
  return quoted(flag.value && !flag.optional ? `${names}= ${valueWords(flag.value)}` : names);
}

function nodeCase(node: Node): string {
  const lines = [
    node.next.length > 0 ? `next=(${node.next.map(({ path }) => path.at(-1)).join(" ")})` : "",
    ["flags=(", ...node.flags.map((flag) => `    ${flagWord(flag)}`), ")"].join("\n"),
    placesOf(node).length > 0
      ? `places=(${placesOf(node)
          .map(({ value }) => quoted(valueWords(value)))
          .join(" ")})`
      : "",
    node.runs ? "runs=1" : "",
  ];
  const body = lines.filter(Boolean).join("\n").replace(/^/gm, "        ");
  return `    ${quoted(node.path.join(" "))})\n${body}\n        ;;`;
}

const FUNCTIONS = `
# Sets words: those before the cursor, as tcpx would see them, at[]: where they begin in COMP_WORDS,
# and cur: what stands at the cursor. Bash has split them at = and :.
_tcpx_words() {
    local line=$COMP_LINE raw glue i
    words=() at=() cur=''
    for ((i = 0; i <= COMP_CWORD; i++)); do
        raw=\${COMP_WORDS[i]} glue=''
        [[ $line == [[:space:]]* ]] || glue=1
        line=\${line#"\${line%%[![:space:]]*}"}
        line=\${line#"$raw"}
        if ((i > 1)) && [[ $glue && ( $raw == [=:]* || \${COMP_WORDS[i - 1]} == *[=:] ) ]]; then
            words[-1]+=$raw
        else
            words+=("$raw") at+=("$i")
        fi
    done
    cur=\${words[-1]}
    unset 'words[-1]'
}

# _tcpx_flag WORD: sets flag to the entry of flags that has this spelling
_tcpx_flag() {
    for flag in "\${flags[@]}"; do
        [[ "|\${flag%%=*}|" == *"|$1|"* ]] && return 0
    done
    flag=''
    return 1
}

# _tcpx_program INDEX: completes another program's command line, which begins there in COMP_WORDS
_tcpx_program() {
    if declare -F _comp_command_offset >/dev/null; then
        _comp_command_offset "$1"
    elif declare -F _command_offset >/dev/null; then
        _command_offset "$1"
    elif ((COMP_CWORD == $1)); then
        mapfile -t COMPREPLY < <(compgen -c -- "$cur")
    else
        _tcpx_value file "$cur"
    fi
}

# _tcpx_asked WHAT PREFIX: what tcpx itself knows of; it only reads, and is silent where it may not
_tcpx_asked() {
    local program=tcpx piece=\${COMP_WORDS[COMP_CWORD]} head='' line
    [[ \${words[0]} == */* && -x \${words[0]} ]] && program=\${words[0]}
    # readline completes what stands behind the last = or : only
    [[ $piece == [=:]* ]] && piece=''
    [[ $2 == *"$piece" ]] && head=\${2%"$piece"}
    [[ $1 != cgroup ]] || compopt -o nospace 2>/dev/null
    # not -o filenames: it leaves $ and \` as they are, and names of cgroups are chosen by others
    while IFS= read -r line; do
        case $2 in
        \\'*) [[ $line != *\\'* ]] || continue ;;
        \\"*)
            line=\${line//\\\\/\\\\\\\\} line=\${line//\\"/\\\\\\"} line=\${line//\\$/\\\\\\$} line=\${line//\\\`/\\\\\\\`}
            ;;
        *) printf -v line %q "$line" ;;
        esac
        COMPREPLY+=("\${line#"$head"}")
    done < <("$program" internal-complete -- raw "$1" "$2" "\${words[@]:1}" 2>/dev/null </dev/null)
}

# _tcpx_value SOURCE WORDS... PREFIX
_tcpx_value() {
    local source=$1 cur=\${*: -1} known=' ' head='' word
    set -- "\${@:2:$#-2}"
    case $source in
    directory | file)
        compopt -o filenames 2>/dev/null
        if [[ $source == file ]]; then
            mapfile -t COMPREPLY < <(compgen -f -- "$cur")
        else
            mapfile -t COMPREPLY < <(compgen -d -- "$cur")
        fi
        ;;
    cgroup)
        _tcpx_asked cgroup "$cur"
        return
        ;;
    rule)
        _tcpx_asked "$1" "$cur"
        return
        ;;
    unit)
        # names of units may have backslashes
        while IFS= read -r word; do
            set -- "$@" "\${word//\\/\\\\}"
        done < <(${UNITS})
        ;;
    pid) set -- "$@" $(${PIDS}) ;;
    list)
        [[ $cur == *,* ]] && head=\${cur%,*}, known=" \${head//,/ } none "
        ;;
    esac
    for word; do
        [[ $known == *" $word "* || $head$word != "$cur"* ]] || COMPREPLY+=("$head$word")
    done
}

_tcpx_flags() {
    local flag name
    for flag in "\${flags[@]}"; do
        flag=\${flag%%=*} name=\${flag%%|*}
        while [[ $flag ]]; do
            [[ $seen == *" \${flag%%|*} "* ]] && continue 2
            [[ $flag == *"|"* ]] && flag=\${flag#*|} || flag=''
        done
        [[ $name == "$cur"* ]] && COMPREPLY+=("$name")
    done
    [[ $runs && -- == "$cur"* ]] && COMPREPLY+=(--)
}

_tcpx() {
    local IFS=$' \\t\\n' node='' runs='' seen=' ' value='' stop='' flag='' place=0 cur word i head=''
    local -a words at next flags places
    COMPREPLY=()
    _tcpx_words
    _tcpx_node ''
    for ((i = 1; i < \${#words[@]}; i++)); do
        word=\${words[i]}
        if [[ $value ]]; then
            value=''
        elif [[ $word == -- && ! $stop ]]; then
            stop=1
            [[ ! $runs ]] || { _tcpx_program "\${at[i + 1]}" && return; }
        elif [[ $word == -?* && ! $stop ]]; then
            seen+="\${word%%=*} "
            _tcpx_flag "\${word%%=*}" && [[ $flag == *=* && $word != *=* ]] && value=\${flag#*= }
        elif ((\${#next[@]})); then
            _tcpx_node "\${node:+$node }$word" || return 0
            node+=\${node:+ }$word
        elif [[ \${places[place]} == program* ]]; then
            _tcpx_program "\${at[i]}"
            return
        else
            ((place += 1))
        fi
    done
    if [[ $value ]]; then
        _tcpx_value $value "$cur"
    elif [[ ! $stop && $cur == --*=* ]]; then
        head=\${cur%%=*}=
        _tcpx_flag "\${head%=}" && [[ $flag == *=* && $seen != *" \${head%=} "* ]] &&
            _tcpx_value \${flag#*= } "\${cur#*=}"
        [[ $COMP_WORDBREAKS == *=* ]] || COMPREPLY=("\${COMPREPLY[@]/#/$head}")
    elif [[ ! $stop && $cur == -* ]]; then
        _tcpx_flags
    elif ((\${#next[@]})); then
        [[ $stop ]] || mapfile -t COMPREPLY < <(compgen -W "\${next[*]}" -- "$cur")
    elif [[ \${places[place]} == program* ]]; then
        _tcpx_program "\${at[i]}"
    elif [[ \${places[place]} ]]; then
        _tcpx_value \${places[place]} "$cur"
    elif [[ ! $stop && ! $cur ]]; then
        _tcpx_flags
    fi
    return 0
}

complete -F _tcpx tcpx
`;

/** The script. Its table is data; the functions below it are the same for every table. */
export function bashScript(root: Node): string {
  const cases = askedNodes(root).map(nodeCase).join("\n");
  return `# bash completion for tcpx, written by \`tcpx completion bash\`
# shellcheck disable=SC2046,SC2086 # lists of words

# _tcpx_node 'uto set': sets what may stand behind these words
_tcpx_node() {
    next=() flags=() places=() runs=''
    case $1 in
${cases}
    *) return 1 ;;
    esac
}
${FUNCTIONS}`;
}
