/**
 * Three clocks, three types, never mixed. The brands are optional, so plain numbers and arithmetic
 * work, but a value of one clock is refused where another is meant.
 *
 * @module
 */

/** Milliseconds on CLOCK_MONOTONIC; comparable across processes of one machine (native/clock.ts). */
export type Millis = number & { readonly unit?: "ms" };

/** Milliseconds since 1970 UTC, with fractions. */
export type UnixMs = number & { readonly unit?: "unix ms" };

/** An RTP timestamp: unsigned 32 bits, wraps after 13 h 15 m at 90 kHz. */
export type RtpTicks = number & { readonly unit?: "rtp" };

/** A video RTP clock ticks at 90 kHz (RFC 6184 section 8.2.1). */
export const VIDEO_CLOCK_HZ = 90_000;

/** How far `a` lies after `b`, in ticks, across the 32-bit wrap. Negative when before. */
export function ticksBetween(a: RtpTicks, b: RtpTicks): number {
  return (a - b) | 0;
}
