// SPDX-License-Identifier: MIT
// Between two requests the agent only waits, in threads without JavaScript: it gives back what the last one took.

import type { Bridge } from "../bridge/bridge.ts";

/** After the last request; whoever asks more often meets a process that has everything at hand. */
const QUIET_MS = 2000;

export class Rest {
  private timer: Timer | undefined;

  constructor(private readonly lib: Bridge) {}

  /** A request was answered. */
  soon(): void {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.now(), QUIET_MS);
    this.timer.unref();
  }

  private now(): void {
    Bun.gc(true); // the runtime's own timer for it is off (runtime-env.ts)
    this.lib.tcpx_leave_file_pages();
  }

  end(): void {
    clearTimeout(this.timer);
  }
}
