# fish completion for tcpx, written by `tcpx completion fish`
# SPDX-License-Identifier: MIT
# tcpx itself says what may stand at the cursor: cli/completion/answer.ts. For fish 3 and newer.

function __tcpx
    set -l words (commandline -cpo)
    while set -q words[1]; and not string match -q -r '(^|/)tcpx$' -- $words[1]
        set -e words[1]
    end
    set -l program tcpx
    string match -q '*/*' -- $words[1]; and test -x $words[1]; and set program $words[1]
    set -e words[1]
    # without its quotes, which may not be closed yet
    set -l typed (commandline -ct)
    for end in '' "'" '"'
        set -l plain (string unescape -- "$typed$end" 2>/dev/null); and set typed $plain; and break
    end
    set -l word
    set -l head
    for line in ($program internal-complete -- fish "$typed" $words 2>/dev/null </dev/null)
        set -l rest (string sub -s 3 -- $line)
        switch $line
            case 'h *'
                set head $rest
            case 'w *' 'p *'
                set word "$head$rest"
            case 't *'
                printf '%s\t%s\n' $word $rest
            case 'f*'
                string replace -r '^' -- "$head" (__fish_complete_path (string replace -- "$head" '' $typed) '')
            case 'd*'
                string replace -r '^' -- "$head" (__fish_complete_directories (string replace -- "$head" '' $typed) '')
            case 'c *'
                set -l line (string join -- ' ' (string escape -- $words[$rest..-1]) (commandline -ct))
                complete -C"$line"
        end
    end
end

complete -c tcpx -f -a '(__tcpx)'
