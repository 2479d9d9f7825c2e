// SPDX-License-Identifier: MIT
// Manifests of the extensions whose sources are in slots/, as their authors would write them.

/** A local setting. */
export const PACE = `schema = 1
api = 1
name = "pace"
version = "1.0.0"
summary = "Paces connections at a rate"
title = "SO_MAX_PACING_RATE, socket(7)"
author = "A. N. Author"
license = "MIT"

[values.rate]
type = "rate"
text = "The most that each connection sends"
range = ["64k", "10G"]

[verbs.set]
kind = "local"
summary = "Pace connections at RATE"
word = "rate"
says = "{rate}"
force = true
examples = [["set 10M --to 192.0.2.0/24", "Pace those connections"]]
notes = ["What the application sets itself comes later, and holds."]
`;

/** A request and its answer. */
export const GRADE = `schema = 1
api = 1
name = "grade"
version = "0.2.0"
summary = "A client asks for a priority of what the server sends"
title = "SO_PRIORITY, socket(7)"

[request]
ask = 0x7d00
answer = 0x7d01
refused = 0xffff
value = "priority"

[values.priority]
type = "integer"
text = "The priority"
range = [0, 6]
word = 0

[verbs.set]
kind = "ask"
summary = "Ask for the priority N"
word = "priority"
or-local = true
examples = [["set 6 --to 192.0.2.0/24", "Ask those servers"], ["set 6 --local", "Ask nobody"]]

[verbs.accept]
kind = "accept"
summary = "Grant what clients ask for, up to a limit"
flags = ["priority"]
says = "<= {priority}"
examples = [["accept --priority 4", "4 at most"], ["accept none --from 10.0.0.0/8", "These get nothing"]]
`;

/** An option of its own, and every type of value. */
export const EVERY = `schema = 1
api = 1
name = "every"
version = "1.2.3-rc.1"
summary = "Every type of value"
title = "No standard"
state-version = 2

[option]
kind = 77
length = [2, 6]
syn-ack = "reply"
value = "count"

[values.count]
type = "integer"
text = "How many"
unit = "segments"
range = [1, 1024]

[values.idle]
type = "duration"
text = "How long"
range = ["1ms", "24h"]
default = "30s"

[values.gap]
type = "duration"
unit = "us"
text = "How long between two"
range = ["1us", "10s"]
default = "1500us"

[values.rate]
type = "rate"
text = "How fast"
default = "1M"

[values.room]
type = "bytes"
text = "How much"
range = ["1k", "1G"]
default = "64k"

[values.mode]
type = "choice"
text = "How"
choices = { fast = 1, slow = 7 }
default = "fast"

[values.loud]
type = "switch"
text = "Say so"

[verbs.set]
kind = "local"
summary = "Set all of it"
word = "count"
flags = ["idle", "gap", "rate", "room", "mode", "loud"]
force = true
live = true
examples = [["set 5 --idle 1min --gap 20us --rate 5M --room 2k --mode slow --loud --force", "All of it"]]

[verbs.accept]
summary = "Let peers have it"
flags = ["room", "loud"]
examples = [["accept --room 1M", "A lot"], ["accept none --from 10.0.0.0/8", "Not these"]]
`;
