/** Follows the sequence numbers of one RTP sender, RFC 3550 appendix A.1. */
export class SequenceTracker {
  /** Packets missing so far. */
  lost = 0;
  #expected = -1;
  /** A packet out of order by so much that the sender may have restarted its numbering. */
  #restartAt = -1;

  /** How many packets are missing before this one; -1 when it comes too late or twice. */
  gapBefore(sequence: number): number {
    if (sequence === this.#expected && this.#restartAt < 0) {
      this.#expected = (sequence + 1) & 0xffff;
      return 0;
    }
    const gap = this.#expected < 0 ? 0 : (sequence - this.#expected) & 0xffff;
    if (gap >= 0x8000) {
      // Two in a row say that the sender numbers anew.
      const restarted = sequence === this.#restartAt;
      this.#restartAt = (sequence + 1) & 0xffff;
      if (!restarted) return -1;
      this.#expected = (sequence + 1) & 0xffff;
      this.lost++;
      return 1;
    }
    this.#restartAt = -1;
    this.#expected = (sequence + 1) & 0xffff;
    this.lost += gap;
    return gap;
  }

  /** Whatever comes next is the first packet of a new sender. */
  restart(): void {
    this.#expected = -1;
    this.#restartAt = -1;
  }
}
