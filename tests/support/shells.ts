// SPDX-License-Identifier: MIT
// What real shells offer at the end of a line: the words that TAB would give.
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

export type Shell = "bash" | "zsh" | "fish";

/** The script of tcpx for this shell. */
export const scriptFor = (shell: Shell): string =>
  readFileSync(join(import.meta.dir, `../../cli/completion/tcpx.${shell}`), "utf8");

/** Asks bash as readline does: the line split at its word breaks, too. */
const BASH = `
shopt -s progcomp
while IFS= read -r COMP_LINE; do
  COMP_POINT=\${#COMP_LINE}
  read -ra COMP_WORDS <<<"$(sed -E 's/[=:]+/ & /g' <<<"$COMP_LINE")"
  [[ $COMP_LINE != *' ' ]] || COMP_WORDS+=('')
  COMP_CWORD=$((\${#COMP_WORDS[@]} - 1)) COMPREPLY=()
  _tcpx tcpx "\${COMP_WORDS[COMP_CWORD]}" "\${COMP_WORDS[COMP_CWORD - 1]}"
  for word in "\${COMPREPLY[@]}"; do printf '%s\\n' "$word"; done
  echo '#end'
done <"$1"`;

const FISH = `
while read -l line
  complete -C"$line" | string replace -r '\\t.*' ''
  echo '#end'
end <lines`;

/** In the completion system itself compadd is what names the words; it is told to write them down. */
const ZSHRC = `
PROMPT='READY>' RPROMPT=''
setopt no_auto_list no_beep
autoload -Uz compinit; compinit -D -u
source ./script
compadd() {
  if [[ " \${@[1,(i)(-|--)]} " == *\\ -(O|A|D)\\ * ]]; then builtin compadd "$@"; return; fi
  typeset -a hits
  builtin compadd -A hits "$@"
  local hit
  for hit in $hits; do print -r -- "$hit" >>hits; done
  builtin compadd "$@"
}
tab() { zle complete-word; print -r -- '#end' >>hits }
zle -N tab
bindkey '^I' tab
bindkey '^U' kill-whole-line`;

const ZSH = `
zmodload zsh/zpty zsh/zselect
export ZDOTDIR=$PWD
: >hits
zpty -b z zsh -d -i
wait_for() {
  repeat 500; do
    zpty -r -t z out && seen+=$out
    eval "$1" && return
    zselect -t 2
  done
  print -ru2 -- "zsh does not answer: $seen"
  exit 1
}
wait_for '[[ $seen == *READY* ]]'
integer n=0
while IFS= read -r line; do
  (( ++n ))
  zpty -w -n z $'\\x15'"$line"$'\\t'
  wait_for '(( $(grep -cx "#end" hits) >= n ))'
done <lines
zpty -d z
cat hits`;

const ARGV: Record<Shell, (dir: string) => string[]> = {
  bash: (dir) => ["bash", "--norc", "-c", `source ./script; ${BASH}`, "bash", join(dir, "lines")],
  zsh: () => ["zsh", "-f", "-c", ZSH],
  fish: () => ["fish", "-c", `source ./script; ${FISH}`],
};

/**
 * What the shell offers for each line, with the cursor at its end.
 * @param programs to be found on the PATH: name and shell text
 */
export async function offered(
  shell: Shell,
  script: string,
  lines: string[],
  programs: Record<string, string> = {},
): Promise<string[][]> {
  const dir = mkdtempSync(join(tmpdir(), "tcpx-shell-"));
  try {
    writeFileSync(join(dir, "script"), script);
    writeFileSync(join(dir, ".zshrc"), ZSHRC);
    writeFileSync(join(dir, "lines"), lines.map((line) => `${line}\n`).join(""));
    for (const [name, text] of Object.entries(programs)) {
      writeFileSync(join(dir, name), `#!/bin/sh\n${text}\n`);
      chmodSync(join(dir, name), 0o755);
    }
    const env = {
      ...process.env,
      PATH: `${dir}:${process.env.PATH}`,
      HOME: dir,
      XDG_CONFIG_HOME: undefined,
      XDG_DATA_HOME: undefined,
      LC_ALL: "C.UTF-8",
      TERM: "xterm",
    };
    const child = Bun.spawn(ARGV[shell](dir), {
      cwd: dir,
      env,
      stdin: "ignore",
      stdout: "pipe",
      stderr: "pipe",
    });
    const [out, err, code] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
    if (code !== 0 || err !== "") throw new Error(`${shell} ended with ${code}: ${err}`);
    const blocks = out.split(/^#end\n/m).slice(0, -1);
    return blocks.map((block) => [...new Set(block.split("\n").filter(Boolean))].sort());
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}
