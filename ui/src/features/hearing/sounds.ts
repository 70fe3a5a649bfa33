import type { Sound } from './policy';

/**
 * The sounds of the desk, made here: a desk bell for chat, a lower and softer one for letters, the bell twice for what
 * nobody has taken. Struck metal has partials that are no whole multiples of each other, and the high ones die first:
 * that is what makes it warm.
 */
interface Voice {
  /** The fundamental, in hertz. */
  pitch: number;
  /** Against the other sounds. */
  level: number;
  /** How long it takes to be there, in seconds: felt against metal. */
  attack: number;
  /** Each partial: its ratio to the fundamental, its part, and how long it is heard, in seconds. */
  partials: readonly (readonly [ratio: number, part: number, decay: number])[];
}

const BELL: Voice = {
  pitch: 784,
  level: 0.5,
  attack: 0.004,
  partials: [[0.5, 0.16, 0.9], [1, 0.5, 1.1], [1.19, 0.12, 0.7], [2.0, 0.2, 0.55], [2.74, 0.12, 0.35], [4.07, 0.05, 0.18], [5.43, 0.025, 0.1]],
};
const LETTER: Voice = {
  pitch: 392,
  level: 0.34,
  attack: 0.018,
  partials: [[1, 0.6, 0.9], [2.01, 0.16, 0.45], [2.76, 0.05, 0.25]],
};
/** The pause between the two strokes of the bell, in seconds. */
const TWICE = 0.34;
/** It rises by so many semitones at each step, up to a third. */
const RISE = 1;
const HIGHEST = 4;

/** How long each sound is heard at the most, in milliseconds. */
export const LASTS_MS: Record<Sound, number> = { chat: 1_300, mail: 1_100, nobody: 1_650 };

export type Readiness = 'ready' | 'blocked' | 'none';

/** A context that runs keeps the sound card awake: it rests when nothing has sounded for so long. */
const REST_MS = 10_000;

/** The audio context of the page. */
export class Sounds {
  #context: AudioContext | null = null;
  #master: GainNode | null = null;
  #analyser: AnalyserNode | null = null;
  /** It runs, or rests by our own will. */
  #open = false;
  #rest: ReturnType<typeof setTimeout> | undefined;
  #changed: () => void;

  /** `changed` hears when the browser lets sound through, or stops it. */
  constructor(changed: () => void) {
    this.#changed = changed;
  }

  get readiness(): Readiness {
    if (typeof AudioContext !== 'function') return 'none';
    return this.#open ? 'ready' : 'blocked';
  }

  /** Where the level can be measured: what goes to the loudspeaker goes through it. */
  get analyser(): AnalyserNode | null {
    return this.#analyser;
  }

  /** Opens the way to the loudspeaker where the browser lets the page: after a click or a key it does. */
  async wake(): Promise<boolean> {
    if (typeof AudioContext !== 'function') return false;
    if (!this.#context) this.#make();
    const context = this.#context;
    if (!context) return false;
    clearTimeout(this.#rest);
    if (context.state !== 'running') {
      // Without a click this neither ends nor fails: it must not be waited for.
      await Promise.race([context.resume().catch(() => {}), new Promise((done) => setTimeout(done, 500))]);
    }
    this.#stands(context.state === 'running');
    this.#restLater(context);
    return this.#open;
  }

  /** Plays a sound at a volume from 0 to 1; false where it cannot be heard. */
  async play(sound: Sound, volume: number, step = 0): Promise<boolean> {
    if (!(await this.wake())) return false;
    const [context, master] = [this.#context, this.#master];
    if (!context || !master) return false;
    // Loudness is heard by its logarithm: half the way is half as loud.
    master.gain.value = Math.min(1, Math.max(0, volume)) ** 2;
    const at = context.currentTime + 0.02;
    if (sound === 'nobody') {
      const rise = 2 ** (Math.min(step * RISE, HIGHEST) / 12);
      this.#strike(context, master, BELL, at, rise);
      this.#strike(context, master, BELL, at + TWICE, rise * 2 ** (3 / 12));
    } else this.#strike(context, master, sound === 'chat' ? BELL : LETTER, at, 1);
    // For whoever measures: when a sound began, and which.
    performance.mark('deskbell.sound', { detail: { sound, step, volume } });
    return true;
  }

  #make(): void {
    const context = new AudioContext({ latencyHint: 'interactive' });
    const master = context.createGain();
    const soften = context.createBiquadFilter();
    soften.type = 'lowpass';
    soften.frequency.value = 5_200;
    soften.Q.value = 0.4;
    const analyser = context.createAnalyser();
    analyser.fftSize = 2048;
    master.connect(soften).connect(analyser).connect(context.destination);
    context.addEventListener('statechange', () => {
      if (context.state === 'running') this.#stands(true);
    });
    [this.#context, this.#master, this.#analyser] = [context, master, analyser];
  }

  #stands(open: boolean): void {
    if (open === this.#open) return;
    this.#open = open;
    this.#changed();
  }

  #restLater(context: AudioContext): void {
    clearTimeout(this.#rest);
    this.#rest = setTimeout(() => void context.suspend().catch(() => {}), REST_MS);
  }

  #strike(context: AudioContext, to: AudioNode, voice: Voice, at: number, rise: number): void {
    for (const [ratio, part, decay] of voice.partials) {
      const tone = context.createOscillator();
      const level = context.createGain();
      tone.frequency.value = voice.pitch * ratio * rise;
      level.gain.setValueAtTime(0, at);
      level.gain.linearRampToValueAtTime(part * voice.level, at + voice.attack);
      level.gain.setTargetAtTime(0, at + voice.attack, decay / 5);
      tone.connect(level).connect(to);
      tone.start(at);
      tone.stop(at + voice.attack + decay * 1.2);
      tone.addEventListener('ended', () => level.disconnect());
    }
  }
}
