// Hears what the desk plays, where it goes to the loudspeaker.

import { eventually } from "./harness.mjs";

/** Listens beside the loudspeaker, and counts what the desk says that it played. */
export function eavesdrop() {
  window.sounds = [];
  new PerformanceObserver((list) => {
    for (const { name, detail, startTime } of list.getEntries()) if (name === "deskbell.sound") window.sounds.push({ ...detail, at: performance.timeOrigin + startTime });
  }).observe({ type: "mark", buffered: true });
  const connect = AudioNode.prototype.connect;
  AudioNode.prototype.connect = function listened(to, ...rest) {
    if (to instanceof AudioDestinationNode) {
      window.ear = this.context.createAnalyser();
      window.ear.fftSize = 8192;
      // What the last few milliseconds were, to tell when something begins.
      window.near = this.context.createAnalyser();
      window.near.fftSize = 256;
      for (const one of [window.ear, window.near]) connect.call(this, one);
    }
    return connect.call(this, to, ...rest);
  };
  window.listen = async (milliseconds) => {
    const wave = new Float32Array(window.ear.fftSize);
    const until = performance.now() + milliseconds;
    const heard = { peak: 0, loudest: 0 };
    while (performance.now() < until) {
      window.ear.getFloatTimeDomainData(wave);
      let sum = 0;
      for (const value of wave) {
        heard.peak = Math.max(heard.peak, Math.abs(value));
        sum += value * value;
      }
      heard.loudest = Math.max(heard.loudest, Math.sqrt(sum / wave.length));
      await new Promise((done) => { setTimeout(done, 40); });
    }
    return heard;
  };
  // When something can be heard next, by the clock: what goes to the loudspeaker is looked at every few milliseconds.
  window.audible = async () => {
    const wave = new Float32Array(256);
    for (;;) {
      window.near?.getFloatTimeDomainData(wave);
      if (wave.some((value) => Math.abs(value) > 0.002)) return Date.now();
      await new Promise((done) => { setTimeout(done, 3); });
    }
  };
}

/** What the desk says that it played. */
export const soundsOf = (page) => page.evaluate(() => window.sounds);

/** Its sounds, once there are so many. */
export const heard = (page, count, seconds = 20) => eventually(async () => {
  const sounds = await soundsOf(page);
  return sounds.length >= count && sounds;
}, `${count} sounds`, seconds);
