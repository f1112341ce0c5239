// Time on the board, in microseconds since power on.
//
// SIMULATION DETAIL: timers of the host are coarse (1 ms and worse), so edges of a pulse train are delivered a few at
// a time, late. While a handler runs for an edge, `ticks()` gives the time of that edge, not of the delivery: a
// handler that measures the time between edges gets it exactly.
export class Clock {
  constructor() {
    this.origin = process.hrtime.bigint();
    this.edge = null;
  }

  // Microseconds since power on, real.
  now() {
    return Number(process.hrtime.bigint() - this.origin) / 1000;
  }

  // Microseconds since power on, as Python sees them.
  ticks() {
    return this.edge ?? this.now();
  }

  // Runs `call` with `ticks()` standing at `edge`.
  at(edge, call) {
    this.edge = edge;
    try {
      call();
    } finally {
      this.edge = null;
    }
  }

  // `time` (from now()) on the host's monotonic clock, in microseconds.
  host(time) {
    return Number(this.origin / 1000n) + time;
  }
}
