// SPDX-License-Identifier: MIT
// Completion for zsh's compinit.

import { PIDS, placesOf, quoted, UNITS } from "./shell.ts";
import { askedNodes, type Flag, type Node, type Place, spellings } from "./tree.ts";
import type { Value } from "./values.ts";

/** For text inside [ ] and between colons of a spec of _arguments. */
function escaped(text: string): string {
  return text.replace(/[\\[\]:]/g, "\\$&");
}

/** ":message:action" */
function action(value: Value): string {
  const message = escaped(value.hint);
  const words = value.words.join(" ");
  if (value.list) return `:${message}: _tcpx_list ${message} ${words}`;
  switch (value.source) {
    case "cgroup":
      return `:${message}:_tcpx_asked cgroup`;
    case "rule":
      return `:${message}:_tcpx_asked ${words}`;
    case "directory":
      return `:${message}:_files -/`;
    case "file":
      return `:${message}:_files`;
    case "unit":
      return `:${message}:_tcpx_units`;
    case "pid":
      return `:${message}:_tcpx_pids`;
    default:
      return words ? `:${message}:(${words})` : `:${message}: `;
  }
}

/** One spec per spelling, each excluding all. */
function flagSpecs(flag: Flag): string[] {
  const all = spellings(flag).join(" ");
  return spellings(flag).map((name) => {
    const hidden = flag.silent.includes(name) ? "!" : "";
    const sign = !flag.value || !name.startsWith("--") ? "" : flag.optional ? "=-" : "=";
    const value = flag.value ? `${flag.optional ? ":" : ""}${action(flag.value)}` : "";
    const text = `${sign}[${escaped(flag.description)}]${value}`;
    return quoted(`${hidden}(${all})${name}${text}`);
  });
}

function placeSpec({ value, optional }: Place, index: number): string {
  if (value.source === "program") return quoted(`*:::${escaped(value.hint)}: _normal`);
  return quoted(`${index + 1}${optional ? ":" : ""}${action(value)}`);
}

/** A leaf that runs a program without saying so in its arguments has it behind "--". */
function specs(node: Node): string[] {
  const program = node.runs && placesOf(node).length === 0 ? [quoted("*:::program: _normal")] : [];
  return [...node.flags.flatMap(flagSpecs), ...placesOf(node).map(placeSpec), ...program];
}

function nodeCase(node: Node): string {
  const next = node.next.map(({ path, title }) => quoted(`${path.at(-1)!.replace(/:/g, "\\:")}:${title}`));
  const lines = [
    ...(next.length > 0 ? ["next=(", ...next.map((word) => `    ${word}`), ")"] : []),
    ...["specs=(", ...specs(node).map((spec) => `    ${spec}`), ")"],
  ];
  return `    ${quoted(node.path.join(" "))})\n${lines.map((line) => `        ${line}`).join("\n")}\n        ;;`;
}

const FUNCTIONS = `
_tcpx_units() {
    compadd "$@" -- \${(f)"$(${UNITS})"}
}

_tcpx_pids() {
    compadd "$@" -- \${(f)"$(${PIDS})"}
}

# _tcpx_asked FLAGS... WHAT: what tcpx itself knows of; it only reads, and is silent where it may not
_tcpx_asked() {
    local program=tcpx what=$@[-1]
    local -a found flags
    flags=("\${(@)@[1,-2]}")
    [[ $words[1] == */* && -x $words[1] ]] && program=$words[1]
    [[ $what == cgroup ]] && flags+=(-S '')
    found=(\${(f)"$("$program" internal-complete -- plain $what "\${(Q)PREFIX}" \${=node} "\${(@Q)words[2,CURRENT-1]}" 2>/dev/null </dev/null)"})
    compadd "$flags[@]" -- "$found[@]"
}

# several words by commas, but for none, which stands alone
_tcpx_list() {
    local message=$1
    shift
    [[ $PREFIX != *,* ]] || set -- \${@:#none}
    _values -s , $message "$@"
}

_tcpx() {
    local curcontext=$curcontext node='' word expl
    local -a next specs keep
    local -i at=2
    local context state state_descr line
    typeset -A opt_args
    keep=($words[1])
    _tcpx_node ''
    # flags in front of a command belong to it, too: the words of the command go, the flags stay
    while (( at < CURRENT && $#next )); do
        word=$words[at]
        if [[ $word == -* ]]; then
            keep+=($word)
        else
            node=\${node:+$node }$word
            _tcpx_node $node || return 1
        fi
        (( at++ ))
    done
    words=($keep "\${(@)words[at,-1]}")
    (( CURRENT -= at - 1 - $#keep ))
    if (( $#next )); then
        specs+=('1: :->next')
    fi
    _arguments -S : $specs && return 0
    [[ $state == next ]] && _describe -t commands 'tcpx command' next
}

if [[ $funcstack[1] == _tcpx ]]; then
    _tcpx "$@"
else
    compdef _tcpx tcpx
fi
`;

/** The script: to be sourced, or to be found as _tcpx on the fpath. */
export function zshScript(root: Node): string {
  const cases = askedNodes(root).map(nodeCase).join("\n");
  return `#compdef tcpx
# zsh completion for tcpx, written by \`tcpx completion zsh\`

# _tcpx_node 'uto set': sets what may stand behind these words
_tcpx_node() {
    next=() specs=()
    case $1 in
${cases}
    *) return 1 ;;
    esac
}
${FUNCTIONS}`;
}
