// SPDX-License-Identifier: MIT
// What the verifier has said, as one line. Pure.

/** Counts and states that end a log, and libbpf's frame around it. */
const NOISE = /^(?:processed \d+ insns|verification time|stack depth|libbpf: |-- (?:BEGIN|END) PROG LOAD LOG|\d+: |R\d+[_=]|arg#|func#|mark_precise|from \d+)/;

/** The line of the source that it stopped at, and what was wrong there; "" where it has said nothing. */
export function verifierReason(log: readonly string[]): string {
  const lines = log.map((line) => line.trim()).filter(Boolean);
  const why = lines.findLast((line) => !line.startsWith(";") && !NOISE.test(line));
  const at = why === undefined ? -1 : lines.lastIndexOf(why);
  const source = lines.slice(0, Math.max(at, 0)).findLast((line) => line.startsWith(";"));
  const own = lines.findLast((line) => line.startsWith("libbpf: "))?.replace(/^libbpf: /, "");
  if (why === undefined) return own ?? "";
  return source ? `${why} (at: ${source.replace(/^;\s*/, "")})` : why;
}
