// SPDX-License-Identifier: MIT
// A whole program, loaded on the host of the trial as `tcpx ext load` does.

import { Exit, TcpxError } from "../base/errors.ts";
import { childEnvironment } from "../system/child.ts";
import { self } from "../system/self.ts";

/** Loads a congestion control; its name in the kernel. @throws TcpxError with what `ext load` has said */
export async function loadControl(object: string): Promise<string> {
  const argv = [...self(), "ext", "load", object, "--json"];
  const child = Bun.spawn(argv, { env: childEnvironment(), stdin: "ignore", stdout: "pipe", stderr: "pipe" });
  const [out, code] = await Promise.all([child.stdout.text(), child.exited]);
  const said = JSON.parse(out || "{}") as { error?: { what: string; hint?: string }; control?: string };
  if (code === 0 && said.control !== undefined) return said.control;
  const { what = "it was not loaded", hint } = said.error ?? {};
  throw new TcpxError(Exit.FAILED, what, hint ? { hint } : {});
}
