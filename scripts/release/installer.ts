// SPDX-License-Identifier: MIT
// install.sh as it is published: it knows where the releases are.

const PLACE = "\tRELEASES_URL=''\n";

/** Characters that mean nothing to a shell between single quotes, nor to a person who reads the script. */
const PLAIN_URL = /^https?:\/\/[A-Za-z0-9._~:/%+@-]+$/;

export function withReleasesUrl(script: string, url: string): string {
  if (!PLAIN_URL.test(url)) throw new Error(`--base-url wants a plain http:// or https:// URL, not ${url}`);
  if (script.split(PLACE).length !== 2)
    throw new Error("install.sh has no place for the URL of the releases");
  return script.replace(PLACE, `\tRELEASES_URL='${url.replace(/\/+$/, "")}'\n`);
}
