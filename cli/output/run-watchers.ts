// SPDX-License-Identifier: MIT

/** Pids that a line names. */
const MOST_NAMED = 4;

/** Watchers that are left, as text. */
export function watchersText(pids: readonly number[]): string {
  const more = pids.length > MOST_NAMED ? ` and ${pids.length - MOST_NAMED} more` : "";
  return `${pids.length} watcher(s) of a \`tcpx run\` whose cgroup is gone (pid ${pids.slice(0, MOST_NAMED).join(", ")}${more})`;
}
