/** Every parser of src/rtp under broken input: `bun test/fuzz/rtp.ts [inputs each] [seed]`. */
import { main } from "./fuzz.ts";
import { rtpTargets } from "./targets.ts";

if (import.meta.main) main(rtpTargets());
