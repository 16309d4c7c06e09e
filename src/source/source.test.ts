import { expect, test } from "bun:test";
import { sourceLabel } from "./source.ts";

test.each([
  ["rtsp://u:hunter2@10.0.0.9/cam", "rtsp://10.0.0.9/cam"],
  ["rtsp://10.0.0.9/cam?channel=1&subtype=0", "rtsp://10.0.0.9/cam?channel=1&subtype=0"],
  [
    "rtsp://10.0.0.9/cam?user=a&password=hunter2&ch=1",
    "rtsp://10.0.0.9/cam?user=…&password=…&ch=1",
  ],
  ["rtsp://10.0.0.9/cam?pin=123&hunter2", "rtsp://10.0.0.9/cam?pin=…&…"],
  [
    "rtsp://10.0.0.9/user=admin_password=hunter2_channel=1.sdp",
    "rtsp://10.0.0.9/user=admin_password=…",
  ],
  ["http://u:hunter2@10.0.0.9/a.m3u8?token=hunter2", "http://10.0.0.9/a.m3u8"],
  ["publish://hunter2", "publish://"],
])("%p is shown as %p", (source, label) => expect(sourceLabel(source)).toBe(label));
