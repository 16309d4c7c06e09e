/** A puller process: one source, read by libav (ingest/av-process.ts). */
import { runAvProcess } from "../ingest/av-process.ts";

if (import.meta.main) runAvProcess();
