import { Exit } from "../errors.ts";
import { leaf } from "./types.ts";
export const doctor = leaf({
  summary: "",
  args: {},
  async run() {
    return Exit.FAILED;
  },
});
