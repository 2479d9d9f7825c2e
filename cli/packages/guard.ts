// SPDX-License-Identifier: MIT
// What an object of others does that verifiers allow, and that harms connections or other programs: looked for in its
// code before it is loaded. It is a heuristic against mistakes, and no fence: what is computed or comes from memory is
// not seen (docs/security.md).
//
// Here, and not in C beside the linker: what others have made is read in a language in which a wrong bound throws.

import { availableParallelism } from "node:os";
import { Exit, TcpxError } from "../base/errors.ts";
import { type Btf, btfOf, lineAt, linesOf, placeOf, type SourceLine } from "../objects/btf.ts";
import { type ElfObject, ObjectError, readElf } from "../objects/elf.ts";
import { type Code, codeOf, type HelperCall, type Known, keyOf } from "../objects/instructions.ts";
import { mapProblems } from "./guard-maps.ts";

const Helper = { SETSOCKOPT: 49, CB_FLAGS_SET: 59, LOAD: 142, STORE: 143, RESERVE: 144 };
const OPTION_CALLS: Record<number, string> = {
  [Helper.LOAD]: "bpf_load_hdr_opt()",
  [Helper.STORE]: "bpf_store_hdr_opt()",
  [Helper.RESERVE]: "bpf_reserve_hdr_opt()",
};
const [IPPROTO_TCP, TCP_NODELAY] = [6, 1];
/** BPF_SOCK_OPS_PARSE_HDR_OPT_CB, HDR_OPT_LEN_CB, WRITE_HDR_OPT_CB */
const HEADER_OPS = [13, 14, 15];
const HOOK = "tcpx1_slot0_";
const PROBLEMS_MOST = 20;

/** Is it linked into a program of ours, or a sock_ops program or a congestion control of its own? */
export type GuardedAs = "extension" | "program" | "congestion";

/** What a name of an object may be in a message: it is others' text. */
const named = (name: string) => name.replaceAll(/[^\w.$-]/g, "?").slice(0, 64) || "?";

const functionName = (name: string) =>
  name.startsWith(HOOK) ? `hook ${named(name.slice(HOOK.length))}` : `${named(name)}()`;

const isNodelay = ({ helper, registers: r }: HelperCall) =>
  helper === Helper.SETSOCKOPT && r[2] === IPPROTO_TCP && r[3] === TCP_NODELAY;

/** It is called in a callback for header options, or looks for one. */
const hasHeaders = ({ ops, calls }: Code) =>
  HEADER_OPS.some((op) => ops.has(op)) ||
  calls.some(({ helper }) => helper === Helper.STORE || helper === Helper.RESERVE);

/** What a function calls, itself included. */
function reached(from: Code, all: ReadonlyMap<string, Code>): Code[] {
  const found = new Set([from]);
  for (const code of found)
    for (const key of code.callees) {
      const callee = all.get(key);
      if (callee) found.add(callee);
    }
  return [...found];
}

const NODELAY = "TCP sends at once then, which asks for header options again, without an end";

function extensionProblem(call: HelperCall): string | undefined {
  if (isNodelay(call)) return `sets TCP_NODELAY: ${NODELAY}; leave it to applications`;
  if (call.helper === Helper.CB_FLAGS_SET)
    return "sets the callback flags, which all programs of a connection share: use tcpx_want() and tcpx_done()";
  const option = OPTION_CALLS[call.helper];
  if (option)
    return `calls ${option}, and the space for options has one owner: use tcpx_put8() and tcpx_get8() in hooks`;
  return undefined;
}

function maskProblem({ helper, registers }: HelperCall): string | undefined {
  const flags: Known = registers[2];
  if (helper !== Helper.CB_FLAGS_SET || typeof flags !== "number") return undefined;
  return (
    `overwrites the callback flags of other programs with 0x${(flags >>> 0).toString(16)}: ` +
    "set ctx->bpf_sock_ops_cb_flags with yours added or taken away"
  );
}

class Guard {
  private readonly code: Code[];
  private readonly byKey: ReadonlyMap<string, Code>;
  private readonly lines: ReadonlyMap<string, SourceLine[]>;

  constructor(elf: ElfObject, btf: Btf) {
    this.code = codeOf(elf);
    this.byKey = new Map(this.code.map((code) => [keyOf(code), code]));
    this.lines = linesOf(elf, btf);
  }

  private said(code: Code, call: HelperCall, what: string): string {
    const line = lineAt(this.lines.get(call.section.name), call.at);
    const place = line ? `${placeOf(line)}: ` : "";
    return `${place}${functionName(code.name)} ${what}`;
  }

  private all(of: readonly Code[], problem: (call: HelperCall) => string | undefined): string[] {
    return of.flatMap((code) =>
      code.calls.flatMap((call) => {
        const what = problem(call);
        return what === undefined ? [] : this.said(code, call, what);
      }),
    );
  }

  extension = (): string[] => this.all(this.code, extensionProblem);

  /** Each function of a section that is not .text is a program. */
  programs(): string[] {
    const nodelay = this.code
      .filter(({ section }) => section.name !== ".text")
      .map((program) => reached(program, this.byKey))
      .filter((codes) => codes.some(hasHeaders))
      .flatMap((codes) =>
        this.all(codes, (call) =>
          isNodelay(call)
            ? `sets TCP_NODELAY in a program that has callbacks for header options: ${NODELAY}; leave it out, or to a program without them`
            : undefined,
        ),
      );
    return [...nodelay, ...this.all(this.code, maskProblem)];
  }

  /** The kernel is within a function of it while it is called: what sends from there comes back to it. */
  control = (): string[] =>
    this.all(this.code, (call) =>
      isNodelay(call)
        ? "sets TCP_NODELAY in a congestion control: TCP sends at once then, which calls it again, without an end; leave it to applications"
        : undefined,
    );

  as(kind: GuardedAs): string[] {
    if (kind === "extension") return this.extension();
    return kind === "congestion" ? this.control() : this.programs();
  }

  isExtension = (): boolean => this.code.some(({ name }) => name.startsWith(HOOK));
}

/**
 * What speaks against loading an object, as far as its code shows it: a line each, with the function, the line of the
 * source, and what to do instead. It is for any bytes: those that cannot be read are one problem.
 */
export function guardProblems(
  object: Uint8Array,
  as?: GuardedAs,
  cpus: number = availableParallelism(),
): string[] {
  try {
    const elf = readElf(object);
    const btf = btfOf(elf);
    const guard = new Guard(elf, btf);
    const problems = guard.as(as ?? (guard.isExtension() ? "extension" : "program"));
    return [...new Set([...problems, ...mapProblems(elf, btf, cpus, named)])].slice(0, PROBLEMS_MOST);
  } catch (error) {
    if (!(error instanceof ObjectError)) throw error;
    return [`it ${error.message}`];
  }
}

/** @throws TcpxError (failed) when something speaks against loading it @param what for people: "extension pace" */
export function guarded(what: string, object: Uint8Array, as?: GuardedAs): void {
  const [first, ...others] = guardProblems(object, as);
  if (first === undefined) return;
  const error = (problem: string) => new TcpxError(Exit.FAILED, `${what}: ${problem}`, { value: what });
  throw new TcpxError(Exit.FAILED, `${what}: ${first}`, {
    value: what,
    others: others.map(error),
    hint: "tcpx looks for this in the code, as far as it shows it: docs/security.md",
  });
}
