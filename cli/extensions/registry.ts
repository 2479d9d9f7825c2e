// SPDX-License-Identifier: MIT
// The registry: one line per extension. Their order is that of their ids.

export { ack } from "./ack.ts";
export { ccRequest } from "./cc-request.ts";
export { iw } from "./iw.ts";
export { uto } from "./uto.ts";
