// SPDX-License-Identifier: MIT
// What can go wrong, as an exit code, a sentence, the offending value and the next action.

/** Exit codes, as documented in the README. */
export const Exit = {
  DONE: 0,
  FAILED: 1,
  USAGE: 2,
  /** This kernel or host cannot do it; a foreign program that blocks the attach point, too. */
  UNSUPPORTED: 3,
  PERMISSION: 4,
  BUSY: 5,
} as const;

/** Of `tcpx run`, as env(1) has them: below these the codes are the command's own. */
export const RunExit = {
  /** tcpx failed; the command did not start. */
  FAILED: 125,
  /** The command was found and cannot be executed. */
  DENIED: 126,
  MISSING: 127,
} as const;

export type ExitCode = (typeof Exit)[keyof typeof Exit] | (typeof RunExit)[keyof typeof RunExit];

/** A process that keeps others waiting. */
export interface Holder {
  pid: number;
  /** As it was started, cut to a length that fits into a message. */
  command: string;
  /** traced: stopped by a debugger; frozen: its cgroup is, as in a paused container. */
  state: "running" | "stopped" | "traced" | "frozen";
}

export interface ErrorDetails {
  /** The offending value as the user wrote it. */
  value?: string;
  /** What is accepted, or what to do next. */
  hint?: string;
  /** The process's exit code where it is not `code`. */
  exit?: ExitCode;
  /** Where in a file it is; the message says so, too. */
  place?: FilePlace;
  /** What was named may come to be: waiting for it makes sense. */
  absent?: boolean;
  /** Who has the lock that was waited for; null: that cannot be seen. */
  holder?: Holder | null;
  /** What else is wrong, and how much more that is not told. */
  others?: readonly TcpxError[];
  more?: number;
  cause?: unknown;
}

export interface FilePlace {
  file: string;
  line: number;
  /** From 1 on, where it is known. */
  column?: number;
  /** As `scope[0].uto[1].min`; "" for the file itself. */
  key: string;
}

/** An error that is shown to the user as one line. */
export class TcpxError extends Error {
  readonly code: ExitCode;
  readonly value: string | undefined;
  readonly hint: string | undefined;
  /** The process's exit code where it is not `code`. */
  exit: ExitCode | undefined;
  readonly place: FilePlace | undefined;
  readonly absent: boolean;
  readonly holder: Holder | null | undefined;
  readonly others: readonly TcpxError[];
  readonly more: number;

  constructor(code: ExitCode, what: string, details: ErrorDetails = {}) {
    super(what, { cause: details.cause });
    this.name = "TcpxError";
    this.code = code;
    this.value = details.value;
    this.hint = details.hint;
    this.exit = details.exit;
    this.place = details.place;
    this.absent = details.absent ?? false;
    this.holder = details.holder;
    this.others = details.others ?? [];
    this.more = details.more ?? 0;
  }

  /** This error, and others that are told with it. */
  together(others: readonly TcpxError[], more: number): TcpxError {
    const { code, message, value, hint, place, cause } = this;
    return new TcpxError(code, message, {
      ...(value !== undefined && { value }),
      ...(hint !== undefined && { hint }),
      ...(place && { place }),
      others,
      more,
      cause,
    });
  }
}

/** What a usage error names is not there, and may come to be: a cgroup, a unit that does not run. */
export function absentError(what: string, value: string | undefined, hint: string): TcpxError {
  return new TcpxError(Exit.USAGE, what, { ...(value !== undefined && { value }), hint, absent: true });
}

/** A mistake on the command line: names the flag, the value and what is accepted. */
export function usageError(what: string, value?: string, hint?: string): TcpxError {
  return new TcpxError(Exit.USAGE, what, {
    ...(value !== undefined ? { value } : {}),
    ...(hint !== undefined ? { hint } : {}),
  });
}
