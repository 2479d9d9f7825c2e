import { Exit } from "../errors.ts";
import { leaf } from "./types.ts";
export const internalPeer = leaf({
  summary: "",
  args: {},
  async run() {
    return Exit.FAILED;
  },
});
