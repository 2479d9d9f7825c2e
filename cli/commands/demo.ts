import { Exit } from "../errors.ts";
import { leaf } from "./types.ts";
export const demo = leaf({
  summary: "",
  args: {},
  async run() {
    return Exit.FAILED;
  },
});
