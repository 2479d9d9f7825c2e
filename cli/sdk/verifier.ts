// SPDX-License-Identifier: MIT
// Where in the source the verifier has stopped.

import { Exit, TcpxError } from "../base/errors.ts";
import { takenLog } from "../bridge/bridge.ts";

const SOURCE = /^\s*; (.*?)(?: @ (\S+):(\d+))?$/;
/** What is about the program as a whole, or about states. */
const NOISE =
  /^(?:processed \d+|verification time|stack depth|libbpf: |-- |\d+: |R\d+[_=]|mark_precise|from \d+|func#|arg#|Func#|Validating |max_states|\s*$|;)/;

/** "tag.bpf.c:12: tcpx_set_word(...): invalid mem access"; undefined: the log tells nothing. Pure. */
export function refusedAt(log: readonly string[]): string | undefined {
  const why = log.findLastIndex((line) => !NOISE.test(line.trimStart()) && !SOURCE.test(line));
  if (why < 0) return undefined;
  const at = log.slice(0, why).findLastIndex((line) => SOURCE.test(line));
  const [, text = "", file, line] = SOURCE.exec(log[at] ?? "") ?? [];
  const place = file === undefined ? "" : `${file}:${line}: `;
  return `${place}${text === "" ? "" : `\`${text.trim()}\`: `}${log[why]!.trim()}`;
}

/** Has the kernel's refusal say which line of the source it is about. */
export async function withSourceLine<T>(action: () => Promise<T>): Promise<T> {
  try {
    return await action();
  } catch (error) {
    if (!(error instanceof TcpxError) || error.code !== Exit.UNSUPPORTED) throw error;
    const where = refusedAt(await takenLog());
    if (where === undefined) throw error;
    throw new TcpxError(error.code, `${error.message}: ${where}`, {
      ...(error.hint !== undefined && { hint: error.hint }),
      cause: error,
    });
  }
}
