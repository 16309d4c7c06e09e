/**
 * `/metrics` for Prometheus. One table says what there is; docs/metrics.md is generated from it.
 *
 * @module
 */
import { Counter, Gauge, Registry } from "prom-client";
import type { Camera } from "../cameras/cameras.ts";
import type { Hub } from "./hub.ts";

/** A reading: labels in the order of the metric's label names, then the value. */
type Reading = readonly [labels: readonly string[], value: number];

interface Metric {
  readonly name: string;
  readonly help: string;
  /** Counters only grow, and start over with the process that counts. */
  readonly kind: "gauge" | "counter";
  readonly labels: readonly string[];
  readonly read: (hub: Hub) => Iterable<Reading>;
}

/** One reading per camera for which `value` is known. */
function perCamera(
  value: (camera: Camera, hub: Hub) => number | null | undefined,
): (hub: Hub) => Reading[] {
  return (hub) =>
    hub.cameras.list().flatMap((camera): Reading[] => {
      const known = value(camera, hub);
      return known === null || known === undefined ? [] : [[[camera.id], known]];
    });
}

/** One reading per child process and the hub. */
function perProcess(
  value: (stats: NonNullable<ReturnType<Hub["vitals"]["processes"]["get"]>>) => number,
): (hub: Hub) => Reading[] {
  return (hub) => [...hub.vitals.processes].map(([name, stats]): Reading => [[name], value(stats)]);
}

const CAMERA = ["camera"] as const;
const PROCESS = ["process"] as const;

