// SPDX-License-Identifier: MIT

/** "1 rule", "2 rules". @param noun one whose plural ends with s */
export const counted = (count: number, noun: string): string => `${count} ${noun}${count === 1 ? "" : "s"}`;
