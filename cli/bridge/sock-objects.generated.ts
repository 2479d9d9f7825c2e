// Generated from embedded-bpf/extensions.def by `bun run build`. Do not edit.


/** Objects with programs of other types than sock_ops, by the extension's name. */
export const SOCK_OBJECTS = {} as unknown as Record<string, string | undefined>;