/** Everything that the hub measures. */
export const METRICS: readonly Metric[] = [
  {
    name: "onepull_camera_up",
    help: "1 while the camera is live, else 0.",
    kind: "gauge",
    labels: CAMERA,
    read: perCamera(({ state }) => (state.at === "live" ? 1 : 0)),
  },
  {
    name: "onepull_camera_fps",
    help: "Pictures per second that arrive, over the last seconds.",
    kind: "gauge",
    labels: CAMERA,
    read: perCamera(({ id }, { vitals }) => vitals.stream(id, "main")?.rates.framesPerSecond),
  },
  {
    name: "onepull_camera_bitrate_bps",
    help: "Bits per second that arrive, over the last seconds.",
    kind: "gauge",
    labels: CAMERA,
    read: perCamera(({ id }, { vitals }) => vitals.stream(id, "main")?.rates.bitsPerSecond),
  },
  {
    name: "onepull_camera_packets_total",
    help: "RTP packets received.",
    kind: "counter",
    labels: CAMERA,
    read: perCamera(({ id }, { vitals }) => vitals.stream(id, "main")?.stats.video?.packets),
  },
  {
    name: "onepull_camera_bytes_total",
    help: "RTP bytes received.",
    kind: "counter",
    labels: CAMERA,
    read: perCamera(({ id }, { vitals }) => vitals.stream(id, "main")?.stats.video?.bytes),
  },
  {
    name: "onepull_camera_lost_packets_total",
    help: "RTP packets missing by sequence number.",
    kind: "counter",
    labels: CAMERA,
    read: perCamera(({ id }, { vitals }) => vitals.stream(id, "main")?.stats.video?.lost),
  },
  {
    name: "onepull_camera_damaged_frames_total",
    help: "Pictures that lost packets on the way to the hub.",
    kind: "counter",
    labels: CAMERA,
    read: perCamera(({ id }, { vitals }) => vitals.stream(id, "main")?.stats.video?.damagedUnits),
  },
  {
    name: "onepull_camera_reconnects_total",
    help: "Connections opened to the camera after the first.",
    kind: "counter",
    labels: CAMERA,
    read: perCamera(({ id }, { vitals }) => vitals.stream(id, "main")?.stats.reconnects),
  },
  {
    name: "onepull_camera_ring_bytes",
    help: "Memory of the camera's packet ring.",
    kind: "gauge",
    labels: CAMERA,
    read: perCamera(({ id }, { vitals }) => vitals.stream(id, "main")?.stats.video?.ringBytes),
  },
  {
    name: "onepull_camera_clock_offset_seconds",
    help: "The camera's wall clock minus the hub's at arrival, by its sender reports.",
    kind: "gauge",
    labels: CAMERA,
    read: perCamera(({ id }, { vitals }) => {
      const offsetMs = vitals.stream(id, "main")?.stats.video?.clock?.cameraOffsetMs ?? null;
      return offsetMs === null ? null : offsetMs / 1000;
    }),
  },
  {
    name: "onepull_camera_clock_steps_total",
    help: "How often the camera's wall clock was set while it was pulled.",
    kind: "counter",
    labels: CAMERA,
    read: perCamera(
      ({ id }, { vitals }) => vitals.stream(id, "main")?.stats.video?.clock?.cameraSteps,
    ),
  },
  {
    name: "onepull_camera_ignored_reports_total",
    help: "Sender reports that could not be right.",
    kind: "counter",
    labels: CAMERA,
    read: perCamera(
      ({ id }, { vitals }) => vitals.stream(id, "main")?.stats.video?.clock?.ignoredReports,
    ),
  },
  {
    name: "onepull_camera_viewers",
    help: "WHEP sessions of the camera.",
    kind: "gauge",
    labels: CAMERA,
    read: perCamera(({ id }, { vitals }) => vitals.viewersOf(id).length),
  },
  {
    name: "onepull_rtsp_readers",
    help: "Sessions of the hub's RTSP server that are sent the camera.",
    kind: "gauge",
    labels: CAMERA,
    read: perCamera(({ id }, { vitals }) => vitals.readersOf(id).readers),
  },
  {
    name: "onepull_rtsp_bytes_total",
    help: "Payload bytes sent to readers of the RTSP server.",
    kind: "counter",
    labels: CAMERA,
    read: perCamera(({ id }, { vitals }) => vitals.readersOf(id).bytes),
  },
  {
    name: "onepull_rtsp_dropped_units_total",
    help: "Access units that slow readers of the RTSP server did not get, each reader's counted.",
    kind: "counter",
    labels: CAMERA,
    read: perCamera(({ id }, { vitals }) => vitals.readersOf(id).droppedUnits),
  },
  {
    name: "onepull_transcode_cpu_cores",
    help: "Processor cores that transcoding the camera takes, over the last second.",
    kind: "gauge",
    labels: CAMERA,
    read: perCamera(({ id }, { vitals }) =>
      vitals.transcodingOf(id).reduce((sum, { cpuShare }) => sum + cpuShare, 0),
    ),
  },
  {
    name: "onepull_transcode_restarts_total",
    help: "Transcoding processes that ended by themselves and were started again.",
    kind: "counter",
    labels: CAMERA,
    read: perCamera(({ id }, { vitals }) =>
      vitals.transcodingOf(id).reduce((sum, { restarts }) => sum + restarts, 0),
    ),
  },
  {
    name: "onepull_framebus_subscribers",
    help: "Frame bus subscriptions by topic.",
    kind: "gauge",
    labels: ["camera", "topic"],
    read: (hub) =>
      hub.cameras
        .list()
        .flatMap(({ id }) =>
          hub.vitals
            .topicsOf(id)
            .map(({ topic, subscribers }): Reading => [[id, topic], subscribers]),
        ),
  },
  {
    name: "onepull_framebus_sent_total",
    help: "Frame bus messages sent by topic, whatever the number of subscribers.",
    kind: "counter",
    labels: ["camera", "topic"],
    read: (hub) =>
      hub.cameras
        .list()
        .flatMap(({ id }) =>
          hub.vitals.topicsOf(id).map(({ topic, sent }): Reading => [[id, topic], sent]),
        ),
  },
  {
    name: "onepull_decode_frames_total",
    help: "Pictures decoded.",
    kind: "counter",
    labels: CAMERA,
    read: perCamera(({ id }, { vitals }) => vitals.decoderOf(id)?.decoded),
  },
  {
    name: "onepull_decode_dropped_total",
    help: "Pictures not delivered to the frame bus, by cause.",
    kind: "counter",
    labels: ["camera", "cause"],
    read: (hub) =>
      hub.cameras
        .list()
        .flatMap(({ id }) =>
          Object.entries(hub.vitals.decoderOf(id)?.dropped ?? {}).map(
            ([cause, count]): Reading => [[id, cause], count],
          ),
        ),
  },
  {
    name: "onepull_decode_seconds",
    help: "Decoding time of one picture, mean of the last second.",
    kind: "gauge",
    labels: CAMERA,
    read: perCamera(({ id }, { vitals }) => {
      const decoder = vitals.decoderOf(id);
      return decoder ? decoder.decodeMs.mean / 1000 : null;
    }),
  },
  {
    name: "onepull_decode_latency_seconds",
    help: "From the arrival of a picture's first packet to its pixels, mean of the last second.",
    kind: "gauge",
    labels: CAMERA,
    read: perCamera(({ id }, { vitals }) => {
      const decoder = vitals.decoderOf(id);
      return decoder ? decoder.latencyMs.mean / 1000 : null;
    }),
  },
  {
    name: "onepull_decode_degraded",
    help: "1 while decoding cannot keep up and skips pictures.",
    kind: "gauge",
    labels: CAMERA,
    read: perCamera(({ id }, { vitals }) => {
      const decoder = vitals.decoderOf(id);
      return decoder ? Number(decoder.degraded) : null;
    }),
  },
  ...egressMetrics(),
  {
    name: "onepull_bugs_total",
    help: "Broken assumptions of the hub's own; each ended one pull or one viewer. Worth a report.",
    kind: "counter",
    labels: [],
    read: ({ vitals }) => [[[], vitals.bugs]],
  },
  {
    name: "onepull_process_up",
    help: "1 while the process runs.",
    kind: "gauge",
    labels: PROCESS,
    read: (hub) => hub.processes().map(({ name, up }): Reading => [[name], Number(up)]),
  },
  {
    name: "onepull_process_restarts_total",
    help: "How often the process was started again.",
    kind: "counter",
    labels: PROCESS,
    read: (hub) => hub.processes().map(({ name, restarts }): Reading => [[name], restarts]),
  },
  {
    name: "onepull_process_cpu_seconds_total",
    help: "CPU time of the process, all threads.",
    kind: "counter",
    labels: PROCESS,
    read: perProcess(({ cpuMs }) => cpuMs / 1000),
  },
  {
    name: "onepull_process_resident_bytes",
    help: "Resident memory of the process.",
    kind: "gauge",
    labels: PROCESS,
    read: perProcess(({ rssBytes }) => rssBytes),
  },
  {
    name: "onepull_event_loop_lag_mean_seconds",
    help: "How late timers fired, mean of the last second.",
    kind: "gauge",
    labels: PROCESS,
    read: perProcess(({ lagMs }) => lagMs.mean / 1000),
  },
  {
    name: "onepull_event_loop_lag_max_seconds",
    help: "How late timers fired, worst of the last second.",
    kind: "gauge",
    labels: PROCESS,
    read: perProcess(({ lagMs }) => lagMs.max / 1000),
  },
  {
    name: "onepull_event_loop_lag_p99_seconds",
    help: "How late timers fired, 99th percentile of the last ten seconds.",
    kind: "gauge",
    labels: PROCESS,
    read: perProcess(({ lagMs }) => lagMs.p99 / 1000),
  },
];

