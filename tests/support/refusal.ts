// SPDX-License-Identifier: MIT
// What is refused, and how.
import { TcpxError } from "../../cli/base/errors.ts";

/** What the action is refused with. @throws Error when it is not */
export function refusal(action: () => unknown): TcpxError {
  try {
    action();
  } catch (error) {
    if (error instanceof TcpxError) return error;
    throw error;
  }
  throw new Error("was not refused");
}
