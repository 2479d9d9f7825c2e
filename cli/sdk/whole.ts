// SPDX-License-Identifier: MIT
// A whole program, loaded on the host of the trial as `tcpx ext load` does.

import { Exit, type ExitCode, TcpxError } from "../base/errors.ts";
import { childEnvironment } from "../system/child.ts";
import { self } from "../system/self.ts";

export interface Loaded {
  /** As it is called there: a congestion control's name in the kernel. */
  name: string;
  kind: string;
}

interface Said {
  error?: { code: number; what: string; hint: string | null };
  loaded?: Loaded;
}

/** Loads an object for all of that host. @throws TcpxError with what `ext load` has said */
export async function loadProgram(object: string): Promise<Loaded> {
  const argv = [...self(), "ext", "load", object, "--json"];
  const child = Bun.spawn(argv, {
    env: childEnvironment(),
    stdin: "ignore",
    stdout: "pipe",
    stderr: "ignore",
  });
  const [out] = await Promise.all([child.stdout.text(), child.exited]);
  const { loaded, error } = JSON.parse(out || "{}") as Said;
  if (loaded) return loaded;
  const { code = Exit.FAILED, what = "it was not loaded", hint } = error ?? {};
  throw new TcpxError(code as ExitCode, what, hint ? { hint } : {});
}