/** What leaves for the viewers, over all cameras. */
function egressMetrics(): Metric[] {
  const counters = [
    ["packets", "packets", "SRTP packets sent to viewers."],
    ["bytes", "bytes", "SRTP bytes sent to viewers."],
    ["dropped", "dropped_packets", "SRTP packets that the system did not take, and that are lost."],
    ["refused", "refused_packets", "SRTP packets that a full send buffer delayed."],
    ["retransmitted", "retransmitted_packets", "Packets sent again after a NACK."],
    ["systemCalls", "system_calls", "Calls of the system that sent them."],
    ["handshakes", "handshakes", "DTLS handshakes completed."],
    ["handshakeFailures", "handshake_failures", "DTLS handshakes refused or given up."],
  ] as const;
  return counters.map(([field, name, help]) => ({
    name: `onepull_webrtc_${name}_total`,
    help,
    kind: "counter",
    labels: [],
    read: ({ vitals }) => (vitals.egress ? [[[], vitals.egress[field]]] : []),
  }));
}

/** Renders the table for one hub. */
export class HubMetrics {
  readonly #registry = new Registry();

  constructor(hub: Hub) {
    for (const metric of METRICS) this.#register(metric, hub);
  }

  get contentType(): string {
    return this.#registry.contentType;
  }

  /** The text exposition format. */
  text(): Promise<string> {
    return this.#registry.metrics();
  }

  #register(metric: Metric, hub: Hub): void {
    const { name, help, kind, labels, read } = metric;
    const common = { name, help, labelNames: [...labels], registers: [this.#registry] };
    const fill = (into: (labels: Record<string, string>, value: number) => void): void => {
      for (const [values, value] of read(hub)) {
        into(Object.fromEntries(labels.map((label, i) => [label, values[i] ?? ""])), value);
      }
    };
    if (kind === "gauge") {
      new Gauge({
        ...common,
        collect() {
          this.reset();
          fill((labelled, value) => this.set(labelled, value));
        },
      });
      return;
    }
    // The counting happens in the child processes: here each collection starts from nothing.
    new Counter({
      ...common,
      collect() {
        this.reset();
        fill((labelled, value) => this.inc(labelled, value));
      },
    });
  }
}
