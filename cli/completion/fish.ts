// SPDX-License-Identifier: MIT
// Completion for fish 3 and newer.

import { PIDS, placesOf, UNITS, valueWords } from "./shell.ts";
import { askedNodes, type Flag, type Node, spellings } from "./tree.ts";

/** A word of fish. */
function quoted(text: string): string {
  return `'${text.replace(/[\\']/g, "\\$&")}'`;
}

function flagLine(flag: Flag): string {
  const offered = [flag.name, ...flag.short].join(" ");
  const value = flag.value && !flag.optional ? valueWords(flag.value) : "";
  return ["f", offered, spellings(flag).join(" "), value, flag.description].map(quoted).join("\\t");
}

function nodeCase(node: Node): string {
  const lines = [
    ...node.next.map(({ path, title }) => ["c", path.at(-1)!, title].map(quoted).join("\\t")),
    ...placesOf(node).map(({ value, description }) =>
      ["p", valueWords(value), description].map(quoted).join("\\t"),
    ),
    ...node.flags.map(flagLine),
    ...(node.runs ? ["r"] : []),
  ];
  const body = lines.map((line) => `                ${line}`).join(" \\\n");
  return `        case ${quoted(node.path.join(" "))}\n            printf '%s\\n' \\\n${body}`;
}

const FUNCTIONS = `
# __tcpx_plain WORD: without its quotes, which may not be closed yet
function __tcpx_plain
    for end in '' "'" '"'
        string unescape -- "$argv[1]$end" 2>/dev/null; and return
    end
    printf '%s\n' $argv[1]
end

# __tcpx_asked WHAT PREFIX: what tcpx itself knows of; it only reads, and is silent where it may not
function __tcpx_asked
    set -l words (commandline -cpo)
    while set -q words[1]; and not string match -q -r '(^|/)tcpx$' -- $words[1]
        set -e words[1]
    end
    set -l program tcpx
    string match -q '*/*' -- $words[1]; and test -x $words[1]; and set program $words[1]
    set -e words[1]
    $program internal-complete -- plain $argv $words 2>/dev/null </dev/null
end

# __tcpx_value SOURCE [WORD...] PREFIX DESCRIPTION: values that may follow the prefix ("--cgroup=")
function __tcpx_value
    set -l source $argv[1]
    set -l words $argv[2..-3]
    set -l prefix $argv[-2]
    set -l cur (string replace -- "$prefix" '' (commandline -ct))
    switch $source
        case directory
            set words $words (__fish_complete_directories "$cur" '' | string trim)
        case file
            set words $words (__fish_complete_path "$cur" '' | string trim)
        case cgroup
            set words (__tcpx_asked cgroup (__tcpx_plain "$cur"))
        case rule
            set words (__tcpx_asked $words[1] (__tcpx_plain "$cur"))
        case unit
            set words $words (${UNITS})
        case pid
            set words $words (${PIDS})
        case list
            set -l given (string split -- , $cur)
            if test (count $given) -gt 1
                set prefix "$prefix"(string join -- , $given[1..-2]),
                for word in $words
                    contains -- $word none $given[1..-2]
                    or printf '%s\\t%s\\n' "$prefix$word" $argv[-1]
                end
                return
            end
    end
    for word in $words
        printf '%s\\t%s\\n' "$prefix$word" $argv[-1]
    end
end

# __tcpx_flag SPELLING LINE...: what the value of this flag is, and its description; fails when it takes none
function __tcpx_flag
    for line in $argv[2..-1]
        set -l part (string split -- \\t $line)
        test "$part[1]" = f; and contains -- $argv[1] (string split -- ' ' $part[3])
        and test -n "$part[4]"; and printf '%s\\n' "$part[4]" "$part[5]"; and return 0
    end
    return 1
end

# __tcpx_program WORD...: completes another program's command line
function __tcpx_program
    set -l cur (commandline -ct)
    set -l line (string join -- ' ' (string escape -- $argv) "$cur")
    complete -C"$line"
end

function __tcpx
    set -l cur (commandline -ct)
    set -l words (commandline -cpo)
    while set -q words[1]; and not string match -q -r '(^|/)tcpx$' -- $words[1]
        set -e words[1]
    end
    set -e words[1]
    set -l node ''
    set -l lines (__tcpx_node '')
    set -l places
    set -l seen
    set -l value
    set -l stop 0
    for i in (seq (count $words))
        set -l word $words[$i]
        if set -q value[1]
            set -e value
            continue
        end
        if test $stop = 0 -a "x$word" = x--
            set stop 1
            if contains -- r $lines
                __tcpx_program $words[(math $i + 1)..-1]
                return
            end
        else if test $stop = 0; and string match -q -- '-?*' $word
            set -l name (string replace -r -- '=.*' '' $word)
            set seen $seen $name
            string match -q -- '*=*' $word; or set value (__tcpx_flag $name $lines)
        else if string match -q -- "c"\\t"*" $lines
            set node (string trim -- "$node $word")
            set lines (__tcpx_node $node); or return
        else if string match -q -- "p"\\t"program*" $lines
            __tcpx_program $words[$i..-1]
            return
        else
            set places $places $word
        end
    end
    if set -q value[1]
        __tcpx_value (string split -- ' ' $value[1]) '' "$value[2]"
        return
    end
    if test $stop = 0; and string match -q -- '--*=*' $cur
        set -l name (string replace -r -- '=.*' '' $cur)
        contains -- $name $seen; and return
        set value (__tcpx_flag $name $lines)
        and __tcpx_value (string split -- ' ' $value[1]) "$name=" "$value[2]"
        return
    end
    set -l place (count $places)
    # flags are offered when they are asked for, or when nothing else can come
    set -l busy 0
    for line in $lines
        set -l part (string split -- \\t $line)
        switch $part[1]
            case c
                if test $stop = 0
                    printf '%s\\t%s\\n' $part[2] $part[3]
                    set busy 1
                end
            case p
                if test $place = 0
                    set busy 1
                    if string match -q 'program*' -- $part[2]
                        __tcpx_program
                    else
                        __tcpx_value (string split -- ' ' $part[2]) '' "$part[3]"
                    end
                end
                set place (math $place - 1)
            case f
                string match -q -- '-*' "$cur"; or test "$busy$cur" = 0; or continue
                set -l given 0
                for name in (string split -- ' ' $part[3])
                    contains -- $name $seen; and set given 1
                end
                if test $stop = 0 -a $given = 0
                    printf '%s\\t'(string replace -a % %% -- $part[5])'\\n' (string split -- ' ' $part[2])
                end
        end
    end
end

complete -c tcpx -f -a '(__tcpx)'
`;

/** The script: to be sourced, or to be found as tcpx.fish. */
export function fishScript(root: Node): string {
  const cases = askedNodes(root).map(nodeCase).join("\n");
  return `# fish completion for tcpx, written by \`tcpx completion fish\`

# __tcpx_node 'uto set': what may stand behind these words, one line each: a command (c), a word (p),
# a flag (f: offered, all spellings, value, description), or another program behind -- (r)
function __tcpx_node
    switch "$argv[1]"
${cases}
        case '*'
            return 1
    end
end
${FUNCTIONS}`;
}
