// Plays all tracks from one clock: every source starts at the same instant and offset, so that no
// track can drift against another. Muting and comparing only change gains.

const AHEAD = 0.04; // s; sources are started a little in the future, all at once
const FADE = 0.01; // s

export const TRACKS = ["backing", "bass", "original"];

export class Player extends EventTarget {
  constructor() {
    super();
    this.context = new AudioContext();
    this.gains = {};
    for (const name of TRACKS) {
      this.gains[name] = this.context.createGain();
      this.gains[name].gain.value = 0;
      this.gains[name].connect(this.context.destination);
    }
    this.empty();
  }

  // Forget all sound.
  empty() {
    this.pause();
    this.buffers = {};
    this.offset = 0;
    this.loop = null;
  }

  decode(bytes) { return this.context.decodeAudioData(bytes); }

  get playing() { return this.sources !== undefined && this.sources !== null; }

  get duration() { return this.buffers.original?.duration ?? 0; }

  // Replace the sound of a track, also while it plays.
  setBuffer(name, buffer) {
    this.buffers[name] = buffer;
    if (this.playing) this.restart();
  }

  // Set how loud each track is, as factors by name.
  setLevels(levels) {
    for (const name of TRACKS) {
      this.gains[name].gain.setTargetAtTime(levels[name] ?? 0, this.context.currentTime, FADE);
    }
  }

  // Loop from one time to another; null plays on.
  setLoop(loop) {
    const at = this.positionAt(this.context.currentTime + AHEAD);
    this.loop = loop;
    if (this.playing) this.restart(at);
  }

  // Where it is, in seconds.
  get position() { return this.playing ? this.positionAt(this.context.currentTime) : this.offset; }

  positionAt(instant) {
    const time = this.offset + Math.max(0, instant - this.started);
    if (!this.loop || time < this.loop[1]) return Math.min(time, this.duration);
    const [start, end] = this.loop;
    return start + ((time - start) % (end - start));
  }

  async play() {
    await this.context.resume();
    if (this.position >= this.duration - 0.01) this.offset = 0;
    this.startAt(this.position, this.context.currentTime + AHEAD);
    this.dispatchEvent(new Event("change"));
  }

  pause() {
    if (!this.playing) return;
    const at = this.position;
    this.stopAt(this.context.currentTime);
    this.offset = at;
    this.dispatchEvent(new Event("change"));
  }

  seek(time) {
    const to = Math.min(Math.max(0, time), this.duration);
    if (this.playing) this.restart(to);
    else this.offset = to;
    this.dispatchEvent(new Event("change"));
  }

  // Start all sources again where they will be in a moment, or at another time.
  restart(at) {
    const instant = this.context.currentTime + AHEAD;
    const position = at ?? this.positionAt(instant);
    this.stopAt(instant);
    this.startAt(position, instant);
  }

  stopAt(instant) {
    for (const source of this.sources ?? []) {
      source.onended = null;
      source.stop(instant);
    }
    this.sources = null;
  }

  startAt(position, instant) {
    if (this.loop && position >= this.loop[1]) position = this.loop[0];
    this.offset = position;
    this.started = instant;
    this.sources = TRACKS.filter((name) => this.buffers[name]).map((name) => {
      const source = this.context.createBufferSource();
      source.buffer = this.buffers[name];
      if (this.loop) {
        source.loop = true;
        [source.loopStart, source.loopEnd] = this.loop;
      }
      source.connect(this.gains[name]);
      source.start(instant, position);
      return source;
    });
    const last = this.sources.at(-1);
    if (last) last.onended = () => {
      this.sources = null;
      this.offset = this.duration;
      this.dispatchEvent(new Event("change"));
    };
  }
}
